"""Blocks of rows, and sums over them: the loss of one topic against all others and its derivatives.

For each topic `k`, with rows `x_i`, weights `w` and a bias `b`, training minimises::

    sum_j w_j^2 / (2 r_j) + (b + 1)^2 / 2 + C sum_i c_ik max(0, 1 - t_ik (x_i w + b))^2

where `t_ik` is 1 if row `i` has the topic, else -1; `c_ik` is the cost of the error, higher for
rows of rare topics (`steps.topic_rarity`); `r_j` is the learning rate of term `j`
(`steps.term_rates`); and `C = (10,000 / n)^(1/4)` for `n` rows, or 1 for few. All were chosen by
cross-validation on training splits.
This module computes the sum over rows; `newton` adds the penalty and minimises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import (
    F32,
    F64,
    I32,
    I64,
    U8,
    U64,
    Index,
    Integers,
    Mask,
    aligned,
    zeros_at_cache_line,
)
from slugline.learning.linear import steps
from slugline.text import sparse

try:
    from slugline.learning.linear import _passes as _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


#: A tuple of arrays, each of which is summed over blocks.
Arrays = tuple[npt.NDArray[Any], ...]
#: A function of a block and shared arguments.
BlockFunction = Callable[..., Any]


class BlockSums(Protocol):
    """Sums a function over blocks of rows.

    Functions must be at the top level of a module, and depend only on the block and `shared`. Terms
    are added in a fixed order, so that sums are the same, bit for bit, for any number of workers.
    """

    def sum_blocks(
        self, function: BlockFunction, *shared: Any, stored: Any = None, into: Arrays | None = None
    ) -> Arrays:
        """Return the sum of `function(block, *shared, into=total)` over all blocks.

        The function adds the block's arrays to `total` in place and returns it; if `total` is None,
        it returns new arrays.

        Parameters
        ----------
        stored : object, optional
            From `sum_blocks_storing`: calls `function(block, value, *shared, into=total)` instead,
            with the value stored for the block.
        into : tuple of arrays, optional
            Buffers of the right shapes, which now belong to the engine; allocating large arrays is
            slow. The arrays returned may be others.
        """

    def sum_blocks_storing(
        self, function: BlockFunction, *shared: Any, into: Arrays | None = None
    ) -> tuple[Arrays, Any]:
        """Return a sum as `sum_blocks` does, and a handle of values stored with the blocks.

        The function returns its arrays, and the value to store for the block.
        """


class LocalBlock:
    """Sums over a single block in memory."""

    def __init__(self, block: RowBlock) -> None:
        self._block = block

    def sum_blocks(
        self, function: BlockFunction, *shared: Any, stored: Any = None, into: Arrays | None = None
    ) -> Arrays:
        """Return the function of the block."""
        values = () if stored is None else (stored,)
        return function(self._block, *values, *shared, into=_zeroed(into))

    def sum_blocks_storing(
        self, function: BlockFunction, *shared: Any, into: Arrays | None = None
    ) -> tuple[Arrays, Any]:
        """Return the function of the block."""
        return function(self._block, *shared, into=_zeroed(into))


def _zeroed(arrays: Arrays | None) -> Arrays | None:
    for array in arrays or ():
        array.fill(0)
    return arrays


# Blocks of rows ----------------------------------------------------------------------------------


#: Rows of a block are numbered in 16 bits.
MAX_ROWS = 1 << 16


class RowBlock(NamedTuple):
    """Consecutive rows and their topics, in arrays that may be memory-mapped.

    Entries are stored by column: a pass then reads the many weights in order, and only the scores
    of rows, which fit into the processor's cache, at random. With entries stored by row, it takes
    2.5 times as long.
    """

    values: F32  # shape (n_entries,)
    rows: npt.NDArray[np.uint16]  # shape (n_entries,): in ascending order in each column
    columns: I32  # shape (n_nonempty,): columns that have entries, in ascending order
    ends: I64  # shape (n_nonempty,): where the entries of each of these columns end
    n_columns: int
    y: I32  # shape (n_labels,): the topic numbers of rows, row after row
    # shape (n_rows,): a hash of each row's text. It decides which rows are held out, so that
    # copies of a text are held out together.
    keys: U64
    n_labels: I32 | None = None  # shape (n_rows,): how many topics each row has; None if one
    costs: F32 | None = None  # shape (n_rows,): the cost of an error in each row; None if 1

    @classmethod
    def from_csr(cls, X: sp.csr_array, y: I32, keys: U64, n_labels: I32 | None = None) -> RowBlock:
        """Return the block of at most `MAX_ROWS` rows, shape (n_rows, n_columns)."""
        by_column = X.tocsc()
        columns = np.flatnonzero(np.diff(by_column.indptr)).astype(np.int32)
        ends = by_column.indptr[1:][columns].astype(np.int64)
        rows = by_column.indices.astype(np.uint16)
        return cls(by_column.data, rows, columns, ends, X.shape[1], y, keys, n_labels)

    def to_csc(self) -> sp.csc_array:
        """Return the rows as a CSC array, shape (n_rows, n_columns)."""
        indptr = np.zeros(self.n_columns + 1, dtype=np.int32)
        indptr[self.columns + 1] = np.diff(self.ends, prepend=0)
        arrays = self.values, self.rows.astype(np.int32), indptr.cumsum()
        return sp.csc_array(arrays, shape=(len(self.keys), self.n_columns))

    def take_rows(self, mask: Mask) -> sp.csr_array:
        """Return the rows where `mask`, shape (n_rows,), is true."""
        number, entries = np.cumsum(mask) - 1, np.flatnonzero(mask[self.rows])
        indices = number[self.rows[entries]], self.entry_columns()[entries]
        shape = (int(mask.sum()), self.n_columns)
        return sp.coo_array((self.values[entries], indices), shape=shape).tocsr()

    def entry_columns(self) -> I32:
        """Return the column of each entry, shape (n_entries,)."""
        return self.columns.repeat(np.diff(self.ends, prepend=0))

    def scores(self, weights: F32) -> F32:
        """Return the product of the rows with weights, shape (n_rows, n_topics)."""
        if not _has_kernel():
            return np.asarray(self.to_csc() @ weights)
        scores = zeros_at_cache_line((len(self.keys), weights.shape[1]))
        kernel.scores(*self[:4], aligned(weights), scores, weights.shape[1])
        return scores

    def column_sums(self, factors: F32, into: F32 | None = None) -> F32:
        """Return the transposed product, shape (n_columns, n_topics), added to `into` in place.

        Parameters
        ----------
        factors : float32 array, shape (n_rows, n_topics)
        """
        n_topics = factors.shape[1]
        sums = np.zeros((self.n_columns, n_topics), dtype=np.float32) if into is None else into
        if _has_kernel():
            kernel.sums(*self[:4], sums, aligned(factors), n_topics)
        else:
            sums += self.to_csc().T @ factors
        return sums

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make the block from what Dask sends, with arrays that the kernel reads."""
        return _receive_block, tuple(self)

    @property
    def label_rows(self) -> Index:
        """The row of each topic number, shape (n_labels,)."""
        rows = np.arange(len(self.keys))
        return rows if self.n_labels is None else rows.repeat(self.n_labels)

    def positives(self, topics: Integers, n_topics: int) -> tuple[Index, Index]:
        """Return the rows of some of `n_topics` topics, and where each row's is in `topics`."""
        places = np.full(n_topics, -1)
        places[topics] = np.arange(len(topics))
        places = places[self.y]
        labels = np.flatnonzero(places >= 0)
        rows = labels if self.n_labels is None else self.label_rows[labels]
        return rows, places[labels]

    def row_costs(self, costs: F32) -> F32:
        """Return the mean of the costs of each row's topics, shape (n_rows,).

        A row without topics gets the mean of all costs.
        """
        if self.n_labels is None:
            return costs[self.y]
        sums = np.bincount(self.label_rows, costs[self.y], len(self.keys))
        means = np.where(self.n_labels > 0, sums / np.maximum(self.n_labels, 1), costs.mean())
        return means.astype(np.float32)


