"""Write tables to files, in a format chosen by extension, or to bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, BinaryIO

from slugline.corpus.dialects import TableDialect
from slugline.corpus.excel import MAX_ROW
from slugline.corpus.excel_copy import cell_element, cell_value, column_letters
from slugline.corpus.table_writers import CellWriter, CsvTable, JsonTable, TableWriter
from slugline.errors import DataError

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


# New Excel files ----------------------------------------------------------------------------------

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_SHEET = "xl/worksheets/sheet1.xml"


def _relation(kind: str, target: str) -> str:
    return (
        f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/{kind}" Target="{target}"/></Relationships>'
    )


# All parts of the file except the sheet.
_PARTS = {
    "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/{_SHEET}" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": _relation("officeDocument", "xl/workbook.xml"),
    "xl/workbook.xml": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
    '<sheet name="Sheet" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
}
_FROZEN = (
    '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" '
    'activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
)


class ExcelTable(CellWriter):
    """Writer of an Excel sheet whose first row is frozen.

    Strings are never converted to numbers, dates or formulas.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        for name, content in _PARTS.items():
            self._archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        # `ZipInfo` has a fixed date, so output is reproducible.
        sheet = zipfile.ZipInfo(_SHEET)
        sheet.compress_type = zipfile.ZIP_DEFLATED
        self._sheet = self._archive.open(sheet, "w", force_zip64=True)
        self._n_rows = 0
        self._write(f'{_XML}<worksheet xmlns="{_MAIN}">{_FROZEN}<sheetData>')

    def _write(self, text: str) -> None:
        self._sheet.write(text.encode())

    def write_cells(self, cells: Iterable[Any]) -> None:
        """Write a row; raise DataError if the sheet is full or a text is too long."""
        self._n_rows += 1
        if self._n_rows > MAX_ROW:
            raise DataError(f"an Excel sheet is limited to {MAX_ROW:,} rows; write CSV.")
        row, elements = self._n_rows, []
        for column, cell in enumerate(cells, 1):
            value = cell_value(cell, f"a cell in row {row:,}")
            if value is not None and value != "":
                elements.append(cell_element(f"{column_letters(column)}{row}", value))
        self._write(f'<row r="{row}">{"".join(elements)}</row>')

    def finish(self) -> None:
        """Write the end of the file."""
        self._write("</sheetData></worksheet>")
        self._sheet.close()
        self._archive.close()

    def close(self) -> None:
        """Close the file if it is unfinished."""
        self._sheet.close()
        self._archive.close()
