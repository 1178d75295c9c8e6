"""Write single-sheet Excel files row by row."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO

from slugline.corpus.excel import MAX_ROW
from slugline.corpus.excel_copy import cell_element, cell_value, column_letters
from slugline.corpus.table_writers import CellWriter
from slugline.errors import DataError

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
            raise DataError(f"an Excel sheet holds {MAX_ROW:,} rows; write CSV.")
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
