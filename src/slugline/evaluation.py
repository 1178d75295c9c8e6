"""Metrics of a classifier, from counts of right and wrong answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.checks import check_whole
from slugline.displays import as_lines, as_table, counted
from slugline.errors import DataError

__all__ = [
    "Z_95",
    "Evaluation",
    "TopicFigures",
    "calibration_error",
    "majority_baseline",
    "shuffled_baseline",
    "wilson",
]

#: Standard errors from the mean to the ends of a 95 % interval.
Z_95 = 1.959964
# By how much float32 may miss the 1 that probabilities sum to.
_ROUNDED = 1e-5


@dataclass(frozen=True, slots=True)
class TopicFigures:
    """One topic's metrics; a ratio with nothing to divide by is NaN."""

    topic: str
    n_documents: int
    precision: float
    recall: float
    f1: float


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
    """

    topics: list[str]
    confusion: npt.NDArray[np.int64]
    log_loss: float

    @classmethod
    def of(
        cls, topics: Sequence[str], y_true: npt.NDArray[np.int64], proba: npt.NDArray[np.floating]
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
        """
        if not len(y_true):
            raise DataError("there are no documents to evaluate; give at least one.")
        n = len(topics)
        known = y_true >= 0
        predicted = proba.argmax(axis=1)
        names = list(topics)
        if not known.all():
            names, n = [*names, _unused("(unknown)", names)], n + 1
        pairs = np.where(known, y_true, n - 1) * n + predicted
        confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
        given = np.where(known, proba[np.arange(len(y_true)), y_true], 0)
        tiny = np.finfo(np.float32).tiny
        return cls(names, confusion, float(np.abs(np.log(np.maximum(given, tiny))).mean()))

    def __repr__(self) -> str:
        return as_lines(*self._shown())

    def _repr_html_(self) -> str:
        return as_table(*self._shown())

    @property
    def n_documents(self) -> int:
        """Number of documents that were classified."""
        return int(self.confusion.sum())

    @property
    def n_right(self) -> int:
        """Number of documents that got their true topic."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of documents that got their true topic."""
        return self.n_right / self.n_documents

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson(self.n_right, self.n_documents)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the topics that occur, as true or as predicted one; each counts the same."""
        scores = [0.0 if math.isnan(f.f1) else f.f1 for f in self.per_topic() if self._occurs(f)]
        return sum(scores) / len(scores)

    def per_topic(self) -> list[TopicFigures]:
        """Metrics of each topic, in the order of `topics`."""
        right = np.diag(self.confusion)
        true = self.confusion.sum(axis=1)
        predicted = self.confusion.sum(axis=0)
        return [
            TopicFigures(name, int(t), _ratio(r, p), _ratio(r, t), _ratio(2 * r, p + t))
            for name, r, t, p in zip(self.topics, right, true, predicted, strict=True)
        ]

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
            "log_loss": self.log_loss,
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

    def _occurs(self, figures: TopicFigures) -> bool:
        return figures.n_documents > 0 or not math.isnan(figures.precision)


def _unused(name: str, names: Sequence[str]) -> str:
    """Return a name in more brackets, if need be, than any of the others."""
    while name in names:
        name = f"({name})"
    return name


def majority_baseline(y_train: Sequence[Any], y_test: Sequence[Any]) -> tuple[Any, float]:
    """Return the most common topic of `y_train`, and the accuracy of always answering it."""
    topic = Counter(y_train).most_common(1)[0][0]
    return topic, sum(y == topic for y in y_test) / len(y_test)


def shuffled_baseline(y: Sequence[Any], seed: int) -> float:
    """Return the accuracy of answering with the true topics in random order, as the lesson does."""
    order = np.random.default_rng(seed).permutation(len(y))
    return sum(y[i] == y[j] for i, j in enumerate(order)) / len(y)


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    share, z2 = n_right / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def calibration_error(proba_top: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = 15) -> float:
    """Return how far probabilities are from the share of right answers, on average.

    Answers are sorted by probability and divided into bins with the same number of answers. In each
    bin, the mean probability is compared with the share that is right. Answers of the same
    probability count alike, so that the order of the documents doesn't matter.

    Parameters
    ----------
    proba_top : float array, shape (n_documents,)
        Probability that each document's most likely topic was given.
    correct : bool array, shape (n_documents,)
        Whether that topic is the true one.
    n_bins : int, default 15
        With fewer documents than that, each has a bin of its own.

    Returns
    -------
    float from 0 to 1: the mean of the absolute differences, each bin weighed by its documents.

    Raises
    ------
    DataError : if there are no documents, not one of both for each, or a number out of 0 to 1.

    References
    ----------
    Nixon et al. (2019), Measuring calibration in deep learning: bins of equal mass.
    """
    check_whole("n_bins", n_bins, 1)
    proba = np.asarray(proba_top, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if proba.ndim != 1 or proba.shape != right.shape or not proba.size:
        raise DataError(
            f"there are probabilities of shape {proba.shape} and answers of shape {right.shape}; "
            "give one probability for each answer, and at least one."
        )
    if not ((proba >= 0) & (proba <= 1 + _ROUNDED)).all():
        raise DataError("a probability is not between 0 and 1; give those of `predict_proba`.")
    values, alike, counts = np.unique(proba, return_inverse=True, return_counts=True)
    right = (np.bincount(alike, right) / counts)[alike]
    order = np.argsort(proba, kind="stable")
    gaps = np.array_split(values[alike][order] - right[order], min(n_bins, proba.size))
    return float(sum(abs(gap.sum()) for gap in gaps) / proba.size)


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
