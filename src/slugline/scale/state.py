"""How far learning in passes has come: all that it takes to go on to the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64
from slugline.training.point import Point
from slugline.training.rest import Rest

__all__ = ["Keeper", "State", "UnderWay"]

Arrays = Mapping[str, npt.NDArray[Any]]
# Before the names of what comes with a point.
_REST = "rest."


class UnderWay(NamedTuple):
    """A descent that has not ended, as `minimise` has reported it.

    Attributes
    ----------
    point : Point
        Dense, float32. Changed when the descent goes on.
    rest : Rest
    """

    point: Point
    rest: Rest


@dataclass
class State:
    """How far two descents, a few topics at a time, have come.

    Attributes
    ----------
    n_done : int
        How many have ended, of the first descent from some of the rows, then of that from all.
    n_passes : int
        Passes before what is under way.
    found : dict of int to Point
        What they found, by the first of the topics: weights dense in float16, or CSC in float32.
    firsts : dict of int to float64 array, shape (n_topics,)
        The size of the gradients where the first descent began.
    scores : list of float32 array, shape (n_judged, n_topics)
        Of rows held out, for those of the first descent that have ended.
    under_way : UnderWay or None
    """

    n_done: int = 0
    n_passes: int = 0
    found: dict[int, Any] = field(default_factory=dict)
    firsts: dict[int, F64] = field(default_factory=dict)
    scores: list[F32] = field(default_factory=list)
    under_way: UnderWay | None = None

    def parts(self, blocks: list[slice]) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
        """Yield all arrays in parts, each with a name; those of one name never change, but "now".

        Parameters
        ----------
        blocks : list of slice
            The topics that are learned at a time.
        """
        n_ended = self.n_done - len(self.scores)  # of the second descent, or the only one
        for number, topics in enumerate(blocks):
            first = topics.start
            if number < len(self.scores):
                yield (
                    f"scores-{first}",
                    {"scores": self.scores[number], "first": self.firsts[first]},
                )
            if first in self.found:
                yield _name(first, number < n_ended), _of_point(self.found[first])
        if self.under_way is not None:
            point, rest = self.under_way
            beside = {_REST + name: array for name, array in rest._asdict().items()}
            first = blocks[self.n_done % len(blocks)].start
            yield "now", {**_of_point(point), **beside, "first": self.firsts[first]}

    @classmethod
    def of_parts(
        cls,
        counts: tuple[int, int],
        parts: Mapping[str, Arrays],
        n_columns: int,
        blocks: list[slice],
    ) -> State:
        """Return the state that has such parts, which may come from anywhere.

        Parameters
        ----------
        counts : (int, int)
            `n_done` and `n_passes`.
        parts : mapping of str to mapping of str to array
        n_columns : int
        blocks : list of slice

        Raises
        ------
        ValueError, KeyError, TypeError : if they don't fit together.
        """
        state = cls(*counts)
        for topics in blocks:
            first, width = topics.start, topics.stop - topics.start
            if (own := parts.get(f"scores-{first}")) is not None:
                state.scores.append(_checked(own["scores"], np.float32, (None, width)))
                state.firsts[first] = _checked(own["first"], np.float64, (width,))
            own = parts.get(_name(first, True), parts.get(_name(first, False)))
            if own is not None:
                state.found[first] = _point_of(own, n_columns, width)
        n_blocks, n_scores = len(blocks), len(state.scores)
        if not 0 <= state.n_done <= n_scores + n_blocks or n_scores not in {
            0,
            min(n_blocks, state.n_done),
        }:
            raise ValueError(f"{state.n_done} of {n_blocks} descents, and {n_scores} judged")
        if (own := parts.get("now")) is not None:
            topics = blocks[state.n_done % n_blocks]
            width = topics.stop - topics.start
            state.firsts[topics.start] = _checked(own["first"], np.float64, (width,))
            beside = {
                name.removeprefix(_REST): array
                for name, array in own.items()
                if name.startswith(_REST)
            }
            rest = Rest.restore(beside, width)
            state.under_way = UnderWay(_point_of(own, n_columns, width), rest)
        return state


class Keeper(Protocol):
    """Who keeps states where they outlive the process."""

    def load(self, n_columns: int, blocks: list[slice]) -> State:
        """Return the state to go on from: a new one, if none was kept.

        Parameters
        ----------
        n_columns : int
        blocks : list of slice
            The topics that are learned at a time.
        """

    def keep(self, state: State, *, is_last: bool = False) -> None:
        """Keep a state, or leave that until later if it isn't the last one."""


def _name(first: int, is_second: bool) -> str:
    return f"{'all' if is_second else 'some'}-{first}"


def _of_point(point: Point) -> dict[str, npt.NDArray[Any]]:
    weights: Any = point.weights
    if isinstance(weights, np.ndarray):
        return {"weights": weights, "biases": point.biases}
    parts = {name: getattr(weights, name) for name in ("data", "indices", "indptr")}
    return {**parts, "biases": point.biases}


def _point_of(arrays: Arrays, n_columns: int, width: int) -> Point:
    shape = (n_columns, width)
    biases = _checked(arrays["biases"], np.float64, (width,))
    if "weights" in arrays:
        dense = arrays["weights"]
        kind = np.float16 if dense.dtype == np.float16 else np.float32
        return Point(_checked(dense, kind, shape), biases)
    data = _checked(arrays["data"], np.float32, (None,))
    indices = _checked(arrays["indices"], np.int32, data.shape)
    indptr = _checked(arrays["indptr"], np.int32, (width + 1,))
    weights = sp.csc_array((data, indices, indptr), shape=shape)
    weights.check_format(full_check=True)
    return Point(weights, biases)


def _checked(array: npt.NDArray[Any], kind: Any, shape: tuple[int | None, ...]) -> Any:
    """Return an array that can be changed, if it is one of a type and shape."""
    fits = len(array.shape) == len(shape) and all(
        want is None or own == want for own, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != kind or not fits:
        raise ValueError(f"an array of {array.dtype} and shape {array.shape}")
    return array
