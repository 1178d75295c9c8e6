"""The page on counts of topics, with their charts."""

from __future__ import annotations

from collections.abc import Sequence

from slugline.base.chart import Axis, Chart, Key
from slugline.base.wording import percent
from slugline.counting.dates import PERIODS, fill_periods
from slugline.counting.results import Counts, GroupCount, TopicCount, describe_left_out
from slugline.evaluation.intervals import Interval
from slugline.reports.render import render, shorten

# Topics that have a chart: those that have changed, then the most common ones.
_MAX_CHARTS = 12
# Topics or groups in the rows of a chart.
_MAX_ROWS = 20
# Characters of a name beside a chart, and above it.
_NAME_LENGTH, _TITLE_LENGTH = 18, 40
_METHODS = {
    "model": "by the model",
    "labels and model": "by labels and the model",
    "labels": "by labels",
}


def count_page(counts: Counts) -> str:
    """Return counts as one HTML page that needs no other file."""
    topics = counts.total.by_share()
    return render(
        "counting.html.j2",
        counts=counts,
        lede=describe_counts(counts),
        left_out=describe_left_out(counts),
        head=["topic", "share", "95 % interval", "number", "95 % interval", "answers"],
        rows=[_cells(topic) for topic in topics],
        methods=sorted(
            {_METHODS[t.method] for each in (counts.total, *counts.groups) for t in each.topics}
        ),
        picture=shares_chart(topics[:_MAX_ROWS]),
        n_charted=min(len(topics), _MAX_ROWS),
        charts=topic_charts(counts),
        groups=[
            (group.name, group.n_texts, [_cells(topic) for topic in group.by_share()])
            for group in counts.groups
        ],
    )


def describe_counts(counts: Counts) -> str:
    """Return the most common topic in a sentence, with the range of the number of its texts."""
    topic = counts.total.by_share()[0]
    return (
        f"The most common topic is {shorten(topic.topic)}: {percent(topic.share)} of the texts, "
        f"which is {topic.n_low:,} to {topic.n_high:,} of {topic.n_texts:,} (95 % interval)."
    )


def _cells(topic: TopicCount) -> list[str]:
    low, high = topic.interval
    return [
        topic.topic,
        percent(topic.share),
        f"{100 * low:.1f} to {100 * high:.1f} %",
        f"{topic.n:,.0f}",
        f"{topic.n_low:,} to {topic.n_high:,}",
        "–" if topic.n_answers is None else f"{topic.n_answers:,}",
    ]


# Charts -------------------------------------------------------------------------------------------


def count_charts(counts: Counts) -> list[str]:
    """Return the chart of each topic by group; with one group or none, that of all shares."""
    if not counts.groups:
        return [shares_chart(counts.total.by_share()[:_MAX_ROWS])]
    if len(counts.groups) == 1:
        return [shares_chart(counts.groups[0].by_share()[:_MAX_ROWS])]
    return [chart for _, chart in topic_charts(counts)]


def shares_chart(topics: Sequence[TopicCount]) -> str:
    """Return the share of each topic with its interval, a row for each."""
    chart = Chart(
        Axis.fractions("Share of the texts", [end for t in topics for end in t.interval], 5),
        Axis.names("", [shorten(topic.topic, _NAME_LENGTH) for topic in topics]),
    )
    for i, topic in enumerate(topics):
        chart.line([(end, -i) for end in topic.interval], "validation", width=1.25)
        chart.dot((topic.share, -i), "validation")
    return chart.svg("Share of the texts that have each topic, with 95 % intervals")


def topic_charts(counts: Counts) -> list[tuple[str, str]]:
    """Return a chart of the texts by group for each topic, with its name; the changed ones first.

    At most twelve topics have a chart.
    """
    if len(counts.groups) < 2:
        return []
    changed = [change.topic for change in counts.significant_changes]
    names = dict.fromkeys([*changed, *(topic.topic for topic in counts.total.by_share())])
    groups = _fill_groups(counts)
    by_name = [{topic.topic: topic for topic in group.topics} for group in groups]
    draw = _chart_over_time if counts.is_time else _chart_by_group
    return [
        (
            shorten(name, _TITLE_LENGTH),
            draw(name, counts.column or "", groups, [t[name] for t in by_name]),
        )
        for name in [*names][:_MAX_CHARTS]
        if all(name in topics for topics in by_name)
    ]


def _fill_groups(counts: Counts) -> Sequence[GroupCount]:
    """Return the groups, with those of periods without texts."""
    period = next((each for each in PERIODS if each == counts.column), None)
    if not counts.is_time or period is None:
        return counts.groups
    by_name = {group.name: group for group in counts.groups}
    none = tuple(
        TopicCount(topic.topic, 0.0, Interval(0.0, 0.0), 0, 0) for topic in counts.total.topics
    )
    return [
        by_name.get(name) or GroupCount(name, 0, none) for name in fill_periods([*by_name], period)
    ]


def _chart_over_time(
    name: str, period: str, groups: Sequence[GroupCount], topics: Sequence[TopicCount]
) -> str:
    ends = [(topic.n_low, topic.n_high) for topic in topics]
    answers = [topic.n_answers or 0 for topic in topics]
    places = range(len(groups))
    chart = Chart(
        Axis(
            -0.4,
            len(groups) - 0.6,
            period.capitalize(),
            [(i, group.name) for i, group in enumerate(groups)],
        ),
        Axis.numbers(
            f"Texts: {shorten(name, _NAME_LENGTH)}",
            [0, *(end for pair in ends for end in pair), *answers],
        ),
        [Key("estimate, 95 %", "validation"), Key("answers", "training", "dashes")],
    )
    chart.band([*places], ends, "validation")
    chart.line(zip(places, answers, strict=True), "training", width=1, dashed=True)
    estimates = [(place, topic.n) for place, topic in zip(places, topics, strict=True)]
    chart.line(estimates, "validation")
    for point in estimates:
        chart.dot(point, "validation")
    return chart.svg(f"Texts about {name} by {period}, with 95 % intervals")


def _chart_by_group(
    name: str, column: str, groups: Sequence[GroupCount], topics: Sequence[TopicCount]
) -> str:
    shown = [*zip(groups, topics, strict=True)][:_MAX_ROWS]
    chart = Chart(
        Axis.fractions(
            f"Share of {shorten(name, _TITLE_LENGTH)}",
            [end for _, t in shown for end in t.interval],
            5,
        ),
        Axis.names(column, [shorten(group.name, _NAME_LENGTH) for group, _ in shown]),
    )
    for i, (_, topic) in enumerate(shown):
        chart.line([(end, -i) for end in topic.interval], "validation", width=1.25)
        chart.dot((topic.share, -i), "validation")
    return chart.svg(f"Share of texts about {name} by {column}, with 95 % intervals")
