from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

def longest_by_start(
    text: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint8], /
) -> bytearray: ...
def count(
    text: bytes,
    lengths: npt.NDArray[np.int64],
    letters: bytes,
    characters: npt.NDArray[np.uint32] | None,
    normalize: Callable[[int], bytes],
    groups: tuple[tuple[Any, ...], ...],
    table: tuple[Any, ...] | None = None,
    /,
) -> tuple[
    bytearray,
    bytearray,
    bytearray,
    bytearray,
    bytearray,
    tuple[tuple[bytes, bytearray, bytearray], ...],
    bytearray | None,
    bytearray | None,
]: ...
