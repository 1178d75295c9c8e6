"""Excel files: rows of the first sheet, and files that are not to be opened."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus import tables
from slugline.corpus.loading import load_corpus
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import SourceRow
from slugline.errors import DataError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("python_calamine")
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


def test_the_first_sheet_is_read_with_its_own_row_numbers() -> None:
    name = write(
        [], ["body", "queue", None, "n"], ["No heat", "boiler", "x", 3], [], ["Leak", "roof"]
    )

    assert list(read_rows(name)) == [
        SourceRow(3, {"body": "No heat", "queue": "boiler", "n": 3.0}),
        SourceRow(5, {"body": "Leak", "queue": "roof", "n": ""}),
    ]


def test_whole_numbers_are_topics_without_a_point() -> None:
    corpus = load_corpus(write(["text", "topic"], ["a", 3], ["b", 4.0], ["c", 2.5]))

    assert corpus.topics == ["3", "4", "2.5"]


def test_a_bad_row_is_named_by_its_number_in_the_sheet() -> None:
    with pytest.raises(DataError, match=r"a\.xlsx: 1 of 2 rows can't be used: .* \(row 4\)"):
        load_corpus(write(["text", "topic"], ["a", "x"], [], ["b"]))


def test_two_columns_of_one_name_are_an_error() -> None:
    with pytest.raises(DataError, match=r"a\.xlsx has two columns named 'text'; rename one"):
        list(read_rows(write(["text", "text"], ["a", "b"])))


def test_an_empty_sheet_holds_no_documents() -> None:
    with pytest.raises(DataError, match=r"a\.xlsx holds no documents"):
        load_corpus(write())


@pytest.mark.parametrize("n_bytes", [0, 10, 3000, -30])
def test_a_file_that_is_cut_off_is_an_error(n_bytes: int) -> None:
    path = Path(write(["text", "topic"], ["a", "x"]))
    path.write_bytes(path.read_bytes()[:n_bytes])

    with pytest.raises(
        DataError, match=r"a\.xlsx is not a complete Excel file \(.+\); save it again"
    ):
        list(read_rows("a.xlsx"))


def test_a_zip_bomb_is_not_unpacked() -> None:
    with zipfile.ZipFile("a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 50_000_000)

    with pytest.raises(DataError) as error:
        list(read_rows("a.xlsx"))

    assert str(error.value) == (
        "a.xlsx unpacks to 50,000,000 bytes, more than is likely or fits into memory; save it as "
        "CSV."
    )


def test_a_file_that_is_larger_than_it_claims_is_an_error() -> None:
    path = Path(write(["text", "topic"], ["a" * 30_000, "x"]))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        sizes = [part.file_size for part in archive.infolist() if part.file_size > 1000]
    size = max(sizes).to_bytes(4, "little")
    path.write_bytes(bytes(data).replace(size, (100).to_bytes(4, "little")))

    with pytest.raises(DataError, match=r"a\.xlsx is not a complete Excel file"):
        list(read_rows("a.xlsx"))


def test_a_sheet_that_spans_billions_of_cells_is_not_spread_out() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.cell(1, 1, "text")
    book.active.cell(1_000_000, 16_000, "far")
    book.save("a.xlsx")

    with pytest.raises(DataError) as error:
        list(read_rows("a.xlsx"))

    assert str(error.value) == (
        "a.xlsx has cells as far as row 1,000,000 and column 16,000; delete what is beside and "
        "below the table, or save it as CSV."
    )


def test_a_place_between_two_pieces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(["text", "topic"], *[["a", "x"]] * 40)
    monkeypatch.setattr(tables, "MAX_CELLS", 41 * 2 - 1)
    for size in (7, 64, 1000):
        monkeypatch.setattr(tables, "_PIECE", size)
        with pytest.raises(DataError, match="row 41 and column 2"):
            list(read_rows(name))


def test_excel_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(["text", "topic"])
    monkeypatch.setitem(sys.modules, "python_calamine", None)

    with pytest.raises(DataError) as error:
        list(read_rows(name))

    assert str(error.value) == (
        "Excel files need the package python-calamine, which is not installed; "
        'pip install "slugline[excel]".'
    )
