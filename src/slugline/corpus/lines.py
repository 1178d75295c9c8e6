"""Lines of a byte stream as text: decoded, counted, bounded; and what is wrong with them."""

from __future__ import annotations

import codecs
import itertools
import math
import re
from collections.abc import Callable, Iterator
from functools import partial

from slugline.corpus.encodings import guess_utf16
from slugline.corpus.rows import MAX_RECORD, BadRow, not_utf8, nul, too_long
from slugline.errors import DataError

__all__ = ["Lines"]

_FOREIGN_STARTS = {
    # Before UTF-16, whose little-endian mark is the beginning of UTF-32's.
    codecs.BOM_UTF32_LE: 'UTF-32; read it with `encoding="utf-32"`',
    codecs.BOM_UTF32_BE: 'UTF-32; read it with `encoding="utf-32"`',
    codecs.BOM_UTF16_LE: 'UTF-16; read it with `encoding="utf-16"`',
    codecs.BOM_UTF16_BE: 'UTF-16; read it with `encoding="utf-16"`',
    b"\x1f\x8b": "gzip; give it a name that ends in .gz",
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save it as CSV",
}
# Programs that put files together, or a mark before any file, leave more than one.
_MARKS = re.compile(b"(?:%b)*" % codecs.BOM_UTF8)


class Lines:
    """The lines of a byte stream with their ends; `take_fault` returns what is wrong with one.

    A line with a fault is still returned, so that a reader of CSV keeps in step with quotes
    that span lines. Byte-order marks of UTF-8 at the start are dropped.

    Parameters
    ----------
    readline : callable
        Takes a number of bytes and returns at most that many of the next line, as that of a binary
        file does.
    name : str
        For messages.
    limit : int, optional
        How many bytes to read before giving up; by default there is no limit.
    encoding : str, optional
        What `readline` converted to UTF-8, for messages.

    Attributes
    ----------
    head : bytes
        The first line, or its first `MAX_RECORD` bytes, before iteration starts.
    encoding : str or None
    number, offset : int
        The last line returned, counted from 1, and the bytes up to its end.
    n_bytes : int
        The bytes of the last line returned, or of its first piece if it exceeds `MAX_RECORD`.
    exhausted : bool
        Whether the end has been reached.

    Raises
    ------
    DataError : if the stream begins as UTF-16, UTF-32, gzip or zip; later, if it exceeds `limit`.
    """

    def __init__(
        self,
        readline: Callable[[int], bytes],
        name: str,
        limit: float = math.inf,
        encoding: str | None = None,
    ) -> None:
        first = readline(MAX_RECORD + 1)
        for start, what in _FOREIGN_STARTS.items():
            if first.startswith(start):
                raise DataError(f"{name} is {what}.")
        if utf16 := guess_utf16(first):
            raise DataError(f'{name} seems to be UTF-16; read it with `encoding="{utf16}"`.')
        self.name = name
        self.encoding = encoding
        self.head = _MARKS.sub(b"", first, count=1)
        self.number = self.n_bytes = 0
        self.offset = len(first) - len(self.head)
        self.exhausted = False
        self._limit = limit
        self._faults: list[BadRow] = []
        # Read in bounded pieces, so that an endless line doesn't fill the memory.
        self._pieces = itertools.chain([self.head], iter(partial(readline, MAX_RECORD + 1), b""))

    def pieces(self) -> Iterator[bytes]:
        """Return the bytes themselves: lines, or pieces of one that exceeds `MAX_RECORD`."""
        for piece in filter(None, self._pieces):
            self.offset += len(piece)
            if self.offset > self._limit:
                raise DataError(
                    f"{self.name} unpacks to more than {self._limit:,} bytes; "
                    "if it should, unpack it first with gunzip."
                )
            yield piece

    def __iter__(self) -> Iterator[str]:
        continued = False
        for piece in self.pieces():
            if not continued:
                self.number += 1
                self.n_bytes = len(piece)
                yield self._decode(piece)
            continued = not piece.endswith(b"\n")
        self.exhausted = True

    def take_fault(self) -> BadRow | None:
        """Return the first fault since the last call, and forget the others."""
        fault = self._faults[0] if self._faults else None
        self._faults.clear()
        return fault

    def _decode(self, line: bytes) -> str:
        if len(line) > MAX_RECORD:
            self._faults.append(too_long(self.number))
            return ""
        if b"\0" in line:
            self._faults.append(nul(self.number))
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self._faults.append(not_utf8(self.number, error, self.encoding))
            return line.decode(errors="replace")
