"""The daily series of a model that are watched: their usual values, and alerts about changes.

These are the mean probability of each topic, the fraction of unsure answers, and that of unknown
words. Mean probabilities are compared with those of the held-out predictions: if nothing has
changed, they agree, however often the model errs.
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
from slugline.serving.watch.store import StoredAlert

UNSURE, UNKNOWN_WORDS = "unsure", "unknown words"
# The number of days by which a series without held-out predictions is judged.
_N_FIRST_DAYS = 28
# Texts of some days are worth fewer independent ones than texts of many days, as days differ.
_DAY_EFFECT = 4.0
# Held-out documents are worth fewer where the threshold was chosen by the same ones.
_THRESHOLD_EFFECT = 2.0
# The fraction of texts that are unsure because of unusually many unknown words, at most; the
# precision of held-out predictions doesn't include them.
_UNKNOWN_WORDS_UNSURE = 0.01


def topic_key(topic: int) -> str:
    """Return the key of the series of a topic, by its number."""
    return f"topic {topic}"


def series_keys(n_topics: int) -> list[str]:
    """Return the keys of all series of a model."""
    return [*map(topic_key, range(n_topics)), UNSURE, UNKNOWN_WORDS]


class Baseline(NamedTuple):
    """What is usual for a series.

    Attributes
    ----------
    kind : {"training", "first days", "accepted"}
        Where it is known from: from the model's training, from the first days on which it answered,
        or from the days since a change that a person accepted.
    band : Interval
        The band in which the daily values are expected.
    after : date or None
        The days after this one are compared with it; None for all days.
    since : date or None
        The first of the days by which it is known, of which `after` is the last; None if it is
        known from training.
    """

    kind: Literal["training", "first days", "accepted"]
    band: Interval
    after: datetime.date | None = None
    since: datetime.date | None = None


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

    def baseline(
        self,
        series: int,
        kind: Literal["first days", "accepted"],
        first: datetime.date,
        last: datetime.date,
    ) -> Baseline:
        """Return the band of a series by the days from `first` to `last`, for the days after."""
        is_in = np.array([first <= day <= last for day in self.days], dtype=bool)
        is_in &= self.sizes[:, series] > 0
        sizes = self.sizes[is_in, series]
        n = float(sizes.sum())
        mean = float(self.fractions[is_in, series] @ sizes) / n if n else 0.0
        return Baseline(kind, find_daily_band(mean, n), last, first)

    def first_days(self, series: int) -> Baseline:
        """Return the band of a series by the first days with texts."""
        days = [day for day, n in zip(self.days, self.sizes[:, series], strict=True) if n > 0]
        if len(days) < _N_FIRST_DAYS:
            return Baseline("first days", Interval(0.0, 1.0))
        return self.baseline(series, "first days", days[0], days[_N_FIRST_DAYS - 1])


def find_daily_band(fraction: float, n: float) -> Interval:
    """Return the band in which a daily value is expected, by that of `n` texts of some days."""
    return find_band(fraction, n / _DAY_EFFECT)


def training_bands(decider: Decider) -> dict[str, Interval]:
    """Return the bands of those series of which the held-out predictions show what is usual."""
    heldout = decider.fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        return {}
    n = heldout.n_documents
    means = np.clip(heldout.dense_proba().mean(axis=0, dtype=np.float64), 0, 1)
    bands = {topic_key(t): find_band(mean, n) for t, mean in enumerate(means.tolist())}
    if decider.promise and not decider.fitted.multilabel:
        low, high = find_band(1 - decider.achieved.coverage, n / _THRESHOLD_EFFECT)
        bands[UNSURE] = Interval(low, min(1.0, high + _UNKNOWN_WORDS_UNSURE))
    if heldout.words is not None:
        bands[UNKNOWN_WORDS] = find_band(heldout.words.rate, n)
    return bands


def find_baselines(
    decider: Decider, values: DailyValues, alerts: Sequence[StoredAlert]
) -> dict[str, Baseline]:
    """Return the baseline of each series: the latest change that was accepted, or training."""
    accepted: dict[str, StoredAlert] = {}
    for alert in alerts:
        if alert.accepted is not None:
            accepted[alert.series] = alert
    bands = training_bands(decider)
    baselines = {}
    for number, key in enumerate(series_keys(len(decider.fitted.topics))):
        change = accepted.get(key)
        if change is not None and change.accepted is not None:
            baselines[key] = values.baseline(number, "accepted", change.began, change.accepted)
        elif key in bands:
            baselines[key] = Baseline("training", bands[key])
        else:
            baselines[key] = values.first_days(number)
    return baselines


def find_alerts(
    decider: Decider, values: DailyValues, alerts: Sequence[StoredAlert]
) -> list[StoredAlert]:
    """Return alerts about series that have left their bands, besides those that are known."""
    baselines = find_baselines(decider, values, alerts)
    keys = list(baselines)
    fractions = values.fractions.copy()
    for number, baseline in enumerate(baselines.values()):
        if baseline.after is not None:
            fractions[[day <= baseline.after for day in values.days], number] = np.nan
    is_open = {alert.series for alert in alerts if alert.accepted is None}
    low = np.array([baseline.band.low for baseline in baselines.values()])
    high = np.array([baseline.band.high for baseline in baselines.values()])
    # Fewer unsure answers and unknown words are no reason to worry.
    low[-2:] = 0
    found = find_alarms(
        fractions,
        values.sizes,
        np.array([day.weekday() for day in values.days], dtype=np.intp),
        low,
        high,
        n_tests=2 * len(keys) - 2,
    )
    return [
        StoredAlert(keys[number], values.days[found.began[number]], values.days[raised])
        for number, raised in enumerate(found.raised.tolist())
        if raised >= 0 and keys[number] not in is_open
    ]
