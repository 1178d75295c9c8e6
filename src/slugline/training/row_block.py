"""Some consecutive rows of a source that is too large for one table, and their topics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import kernels
from slugline.base.arrays import F32, I64, U64, Index, Integers, Mask

try:
    from slugline.training import _passes as kernel
except ImportError:  # there was no compiler
    kernel = None  # type: ignore[assignment]

__all__ = [
    "MOST_ROWS",
    "Arrays",
    "RowBlock",
    "added",
    "column_squares",
    "counts_of_learned",
    "kernel",
    "topic_counts",
]

#: Arrays to add up, one kind beside another.
Arrays = tuple[npt.NDArray[Any], ...]

#: The rows of a block are numbered in 16 bits.
MOST_ROWS = 1 << 16


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
        """Return the block of at most `MOST_ROWS` rows, shape (n_rows, n_columns)."""
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
    return kernel is not None and kernels.are_wanted()


def added(into: Arrays | None, arrays: Arrays) -> Arrays:
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
    return added(into, (by_column.astype(np.float64),))  # no rows give integers


def counts_of_learned(
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
    return added(into, (by_column, np.bincount(block.y[is_learned], minlength=n_topics)))


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
