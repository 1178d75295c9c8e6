"""The file that a comparison keeps its results in, so that it can go on where it ended.

The first line says what the file is. Each of the others holds one fold of one model, under a key
that is another one for other documents, folds, seeds, settings or versions. Lines are only added.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from slugline.compare.messages import FoldResult
from slugline.errors import DataError, SluglineError
from slugline.files import write_whole

__all__ = ["Record", "key_of"]

_HEAD = b'{"slugline":"comparison","version":1}\n'
#: Bytes of a file that is still read.
MAX_BYTES = 1 << 30


class _Line(msgspec.Struct, frozen=True):
    key: str
    result: FoldResult


def key_of(*parts: str | int) -> str:
    """Return the key of a model's results: a digest of all that they depend on."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class Record:
    """Results of folds, in a file if there is one; a context manager.

    Parameters
    ----------
    path : Path or None
        Is created if there is no such file.

    Raises
    ------
    DataError : if the file is no such record, is damaged, or too large.
    SluglineError : if it can't be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[tuple[str, int], FoldResult] = {}
        self._file: BinaryIO | None = None
        if path is None:
            return
        try:
            if not path.exists() or not path.stat().st_size:
                write_whole(path, _HEAD)
            self._read(path)
        except OSError as error:
            raise _unusable(path, error) from error

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, key: str) -> dict[int, FoldResult]:
        """Return the results under a key, by fold."""
        return {fold: result for (own, fold), result in self._found.items() if own == key}

    def add(self, key: str, result: FoldResult) -> None:
        """Keep a result, in the file at once."""
        if self._file is None or self._path is None:
            return
        try:
            self._file.write(msgspec.json.encode(_Line(key, result)) + b"\n")
            self._file.flush()
        except OSError as error:
            raise _unusable(self._path, error) from error

    def _read(self, path: Path) -> None:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, more than a record of comparisons may have "
                f"({MAX_BYTES:,}); name another file with `resume`."
            )
        content = path.read_bytes()
        if not content.startswith(_HEAD):
            raise DataError(
                f"{path} is no record of a comparison of this version; name another file, or one "
                "that doesn't exist yet, with `resume`."
            )
        # A process that was killed may have left half of the last line.
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines()[1:], start=2):
            try:
                read = msgspec.json.decode(line, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{path}: line {number} is no result of a model ({error}); remove the line, or "
                    "name another file with `resume`."
                ) from error
            self._found[read.key, read.result.fold] = read.result
        self._file = path.open("r+b")
        self._file.truncate(len(whole))
        self._file.seek(0, os.SEEK_END)


def _unusable(path: Path, error: OSError) -> SluglineError:
    return SluglineError(
        f"{path} can't be read or written ({error.strerror or error}); name another file with "
        "`resume`."
    )
