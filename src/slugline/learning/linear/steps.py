"""Linear weights by stochastic gradient steps: minibatches, AdaGrad, rates, and sparsification.

One topic against all others, with squared hinge loss. A compiled kernel, `_descent.c`, takes the
steps if it is installed, else NumPy; the results are the same, bit for bit, where SciPy rounds each
product, as on x86-64.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F16, F32, F64, I32, I64, U8, U16, Floats, Index, Integers
from slugline.base.memory import release_memory
from slugline.learning.labels import Labels
from slugline.text import sparse
from slugline.text.packed_rows import PackedRows

try:
    from slugline.learning.linear import _descent as _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


#: More rows than this are learned from in larger minibatches and smaller steps.
MANY_ROWS = 20_000

# Chosen by cross-validation on training splits. A penalty on large weights did not help: passes are
# few, and steps shrink.
_ROWS_PER_STEP, _ROWS_PER_STEP_OF_MANY = 64, 128
# Minibatches per call of the kernel, which Ctrl-C waits for, and their entries, which are copied.
_STEPS_PER_CALL, _ENTRIES_PER_CALL = 256, 1 << 16
# Minibatches are cached if the rows have at most so many entries: making one takes a quarter of a
# step.
_MAX_CACHED_ENTRIES = 1 << 23
# Calls of the kernel that are kept for another thread, which is seldom further behind.
_MAX_SHARED = 2
# With fewer topics, it takes less time to look up columns than to group entries by column.
_MIN_TOPICS_GROUPED = 8
# A topic rarer than the mean counts more, by this power of how much rarer it is. With 0, rare
# topics would hardly be predicted; with 1, they would be in every doubtful case.
_RARITY_POWER = 0.75


# Minibatches ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minibatch:
    """Some rows, stored with only those columns that have entries."""

    rows: Integers  # shape (n_rows,)
    columns: Integers  # shape (n_nonempty,): in ascending order
    X: sp.csr_array  # shape (n_rows, n_nonempty)


class _KernelCall(NamedTuple):
    """Minibatches that one call of the kernel learns from.

    Attributes
    ----------
    rows : int32 array
        The numbers of their rows, one minibatch after the other.
    arrays : tuple of arrays
        CSR arrays, the places of `rows` in these, and the number of rows in each minibatch.
    grouped : tuple of bytes, or None
        The entries of each minibatch column by column: from `kernel.group_rows`.
    numbers : int array
        Which of the minibatches are learned from, in this order.
    """

    rows: I32
    arrays: tuple[F32, I32, I64, I32, I64]
    grouped: tuple[bytes, bytes, bytes, bytes] | None
    numbers: I64

    @property
    def is_unpacked(self) -> bool:
        """Whether the arrays have these rows alone."""
        return self.arrays[3] is not self.rows


class Minibatches:
    """Rows in random order, cut into minibatches that are the same in each pass.

    Unless entries are many, they are grouped by column once for all passes with the kernel; without
    it, the columns of each minibatch are looked up once, and its entries cached.

    Parameters
    ----------
    X : PackedRows, or float32 CSR array, shape (n_rows, n_columns)
    rows : int array
        The rows to go through.
    rng : numpy.random.Generator
    n_passes : int
    n_in_all : int, optional
        The number of rows that are learned from, if these are a part of them; it decides the size
        of minibatches and steps.
    """

    def __init__(
        self,
        X: PackedRows | sp.csr_array,
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
        is_cached = X.nnz <= _MAX_CACHED_ENTRIES
        self._cache: dict[int, Minibatch] | None = {} if is_cached else None
        if not has_kernel():
            self._parts  # noqa: B018  made once, before there are threads
        self._is_grouped_once = is_cached and n_passes > 1 and not isinstance(X, PackedRows)
        # Threads that learn other topics from the same rows share calls.
        self._shared: dict[tuple[bool, int, int], _KernelCall] = {}
        self._lock = threading.Lock()

    def calls(
        self, first: int, last: int | None, n_topics: int
    ) -> Iterator[tuple[int, _KernelCall]]:
        """Yield the pass and a few minibatches at a time for the kernel; see `passes`.

        The entries of each are grouped by column if so many topics learn from them that this pays.
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
        """Return a call, as made by the first thread that needs it.

        The key is whether its entries are grouped, the pass, and the first minibatch.
        """
        with self._lock:
            if key not in self._shared:
                self._shared[key] = self._make_call(parts, is_grouped=key[0])
                if len(self._shared) > _MAX_SHARED:
                    del self._shared[next(iter(self._shared))]
            return self._shared[key]

    def release(self) -> None:
        """Free what has been cached for further passes and other topics."""
        self._cache = None if self._cache is None else {}
        self._shared.clear()

    def _make_call(self, parts: list[I32], *, is_grouped: bool) -> _KernelCall:
        """Return the rows of minibatches, and their entries grouped by column."""
        X, rows, sizes = self.X, np.concatenate(parts), np.array([*map(len, parts)])
        places = rows
        if isinstance(X, PackedRows):  # only these rows are unpacked
            X, places = X[rows], np.arange(len(rows), dtype=np.int32)
        indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64)
        arrays = X.data, indices, indptr, places, sizes
        grouped = kernel.group_rows(*arrays, X.shape[1]) if is_grouped else None
        return _KernelCall(rows, arrays, grouped, np.arange(len(sizes)))

    def passes(self, first: int, last: int | None) -> Iterator[tuple[int, Minibatch]]:
        """Yield the pass and each minibatch, for passes from `first` up to `last - 1`."""
        for number, order in enumerate(self._orders[first:last], first):
            for part in order.tolist():
                yield number, self._minibatch(part)

    def _minibatch(self, part: int) -> Minibatch:
        if self._cache is not None and part in self._cache:
            return self._cache[part]
        rows, columns, local = self._parts[part]
        X = self.X[rows]
        arrays = X.data, local.astype(np.int32), X.indptr
        batch = Minibatch(rows, columns, sp.csr_array(arrays, shape=(len(rows), len(columns))))
        if self._cache is not None:
            self._cache[part] = batch
        return batch

    @cached_property
    def _parts(self) -> list[tuple[Integers, Integers, Integers]]:
        """The rows of each minibatch, the columns with entries, and each entry's place in these."""
        is_present = np.zeros(self.X.shape[1], dtype=bool)
        places = np.empty(self.X.shape[1], dtype=np.int32)
        parts: list[tuple[Integers, Integers, Integers]] = []
        for rows in self._rows:
            indices = self.X[rows].indices
            is_present[indices] = True
            columns = np.flatnonzero(is_present).astype(np.int32)
            is_present[columns] = False
            places[columns] = np.arange(len(columns), dtype=np.int32)
            parts.append((rows, columns, places[indices].astype(np.min_scalar_type(len(columns)))))
        return parts


