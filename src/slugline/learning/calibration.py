"""Turns scores into probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from msgspec import Meta

from slugline.base.arrays import F32, F64, I64, Integers
from slugline.errors import DataError

# Differences of scores up to this are finite.
_MAX_SCORE = np.float32(1e38)
# The inverse temperature is looked for between 1/7 and 55, and the weights up to a half.
_LOG_BOUNDS, _MOST = (-2.0, 4.0), 0.5
InverseTemperature: TypeAlias = Annotated[float, Meta(gt=0, lt=1e6)]
CalibrationWeight: TypeAlias = Annotated[float, Meta(ge=0, lt=1)]
#: The attributes of a calibration, as model files have them, and their valid values.
SETTINGS: dict[str, Any] = {
    "inverse_temperature": InverseTemperature,
    "uniform_weight": CalibrationWeight,
    "high_temperature_weight": CalibrationWeight,
}
# Digits of a calibration that the rows determine.
_DIGITS = 9
# The log of a usual inverse temperature, 5.5, the log-odds of usual weights, 1 % and 6 %, and how
# far each mostly is from there: what suited training splits of many kinds best.
_USUAL, _SPREADS, _TINY = np.array([1.7, -4.0, -2.0]), np.array([0.5, 1.0, 1.0]), 1e-30
# Minimisation starts from there, and from a low temperature with a uniform weight of a quarter.
_STARTS, _LOGIT_BOUNDS = (_USUAL, np.array([3.0, 0.0, -2.0])), (-12.0, 12.0)
_PRECISION = {"ftol": 1e-7, "gtol": 1e-4}
#: Of curves by topic: the usual slope and intercept, and the variances of a topic's log slope and
#: intercept around the common ones. Chosen on training splits.
USUAL_CURVE, _CURVE_PRIOR = (4.0, -1.0), np.array([[0.09], [0.5]])
#: The usual slope and intercept of log-odds. Of a topic that could be learned, lower ones than the
#: last say no more.
LOG_ODDS_CURVE, LEAST_LOG_ODDS = (1.0, 0.0), -8.5
#: Smaller complements of probabilities are mostly rounding errors of float32.
LEAST_COMPLEMENT = 2.0**-20
# Scores of topics that no row had are lower; larger margins say no more.
_NOT_LEARNED, _MAX_MARGIN = -9.0, 10.0
# The log-odds, of a hundredth, from which on a topic is at all likely.
_LEAST_LOGIT = -4.6
_MAX_NEWTON_STEPS, _NEWTON_TOLERANCE, _CURVE_DIGITS = 30, 1e-7, 5


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


def log_losses(scores: F32, y: Integers) -> F32:
    """Return the log loss of each row, in nats.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Before softmax.
    y : int array, shape (n_rows,)
    """
    return -log_softmax(scores)[np.arange(len(y)), y]


def binary_log_losses(scores: F32, y: F32) -> F32:
    """Return the sum over topics of the log loss of each, in nats, shape (n_rows,).

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Before the sigmoid.
    y : float32 array, shape (n_rows, n_topics)
        1 for each topic of a row.
    """
    losses: F32 = (np.logaddexp(np.float32(0), scores) - y * scores).sum(axis=1)
    return losses


# One topic a row ----------------------------------------------------------------------------------


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

    @property
    def multilabel(self) -> bool:
        """Whether it is for rows of several topics: no."""
        return False

    def settings(self) -> dict[str, float]:
        """Return plain data from which `restore` makes it again."""
        return self._asdict()

    def arrays(self) -> dict[str, F32]:
        """Return the arrays of a model file: none."""
        return {}

    @classmethod
    def restore(cls, settings: Mapping[str, Any]) -> Calibration:
        """Return the calibration among the settings in a model file."""
        return cls(**{name: settings[name] for name in cls._fields})

    def blend(self, before: Calibration, weight: float) -> Calibration:
        """Return a calibration between the one before and this one, which has a weight up to 1."""
        old = 1 - weight
        return Calibration(
            float(self.inverse_temperature**weight * before.inverse_temperature**old),
            weight * self.uniform_weight + old * before.uniform_weight,
            weight * self.high_temperature_weight + old * before.high_temperature_weight,
        )

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


#: The calibration where there is nothing to measure on.
DEFAULT_CALIBRATION = Calibration(5.5, 0.01, 0.06)


def fit_calibration(scores: F32, y: I64, weights: F32 | None = None) -> Calibration:
    """Return the calibration of rows that were not learned from with the lowest mean log loss.

    Usual values count as much as one row, as the log loss of few rows says little.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
    y : int array, shape (n_rows,)
    weights : float32 array, shape (n_rows,), optional

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
        # Of the right topic's probability by the parameters; a weight moves by weight * its odds.
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


