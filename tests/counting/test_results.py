"""Results of counting."""

from __future__ import annotations

from dataclasses import replace

from slugline.counting.results import Change, Counts, GroupCount, TopicCount
from slugline.evaluation.intervals import Interval

MONTHS = ("2026-01", "2026-02", "2026-03")


def group(name: str) -> GroupCount:
    return GroupCount(name, 50, (TopicCount("a", 0.5, Interval(0.4, 0.6), 50, 25),))


def counts(*pairs: tuple[str, str], p_value: float = 0.5) -> Counts:
    return Counts(
        "new.csv",
        group(""),
        groups=tuple(map(group, MONTHS)),
        column="month",
        is_time=True,
        changes=tuple(Change("a", *pair, 0.1, Interval(0.0, 0.2), p_value) for pair in pairs),
    )


def test_significant_changes_have_one_lasting_change_of_each_topic() -> None:
    found = counts(MONTHS[1:], MONTHS[1:], MONTHS[:2], p_value=0.01)
    lasting, pair, other = found.changes
    changes = (lasting._replace(is_lasting=True), pair, other._replace(is_lasting=True))
    [change] = replace(found, changes=changes).significant_changes
    assert change.describe() == (
        "From 2026-03 on, the share of a is 10.0 points higher than before (95 % interval 0.0 to "
        "20.0)"
    )


def test_change_to_json_has_what_it_was_estimated_from() -> None:
    found = counts(MONTHS[:2])
    changes = (found.changes[0]._replace(basis="by labels"), found.changes[0])
    listed = replace(found, changes=changes).to_dict()["changes"]
    assert [each["basis"] for each in listed] == ["by labels", None]
