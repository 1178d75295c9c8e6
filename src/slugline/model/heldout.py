"""Held-out predictions: predictions for documents by models not trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64, U8, Index, Integers, Mask
from slugline.errors import DataError
from slugline.learning.labels import Labels
from slugline.model.thresholds import (
    AchievablePrecision,
    ConfidentErrors,
    best_precision,
    lowest_threshold,
)
from slugline.text.features import UnknownWordRate

#: Maximum number of predictions; enough to measure a precision to within a third of a point.
MAX_PREDICTIONS = 5000
# Multilabel models need more, because each topic has a separate threshold.
_MAX_CANDIDATES = 20_000
#: Minimum number of predictions for a topic to get a separate threshold: a precision of 0.95 takes
#: at least 76 predictions, all of them right.
MIN_PER_TOPIC = 100
#: The same for multilabel models. Without it, recall on training splits is lower, and precision is
#: no higher.
MIN_PER_TOPIC_OF_SEVERAL = 200
# Predictions that are more likely wrong than right are never given.
_EVEN = 0.5
# Multilabel models never give topics that are less likely than this.
_LEAST_LIKELY = 0.25
# Upper bound of probabilities, which may slightly exceed 1 after rounding to float32.
_OVER_1 = 1.001

# Sparse probabilities -----------------------------------------------------------------------------

# Lower probabilities are not stored. On nine data sets, class priors estimated from the stored ones
# (Saerens, Latinne and Decaestecker, 2002) are within 0.1 percentage points of those from all.
_MIN_STORED = 1e-3
# Maximum total number of stored probabilities; the largest ones are kept.
_MAX_STORED = 40_000
# Rounded probabilities are 2 ** (-level / 25), with an error of at most 1.4 %.
_LEVELS_PER_OCTAVE = 25
# The probability of the last level is below 1/1000.
_LAST_LEVEL = 255
# Largest valid row sum, which may exceed 1 by rounding.
_MAX_SUM = 1.05


@dataclass(frozen=True, eq=False)
class SparseProba:
    """Topic probabilities of documents; small ones are replaced by the topic's mean.

    Attributes
    ----------
    topics : int64 array, shape (n_stored,)
        Topic numbers, document by document, ascending within each document.
    counts : int64 array, shape (n_documents,)
        Number of stored probabilities per document.
    levels : uint8 array, shape (n_stored,)
        0 for an exact probability; otherwise it is rounded to 2 ** (-level / 25).
    exact : float32 array, shape (n_exact,)
        Exact probabilities, in order.
    omitted : float32 array, shape (n_topics,)
        Mean probability of each topic over the documents without a stored value.
    """

    topics: I64
    counts: I64
    levels: U8
    exact: F32
    omitted: F32

    @classmethod
    def from_dense(cls, proba: F32, is_exact: Mask) -> SparseProba:
        """Return sparse probabilities from dense ones, shape (n_documents, n_topics)."""
        is_stored = proba >= _MIN_STORED
        if np.count_nonzero(is_stored) > _MAX_STORED:
            highest_dropped = np.partition(proba[is_stored], -_MAX_STORED)[-_MAX_STORED]
            is_stored = proba > highest_dropped
        is_stored |= is_exact
        documents, topics = np.nonzero(is_stored)
        stored = proba[documents, topics]
        with np.errstate(divide="ignore"):  # an exact probability may be 0
            levels = np.rint(-_LEVELS_PER_OCTAVE * np.log2(stored)).clip(1, _LAST_LEVEL)
        levels[is_exact[documents, topics]] = 0
        n_omitted = np.maximum(1, np.count_nonzero(~is_stored, axis=0))
        omitted = np.where(is_stored, 0, proba).sum(axis=0, dtype=np.float64) / n_omitted
        return cls(
            topics=topics.astype(np.int64),
            counts=np.bincount(documents, minlength=len(proba)).astype(np.int64),
            levels=levels.astype(np.uint8),
            exact=stored[levels == 0],
            omitted=omitted.astype(np.float32),
        )

    @cached_property
    def documents(self) -> Index:
        """Document number of each stored probability, shape (n_stored,)."""
        return np.arange(len(self.counts)).repeat(self.counts)

    @property
    def values(self) -> F32:
        """Stored probabilities, shape (n_stored,)."""
        values = np.exp2(self.levels / np.float32(-_LEVELS_PER_OCTAVE))
        values[self.levels == 0] = self.exact
        return values

    def dense(self, *, sum_to_1: bool) -> F32:
        """Return all probabilities, shape (n_documents, n_topics).

        Probabilities that are not stored become the means of their topics. With `sum_to_1`, these
        means are scaled so that each row sums to 1.
        """
        proba = np.full((len(self.counts), len(self.omitted)), np.nan, dtype=np.float32)
        proba[self.documents, self.topics] = self.values
        is_omitted = np.isnan(proba)
        means = np.where(is_omitted, self.omitted, np.float32(0))
        proba[is_omitted] = 0
        if not sum_to_1:
            return proba + means
        totals = means.sum(axis=1, keepdims=True)
        remaining = np.maximum(0, 1 - proba.sum(axis=1, keepdims=True))
        proba += means * np.divide(remaining, totals, out=np.zeros_like(totals), where=totals > 0)
        proba /= proba.sum(axis=1, keepdims=True)
        return proba


# Predictions --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """Out-of-sample predictions for training documents.

    Candidates are the topics that may be given: the most likely topic of each document or, for
    multilabel models, every likely topic.

    Attributes
    ----------
    rows : int64 array, shape (n_documents,), or None
        Row of each document among the training documents, ascending, in the order used for
        `Fitted.data_digest`. None if unknown.
    labels : Labels
        The true topics of each document.
    proba : SparseProba
        The probability of each topic for each document, exact for candidates.
    words : UnknownWordRate or None
        Normal rate of unknown words; None if not checked.
    precision : float or None
        The default precision of thresholds; None if all predictions are given.
    """

    rows: I64 | None
    labels: Labels
    proba: SparseProba
    words: UnknownWordRate | None = None
    precision: float | None = None

    @classmethod
    def from_proba(
        cls,
        proba: F32,
        labels: Labels,
        rows: Index | None,
        *,
        words: UnknownWordRate | None = None,
        precision: float | None = None,
    ) -> HeldOutPredictions:
        """Return the predictions for single-label documents, sampled down to `MAX_PREDICTIONS`.

        Parameters
        ----------
        proba : float32 array, shape (n_documents, n_topics)
        labels, rows, words, precision
            See the class; rows may be in any order.
        """
        is_candidate = np.zeros(proba.shape, dtype=bool)
        is_candidate[np.arange(len(proba)), proba.argmax(axis=1)] = True
        n_chosen = min(len(proba), MAX_PREDICTIONS)
        sampled = cls._sampled(proba, labels, rows, is_candidate, n_chosen)
        return replace(sampled, words=words, precision=precision)

    @classmethod
    def from_decisions(
        cls,
        proba: F32,
        labels: Labels,
        rows: Index | None,
        *,
        may_be_given: Mask | None = None,
        words: UnknownWordRate | None = None,
        precision: float | None = None,
    ) -> HeldOutPredictions:
        """Return the predictions for multilabel documents, sampled down to 20,000 candidates.

        Parameters
        ----------
        proba : float32 array, shape (n_documents, n_topics)
        may_be_given : bool array, shape (n_documents, n_topics), optional
            Topics that may be given if likely; by default, all.
        labels, rows, words, precision
            See the class; rows may be in any order.
        """
        is_candidate = proba >= _LEAST_LIKELY
        if may_be_given is not None:
            is_candidate &= may_be_given
        n_candidates = max(int(np.count_nonzero(is_candidate)), len(proba))
        n_chosen = min(len(proba), len(proba) * _MAX_CANDIDATES // max(n_candidates, 1))
        sampled = cls._sampled(proba, labels, rows, is_candidate, n_chosen)
        return replace(sampled, words=words, precision=precision)

    @classmethod
    def _sampled(
        cls, proba: F32, labels: Labels, rows: Index | None, is_candidate: Mask, n_chosen: int
    ) -> HeldOutPredictions:
        """Return predictions for evenly spaced documents, in the order of `rows` if known."""
        chosen = spread_positions(len(proba), n_chosen)
        if rows is not None:
            chosen = chosen[np.argsort(rows[chosen], kind="stable")]
        labels = labels.take(chosen)
        ascending = np.lexsort([labels.topics, labels.rows])
        return cls(
            rows=None if rows is None else rows[chosen].astype(np.int64),
            labels=Labels(labels.topics[ascending], labels.starts, labels.multilabel),
            proba=SparseProba.from_dense(proba[chosen], is_candidate[chosen]),
        )

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.labels)

    @property
    def n_candidates(self) -> int:
        """Number of candidates; for single-label models, the number of documents."""
        return len(self.proba.exact)

    @cached_property
    def topics(self) -> I64:
        """Topic of each candidate, shape (n_candidates,)."""
        return self.proba.topics[self.proba.levels == 0]

    @property
    def probabilities(self) -> F32:
        """Probability of each candidate, shape (n_candidates,)."""
        return self.proba.exact

    @cached_property
    def right(self) -> Mask:
        """Mask of candidates that are true topics of their documents, shape (n_candidates,)."""
        n_topics = len(self.proba.omitted)
        documents = self.proba.documents[self.proba.levels == 0]
        candidates = documents * n_topics + self.topics
        # Avoid np.isin: its imports take longer than everything else in loading a model.
        true = np.append(np.sort(self.labels.rows * n_topics + self.labels.topics), -1)
        return true[np.searchsorted(true[:-1], candidates)] == candidates

    def dense_proba(self) -> F32:
        """Return the probability of each topic of each document, shape (n_documents, n_topics)."""
        return self.proba.dense(sum_to_1=not self.labels.multilabel)

    def thresholds(
        self,
        precision: float,
        n_topics: int,
        *,
        per_topic: bool = False,
        min_per_topic: int = MIN_PER_TOPIC,
    ) -> F32:
        """Return the lowest probability at which a prediction of each topic is given.

        Parameters
        ----------
        precision : float, over 0 and under 1
        n_topics : int
        per_topic : bool, default False
            Guarantee the precision for each frequently predicted topic, if possible, and for all
            other topics together. By default, it is guaranteed for all topics together.
        min_per_topic : int, default MIN_PER_TOPIC
            Minimum number of predictions of a frequent topic.

        Returns
        -------
        float32 array, shape (n_topics,): at least 0.5, or the precision if that is lower; infinite
        for topics that are never given.
        """
        thresholds = np.full(n_topics, np.inf, dtype=np.float32)
        if per_topic:
            often = np.flatnonzero(np.bincount(self.topics, minlength=n_topics) >= min_per_topic)
            for topic in often.tolist():
                thresholds[topic] = self._threshold(precision, self.topics == topic)
        remaining = np.isinf(thresholds)
        thresholds[remaining] = self._threshold(precision, remaining[self.topics])
        return np.maximum(thresholds, np.float32(min(_EVEN, precision)))

    def precision_at(self, thresholds: F32) -> AchievablePrecision:
        """Return the precision and the coverage of the predictions that reach their thresholds."""
        is_given = self.probabilities >= thresholds[self.topics]
        if not is_given.any():
            return AchievablePrecision(0.0, 0.0)
        return AchievablePrecision(float(self.right[is_given].mean()), float(is_given.mean()))

    def best_precision(self) -> AchievablePrecision:
        """Return the best achievable precision over all topics."""
        best, _ = best_precision(self.probabilities, self.right)
        if not best:
            return AchievablePrecision(0.0, 0.0)
        n_topics = int(self.topics.max()) + 1
        return self.precision_at(self.thresholds(best, n_topics))._replace(precision=best)

    @cached_property
    def alternative(self) -> AchievablePrecision | None:
        """Best achievable precision if `precision` is out of reach, else None."""
        everything = np.ones(self.n_candidates, dtype=bool)
        if self.precision is None or self._threshold(self.precision, everything) < np.inf:
            return None
        return self.best_precision()

    @cached_property
    def confident_errors(self) -> ConfidentErrors:
        """Counts of errors among the predictions with the highest probabilities."""
        return ConfidentErrors.from_predictions(self.probabilities, self.right)

    def _threshold(self, precision: float, chosen: Mask) -> float:
        return lowest_threshold(self.probabilities[chosen], self.right[chosen], precision)


def spread_positions(n: int, n_chosen: int) -> Index:
    """Return evenly spaced positions in a sequence of length `n`."""
    return np.linspace(0, n, n_chosen, endpoint=False).astype(np.intp)


# Arrays of a model file ---------------------------------------------------------------------------

_TYPES = {
    "row_gaps": np.uint32,
    "labels": np.uint16,
    "label_counts": np.uint16,
    "topics": np.uint16,
    "counts": np.uint16,
    "levels": np.uint8,
    "exact": np.float32,
    "omitted": np.float32,
}
_ROW_GAPS, _LABEL_COUNTS = "row_gaps", "label_counts"


def to_arrays(predictions: HeldOutPredictions) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a model file."""
    labels, proba = predictions.labels, predictions.proba
    arrays: dict[str, npt.NDArray[Any]] = {
        "labels": labels.topics,
        "topics": proba.topics,
        "counts": proba.counts,
        "levels": proba.levels,
        "exact": proba.exact,
        "omitted": proba.omitted,
    }
    if predictions.rows is not None:
        # Small differences compress well.
        arrays[_ROW_GAPS] = np.diff(predictions.rows, prepend=0)
    if labels.multilabel:
        arrays[_LABEL_COUNTS] = labels.n_each
    return {name: array.astype(_TYPES[name], copy=False) for name, array in arrays.items()}


