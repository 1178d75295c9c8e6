"""Runs of integers, against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slugline.text.sparse import ranges, row_lengths, row_offsets

LENGTHS = st.lists(st.integers(0, 5), max_size=20)


@given(LENGTHS)
def test_row_lengths_are_the_inverse_of_boundaries(lengths: list[int]) -> None:
    indptr = row_offsets(np.array(lengths, dtype=np.int32))
    assert indptr.tolist() == [0, *itertools.accumulate(lengths)]
    assert indptr.dtype == np.int64
    assert row_lengths(indptr).tolist() == lengths


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5)), max_size=20))
def test_ranges_concatenate_ranges(pairs: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    assert ranges(starts, lengths).tolist() == [
        number for start, length in pairs for number in range(start, start + length)
    ]
