"""Some consecutive rows of a source that is too large for one table, and their topics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = ["RowBlock", "column_squares", "topic_counts"]

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]


class RowBlock(NamedTuple):
    """Rows, in arrays that may lie in a file.

    Attributes
    ----------
    values : float32 array, shape (n_entries,)
    columns : int32 array, shape (n_entries,)
        Each once in a row, in any order.
    indptr : int64 array, shape (n_rows + 1,)
        Row `r` has the entries from `indptr[r]` to before `indptr[r + 1]`.
    y : int32 array, shape (n_rows,)
        The number of each row's topic.
    keys : uint64 array, shape (n_rows,)
        A hash of each row's text, which says whether the row is held out: copies are together.
    n_columns : int
    """

    values: Floats
    columns: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int64]
    y: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]
    n_columns: int

    def csr(self) -> sp.csr_array:
        """Return the rows, shape (n_rows, n_columns)."""
        return self._csr(self.values)

    def _csr(self, values: npt.NDArray[Any]) -> sp.csr_array:
        # Both index arrays have to be of one type, and the narrow one is faster.
        indptr = self.indptr.astype(np.int32)
        shape = (len(indptr) - 1, self.n_columns)
        return sp.csr_array((values, self.columns, indptr), shape=shape)

    def own(self, topics: npt.NDArray[np.integer], n_topics: int) -> tuple[Places, Places]:
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


def column_squares(block: RowBlock) -> tuple[npt.NDArray[np.float64]]:
    """Return the sum of squares of each column, shape (n_columns,), as the only item."""
    squares = np.square(block.values, dtype=np.float64)
    return (np.bincount(block.columns, squares, block.n_columns).astype(np.float64, copy=False),)


def topic_counts(block: RowBlock, topics: slice, least_key: int) -> tuple[Floats]:
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
    return (block._csr(np.ones_like(block.values)).T @ is_of,)
