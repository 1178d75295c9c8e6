"""What rows say of weights: the errors of one topic against all others, and their slopes.

The function, for each topic `k` against all others, with rows `x_i`, weights `w` and a bias `b`::

    sum_j w_j^2 / (2 r_j) + (b + 1)^2 / 2 + C sum_i c_ik max(0, 1 - t_ik (x_i w + b))^2

where `t_ik` is 1 if row `i` has the topic, else -1, `c_ik` is what the error costs (more for rows
of rare topics, as in `Descent` of `training.linear`), `r_j` is how freely term `j` moves
(`term_rates`), and `C = (10,000 / n)^(1/4)` for `n` rows. All were chosen by cross-validation on
training splits. Here is the sum over rows; `training.whole_passes` has the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, U8, U64, Index, Integers, Mask
from slugline.text import sparse

__all__ = [
    "MAX_ROWS",
    "Arrays",
    "Engine",
    "OneVsRestTargets",
    "RowBlock",
    "add_arrays",
    "column_squares",
    "error_cost",
    "hessian_product",
    "kernel",
    "loss_gradient",
    "topic_counts",
    "training_counts",
]


# Some consecutive rows of a source that is too large for one table, and their topics --------------

try:
    from slugline.learning.linear import _passes as kernel
except ImportError:  # there was no compiler
    kernel = None  # type: ignore[assignment]


#: Arrays to add up, one kind beside another.
Arrays = tuple[npt.NDArray[Any], ...]

#: The rows of a block are numbered in 16 bits.
MAX_ROWS = 1 << 16


class RowBlock(NamedTuple):
    """Rows, in arrays that may lie in a file.

    They are stored column by column: a pass then goes through weights, which are many, in order,
    and jumps about between the scores of rows, which are few enough for the processor's cache.
    Row by row takes 2.5 times as long.

    Attributes
    ----------
    values : float32 array, shape (n_entries,)
    rows : uint16 array, shape (n_entries,)
        Ascending in each column.
    columns : int32 array, shape (n_named,)
        Those that have entries, in ascending order.
    ends : int64 array, shape (n_named,)
        Where the entries of each end.
    n_columns : int
    y : int32 array, shape (n_rows,)
        The number of each row's topic.
    keys : uint64 array, shape (n_rows,)
        A hash of each row's text, which says whether the row is held out: copies are together.
    """

    values: F32
    rows: npt.NDArray[np.uint16]
    columns: npt.NDArray[np.int32]
    ends: I64
    n_columns: int
    y: npt.NDArray[np.int32]
    keys: U64

    @classmethod
    def of(cls, X: sp.csr_array, y: npt.NDArray[np.int32], keys: U64) -> RowBlock:
        """Return the block of at most `MAX_ROWS` rows, shape (n_rows, n_columns)."""
        by_column = X.tocsc()
        columns = np.flatnonzero(np.diff(by_column.indptr)).astype(np.int32)
        ends = by_column.indptr[1:][columns].astype(np.int64)
        rows = by_column.indices.astype(np.uint16)
        return cls(by_column.data, rows, columns, ends, X.shape[1], y, keys)

    def csc(self) -> sp.csc_array:
        """Return the rows, shape (n_rows, n_columns)."""
        indptr = np.zeros(self.n_columns + 1, dtype=np.int32)
        indptr[self.columns + 1] = np.diff(self.ends, prepend=0)
        shape = (len(self.y), self.n_columns)
        arrays = self.values, self.rows.astype(np.int32), indptr.cumsum()
        return sp.csc_array(arrays, shape=shape)

    def some(self, chosen: Mask) -> sp.csr_array:
        """Return some rows, shape (n_chosen, n_columns).

        Parameters
        ----------
        chosen : bool array, shape (n_rows,)
        """
        place, here = np.cumsum(chosen) - 1, np.flatnonzero(chosen[self.rows])
        places = place[self.rows[here]], self.columns_of_entries()[here]
        shape = (int(chosen.sum()), self.n_columns)
        return sp.coo_array((self.values[here], places), shape=shape).tocsr()

    def columns_of_entries(self) -> npt.NDArray[np.int32]:
        """Return the column of each entry, shape (n_entries,)."""
        return self.columns.repeat(np.diff(self.ends, prepend=0))

    def scores(self, weights: F32) -> F32:
        """Return the products of rows and weights, shape (n_rows, n_topics)."""
        if not _has_kernel():
            return np.asarray(self.csc() @ weights)
        scores = np.zeros((len(self.y), weights.shape[1]), dtype=np.float32)
        kernel.scores(*self[:4], np.ascontiguousarray(weights), scores, weights.shape[1])
        return scores

    def sums(self, slopes: F32, into: F32 | None = None) -> F32:
        """Return the sums over rows of products with columns, shape (n_columns, n_topics).

        Parameters
        ----------
        slopes : float32 array, shape (n_rows, n_topics)
        into : float32 array, shape (n_columns, n_topics), optional
            What they are added to, in place.
        """
        n_topics = slopes.shape[1]
        sums = np.zeros((self.n_columns, n_topics), dtype=np.float32) if into is None else into
        if _has_kernel():
            kernel.sums(*self[:4], sums, np.ascontiguousarray(slopes), n_topics)
        else:
            sums += self.csc().T @ slopes
        return sums

    def own(self, topics: Integers, n_topics: int) -> tuple[Index, Index]:
        """Return which of the rows have one of the topics, and which of these it is.

        Parameters
        ----------
        topics : int array, shape (n_chosen,)
        n_topics : int
            How many there are in all.
        """
        place = np.full(n_topics, -1)
        place[topics] = np.arange(len(topics))
        own = place[self.y]
        here = np.flatnonzero(own >= 0)
        return here, own[here]


def _has_kernel() -> bool:
    return kernel is not None and sparse.kernels_enabled()


def add_arrays(into: Arrays | None, arrays: Arrays) -> Arrays:
    """Return the sums of two tuples of arrays; those on the left, if any, are used for them."""
    if into is None:
        return arrays
    for own, more in zip(into, arrays, strict=True):
        own += more
    return into


def column_squares(block: RowBlock, into: Arrays | None = None) -> Arrays:
    """Return the sum of squares of each column, shape (n_columns,), as the only item."""
    squares = np.square(block.values, dtype=np.float64)
    by_column = np.bincount(block.columns_of_entries(), squares, block.n_columns)
    return add_arrays(into, (by_column.astype(np.float64),))  # no rows give integers


def training_counts(
    block: RowBlock, n_topics: int, least_key: int, into: Arrays | None = None
) -> Arrays:
    """Return how many rows have each column, and how many each topic has.

    Parameters
    ----------
    n_topics : int
    least_key : int
        Rows with a lower key are not counted.

    Returns
    -------
    (int64 array, shape (n_columns,), int64 array, shape (n_topics,))
    """
    is_learned = block.keys >= np.uint64(least_key)
    columns = block.columns_of_entries()[is_learned[block.rows]]
    by_column = np.bincount(columns, minlength=block.n_columns)
    return add_arrays(into, (by_column, np.bincount(block.y[is_learned], minlength=n_topics)))


def topic_counts(
    block: RowBlock, topics: slice, least_key: int, into: Arrays | None = None
) -> Arrays:
    """Return how many rows of each topic have each column, shape (n_columns, n_chosen).

    Parameters
    ----------
    topics : slice
        The chosen ones.
    least_key : int
        Rows with a lower key are not counted.
    """
    is_of = (block.y[:, np.newaxis] == np.arange(topics.start, topics.stop)).astype(np.float32)
    is_of[block.keys < np.uint64(least_key)] = 0
    ones = block._replace(values=np.ones_like(block.values))
    return (ones.sums(is_of, None if into is None else into[0]),)


# What rows say of weights: the errors of one topic against all others, and their slopes -----------

# C for so many rows, and the power with which it falls.
_ROWS_OF_COST_1, _COST_POWER = 10_000, 0.25


def error_cost(n_rows: int) -> float:
    """Return what an error costs where there are so many rows: C."""
    return float((_ROWS_OF_COST_1 / max(1, n_rows)) ** _COST_POWER)


@dataclass(frozen=True)
class OneVsRestTargets:
    """What some neighbouring topics are to learn.

    Attributes
    ----------
    topics : int array, shape (n_topics,)
    others, own : float32 array, shape (n_topics_of_all,)
        By a row's topic: what its errors cost where it is another's, and its own topic's. Times C.
    least_key : int
        Rows with a lower key are held out.
    """

    topics: npt.NDArray[np.int32]
    others: F32
    own: F32
    least_key: int = 0

    def of(self, chosen: Index) -> OneVsRestTargets:
        """Return what some of the topics are to learn."""
        return replace(self, topics=self.topics[chosen])


def loss_gradient(
    block: RowBlock, weights: F32, biases: F64, aim: OneVsRestTargets, into: Arrays | None = None
) -> tuple[Arrays, U8]:
    """Return the gradient of a block's errors, and which of them count.

    Parameters
    ----------
    into : (float32 array, shape (n_columns, n_topics), float64 array, shape (n_topics,)), optional
        The gradient of other blocks, which this is added to, in place.

    Returns
    -------
    (as `into`, bits)
        By the weights and by the biases; and a bit for each row and topic.
    """
    here = _own(block, aim)
    slope = _scores(block, weights, biases)
    own = 1 - slope[here]
    slope += 1
    is_inside = slope >= 0  # 0 as well: at the start, all are there, and the first step is better
    is_inside[here] = own >= 0
    np.maximum(slope, 0, out=slope)
    slope[here] = -np.maximum(own, 0)
    held = block.keys < np.uint64(aim.least_key)
    slope[held], is_inside[held] = 0, False
    slope *= _costs(block, here, aim)
    return _summed(block, slope, into), np.packbits(is_inside, axis=1)


def hessian_product(
    block: RowBlock,
    inside: U8,
    direction: F32,
    bias_way: F64,
    aim: OneVsRestTargets,
    chosen: Index,
    into: Arrays | None = None,
) -> Arrays:
    """Return the product of a block's part of the Hessian with a direction.

    Parameters
    ----------
    inside : bits
        From `loss_gradient`, of more topics.
    chosen : int array, shape (n_topics,)
        Which of those these are.
    """
    bent = _scores(block, direction, bias_way)
    bent *= _costs(block, _own(block, aim), aim)
    bent *= np.unpackbits(inside, axis=1)[:, chosen]
    return _summed(block, bent, into)


def _summed(block: RowBlock, slope: F32, into: Arrays | None) -> Arrays:
    """Return what slopes of rows, shape (n_rows, n_topics), make of columns and biases."""
    common = slope.sum(axis=0, dtype=np.float64)
    if into is None:
        return block.sums(slope), common
    weights, biases = into
    biases += common
    return block.sums(slope, weights), biases


def _scores(block: RowBlock, weights: F32, biases: F64) -> F32:
    scores = block.scores(weights)
    scores += biases.astype(np.float32)
    return scores


def _own(block: RowBlock, aim: OneVsRestTargets) -> tuple[Index, Index]:
    return block.own(aim.topics, len(aim.own))


def _costs(block: RowBlock, here: tuple[Any, Any], aim: OneVsRestTargets) -> F32:
    """Return twice what errors cost, shape (n_rows, n_topics)."""
    costs = np.repeat(aim.others[block.y][:, np.newaxis], len(aim.topics), axis=1)
    costs[here] = aim.own[block.y[here[0]]]
    costs *= np.float32(2)
    return costs


# Who holds blocks of rows, and has functions of them done -----------------------------------------


class Engine(Protocol):
    """Who holds the blocks, and has functions of them done.

    Functions are at the top level of a module, and depend on the block and what is shared alone.
    """

    def sums(
        self,
        function: Callable[..., Any],
        *shared: Any,
        beside: Any = None,
        into: Arrays | None = None,
    ) -> Any:
        """Return the sums of the arrays of all blocks, in a fixed order.

        `function(block, *shared, into=before)` adds those of a block to those of others, if these
        aren't None, in place, and returns them.

        Parameters
        ----------
        beside : object, optional
            What `keeping_sums` kept: the function then gets (block, what was kept, *shared).
        into : tuple of arrays, optional
            Of the right shapes, which the caller gives away to be used for it, as systems are slow
            to give large new ones. What is returned may be other arrays.
        """

    def keeping_sums(
        self, function: Callable[..., Any], *shared: Any, into: Arrays | None = None
    ) -> tuple[Any, Any]:
        """Return sums as well, and what stays with the blocks.

        The function returns the arrays, and what is to stay with its block.
        """
