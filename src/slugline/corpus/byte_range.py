"""The lines of a file that begin in a range of its bytes."""

from __future__ import annotations

from typing import BinaryIO

__all__ = ["ByteRange"]

# Bytes that are read at a time where nothing of them is kept.
_PIECE = 1 << 20


class ByteRange:
    """Lines that begin from `start` to before `stop`, whole; those of all ranges are all lines.

    Parameters
    ----------
    file : binary file, open for reading
    start, stop : int
        In bytes.

    Attributes
    ----------
    n_lines : int
        How many have been read.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.n_lines = 0
        self._file, self._at, self._stop = file, start, stop
        self._is_begun = False
        if start:
            # The line that holds the byte before belongs to the range before.
            file.seek(start - 1)
            self._at = start - 1
            while not self._taken(file.readline(_PIECE)).endswith(b"\n") and self._at < stop:
                pass

    def __enter__(self) -> ByteRange:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def readline(self, limit: int) -> bytes:
        """Return the next line with its end, or up to `limit` bytes of it; nothing at the end."""
        if not self._is_begun and self._at >= self._stop:
            return b""
        line = self._taken(self._file.readline(limit))
        self.n_lines += not self._is_begun and bool(line)
        self._is_begun = bool(line) and not line.endswith(b"\n")
        return line

    def _taken(self, line: bytes) -> bytes:
        # At the end of the file, there is nothing up to the end of the range.
        self._at = self._at + len(line) if line else self._stop
        return line
