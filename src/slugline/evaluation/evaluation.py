"""Metrics of a classifier, from its probabilities for test documents."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64, Floats, Integers, Mask
from slugline.base.wording import TitledRows, counted
from slugline.errors import DataError
from slugline.evaluation import probabilities
from slugline.evaluation.intervals import Interval, bootstrap, wilson

# Precision, recall and F1 -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopicMetrics:
    """Metrics of a topic; 0 / 0 is NaN."""

    topic: str
    n_documents: int
    precision: float
    recall: float
    f1: float

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain data for JSON; an undefined ratio is None."""
        return {name: none_if_nan(value) for name, value in asdict(self).items()}


def topic_metrics(
    topics: Sequence[str], right: Integers, true: Integers, predicted: Integers
) -> list[TopicMetrics]:
    """Return the metrics of each topic.

    Parameters
    ----------
    topics : names
    right, true, predicted : int arrays, shape (n_topics,)
        Number of true positives, of documents with the topic, and of documents predicted to have
        it.
    """
    scores = precision_recall_f1(right, true, predicted, undefined=math.nan)
    columns = (column.tolist() for column in (true, *scores))
    return [TopicMetrics(*row) for row in zip(topics, *columns, strict=True)]


class Scores(NamedTuple):
    """Precision, recall and F1: averages, or arrays with one value per topic or document."""

    precision: Any
    recall: Any
    f1: Any


def precision_recall_f1(
    right: Integers, true: Integers, predicted: Integers, undefined: float = 0.0
) -> Scores:
    """Return precision, recall and F1 from counts of decisions; 0 / 0 becomes `undefined`.

    Parameters
    ----------
    right, true, predicted : int arrays of one shape
        Number of topics that are both predicted and true, true, and predicted.
    undefined : float, default 0
        Same as scikit-learn's `zero_division`.
    """
    return Scores(
        _ratio(right, predicted, undefined),
        _ratio(right, true, undefined),
        f1_scores(right, true, predicted, undefined),
    )


def f1_scores(right: Integers, true: Integers, predicted: Integers, undefined: float = 0.0) -> F64:
    """Return F1, the harmonic mean of precision and recall; see `precision_recall_f1`."""
    return _ratio(2 * right, true + predicted, undefined)


def count_by_topic(
    true: Integers, predicted: Integers, counts: Integers
) -> tuple[Integers, Integers, Integers]:
    """Return counts of right, true and predicted documents by topic, each (n_sets, n_topics).

    Parameters
    ----------
    true, predicted : int arrays, shape (n_kinds,)
        True and predicted topic of each kind of document.
    counts : int array, shape (n_sets, n_kinds)
        Number of documents of each kind in each test set.
    """
    from scipy.sparse import csr_array

    shape = len(true), int(max(true.max(), predicted.max())) + 1

    def total(topics: Integers, counts: Integers) -> Integers:
        ones, rows = np.ones_like(topics), np.arange(len(topics))
        indicators = csr_array((ones, (rows, topics)), shape=shape)
        return (indicators.T @ counts.T).T

    return total(true, counts * (true == predicted)), total(true, counts), total(predicted, counts)


