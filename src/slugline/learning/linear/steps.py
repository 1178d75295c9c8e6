"""Train linear weights by stochastic gradient steps: minibatches, AdaGrad, rates, sparsification.

Training is one-vs-rest with squared hinge loss. A compiled kernel, `_descent.c`, takes the steps;
the SciPy fallback gives the same results except for rounding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I32, I64, Integers
from slugline.learning.labels import Labels
from slugline.text import sparse
from slugline.text.sparse import has_kernel

try:
    from slugline.learning.linear import _descent as _kernel
except ImportError:  # built without a compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


#: Training sets with more rows than this use larger minibatches and smaller steps.
MANY_ROWS = 20_000

# Chosen by cross-validation on training splits. A penalty on large weights did not help, since
# passes are few and steps shrink.
_ROWS_PER_STEP, _ROWS_PER_STEP_OF_MANY = 64, 128
# Maximum number of minibatches per kernel call, which delays Ctrl-C, and of their copied entries.
_STEPS_PER_CALL, _ENTRIES_PER_CALL = 256, 1 << 16
# Up to this many entries are grouped by column once for all passes: grouping takes a quarter of a
# step.
_MAX_GROUPED_ENTRIES = 1 << 23
# Kernel calls kept for other threads, which are seldom further behind.
_MAX_SHARED = 2
# With fewer topics, looking up columns is faster than grouping entries by column.
_MIN_TOPICS_GROUPED = 8
# Topics rarer than the mean are upweighted by this power of their relative rarity. With 0, rare
# topics would hardly be predicted; with 1, they would be predicted in every doubtful case.
_RARITY_POWER = 0.75


# Minibatches ------------------------------------------------------------------------------------


class _KernelCall(NamedTuple):
    """Minibatches of one kernel call.

    Attributes
    ----------
    arrays : tuple of arrays
        CSR arrays, concatenated row numbers of the minibatches, and the size of each minibatch.
    grouped : tuple of bytes, or None
        The entries of each minibatch by column, from `kernel.group_rows`.
    numbers : int array
        The order in which the minibatches are used.
    """

    arrays: tuple[F32, I32, I64, I32, I64]
    grouped: tuple[bytes, bytes, bytes, bytes] | None
    numbers: I64


class Minibatches:
    """Rows in random order, split into minibatches that are the same in each pass.

    For the kernel, entries are grouped by column, once for all passes if there are few.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    rows : int array
        The training rows.
    rng : numpy.random.Generator
    n_passes : int
    n_in_all : int, optional
        Number of rows in all parts, if these rows are one part. Determines the size of minibatches
        and steps.
    """

    def __init__(
        self,
        X: sp.csr_array,
        rows: Integers,
        rng: np.random.Generator,
        n_passes: int,
        n_in_all: int | None = None,
    ) -> None:
        self.X, self.n_in_all = X, len(rows) if n_in_all is None else n_in_all
        order = rng.permutation(rows).astype(np.int32)
        size = _ROWS_PER_STEP if self.n_in_all <= MANY_ROWS else _ROWS_PER_STEP_OF_MANY
        self._rows = [order[start : start + size] for start in range(0, len(order), size)]
        lengths = sparse.row_lengths(X.indptr)
        self._n_entries = np.array([lengths[rows].sum() for rows in self._rows], dtype=np.int64)
        self._orders = [rng.permutation(len(self._rows)) for _ in range(n_passes)]
        self.n_steps = n_passes * len(self._rows)
        self._is_grouped_once = n_passes > 1 and X.nnz <= _MAX_GROUPED_ENTRIES
        # Threads that fit other topics to the same rows share these calls.
        self._shared: dict[tuple[bool, int, int], _KernelCall] = {}
        self._lock = threading.Lock()

    def passes(self, first: int, last: int | None) -> Iterator[tuple[int, I32]]:
        """Yield the pass and the rows of each minibatch, for passes `first` to `last - 1`."""
        for number, order in enumerate(self._orders[first:last], first):
            for part in order.tolist():
                yield number, self._rows[part]

    def calls(
        self, first: int, last: int | None, n_topics: int
    ) -> Iterator[tuple[int, _KernelCall]]:
        """Yield the pass and a few minibatches at a time for the kernel; see `passes`.

        Entries are grouped by column if enough topics use them.
        """
        is_grouped = n_topics >= _MIN_TOPICS_GROUPED
        for number, order in enumerate(self._orders[first:last], first):
            for call in sparse.row_slices(
                sparse.row_offsets(self._n_entries[order]), _ENTRIES_PER_CALL
            ):
                for start in range(call.start, call.stop, _STEPS_PER_CALL):
                    parts = order[start : min(start + _STEPS_PER_CALL, call.stop)]
                    if is_grouped and self._is_grouped_once:
                        whole = self._share((True, 0, 0), self._rows)
                        yield number, whole._replace(numbers=parts)
                    else:
                        rows = [self._rows[part] for part in parts.tolist()]
                        yield number, self._share((is_grouped, number, start), rows)

    def _share(self, key: tuple[bool, int, int], parts: list[I32]) -> _KernelCall:
        """Return a call, creating it if needed, to share between threads.

        The key contains the pass, the first minibatch, and True if entries are grouped.
        """
        with self._lock:
            if key not in self._shared:
                self._shared[key] = self._make_call(parts, is_grouped=key[0])
                if len(self._shared) > _MAX_SHARED:
                    del self._shared[next(iter(self._shared))]
            return self._shared[key]

    def release(self) -> None:
        """Free the entries that were grouped for other topics."""
        self._shared.clear()

    def _make_call(self, parts: list[I32], *, is_grouped: bool) -> _KernelCall:
        """Return the rows of minibatches, and their entries grouped by column."""
        X, rows, sizes = self.X, np.concatenate(parts), np.array([*map(len, parts)])
        indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64)
        arrays = X.data, indices, indptr, rows, sizes
        grouped = kernel.group_rows(*arrays, X.shape[1]) if is_grouped else None
        return _KernelCall(arrays, grouped, np.arange(len(sizes)))


# Steps ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleCosts:
    """Costs of errors on rows."""

    labels: Labels
    # shape (n_rows,): cost of an error in the score of any topic not assigned to the row.
    negative: F32
    positive: F32  # shape (n_labels,): cost of an error in the score of an assigned topic


class AdaGradDescent:
    """Weights of consecutive topics, trained by steps that shrink as a term's gradients accumulate.

    Topics are trained one-vs-rest, independently of each other.

    Parameters
    ----------
    topics : slice
    weights : float32 array, shape (n_columns, n_topics)
        Changed in place, like `biases` and `sums`.
    biases : float32 array, shape (n_topics,)
    sums : float32 array, shape (n_columns + 1,)
        Sum of squared gradients of each term, then of the biases.
    costs : SampleCosts
    rates : float32 array, shape (n_columns + 1,), or (1,) if all are the same
        Learning rate of each term, then of the biases.

    Attributes
    ----------
    highest, right : float32 array, shape (n_rows,)
        Each row's highest score and the score of its topic before training on the row; minus
        infinity if its topic is not among these topics. For a multilabel row, one of its topics is
        used.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning and stochastic
    optimization; here with one sum per term instead of one per weight.
    """

    def __init__(
        self, topics: slice, weights: F32, biases: F32, sums: F32, costs: SampleCosts, rates: F32
    ) -> None:
        self.topics, self.weights, self.biases, self.sums = topics, weights, biases, sums
        self._costs, self._learning_rates = costs, rates
        self.highest = np.full(len(costs.labels), -np.inf, dtype=np.float32)
        self.right = self.highest.copy()

    def run(
        self,
        batches: Minibatches,
        first: int = 0,
        last: int | None = None,
        report: Callable[[float], None] | None = None,
    ) -> AdaGradDescent:
        """Do the passes from `first` up to `last - 1`; return this descent.

        `report` receives each increment as a fraction of all passes.
        """
        if has_kernel():
            for number, call in batches.calls(first, last, len(self.biases)):
                self._call_kernel(call, is_first=number == 0)
                if report is not None:
                    report(len(call.numbers) / batches.n_steps)
        else:
            for number, rows in batches.passes(first, last):
                self._step(batches.X[rows], rows, is_first=number == 0)
                if report is not None:
                    report(1 / batches.n_steps)
        return self

    def _call_kernel(self, call: _KernelCall, *, is_first: bool) -> None:
        costs = self._costs
        kernel.descend(
            *call.arrays,
            call.grouped,
            call.numbers,
            costs.labels.topics,
            costs.labels.starts,
            costs.negative,
            costs.positive,
            self._learning_rates,
            self.weights,
            self.biases,
            self.sums,
            self.highest if is_first else None,
            self.right if is_first else None,
            self.topics.start,
        )

    def _step(self, X: sp.csr_array, rows: Integers, *, is_first: bool) -> None:
        columns, places = np.unique(X.indices, return_inverse=True)
        X = sp.csr_array((X.data, places, X.indptr), shape=(len(rows), len(columns)))
        scores: F32 = X @ self.weights[columns] + self.biases
        labels = self._costs.labels
        own_places = labels.places(rows)
        topics, owners = labels.topics[own_places], labels.take(rows).rows
        is_here = (topics >= self.topics.start) & (topics < self.topics.stop)
        own = owners[is_here], topics[is_here] - self.topics.start
        if is_first:
            self.highest[rows] = scores.max(axis=1)
            self.right[rows[own[0]]] = scores[own]
        slope: F32 = np.maximum(1 + scores, 0) * self._costs.negative[rows, np.newaxis]
        slope[own] = -np.maximum(1 - scores[own], 0) * self._costs.positive[own_places[is_here]]
        slope *= 2
        gradient: F32 = X.T @ slope
        self.weights[columns] -= self._step_sizes(columns, gradient) * gradient
        # Biases are the weights of a term in every document.
        gradient = slope.sum(axis=0, keepdims=True)
        self.biases -= (self._step_sizes(np.array([-1]), gradient) * gradient)[0]

    def _step_sizes(self, columns: Integers, gradient: F32) -> F32:
        """Add the squared gradient to the sums, and return the step size of each column."""
        self.sums[columns] += np.square(gradient).mean(axis=1)
        rates = self._learning_rates
        sizes = (rates if len(rates) == 1 else rates[columns]) / np.sqrt(self.sums[columns])
        return sizes[:, np.newaxis].astype(np.float32)


def initial_squared_sums(n_columns: int, start: float) -> F32:
    """Return the initial sum of squared gradients of each term, then of the biases."""
    return np.full(n_columns + 1, start, dtype=np.float32)


def topic_rarity(totals: npt.NDArray[np.number]) -> F32:
    """Return the weight of each topic's documents, at least 1; shape (n_topics,).

    Parameters
    ----------
    totals : array, shape (n_topics,)
        The number of rows of each topic, or their total cost.
    """
    mean = totals.sum() / np.count_nonzero(totals) if totals.any() else 1.0
    rarity = mean / np.where(totals > 0, np.minimum(totals, mean), mean)
    return (rarity**_RARITY_POWER).astype(np.float32)


# Learning rates of terms --------------------------------------------------------------------------

# Chosen on parts of training splits.
# A prior: each term is counted in this fraction of a document per topic, so that evidence from few
# documents counts little.
_PRIOR = 1 / 6
# Added to each term's relevance, since terms that are uninformative alone may be informative
# together. Half as much would gain 0.2 points on average, but lose up to 2 on some sets.
_MIN_RELEVANCE = 1.0
#: Up to this many single-label rows, weights are computed at the minimum.
FEW_ROWS = 500
# Power of relevance, and the power for few rows, or few per topic, with more than two topics.
# Opinions differ in small words that both topics share; there, 4 cost up to two points.
_RELEVANCE_POWER, _POWER_OF_FEW, _FEW_ROWS_PER_TOPIC = 2, 4, 60


def relevance(X: sp.csr_array, labels: Labels, rows: Integers) -> F64:
    """Return each term's relevance: how far its topic distribution differs from the overall one.

    This is the Kullback-Leibler divergence divided by its maximum for equally frequent topics: 0
    for a term that is equally frequent in all topics.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    labels : Labels
    rows : int array
        The rows to count; a multilabel row counts once for each topic.
    """
    counted = labels.take(rows)
    _, numbers, sizes = np.unique(counted.topics, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    by_topic = _ones(counted.rows[order], sparse.row_offsets(sizes), (len(sizes), len(rows)))
    has_term = X[rows]
    has_term.eliminate_zeros()
    counts = by_topic @ _ones(has_term.indices, has_term.indptr, has_term.shape)
    terms, fractions, prior = counts.indices, sizes / sizes.sum(), _PRIOR * max(1, len(sizes))
    n_columns, fraction = X.shape[1], fractions.repeat(sparse.row_lengths(counts.indptr))
    totals = np.bincount(terms, counts.data, n_columns) + prior
    ratio = (counts.data / fraction + prior) / totals[terms]
    of_topics = np.bincount(terms, fraction * ratio * np.log(ratio), n_columns)
    ratio = prior / totals  # of all topics without the term
    of_others = (1 - np.bincount(terms, fraction, n_columns)) * ratio * np.log(ratio)
    divergence: F64 = of_topics + of_others
    return divergence / np.log(max(len(sizes), 2))


def _ones(columns: Integers, indptr: Integers, shape: tuple[int, int]) -> sp.csr_array:
    return sp.csr_array((np.ones(len(columns), dtype=np.float32), columns, indptr), shape=shape)


def relevance_power(n_rows: int, n_topics: int, multilabel: bool) -> int:
    """Return the power of relevance in the learning rates of terms."""
    are_few = n_rows <= max(FEW_ROWS, _FEW_ROWS_PER_TOPIC * n_topics)
    return _POWER_OF_FEW if are_few and n_topics > 2 and not multilabel else _RELEVANCE_POWER


def term_rates(X: sp.csr_array, labels: Labels, rows: Integers, power: int) -> F32:
    """Return the factor of each term's learning rate, then of the biases, which is 1.

    See `relevance`. The mean over terms, weighted by their squares in the rows, is 1.

    Returns
    -------
    float32 array, shape (n_columns + 1,)
    """
    counted, sums = X[rows], np.zeros(X.shape[1], dtype=np.float32)
    np.add.at(sums, counted.indices, np.square(counted.data))
    squares = sums.astype(np.float64)
    # Squaring twice takes a tenth of the time of a general power.
    rates = ((_MIN_RELEVANCE + relevance(X, labels, rows)) ** 2) ** (power // 2)
    rates /= (squares @ rates) / squares.sum() if squares.any() else 1.0
    return np.append(rates, 1).astype(np.float32)


# Weights that matter ------------------------------------------------------------------------------

# Weights below this fraction of their root mean square are dropped; the fraction grows with the
# number of weights. Most weights are near 0, and less than one prediction in a hundred changes.
_THRESHOLDS, _LARGEST_THRESHOLD = {1 << 20: 0.25, 1 << 26: 0.5}, 0.75
#: At the minimum, words common to all topics have weights near 0. With this threshold they stay
#: known, and `partial_fit` does not add them as new terms, which would shrink the entries of all
#: other terms in a row of length 1.
THRESHOLD_AT_MINIMUM = 0.005
# The largest float16.
_MAX_WEIGHT = np.float32(65_504)


def drop_threshold(n_weights: int) -> float:
    """Return the fraction of the root mean square below which `n_weights` weights are dropped."""
    return next((t for most, t in _THRESHOLDS.items() if n_weights <= most), _LARGEST_THRESHOLD)


def sparsify(weights: F32, threshold: float) -> sp.csr_array:
    """Return the weights without negligible ones, rounded to float16, but as float32.

    Parameters
    ----------
    weights : float32 array, shape (n_columns, n_topics)
        The weights of some of a model's topics.
    threshold : float
        From `drop_threshold`.
    """
    n_nonzero = np.count_nonzero(weights != 0)  # counting bools is much faster
    squares = np.einsum("ij,ij->", weights, weights, dtype=np.float64)
    least = threshold * np.sqrt(squares / max(1, n_nonzero))
    is_large = (weights > least) | (weights < -least)
    entries = np.flatnonzero(is_large)  # several times as fast as np.nonzero
    values = np.clip(weights.ravel()[entries], -_MAX_WEIGHT, _MAX_WEIGHT).astype(np.float16)
    topics = (entries % weights.shape[1]).astype(np.int32)
    indptr = sparse.narrow_offsets(sparse.row_offsets(np.count_nonzero(is_large, axis=1)))
    return sp.csr_array((values.astype(np.float32), topics, indptr), shape=weights.shape)
