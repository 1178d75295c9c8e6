"""Excel files: rows of the first sheet, and files that are not to be opened."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus import excel
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import load_corpus
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import SourceRow
from slugline.errors import DataError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*rows: list[Any]) -> str:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for number, row in enumerate(rows, 1):
        for column, value in enumerate(row, 1):
            book.active.cell(number, column, value)
    book.create_sheet("another").append(["text", "topic"])
    book.save("a.xlsx")
    return "a.xlsx"


def test_excel_rows_have_the_row_numbers_of_the_first_sheet() -> None:
    name = write(
        [], ["body", "queue", None, "n"], ["No heat", "boiler", "x", 3], [], ["Leak", "roof"]
    )

    assert list(read_rows(name)) == [
        SourceRow(3, {"body": "No heat", "queue": "boiler", "n": 3.0}),
        SourceRow(5, {"body": "Leak", "queue": "roof", "n": ""}),
    ]


def test_excel_rows_reject_two_columns_of_one_name() -> None:
    with pytest.raises(DataError, match=r"a\.xlsx has two columns named 'text'; rename one"):
        list(read_rows(write(["text", "text"], ["a", "b"])))


@pytest.mark.parametrize("n_bytes", [0, 10, 3000, -30])
def test_excel_rows_reject_a_file_that_is_cut_off(n_bytes: int) -> None:
    path = Path(write(["text", "topic"], ["a", "x"]))
    path.write_bytes(path.read_bytes()[:n_bytes])

    with pytest.raises(DataError, match=r"a\.xlsx cannot be read as Excel \(.+\); save it again"):
        list(read_rows("a.xlsx"))


def test_excel_rows_unpack_no_part_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "MAX_UNPACKED", 20_000)

    with pytest.raises(DataError) as error:
        list(read_rows(write(["text", "topic"], ["a" * 30_000, "b"])))

    assert str(error.value) == (
        "a.xlsx cannot be read as Excel (xl/worksheets/sheet1.xml unpacks to "
        "30,686 bytes); save it again as .xlsx, or as CSV."
    )


def test_excel_rows_reject_a_part_larger_than_it_claims() -> None:
    path = Path(write(["text", "topic"], ["a" * 30_000, "x"]))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        sizes = [part.file_size for part in archive.infolist() if part.file_size > 1000]
    size = max(sizes).to_bytes(4, "little")
    path.write_bytes(bytes(data).replace(size, (100).to_bytes(4, "little")))

    with pytest.raises(DataError, match=r"a\.xlsx cannot be read as Excel"):
        list(read_rows("a.xlsx"))


def test_excel_rows_omit_a_cell_far_from_the_table() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text", "topic"])
    book.active.append(["a", "x"])
    book.active.cell(1_000_000, 16_000, "far")
    book.save("a.xlsx")

    assert [row.at for row in read_rows("a.xlsx")] == [2, 1_000_000]


def test_excel_rows_read_values_of_every_kind() -> None:
    day = datetime.datetime(2024, 2, 29)
    name = write(
        [*"abcdefgh"],
        [True, 2.5, day, day.replace(hour=13, second=1), datetime.time(8, 30), "#N/A", "=1+1", "x"],
        [datetime.timedelta(hours=30), False, 10**14, "a\r\nb", "<&>", " c ", "_x0041_", "_x000D_"],
    )

    first, second = (row.values for row in read_rows(name) if isinstance(row, SourceRow))

    assert [*first.values()] == [
        *(True, 2.5, "2024-02-29", "2024-02-29 13:00:01", "08:30:00", "", "", "x")
    ]
    assert [*second.values()] == [*("30:00:00", False, 1e14, "a\nb", "<&>", " c ", "_x0041_", "\r")]


def test_excel_rows_skip_a_chart_sheet() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text", "topic"])
    book.active.append(["a", "x"])
    book.create_chartsheet("picture", 0)
    book.save("a.xlsx")

    assert list(read_rows("a.xlsx")) == [SourceRow(2, {"text": "a", "topic": "x"})]


def test_excel_rows_read_dates_of_a_mac() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active.append(["day"])
    book.active.append([datetime.datetime(2024, 2, 29)])
    book.save("a.xlsx")

    assert list(read_rows("a.xlsx")) == [SourceRow(2, {"day": "2024-02-29"})]


def test_excel_rows_reject_old_and_encrypted_files() -> None:
    Path("a.xlsx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000))

    with pytest.raises(DataError) as error:
        list(read_rows("a.xlsx"))

    assert str(error.value) == (
        "a.xlsx cannot be read as Excel (it is in the old .xls format or password-protected); "
        "save it again as .xlsx, or as CSV."
    )


def test_load_corpus_names_the_sheet_that_is_read() -> None:
    name = write(["Report"], ["May"])

    assert read_rows(name).note == "read sheet 'Sheet', the first of 2"
    with pytest.raises(DataError, match=r"^a.xlsx \(read sheet 'Sheet', the first of 2\): "):
        load_corpus(name)


def test_workbook_skips_a_sheet_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "_N_ELEMENTS", 40)
    name = write(*[[number, -number - 1] for number in range(30)])

    rows = read_rows(name, ReadOptions(layout=Layout(("text",), "topic")))
    assert rows.note == "read sheet 'another' of 2, which has column 'text'"
    assert list(rows) == []
    rows = read_rows(name, ReadOptions(layout=Layout(("body",), "topic")))
    assert rows.note == "read sheet 'Sheet', the first of 2"
    assert len(list(rows)) == 29


def test_workbook_skips_a_cover_without_usual_columns() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Summary"
    for row in (["Tickets by month"], ["June", 40]):
        book.active.append(row)
    data = book.create_sheet("Data")
    for row in (["Opened", "Message"], ["June", "a"], ["July", "b"]):
        data.append(row)
    book.save("a.xlsx")

    rows = read_rows("a.xlsx")
    assert rows.note == "read sheet 'Data' of 2, which has column 'Message'"
    assert [row.values["Message"] for row in rows if isinstance(row, SourceRow)] == ["a", "b"]
