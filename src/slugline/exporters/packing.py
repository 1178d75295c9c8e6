"""Arrays in few bytes, for a script to unpack."""

from __future__ import annotations

import base64
import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import I64, U8, Integers, Mask

__all__ = ["Bundle", "PackedBundle", "runs_of", "varints"]

_BITS = 7
_MOST_BYTES = 10  # of a 64-bit number


class PackedBundle(NamedTuple):
    """What is in a page.

    Attributes
    ----------
    arrays : list of (name, type, length)
        In the order of their bytes; the length in bytes. The type is "int8", "uint8", "float32" or
        "varints", which are whole numbers from 0 on.
    data : str
        All bytes, deflated without any header, as base64.
    """

    arrays: list[tuple[str, str, int]]
    data: str


class Bundle:
    """Named arrays, one after another."""

    def __init__(self) -> None:
        self._arrays: list[tuple[str, str, int]] = []
        self._parts: list[bytes] = []

    def add(self, name: str, array: npt.NDArray[Any]) -> None:
        """Add an array of float32, int8 or uint8 as it is; other integers as `varints`."""
        kind, data = array.dtype.name, array.astype(array.dtype.newbyteorder("<")).tobytes()
        if kind not in ("float32", "int8", "uint8"):
            kind, data = "varints", varints(array)
        self._arrays.append((name, kind, len(data)))
        self._parts.append(data)

    def packed(self) -> PackedBundle:
        """Return all of them; the same arrays give the same text."""
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = deflate.compress(b"".join(self._parts)) + deflate.flush()
        return PackedBundle(self._arrays, base64.b64encode(data).decode())


def varints(numbers: Integers) -> bytes:
    """Return whole numbers from 0 on: 7 bits to a byte, the lowest first, 128 added if more follow.

    >>> varints(np.array([1, 300])).hex(" ")
    '01 ac 02'
    """
    rest = numbers.ravel().astype(np.uint64)
    columns: list[U8] = []
    used: list[Mask] = []
    more = np.ones(len(rest), dtype=bool)
    while more.any() and len(columns) < _MOST_BYTES:
        low = (rest & np.uint64(0x7F)).astype(np.uint8)
        rest = rest >> np.uint64(_BITS)
        used.append(more)
        more = more & (rest > 0)
        columns.append(np.where(more, low | np.uint8(0x80), low))
    if not columns:
        return b""
    kept = np.stack(used, axis=1)
    return np.stack(columns, axis=1)[kept].tobytes()


def runs_of(table: U8) -> I64:
    """Return a table as runs of equal values: how long each is, and what.

    >>> runs_of(np.array([0, 0, 5], dtype=np.uint8)).tolist()
    [2, 0, 1, 5]
    """
    firsts = np.flatnonzero(np.diff(table, prepend=table[0] ^ 1))
    lengths = np.diff(firsts, append=len(table))
    return np.stack([lengths, table[firsts]], axis=1).ravel().astype(np.int64)
