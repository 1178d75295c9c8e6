"""Sums in a fixed order, however many hands add."""

from __future__ import annotations

from slugline.scale.spare import Spare
from slugline.training.row_block import Arrays, added

__all__ = ["TreeSum"]


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

    def __init__(self, spare: Spare | None = None) -> None:
        self._held: list[tuple[int, Arrays]] = []
        self._spare = spare or Spare()

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
        total = added(left, right)
        self._spare.put(right)  # only now, as threads wait for it
        return total
