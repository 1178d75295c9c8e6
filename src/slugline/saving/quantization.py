"""Weights in fewer bits, for smaller files: float16 or int8, with a scale for each column.

This applies to two-dimensional arrays, which make up nearly all of a model: the entries of each
column (a topic or a unit) are divided by its scale. Scales for rows were also tried, by
cross-validation on six data sets: they improve no answer and double the size of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from slugline.checks import illegal
from slugline.errors import DataError

__all__ = ["BYTES", "LOWER", "Precision", "check_precision", "dequantize", "quantize"]

Floats: TypeAlias = npt.NDArray[np.float32]

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
#: How weights may be stored, and how many bytes each weight takes.
Precision = Literal["float32", "float16", "int8"]
BYTES: dict[Precision, int] = {"float32": 4, "float16": 2, "int8": 1}
#: Those that a user can choose.
LOWER: tuple[Precision, ...] = ("float16", "int8")
# What the largest entry of a column becomes. A float16 has 11 binary digits from 2^-14 up, and
# fewer below, which doesn't matter next to the largest entry.
_LARGEST = {"float16": 1, "int8": 127}
_SCALE = ".scale"


def check_precision(name: str) -> Precision:
    """Return the precision with this name, lower than float32.

    Raises
    ------
    OptionError : if there is none; the message lists the choices.
    """
    for precision in LOWER:
        if name == precision:
            return precision
    raise illegal("quantize", name, f"one of {', '.join(LOWER)}")


def quantize(arrays: Arrays, precision: Precision) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays, with the two-dimensional ones in fewer bits.

    Parameters
    ----------
    arrays : mapping of str to float32 array, all finite
    precision : {"float32", "float16", "int8"}

    Returns
    -------
    dict. "weights" of shape (n, m) become an array of that precision and "weights.scale" of float32
    and shape (m,). Arrays of other shapes, and all of them with "float32", stay as they are.
    """
    stored: dict[str, npt.NDArray[Any]] = {}
    for name, array in arrays.items():
        if precision == "float32" or array.ndim != 2:
            stored[name] = array
        else:
            stored[name + _SCALE] = scale = _scale(array, precision)
            stored[name] = _round(array / scale, precision)
    return stored


def dequantize(arrays: Arrays, precision: Precision) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays before `quantize`, apart from rounding.

    Parameters
    ----------
    arrays : mapping of str to array
        From a file, and so not to be trusted.
    precision : {"float32", "float16", "int8"}

    Raises
    ------
    DataError : if a two-dimensional array is not of that precision, or its scales are missing, not
        one for each column, or not finite and over 0.
    """
    restored: dict[str, npt.NDArray[Any]] = {}
    used = set()
    for name, array in arrays.items():
        if precision == "float32" or array.ndim != 2:
            restored[name] = array
        else:
            _check(name, arrays, precision)
            restored[name] = array * arrays[name + _SCALE]
            used.add(name + _SCALE)
    return {name: array for name, array in restored.items() if name not in used}


def _scale(array: Floats, precision: Precision) -> Floats:
    largest: Floats = np.abs(array).max(axis=0, initial=0)
    scale: Floats = largest / np.float32(_LARGEST[precision])
    # With a scale cut to 16 binary digits, its product with an int8 is exact, so a model that is
    # loaded and saved again gives the same bytes. Cut, not rounded, so that no product is infinite.
    scale = (scale.view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)
    return np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale)


def _round(array: npt.NDArray[Any], precision: Precision) -> npt.NDArray[Any]:
    return array.astype(np.float16) if precision == "float16" else np.rint(array).astype(np.int8)


def _check(name: str, arrays: Arrays, precision: Precision) -> None:
    array, scale = arrays[name], arrays.get(name + _SCALE)
    if array.dtype != precision:
        raise DataError(f"array {name!r} is of type {array.dtype}, not {precision}")
    if scale is None or scale.dtype != np.float32 or scale.shape != array.shape[1:]:
        raise DataError(f"array {name!r} doesn't have one float32 scale for each column")
    if not ((scale > 0) & (scale < np.inf)).all():
        raise DataError(f"array {name!r} has a scale that is not a finite number over 0")
