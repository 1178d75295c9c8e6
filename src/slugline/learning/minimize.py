"""Minimises a smooth function of a few bounded parameters, by Newton's method.

Importing `scipy.optimize` takes longer than fitting a model to a few hundred documents, and its
L-BFGS-B takes five times as many evaluations of the functions here.

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
# The last step is one that promises to lower a value of 1 by less. After it, the distance to the
# minimum is about the square of the distance before it.
_PRECISION = 1e-9
# A step is short enough if the value falls by this fraction of what its length promises, apart from
# rounding errors of functions in single precision.
_SUFFICIENT, _ROUNDING = 1e-4, 1e-7
# Eigenvalues of the Hessian are raised to this fraction of the largest one.
_LEAST_CURVATURE = 1e-8


def minimize_bounded(
    function: Callable[[F64], Evaluation],
    start: Sequence[float] | F64,
    bounds: Sequence[tuple[float, float]],
) -> tuple[F64, float]:
    """Return parameters at a local minimum, and the value there.

    Parameters
    ----------
    function : callable
        Called with parameters, shape (n,); it is smooth, and returns an `Evaluation`.
    start : sequence of float, of length n
        Moved into the bounds.
    bounds : sequence of (lowest, highest), of length n
        A parameter whose bounds are equal is fixed.

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
        # Parameters whose bounds keep them from going down stay there.
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
        else:  # rounding errors are all that is left
            break
        point, value, gradient, hessian = next_point, next_value, next_gradient, next_hessian
        if is_last:
            break
    return point, value


def _newton_step(gradient: F64, hessian: F64) -> F64:
    """Return the step to the minimum of a quadratic function, after making it convex."""
    if not len(gradient):
        return gradient
    eigenvalues, vectors = np.linalg.eigh(hessian)
    curvatures = np.abs(eigenvalues)
    least = max(_LEAST_CURVATURE * curvatures.max(), np.finfo(np.float64).tiny)
    return -vectors @ ((vectors.T @ gradient) / np.maximum(curvatures, least))