# Steps ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleCosts:
    """Costs of errors on rows."""

    labels: Labels
    # shape (n_rows,): cost of an error in the score of a topic that the row doesn't have.
    negative: F32
    positive: F32  # shape (n_labels,): cost of an error in the score of a topic that the row has

    def take(self, rows: Integers) -> SampleCosts:
        """Return the costs of some rows."""
        labels = self.labels
        return SampleCosts(
            labels.take(rows), self.negative[rows], self.positive[labels.places(rows)]
        )


class AdaGradDescent:
    """Weights of consecutive topics, moved by steps that shrink as the gradients of a term add up.

    Each topic is learned against all others and independently of them.

    Parameters
    ----------
    topics : slice
    weights : float32 array, shape (n_columns, n_topics)
        Changed in place, as are `biases` and `sums`.
    biases : float32 array, shape (n_topics,)
    sums : float32 array, shape (n_columns + 1,)
        Sum of squared gradients of each term, followed by that of the biases.
    costs : SampleCosts
    rates : float32 array, shape (n_columns + 1,), or (1,) if all are the same
        Learning rate of each term, followed by that of the biases.

    Attributes
    ----------
    highest, right : float32 array, shape (n_rows,)
        Each row's highest score and the score of its topic before the row was first learned from;
        minus infinity if its topic is none of these. If a row has several topics, one of them is
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
        self._items = _row_items(weights)
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

        `report` gets the fraction of all passes that each few steps are.
        """
        if has_kernel():
            for number, call in batches.calls(first, last, len(self.biases)):
                self._call_kernel(call, is_first=number == 0)
                if report is not None:
                    report(len(call.numbers) / batches.n_steps)
        else:
            for number, batch in batches.passes(first, last):
                self._step(batch, is_first=number == 0)
                if report is not None:
                    report(1 / batches.n_steps)
        return self

    def _call_kernel(self, call: _KernelCall, *, is_first: bool) -> None:
        costs, highest, right = self._costs, self.highest, self.right
        if call.is_unpacked:
            costs = costs.take(call.rows)
            highest, right = highest[call.rows], right[call.rows]
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
            highest if is_first else None,
            right if is_first else None,
            self.topics.start,
        )
        if call.is_unpacked:
            self.highest[call.rows], self.right[call.rows] = highest, right

    def _step(self, batch: Minibatch, *, is_first: bool) -> None:
        weights = self.weights.take(batch.columns, axis=0)  # three times as fast as by []
        scores: F32 = batch.X @ weights
        scores += self.biases
        labels = self._costs.labels
        places = labels.places(batch.rows)
        topics, owners = labels.topics[places], labels.take(batch.rows).rows
        is_here = (topics >= self.topics.start) & (topics < self.topics.stop)
        positives = owners[is_here], topics[is_here] - self.topics.start
        if is_first:
            self.highest[batch.rows] = scores.max(axis=1)
            self.right[batch.rows[positives[0]]] = scores[positives]
        slope = self._loss_slope(scores, batch.rows, positives, places[is_here])
        gradient: F32 = batch.X.T @ slope
        gradient *= self._step_sizes(batch.columns, gradient)[:, np.newaxis]
        weights -= gradient
        self._items.put(batch.columns, _row_items(weights))
        # The biases are the weights of a term that every document has.
        bias_gradient = slope.sum(axis=0, keepdims=True)
        self.biases -= self._step_sizes(np.array([-1]), bias_gradient) * bias_gradient[0]

    def _step_sizes(self, columns: Integers, gradient: F32) -> F32:
        """Add the squared gradient to the sums, and return the step size of each column."""
        sums: F32 = self.sums.take(columns)
        sums += np.square(gradient).sum(axis=1) / np.float32(gradient.shape[1])
        self.sums[columns] = sums
        rates = self._learning_rates
        taken = rates if len(rates) == 1 else rates.take(columns)
        return np.divide(taken, np.sqrt(sums), dtype=np.float32)

    def _loss_slope(
        self, scores: F32, rows: Integers, positives: tuple[Integers, Integers], labels: Integers
    ) -> F32:
        """Return the derivative of the loss with respect to scores; `labels` are the positives."""
        slope = np.maximum(1 + scores, 0)
        slope *= self._costs.negative[rows, np.newaxis]
        costs = self._costs.positive[labels]
        slope[positives] = -np.maximum(1 - scores[positives], 0) * costs
        slope *= np.float32(2)
        return slope


