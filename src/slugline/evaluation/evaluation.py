"""Metrics of a classifier, from counts of right and wrong answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64, Floats, Integers, Mask
from slugline.base.words import counted, format_html_table, format_lines
from slugline.errors import DataError
from slugline.evaluation.intervals import Interval, bootstrap, wilson
from slugline.evaluation.probabilities import (
    ROUNDED,
    Bin,
    CoverageCurve,
    calibration_error,
    chance_error,
    coverage_curve,
    reliability_curve,
)

__all__ = [
    "Evaluation",
    "Predictions",
    "TopicMetrics",
    "count_by_topic",
    "f1_scores",
    "macro_f1",
    "majority_baseline",
    "shuffled_baseline",
    "topic_metrics",
    "weighted_f1",
]


# Precision, recall and F1 of topics, from counts --------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopicMetrics:
    """One topic's metrics; a ratio with nothing to divide by is NaN."""

    topic: str
    n_documents: int
    precision: float
    recall: float
    f1: float


def topic_metrics(
    topics: Sequence[str], right: Integers, true: Integers, predicted: Integers
) -> list[TopicMetrics]:
    """Return the metrics of each topic.

    Parameters
    ----------
    topics : names
    right, true, predicted : int arrays, shape (n_topics,)
        How many documents of each topic got it, have it, and got it rightly or wrongly.
    """
    return [
        TopicMetrics(name, int(t), _ratio(r, p), _ratio(r, t), _ratio(2 * r, p + t))
        for name, r, t, p in zip(topics, right, true, predicted, strict=True)
    ]


def count_by_topic(topics: Integers, counts: Integers, n_topics: int) -> Integers:
    """Return how many documents there are of each topic.

    Parameters
    ----------
    topics : int array, shape (n_kinds,)
        The topic of each kind of document.
    counts : int array, shape (n_sets, n_kinds)
        How many documents of each kind there are, in several test sets.
    n_topics : int

    Returns
    -------
    int array, shape (n_sets, n_topics)
    """
    from scipy.sparse import csr_array

    shape = len(topics), n_topics
    belongs = csr_array((np.ones_like(topics), (np.arange(len(topics)), topics)), shape=shape)
    totals: Integers = (belongs.T @ counts.T).T
    return totals


