"""Turn scores into probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from msgspec import Meta

from slugline.base.arrays import F32, F64, I64, Integers
from slugline.errors import DataError

if TYPE_CHECKING:
    from slugline.learning.minimize import Evaluation

# Differences between scores of at most this size are finite.
_MAX_SCORE = np.float32(1e38)
InverseTemperature: TypeAlias = Annotated[float, Meta(gt=0, lt=1e6)]
CalibrationWeight: TypeAlias = Annotated[float, Meta(ge=0, lt=1)]
# Bounds of the log of an inverse temperature.
_LOG_BOUNDS = (-4.0, 4.0)


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
        Scores before softmax.
    y : int array, shape (n_rows,)
    """
    return -log_softmax(scores)[np.arange(len(y)), y]


def binary_log_losses(scores: F32, y: F32) -> F32:
    """Return the log loss of each row in nats, summed over topics.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Scores before the sigmoid.
    y : float32 array, shape (n_rows, n_topics)
        1 for each topic of a row.
    """
    losses: F32 = (np.logaddexp(np.float32(0), scores) - y * scores).sum(axis=1)
    return losses


# Single-label rows --------------------------------------------------------------------------------

# Maximum weight.
_MAX_WEIGHT = 0.5
# Bounds of the log-odds of weight / `_MAX_WEIGHT`.
_LOGIT_BOUNDS = (-12.0, 12.0)
# Prior means of the parameters: the log of the inverse temperature relative to its prior, and the
# log-odds of weights of 1 % and 6 %. Chosen on diverse training splits.
_PRIOR_MEANS = np.array([0.0, -4.0, -2.0])
# Prior standard deviations of the parameters. Chosen likewise.
_SPREADS = np.array([0.5, 1.0, 1.0])
# Minimisation starts from the prior means, and from a low temperature with a uniform weight of a
# quarter.
_STARTS = (_PRIOR_MEANS, np.array([1.5, 0.0, -2.0]))
# Normal scores with standard deviation s carry about s^2 / 2 nats of information about a topic, and
# k topics carry at most log(k). The prior of the standard deviation of calibrated scores is
# half-normal with this fraction of sqrt(2 log(k)) as its scale: held-out rows used to choose
# penalties and factors are predicted better than new rows, especially if few. Chosen by
# cross-validation on the training splits of 15 sets with 4 to 32 rows per topic.
_PRIOR_PART = 0.4
# Scores with a smaller standard deviation are constant except for rounding.
_LEAST_SPREAD = 1e-4
# Scores this far below the highest one have a probability of 0 at any temperature within bounds.
_LEAST_BELOW = np.float32(-1e6)
# Minimum probability of a true topic, so that its logarithm is finite.
_TINY = 1e-30
# Number of significant digits of a minimiser's result that don't depend on the processor.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Calibration:
    """A mixture of softmax at two temperatures and the uniform distribution.

    Attributes
    ----------
    inverse_temperature : float
        Factor on scores before softmax.
    uniform_weight : float
        Weight of the uniform distribution over topics, for documents that no score explains, such
        as mislabelled ones.
    high_temperature_weight : float
        Weight, within the rest, of softmax at three times the temperature, for documents that fit
        several of the topics with high scores.
    """

    inverse_temperature: InverseTemperature
    uniform_weight: CalibrationWeight = 0.0
    high_temperature_weight: CalibrationWeight = 0.0

    @property
    def multilabel(self) -> bool:
        """False: it is for single-label rows."""
        return False

    def arrays(self) -> dict[str, F32]:
        """Return the arrays for a model file: none."""
        return {}

    def blend(self, before: Calibration, weight: float) -> Calibration:
        """Return the weighted mean of this calibration and `before`; `weight` is at most 1."""
        old = 1 - weight
        return Calibration(
            float(self.inverse_temperature**weight * before.inverse_temperature**old),
            weight * self.uniform_weight + old * before.uniform_weight,
            weight * self.high_temperature_weight + old * before.high_temperature_weight,
        )

    def proba(self, scores: F32) -> F32:
        """Return rows of probabilities, in the same order as the scores."""
        if self.high_temperature_weight:
            proba = self._mix_temperatures(scores)
        else:
            proba = softmax(scores * np.float32(self.inverse_temperature))
        if self.uniform_weight:
            proba *= np.float32(1 - self.uniform_weight)
            proba += np.float32(self.uniform_weight / proba.shape[1])
        return proba

    def _mix_temperatures(self, scores: F32) -> F32:
        hot = _softmax_powers(scores * np.float32(self.inverse_temperature / 3))
        cold = hot * hot * hot  # ten times as fast as hot**3
        cold *= np.float32(1 - self.high_temperature_weight) / cold.sum(axis=1, keepdims=True)
        hot *= np.float32(self.high_temperature_weight) / hot.sum(axis=1, keepdims=True)
        cold += hot
        return cold


