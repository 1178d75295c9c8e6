"""Rows from CSV, TSV, JSON, JSON Lines and fastText files."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import msgspec

from slugline.base.interruption import check_interruption
from slugline.base.wording import counted
from slugline.corpus import rows
from slugline.corpus.bytes import readable
from slugline.corpus.encodings import guess_utf16
from slugline.errors import DataError

# Lines --------------------------------------------------------------------------------------------

_FOREIGN_STARTS = {
    # Before UTF-16, whose little-endian mark is a prefix of UTF-32's.
    codecs.BOM_UTF32_LE: 'UTF-32; read it with `encoding="utf-32"`',
    codecs.BOM_UTF32_BE: 'UTF-32; read it with `encoding="utf-32"`',
    codecs.BOM_UTF16_LE: 'UTF-16; read it with `encoding="utf-16"`',
    codecs.BOM_UTF16_BE: 'UTF-16; read it with `encoding="utf-16"`',
    b"\x1f\x8b": "gzip; give it a name that ends in .gz",
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save it as CSV",
}
# Bytes of blank lines without a row between them after which reading ends. Each counts as some
# more, for the time that it takes.
_MAX_GAP, _LINE_BYTES = 1 << 26, 256
# What lines without a row are made of: spaces, and the marks of empty cells.
_BLANKS = b' \t\r\n,;|"'
# Bytes after which to look whether the rows are still wanted.
_CHECK_BYTES = 1 << 20
# Programs that concatenate files, or put a mark before any file, leave more than one.
_MARKS = re.compile(b"(?:%b)*" % codecs.BOM_UTF8)


class TextLines:
    """The lines of a byte stream as text, with their ends and without byte-order marks.

    A line with a fault is returned like any other, so that a CSV reader keeps track of quotes that
    span lines; `take_fault` returns the fault.

    Parameters
    ----------
    readline : callable
        The method of a binary file: returns the next line, or its first so many bytes.
    name : str
        For messages.
    limit : int, optional
        Bytes after which reading is an error; unlimited by default.
    encoding : str, optional
        The encoding that `readline` converted to UTF-8, for messages.

    Attributes
    ----------
    head : bytes
        The first line, or its first `MAX_RECORD` bytes.
    number, offset : int
        Number of the last line returned, from 1, and the bytes up to its end.
    n_bytes : int
        Bytes of the last line returned, or of its first piece if it exceeds `MAX_RECORD`.
    exhausted : bool
        Whether the end has been reached.

    Raises
    ------
    DataError : if the stream begins as UTF-16, UTF-32, gzip or zip; later, if it exceeds `limit`,
        or has too many blank lines in a row.
    """

    def __init__(
        self,
        readline: Callable[[int], bytes],
        name: str,
        limit: float = math.inf,
        encoding: str | None = None,
    ) -> None:
        first = readline(rows.MAX_RECORD + 1)
        for start, description in _FOREIGN_STARTS.items():
            if first.startswith(start):
                raise DataError(f"{name} is {description}.")
        if utf16 := guess_utf16(first):
            raise DataError(f'{name} seems to be UTF-16; read it with `encoding="{utf16}"`.')
        self.name = name
        self.encoding = encoding
        self.head = _MARKS.sub(b"", first, count=1)
        self.number = self.n_bytes = 0
        self.offset = len(first) - len(self.head)
        self.exhausted = False
        self._has_utf8 = False  # whether a line was UTF-8, and not ASCII
        self._limit = limit
        self._gap = self._unchecked = 0
        self._faults: list[rows.BadRow] = []
        # Read in bounded pieces, so that an endless line doesn't fill the memory.
        self._pieces = itertools.chain(
            [self.head], iter(partial(readline, rows.MAX_RECORD + 1), b"")
        )

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes: lines, or pieces of one that exceeds `MAX_RECORD`."""
        for piece in filter(None, self._pieces):
            self.offset += len(piece)
            self._unchecked += len(piece) + _LINE_BYTES
            # The first byte is looked at first, as stripping copies a long line.
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
                f"{self.name} has hundreds of thousands of blank lines, or megabytes of them, in a "
                f"row, up to byte {self.offset:,}; delete them."
            )

    def take_row(self) -> None:
        """Note that there was a row, so that the next ones may be read."""
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

    def add_fault(self, problem: str) -> None:
        """Note what is wrong with the last line."""
        self._faults.append(rows.BadRow(self.number, problem))

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
            return readable(line)


