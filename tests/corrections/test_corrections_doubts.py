"""Bursts of corrections, and the sentences on why one is held."""

from __future__ import annotations

import datetime

import pytest

from slugline.corrections.doubts import (
    BURST_HOURS,
    MAX_UNAPPROVED,
    CorrectionHead,
    Doubt,
    find_bursts,
    held_lines,
)

START = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)


def heads(
    *hours: float, who: str | None = "anna", is_named: bool = True, first: int = 1
) -> list[CorrectionHead]:
    """Return corrections by one person, so many hours after the start."""
    times = [START + datetime.timedelta(hours=hour) for hour in hours]
    return [
        CorrectionHead(number, f"{time:%Y-%m-%dT%H:%M:%S}.000Z", "m", who, is_named)
        for number, time in enumerate(times, first)
    ]


def test_bursts_are_more_than_some_corrections_within_a_week() -> None:
    assert find_bursts(heads(*range(MAX_UNAPPROVED))) == {}
    burst = find_bursts(heads(*range(MAX_UNAPPROVED + 1)))
    assert burst == dict.fromkeys(
        range(1, MAX_UNAPPROVED + 2), Doubt("burst", MAX_UNAPPROVED + 1, person="anna")
    )
    # As many in a week, week after week, are none.
    slow = [number * BURST_HOURS / (MAX_UNAPPROVED - 1) for number in range(40)]
    assert find_bursts(heads(*slow)) == {}


def test_bursts_that_overlap_are_one_and_others_are_two() -> None:
    every_hour = find_bursts(heads(*range(60)))
    assert {doubt.n for doubt in every_hour.values()} == {60}
    twice = find_bursts(heads(*[0] * 6, *[1000] * 7, 2000))
    assert [twice[number].n for number in range(1, 14)] == [6] * 6 + [7] * 7
    assert 14 not in twice


def test_bursts_of_people_and_models_are_apart_and_typed_names_are_one_person() -> None:
    named = [*heads(*[0] * 4), *heads(*[0] * 4, who="ben", first=5)]
    assert find_bursts(named) == {}
    assert find_bursts([head._replace(model=f"m{head.id % 2}") for head in heads(*[0] * 8)]) == {}
    typed = [
        head
        for number in range(7)
        for head in heads(0, who=f"name {number}", is_named=False, first=number)
    ]
    assert len(find_bursts(typed)) == 7
    assert len(find_bursts(heads(*[0] * 6, who=None, is_named=False))) == 6


def test_approved_corrections_do_not_count_for_later_ones() -> None:
    rows = heads(*[0] * 11, 2, 3, 4, 5, 6)
    rows[:11] = [head._replace(approved=rows[11].at) for head in rows[:11]]
    assert find_bursts(rows) == {}
    rows += heads(7, first=17)
    assert find_bursts(rows) == dict.fromkeys(range(12, 18), Doubt("burst", 6, person="anna"))
    # Weeks later, those that were approved are no part of the window.
    rows = heads(*[0] * 7, *[1000] * 6)
    rows[:7] = [head._replace(approved=rows[7].at) for head in rows[:7]]
    assert find_bursts(rows) == dict.fromkeys(range(8, 14), Doubt("burst", 6, person="anna"))


def test_approved_corrections_count_for_those_that_were_left_out() -> None:
    rows = heads(*[0] * 7)
    later = heads(1)[0].at
    rows[:3] = [head._replace(approved=later) for head in rows[:3]]
    assert find_bursts(rows) == dict.fromkeys(range(4, 8), Doubt("burst", 7, person="anna"))


def test_bursts_count_learned_corrections_and_hold_the_others() -> None:
    rows = [head._replace(is_learned=head.id < 4) for head in heads(*[0] * 7)]
    assert [*find_bursts(rows)] == [*range(4, 8)]


def test_bursts_of_many_corrections_take_no_time() -> None:
    assert len(find_bursts(heads(*[0] * 100_000))) == 100_000


@pytest.mark.parametrize(
    ("doubt", "sentence"),
    [
        (
            Doubt("burst", 1200, person="anna"),
            "one of 1,200 by anna within a week, more than the 5 that need no approval",
        ),
        (
            Doubt("burst", 9),
            "9 corrections within a week come from people who are not signed in; more than 5 need "
            "approval",
        ),
        (
            Doubt("unknown word", 4, "oil", "zqx"),
            "4 corrections to 'oil' by fewer than 3 people share the word 'zqx', which no training "
            "text has",
        ),
        (
            Doubt("contradicted", topic="grain", probability=0.984),
            "a model that learned from everybody else is 98 % sure of 'grain'",
        ),
        (
            Doubt("contradicted", topic="grain", probability=0.9999),
            "a model that learned from everybody else is over 99 % sure of 'grain'",
        ),
        (Doubt("conflict"), "somebody else says that the same text is no topic"),
        (
            Doubt("changes answers", 1, "oil"),
            "with it, 1 training text of 'oil' would get another topic",
        ),
        (Doubt("thin topic", 2), "its topic is new, and only 2 corrections have it; it needs 3"),
    ],
    ids=lambda value: value.kind if isinstance(value, Doubt) else "",
)
def test_doubts_are_sentences(doubt: Doubt, sentence: str) -> None:
    assert str(doubt) == sentence


def test_held_lines_count_each_kind_of_reason() -> None:
    held = [(1, (Doubt("burst", 9), Doubt("conflict"))), (2, (Doubt("burst", 9),))]
    assert held_lines(held) == [
        "2 corrections wait for approval",
        "  2: more than 5 by one person within a week, or by people who are not signed in",
        "  1: other people say that the same text has another topic",
    ]
    assert held_lines(held[:1])[0] == "1 correction waits for approval"