#: The calibration without held-out rows.
DEFAULT_CALIBRATION = Calibration(5.5, 0.01, 0.06)


def fit_calibration(
    scores: F32, y: I64, weights: F32 | None = None, usual: float | None = None
) -> Calibration:
    """Return the calibration of maximum posterior probability, given held-out rows.

    The prior matters if rows are few, since their log loss carries little information. The default
    prior doesn't favour informative scores, so that few rows give cautious probabilities.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Held-out scores before softmax.
    y : int array, shape (n_rows,)
    weights : float32 array, shape (n_rows,), optional
    usual : float, optional
        Prior inverse temperature, for scores whose scale is meaningful.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, for the
    temperature. The uniform weight is the noise of a "robust" multinomial model, as in Gelman et
    al. (2013), Bayesian data analysis, 17.2. The high temperature is ours: it lowered the log loss
    on 14 of 14 data sets.
    """
    from slugline.learning.minimize import minimize_bounded

    prior_sd = None
    if usual is None:
        # Topics without held-out rows, such as topics with a single row, have scores out of range.
        topics = np.unique(y)
        in_range = scores[:, topics] if len(topics) > 1 else scores
        size = spread(in_range.clip(-_MAX_SCORE, _MAX_SCORE))
        usual = 1 / size if size > _LEAST_SPREAD else 1.0
        prior_sd = _PRIOR_PART * float(np.sqrt(2 * np.log(max(len(topics), 2))))
    loss = _Loss(scores * np.float32(usual), y, weights, prior_sd)
    bounds = [_LOG_BOUNDS, _LOGIT_BOUNDS, _LOGIT_BOUNDS]
    minima = [minimize_bounded(loss, start, bounds) for start in _STARTS]
    parameters, _ = min(minima, key=lambda minimum: minimum[1])
    fitted = _calibration(parameters)
    return Calibration(
        round_digits(usual * fitted.inverse_temperature),
        round_digits(fitted.uniform_weight),
        round_digits(fitted.high_temperature_weight),
    )


def spread(scores: F32 | F64) -> float:
    """Return the typical standard deviation of a row's scores over topics; 0 without rows."""
    if not len(scores):
        return 0.0
    return float(np.sqrt(np.mean(scores.var(axis=1, dtype=np.float64))))


def round_digits(value: float) -> float:
    """Round off the last digits of a minimiser's result, which depend on the processor.

    >>> round_digits(0.123456789012)
    0.123456789
    """
    return float(f"{value:.{_DIGITS}g}")


def _calibration(parameters: F64) -> Calibration:
    """Return the calibration with these parameters.

    The parameters are log(inverse temperature) and, for each weight, the log-odds of
    weight / `_MAX_WEIGHT`.
    """
    factor, *weights = np.exp([parameters[0], *-np.logaddexp(0, -parameters[1:])])
    return Calibration(float(factor), *(float(_MAX_WEIGHT * weight) for weight in weights))


