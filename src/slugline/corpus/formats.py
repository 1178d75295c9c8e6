"""Rows from CSV, TSV, JSONL and fastText lines."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import msgspec

from slugline.corpus.bytes import guess_utf16
from slugline.corpus.rows import (
    MAX_RECORD,
    BadRow,
    RowIterator,
    SourceRow,
    guess_delimiter,
    join_advice,
    make_row,
    nul_row,
    too_long_row,
    undecodable_row,
)
from slugline.errors import DataError

__all__ = [
    "ByteRange",
    "TextLines",
    "array_rows",
    "json_items",
    "json_rows",
    "table_rows",
    "text_rows",
]


# Lines of a byte stream as text: decoded, counted, bounded; and what is wrong with them -----------

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


class TextLines:
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
            self._faults.append(too_long_row(self.number))
            return ""
        if b"\0" in line:
            self._faults.append(nul_row(self.number))
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self._faults.append(undecodable_row(self.number, error, self.encoding))
            return line.decode(errors="replace")


# The lines of a file that begin in a range of its bytes -------------------------------------------

# Bytes that are read at a time where nothing of them is kept.
_CHUNK_BYTES = 1 << 20


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
            while not self._taken(file.readline(_CHUNK_BYTES)).endswith(b"\n") and self._at < stop:
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


# The items of a JSON array, cut out of a stream one after another ---------------------------------

#: The least bytes to read at a time.
_CHUNK_CHARACTERS = 1 << 16

_SPACES = re.compile(r"[ \t\r\n]*")
# This only finds where an item ends; decoding reports what else is wrong. Numbers and objects are
# not kept, only that they were there, as millions of them take much memory.
_scan = json.JSONDecoder(
    parse_int=len, parse_float=len, object_pairs_hook=len, strict=False
).raw_decode


def json_items(lines: TextLines) -> Iterator[bytes]:
    """Return the bytes of each item of a JSON array.

    An item may exceed `MAX_RECORD` bytes, but not twice as many: it then counts as one without an
    end. At most some tens of megabytes are held at a time.

    Raises
    ------
    DataError : if the stream is not an array; later on, if the end of an item can't be found, or
        something follows the array.
    """
    text = _Text(lines)
    if text.take() != "[":
        raise DataError(
            f"{lines.name} is not a JSON array; put [ and ] around its objects and commas between "
            "them, or, if there is one on each line, use a name that ends in .jsonl."
        )
    mark = text.take() if text.peek() == "]" else ","
    for number in itertools.count(1):
        if mark == "]":
            break
        if mark != ",":
            raise text.broken(number - 1, "no comma after it")
        yield text.take_item(number)
        mark = text.take()
    if text.peek():
        raise DataError(
            f"{lines.name} goes on after its JSON array; put each array in its own file."
        )


class _Text:
    """JSON that has been read and not yet taken."""

    def __init__(self, lines: TextLines) -> None:
        self._name = lines.name
        self._pieces = lines.pieces()
        # As Latin-1, in which each byte is a character: the marks of JSON are all ASCII.
        self._held = ""
        self._at = 0  # what is before has been taken

    def peek(self) -> str:
        """Return the next non-blank character, "" at the end, without taking it."""
        while True:
            spaces = _SPACES.match(self._held, self._at)
            self._at = spaces.end() if spaces else self._at
            if self._at < len(self._held) or not self._read_on():
                return self._held[self._at : self._at + 1]

    def take(self) -> str:
        """Take and return the next non-blank character, "" at the end."""
        character = self.peek()
        self._at += len(character)
        return character

    def take_item(self, number: int) -> bytes:
        """Return the bytes of the next item."""
        self.peek()
        end = None
        while end is None:
            end = self._find_end(number)
        first, self._at = self._at, end
        return self._held[first:end].encode("latin-1")

    def broken(self, number: int, reason: str) -> DataError:
        """Return the error for an item after which nothing can be read."""
        return DataError(f"{self._name}, item {number}: not valid JSON ({reason}); mend it.")

    def _find_end(self, number: int) -> int | None:
        """Return where the next item ends, or None if more must be read to find it."""
        try:
            _, end = _scan(self._held, self._at)
        except RecursionError as error:
            raise self.broken(number, "nested too deeply") from error
        except json.JSONDecodeError as error:
            if len(self._held) - self._at > 2 * MAX_RECORD:
                reason = f"or more than {2 * MAX_RECORD:,} bytes"
            elif self._read_on():
                return None
            else:
                reason = error.msg
            raise self.broken(number, reason) from error
        # A number may go on: what ends here may be only the 1 of 1e+6.
        return None if end + 2 >= len(self._held) and self._read_on() else end

    def _read_on(self) -> bool:
        """Read as much again as is held, so that scanning it again takes linear time overall."""
        wanted = max(len(self._held) - self._at, _CHUNK_CHARACTERS)
        pieces = []
        while wanted > 0 and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            wanted -= len(piece)
        if pieces:
            self._held = self._held[self._at :] + b"".join(pieces).decode("latin-1")
            self._at = 0
        return bool(pieces)


# Rows from CSV, TSV, JSONL and fastText lines -----------------------------------------------------

_decode_json = msgspec.json.Decoder().decode
_decode_flat = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_LABEL = re.compile(r"__label__(\S*)\s*")


def table_rows(lines: TextLines, delimiter: str | None = None) -> RowIterator:
    """Return rows of CSV with a header; by default its most frequent of , ; and tab separates."""
    if delimiter is None:
        delimiter = guess_delimiter(lines.head.decode(errors="replace"))
    records = _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        return
    if isinstance(header, BadRow):
        advice = join_advice([header])
        raise DataError(f"{lines.name}, line {header.at}: {header.problem}; {advice}.")
    names = [name.strip() for name in header.cells]
    counts = Counter(filter(None, names))
    twice = next((name for name, n in counts.items() if n > 1), None)
    if twice is not None:
        raise DataError(f"{lines.name} has two columns named {twice!r}; rename one.")
    for record in records:
        if isinstance(record, BadRow):
            yield record
        elif len(record.cells) == len(names):
            values = dict(zip(names, record.cells, strict=True))
            yield SourceRow(record.at, values, n_bytes=record.n_bytes)
        else:
            yield BadRow(record.at, f"{len(record.cells)} cells instead of {len(names)}")


class _Record(NamedTuple):
    at: int  # the physical line on which it begins
    cells: list[str]
    n_bytes: int


def _records(lines: TextLines, delimiter: str) -> Iterator[_Record | BadRow]:
    """Return the records of CSV, with the header and without empty ones."""
    # The limit belongs to the whole process, so it is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD))
    at = begin = 0

    def bounded() -> Iterator[str]:
        for line in lines:
            if lines.offset - begin > MAX_RECORD:
                raise DataError(
                    f"{lines.name}, line {at}: the row that begins here has more than "
                    f"{MAX_RECORD:,} bytes; close its quotes, or split it."
                )
            yield line

    reader = csv.reader(bounded(), delimiter=delimiter, strict=True)
    while True:
        at, begin = lines.number + 1, lines.offset
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if lines.exhausted:
                raise DataError(
                    f"{lines.name}, line {at}: the row that begins here has a quote that is never "
                    "closed; close it."
                ) from error
            problem = "text after a closing quote, or a lone carriage return"
            yield lines.take_fault() or BadRow(at, problem)
            continue
        if cells is None:
            return
        if fault := lines.take_fault():
            yield fault
        elif any(map(str.strip, cells)):
            yield _Record(at, cells, lines.offset - begin)


def json_rows(lines: TextLines) -> RowIterator:
    """Return rows of one JSON object per line; blank lines are skipped."""
    for line in lines:
        if fault := lines.take_fault():
            yield fault
        elif not line.isspace():
            yield _json_row(lines.number, line, lines.n_bytes)


def array_rows(lines: TextLines) -> RowIterator:
    """Return rows of one JSON array of objects or of texts."""
    for at, item in enumerate(json_items(lines), 1):
        if len(item) > MAX_RECORD:
            yield too_long_row(at)
            continue
        try:
            data = item.decode()
        except UnicodeDecodeError as error:
            yield undecodable_row(at, error, lines.encoding)
        else:
            yield _json_row(at, data, len(item), may_be_text=True)


def _json_row(at: int, data: str, n_bytes: int, may_be_text: bool = False) -> SourceRow | BadRow:
    try:
        values = _json_values(data)
    except (msgspec.DecodeError, RecursionError) as error:
        return BadRow(at, f"not valid JSON ({error})")
    if may_be_text and isinstance(values, str):
        values = {"text": values}
    if isinstance(values, dict):
        return make_row(at, values, n_bytes=n_bytes)
    return BadRow(at, "JSON, but not an object" + " or text" * may_be_text)


def _json_values(data: str) -> Any:
    """Return what JSON holds, an object as a dict; other lists and objects stay as written."""
    try:
        return _decode_flat(data)
    except msgspec.ValidationError:  # something is nested in it, or it is not an object
        whole = _decode_raw(data)
    if _first(whole) != b"{":
        return _plain(whole)
    return {name: _plain(value) for name, value in _decode_parts(whole).items()}


def _plain(value: msgspec.Raw) -> Any:
    """Return a string, number, boolean or null, and leave a list or object as it was written."""
    return value if _first(value) in (b"[", b"{") else _decode_json(value)


def _first(value: msgspec.Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def text_rows(lines: TextLines) -> RowIterator:
    """Return rows of one text per line, after any fastText labels (`__label__sport Late goal`)."""
    for line in lines:
        if fault := lines.take_fault():
            yield fault
            continue
        text, topics, end = line.rstrip("\r\n"), [], 0
        while label := _LABEL.match(text, end):
            topics.append(label[1])
            end = label.end()
        values = {"text": text[end:], "topic": topics[0] if topics else None}
        note = "several topics on one line; the first counts" if len(topics) > 1 else ""
        yield SourceRow(lines.number, values, note, lines.n_bytes)
