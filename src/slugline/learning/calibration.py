"""Turns scores into probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from msgspec import Meta

from slugline.base.arrays import F32, F64, I64

# Differences of scores up to this are finite.
_MAX_SCORE = np.float32(1e38)
# The inverse temperature is looked for between 1/7 and 55, and the weights up to a half.
_LOG_BOUNDS, _MOST = (-2.0, 4.0), 0.5
Sharpness: TypeAlias = Annotated[float, Meta(gt=0, lt=1e6)]
#: The names of the attributes of a calibration in model files, and their valid values.
SETTINGS: dict[str, Any] = {
    "sharpness": Sharpness,
    "doubt": Annotated[float, Meta(ge=0, lt=1)],
    "ambiguity": Annotated[float, Meta(ge=0, lt=1)],
}
# Digits of a calibration that the rows determine.
_DIGITS = 9
# The log of a usual inverse temperature, 5.5, the log-odds of usual weights, 1 % and 6 %, and how
# far each mostly is from there: what suited training splits of many kinds best.
_USUAL, _SPREADS, _TINY = np.array([1.7, -4.0, -2.0]), np.array([0.5, 1.0, 1.0]), 1e-30
# Minimisation starts from there, and from a low temperature with a uniform weight of a quarter.
_STARTS, _LOGIT_BOUNDS = (_USUAL, np.array([3.0, 0.0, -2.0])), (-12.0, 12.0)
_PRECISION = {"ftol": 1e-7, "gtol": 1e-4}


def softmax(scores: F32) -> F32:
    """Return rows of probabilities for rows of scores; infinite scores count as very large."""
    proba = _softmax_powers(scores)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def _softmax_powers(scores: F32) -> F32:
    """Return rows proportional to softmax, with 1 for the largest score."""
    powers = scores.clip(-_MAX_SCORE, _MAX_SCORE)
    powers -= powers.max(axis=1, keepdims=True)
    np.exp(powers, out=powers)
    return powers


def log_softmax(scores: F32) -> F32:
    """Return rows of log-probabilities for rows of scores, without ever taking the log of 0."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


class Calibration(NamedTuple):
    """A mixture of softmax at two temperatures and the uniform distribution.

    Attributes
    ----------
    inverse_temperature : float
        The factor on scores before softmax.
    uniform_weight : float
        Weight of the uniform distribution over topics, since no score explains some documents, such
        as those with a wrong topic.
    high_temperature_weight : float
        Weight, in the remainder, of softmax at three times the temperature, since some documents
        fit several of the topics with high scores.
    """

    inverse_temperature: float
    uniform_weight: float = 0.0
    high_temperature_weight: float = 0.0

    def settings(self) -> dict[str, float]:
        """Return plain data from which `restore` makes it again."""
        return dict(zip(SETTINGS, self, strict=True))

    @classmethod
    def restore(cls, settings: Mapping[str, Any]) -> Calibration:
        """Return the calibration among the settings in a model file."""
        return cls(*(settings[name] for name in SETTINGS))

    def proba(self, scores: F32) -> F32:
        """Return rows of probabilities; the largest is that of the largest score."""
        if self.high_temperature_weight:
            proba = self._mix_temperatures(scores)
        else:
            proba = softmax(scores * np.float32(self.inverse_temperature))
        if self.uniform_weight:
            proba *= np.float32(1 - self.uniform_weight)
            proba += np.float32(self.uniform_weight / proba.shape[1])
        return proba

    def _mix_temperatures(self, scores: F32) -> F32:
        flat = _softmax_powers(scores * np.float32(self.inverse_temperature / 3))
        sure = flat * flat * flat  # ten times as fast as **3
        sure *= np.float32(1 - self.high_temperature_weight) / sure.sum(axis=1, keepdims=True)
        flat *= np.float32(self.high_temperature_weight) / flat.sum(axis=1, keepdims=True)
        sure += flat
        return sure


