"""Weights in fewer bits: how much is lost, what is kept, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline.errors import DataError, OptionError
from slugline.saving.quantization import BYTES, LOWER, check_precision, dequantize, quantize

RNG = np.random.default_rng(0)
# Columns of very different sizes, and one of zeros.
SIZES = np.array([1e-3, 1, 0, 1e5, 3.4e38], dtype=np.float32)
WEIGHTS = RNG.uniform(-1, 1, (200, 5)).astype(np.float32) * SIZES
BIASES = RNG.normal(size=5).astype(np.float32)
ARRAYS = {"learner.weights": WEIGHTS, "learner.biases": BIASES}

#: The most that an entry may be off, as a share of the largest one of its column.
ROUNDING = {"float16": 2**-12, "int8": 0.5 / 127 * (1 + 2**-14)}


@pytest.mark.parametrize("precision", LOWER)
def test_an_entry_is_off_by_half_a_step_of_its_column_at_most(precision: Any) -> None:
    restored = dequantize(quantize(ARRAYS, precision), precision)

    assert list(restored) == list(ARRAYS)
    weights = restored["learner.weights"]
    assert weights.dtype == np.float32
    off = np.abs(weights.astype(np.float64) - WEIGHTS).max(axis=0)
    assert (off <= ROUNDING[precision] * np.abs(WEIGHTS).max(axis=0)).all()


@pytest.mark.parametrize("precision", LOWER)
def test_only_arrays_of_two_dimensions_lose_bits(precision: Any) -> None:
    stored = quantize(ARRAYS, precision)

    assert {name: array.dtype.name for name, array in stored.items()} == {
        "learner.weights": precision,
        "learner.weights.scale": "float32",
        "learner.biases": "float32",
    }
    assert stored["learner.weights.scale"].shape == (5,)
    assert dequantize(stored, precision)["learner.biases"] is BIASES


def test_float32_is_left_as_it_is() -> None:
    assert quantize(ARRAYS, "float32") == ARRAYS
    assert dequantize(ARRAYS, "float32") == ARRAYS


@pytest.mark.parametrize("precision", LOWER)
def test_what_was_rounded_once_is_not_rounded_further(precision: Any) -> None:
    stored = quantize(ARRAYS, precision)
    again = quantize(dequantize(stored, precision), precision)
    assert all(np.array_equal(again[name], array) for name, array in stored.items())


@pytest.mark.parametrize("precision", LOWER)
@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((3, 2)),
        np.zeros((0, 2)),
        np.zeros((2, 0)),
        np.full((3, 2), 1e-45),
        np.full((3, 2), np.finfo(np.float32).max),
        np.full((3, 2), -np.finfo(np.float32).max),
    ],
    ids=["zeros", "no rows", "no columns", "least", "largest", "lowest"],
)
def test_extreme_weights_stay_finite_and_of_their_shape(precision: Any, weights: Any) -> None:
    weights = weights.astype(np.float32)
    restored = dequantize(quantize({"w": weights}, precision), precision)["w"]
    assert restored.shape == weights.shape
    assert np.isfinite(restored).all()
    assert np.allclose(restored, weights, rtol=1e-4, atol=1e-37)


@pytest.mark.parametrize("name", ["int4", "float32", "", "INT8"])
def test_an_unknown_precision_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(OptionError) as caught:
        check_precision(name)
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
def test_arrays_that_quantizing_can_not_have_made_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    arrays = quantize(ARRAYS, "int8") | changes
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(DataError) as caught:
        dequantize(arrays, "int8")
    assert str(caught.value) == message


def test_entries_times_their_scale_are_exact_in_float32() -> None:
    weights = RNG.normal(size=(50, 1000)).astype(np.float32)
    stored = quantize({"w": weights}, "int8")
    exact = stored["w"].astype(np.float64) * stored["w.scale"]
    assert np.array_equal(dequantize(stored, "int8")["w"], exact)


def test_entries_take_the_bytes_that_are_told_of_each_precision() -> None:
    assert {name: np.dtype(name).itemsize for name in BYTES} == BYTES