# Bytes of a line before the range that are read at a time.
_CHUNK_BYTES = 1 << 20


class ByteRange(contextlib.AbstractContextManager["ByteRange"]):
    """The lines of a binary file that begin at the bytes from `start` to before `stop`.

    Consecutive ranges have all lines of the file, each once.

    Attributes
    ----------
    n_lines : int
        Lines read so far.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.n_lines = 0
        self._file, self._at, self._stop = file, start, stop
        self._is_within_line = False
        if start:
            # The line that holds the byte before belongs to the range before.
            file.seek(start - 1)
            self._at = start - 1
            while self._at < stop and not self._advance(file.readline(_CHUNK_BYTES)).endswith(
                b"\n"
            ):
                pass

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def readline(self, limit: int) -> bytes:
        """Return the next line with its end, or its first `limit` bytes; none at the end."""
        if not self._is_within_line and self._at >= self._stop:
            return b""
        line = self._advance(self._file.readline(limit))
        self.n_lines += not self._is_within_line and bool(line)
        self._is_within_line = bool(line) and not line.endswith(b"\n")
        return line

    def _advance(self, line: bytes) -> bytes:
        # At the end of the file, there is nothing up to the end of the range.
        self._at = self._at + len(line) if line else self._stop
        return line


# Items of a JSON array ----------------------------------------------------------------------------

# The fewest bytes to read at a time.
_ITEM_CHUNK_BYTES = 1 << 16
# Bytes of an item that is scanned at once, and in each step of a longer one; lists and objects in
# each other that one may have.
_LONG_ITEM, _STEP, _MOST_NESTED = 1 << 20, 1 << 16, 1000
_MARK = re.compile(r'["\[\]{}]')

_SPACES = re.compile(r"[ \t\r\n]*")
# Only finds the end of an item; decoding reports other faults. Numbers and objects are replaced by
# their lengths, as millions of them take much memory.
_scan = json.JSONDecoder(
    parse_int=len, parse_float=len, object_pairs_hook=len, strict=False
).raw_decode


def json_items(lines: TextLines, chunk_bytes: int = _ITEM_CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the bytes of each item of a JSON array, with at most tens of megabytes in memory.

    Raises DataError if the stream is not an array, an item has no end or more than twice
    `MAX_RECORD` bytes, or something follows the array.
    """
    text = _Text(lines, chunk_bytes)
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
            raise text.invalid_item(number - 1, "no comma after it")
        yield text.take_item(number)
        mark = text.take()
    if text.peek():
        raise DataError(
            f"{lines.name} goes on after its JSON array; put each array in its own file."
        )


