"""Add the scores of several models, such as words and an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64
from slugline.learning.calibration import Calibration, fit_calibration, round_digits, spread
from slugline.learning.minimize import Evaluation, minimize_bounded

# Maximum factor on scores with standard deviation 1.
_MAX_FACTOR = 50.0
# Limits on the rows used to choose factors: more rows hardly change them, and thousands of topics
# make even these too expensive.
_MAX_ROWS, _MIN_ROWS, _MAX_SCORES = 10_000, 500, 2_000_000
# The first model counts as the best single one unless another is better by this many standard
# errors: on few rows, even an encoder that doesn't know the language may look good. Chosen by
# cross-validation on training splits, with 5 to 50 rows per topic.
_N_ERRORS = 2
#: Allowed log loss of factors, in standard errors above the lowest. MAX_ERRORS_IF_SAFE applies if
#: all rows have held-out scores and the encoder leaves unknown texts to words alone, so that it can
#: hardly mislead. Chosen the same way (`benchmarks/run.py choices standard-errors`).
MAX_ERRORS, MAX_ERRORS_IF_SAFE = 1.0, 0.0
# Half of this penalty on squared factors is added to the mean log loss. It matters only if all rows
# are right, since larger factors would then always be better. By cross-validation on training
# splits (5 and 10 labels per topic of 27 sets, 20 of 10 sets; three draws), the mean log loss is
# 1.1588 with 1e-9, 1e-6 and 1e-5, 1.1590 with 1e-3 and 1.1598 with 1e-2, and accuracy 59.81, 59.81,
# 59.81, 59.80 and 59.78 % (`benchmarks/run.py choices factor-penalty`).
_FACTOR_PENALTY = 1e-6
# Number of steps between the factors of the best single model and the best factors.
_N_STEPS = 20


class ScoreFusion(NamedTuple):
    """The factors for adding the scores of words and of an encoder.

    Attributes
    ----------
    sparse_factor, dense_factor : float
    calibration : Calibration
        The calibration of the sum, with inverse temperature 1.
    encoder_weight : float
        The encoder's fraction of the spread of the sum over topics; 0 if it doesn't help.
    """

    sparse_factor: float
    dense_factor: float
    calibration: Calibration
    encoder_weight: float


def fuse_scores(
    sparse: F32, dense: F32, factors: Sequence[float], y: I64, sample_weight: F32 | None = None
) -> ScoreFusion:
    """Return the calibrated sum of the scores of words and of an encoder.

    Parameters
    ----------
    sparse, dense : float arrays, shape (n_rows, n_topics)
        Held-out scores.
    factors : sequence of float
        Result of `fit_score_factors`. Calibration multiplies both by the same number.
    y : int array, shape (n_rows,)
    sample_weight : float array, shape (n_rows,), optional
    """
    parts = [np.float32(factors[0]) * sparse, np.float32(factors[1]) * dense]
    spreads = [spread(part) for part in parts]
    fitted = fit_calibration(parts[0] + parts[1], y, sample_weight)
    # The probability of an error after rows without errors, by Laplace's rule of succession.
    fitted = replace(fitted, uniform_weight=max(fitted.uniform_weight, 1 / (len(y) + 2)))
    encoder_weight = spreads[1] / (sum(spreads) or 1.0)
    factor = fitted.inverse_temperature
    return ScoreFusion(
        factor * factors[0],
        factor * factors[1],
        replace(fitted, inverse_temperature=1.0),
        encoder_weight,
    )


def fit_score_factors(
    scores: Sequence[F32], y: I64, sample_weight: F32 | None = None, max_errors: float = MAX_ERRORS
) -> list[float]:
    """Return factors for summing the scores of several models with a low log loss.

    The softmax of the sum is then roughly calibrated. A model that doesn't help gets a factor of 0.

    With few rows, the factors with the lowest log loss depend on chance. The result is therefore
    the factors closest to the best single model whose log loss is within `max_errors` standard
    errors of the lowest. The best single model is the first one, unless another is better by two
    standard errors.

    Parameters
    ----------
    scores : sequence of float arrays, shape (n_rows, n_topics)
        Held-out scores of each model.
    y : int array, shape (n_rows,)
    sample_weight : float array, shape (n_rows,), optional
        At least one must be positive.
    max_errors : float, default MAX_ERRORS
        With 0, return the factors with the lowest log loss.

    References
    ----------
    Breiman (1996), Stacked regressions (non-negative factors). Breiman, Friedman, Olshen and Stone
    (1984), Classification and regression trees (the one-standard-error rule).
    """
    weights = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
    # Evenly spaced rows of nonzero weight.
    n_rows = min(_MAX_ROWS, max(_MIN_ROWS, _MAX_SCORES // scores[0].shape[1]))
    weighted = np.flatnonzero(weights)
    rows = weighted[np.unique(np.linspace(0, len(weighted) - 1, n_rows).astype(np.intp))]
    used = [part[rows].astype(np.float64) for part in scores]
    spreads = np.array([spread(part) or 1.0 for part in used])
    scaled = np.stack([part / size for part, size in zip(used, spreads, strict=True)])
    loss = _Loss(scaled, y[rows], weights[rows] / weights[rows].sum())
    factors = loss.factors_near_single_model(max_errors)
    return [round_digits(factor) for factor in factors / spreads]


class _Loss:
    """The log loss of summed scores, convex in the factors, with a small penalty."""

    def __init__(self, scores: F64, y: I64, weights: F64) -> None:
        self._scores, self._y, self._weights = scores, y, weights
        self._rows, self._ones = np.arange(len(y)), np.ones(scores.shape[2])
        self._label_scores = scores[:, self._rows, y]

    def factors_near_single_model(self, max_errors: float) -> F64:
        """Return the factors closest to a single model that are about as good as the best."""
        n_models = len(self._scores)
        best = self._lowest(np.ones(n_models))
        if n_models == 1 or not max_errors:
            return best
        single_model_factors = [self._lowest(model) for model in np.eye(n_models)]
        start = min(single_model_factors, key=lambda factors: self._weights @ self._losses(factors))
        if self._is_close(single_model_factors[0], self._losses(start), _N_ERRORS):
            start = single_model_factors[0]
        lowest_losses = self._losses(best)
        steps = (start + step / _N_STEPS * (best - start) for step in range(_N_STEPS))
        return next(
            (factors for factors in steps if self._is_close(factors, lowest_losses, max_errors)),
            best,
        )

    def _is_close(self, factors: F64, lowest_losses: F64, max_errors: float) -> bool:
        """Return True if the mean loss is within `max_errors` standard errors of the lowest."""
        differences = self._losses(factors) - lowest_losses
        mean = self._weights @ differences
        variance = self._weights**2 @ (differences - mean) ** 2
        return bool(mean <= max_errors * np.sqrt(variance))

    def _lowest(self, start: F64) -> F64:
        """Return the best factors of the models with factor 1 in `start`; others stay 0."""
        bounds = [(0, _MAX_FACTOR * factor) for factor in start]
        return minimize_bounded(self._evaluate, start, bounds)[0]

    def _losses(self, factors: F64) -> F64:
        return self._losses_and_powers(factors)[0]

    def _evaluate(self, factors: F64) -> Evaluation:
        """Return the mean loss and the penalty, with derivatives with respect to the factors."""
        losses, powers, totals = self._losses_and_powers(factors)
        weighted = self._scores * powers
        means = weighted @ self._ones / totals
        # The Hessian is the mean covariance of the scores over topics.
        weighted *= (self._weights / totals)[:, np.newaxis]
        hessian = _flat(weighted) @ _flat(self._scores).T
        hessian -= (means * self._weights) @ means.T
        hessian += _FACTOR_PENALTY * np.eye(len(factors))
        gradient = (means - self._label_scores) @ self._weights + _FACTOR_PENALTY * factors
        value = self._weights @ losses + _FACTOR_PENALTY / 2 * (factors @ factors)
        return float(value), gradient, hessian

    def _losses_and_powers(self, factors: F64) -> tuple[F64, F64, F64]:
        """Return each row's loss, the exponentials of its summed scores, and their total."""
        summed = (factors @ _flat(self._scores)).reshape(self._scores.shape[1:])
        summed -= summed.max(axis=1, keepdims=True)
        of_labels = summed[self._rows, self._y]
        powers = np.exp(summed, out=summed)
        totals = powers @ self._ones
        return np.log(totals) - of_labels, powers, totals


def _flat(scores: F64) -> F64:
    """Return one row of scores per model, shape (n_models, n_rows * n_topics)."""
    return scores.reshape(len(scores), -1)
