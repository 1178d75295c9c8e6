"""The weekly check of topic shares: weekly counts, and alerts about lasting changes."""

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

#: Maximum number of whole weeks to compare.
N_WEEKS = 12
# Significance level of each weekly check (Bonferroni): 1 in 20 years has a false alarm if shares
# vary only by chance.
_ALPHA = 0.05 / 52
# Below this share, percentages have one decimal.
_FEW = 0.1
# Maximum length of a topic in an alert.
_MAX_TOPIC = 100


def describe_alert(alert: StoredAlert) -> str:
    """Describe an alert in a sentence.

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
    """The counts of a check, and the Monday of the week it was made in."""

    week: datetime.date
    counts: Counts | None


class WeeklyCheck:
    """Counts each served model's topics by week, once a week, and tests for changes.

    Parameters
    ----------
    models : ServedModels
    metrics : Metrics
    """

    def __init__(self, models: ServedModels, metrics: Metrics) -> None:
        self._models, self._metrics = models, metrics
        # The last check, and the day of the last failed one. Entries disappear with their models.
        self._checks = weakref.WeakKeyDictionary[ServedModel, _Check]()
        self._failed = weakref.WeakKeyDictionary[ServedModel, datetime.date]()

    def __call__(self, store: WatchStore, today: datetime.date) -> None:
        """Check all models not yet checked this week; failed checks are repeated."""
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
                    _log.error("%s: weekly shares can't be compared: %s", model.name, error)
                self._failed[model] = today
                continue
            self._checks[model] = _Check(this_week, counts)
            for alert in new:
                _log.warning("%s: %s", model.name, describe_alert(alert))
                self._metrics.add("alerts")

    def counts(self, model: ServedModel) -> Counts | None:
        """Return the weekly counts of the last check.

        None before the first check, or if no week is over.
        """
        check = self._checks.get(model)
        return None if check is None else check.counts


def count_weeks(store: WatchStore, model: ServedModel, today: datetime.date) -> Counts | None:
    """Count the last whole weeks since the latest accepted change.

    None if there are no texts, or the model has no held-out documents.

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
    """Store alerts about topics without an open alert; return the new ones."""
    return [alert for alert in find_alerts(counts, today) if store.add_alert(model.digest, alert)]


def find_alerts(counts: Counts, today: datetime.date) -> Iterator[StoredAlert]:
    """Yield each topic's most significant lasting change.

    Yields nothing until there are enough weeks to estimate their variation.
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
