"""The daily sums on the model tab: alerts, charts and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.base.chart import Axis, Chart
from slugline.counting.dates import first_day
from slugline.counting.results import GroupCount, TopicCount
from slugline.errors import StoreError
from slugline.reports.render import shorten
from slugline.serving.page.rendering import link, requested_model
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.alerts import describe_alert
from slugline.serving.watch.report import WatchReport
from slugline.serving.web.bodies import read_form
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import call_of, service_of

# Possible numbers of weeks between axis labels, and the maximum number of labels.
_STEPS, _MAX_LABELS = (1, 2, 4), 6
_MAX_Y_STEPS = 4
# Number of unfolded alerts.
_N_OPEN = 4
# Maximum length of a topic in a chart label.
_MAX_TOPIC = 60
# Keep the number and the percent sign on one line.
_PERCENT = "\N{NO-BREAK SPACE}%"
_STYLE = re.compile('style="([^"]*)"')


class WeeklyChart(NamedTuple):
    """A chart of a topic's weekly share."""

    topic: str
    svg: Markup


async def daily_values(request: Request, model: ServedModel) -> dict[str, Any]:
    """Return template values for a model's daily sums."""
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
    alerts = [describe_alert(alert).replace(" %", _PERCENT) for alert in report.alerts]
    return values | {
        "charts": await service.threads.run(lambda: [*_charts(report)]),
        "alerts": alerts,
        "n_open": _N_OPEN,
        "may_accept": service.may_approve(call_of(request)),
        "share": _share_text,
    }


async def post_acceptance(request: Request) -> Response:
    """Accept all changes as the new normal, and show the model again."""
    service, model, call = service_of(request), requested_model(request), call_of(request)
    if not service.may_approve(call):
        raise HttpProblem(403, "only people whose tokens have a name can accept changes.")
    await read_form(request)  # rejects anything but a form
    await service.accept_changes(model, call)
    name = request.query_params.get("model")
    return RedirectResponse(link("/model", {"model": name} if name else {}) + "#days", 303)


def _share_text(group: GroupCount | None, topic: object) -> str:
    """Format a share with its interval, such as "12.3 % (10.1 to 14.9)", or a dash if missing."""
    count = None if group is None else group.find(str(topic))
    if count is None or not count.is_estimated:
        return "–"
    low, high = count.interval
    return f"{100 * count.share:.1f}{_PERCENT} ({100 * low:.1f} to {100 * high:.1f})"


# Charts -------------------------------------------------------------------------------------------


def _charts(report: WatchReport) -> Iterator[WeeklyChart]:
    """Yield the charts of the shown topics; none for fewer than two weeks."""
    weeks = () if report.weeks is None else report.weeks.groups
    if len(weeks) < 2:
        return
    began = {alert.topic: alert.began for alert in report.alerts}
    for number in report.shown:
        topic = str(report.topics[number])
        starts = [first_day(week.name, "week") for week in weeks]
        yield _chart(
            topic,
            [week.find(topic) for week in weeks],
            [f"{day.day} {day:%b}" for day in starts],
            starts.index(began[topic]) if began.get(topic) in starts else None,
        )


def _chart(
    topic: str, counts: Sequence[TopicCount], weeks: Sequence[str], began: int | None
) -> WeeklyChart:
    """Draw a topic's chart, with a rule at the start of the change if there is an alert."""
    last = len(weeks) - 1
    ends = [end for count in counts for end in count.interval]
    step = next((n for n in _STEPS if len(weeks) <= n * _MAX_LABELS), _STEPS[-1])
    ticks = [(float(place), weeks[place]) for place in range(last % step, last + 1, step)]
    chart = Chart(Axis(-0.5, last + 0.5, "", ticks), Axis.fractions("", [0.0, *ends], _MAX_Y_STEPS))
    places = [float(place) for place in range(len(weeks))]
    chart.band(places, [count.interval for count in counts], "validation")
    chart.line(
        [(place, count.share) for place, count in zip(places, counts, strict=True)], "validation"
    )
    if began is not None:
        chart.rule(float(began), f"since {weeks[began]}", "best")
    label = (
        f"Share of {shorten(topic, _MAX_TOPIC)} by week, from {weeks[0]} to {weeks[-1]}. The table "
        "below contains the value for the last week."
    )
    svg = _STYLE.sub(_to_attributes, chart.svg(label))
    return WeeklyChart(topic, Markup(svg))  # noqa: S704 - escaped by `svg`


def _to_attributes(style: re.Match[str]) -> str:
    """Convert a style to attributes, because the Content-Security-Policy forbids inline styles.

    >>> _to_attributes(_STYLE.search('style="fill: none; stroke-width: 1"'))
    'fill="none" stroke-width="1"'
    """
    properties = (each.partition(": ") for each in style[1].split("; "))
    return " ".join(f'{name}="{value}"' for name, _, value in properties)
