"""Columns added to an Excel file: the new cells are right, and all else is as it was."""

from __future__ import annotations

import datetime
import io
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus import excel, excel_copy
from slugline.corpus.excel_copy import ExcelCopy, column_letters
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import SourceRow
from slugline.errors import DataError

_NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def add(path: Path, names: list[str], rows: dict[int, list[Any]]) -> Path:
    """Return a copy of an Excel file with columns."""
    target = path.with_name(f"new-{path.name}")
    with target.open("wb") as file, closing(ExcelCopy(file, path)) as copy:
        copy.begin(names)
        for at, cells in rows.items():
            copy.write_row(dict(zip(names, cells, strict=True)), at)
        copy.finish()
    return target


def change(path: Path, changes: dict[int, dict[str, Any] | None]) -> Path:
    """Return a copy of an Excel file with changed cells."""
    target = Path("b.xlsx")
    with target.open("wb") as file, closing(ExcelCopy(file, path)) as copy:
        copy.begin([name for cells in changes.values() for name in cells or ()])
        for at, cells in changes.items():
            copy.write_row(cells, at)
        copy.finish()
    return target


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_part(path: Path, name: str, content: str | bytes) -> Path:
    """Return a file of which one part is changed, or added."""
    changed = parts(path) | {name: content.encode() if isinstance(content, str) else content}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, data in changed.items():
            archive.writestr(part, data)
    return path


