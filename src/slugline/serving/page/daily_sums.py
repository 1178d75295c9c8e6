"""The daily sums on the tab of a model: alerts, charts and tables."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.base.chart import Axis, Chart
from slugline.errors import StoreError
from slugline.evaluation.intervals import Interval
from slugline.reports.render import shorten
from slugline.serving.page.forms import read_form
from slugline.serving.page.rendering import link, requested_model
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.alerts import describe_alert, describe_band
from slugline.serving.watch.report import DayReport, WatchReport
from slugline.serving.watch.series import UNKNOWN_WORDS, UNSURE, Baseline, series_key
from slugline.serving.watch.share_estimator import Share
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import call_of, service_of

# The numbers of days between two labels of the axis, and the largest number of labels.
_STEPS, _MAX_LABELS = (1, 2, 7, 14, 28), 6
_MAX_Y_STEPS = 4
# A day has few texts with fewer than this fraction of their median number.
_FEW_TEXTS = 0.2
# The number of alerts that are not folded up.
_N_OPEN = 4
# The largest number of characters of a topic above its chart.
_MAX_TOPIC = 60
# A number and its sign stay on one line.
_PERCENT = "\N{NO-BREAK SPACE}%"
_STYLE = re.compile('style="([^"]*)"')


class DailyChart(NamedTuple):
    """A chart of a daily share.

    Attributes
    ----------
    name : str
        Its heading.
    is_topic : bool
        Whether that is the name of a topic.
    expected : str
        Which values are expected.
    svg : Markup
    """

    name: str
    is_topic: bool
    expected: str
    svg: Markup


async def daily_values(request: Request, model: ServedModel) -> dict[str, Any]:
    """Return the values of the template for the daily sums of a model."""
    service = service_of(request)
    if not service.has_daily_sums:
        return {"report": None, "daily_problem": None}
    try:
        report = await service.report_days(model)
    except StoreError as error:
        return {"report": None, "daily_problem": f"{error}"}
    values = {"report": report, "daily_problem": None}
    if report is None:
        return values
    # A line needs two days.
    charts = [] if len(report.days) < 2 else await service.threads.run(lambda: [*_charts(report)])
    alerts = [
        (describe_alert(alert).replace(" %", _PERCENT), alert.alert.series)
        for alert in report.alerts
    ]
    return values | {
        "charts": charts,
        "alerts": alerts,
        "n_open": _N_OPEN,
        "may_accept": service.may_approve(call_of(request)),
        "share": _share_text,
    }


async def post_acceptance(request: Request) -> Response:
    """Take a change for the new normal, and show the model again."""
    service, model, call = service_of(request), requested_model(request), call_of(request)
    if not service.may_approve(call):
        raise HttpProblem(403, "changes are accepted by people whose tokens have a name.")
    form = await read_form(request)
    await service.accept_change(model, form.get("series", ""), call)
    name = request.query_params.get("model")
    return RedirectResponse(link("/model", {"model": name} if name else {}) + "#days", 303)


def _share_text(share: Share | None) -> str:
    """Return a share with its interval, as in "12.3 % (10.1 to 14.9)"; a dash for None."""
    if share is None:
        return "–"
    low, high = share.interval
    return f"{100 * share.value:.1f}{_PERCENT} ({100 * low:.1f} to {100 * high:.1f})"


# Charts -------------------------------------------------------------------------------------------


def _charts(report: WatchReport) -> Iterator[DailyChart]:
    for number in report.shown:
        name = str(report.topics[number].topic)
        shares = [day.shares.get(number) for day in report.days]
        yield _chart(report, name, shares, series_key(number), is_topic=True)
    for name, key in (("Unsure answers", UNSURE), ("Unknown words", UNKNOWN_WORDS)):
        shares = [day.unsure if key == UNSURE else day.unknown_words for day in report.days]
        if key == UNSURE and not _has_unsure(report):
            continue
        yield _chart(report, name, shares, key, is_topic=False)


def _has_unsure(report: WatchReport) -> bool:
    """Whether the model leaves texts unanswered: by a threshold, or on any of the days."""
    is_usual = report.baselines[UNSURE].training is not None
    return is_usual or any(day.unsure is not None and day.unsure.value for day in report.days)


def _chart(
    report: WatchReport, name: str, shares: Sequence[Share | None], key: str, *, is_topic: bool
) -> DailyChart:
    """Return the chart of a series, with the band that is usual and the alert about it."""
    days, baseline = report.days, report.baselines[key]
    band = baseline.band if baseline.band != Interval(0.0, 1.0) else None
    values = [share.value for share in shares if share is not None]
    # Intervals of days with hardly any texts end at the end of the axis.
    n_texts = np.array([day.n_texts for day in days])
    usual = np.median(n_texts[n_texts > 0]) if n_texts.any() else 0
    ends = [
        end
        for share, n in zip(shares, n_texts.tolist(), strict=True)
        if share is not None and n >= _FEW_TEXTS * usual
        for end in share.interval
    ]
    last = len(days) - 1
    x = Axis(-0.5, last + 0.5, "", [*_day_ticks(days)])
    y = Axis.fractions("", [0.0, *values, *ends, *(band or ())], _MAX_Y_STEPS)
    chart = Chart(x, y)
    for end in band or ():
        chart.line([(-0.5, end), (last + 0.5, end)], "training", width=1, dashed=True)
    for start, run in _runs(shares):
        positions = [float(start + i) for i in range(len(run))]
        if len(run) == 1:
            chart.dot((positions[0], run[0].value), "validation", run[0].interval)
            continue
        chart.band(positions, [share.interval for share in run], "validation")
        points = [(at, share.value) for at, share in zip(positions, run, strict=True)]
        chart.line(points, "validation")
    began = [alert.alert.began for alert in report.alerts if alert.alert.series == key]
    if began and began[0] >= days[0].day:
        chart.rule(float((began[0] - days[0].day).days), f"since {_short_day(began[0])}", "best")
    label = f"Share of {shorten(name, _MAX_TOPIC)} by day; the numbers are in the table below."
    svg = _STYLE.sub(_to_attributes, chart.svg(label))
    return DailyChart(
        name=name,
        is_topic=is_topic,
        expected=_describe_expected(baseline),
        svg=Markup(svg),  # noqa: S704 - escaped by `svg`
    )


def _describe_expected(baseline: Baseline) -> str:
    if baseline.band == Interval(0.0, 1.0):
        return "What is expected is known after four weeks"
    since = " since the last accepted change" if baseline.kind == "accepted" else ""
    return f"{describe_band(baseline.band)} expected{since}".replace(" %", _PERCENT)


def _to_attributes(style: re.Match[str]) -> str:
    """Return a style as attributes, since the page's Content-Security-Policy allows no styles.

    >>> _to_attributes(_STYLE.search('style="fill: none; stroke-width: 1"'))
    'fill="none" stroke-width="1"'
    """
    properties = (each.partition(": ") for each in style[1].split("; "))
    return " ".join(f'{name}="{value}"' for name, _, value in properties)


def _runs(shares: Sequence[Share | None]) -> Iterator[tuple[int, list[Share]]]:
    """Yield successive days with texts, with the position of the first."""
    run: list[Share] = []
    for position, share in enumerate([*shares, None]):
        if share is not None:
            run.append(share)
        elif run:
            yield position - len(run), run
            run = []


def _day_ticks(days: Sequence[DayReport]) -> Iterator[tuple[float, str]]:
    step = next((n for n in _STEPS if len(days) <= n * _MAX_LABELS), _STEPS[-1])
    for position in range((len(days) - 1) % step, len(days), step):
        yield float(position), _short_day(days[position].day)


def _short_day(day: datetime.date) -> str:
    return f"{day.day} {day:%b}"