def has_kernel() -> bool:
    """Return whether the compiled kernel is installed and enabled."""
    return kernel is not None and sparse.kernels_enabled()


def _row_items(weights: F32) -> npt.NDArray[np.void]:
    """Return a view with each row as one item, which `put` stores twice as fast."""
    return weights.view((np.void, weights.itemsize * weights.shape[1])).reshape(-1)


def initial_squared_sums(n_columns: int, start: float) -> F32:
    """Return the initial sum of squared gradients of each term, followed by that of the biases."""
    return np.full(n_columns + 1, start, dtype=np.float32)


def widen_squared_sums(sums: F32, places: Index | slice, n_columns: int, start: float) -> F32:
    """Return the sums with room for new terms, which begin with `start`.

    Parameters
    ----------
    sums : float32 array, shape (n_columns_before + 1,)
        See `initial_squared_sums`.
    places : int array, shape (n_columns_before,), or slice
        The new position of each term.
    n_columns : int
    start : float
    """
    wider = initial_squared_sums(n_columns, start)
    wider[places], wider[-1] = sums[:-1], sums[-1]
    return wider


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
# A prior: each term counts as seen in this part of a document of each topic, so that what few
# documents say of a term counts little.
_PRIOR = 1 / 6
# Added to each term's relevance, as terms that say nothing alone may say something with others.
# Half as much would be better by 0.2 points in the mean, but lose up to 2 on some sets.
_MIN_RELEVANCE = 1.0
# Entries that are counted at a time, as a multiple of the terms; and at most, as each takes some
# 40 bytes meanwhile.
_ENTRIES_PER_TERM, _MAX_COUNTED = 4, 1 << 20
#: With at most this many rows of one topic each, weights are computed at the minimum.
FEW_ROWS = 500
# Power of relevance; and of few rows, or few per topic, of more than two topics. Opinions differ in
# small words that two topics share, and for which 4 cost up to two points.
_RELEVANCE_POWER, _POWER_OF_FEW, _FEW_ROWS_PER_TOPIC = 2, 4, 60


