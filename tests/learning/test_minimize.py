"""Minima of smooth functions of a few bounded parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess

from slugline.learning.calibration import _Loss
from slugline.learning.encoder.fusion import _Loss as _FusionLoss
from slugline.learning.minimize import Evaluation, minimize_bounded


def logistic(n: int, seed: int, n_rows: int = 60) -> Callable[[np.ndarray], Evaluation]:
    """Return the mean log loss of a logistic regression, which is convex."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n_rows, n)), rng.random(n_rows) < 0.4

    def loss(parameters: np.ndarray) -> Evaluation:
        scores = X @ parameters
        proba = 1 / (1 + np.exp(-scores))
        value = float((np.logaddexp(0, scores) - y * scores).mean())
        hessian = (X.T * (proba * (1 - proba))) @ X / n_rows
        return value, X.T @ (proba - y) / n_rows, hessian

    return loss


BOUNDS = {
    "far": [(-50.0, 50.0)] * 4,
    "near": [(-0.1, 0.1), (0.0, 9.0), (-9.0, 0.0), (0.3, 0.4)],
    "equal": [(0.2, 0.2), (-9.0, 9.0), (0.0, 0.0), (-9.0, 9.0)],
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
def test_minimize_bounded_finds_the_minimum_of_scipy(
    bounds: list[tuple[float, float]], seed: int
) -> None:
    loss = logistic(4, seed)
    exact = {"ftol": 1e-15, "gtol": 1e-12}
    expected = minimize(
        lambda x: loss(x)[:2], np.ones(4), jac=True, method="L-BFGS-B", bounds=bounds, options=exact
    )
    point, value = minimize_bounded(loss, np.ones(4), bounds)
    assert value == pytest.approx(expected.fun, abs=1e-10)
    np.testing.assert_allclose(point, expected.x, atol=1e-6)


def test_minimize_bounded_leaves_a_bent_valley_that_is_not_convex() -> None:
    def valley(x: np.ndarray) -> Evaluation:
        return float(rosen(x)), rosen_der(x), rosen_hess(x)

    point, value = minimize_bounded(valley, [-1.2, 1.0], [(-9, 9)] * 2)
    np.testing.assert_allclose(point, [1, 1], atol=1e-8)
    assert value == pytest.approx(0, abs=1e-15)


def test_minimize_bounded_stays_within_bounds_where_the_function_falls_on() -> None:
    def slope(x: np.ndarray) -> Evaluation:
        return float(-np.exp(x).sum()), -np.exp(x), -np.diag(np.exp(x))

    point, _ = minimize_bounded(slope, [0.0, -7.0], [(-2, 3), (-5, 4)])
    assert point.tolist() == [3, 4]


def test_minimize_bounded_of_fixed_parameters_evaluates_them() -> None:
    point, value = minimize_bounded(logistic(2, 0), [5.0, 5.0], [(1, 1), (2, 2)])
    assert point.tolist() == [1, 2]
    assert value == logistic(2, 0)(point)[0]


RNG = np.random.default_rng(3)
SCORES, Y = RNG.normal(size=(40, 5)).astype(np.float32), RNG.integers(5, size=40)
LOSSES = {
    "calibration": (_Loss(SCORES, Y, None), [1.2, -3.0, -1.0]),
    "weights": (_Loss(SCORES, Y, RNG.random(40).astype(np.float32)), [0.3, 1.0, 2.0]),
    "prior of the spread": (_Loss(SCORES, Y, None, prior_sd=0.8), [0.5, -1.0, 0.0]),
    "factors": (
        _FusionLoss(RNG.normal(size=(2, 40, 5)), Y, np.full(40, 1 / 40))._evaluate,
        [0.7, 2.0],
    ),
}


@pytest.mark.parametrize(("loss", "point"), LOSSES.values(), ids=LOSSES)
def test_derivatives_are_those_of_finite_differences(loss: Any, point: list[float]) -> None:
    value, gradient, hessian = loss(np.array(point))
    size = 1e-3
    for number, axis in enumerate(np.eye(len(point))):
        below, above = (loss(np.array(point) + size * sign * axis) for sign in (-1, 1))
        assert gradient[number] == pytest.approx((above[0] - below[0]) / (2 * size), abs=1e-4)
        slopes = (above[1] - below[1]) / (2 * size)
        np.testing.assert_allclose(hessian[number], slopes, atol=1e-4)
    assert np.isfinite(value)
