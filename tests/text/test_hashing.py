"""Hashes that model files rest on, and the distinct ones among many."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slugline.text.hashing import PADDING, hash_spans, mix, number_distinct


def hash_of(text: str) -> int:
    data = np.frombuffer(text.encode() + PADDING, dtype=np.uint8)
    (value,) = hash_spans(data, np.array([0]), np.array([len(text.encode())]))
    return int(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("oil", 0xFB8B7887C5C9C9E0),
        ("石油", 0x0DDC704215CF39CD),
        ("eightchr", 0x83E1146187297EC7),
        ("ninechars", 0x55551D2D4866A917),
        ("xxxxxxxxxxxxxxxxx", 0x293026B873451E12),
    ],
)
def test_hashes_never_change_between_versions(text: str, value: int) -> None:
    assert hash_of(text) == value


@given(st.binary(min_size=1, max_size=600), st.integers(1, 200))
@example(b"x" * 600, 100)
def test_hash_spans_does_not_depend_on_other_spans(span: bytes, n_copies: int) -> None:
    data = np.frombuffer(span * n_copies + PADDING, dtype=np.uint8)
    starts = np.arange(n_copies) * len(span)
    many = hash_spans(data, starts, np.full(n_copies, len(span)))
    assert set(many.tolist()) == set(hash_spans(data, starts[:1], np.array([len(span)])).tolist())


def test_hash_spans_takes_linear_time_for_a_word_of_megabytes() -> None:
    data = np.frombuffer(b"QmFzZSA2NCwgYXMgaW4gYW4gZS1tYWls" * 100_000 + PADDING, dtype=np.uint8)
    started = time.process_time()
    hash_spans(data, np.array([0]), np.array([3_200_000]))
    assert time.process_time() - started < 1.5


@given(st.lists(st.integers(0, 2**64 - 1), unique=True))
def test_mix_is_one_to_one(numbers: list[int]) -> None:
    assert len(set(mix(np.array(numbers, dtype=np.uint64)).tolist())) == len(numbers)


# Hashes that all meet in one slot of any table, and ones that share it with few.
CROWDED = st.integers(0, 20).map(lambda high: high << 40)


@given(st.lists(CROWDED | st.integers(0, 2**64 - 1)))
@example([])
@example([5] * 10)
@example([n << 40 for n in range(200)] * 2)
def test_number_distinct_numbers_in_order_of_appearance(keys: list[int]) -> None:
    hashes = np.array(keys, dtype=np.uint64)
    first, numbers = number_distinct(hashes)
    places: dict[int, int] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, place)
    assert first.tolist() == list(places.values())
    assert numbers.tolist() == [list(places).index(key) for key in keys]
    assert hashes.tolist() == keys
