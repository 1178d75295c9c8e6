"""Finds the lowest probability at which predictions reach a required precision."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import Floats, Integers, Mask

#: Probability, over random sets of held-out documents, that the chosen threshold reaches the
#: precision.
CONFIDENCE = 0.9
# Number of tested thresholds. This number and the next were chosen on training splits of 21 data
# sets, with 5 or more labels per topic.
_N_LEVELS = 100
# Number of starting points of the search. A search from the highest threshold alone would stop
# there if one of its few answers is wrong.
_N_STARTS = 5
# Precisions tried by `best_precision`, from high to low; lower ones are useless.
_STEPS = np.concatenate([[0.999, 0.995], np.arange(99, 49, -1) / 100])

# Labels are likely wrong if the error rate of the most confident predictions is at least this
# fraction of the overall error rate; see `ConfidentErrors.has_likely_label_errors`.
_MIN_ERROR_RATIO = 0.2
# Minimum number of wrong predictions among them.
_MIN_ERRORS = 5


class AchievablePrecision(NamedTuple):
    """An achievable precision, and the fraction of predictions given at that precision.

    The precision is 0 if not even 0.5 can be promised.
    """

    precision: float
    coverage: float


def lowest_threshold(probabilities: Floats, right: Mask, precision: float) -> float:
    """Return the lowest probability at which predictions reach a precision, with 90 % confidence.

    The search descends from five starting points and includes more predictions as long as a
    binomial test (the inverse of the lower Clopper-Pearson bound) rejects a lower precision. Each
    starting point gets a fifth of the risk.

    Parameters
    ----------
    probabilities : float array, shape (n_predictions,)
        Probabilities of held-out predictions.
    right : bool array, shape (n_predictions,)
        Mask of right predictions.
    precision : float, over 0 and under 1

    Returns
    -------
    float; infinite if no threshold passes.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan and Lei (2021), Learn then test: fixed-sequence testing with
    several starts. Clopper and Pearson (1934), The use of confidence or fiducial limits.
    """
    n, n_right, thresholds = _levels(probabilities, right)
    risk = (1 - CONFIDENCE) / _N_STARTS
    # With fewer answers, the test would fail even if all were right.
    enough = n >= np.log(risk) / np.log(precision)
    n, n_right, thresholds = n[enough], n_right[enough], thresholds[enough]
    if not len(n):
        return np.inf
    levels = np.linspace(0, len(n) - 1, min(len(n), _N_LEVELS)).astype(int)
    pairs = list(zip(n_right[levels].tolist(), n[levels].tolist(), strict=True))
    # Start from the last point, because the result is the lowest threshold of all.
    stop = len(pairs)
    for start in reversed((len(pairs) * np.arange(_N_STARTS) // _N_STARTS).tolist()):
        passes = (_binomial_tail(*pair, precision) <= risk for pair in pairs[start:stop])
        length = sum(itertools.takewhile(bool, passes))
        if length:
            return float(thresholds[levels[start + length - 1]])
        stop = start
    return np.inf


def best_precision(probabilities: Floats, right: Mask) -> AchievablePrecision:
    """Return the best achievable precision and its coverage."""
    for precision in _STEPS.tolist():
        threshold = lowest_threshold(probabilities, right, precision)
        if threshold < np.inf:
            return AchievablePrecision(precision, float((probabilities >= threshold).mean()))
    return AchievablePrecision(0.0, 0.0)


class ConfidentErrors(NamedTuple):
    """Errors among the quarter of held-out predictions with the highest probabilities."""

    n_sure: int
    n_wrong: int
    # Fraction of wrong predictions among all of them.
    error_rate: float

    @classmethod
    def from_predictions(cls, probabilities: Floats, right: Mask) -> ConfidentErrors:
        """Return the counts for held-out predictions."""
        n_sure = len(right) // 4
        surest = np.argsort(-probabilities, kind="stable")[:n_sure]
        n_wrong = n_sure - int(np.count_nonzero(right[surest]))
        return cls(n_sure, n_wrong, 1 - float(right.mean()) if len(right) else 0.0)

    @property
    def has_likely_label_errors(self) -> bool:
        """True if confident predictions are wrong so often that labels are likely wrong.

        Hard documents get low probabilities; documents with wrong labels can get high ones. On
        training splits of eight data sets, the error rate of the most confident quarter is at most
        0.14 times the overall error rate, and at least 0.21 times if 5 % of the labels are
        replaced. On data sets with inherently overlapping topics (reviews, diseases, short
        sentences on anything), the factor is 0.24 to 0.36 without replaced labels.
        """
        is_common = self.n_wrong > _MIN_ERROR_RATIO * self.error_rate * self.n_sure
        return self.n_wrong >= _MIN_ERRORS and is_common


def _levels(probabilities: Floats, right: Mask) -> tuple[Integers, Integers, Floats]:
    """Count all and right predictions at or above each distinct probability."""
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    differs = np.append(values[1:] != values[:-1], True)[: len(values)]
    last = np.flatnonzero(differs)
    return last + 1, np.cumsum(right[order], dtype=np.int64)[last], values[last]


def _binomial_tail(n_successes: int, n: int, p: float) -> float:
    """Return the probability of at least `n_successes` in `n` trials.

    Equivalent to SciPy's `bdtrc`, whose import takes longer than loading a model.
    """
    n_failed = np.arange(1, n - n_successes + 1)
    # Logarithms of the binomial coefficients, each computed from the previous one.
    logs = np.append(0.0, np.log((n + 1 - n_failed) / n_failed).cumsum())
    logs += np.arange(len(logs)) * math.log1p(-p) + (n - np.arange(len(logs))) * math.log(p)
    return min(1.0, float(np.exp(logs).sum()))
