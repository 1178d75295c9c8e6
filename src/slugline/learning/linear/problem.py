"""Rows, labels and costs for training linear weights in batches of topics."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.learning.heldout import MAX_SCORES
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps

T = TypeVar("T")

# All constants were chosen by cross-validation on training splits.
# Number of passes over at most this many rows, and over more: few rows need more steps.
_PASSES = {500: 6, 1000: 5, 2000: 4, steps.MANY_ROWS: 3, 50_000: 2}
MIN_PASSES = 1
# With many rows, steps must be smaller.
_LEARNING_RATE, _SMALL_LEARNING_RATE = 0.15, 0.1
# Initial sum of squared gradients of a term. With 0, the first step would have the same length for
# small and large errors.
INITIAL_SQUARED_SUM = 0.3
# Initial bias of a topic, before any of its rows is seen, and the bias of a topic that never
# occurs, so that it is never the most likely.
INITIAL_BIAS, ABSENT_SCORE = -1.0, -10.0
# Probabilities are calibrated on at least this many rows, if there are enough.
_MIN_CALIBRATION_ROWS = 500
# Minimum number of topics trained at a time.
_MIN_TOPICS = 8


def default_passes(n_rows: int) -> int:
    """Return the number of passes over `n_rows` rows: from 6 for a few hundred rows down to 1."""
    return next((n for most, n in _PASSES.items() if n_rows <= most), MIN_PASSES)


@dataclass(frozen=True)
class FitLimits:
    """Problem sizes at which the training method changes."""

    # Up to these sizes, weights are computed at the minimum, and rows are cross-validated.
    few_rows: int = steps.FEW_ROWS
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
        """Return True if there are few enough rows to calibrate by cross-validation."""
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
        kind = label_type(multilabel=self.labels.multilabel)
        n_scores = kind.max_scores(self.limits.max_scores)
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
