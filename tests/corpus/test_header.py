"""The header of a table is found below titles, groups and properties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.header import HeaderHints, HeaderRow, find_header
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import read_texts
from slugline.corpus.readers import RowReader, read_dialect, read_rows
from slugline.corpus.rows import SourceRow
from slugline.corpus.tables import ExcelTable
from slugline.errors import DataError, OptionError

HEADER = ["Nr", "Betreff", "Text", "Thema"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def header_of(
    rows: list[list[str]], named: tuple[str, ...] = (), expected: tuple[str, ...] = ()
) -> int:
    found = [HeaderRow(at, cells, len(cells)) for at, cells in enumerate(rows, 1)]
    return find_header(found, HeaderHints(named=named, expected=expected))


@pytest.mark.parametrize(
    "above",
    [
        [],
        [["Export vom 3. März"]],
        [["Export vom 3. März", "", "", ""]],
        [["Stammdaten", "", "Inhalt", ""]],
        [["Export"], ["Nr", "", "Inhalt", ""]],
        [["Betreff", "Export"], ["Stand", "03.03.2026"]],
        [["Inhalt", "Inhalt", "Inhalt", "Inhalt"]],
    ],
    ids=["nothing", "title", "padded", "groups", "known group", "properties", "repeated group"],
)
def test_find_header_below(above: list[list[str]]) -> None:
    body = [[str(n), "Hilfe", "Bitte prüfen", "Netz"] for n in range(5)]

    assert header_of([*above, HEADER, *body]) == len(above)


def test_find_header_without_known_names() -> None:
    header, row = ["Wortlaut", "Zuständig", "Kunde"], ["Bitte, prüfen Sie das", "Netz", "Groß"]

    assert header_of([["Export"], header, row, row, row]) == 1
    assert header_of([["Wortlaut"], row, row, row, row[:2]]) == 0
    assert header_of([["Wortlaut"], ["Hallo", " ich will das"], *[["Hallo", " du"]] * 4]) == 0
    assert header_of([["Wortlaut"], ["Wo ist es?", "Netz"], *[["a", "b"]] * 4]) == 0


def test_find_header_prefers_named_columns() -> None:
    rows = [["Text", "Thema", "Nr"], ["A", "B", "C"], ["x", "y", "z"]]

    assert header_of(rows, named=("B",)) == 1
    assert header_of(rows, named=("C,A",)) == 1
    assert header_of(rows, expected=("y",)) == 2
    assert header_of(rows, named=("B",), expected=("y",)) == 1
    assert header_of(rows, named=("Q",), expected=("y",)) == 2
    assert header_of([["Text", "", ""], ["Nr", "Text", "Thema"]], named=("Text",)) == 1


def test_read_rows_reads_a_named_header_row() -> None:
    Path("a.csv").write_text("x;y\ntext;topic\nNr;Text\n1;Hallo du\n", "utf-8")
    [row] = read_rows("a.csv", ReadOptions(header_row=3))

    assert row == SourceRow(4, {"Nr": "1", "Text": "Hallo du"})


@pytest.mark.parametrize("row", [2, 9])
def test_read_rows_rejects_a_header_row_without_names(row: int) -> None:
    Path("a.csv").write_text("x;y\n;\nNr;Text\n1;Hallo du\n", "utf-8")
    with pytest.raises(DataError) as error:
        read_rows("a.csv", ReadOptions(header_row=row))

    assert str(error.value) == (
        f"a.csv: row {row} is empty; pass the header row with `header_row`, or leave it out."
    )


@pytest.mark.parametrize("row", [0, "3", 2.5, True])
def test_read_rows_rejects_a_header_row_that_is_no_row(row: Any) -> None:
    Path("a.csv").write_text("text,topic\nWheat rose,grain\n", "utf-8")
    with pytest.raises(OptionError) as caught:
        read_rows("a.csv", ReadOptions(header_row=row))
    assert str(caught.value) == f"`header_row` is {row!r}; give a whole number of at least 1."


def sheet(*rows: list[object]) -> str:
    with Path("a.xlsx").open("wb") as file:
        table = ExcelTable(file)
        for row in rows:
            table.write_cells(row)
        table.finish()
    return "a.xlsx"


def test_excel_rows_are_below_a_title_or_a_named_row() -> None:
    path = sheet(["Export"], [], ["Nr", "Text"], [7, "Hallo du"])
    rows = read_rows(path)

    assert rows.note == "read the header in row 3"
    assert list(rows) == [SourceRow(4, {"Nr": 7.0, "Text": "Hallo du"})]
    assert list(read_rows(path, ReadOptions(header_row=4))) == []
    with pytest.raises(DataError, match="'Sheet': row 2 is empty; pass the header row"):
        list(read_rows(path, ReadOptions(header_row=2)))


def test_read_dialect_keeps_the_rows_above_the_header() -> None:
    table = "Export für März;;\r\n;;\r\nNr;Betreff;Text\r\n1;a;b\r\n"
    Path("a.csv").write_bytes(table.encode("cp1252"))
    rows = read_rows("a.csv", ReadOptions(encoding="cp1252"))
    assert len(list(rows)) == 1
    dialect = read_dialect(rows)

    assert dialect.preamble == "Export für März;;\r\n;;\r\n"
    assert dialect.columns == ("Nr", "Betreff", "Text")


@pytest.mark.parametrize(
    "cells", ["00{n}", "INC00{n}", "T-{n}", "{n}.03.2026 14:22", "{n},50 €"], ids=str
)
def test_find_columns_rejects_texts_that_are_numbers_or_ids(cells: str) -> None:
    texts = [cells.format(n=n) for n in range(11, 16)]
    rows = RowReader("a", "csv", iter([SourceRow(2, {"Text": text, "x": "y"}) for text in texts]))
    with pytest.raises(DataError) as error:
        read_texts(rows)

    assert str(error.value) == (
        f"a contains only numbers or ids, such as {texts[0]!r}, in column 'Text'; found 'Text', "
        "'x'; pass the text column with `text`, or the header row with "
        "`header_row`."
    )
