"""Copy an Excel file, adding cells to its table and leaving everything else unchanged.

Libraries that load and save a workbook lose charts, pictures, forms and some formatting, and take a
kilobyte of memory per cell. This module copies the parts of the archive and edits only the sheet,
its tables and the workbook's list of filters, as streams.
"""

from __future__ import annotations

import io
import json
import math
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from slugline.base.files import file_state
from slugline.corpus.excel import (
    MAX_COLUMN,
    MAX_UNPACKED,
    PIECE,
    SheetShape,
    Workbook,
    column_number,
    excel_errors,
    open_part,
    parse_range,
    refuse_doctype,
)
from slugline.corpus.header import NO_HINTS, HeaderHints
from slugline.corpus.table_writers import TableWriter, table_cell
from slugline.errors import DataError

#: Maximum number of characters in a cell.
MAX_CELL = 32_767
# The largest integer that a cell stores exactly.
_MAX_INTEGER = 2**53
# Characters not allowed in XML, and text that looks like an escape of one.
_ESCAPED = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)"
)
# Maximum size in bytes of a part that defines a table.
_MAX_TABLE = 1 << 20
_MAX_PARTS = 10_000
# Default and maximum width of a new column, in characters.
_WIDTH, _MAX_WIDTH = 16, 60


def escape_cell(text: str, cell: str = "a cell") -> str:
    """Escape control characters as Excel does; raise DataError if the text is too long.

    `cell` describes the cell in the message.
    """
    text = _ESCAPED.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
    if len(text) > MAX_CELL:
        raise DataError(
            f"{cell} has {len(text):,} characters, but Excel allows {MAX_CELL:,}; write CSV."
        )
    return text


def column_letters(number: int) -> str:
    """Return the letters of a column, given its 1-based number.

    >>> [column_letters(number) for number in (1, 26, 27, 16_384)]
    ['A', 'Z', 'AA', 'XFD']
    """
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


