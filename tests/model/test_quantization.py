"""Weights in fewer bits: how much is lost, what is kept, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline.errors import DataError, OptionError
from slugline.model.file.container import BYTES, LOWER, check_weight_type, dequantize, quantize

RNG = np.random.default_rng(0)
# Columns of very different sizes, and one of zeros.
SIZES = np.array([1e-3, 1, 0, 1000, 60_000], dtype=np.float32)
WEIGHTS = RNG.uniform(-1, 1, (200, 5)).astype(np.float32) * SIZES
BIASES = RNG.normal(size=5).astype(np.float32)
ARRAYS = {"learner.weights": WEIGHTS, "learner.biases": BIASES}

#: The most that an entry may be off, as a share of the largest one of its column.
ROUNDING = {"float16": 2**-11, "int8": 0.5 / 127 * (1 + 2**-14)}


@pytest.mark.parametrize("precision", LOWER)
def test_quantize_is_off_by_at_most_half_a_step_of_the_column(precision: Any) -> None:
    restored = dequantize(quantize(ARRAYS, precision), precision)

    assert list(restored) == list(ARRAYS)
    weights = restored["learner.weights"]
    assert weights.dtype == np.float32
    off = np.abs(weights.astype(np.float64) - WEIGHTS).max(axis=0)
    assert (off <= ROUNDING[precision] * np.abs(WEIGHTS).max(axis=0)).all()


def test_quantize_changes_only_arrays_of_two_dimensions() -> None:
    stored = {}
    for precision in LOWER:
        stored = quantize(ARRAYS, precision)
        scales = {"learner.weights.scale": "float32"} if precision == "int8" else {}
        expected = {"learner.weights": precision, "learner.biases": "float32"} | scales
        assert {name: array.dtype.name for name, array in stored.items()} == expected
        assert dequantize(stored, precision)["learner.biases"] is BIASES
    assert stored["learner.weights.scale"].shape == (5,)


def test_quantize_keeps_weights_too_large_for_float16() -> None:
    arrays = {"w": np.array([[70_000, 1]], dtype=np.float32)}
    assert quantize(arrays, "float16") == arrays
    assert dequantize(arrays, "float16") == arrays


def test_quantize_leaves_float32_unchanged() -> None:
    assert quantize(ARRAYS, "float32") == ARRAYS
    assert dequantize(ARRAYS, "float32") == ARRAYS


# Sparse weights: topics 0 and 3 have values of very different sizes, and topic 1 and 2 have none.
TOPICS = np.array([0, 3, 3, 0, 3, 3], dtype=np.uint16)
SPARSE: dict[str, Any] = {
    "weights.values": np.array([3e-4, 1000, -1023.5, -2e-4, 1, 0.5], dtype=np.float32),
    "weights.topics": TOPICS,
    "weights.counts": np.array([2, 0, 4], dtype=np.uint32),
}


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_quantize_keeps_rounded_sparse_values_exactly(precision: Any) -> None:
    values = SPARSE["weights.values"].astype(np.float16).astype(np.float32)
    arrays = SPARSE | {"weights.values": values}
    stored = quantize(arrays, precision)
    assert stored.keys() == arrays.keys()
    assert stored["weights.values"].dtype == np.float16
    assert stored["weights.topics"] is TOPICS
    restored = dequantize(stored, precision)
    assert restored["weights.values"].dtype == np.float32
    assert np.array_equal(restored["weights.values"], values)


def test_quantize_keeps_longer_sparse_values_unless_told_otherwise() -> None:
    assert quantize(SPARSE, "float32") == SPARSE
    assert dequantize(SPARSE, "float32") == SPARSE
    assert quantize(SPARSE, "float16")["weights.values"].dtype == np.float16


@pytest.mark.parametrize("precision", LOWER)
def test_quantize_is_off_by_at_most_half_a_step_of_the_topic(precision: Any) -> None:
    values = SPARSE["weights.values"]
    off = np.abs(dequantize(quantize(SPARSE, precision), precision)["weights.values"] - values)
    assert 0 < off[TOPICS == 0].max() <= ROUNDING[precision] * 3e-4
    assert off[TOPICS == 3].max() <= ROUNDING[precision] * 1023.5


@pytest.mark.parametrize("precision", ["float32", *LOWER])
def test_quantize_takes_empty_sparse_values(precision: Any) -> None:
    none: dict[str, Any] = {"w.values": np.zeros(0, np.float32), "w.topics": np.zeros(0, np.uint16)}
    restored = dequantize(quantize(none, precision), precision)
    assert restored["w.values"].dtype == np.float32
    assert restored["w.values"].shape == (0,)


@pytest.mark.parametrize("precision", LOWER)
def test_quantize_is_idempotent(precision: Any) -> None:
    stored = quantize(ARRAYS, precision)
    again = quantize(dequantize(stored, precision), precision)
    assert all(np.array_equal(again[name], array) for name, array in stored.items())


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((3, 2)),
        np.zeros((0, 2)),
        np.zeros((2, 0)),
        np.full((3, 2), 1e-45),
        np.full((3, 2), 3.4e38),
        np.full((3, 2), -3.4e38),
    ],
    ids=["zeros", "no rows", "no columns", "least", "largest", "lowest"],
)
def test_quantize_keeps_extreme_weights_finite(weights: Any) -> None:
    weights = weights.astype(np.float32)
    restored = dequantize(quantize({"w": weights}, "int8"), "int8")["w"]
    assert restored.shape == weights.shape
    assert np.isfinite(restored).all()
    assert np.allclose(restored, weights, rtol=ROUNDING["int8"], atol=1e-37)


@pytest.mark.parametrize("name", ["int4", "float32", "", "INT8"])
def test_check_weight_type_rejects_an_unknown_precision(name: str) -> None:
    with pytest.raises(OptionError) as caught:
        check_weight_type(name)
    assert str(caught.value) == f"`quantize` is {name!r}; give one of float16, int8."


SCALE = "learner.weights.scale"
NO_SCALE = "array 'learner.weights' doesn't have one float32 scale for each column"
ODD_SCALE = "array 'learner.weights' has a scale that is not a finite number over 0"

DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "weights of another precision": (
        {"learner.weights": WEIGHTS},
        "array 'learner.weights' is of type float32, not int8",
    ),
    "no scales": ({SCALE: None}, NO_SCALE),
    "a scale too few": ({SCALE: np.ones(4, np.float32)}, NO_SCALE),
    "one scale for all": ({SCALE: np.ones((), np.float32)}, NO_SCALE),
    "scales for the rows": ({SCALE: np.ones(200, np.float32)}, NO_SCALE),
    "scales of another type": ({SCALE: np.ones(5)}, NO_SCALE),
    "NaN as scale": ({SCALE: np.full(5, np.nan, np.float32)}, ODD_SCALE),
    "infinity as scale": ({SCALE: np.full(5, np.inf, np.float32)}, ODD_SCALE),
    "zero as scale": ({SCALE: np.zeros(5, np.float32)}, ODD_SCALE),
    "a negative scale": ({SCALE: -np.ones(5, np.float32)}, ODD_SCALE),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGE.values(), ids=DAMAGE)
def test_dequantize_rejects_impossible_arrays(changes: dict[str, Any], message: str) -> None:
    arrays = quantize(ARRAYS, "int8") | changes
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(DataError) as caught:
        dequantize(arrays, "int8")
    assert str(caught.value) == message


NO_TOPIC = "array 'weights.values' doesn't have one uint16 topic for each value"
NO_SPARSE_SCALE = "array 'weights.values' doesn't have one float32 scale for each column"

SPARSE_DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "no topics": ({"weights.topics": None}, NO_TOPIC),
    "a topic too few": ({"weights.topics": TOPICS[1:]}, NO_TOPIC),
    "topics of another type": ({"weights.topics": TOPICS.astype(np.int64)}, NO_TOPIC),
    "topics as a table": ({"weights.topics": TOPICS.reshape(2, 3)}, NO_TOPIC),
    "no scales": ({"weights.values.scale": None}, NO_SPARSE_SCALE),
    "a scale too few": ({"weights.values.scale": np.ones(3, np.float32)}, NO_SPARSE_SCALE),
    "a topic beyond the scales": (
        {"weights.topics": np.full(6, 65535, dtype=np.uint16)},
        NO_SPARSE_SCALE,
    ),
    "zero as scale": (
        {"weights.values.scale": np.zeros(4, np.float32)},
        "array 'weights.values' has a scale that is not a finite number over 0",
    ),
    "values of another precision": (
        {"weights.values": np.zeros(6, np.int16)},
        "array 'weights.values' is of type int16, not int8",
    ),
}


@pytest.mark.parametrize(("changes", "message"), SPARSE_DAMAGE.values(), ids=SPARSE_DAMAGE)
def test_dequantize_rejects_impossible_sparse_values(changes: dict[str, Any], message: str) -> None:
    arrays = quantize(SPARSE, "int8") | changes
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(DataError) as caught:
        dequantize(arrays, "int8")
    assert str(caught.value) == message


def test_dequantize_multiplies_exactly() -> None:
    weights = RNG.normal(size=(50, 1000)).astype(np.float32)
    stored = quantize({"w": weights}, "int8")
    exact = stored["w"].astype(np.float64) * stored["w.scale"]
    assert np.array_equal(dequantize(stored, "int8")["w"], exact)


def test_bytes_of_each_precision_are_its_item_size() -> None:
    assert {name: np.dtype(name).itemsize for name in BYTES} == BYTES
