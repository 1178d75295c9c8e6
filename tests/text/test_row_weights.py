"""Rows are weighed and scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from slugline.errors import DataError
from slugline.text.feature_groups import WEIGHTINGS, FeatureGroup, RowWeights
from slugline.text.sparse import Entries, SparseRows, check_rows, score_rows

Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def counts_of_blocks(draw: Draw) -> tuple[RowWeights, Entries]:
    """Give blocks of all sorts, and counts of some documents' terms."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    n_blocks, n_documents = draw(st.integers(1, 4)), draw(st.integers(0, 5))
    blocks = [
        FeatureGroup(weighting=draw(st.sampled_from(WEIGHTINGS)), weight=draw(st.floats(0.01, 100)))
        for _ in range(n_blocks)
    ]
    widths = [draw(st.integers(1, 40)) for _ in range(n_blocks)]
    idf = [
        (1 + 10 * rng.random(width)).astype(np.float32) if block.has_idf else None
        for block, width in zip(blocks, widths, strict=True)
    ]
    rows = [rng.random(width) < rng.random() / 2 for _ in range(n_documents) for width in widths]
    columns = np.concatenate([np.zeros(0, int), *map(np.flatnonzero, rows)]).astype(np.int32)
    values = np.floor(1 + 1e4 * rng.random(len(columns)) ** 8).astype(np.float32)
    counts = Entries(values, columns, np.array([row.sum() for row in rows], dtype=np.int64))
    counts.offset_columns(widths)
    return RowWeights(blocks, widths, idf), counts


@given(counts_of_blocks())
def test_weigh_follows_its_definition(made: tuple[RowWeights, Entries]) -> None:
    weights, counts = made
    weights.weigh(counts)
    values = counts.values
    n_blocks = len(weights.widths)
    ends = np.cumsum([0, *counts.lengths.tolist()])
    for first in range(0, len(counts.lengths), n_blocks):
        bounds = zip(ends[first : first + n_blocks], ends[first + 1 :], strict=False)
        parts = [values[a:b].astype(np.float64) for a, b in bounds]
        with_idf = [
            float(part @ part)
            for part, idf in zip(parts, weights.idf, strict=True)
            if idf is not None
        ]
        squared = float(np.sum(with_idf))
        if squared:
            assert squared == pytest.approx(1, abs=1e-5)


@given(
    st.integers(0, 1 << 32),
    st.integers(0, 6),
    st.integers(1, 3),
    st.sampled_from([*range(1, 10), 13, 16, 17, 20, 24, 25, 29, 32, 33, 46, 150]),
)
def test_score_rows_agrees_with_dense_products(
    seed: int, n_rows: int, n_each: int, n_topics: int
) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, n_rows * n_each)
    columns = [
        np.sort(rng.choice(np.arange(50 * n, 50 * n + 50), length, replace=False))
        for n, length in zip(np.tile(np.arange(n_each), n_rows), lengths, strict=True)
    ]
    flat = np.concatenate([np.zeros(0, int), *columns]).astype(np.int32)
    values = rng.normal(size=len(flat)).astype(np.float32)
    rows = SparseRows(Entries(values, flat, lengths), 50 * n_each, n_each)
    table = rng.normal(size=(rows.n_columns, n_topics)).astype(np.float32)
    table[rng.random(len(table)) < 0.3] = 0
    table[::2] *= rng.random(table[::2].shape) < 0.5  # in the others, all weights are stored
    found = score_rows(table, rows)
    assert found.shape == (n_rows, n_topics)
    np.testing.assert_allclose(found, rows.toarray() @ table, atol=1e-5)
    np.testing.assert_allclose(score_rows(sp.csr_array(table), rows), found, atol=1e-5)


COLUMNS = np.array([0, 1, 2], dtype="i4")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_rows_rejects_values_that_are_not_finite(value: float) -> None:
    values = np.array([1, value], dtype=np.float32)
    rows = SparseRows(Entries(values, COLUMNS[:2], np.array([2])), 3)
    with pytest.raises(DataError, match=r"^`X` contains NaN or infinity;"):
        check_rows(rows, 3)
    whole = rows._replace(entries=rows.entries._replace(values=np.ones(2, dtype=np.float32)))
    assert check_rows(whole, 3) is whole
    with pytest.raises(DataError, match=r"^`X` has 3 columns, but the model expects 4;"):
        check_rows(whole, 4)