def fit_calibration(scores: F32, y: I64, weights: F32 | None = None) -> Calibration:
    """Return the calibration of rows that were not learned from with the lowest mean log loss.

    Usual values count as much as one row, as the log loss of few rows says little. Parameters are
    those of `fit_inverse_temperature`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, for the
    temperature. The uniform weight is the noise of a "robust" multinomial model, as in Gelman et
    al. (2013), Bayesian data analysis, 17.2. The high temperature is ours: it lowered the log loss
    on 14 of 14 sets.
    """
    from scipy.optimize import minimize

    loss = _Loss(scores, y, weights)
    bounds = [_LOG_BOUNDS, _LOGIT_BOUNDS, _LOGIT_BOUNDS]
    options: Any = {"jac": True, "method": "L-BFGS-B", "bounds": bounds, "options": _PRECISION}
    minima = [minimize(loss, start, **options) for start in _STARTS]
    best = _calibration(min(minima, key=lambda minimum: float(minimum.fun)).x)
    # The last digits depend on the processor, and mean nothing.
    return Calibration(*(float(f"{value:.{_DIGITS}g}") for value in best))


def _calibration(parameters: F64) -> Calibration:
    """Return the calibration of a log inverse temperature and the log-odds of twice each weight."""
    factor, *weights = np.exp([parameters[0], *-np.logaddexp(0, -parameters[1:])])
    return Calibration(float(factor), *(float(_MOST * weight) for weight in weights))


class _Loss:
    """Mean log loss by the parameters of `_calibration`, and its gradient."""

    def __init__(self, scores: F32, y: I64, weights: F32 | None) -> None:
        self._below = np.clip(scores, -_MAX_SCORE, _MAX_SCORE)
        self._below -= self._below.max(axis=1, keepdims=True)
        self._right = np.arange(len(y)), y
        weights = np.ones(len(y), dtype=np.float32) if weights is None else weights
        self._weights = weights / weights.sum(dtype=np.float64)

    def __call__(self, parameters: F64) -> tuple[float, F64]:
        factor, uniform, high = _calibration(parameters)
        (sure, by_sure), (flat, by_flat) = self._right_probabilities(factor)
        mixed = (1 - high) * sure + high * flat
        right = (1 - uniform) * mixed + uniform / self._below.shape[1]
        right = np.maximum(right, _TINY)
        # Of the right topic's probability by the parameters; a share moves by share * its odds.
        slopes = np.stack(
            [
                (1 - uniform) * ((1 - high) * by_sure + high * by_flat),
                (1 / self._below.shape[1] - mixed) * uniform * (1 - uniform / _MOST),
                (1 - uniform) * (flat - sure) * high * (1 - high / _MOST),
            ]
        )
        away = (parameters - _USUAL) / _SPREADS
        loss = -self._weights @ np.log(right) + np.square(away).sum() / 2 / len(right)
        return float(loss), -slopes @ (self._weights / right) + away / _SPREADS / len(right)

    def _right_probabilities(self, inverse_temperature: float) -> list[tuple[F64, F64]]:
        """Return the right topics' softmax and its slope by the log of the inverse temperature.

        First at this temperature, then at three times this temperature.
        """
        factor = inverse_temperature
        flat = np.exp(self._below * np.float32(factor / 3))
        pairs = []
        for powers, scale in ((flat * flat * flat, factor), (flat, factor / 3)):
            total = powers.sum(axis=1, dtype=np.float64)
            mean = np.einsum("ij,ij->i", powers, self._below) / total
            proba = powers[self._right] / total
            pairs.append((proba, proba * scale * (self._below[self._right] - mean)))
        return pairs


def fit_inverse_temperature(scores: F32, y: I64, weights: F32 | None = None) -> float:
    """Return the inverse temperature, between 1/7 and 55, with the lowest mean log loss.

    `scores` are those of rows that were not learned from, shape (n_rows, n_topics).
    """
    from scipy.optimize import minimize_scalar

    def loss(log_factor: float) -> float:
        log_proba = log_softmax(scores * np.float32(np.exp(log_factor)))
        return -float(np.average(log_proba[np.arange(len(y)), y], weights=weights))

    minimum = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded", options={"xatol": 1e-2})
    return float(np.exp(minimum.x))
