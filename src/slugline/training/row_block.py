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

    They are stored column by column: a pass then goes through all weights, which are many, in
    order, and jumps about between scores, which are few. Row by row takes half as long again.

    Attributes
    ----------
    values : float32 array, shape (n_entries,)
    rows : int32 array, shape (n_entries,)
        Ascending in each column.
    indptr : int32 array, shape (n_columns + 1,)
        Column `c` has the entries from `indptr[c]` to before `indptr[c + 1]`.
    y : int32 array, shape (n_rows,)
        The number of each row's topic.
    keys : uint64 array, shape (n_rows,)
        A hash of each row's text, which says whether the row is held out: copies are together.
    """

    values: Floats
    rows: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]

    @classmethod
    def of(
        cls, X: sp.csr_array, y: npt.NDArray[np.int32], keys: npt.NDArray[np.uint64]
    ) -> RowBlock:
        """Return the block of rows, shape (n_rows, n_columns)."""
        by_column = X.tocsc()
        return cls(by_column.data, by_column.indices, by_column.indptr, y, keys)

    def csc(self) -> sp.csc_array:
        """Return the rows, shape (n_rows, n_columns)."""
        return self._csc(self.values)

    def _csc(self, values: npt.NDArray[Any]) -> sp.csc_array:
        shape = (len(self.y), len(self.indptr) - 1)
        return sp.csc_array((values, self.rows, self.indptr), shape=shape)

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
    return (block._csc(squares).T @ np.ones(len(block.y)),)


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
    return (block._csc(np.ones_like(block.values)).T @ is_of,)
