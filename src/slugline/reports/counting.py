"""The report on topic counts, with charts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slugline.base.chart import Axis, Chart, Key
from slugline.base.wording import counted, join_words, percent
from slugline.counting.dates import PERIODS, fill_periods
from slugline.counting.results import (
    ALL,
    Counts,
    GroupCount,
    TopicCount,
    describe_left_out,
    describe_method,
    describe_tests,
)
from slugline.reports.render import render, shorten

# Maximum number of topics with a chart: changed topics first, then the most common ones.
_MAX_CHARTS = 12
# Maximum number of rows (topics or groups) in a chart.
_MAX_ROWS = 20
# Maximum length of a name beside a chart, and above it.
_NAME_LENGTH, _TITLE_LENGTH = 18, 40
# Maximum total length of the labels below a chart over time, which are larger on phones.
_MAX_LABELS_LENGTH = 36
# Space after the last point for its label, as a fraction of the axis.
_ROOM = 0.03
_DASH = "–"
_METHODS = {
    "model": "by the model",
    "labels and model": "by labels with the model's probabilities",
    "labels": "by labels alone",
}


class TopicChart(NamedTuple):
    """A chart of a topic by group."""

    title: str
    svg: str


class TopicTable(NamedTuple):
    """The counts of a topic: a row per group, and one for all texts."""

    topic: str
    rows: list[list[str]]


def count_page(counts: Counts) -> str:
    """Return counts as a self-contained HTML page."""
    topics = counts.total.by_share()
    head = ["share", "95 % interval", "number", "interval"]
    head.append("by" if counts.n_labelled else "answers")
    return render(
        "counting.html.j2",
        counts=counts,
        lede=describe_counts(counts),
        n_groups=counted(len(counts.groups), (counts.column or "") if counts.is_time else "group"),
        left_out=describe_left_out(counts),
        head=["topic", *head],
        group_head=[counts.column, "texts", *head],
        rows=[[topic.topic, *_cells(topic, counts)] for topic in topics],
        methods=_describe_methods(counts),
        tests=describe_tests(counts),
        picture=shares_chart(topics[:_MAX_ROWS]),
        n_charted=min(len(topics), _MAX_ROWS),
        charts=topic_charts(counts),
        tables=_topic_tables(counts) if counts.groups else [],
    )


def describe_counts(counts: Counts) -> str:
    """Describe the topic that changed most, or the most common one."""
    changed = counts.significant_changes
    if counts.is_time and changed:
        change, groups = changed[0], {group.name: group for group in counts.groups}
        if change.is_lasting:
            return f"{change.describe()}."
        before, after = (groups[name].find(change.topic) for name in (change.before, change.after))
        return (
            f"{after.n_low:,} to {after.n_high:,} of {after.n_texts:,} texts in {change.after} "
            f"are about {shorten(after.topic, _TITLE_LENGTH)}; in {change.before}, it was "
            f"{before.n_low:,} to {before.n_high:,} of {before.n_texts:,} (95 % intervals)."
        )
    topic = counts.total.by_share()[0]
    return (
        f"The most common topic is {shorten(topic.topic)}: about {topic.n:,.0f} of "
        f"{topic.n_texts:,} texts ({topic.n_low:,} to {topic.n_high:,} with 95 % confidence), "
        f"which is {percent(topic.share)}."
    )


def _describe_methods(counts: Counts) -> str:
    """Describe how topics were counted."""
    found = {topic.method for each in (counts.total, *counts.groups) for topic in each.topics}
    methods = [text for method, text in _METHODS.items() if method in found]
    sentences = [f"Counted {join_words(methods)}."] if methods else []
    if "none" in found:
        sentences.append("Where there is a dash, nothing could be estimated.")
    return " ".join(sentences)


def _cells(topic: TopicCount, counts: Counts) -> list[str]:
    low, high = topic.interval
    estimate = [_DASH] * 4
    if topic.is_estimated:
        estimate = [
            percent(topic.share),
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{topic.n:,.0f}",
            f"{topic.n_low:,} to {topic.n_high:,}",
        ]
    if counts.n_labelled:
        return [*estimate, describe_method(topic) if topic.is_estimated else _DASH]
    return [*estimate, _DASH if topic.n_answers is None else f"{topic.n_answers:,}"]


def _topic_tables(counts: Counts) -> list[TopicTable]:
    """Return a table per topic by group, in the order of the charts."""
    groups = (*counts.groups, counts.total._replace(name=ALL))
    return [
        TopicTable(
            name,
            [
                [group.name, f"{group.n_texts:,}", *_cells(group.find(name), counts)]
                for group in groups
            ],
        )
        for name in _order_topics(counts)
    ]


def _order_topics(counts: Counts) -> list[str]:
    """Return changed topics, then the most common ones."""
    changed = [change.topic for change in counts.significant_changes]
    known = {topic.topic for topic in counts.total.topics}
    names = [*changed, *(topic.topic for topic in counts.total.by_share())]
    return [name for name in dict.fromkeys(names) if name in known]


# Charts -------------------------------------------------------------------------------------------


def count_charts(counts: Counts) -> list[str]:
    """Return a chart per topic by group; with fewer than two groups, one chart of all shares.

    Charts have titles and legends, for use in files.
    """
    if not counts.groups:
        return [shares_chart(counts.total.by_share()[:_MAX_ROWS])]
    if len(counts.groups) == 1:
        return [shares_chart(counts.groups[0].by_share()[:_MAX_ROWS])]
    return [chart.svg for chart in topic_charts(counts, in_page=False)]


def shares_chart(topics: Sequence[TopicCount]) -> str:
    """Return a chart with a row per topic: its share and interval."""
    topics = [topic for topic in topics if topic.is_estimated]
    chart = Chart(
        Axis.fractions("Share of the texts", _interval_ends(topics), 5),
        Axis.names("", [shorten(topic.topic, _NAME_LENGTH) for topic in topics]),
    )
    for i, topic in enumerate(topics):
        chart.line([(end, -i) for end in topic.interval], "validation", width=1.25)
        chart.dot((topic.share, -i), "validation")
    return chart.svg("Share of the texts that have each topic, with 95 % intervals")


def topic_charts(counts: Counts, *, in_page: bool = True) -> list[TopicChart]:
    """Return charts of the share of each topic by group, changed topics first.

    A single topic also has a chart of its numbers. At most twelve topics have charts.

    Parameters
    ----------
    counts : Counts
    in_page : bool, default True
        True if the page shows titles and legend; otherwise, the charts contain them.
    """
    if len(counts.groups) < 2:
        return []
    names = _order_topics(counts)[:_MAX_CHARTS]
    if not counts.is_time:
        return [_chart_by_group(name, counts, in_page=in_page) for name in names]
    measures = [_SHARES, _NUMBERS] if len(names) == 1 else [_SHARES]
    return [
        _chart_over_time(name, measure, counts, in_page=in_page)
        for name in names
        for measure in measures
    ]


def _interval_ends(topics: Sequence[TopicCount]) -> list[float]:
    return [end for topic in topics for end in topic.interval] or [0.0, 1.0]


class _Point(NamedTuple):
    """An estimate in a chart over time; `answers` is None for topics unknown to the model."""

    place: int
    value: float
    interval: tuple[float, float]
    answers: float | None


class _Measure(NamedTuple):
    """What a chart over time shows."""

    label: str
    is_share: bool


_SHARES, _NUMBERS = _Measure("share of the texts", True), _Measure("number of texts", False)


def _chart_over_time(name: str, measure: _Measure, counts: Counts, *, in_page: bool) -> TopicChart:
    groups = _fill_groups(counts)
    runs = [*_find_runs(name, measure, groups)]
    points = [point for run in runs for point in run]
    title = shorten(name, _TITLE_LENGTH)
    if not in_page or len(counts.total.topics) == 1:
        title = f"{title}: {measure.label}"
    axis_end = len(groups) - 0.6 + _ROOM * len(groups)
    # Shares and numbers begin at 0, so that heights can be compared.
    ends = [0.0, *(end for point in points for end in (*point.interval, point.answers or 0.0))]
    legend = [Key("estimate, 95 %", "validation"), Key("answers", "training", "dashes")]
    chart = Chart(
        Axis(-0.4, axis_end, "", _label_groups(groups)),
        Axis.fractions("", ends, 5) if measure.is_share else Axis.numbers("", ends),
        [] if in_page else legend,
        title="" if in_page else title,
    )
    for run in runs:
        places = [point.place for point in run]
        chart.band(places, [point.interval for point in run], "validation")
        if len(run) == 1:
            chart.dot((places[0], run[0].value), "validation", run[0].interval)
        answers = [(p.place, p.answers) for p in run if p.answers is not None]
        if answers:
            chart.line(answers, "training", width=1, dashed=True)
        chart.line([(point.place, point.value) for point in run], "validation")
    for point in points:
        chart.dot((point.place, point.value), "validation")
    svg = chart.svg(f"{name}: {measure.label} by {counts.column}, with 95 % intervals")
    return TopicChart(title, svg)


def _find_runs(
    name: str, measure: _Measure, groups: Sequence[GroupCount]
) -> Iterator[list[_Point]]:
    """Yield runs of points, interrupted by groups without texts or estimates."""
    run: list[_Point] = []
    for place, group in enumerate(groups):
        topic = group.find(name)
        if not topic.is_estimated:
            if run:
                yield run
            run = []
            continue
        answers = topic.n_answers
        if measure.is_share:
            fraction = None if answers is None else answers / max(topic.n_texts, 1)
            run.append(_Point(place, topic.share, topic.interval, fraction))
        else:
            run.append(_Point(place, topic.n, (topic.n_low, topic.n_high), answers))
    if run:
        yield run


def _label_groups(groups: Sequence[GroupCount]) -> list[tuple[float, str]]:
    """Return as many axis labels as fit, always including the last one."""
    length = max(len(group.name) for group in groups) + 1
    step = math.ceil(len(groups) / max(1, _MAX_LABELS_LENGTH // length))
    places = range(len(groups) - 1, -1, -step)
    return [(place, groups[place].name) for place in reversed(places)]


def _fill_groups(counts: Counts) -> list[GroupCount]:
    """Return the groups, including periods without texts."""
    period = next((each for each in PERIODS if each == counts.column), None)
    if period is None:
        return [*counts.groups]
    by_name = {group.name: group for group in counts.groups}
    names = fill_periods([*by_name], period)
    return [by_name.get(name) or GroupCount(name, 0, ()) for name in names]


def _chart_by_group(name: str, counts: Counts, *, in_page: bool) -> TopicChart:
    topics = [(group.name, group.find(name)) for group in counts.groups[:_MAX_ROWS]]
    title = shorten(name, _TITLE_LENGTH)
    chart = Chart(
        Axis.fractions("Share of the texts", [0.0, *_interval_ends([t for _, t in topics])], 5),
        Axis.names("", [shorten(group, _NAME_LENGTH) for group, _ in topics]),
        title="" if in_page else f"{title} by {counts.column}",
    )
    for i, (_, topic) in enumerate(topics):
        if topic.is_estimated:
            chart.line([(end, -i) for end in topic.interval], "validation", width=1.25)
            chart.dot((topic.share, -i), "validation")
    label = f"{name}: share of the texts by {counts.column}, with 95 % intervals"
    return TopicChart(title, chart.svg(label))
