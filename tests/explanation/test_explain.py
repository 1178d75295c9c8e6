"""Explanations: shares that add up, words at their places, topics that there are not."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError, replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import WORDS
from slugline import Corpus, FeatureGroup, LinearLearner, Mixture, NeuralLearner, TopicClassifier
from slugline.errors import DataError, NotFittedError, OptionError
from slugline.explanation.explain import EncodedParts, _decode, explain
from slugline.explanation.explanation import Explanation, Reason
from slugline.reports.explanation import explanation_page
from slugline.text.terms import NGRAM_LENGTHS
from slugline.text.tokens import find_words, tokenize
from stand_ins import Meanings

TEXT = "Wheat and corn, says the Fed: wheat for the bank's team."

CLASSIFIERS = {
    "linear": TopicClassifier(encoder=None),
    "network": TopicClassifier(learner="network"),
    "deep": TopicClassifier(learner=NeuralLearner(hidden=(16, 8))),
    "mixture": TopicClassifier(learner=Mixture([LinearLearner(), NeuralLearner(hidden=(16,))])),
    "vocabulary": TopicClassifier(
        encoder=None, feature_groups=[FeatureGroup("words"), FeatureGroup("lead", weight=0.5)]
    ),
    "buckets": TopicClassifier(
        encoder=None, feature_groups=[FeatureGroup("words", n_buckets=16), FeatureGroup("bigrams")]
    ),
    "lengths": TopicClassifier(
        encoder=None,
        feature_groups=[FeatureGroup(), *map(cast("Any", FeatureGroup), NGRAM_LENGTHS)],
    ),
    "counts": TopicClassifier(
        encoder=None, feature_groups=[FeatureGroup("words", "counts"), FeatureGroup("characters")]
    ),
}


def off_by(explanation: Explanation) -> float:
    shares = sum(reason.attribution for reason in explanation.reasons)
    return abs(shares + explanation.bias - explanation.score)


@pytest.fixture(scope="module")
def fitted(news: list[tuple[str, str]]) -> dict[str, TopicClassifier]:
    texts, topics = zip(*news, strict=True)
    return {name: classifier.fit(texts, topics) for name, classifier in CLASSIFIERS.items()}


@pytest.fixture(scope="module")
def classifier(fitted: dict[str, TopicClassifier]) -> TopicClassifier:
    return fitted["linear"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [(name, TEXT) for name in CLASSIFIERS]
    + [("linear", text) for text in ["wheat", "wheat " * 500, "unheard-of", "", "\0 \ud800"]]
    + [("mixture", ""), ("network", "unheard-of")],
)
def test_explain_attributions_and_bias_sum_to_the_score(
    fitted: dict[str, TopicClassifier], name: str, text: str
) -> None:
    classifier = fitted[name]
    scores = classifier.decision_function([text])[0].astype(float)
    for number, topic in enumerate(classifier.classes_):
        found = classifier.explain(text, topic)
        assert found.score == pytest.approx(scores[number], abs=1e-6)
        assert off_by(found) < 1e-6
        assert found.bias == pytest.approx(classifier.decision_function([""])[0][number], abs=1e-5)
        for against, other in enumerate(classifier.classes_):
            if against != number:
                found = classifier.explain(text, topic, against=other)
                assert found.score == pytest.approx(scores[number] - scores[against], abs=1e-6)
                assert off_by(found) < 1e-6


@given(text=st.text(st.sampled_from("wheat bank corn,é手机か\u3099\u0301İ😀\ud83d.’\n")))
def test_explain_offsets_are_those_of_the_words(text: str) -> None:
    found = OF_ALL_SCRIPTS.explain(text)
    assert off_by(found) < 1e-6
    for reason in found.reasons:
        assert reason.start is not None
        assert reason.end is not None
        assert 0 <= reason.start < reason.end <= len(text)
        words = tokenize(text[reason.start : reason.end])
        assert " ".join(reason.word.split()) in " ".join(words)


OF_ALL_SCRIPTS = TopicClassifier(encoder=None).fit(
    ["wheat corn wheat", "手机很好 手 か\u3099", "bank é\u0301 😀", "İİ wheat bank corn"] * 3,
    ["a", "b", "c", "d"] * 3,
)


def test_explain_gives_weights_times_values_of_a_linear_model(classifier: TopicClassifier) -> None:
    # Each word on its own: its own column and those of its runs, in the row of the whole text.
    text = "wheat bond"
    X: Any = classifier.fitted_.features.transform([text])
    weights = classifier.fitted_.learner.weights  # type: ignore[attr-defined]
    by_column = X.toarray()[0] * weights.toarray()[:, 1]
    own = {" wheat": 0.0, " bond": 0.0}
    for column in X.indices:
        term = str(classifier.fitted_.features.term(column))
        if term == "wheat bond":
            continue
        (word,) = [word for word in own if term.strip() in word]
        own[word] += by_column[column]
    found = {word: share for word, _, share in classifier.explain(text, "grain").words()}
    assert found["wheat"] == pytest.approx(own[" wheat"], abs=1e-5)
    assert found["bond"] == pytest.approx(own[" bond"], abs=1e-5)


def test_explain_splits_an_attribution_evenly_over_places(classifier: TopicClassifier) -> None:
    found = classifier.explain("wheat, WHEAT. goal wheat")
    wheat = [reason for reason in found.reasons if reason.word == "wheat"]
    assert [(reason.start, reason.end) for reason in wheat] == [(0, 5), (7, 12), (19, 24)]
    assert len({round(reason.attribution, 12) for reason in wheat}) == 1
    (together,) = [each for each in found.words() if each.word == "wheat"]
    assert together.n_places == 3
    assert together.attribution == pytest.approx(3 * wheat[0].attribution)


def test_explain_spans_both_words_of_a_bigram(news: list[tuple[str, str]]) -> None:
    feature_groups = [FeatureGroup("bigrams")]
    texts, topics = zip(*news, strict=True)
    classifier = TopicClassifier(encoder=None, feature_groups=feature_groups).fit(texts, topics)
    text = "So the  Rate, and more"
    found = classifier.explain(text, "bank")
    assert {(reason.word, text[reason.start : reason.end]) for reason in found.reasons} <= {
        ("the rate", "the  Rate"),
        ("rate and", "Rate, and"),
    }
    assert found.reasons


def test_explain_gives_ngrams_of_unspaced_scripts_as_phrases(classifier: TopicClassifier) -> None:
    found = OF_ALL_SCRIPTS.explain("iPhone手机很好", "b")
    spans = {reason.word: (reason.start, reason.end) for reason in found.reasons}
    assert spans["手机"] == (6, 8)
    assert spans["好"] == (9, 10)


def test_explain_sorts_reasons_and_sums_up_the_rest(classifier: TopicClassifier) -> None:
    everything, some = classifier.explain(TEXT), classifier.explain(TEXT, max_reasons=3)
    sizes = [abs(reason.attribution) for reason in everything.reasons]
    assert sizes == sorted(sizes, reverse=True)
    assert some.reasons[:3] == everything.reasons[:3]
    assert (everything.n_unlisted, some.n_unlisted) == (0, len(sizes) - 3)
    assert some.reasons[3].word == f"{len(sizes) - 3} weaker positions of words and phrases"
    assert (some.reasons[3].start, some.reasons[3].end) == (None, None)
    assert len(some.reasons) == 4
    assert some.words()[-1].word == some.reasons[3].word
    assert "all others" not in repr(some)
    assert off_by(some) < 1e-6


def test_explain_explains_the_answer_by_default(classifier: TopicClassifier) -> None:
    assert classifier.explain(TEXT).topic == classifier.predict([TEXT])[0]
    assert classifier.explain(TEXT, "sport").topic == "sport"
    proba = classifier.predict_proba([TEXT])[0]
    found = [classifier.explain(TEXT, topic).probability for topic in classifier.classes_]
    assert found == pytest.approx(proba.tolist())


def test_explain_uses_current_weights_after_partial_fit(news: list[tuple[str, str]]) -> None:
    texts, topics = (list(each) for each in zip(*news, strict=True))
    classifier = TopicClassifier()
    classifier.partial_fit(texts[:45], topics[:45], classes=sorted(set(topics)))
    classifier.partial_fit(texts[45:], topics[45:])
    found = classifier.explain(TEXT, "grain")
    assert found.reasons[0].word == "wheat"
    assert off_by(found) < 1e-6


def test_explain_accepts_numbers_as_topics() -> None:
    classifier = TopicClassifier().fit(["wheat corn", "goal match", "loan"] * 4, [1, 2, 300] * 4)
    found = classifier.explain("wheat", 2)
    assert (found.topic, classifier.explain("wheat", "2").topic) == (2, 2)
    with pytest.raises(OptionError) as error:
        classifier.explain("wheat", 301)
    assert str(error.value) == "the model has no topic 301; did you mean 300?"


def test_explain_accepts_a_model_of_one_topic() -> None:
    classifier = TopicClassifier().fit(["wheat corn", "wheat"], ["grain", "grain"])
    assert off_by(classifier.explain("wheat")) < 1e-6


# An encoder -------------------------------------------------------------------------------------


def with_encoder() -> TopicClassifier:
    meanings = {"wheat": 0, "rye": 0, "goal": 1, "match": 1, "loan": 2, "bond": 2}
    words = ["wheat", "goal", "loan"]
    texts, topics = [], []
    for number in range(30):  # most words occur once, so that only the encoder tells what they mean
        topic = number % 3
        word = words[topic] if number < 12 else f"{chr(97 + number)}{'xyz'[topic]}{number}"
        meanings[word] = topic
        texts.append(f"{word} for all and a {number % 4}")
        topics.append(("grain", "sport", "bank")[topic])
    classifier = TopicClassifier(encoder=Meanings(meanings)).fit(texts, topics)
    assert classifier.fitted_.dense is not None
    return classifier


def test_explain_without_split_encoder_gives_it_as_one_reason() -> None:
    classifier = with_encoder()
    found = explain(classifier.fitted_, "rye for all", "grain", split_encoder=False)
    (meant,) = [reason for reason in found.reasons if reason.start is None]
    assert meant.word == "the meaning of the whole text, by the encoder"
    assert meant.attribution > 0
    assert off_by(found) < 1e-6
    assert found.score == pytest.approx(
        classifier.decision_function(["rye for all"])[0][1], abs=1e-12
    )
    assert off_by(classifier.explain("rye for loan", "grain", against="bank")) < 1e-6
    assert found.to_dict()["reasons"][0]["start"] is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("rye for all", ["rye", "for", "all"]),
        ("rye for all. A goal! And", ["rye for all", "a goal", "and"]),
        ("rye " * 120, 30 * ["rye rye rye rye"]),
        ("rye", ["rye"]),
    ],
)
def test_explain_splits_the_attribution_of_the_encoder(text: str, parts: list[str]) -> None:
    classifier = with_encoder()
    whole = explain(classifier.fitted_, text, "grain", split_encoder=False)
    found = classifier.explain(text, "grain")
    assert off_by(found) < 1e-6
    assert all(reason.start is not None for reason in found.reasons)
    (meant,) = [reason.attribution for reason in whole.reasons if reason.start is None]
    before = {reason[1:3]: reason.attribution for reason in whole.reasons}
    own = {
        reason.start: reason.attribution - before.get(reason[1:3], 0)
        for reason in found.reasons
        if reason.word in parts
    }
    assert len(own) in (1, len(parts))  # parts without meaning may have no share
    assert sum(own.values()) == pytest.approx(meant)
    assert max(own.values()) == pytest.approx(own[0])


@pytest.mark.parametrize(("n_sentences", "n_parts"), [(40, 40), (60, 30), (9000, 10)])
def test_encoded_parts_of_a_long_text_are_few(n_sentences: int, n_parts: int) -> None:
    dense = with_encoder().fitted_.dense
    assert dense is not None
    text = "Rye." * n_sentences
    parts = EncodedParts.leave_out(text, find_words([text]), dense)
    assert len(parts.rows) == len(parts.starts) == n_parts


def test_explain_does_not_split_an_empty_text() -> None:
    found = with_encoder().explain("…")
    assert [reason.start for reason in found.reasons] in ([None], [])
    assert off_by(found) < 1e-6


def test_explain_accepts_a_model_of_descriptions() -> None:
    described = {"grain": "wheat rye", "sport": "goal match"}
    meanings = {"wheat": 0, "rye": 0, "goal": 1, "match": 1}
    classifier = TopicClassifier(encoder=Meanings(meanings), descriptions=described).fit([], [])
    found = classifier.explain("rye")
    assert found.topic == "grain"
    assert off_by(found) < 1e-6


# Documents that were learned from ---------------------------------------------------------------


def test_explain_gives_the_most_similar_documents_as_examples(
    classifier: TopicClassifier, news: list[tuple[str, str]]
) -> None:
    texts, topics = (list(each) for each in zip(*news, strict=True))
    found = classifier.explain("wheat and barley", corpus=(texts, topics))
    assert len(found.examples) == 5
    for example in found.examples:
        assert example.topic == "grain"
        assert example.text == texts[example.row]
        assert {"wheat", "barley"} & set(example.text.split())
    shares = [example.similarity for example in found.examples]
    assert shares == sorted(shares, reverse=True)
    assert classifier.explain("wheat and barley", corpus=Corpus(texts, topics, "news")) == found
    assert classifier.explain("wheat").examples == ()


def test_explain_gives_no_example_without_a_common_word(classifier: TopicClassifier) -> None:
    corpus = ["goal", "wheat"], ["grain", "grain"]  # nor a part of a word
    assert [example.row for example in classifier.explain("wheat", corpus=corpus).examples] == [1]


def test_explain_gives_no_examples_of_another_topic(classifier: TopicClassifier) -> None:
    assert classifier.explain("wheat", corpus=(["wheat"], ["sport"])).examples == ()


# How it shows itself ----------------------------------------------------------------------------


def test_explanation_repr_shows_words_and_totals(classifier: TopicClassifier) -> None:
    lines = repr(classifier.explain("wheat", "grain", against="sport")).splitlines()
    assert lines[0] == "Why grain, not sport"
    assert [line.split("  ")[-1] for line in lines[1:]] == [
        *("wheat", "baseline: an empty text", "score: the sum of these")
    ]
    terms = [float(line.split()[0].replace("−", "-")) for line in lines[1:]]
    assert terms[0] + terms[1] == pytest.approx(terms[2], abs=2e-3)


def test_explanation_html_repr_marks_the_text(classifier: TopicClassifier) -> None:
    shown = classifier.explain("<b>Wheat</b> & loan", "bank")._repr_html_()
    assert "&lt;b&gt;<mark" in shown.replace("&lt;/", "")
    assert "<b>" not in shown
    assert re.search(r'class="against s\d"', shown)
    assert ".highlighted mark" in shown


def test_explanation_repr_shows_some_of_many_words(classifier: TopicClassifier) -> None:
    found = classifier.explain(" ".join(f"wheat{n} goal" for n in range(3000)))
    assert len(found.reasons) == 1001
    assert found.n_words == 6000
    assert len(found._repr_html_()) < 200_000
    assert off_by(found) < 1e-6


def test_explanation_totals_sum_to_the_score(classifier: TopicClassifier) -> None:
    text = " and ".join(word for words in WORDS.values() for word in words)
    lines = repr(classifier.explain(text)).splitlines()[1:]
    assert re.fullmatch(r" *[+−]\d\.\d{3}  \d+ others", lines[-3])
    *terms, score = (float(line.split()[0].replace("−", "-")) for line in lines)
    assert sum(terms) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize("against", [None, "sport"])
def test_explanation_totals_sum_up_weak_words_exactly(
    classifier: TopicClassifier, against: str | None
) -> None:
    text = " and ".join(word for words in WORDS.values() for word in words)
    found = classifier.explain(text, "grain", against=against)
    words, totals = found.totals(max_words=50)
    least = abs(found.words()[0].attribution) / 10
    assert 1 < len(words) < len(found.words())
    assert words == [word for word in found.words() if abs(word.attribution) >= least]
    others, bias, score = (share for _, share in totals)
    assert sum(word.attribution for word in words) + others + bias == pytest.approx(score, abs=1e-6)
    assert found.totals(max_words=50, min_strength=0)[0] == found.words()[:50]


def test_explanation_totals_show_words_beside_a_strong_encoder() -> None:
    reasons = Reason("the encoder", None, None, 5.0), Reason("oil", 0, 3, 0.2)
    found = Explanation("oil", "fuel", None, 5.2, 0.0, 0.9, reasons, 1, 0, "weights")
    assert found.totals()[0] == found.words()


def test_to_html_cuts_the_text_where_asked(classifier: TopicClassifier) -> None:
    found = classifier.explain("wheat goal wheat")
    assert str(found.to_html(16)).endswith("wheat</mark></bdi>")
    assert str(found.to_html(15)).endswith(" whea…</bdi>")


def test_explain_cuts_a_very_long_word(classifier: TopicClassifier) -> None:
    found = classifier.explain("wheat" * 100_000)
    assert max(len(reason.word) for reason in found.reasons) == 100
    assert found.reasons[0].end == 500_000
    face = "\N{GRINNING FACE}"  # of four bytes
    assert _decode((face * 200).encode()) == face * 99 + "…"


def test_explanation_to_dict_is_plain_json(classifier: TopicClassifier) -> None:
    found = classifier.explain(TEXT)
    assert found == classifier.explain(TEXT)
    with pytest.raises(FrozenInstanceError):
        found.score = 1.0  # type: ignore[misc]
    plain = found.to_dict()
    assert list(plain) == [
        *("topic", "probability", "score", "bias", "n_words", "n_unlisted", "method", "reasons")
    ]
    assert all(math.isfinite(reason["attribution"]) for reason in plain["reasons"])


# What can't be explained ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"text": 3}, DataError, "`text` is 3; pass one text, as a string."),
        ({"text": ["a"]}, DataError, "`text` is ['a']; pass one text, as a string."),
        ({"topic": "grian"}, OptionError, "the model has no topic 'grian'; did you mean 'grain'?"),
        (
            {"topic": "x"},
            OptionError,
            "the model has no topic 'x'; it has ['bank', 'grain', 'sport'].",
        ),
        (
            {"topic": "grain", "against": "bnk"},
            OptionError,
            "the model has no topic 'bnk'; did you mean 'bank'?",
        ),
        (
            {"topic": "grain", "against": "grain"},
            OptionError,
            "`against` is 'grain', the topic to explain; choose another topic, or choose the one "
            "to "
            "explain with `topic`.",
        ),
        ({"max_reasons": 0}, OptionError, "`max_reasons` is 0; give a whole number of at least 1."),
        (
            {"corpus": 3},
            OptionError,
            "`corpus` is 3; give a Corpus, or texts and topics: (texts, topics).",
        ),
        (
            {"corpus": (["a"], [])},
            DataError,
            "there is 1 text and 0 topics; give one topic for each text.",
        ),
    ],
)
def test_explain_rejects_invalid_arguments(
    classifier: TopicClassifier, how: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        explain(classifier.fitted_, **{"text": TEXT, **how})
    assert str(raised.value) == message


def test_explain_raises_not_fitted_before_fit() -> None:
    with pytest.raises(NotFittedError):
        TopicClassifier().explain("wheat")


def test_explain_does_not_depend_on_threads(news: list[tuple[str, str]]) -> None:
    texts, topics = zip(*news, strict=True)
    found = [TopicClassifier(n_jobs=n).fit(texts, topics).explain(TEXT) for n in (1, 3)]
    assert found[0] == found[1]
    assert np.isfinite(found[0].score)


# Several topics -----------------------------------------------------------------------------------


def several_documents(share: float = 0.4) -> tuple[list[str], list[list[str]]]:
    rng = np.random.default_rng(0)
    sets = [[topic for topic in WORDS if rng.random() < share] for _ in range(300)]
    texts = [
        " ".join(["the", *(word for topic in topics for word in rng.choice(WORDS[topic], 2))])
        for topics in sets
    ]
    return texts, sets


@pytest.fixture(scope="module")
def several() -> TopicClassifier:
    return TopicClassifier(n_jobs=1).fit(*several_documents())


TWO = "wheat and corn, a loan and a bond"


def test_explain_explains_each_given_topic(several: TopicClassifier) -> None:
    found = explain(several.fitted_, TWO)
    topics = several.predict([TWO])[0]
    assert {*topics} == {"grain", "bank"}
    assert (found.topic, *(other.topic for other in found.others)) == topics
    for part in (found, *found.others):
        alone = explain(several.fitted_, TWO, part.topic)
        assert replace(part, others=()) == alone
        number = several.classes_.tolist().index(part.topic)
        assert part.probability == several.predict_proba([TWO])[0, number]
        assert part.threshold == several.fitted_.multilabel_rule.thresholds[number]  # type: ignore[union-attr]
        assert part.score == pytest.approx(several.decision_function([TWO])[0, number])
        shares = sum(reason.attribution for reason in part.reasons)
        assert part.bias + shares == pytest.approx(part.score, abs=1e-6)
        assert (part.title, part.is_given) == (f"Why {part.topic}", True)
        assert part.verdict == f"given from {part.threshold:.2f} on"
        assert part.words()[0].word in WORDS[str(part.topic)]
    assert [other["topic"] for other in found.to_dict()["others"]] == [*topics[1:]]


def test_explain_says_that_a_topic_is_not_given(several: TopicClassifier) -> None:
    found = explain(several.fitted_, TWO, "sport")
    assert (found.is_given, found.title, found.others) == (False, "What speaks for sport", ())
    assert found.verdict.startswith("not given: probability 0.0")
    assert f" is under {found.threshold:.2f}" in found.verdict
    nothing = explain(several.fitted_, "the")
    assert (nothing.is_given, nothing.others) == (False, ())
    assert nothing.probability == several.predict_proba(["the"]).max()


def test_explain_says_that_the_most_likely_topic_is_given() -> None:
    texts, sets = several_documents()
    each = [(text, topics) for text, topics in zip(texts, sets, strict=True) if topics]
    model = TopicClassifier(n_jobs=1).fit(*map(list, zip(*each, strict=True)))
    found = explain(model.fitted_, "the")
    assert found.probability < (found.threshold or 0)
    assert (found.is_given, found.verdict) == (True, "given as the most likely topic")


def test_explain_says_that_a_topic_is_never_given(several: TopicClassifier) -> None:
    never = replace(explain(several.fitted_, TWO, "sport"), threshold=float("inf"))
    assert never.verdict == "not given: no answer with this topic is sure enough"
    assert never.to_dict()["threshold"] is None
    doubt = replace(never, threshold=0.0)
    assert doubt.verdict == "not given: the model is unsure of the text"


def test_explain_rejects_against_for_several_topics(several: TopicClassifier) -> None:
    with pytest.raises(OptionError) as error:
        explain(several.fitted_, TWO, "grain", against="bank")
    assert str(error.value) == (
        "`against` requires a single-label model, but this one is multi-label; leave it out."
    )


def test_explain_gives_examples_of_each_of_several_topics(several: TopicClassifier) -> None:
    texts, sets = several_documents()
    found = explain(several.fitted_, TWO, corpus=(texts, sets))
    for part in (found, *found.others):
        assert len(part.examples) == 5
        assert all(part.topic in sets[example.row] for example in part.examples)
    page = explanation_page(found)
    assert page.count("The text</span>") == 2
    assert page.index(f"Why {found.topic}") < page.index(f"Why {found.others[0].topic}")
    assert f"It is given from {found.threshold:.2f} on." in page
