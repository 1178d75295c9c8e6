"""Alerts in words, and a check of each day for new ones."""

from __future__ import annotations

import datetime
import logging

from slugline.errors import StoreError
from slugline.evaluation.intervals import Interval
from slugline.serving.metrics import Metrics
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
    digits = 0 if min(report.baseline.band.high, report.value) >= _FEW else 1
    change = f"Since {format_day(report.alert.began)}, the {measure} of {name}"
    if report.since > report.alert.began:
        change += f" has changed: since {format_day(report.since)}, it"
    value, band = f"{100 * report.value:.{digits}f} %", describe_band(report.baseline.band, digits)
    return f"{change} is {value}; {_SOURCES[report.baseline.kind]}, {band} is expected."


def describe_band(band: Interval, digits: int | None = None) -> str:
    """Return a band in words.

    >>> describe_band(Interval(0.012, 0.05)), describe_band(Interval(0.12, 0.18))
    ('1.2 to 5.0 %', '12 to 18 %')
    """
    low, high = band
    digits = (0 if high >= _FEW else 1) if digits is None else digits
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def format_day(day: datetime.date) -> str:
    """Return a day in words.

    >>> format_day(datetime.date(2026, 3, 3))
    '3 March 2026'
    """
    return f"{day.day} {day:%B %Y}"


class AlertCheck:
    """Tests, once a day, whether a series of a served model has left its band; logs and counts it.

    Parameters
    ----------
    models : ServedModels
    metrics : Metrics
    """

    def __init__(self, models: ServedModels, metrics: Metrics) -> None:
        self._models, self._metrics = models, metrics
        # The day of the last check, and that of the last one that failed, by the model's digest.
        self._checked: dict[str, datetime.date] = {}
        self._failed: dict[str, datetime.date] = {}

    def __call__(self, store: WatchStore, today: datetime.date) -> None:
        """Check the models that were not checked today; a check that fails is repeated."""
        for model in self._models.all():
            if self._checked.get(model.digest) == today:
                continue
            try:
                reports = update_alerts(store, model, today)
            except StoreError as error:
                if self._failed.get(model.digest) != today:
                    _log.error("%s: days can't be tested for changes yet: %s", model.name, error)
                self._failed[model.digest] = today
                continue
            self._checked[model.digest] = today
            for report in reports:
                _log.warning("%s: %s", model.name, describe_alert(report))
                self._metrics.add("alerts_total")
