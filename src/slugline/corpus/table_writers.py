"""Table writers for each format, and conversion of values to cells."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import msgspec

from slugline.corpus.dialects import TableDialect
from slugline.corpus.rows import compact

# Characters that start spreadsheet formulas; and numbers, which may start with the same characters.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*")


class TableWriter:
    """Base class of writers, which write the rows of a table in one format.

    Call `begin`, then `write_row` for each row, then `finish`. Always call `close`.

    Attributes
    ----------
    source_columns : list of str or None
        Columns of the file that the writer copies, whose cells need not be written; None if it
        doesn't copy a file.
    has_lists : bool
        True if cells may be lists.
    delimiter : str or None
        Delimiter between cells, if a spreadsheet may read the file as CSV.
    """

    source_columns: list[str] | None = None
    has_lists = False
    delimiter: str | None = None

    def begin(self, columns: Sequence[str], types: Mapping[str, str] | None = None) -> None:
        """Set the columns to write; `types` are SQL types for Parquet."""
        raise NotImplementedError

    def write_row(self, row: Mapping[str, Any], at: int | str = 0) -> None:
        """Write the cells of a row by column; in a copy of a file, other cells stay unchanged.

        Only `ExcelCopy` needs the row's number in that file, `at`.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Write the end of the file."""

    def close(self) -> None:
        """Release the writer's resources; the file passed to it stays open."""


class CellWriter(TableWriter):
    """Base class of writers that write cells in column order."""

    def begin(self, columns: Sequence[str], types: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        """Write the header."""
        self._columns = columns
        self.write_cells(columns)

    def write_row(self, row: Mapping[str, Any], at: int | str = 0) -> None:  # noqa: ARG002
        """Write the cells of a row by column, ignoring other columns."""
        self.write_cells(row.get(name) for name in self._columns)

    def write_cells(self, cells: Iterable[Any]) -> None:
        """Write the cells of a row in column order."""
        raise NotImplementedError


class CsvTable(CellWriter):
    """Writer of CSV or TSV to a binary file."""

    def __init__(self, file: BinaryIO, dialect: TableDialect) -> None:
        self.delimiter = dialect.delimiter
        # JSON may contain lone surrogates, which no encoding can represent.
        text = codecs.getwriter(dialect.encoding)(file, "backslashreplace")
        if dialect.has_mark:
            text.write("\ufeff")
        text.write(dialect.preamble)
        self._writer = csv.writer(
            text,
            delimiter=dialect.delimiter,
            lineterminator=dialect.newline,
            quoting=csv.QUOTE_ALL if dialect.is_quoted else csv.QUOTE_MINIMAL,
        )

    def write_cells(self, cells: Iterable[Any]) -> None:
        """Write the cells of a row in column order."""
        self._writer.writerow(map(table_cell, cells))


class JsonTable(TableWriter):
    """Writer of JSON objects: one per line, or in an array."""

    has_lists = True

    def __init__(self, file: BinaryIO, *, is_array: bool = False) -> None:
        self._file, self._is_array = file, is_array
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._separator = b""

    def begin(self, columns: Sequence[str], types: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        """Write the start of an array; column names are written with each object."""
        self._file.write(b"[" if self._is_array else b"")

    def write_row(self, row: Mapping[str, Any], at: int | str = 0) -> None:  # noqa: ARG002
        """Write an object with all cells of a row."""
        line = self._encode({name: compact(cell) for name, cell in row.items()})
        self._file.write(self._separator + line + b"\n" * (not self._is_array))
        self._separator = b",\n" if self._is_array else b""

    def finish(self) -> None:
        """Write the end of an array."""
        self._file.write(b"]\n" if self._is_array else b"")


# Cells --------------------------------------------------------------------------------------------


def table_cell(value: Any) -> Any:
    """Convert a value to a table cell: empty for null; true, false and lists as in JSON."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, list):  # for example several labels of a line
        return msgspec.json.encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else value


def decimal_cell(number: object, delimiter: str | None) -> str:
    """Format a number as a cell, with a decimal comma if semicolons separate cells.

    In locales with a decimal comma, spreadsheets separate cells by semicolons, and read 0.991 as
    text or as 991.

    >>> decimal_cell(0.991, ";"), decimal_cell(0.991, ",")
    ('0,991', '0.991')
    """
    return str(number).replace(".", ",") if delimiter == ";" else str(number)


def guard_cell(value: Any) -> Any:
    """Prevent spreadsheets from evaluating a cell as a formula.

    Formulas are prefixed with an apostrophe, as OWASP advises.

    >>> [guard_cell(value) for value in ("=1+1", "＝1+1", "-3.5", -3.5, "a-b")]
    ["'=1+1", "'＝1+1", '-3.5', -3.5, 'a-b']
    """
    cell = table_cell(value)
    if not isinstance(cell, str) or not cell.startswith(_FORMULA) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"
