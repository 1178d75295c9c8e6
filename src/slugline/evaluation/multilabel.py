"""Metrics of multi-label classifiers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64, Floats, Integers, Mask
from slugline.base.wording import counted
from slugline.corpus.documents import Topics
from slugline.errors import DataError
from slugline.evaluation import probabilities
from slugline.evaluation.evaluation import (
    BaseEvaluation,
    Scores,
    f1_scores,
    none_if_nan,
    precision_recall_f1,
)
from slugline.evaluation.intervals import Interval, bootstrap

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: A tuple of topics for each document.
TopicSets = Sequence[tuple[str, ...]]

# Precision, recall and F1 -------------------------------------------------------------------------


def micro_scores(true: csr_array, predicted: csr_array) -> Scores:
    """Return precision, recall and F1 over all decisions; 0 / 0 counts as 0.

    Parameters
    ----------
    true, predicted : sparse bool arrays, shape (n_documents, n_topics)
        True and predicted topics of each document.
    """
    n_right = np.array(true.multiply(predicted).nnz)
    scores = precision_recall_f1(n_right, np.array(true.nnz), np.array(predicted.nnz))
    return Scores(*(float(score) for score in scores))


def macro_scores(true: csr_array, predicted: csr_array) -> Scores:
    """Return the means over the topics that are true or predicted; 0 without any.

    For a topic, 0 / 0 counts as 0. scikit-learn's `f1_score(average="macro")` also counts topics
    that are neither true nor predicted as 0, unless `labels` excludes them. See `micro_scores` for
    the parameters.
    """
    n_right, n_true, n_predicted = count_decisions(true, predicted, axis=0)
    occurs = n_true + n_predicted > 0
    scores = precision_recall_f1(n_right[occurs], n_true[occurs], n_predicted[occurs])
    return Scores(*(float(score.sum() / max(1, len(score))) for score in scores))


def samples_scores(true: csr_array, predicted: csr_array) -> Scores:
    """Return the means over documents; 0 / 0 counts as 1.

    A document without true or predicted topics is right: its precision, recall and F1 are 1. See
    `micro_scores` for the parameters.
    """
    scores = precision_recall_f1(*count_decisions(true, predicted, axis=1), undefined=1.0)
    return Scores(*(float(score.mean()) for score in scores))


def count_decisions(true: csr_array, predicted: csr_array, axis: int) -> tuple[I64, I64, I64]:
    """Return counts of right, true and predicted topics by topic (axis 0) or document (axis 1)."""
    indicators = true.multiply(predicted), true, predicted
    n_right, n_true, n_predicted = (each.sum(axis=axis, dtype=np.int64) for each in indicators)
    return n_right, n_true, n_predicted


# Rankings -----------------------------------------------------------------------------------------

# Maximum number of probabilities in memory at a time.
_BATCH_SIZE = 1 << 22


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranks of the documents' true topics by probability.

    Attributes
    ----------
    rank : int64 array, shape (n_true,)
        Number of topics ranked above each true topic, ordered by document and then by rank. In a
        tie, the first topic ranks higher.
    document : int64 array, shape (n_true,)
        Document number, from 0, ascending. Documents without true topics aren't numbered.
    """

    rank: I64
    document: I64

    @classmethod
    def from_probabilities(cls, true: csr_array, proba: Floats) -> Ranking:
        """Return the ranks of the true topics by probabilities, shape (n_documents, n_topics).

        `true` may have more columns: topics unknown to the classifier rank last.
        """
        rows = np.repeat(np.arange(true.shape[0]), np.diff(true.indptr))
        columns, n_topics = true.indices, proba.shape[1]
        # Unknown topics keep their columns as ranks, after all known topics.
        rank = columns.astype(np.int64)
        (in_range,) = np.nonzero(columns < n_topics)
        step = max(1, _BATCH_SIZE // max(1, n_topics))
        for part in np.split(in_range, range(step, len(in_range), step)):
            column = columns[part, np.newaxis]
            row_proba = proba[rows[part]]
            true_proba = np.take_along_axis(row_proba, column, axis=1)
            is_before = np.arange(n_topics) < column
            is_above = (row_proba > true_proba) | ((row_proba == true_proba) & is_before)
            rank[part] = np.count_nonzero(is_above, axis=1)
        order = np.lexsort((rank, rows))
        _, document = np.unique(rows, return_inverse=True)
        return cls(rank[order], document.astype(np.int64))

    @property
    def n_true(self) -> I64:
        """Number of true topics of each document."""
        return np.bincount(self.document)

    def precision_at(self, k: int) -> float:
        """Return the mean fraction of true topics among the `k` most probable ones."""
        return self._mean((self.rank < k) / k)

    def ndcg_at(self, k: int) -> float:
        """Return the mean normalized discounted cumulative gain of the `k` most probable topics.

        A true topic of rank r, from 0, gains 1 / log2(r + 2); the sum is divided by its maximum.

        References
        ----------
        Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques.
        """
        gains = np.where(self.rank < k, 1 / np.log2(self.rank + 2.0), 0)
        best = np.cumsum(1 / np.log2(np.arange(k) + 2))
        return self._mean(gains / best[np.minimum(self.n_true, k) - 1][self.document])

    @property
    def average_precision(self) -> float:
        """Label ranking average precision: the mean precision at the rank of each true topic."""
        n_true = self.n_true
        first = np.cumsum(n_true) - n_true
        place = np.arange(len(self.rank)) - first[self.document]
        return self._mean((place + 1) / (self.rank + 1) / n_true[self.document])

    def _mean(self, gains: F64) -> float:
        """Return the sum of gains per document, or NaN without documents."""
        return float(gains.sum() / len(self.n_true)) if len(self.rank) else math.nan


# Evaluation ---------------------------------------------------------------------------------------

#: Values of `k` for precision and nDCG in `to_dict`.
TOP_KS = (1, 3, 5)
# Calibration ignores topics up to this probability, because nearly all topics of a document are
# clearly wrong.
_MIN_PROBABILITY = 0.05


class TopicPair(NamedTuple):
    """Two topics that co-occur as true or as predicted topics."""

    first: str
    second: str
    n_true: int
    n_predicted: int


class TopicMistake(NamedTuple):
    """A missed or wrongly predicted topic of a document."""

    # Document number, from 0.
    row: int
    topic: str
    probability: float


@dataclass(frozen=True, repr=False)
class MultilabelEvaluation(BaseEvaluation):
    """Metrics of a multi-label classifier on test documents.

    Attributes
    ----------
    topics : list of str
        Names of the columns of `true` and `answered`; topics unknown to the classifier come last.
    true, answered : sparse bool arrays, shape (n_documents, n_topics)
        True and predicted topics of each document.
    proba : float array, shape (n_documents, n_known)
    thresholds : float array, shape (n_known,), or None
        Minimum probability to predict each topic; None if the most likely path is predicted.
    seed : int
        Seed of bootstrap intervals.
    separator : str or None
        Separator of topic paths, or None if topics are not paths.
    """

    topics: list[str]
    true: csr_array = field(compare=False)
    answered: csr_array = field(compare=False)
    proba: Floats = field(compare=False)
    thresholds: Floats | None = field(compare=False)
    seed: int = 0
    separator: str | None = None

    @classmethod
    def from_probabilities(
        cls,
        topics: Sequence[str],
        y_true: TopicSets,
        proba: Floats,
        thresholds: Floats | None,
        *,
        answered: Mask | None = None,
        seed: int = 0,
        separator: str | None = None,
    ) -> MultilabelEvaluation:
        """Return the evaluation of probabilities.

        Parameters
        ----------
        topics : sequence of str
            Names of the columns of `proba`.
        y_true : sequence of tuples of str
            Topics of each document. Topics unknown to the classifier count as missed.
        proba : float array, shape (n_documents, n_topics)
        thresholds : float array, shape (n_topics,), or None
            None if topics aren't predicted by thresholds; requires `answered`.
        answered : bool array, shape (n_documents, n_topics), optional
            Predicted topics. By default, topics whose probabilities reach the thresholds.
        seed : int, default 0
        separator : str, optional

        Raises
        ------
        DataError : if there are no documents, shapes differ, or a probability is not between 0 and
            1.
        """
        from scipy.sparse import csr_array

        if not len(y_true):
            raise DataError("no documents to evaluate; pass at least one.")
        thresholds_shape = (len(topics),) if thresholds is None else thresholds.shape
        if proba.shape != (len(y_true), len(topics)) or thresholds_shape != (len(topics),):
            raise DataError(
                f"there are {counted(len(y_true), 'document')}, {counted(len(topics), 'topic')}, "
                f"probabilities of shape {proba.shape} and thresholds of shape "
                f"{thresholds_shape}; pass a row of probabilities for each document, and a column "
                "and a threshold for each topic."
            )
        probabilities.check_probabilities(proba)
        if answered is None:
            answered = proba >= np.asarray(thresholds)
        names = [*topics, *sorted({*itertools.chain(*y_true)} - {*topics})]
        true = Topics(names).encode_sets(y_true, bool)
        given = csr_array(answered)
        given.resize(len(y_true), len(names))
        return cls(names, true, given, proba, thresholds, seed, separator)

    @classmethod
    def from_answers(
        cls, topics: Sequence[str], true: csr_array, answered: csr_array
    ) -> MultilabelEvaluation:
        """Return the evaluation of answers without probabilities; see the class."""
        proba = np.broadcast_to(np.float32(np.nan), true.shape)
        return cls([*topics], true, answered, proba, proba[0])

    @property
    def n_documents(self) -> int:
        """Number of test documents."""
        return int(self.true.shape[0])

    @property
    def n_known(self) -> int:
        """Number of topics known to the classifier."""
        return self.proba.shape[1]

    @property
    def predicted(self) -> list[tuple[str, ...]]:
        """Predicted topics of each document, in the order of `topics`."""
        columns = np.split(self.answered.indices, self.answered.indptr[1:-1])
        return [tuple(self.topics[column] for column in row.tolist()) for row in columns]

    @property
    def right(self) -> Mask:
        """Mask of documents whose predicted topics are exactly the true ones."""
        return equal_rows(self.true, self.answered)

    @property
    def n_right(self) -> int:
        """Number of documents whose predicted topics are exactly the true ones."""
        return int(np.count_nonzero(self.right))

    @cached_property
    def micro(self) -> Scores:
        """Precision, recall and F1 over all decisions; see `micro_scores`."""
        return micro_scores(self.true, self.answered)

    @cached_property
    def macro(self) -> Scores:
        """Means over the classifier's topics that are true or predicted; see `macro_scores`."""
        return macro_scores(self.true[:, : self.n_known], self.answered[:, : self.n_known])

    @cached_property
    def samples(self) -> Scores:
        """Means over documents; see `samples_scores`."""
        return samples_scores(self.true, self.answered)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classifier's topics that are true or predicted."""
        return float(self.macro.f1)

    @cached_property
    def f1_intervals(self) -> tuple[Interval, Interval, Interval]:
        """95 % intervals of micro-, macro- and per-document F1, by a bootstrap of documents.

        If all answers are right, each is the interval of the exact match.
        """
        if self.n_right == self.n_documents:
            return (self.interval,) * 3
        rows, counts = count_kinds(self.true, self.answered)
        scores = ResampledF1(
            self.true[rows], self.answered[rows], np.arange(len(self.topics)) < self.n_known
        )
        micro, macro, samples = bootstrap(counts, scores, seed=self.seed)
        return micro, macro, samples

    @property
    def hamming_loss(self) -> float:
        """Fraction of wrong decisions over all pairs of a document and a topic."""
        return float((self.true != self.answered).nnz / np.prod(self.true.shape))

    @cached_property
    def ranking(self) -> Ranking:
        """Ranks of the true topics."""
        return Ranking.from_probabilities(self.true, self.proba)

    @property
    def top_ks(self) -> list[int]:
        """Values of `TOP_KS` up to the number of topics."""
        return [k for k in TOP_KS if k <= self.n_known]

    @cached_property
    def _decisions(self) -> tuple[Floats, Mask]:
        """Probabilities over 0.05, and a mask of the true topics."""
        rows, columns = np.nonzero(self.proba > _MIN_PROBABILITY)
        return self.proba[rows, columns], _look_up(self.true, rows, columns)

    @property
    def _answers(self) -> tuple[Floats, Mask]:
        rows, columns = self.answered.nonzero()
        return self.proba[rows, columns], _look_up(self.true, rows, columns)

    def _topic_counts(self) -> tuple[I64, I64, I64]:
        return count_decisions(self.true, self.answered, axis=0)

    def levels(self) -> list[tuple[int, int, Scores]]:
        """Return each depth of the paths, from 1, with its number of topics and micro-averages."""
        if self.separator is None:
            return []
        depth = np.array([topic.count(self.separator) for topic in self.topics]) + 1
        parts = [np.flatnonzero(depth == n) for n in range(1, depth.max() + 1)]
        scores = (micro_scores(self.true[:, part], self.answered[:, part]) for part in parts)
        return list(zip(itertools.count(1), map(len, parts), scores, strict=False))

    def pairs(self, max_pairs: int = 10) -> list[TopicPair]:
        """Return the most common pairs of co-occurring true or predicted topics."""
        from scipy.sparse import triu

        n_true = self.true.astype(np.int64).T @ self.true
        n_given = self.answered.astype(np.int64).T @ self.answered
        larger = triu(n_true.maximum(n_given), k=1).tocoo()
        order = np.argsort(-larger.data, kind="stable")[:max_pairs]
        return [
            TopicPair(self.topics[a], self.topics[b], int(n_true[a, b]), int(n_given[a, b]))
            for a, b in zip(larger.row[order].tolist(), larger.col[order].tolist(), strict=True)
        ]

    def missed(self, max_mistakes: int | None = None) -> list[TopicMistake]:
        """Return missed topics, least probable first."""
        return self._mistakes(self.true > self.answered, max_mistakes, ascending=True)

    def added(self, max_mistakes: int | None = None) -> list[TopicMistake]:
        """Return wrongly predicted topics, most probable first."""
        return self._mistakes(self.answered > self.true, max_mistakes, ascending=False)

    def _mistakes(
        self, wrong: csr_array, max_mistakes: int | None, *, ascending: bool
    ) -> list[TopicMistake]:
        """Return the mistakes in an indicator matrix, sorted by probability."""
        rows, columns = wrong.nonzero()
        proba = np.zeros(len(rows))
        is_known = columns < self.n_known
        proba[is_known] = self.proba[rows[is_known], columns[is_known]]
        order = np.argsort(proba if ascending else -proba, kind="stable")[:max_mistakes]
        names = [self.topics[column] for column in columns[order].tolist()]
        mistakes = zip(rows[order].tolist(), names, proba[order].tolist(), strict=True)
        return [TopicMistake(*mistake) for mistake in mistakes]

    def thresholds_by_topic(self) -> dict[str, float]:
        """Return the thresholds of topics that have one."""
        values = [] if self.thresholds is None else self.thresholds.tolist()
        return dict(zip(self.topics, values, strict=False))

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain data for JSON; an undefined ratio is None."""
        averages = {"micro": self.micro, "macro": self.macro, "samples": self.samples}
        levels = [
            {"depth": depth, "n_topics": n_topics} | scores._asdict()
            for depth, n_topics, scores in self.levels()
        ]
        thresholds = self.thresholds_by_topic()
        return {
            "n_documents": self.n_documents,
            "exact_match": self.accuracy,
            "exact_match_interval": list(self.interval),
            **{
                name: scores._asdict() | {"f1_interval": list(interval)}
                for (name, scores), interval in zip(
                    averages.items(), self.f1_intervals, strict=True
                )
            },
            "hamming_loss": self.hamming_loss,
            "top_k": [
                {
                    "k": k,
                    "precision": none_if_nan(self.ranking.precision_at(k)),
                    "ndcg": none_if_nan(self.ranking.ndcg_at(k)),
                }
                for k in self.top_ks
            ],
            "ranking_average_precision": none_if_nan(self.ranking.average_precision),
            "calibration_error": none_if_nan(self.calibration_error),
            "calibration_error_by_chance": none_if_nan(self.chance_error),
            "reliability": [
                {
                    "n_decisions": b.n_documents,
                    "probability": b.probability,
                    "right": b.fraction_right,
                }
                for b in self.reliability()
            ],
            "topics": [
                topic.to_dict() | {"threshold": thresholds.get(topic.topic)}
                for topic in self.per_topic()
            ],
            "pairs": [pair._asdict() for pair in self.pairs()],
            **({"levels": levels} if levels else {}),
        }

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [
            ("micro-F1", f"{self.micro.f1:.3f}, {self.f1_intervals[0]}"),
            ("macro-F1", f"{self.macro.f1:.3f}, every topic counts the same"),
            ("per document", f"{self.samples.f1:.3f}, every document counts the same"),
            ("exact match", f"{self.accuracy:.3f} of the documents have all topics right"),
        ]
        title = f"{counted(self.n_documents, 'document')} of {counted(len(self.topics), 'topic')}"
        return f"Evaluation on {title}, multi-label", rows


# Indicators ---------------------------------------------------------------------------------------


def equal_rows(first: csr_array, second: csr_array) -> Mask:
    """Return a mask of documents with the same topics in two indicator matrices, (n_documents,)."""
    return np.diff((first != second).tocsr().indptr) == 0


def _look_up(indicators: csr_array, rows: Integers, columns: Integers) -> Mask:
    """Return the values of an indicator matrix at many positions."""
    keys = np.repeat(np.arange(indicators.shape[0]), np.diff(indicators.indptr))
    n_columns = indicators.shape[1]
    return np.isin(rows * n_columns + columns, keys * n_columns + indicators.indices)


def count_kinds(*indicators: csr_array) -> tuple[I64, I64]:
    """Return a row of each kind of document, and the number of documents of each kind.

    Documents of a kind have the same topics in each indicator matrix, a sorted CSR array.
    """
    first: dict[tuple[bytes, ...], list[int]] = {}
    rows = [np.split(part.indices, part.indptr[1:-1]) for part in indicators]
    for row, parts in enumerate(zip(*rows, strict=True)):
        first.setdefault(tuple(part.tobytes() for part in parts), [row, 0])[1] += 1
    pairs = np.array([*first.values()], dtype=np.int64)
    return pairs[:, 0], pairs[:, 1]


class ResampledF1:
    """Micro-, macro- and per-document F1 of test sets, from the number of documents of each kind.

    As in `macro_scores`, the mean excludes topics that a test set lacks. Counting them as 0 would
    lower the macro-F1 of every resample.

    Parameters
    ----------
    true, predicted : sparse bool arrays, shape (n_kinds, n_topics)
    is_averaged : bool array, shape (n_topics,)
        Topics over which macro-F1 is averaged.
    """

    def __init__(self, true: csr_array, predicted: csr_array, is_averaged: Mask) -> None:
        parts = (true.multiply(predicted), true, predicted)
        self._parts = [part.astype(np.int64) for part in parts]
        self._sizes = [part.sum(axis=1) for part in self._parts]
        n_right, n_true, n_predicted = self._sizes
        self._f1 = f1_scores(n_right, n_true, n_predicted, undefined=1.0)
        self._is_averaged = is_averaged

    def __call__(self, counts: I64) -> F64:
        """Return scores, shape (n_sets, 3), for counts, shape (n_sets, n_kinds)."""
        micro = f1_scores(*(counts @ sizes for sizes in self._sizes))
        totals = [(part.T @ counts.T)[self._is_averaged] for part in self._parts]
        n_occurring = np.count_nonzero(totals[1] + totals[2], axis=0)
        macro = f1_scores(*totals).sum(axis=0) / np.maximum(n_occurring, 1)
        samples = counts @ self._f1 / counts.sum(axis=1)
        return np.stack([micro, macro, samples], axis=1)