def macro_f1(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return the mean F1 of the topics that are true or predicted, over the last axis.

    See `topic_metrics` for the parameters; here, their shape is (..., n_topics).
    """
    n_occurring = np.count_nonzero(true + predicted, axis=-1)
    return f1_scores(right, true, predicted).sum(axis=-1) / n_occurring


def weighted_f1(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return the mean F1 weighted by the number of documents that have each topic."""
    scores = f1_scores(right, true, predicted)
    return (scores * true).sum(axis=-1) / true.sum(axis=-1)


def _ratio(part: Integers, whole: Integers, undefined: float) -> F64:
    return np.divide(part, whole, out=np.full(np.shape(part), undefined), where=whole > 0)


# Predictions --------------------------------------------------------------------------------------

# Number of probabilities converted to float64 at a time.
_BATCH_SIZE = 1 << 22


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """Predictions for test documents, in arrays of shape (n_documents,).

    Attributes
    ----------
    true : int array
        Index of the true topic; -1 if it is unknown to the classifier.
    predicted : int array
        Index of the most probable topic; the first one in case of a tie.
    probability : float array
        Probability of the predicted topic.
    n_above : int array
        Number of topics ranked above the true one; the number of topics if it is unknown.
    squared_error : float array
        Squared difference between the probability and 1 (true topic) or 0 (other topics), summed
        over topics: 0 to 2. An unknown true topic counts as an additional topic of probability 0.
    """

    true: I64
    predicted: I64
    probability: F64
    n_above: I64
    squared_error: F64

    @classmethod
    def from_probabilities(cls, y_true: Integers, proba: Floats) -> ScoredPredictions:
        """Return predictions from probabilities, shape (n_documents, n_topics).

        Raises DataError if shapes differ, a topic has no column, or a probability is not between 0
        and 1.
        """
        if proba.ndim != 2 or y_true.shape != (len(proba),):
            raise DataError(
                f"the topics have shape {y_true.shape}, but the probabilities have shape "
                f"{proba.shape}; pass a topic and a row of probabilities for each document."
            )
        if not ((y_true >= -1) & (y_true < proba.shape[1])).all():
            raise DataError(
                f"the topics range from {y_true.min()} to {y_true.max()}, but there are "
                f"{proba.shape[1]} columns; pass each topic as its column index, or -1."
            )
        step = max(1, _BATCH_SIZE // max(1, proba.shape[1]))
        starts = range(0, len(y_true), step)
        parts = [_predict_part(y_true[i : i + step], proba[i : i + step]) for i in starts]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @property
    def right(self) -> Mask:
        """Mask of correct predictions."""
        return self.true == self.predicted


def _predict_part(y_true: Integers, raw_proba: Floats) -> tuple[npt.NDArray[np.generic], ...]:
    true, proba = np.asarray(y_true, dtype=np.int64), raw_proba.astype(np.float64)
    probabilities.check_probabilities(proba)
    rows, is_known = np.arange(len(true)), true >= 0
    predicted = proba.argmax(axis=1)
    true_proba = np.where(is_known, proba[rows, true], 0.0)
    # Ties rank in column order, as in a stable sort.
    is_before = np.arange(proba.shape[1]) < true[:, np.newaxis]
    column = true_proba[:, np.newaxis]
    is_above = (proba > column) | ((proba == column) & is_before)
    n_above = np.where(is_known, is_above.sum(axis=1), proba.shape[1])
    squared_error = np.einsum("ij,ij->i", proba, proba) - 2 * true_proba + 1
    return true, predicted, proba[rows, predicted], n_above, squared_error


# Baselines ----------------------------------------------------------------------------------------


def majority_baseline(y_train: Sequence[Any], y_test: Sequence[Any]) -> tuple[Any, float]:
    """Return the most common topic of `y_train`, and the accuracy of always predicting it."""
    topic = Counter(y_train).most_common(1)[0][0]
    return topic, sum(y == topic for y in y_test) / len(y_test)


def chance_baseline(y: Sequence[Any]) -> float:
    """Return the mean accuracy of predicting a random permutation of the true topics.

    >>> chance_baseline(["sport", "sport", "arts", "money"])
    0.375
    """
    return sum(n**2 for n in Counter(y).values()) / len(y) ** 2


def shuffled_baseline(y: Sequence[Any], seed: int) -> float:
    """Return the accuracy of predicting the true topics in random order, as in the lesson."""
    order = np.random.default_rng(seed).permutation(len(y))
    return sum(y[i] == y[j] for i, j in enumerate(order)) / len(y)


# Evaluation ---------------------------------------------------------------------------------------

#: Values of `k` for `Evaluation.top_k` in `to_dict`.
TOP_KS = (2, 3, 5, 10)


class BaseEvaluation(TitledRows, ABC):
    """Metrics common to single-label and multi-label evaluations."""

    topics: list[str]

    @property
    @abstractmethod
    def n_documents(self) -> int:
        """Number of test documents."""

    @property
    @abstractmethod
    def n_right(self) -> int:
        """Number of documents whose predicted topics are exactly the true ones."""

    @property
    def accuracy(self) -> float:
        """Fraction of documents whose predicted topics are exactly the true ones."""
        return self.n_right / self.n_documents

    @property
    def interval(self) -> Interval:
        """95 % Wilson interval of the accuracy."""
        return wilson(self.n_right, self.n_documents)

    def per_topic(self) -> list[TopicMetrics]:
        """Return the metrics of each topic, in the order of `topics`."""
        return topic_metrics(self.topics, *self._topic_counts())

    @abstractmethod
    def _topic_counts(self) -> tuple[I64, I64, I64]:
        """Return counts of right, true and predicted documents by topic; see `topic_metrics`."""

    @property
    @abstractmethod
    def _decisions(self) -> tuple[Floats, Mask]:
        """Probabilities used to measure calibration, and a mask of the correct topics."""

    @property
    def _answers(self) -> tuple[Floats, Mask]:
        """Probabilities of predicted topics, and a mask of the correct ones."""
        return self._decisions

    @property
    def calibration_error(self) -> float:
        """Mean gap between probability and accuracy of decisions; see `calibration_error`."""
        proba, right = self._decisions
        return probabilities.calibration_error(proba, right) if len(proba) else math.nan

    @property
    def chance_error(self) -> float:
        """Expected calibration error of perfect probabilities; see `chance_error`."""
        bins = self.reliability()
        return probabilities.chance_error(bins) if bins else math.nan

    def reliability(self) -> list[probabilities.Bin]:
        """Return the bins of `reliability_curve`; empty if there are no decisions."""
        proba, right = self._decisions
        return probabilities.reliability_curve(proba, right) if len(proba) else []

    def coverage(self) -> probabilities.CoverageCurve | None:
        """Return the `coverage_curve` of predicted topics, if any."""
        proba, right = self._answers
        return probabilities.coverage_curve(proba, right) if len(proba) else None


@dataclass(frozen=True, repr=False)
class Evaluation(BaseEvaluation):
    """Metrics of a classifier on test documents.

    Attributes
    ----------
    topics : list of str
        Names of topics, in the order of the rows and columns of `confusion`.
    confusion : int64 array, shape (n_topics, n_topics)
        Rows are true topics, columns are predicted ones.
    log_loss : float
        Mean of -ln(probability of the true topic), in nats.
    predictions : ScoredPredictions or None
        If None, metrics of probabilities are NaN.
    seed : int
        Seed of bootstrap intervals.
    """

    topics: list[str]
    confusion: I64
    log_loss: float
    predictions: ScoredPredictions | None = field(default=None, compare=False)
    seed: int = 0

    @classmethod
    def from_probabilities(
        cls, topics: Sequence[str], y_true: I64, proba: Floats, *, seed: int = 0
    ) -> Evaluation:
        """Return the evaluation of a classifier from its probabilities.

        Parameters
        ----------
        topics : sequence of str
            Names of the columns of `proba`. Unknown topics are merged into an additional topic,
            "(unknown)".
        y_true : int array, shape (n_documents,)
            Columns of the true topics; -1 for topics unknown to the classifier.
        proba : float array, shape (n_documents, n_topics)
        seed : int, default 0

        Raises
        ------
        DataError : if there are no documents, shapes differ, or a probability is not between 0 and
            1.
        """
        if not len(y_true):
            raise DataError("no documents to evaluate; pass at least one.")
        predictions = ScoredPredictions.from_probabilities(y_true, proba)
        n, is_known = len(topics), predictions.true >= 0
        names = list(topics)
        if not is_known.all():
            names, n = [*names, _unused("(unknown)", names)], n + 1
        pairs = np.where(is_known, predictions.true, n - 1) * n + predictions.predicted
        confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
        # In the precision of the probabilities, because model files store all bits of the loss.
        true_proba = np.where(is_known, proba[np.arange(len(y_true)), y_true], 0)
        log_loss = float(np.abs(np.log(np.maximum(true_proba, np.finfo(np.float32).tiny))).mean())
        return cls(names, confusion, log_loss, predictions, seed)

    @property
    def n_documents(self) -> int:
        """Number of test documents."""
        return int(self.confusion.sum())

    @property
    def n_known(self) -> int:
        """Number of topics known to the classifier, without "(unknown)"."""
        has_unknown = self.predictions is not None and bool((self.predictions.true < 0).any())
        return len(self.topics) - has_unknown

    @property
    def n_right(self) -> int:
        """Number of right predictions."""
        return int(np.trace(self.confusion))

    @property
    def predicted(self) -> list[str]:
        """The predicted topic of each document; empty without predictions."""
        if self.predictions is None:
            return []
        return [self.topics[number] for number in self.predictions.predicted.tolist()]

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the topics that are true or predicted."""
        # The function `macro_f1` sums in another order, and model files store all bits.
        scores = [topic.f1 for topic in self.per_topic() if not math.isnan(topic.f1)]
        return sum(scores) / len(scores)

    @property
    def macro_f1_interval(self) -> Interval:
        """95 % interval of the macro-F1, by `bootstrap`, or Wilson's if all answers are right.

        Too narrow if many topics have one or two test documents.
        """
        return self._f1_intervals[0]

    @property
    def weighted_f1(self) -> float:
        """Mean F1 weighted by the number of documents that have each topic."""
        return float(weighted_f1(*self._topic_counts()))

    @property
    def weighted_f1_interval(self) -> Interval:
        """95 % interval of the weighted F1, by `bootstrap`."""
        return self._f1_intervals[1]

    @property
    def brier_score(self) -> float:
        """Mean squared error of each document's probabilities, summed over topics: 0 to 2.

        Some libraries halve it for two topics.

        References
        ----------
        Brier (1950), Verification of forecasts expressed in terms of probability.
        """
        predictions = self.predictions
        return math.nan if predictions is None else float(predictions.squared_error.mean())

    @property
    def _decisions(self) -> tuple[F64, Mask]:
        if self.predictions is None:
            return np.zeros(0), np.zeros(0, dtype=bool)
        return self.predictions.probability, self.predictions.right

    def top_k(self, k: int) -> float:
        """Return the fraction of documents whose true topic is among the `k` most probable."""
        if self.predictions is None:
            return math.nan
        is_in_top = (self.predictions.n_above < k) & (self.predictions.true >= 0)
        return np.count_nonzero(is_in_top) / self.n_documents

    @property
    def top_ks(self) -> list[int]:
        """Values of `TOP_KS` below the number of topics; empty without predictions."""
        return [k for k in TOP_KS if k < self.n_known] if self.predictions is not None else []

    def _topic_counts(self) -> tuple[I64, I64, I64]:
        return np.diag(self.confusion), self.confusion.sum(axis=1), self.confusion.sum(axis=0)

    @cached_property
    def _f1_intervals(self) -> list[Interval]:
        """The intervals of macro-F1 and weighted F1."""
        if self.n_right == self.n_documents:
            # Resamples without mistakes would give intervals of zero width.
            return [self.interval] * 2
        kinds = np.nonzero(self.confusion)
        # With thousands of topics, only a few may occur.
        _, codes = np.unique(np.concatenate(kinds), return_inverse=True)
        true, predicted = np.split(codes, 2)

        def f1_means(counts: I64) -> F64:
            totals = count_by_topic(true, predicted, counts)
            return np.stack([macro_f1(*totals), weighted_f1(*totals)], axis=1)

        return bootstrap(self.confusion[kinds], f1_means, seed=self.seed)

    def confusions(self, max_pairs: int = 10) -> list[tuple[str, str, int]]:
        """Return the most common mistakes: true topic, predicted topic, number of documents."""
        # With thousands of topics, most pairs are never confused.
        true, predicted = np.nonzero(self.confusion)
        is_wrong = true != predicted
        true, predicted = true[is_wrong], predicted[is_wrong]
        counts = self.confusion[true, predicted]
        order = np.argsort(-counts, kind="stable")[:max_pairs]
        pairs = zip(true[order], predicted[order], counts[order].tolist(), strict=True)
        return [(self.topics[a], self.topics[b], n) for a, b, n in pairs]

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
            "brier_score": none_if_nan(self.brier_score),
            "calibration_error": none_if_nan(self.calibration_error),
            "calibration_error_by_chance": none_if_nan(self.chance_error),
            "reliability": [
                {
                    "n_documents": b.n_documents,
                    "probability": b.probability,
                    "right": b.fraction_right,
                }
                for b in self.reliability()
            ],
            "topics": [topic.to_dict() for topic in self.per_topic()],
            "confusions": [
                {"topic": topic, "predicted": predicted, "n_documents": n}
                for topic, predicted, n in self.confusions()
            ],
        }

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [
            ("accuracy", f"{self.accuracy:.3f}, {self.interval}"),
            ("macro-F1", f"{self.macro_f1:.3f}, every topic counts the same"),
            ("log loss", f"{self.log_loss:.3f} nats, lower is better"),
        ]
        n_documents, n_topics = self.n_documents, len(self.topics)
        title = f"{counted(n_documents, 'document')} of {counted(n_topics, 'topic')}"
        return f"Evaluation on {title}", rows


def _unused(name: str, names: Sequence[str]) -> str:
    """Return the name, wrapped in parentheses until it is unique."""
    while name in names:
        name = f"({name})"
    return name


def none_if_nan(value: Any) -> Any:
    """Return None for NaN, which JSON lacks."""
    return None if isinstance(value, float) and math.isnan(value) else value
