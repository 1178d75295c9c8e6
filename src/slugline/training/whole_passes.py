"""Linear weights that are the minimum of a strictly convex function, found by whole passes.

`Descent` takes small steps, row after row, so that what it finds depends on the rows' order. Here,
each pass adds up what all blocks of rows say of the same weights: any order, any number of threads
and any number of machines walk the same path.

The function, for each topic `k` against all others, with rows `x_i`, weights `w` and a bias `b`::

    sum_j w_j^2 / (2 r_j) + (b + 1)^2 / 2 + C sum_i c_ik max(0, 1 - t_ik (x_i w + b))^2

where `t_ik` is 1 if row `i` has the topic, else -1, `c_ik` is what the error costs (more for rows
of rare topics, as in `Descent`), `r_j` is how freely term `j` moves (`term_rates`), and
`C = (10,000 / n)^(1/4)` for `n` rows. All were chosen by cross-validation on training splits.

References
----------
Lin, Tsai, Lee and Lin (2014), Large-scale logistic regression and linear support vector machines
using Spark; Zhuang, Chin, Juan and Lin (2015), Distributed Newton methods for regularized logistic
regression: Newton steps by conjugate gradients, whose gradients and Hessian products are sums over
machines. Keerthi and DeCoste (2005), A modified finite Newton method for fast solution of large
scale linear SVMs: for the squared hinge. Agarwal, Chapelle, Dudik and Langford (2014), A reliable
effective terascale linear learning system: sums over a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from slugline.training.rest import Rest
from slugline.training.row_block import RowBlock

__all__ = [
    "TOLERANCE",
    "Aim",
    "Engine",
    "Point",
    "Reached",
    "Scales",
    "cost_of",
    "minimise",
]

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]

#: The descent ends when each topic's gradient is this share of the first one. Of held-out answers,
#: 99.8 to 99.97 % were those of the minimum itself with half as much again, on four sets.
TOLERANCE = 2e-3
# C for so many rows, and the power with which it falls.
_ROWS_OF_COST_1, _COST_POWER = 10_000, 0.25
# How much of the mean curvature along a term is taken for granted, and the power of it that steps
# are divided by: terms occur together, so that all of it would make steps along common ones too
# short. With 0.5, 23 to 66 passes are enough where there were 56 to 117 without, and 160 with 1.
_CURVATURE, _CURVATURE_POWER = 0.3, 0.5
# A Newton step is good enough when what is left of the gradient is this share.
_FORCING, _MOST_PRODUCTS = 0.3, 30
# Up to so many Newton steps, each shortened up to so often.
_MOST_STEPS, _MOST_CUTS = 60, 8
# A step is too long if the slope at its end is this share of the one at its start, and uphill.
_UPHILL = 0.6
# Weights that are worked on at once, so that they stay in the processor's cache.
_AT_ONCE = 1 << 16
# Products that are added up in float32, before float64 goes on.
_MOST_ADDED = 1 << 12
BIAS_AT_FIRST = -1.0


class Engine(Protocol):
    """Who holds the blocks, and has functions of them done.

    Functions are at the top level of a module, and depend on the block and what is shared alone.
    """

    def sums(self, function: Callable[..., Any], *shared: Any, beside: Any = None) -> Any:
        """Return the sums of the arrays that `function(block, *shared)` returns, in a fixed order.

        Parameters
        ----------
        beside : object, optional
            What `keeping_sums` kept: the function then gets (block, what was kept, *shared).
        """

    def keeping_sums(self, function: Callable[..., Any], *shared: Any) -> tuple[Any, Any]:
        """Return sums as well, and what stays with the blocks.

        The function returns the arrays, and what is to stay with its block.
        """


@dataclass(frozen=True)
class Aim:
    """What some neighbouring topics are to learn.

    Attributes
    ----------
    topics : int array, shape (n_topics,)
    others, own : float32 array, shape (n_topics_of_all,)
        By a row's topic: what its errors cost where it is another's, and its own topic's. Times C.
    least_key : int
        Rows with a lower key are held out.
    """

    topics: npt.NDArray[np.int32]
    others: Floats
    own: Floats
    least_key: int = 0

    def of(self, chosen: Places) -> Aim:
        """Return what some of the topics are to learn."""
        return replace(self, topics=self.topics[chosen])


class Scales(NamedTuple):
    """What differs from term to term.

    Attributes
    ----------
    penalties : float32 array, shape (n_columns, 1)
        1 / r.
    steps : float32 array, shape (n_columns, 1)
        What gradients are multiplied by.
    bias_step : float
        Likewise, that of the biases.
    """

    penalties: Floats
    steps: Floats
    bias_step: float

    @classmethod
    def of(cls, rates: Sums, squares: Sums, n_rows: int) -> Scales:
        """Return what suits terms.

        Parameters
        ----------
        rates, squares : float64 array, shape (n_columns,)
            r, and the sum of squares of the column.
        n_rows : int
        """
        curvature = 2 * _CURVATURE * cost_of(n_rows)
        steps = rates * (1 + curvature * rates * squares) ** -_CURVATURE_POWER
        return cls(
            (1 / rates).astype(np.float32)[:, np.newaxis],
            steps.astype(np.float32)[:, np.newaxis],
            (1 + curvature * n_rows) ** -_CURVATURE_POWER,
        )


class Point(NamedTuple):
    """Weights of some topics, shape (n_columns, n_topics), and their biases, shape (n_topics,)."""

    weights: Floats
    biases: Sums

    @classmethod
    def first(cls, n_columns: int, n_topics: int) -> Point:
        """Return where there is nothing learned."""
        weights = np.zeros((n_columns, n_topics), dtype=np.float32)
        return cls(weights, np.full(n_topics, BIAS_AT_FIRST))

    def of(self, chosen: Places) -> Point:
        """Return that of some of the topics."""
        return Point(self.weights.take(chosen, axis=1), self.biases[chosen])


class Reached(NamedTuple):
    """How far the descent has come.

    Attributes
    ----------
    point : Point
        Changed by what comes next.
    gradients : float array, shape (n_topics,)
        The size of each topic's gradient.
    share : float
        The largest share of its first size that one has.
    n_passes : int
        Passes over all blocks up to here.
    rest : Rest
        For `minimise` to go on from here.
    """

    point: Point
    gradients: Sums
    share: float
    n_passes: int
    rest: Rest


def cost_of(n_rows: int) -> float:
    """Return what an error costs where there are so many rows: C."""
    return float((_ROWS_OF_COST_1 / max(1, n_rows)) ** _COST_POWER)


def minimise(
    engine: Engine,
    aim: Aim,
    scales: Scales,
    start: Point,
    first: Sums | None = None,
    tolerance: float = TOLERANCE,
    rest: Rest | None = None,
) -> Iterator[Reached]:
    """Yield points nearer and nearer to the minimum; the last one is within the tolerance.

    Each Newton step takes five to eight passes, and a descent from nothing four to nine steps.

    Parameters
    ----------
    engine : Engine
        Whose blocks are `RowBlock`s.
    aim : Aim
    scales : Scales
    start : Point
    first : float array, shape (n_topics,), optional
        The size of the gradients that the tolerance is a share of; by default, that at the start.
    tolerance : float, default TOLERANCE
    rest : Rest, optional
        To go on from a point that an earlier call has reached, which is then the start: what came
        with it. That point is yielded again.
    """
    found = Point(start.weights.copy(), start.biases.copy())
    n_topics = len(start.biases)
    chosen, sizes, first, counts = rest or Rest.at_start(n_topics, first)
    sizes, (n_steps, n_passes) = sizes.copy(), counts.tolist()
    point = start if len(chosen) == n_topics else start.of(chosen)
    slope = _Slope.at(engine, point, aim.of(chosen), scales)
    for number in range(n_steps, _MOST_STEPS):
        sizes[chosen] = slope.sizes(scales)
        if not len(first):
            first = sizes.copy()
        shares = np.divide(sizes, first, out=np.zeros_like(sizes), where=first > 0)
        found.weights[:, chosen], found.biases[chosen] = point
        rest = Rest(chosen, sizes.copy(), first, np.array([number, n_passes]))
        yield Reached(found, rest.sizes, float(shares.max(initial=0)), n_passes, rest)
        still = np.flatnonzero(shares[chosen] > tolerance)
        if not len(still):
            return
        chosen = chosen[still]
        own, point, slope = aim.of(chosen), point.of(still), slope.of(still)
        step, n_products = _newton_step(engine, own, scales, slope, still)
        point, slope, n_tries = _go(engine, own, scales, (point, slope), step)
        n_passes += n_products + n_tries


class _Slope(NamedTuple):
    """The gradient at a point, and which errors count there: bits that stay with the blocks."""

    weights: Floats
    biases: Sums
    inside: Any

    @classmethod
    def at(cls, engine: Engine, point: Point, aim: Aim, scales: Scales) -> _Slope:
        sums, inside = engine.keeping_sums(slopes, point.weights, point.biases, aim)
        gradient, common = sums
        for part in _parts(gradient):
            gradient[part] += scales.penalties[part] * point.weights[part]
        return cls(gradient, common + (point.biases - BIAS_AT_FIRST), inside)

    def of(self, chosen: Places) -> _Slope:
        """Return that of some of the topics; the bits are still those of all."""
        return _Slope(self.weights.take(chosen, axis=1), self.biases[chosen], self.inside)

    def sizes(self, scales: Scales) -> Sums:
        """Return the size of each topic's gradient, as the scales measure it."""
        total = scales.bias_step * self.biases**2
        for part in _parts(self.weights):
            some = self.weights[part]
            total += _dot(some, some * scales.steps[part])
        return np.sqrt(total)

    def along(self, step: Point) -> Sums:
        """Return the slope of each topic in the direction of a step."""
        total = self.biases * step.biases
        for part in _parts(self.weights):
            total += _dot(self.weights[part], step.weights[part])
        return total


