"""Runs of consecutive integers: where the items of each row are in one long array."""

from __future__ import annotations

import numpy as np

from slugline.base.arrays import I64, Integers, Mask

__all__ = ["boundaries", "ranges", "row_lengths"]


def boundaries(lengths: Integers | Mask) -> I64:
    """Return where rows of these lengths begin, and where the last one ends.

    >>> boundaries(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
    lengths.cumsum(out=indptr[1:])
    return indptr


def row_lengths(indptr: Integers) -> Integers:
    """Return the lengths of rows from their `boundaries`; for few rows, far faster than np.diff.

    >>> row_lengths(np.array([0, 2, 2, 5])).tolist()
    [2, 0, 3]
    """
    return indptr[1:] - indptr[:-1]


def ranges(starts: Integers, lengths: Integers) -> I64:
    """Return start, start + 1, ... for `length` numbers from each start, one after another.

    >>> ranges(np.array([10, 20, 30]), np.array([2, 0, 3])).tolist()
    [10, 11, 30, 31, 32]
    """
    before = boundaries(lengths)
    places = (starts - before[:-1]).repeat(lengths)
    places += np.arange(before[-1])
    return places
