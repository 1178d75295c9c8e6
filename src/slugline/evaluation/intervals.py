"""Confidence intervals of metrics on a test set, and adjusted p-values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64, Integers

#: Standard errors from the mean to the ends of a 95 % interval.
Z_95 = 1.959964
#: Number of bootstrap resamples.
N_RESAMPLES = 1000
# Maximum number of counts in memory at a time.
_BATCH_SIZE = 1 << 22


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"95 % interval {self.low:.3f} to {self.high:.3f}"


def wilson(n_right: float, n: float, z: float = Z_95) -> Interval:
    """Return Wilson's 95 % interval of a proportion; `z` is the critical value.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    fraction, z2 = n_right / n, z**2
    middle = (fraction + z2 / (2 * n)) / (1 + z2 / n)
    margin = z / (1 + z2 / n) * math.sqrt(fraction * (1 - fraction) / n + z2 / (4 * n * n))
    return Interval(max(0.0, middle - margin), min(1.0, middle + margin))


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple testing by Holm's method.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> adjust_holm([0.01, 0.5, 0.04])
    [0.03, 0.5, 0.08]
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        least = min(1.0, max(least, (len(p_values) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted


def bootstrap(
    counts: Integers, statistic: Callable[[I64], F64], *, seed: int, n_resamples: int = N_RESAMPLES
) -> list[Interval]:
    """Return bias-corrected 95 % percentile intervals of statistics of a test set.

    Each interval contains the statistic of the test set itself.

    Documents with the same topic and prediction form a kind; resampling draws the number of
    documents of each kind. Resamples lack some rare topics, like the test set itself. This bias is
    corrected by the fraction of resamples with a lower statistic than the test set.

    Parameters
    ----------
    counts : int array, shape (n_kinds,)
        Number of documents of each kind.
    statistic : callable
        Maps counts, shape (n_sets, n_kinds), to statistics, shape (n_sets, n_statistics).
    seed : int
    n_resamples : int, default 1000

    References
    ----------
    Efron (1981), Nonparametric standard errors and confidence intervals.
    """
    rng = np.random.default_rng(seed)
    n, step = int(counts.sum()), max(1, _BATCH_SIZE // len(counts))
    sizes = (min(step, n_resamples - first) for first in range(0, n_resamples, step))
    values = np.concatenate([statistic(rng.multinomial(n, counts / n, size)) for size in sizes])
    measured = statistic(counts[np.newaxis].astype(np.int64))[0]
    return [_interval(*pair) for pair in zip(values.T, measured.tolist(), strict=True)]


def _interval(values: F64, measured: float) -> Interval:
    from scipy.special import ndtr, ndtri

    n = len(values)
    # Differences within rounding errors count as ties.
    is_equal = np.isclose(values, measured, rtol=0, atol=1e-12)
    n_lower = np.count_nonzero((values < measured) & ~is_equal) + np.count_nonzero(is_equal) / 2
    shift = 2 * ndtri(min(max(n_lower / n, 0.5 / n), 1 - 0.5 / n))
    low, high = np.quantile(values, ndtr([shift - Z_95, shift + Z_95])).tolist()
    # If all resamples lie on one side of the test set, the correction is not enough.
    return Interval(min(low, measured), max(high, measured))
