"""Bytes that come from a file, a pipe or a keyboard, and how far they have come."""

from __future__ import annotations

import gzip
import os
import select
import stat
from typing import Any, BinaryIO

from slugline.corpus.encodings import Decoded

__all__ = ["Stream"]

#: Bytes to read at a time; a pipe on Linux holds as many.
_PIECE = 1 << 16
# Seconds. A writer that only pauses briefly is waited for, so that batches of a steady stream stay
# whole; a person at the keyboard does not notice.
_MOMENT = 0.05


class Stream:
    """Lines of a binary file, how much of it has been read, and whether more is available.

    Parameters
    ----------
    file : binary file, open for reading
        Nothing else may read from it.
    packed : bool, default False
        Whether it is gzip; its lines are then the unpacked ones.
    encoding : str, optional
        Encoding of its bytes, from `slugline.corpus.encodings.known_encoding`; lines are UTF-8.
    """

    def __init__(self, file: BinaryIO, packed: bool = False, encoding: str | None = None) -> None:
        self.packed = packed
        self._file = file
        self._bytes: Any = gzip.GzipFile(fileobj=file) if packed else file
        if encoding is not None:
            self._bytes = Decoded(self._bytes, encoding)
        self._size = _plain_size(file)
        self._buffer = b""
        self._at = 0  # in the buffer, where the next line begins

    def readline(self, limit: int) -> bytes:
        """Return the next line with its end, or its first `limit` bytes; nothing at the end."""
        end = self._buffer.find(b"\n", self._at, self._at + limit) + 1 or self._read_on(limit)
        line = self._buffer[self._at : end]
        self._at = end
        return line

    def must_wait(self) -> bool:
        """Whether the next line is not there yet, and doesn't come within a moment."""
        if self._size is not None or self._file.closed:  # closed once its end has been read
            return False
        # Half a line doesn't count, so read on until it is whole, or too long.
        while self._buffer.find(b"\n", self._at) < 0 and len(self._buffer) - self._at < _PIECE:
            try:
                if not select.select([self._file], [], [], _MOMENT)[0]:
                    return True
            except (OSError, ValueError):  # bytes in memory; on Windows, all but sockets
                return self._file.isatty()
            piece = self._bytes.read1(_PIECE)
            if not piece:
                return False
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return False

    def share_read(self) -> float | None:
        """Return how much of a plain file has been read, from 0 to 1; None for anything else."""
        if self._size is None:
            return None
        return 1.0 if self._file.closed else self._file.tell() / max(self._size, 1)

    def _read_on(self, limit: int) -> int:
        """Read until the buffer has a line or `limit` bytes, and return where they end in it."""
        pieces = [self._buffer[self._at :]]
        n_bytes = len(pieces[0])
        while n_bytes < limit and b"\n" not in pieces[-1]:
            # One system call returns what is there, even if it is less than requested.
            piece = self._bytes.read1(_PIECE)
            if not piece:
                break
            pieces.append(piece)
            n_bytes += len(piece)
        self._buffer, self._at = b"".join(pieces), 0
        return self._buffer.find(b"\n", 0, limit) + 1 or min(n_bytes, limit)


def _plain_size(file: BinaryIO) -> int | None:
    """Return the size in bytes of a file on disk; None for pipes, terminals and the like."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # bytes in memory
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
