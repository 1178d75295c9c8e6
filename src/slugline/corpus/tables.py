"""Write tables to files, in a format chosen by extension, or to bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, BinaryIO

from slugline.corpus.dialects import TableDialect
from slugline.corpus.excel_table import ExcelTable
from slugline.corpus.table_writers import CellWriter, CsvTable, JsonTable, TableWriter

#: Default delimiter by file extension.
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def new_table(file: BinaryIO, ending: str, dialect: TableDialect | None = None) -> TableWriter:
    """Return a writer for a new table: .csv, .tsv, .jsonl, .ndjson, .json or .xlsx.

    The dialect of CSV and TSV defaults to UTF-8 with the default delimiter.
    """
    if ending == ".xlsx":
        return ExcelTable(file)
    if ending not in DELIMITERS:
        return JsonTable(file, is_array=ending == ".json")
    return CsvTable(file, dialect or TableDialect(DELIMITERS[ending]))


def rows_file(rows: Iterable[Mapping[str, Any]], ending: str, dialect: TableDialect) -> bytes:
    """Format rows as a file, with the union of their columns, in the format of an extension.

    CSV is written as UTF-8 if the dialect's encoding can't represent all characters of the rows.
    """
    rows = [*rows]
    dialect = dialect.with_characters(cell for row in rows for cell in row.values())
    file = io.BytesIO()
    with closing(new_table(file, ending, dialect)) as table:
        table.begin([*dict.fromkeys(name for row in rows for name in row)])
        for row in rows:
            table.write_row(row)
        table.finish()
    return file.getvalue()


def csv_file(rows: Iterable[Iterable[Any]], dialect: TableDialect) -> bytes:
    """Format rows of cells as CSV."""
    file = io.BytesIO()
    return _fill(CsvTable(file, dialect), file, rows)


def table_file(rows: Iterable[Iterable[Any]], delimiter: str | None) -> bytes:
    """Format rows of cells as CSV, or as an Excel file if the delimiter is None.

    CSV is UTF-8 with a byte-order mark, which spreadsheets need.
    """
    file = io.BytesIO()
    if delimiter is None:
        return _fill(ExcelTable(file), file, rows)
    return _fill(CsvTable(file, TableDialect(delimiter, has_mark=True)), file, rows)


def _fill(table: CellWriter, file: io.BytesIO, rows: Iterable[Iterable[Any]]) -> bytes:
    with closing(table):
        for row in rows:
            table.write_cells(row)
        table.finish()
    return file.getvalue()