def relevance(X: PackedRows | sp.csr_array, labels: Labels, rows: Integers) -> F64:
    """Return each term's relevance: how much the topics of its documents differ from all.

    The Kullback-Leibler divergence, divided by its maximum for equally frequent topics: 0 for a
    term that is as frequent in all topics.

    Parameters
    ----------
    X : PackedRows, or float32 CSR array, shape (n_rows, n_columns)
    labels : Labels
    rows : int array
        The rows to count; a row with several topics counts once for each.
    """
    counted = labels.take(rows)
    _, numbers, sizes = np.unique(counted.topics, return_inverse=True, return_counts=True)
    owners = rows[counted.rows]
    # Counts by term and topic can take more memory than the rows, so only as many topics are
    # counted at a time as have the entries of a slice; more if there are many terms, each of which
    # takes time in each slice.
    by_topic = owners[np.argsort(numbers, kind="stable")]
    bounds = sparse.row_offsets(sizes)
    n_entries = sparse.row_offsets(sparse.row_lengths(X.indptr)[by_topic])[bounds]
    most_entries = min(_ENTRIES_PER_TERM * X.shape[1], _MAX_COUNTED)
    most_entries = max(sparse.SLICE_ENTRIES, most_entries)
    slices = [*sparse.row_slices(n_entries, most_entries)]
    divergence: _Divergence | None = None
    if len(slices) > 1:
        divergence = _Divergence.from_totals(_count_documents(X, counted.n_each, rows), sizes)
    for topics in slices:
        starts = bounds[topics.start : topics.stop + 1]
        terms, indptr = take_columns(X, by_topic[starts[0] : starts[-1]])
        pairs = _TopicCounts.from_rows(terms, indptr, starts - starts[0], X.shape[1])
        if divergence is None:
            totals = np.bincount(pairs.terms, pairs.counts, X.shape[1])
            divergence = _Divergence.from_totals(totals, sizes)
        divergence.add(pairs, topics.start)
    if divergence is None:
        divergence = _Divergence.from_totals(np.zeros(X.shape[1]), sizes)
    return divergence.relevance()


def _count_documents(X: PackedRows | sp.csr_array, n_each: Integers, rows: Integers) -> I64:
    """Return how many of the rows have each term, each counted `n_each` times."""
    totals = np.zeros(X.shape[1], dtype=np.int64)
    for part in _row_parts(X, rows):
        terms, indptr = take_columns(X, rows[part])
        np.add.at(totals, terms, n_each[part].repeat(sparse.row_lengths(indptr)))
    return totals


class _TopicCounts(NamedTuple):
    """How many documents of topics have a term, where any have; topics ascend for each term."""

    topics: Integers
    terms: Integers
    counts: npt.NDArray[np.number]

    @classmethod
    def from_rows(
        cls, terms: Integers, indptr: Integers, starts: Integers, n_columns: int
    ) -> _TopicCounts:
        """Count the terms of rows in CSR; the rows of each topic begin at `starts`."""
        n_rows, n_topics = len(indptr) - 1, len(starts) - 1
        if n_topics * n_columns <= _MAX_COUNTED:  # a table of all pairs, in half the time
            firsts = np.arange(n_topics + 1) * n_columns
            keys = terms + firsts[:-1].repeat(np.diff(indptr[starts]))
            table = np.bincount(keys, minlength=n_topics * n_columns)
            pairs = np.flatnonzero(table > 0)  # of bool, which takes a fifth of the time
            n_pairs = np.diff(np.searchsorted(pairs, firsts))
            topics = np.arange(n_topics).repeat(n_pairs)
            return cls(topics, pairs - firsts[topics], table[pairs])
        rows_of_topics = _ones(np.arange(n_rows), starts, (n_topics, n_rows))
        counts = rows_of_topics @ _ones(terms, indptr, (n_rows, n_columns))
        topics = np.arange(n_topics).repeat(sparse.row_lengths(counts.indptr))
        return cls(topics, counts.indices, counts.data)