class _Text:
    """A buffer of JSON that has been read and not yet taken."""

    def __init__(self, lines: TextLines, chunk_bytes: int) -> None:
        self._name, self._chunk_bytes = lines.name, chunk_bytes
        self._pieces = lines.pieces()
        # In Latin-1, in which each byte is a character: the syntax of JSON is all ASCII.
        self._buffer = ""
        self._at = 0  # what is before has been taken

    def peek(self) -> str:
        """Return the next non-blank character, "" at the end, without taking it."""
        while True:
            spaces = _SPACES.match(self._buffer, self._at)
            self._at = spaces.end() if spaces else self._at
            if self._at < len(self._buffer) or not self._read_on():
                return self._buffer[self._at : self._at + 1]

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
            is_long = len(self._buffer) - self._at > _LONG_ITEM
            if is_long and self._buffer[self._at] in '"[{':
                end = self._find_long_end(number)
            else:
                end = self._find_end(number)
        first, self._at = self._at, end
        return self._buffer[first:end].encode("latin-1")

    def invalid_item(self, number: int, reason: str) -> DataError:
        """Return the error for an item after which nothing can be read."""
        return DataError(f"{self._name}, item {number}: not valid JSON ({reason}); mend it.")

    def _find_end(self, number: int) -> int | None:
        """Return the end of the next item, or None if more has been read to find it."""
        try:
            _, end = _scan(self._buffer, self._at)
        except RecursionError as error:
            raise self.invalid_item(number, "nested too deeply") from error
        except json.JSONDecodeError as error:
            if len(self._buffer) - self._at > 2 * rows.MAX_RECORD:
                reason = f"or more than {2 * rows.MAX_RECORD:,} bytes"
            elif self._read_on():
                return None
            else:
                reason = error.msg
            raise self.invalid_item(number, reason) from error
        # A number may continue: this may be only the 1 of 1e+6.
        return None if end + 2 >= len(self._buffer) and self._read_on() else end

    def _find_long_end(self, number: int) -> int:
        """Return the end of a list, object or string, in steps of which each takes moments.

        Scanning megabytes at once would keep other threads waiting, and take twenty times as much
        memory.
        """
        depth, at, in_string = 0, self._at, False
        while True:
            if in_string:
                quote = self._buffer.find('"', at)
                mark, at = ("", len(self._buffer)) if quote < 0 else ('"', quote + 1)
                in_string = not mark or self._is_escaped(quote)
            else:
                match = _MARK.search(self._buffer, at, at + _STEP)
                mark = match[0] if match else ""
                at = match.end() if match else min(at + _STEP, len(self._buffer))
                in_string = mark == '"'
                depth += (mark in "[{") - (mark in "]}") if mark else 0
            if depth > _MOST_NESTED:
                raise self.invalid_item(number, "nested too deeply")
            if mark and not depth and not in_string:
                return at
            if at == len(self._buffer):
                start = self._at
                if at - start > 2 * rows.MAX_RECORD:
                    raise self.invalid_item(number, f"or more than {2 * rows.MAX_RECORD:,} bytes")
                if not self._read_on():
                    raise self.invalid_item(number, "without an end")
                at -= start

    def _is_escaped(self, quote: int) -> bool:
        """Whether a quotation mark has an odd number of backslashes before it."""
        first = quote
        while self._buffer[first - 1] == "\\":
            first -= 1
        return (quote - first) % 2 == 1

    def _read_on(self) -> bool:
        """Double the buffer, so that scanning it again takes linear time overall."""
        wanted = max(len(self._buffer) - self._at, self._chunk_bytes)
        pieces = []
        while wanted > 0 and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            wanted -= len(piece)
        if pieces:
            self._buffer = self._buffer[self._at :] + b"".join(pieces).decode("latin-1")
            self._at = 0
        return bool(pieces)


# Headers ------------------------------------------------------------------------------------------

_DELIMITERS = ",;\t|"
#: In place of a separator: of a table of one column, whose texts may have any.
ONE_COLUMN = ""
# Stands in no text, so that a table of one column is split nowhere.
_NO_DELIMITER = "\uf8ff"
# Characters, and rows, of a table that show what separates its cells.
_N_EXAMINED, _N_ROWS = 1 << 16, 50


def guess_delimiter(table: str, columns: Collection[str] = (), likely: str | None = None) -> str:
    r"""Return what separates the cells of a table that begins like this, or `ONE_COLUMN`.

    Its header decides; if that has several separators, the one that most rows have as often.

    Parameters
    ----------
    table : str
        The header, perhaps with rows below.
    columns : collection of str
        Those of a model's training data. A separator of a header that has all of them wins.
    likely : str, optional
        That of a model's training data.

    >>> [guess_delimiter(table) for table in ("id;text", "Nachricht", "a,b;c\n1;2")]
    [';', '', ';']
    """
    candidates = dict.fromkeys([*(likely or ()), *_DELIMITERS])
    records = {delimiter: _first_records(table, delimiter) for delimiter in candidates}
    wide = [d for d in candidates if records[d] and len(records[d][0]) > 1]
    for delimiter in wide:
        if columns and {*columns} <= {name.strip() for name in records[delimiter][0]}:
            return delimiter
    if not wide:
        return ONE_COLUMN
    fits = {delimiter: _regularity(records[delimiter]) for delimiter in wide}
    best = max(wide, key=lambda delimiter: (fits[delimiter], len(records[delimiter][0])))
    # A comma and a space in the name of the only column.
    is_name = best == "," and all(name.startswith(" ") for name in records[best][0][1:])
    return ONE_COLUMN if is_name and fits[best] < _LEAST_REGULAR else best


# The smallest fraction of rows with as many cells as a header with commas and spaces.
_LEAST_REGULAR = 0.5


