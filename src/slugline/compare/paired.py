"""Whether one model is better than another on the same folds, or had luck with them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = ["NAME", "Difference", "adjusted", "difference"]

#: What the test is called, and by whom it is.
NAME = "corrected resampled t-test (Nadeau and Bengio, 2003), p-values adjusted by Holm (1979)"

# Differences of accuracies that are nothing but rounding.
_ROUNDED = 1e-12


@dataclass(frozen=True)
class Difference:
    """By how much a model's accuracy is above another's; below, if negative.

    Attributes
    ----------
    accuracy : float
        The mean difference over the folds.
    interval : (float, float) or None
        Its 95 % interval.
    p_value : float or None
        How often folds would differ as much as this if neither model were better.

    Interval and p-value are None if the models differ by the same in all folds, which says nothing
    of how they would differ elsewhere.
    """

    accuracy: float
    interval: tuple[float, float] | None
    p_value: float | None


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Return the difference of two models' accuracies on the same folds, two or more.

    Each two of k folds have most of the documents to learn from in common, so that folds vary less
    than new documents would. The variance of the mean is therefore taken as 1/k + 1/(k - 1) times
    that of the differences, where 1/(k - 1) is the ratio of documents tested on to those learned
    from; without the correction it is 1/k times. Student's t with k - 1 degrees of freedom.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52.
    """
    n = len(ours)
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences)
    error = math.sqrt((1 / n + 1 / (n - 1)) * statistics.variance(differences))
    if error < _ROUNDED and abs(mean) < _ROUNDED:
        return Difference(0.0, (0.0, 0.0), 1.0)
    if error < _ROUNDED:
        return Difference(mean, None, None)
    from scipy.stats import t

    reach = float(t.ppf(0.975, n - 1)) * error
    p_value = float(2 * t.sf(abs(mean) / error, n - 1))
    return Difference(mean, (mean - reach, mean + reach), p_value)


def adjusted(found: Mapping[str, Difference]) -> dict[str, Difference]:
    """Return differences with p-values that allow for how many were tested; intervals stay.

    The smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none becomes
    smaller than the one before it, or larger than 1.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p_values = sorted((d.p_value, name) for name, d in found.items() if d.p_value is not None)
    made, least = dict(found), 0.0
    for place, (p_value, name) in enumerate(p_values):
        least = min(1.0, max(least, (len(p_values) - place) * p_value))
        made[name] = replace(found[name], p_value=least)
    return made
