"""Read lines of text from a binary stream or a byte range of a file."""

from __future__ import annotations

import codecs
import itertools
import math
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from slugline.base.interruption import check_interruption
from slugline.corpus import rows
from slugline.corpus.encodings import MARKS, guess_utf16
from slugline.corpus.line_stream import decode_leniently
from slugline.errors import DataError, Parameter

# Files of other programs --------------------------------------------------------------------------

_PICTURE = "a picture; Slugline reads texts, so extract the text first"

# Number of bytes to examine.
_N_EXAMINED = 1024
_ZIP_START, _GZIP_START = b"PK\x03\x04", b"\x1f\x8b"
_ZIP = "a zip archive, a spreadsheet or a Word document; unpack it, or save it as CSV or plain text"
# Signatures of other programs' files, each with a description and advice.
_STARTS = {
    b"%PDF-": "a PDF document; save its text as .txt, for example with pdftotext, or its table as "
    "CSV",
    b"{\\rtf": "an RTF document; save it as plain text (.txt)",
    bytes.fromhex("d0cf11e0a1b11ae1"): "an Outlook message, or a document or spreadsheet in an old "
    "Office format; save texts as plain text (.txt), and a spreadsheet as .xlsx or CSV",
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"GIF8": _PICTURE,
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
    _GZIP_START: "gzip; give it a name that ends in .gz",
    _ZIP_START: _ZIP,
}
_BINARY = "binary data, not text; export its texts as CSV, JSONL or plain text (.txt)"
# Folders in the zip archives of Office documents.
_OFFICE = {
    "word/": "a Word document; save it as plain text (.txt)",
    "ppt/": "a PowerPoint presentation; save its texts as plain text (.txt)",
    "xl/": "a spreadsheet; give it a name that ends in .xlsx",
}
# Control characters not used in text. Counts above both limits indicate binary data.
_CONTROLS = bytes([*range(9), *range(14, 27), *range(28, 32)])
_MAX_CONTROLS, _MAX_FRACTION = 16, 0.05


def describe_foreign(start: bytes) -> str | None:
    """Describe a file of another program, with advice, from its first bytes; None for text."""
    for signature, description in _STARTS.items():
        if start.startswith(signature):
            return description
    start = start[:_N_EXAMINED]
    # Ignore NULs: UTF-16 and UTF-32 contain one or more per character in most languages.
    n_controls = len(start) - len(start.translate(None, _CONTROLS)) - start.count(0)
    return _BINARY if n_controls > max(_MAX_CONTROLS, _MAX_FRACTION * len(start)) else None


def check_is_text(path: Path) -> None:
    """Raise DataError for a file of another program; accept text and gzip files."""
    with path.open("rb") as file:
        start = file.read(_N_EXAMINED)
    description = None if start.startswith(_GZIP_START) else describe_foreign(start)
    if start and path.suffix.lower() == ".gz" and not start.startswith(_GZIP_START):
        description = "not compressed with gzip; remove .gz from its name"
    elif start.startswith(_ZIP_START):
        description = _describe_zip(path)
    if description is not None:
        raise DataError(f"{path} is {description}.")


def _describe_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return _ZIP
    return next((_OFFICE[f] for f in _OFFICE if any(name.startswith(f) for name in names)), _ZIP)


# Lines --------------------------------------------------------------------------------------------

# Maximum size of consecutive blank lines in bytes, and bytes added per line for processing time.
_MAX_GAP, _LINE_BYTES = 1 << 26, 256
# Characters of lines without a row: white space, delimiters, and quotes around empty cells.
_BLANKS = b' \t\r\n,;|"'
# Number of bytes between checks for an interruption.
_CHECK_BYTES = 1 << 20
# Several marks occur if files were concatenated or a program adds a mark to any file.
BYTE_ORDER_MARKS = re.compile(b"(?:%b)*" % codecs.BOM_UTF8)


