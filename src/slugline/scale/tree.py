"""Sums in a fixed order, however many hands add."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["TreeSum", "add"]

#: Arrays to add up, one kind beside another.
Arrays = tuple[np.ndarray[Any, Any], ...]


def add(left: Arrays, right: Arrays) -> Arrays:
    """Return the sums of two tuples of arrays; those on the left may be used for it."""
    return tuple(_added(a, b) for a, b in zip(left, right, strict=True))


def _added(left: Any, right: Any) -> Any:
    if left.flags.writeable:
        left += right
        return left
    return left + right


class TreeSum:
    """Adds the parts of consecutive blocks in pairs, pairs of pairs, and so on.

    Which are added to which depends on their numbers alone, so that whoever adds the blocks from
    `m * 2**k` to before `(m + 1) * 2**k` elsewhere gets the same, bit for bit. Of `n` blocks, as
    many sums are held at a time as `n` has binary digits.

    >>> total = TreeSum()
    >>> for number in range(5):
    ...     total.append((np.array([number]),))
    >>> total.result()
    (array([10]),)
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, Arrays]] = []

    def append(self, arrays: Arrays) -> None:
        """Take the part of the next block, which may be used for the sum."""
        level = 0
        while self._held and self._held[-1][0] == level:
            arrays = add(self._held.pop()[1], arrays)
            level += 1
        self._held.append((level, arrays))

    def result(self) -> Arrays:
        """Return the sums of all; nothing more can be appended."""
        total = self._held.pop()[1]
        while self._held:
            total = add(self._held.pop()[1], total)
        return total