def _newton_step(
    engine: Engine, aim: Aim, scales: Scales, slope: _Slope, chosen: Places
) -> tuple[Point, int]:
    """Return a step to about where the gradient would be 0 if no error began or ceased to count.

    By conjugate gradients, those of all topics at once. `chosen` says which of the topics that
    have bits these are.
    """
    rest, rest_bias = -slope.weights, -slope.biases
    direction, bias_way = scales.steps * rest, scales.bias_step * rest_bias
    step, bias_step = np.zeros_like(rest), np.zeros_like(rest_bias)
    size = slope.sizes(scales) ** 2
    enough = size * _FORCING**2
    is_open = size > 0
    n_products = 0
    for _ in range(_MOST_PRODUCTS):
        n_products += 1
        bent, bent_bias = engine.sums(
            products, direction, bias_way, aim, chosen, beside=slope.inside
        )
        bent_bias = bent_bias + bias_way
        along = bias_way * bent_bias
        for part in _parts(bent):
            bent[part] += scales.penalties[part] * direction[part]
            along += _dot(direction[part], bent[part])
        far = np.divide(size, along, out=np.zeros_like(size), where=is_open & (along > 0))
        rest_bias -= far * bent_bias
        bias_step += far * bias_way
        after = scales.bias_step * rest_bias**2
        narrow = far.astype(np.float32)
        for part in _parts(bent):
            step[part] += narrow * direction[part]
            rest[part] -= narrow * bent[part]
            after += _dot(rest[part], rest[part] * scales.steps[part])
        is_open &= after > enough
        if not is_open.any():
            break
        turn = np.divide(after, size, out=np.zeros_like(size), where=is_open)
        narrow, size = turn.astype(np.float32), after
        bias_way = scales.bias_step * rest_bias + turn * bias_way
        for part in _parts(bent):
            direction[part] *= narrow
            direction[part] += scales.steps[part] * rest[part]
    return Point(step, bias_step), n_products


