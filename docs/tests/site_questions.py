"""Questions that users ask the site's search: as sentences, shortened, and in German."""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """A question in three forms, and the pages of which one should be among the first hits."""

    asked: str
    short: str
    german: str
    pages: str


QUESTIONS = (
    Question(
        "My CSV comes from German Excel: semicolons, umlauts broken. How do I read it, and get it "
        "back the same way?",
        "excel umlauts broken",
        "Umlaute in der CSV aus Excel sind kaputt",
        "howto/excel",
    ),
    Question(
        "The subject is in one column and the body in another.",
        "subject and body columns",
        "Betreff und Text stehen in zwei Spalten",
        "howto/columns",
    ),
    Question(
        "How many labels do I need?",
        "how many labels",
        "Wie viele Beispiele brauche ich?",
        "howto/how-many-labels",
    ),
    Question(
        "I have no labels at all. Where do I start?",
        "no labels",
        "Ich habe noch keine Labels, wie fange ich an?",
        "howto/no-labels start/unlabelled",
    ),
    Question(
        "Several of us want to label texts, in a browser.",
        "label in the browser",
        "Texte zu mehreren im Browser beschriften",
        "howto/label",
    ),
    Question(
        "Do the people who label agree? Does the language model agree with them?",
        "coders agreement",
        "Sind sich die Beschrifter einig?",
        "howto/coders",
    ),
    Question(
        "Which texts should I label next?",
        "what to label next",
        "Welche Texte soll ich als Nächstes beschriften?",
        "howto/label-next",
    ),
    Question(
        "My topics are skewed: one has 5,000 texts, another 12.",
        "imbalanced topics",
        "Ein Thema hat sehr viele Texte, ein anderes nur wenige",
        "howto/skewed-topics",
    ),
    Question(
        'What does "probability 0.83" mean, and can I believe it?',
        "meaning of probability",
        "Was bedeutet die Wahrscheinlichkeit?",
        "explanation/probabilities",
    ),
    Question(
        "Only answer when sure; send the rest to a person.",
        "answer only when sure",
        "Nur sichere Antworten geben, den Rest an Menschen",
        "howto/unsure",
    ),
    Question(
        "I asked for 95 % right and it says that no threshold reaches it. What now?",
        "no threshold reaches it",
        "Keine Schwelle erreicht die Genauigkeit von 95 %",
        "howto/promise-out-of-reach",
    ),
    Question(
        "Why did it give this topic?",
        "why this topic",
        "Warum hat es dieses Thema vergeben?",
        "howto/why",
    ),
    Question(
        "Are some of my labels wrong?",
        "wrong labels",
        "Sind manche Labels falsch?",
        "howto/wrong-labels",
    ),
    Question(
        "Is the new model better than the old one, or is that chance?",
        "new model better or chance",
        "Ist das neue Modell besser oder ist das Zufall?",
        "howto/better-or-chance",
    ),
    Question(
        "Put it behind nginx with a password.",
        "nginx password",
        "Hinter nginx mit Passwort betreiben",
        "howto/nginx",
    ),
    Question(
        "Our people correct answers; when does the model learn from that, and can it get worse?",
        "learn from corrections",
        "Kollegen korrigieren Antworten, wann lernt das Modell daraus?",
        "howto/corrections",
    ),
    Question(
        "How do I go back to yesterday's model?",
        "previous model",
        "Zurück zum Modell von gestern",
        "howto/rollback",
    ),
    Question(
        "Use it from Python, in a scikit-learn pipeline, in a notebook.",
        "scikit-learn pipeline",
        "In Python und in einer scikit-learn-Pipeline verwenden",
        "howto/scikit-learn",
    ),
    Question(
        "Several topics for one text. Product and sender should count too.",
        "several topics per text",
        "Ein Text hat mehrere Themen",
        "howto/several-topics howto/beside-the-text",
    ),
    Question(
        "Queue and urgency of each ticket, with one model.",
        "several questions one model",
        "Dringlichkeit und Abteilung mit einem Modell",
        "howto/several-questions",
    ),
    Question(
        "German, Hindi, Chinese: does it work, do I need the encoder?",
        "which languages work",
        "Welche Sprachen funktionieren, brauche ich den Encoder?",
        "howto/languages",
    ),
    Question(
        "20 million texts, more than memory; a cluster.",
        "million texts memory",
        "Zwanzig Millionen Texte passen nicht in den Speicher",
        "howto/large tutorials/cluster",
    ),
    Question(
        "How many complaints about X did we get each month, really?",
        "count complaints per month",
        "Wie viele Beschwerden pro Monat hatten wir wirklich?",
        "howto/counting",
    ),
)