def _receive_block(*fields: Any) -> RowBlock:
    plain: Any = (aligned(f) if isinstance(f, np.ndarray) else f for f in fields)
    return RowBlock(*plain)


def _has_kernel() -> bool:
    return kernel is not None and sparse.kernels_enabled()


def add_arrays(into: Arrays | None, arrays: Arrays) -> Arrays:
    """Add arrays to `into` in place and return it; return the arrays if `into` is None."""
    if into is None:
        return arrays
    for total, array in zip(into, arrays, strict=True):
        total += array
    return into


def column_squares(block: RowBlock, into: Arrays | None = None) -> Arrays:
    """Return the sum of squares of each column, shape (n_columns,)."""
    squares = np.square(block.values, dtype=np.float64)
    by_column = np.bincount(block.entry_columns(), squares, block.n_columns)
    return add_arrays(into, (by_column.astype(np.float64),))  # without rows, bincount has integers


def training_counts(
    block: RowBlock, n_topics: int, min_key: int, into: Arrays | None = None
) -> Arrays:
    """Return how many rows with a key of at least `min_key` have each column, and each topic.

    Returns
    -------
    (int64 array, shape (n_columns,), int64 array, shape (n_topics,), int64 array, shape (1,))
        The last array is the number of these rows.
    """
    mask = block.keys >= np.uint64(min_key)
    by_column = np.bincount(block.entry_columns()[mask[block.rows]], minlength=block.n_columns)
    y = block.y[mask[block.label_rows]]
    by_topic = np.bincount(y, minlength=n_topics)
    return add_arrays(into, (by_column, by_topic, np.array([mask.sum()])))