def _go(
    engine: Engine, aim: Aim, scales: Scales, here: tuple[Point, _Slope], step: Point
) -> tuple[Point, _Slope, int]:
    """Go the step, or as much of it as each topic may; return where that is, and its slope."""
    point, slope = here
    down = slope.along(step)
    n_tries = 0
    for _ in range(_MOST_CUTS):
        n_tries += 1
        there = Point(point.weights + step.weights, point.biases + step.biases)
        after = _Slope.at(engine, there, aim, scales)
        end = after.along(step)
        too_far = end > -_UPHILL * down
        too_far &= down < 0
        if not too_far.any():
            break
        # Where a straight line through both slopes would be level.
        cut = np.ones_like(down)
        cut[too_far] = np.clip(down[too_far] / (down - end)[too_far], 0.1, 0.9)
        step.weights[:] *= cut.astype(np.float32)
        step.biases[:] *= cut
        down *= cut
    return there, after, n_tries


def slopes(
    block: RowBlock, weights: Floats, biases: Sums, aim: Aim
) -> tuple[tuple[Floats, Sums], Bits]:
    """Return the gradient of a block's errors, and which of them count.

    Returns
    -------
    ((float32 array, shape (n_columns, n_topics), float64 array, shape (n_topics,)), bits)
        By the weights and by the biases; and a bit for each row and topic.
    """
    X = block.csc()
    here = _own(block, aim)
    slope = _scores(X, weights, biases)
    own = 1 - slope[here]
    slope += 1
    is_inside = slope >= 0  # 0 as well: at the start, all are there, and the first step is better
    is_inside[here] = own >= 0
    np.maximum(slope, 0, out=slope)
    slope[here] = -np.maximum(own, 0)
    held = block.keys < np.uint64(aim.least_key)
    slope[held], is_inside[held] = 0, False
    slope *= _costs(block, here, aim)
    return (X.T @ slope, slope.sum(axis=0, dtype=np.float64)), np.packbits(is_inside, axis=1)


