"""How much each of several models counts when their scores are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64
from slugline.calibration import Calibration, best_calibration

__all__ = ["Combination", "best_factors", "combine"]


# The largest factor on scores whose standard deviation is 1.
_MOST = 50.0
# More rows hardly change the factors; with thousands of topics, fewer are affordable.
_MAX_ROWS, _MIN_ROWS, _MAX_SCORES = 10_000, 500, 2_000_000
# A sharpness is lowered in steps of a fifth, as long as the loss grows by less than a tenth of the
# doubt: by what can't be known anyway.
_GENTLER, _LITTLE, _LEAST = 0.8, 0.1, 1e-3
# Steps on the way from the best factors to the best single model.
_N_STEPS = 20


class Combination(NamedTuple):
    """How the scores of words and those of an encoder become one.

    Attributes
    ----------
    sparse_factor, dense_factor : float
        What each is multiplied by before they are added.
    calibration : Calibration
        That of the sum, whose sharpness is 1.
    share : float
        How much of the sum's spread over topics comes from the encoder, from 0 to 1. If its scores
        are of no use, it is 0.
    """

    sparse_factor: float
    dense_factor: float
    calibration: Calibration
    share: float


def combine(sparse: F32, dense: F32, y: I64, sample_weight: F32 | None = None) -> Combination:
    """Return how two models' scores are best added.

    Parameters
    ----------
    sparse, dense : float arrays, shape (n_rows, n_topics)
        What each says of rows that it has not learned from.
    y : int array, shape (n_rows,)
        The topic of each row.
    sample_weight : float array, shape (n_rows,), optional
        Weights of rows; equal by default.
    """
    factors = best_factors([sparse, dense], y, sample_weight)
    parts = [np.float32(factors[0]) * sparse, np.float32(factors[1]) * dense]
    spreads = [_spread(part) for part in parts]
    summed = parts[0] + parts[1]
    found = best_calibration(summed, y, sample_weight)
    # Of so many rows that are all right, the next one is wrong with about this probability
    # (Laplace's rule of succession).
    found = found._replace(doubt=max(found.doubt, 1 / (len(y) + 2)))
    sharpness = _gentlest(summed, y, sample_weight, found)
    share = spreads[1] / (sum(spreads) or 1.0)
    calibration = found._replace(sharpness=1.0)
    return Combination(sharpness * factors[0], sharpness * factors[1], calibration, share)


def _gentlest(scores: F32, y: I64, sample_weight: F32 | None, calibration: Calibration) -> float:
    """Return a lower sharpness if it is as good, given the rest.

    Where scores tell all of few rows apart, the sharper the better, without an end.
    """

    def loss(sharpness: float) -> float:
        proba = calibration._replace(sharpness=sharpness).proba(scores)
        right = proba[np.arange(len(y)), y].astype(np.float64)
        return -float(np.average(np.log(right), weights=sample_weight))

    sharpness = calibration.sharpness
    most = loss(sharpness) + _LITTLE * calibration.doubt
    while sharpness > _LEAST and loss(sharpness * _GENTLER) <= most:
        sharpness *= _GENTLER
    return sharpness


def _spread(scores: F32 | F64) -> float:
    """Return the typical standard deviation of a row's scores over topics."""
    return float(np.sqrt(np.mean(scores.var(axis=1, dtype=np.float64))))


def best_factors(scores: Sequence[F32], y: I64, sample_weight: F32 | None = None) -> list[float]:
    """Return factors for which the sum of several models' scores has a low log loss.

    The softmax of the sum is then about calibrated. A model that only misleads gets a factor of 0.

    With few rows, the lowest log loss is a matter of luck. So the factors are as near to those of
    the best single model as they can be with a log loss that is within one standard error of the
    lowest.

    Parameters
    ----------
    scores : sequence of float arrays, shape (n_rows, n_topics)
        What each model says of rows that it has not learned from. With what it says of rows that it
        has learned by heart, it would count too much.
    y : int array, shape (n_rows,)
        The topic of each row.
    sample_weight : float array, shape (n_rows,), optional
        Weights of rows; equal by default.

    References
    ----------
    Breiman (1996), Stacked regressions, which finds that factors must not be negative. Breiman,
    Friedman, Olshen and Stone (1984), Classification and regression trees: the rule of one standard
    error.
    """
    # The same rows each time, from all over the data.
    n_rows = min(_MAX_ROWS, max(_MIN_ROWS, _MAX_SCORES // scores[0].shape[1]))
    rows = np.unique(np.linspace(0, len(y) - 1, n_rows).astype(np.intp))
    costs = np.ones(len(rows)) if sample_weight is None else sample_weight[rows].astype(np.float64)
    used = [each[rows].astype(np.float64) for each in scores]
    spreads = np.array([_spread(each) or 1.0 for each in used])
    scaled = np.stack([each / spread for each, spread in zip(used, spreads, strict=True)])
    factors = _Loss(scaled, y[rows], costs / costs.sum()).cautious()
    return [float(factor) for factor in factors / spreads]


class _Loss:
    """The log loss of summed scores. It is convex in the factors: there is one lowest point."""

    def __init__(self, scores: F64, y: I64, shares: F64) -> None:
        self._scores, self._y, self._shares = scores, y, shares
        self._rows = np.arange(len(y))
        self._own = scores[:, self._rows, y]

    def cautious(self) -> F64:
        """Return the factors nearest to a single model's that are about as good as the best."""
        n_models = len(self._scores)
        best = self._lowest(np.ones(n_models))
        if n_models == 1:
            return best
        singles = [self._lowest(only) for only in np.eye(n_models)]
        single = min(singles, key=lambda factors: self._shares @ self._losses(factors))
        at_best = self._losses(best)
        steps = (single + step / _N_STEPS * (best - single) for step in range(_N_STEPS))
        return next((factors for factors in steps if self._is_close(factors, at_best)), best)

    def _is_close(self, factors: F64, at_best: F64) -> bool:
        """Whether the mean loss is within one standard error of the lowest."""
        more = self._losses(factors) - at_best
        mean = self._shares @ more
        variance = self._shares**2 @ (more - mean) ** 2
        return bool(mean <= np.sqrt(variance))

    def _lowest(self, wanted: F64) -> F64:
        """Return the factors with the lowest loss, 0 for models that are not wanted."""
        from scipy.optimize import minimize

        bounds = [(0, _MOST * is_wanted) for is_wanted in wanted]
        return minimize(self._slope, wanted, jac=True, method="L-BFGS-B", bounds=bounds).x

    def _log_proba(self, factors: F64) -> F64:
        from scipy.special import log_softmax  # in double precision, unlike ours

        return log_softmax(np.tensordot(factors, self._scores, 1), axis=1)

    def _losses(self, factors: F64) -> F64:
        return -self._log_proba(factors)[self._rows, self._y]

    def _slope(self, factors: F64) -> tuple[float, F64]:
        """Return the mean loss, and how it changes with each factor."""
        log_proba = self._log_proba(factors)
        expected = (self._scores * np.exp(log_proba)).sum(axis=2)
        loss = -float(self._shares @ log_proba[self._rows, self._y])
        return loss, (expected - self._own) @ self._shares