def topic_counts(
    block: RowBlock, topics: slice, min_key: int, into: Arrays | None = None
) -> Arrays:
    """Return how many rows with a key of at least `min_key` have each column, by topic.

    Returns
    -------
    (float32 array, shape (n_columns, width of `topics`),)
    """
    n_topics = topics.stop - topics.start
    is_topic = np.zeros((len(block.keys), n_topics), dtype=np.float32)
    is_here = (block.y >= topics.start) & (block.y < topics.stop)
    is_topic[block.label_rows[is_here], block.y[is_here] - topics.start] = 1
    is_topic[block.keys < np.uint64(min_key)] = 0
    ones = block._replace(values=np.ones_like(block.values))
    return (ones.column_sums(is_topic, None if into is None else into[0]),)


# The loss and its derivatives --------------------------------------------------------------------

# C is 1 for so many rows, and falls with this power of their number; and 1 for few rows, of which
# a wrong topic would weigh too much.
_ROWS_OF_COST_1, _COST_POWER = 10_000, 0.25


def error_cost(n_rows: int) -> float:
    """Return C, the cost of an error with `n_rows` rows."""
    if n_rows <= steps.FEW_ROWS:
        return 1.0
    return float((_ROWS_OF_COST_1 / n_rows) ** _COST_POWER)


def topic_costs(n_rows: int, totals: F64 | I64, weights: F64 | None = None) -> tuple[F32, F32]:
    """Return the negative and positive costs of `OneVsRestTargets` for `n_rows` rows.

    Parameters
    ----------
    totals : array, shape (n_topics,)
        The total cost of each topic's rows.
    weights : float64 array, shape (n_topics,), optional
        The user's weights of topics; by default, the rows of rare topics cost more.
    """
    negative = error_cost(n_rows) * (np.ones(len(totals)) if weights is None else weights)
    positive = negative * steps.topic_rarity(totals) if weights is None else negative
    return negative.astype(np.float32), positive.astype(np.float32)