class _Loss:
    """Minus the log posterior divided by the number of rows, with its derivatives.

    A function of the parameters of `_calibration`: the mean log loss, plus the prior's.
    """

    def __init__(
        self, scores: F32, y: I64, weights: F32 | None, prior_sd: float | None = None
    ) -> None:
        self._below = np.clip(scores, -_MAX_SCORE, _MAX_SCORE)
        self._below -= self._below.max(axis=1, keepdims=True)
        np.maximum(self._below, _LEAST_BELOW, out=self._below)
        self._squares = self._below**2
        self._true_index = np.arange(len(y)), y
        self._true_below = self._below[self._true_index]
        self._ones = np.ones(self._below.shape[1])
        weights = np.ones(len(y), dtype=np.float32) if weights is None else weights
        self._weights = weights / weights.sum(dtype=np.float64)
        self._prior_sd = prior_sd

    def __call__(self, parameters: F64) -> Evaluation:
        fitted = _calibration(parameters)
        uniform, high = fitted.uniform_weight, fitted.high_temperature_weight
        cold, hot = self._true_probabilities(fitted.inverse_temperature)
        mixed, contrast = (1 - high) * cold + high * hot, hot - cold
        chance = 1 / self._below.shape[1]
        true_proba = np.maximum((1 - uniform) * mixed[0] + uniform * chance, _TINY)
        # Derivatives of the weights by their log-odds, then of the true topic's probability.
        uniform_slope, high_slope = (w * (1 - w / _MAX_WEIGHT) for w in (uniform, high))
        slopes = np.empty_like(mixed)
        slopes[0] = (1 - uniform) * mixed[1]
        slopes[1] = uniform_slope * (chance - mixed[0])
        slopes[2] = (1 - uniform) * high_slope * contrast[0]
        ratios = self._weights / true_proba
        total, (mixed_sum, mixed_slope, mixed_bend) = ratios.sum(), mixed @ ratios
        contrast_sum, contrast_slope, _ = contrast @ ratios
        uniform_bend = uniform_slope * (1 - 2 * uniform / _MAX_WEIGHT)
        high_bend = high_slope * (1 - 2 * high / _MAX_WEIGHT)
        bends = np.zeros((3, 3))
        bends[0, 0] = (1 - uniform) * mixed_bend
        bends[1, 1] = uniform_bend * (chance * total - mixed_sum)
        bends[2, 2] = (1 - uniform) * high_bend * contrast_sum
        bends[0, 1] = bends[1, 0] = -uniform_slope * mixed_slope
        bends[0, 2] = bends[2, 0] = (1 - uniform) * high_slope * contrast_slope
        bends[1, 2] = bends[2, 1] = -uniform_slope * high_slope * contrast_sum
        prior, prior_slopes, prior_bends = self._prior(parameters)
        n_rows = len(true_proba)
        loss = -self._weights @ np.log(true_proba) + prior / n_rows
        hessian = (slopes * (ratios / true_proba)) @ slopes.T - bends
        return (
            float(loss),
            prior_slopes / n_rows - slopes @ ratios,
            hessian + np.diag(prior_bends / n_rows),
        )

    def _prior(self, parameters: F64) -> tuple[float, F64, F64]:
        """Return minus the log prior density, and its first and second derivatives.

        Mixed derivatives are 0.
        """
        away = (parameters - _PRIOR_MEANS) / _SPREADS
        penalties, slopes, bends = away * away / 2, away / _SPREADS, 1 / _SPREADS**2
        if self._prior_sd is not None:
            penalties[0] = np.exp(2 * parameters[0]) / self._prior_sd**2 / 2
            slopes[0], bends[0] = 2 * penalties[0], 4 * penalties[0]
        return float(penalties.sum()), slopes, bends

    def _true_probabilities(self, inverse_temperature: float) -> list[F64]:
        """Return the true topics' softmax at this temperature, and at three times as much.

        Both have shape (3, n_rows): values, and first and second derivatives by the log inverse
        temperature.
        """
        factor = inverse_temperature
        hot = np.exp(self._below * np.float32(factor / 3))
        softmaxes = []
        for powers, scale in ((hot * hot * hot, factor), (hot, factor / 3)):
            total = powers.astype(np.float64) @ self._ones  # four times as fast as a sum of rows
            mean = np.einsum("ij,ij->i", powers, self._below) / total
            variance = np.einsum("ij,ij->i", powers, self._squares) / total - mean**2
            softmax = np.empty((3, len(total)))
            softmax[0] = powers[self._true_index] / total
            slope = scale * (self._true_below - mean)  # of the log-probability
            softmax[1] = slope
            softmax[2] = slope * slope + slope - scale**2 * variance
            softmax[1:] *= softmax[0]
            softmaxes.append(softmax)
        return softmaxes


# Multilabel rows ---------------------------------------------------------------------------------

#: Prior slope and intercept of curves for the scores of a linear learner.
USUAL_CURVE = (4.0, -1.0)
# Prior variances of a topic's log slope and intercept around the common ones. Chosen on training
# splits.
_CURVE_PRIOR = np.array([[0.09], [0.5]])
#: Prior slope and intercept if scores are log-odds of probabilities.
LOG_ODDS_CURVE = (1.0, 0.0)
#: Lower log-odds of trained topics are raised to this, since they carry no more information.
LEAST_LOG_ODDS = -8.5
# Scores up to this belong to topics without training rows.
_NOT_LEARNED = -9.0
# Other scores are clipped to this range around 0: larger margins carry no more information.
_MAX_MARGIN = 10.0
# Topics with lower log-odds, of a hundredth, count as unlikely.
_LEAST_LOGIT = -4.6
_MAX_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-7
_CURVE_DIGITS = 5
# Number of scores whose derivatives are computed at a time, in the processor's cache.
_MAX_SLICE_CELLS = 1 << 13


