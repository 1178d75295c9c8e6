"""The model tab: the card and topics; alerts, charts and tables of the daily sums."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.base.chart import Axis, Chart
from slugline.base.html import render_markdown
from slugline.base.wording import percent
from slugline.counting.dates import first_day
from slugline.counting.results import GroupCount, TopicCount
from slugline.errors import StoreError
from slugline.model.file.schema import ModelInfo
from slugline.model.file.shipped import SHIPPED
from slugline.reports.render import shorten, typeset
from slugline.serving.page.rendering import link, render_page, requested_model
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.alerts import describe_alert
from slugline.serving.watch.report import WatchReport
from slugline.serving.web.bodies import read_form
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import call_of, service_of

# The page ---------------------------------------------------------------------------------------


async def show_model(request: Request) -> Response:
    """Show a model's card and topics."""
    service, model = service_of(request), requested_model(request)
    info = model.file.info
    return render_page(
        request,
        "model.html.j2",
        title=f"The model {model.name}",
        shipped=SHIPPED.get(model.name),
        key=_key_numbers(info, model.decider.precision),
        topics=[(topic, info.descriptions.get(str(topic), "")) for topic in info.topics],
        card=await service.threads.run(_render, model.file.card),
        problem=service.models.problems.get(model.name),
        has_daily_sums=service.has_daily_sums,
        **(await daily_values(request, model)),
    )


def _key_numbers(info: ModelInfo, precision: float | None) -> list[tuple[str, str]]:
    """Return the key numbers with their descriptions."""
    numbers = [
        (f"{len(info.topics):,}", "topic" if len(info.topics) == 1 else "topics"),
        (f"{info.n_documents:,}", "training documents"),
    ]
    if "estimated_accuracy" in info.metrics:
        right = typeset(percent(info.metrics["estimated_accuracy"]))
        numbers.append((right, "right on unlabelled texts"))
    elif "test_accuracy" in info.metrics:
        right = typeset(percent(info.metrics["test_accuracy"]))
        numbers.append((right, "right on test documents"))
    elif "test_micro_f1" in info.metrics:
        f1 = f"{info.metrics['test_micro_f1']:.3f}"
        numbers.append((f1, "micro-F1 on test documents"))
    if precision is not None:
        percentage = typeset(f"{100 * precision:g} %")
        numbers.append((percentage, "required precision; otherwise the answer is “unsure”"))
    return numbers


@functools.lru_cache(maxsize=16)
def _render(card: str) -> Markup:
    """Render a card as HTML; slow for long cards."""
    return render_markdown(_without_title(card))


def _without_title(card: str) -> str:
    """Remove the title and the list of topics, which the page shows elsewhere."""
    before, heading, after = card.rpartition("\n## Its ")
    if heading and "topic" in after.partition("\n")[0]:
        card = before
    first, _, body = card.partition("\n")
    return body if first.startswith("# ") else card


# Daily sums ---------------------------------------------------------------------------------------

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