@dataclass(frozen=True)
class OneVsRestTargets:
    """The topics to learn, each against the rest, and the costs of errors."""

    topics: I32  # shape (n_topics,)
    # shape (n_all_topics,): for each topic, the cost of an error on one of its rows in
    # learning another topic, and in learning the topic itself; C times `c_ik`.
    negative_costs: F32
    positive_costs: F32
    min_key: int = 0  # Rows with a lower key are held out

    def take(self, indices: Index) -> OneVsRestTargets:
        """Return the targets of some of the topics."""
        return replace(self, topics=self.topics[indices])

    def positives(self, block: RowBlock) -> tuple[Index, Index]:
        """Return the row and topic indices of the positive labels in a block."""
        return block.positives(self.topics, len(self.positive_costs))

    def double_costs(self, block: RowBlock, positives: tuple[Index, Index]) -> F32:
        """Return twice the cost of each row's errors, shape (n_rows, n_topics)."""
        negative = block.row_costs(self.negative_costs)
        costs = np.repeat(negative[:, np.newaxis], len(self.topics), axis=1)
        costs[positives] = self.positive_costs[self.topics[positives[1]]]
        costs *= np.float32(2) if block.costs is None else 2 * block.costs[:, np.newaxis]
        return costs


def loss_gradient(
    block: RowBlock,
    weights: F32,
    biases: F64,
    targets: OneVsRestTargets,
    into: Arrays | None = None,
) -> tuple[Arrays, U8]:
    """Return the gradient of a block's loss, and which errors are above 0.

    Returns
    -------
    ((float32 array, shape (n_columns, n_topics), float64 array, shape (n_topics,)), bits)
        The gradients with respect to weights and biases, added to `into` in place; and a bit for
        each row and topic.
    """
    positives = targets.positives(block)
    errors = _scores(block, weights, biases)
    positive_errors = 1 - errors[positives]
    errors += 1
    is_active = errors >= 0  # at the start, all are 0; counting them improves the first step
    is_active[positives] = positive_errors >= 0
    np.maximum(errors, 0, out=errors)
    errors[positives] = -np.maximum(positive_errors, 0)
    heldout = block.keys < np.uint64(targets.min_key)
    errors[heldout], is_active[heldout] = 0, False
    errors *= targets.double_costs(block, positives)
    return _backward(block, errors, into), np.packbits(is_active, axis=1)


def hessian_product(
    block: RowBlock,
    active_bits: U8,
    direction: F32,
    bias_direction: F64,
    targets: OneVsRestTargets,
    bit_indices: Index,
    into: Arrays | None = None,
) -> Arrays:
    """Return the product of the Hessian of a block's loss with a direction, like `loss_gradient`.

    Parameters
    ----------
    active_bits : bits
        From `loss_gradient`, which may have been for more topics.
    bit_indices : int array, shape (n_topics,)
        The positions of the topics among those.
    """
    curvature = _scores(block, direction, bias_direction)
    curvature *= targets.double_costs(block, targets.positives(block))
    curvature *= np.unpackbits(active_bits, axis=1)[:, bit_indices]
    return _backward(block, curvature, into)


def _scores(block: RowBlock, weights: F32, biases: F64) -> F32:
    scores = block.scores(weights)
    scores += biases.astype(np.float32)
    return scores


def _backward(block: RowBlock, derivatives: F32, into: Arrays | None) -> Arrays:
    """Return derivatives by weights and biases, given those by scores, (n_rows, n_topics)."""
    bias_sums = derivatives.sum(axis=0, dtype=np.float64)
    if into is None:
        return block.column_sums(derivatives), bias_sums
    weights, biases = into
    biases += bias_sums
    return block.column_sums(derivatives, weights), biases
