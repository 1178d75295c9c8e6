"""Arrays that are no longer needed, for sums to come: systems are slow to give large new ones."""

from __future__ import annotations

from slugline.training.row_block import Arrays

__all__ = ["Spare"]


class Spare:
    """Tuples of arrays of the same shapes, which threads put here and take away.

    They stay in their process: a copy has none.
    """

    def __init__(self) -> None:
        self._those: list[Arrays] = []

    def __reduce__(self) -> tuple[type[Spare], tuple[()]]:
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
