"""The daily series of a model that are watched: their usual values, and alerts about changes.

These are the mean probability of each topic, the fraction of unsure answers, and that of unknown
words. Mean probabilities are compared with those of the held-out predictions: if nothing has
changed, they agree, however often the model errs. The series go on over all versions of a model;
each day is compared with what was usual for the versions that answered on it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.evaluation.intervals import Interval
from slugline.evaluation.sequential import find_alarms, find_band
from slugline.model.decider import Decider
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.store import StoredAlert, TrainingValue, VersionDays

UNSURE, UNKNOWN_WORDS = "unsure", "unknown words"
#: The number of days that show what is usual. With them, the band by 1,000 training documents of 20
#: topics is half as wide, and a topic of 6 % that doubles is seen after 18 days instead of 42 (200
#: texts a day; held-out training documents of stackoverflow).
N_FIRST_DAYS = 28
# Texts of some days are worth fewer independent ones, as days differ: this many times fewer, or by
# the variance of the days' values, of which a day shares so much with those before that the mean
# has this many times the variance of independent days.
_DAY_EFFECT, _CORRELATION = 4.0, 2.0
# Held-out documents are worth fewer where the threshold was chosen by the same ones.
_THRESHOLD_EFFECT = 2.0
# The fraction of texts that are unsure because of unusually many unknown words, at most; the
# precision of held-out predictions doesn't include them.
_UNKNOWN_WORDS_UNSURE = 0.01


def series_key(topic: int) -> str:
    """Return the key of the series of a topic, by its number."""
    return f"topic {topic}"


def series_keys(n_topics: int) -> list[str]:
    """Return the keys of all series of a model."""
    return [*map(series_key, range(n_topics)), UNSURE, UNKNOWN_WORDS]


class Baseline(NamedTuple):
    """What is usual for a series.

    Attributes
    ----------
    kind : {"training", "training and first days", "first days", "accepted"}
        Where it is known from: from the model's training, perhaps with the first days on which it
        answered; from these days alone; or from the days since a change that a person accepted.
    band : Interval
        The band in which the daily values are expected.
    training : TrainingValue or None
        The value in training, if it is known from that.
    n : float
        The number of independent texts that the days are worth by which it is known.
    since, after : date or None
        The first and the last of these days, after which others are compared with it; None if it
        is known from training alone.
    """

    kind: Literal["training", "training and first days", "first days", "accepted"]
    band: Interval
    training: TrainingValue | None = None
    n: float = 0.0
    since: datetime.date | None = None
    after: datetime.date | None = None

    def with_days(self, fraction: float) -> Baseline:
        """Return the baseline with another value on its days."""
        return self._replace(band=pooled_band(self.training, fraction, self.n))


class _FirstDays(NamedTuple):
    """The value of a series on the first days, from `since` to `after`, of `n` texts."""

    since: datetime.date
    after: datetime.date
    fraction: float
    n: float


class DailyValues(NamedTuple):
    """The values of all series by day.

    Attributes
    ----------
    days : tuple of date
    fractions : float64 array, shape (n_days, n_series)
        NaN for days without texts.
    sizes : float64 array, shape (n_days, n_series)
        The number of independent texts, or words, that each is worth.
    """

    days: tuple[datetime.date, ...]
    fractions: F64
    sizes: F64

    @classmethod
    def from_sums(cls, days: Mapping[datetime.date, DaySums], n_topics: int) -> DailyValues:
        """Return the values of some days."""
        fractions = np.full((len(days), n_topics + 2), np.nan)
        sizes = np.zeros((len(days), n_topics + 2))
        for row, sums in enumerate(days.values()):
            if sums.n_texts:
                fractions[row, :-1] = np.append(sums.sums, sums.n_unsure) / sums.n_texts
                sizes[row, :-1] = sums.n_texts
            fractions[row, -1], sizes[row, -1] = sums.words.fraction, sums.words.size
        return cls(tuple(days), fractions, sizes)

    def pool(self, column: int, first: datetime.date, last: datetime.date) -> tuple[float, float]:
        """Return the value of a series, by its column, on some days; see `pool_days`."""
        is_in = np.array([first <= day <= last for day in self.days], dtype=bool)
        is_in &= self.sizes[:, column] > 0
        return pool_days(self.fractions[is_in, column], self.sizes[is_in, column])


def pool_days(fractions: F64, sizes: F64) -> tuple[float, float]:
    """Return the value over some days, and the number of independent texts that it is worth."""
    n = float(sizes.sum())
    if not n:
        return 0.0, 0.0
    weights = sizes / n
    fraction = float(weights @ fractions)
    variance = float(weights**2 @ (fractions - fraction) ** 2) * _CORRELATION
    n_independent = n / _DAY_EFFECT
    if variance > 0:
        n_independent = min(n_independent, fraction * (1 - fraction) / variance)
    return fraction, n_independent


def pooled_band(training: TrainingValue | None, fraction: float, n: float) -> Interval:
    """Return the band by the value in training, and that of `n` independent texts of some days."""
    if training is None:
        return find_band(fraction, n)
    total = training.n + n
    return find_band((training.fraction * training.n + fraction * n) / total, total)


def training_values(decider: Decider) -> dict[str, TrainingValue]:
    """Return the values of those series of which the held-out predictions show what is usual."""
    heldout = decider.fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        return {}
    n = float(heldout.n_documents)
    means = np.clip(heldout.dense_proba().mean(axis=0, dtype=np.float64), 0, 1)
    values = {series_key(t): TrainingValue(mean, n) for t, mean in enumerate(means.tolist())}
    if decider.promise and not decider.fitted.multilabel:
        fraction = min(max(1 - float(decider.achieved.coverage), 0.0), 1.0)
        values[UNSURE] = TrainingValue(fraction, n / _THRESHOLD_EFFECT)
    if heldout.words is not None:
        values[UNKNOWN_WORDS] = TrainingValue(float(heldout.words.rate), n)
    return values


def training_band(series: str, value: TrainingValue) -> Interval:
    """Return the band in which a daily value is expected, by that in training."""
    low, high = find_band(*value)
    return Interval(low, min(1.0, high + _UNKNOWN_WORDS_UNSURE) if series == UNSURE else high)


class WatchedSeries:
    """The series of a model over all its versions: values by day, and what was usual for them.

    Parameters
    ----------
    values : DailyValues
    versions : sequence of VersionDays
    digest : str
        The version that answers now, which is one of them.
    alerts : sequence of StoredAlert
    """

    def __init__(
        self,
        values: DailyValues,
        versions: Sequence[VersionDays],
        digest: str,
        alerts: Sequence[StoredAlert],
    ) -> None:
        self.values, self.alerts = values, alerts
        self._versions = {version.digest: version for version in versions}
        self._current = self._versions[digest]
        self._keys = series_keys(values.fractions.shape[1] - 2)
        # The fraction of the texts of each day that each version answered.
        counts = np.array(
            [[version.n_texts.get(day, 0) for version in versions] for day in values.days],
            dtype=np.float64,
        ).reshape(len(values.days), len(versions))
        self._fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        self._first_days = [self._find_first_days(number) for number in range(len(self._keys))]

    @property
    def version_since(self) -> datetime.date | None:
        """The first day of the version that answers now; None if none answered before."""
        first = min(self._current.n_texts, default=None)
        return first if first is not None and first > self.values.days[0] else None

    def baselines(self) -> dict[str, Baseline]:
        """Return what is usual for each series now."""
        return {
            key: self._accepted(number, key) or self._baseline(number, key, self._current)
            for number, key in enumerate(self._keys)
        }

    def find_alerts(self) -> list[StoredAlert]:
        """Return alerts about series that have left their bands, besides open ones."""
        low, high = self._bands()
        fractions = np.where(np.isnan(low), np.nan, self.values.fractions)
        # Fewer unsure answers and unknown words are no reason to worry.
        low[:, -2:] = 0
        days = self.values.days
        found = find_alarms(
            fractions,
            self.values.sizes,
            np.array([day.weekday() for day in days], dtype=np.intp),
            np.nan_to_num(low),
            np.nan_to_num(high, nan=1.0),
            n_tests=2 * len(self._keys) - 2,
        )
        is_open = {alert.series for alert in self.alerts if alert.is_open}
        return [
            StoredAlert(self._keys[number], days[found.began[number]], days[raised])
            for number, raised in enumerate(found.raised.tolist())
            if raised >= 0 and self._keys[number] not in is_open
        ]

    def learned_series(self) -> list[str]:
        """Return the series with open alerts that are no change for the version that answers now.

        It began after the alert, and the values since the change are usual in its training.
        """
        first = min(self._current.n_texts, default=None)
        learned = []
        for alert in self.alerts:
            training = self._current.training.get(alert.series)
            if not alert.is_open or training is None or first is None or first <= alert.raised:
                continue
            value, n = self.values.pool(
                self._keys.index(alert.series), alert.began, self.values.days[-1]
            )
            low, high = training_band(alert.series, training)
            if n and low <= value <= high:
                learned.append(alert.series)
        return learned

    def _accepted(self, number: int, key: str) -> Baseline | None:
        """Return the baseline by the latest change that was accepted, if there is one."""
        change = next((a for a in reversed(self.alerts) if a.series == key and a.accepted), None)
        if change is None or change.accepted is None:
            return None
        fraction, n = self.values.pool(number, change.began, change.accepted)
        band = pooled_band(None, fraction, n)
        return Baseline("accepted", band, n=n, since=change.began, after=change.accepted)

    def _baseline(self, number: int, key: str, version: VersionDays) -> Baseline:
        """Return the baseline of a version by its training and the first days."""
        training = version.training.get(key)
        first = self._first_days[number]
        if training is None:
            if first is None:
                return Baseline("first days", Interval(0.0, 1.0))
            band = pooled_band(None, first.fraction, first.n)
            return Baseline("first days", band, n=first.n, since=first.since, after=first.after)
        band = training_band(key, training)
        # Unsure answers and unknown words are usually fewer in training. The first days show
        # nothing if there is a change among them.
        is_topic = number < len(self._keys) - 2
        if (
            first is None
            or not is_topic
            or not band.low <= first.fraction <= band.high
            or any(a.series == key and a.began <= first.after for a in self.alerts)
        ):
            return Baseline("training", band, training)
        return Baseline(
            "training and first days",
            pooled_band(training, first.fraction, first.n),
            training,
            n=first.n,
            since=first.since,
            after=first.after,
        )

    def _find_first_days(self, number: int) -> _FirstDays | None:
        """Return the first days with texts; None if there are too few."""
        sizes = self.values.sizes[:, number]
        days = [day for day, n in zip(self.values.days, sizes, strict=True) if n > 0]
        if len(days) < N_FIRST_DAYS:
            return None
        first, last = days[0], days[N_FIRST_DAYS - 1]
        fraction, n = self.values.pool(number, first, last)
        return _FirstDays(first, last, fraction, n)

    def _bands(self) -> tuple[F64, F64]:
        """Return the bands of each day and series; NaN for days that are not compared."""
        shape = self.values.fractions.shape
        low, high = np.full(shape, np.nan), np.full(shape, np.nan)
        days = self.values.days
        for number, key in enumerate(self._keys):
            bands = np.zeros((2, len(days)))
            for column, version in enumerate(self._versions.values()):
                baseline = self._baseline(number, key, version)
                part = np.tile(np.array(baseline.band)[:, np.newaxis], len(days))
                if baseline.after is not None:
                    before: Interval | float = np.nan
                    if baseline.training is not None:
                        before = training_band(key, baseline.training)
                    is_before = [day <= baseline.after for day in days]
                    part[:, is_before] = np.reshape(before, (-1, 1))
                fractions = self._fractions[:, column]
                bands += np.where(fractions > 0, fractions * part, 0)
            bands[:, [day < self._first_day(key) for day in days]] = np.nan
            accepted = self._accepted(number, key)
            if accepted is not None and accepted.after is not None:
                is_after = [day > accepted.after for day in days]
                bands[:, np.logical_not(is_after)] = np.nan
                bands[:, is_after] = np.array(accepted.band)[:, np.newaxis]
            low[:, number], high[:, number] = bands
        return low, high

    def _first_day(self, key: str) -> datetime.date:
        """Return the first day that is compared: that of the last version that learned a change."""
        for alert in reversed(self.alerts):
            if alert.series == key and alert.learned_by in self._versions:
                return min(self._versions[alert.learned_by].n_texts, default=datetime.date.min)
        return datetime.date.min
