"""What the daily sums of a model say: shares of topics by day with intervals, and alerts."""

from __future__ import annotations

import datetime
import functools
import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.corpus.documents import Topic
from slugline.counting.estimation import unseen_errors
from slugline.counting.shares import HeldoutSample, binary_proba, estimate_shares, heldout_samples
from slugline.counting.simulation import SimulatedErrors, share_intervals, simulate_errors
from slugline.evaluation.intervals import Interval, wilson
from slugline.model.fitted import Fitted
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.recorder import watched_model
from slugline.serving.watch.series import (
    UNKNOWN_WORDS,
    UNSURE,
    Baseline,
    DailyValues,
    WatchedSeries,
    topic_key,
    training_values,
)
from slugline.serving.watch.store import StoredAlert, VersionDays, WatchStore

#: The number of days that a report shows.
N_DAYS = 60
# The number of days whose texts are counted together.
_N_RECENT = 28
# The number of topics whose shares are shown by day.
_N_SHOWN = 6
# Numbers of texts for which errors are simulated: their variance is one part that doesn't depend on
# the number, and one in inverse proportion to it.
_FEW_TEXTS, _MANY_TEXTS = 50, 5000


class Share(NamedTuple):
    """A share of the texts, with its 95 % interval."""

    value: float
    interval: Interval


class DayReport(NamedTuple):
    """What a model answered on one day.

    Attributes
    ----------
    day : date
    n_texts, n_corrections : int
    unsure, unknown_words : Share or None
        None on a day without texts or words.
    shares : dict of int to Share
        By the numbers of the topics that are shown by day; empty on a day without texts.
    """

    day: datetime.date
    n_texts: int
    n_corrections: int
    unsure: Share | None
    unknown_words: Share | None
    shares: dict[int, Share]


class TopicReport(NamedTuple):
    """The share of a topic.

    Attributes
    ----------
    number : int
    topic : str or int
    training : float
        Its share among the training documents.
    recent : Share or None
        Its share in the last days; None if there were no texts.
    """

    number: int
    topic: Topic
    training: float
    recent: Share | None


class AlertReport(NamedTuple):
    """An alert, with the numbers that it is about.

    Attributes
    ----------
    alert : StoredAlert
    topic : str, int or None
        None if the alert is not about a topic.
    is_topic : bool
    is_mean : bool
        Whether `value` is the mean probability of a topic instead of its share, since the share is
        within the band.
    value : float
        The value since the change began, or of the last `N_DAYS` days if it began before.
    since : date
        The first of the days whose value that is.
    baseline : Baseline
        What is usual for the value.
    """

    alert: StoredAlert
    topic: Topic | None
    is_topic: bool
    is_mean: bool
    value: float
    since: datetime.date
    baseline: Baseline


class WatchReport(NamedTuple):
    """What the daily sums of a model say.

    Attributes
    ----------
    days : tuple of DayReport
        The last days, in order, with those on which there were no texts.
    topics : tuple of TopicReport
        All topics, in the model's order.
    shown : tuple of int
        The numbers of the topics whose shares are shown by day: those with alerts, then the most
        common ones.
    baselines : dict of str to Baseline
        By the key of the series; those of topics are of shares, as shown by day.
    alerts : tuple of AlertReport
        Those that nobody has accepted.
    is_corrected : bool
        Whether shares are corrected for the errors that held-out predictions show.
    version_since : date or None
        The first day of the version, if earlier versions answered before; else None.
    """

    days: tuple[DayReport, ...]
    topics: tuple[TopicReport, ...]
    shown: tuple[int, ...]
    baselines: dict[str, Baseline]
    alerts: tuple[AlertReport, ...]
    is_corrected: bool
    version_since: datetime.date | None

    @property
    def has_tested_days(self) -> bool:
        """Whether there were texts on a day that is over."""
        return any(day.n_texts for day in self.days[:-1])


def update_alerts(store: WatchStore, model: ServedModel, today: datetime.date) -> list[AlertReport]:
    """Test the days before today, and store and return new alerts about a model."""
    store.add_version(watched_model(model), training_values(model.decider))
    yesterday = today - datetime.timedelta(1)
    series = _read_series(store, model, yesterday)
    if series.values.days:
        for key in series.learned_series():
            store.close_alert(model.digest, key)
        series = _read_series(store, model, yesterday)
    new = [alert for alert in series.find_alerts() if store.add_alert(model.digest, alert)]
    if not new:
        return []
    series = _read_series(store, model, yesterday)
    first = min(alert.began for alert in new)
    recent = store.days(model.digest, max(first, today - datetime.timedelta(N_DAYS)), yesterday)
    baselines = series.baselines()
    shown = _share_baselines(store, model, baselines)
    return _report_alerts(model, new, recent, baselines, shown)