@dataclass(frozen=True)
class _Divergence:
    """The divergence of each term, summed over topics in ascending order."""

    totals: F64  # shape (n_columns,): documents with each term, and the prior
    fractions: F64  # shape (n_topics,): of all documents
    prior: float
    sums: F64  # shape (n_columns,): over the topics that have a term
    coverage: F64  # shape (n_columns,): the sum of their fractions

    @classmethod
    def from_totals(cls, totals: F64 | I64, sizes: Integers) -> _Divergence:
        """Return the divergence before any topic, given the documents of each term and topic."""
        prior = _PRIOR * max(1, len(sizes))
        sums, coverage = np.zeros(len(totals)), np.zeros(len(totals))
        all_totals = np.asarray(totals, dtype=np.float64) + prior
        return cls(all_totals, sizes / sizes.sum(), prior, sums, coverage)

    def add(self, pairs: _TopicCounts, first: int) -> None:
        """Add consecutive topics, whose numbers are counted from the first one."""
        topics, terms, counts = pairs
        fractions = self.fractions[first + topics]
        ratio = (counts / fractions + self.prior) / self.totals[terms]
        np.add.at(self.sums, terms, fractions * ratio * np.log(ratio))
        np.add.at(self.coverage, terms, fractions)

    def relevance(self) -> F64:
        """Return the relevance after all topics."""
        # Topics without the term have one ratio.
        ratio = self.prior / self.totals
        divergence: F64 = self.sums + (1 - self.coverage) * ratio * np.log(ratio)
        return divergence / np.log(max(len(self.fractions), 2))


def _ones(columns: Integers, indptr: Integers, shape: tuple[int, int]) -> sp.csr_array:
    return sp.csr_array((np.ones(len(columns), dtype=np.float32), columns, indptr), shape=shape)


def take_columns(X: PackedRows | sp.csr_array, rows: Integers) -> tuple[Integers, Integers]:
    """Return the columns of nonzero entries of rows, and where each row starts."""
    if isinstance(X, PackedRows):
        return X.take_columns(rows)
    part = X[rows]
    part.eliminate_zeros()
    return part.indices, part.indptr


def _row_parts(X: PackedRows | sp.csr_array, rows: Integers) -> Iterator[slice]:
    """Yield slices of `rows`, with so few entries that they take little memory."""
    return sparse.row_slices(sparse.row_offsets(sparse.row_lengths(X.indptr)[rows]))


def relevance_power(n_rows: int, n_topics: int, multilabel: bool) -> int:
    """Return the power of relevance in the learning rates of terms."""
    are_few = n_rows <= max(FEW_ROWS, _FEW_ROWS_PER_TOPIC * n_topics)
    return _POWER_OF_FEW if are_few and n_topics > 2 and not multilabel else _RELEVANCE_POWER


def term_rates(X: PackedRows | sp.csr_array, labels: Labels, rows: Integers, power: int) -> F32:
    """Return the factor of each term's learning rate, followed by that of the biases, which is 1.

    See `relevance`. The mean over terms, weighted by their squares in the rows, is 1.

    Returns
    -------
    float32 array, shape (n_columns + 1,)
    """
    squares = np.zeros(X.shape[1], dtype=np.float32)
    for part in _row_parts(X, rows):
        counted = X[rows[part]]
        np.add.at(squares, counted.indices, np.square(counted.data))
    totals = squares.astype(np.float64)
    rates = learning_rates(relevance(X, labels, rows), totals, power)
    return np.append(rates, 1).astype(np.float32)