def from_arrays(
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    n_documents: int,
    n_topics: int,
    multilabel: bool,
    words: UnknownWordRate | None,
    precision: float | None,
) -> HeldOutPredictions:
    """Return the predictions from the untrusted arrays of a model file.

    Raises
    ------
    DataError : if they are invalid.
    """
    expected = {*_TYPES} - (set() if multilabel else {_LABEL_COUNTS})
    if {*arrays} | {_ROW_GAPS} != expected:
        raise DataError(f"arrays of held-out predictions are {sorted(arrays)}")
    for name, array in arrays.items():
        if array.dtype != _TYPES[name] or array.ndim != 1:
            raise DataError(
                f"`{name}` of held-out predictions is of type {array.dtype} and shape {array.shape}"
            )
    n_heldout = len(arrays["counts"])
    if n_heldout > _MAX_CANDIDATES:
        raise DataError(f"there are {n_heldout:,} held-out predictions")
    label_counts = arrays[_LABEL_COUNTS] if multilabel else np.ones(n_heldout, dtype=np.uint16)
    labels = arrays["labels"]
    _check_topics("true topics", labels, label_counts, n_heldout, n_topics)
    _check_topics("topics", arrays["topics"], arrays["counts"], n_heldout, n_topics)
    predictions = HeldOutPredictions(
        rows=_restore_rows(arrays.get(_ROW_GAPS), n_heldout, n_documents),
        labels=Labels(
            labels.astype(np.int64),
            np.concatenate([[0], label_counts.cumsum(dtype=np.int64)]),
            multilabel,
        ),
        proba=SparseProba(
            topics=arrays["topics"].astype(np.int64),
            counts=arrays["counts"].astype(np.int64),
            levels=arrays["levels"],
            exact=arrays["exact"],
            omitted=arrays["omitted"],
        ),
        words=words,
        precision=precision,
    )
    _check_proba(predictions, n_topics)
    return predictions