def _read_series(store: WatchStore, model: ServedModel, until: datetime.date) -> WatchedSeries:
    """Return the series of all versions of a model, one of which is `model`, up to a day."""
    days = store.days(model.digest, until=until, with_groups=False)
    values = DailyValues.from_sums(days, len(model.fitted.topics))
    versions = store.versions(model.digest)
    if not any(version.digest == model.digest for version in versions):
        versions.append(VersionDays(model.digest, {}, training_values(model.decider)))
    return WatchedSeries(values, versions, model.digest, store.alerts(model.digest))


def make_report(store: WatchStore, model: ServedModel, today: datetime.date) -> WatchReport | None:
    """Return the report on a model up to today; None if it has answered no text.

    Days after today, as from a clock that was wrong, are ignored.
    """
    series = _read_series(store, model, today)
    if not series.values.days:
        return None
    first = max(today - datetime.timedelta(N_DAYS - 1), series.values.days[0])
    sums = store.days(model.digest, first, today)
    baselines = series.baselines()
    open_alerts = [alert for alert in series.alerts if alert.is_open]
    share_baselines = _share_baselines(store, model, baselines)
    # Today is not over, and is not tested yet.
    tested = {day: each for day, each in sums.items() if day < today}
    alerts = _report_alerts(model, open_alerts, tested or sums, baselines, share_baselines)
    estimator = estimator_of(model)
    recent_days = [each for day, each in sums.items() if (today - day).days < _N_RECENT]
    shown = _choose_topics(model.fitted, recent_days, open_alerts)
    recent = estimator.shares(pool(recent_days), None if estimator.is_joint else shown)
    n_days = (today - first).days + 1
    return WatchReport(
        days=tuple(
            _report_day(day, sums.get(day), estimator, shown)
            for day in (first + datetime.timedelta(number) for number in range(n_days))
        ),
        topics=tuple(
            TopicReport(number, topic, training, recent.get(number))
            for number, (topic, training) in enumerate(
                zip(model.fitted.topics.names, training_shares(model.fitted), strict=True)
            )
        ),
        shown=tuple(shown),
        baselines=share_baselines,
        alerts=tuple(alerts),
        is_corrected=estimator.is_corrected,
        version_since=series.version_since,
    )


def training_shares(fitted: Fitted) -> list[float]:
    """Return the share of each topic among the training documents."""
    return (fitted.topic_counts / max(fitted.n_documents, 1)).tolist()


def pool(days: Sequence[DaySums]) -> DaySums | None:
    """Return the sums over some days; None if there are none."""
    if not days:
        return None
    total = DaySums(days[0].n_topics, days[0].multilabel)
    for sums in days:
        total.add(sums)
    return total


def _choose_topics(
    fitted: Fitted, days: Sequence[DaySums], alerts: Sequence[StoredAlert]
) -> list[int]:
    """Return the numbers of the topics to show: those with alerts, then the most common ones."""
    sums = np.sum([each.sums for each in days], axis=0) if days else fitted.topic_counts
    keys = {alert.series for alert in alerts}
    order = sorted(
        range(len(fitted.topics)),
        key=lambda topic: (topic_key(topic) not in keys, -float(sums[topic])),
    )
    return order[:_N_SHOWN]


def _report_day(
    day: datetime.date, sums: DaySums | None, estimator: ShareEstimator, shown: Sequence[int]
) -> DayReport:
    if sums is None or not sums.n_texts:
        return DayReport(day, 0, 0 if sums is None else sums.n_corrections, None, None, {})
    words = sums.words
    shares = estimator.shares(sums, shown)
    return DayReport(
        day=day,
        n_texts=sums.n_texts,
        n_corrections=sums.n_corrections,
        unsure=Share(sums.n_unsure / sums.n_texts, wilson(sums.n_unsure, sums.n_texts)),
        unknown_words=(
            Share(words.fraction, wilson(words.fraction * words.size, words.size))
            if words.n_words
            else None
        ),
        shares={topic: shares[topic] for topic in shown},
    )


# Alerts -------------------------------------------------------------------------------------------


def _report_alerts(
    model: ServedModel,
    alerts: Sequence[StoredAlert],
    days: Mapping[datetime.date, DaySums],
    baselines: Mapping[str, Baseline],
    share_baselines: Mapping[str, Baseline],
) -> list[AlertReport]:
    """Return alerts with the values since the changes began, as far as `days` go back.

    `baselines` are those that were tested, of mean probabilities.
    """
    reports = []
    first = min(days, default=datetime.date.min)
    topics = {topic_key(number): number for number in range(len(model.fitted.topics))}
    for alert in alerts:
        total = pool([sums for day, sums in days.items() if day >= alert.began])
        baseline = baselines.get(alert.series)
        if total is None or not total.n_texts or baseline is None:
            continue
        number = topics.get(alert.series)
        is_mean = False
        if number is not None:
            value = estimator_of(model).shares(total, [number])[number].value
            low, high = share_baselines[alert.series].band
            is_mean = low <= value <= high
            if is_mean:
                value = float(total.sums[number]) / total.n_texts
            else:
                baseline = share_baselines[alert.series]
        elif alert.series == UNSURE:
            value = total.n_unsure / total.n_texts
        elif alert.series == UNKNOWN_WORDS:
            value = total.words.fraction
        else:
            continue
        topic = None if number is None else model.fitted.topics.names[number]
        reports.append(
            AlertReport(
                alert=alert,
                topic=topic,
                is_topic=number is not None,
                is_mean=is_mean,
                value=value,
                since=max(first, alert.began),
                baseline=baseline,
            )
        )
    return reports


