"""Reads lists of whole numbers from an .npz file that isn't trusted.

NumPy stores an array of lists as a pickle, and a pickle is a program. Here it must pass four
checks: only a zip of the right layout and a reasonable size is opened; the pickle may contain only
harmless instructions; it can name nothing that runs, because even NumPy's names lead to an object
that does nothing; and the result must be lists of whole numbers, as many as there are labels.
"""

from __future__ import annotations

import io
import itertools
import pickle
import re
import zipfile
from array import array
from typing import TYPE_CHECKING

import numpy as np

from slugline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_NUMBER", "read_lists"]

MAX_NUMBER = 65_535  # the largest number that a list may hold
_MAX_MEMBER = 8_000_000  # bytes; the most that an array may take in memory


def read_lists(content: bytes) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Return lists and labels from the bytes of an .npz file with the arrays `x` and `y`.

    Returns
    -------
    x : lists of int from 0 to `MAX_NUMBER`.
    y : int64 array, shape (len(x),).

    Raises
    ------
    DataError : if the file is anything else. Nothing in it is run.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sorted(archive.namelist()) != ["x.npy", "y.npy"]:
                raise ValueError(f"it holds {archive.namelist()[:5]} instead of x.npy and y.npy")
            n_lists, pickled = _read_member(archive, "x.npy", b"|O")
            n_labels, numbers = _read_member(archive, "y.npy", b"<i8")
        lists = _unpickle(pickled)
        labels = np.frombuffer(numbers, dtype="<i8").astype(np.int64)
        if not n_lists == len(lists) == n_labels == len(labels):
            raise ValueError(f"it holds {len(lists)} lists and {len(labels)} labels")
    except Exception as error:  # a crafted file can fail in any way: treat all alike
        raise DataError(str(error) or type(error).__name__) from error
    return lists, labels


_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[^']{1,3})', 'fortran_order': False, "
    rb"'shape': \((?P<length>\d{1,7}),\), \} *\n",
    re.DOTALL,
)


def _read_member(archive: zipfile.ZipFile, name: str, dtype: bytes) -> tuple[int, bytes]:
    """Return the length in the header, and the content, of a one-dimensional array."""
    member = archive.getinfo(name)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in an unknown way")
    if member.file_size > _MAX_MEMBER:
        raise ValueError(f"{name} has {member.file_size:,} bytes, too many")
    with archive.open(member) as file:
        content = file.read(_MAX_MEMBER)  # limited, as the declared size may be false
    header = _NPY_HEADER.match(content)
    if header is None or header["dtype"] != dtype:
        raise ValueError(f"{name} is not an array of {dtype.decode()}")
    return int(header["length"]), content[header.end() :]


def _counted(width: int) -> bytes:
    """Return a pattern for a string of up to 31 bytes after its length in `width` bytes."""
    lengths = (re.escape(n.to_bytes(width, "little")) + b".{%d}" % n for n in range(32))
    return b"(?:" + b"|".join(lengths) + b")"


# Protocols 2 to 4, as far as lists of numbers in an object array need them. Positions in the memo
# are limited to 65,535, because Python takes memory up to the position that the pickle names.
_INSTRUCTIONS = re.compile(
    rb"\x80[\x02-\x04]"
    rb"(?:K.|M..|J....|[(\])aetRbN\x85-\x89\x93\x94.]|q.|h.|[rj]..\0\0|\x95.{8}"
    rb"|c[^\n]*+\n[^\n]*+\n|[UC\x8c]" + _counted(1) + rb"|X" + _counted(4) + rb")*+",
    re.DOTALL,
)
_NUMPY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _Standin:
    """Replaces NumPy's names in a pickle: it keeps its state and does nothing."""

    __slots__ = ("state",)

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Standin]:
        if (module, name) not in _NUMPY_NAMES:
            raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!r}")
        return _Standin


def _unpickle(pickled: bytes) -> list[list[int]]:
    if not _INSTRUCTIONS.fullmatch(pickled):
        raise ValueError("its pickle does more than list numbers")
    # The buffer matters: without it, every instruction would be a call of `read`.
    found = _ArrayUnpickler(io.BufferedReader(io.BytesIO(pickled))).load()
    if type(found) is not _Standin or not isinstance(found.state, tuple):
        raise ValueError("its pickle is not an array")
    lists = found.state[-1]
    # One list may be in many places, so add up the sizes before looping over them.
    if not all(type(each) is list for each in lists) or sum(map(len, lists)) > len(pickled):
        raise ValueError("its pickle is not an array of lists")
    # Refuses all but whole numbers up to MAX_NUMBER. Unlike a set or a comparison, it does not look
    # inside objects: hashing a deeply nested tuple would crash the process.
    array("H", itertools.chain.from_iterable(lists))
    return list(lists)
