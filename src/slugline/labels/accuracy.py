"""Accuracy of a model of the current labels, with an interval that is valid at every look.

Labels are weighted by the inverse selection probability of their texts. Without weights, uncertain
texts, which are selected more often, would bias the accuracy downwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Mask

#: Minimum effective number of labels for an interval, which would be uninformative with fewer.
MIN_EFFECTIVE = 15
# The mixing distribution of the confidence sequence for a fraction p is Beta(m p, m (1 - p)) with
# this m, so that the interval is narrowest between 50 and 200 labels.
_MIXTURE_SIZE = 20.0
# Number of random draws that a label counts as: held-out answers come from ten models, each fitted
# without a tenth of the labels.
_DRAWS_PER_LABEL = 0.9
# Shrinkage of the slope of the control variate: it is multiplied by n / (n + 10).
_N_SLOPE = 10.0


@dataclass(frozen=True, eq=False)
class MeasuredLabels:
    """Labels with held-out answers, in the order of selection.

    Attributes
    ----------
    is_right : bool array, shape (n_labels,)
        Mask of correct answers; False for skipped texts.
    is_skipped : bool array, shape (n_labels,)
    confidence : float64 array, shape (n_labels,)
        The model's probability that its answer is right.
    weights : float64 array, shape (n_labels,)
        Relative number of unlabelled texts that each label represents; see
        `LabelledText.weight`.
    """

    is_right: Mask
    is_skipped: Mask
    confidence: F64
    weights: F64

    def __len__(self) -> int:
        return len(self.is_right)


class AccuracyEstimate(NamedTuple):
    """An estimate of a model's accuracy on all texts without a label.

    Attributes
    ----------
    accuracy : float
        NaN if there are too few labels.
    low, high : float
        The interval; 0 and 1 if there are too few labels.
    n_labels : int
        Number of measured texts: labelled, skipped, or left undecided.
    n_effective : float
        Equivalent number of random draws.
    n_skipped : int, default 0
        Number of measured texts without a label.
    """

    accuracy: float
    low: float
    high: float
    n_labels: int
    n_effective: float
    n_skipped: int = 0

    @property
    def width(self) -> float:
        """The width of the interval."""
        return self.high - self.low


def estimate_accuracy(
    labels: MeasuredLabels,
    mean_confidence: float | None,
    *,
    unmeasured_fraction: float = 0.0,
    alpha: float = 0.05,
) -> AccuracyEstimate:
    """Return the accuracy on texts without a label, with a confidence sequence.

    The model's own confidence is a control variate: it is known for all texts, and labels show how
    much it differs from the accuracy (prediction-powered inference). It corrects for the fewer
    labels of held-out models. It doesn't narrow the interval, since held-out models differ in
    confidence from the final one. The interval allows optional stopping: the probability that it
    misses the accuracy at any look is at most about `alpha`.

    Parameters
    ----------
    labels : MeasuredLabels
    mean_confidence : float or None
        Mean of the model's probability that its answer is right, over texts without a label; None
        if unknown, in which case only labels count.
    unmeasured_fraction : float, default 0.0
        Fraction of unlabelled texts that could not be drawn so far, so that labels carry no
        information about them. As with skipped texts, the interval allows all to be right or wrong.
    alpha : float, default 0.05

    References
    ----------
    Horvitz and Thompson (1952), A generalization of sampling without replacement from a finite
    universe; Angelopoulos et al. (2023), Prediction-powered inference; Robbins (1970), Statistical
    methods related to the law of the iterated logarithm, and Howard et al. (2021), Time-uniform,
    nonparametric, nonasymptotic confidence sequences (the beta-binomial mixture).
    """
    if not len(labels):
        return AccuracyEstimate(math.nan, 0.0, 1.0, 0, 0.0)
    weights = labels.weights
    n_effective = float(weights.sum() ** 2 / (weights**2).sum())
    n_skipped = int(labels.is_skipped.sum())
    if n_effective < MIN_EFFECTIVE:
        return AccuracyEstimate(math.nan, 0.0, 1.0, len(labels), n_effective, n_skipped)
    worst, best = (
        _estimate(right, labels.confidence, weights, n_effective, mean_confidence)
        for right in _with_skipped_wrong_and_right(labels)
    )
    accuracy = (worst.accuracy + best.accuracy) / 2
    low, high = _find_bound(worst, 0.0, alpha), _find_bound(best, 1.0, alpha)
    known = 1 - unmeasured_fraction
    return AccuracyEstimate(
        accuracy=known * accuracy + unmeasured_fraction / 2,
        low=known * low,
        high=known * high + unmeasured_fraction,
        n_labels=len(labels),
        n_effective=n_effective,
        n_skipped=n_skipped,
    )


def _with_skipped_wrong_and_right(labels: MeasuredLabels) -> tuple[F64, F64]:
    """Return masks of right answers: skipped texts count as wrong in the first, else as right."""
    right = labels.is_right & ~labels.is_skipped
    return right.astype(np.float64), (right | labels.is_skipped).astype(np.float64)


class _Estimate(NamedTuple):
    """An accuracy, and the equivalent number of random draws."""

    accuracy: float
    n_draws: float


def _estimate(
    right: F64, confidence: F64, weights: F64, n: float, mean_confidence: float | None
) -> _Estimate:
    fractions = weights / weights.sum()
    slope = 0.0 if mean_confidence is None else _slope(right, confidence, fractions, n)
    weighted = float(fractions @ right)
    estimate = weighted + slope * ((mean_confidence or 0.0) - float(fractions @ confidence))
    accuracy = min(max(float(estimate), 0.0), 1.0)
    variance = float(fractions**2 @ (right - weighted) ** 2) * n / (n - 1)
    # Add one wrong label of mean weight, since a few labels may all be right by chance.
    pseudo = 1 / len(right)
    n_draws = (accuracy * (1 - accuracy) + pseudo) / (variance + pseudo / len(right))
    return _Estimate(accuracy, _DRAWS_PER_LABEL * n_draws)


def _find_bound(estimate: _Estimate, end: float, alpha: float) -> float:
    """Return the confidence bound of the accuracy towards `end`, 0 or 1.

    A fraction is rejected if the draws are 1 / `alpha` times as likely under the mixture. A bound
    within one draw of the end is set to the end, since a label that held-out models lack may settle
    as many texts.
    """
    from scipy.optimize import brentq
    from scipy.special import betaln

    n_right = estimate.accuracy * estimate.n_draws
    n_wrong = estimate.n_draws - n_right

    def evidence(fraction: float) -> float:
        a, b = _MIXTURE_SIZE * fraction, _MIXTURE_SIZE * (1 - fraction)
        mixed = betaln(a + n_right, b + n_wrong) - betaln(a, b)
        exact = n_right * math.log(fraction) + n_wrong * math.log1p(-fraction)
        return float(mixed - exact + math.log(alpha))

    least = 1 / (estimate.n_draws + 1)
    start, limit = (min(max(each, least), 1 - least) for each in (estimate.accuracy, end))
    if evidence(limit) <= 0:
        return end
    return float(brentq(evidence, start, limit))


def _slope(right: F64, confidence: F64, fractions: F64, n: float) -> float:
    """Return the weight of the control variate, from 0 to 1."""
    deviations = confidence - fractions @ confidence
    variance = float(fractions @ deviations**2)
    if variance < 1e-9:
        return 0.0
    slope = float(fractions @ (deviations * right)) / variance
    return min(max(slope, 0.0), 1.0) * n / (n + _N_SLOPE)
