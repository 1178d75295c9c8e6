"""Rows, labels and costs for training linear weights in batches of topics; held-out rows."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.corpus.splits import make_folds
from slugline.learning.heldout import MAX_SCORES
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.text.sparse import row_lengths, row_offsets, row_slices

T = TypeVar("T")

# All constants were chosen by cross-validation on training splits.
# Number of passes by maximum number of rows: few rows need more steps.
_PASSES = {500: 6, 1000: 5, 2000: 4, steps.MANY_ROWS: 3, 50_000: 2}
MIN_PASSES = 1
# With many rows, steps must be smaller.
_LEARNING_RATE, _SMALL_LEARNING_RATE = 0.15, 0.1
# Initial sum of squared gradients of a term. With 0, the first step would ignore the error's size.
INITIAL_SQUARED_SUM = 0.3
# Initial bias of a topic, and bias of a topic without training rows, which is never predicted.
INITIAL_BIAS, ABSENT_SCORE = -1.0, -10.0
# Probabilities are calibrated on at least this many rows, if there are enough.
_MIN_CALIBRATION_ROWS = 500
# If less than this fraction of rows is distinct, new rows will mostly be copies, too.
_FEW_DIFFERENT = 0.1
# The spread of scores grows with this power of the number of training rows (measured on training
# splits with 20 to 10,000 rows), but probabilities don't become more reliable.
_SPREAD_POWER = 0.1
# Rows count as normalized if their squared length differs from 1 by less than this.
_NEAR = 1e-3
# Minimum number of topics trained at a time.
_MIN_TOPICS = 8


def default_passes(n_rows: int) -> int:
    """Return the number of passes over `n_rows` rows: from 6 for a few hundred rows down to 1."""
    return next((n for most, n in _PASSES.items() if n_rows <= most), MIN_PASSES)


@dataclass(frozen=True)
class FitLimits:
    """Problem sizes at which the training method changes."""

    few_rows: int = steps.FEW_ROWS  # up to this, compute the minimum and cross-validate
    many_rows: int = steps.MANY_ROWS  # above this, all terms share a smaller learning rate
    max_topics: int = 32  # trained at a time; fewer if dense weights exceed `max_weights`
    max_weights: int = 1 << 24
    max_dense: int = 1 << 26  # weights kept dense until all documents have been checked
    max_dense_parallel: int = 1 << 27  # weights trained at the same time
    max_scores: int = MAX_SCORES
    negatives_per_positive: int = 10  # training rows of other topics in a batch

    def most_topics(self, n_columns: int) -> int:
        """Return the number of topics that may have dense weights at a time."""
        return max(_MIN_TOPICS, self.max_weights // max(1, n_columns))


@dataclass(frozen=True)
class LinearProblem:
    """Rows with their labels and costs, and the batches in which topics are trained."""

    X: sp.csr_array
    labels: Labels
    costs: F32
    context: FitContext
    batches: list[slice]
    limits: FitLimits
    is_stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def from_rows(
        cls,
        X: sp.csr_array,
        labels: Labels,
        context: FitContext,
        batches: list[slice] | None = None,
        limits: FitLimits | None = None,
    ) -> LinearProblem:
        """Return the problem; by default, batches are as large as memory allows."""
        limits = limits or FitLimits()
        if batches is None:
            width = min(limits.max_topics, limits.most_topics(X.shape[1]))
            batches = topic_batches(context.n_topics, width)
        weight = context.sample_weight
        costs = np.ones(len(labels), dtype=np.float32) if weight is None else weight
        return cls(X, labels, costs, context, batches, limits)

    def are_few(self, rows: Index) -> bool:
        """Return True if rows are few enough to calibrate by cross-validation."""
        return len(rows) <= self.limits.few_rows

    def learning_rate(self, n_rows: int) -> float:
        """Return the learning rate for `n_rows` rows."""
        return _LEARNING_RATE if n_rows <= self.limits.many_rows else _SMALL_LEARNING_RATE

    @property
    def is_sampled(self) -> bool:
        """True if there are so many topics that each batch trains on a sample of the rows."""
        return len(self.batches) > 1 + self.limits.negatives_per_positive

    def totals(self, rows: Index) -> F64:
        """Return the total cost of each topic's rows."""
        return self.labels.take(rows).totals(self.context.n_topics, self.costs[rows])

    def calibration_rows(self, rows: Index, known_topics: Mask | bool = False) -> Index:
        """Return the rows to calibrate on, excluding the only rows of new topics.

        Parameters
        ----------
        rows : int array
        known_topics : bool array, shape (n_topics,), optional
        """
        if not self.labels.multilabel:
            y = self.labels.topics[rows]
            is_frequent = np.bincount(y, minlength=self.context.n_topics) > 1
            rows = rows[(is_frequent | known_topics)[y]]
        factor = label_type(multilabel=self.labels.multilabel).score_factor
        n_scores = factor * self.limits.max_scores
        most = max(_MIN_CALIBRATION_ROWS, n_scores // self.context.n_topics)
        return rows if self.are_few(rows) else rows[:: -(-len(rows) // most)]

    def sample_costs(self, totals: F64) -> steps.SampleCosts:
        """Return the costs of errors, given the totals of topics."""
        positive = self.costs[self.labels.rows]
        if not self.context.weighted_topics:
            positive = positive * steps.topic_rarity(totals)[self.labels.topics]
        return steps.SampleCosts(self.labels, self.costs, positive)

    @cached_property
    def is_small(self) -> bool:
        """True if there are few enough rows to compute weights at the minimum."""
        return not self.labels.multilabel and self.are_few(self.counted_rows)

    @cached_property
    def counted_rows(self) -> Index:
        """Rows with nonzero weight."""
        return np.flatnonzero(self.costs > 0)

    @cached_property
    def relevance_power(self) -> int:
        """The power of relevance in the learning rates of terms."""
        n_topics = int(np.count_nonzero(self.totals(self.counted_rows)))
        return steps.relevance_power(len(self.counted_rows), n_topics, self.labels.multilabel)

    def rates(self, rows: Index) -> F32:
        """Return the learning rate of each term, then of the biases; or a single rate.

        With many rows, all terms have the same rate, since their weights converge fast enough.
        """
        rate = np.float32(self.learning_rate(len(rows)))
        if len(rows) > self.limits.many_rows:
            return np.full(1, rate)
        return rate * steps.term_rates(self.X, self.labels, rows, self.relevance_power)

    def map_batches(self, function: Callable[[slice], T]) -> list[T]:
        """Apply a function to each batch of topics; see `call_all`."""
        return self.call_all([functools.partial(function, topics) for topics in self.batches])

    def call_all(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Call functions that each train one batch of topics; return their results.

        Uses as many threads as memory allows.
        """
        size = self.X.shape[1] * (self.batches[0].stop - self.batches[0].start)
        n_threads = min(self.context.n_jobs, max(1, self.limits.max_dense_parallel // max(1, size)))
        if min(n_threads, len(tasks)) < 2:
            return [task() for task in tasks]
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                return [future.result() for future in [pool.submit(task) for task in tasks]]
            except BaseException:  # such as Ctrl-C: stop the threads
                self.is_stopped.set()
                raise


def topic_batches(n_topics: int, width: int) -> list[slice]:
    """Split topics into batches of nearly equal size, at most `width`."""
    n_batches = -(-n_topics // width)
    bounds = [n_topics * number // n_batches for number in range(n_batches + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


# Held-out rows ----------------------------------------------------------------------------------


def scale_heldout_scores(scores: F32, fraction: float) -> F32:
    """Scale scores of a fit to a fraction of the rows to the spread of a fit to all rows."""
    return scores * np.float32(fraction**-_SPREAD_POWER)


def renormalize_rows(X: sp.csr_array, known_columns: Mask) -> sp.csr_array:
    """Rescale rows of length 1 as if only known columns existed.

    Terms unseen in training have no column and don't affect the length of a new document's row. In
    held-out training documents they do, so scores would be too low: with few rows, half as high as
    for new documents.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows with other lengths are not changed.
    known_columns : bool array, shape (n_columns,)
    """
    squares = sp.csr_array((X.data**2, X.indices, X.indptr), shape=X.shape)
    masks = np.stack([np.ones_like(known_columns), known_columns], axis=1).astype(np.float32)
    total, known_squares = (squares @ masks).T
    scale = np.ones_like(total)
    is_unit = (np.abs(total - 1) < _NEAR) & (known_squares > 0)
    scale[is_unit] = 1 / np.sqrt(known_squares[is_unit])
    data = X.data * scale.repeat(row_lengths(X.indptr))
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


def renormalized_parts(X: sp.csr_array, rows: Index, known_columns: Mask) -> Iterator[sp.csr_array]:
    """Yield some of the rows, a few at a time, scaled by `renormalize_rows`."""
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        yield renormalize_rows(X[rows[part]], known_columns)


def find_columns(X: sp.csr_array, rows: Index) -> Mask:
    """Return a mask of the columns with entries in the given rows."""
    has_entries = np.zeros(X.shape[1], dtype=bool)
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        has_entries[X[rows[part]].nonzero()[1]] = True
    return has_entries


def group_equal_rows(X: sp.csr_array) -> Index:
    """Return a number for each row that is the same for equal rows; shape (n_rows,).

    Used to hold out all copies of a document together. Rows are compared by their product with a
    random vector; different rows collide once in 10^15.
    """
    vector = np.random.default_rng(0).random(X.shape[1])
    products = [X[part] @ vector for part in row_slices(X.indptr)]
    return np.unique(np.concatenate(products), return_inverse=True)[1]


def split_rows(problem: LinearProblem, rows: Index, n_parts: int) -> tuple[I64, int]:
    """Return the part of each row (-1 for other rows) and the number of parts.

    Equal rows are in the same part, so there may be fewer than `n_parts` parts.
    """
    groups = group_equal_rows(problem.X)[rows]
    n_different = len(np.unique(groups))
    if n_different < max(2, _FEW_DIFFERENT * len(rows)):
        groups, n_different = np.arange(len(rows)), len(rows)
    n_parts = min(n_parts, n_different)
    part_of = np.full(len(problem.labels), -1)
    if n_parts > 1:
        topics = problem.labels.take(rows).to_topics()
        part_of[rows] = make_folds(topics, n_parts, problem.context.seed, groups)
    return part_of, n_parts
