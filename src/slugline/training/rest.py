"""What a descent needs besides the point that it has reached, to go on to the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64

__all__ = ["Rest"]


class Rest(NamedTuple):
    """What comes with a point.

    Attributes
    ----------
    chosen : int64 array, shape (n_chosen,)
        The topics that are at work. Sums over all of them could differ from theirs in the last bit.
    sizes : float64 array, shape (n_topics,)
        The size of each topic's gradient.
    first : float64 array, shape (n_topics,)
        The sizes that the tolerance is a share of; shape (0,) if those at the start are.
    counts : int64 array, shape (2,)
        Steps and passes up to there.
    """

    chosen: I64
    sizes: F64
    first: F64
    counts: I64

    @classmethod
    def at_start(cls, n_topics: int, first: F64 | None) -> Rest:
        """Return what comes with a point that nothing has been done at."""
        first = np.zeros(0) if first is None else first
        return cls(np.arange(n_topics), np.zeros(n_topics), first, np.array([0, 0]))

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], n_topics: int) -> Rest:
        """Return what comes with a point, from arrays that may come from anywhere.

        Raises
        ------
        ValueError, TypeError : if they can't be that.
        """
        rest = cls(**arrays)
        kinds = [array.dtype for array in rest]
        shapes = [array.shape for array in rest[1:]]
        if kinds != [np.int64, np.float64, np.float64, np.int64]:
            raise ValueError(f"arrays of {kinds} to go on from")
        if shapes != [(n_topics,), (n_topics,), (2,)] or rest.chosen.ndim != 1:
            raise ValueError(f"arrays of shapes {shapes} to go on from")
        is_there = np.isin(rest.chosen, np.arange(n_topics)).all()
        if not is_there or (np.diff(rest.chosen) <= 0).any() or rest.counts.min() < 0:
            raise ValueError("topics or steps that there are not")
        return rest
