"""Read rows from a sheet of an Excel file."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import posixpath
import re
import textwrap
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.parsers import expat

from slugline.base.checks import short_repr
from slugline.base.interruption import check_interruption
from slugline.corpus import rows
from slugline.corpus.header import (
    N_SEARCHED,
    NO_HINTS,
    HeaderHints,
    HeaderRow,
    check_unique,
    empty_header_row,
    find_header,
    has_columns,
    usual_names,
)
from slugline.errors import DataError

#: Maximum size of an unpacked part in bytes, and of the text of a sheet's cells in characters:
#: many cells can share one long string.
MAX_UNPACKED = 200_000_000
#: Maximum number of XML elements in a sheet, in the shared strings and in any other part; maximum
#: number of cells in a table.
MAX_ELEMENTS, MAX_STRINGS, MAX_OTHERS, MAX_CELLS = 4_000_000, 2_000_000, 200_000, 20_000_000
# Maximum compression ratio of a part of more than a megabyte. Sheets have ratios of 5 to 30;
# millions of empty cells in a file of a few kilobytes reach 1,000.
_MAX_RATIO, _MIN_DENSE = 100, 1 << 20
#: Excel's own limits.
MAX_ROW, MAX_COLUMN = 1_048_576, 16_384
# Limits on the XML parser's memory: bytes per tag, distinct names, and open elements.
_MAX_TAG, _MAX_NAMES, _MAX_DEPTH = 1 << 20, 20_000, 100
#: Number of bytes to read at a time.
PIECE = 1 << 16
_PLACE = re.compile(r"([A-Z]{1,3})[1-9][0-9]{0,6}")
_RANGE = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?")
# Names of the textless elements in use.
_EMPTY_ELEMENTS = frozenset(
    ("row", "xf", "cellXfs", "numFmt", "mergeCell", "sheet", "workbookPr", "Relationship")
)
# Escaped control characters, and escaped underscores in text that looks like an escape.
_ESCAPE = re.compile(r"_x00([01][0-9A-Fa-f]|5[Ff])_")
# First bytes of .xls files and of password-protected files.
_OLD_START = bytes.fromhex("d0cf11e0a1b11ae1")
# Numbers of Excel's built-in date and time formats; custom formats are recognized by their letters
# outside quotes.
_DATE_FORMATS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_MAX_FORMAT, _DURATION_FORMAT = 255, 46
_QUOTED = re.compile(r'"[^"]*"|[\\_].|\[(?![hms]+\])[^\]]*\]|general')
# Number of rows above the header whose merged cells may name columns.
_N_ABOVE = 10
# Number of sheets to search for the header, and of XML elements to read from each.
_N_SHEETS, _N_ELEMENTS = 20, 20_000
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_READ_ERRORS = (*_ZIP_ERRORS, expat.ExpatError, LookupError, ValueError)


def open_excel(path: Path, hints: HeaderHints = NO_HINTS) -> tuple[rows.RowIterator, str]:
    """Return the rows below the header, and a note on which part of the file is read.

    Unnamed columns and empty rows are left out. Dates and times are text, as in CSV. See `Workbook`
    for the sheet and the header. Raises DataError, also while iterating, if the file can't be read.
    """
    with excel_errors(path):
        archive = zipfile.ZipFile(path)
        book = Workbook(archive, hints)
    return _table_rows(path, archive, book), book.note()


@contextlib.contextmanager
def excel_errors(path: Path) -> Iterator[None]:
    """Convert errors when opening and reading an Excel file to DataError."""
    with rows.translate_os_errors(str(path)):
        try:
            with path.open("rb") as file:
                if file.read(len(_OLD_START)) == _OLD_START:
                    raise ValueError("it is in the old .xls format or password-protected")
            yield
        except DataError:
            raise
        except _READ_ERRORS as error:
            reason = textwrap.shorten(str(error), 200)
            raise DataError(
                f"{path} cannot be read as Excel ({reason}); save it again as .xlsx, or as CSV."
            ) from error


def _table_rows(path: Path, archive: zipfile.ZipFile, book: Workbook) -> rows.RowIterator:
    names: dict[int, str] = {}
    with excel_errors(path), archive:
        for n_rows, (at, cells) in enumerate(book.rows()):
            if n_rows * len(names) > MAX_CELLS:
                raise ValueError(f"its table has more than {MAX_CELLS:,} cells")
            if cells is None:
                yield rows.too_long_row(at)
            elif names:
                values = {name: cells.get(column, "") for column, name in names.items()}
                yield rows.make_row(at, values)
            else:
                names = _header(cells)
                check_unique(str(path), names.values())


def _header(cells: dict[int, Any]) -> dict[int, str]:
    """Return the names of named columns by column number."""
    texts = ((column, str(cells[column]).strip()) for column in sorted(cells))
    return {column: text for column, text in texts if text}


class _Sheet(NamedTuple):
    part: str
    name: str
    number: int  # 0-based, including chart sheets


class SheetShape(NamedTuple):
    """The location of a sheet in its archive, and of the table in the sheet.

    Attributes
    ----------
    sheet, workbook : str
        Parts of the archive that contain the sheet and the workbook.
    sheet_index : int
        0-based index of the sheet.
    tables : frozenset of str
        Parts that define Excel tables in the sheet.
    header_row : int
        1-based number of the header row.
    header : dict of int to str
        Column names by 1-based column number.
    n_columns : int
        1-based number of the last non-empty or merged column.
    """

    sheet: str
    workbook: str
    sheet_index: int
    tables: frozenset[str]
    header_row: int
    header: dict[int, str]
    n_columns: int


class Workbook:
    """The table of an Excel file, in the first sheet with known columns or else with cells.

    Parameters
    ----------
    archive : zipfile.ZipFile
    hints : HeaderHints, optional
        Reads the first sheet with all named columns, else with all expected columns, else the first
        sheet. `find_header` locates its header.

    Raises ValueError, LookupError or an error of zipfile or expat if the file can't be read.
    """

    def __init__(self, archive: zipfile.ZipFile, hints: HeaderHints = NO_HINTS) -> None:
        self._archive = archive
        books = [part for kind, part in self._related("").values() if kind == "officeDocument"]
        if not books:
            raise ValueError("it has no workbook")
        self._part = books[0]
        related = self._related(self._part)
        self._origin = datetime(1899, 12, 30)
        sheets: list[tuple[str, _Sheet]] = []
        for name, attributes, _ in self._elements(self._part):
            if name == "sheet":
                ids = (value for key, value in attributes.items() if key.endswith(":id"))
                kind, part = related.get(next(ids, ""), ("", ""))
                sheets.append((kind, _Sheet(part, attributes.get("name", ""), len(sheets))))
            elif name == "workbookPr" and attributes.get("date1904") in ("1", "true"):
                self._origin = datetime(1904, 1, 1)
        self._sheets = [sheet for kind, sheet in sheets if kind == "worksheet"]
        if not self._sheets:
            raise ValueError("it has no sheet with cells")
        self._sheet = self._sheets[0]
        parts = dict(related.values())
        # Kept as bytes, because a single rare character quadruples the size of a str.
        self._strings = [
            _unescape(text).encode()
            for name, _, text in self._elements(parts.get("sharedStrings"), MAX_STRINGS)
            if name == "si"
        ]
        self._formats = self._date_formats(parts.get("styles"))
        # Header row; 0 if it is the first row with cells.
        self._header_row = hints.row or 0
        self._first_row = self._merged_column = 0
        self._hints = hints
        self._columns: tuple[str, ...] = ()  # the named or expected columns, if found
        if hints.row is None:
            self._find_table()

    def _find_table(self) -> None:
        """Choose the first sheet with known or common columns, else the first, and its header."""
        sheets, first_rows = self._sheets[:_N_SHEETS], functools.cache(self._first_rows)
        for columns in (self._hints.named, self._hints.expected):
            for sheet in sheets if columns else ():
                if any(has_columns(row.names(), columns) for row in first_rows(sheet)):
                    self._choose(sheet, first_rows(sheet), HeaderHints(named=columns), columns)
                    return
        for sheet in sheets:
            first = first_rows(sheet)
            if not first:  # report a damaged sheet instead of skipping it
                break
            # A header without rows below it is not a table.
            usual = max((usual_names(row.names()) for row in first[:-1]), key=len, default=())
            if usual:
                self._choose(sheet, first, NO_HINTS, () if sheet is sheets[0] else usual)
                return
        self._choose(sheets[0], first_rows(sheets[0]))

    def _first_rows(self, sheet: _Sheet) -> list[HeaderRow]:
        found: list[HeaderRow] = []
        # Reading the rows reports errors.
        with contextlib.suppress(*_READ_ERRORS):
            for at, cells in itertools.islice(self._all_rows(sheet.part, _N_ELEMENTS), N_SEARCHED):
                found.append(HeaderRow(at, [*_header(cells or {}).values()]))
        return found

    def _choose(
        self,
        sheet: _Sheet,
        first: Sequence[HeaderRow],
        hints: HeaderHints = NO_HINTS,
        columns: tuple[str, ...] = (),
    ) -> None:
        """Select a sheet that contains the given columns, and find its header."""
        self._sheet, self._columns, self._merged_column = sheet, columns, 0
        index = find_header(first, hints)
        self._header_row = first[index].at if index else 0

    def note(self) -> str:
        """Return a note on which sheet and rows are read; empty for all of them."""
        columns = f"column{'s' * (len(self._columns) > 1)} "
        columns += " and ".join(map(short_repr, self._columns))
        which = f", which has {columns}" if self._columns else ""
        header = f"the header in row {self._header_row}" if self._header_row else ""
        name, n_sheets = short_repr(self._sheet.name), len(self._sheets)
        if self._sheet is not self._sheets[0]:
            below = f", {header}" if header else ""
            return f"read sheet {name} of {n_sheets:,}, which has {columns}{below}"
        first = f"read sheet {name}, the first of {n_sheets:,}" if n_sheets > 1 else ""
        below = f"read {header}{which}" if header else ""
        return "; ".join(filter(None, (first, below)))

    def shape(self) -> SheetShape:
        """Return the location of the table, which requires reading its rows."""
        header, header_row, n_columns = dict[int, str](), 1, 0
        for at, cells in self.rows():
            if cells is None:
                continue
            n_columns = max(n_columns, *cells)
            if not header:
                header, header_row = _header(cells), at
        try:
            related = [*self._related(self._sheet.part).values()]
        except KeyError:  # no relationships
            related = []
        return SheetShape(
            self._sheet.part,
            self._part,
            self._sheet.number,
            frozenset(part for kind, part in related if kind == "table"),
            header_row,
            header,
            max(n_columns, self._merged_column),
        )

    def rows(self) -> Iterator[tuple[int, dict[int, Any] | None]]:
        """Yield the number and the cells by column of each row of the table, header first.

        Empty rows are left out; cells are None if the row is too long. Blank header cells covered
        by merged cells take the merged text. Raises ValueError if there are too many XML elements.
        """
        numbered = self._all_rows(self._sheet.part, MAX_ELEMENTS)
        above: dict[int, dict[int, Any]] = {}
        for at, cells in numbered:
            above[at] = cells or {}
            if at >= self._header_row:
                break
            if len(above) > _N_ABOVE:
                above.pop(min(above))
        else:
            return
        if self._hints.row not in (None, at):
            raise empty_header_row(short_repr(self._sheet.name), int(self._hints.row or 0))
        self._first_row = at
        following = [*itertools.islice(numbered, 1)]
        yield at, cells and self._name_merged(at, above, following[0][1] if following else None)
        yield from following
        yield from numbered

    def _name_merged(
        self, at: int, above: dict[int, dict[int, Any]], below: dict[int, Any] | None
    ) -> dict[int, Any]:
        """Return the header cells, with blank ones filled from merged cells."""
        names = _header(above[at])
        n_columns = max([*names, *(below or ())], default=0)
        if len({*names.values()}) < n_columns:  # blank or duplicate names
            merged = (
                parse_range(attributes.get("ref", ""))
                for name, attributes, _ in self._elements(self._sheet.part, MAX_ELEMENTS)
                if name == "mergeCell"
            )
            used = (cells for cells in merged if cells and cells.first_row <= at)
            first = itertools.islice(used, _MAX_MERGED)
            names = _name_columns(names, at, above, below or (), first)
        return above[at] | names

    def _all_rows(
        self, sheet: str, max_elements: int
    ) -> Iterator[tuple[int, dict[int, Any] | None]]:
        """Yield the number and cells of each non-empty row; cells are None if it is too long."""
        at = column = n_characters = total = 0
        cells: dict[int, Any] = {}
        for name, attributes, text in self._elements(sheet, max_elements):
            if name == "row":
                if n_characters:
                    yield at, cells if n_characters <= rows.MAX_RECORD else None
                at, column, n_characters, cells = int(attributes.get("r", at + 1)), 0, 0, {}
            elif name == "c":
                column = column_number(attributes["r"]) if "r" in attributes else column + 1
                kind = attributes.get("t", "n")
                content = self._strings[int(text)] if kind == "s" and text else text
                n_characters += len(content.strip())
                total += len(content)
                if content and n_characters <= rows.MAX_RECORD:
                    cells[column] = self._value(kind, content, int(attributes.get("s", 0)))
            elif name == "mergeCell":
                self._add_merged(parse_range(attributes.get("ref", "")))
            if not (0 <= at <= MAX_ROW and column <= MAX_COLUMN):
                raise ValueError(
                    f"it has a cell in row {at:,}, column {column:,}, outside an Excel sheet"
                )
            if total > MAX_UNPACKED:
                raise ValueError(f"its cells have more than {MAX_UNPACKED:,} characters")
        if n_characters:
            yield at, cells if n_characters <= rows.MAX_RECORD else None

    def _add_merged(self, cells: CellRange | None) -> None:
        """Record the last column of merged cells, unless they are above the table."""
        if cells is not None and cells.last_row >= self._first_row:
            self._merged_column = max(self._merged_column, cells.last)

    def _value(self, kind: str, content: str | bytes, style: int) -> Any:
        """Return the value of a cell; "" if its formula failed."""
        if isinstance(content, bytes):
            return content.decode()
        if kind == "n":
            number = float(content)
            form = self._formats[style] if style < len(self._formats) else ""
            if form:
                return _format_date(number, form, self._origin)
            return number if math.isfinite(number) else content
        return content == "1" if kind == "b" else "" if kind == "e" else _unescape(content)

    def _date_formats(self, part: str | None) -> list[str]:
        """Return "date", "duration" or "" for each cell style."""
        codes: dict[int, str] = {}
        formats: list[str] = []
        for name, attributes, _ in self._elements(part):
            number = int(attributes.get("numFmtId", 0))
            if name == "numFmt":
                code = _QUOTED.sub("", attributes.get("formatCode", "")[:_MAX_FORMAT].lower())
                kind = "duration" if "[" in code else "date"
                codes[number] = kind if set(code) & {*"dmyhs"} else ""
            elif name == "cellXfs":
                formats = []
            elif name == "xf":
                usual = "duration" if number == _DURATION_FORMAT else "date"
                formats.append(codes.get(number, usual * (number in _DATE_FORMATS)))
        return formats

    def _related(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the kind and name of each related part by relationship id."""
        folder, name = posixpath.split(part)
        return {
            attributes["Id"]: (
                attributes["Type"].rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, attributes["Target"])).lstrip("/"),
            )
            for name, attributes, _ in self._elements(f"{folder}/_rels/{name}.rels".lstrip("/"))
            if name == "Relationship" and attributes.get("TargetMode") != "External"
        }

    def _elements(self, part: str | None, max_elements: int = MAX_OTHERS) -> Iterator[_Element]:
        """Yield up to `max_elements` elements of a part; none if the part doesn't exist."""
        if part is None:
            return
        parser, n_read = _Parser(max_elements), 0
        # Reading to the end verifies the declared size.
        with open_part(self._archive, self._archive.getinfo(part)) as file:
            while piece := file.read(PIECE):
                check_interruption()
                n_read += len(piece)
                yield from parser.parse(piece, n_read)
        yield from parser.parse(b"", n_read)