def products(
    block: RowBlock, inside: Bits, direction: Floats, bias_way: Sums, aim: Aim, chosen: Places
) -> tuple[Floats, Sums]:
    """Return the products of a block's part of the Hessian with a direction, as `slopes` does.

    Parameters
    ----------
    inside : bits
        From `slopes`, of more topics.
    chosen : int array, shape (n_topics,)
        Which of those these are.
    """
    X = block.csc()
    bent = _scores(X, direction, bias_way)
    bent *= _costs(block, _own(block, aim), aim)
    bent *= np.unpackbits(inside, axis=1)[:, chosen]
    return X.T @ bent, bent.sum(axis=0, dtype=np.float64)


def _scores(X: Any, weights: Floats, biases: Sums) -> Floats:
    scores: Floats = X @ weights
    scores += biases.astype(np.float32)
    return scores


def _own(block: RowBlock, aim: Aim) -> tuple[Places, Places]:
    return block.own(aim.topics, len(aim.own))


def _costs(block: RowBlock, here: tuple[Any, Any], aim: Aim) -> Floats:
    """Return twice what errors cost, shape (n_rows, n_topics)."""
    costs = np.repeat(aim.others[block.y][:, np.newaxis], len(aim.topics), axis=1)
    costs[here] = aim.own[block.y[here[0]]]
    costs *= np.float32(2)
    return costs


def _parts(weights: Floats) -> Iterator[slice]:
    """Yield a few rows at a time."""
    size = min(_MOST_ADDED, max(1, _AT_ONCE // max(1, weights.shape[1])))
    for first in range(0, len(weights), size):
        yield slice(first, first + size)


def _dot(a: Floats, b: Floats) -> Sums:
    """Return the sum of products for each topic."""
    total: Sums = np.einsum("ij,ij->j", a, b).astype(np.float64)
    return total
