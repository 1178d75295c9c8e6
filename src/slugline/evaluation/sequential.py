"""A sequential test of daily fractions: whether one has left its band, at any day of any length.

It is a Shiryaev-Roberts procedure. For each day on which a fraction may have changed, the
likelihood ratio of all days since then is computed, and the ratios are added up. Without a change,
the sum less the number of days is a martingale, so that the probability that the sum reaches
``N_DAYS / alpha`` within `N_DAYS` days is at most alpha (Doob's inequality). The same is true of
the mean of the sums for changes of several sizes, which is what is tested.

Days differ by more than chance: by the weekday, and for reasons that nobody knows. Both are
estimated from the days before, beginning with a cautious guess, so that the bound holds
approximately: benchmarks/watch.py counts the false alarms of simulated years.

References
----------
Shiryaev (1963), On optimum methods in quickest detection problems; Roberts (1966), A comparison of
some control chart procedures; Shin, Ramdas and Rinaldo (2023), E-detectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Index, Mask
from slugline.evaluation.intervals import Interval, wilson

#: The number of days in which a false alarm has a probability of at most `ALPHA`.
N_DAYS, ALPHA = 365, 0.05
# Fractions that are looked for: their odds, relative to those of the end of the band. The odds of a
# rare fraction are almost the fraction itself, and those of a common one almost the inverse of the
# fraction of all others.
_RISE_FACTORS = (1.3, 1.6, 2.0, 3.0)
_FALL_FACTORS = (0.75, 0.6, 0.4, 0.2)
# Further ones: how far they are on the way from the end of the band to 1 or to 0, in units of
# arcsin(sqrt(fraction)).
_FAR_STEPS = (0.25, 0.5, 0.9)
# The smallest number of days that raise an alarm.
_MIN_DAYS = 3
# The standard deviations of days and of weekdays, relative to the odds of the fraction, that are
# assumed at first, and the number of days that this counts for. These constants were chosen by
# simulated years (see benchmarks/watch.py), so that changes are found soon and false alarms are
# rare enough.
_DAY_SPREAD, _WEEKDAY_SPREAD, _N_ASSUMED = 0.2, 0.2, 7.0
# The smallest standard deviation of days that is ever assumed, relative to the odds.
_MIN_SPREAD = 0.05
# The number of days of a weekday that its assumed mean counts for.
_N_WEEKDAY = 2.0
# Days over which the level is smoothed from which the deviations of days are measured.
_N_LEVEL = 7
# The largest squared deviation, in variances, that counts in full, so that one odd day doesn't
# hide others.
_MAX_SQUARE = 9.0
# Degrees of freedom of the deviations, whose tails are heavy.
_DEGREES = 8.0
# Half the width of a band, in standard errors of the fraction among training documents, and the
# smallest one relative to the odds of the fraction. Of many topics, none should be outside by
# chance: with 2 standard errors, 50 topics gave false alarms in 3 of 10 simulated years, and with
# 3, in 1 of 100.
_BAND_Z, _BAND_TOLERANCE = 3.0, 0.1


class ChangeAlarms(NamedTuple):
    """When each of some series of daily fractions left its band, if it did.

    Attributes
    ----------
    raised : int array, shape (n_series,)
        The first day on which it is certain; -1 if there is none.
    began : int array, shape (n_series,)
        The most likely first day of the change; -1 if there is none.
    """

    raised: Index
    began: Index


def find_band(fraction: float, n: float) -> Interval:
    """Return the band in which a daily fraction is expected, by its value among `n` documents."""
    interval = wilson(fraction * n, n, _BAND_Z) if n else Interval(0.0, 1.0)
    odds = np.array([1 / (1 + _BAND_TOLERANCE), 1 + _BAND_TOLERANCE])
    low, high = _scale_odds(np.array(fraction), odds).tolist()
    return Interval(min(interval.low, low), max(interval.high, high))


def _scale_odds(fractions: F64, factors: F64) -> F64:
    """Return fractions whose odds are larger by factors."""
    scaled = factors * fractions
    return scaled / (1 - fractions + scaled)


def find_alarms(
    fractions: F64, sizes: F64, weekdays: Index, low: F64, high: F64, n_tests: int
) -> ChangeAlarms:
    """Find series of daily fractions that have left their bands.

    Parameters
    ----------
    fractions : float64 array, shape (n_days, n_series)
        NaN for a day without documents.
    sizes : float64 array, shape (n_days, n_series)
        The number of independent documents that each fraction is worth.
    weekdays : int array, shape (n_days,)
        From 0 to 6.
    low, high : float64 array, shape (n_series,) or (n_days, n_series)
        The ends of the bands, which may differ by day. A rise over 1 and a fall below 0 are not
        looked for.
    n_tests : int
        The number of ends of bands that are watched. All tests together raise a false alarm within
        `N_DAYS` with a probability of at most `ALPHA`.
    """
    scaled, errors = _stabilize(fractions, sizes)
    low, high = (np.clip(np.broadcast_to(end, fractions.shape), 0, 1) for end in (low, high))
    test = _SequentialTest(fractions.shape[1], np.log(N_DAYS * n_tests / ALPHA))
    bands: _DayBands | None = None
    for day, weekday in enumerate(weekdays.tolist()):
        if bands is None or (low[day] != low[day - 1]).any() or (high[day] != high[day - 1]).any():
            bands = _DayBands(low[day], high[day])
        test.add_day(day, weekday, scaled[day], errors[day], bands)
    return ChangeAlarms(test.raised, test.began)


def _stabilize(fractions: F64, sizes: F64) -> tuple[F64, F64]:
    """Return arcsin(sqrt(fraction)) and its variance, which hardly depends on the fraction.

    Anscombe (1948), The transformation of Poisson, binomial and negative-binomial data.
    """
    adjusted = (fractions * sizes + 3 / 8) / (sizes + 3 / 4)
    return np.arcsin(np.sqrt(np.clip(adjusted, 0, 1))), 1 / (4 * sizes + 2)


class _DayBands:
    """The bands of all series on a day, in units of arcsin(sqrt(fraction)).

    Attributes
    ----------
    ends : float64 array, shape (2, n_series)
        The ends over which rises are looked for, and those below which falls are.
    shifts : float64 array, shape (2, n_shifts, n_series)
        How far the fractions that are looked for are from the ends.
    centre : float64 array, shape (n_series,)
    per_spread : float64 array, shape (n_series,)
        The standard deviation for one of 1 in the logarithm of the odds.
    """

    def __init__(self, low: F64, high: F64) -> None:
        ends = np.stack([high, low])[:, np.newaxis]
        factors = np.array([_RISE_FACTORS, _FALL_FACTORS])[:, :, np.newaxis]
        starts = np.arcsin(np.sqrt(ends))
        near = np.arcsin(np.sqrt(_scale_odds(ends, factors))) - starts
        limits = np.array([np.pi / 2, 0.0])[:, np.newaxis, np.newaxis]
        far = np.array(_FAR_STEPS)[:, np.newaxis] * (limits - starts)
        self.ends, self.shifts = starts[:, 0], np.concatenate([near, far], axis=1)
        centre = np.clip((low + high) / 2, 1e-4, 1 - 1e-4)
        self.centre = np.arcsin(np.sqrt(centre))
        self.per_spread = np.sqrt(centre * (1 - centre)) / 2


class _SequentialTest:
    """The state of the test of some series after some days."""

    def __init__(self, n_series: int, log_threshold: float) -> None:
        self.raised = np.full(n_series, -1, dtype=np.intp)
        self.began = np.full(n_series, -1, dtype=np.intp)
        self._log_threshold = log_threshold
        # The sums of likelihood ratios, the largest ratio of those that end today, and its first
        # day.
        shape = (2, len(_RISE_FACTORS) + len(_FAR_STEPS), n_series)
        self._log_sums = np.full(shape, -np.inf)
        self._log_ratios, self._first_days = np.zeros(shape), np.zeros(shape, dtype=np.intp)
        # Deviations of days, and of weekdays, from the level, which is that from the centres of the
        # bands.
        self._squares = np.zeros(n_series)
        self._n_days = np.zeros(n_series)
        self._level = np.zeros(n_series)
        self._weekday_sums = np.zeros((7, n_series))
        self._weekday_counts = np.zeros((7, n_series))

    def add_day(self, day: int, weekday: int, value: F64, error: F64, bands: _DayBands) -> None:
        """Test a day, and learn from it how much days differ."""
        is_known = np.isfinite(value) & np.isfinite(error)
        value, error = np.where(is_known, value, 0), np.where(is_known, error, 1)
        means = self._weekday_sums / (self._weekday_counts + _N_WEEKDAY)
        effect = means[weekday] - means.mean(axis=0)
        variance = np.maximum(
            (_N_ASSUMED * (_DAY_SPREAD * bands.per_spread) ** 2 + self._squares)
            / (_N_ASSUMED + self._n_days),
            (_MIN_SPREAD * bands.per_spread) ** 2,
        )
        uncertainty = (_WEEKDAY_SPREAD * bands.per_spread) ** 2 * (
            _N_WEEKDAY / (_N_WEEKDAY + self._weekday_counts[weekday])
        )
        total = error + variance + uncertainty
        self._update_ratios(day, value - effect, total, is_known, bands)
        self._raise_alarms(day, is_known)
        self._learn(weekday, value - bands.centre, effect, error, total, is_known)

    def _update_ratios(
        self, day: int, value: F64, variance: F64, is_known: Mask, bands: _DayBands
    ) -> None:
        """Add a day's likelihood ratios: of each change to no change."""
        z_usual = (value - bands.ends)[:, np.newaxis] / np.sqrt(variance)
        z_changed = z_usual - bands.shifts / np.sqrt(variance)
        log_ratio = (
            (_DEGREES + 1)
            / 2
            * (np.log1p(z_usual**2 / _DEGREES) - np.log1p(z_changed**2 / _DEGREES))
        )
        log_ratio = np.minimum(np.where(is_known, log_ratio, 0), self._log_threshold / _MIN_DAYS)
        self._log_sums = np.where(
            is_known, np.logaddexp(0, self._log_sums) + log_ratio, self._log_sums
        )
        is_restarted = self._log_ratios <= 0
        self._first_days[is_restarted] = day
        self._log_ratios = np.maximum(self._log_ratios, 0) + log_ratio

    def _raise_alarms(self, day: int, is_known: Mask) -> None:
        # The mean of the sums for all shifts.
        highest = self._log_sums.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            means = np.log(np.exp(self._log_sums - highest).mean(axis=1)) + highest[:, 0]
        is_over = (means >= self._log_threshold) & is_known
        found = np.flatnonzero(is_over.any(axis=0) & (self.raised < 0))
        for series in found.tolist():
            direction = int(means[:, series].argmax())
            best = int(self._log_ratios[direction, :, series].argmax())
            self.raised[series] = day
            self.began[series] = self._first_days[direction, best, series]

    def _learn(
        self, weekday: int, value: F64, effect: F64, error: F64, total: F64, is_known: Mask
    ) -> None:
        weight = 1 / np.minimum(self._n_days + 1, _N_LEVEL)
        is_first = self._n_days == 0
        deviation = np.where(is_first, 0, value - effect - self._level)
        square = np.minimum(deviation**2, _MAX_SQUARE * total) / (1 + weight)
        self._squares += np.where(is_known & ~is_first, square - error, 0)
        self._level += np.where(is_known, weight * (value - effect - self._level), 0)
        deviation += effect
        self._weekday_sums[weekday] += np.where(is_known & ~is_first, deviation, 0)
        self._weekday_counts[weekday] += is_known & ~is_first
        self._n_days += is_known
