"""The page on counts of topics."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from slugline.counting.results import Change, Counts, GroupCount, TopicCount
from slugline.evaluation.intervals import Interval
from slugline.reports.counting import count_charts, count_page, describe_counts


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
    assert "Texts about complaint &lt;b&gt; by month, with 95 % intervals" in page


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
    assert "Left out 2 rows without a text." in count_page(counts)


def test_page_without_groups_has_a_single_chart(counts: Counts) -> None:
    page = count_page(Counts("new.csv", counts.total))
    assert page.count("<svg") == 1
    assert "By month" not in page


def test_charts_by_group_have_a_row_for_each_group(counts: Counts) -> None:
    by_shop = Counts("new.csv", counts.total, groups=counts.groups, column="shop")
    first, _ = count_charts(by_shop)
    assert "2026-02" in first
    assert "by shop" in first


def test_lede_gives_the_range_of_the_number_of_texts(counts: Counts) -> None:
    assert describe_counts(counts) == (
        "The most common topic is praise: 70.0 % of the texts, which is 195 to 225 of 300 (95 % "
        "interval)."
    )


def test_charts_have_the_months_without_texts(counts: Counts) -> None:
    first, later = counts.groups
    with_gap = Counts(
        "new.csv",
        counts.total,
        groups=(first, later._replace(name="2026-03")),
        column="month",
        is_time=True,
    )
    assert "2026-02" in count_charts(with_gap)[0]


def test_page_names_the_methods_of_all_groups(counts: Counts) -> None:
    topics = tuple(topic._replace(method="labels") for topic in counts.total.topics)
    page = count_page(replace(counts, total=counts.total._replace(topics=topics), n_labelled=20))
    assert "Counted by labels, by the model. 20 texts had labels." in page