def _check_topics(
    name: str, topics: Integers, counts: Integers, n_heldout: int, n_topics: int
) -> None:
    """Raise DataError unless topics of documents exist and are in ascending order."""
    if len(counts) != n_heldout or counts.sum(dtype=np.int64) != len(topics):
        raise DataError(f"{name} of held-out predictions don't match their counts")
    if topics.max(initial=0) >= n_topics:
        raise DataError(f"{name} of held-out predictions contain unknown topic numbers")
    documents = np.arange(n_heldout).repeat(counts)
    if ((topics[1:] <= topics[:-1]) & (documents[1:] == documents[:-1])).any():
        raise DataError(f"{name} of a held-out prediction are not in ascending order")


def _restore_rows(
    gaps: npt.NDArray[np.uint32] | None, n_heldout: int, n_documents: int
) -> I64 | None:
    if gaps is None:
        return None
    rows = gaps.cumsum(dtype=np.int64)
    if len(rows) != n_heldout or not gaps[1:].all() or rows[-1:].max(initial=0) >= n_documents:
        raise DataError("rows of held-out predictions are not distinct training documents")
    return rows


def _check_proba(predictions: HeldOutPredictions, n_topics: int) -> None:
    proba = predictions.proba
    is_exact = proba.levels == 0
    if len(is_exact) != len(proba.topics) or np.count_nonzero(is_exact) != len(proba.exact):
        raise DataError("topics, levels and probabilities of held-out predictions don't match")
    if proba.omitted.shape != (n_topics,):
        raise DataError("held-out predictions need one omitted probability per topic")
    in_range = (proba.exact > 0).all() and (proba.exact < _OVER_1).all()
    if not in_range or (proba.omitted < 0).any() or (proba.omitted > 1).any():
        raise DataError("held-out predictions have probabilities out of range")
    if predictions.labels.multilabel:
        return
    n_documents = predictions.n_documents
    sums = np.bincount(proba.documents, proba.values, minlength=n_documents)
    n_exact = np.bincount(proba.documents[is_exact], minlength=n_documents)
    if (sums > _MAX_SUM).any() or (n_exact != 1).any():
        raise DataError("single-label held-out predictions have several topics, or none")
