"""The weekly check of the shares of topics: counts by week, and alerts about lasting changes."""

from __future__ import annotations

import datetime
import logging
import weakref
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slugline.counting.changes import MIN_PERIODS
from slugline.counting.dates import first_day, name_period
from slugline.counting.results import Counts, GroupCount
from slugline.errors import DataError, StoreError
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel, ServedModels
from slugline.serving.watch.counts import DayCountOptions, count_store
from slugline.serving.watch.recorder import watched_model
from slugline.serving.watch.store import StoredAlert, WatchStore

_log = logging.getLogger("slugline.server")

#: The largest number of whole weeks that are compared.
N_WEEKS = 12
# The level of each weekly check: 1 in 20 years has a false alarm if shares vary by chance only
# (Bonferroni).
_ALPHA = 0.05 / 52
# Percentages below this one have a digit after the point.
_FEW = 0.1
# The largest number of characters of a topic.
_MAX_TOPIC = 100


def describe_alert(alert: StoredAlert) -> str:
    """Return a sentence.

    >>> day = datetime.date(2026, 3, 2)
    >>> describe_alert(StoredAlert("complaints", day, day, 0.14, 0.312))
    'Since the week of 2 March 2026, the share of complaints is 31 %; it was 14 % before.'
    """
    digits = 0 if min(alert.before, alert.after) >= _FEW else 1
    return (
        f"Since the week of {alert.began.day} {alert.began:%B %Y}, the share of "
        f"{alert.topic[:_MAX_TOPIC]} is {100 * alert.after:.{digits}f} %; it was "
        f"{100 * alert.before:.{digits}f} % before."
    )


class _Check(NamedTuple):
    """The counts of a check, and the first day of the week in which it was made."""

    week: datetime.date
    counts: Counts | None


class WeeklyCheck:
    """Counts the topics of each served model by week, once a week, and tests weeks for changes.

    Parameters
    ----------
    models : ServedModels
    metrics : Metrics
    """

    def __init__(self, models: ServedModels, metrics: Metrics) -> None:
        self._models, self._metrics = models, metrics
        # The last check, and the day of the last one that failed. Versions of models that are no
        # longer served drop out.
        self._checks = weakref.WeakKeyDictionary[ServedModel, _Check]()
        self._failed = weakref.WeakKeyDictionary[ServedModel, datetime.date]()

    def __call__(self, store: WatchStore, today: datetime.date) -> None:
        """Check the models that were not checked this week; a check that fails is repeated."""
        this_week = _first_of_week(today)
        for model in self._models.all():
            check = self._checks.get(model)
            if check is not None and check.week == this_week:
                continue
            try:
                counts = count_weeks(store, model, today)
                new = [] if counts is None else add_alerts(store, model, counts, today)
            except StoreError as error:
                if self._failed.get(model) != today:
                    _log.error("%s: weeks can't be tested for changes yet: %s", model.name, error)
                self._failed[model] = today
                continue
            self._checks[model] = _Check(this_week, counts)
            for alert in new:
                _log.warning("%s: %s", model.name, describe_alert(alert))
                self._metrics.add("alerts")

    def counts(self, model: ServedModel) -> Counts | None:
        """Return the counts by week of the last check.

        None before the first one, and if no week is over.
        """
        check = self._checks.get(model)
        return None if check is None else check.counts


def count_weeks(store: WatchStore, model: ServedModel, today: datetime.date) -> Counts | None:
    """Return the counts of the last whole weeks, those before an accepted change left out.

    None if there are no texts, or the model has no held-out documents to count by.

    Raises
    ------
    StoreError : if the file can't be read.
    """
    end = _first_of_week(today)
    accepted = [alert.began for alert in store.alerts(model.digest) if alert.accepted is not None]
    options = DayCountOptions(
        since=max([end - datetime.timedelta(weeks=N_WEEKS), *accepted]),
        until=end - datetime.timedelta(1),
        by="week",
    )
    try:
        return count_store(store, model.fitted, watched_model(model), options)
    except DataError:
        return None


def add_alerts(
    store: WatchStore, model: ServedModel, counts: Counts, today: datetime.date
) -> list[StoredAlert]:
    """Store alerts about topics without an open one; return those that are new."""
    return [alert for alert in find_alerts(counts, today) if store.add_alert(model.digest, alert)]


def find_alerts(counts: Counts, today: datetime.date) -> Iterator[StoredAlert]:
    """Yield the most significant lasting change of each topic.

    There is none before there are enough weeks to tell how much weeks differ.
    """
    found: set[str] = set()
    if len(counts.groups) < MIN_PERIODS:
        return
    for change in counts.changes:
        if change.p_value >= _ALPHA or not change.is_lasting or change.topic in found:
            continue
        found.add(change.topic)
        before = [group for group in counts.groups if group.name < change.after]
        after = [group for group in counts.groups if group.name >= change.after]
        yield StoredAlert(
            change.topic,
            first_day(change.after, "week"),
            today,
            _pooled_share(before, change.topic),
            _pooled_share(after, change.topic),
        )


def _pooled_share(groups: Sequence[GroupCount], topic: str) -> float:
    n_texts = sum(group.n_texts for group in groups)
    return sum(group.find(topic).n for group in groups) / max(n_texts, 1)


def _first_of_week(day: datetime.date) -> datetime.date:
    return first_day(name_period(day, "week"), "week")