def f1_scores(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return F1, the harmonic mean of precision and recall; 0 for a topic that doesn't occur."""
    scores: F64 = 2 * right / np.maximum(true + predicted, 1)
    return scores


def macro_f1(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return the mean F1 over the topics that occur, as true or as predicted ones.

    Parameters
    ----------
    right, true, predicted : int arrays, shape (..., n_topics)
        See `topic_metrics`. The last axis is what the mean is over.
    """
    n_occurring = np.count_nonzero(true + predicted, axis=-1)
    mean: F64 = f1_scores(right, true, predicted).sum(axis=-1) / n_occurring
    return mean


def weighted_f1(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return the mean F1 in which each topic counts as often as documents have it."""
    scores = f1_scores(right, true, predicted)
    mean: F64 = (scores * true).sum(axis=-1) / true.sum(axis=-1)
    return mean


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan


# What a classifier said of each test document, in a few numbers each ------------------------------

# Probabilities that are looked at at once.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers to documents whose topics are known, all arrays of shape (n_documents,).

    Attributes
    ----------
    true : int array
        Number of the document's topic; -1 for one that the classifier does not know.
    predicted : int array
        Number of the topic it was given: the most likely one, the first of several.
    probability : float array
        That of the predicted topic.
    given : float array
        Probability that the true topic was given; 0 for an unknown one.
    n_above : int array
        How many topics came before the true one; all of them for an unknown one.
    squared_error : float array
        Sum over topics of the squares of probability less 1 for the true topic and less 0 for the
        others: 0 to 2. An unknown topic counts as one more, of probability 0.
    """

    true: I64
    predicted: I64
    probability: F64
    given: F64
    n_above: I64
    squared_error: F64

    @classmethod
    def of(cls, y_true: Integers, proba: Floats) -> Predictions:
        """Return the answers that probabilities are.

        Parameters
        ----------
        y_true : int array, shape (n_documents,)
            See `true`.
        proba : float array, shape (n_documents, n_topics)

        Raises
        ------
        DataError : if shapes differ, a topic has no column, or a probability is not from 0 to 1.
        """
        if proba.ndim != 2 or y_true.shape != (len(proba),):
            raise DataError(
                f"there are topics of shape {y_true.shape} and probabilities of shape "
                f"{proba.shape}; give a topic and a row of probabilities for each document."
            )
        if not ((y_true >= -1) & (y_true < proba.shape[1])).all():
            raise DataError(
                f"the topics go from {y_true.min()} to {y_true.max()}, for "
                f"{proba.shape[1]} columns; give each as the number of its column, or -1."
            )
        parts = [_of_part(*part) for part in _parts(np.asarray(y_true, dtype=np.int64), proba)]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @property
    def right(self) -> Mask:
        """Whether each document got its topic."""
        same: Mask = self.true == self.predicted
        return same

    def n_in_top(self, k: int) -> int:
        """Return how many documents have one of their `k` likeliest topics."""
        return int(np.count_nonzero((self.n_above < k) & (self.true >= 0)))


def _parts(y_true: I64, proba: Floats) -> Iterator[tuple[I64, F64]]:
    step = max(1, _AT_ONCE // max(1, proba.shape[1]))
    for first in range(0, len(y_true), step):
        rows = slice(first, first + step)
        yield y_true[rows], proba[rows].astype(np.float64)


def _of_part(true: I64, proba: F64) -> tuple[npt.NDArray[np.generic], ...]:
    if not ((proba >= 0) & (proba <= 1 + ROUNDED)).all():
        raise DataError("a probability is not between 0 and 1; give those of `predict_proba`.")
    rows, known = np.arange(len(true)), true >= 0
    predicted = proba.argmax(axis=1)
    given = np.where(known, proba[rows, true], 0.0)
    # As in a stable sort, the first of equally likely topics comes first.
    before = np.arange(proba.shape[1]) < true[:, np.newaxis]
    above = (proba > given[:, np.newaxis]) | ((proba == given[:, np.newaxis]) & before)
    n_above = np.where(known, above.sum(axis=1), proba.shape[1])
    squared_error = np.einsum("ij,ij->i", proba, proba) - 2 * given + 1
    return true, predicted, proba[rows, predicted], given, n_above, squared_error


# What answers without reading are worth -----------------------------------------------------------


def majority_baseline(y_train: Sequence[Any], y_test: Sequence[Any]) -> tuple[Any, float]:
    """Return the most common topic of `y_train`, and the accuracy of always answering it."""
    topic = Counter(y_train).most_common(1)[0][0]
    return topic, sum(y == topic for y in y_test) / len(y_test)


def shuffled_baseline(y: Sequence[Any], seed: int) -> float:
    """Return the accuracy of answering with the true topics in random order, as the lesson does."""
    order = np.random.default_rng(seed).permutation(len(y))
    return sum(y[i] == y[j] for i, j in enumerate(order)) / len(y)


# Metrics of a classifier, from counts of right and wrong answers ----------------------------------

#: For how many of the likeliest topics `to_dict` tells how often the true one is among them.
TOP = (2, 3, 5, 10)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a classifier got right on documents it had not seen.

    Attributes
    ----------
    topics : list of str
        Names, in the order of the rows and columns of `confusion`.
    confusion : int64 array, shape (n_topics, n_topics)
        Row: the true topic; column: the predicted one.
    log_loss : float
        Mean of -ln(probability given to the true topic), in nats.
    answers : Answers or None
        What was said of each document. Without them, all that is about probabilities is NaN.
    seed : int
        Of the intervals that come of a bootstrap.
    """

    topics: list[str]
    confusion: I64
    log_loss: float
    answers: Predictions | None = field(default=None, compare=False)
    seed: int = 0

    @classmethod
    def of(
        cls,
        topics: Sequence[str],
        y_true: I64,
        proba: Floats,
        *,
        seed: int = 0,
    ) -> Evaluation:
        """Return the evaluation of probabilities.

        Parameters
        ----------
        topics : names of the columns of `proba`
            If there are documents of unknown topics, these become one more, "(unknown)".
        y_true : int array, shape (n_documents,)
            True topics, as column numbers; -1 for a topic that the classifier does not know, which
            it can only get wrong.
        proba : float array, shape (n_documents, n_topics)
        seed : int, default 0
            See the attributes.

        Raises
        ------
        DataError : if there are no documents, shapes differ, or a probability is not from 0 to 1.
        """
        if not len(y_true):
            raise DataError("there are no documents to evaluate; give at least one.")
        answers = Predictions.of(y_true, proba)
        n, known = len(topics), answers.true >= 0
        names = list(topics)
        if not known.all():
            names, n = [*names, _unused("(unknown)", names)], n + 1
        pairs = np.where(known, answers.true, n - 1) * n + answers.predicted
        confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
        # In the precision of the probabilities: model files keep every bit of it.
        given = np.where(known, proba[np.arange(len(y_true)), y_true], 0)
        log_loss = float(np.abs(np.log(np.maximum(given, np.finfo(np.float32).tiny))).mean())
        return cls(names, confusion, log_loss, answers, seed)

    def __repr__(self) -> str:
        return format_lines(*self._shown())

    def _repr_html_(self) -> str:
        return format_html_table(*self._shown())

    @property
    def n_documents(self) -> int:
        """Number of documents that were classified."""
        return int(self.confusion.sum())

    @property
    def n_known(self) -> int:
        """Number of topics that the classifier knows: all of `topics`, or all but "(unknown)"."""
        has_unknown = self.answers is not None and bool((self.answers.true < 0).any())
        return len(self.topics) - has_unknown

    @property
    def n_right(self) -> int:
        """Number of documents that got their true topic."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of documents that got their true topic."""
        return self.n_right / self.n_documents

    @property
    def predicted(self) -> list[str]:
        """The topic that each document was given; none without answers."""
        if self.answers is None:
            return []
        return [self.topics[number] for number in self.answers.predicted.tolist()]

    @property
    def interval(self) -> Interval:
        """95 % interval of the accuracy, by Wilson."""
        return wilson(self.n_right, self.n_documents)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the topics that occur, as true or as predicted one; each counts the same."""
        # One by one, and not by `macro_f1`: model files keep every bit of it.
        scores = [figures.f1 for figures in self.per_topic() if not math.isnan(figures.f1)]
        return sum(scores) / len(scores)

    @property
    def macro_f1_interval(self) -> Interval:
        """95 % interval of the macro-F1, by `bootstrap`; that of the accuracy if all is right.

        If many topics have a document or two in the test, it is too narrow.
        """
        return self._f1_intervals[0]

    @property
    def weighted_f1(self) -> float:
        """Mean F1 over topics, each of which counts as often as documents have it."""
        return float(weighted_f1(*self._totals()))

    @property
    def weighted_f1_interval(self) -> Interval:
        """95 % interval of the weighted F1, by bootstrap."""
        return self._f1_intervals[1]

    @property
    def brier_score(self) -> float:
        """Mean over documents of the squared errors of all probabilities: 0, the best, to 2.

        References
        ----------
        Brier (1950), Verification of forecasts expressed in terms of probability: his own form,
        which is twice what some libraries give for two topics.
        """
        return math.nan if self.answers is None else float(self.answers.squared_error.mean())

    @property
    def calibration_error(self) -> float:
        """How far probabilities are from the share of right answers; see `calibration_error`."""
        if self.answers is None:
            return math.nan
        return calibration_error(self.answers.probability, self.answers.right)

    @property
    def chance_error(self) -> float:
        """The calibration error that probabilities without any would have; see `chance_error`."""
        return math.nan if self.answers is None else chance_error(self.reliability())

    def reliability(self) -> list[Bin]:
        """Return probability and share of right answers, bin by bin; none without answers."""
        if self.answers is None:
            return []
        return reliability_curve(self.answers.probability, self.answers.right)

    def coverage(self) -> CoverageCurve | None:
        """Return what is right if only sure answers are given; None without answers."""
        if self.answers is None:
            return None
        return coverage_curve(self.answers.probability, self.answers.right)

    def top_k(self, k: int) -> float:
        """Share of documents whose true topic is among the `k` likeliest; NaN without answers."""
        return math.nan if self.answers is None else self.answers.n_in_top(k) / self.n_documents

    @property
    def top_ks(self) -> list[int]:
        """The numbers `k` of which `top_k` says something: 2, 3, 5, 10, under that of topics."""
        return [k for k in TOP if k < self.n_known] if self.answers is not None else []

    def per_topic(self) -> list[TopicMetrics]:
        """Metrics of each topic, in the order of `topics`."""
        return topic_metrics(self.topics, *self._totals())

    def _totals(self) -> tuple[I64, ...]:
        """Return how many documents of each topic got it, have it, and got it, right or not."""
        return np.diag(self.confusion), self.confusion.sum(axis=1), self.confusion.sum(axis=0)

    @cached_property
    def _f1_intervals(self) -> list[Interval]:
        """Return the intervals of macro-F1 and weighted F1."""
        if self.n_right == self.n_documents:
            # No drawn test set has a mistake either, but that doesn't mean that there are none.
            return [self.interval] * 2
        kinds = np.nonzero(self.confusion)
        # Of thousands of topics, few may occur.
        occurring, places = np.unique(np.concatenate(kinds), return_inverse=True)
        n, (true, predicted) = len(occurring), np.split(places, 2)

        def both(drawn: I64) -> F64:
            totals = (
                count_by_topic(true, drawn * (true == predicted), n),
                count_by_topic(true, drawn, n),
                count_by_topic(predicted, drawn, n),
            )
            return np.stack([macro_f1(*totals), weighted_f1(*totals)], axis=1)

        return bootstrap(self.confusion[kinds], both, seed=self.seed)

    def confusions(self, most: int = 10) -> list[tuple[str, str, int]]:
        """Return the most common mistakes: true topic, predicted topic, how many documents."""
        # Of thousands of topics, most are never taken for most others.
        true, predicted = np.nonzero(self.confusion)
        is_wrong = true != predicted
        true, predicted = true[is_wrong], predicted[is_wrong]
        counts = self.confusion[true, predicted]
        order = np.argsort(-counts, kind="stable")[:most]
        found = zip(true[order], predicted[order], counts[order].tolist(), strict=True)
        return [(self.topics[a], self.topics[b], n) for a, b, n in found]

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain data for JSON; an undefined ratio is None."""
        return {
            "n_documents": self.n_documents,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval),
            "macro_f1": self.macro_f1,
            "macro_f1_interval": list(self.macro_f1_interval),
            "weighted_f1": self.weighted_f1,
            "weighted_f1_interval": list(self.weighted_f1_interval),
            "top_k": [{"k": k, "accuracy": self.top_k(k)} for k in self.top_ks],
            "log_loss": self.log_loss,
            "brier_score": _or_none(self.brier_score),
            "calibration_error": _or_none(self.calibration_error),
            "calibration_error_by_chance": _or_none(self.chance_error),
            "reliability": [
                {"n_documents": b.n_documents, "probability": b.probability, "right": b.share}
                for b in self.reliability()
            ],
            "topics": [
                {
                    "topic": figures.topic,
                    "n_documents": figures.n_documents,
                    "precision": _or_none(figures.precision),
                    "recall": _or_none(figures.recall),
                    "f1": _or_none(figures.f1),
                }
                for figures in self.per_topic()
            ],
            "confusions": [
                {"topic": topic, "predicted": predicted, "n_documents": n}
                for topic, predicted, n in self.confusions()
            ],
        }

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        low, high = self.interval
        rows = [
            ("accuracy", f"{self.accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}"),
            ("macro-F1", f"{self.macro_f1:.3f}, every topic counts the same"),
            ("log loss", f"{self.log_loss:.3f} nats, lower is better"),
        ]
        n_documents, n_topics = self.n_documents, len(self.topics)
        title = f"{counted(n_documents, 'document')} of {counted(n_topics, 'topic')}"
        return f"Evaluation on {title}", rows


def _unused(name: str, names: Sequence[str]) -> str:
    """Return a name in more brackets, if need be, than any of the others."""
    while name in names:
        name = f"({name})"
    return name


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
