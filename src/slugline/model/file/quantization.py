"""Weights in fewer bits, for smaller files: float16 or int8, with a scale for each topic or unit.

This applies to tables, whose columns are topics or units, and to the values of sparse weights with
an array of their topics: nearly all of a model. Each column is divided by its scale. Scales for
rows were also tried, by cross-validation on six data sets: they improve no prediction and double
files.

Sparse weights have 11 binary digits (`slugline.learning.linear.weights`), so float16 loses nothing:
they are stored as such if not as int8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32
from slugline.base.checks import option_error
from slugline.errors import DataError

Floats: TypeAlias = F32

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
#: How weights may be stored, and how many bytes each weight takes.
Precision = Literal["float32", "float16", "int8"]
BYTES: dict[Precision, int] = {"float32": 4, "float16": 2, "int8": 1}
#: Those that a user can choose.
LOWER: tuple[Precision, ...] = ("float16", "int8")
# What the largest entry of a column becomes, at most. A float16 has 11 binary digits from 2^-14 up,
# and fewer below, which doesn't matter next to the largest entry.
_LARGEST_INT8 = 127
_SCALE, _VALUES, _TOPICS = ".scale", ".values", ".topics"


def check_precision(name: str) -> Precision:
    """Return the precision with this name; OptionError, with the choices, if there is none."""
    for precision in LOWER:
        if name == precision:
            return precision
    raise option_error("quantize", name, f"one of {', '.join(LOWER)}")


def quantize(arrays: Arrays, precision: Precision) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays, with tables and sparse values in fewer bits.

    "weights" of shape (n, m) become an array of that precision and "weights.scale" of float32 and
    shape (m,); likewise "weights.values", of the topics in "weights.topics". Other arrays, and with
    "float32" all but such values as float16 can hold, stay as they are. All must be finite.
    """
    stored: dict[str, npt.NDArray[Any]] = {}
    for name, array in arrays.items():
        stored[name] = array
        if not _is_weights(name, array):
            continue
        topics = _topics(name, arrays)
        if precision == "int8":
            scale = _scale_int8(_largest(array, topics))
            stored[name] = np.rint(array / _spread(scale, topics)).astype(np.int8)
        elif precision == "float16" or topics is not None:
            scale = _scale_float16(_largest(array, topics))
            scaled = array / _spread(scale, topics)
            stored[name] = scaled.astype(np.float16)
            if precision == "float32" and not np.array_equal(scaled, stored[name]):
                stored[name] = array
                continue
        else:
            continue
        stored[name + _SCALE] = scale
    return stored


def dequantize(arrays: Arrays, precision: Precision) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays before `quantize`, apart from rounding; they may be from any source.

    Raises
    ------
    DataError : if weights are not of that precision, or their scales are missing, not one for each
        column, or not finite and over 0.
    """
    restored: dict[str, npt.NDArray[Any]] = {}
    used = set()
    for name, array in arrays.items():
        restored[name] = array
        if not _is_weights(name, array):
            continue
        topics = _topics(name, arrays)
        is_exact = precision == "float32" and topics is not None and array.dtype == np.float16
        if precision == "float32" and not is_exact:
            continue
        _check(name, arrays, topics, "float16" if is_exact else precision)
        restored[name] = array * _spread(arrays[name + _SCALE], topics)
        used.add(name + _SCALE)
    return {name: array for name, array in restored.items() if name not in used}


def _is_weights(name: str, array: npt.NDArray[Any]) -> bool:
    return array.ndim == 2 or (array.ndim == 1 and name.endswith(_VALUES))


def _topics(name: str, arrays: Arrays) -> npt.NDArray[np.uint16] | None:
    """Return the topic of each sparse value; None for a table."""
    if arrays[name].ndim == 2:
        return None
    topics = arrays.get(name.removesuffix(_VALUES) + _TOPICS)
    if topics is None or topics.dtype != np.uint16 or topics.shape != arrays[name].shape:
        raise DataError(f"array {name!r} doesn't have one uint16 topic for each value")
    return topics


def _largest(array: Floats, topics: npt.NDArray[np.uint16] | None) -> Floats:
    """Return the largest magnitude in each column."""
    if topics is None:
        return np.asarray(np.abs(array).max(axis=0, initial=0))
    largest = np.zeros(int(topics.max(initial=0)) + 1, dtype=np.float32)
    np.maximum.at(largest, topics, np.abs(array))
    return largest


def _spread(scale: Floats, topics: npt.NDArray[np.uint16] | None) -> Floats:
    return scale if topics is None else scale[topics]


def _scale_int8(largest: Floats) -> Floats:
    scale = largest / np.float32(_LARGEST_INT8)
    # With a scale cut to 16 binary digits, its product with an int8 is exact, so a model that is
    # loaded and saved again gives the same bytes. Cut, not rounded, so that no product is infinite.
    scale = (scale.view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)
    return np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale)


def _scale_float16(largest: Floats) -> Floats:
    """Return powers of two, with which no digit is lost."""
    exponents = np.frexp(largest)[1]
    scale = np.ldexp(np.float32(1), np.clip(exponents, -125, 127)).astype(np.float32)
    return np.where(largest > 0, scale, np.float32(1))


def _check(
    name: str, arrays: Arrays, topics: npt.NDArray[np.uint16] | None, precision: Precision
) -> None:
    array, scale = arrays[name], arrays.get(name + _SCALE)
    if array.dtype != precision:
        raise DataError(f"array {name!r} is of type {array.dtype}, not {precision}")
    n_columns = array.shape[1] if topics is None else int(topics.max(initial=0)) + 1
    if scale is None or scale.dtype != np.float32 or scale.shape != (n_columns,):
        raise DataError(f"array {name!r} doesn't have one float32 scale for each column")
    if not ((scale > 0) & (scale < np.inf)).all():
        raise DataError(f"array {name!r} has a scale that is not a finite number over 0")
