"""What there is to read about a test besides numbers: words of topics, and documents got wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slugline.errors import OptionError
from slugline.evaluation import Answers, Evaluation
from slugline.experiment.quotes import Quote, passage
from slugline.experiment.run import Experiment
from slugline.experiment.strongest_terms import TopicTerms, strongest_terms
from slugline.fitted import Fitted

__all__ = ["ConfusedPair", "Evidence", "QuotedMistake", "gather_evidence"]

#: How many pairs of topics are shown, how many documents of each, and how many mistakes.
N_PAIRS, N_OF_PAIR, N_SUREST = 6, 2, 10
#: Of how many topics the terms are looked for: the most common ones.
N_TOPICS = 200
# Longer texts are quoted from their beginning, without marks: explaining them would take long.
_LONGEST = 100_000


class QuotedMistake(NamedTuple):
    """A document that got a wrong topic.

    Attributes
    ----------
    place : int or str
        Where it stands; see `Corpus.places`.
    topic, predicted : str
    probability : float
        That of `predicted`.
    quote : Quote
        Words count what they add to the score of `predicted` over that of `topic`; or, of a topic
        that the classifier doesn't know, to the score of `predicted`.
    """

    place: int | str
    topic: str
    predicted: str
    probability: float
    quote: Quote


class ConfusedPair(NamedTuple):
    """Documents of one topic that were given another one.

    Attributes
    ----------
    topic, predicted : str
    n_documents : int
        How many there are.
    examples : list of QuotedMistake
        Some of them.
    """

    topic: str
    predicted: str
    n_documents: int
    examples: list[QuotedMistake]


@dataclass(frozen=True)
class Evidence:
    """What a person can read to judge a classifier.

    Attributes
    ----------
    terms : list of TopicTerms
        Of up to 200 topics; see `strongest_terms`. Empty if the learner isn't linear.
    pairs : list of ConfusedPair
        The most common mistakes.
    surest : list of QuotedMistake
        The mistakes with the highest probability, the surest first. Many of these turn out to have
        a wrong topic in the data.
    n_wrong : int
        How many mistakes there are.
    unit : str
        What `place` counts, such as "line".
    """

    terms: list[TopicTerms]
    pairs: list[ConfusedPair]
    surest: list[QuotedMistake]
    n_wrong: int
    unit: str


def gather_evidence(experiment: Experiment) -> Evidence:
    """Return the words that count most for each topic, and documents that were got wrong.

    Nothing is learned or answered again; some texts are explained.
    """
    evaluation, test = experiment.evaluation, experiment.test
    terms = strongest_terms(
        experiment.fitted, _commonest(evaluation, len(experiment.fitted.topics))
    )
    answers = evaluation.answers
    if answers is None:
        return Evidence(terms, [], [], 0, test.unit)
    wrong = np.flatnonzero(~answers.right)
    surest_first = wrong[np.argsort(-answers.probability[wrong], kind="stable")].tolist()
    quote = _Quoting(experiment, answers)
    surest = surest_first[:N_SUREST]
    pairs = [
        ConfusedPair(
            *(topic, predicted, n),
            quote.all(
                _not_among(surest, _of_pair(evaluation, answers, surest_first, topic, predicted))
            ),
        )
        for topic, predicted, n in evaluation.confusions(N_PAIRS)
    ]
    return Evidence(terms, pairs, quote.all(surest), len(wrong), test.unit)


def _commonest(evaluation: Evaluation, n_topics: int) -> list[int]:
    """Return the numbers of the topics with the most test documents, in the order of the topics."""
    n_documents = evaluation.confusion.sum(axis=1)[:n_topics]
    return sorted(np.argsort(-n_documents, kind="stable")[:N_TOPICS].tolist())


def _of_pair(
    evaluation: Evaluation, answers: Answers, rows: list[int], topic: str, predicted: str
) -> list[int]:
    """Return those of the wrong answers that mistake a topic for another one."""
    number, other = map(evaluation.topics.index, (topic, predicted))
    if number >= evaluation.n_known:
        number = -1
    is_one = (answers.true[rows] == number) & (answers.predicted[rows] == other)
    found: list[int] = np.array(rows)[is_one].tolist()
    return found


def _not_among(shown: Sequence[int], rows: Sequence[int]) -> list[int]:
    """Return a few of the rows, those first that are not shown already."""
    return sorted(rows, key=set(shown).__contains__)[:N_OF_PAIR]


class _Quoting:
    """Quotes test documents that were got wrong, each of them explained once."""

    def __init__(self, experiment: Experiment, answers: Answers) -> None:
        self._experiment, self._answers = experiment, answers
        self._predicted = experiment.evaluation.predicted
        self._places = experiment.test.numbered_places()
        self._made: dict[int, QuotedMistake] = {}

    def all(self, rows: Sequence[int]) -> list[QuotedMistake]:
        """Return the quoted documents of some rows."""
        return [self._one(row) for row in rows]

    def _one(self, row: int) -> QuotedMistake:
        if row not in self._made:
            answers, test = self._answers, self._experiment.test
            topic, predicted = test.topics[row], self._predicted[row]
            against = topic if answers.true[row] >= 0 else None
            text = test.texts[row]
            spans = _spans(self._experiment.fitted, text, predicted, against)
            self._made[row] = QuotedMistake(
                *(self._places[row], topic, predicted),
                *(float(answers.probability[row]), passage(text, spans)),
            )
        return self._made[row]


def _spans(
    fitted: Fitted, text: str, predicted: str, topic: str | None
) -> list[tuple[int, int, float]]:
    """Return what words add to the score of the predicted topic over that of the true one."""
    from slugline.explain import explain

    if len(text) > _LONGEST:
        return []
    try:
        return explain(fitted, text, predicted, against=topic).spans()
    except OptionError:  # a learner of the user's own
        return []
