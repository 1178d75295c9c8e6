"""The report on a model's daily sums: answers by day, shares by week, and open alerts."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.corpus.documents import Topic
from slugline.counting.results import Counts, GroupCount
from slugline.model.fitted import Fitted
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.store import StoredAlert, WatchStore

#: Number of days in a report.
N_DAYS = 60
# Number of topics shown by day and by week.
_N_SHOWN = 6


class DayReport(NamedTuple):
    """A model's answers on one day.

    Attributes
    ----------
    day : date
    n_texts, n_unsure, n_corrections : int
        Numbers of texts, unsure answers and corrections.
    unknown_words : float
        Fraction of unknown words; NaN if there are no words.
    answers : dict of int to int
        Number of texts by shown topic, not corrected for the model's errors.
    """

    day: datetime.date
    n_texts: int
    n_unsure: int
    n_corrections: int
    unknown_words: float
    answers: dict[int, int]


class WatchReport(NamedTuple):
    """A report on a model's daily sums.

    Attributes
    ----------
    days : tuple of DayReport
        The last days, in order, including days without texts.
    topics : tuple of topics
        All topics, in the model's order.
    training : tuple of float
        Share of each topic among the training documents.
    shown : tuple of int
        Indices of the topics shown by day and by week: topics with alerts, then the most common
        ones.
    weeks : Counts or None
        Counts by week, up to the last whole week at the time of the check; None if no whole week
        has been checked, or if the model has no held-out documents.
    alerts : tuple of StoredAlert
        Open alerts.
    has_heldout : bool
        True if the model has held-out documents.
    """

    days: tuple[DayReport, ...]
    topics: tuple[Topic, ...]
    training: tuple[float, ...]
    shown: tuple[int, ...]
    weeks: Counts | None
    alerts: tuple[StoredAlert, ...]
    has_heldout: bool

    @property
    def last_week(self) -> GroupCount | None:
        """Counts of the last whole week."""
        return self.weeks.groups[-1] if self.weeks is not None and self.weeks.groups else None


def make_report(
    store: WatchStore, model: ServedModel, today: datetime.date, weeks: Counts | None
) -> WatchReport | None:
    """Return the report on a model up to today, or None if it has answered no texts.

    Days in the future, written with a wrong clock, are ignored.

    Parameters
    ----------
    store : WatchStore
    model : ServedModel
    today : date
    weeks : Counts or None
        See `WatchReport`.

    Raises
    ------
    StoreError : if the file can't be read.
    """
    first = today - datetime.timedelta(N_DAYS - 1)
    sums = store.days(model.digest, first, today)
    alerts = tuple(alert for alert in store.alerts(model.digest) if alert.accepted is None)
    if not sums:
        return None
    first = min(sums)
    shown = _choose_topics(model.fitted, [*sums.values()], alerts)
    heldout = model.fitted.heldout_predictions
    return WatchReport(
        days=tuple(
            _report_day(day, sums.get(day), shown)
            for day in (first + datetime.timedelta(n) for n in range((today - first).days + 1))
        ),
        topics=tuple(model.fitted.topics.names),
        training=tuple(training_shares(model.fitted)),
        shown=tuple(shown),
        weeks=weeks,
        alerts=alerts,
        has_heldout=heldout is not None and bool(heldout.n_documents),
    )


def training_shares(fitted: Fitted) -> list[float]:
    """Return each topic's share of the training documents."""
    return (fitted.topic_counts / max(fitted.n_documents, 1)).tolist()


def _choose_topics(
    fitted: Fitted, days: Sequence[DaySums], alerts: Sequence[StoredAlert]
) -> list[int]:
    """Return the indices of the topics to show: topics with alerts, then the most common ones."""
    sums = np.sum([each.sums for each in days], axis=0)
    alerted = {alert.topic for alert in alerts}
    names = fitted.topics.names
    order = sorted(
        range(len(names)), key=lambda topic: (str(names[topic]) not in alerted, -float(sums[topic]))
    )
    return order[:_N_SHOWN]


def _report_day(day: datetime.date, sums: DaySums | None, shown: Sequence[int]) -> DayReport:
    if sums is None:
        return DayReport(day, 0, 0, 0, float("nan"), dict.fromkeys(shown, 0))
    return DayReport(
        day=day,
        n_texts=sums.n_texts,
        n_unsure=sums.n_unsure,
        n_corrections=sums.n_corrections,
        unknown_words=sums.unknown_fraction,
        answers={topic: int(sums.answers[topic]) for topic in shown},
    )
