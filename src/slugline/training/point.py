"""Where a descent is: weights of some topics, their slope there, and what differs by term."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Index
from slugline.training.engine import Engine
from slugline.training.hinge import Aim, cost_of, slopes
from slugline.training.row_block import Arrays

__all__ = ["Point", "Scales", "Slope", "dots", "parts_of"]


# How much of the mean curvature along a term is taken for granted, and the power of it that steps
# are divided by: terms occur together, so that all of it would make steps along common ones too
# short. With 0.5, 23 to 66 passes are enough where there were 56 to 117 without, and 160 with 1.
_CURVATURE, _CURVATURE_POWER = 0.3, 0.5
# Weights that are worked on at once, so that they stay in the processor's cache.
_AT_ONCE = 1 << 16
# Products that are added up in float32, before float64 goes on.
_MOST_ADDED = 1 << 12
BIAS_AT_FIRST = -1.0


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

    penalties: F32
    steps: F32
    bias_step: float

    @classmethod
    def of(cls, rates: F64, squares: F64, n_rows: int) -> Scales:
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

    weights: F32
    biases: F64

    @classmethod
    def first(cls, n_columns: int, n_topics: int) -> Point:
        """Return where there is nothing learned."""
        weights = np.zeros((n_columns, n_topics), dtype=np.float32)
        return cls(weights, np.full(n_topics, BIAS_AT_FIRST))

    def of(self, chosen: Index) -> Point:
        """Return that of some of the topics."""
        return Point(self.weights.take(chosen, axis=1), self.biases[chosen])

    def put(self, chosen: Index, some: Point) -> None:
        """Replace that of some of the topics."""
        self.weights[:, chosen], self.biases[chosen] = some

    def move(self, step: Point, share: F64 | None = None) -> None:
        """Go a step, or a share of it for each topic."""
        share = np.ones_like(self.biases) if share is None else share
        self.biases[:] += share * step.biases
        narrow = share.astype(np.float32)
        for part in parts_of(self.weights):
            self.weights[part] += narrow * step.weights[part]

    def shorten(self, share: F64) -> None:
        """Leave a share of a step for each topic."""
        self.weights[:] *= share.astype(np.float32)
        self.biases[:] *= share


class Slope(NamedTuple):
    """The gradient at a point, and which errors count there: bits that stay with the blocks.

    Attributes
    ----------
    weights : float32 array, shape (n_columns, n_topics)
    biases : float64 array, shape (n_topics,)
    inside : object
        From `Engine.keeping_sums`.
    bits : int array, shape (n_topics,)
        Which of the topics that have bits these are.
    """

    weights: F32
    biases: F64
    inside: Any
    bits: Index

    @classmethod
    def at(
        cls, engine: Engine, point: Point, aim: Aim, scales: Scales, into: Arrays | None = None
    ) -> Slope:
        """Return that of all errors and the penalty, for which all blocks are gone through."""
        sums, inside = engine.keeping_sums(slopes, point.weights, point.biases, aim, into=into)
        gradient, common = sums
        for part in parts_of(gradient):
            gradient[part] += scales.penalties[part] * point.weights[part]
        bits = np.arange(len(aim.topics))
        return cls(gradient, common + (point.biases - BIAS_AT_FIRST), inside, bits)

    @property
    def sums(self) -> Arrays:
        """The arrays of the gradient."""
        return self.weights, self.biases

    def of(self, chosen: Index) -> Slope:
        """Return that of some of the topics; the bits are still those of all."""
        weights = self.weights.take(chosen, axis=1)
        return Slope(weights, self.biases[chosen], self.inside, self.bits[chosen])

    def sizes(self, scales: Scales) -> F64:
        """Return the size of each topic's gradient, as the scales measure it."""
        total = scales.bias_step * self.biases**2
        for part in parts_of(self.weights):
            some = self.weights[part]
            total += dots(some, some * scales.steps[part])
        return np.sqrt(total)

    def along(self, step: Point) -> F64:
        """Return the slope of each topic in the direction of a step."""
        total = self.biases * step.biases
        for part in parts_of(self.weights):
            total += dots(self.weights[part], step.weights[part])
        return total


def parts_of(weights: F32) -> Iterator[slice]:
    """Yield a few rows at a time."""
    size = min(_MOST_ADDED, max(1, _AT_ONCE // max(1, weights.shape[1])))
    for first in range(0, len(weights), size):
        yield slice(first, first + size)


def dots(a: F32, b: F32) -> F64:
    """Return the sum of products for each topic."""
    total: F64 = np.einsum("ij,ij->j", a, b).astype(np.float64)
    return total