# Several topics a row -----------------------------------------------------------------------------


class TopicCalibration(NamedTuple):
    """A logistic curve for each topic, where documents may have several, bent alike for all.

    Attributes
    ----------
    slopes, intercepts : float32 array, shape (n_topics,)
    bend : float32 array, shape (3,)
        What the logarithms of the probability and of its complement are multiplied by, and what is
        added to their difference: beta calibration.
    """

    slopes: F32
    intercepts: F32
    bend: F32

    @classmethod
    def of_log_odds(cls, n_topics: int) -> TopicCalibration:
        """Return the curves by which scores are the log-odds of probabilities."""
        slopes, intercepts = np.tile(np.array(LOG_ODDS_CURVE, np.float32), (n_topics, 1)).T.copy()
        return cls(slopes, intercepts, np.array([1, 1, 0], np.float32))

    @property
    def multilabel(self) -> bool:
        """Whether it is for rows of several topics: yes."""
        return True

    def settings(self) -> dict[str, float]:
        """Return the calibration that is in model files in its place: none."""
        return Calibration(1.0).settings()

    @classmethod
    def restore(cls, arrays: Mapping[str, F32], biases: F32) -> TopicCalibration:
        """Return the calibration in a model file; DataError if it doesn't fit the biases."""
        curves = cls(*(arrays[name] for name in cls._fields))
        fits = curves.slopes.shape == curves.intercepts.shape == biases.shape
        if not fits or curves.bend.shape != (3,):
            raise DataError("curves of probability that don't fit the topics")
        if (curves.slopes <= 0).any() or (curves.bend[:2] <= 0).any():
            raise DataError("curves of probability that don't rise")
        return curves

    def arrays(self) -> dict[str, F32]:
        """Return the arrays of a model file."""
        return self._asdict()

    def blend(self, before: TopicCalibration, weight: float) -> TopicCalibration:
        """Return curves between those before and these, which have a weight up to 1."""
        new, old = np.float32(weight), np.float32(1 - weight)
        return TopicCalibration(
            new * self.slopes + old * before.slopes,
            new * self.intercepts + old * before.intercepts,
            new * self.bend + old * before.bend,
        )

    def logits(self, scores: F32) -> F32:
        """Return the log-odds of each topic before the bend, shape (n_rows, n_topics)."""
        return scores * self.slopes + self.intercepts

    def proba(self, scores: F32) -> F32:
        """Return the probability of each topic, shape (n_rows, n_topics)."""
        logits = self.logits(scores)
        low, high, shift = self.bend
        return sigmoid(high * np.logaddexp(0, logits) - low * np.logaddexp(0, -logits) + shift)


#: How scores become probabilities.
AnyCalibration: TypeAlias = Calibration | TopicCalibration


def has_topic_calibration(arrays: Mapping[str, F32]) -> bool:
    """Whether a learner's arrays in a model file are those of rows of several topics."""
    return "slopes" in arrays


def restore_calibration(
    arrays: Mapping[str, F32], biases: F32, single: Calibration | None = None
) -> AnyCalibration:
    """Return a learner's calibration from the arrays of a model file.

    Parameters
    ----------
    arrays : mapping of str to array
        With those of a `TopicCalibration` if rows had several topics.
    biases : float32 array, shape (n_topics,)
    single : Calibration, optional
        That of rows of one topic; softmax by default.
    """
    if has_topic_calibration(arrays):
        return TopicCalibration.restore(arrays, biases)
    return Calibration(1.0) if single is None else single


