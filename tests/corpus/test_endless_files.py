"""Small files that unpack to rows, lines or cells without an end."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slugline.base.interruption import Interruption, interruptible
from slugline.corpus import lines, rows
from slugline.corpus.columns import PEEKED_BYTES, find_text_columns, peek
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError


def write(path: Path, *pieces: bytes) -> Path:
    """Write a packed file whose last piece comes a thousand times."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"".join(pieces[:-1]))
        for _ in range(1000):
            file.write(pieces[-1])
    return path


def test_peek_stops_after_a_thousand_bad_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv.gz", b"id,text,topic\n", b"1,wheat\n" * 100)
    with pytest.raises(DataError) as error:
        peek(read_rows(path))
    assert str(error.value) == (
        f"{path}: none of the first 1,000 rows can be read: for example, line 2 (2 cells instead "
        "of 3); "
        "fix them, or check the header and the cell separator."
    )


def test_peek_returns_valid_rows_before_many_bad_ones(tmp_path: Path) -> None:
    good = b"id,body\n1,wheat exports rose\n"
    reader = read_rows(write(tmp_path / "t.csv.gz", good, b"1\n" * 100))
    head = peek(reader)
    assert find_text_columns("t", head) == ("body",)
    assert len(head) == 1001
    assert next(iter(reader)).at == 1003


def test_peek_of_lines_without_names_needs_no_good_row(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"some \xff words\n" * 3000)
    assert len(peek(read_rows(path, ReadOptions(encoding="utf-8")))) == 1000


def test_peek_is_bounded_by_the_memory_of_cells() -> None:
    cells = {f"c{n}": "" for n in range(10_000)}
    endless: Iterator[SourceRow | BadRow] = (SourceRow(at, cells) for at in itertools.count())
    head = peek(RowReader("t", "jsonl", endless))
    assert len(head) == -(-PEEKED_BYTES // rows.estimate_memory(SourceRow(0, cells)))


@pytest.mark.parametrize(
    ("name", "head", "again"),
    [
        ("t.csv.gz", b"id,text\n", b"\n" * 100),
        ("t.csv.gz", b"id,text\n", b",\n" * 100),
        ("t.csv.gz", b"id,text\n", b" " * 10_000 + b"\n"),
        ("t.jsonl.gz", b"", b"\n" * 100),
        ("t.json.gz", b"[", b"\n" * 10_000),
        ("t.json.gz", b"[", b" " * 100_000),
    ],
    ids=["lines", "empty cells", "spaces", "JSON lines", "array", "spaces in an array"],
)
def test_text_lines_reject_a_file_of_blank_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: bytes, again: bytes
) -> None:
    monkeypatch.setattr(lines, "_MAX_GAP", 1 << 22)
    path = write(tmp_path / name, head, again)
    with pytest.raises(DataError, match=r"consecutive blank lines.*delete them"):
        peek(read_rows(path))


def test_text_lines_accept_blank_lines_between_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_MAX_GAP", 1 << 14)
    monkeypatch.setattr(lines, "_CHECK_BYTES", 1)
    path = write(tmp_path / "t.csv.gz", b"id,text\n", b"\n" * 50 + b"1,wheat\n")
    assert sum(isinstance(row, SourceRow) for row in read_rows(path)) == 1000
    path = write(tmp_path / "t.txt.gz", b"\n")  # each of them is a row
    assert sum(1 for _ in read_rows(path)) == 1000


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz", "t.txt.gz", "t.json.gz"])
def test_read_rows_stops_when_interrupted(tmp_path: Path, name: str) -> None:
    again: Callable[[str], bytes] = {
        "t.csv.gz": b"1\n", "t.jsonl.gz": b"1\n", "t.txt.gz": b"wheat\n", "t.json.gz": b"1,\n",
    }.__getitem__  # fmt: skip
    start = {"t.csv.gz": b"id,text\n", "t.json.gz": b"["}.get(name, b"")
    path = write(tmp_path / name, start, again(name) * 1000)
    n_rows = itertools.count()
    with interruptible(lambda: next(n_rows) > 3), pytest.raises(Interruption):
        all(map(bool, read_rows(path)))
    assert next(n_rows) == 5


# Cells --------------------------------------------------------------------------------------------


def test_table_rows_reject_a_million_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n")
    with pytest.raises(DataError, match=r"line 1: more than 50,000 cells; fix them"):
        peek(read_rows(path))


def test_table_rows_give_a_bad_row_for_many_cells_in_many_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,text\n1,wheat\n2,corn\n3," + b'"a\n",' * 110_000 + b"\n4,rye\n")
    *good, bad, last = read_rows(path)
    assert [row.values["id"] for row in (*good, last)] == ["1", "2", "4"]
    assert isinstance(bad, BadRow)
    assert bad.problem == "more than 50,000 cells"


def test_table_rows_name_blank_columns_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"text" + b"," * 49_999 + b"\nwheat" + b"," * 49_999 + b"\n")
    [row] = read_rows(path)
    assert len(row.values) == 50_000
    assert sum(map(len, row.values)) < 20_000_000
    assert {name.strip() for name in row.values} == {"text", ""}


def test_table_rows_refuse_millions_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,text\n1,a\n" + b"2," * 1_000_001 + b"\n")
    with pytest.raises(DataError, match=r"line 3: the row .* more than 1,000,000 cells; split it"):
        all(read_rows(path))


def test_table_rows_give_a_bad_row_for_many_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    many, quoted = b"," * 400_000, b'"' + b"," * 60_000 + b'"'
    first_line = b'1,"a\n' + many + b'"' + many
    path.write_bytes(b"id,text\n" + b"\n".join([many, b"1,a", b"2," + quoted, first_line, b"3,b"]))
    found = [*read_rows(path)]
    problem = "more than 50,000 cells"
    assert [row.problem if isinstance(row, BadRow) else row.values["id"] for row in found] == [
        problem,
        "1",
        "2",
        problem,
        "3",
    ]


def test_table_rows_accept_a_text_of_many_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = "a\n" + "," * 60_000 + '""' + "," * 60_000
    path.write_text(f'id,text\n1,"{text}"\n')
    [row] = read_rows(path)
    assert isinstance(row, SourceRow)
    assert row.values["text"] == text.replace('""', '"')


def test_json_rows_give_a_bad_row_for_very_many_fields(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({f"f{n}": n for n in range(50_001)}) + '\n{"text": "a"}\n')
    bad, good = read_rows(path)
    assert bad == BadRow(1, "an object of more than 50,000 fields")
    assert isinstance(good, SourceRow)


def test_json_rows_count_nested_fields_but_not_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    text = '"a": ' * 300_000
    counts = {str(n): n for n in range(100_000)}
    nested = {"text": "wheat", "counts": {str(n): n for n in range(200_001)}}
    rows_of_lines = [{"text": text, "counts": counts}, nested, {"text": text * 6}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of_lines))
    first, second, third = read_rows(path)
    assert isinstance(first, SourceRow)
    assert first.values["text"] == text
    assert second == BadRow(2, "objects of more than 200,000 fields")
    assert third.at == 3
