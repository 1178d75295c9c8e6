"""A Newton step: to where the gradient would be 0 if the same errors went on to count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slugline.base.arrays import F32, F64, Mask
from slugline.training.engine import Engine
from slugline.training.hinge import Aim, products
from slugline.training.point import Point, Scales, Slope, dots, parts_of
from slugline.training.row_block import Arrays

__all__ = ["Work", "newton_step"]


# A Newton step is good enough when what is left of the gradient is this share.
_FORCING, _MOST_PRODUCTS = 0.3, 30


@dataclass
class Work:
    """What a Newton step works on; the next one works on the same.

    Attributes
    ----------
    step : Point
    direction : float32 array, shape (n_columns, n_topics)
    bent : (float32 array, shape (n_columns, n_topics), float64 array, shape (n_topics,))
        The product of the Hessian with the direction. An engine that is given these arrays may
        return others, which are then these.
    """

    step: Point
    direction: F32
    bent: Arrays

    @classmethod
    def like(cls, slope: Slope) -> Work:
        """Return arrays of such shapes."""
        step = Point(*map(np.empty_like, slope.sums))
        bent = tuple(map(np.empty_like, slope.sums))
        return cls(step, np.empty_like(slope.weights), bent)


def newton_step(
    engine: Engine,
    aim: Aim,
    scales: Scales,
    slope: Slope,
    is_open: Mask,
    work: Work,
) -> tuple[F64, int]:
    """Find a step; return the slopes along it, and how many products it took.

    By conjugate gradients, those of all open topics at once. The gradient is used up.
    """
    rest, rest_bias = np.negative(slope.weights, out=slope.weights), -slope.biases
    direction = np.multiply(scales.steps, rest, out=work.direction)
    bias_way = scales.bias_step * rest_bias
    step = work.step
    for array in step:
        array.fill(0)
    size = scales.bias_step * rest_bias**2
    for part in parts_of(rest):
        size += dots(rest[part], direction[part])
    enough, down = size * _FORCING**2, np.zeros_like(size)
    is_open = is_open & (size > 0)
    n_products = 0
    while is_open.any() and n_products < _MOST_PRODUCTS:
        n_products += 1
        work.bent = engine.sums(
            products, direction, bias_way, aim, slope.bits, beside=slope.inside, into=work.bent
        )
        bent, bent_bias = work.bent[0], work.bent[1] + bias_way
        along = bias_way * bent_bias
        for part in parts_of(bent):
            bent[part] += scales.penalties[part] * direction[part]
            along += dots(direction[part], bent[part])
        far = np.divide(size, along, out=np.zeros_like(size), where=is_open & (along > 0))
        down -= far * size  # as directions are conjugate
        rest_bias -= far * bent_bias
        after = scales.bias_step * rest_bias**2
        narrow = far.astype(np.float32)
        step.biases[:] += far * bias_way
        for part in parts_of(bent):
            step.weights[part] += narrow * direction[part]
            rest[part] -= narrow * bent[part]
            after += dots(rest[part], rest[part] * scales.steps[part])
        is_open &= after > enough
        turn = np.divide(after, size, out=np.zeros_like(size), where=is_open)
        narrow, size = turn.astype(np.float32), after
        bias_way = scales.bias_step * rest_bias + turn * bias_way
        if is_open.any():
            for part in parts_of(rest):
                direction[part] *= narrow
                direction[part] += scales.steps[part] * rest[part]
    return down, n_products
