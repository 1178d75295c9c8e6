"""Neighbouring blocks that one hand adds up, one after another, on any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from slugline.learning.linear.sums import Arrays, add_arrays

__all__ = [
    "BufferPool",
    "TreeSum",
    "assign_workers",
    "entries_per_group",
    "group_blocks",
    "split_group",
    "sum_group",
    "sum_group_storing",
]


# A group has about as many entries as this many for each column, so that its sums are few beside
# what is summed, and not many are held at a time. There are this many groups at least, so that
# there is work for some hands, and at most, as each is a task; but none has fewer entries than
# that many for each column.
_PER_COLUMN, _FEWEST, _MOST, _LEAST_PER_COLUMN = 64, 8, 1024, 8


def entries_per_group(n_entries: int, n_columns: int) -> int:
    """Return how many of all entries of rows a group has, but for the size of its last block."""
    n_groups = min(max(n_entries // (_PER_COLUMN * n_columns), _FEWEST), _MOST)
    return max(n_entries // n_groups, _LEAST_PER_COLUMN * n_columns)


def group_blocks(sizes: Sequence[int], n_columns: int) -> list[slice]:
    """Return which neighbouring blocks are added up one after another, by one hand.

    Parameters
    ----------
    sizes : sequence of int
        Entries of each block.
    n_columns : int
    """
    wanted = entries_per_group(sum(sizes), n_columns)
    groups, first, n_entries = list[slice](), 0, 0
    for number, size in enumerate(sizes):
        n_entries += size
        if n_entries >= wanted or number == len(sizes) - 1:
            groups.append(slice(first, number + 1))
            first, n_entries = number + 1, 0
    return groups


def split_group(group: slice, most: int) -> list[slice]:
    """Return the blocks of a group, at most so many at a time."""
    firsts = range(group.start, group.stop, most)
    return [slice(first, min(first + most, group.stop)) for first in firsts]


def sum_group(
    function: Callable[..., Arrays],
    blocks: Iterable[tuple[Any, ...]],
    shared: tuple[Any, ...],
    into: Arrays | None = None,
) -> Arrays:
    """Return the sum of what a function returns of blocks, each with what is beside it.

    Parameters
    ----------
    function : callable
        As for `training.engine.Engine`.
    blocks : iterable of tuple
    shared : tuple
    into : tuple of arrays, optional
        What is added to, in place.
    """
    total: Any = into
    for block in blocks:
        total = function(*block, *shared, into=total)
    return total


def sum_group_storing(
    function: Callable[..., tuple[Arrays, Any]],
    blocks: Iterable[Any],
    shared: tuple[Any, ...],
    into: Arrays | None = None,
) -> tuple[Arrays, list[Any]]:
    """Return such a sum, and what the function returns besides, of each block."""
    total: Any = into
    kept = []
    for block in blocks:
        total, own = function(block, *shared, into=total)
        kept.append(own)
    return total, kept


def assign_workers(groups: Sequence[slice], threads: Mapping[str, int]) -> list[str]:
    """Return a worker for each block.

    Each has neighbouring groups, and as many as it has threads for: few sums are then added between
    workers.

    Parameters
    ----------
    groups : sequence of slice
    threads : mapping of str to int
        How many each worker has.
    """
    workers = sorted(threads)
    ends = np.cumsum([threads[worker] for worker in workers])
    places = (np.arange(len(groups)) + 0.5) * ends[-1] / max(1, len(groups))
    homes = np.searchsorted(ends, places, side="right")
    lengths = [group.stop - group.start for group in groups]
    return [workers[i] for i in homes.repeat(lengths)]


# Arrays that are no longer needed, for sums to come: systems are slow to give large new ones ------


class BufferPool:
    """Tuples of arrays of the same shapes, which threads put here and take away.

    They stay in their process: a copy has none.
    """

    def __init__(self) -> None:
        self._those: list[Arrays] = []

    def __reduce__(self) -> tuple[type[BufferPool], tuple[()]]:
        return type(self), ()

    def expect(self, like: Arrays) -> None:
        """Take arrays, and let go of those that have other shapes."""
        shapes = _shapes(like)
        self._those = [one for one in self._those if _shapes(one) == shapes]
        self.put(like)

    def put(self, arrays: Arrays) -> None:
        """Take arrays that nobody needs any more, and that have not been put here before."""
        self._those.append(arrays)

    def take(self) -> Arrays | None:
        """Give arrays of zeros away, if there are any."""
        try:
            arrays = self._those.pop()
        except IndexError:
            return None
        for array in arrays:
            array.fill(0)
        return arrays


def _shapes(arrays: Arrays) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]


# Sums in a fixed order, however many hands add ----------------------------------------------------


class TreeSum:
    """Adds the parts of consecutive groups in pairs, pairs of pairs, and so on.

    Which are added to which depends on their numbers alone, so that whoever adds the groups from
    `m * 2**k` to before `(m + 1) * 2**k` elsewhere gets the same, bit for bit. Of `n` groups, as
    many sums are held at a time as `n` has binary digits.

    Parameters
    ----------
    spare : Spare, optional
        For arrays that have been added to others.

    >>> import numpy as np
    >>> total = TreeSum()
    >>> for number in range(5):
    ...     total.append((np.array([number]),))
    >>> total.result()
    (array([10]),)
    """

    def __init__(self, spare: BufferPool | None = None) -> None:
        self._held: list[tuple[int, Arrays]] = []
        self._spare = spare or BufferPool()

    def append(self, arrays: Arrays) -> None:
        """Take the part of the next group, which may be used for the sum."""
        level = 0
        while self._held and self._held[-1][0] == level:
            arrays = self._added(self._held.pop()[1], arrays)
            level += 1
        self._held.append((level, arrays))

    def result(self) -> Arrays:
        """Return the sums of all; nothing more can be appended."""
        total = self._held.pop()[1]
        while self._held:
            total = self._added(self._held.pop()[1], total)
        return total

    def _added(self, left: Arrays, right: Arrays) -> Arrays:
        total = add_arrays(left, right)
        self._spare.put(right)  # only now, as threads wait for it
        return total
