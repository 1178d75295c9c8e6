"""Thresholds of probability from which on predictions are right as often as asked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Floats, Integers, Mask

#: How often a threshold keeps its promise, at least, over sets of documents to choose it by.
CONFIDENCE = 0.9
# Thresholds that are looked at, and from how many of them the search goes down: one that starts
# with the highest alone ends at its few answers if one of these has a wrong topic. Chosen on
# training splits of 21 sets, from 5 labels per topic to all.
_N_LEVELS, _N_STARTS = 100, 5
# Precisions that are tried to find the highest that can be promised; nobody asks for lower ones.
_STEPS = np.concatenate([[0.999, 0.995], np.arange(99, 49, -1) / 100])

# See `ConfidentErrors.suggest_wrong_labels`.
_CONFIDENT_ERROR, _FEWEST_ERRORS = 0.2, 5


class AchievablePrecision(NamedTuple):
    """A precision (0 if not even 0.5 can be promised), and the share of predictions over it."""

    precision: float
    coverage: float


def lowest_threshold(probabilities: Floats, right: Mask, precision: float) -> float:
    """Return the lowest probability at which predictions have a precision, with 90 % confidence.

    Going down from five starting points, it includes more predictions as long as a binomial test
    (the inverse of the lower Clopper-Pearson bound) rejects a lower precision. Each starting point
    has a fifth of the risk.

    Parameters
    ----------
    probabilities : float array, shape (n_predictions,)
        Of held-out predictions.
    right : bool array, shape (n_predictions,)
        Which of them are right.
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
    # With fewer answers, not even all of them right would pass.
    enough = n >= np.log(risk) / np.log(precision)
    n, n_right, thresholds = n[enough], n_right[enough], thresholds[enough]
    if not len(n):
        return np.inf
    levels = np.linspace(0, len(n) - 1, min(len(n), _N_LEVELS)).astype(int)
    passes = _p_value(n_right[levels], n[levels], precision) <= risk
    starts = len(levels) * np.arange(_N_STARTS) // _N_STARTS
    lengths = [_count_until_failure(passes[start:]) for start in starts.tolist()]
    ends = [start + length for start, length in zip(starts, lengths, strict=True) if length]
    return float(thresholds[levels[max(ends) - 1]]) if ends else np.inf


def best_precision(probabilities: Floats, right: Mask) -> AchievablePrecision:
    """Return the highest precision that can be promised, and the share of predictions covered."""
    for precision in _STEPS.tolist():
        threshold = lowest_threshold(probabilities, right, precision)
        if threshold < np.inf:
            return AchievablePrecision(precision, float((probabilities >= threshold).mean()))
    return AchievablePrecision(0.0, 0.0)


class ConfidentErrors(NamedTuple):
    """The quarter of held-out predictions with the highest probabilities, and all of them."""

    n_sure: int
    n_wrong: int
    # Of all predictions, the share that is wrong.
    error_rate: float

    @classmethod
    def from_predictions(cls, probabilities: Floats, right: Mask) -> ConfidentErrors:
        """Return how many of the surest predictions are wrong."""
        n_sure = len(right) // 4
        surest = np.argsort(-probabilities, kind="stable")[:n_sure]
        n_wrong = n_sure - int(np.count_nonzero(right[surest]))
        return cls(n_sure, n_wrong, 1 - float(right.mean()) if len(right) else 0.0)

    @property
    def suggest_wrong_labels(self) -> bool:
        """Whether the surest predictions are wrong so often that labels are likely to be wrong.

        Hard documents get low probabilities, wrong labels any: on training splits of eight sets,
        the error rate of the surest quarter is at most 0.14 of that of all predictions, and at
        least 0.21 of it if 5 % of the labels are replaced. Of sets whose topics overlap by nature
        (reviews, diseases, short sentences on anything) it is 0.24 to 0.36 as they are.
        """
        is_common = self.n_wrong > _CONFIDENT_ERROR * self.error_rate * self.n_sure
        return self.n_wrong >= _FEWEST_ERRORS and is_common


def _levels(probabilities: Floats, right: Mask) -> tuple[Integers, Integers, Floats]:
    """Return how many predictions reach each distinct probability, and how many are right."""
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    differs = np.append(values[1:] != values[:-1], True)[: len(values)]
    last = np.flatnonzero(differs)
    return last + 1, np.cumsum(right[order], dtype=np.int64)[last], values[last]


def _p_value(n_right: Integers, n: Integers, precision: float) -> F64:
    """Return the probability of so many right predictions or more at a precision."""
    pairs = zip(n_right.tolist(), n.tolist(), strict=True)
    return np.array([_binomial_tail(n_right, n, precision) for n_right, n in pairs])


def _binomial_tail(least: int, n: int, p: float) -> float:
    """Return the probability of `least` successes or more of `n`.

    SciPy's `bdtrc` gives the same, but importing it takes longer than all else that loads a model.
    """
    n_failed = np.arange(1, n - least + 1)
    # Logarithms of the binomial coefficients, each from the one before.
    logs = np.append(0.0, np.log((n + 1 - n_failed) / n_failed).cumsum())
    logs += np.arange(len(logs)) * math.log1p(-p) + (n - np.arange(len(logs))) * math.log(p)
    return min(1.0, float(np.exp(logs).sum()))


def _count_until_failure(passes: Mask) -> int:
    """Return how many pass before the first that does not."""
    return len(passes) if passes.all() else int(passes.argmin())