def _first_records(table: str, delimiter: str) -> list[list[str]]:
    """Return the first records with cells; those before a fault."""
    records: list[list[str]] = []
    lines = io.StringIO(table[:_N_EXAMINED], newline="\n")
    with contextlib.suppress(csv.Error):
        for cells in csv.reader(lines, delimiter=delimiter, strict=True):
            if any(map(str.strip, cells)):
                records.append(cells)
            if len(records) > _N_ROWS:
                break
    return records


def _regularity(records: list[list[str]]) -> float:
    """Return the fraction of rows that have as many cells as the header; 1 without rows."""
    header, *others = records
    return sum(len(row) == len(header) for row in others) / len(others) if others else 1.0


def named_delimiter(line: str) -> str | None:
    r"""Return the delimiter that Excel's line in front of a header names; None for other lines.

    >>> [named_delimiter(line) for line in ("sep=;\r\n", "id;text")]
    [';', None]
    """
    match = re.fullmatch(r'"?sep=([,;|\t])"?\r?\n?', line, re.IGNORECASE)
    return match[1] if match else None


def decode_head(head: bytes, encoding: str | None) -> str:
    """Return the first characters of a table, without byte-order marks."""
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")("replace")
    try:
        return decoder.decode(head).lstrip("\ufeff")
    except UnicodeError:  # such as UTF-16 without a mark, which reading the rows reports
        return ""


def is_tab_header(table: str) -> bool:
    """Whether the first line is a header with tabs, as of Excel's "Unicode text"."""
    line = table.partition("\n")[0]
    return "\t" in line and guess_delimiter(line) == "\t" and is_header(line)


def is_header(line: str) -> bool:
    """Whether a line looks like a table's header rather than a text.

    A header has several distinct names, one of them usual for texts, and no spaces after commas.

    >>> [is_header(line) for line in ("id,text", "Rates rose, text follows", "text")]
    [True, False, False]
    """
    try:
        cells = next(
            csv.reader([line.rstrip("\r\n")], delimiter=guess_delimiter(line) or ",", strict=True)
        )
    except (csv.Error, StopIteration):
        return False
    names = [cell.lower() for cell in cells]
    is_plain = all(cells) and cells == [cell.strip() for cell in cells]
    are_distinct = len({*names}) == len(names) > 1
    return is_plain and are_distinct and not ({*names}.isdisjoint(rows.TEXT_NAMES))


# Tables to write ----------------------------------------------------------------------------------


class TableDialect(NamedTuple):
    """How a table of CSV is written."""

    delimiter: str = ","
    encoding: str = "utf-8"
    has_mark: bool = False  # a byte-order mark, besides that of UTF-16
    newline: str = "\n"
    is_quoted: bool = False  # every cell, even where it isn't needed
    columns: tuple[str, ...] = ()  # those of the header, if it is a table that was read

    def with_characters(self, names: Iterable[object]) -> TableDialect:
        """Return the dialect, or UTF-8 with a mark if its encoding lacks characters of names."""
        try:
            "".join(map(str, names)).encode(self.encoding)
        except UnicodeEncodeError:
            return self._replace(encoding="utf-8", has_mark=True)
        return self


def detect_dialect(
    lines: list[bytes], delimiter: str | None, encoding: str, likely: str | None = None
) -> TableDialect:
    """Return the dialect of a table with these first lines, which are converted to UTF-8.

    Columns that are added to a table of one column are separated as in the `likely` table, or by
    what its texts don't have between quotes.
    """
    first = [_MARKS.sub(b"", line, count=1).decode(errors="replace") for line in lines]
    if separator := named_delimiter(first[0]):
        delimiter, first = delimiter or separator, first[1:] or [""]
    if delimiter is None:
        delimiter = guess_delimiter("".join(first))
    newline = "\r\n" if first[0].endswith("\r\n") else "\n"
    records = _first_records("".join(first), delimiter or _NO_DELIMITER)[:2]
    quoted = io.StringIO()
    csv.writer(quoted, delimiter=delimiter or ",", quoting=csv.QUOTE_ALL).writerows(records)
    start = quoted.getvalue().replace("\r\n", "\n").rstrip("\n")
    return TableDialect(
        delimiter or likely or _unused_delimiter("".join(first)),
        encoding,
        lines[0].startswith(codecs.BOM_UTF8),
        newline,
        bool(start) and "".join(first).replace("\r\n", "\n").startswith(start),
        tuple(filter(None, map(str.strip, records[0] if records else ()))),
    )


