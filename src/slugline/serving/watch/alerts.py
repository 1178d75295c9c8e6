"""Alerts in words, and a check of each day for new ones."""

from __future__ import annotations

import datetime
import logging

from slugline.serving.served_models import ServedModels
from slugline.serving.watch.report import AlertReport, update_alerts
from slugline.serving.watch.series import UNKNOWN_WORDS, UNSURE
from slugline.serving.watch.store import WatchStore

_log = logging.getLogger("slugline.server")

_SERIES = {UNSURE: "unsure answers", UNKNOWN_WORDS: "unknown words"}
# What the expected band is known from.
_SOURCES = {
    "training": "by training",
    "training and first days": "by training and the first four weeks",
    "first days": "by the first four weeks",
    "accepted": "by the days after the last change that was accepted",
}
# Percentages below this one have a digit after the point.
_FEW = 0.1
# The largest number of characters of a topic.
_MAX_TOPIC = 100


def describe_alert(report: AlertReport) -> str:
    """Return a sentence.

    >>> from slugline.evaluation.intervals import Interval
    >>> from slugline.serving.watch.series import Baseline
    >>> from slugline.serving.watch.store import StoredAlert
    >>> day = datetime.date(2026, 3, 3)
    >>> baseline = Baseline("training", Interval(0.12, 0.18))
    >>> alert = StoredAlert("topic 0", day, day)
    >>> report = AlertReport(alert, "complaints", True, False, 0.31, day, baseline)
    >>> describe_alert(report)
    'Since 3 March 2026, the share of complaints is 31 %; by training, 12 to 18 % is expected.'
    >>> later = report._replace(since=datetime.date(2026, 5, 1))
    >>> describe_alert(later).partition(";")[0]
    'Since 3 March 2026, the share of complaints has changed: since 1 May 2026, it is 31 %'
    """
    name = str(report.topic)[:_MAX_TOPIC] if report.is_topic else _SERIES[report.alert.series]
    measure = "mean probability" if report.is_mean else "share"
    low, high = report.baseline.band
    digits = 0 if min(high, report.value) >= _FEW else 1
    value, low_text, high_text = (f"{100 * x:.{digits}f}" for x in (report.value, low, high))
    change = f"Since {format_day(report.alert.began)}, the {measure} of {name}"
    if report.since > report.alert.began:
        change += f" has changed: since {format_day(report.since)}, it"
    source = _SOURCES[report.baseline.kind]
    return f"{change} is {value} %; {source}, {low_text} to {high_text} % is expected."


def format_day(day: datetime.date) -> str:
    """Return a day in words.

    >>> format_day(datetime.date(2026, 3, 3))
    '3 March 2026'
    """
    return f"{day.day} {day:%B %Y}"


class AlertCheck:
    """Tests, once a day, whether a series of a served model has left its band, and logs it.

    Parameters
    ----------
    models : ServedModels
    """

    def __init__(self, models: ServedModels) -> None:
        self._models = models
        # The day of the last check, by the digest of the model.
        self._checked: dict[str, datetime.date] = {}

    def __call__(self, store: WatchStore, today: datetime.date) -> None:
        """Check the models that were not checked today."""
        for model in self._models.all():
            if self._checked.get(model.digest) == today:
                continue
            self._checked[model.digest] = today
            for report in update_alerts(store, model, today):
                _log.warning("%s: %s", model.name, describe_alert(report))
