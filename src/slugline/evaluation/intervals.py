"""How far a metric may be off, because there are only so many test documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64, Integers

__all__ = ["Z_95", "Interval", "bootstrap", "wilson"]


#: Standard errors from the mean to the ends of a 95 % interval.
Z_95 = 1.959964
#: Test sets that a bootstrap draws.
N_RESAMPLES = 1000
# Counts that are drawn at once.
_AT_ONCE = 1 << 22


class Interval(NamedTuple):
    """The ends of a 95 % interval."""

    low: float
    high: float


def wilson(n_right: float, n: int) -> Interval:
    """Return the 95 % score interval of a share.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    share, z2 = n_right / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def bootstrap(
    counts: Integers,
    statistic: Callable[[I64], F64],
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> list[Interval]:
    """Return the 95 % intervals of statistics of a test set, by bias-corrected percentiles.

    Test sets of the same size are drawn from its documents, with replacement. Documents that were
    answered alike are alike to the statistics, so that drawing how many there are of each kind is
    the same as drawing documents. A drawn set lacks some rare topics, as the test set itself does:
    how often its statistic is under the one of the test set tells how far the ends have to move.

    Parameters
    ----------
    counts : int array, shape (n_kinds,)
        How many documents there are of each kind.
    statistic : callable
        Takes such counts of several test sets, shape (n_sets, n_kinds), and returns their
        statistics, shape (n_sets, n_statistics).
    seed : int
    n_resamples : int, default 1000

    References
    ----------
    Efron (1981), Nonparametric standard errors and confidence intervals.
    """
    drawn = np.concatenate([statistic(some) for some in _resamples(counts, seed, n_resamples)])
    found = statistic(counts[np.newaxis].astype(np.int64))[0]
    return [_corrected(*pair) for pair in zip(drawn.T, found.tolist(), strict=True)]


def _corrected(drawn: F64, found: float) -> Interval:
    from scipy.special import ndtr, ndtri

    n = len(drawn)
    # Rounding errors are no differences.
    alike = np.isclose(drawn, found, rtol=0, atol=1e-12)
    under = (np.count_nonzero((drawn < found) & ~alike) + np.count_nonzero(alike) / 2) / n
    shift = 2 * ndtri(min(max(under, 0.5 / n), 1 - 0.5 / n))
    low, high = np.quantile(drawn, ndtr([shift - Z_95, shift + Z_95])).tolist()
    return Interval(low, high)


def _resamples(counts: Integers, seed: int, n_resamples: int) -> Iterator[I64]:
    rng = np.random.default_rng(seed)
    n, step = int(counts.sum()), max(1, _AT_ONCE // len(counts))
    for first in range(0, n_resamples, step):
        yield rng.multinomial(n, counts / n, min(step, n_resamples - first))