def _unused_delimiter(table: str) -> str:
    """Return the delimiter that the texts of one column have only in quotes, as its writer does."""
    return next(
        (d for d in _DELIMITERS if _regularity([["text"], *_first_records(table, d)]) == 1), ","
    )


def table_writer(file: BinaryIO, dialect: TableDialect) -> Any:
    """Return a writer, of the csv module, of rows to a binary file."""
    # Halves of characters, which JSON may have, are in no encoding.
    text = codecs.getwriter(dialect.encoding)(file, "backslashreplace")
    if dialect.has_mark:
        text.write("\ufeff")
    return csv.writer(
        text,
        delimiter=dialect.delimiter,
        lineterminator=dialect.newline,
        quoting=csv.QUOTE_ALL if dialect.is_quoted else csv.QUOTE_MINIMAL,
    )


def table_cell(value: Any) -> Any:
    """Return a value as a cell of a table: null is an empty cell, true and lists as in JSON."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, list):  # such as several labels of a line
        return msgspec.json.encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else value


def decimal_cell(number: object, delimiter: str | None) -> str:
    """Return a number as a cell: with a decimal comma if semicolons separate cells.

    Spreadsheets that write semicolons are of countries with a decimal comma, and take 0.991 for a
    text, or for 991.

    >>> decimal_cell(0.991, ";"), decimal_cell(0.991, ",")
    ('0,991', '0.991')
    """
    return str(number).replace(".", ",") if delimiter == ";" else str(number)


# Rows ---------------------------------------------------------------------------------------------

_decode_json = msgspec.json.Decoder().decode
_decode_flat = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# Fields of all objects of a row; and a string of JSON, with the colon after it if it names one.
_MOST_FIELDS = 4 * rows.MAX_COLUMNS
_STRING = re.compile(r'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)(\s*+:)?+', re.DOTALL)
_LABEL = re.compile(r"__label__(\S*)\s*")


def bounded_rows(
    lines: TextLines, read: Callable[[TextLines], rows.RowIterator]
) -> rows.RowIterator:
    """Yield the rows that a function reads from lines, which must have some now and then."""
    for row in read(lines):
        lines.take_row()
        yield row


def table_rows(lines: TextLines, delimiter: str | None = None) -> rows.RowIterator:
    """Yield rows of CSV with a header, which shows what separates cells by default.

    A line such as sep=; in front of it names the separator. A row with more or fewer cells than the
    header, or with a fault, is bad and keeps its cells: what is too many is in its last one.
    """
    head = lines.head.decode(errors="replace")
    separator = named_delimiter(head)
    if delimiter is None:
        # Nothing is known of a header below a blank line.
        delimiter = separator or (guess_delimiter(head) if head.strip() else ",")
    delimiter = delimiter or _NO_DELIMITER
    records = _records(lines, delimiter)
    if separator:
        next(records)
    header = next(records, None)
    if header is None:
        return
    if header.fault:
        advice = rows.join_advice([header.fault])
        raise DataError(f"{lines.name}, line {header.at}: {header.fault.problem}; {advice}.")
    names = _distinct_blanks([name.strip() for name in header.cells])
    rows.check_unique(lines.name, filter(str.strip, names))
    for record in records:
        if not record.fault and len(names) > 1 and record.cells == [""]:
            continue
        # Of a row with a fault, cells may be missing.
        n_cells = len(record.cells)
        cells = [*record.cells[: len(names) - 1], delimiter.join(record.cells[len(names) - 1 :])]
        values = dict(itertools.zip_longest(names, cells, fillvalue=""))
        if record.fault:
            yield record.fault._replace(values=values, n_bytes=record.n_bytes)
        elif n_cells == len(names):
            yield rows.SourceRow(record.at, values, n_bytes=record.n_bytes)
        else:
            problem = f"{counted(n_cells, 'cell')} instead of {len(names):,}"
            yield rows.BadRow(record.at, problem, values=values, n_bytes=record.n_bytes)


def _distinct_blanks(names: list[str]) -> list[str]:
    """Return names of columns of which those without one differ: in their blanks."""
    n_blank = itertools.count()
    return [name or _blank_name(next(n_blank)) for name in names]


def _blank_name(number: int) -> str:
    """Return a blank name: of so many spaces, or a short one of spaces and tabs.

    >>> _blank_name(2), _blank_name(33).replace(chr(9), "t")
    ('  ', 't    t')
    """
    if number <= _MOST_SPACES:
        return " " * number
    return format(number, "b").replace("0", " ").replace("1", "\t")


# Of the names of columns without one.
_MOST_SPACES = 16
_QUOTED = re.compile('"[^"]*"')


class _Record(NamedTuple):
    at: int  # number of the physical line on which it begins
    cells: list[str]
    n_bytes: int
    fault: rows.BadRow | None = None


class _CellLimit:
    """Keeps the csv module from splitting records of far more cells than a row may have.

    That would take twenty times their memory.
    """

    def __init__(self, lines: TextLines, delimiter: str) -> None:
        self._lines, self._delimiter = lines, delimiter
        self.reset()

    def reset(self) -> None:
        """Begin with another record."""
        self._n_most = self._n_cells = 0

    def apply(self, line: str, *, in_quotes: bool) -> str:
        """Return the next line of a record, which may begin in quotes.

        Once there are too many cells, which is a fault, it is only what keeps track of quotes.
        """
        n = line.count(self._delimiter)
        self._n_most += n
        if self._n_most <= rows.MAX_COLUMNS:
            return line
        if n and self._n_cells <= rows.MAX_COLUMNS:
            outside = line.partition('"')[2] if in_quotes else line
            self._n_cells += _QUOTED.sub("", outside).count(self._delimiter)
            if self._n_cells > rows.MAX_COLUMNS:
                self._lines.add_fault(f"more than {rows.MAX_COLUMNS:,} cells")
        if self._n_cells <= rows.MAX_COLUMNS:
            return line
        quote = '"' * (line.count('"') % 2)
        return f"{quote}\n" if quote and in_quotes else quote


def _records(lines: TextLines, delimiter: str) -> Iterator[_Record]:
    """Yield the records of CSV, with the header; of empty ones, only that of one quoted cell."""
    # The limit holds for the whole process, so it is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), rows.MAX_RECORD))
    at = begin = 0
    pieces: list[str] = []  # the lines of the record

    def bounded() -> Iterator[str]:
        for line in lines:
            if lines.offset - begin > rows.MAX_RECORD:
                raise DataError(
                    f"{lines.name}, line {at}: the row that begins here has more than "
                    f"{rows.MAX_RECORD:,} bytes; close its quotes, or split it."
                )
            pieces.append(line)
            yield limit.apply(line, in_quotes=lines.number > at)

    reader = csv.reader(bounded(), delimiter=delimiter, strict=True)
    limit = _CellLimit(lines, delimiter)
    while True:
        at, begin = lines.number + 1, lines.offset
        pieces.clear()
        limit.reset()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if lines.exhausted:
                raise DataError(
                    f"{lines.name}, line {at}: the row that begins here has a quote that is never "
                    "closed; close it."
                ) from error
            problem = "text after a closing quote, or a lone carriage return"
            cells = _split_leniently("".join(pieces), delimiter)
            fault = lines.take_fault() or rows.BadRow(at, problem)
            yield _Record(at, cells, lines.offset - begin, fault)
            continue
        if cells is None:
            return
        undecoded = lines.take_fault()
        if undecoded and not cells:  # of a line that wasn't split
            cells = ["".join(pieces).rstrip("\r\n")]
        if undecoded or any(map(str.strip, cells)) or cells == [""]:
            yield _Record(at, cells, lines.offset - begin, undecoded)


def _split_leniently(record: str, delimiter: str) -> list[str]:
    """Return the cells of a record with a fault; quotes in the wrong place are kept."""
    end = re.escape(delimiter)
    pattern = rf'(?:"([^"]*(?:""[^"]*)*)"|([^{end}]*))({end}|\Z)'
    cells = []
    for match in re.finditer(pattern, record.rstrip("\r\n")):
        cells.append((match[2] or "") if match[1] is None else match[1].replace('""', '"'))
        if not match[3]:
            break
    return cells


def json_rows(lines: TextLines) -> rows.RowIterator:
    """Yield rows of one JSON object per line; blank lines are skipped."""
    for line in lines:
        fault = lines.take_fault()
        if fault or not line.isspace():
            row = _json_row(lines.number, line, lines.n_bytes)
            yield fault._replace(values=row.values, n_bytes=lines.n_bytes) if fault else row


def array_rows(lines: TextLines) -> rows.RowIterator:
    """Yield rows of one JSON array of objects or of texts."""
    for at, item in enumerate(json_items(lines), 1):
        if len(item) > rows.MAX_RECORD:
            yield rows.too_long_row(at)
            continue
        try:
            data = item.decode()
        except UnicodeDecodeError as error:
            yield rows.undecodable_row(at, error, lines.encoding)
        else:
            yield _json_row(at, data, len(item), may_be_text=True)


def _json_row(
    at: int, data: str, n_bytes: int, may_be_text: bool = False
) -> rows.SourceRow | rows.BadRow:
    if _has_too_many_fields(data):
        return rows.BadRow(at, f"objects of more than {_MOST_FIELDS:,} fields")
    try:
        values = _json_values(data)
    except msgspec.DecodeError as error:
        return rows.BadRow(at, f"not valid JSON ({error})")
    except RecursionError:
        return rows.BadRow(at, "not valid JSON (nested too deeply)")
    if may_be_text and isinstance(values, str):
        values = {"text": values}
    if isinstance(values, dict) and len(values) > rows.MAX_COLUMNS:
        return rows.BadRow(at, f"an object of more than {rows.MAX_COLUMNS:,} fields")
    if isinstance(values, dict):
        return rows.make_row(at, values, n_bytes=n_bytes)
    return rows.BadRow(at, "JSON, but not an object" + " or text" * may_be_text)


def _has_too_many_fields(data: str) -> bool:
    """Whether JSON has more fields, in nested objects, too, than can be decoded in moments."""
    if data.count('"') <= 2 * _MOST_FIELDS:
        return False
    fields = (match for match in _STRING.finditer(data) if match[1])
    return sum(1 for _ in itertools.islice(fields, _MOST_FIELDS + 1)) > _MOST_FIELDS


def _json_values(data: str) -> Any:
    """Return a JSON object as a dict, or another value; nested lists and objects stay JSON."""
    try:
        return _decode_flat(data)
    except msgspec.ValidationError:  # a nested object, or no object
        whole = _decode_raw(data)
    if _first(whole) != b"{":
        return _plain(whole)
    return {name: _plain(value) for name, value in _decode_parts(whole).items()}


def _plain(value: msgspec.Raw) -> Any:
    """Return a string, number, boolean or null as a Python value; lists and objects stay JSON."""
    return value if _first(value) in (b"[", b"{") else _decode_json(value)


def _first(value: msgspec.Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def text_rows(lines: TextLines) -> rows.RowIterator:
    """Yield rows of one text per line, after any fastText labels (`__label__sport Late goal`).

    The topic of a line with several labels is a list.
    """
    return _line_rows(lines, _read_labels)


def _read_labels(line: str) -> tuple[str, Any]:
    topics, end = [], 0
    while label := _LABEL.match(line, end):
        topics.append(label[1])
        end = label.end()
    return line[end:], topics if len(topics) > 1 else next(iter(topics), None)


_URIS = re.compile(rb"[^\t\n]+\t\s*(<[a-zA-Z][\w+.-]*:[^<>\s]*>\s*)+")


def begins_with_uris(head: bytes) -> bool:
    """Whether the first line is a text, a tab and URIs in angle brackets, as Annif reads them."""
    return _URIS.fullmatch(head.partition(b"\n")[0]) is not None


def uri_rows(lines: TextLines) -> rows.RowIterator:
    """Yield rows of a text, a tab and the URIs of its topics, in angle brackets, per line."""
    return _line_rows(lines, _read_uris)


def _read_uris(line: str) -> tuple[str, Any]:
    text, tab, uris = line.partition("\t")
    topics = [uri.removeprefix("<").removesuffix(">") for uri in uris.split()]
    return text, topics if tab else None


def _line_rows(lines: TextLines, read: Callable[[str], tuple[str, Any]]) -> rows.RowIterator:
    """Yield the text and the topics that a function finds in each line."""
    for line in lines:
        fault = lines.take_fault()
        values = dict(zip(("text", "topic"), read(line.rstrip("\r\n")), strict=True))
        if fault:
            yield fault._replace(values=values, n_bytes=lines.n_bytes)
        else:
            yield rows.SourceRow(lines.number, values, n_bytes=lines.n_bytes)