def displayed_text(cell: Any) -> Any:
    """Return a number or boolean as Excel displays it, and any other cell unchanged.

    >>> [displayed_text(cell) for cell in (12345.0, 0.1, True, "a", None)]
    ['12345', '0.1', 'TRUE', 'a', None]
    """
    if isinstance(cell, bool):
        return str(cell).upper()
    return f"{cell:.15g}" if isinstance(cell, int | float) else cell


def open_part(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Open a part of an archive; raise ValueError if it may take too much memory."""
    # Other methods may need gigabytes for their dictionaries.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} uses an unsupported compression method")
    is_dense = info.file_size > max(_MAX_RATIO * info.compress_size, _MIN_DENSE)
    if info.file_size > MAX_UNPACKED or is_dense:
        packed = f" from {info.compress_size:,}" if is_dense else ""
        raise ValueError(f"{info.filename} unpacks to {info.file_size:,} bytes{packed}")
    return archive.open(info)


class _Element(NamedTuple):
    name: str  # without its namespace
    attributes: dict[str, str]
    text: str  # of a cell or a shared string


class _Parser:
    """Incremental parser; emits cells and shared strings when they end, others when they begin."""

    def __init__(self, max_elements: int) -> None:
        self._max_elements = max_elements
        self._names: dict[str, str] = {}
        self._parser = expat.ParserCreate(intern=self._names)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = refuse_doctype
        self._elements: list[_Element] = []
        self._depth = self._n_elements = self._n_characters = 0
        self._owner = _Element("", {}, "")
        self._texts: list[str] = []
        self._is_phonetic = False

    def parse(self, piece: bytes, n_read: int) -> list[_Element]:
        """Return the elements completed by the next piece; pass an empty piece at the end."""
        self._parser.Parse(piece, not piece)
        if n_read - self._parser.CurrentByteIndex > _MAX_TAG or len(self._names) > _MAX_NAMES:
            raise ValueError("its XML contains oversized tags or too many names")
        elements, self._elements = self._elements, []
        return elements

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2] if ":" in tag else tag
        self._depth += 1
        self._n_elements += 1
        if self._depth > _MAX_DEPTH or self._n_elements > self._max_elements:
            raise ValueError(
                f"its XML has more than {self._max_elements:,} elements or {_MAX_DEPTH} levels"
            )
        if name in ("c", "si"):
            self._owner = _Element(name, attributes, "")
            self._texts, self._n_characters = [], 0
        elif name in ("t", "v") and not self._is_phonetic:
            self._parser.CharacterDataHandler = self._add_text
        elif name == "rPh":
            self._is_phonetic = True
        elif name in _EMPTY_ELEMENTS:
            self._elements.append(_Element(name, attributes, ""))

    def _end(self, tag: str) -> None:
        name = tag.rpartition(":")[2] if ":" in tag else tag
        self._depth -= 1
        if name in ("c", "si"):
            self._elements.append(self._owner._replace(text="".join(self._texts)))
        elif name in ("t", "v"):
            self._parser.CharacterDataHandler = None
        elif name == "rPh":
            self._is_phonetic = False

    def _add_text(self, text: str) -> None:
        self._n_characters += len(text)
        if self._n_characters > rows.MAX_RECORD:
            raise ValueError(f"a cell has more than {rows.MAX_RECORD:,} characters")
        self._texts.append(text)


def refuse_doctype(*_: object) -> None:
    """Raise ValueError, as a handler for expat."""
    # A DOCTYPE can define entities that expand exponentially.
    raise ValueError("its XML has a DOCTYPE")


def column_number(place: str) -> int:
    """Return the 1-based column of a cell such as B12."""
    match = _PLACE.fullmatch(place)
    if match is None:
        raise ValueError(f"it has a cell at {place[:20]!r}")
    return _letters_number(match[1])


def _letters_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


class CellRange(NamedTuple):
    """1-based, inclusive row and column range."""

    first_row: int
    last_row: int
    first: int
    last: int


def parse_range(ref: str) -> CellRange | None:
    """Parse a range such as "B1:C2" or "$B$1"; None if it is invalid."""
    match = _RANGE.fullmatch(ref)
    if match is None:
        return None
    first, first_row, last, last_row = match.groups()
    first_column = _letters_number(first)
    last_column = _letters_number(last) if last else first_column
    return CellRange(int(first_row), int(last_row or first_row), first_column, last_column)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x00" in text else text


def _format_date(days: float, form: str, origin: datetime) -> str:
    """Format a date, time or both as ISO 8601, or a duration as hours:minutes:seconds."""
    try:
        duration = timedelta(seconds=round(days * 86_400))
        moment = origin + duration
    except (OverflowError, ValueError):
        return str(days)
    if form == "duration":
        return f"{duration // timedelta(hours=1)}:{moment:%M:%S}"
    if 0 <= days < 1:
        return f"{moment:%H:%M:%S}"
    return str(moment if moment.time() != origin.time() else moment.date())


# Merged cells -------------------------------------------------------------------------------------

# Maximum number of merged cells used.
_MAX_MERGED = 1000


def _name_columns(
    header: Mapping[int, str],
    at: int,
    above: Mapping[int, Mapping[int, Any]],
    below: Iterable[int],
    merged: Iterable[CellRange],
) -> dict[int, str]:
    """Return the column names, with unnamed columns named after merged cells.

    Duplicate names are extended by the name of their group: the text of merged cells above some of
    the columns.

    Parameters
    ----------
    header : mapping of int to str
        Names by column.
    at : int
        Header row.
    above : mapping of int to mapping of int to object
        Cells by column, of the header and the rows above it.
    below : iterable of int
        Columns with a cell in the row below. A cell merged across several columns names only these,
        with numbers added; the others have no cells of their own.
    merged : iterable of CellRange
        Merged cells; the top left cell contains their text.
    """
    names, below = dict(header), {*below}
    texts = {
        each: str(above.get(each.first_row, {}).get(each.first, "")).strip() for each in merged
    }
    texts = {each: text for each, text in texts.items() if text}
    for each, text in texts.items():
        if each.last_row >= at:
            names.setdefault(each.first, text)
            for column in below.intersection(range(each.first + 1, each.last + 1)):
                names.setdefault(column, f"{text} {column - each.first + 1}")
    counts = Counter(names.values())
    for each, text in texts.items():
        is_title = each.first <= min(names) and each.last >= max(names)
        if each.last_row == at - 1 and not is_title:
            columns = (column for column in names if each.first <= column <= each.last)
            names |= {n: f"{text} {names[n]}" for n in columns if counts[names[n]] > 1}
    return names