class TextLines:
    """The lines of a byte stream as text, with their line ends and without byte-order marks.

    Faulty lines are returned like any other, since a CSV reader must see all quotes; `take_fault`
    returns the fault.

    Parameters
    ----------
    readline : callable
        Method of a binary file that returns the next line, or its first bytes up to a limit.
    name : str
        Name of the source in messages.
    limit : int, optional
        Maximum number of bytes to read; unlimited by default.
    encoding : str, optional
        Encoding from which `readline` converts to UTF-8, for messages.

    Attributes
    ----------
    head : bytes
        The first line, or its first `MAX_RECORD` bytes.
    number, offset : int
        1-based number of the last line returned, and the byte offset of its end.
    n_bytes : int
        Size in bytes of the last line returned, or of its first piece if it exceeds `MAX_RECORD`.
    exhausted : bool
        True once the end has been reached.

    Raises
    ------
    DataError : if the stream begins like UTF-16, UTF-32, gzip or zip; during iteration, if it
        exceeds `limit` or has too many consecutive blank lines.
    """

    def __init__(
        self,
        readline: Callable[[int], bytes],
        name: str,
        limit: float = math.inf,
        encoding: str | None = None,
    ) -> None:
        first = readline(rows.MAX_RECORD + 1)
        for mark, marked in MARKS.items():
            if first.startswith(mark):
                how = Parameter("encoding", marked)
                raise DataError(f"{name} is {marked.upper()}; read it with ", how, ".")
        if foreign := describe_foreign(first):
            raise DataError(f"{name} is {foreign}.")
        if utf16 := guess_utf16(first):
            encoded = Parameter("encoding", utf16)
            raise DataError(f"{name} seems to be UTF-16; read it with ", encoded, ".")
        self.name = name
        self.encoding = encoding
        self.head = BYTE_ORDER_MARKS.sub(b"", first, count=1)
        self.number = self.n_bytes = 0
        self.offset = len(first) - len(self.head)
        self.exhausted = False
        self._has_utf8 = False  # True once a line was UTF-8 but not ASCII
        self._limit = limit
        self._gap = self._unchecked = 0
        self._faults: list[rows.BadRow] = []
        # Read in bounded pieces, so that an endless line doesn't exhaust memory.
        self._pieces = itertools.chain(
            [self.head], iter(partial(readline, rows.MAX_RECORD + 1), b"")
        )

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of each line, in pieces if it exceeds `MAX_RECORD`."""
        for piece in filter(None, self._pieces):
            self.offset += len(piece)
            self._unchecked += len(piece) + _LINE_BYTES
            # Check the first byte first, because stripping copies a long line.
            if piece[:1] in _BLANKS and not piece.strip(_BLANKS):
                self._gap += len(piece) + _LINE_BYTES
            if self._unchecked > _CHECK_BYTES:
                self._check()
            if self.offset > self._limit:
                raise DataError(
                    f"{self.name} unpacks to more than {self._limit:,} bytes; "
                    "if it should, unpack it first with gunzip."
                )
            yield piece

    def _check(self) -> None:
        self._unchecked = 0
        check_interruption()
        if self._gap > _MAX_GAP:
            raise DataError(
                f"{self.name} has too many consecutive blank lines up to byte {self.offset:,}; "
                "delete them."
            )

    def take_row(self) -> None:
        """Reset the blank-line count after a row."""
        self._gap = 0

    def __iter__(self) -> Iterator[str]:
        continued = False
        for piece in self.pieces():
            if not continued:
                self.number += 1
                self.n_bytes = len(piece)
                yield self._decode(piece)
            continued = not piece.endswith(b"\n")
        self.exhausted = True

    def take_fault(self) -> rows.BadRow | None:
        """Return the first fault since the last call, and discard the others."""
        fault = self._faults[0] if self._faults else None
        self._faults.clear()
        return fault

    def _decode(self, line: bytes) -> str:
        if len(line) > rows.MAX_RECORD:
            self._faults.append(rows.too_long_row(self.number))
            return ""
        if b"\0" in line:
            self._faults.append(rows.nul_row(self.number))
        try:
            text = line.decode()
            self._has_utf8 = self._has_utf8 or not line.isascii()
            return text
        except UnicodeDecodeError as error:
            fault = rows.undecodable_row(self.number, error, self.encoding, is_mixed=self._has_utf8)
            self._faults.append(fault)
            return decode_leniently(line)
