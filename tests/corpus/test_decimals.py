"""Numbers with a decimal comma."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.documents import cells_of
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import read_corpus
from slugline.corpus.topic_cells import have_decimal_commas
from slugline.text.table_columns import TableColumn


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["48,42", "1.234,56", "7"], True),
        (["1,234", "5,678"], True),  # the separator of the table decides
        (["1.234", "2.345"], False),
        (["48,42", "3.14"], False),
        (["02.10.2026", "48,42"], False),
        (["48,42", "rot, blau", "gelb"], False),
        (["48,42", None, "", 3.0], True),
        (["1,2,3", "48,42"], False),
    ],
)
def test_have_decimal_commas_of_columns(cells: list[Any], expected: bool) -> None:
    assert have_decimal_commas(cells) is expected


@pytest.mark.parametrize(
    ("separator", "amounts", "numbers"),
    [
        (";", ["48,42", "1.234", "1.234,5"], [48.42, 1234.0, 1234.5]),
        ("\t", ["1,234", "5,678", "x"], ["1,234", "5,678", "x"]),
        ("\t", ["1,234", "5,678", ""], [1.234, 5.678, ""]),
        (";", ["48.42", "1.234", "7"], ["48.42", "1.234", "7"]),
        (",", ['"48,42"', '"1,234"', "7"], ["48,42", "1,234", "7"]),
    ],
)
def test_load_corpus_reads_decimal_commas_of_extra_columns(
    tmp_path: Path, separator: str, amounts: list[str], numbers: list[object]
) -> None:
    rows = [["text", "amount", "topic"], *(["wheat corn", amount, "x"] for amount in amounts)]
    path = tmp_path / "a.csv"
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    corpus = read_corpus(path, ReadOptions(text="text", topic="topic", columns=("amount",)))
    assert [cells_of(text)["amount"] for text in corpus.texts] == numbers


def test_table_column_reads_a_clear_decimal_comma() -> None:
    column = TableColumn("amount", "number", (10.0, 50.0))
    assert column.terms("48,42") == column.terms(48.42) == ["amount=10 to 50"]
    assert column.terms("1.234,56") == ["amount=50 or more"]
    assert column.terms("1,234") == ["amount=missing"]