class TopicCalibration(NamedTuple):
    """A calibration of multilabel scores: a logistic curve per topic with a common bend.

    Attributes
    ----------
    slopes, intercepts : float32 array, shape (n_topics,)
    bend : float32 array, shape (3,)
        Beta calibration: factors on the logarithms of the probability and of its complement, and
        the shift added to their difference.
    """

    slopes: F32
    intercepts: F32
    bend: F32

    @classmethod
    def of_log_odds(cls, n_topics: int) -> TopicCalibration:
        """Return the calibration of scores that are log-odds already."""
        slopes, intercepts = (np.full(n_topics, value, np.float32) for value in LOG_ODDS_CURVE)
        return cls(slopes, intercepts, np.array([1, 1, 0], np.float32))

    @property
    def multilabel(self) -> bool:
        """True: it is for multilabel rows."""
        return True

    @classmethod
    def restore(cls, arrays: Mapping[str, F32], biases: F32) -> TopicCalibration:
        """Rebuild the calibration in a model file; raise DataError if it doesn't fit the biases."""
        curves = cls(*(arrays[name] for name in cls._fields))
        fits = curves.slopes.shape == curves.intercepts.shape == biases.shape
        if not fits or curves.bend.shape != (3,):
            raise DataError("calibration curves that don't match the topics")
        if (curves.slopes <= 0).any() or (curves.bend[:2] <= 0).any():
            raise DataError("calibration curves that are not increasing")
        return curves

    def arrays(self) -> dict[str, F32]:
        """Return the arrays for a model file."""
        return self._asdict()

    def blend(self, before: TopicCalibration, weight: float) -> TopicCalibration:
        """Return the weighted mean of these curves and `before`; `weight` is at most 1."""
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


#: A calibration, which turns scores into probabilities.
AnyCalibration: TypeAlias = Calibration | TopicCalibration


def restore_calibration(
    arrays: Mapping[str, F32], biases: F32, single_label: Calibration | None = None
) -> AnyCalibration:
    """Return a learner's calibration from the arrays of a model file.

    Parameters
    ----------
    arrays : mapping of str to array
        Includes a `TopicCalibration` if the learner is multilabel.
    biases : float32 array, shape (n_topics,)
    single_label : Calibration, optional
        The calibration without a `TopicCalibration`; softmax by default.
    """
    if "slopes" in arrays:
        return TopicCalibration.restore(arrays, biases)
    return Calibration(1.0) if single_label is None else single_label


def fit_topic_calibration(
    scores: F32, y: F32, weights: F32 | None = None, usual: tuple[float, float] = USUAL_CURVE
) -> TopicCalibration:
    """Return maximum a posteriori calibration curves, fitted to held-out rows.

    First, a common curve is fitted to all topics. Then each topic gets its own curve, with the
    common one as its prior. Since most topics of a document are unlikely, a logistic curve that
    fits them is too steep for the likely ones; so all curves get a common bend, fitted to the
    likely topics.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Scores far below 0, of topics without training rows, are ignored.
    y : float32 array, shape (n_rows, n_topics)
        1 for each topic of a row.
    weights : float32 array, shape (n_rows,), optional
    usual : (float, float)
        Prior slope and intercept; by default, for the scores of a linear learner.

    References
    ----------
    Platt (2000), Probabilities for SV machines; a normal prior for each topic's deviation from the
    common curve, as in Gelman et al. (2013), Bayesian data analysis, 16.4. Kull, Silva Filho and
    Flach (2017), Beta calibration.
    """
    n_topics = scores.shape[1]
    row_weights = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
    cell_weights = np.where(scores > _NOT_LEARNED, row_weights[:, np.newaxis], 0)
    clipped = scores.clip(-_MAX_MARGIN, _MAX_MARGIN).astype(np.float64)
    start = np.array(usual)
    common = _fit_curves(clipped, y, cell_weights, start, is_common=True)
    curves = common
    if n_topics > 1:
        curves = _fit_curves(clipped, y, cell_weights, common[:, 0], is_common=False)
    bend = _fit_bend(clipped * curves[0] + curves[1], y, cell_weights)
    # Round off the last digits, which depend on the processor.
    slopes, intercepts = curves.round(_CURVE_DIGITS).astype(np.float32)
    return TopicCalibration(slopes, intercepts, bend.round(_CURVE_DIGITS).astype(np.float32))


