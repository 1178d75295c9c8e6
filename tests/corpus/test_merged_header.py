"""Headers of Excel files with merged cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import SourceRow

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(rows: list[list[Any]], merged: str) -> Path:
    """Write a workbook with merged cells."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in merged.split():
        book.active.merge_cells(cells)
    book.save("a.xlsx")
    return Path("a.xlsx")


TITLE = ["Tickets of 2026"]
DATA = [[n, f"subject {n}", f"Some text {n}.", "network", "Anna"] for n in range(1, 6)]


def header_of(path: Path, header_row: int | None = None) -> list[str]:
    """Return the column names of the first row below the header."""
    options = ReadOptions(header_row=header_row)
    row = next(row for row in read_rows(path, options) if isinstance(row, SourceRow))
    return [*row.values]


def values_of(path: Path) -> list[Any]:
    return [row.values for row in read_rows(path) if isinstance(row, SourceRow)]


def test_header_below_a_title_and_groups_names_cells_merged_with_the_row_above() -> None:
    groups = ["ID", "Message", None, "Handling", None]
    header = [None, "subject", "body", "queue", "name"]
    path = write([TITLE, groups, header, *DATA], "A1:E1 A2:A3 B2:C2 D2:E2")

    assert header_of(path) == ["ID", "subject", "body", "queue", "name"]
    assert values_of(path)[0] == {
        "ID": 1.0,
        "subject": "subject 1",
        "body": "Some text 1.",
        "queue": "network",
        "name": "Anna",
    }


def test_header_joins_groups_with_names_that_occur_twice() -> None:
    groups = ["ID", "Customer", None, "Agent", None]
    header = [None, "name", "text", "name", "queue"]
    path = write([TITLE, groups, header, *DATA], "A1:E1 A2:A3 B2:C2 D2:E2")

    assert header_of(path) == ["ID", "Customer name", "text", "Agent name", "queue"]


def test_header_numbers_columns_of_a_cell_merged_across_them() -> None:
    path = write([["text", "Notes", None, "topic"], ["a", "b", "c", "d"]], "B1:C1")

    assert values_of(path) == [{"text": "a", "Notes": "b", "Notes 2": "c", "topic": "d"}]


def test_header_row_of_the_user_takes_merged_names() -> None:
    path = write([TITLE, ["a", "b"], [None, "c"], [1, 2]], "A2:A3")

    assert header_of(path, 3) == ["a", "c"]