def fit_topic_calibration(
    scores: F32, y: F32, weights: F32 | None = None, usual: tuple[float, float] = USUAL_CURVE
) -> TopicCalibration:
    """Return the curves with the highest posterior density for rows that were not learned from.

    First one curve for all topics together; then each topic's own, which is near the common one
    unless its documents say otherwise. All are bent by what the likely topics of documents say, as
    a logistic curve through the many unlikely ones is too steep for these.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Those of topics that could not be learned are far below 0 and count for nothing.
    y : float32 array, shape (n_rows, n_topics)
        1 for each topic of a row.
    weights : float32 array, shape (n_rows,), optional
    usual : (float, float)
        The usual slope and intercept; by default, of a linear learner's scores.

    References
    ----------
    Platt (2000), Probabilities for SV machines; a normal prior for each topic's deviation from the
    common curve, as in Gelman et al. (2013), Bayesian data analysis, 16.4. Kull, Silva Filho and
    Flach (2017), Beta calibration.
    """
    n_topics = scores.shape[1]
    row_weights = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
    cost = np.where(scores > _NOT_LEARNED, row_weights[:, np.newaxis], 0)
    clipped = scores.clip(-_MAX_MARGIN, _MAX_MARGIN).astype(np.float64)
    start = np.array(usual)
    common = _fit_curves(clipped.reshape(-1, 1), y.reshape(-1, 1), cost.reshape(-1, 1), start)
    curves = _fit_curves(clipped, y, cost, common[:, 0]) if n_topics > 1 else common
    bend = _fit_bend(clipped * curves[0] + curves[1], y, cost)
    # The last digits depend on the processor, and mean nothing.
    slopes, intercepts = curves.round(_CURVE_DIGITS).astype(np.float32)
    return TopicCalibration(slopes, intercepts, bend.round(_CURVE_DIGITS).astype(np.float32))


def _fit_bend(logits: F64, y: F32, cost: F64) -> F64:
    """Return the bend with the lowest log loss of topics that are at all likely, shape (3,)."""
    from scipy.optimize import minimize

    chosen = (logits > _LEAST_LOGIT) & (cost > 0)
    logits, right, weights = logits[chosen], y[chosen].astype(np.float64), cost[chosen]
    log_proba, log_rest = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)

    def loss(parameters: F64) -> tuple[float, F64]:
        low, high = np.exp(parameters[:2])
        bent = low * log_proba - high * log_rest + parameters[2]
        error = weights * (sigmoid(bent) - right)
        total = weights @ (np.logaddexp(0, bent) - right * bent)
        slopes = np.array([error @ log_proba * low, -error @ log_rest * high, error.sum()])
        return float(total + parameters @ parameters / 2), slopes + parameters

    optimum = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=[(-3, 3)] * 3).x
    return np.append(np.exp(optimum[:2]), optimum[2])


def _fit_curves(scores: F64, y: F32, cost: F64, prior: F64) -> F64:
    """Return slope and intercept for each column, shape (2, n_columns), by Newton steps.

    The logarithm of the slope and the intercept have a normal prior around those of `prior`.
    """
    moves = np.zeros((2, scores.shape[1]))
    for _ in range(_MAX_NEWTON_STEPS):
        slopes = prior[0] * np.exp(moves[0])
        along = scores * slopes
        proba = sigmoid(along + prior[1] + moves[1])
        error, curvature = cost * (proba - y), cost * proba * (1 - proba)
        gradient = np.stack([(error * along).sum(axis=0), error.sum(axis=0)]) + moves / _CURVE_PRIOR
        mixed = (curvature * along).sum(axis=0)
        first = (curvature * along**2).sum(axis=0) + np.maximum((error * along).sum(axis=0), 0)
        first += 1 / _CURVE_PRIOR[0, 0]
        second = curvature.sum(axis=0) + 1 / _CURVE_PRIOR[1, 0]
        steps = np.stack(
            [second * gradient[0] - mixed * gradient[1], first * gradient[1] - mixed * gradient[0]]
        )
        steps = (steps / (first * second - mixed**2)).clip(-1, 1)
        moves -= steps
        if np.abs(steps).max(initial=0) < _NEWTON_TOLERANCE:
            break
    return np.stack([prior[0] * np.exp(moves[0]), prior[1] + moves[1]])


# Sigmoid and its inverse --------------------------------------------------------------------------


def sigmoid(scores: Any) -> Any:
    """Return 1 / (1 + exp(-scores)), without overflow, in the type of the scores."""
    powers = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1, powers) / (1 + powers)


def log_odds(proba: F32) -> F32:
    """Return log(p / (1 - p)), finite for all probabilities."""
    least = np.finfo(np.float32).tiny
    return np.log(np.maximum(proba, least)) - np.log(np.maximum(1 - proba, LEAST_COMPLEMENT))