def simple(sheet: str | bytes | None = None) -> Path:
    """Return a workbook of a table with two columns, or with a sheet of one's own."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["nr", "text"])
    book.active.append([1, "Late goal"])
    book.save("a.xlsx")
    path = Path("a.xlsx")
    return path if sheet is None else with_part(path, SHEET, sheet)


def sheet_of(path: Path) -> Any:
    openpyxl = pytest.importorskip("openpyxl")
    return openpyxl.load_workbook(path).active


def help_desk() -> Path:
    """Return a workbook as people have them, with what such files can hold."""
    openpyxl = pytest.importorskip("openpyxl")
    charts, styles = map(pytest.importorskip, ("openpyxl.chart", "openpyxl.styles"))
    validation = pytest.importorskip("openpyxl.worksheet.datavalidation")
    rules = pytest.importorskip("openpyxl.formatting.rule")
    comments = pytest.importorskip("openpyxl.comments")

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Tickets"
    sheet.append(["Ticket", "Datum", "Betrag", "Nachricht", "doppelt"])
    for cell in sheet[1]:
        cell.font = styles.Font(bold=True)
    for row in range(2, 12):
        sheet.append(
            [row, datetime.datetime(2025, 1, row), 12.5 * row, "=SUMME(A1) Grüße", f"=C{row}*2"]
        )
        sheet.cell(row, 2).number_format = "DD.MM.YYYY"
        sheet.cell(row, 3).number_format = '#,##0.00 "€"'
        sheet.cell(row, 4).data_type = "s"
    sheet["A2"].hyperlink = "https://example.com/2"
    sheet["A3"].comment = comments.Comment("urgent", "desk")
    sheet["H5"].fill = sheet["F6"].fill = styles.PatternFill("solid", fgColor="FF0000")  # empty
    sheet.freeze_panes = "B2"
    sheet.column_dimensions["D"].width = 60
    sheet.row_dimensions[3].height = 40
    sheet.auto_filter.ref = "A1:E11"
    sheet.conditional_formatting.add(
        "C2:C11", rules.CellIsRule(operator="greaterThan", formula=["50"])
    )
    choice = validation.DataValidation(type="list", formula1='"a,b"')
    choice.add("D2:D11")
    sheet.add_data_validation(choice)
    notes = book.create_sheet("Notizen")
    notes["A1"] = "=SUM(Tickets!C2:C11)"
    chart = charts.BarChart()
    chart.add_data(charts.Reference(sheet, min_col=3, min_row=1, max_row=11), titles_from_data=True)
    notes.add_chart(chart, "C3")
    book.save("a.xlsx")
    return Path("a.xlsx")


def test_excel_copy_keep_everything_else(tmp_path: Path) -> None:
    source = help_desk()
    target = add(source, ["Thema", "probability"], {r: ["Rechnung", 0.5] for r in range(2, 12)})

    old, new = parts(source), parts(target)
    changed = {name for name in old if old[name] != new[name]}
    assert [*new] == [*old]
    assert changed == {SHEET, "xl/workbook.xml"}
    before, after = sheet_of(source), sheet_of(target)
    for row in before.iter_rows(max_col=5):
        for cell in row:
            copy = after[cell.coordinate]
            same = ("value", "data_type", "number_format", "_style")
            assert [getattr(copy, name) for name in same] == [getattr(cell, name) for name in same]
    assert after["B2"].value == datetime.datetime(2025, 1, 2)
    assert after["A2"].hyperlink.target == "https://example.com/2"
    assert after["A3"].comment.text == "urgent"
    assert after.freeze_panes == "B2"
    assert after.column_dimensions["D"].width == 60
    assert after.row_dimensions[3].height == 40
    assert len(after.data_validations.dataValidation) == 1
    assert len(after.conditional_formatting) == 1


def test_excel_copy_follow_the_table_and_look_like_it() -> None:
    target = add(help_desk(), ["Thema", "probability", "error"], {2: ["=1+1", 0.5, None]})

    sheet = sheet_of(target)
    assert [cell.value for cell in sheet[1]][5:8] == ["Thema", "probability", "error"]
    assert sheet["F1"].font.bold
    assert [cell.value for cell in sheet[2]][5:8] == ["=1+1", 0.5, None]
    assert [sheet["F2"].data_type, sheet["G2"].data_type] == ["s", "n"]
    assert sheet["F2"].font.bold is False
    # What is sorted or filtered by one column takes the answers along.
    assert sheet.auto_filter.ref == "A1:H11"
    assert b"_FilterDatabase" not in parts(target)["xl/workbook.xml"]
    assert sheet.column_dimensions["F"].width == 16


def test_excel_copy_replace_only_empty_cells() -> None:
    target = add(help_desk(), ["x", "y"], {5: ["a", "b"], 6: ["c", "d"]})

    sheet = sheet_of(target)
    assert [sheet[place].value for place in ("F5", "G5", "H5", "F6", "G6")] == [
        *("a", "b", None, "c", "d")
    ]
    assert sheet["H5"].fill.fgColor.rgb == "00FF0000"  # behind the new columns


def test_excel_copy_are_read_by_excel_rows() -> None:
    target = add(simple(), ["topic"], {2: ["a\x07b_x0041_ <&> \r\n é 😀"]})

    (row,) = read_rows(target)
    assert isinstance(row, SourceRow)
    assert row.values == {"nr": 1.0, "text": "Late goal", "topic": "a\x07b_x0041_ <&> \r\n é 😀"}


@pytest.mark.parametrize(
    ("value", "stored"),
    [(3, 3), (2**60, str(2**60)), (True, True), (0.25, 0.25), (float("nan"), "nan"), (None, None)],
)
def test_excel_copy_hold_numbers_as_numbers(value: Any, stored: Any) -> None:
    assert sheet_of(add(simple(), ["topic"], {2: [value]}))["C2"].value == stored


def test_excel_copy_extend_an_adjacent_table() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    tables_module = pytest.importorskip("openpyxl.worksheet.table")

    book = openpyxl.Workbook()
    for row in (["nr", "text"], [1, "a"], [2, "b"]):
        book.active.append(row)
    book.active.add_table(tables_module.Table(displayName="Tickets", ref="A1:B3"))
    book.save("a.xlsx")

    sheet = sheet_of(add(Path("a.xlsx"), ["topic", "a\nb"], {2: ["x", 1], 3: ["y", 2]}))
    (table,) = sheet.tables.values()
    assert (table.ref, table.autoFilter.ref) == ("A1:D3", "A1:D3")
    assert table.column_names == ["nr", "text", "topic", "a\nb"]
    assert b'name="a_x000a_b"' in parts(Path("new-a.xlsx"))["xl/tables/table1.xml"]
    assert [column.id for column in table.tableColumns] == [1, 2, 3, 4]


def test_excel_copy_leave_another_table_unchanged() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    tables_module = pytest.importorskip("openpyxl.worksheet.table")

    book = openpyxl.Workbook()
    for row in (["nr", "text", "note"], [1, "a", "n"], [2, "b", "n"]):
        book.active.append(row)
    book.active.add_table(tables_module.Table(displayName="Tickets", ref="A1:B3"))
    book.save("a.xlsx")

    (table,) = sheet_of(add(Path("a.xlsx"), ["topic"], {2: ["x"]})).tables.values()
    assert table.ref == "A1:B3"


def test_excel_copy_are_behind_merged_cells_too() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in ([], [], ["text"], ["a"]):
        book.active.append(row)
    book.active["A3"] = "text"
    book.active["A4"] = "a"
    book.active.merge_cells("A1:H1")
    book.active.merge_cells("A4:C4")
    book.save("a.xlsx")

    sheet = sheet_of(add(Path("a.xlsx"), ["topic"], {4: ["x"]}))
    assert (sheet["D3"].value, sheet["D4"].value) == ("topic", "x")
    assert sorted(map(str, sheet.merged_cells.ranges)) == ["A1:H1", "A4:C4"]


_ROWS = '<row r="1" spans="1:1"><c r="A1" t="str"><v>text</v></c></row><row><c><v>7</v></c></row>'


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        (
            f'<worksheet {_NS}><cols><col min="1" max="16384" hidden="1"/></cols>'
            f"<sheetData>{_ROWS}</sheetData></worksheet>",
            f'<worksheet {_NS}><cols><col min="1" max="1" hidden="1"/><col min="2" max="2" '
            'width="16" customWidth="1"/><col min="3" max="16384" hidden="1"/></cols><sheetData>',
        ),
        (
            f"<worksheet {_NS}><dimension ref='A1' /><sheetData>{_ROWS}</sheetData></worksheet>",
            f'<worksheet {_NS}><dimension ref="A1:B1"/><cols>',
        ),
    ],
    ids=["hidden columns", "dimension"],
)
def test_excel_copy_are_shown_and_counted(sheet: str, expected: str) -> None:
    target = add(simple(sheet), ["topic"], {2: ["x"]})

    new = parts(target)[SHEET].decode()
    assert new.partition("?>\n")[2].startswith(expected)
    assert '<row r="1"><c r="A1" t="str">' in new
    assert sheet_of(target)["B2"].value == "x"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_excel_copy_accept_other_encodings_and_prefixes(encoding: str, prefix: str) -> None:
    simple()
    name = f"xmlns:{prefix[:-1]}" if prefix else "xmlns"
    sheet = (
        f'<?xml version="1.0" encoding="{encoding.removesuffix("-le")}"?>'
        f'<worksheet {name}="urn:a"><sheetData>'
        '<row><c t="str"><v>Größe &amp; text</v></c></row>'
        '<row><c t="str"><v>é</v></c></row></sheetData></worksheet>'
    )
    for tag in ("worksheet", "sheetData", "row", "c ", "c>", "v>"):
        sheet = sheet.replace(f"<{tag}", f"<{prefix}{tag}").replace(f"</{tag}", f"</{prefix}{tag}")
    data = sheet.encode(encoding)
    path = with_part(Path("a.xlsx"), SHEET, data if encoding != "utf-16-le" else b"\xff\xfe" + data)

    target = add(path, ["Thema ß"], {2: ["ä"]})

    assert [row.values for row in read_rows(target) if isinstance(row, SourceRow)] == [
        {"Größe & text": "é", "Thema ß": "ä"}
    ]


def test_excel_copy_reject_a_sheet_without_room() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.active["XFD2"] = "far"
    book.save("a.xlsx")

    with pytest.raises(DataError, match="has no free columns for the answers after column XFD"):
        add(Path("a.xlsx"), ["topic"], {})


def test_excel_copy_reject_a_file_that_was_changed() -> None:
    path = simple()
    columns = ExcelCopy(io.BytesIO(), path)
    columns.begin(["topic"])
    with_part(path, "xl/more.bin", b"more")
    with pytest.raises(DataError, match=r"a\.xlsx was changed while it was read"):
        columns.finish()
    columns.close()


@pytest.mark.parametrize(
    ("name", "most"), [("_MAX_PARTS", 9), ("MAX_UNPACKED", 50_000)], ids=["parts", "bytes"]
)
def test_excel_copy_reject_a_file_that_unpacks_to_too_much(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_part(simple(), "xl/media/picture.bin", bytes(60_000))
    monkeypatch.setattr(excel_copy, name, most)
    with pytest.raises(
        DataError, match=r"it unpacks to .* bytes in .* parts, .*; write CSV instead\."
    ):
        ExcelCopy(io.BytesIO(), path)


def test_excel_copy_reject_a_part_of_another_size() -> None:
    path = with_part(simple(), "xl/media/picture.bin", bytes(60_000))
    size = (60_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (100).to_bytes(4, "little")))
    columns = ExcelCopy(io.BytesIO(), path)
    columns.begin(["topic"])
    with pytest.raises(DataError, match=r"a\.xlsx cannot be read as Excel"):
        columns.finish()
    columns.close()


def test_excel_copy_reject_a_cell_that_is_too_long() -> None:
    columns = ExcelCopy(io.BytesIO(), simple())
    with pytest.raises(DataError, match="a cell has 40,000 characters"):
        columns.begin(["x" * 40_000])
    columns.close()


# Changed cells ------------------------------------------------------------------------------------


def test_excel_copy_replaces_cells_and_empties_rows() -> None:
    source = help_desk()
    change(source, {2: {"Nachricht": "=neu"}, 3: None, 4: {"doppelt": 7}})

    before, after = sheet_of(source), sheet_of(Path("b.xlsx"))
    assert (after["D2"].value, after["D2"].data_type, after["E4"].value) == ("=neu", "s", 7)
    assert [cell.value for cell in after[3]] == [None] * len(after[3])
    changed = {"D2", "E4", *(f"{letter}3" for letter in "ABCDEFGH")}
    for row in before.iter_rows():
        for cell in row:
            if cell.coordinate not in changed:
                copy = after[cell.coordinate]
                assert (copy.value, copy._style) == (cell.value, cell._style)
    old, new = parts(source), parts(Path("b.xlsx"))
    assert {name for name in old if old[name] != new[name]} == {SHEET}


def test_excel_copy_fills_cells_that_are_not_there() -> None:
    rows = '<row r="1" spans="1:3"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>b</v></c>'
    rows += '<c r="C1" t="str"><v>c</v></c></row><row r="2"><c r="B2"><v>5</v></c></row>'
    source = simple(f"<worksheet {_NS}><sheetData>{rows}</sheetData></worksheet>")

    change(source, {2: {"c": "z", "a": "x"}})

    assert [cell.value for cell in sheet_of(Path("b.xlsx"))[2]] == ["x", 5, "z"]
    with pytest.raises(DataError, match="rows are missing or reordered"):
        change(source, {3: {"a": "x"}})


def test_column_letters_are_the_inverse_of_column_number() -> None:
    for number in (1, 26, 27, 702, 703, excel.MAX_COLUMN):
        assert excel.column_number(f"{column_letters(number)}1") == number
