"""The page on counts of topics."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from slugline.counting.results import Change, Counts, GroupCount, TopicCount
from slugline.evaluation.intervals import Interval
from slugline.reports.counting import count_charts, count_page


def group(name: str, n: int, share: float) -> GroupCount:
    topics = (
        TopicCount("complaint <b>", share, Interval(share - 0.05, share + 0.05), n, round(n * 0.2)),
        TopicCount("praise", 1 - share, Interval(0.95 - share, 1.05 - share), n, round(n * 0.8)),
    )
    return GroupCount(name, n, topics)


@pytest.fixture
def counts() -> Counts:
    return Counts(
        "new.csv",
        group("", 300, 0.3),
        groups=(group("2026-01", 100, 0.1), group("2026-02", 200, 0.4)),
        column="month",
        is_time=True,
        changes=(
            Change("complaint <b>", "2026-01", "2026-02", 0.3, Interval(0.2, 0.4), 0.001),
            Change("praise", "2026-01", "2026-02", -0.3, Interval(-0.4, -0.2), 0.2),
        ),
        concerns=("Two ways to count disagree.",),
        n_bad=2,
    )


def test_page_has_a_chart_for_each_topic_and_one_for_all(counts: Counts) -> None:
    page = count_page(counts)
    assert page.count("<svg") == 3
    assert "complaint &lt;b&gt;: share of the texts by month, with 95 % intervals" in page


def test_page_says_first_why_counts_may_be_wrong(counts: Counts) -> None:
    page = count_page(counts)
    assert page.index("Two ways to count disagree.") < page.index("<svg")


def test_page_names_changes_that_are_more_than_chance(counts: Counts) -> None:
    page = re.sub(r"\s+", " ", count_page(counts))
    assert "complaint &lt;b&gt; rose by 30.0" in page
    assert "praise fell" not in page


def test_page_escapes_names(counts: Counts) -> None:
    assert "complaint <b>" not in count_page(counts)


def test_page_says_what_was_left_out(counts: Counts) -> None:
    assert "Ignored 2 rows without a text." in count_page(counts)


def test_charts_have_no_answers_of_a_topic_that_the_model_does_not_know(counts: Counts) -> None:
    groups = tuple(
        each._replace(topics=(each.topics[0]._replace(n_answers=None),)) for each in counts.groups
    )
    total = counts.total._replace(topics=counts.total.topics[:1])
    shares, _ = count_charts(replace(counts, total=total, groups=groups))
    known, _ = count_charts(replace(counts, total=total))
    assert shares.count("<polyline") == known.count("<polyline") - 1


def test_charts_have_the_months_without_texts(counts: Counts) -> None:
    first, later = counts.groups
    with_gap = Counts(
        "new.csv",
        counts.total,
        groups=(first, later._replace(name="2026-03")),
        column="month",
        is_time=True,
    )
    chart = count_charts(with_gap)[0]
    assert "2026-02" in chart
    assert chart.count("<polygon") == 2  # the line is interrupted


def test_charts_of_a_single_topic_have_its_shares_and_numbers(counts: Counts) -> None:
    shares, numbers = count_charts(counts.restrict(["praise"]))
    assert "praise: share of the texts</text>" in shares
    assert "praise: number of texts</text>" in numbers


def test_page_has_dashes_where_there_is_no_estimate(counts: Counts) -> None:
    first, later = counts.groups
    topics = tuple(TopicCount.unknown(topic.topic, 100, 20) for topic in first.topics)
    page = count_page(replace(counts, groups=(first._replace(topics=topics), later)))
    assert "nan" not in page
    assert "Where there is a dash, nothing could be estimated." in page
