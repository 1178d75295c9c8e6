"""Type aliases for arrays and numbers, and arrays for compiled kernels."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Meta

F16: TypeAlias = npt.NDArray[np.float16]
F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
#: An array of floats of any precision.
Floats: TypeAlias = npt.NDArray[np.floating]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
#: Positions of rows or columns, with the dtype that NumPy returns.
Index: TypeAlias = npt.NDArray[np.intp]
Integers: TypeAlias = npt.NDArray[np.integer]
Mask: TypeAlias = npt.NDArray[np.bool_]
U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]


def aligned(array: npt.NDArray[Any], dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Return a contiguous, aligned array for C code, converted to `dtype` if given.

    Arrays received from Dask may be unaligned and are then copied.
    """
    return np.require(array, dtype, ("C", "A"))


#: The largest integer in a file.
MAX_COUNT = (1 << 63) - 1
Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
#: From 0 to 1.
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