def _share_baselines(
    store: WatchStore, model: ServedModel, baselines: Mapping[str, Baseline]
) -> dict[str, Baseline]:
    """Return the baselines, those of topics for shares instead of mean probabilities.

    In training, both are the same.
    """
    estimator = estimator_of(model)
    by_series = dict(baselines)
    if not estimator.is_corrected:
        return by_series
    totals: dict[tuple[datetime.date, datetime.date], DaySums | None] = {}
    for number in range(len(model.fitted.topics)):
        baseline = baselines[topic_key(number)]
        if baseline.since is None or baseline.after is None:
            continue
        first = max(baseline.since, baseline.after - datetime.timedelta(N_DAYS))
        if (first, baseline.after) not in totals:
            days = store.days(model.digest, first, baseline.after)
            totals[first, baseline.after] = pool([*days.values()])
        total = totals[first, baseline.after]
        if total is None or not total.n_texts:
            continue
        share = estimator.shares(total, [number])[number].value
        by_series[topic_key(number)] = baseline.with_days(share)
    return by_series


# Shares -------------------------------------------------------------------------------------------


class ShareEstimator:
    """Estimates shares of topics from daily sums, as `slugline count` does from texts.

    Without held-out predictions, shares are mean probabilities.

    Parameters
    ----------
    fitted : Fitted
    """

    def __init__(self, fitted: Fitted) -> None:
        heldout = fitted.heldout_predictions
        self._n_topics = len(fitted.topics)
        self._samples: list[HeldoutSample] = []
        if heldout is not None and heldout.n_documents:
            self._samples = heldout_samples(
                heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents
            )
        self.is_corrected = bool(self._samples)
        #: Whether the shares of all topics are estimated together.
        self.is_joint = not fitted.multilabel or not self.is_corrected
        self._simulate = functools.cache(self._simulate_errors)

    def shares(self, sums: DaySums | None, topics: Sequence[int] | None = None) -> dict[int, Share]:
        """Return the shares of some topics, by default of all; empty without texts."""
        if sums is None or not sums.n_texts:
            return {}
        topics = range(self._n_topics) if topics is None else topics
        if not self.is_corrected:
            means = np.clip(sums.sums / sums.n_texts, 0, 1).tolist()
            return {
                t: Share(means[t], wilson(means[t] * sums.n_texts, sums.n_texts)) for t in topics
            }
        if self.is_joint:
            values, intervals = self._estimate(0, *sums.rows())
            return {topic: Share(values[topic], intervals[topic]) for topic in topics}
        shares = {}
        for topic in topics:
            rows, weights = sums.rows(topic)
            proba = binary_proba(rows[:, 0], self._samples[topic].low_proba)
            values, intervals = self._estimate(topic, proba, weights)
            shares[topic] = Share(values[0], intervals[0])
        return shares

    def _estimate(self, number: int, rows: F64, weights: F64) -> tuple[list[float], list[Interval]]:
        """Return the shares of the topics of a sample, and their intervals."""
        sample = self._samples[number]
        shares = estimate_shares(sample, rows, weights[:, np.newaxis])[:, 0]
        few, many = (errors.standard_errors(shares) ** 2 for errors in self._simulate(number))
        by_texts = np.maximum(few - many, 0) / (1 / _FEW_TEXTS - 1 / _MANY_TEXTS)
        constant = np.maximum(many - by_texts / _MANY_TEXTS, 0)
        simulated = np.sqrt(constant + by_texts / max(weights.sum(), 1.0))
        errors = np.hypot(simulated, unseen_errors(sample, shares))
        return shares.tolist(), share_intervals(shares, errors)

    def _simulate_errors(self, number: int) -> tuple[SimulatedErrors, SimulatedErrors]:
        """Return simulated errors for few and for many texts."""
        sample = self._samples[number]
        few, many = (
            simulate_errors(sample, sample.training_shares, n, seed=0)
            for n in (_FEW_TEXTS, _MANY_TEXTS)
        )
        return few, many


# Versions of models that are no longer served drop out.
_estimators = weakref.WeakKeyDictionary[ServedModel, ShareEstimator]()


def estimator_of(model: ServedModel) -> ShareEstimator:
    """Return the estimator of a model, which is cached as long as the model is served."""
    estimator = _estimators.get(model)
    if estimator is None:
        estimator = _estimators[model] = ShareEstimator(model.fitted)
    return estimator
