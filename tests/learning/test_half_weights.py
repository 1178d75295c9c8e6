"""Weights in half precision: rows are read and written, and small weights are dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline.learning.linear import steps
from slugline.learning.linear.half_weights import HalfWeights

N_ROWS, BLOCK_ROWS = 50, 16
needs_kernel = pytest.mark.skipif(
    steps.kernel is None, reason="the kernel is not built: there was no compiler"
)


@pytest.fixture(params=[pytest.param("1", marks=needs_kernel), "0"], ids=["kernel", "numpy"])
def by_either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUGLINE_KERNEL", request.param)


def random_weights(n_rows: int, n_topics: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(n_rows, n_topics)) * (rng.random((n_rows, n_topics)) < 0.8)
    return weights.astype(np.float32)


def all_rows(weights: HalfWeights) -> np.ndarray:
    return weights.take(np.arange(len(weights.row_lengths()), dtype=np.int32))


def stored_weights(n_topics: int) -> HalfWeights:
    """Return weights that were written twice, in some of the rows each time."""
    weights = HalfWeights(N_ROWS, n_topics, BLOCK_ROWS)
    for seed, rows in enumerate((np.arange(0, 40), np.arange(1, N_ROWS, 3))):
        weights.put(rows.astype(np.int32), random_weights(len(rows), n_topics, seed), 0.5)
    return weights


@pytest.mark.usefixtures("by_either")
@pytest.mark.parametrize("n_topics", [1, 3, 25, 32])
def test_put_rounds_large_weights_and_drops_small_ones(n_topics: int) -> None:
    expected = np.zeros((N_ROWS, n_topics), dtype=np.float32)
    for seed, rows in enumerate((np.arange(0, 40), np.arange(1, N_ROWS, 3))):
        new = random_weights(len(rows), n_topics, seed)
        least = 0.5 * np.sqrt(np.square(new[new != 0], dtype=np.float64).mean())
        expected[rows] = np.where(np.abs(new) >= least, new.astype(np.float16), 0)
    found = stored_weights(n_topics)
    assert np.array_equal(all_rows(found), expected)
    some = np.array([0, 15, 16, 49], dtype=np.int32)
    assert np.array_equal(found.take(some), expected[some])
    assert found.row_lengths().tolist() == np.count_nonzero(expected, axis=1).tolist()


@pytest.mark.usefixtures("by_either")
def test_put_clips_what_half_precision_does_not_have() -> None:
    weights = HalfWeights(2, 4)
    values = [[2**-14, 2**-15, -1e9, 65_504], [0, -65_519, 65_520, -0.0]]
    weights.put(np.arange(2, dtype=np.int32), np.array(values, dtype=np.float32), 0)
    assert all_rows(weights).tolist() == [[2**-14, 0, -65_504, 65_504], [0, -65_504, 65_504, 0]]


@pytest.mark.usefixtures("by_either")
@pytest.mark.parametrize(("value", "stored"), [(np.nan, 0), (np.inf, 65_504)])
def test_put_stores_nothing_that_is_small_beside_infinity(value: float, stored: float) -> None:
    weights = HalfWeights(1, 2)
    weights.put(np.zeros(1, dtype=np.int32), np.array([[value, 1]], dtype=np.float32), 0.5)
    assert all_rows(weights).tolist() == [[stored, 0]]


@needs_kernel
@pytest.mark.parametrize("n_topics", [1, 25, 32])
def test_kernel_stores_as_numpy_does(n_topics: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = []
    for setting in ("1", "0"):
        monkeypatch.setenv("SLUGLINE_KERNEL", setting)
        stored.append(list(stored_weights(n_topics).pop_blocks()))
    for ours, theirs in zip(*stored, strict=True):
        assert ours[0] == theirs[0]
        for one, other in zip(ours[1:], theirs[1:], strict=True):
            assert np.array_equal(one, other)


def test_drop_small_compares_with_all_nonzero_weights() -> None:
    weights = stored_weights(5)
    before = all_rows(weights)
    weights.drop_small(0.9)
    least = 0.9 * np.sqrt(np.square(before[before != 0], dtype=np.float64).mean())
    assert np.array_equal(all_rows(weights), np.where(np.abs(before) >= least, before, 0))
    assert 0 < weights.row_lengths().sum() < np.count_nonzero(before)


def test_pop_blocks_frees_the_rows() -> None:
    weights = stored_weights(5)
    dense, popped = all_rows(weights), np.zeros((N_ROWS, 5), dtype=np.float32)
    for rows, lengths, topics, values in weights.pop_blocks():
        owners = np.arange(rows.start, rows.stop).repeat(lengths)
        popped[owners, topics] = values
    assert np.array_equal(popped, dense)
    assert weights.row_lengths().tolist() == []


def arguments(**other: Any) -> list[Any]:
    """Return arguments of `read_halves`, of which some are others."""
    given = {
        "masks": np.array([0b101, 0, 0b10], dtype=np.uint32),
        "halves": np.zeros(3, dtype=np.uint16),
        "rows": np.array([0, 2], dtype=np.int32),
        "weights": np.zeros((2, 3), dtype=np.float32),
        "n_topics": 3,
    }
    return [*(given | other).values()]


@needs_kernel
@pytest.mark.parametrize(
    "other",
    [
        {"masks": np.array([0b1001, 0, 0b10], dtype=np.uint32)},
        {"masks": np.array([0b111, 0, 0b10], dtype=np.uint32)},
        {"halves": np.zeros(2, dtype=np.uint16)},
        {"rows": np.array([0, 3], dtype=np.int32)},
        {"rows": np.array([-1, 2], dtype=np.int32)},
        {"rows": np.array([2, 2], dtype=np.int32)},
        {"weights": np.zeros((3, 3), dtype=np.float32)},
        {"weights": np.zeros(7, dtype=np.float32)},
        {"n_topics": 0},
        {"n_topics": 33},
        {"n_topics": -1},
    ],
    ids=str,
)
def test_kernel_rejects_arrays_that_do_not_fit_together(other: dict[str, Any]) -> None:
    assert steps.kernel is not None
    steps.kernel.read_halves(*arguments())
    for function, more in ((steps.kernel.read_halves, []), (steps.kernel.write_halves, [0.1])):
        with pytest.raises(ValueError, match="do not fit together"):
            function(*arguments(**other), *more)


@needs_kernel
@pytest.mark.parametrize("n_topics", [0, 2, 33, -1])
def test_kernel_rejects_numbers_of_topics_to_sum(n_topics: int) -> None:
    assert steps.kernel is not None
    with pytest.raises(ValueError, match="do not fit together"):
        steps.kernel.sum_squares(np.zeros((3, 3), dtype=np.float32), n_topics)