def learning_rates(relevance: F64, squares: F64, power: int) -> F64:
    """Return the rate of each term from its relevance and sum of squares; all (n_columns,)."""
    # Squares of squares take a tenth of the time of other powers.
    rates: F64 = ((_MIN_RELEVANCE + relevance) ** 2) ** (power // 2)
    return rates / ((squares @ rates) / squares.sum() if squares.any() else 1.0)


# Weights that matter ------------------------------------------------------------------------------

# Weights below this fraction of their root mean square are dropped, a larger one the more weights
# there are: most are near 0, and hardly one prediction in a hundred changes.
_THRESHOLDS, _LARGEST_THRESHOLD = {1 << 20: 0.25, 1 << 26: 0.5}, 0.75
#: At the minimum, words that all topics share have nearly no weight. With this threshold they stay
#: known, and `partial_fit` does not add them as new ones, which would shorten the weights of all
#: others in a row of length 1.
THRESHOLD_AT_MINIMUM = 0.005
# Rounds to 11 binary digits, as in a float16 with a wider exponent.
_ROUND, _CUT = np.uint32(0x1000), np.uint32(0xFFFFE000)
_SLICE_WEIGHTS = 1 << 18


def drop_threshold(n_weights: int) -> float:
    """Return the fraction of the root mean square below which `n_weights` weights are dropped."""
    return next((t for most, t in _THRESHOLDS.items() if n_weights <= most), _LARGEST_THRESHOLD)


def sparsify(weights: F32, threshold: float, slice_weights: int = _SLICE_WEIGHTS) -> sp.csc_array:
    """Return the weights without negligible ones, rounded to 11 binary digits.

    Parameters
    ----------
    weights : float32 array, shape (n_columns, n_topics)
        The weights of some of a model's topics.
    threshold : float
        From `drop_threshold`.
    slice_weights : int
        The number of weights that are processed at a time.
    """
    n_topics = weights.shape[1]
    # They are counted first, so that all of them are never in memory twice.
    slices = [*_large_weights(weights, threshold, slice_weights)]
    counts = sum((part.n_each for part in slices), np.zeros(n_topics, dtype=np.int64))
    indptr = sparse.narrow_offsets(sparse.row_offsets(counts))
    rows, values = (np.empty(indptr[-1], dtype=dtype) for dtype in (np.int32, np.float32))
    ends = indptr[:-1].tolist()
    for part in slices:
        part_rows, part_values = part.rows() + np.int32(part.first_row), part.rounded(weights)
        bounds = itertools.pairwise(sparse.row_offsets(part.n_each).tolist())
        for topic, (start, stop) in enumerate(bounds):
            end, ends[topic] = ends[topic], ends[topic] + stop - start
            rows[end : ends[topic]] = part_rows[start:stop]
            values[end : ends[topic]] = part_values[start:stop]
    return sp.csc_array((values, rows, indptr), shape=weights.shape)


class _LargeWeights(NamedTuple):
    """Where weights that matter are in a slice of rows.

    Attributes
    ----------
    first_row, n_rows : int
    places : int32 array, shape (n_large,)
        Topic after topic, in the raveled transpose of the slice.
    n_each : int array, shape (n_topics,)
        Number of weights of each topic.
    """

    first_row: int
    n_rows: int
    places: I32
    n_each: Integers

    def rows(self) -> I32:
        """Return the row of each weight in the slice."""
        firsts = np.arange(len(self.n_each), dtype=np.int32) * np.int32(self.n_rows)
        rows: I32 = self.places - firsts.repeat(self.n_each)
        return rows

    def rounded(self, weights: F32) -> F32:
        """Return the weights, rounded to 11 binary digits, given those of all rows."""
        part = weights[self.first_row : self.first_row + self.n_rows]
        bits = part.T.ravel().take(self.places).view(np.uint32)
        bits += _ROUND
        bits &= _CUT
        return bits.view(np.float32)


def _large_weights(
    weights: F32, threshold: float, slice_weights: int = _SLICE_WEIGHTS
) -> Iterator[_LargeWeights]:
    """Yield where weights are that are not negligible, slice by slice; see `sparsify`."""
    n_topics = weights.shape[1]
    step = max(1, slice_weights // max(1, n_topics))
    starts = range(0, len(weights), step)
    # Bools are counted several times as fast.
    n_nonzero = sum(np.count_nonzero(weights[start : start + step] != 0) for start in starts)
    least = threshold * np.sqrt(
        np.einsum("ij,ij->", weights, weights, dtype=np.float64) / max(1, n_nonzero)
    )
    for first in starts:
        part = weights[first : first + step]
        matters = np.ascontiguousarray((np.abs(part) > least).T)
        places = np.flatnonzero(matters).astype(np.int32)  # topic after topic
        yield _LargeWeights(first, len(part), places, np.count_nonzero(matters, axis=1))


# Memory of parts of so many weights is given back to the system as they are joined.
_MANY_LARGE = 1 << 20
# Rows in a block of `TopicWeights`, whose numbers in the block take one byte.
_BLOCK_ROWS = 1 << 8


class TopicWeights(NamedTuple):
    """Weights of consecutive topics without negligible ones, in three bytes each."""

    slices: list[_WeightSlice]
    shape: tuple[int, int]  # numbers of rows and topics

    @classmethod
    def from_dense(
        cls, weights: F32, threshold: float, slice_weights: int = _SLICE_WEIGHTS
    ) -> TopicWeights:
        """Return the same weights as `sparsify`."""
        slices = [
            _WeightSlice.from_large(part, weights)
            for part in _large_weights(weights, threshold, slice_weights)
        ]
        return cls(slices, weights.shape)


class _WeightSlice(NamedTuple):
    """Weights of consecutive rows, topic after topic.

    Attributes
    ----------
    first_row : int
    values : float16 or float32 array, shape (n_weights,)
        In half precision if that changes none.
    places : uint8 array, shape (n_weights,)
        The number of each weight's row in its block of 256 rows.
    counts : uint16 array, shape (n_topics, n_blocks)
        Number of weights in each block; at most 256.
    """

    first_row: int
    values: F16 | F32
    places: U8
    counts: U16

    @classmethod
    def from_large(cls, part: _LargeWeights, weights: F32) -> _WeightSlice:
        """Return the weights of a slice, given those of all rows."""
        n_topics, values = weights.shape[1], part.rounded(weights)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        rows, n_blocks = part.rows(), -(-part.n_rows // _BLOCK_ROWS)
        blocks = np.arange(n_topics).repeat(part.n_each) * n_blocks + rows // _BLOCK_ROWS
        counts = np.bincount(blocks, minlength=n_topics * n_blocks).astype(np.uint16)
        return cls(
            part.first_row,
            halves if np.array_equal(halves, values) else values,
            (rows % _BLOCK_ROWS).astype(np.uint8),
            counts.reshape(n_topics, n_blocks),
        )

    def topics(self) -> Iterator[tuple[I32, Floats]]:
        """Yield the rows and the values of each topic's weights."""
        n_blocks = self.counts.shape[1]
        firsts = self.first_row + _BLOCK_ROWS * np.arange(n_blocks, dtype=np.int32)
        ends = sparse.row_offsets(self.counts.sum(axis=1, dtype=np.int64)).tolist()
        for counts, (start, stop) in zip(self.counts, itertools.pairwise(ends), strict=True):
            rows = firsts.repeat(counts)
            rows += self.places[start:stop]
            yield rows, self.values[start:stop]


def hstack_topics(parts: list[sp.csc_array] | list[TopicWeights]) -> sp.csr_array:
    """Return the weights of consecutive batches of topics side by side; `parts` is emptied.

    A part is freed once its weights have been copied: all of them can take more memory than rows.
    """
    first = parts[0]
    if len(parts) == 1 and not isinstance(first, TopicWeights):
        parts.clear()
        return first.tocsr()
    n_rows, n_topics = first.shape[0], sum(part.shape[1] for part in parts)
    del first
    lengths = np.zeros(n_rows, dtype=np.int32)
    for part in parts:
        for _, rows, _ in _weights_of_topics(part):
            lengths[rows] += 1  # which are distinct
    indptr = sparse.narrow_offsets(sparse.row_offsets(lengths))
    ends = indptr[:-1].copy()
    topics = np.empty(indptr[-1], dtype=np.int32)
    values = np.empty(indptr[-1], dtype=np.float32)
    first_topic = 0
    while parts:
        part = parts.pop(0)
        for topic, rows, row_values in _weights_of_topics(part):
            places = ends[rows]
            topics[places], values[places] = first_topic + topic, row_values
            ends[rows] += 1
        first_topic += part.shape[1]
        del part
        if indptr[-1] > _MANY_LARGE:
            release_memory()
    return sp.csr_array((values, topics, indptr), shape=(n_rows, n_topics))


def _weights_of_topics(part: sp.csc_array | TopicWeights) -> Iterator[tuple[int, I32, Floats]]:
    """Yield topics in ascending order for each row, with rows and values of their weights."""
    if isinstance(part, TopicWeights):
        for each in part.slices:
            for topic, (rows, values) in enumerate(each.topics()):
                yield topic, rows, values
        return
    for topic, (start, stop) in enumerate(itertools.pairwise(part.indptr.tolist())):
        yield topic, part.indices[start:stop], part.data[start:stop]
