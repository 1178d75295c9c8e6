"""The hash table behaves as a dict that numbers its keys, whichever of these share a slot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.text.vocabulary import HashTable

# Keys that meet in few slots, the last one among them, beside keys from all over: with a multiplier
# of 1, a key's top bits choose its slot.
CROWDED = st.builds(
    lambda high, low: high << 58 | low, st.sampled_from([5, 63]), st.integers(1, 30)
)
KEYS = CROWDED | st.integers(1, 2**64 - 1)


def table_of(multiplier: int) -> HashTable:
    table = HashTable()
    table._multiplier = np.uint64(multiplier)
    return table


def hashes(keys: list[int]) -> np.ndarray:
    return np.array(keys, dtype=np.uint64)


@given(st.lists(st.lists(KEYS)), st.lists(KEYS), st.sampled_from([1, 2**64 - 59]))
def test_hash_table_numbers_keys_like_a_dict(
    batches: list[list[int]], others: list[int], multiplier: int
) -> None:
    table = table_of(multiplier)
    model: dict[int, int] = {}
    for batch in batches:
        expected = [model.setdefault(key, len(model)) for key in batch]
        assert table.add(hashes(batch)).tolist() == expected
        assert len(table) == len(model)
    keys = [*model, *others]
    assert table.lookup(hashes(keys)).tolist() == [model.get(key, -1) for key in keys]


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(
            np.random.default_rng(0).integers(1, 2**64, 5000, dtype=np.uint64), id="mixed"
        ),
        pytest.param(np.arange(1, 301, dtype=np.uint64) << np.uint64(32), id="even"),
        pytest.param(~(np.arange(1, 301, dtype=np.uint64) << np.uint64(32)), id="all at the end"),
        pytest.param(np.arange(1, 2001, dtype=np.uint64), id="consecutive"),
    ],
)
@pytest.mark.parametrize(("n_batches", "multiplier"), [(1, 2**64 - 59), (7, 1), (100, 2**64 - 59)])
def test_hash_table_keeps_numbers_when_it_grows(
    keys: np.ndarray, n_batches: int, multiplier: int
) -> None:
    table = table_of(multiplier)
    numbers = [table.add(batch) for batch in np.array_split(keys, n_batches)]
    assert np.concatenate(numbers).tolist() == list(range(len(keys)))
    assert table.lookup(keys).tolist() == list(range(len(keys)))
    assert (table.lookup(keys + np.uint64(2**31)) == -1).all()


@pytest.mark.parametrize("shift", [20, 0], ids=["low bits", "high bits"])
def test_hash_table_spreads_crafted_hashes(shift: int) -> None:
    keys = np.random.default_rng(0).integers(1, 2**44, 5000, dtype=np.uint64) << np.uint64(shift)
    table = HashTable()
    table.add(keys)
    # What is looked up is compared with no more keys than stand in a row.
    in_a_row = np.diff(np.flatnonzero(table._keys == 0), prepend=-1) - 1
    assert in_a_row.max() < 100


def test_hash_table_keeps_numbers_of_repeated_keys() -> None:
    table = HashTable()
    table.add(hashes([40, 7]))
    assert table.add(hashes([9, 7, 9, 40, 8])).tolist() == [2, 1, 2, 0, 3]
    assert table.add(hashes([40, 7, 9, 8])).tolist() == [0, 1, 2, 3]
    assert len(table) == 4


def test_empty_hash_table_finds_nothing() -> None:
    table = HashTable()
    assert table.lookup(hashes([1, 2**64 - 1])).tolist() == [-1, -1]
    assert table.add(hashes([])).tolist() == []
    assert table.lookup(hashes([])).tolist() == []
    assert len(table) == 0
