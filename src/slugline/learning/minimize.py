"""Minimise a smooth function of a few bounded parameters by Newton's method.

Importing `scipy.optimize` takes longer than fitting a model to a few hundred documents, and its
L-BFGS-B takes five times as many evaluations of Slugline's functions.

References
----------
Bertsekas (1982), Projected Newton methods for optimization problems with simple constraints.
Nocedal and Wright (2006), Numerical optimization, 3.4: Newton's method with modified eigenvalues,
for functions that are not convex everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from slugline.base.arrays import F64

#: The value of a function of n parameters, its gradient, shape (n,), and its Hessian, shape (n, n).
Evaluation: TypeAlias = tuple[float, F64, F64]

_MAX_STEPS, _MAX_HALVINGS = 100, 30
# Stop after a step that is expected to lower a value of 1 by less than this. It about squares the
# distance to the minimum.
_PRECISION = 1e-9
# Halve a step unless the value falls by this fraction of the expected decrease, apart from rounding
# errors of functions in single precision.
_SUFFICIENT, _ROUNDING = 1e-4, 1e-7
# Eigenvalues of the Hessian are raised to this fraction of the largest one.
_LEAST_CURVATURE = 1e-8


def minimize_bounded(
    function: Callable[[F64], Evaluation],
    start: Sequence[float] | F64,
    bounds: Sequence[tuple[float, float]],
) -> tuple[F64, float]:
    """Return the parameters and the value at a local minimum.

    Parameters
    ----------
    function : callable
        A smooth function of the parameters, shape (n,), that returns an `Evaluation`.
    start : sequence of float, of length n
        Clipped to the bounds.
    bounds : sequence of (lowest, highest), of length n
        A parameter with equal bounds is fixed.

    Examples
    --------
    >>> def parabola(x):
    ...     return float((x - 3) @ (x - 3)), 2 * (x - 3), 2 * np.eye(len(x))
    >>> point, value = minimize_bounded(parabola, [0.0, 0.0], [(-9, 9), (-9, 1)])
    >>> point.tolist(), value
    ([3.0, 1.0], 4.0)
    """
    lowest, highest = np.array(bounds, dtype=np.float64).T
    point = np.clip(np.asarray(start, dtype=np.float64), lowest, highest)
    value, gradient, hessian = function(point)
    for _ in range(_MAX_STEPS):
        # Parameters at a bound stay there if the gradient points outside.
        is_free = np.where(gradient > 0, point > lowest, point < highest)
        if is_free.all():
            step = _newton_step(gradient, hessian)
        else:
            step = np.zeros_like(point)
            step[is_free] = _newton_step(gradient[is_free], hessian[np.ix_(is_free, is_free)])
        size = max(1.0, abs(value))
        is_last = -gradient @ step <= _PRECISION * size
        for _ in range(_MAX_HALVINGS):
            next_point = np.clip(point + step, lowest, highest)
            next_value, next_gradient, next_hessian = function(next_point)
            goal = value + _SUFFICIENT * float(gradient @ (next_point - point))
            if next_value <= goal + _ROUNDING * size or is_last:
                break
            step /= 2
        else:  # only rounding errors are left
            break
        point, value, gradient, hessian = next_point, next_value, next_gradient, next_hessian
        if is_last:
            break
    return point, value


def _newton_step(gradient: F64, hessian: F64) -> F64:
    """Return the step to the minimum of a quadratic function, made convex first."""
    if not len(gradient):
        return gradient
    eigenvalues, vectors = np.linalg.eigh(hessian)
    curvatures = np.abs(eigenvalues)
    least = max(_LEAST_CURVATURE * curvatures.max(), np.finfo(np.float64).tiny)
    return -vectors @ ((vectors.T @ gradient) / np.maximum(curvatures, least))