class ExcelCopy(TableWriter):
    """Writer of a copy of an Excel file with new cells in its table.

    New columns are added after the last one. Rows must be written in order; rows that aren't
    written stay unchanged.

    Parameters
    ----------
    file : binary file
    path : Path
        File to copy, which must not change until `finish` returns.
    hints : HeaderHints, optional
        See `Workbook`.

    Raises
    ------
    DataError : if the file can't be read, or is too large when unpacked.
    """

    def __init__(self, file: BinaryIO, path: Path, hints: HeaderHints = NO_HINTS) -> None:
        self._file, self._path = file, path
        self._state = file_state(path)
        with excel_errors(path), zipfile.ZipFile(path) as archive:
            _check_parts(archive)
            self._shape = Workbook(archive, hints).shape()
        self.source_columns = [*self._shape.header.values()]
        self._numbers = {name: number for number, name in self._shape.header.items()}
        self._new = NewColumns(self._shape, ())
        # New cells of each row, in row order.
        self._cells: IO[str] = io.StringIO()

    def begin(self, columns: Sequence[str], types: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        """Set the columns of new cells; raise DataError if the sheet has no room for them."""
        names = [name for name in columns if name not in self._numbers]
        if self._shape.n_columns + len(names) > MAX_COLUMN:
            raise DataError(
                f"{self._path} has no free columns for the answers after column "
                f"{column_letters(self._shape.n_columns)}; delete unused columns, or write CSV."
            )
        self._new = NewColumns(self._shape, [escape_cell(name) for name in names])
        self._numbers |= {name: at for at, name in enumerate(names, self._new.first)}
        self._cells = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` closes it
        if self._shape.header:
            self.write_row({name: name for name in names}, self._shape.header_row)

    def write_row(self, row: Mapping[str, Any] | None, at: int | str = 0) -> None:
        """Write the new cells of a row by column; None clears the row."""
        if row != {}:
            cells = row and sorted((self._numbers[name], cell_value(row[name])) for name in row)
            json.dump([at, cells], self._cells)
            self._cells.write("\n")

    def finish(self) -> None:
        """Write the file; raise DataError if the original has changed since it was opened."""
        self._cells.seek(0)
        shape, new = self._shape, self._new
        sheet = _SheetEditor(new, map(json.loads, self._cells))
        editors: dict[str, XmlEditor] = {}
        if new.names:
            editors |= {part: _TableEditor(new) for part in shape.tables}
            editors[shape.workbook] = _WorkbookEditor(shape.sheet_index)
        editors[shape.sheet] = sheet
        with excel_errors(self._path), zipfile.ZipFile(self._path) as archive:
            if file_state(self._path) != self._state:
                raise DataError(f"{self._path} was changed while it was read; try again.")
            _copy_parts(archive, self._file, editors)
            if not sheet.is_done:
                raise ValueError("rows are missing or reordered")

    def close(self) -> None:
        """Discard pending cells."""
        self._cells.close()


def _copy_parts(archive: zipfile.ZipFile, file: BinaryIO, editors: Mapping[str, XmlEditor]) -> None:
    """Copy the parts of an archive, applying editors to some of them."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for info in archive.NameToInfo.values():
            editor = editors.get(info.filename)
            if isinstance(editor, _TableEditor) and info.file_size > _MAX_TABLE:
                editor = None
            copy = zipfile.ZipInfo(info.filename, info.date_time)
            copy.compress_type = zipfile.ZIP_DEFLATED
            with open_part(archive, info) as part, target.open(copy, "w") as written:
                for piece in iter(lambda: part.read(PIECE), b""):
                    written.write(piece if editor is None else editor.edit(piece))
                if editor is not None:
                    written.write(editor.edit(b""))


def _check_parts(archive: zipfile.ZipFile) -> None:
    n_bytes = sum(info.file_size for info in archive.NameToInfo.values())
    if n_bytes > MAX_UNPACKED or len(archive.NameToInfo) > _MAX_PARTS:
        raise DataError(
            f"{archive.filename} is too large to add answers to: it unpacks to {n_bytes:,} bytes "
            f"in {len(archive.NameToInfo):,} parts, and the limits are {MAX_UNPACKED:,} bytes and "
            f"{_MAX_PARTS:,} parts; write CSV instead."
        )


def cell_value(value: Any, cell: str = "a cell") -> Any:
    """Convert a value for a cell; lists and numbers that Excel can't store exactly become text.

    `cell` describes the cell in error messages.
    """
    if value is None or isinstance(value, bool):
        return value
    is_number = isinstance(value, int) and abs(value) <= _MAX_INTEGER
    if is_number or (isinstance(value, float) and math.isfinite(value)):
        return value
    return escape_cell(str(table_cell(value)), cell)


class NewColumns:
    """Location and names of new columns in a sheet.

    Attributes
    ----------
    first, last : int
        1-based column numbers.
    """

    def __init__(self, shape: SheetShape, names: Sequence[str]) -> None:
        self.header_row, self.names = shape.header_row, names
        self.first, self.last = shape.n_columns + 1, shape.n_columns + len(names)

    def widened(self, place: str, *, from_header: bool = True) -> str:
        """Extend a range by the new columns if it ends right before them.

        With `from_header`, for tables and filters, the range must also begin in the header row.
        """
        cells = parse_range(place)
        if cells is None:
            return place
        is_adjacent = cells.last == self.first - 1
        if from_header and not (is_adjacent and cells.first_row == self.header_row):
            return place
        start = f"{column_letters(cells.first)}{cells.first_row}"
        return f"{start}:{column_letters(self.last)}{cells.last_row}"


def cell_element(place: str, value: Any, prefix: str = "", style: str = "") -> str:
    """Return the XML of a cell."""
    start = f'<{prefix}c r="{place}"' + (f" s={quoteattr(style)}" if style else "")
    end = f"</{prefix}c>"
    if isinstance(value, str):
        return (
            f'{start} t="inlineStr"><{prefix}is><{prefix}t xml:space="preserve">{_escape(value)}'
            f"</{prefix}t></{prefix}is>{end}"
        )
    if isinstance(value, bool):
        return f'{start} t="b"><{prefix}v>{int(value)}</{prefix}v>{end}'
    return f"{start}><{prefix}v>{value!r}</{prefix}v>{end}"


# Editors of the parts -----------------------------------------------------------------------------


class Edit(NamedTuple):
    """Changes at a tag: text to insert before it, new attributes, or its removal."""

    before: str = ""
    attributes: Mapping[str, str] | None = None
    is_cut: bool = False  # True to remove the tag and its element


#: Leaves the tag unchanged.
NO_EDIT = Edit()


class XmlEditor:
    """Incremental XML editor; writes UTF-8, without comments and processing instructions."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_text
        self._parser.StartDoctypeDeclHandler = refuse_doctype
        self._output = ['<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n']
        self._depth = self._cut_depth = 0
        self._is_tag_open = False  # True if the last start tag may become self-closing

    def edit(self, piece: bytes) -> bytes:
        """Return the edited XML so far; pass an empty piece at the end."""
        self._parser.Parse(piece, not piece)
        output, self._output = "".join(self._output), []
        return output.encode()

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:
        """Return the edit for a start tag."""
        raise NotImplementedError

    def end(self, name: str) -> str:  # noqa: ARG002
        """Return the text to write before an end tag."""
        return ""

    def _write(self, text: str) -> None:
        if text:
            self._output.append(f">{text}" if self._is_tag_open else text)
            self._is_tag_open = False

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        edit = self.begin(*_split(tag), attributes)
        if self._cut_depth:
            return
        self._write(edit.before)
        if edit.is_cut:
            self._cut_depth = self._depth
        else:
            kept = attributes if edit.attributes is None else edit.attributes
            self._write(f"<{tag}{_format_attributes(kept)}")
            self._is_tag_open = True

    def _end(self, tag: str) -> None:
        if not self._cut_depth:
            self._write(self.end(_split(tag)[0]))
            self._output.append("/>" if self._is_tag_open else f"</{tag}>")
            self._is_tag_open = False
        elif self._depth == self._cut_depth:
            self._cut_depth = 0
        self._depth -= 1

    def _add_text(self, text: str) -> None:
        if not self._cut_depth:
            self._write(_escape(text))


def _escape(text: str) -> str:
    return escape(text, {"\r": "&#13;"})  # parsers read a bare carriage return as a line feed


def _format_attributes(attributes: Mapping[str, str]) -> str:
    return "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())


def _split(tag: str) -> tuple[str, str]:
    """Split a name into its local name and its prefix, including the colon."""
    prefix, colon, name = tag.rpartition(":")
    return name, prefix + colon


class _SheetEditor(XmlEditor):
    """Replaces and adds cells of a sheet, and clears rows.

    `rows` yields the number of each row and its new cells as (column, value) pairs, or None to
    clear the row.
    """

    def __init__(self, new: NewColumns, rows: Iterator[list[Any]]) -> None:
        super().__init__()
        self._new, self._rows = new, rows
        self._next: list[Any] | None = next(rows, None)
        self._row = self._column = 0
        self._values: dict[int, Any] = {}  # pending cells of the row
        self._prefix = self._style = ""
        self._cols: list[dict[str, str]] = []

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:
        """Return the edit for a start tag."""
        self._prefix = prefix
        if name == "c":
            return self._begin_cell(attributes)
        if name == "row":
            return self._begin_row(attributes)
        return self._widen(name, attributes) if self._new.names else NO_EDIT

    def _widen(self, name: str, attributes: dict[str, str]) -> Edit:
        """Return the edit that extends an element describing all columns by the new ones."""
        if name == "col":
            self._cols.append(attributes)
        elif name == "cols":
            return Edit(is_cut=True)
        elif name == "sheetData":
            return Edit(before=self._col_elements())
        elif name in ("dimension", "autoFilter") and "ref" in attributes:
            ref = self._new.widened(attributes["ref"], from_header=name == "autoFilter")
            return Edit(attributes=attributes | {"ref": ref})
        return NO_EDIT

    @property
    def is_done(self) -> bool:
        """True if all rows have been found."""
        return self._next is None

    def end(self, name: str) -> str:
        """Return the new cells at the end of a row."""
        return self._take_cells(MAX_COLUMN + 1) if name == "row" else ""

    def _begin_row(self, attributes: dict[str, str]) -> Edit:
        self._row, self._column = int(attributes.get("r", self._row + 1)), 0
        self._style = ""
        if self._next is None or self._next[0] != self._row:
            return NO_EDIT
        (_, values), self._next = self._next, next(self._rows, None)
        if values is None:
            return Edit(is_cut=True)
        self._values = dict(values)
        # "spans", the first and last column of the row, is optional.
        return Edit(attributes={key: attributes[key] for key in attributes if key != "spans"})

    def _begin_cell(self, attributes: dict[str, str]) -> Edit:
        self._column = column_number(attributes["r"]) if "r" in attributes else self._column + 1
        is_old = self._column < self._new.first
        style = attributes.get("s", "")
        if is_old and self._row == self._new.header_row:
            self._style = style  # style of the last column name
        before = self._take_cells(self._column)
        if self._column not in self._values:
            return Edit(before=before)
        # Existing cells in new columns are empty; their formats were meant for other content.
        value = self._values.pop(self._column)
        return Edit(before + self._cell(self._column, value, style if is_old else ""), is_cut=True)

    def _take_cells(self, stop: int) -> str:
        """Remove and return the pending cells before a column."""
        columns = [column for column in self._values if column < stop]
        return "".join(self._cell(column, self._values.pop(column)) for column in columns)

    def _cell(self, column: int, value: Any, style: str = "") -> str:
        """Return the XML of a cell; new column names take the style of the last one."""
        if value is None:
            return ""
        place = f"{column_letters(column)}{self._row}"
        is_new = column >= self._new.first
        return cell_element(place, value, self._prefix, self._style if is_new else style)

    def _col_elements(self) -> str:
        """Return the XML of the column widths, old and new; new columns are never hidden."""
        first, last = self._new.first, self._new.last
        widths: list[dict[str, str]] = []
        for col in self._cols:
            start, end = int(col.get("min", 0)), int(col.get("max", 0))
            widths += [
                col | {"min": str(low), "max": str(high)}
                for low, high in ((start, min(end, first - 1)), (max(start, last + 1), end))
                if low <= high
            ]
        for column, name in enumerate(self._new.names, first):
            width = str(min(max(_WIDTH, len(name) + 2), _MAX_WIDTH))
            place = str(column)
            widths.append({"min": place, "max": place, "width": width, "customWidth": "1"})
        widths.sort(key=lambda col: int(col["min"]))
        elements = "".join(f"<{self._prefix}col{_format_attributes(col)}/>" for col in widths)
        return f"<{self._prefix}cols>{elements}</{self._prefix}cols>"


class _TableEditor(XmlEditor):
    """Extends an Excel table by adjacent new columns, so that they are sorted with it."""

    def __init__(self, new: NewColumns) -> None:
        super().__init__()
        self._new, self._prefix = new, ""
        self._is_wide, self._last_id = False, 0

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:
        """Return the edit for a start tag."""
        self._prefix = prefix
        if name == "tableColumn":
            self._last_id = max(self._last_id, int(attributes.get("id", 0)))
        ref = self._new.widened(attributes.get("ref", ""))
        if name == "table":
            has_header = attributes.get("headerRowCount", "1") != "0"
            is_own = attributes.get("tableType", "worksheet") == "worksheet"
            self._is_wide = has_header and is_own and ref != attributes.get("ref", "")
        if not self._is_wide:
            return NO_EDIT
        if name == "tableColumns":
            count = int(attributes.get("count", 0)) + len(self._new.names)
            return Edit(attributes=attributes | {"count": str(count)})
        return Edit(attributes=attributes | {"ref": ref}) if name in _RANGES else NO_EDIT

    def end(self, name: str) -> str:
        """Return the XML of the new columns, after the existing ones."""
        if name != "tableColumns" or not self._is_wide:
            return ""
        names = (name.replace("\n", "_x000a_").replace("\r", "_x000d_") for name in self._new.names)
        return "".join(
            f'<{self._prefix}tableColumn id="{number}" name={quoteattr(name)}/>'
            for number, name in enumerate(names, self._last_id + 1)
        )


_RANGES = ("table", "autoFilter")


class _WorkbookEditor(XmlEditor):
    """Removes the defined name of a sheet's old filter range; spreadsheet programs recreate it."""

    def __init__(self, sheet_index: int) -> None:
        super().__init__()
        self._filter = ("_xlnm._FilterDatabase", str(sheet_index))

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:  # noqa: ARG002
        """Return the edit for a start tag."""
        place = (attributes.get("name"), attributes.get("localSheetId"))
        return Edit(is_cut=True) if name == "definedName" and place == self._filter else NO_EDIT