def _fit_bend(logits: F64, y: F32, cell_weights: F64) -> F64:
    """Return the bend with the lowest log loss over likely topics, shape (3,)."""
    from slugline.learning.minimize import minimize_bounded

    is_likely = (logits > _LEAST_LOGIT) & (cell_weights > 0)
    right, weights = y[is_likely].astype(np.float64), cell_weights[is_likely]
    logits = logits[is_likely]
    log_proba, log_rest = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)

    def loss(parameters: F64) -> Evaluation:
        low, high = np.exp(parameters[:2])
        slopes = np.stack([low * log_proba, -high * log_rest, np.ones_like(logits)])
        bent = slopes[0] + slopes[1] + parameters[2]
        powers = np.exp(-np.abs(bent))
        proba = np.where(bent >= 0, 1, powers) / (1 + powers)
        error = weights * (proba - right)
        losses = weights * (np.maximum(bent, 0) + np.log1p(powers) - right * bent)
        # Without BLAS, whose threads would take longer to synchronize.
        gradient = (slopes * error).sum(axis=1)
        curved = slopes * (weights * proba * (1 - proba))
        hessian = np.array([(curved * slope).sum(axis=1) for slope in slopes])
        hessian += np.diag([gradient[0], gradient[1], 0]) + np.eye(3)
        penalty = (parameters**2).sum() / 2
        return float(losses.sum() + penalty), gradient + parameters, hessian

    optimum, _ = minimize_bounded(loss, np.zeros(3), [(-3, 3)] * 3)
    return np.append(np.exp(optimum[:2]), optimum[2])


def _fit_curves(scores: F64, y: F32, cell_weights: F64, prior: F64, *, is_common: bool) -> F64:
    """Return the slope and intercept of each column, found by Newton steps.

    Log slopes and intercepts have normal priors around `prior`. The shape is (2, n_columns), or
    (2, 1) if `is_common`.
    """
    offsets = np.zeros((2, 1 if is_common else scores.shape[1]))
    for _ in range(_MAX_NEWTON_STEPS):
        slopes, intercepts = prior[0] * np.exp(offsets[0]), prior[1] + offsets[1]
        sums = _sum_derivatives(scores, y, cell_weights, slopes, intercepts)
        if is_common:
            sums = sums.sum(axis=1, keepdims=True)
        by_slope, by_intercept, h_slope, h_both, h_intercept = sums
        gradient = np.stack([by_slope, by_intercept]) + offsets / _CURVE_PRIOR
        # The second derivative by the log slope also contains the gradient. Only its positive part
        # is used, so that steps go down.
        h_slope = h_slope + np.maximum(by_slope, 0) + 1 / _CURVE_PRIOR[0, 0]
        h_intercept = h_intercept + 1 / _CURVE_PRIOR[1, 0]
        steps = np.stack(
            [
                h_intercept * gradient[0] - h_both * gradient[1],
                h_slope * gradient[1] - h_both * gradient[0],
            ]
        )
        steps = (steps / (h_slope * h_intercept - h_both**2)).clip(-1, 1)
        offsets -= steps
        if np.abs(steps).max(initial=0) < _NEWTON_TOLERANCE:
            break
    return np.stack([prior[0] * np.exp(offsets[0]), prior[1] + offsets[1]])


def _sum_derivatives(scores: F64, y: F32, cell_weights: F64, slopes: F64, intercepts: F64) -> F64:
    """Return summed derivatives of the log loss of each column, shape (5, n_columns).

    The gradient by the log slope and the intercept, then the Hessian by the log slope, both, and
    the intercept, without gradient terms.
    """
    sums = np.zeros((5, scores.shape[1]))
    size = max(1, _MAX_SLICE_CELLS // max(1, scores.shape[1]))
    for start in range(0, len(scores), size):
        part = slice(start, start + size)
        sloped = scores[part] * slopes
        proba = sigmoid(sloped + intercepts)
        error, curvature = proba - y[part], proba * (1 - proba)
        error *= cell_weights[part]
        curvature *= cell_weights[part]
        sums[1] += error.sum(axis=0)
        sums[4] += curvature.sum(axis=0)
        error *= sloped
        sums[0] += error.sum(axis=0)
        curvature *= sloped
        sums[3] += curvature.sum(axis=0)
        curvature *= sloped
        sums[2] += curvature.sum(axis=0)
    return sums


# Sigmoid and its inverse --------------------------------------------------------------------------


def sigmoid(scores: Any) -> Any:
    """Return 1 / (1 + exp(-scores)), without overflow, in the type of the scores."""
    powers = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1, powers) / (1 + powers)


#: Smaller complements of probabilities are mostly float32 rounding errors.
LEAST_COMPLEMENT = 2.0**-20


def log_odds(proba: F32) -> F32:
    """Return log(p / (1 - p)), finite for all probabilities."""
    least = np.finfo(np.float32).tiny
    return np.log(np.maximum(proba, least)) - np.log(np.maximum(1 - proba, LEAST_COMPLEMENT))
