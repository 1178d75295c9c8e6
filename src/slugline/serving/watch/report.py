"""What the daily sums of a model say: shares of topics by day with intervals, and alerts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.corpus.documents import Topic
from slugline.evaluation.intervals import wilson
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
    series_key,
    training_values,
)
from slugline.serving.watch.share_estimator import Share, ShareEstimator, estimator_of
from slugline.serving.watch.store import StoredAlert, VersionDays, WatchStore

#: The number of days that a report shows.
N_DAYS = 60
# The number of days whose texts are counted together.
_N_RECENT = 28
# The number of topics whose shares are shown by day.
_N_SHOWN = 6


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
    days = store.days(model.digest, until=until, with_bins=False)
    values = DailyValues.from_sums(days, len(model.fitted.topics))
    versions = store.versions(model.digest)
    if not any(version.digest == model.digest for version in versions):
        versions.append(VersionDays(model.digest, {}, training_values(model.decider)))
    return WatchedSeries(values, versions, model.digest, store.alerts(model.digest))


def make_report(store: WatchStore, model: ServedModel, today: datetime.date) -> WatchReport | None:
    """Return the report on a model up to today; None if it has answered no text.

    Days in the future, as a wrong clock writes them, are ignored.
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
        key=lambda topic: (series_key(topic) not in keys, -float(sums[topic])),
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
    topics = {series_key(number): number for number in range(len(model.fitted.topics))}
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
        baseline = baselines[series_key(number)]
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
        by_series[series_key(number)] = baseline.with_days(share)
    return by_series
