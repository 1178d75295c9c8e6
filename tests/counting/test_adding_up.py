"""Numbers of groups that add up."""

from __future__ import annotations

import pytest

from slugline.counting.adding_up import add_up
from slugline.counting.results import GroupCount, TopicCount
from slugline.evaluation.intervals import Interval


def group(name: str, n: int, *shares: float, method: str = "model") -> GroupCount:
    topics = tuple(
        TopicCount(topic, share, Interval(max(share - 0.1, 0), min(share + 0.1, 1)), n, None)
        for topic, share in zip("abc", shares, strict=False)
    )
    if method == "labels":
        topics = tuple(topic._replace(method="labels") for topic in topics)
    return GroupCount(name, n, topics)


def test_groups_add_up_to_the_total_and_their_shares_to_one() -> None:
    total = group("", 400, 0.3, 0.6, 0.1)
    groups = add_up(
        [group("x", 100, 0.2, 0.8, 0.0), group("y", 300, 0.35, 0.6, 0.05)], total, multilabel=False
    )
    for topic in "abc":
        number = sum(each.find(topic).n for each in groups)
        assert number == pytest.approx(total.find(topic).n, abs=1e-3)
    assert [sum(topic.share for topic in each.topics) for each in groups] == pytest.approx([1, 1])


def test_intervals_move_with_their_shares() -> None:
    [first, _] = add_up(
        [group("x", 100, 0.2), group("y", 100, 0.4)], group("", 200, 0.33), multilabel=True
    )
    [topic] = first.topics
    assert topic.share == pytest.approx(0.22)
    assert topic.interval == pytest.approx((0.12, 0.32))


def test_groups_counted_in_another_way_than_the_total_stay_as_they_are() -> None:
    groups = [group("x", 100, 0.2, 0.8), group("y", 100, 0.4, 0.6)]
    total = group("", 200, 0.5, 0.5, method="labels")
    assert add_up(groups, total, multilabel=False) == tuple(groups)
