"""Texts that are nearly the same, found in a thread."""

from __future__ import annotations

from slugline.labels.text_table import NearCopies

TEXTS = [
    "Where is the parcel that you promised me for last Monday, ticket 1",
    "Net profit fell",
    "NET profit  fell",
    "Where is the parcel that you promised me for last Monday, ticket 2",
    "Where is it",
]


def test_near_copies_are_other_rows_of_the_group() -> None:
    copies = NearCopies(TEXTS)
    assert copies.wait(60)
    assert [copies.find(row).tolist() for row in range(5)] == [[3], [2], [1], [0], []]


def test_near_copies_are_none_until_they_are_found() -> None:
    copies = NearCopies([*TEXTS, *(f"text {n} of many" for n in range(20_000))])
    assert copies.find(0).tolist() == []
    assert copies.wait(120)
    assert copies.find(0).tolist() == [3]


def test_near_copies_of_texts_without_words_are_none() -> None:
    copies = NearCopies([" ", "…"])
    assert copies.wait(60)
    assert copies.find(0).tolist() == []
