"""How errors fall as documents are added: a power law, and what it says of more of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slugline.base.arrays import F64
from slugline.evaluation.intervals import Z_95, wilson

__all__ = [
    "Forecast",
    "PowerLaw",
    "fit_power_law",
    "forecast",
]

# With fewer points, a line through their logarithms says nothing on how good the law is.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Errors of `scale * n ** -slope` after learning from `n` documents; a slope is at least 0."""

    scale: float
    slope: float

    def error(self, n: float) -> float:
        """Return the share of wrong answers after learning from `n` documents."""
        return self.scale * n**-self.slope


@dataclass(frozen=True, slots=True)
class Forecast:
    """The accuracy to expect with more documents.

    Attributes
    ----------
    n_documents : int
    accuracy, low, high : float
        The expected one, and its range: from the spread of forecasts that each leave one point out,
        from how far the law was off where it could be checked, and from the number of test
        documents.
    checked : (int, float, float) or None
        A number of documents, the accuracy that the law forecast for them from fewer, and the one
        that was measured.
    """

    n_documents: int
    accuracy: float
    low: float
    high: float
    checked: tuple[int, float, float] | None = None


def fit_power_law(n_documents: Sequence[float], errors: Sequence[float]) -> PowerLaw:
    """Return the power law nearest to the logarithms of errors.

    A point counts in proportion to its documents, since the first ones, where a classifier hardly
    does better than chance, follow no such law. A floor that errors would never fall below was
    tried, and forecasts with it were further off.

    Parameters
    ----------
    n_documents : sequence of float, over 0, at least two different ones
    errors : sequence of float
        The share of wrong answers after learning from so many; none counts as very few.

    References
    ----------
    Cortes et al. (1994), Learning curves: asymptotic values and rate of convergence; Hestness et
    al. (2017), Deep learning scaling is predictable, empirically.
    """
    n = np.asarray(n_documents, dtype=np.float64)
    x, y = np.log(n), np.log(np.maximum(errors, 1e-6))
    weights = n / n.sum()
    middle, height = weights @ x, weights @ y
    slope = max(
        0.0, -float(weights @ ((x - middle) * (y - height)) / (weights @ (x - middle) ** 2))
    )
    return PowerLaw(math.exp(height + slope * middle), slope)


def forecast(
    n_documents: Sequence[int], accuracies: Sequence[float], n_wanted: int, n_test: int
) -> Forecast | None:
    """Return the accuracy to expect with more documents; None where there are too few points.

    The law says how much is gained from the last point on, which itself is as measured. On ten of
    the benchmarks' data sets, 23 of 25 measured points were in the range forecast from fewer.

    Parameters
    ----------
    n_documents : sequence of int, in ascending order
    accuracies : sequence of float
    n_wanted : int
        How many documents there will be.
    n_test : int
        How many documents the accuracies were measured on.
    """
    n, accuracy = np.asarray(n_documents, dtype=np.float64), np.asarray(accuracies)
    if len(n) < _FEWEST:
        return None
    last = float(accuracy[-1])
    expected = min(1.0, last + _gain(n, accuracy, n_wanted))
    kept = [np.delete(np.arange(len(n)), left_out) for left_out in range(len(n))]
    spread = [last + _gain(n[rows], accuracy[rows], n_wanted, n[-1]) for rows in kept]
    doubts = [abs(each - expected) for each in spread]
    checked = None
    if len(n) > _FEWEST:
        before = float(accuracy[-2] + _gain(n[:-1], accuracy[:-1], n[-1]))
        checked = (int(n[-1]), before, last)
        # It was off so far over this many doublings, and is asked for one.
        doubts.append(abs(before - last) / max(1.0, math.log2(n[-1] / n[-2])))
    # The last point, and the one forecast, are measured on a sample.
    low, high = wilson(round(last * n_test), n_test)
    chance = math.sqrt(2) * (high - low) / (2 * Z_95)
    reach = math.hypot(max(doubts), chance)
    return Forecast(
        n_wanted, expected, max(0.0, expected - reach), min(1.0, expected + reach), checked
    )


def _gain(n: F64, accuracy: F64, n_wanted: float, n_from: float | None = None) -> float:
    """Return what a law through these points says that further documents add to the accuracy."""
    law = fit_power_law(n.tolist(), (1 - accuracy).tolist())
    return law.error(n[-1] if n_from is None else n_from) - law.error(n_wanted)
