"""Rows of files: where they stand, what they hold, and what is wrong with them."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slugline.base.lazy import install_command
from slugline.corpus import formats, readers
from slugline.corpus import rows as corpus_rows
from slugline.corpus.dialects import ONE_COLUMN, TableDialect, find_start
from slugline.corpus.layout import ReadOptions
from slugline.corpus.lines import TextLines
from slugline.corpus.loading import load_corpus
from slugline.corpus.readers import RowReader, read_dialect, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, OptionError

#: Any text but NUL and lone surrogates, which no file of UTF-8 text can hold.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(name: str, content: str | bytes, **options: Any) -> list[SourceRow | BadRow]:
    return list(read(write(name, content), **options))


def read(source: str | Path, fallback: str | None = None, **options: Any) -> RowReader:
    return read_rows(source, ReadOptions(**options), fallback=fallback)


def stdin_of(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# The same two rows in every format

TWO_ROWS = [{"text": "Late goal", "topic": "sport"}, {"text": "Rates rise", "topic": "money"}]
CSV = "text,topic\nLate goal,sport\nRates rise,money\n"
JSONL = "".join(json.dumps(row) + "\n" for row in TWO_ROWS)
JSON = json.dumps(TWO_ROWS)
FASTTEXT = "__label__sport Late goal\n__label__money Rates rise\n"


@pytest.mark.parametrize(
    ("name", "content", "first"),
    [
        ("a.csv", CSV, 2),
        ("a.CSV", CSV, 2),
        ("a.csv", CSV.replace(",", ";"), 2),
        ("a.csv", CSV.replace(",", "\t"), 2),
        ("a.csv", CSV.replace("\n", "\r\n"), 2),
        ("a.csv", "\ufeff" + CSV, 2),
        ("a.csv", "\ufeff\ufeff" + CSV, 2),
        ("a.csv", "\n\n" + CSV.replace("text,topic", " text , topic "), 4),
        ("a.csv.gz", gzip.compress(CSV.encode()), 2),
        ("a.tsv", CSV.replace(",", "\t"), 2),
        ("a.tsv.gz", gzip.compress(CSV.replace(",", "\t").encode()), 2),
        ("a.jsonl", JSONL, 1),
        ("a.ndjson", "\ufeff" + JSONL.rstrip("\n"), 1),
        ("a.jsonl.GZ", gzip.compress(JSONL.encode()), 1),
        ("a.json", JSON, 1),
        ("a.JSON", "\ufeff" + json.dumps(TWO_ROWS, indent=2) + "\n", 1),
        ("a.json.gz", gzip.compress(JSON.encode()), 1),
        ("a.txt", FASTTEXT, 1),
        ("a.ft", FASTTEXT.replace("\n", "\r\n").replace(" ", "\t", 1), 1),
        ("a.txt.gz", gzip.compress(FASTTEXT.encode()), 1),
    ],
    ids=[
        "CSV",
        "upper-case ending",
        "semicolons",
        "tabs",
        "CRLF",
        "byte-order mark",
        "two byte-order marks",
        "blank lines and spaces around the header",
        "CSV, gzip",
        "TSV",
        "TSV, gzip",
        "JSONL",
        "NDJSON with a mark and no last line feed",
        "JSONL, gzip",
        "JSON array",
        "JSON array over lines with a mark",
        "JSON array, gzip",
        "fastText",
        "fastText with CRLF and tab",
        "fastText, gzip",
    ],
)
def test_read_rows_takes_the_format_from_the_name(
    name: str, content: str | bytes, first: int
) -> None:
    assert rows_of(name, content) == [SourceRow(at, row) for at, row in enumerate(TWO_ROWS, first)]


def test_read_rows_obeys_a_named_format() -> None:
    assert rows_of("wires.dat", JSONL, format="jsonl") == rows_of("wires.jsonl", JSONL)
    assert rows_of("wires.dat", JSON, format="json") == rows_of("wires.json", JSON)
    assert rows_of("wires", FASTTEXT, fallback="txt") == rows_of("wires.txt", FASTTEXT)
    assert rows_of("wires.csv", CSV, fallback="txt") == rows_of("wires.csv", CSV)
    with pytest.raises(DataError, match=r"^wires\.dat is in an unknown format"):
        rows_of("wires.dat", FASTTEXT, fallback="txt")


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "n=3/a?.parquet", "it's.parquet"])
def test_parquet_rows_have_scalar_columns(write_parquet: Any, name: str) -> None:
    Path("n=3").mkdir()
    columns = {
        "text": ("VARCHAR", ["a", None]),
        'the "n"': ("DOUBLE", [1.0, 2.0]),
        "price": ("DECIMAL(8, 2)", [1, 2]),
        "day": ("DATE", [date(1987, 2, 26)] * 2),
        "vector": ("DOUBLE[]", [[1.0], [2.0]]),
        "parts": ("STRUCT(a DOUBLE)", [{"a": 1.0}, {"a": 2.0}]),
        "by_name": ("MAP(VARCHAR, INT)", [{"a": 1}, {"a": 2}]),
        "raw": ("BLOB", [b"x", b"y"]),
    }
    write_parquet(name, columns)
    write_parquet("ab.parquet", {"text": ("VARCHAR", ["another file"])})

    rows = list(read_rows(name))

    day = date(1987, 2, 26)
    assert rows == [
        SourceRow(1, {"text": "a", 'the "n"': 1.0, "price": Decimal(1), "day": day}),
        SourceRow(2, {"text": None, 'the "n"': 2.0, "price": Decimal(2), "day": day}),
    ]


@pytest.mark.slow
def test_parquet_rows_do_not_hold_a_file_in_memory(write_parquet: Any) -> None:
    duckdb = pytest.importorskip("duckdb")
    duckdb.sql("SELECT repeat(n::VARCHAR || ' ', 3000) AS t FROM range(20_000) s(n)").write_parquet(
        "a.parquet", compression="uncompressed", row_group_size=2048
    )
    assert Path("a.parquet").stat().st_size > 300 * 2**20
    code = """
from pathlib import Path
from slugline.corpus.loading import load_corpus
from slugline.corpus.readers import read_rows
n_rows = sum(1 for _ in read_rows("a.parquet"))
status = Path("/proc/self/status").read_text()
print(n_rows, status.partition("VmHWM:")[2].split()[0])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    n_rows, peak = map(int, said.stdout.split())
    assert n_rows == 20_000
    assert peak < 480 * 1024


def test_parquet_rows_say_how_to_install_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(DataError) as error:
        rows_of("a.parquet", b"PAR1")

    assert str(error.value) == (
        "Parquet files need the package duckdb, which is not installed; "
        f"run: {install_command('parquet')}"
    )


def test_folder_rows_are_sorted_by_name() -> None:
    for name in ["b/2.txt", "b/10.txt", "a/x.TXT", "a/notes.md", "a/.hidden.txt", ".git/x.txt"]:
        write(f"texts/{name}", f"\ufeffin {name}\r\n")
    write("texts/a/x.TXT", "\ufeff\ufeffin a/x.TXT\r\n")
    write("texts/README.txt", "about")

    assert list(read_rows("texts")) == [
        SourceRow("a/x.TXT", {"text": "in a/x.TXT\r\n", "topic": "a"}),
        SourceRow("b/10.txt", {"text": "in b/10.txt\r\n", "topic": "b"}),
        SourceRow("b/2.txt", {"text": "in b/2.txt\r\n", "topic": "b"}),
    ]


def test_text_rows_have_any_number_of_labels() -> None:
    assert rows_of("a.txt", "plain\n\n__label__a __label__b both\n__label__c\n") == [
        SourceRow(1, {"text": "plain", "topic": None}),
        SourceRow(2, {"text": "", "topic": None}),
        SourceRow(3, {"text": "both", "topic": ["a", "b"]}),
        SourceRow(4, {"text": "", "topic": "c"}),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("wide.csv", ",".join(f"column {n}" for n in range(50_000)) + "\n" + "," * 49_999 + "x\n"),
        ("labels.txt", "__label__sport " * 300_000 + "Late goal\n"),
    ],
    ids=["CSV of many columns", "fastText line of many labels"],
)
def test_text_rows_take_linear_time_for_a_long_line(name: str, content: str) -> None:
    started = time.process_time()
    assert len(rows_of(name, content)) == 1
    assert time.process_time() - started < 5


def test_array_rows_accept_texts() -> None:
    rows = read_rows(write("a.json", '["Late goal", {"text": "Rates rise"}]'))

    assert (rows.unit, list(rows)) == (
        "item",
        [SourceRow(1, {"text": "Late goal"}), SourceRow(2, {"text": "Rates rise"})],
    )


def test_array_rows_number_bad_items() -> None:
    items = ['"x"', '"caf\xe9"', "3", '"a\\u0000"', '"' + "x" * 10**7 + '"', '"y"']

    assert rows_of("a.json", ("[" + ",\n".join(items) + "]").encode("latin-1")) == [
        SourceRow(1, {"text": "x"}),
        not_utf8(2, b'"caf\xe9"'),
        BadRow(3, "JSON, but not an object or text"),
        BadRow(4, *NUL, values={"text": "a\0"}, n_bytes=9),
        BadRow(5, "more than 10,000,000 bytes", "split them"),
        SourceRow(6, {"text": "y"}),
    ]


# Standard input


def test_read_rows_takes_standard_input_with_a_brace_for_jsonl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdin_of(b"\xef\xbb\xbf " + JSONL.encode(), monkeypatch)

    rows = read_rows("-")

    assert (rows.name, rows.unit, list(rows)) == (
        "standard input",
        "line",
        [SourceRow(at, row) for at, row in enumerate(TWO_ROWS, 1)],
    )


@pytest.mark.parametrize("options", [{"format": "txt"}, {"fallback": "txt"}], ids=str)
def test_read_rows_reads_a_named_format_from_standard_input(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin_of(b"one\ntwo\n", monkeypatch)

    rows = [row for row in read("-", **options) if isinstance(row, SourceRow)]
    assert [row.values["text"] for row in rows] == ["one", "two"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "cannot tell the format of standard input; pass it with `format`."),
        (
            {"format": "parquet"},
            "standard input can't be read as parquet; save it and give its path.",
        ),
    ],
    ids=["not told", "not a stream"],
)
def test_read_rows_rejects_standard_input_of_an_unknown_format(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin_of(b"one\n", monkeypatch)

    with pytest.raises(DataError) as error:
        read("-", **options)

    assert str(error.value) == message


def test_read_rows_yields_rows_before_the_end_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            line = b'{"text": "again"}\n'
            buffer[: len(line)] = line
            return len(line)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))

    assert [row.at for row in itertools.islice(read_rows("-"), 3)] == [1, 2, 3]


# Any text, written by the standard library


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT)), st.sampled_from([",", ";", "\t"]))
def test_table_rows_have_cells_as_written_and_line_numbers(
    rows: list[tuple[str, str]], delimiter: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["text", "topic"])
    expected = []
    for text, topic in rows:
        at = file.getvalue().count("\n") + 1
        if text.strip() or topic.strip():
            expected.append(SourceRow(at, {"text": text, "topic": topic}))
        writer.writerow([text, topic])

    assert rows_of("a.csv", file.getvalue()) == expected


@given(st.lists(st.tuples(ANY_TEXT, st.booleans(), st.integers(0, 2))))
def test_json_rows_have_values_as_written_and_line_numbers(
    rows: list[tuple[str, bool, int]],
) -> None:
    lines, expected = [], []
    for text, ascii_only, n_blank in rows:
        lines += ["\n"] * n_blank
        lines.append(json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n")
        expected.append(SourceRow(len(lines), {"text": text}))

    assert rows_of("a.jsonl", "".join(lines)) == expected


@pytest.mark.slow
@given(st.binary())
@example(b"\xed\xa0\x80")
def test_read_rows_gives_rows_or_a_data_error_for_any_bytes(data: bytes) -> None:
    for name in ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt", "a.csv.gz", "a.parquet"]:
        with contextlib.suppress(DataError):
            assert all(isinstance(row, SourceRow | BadRow) for row in rows_of(name, data))


# Bad rows

NUL = ("a NUL character", "delete NULs (if the file is UTF-16, set `encoding`)")


def not_utf8(at: int | str, sample: bytes, *, is_mixed: bool = False) -> BadRow:
    advice = 'set its encoding, such as `encoding="cp1252"`'
    if is_mixed:
        advice = "save all lines in one encoding (others are UTF-8, as if two files were joined)"
    return BadRow(at, "bytes that are not UTF-8", advice, sample=sample, is_mixed=is_mixed)


@pytest.mark.parametrize(
    ("name", "content", "bad"),
    [
        ("a.csv", "a,b\n1,2,3\n", BadRow(2, "3 cells instead of 2")),
        ("a.csv", 'a,b\n"1\n",2\n3\n', BadRow(4, "1 cell instead of 2")),
        (
            "a.csv",
            'a,b\n"x"y,2\n',
            BadRow(2, "text after a closing quote, or a lone carriage return"),
        ),
        (
            "a.csv",
            'a,b\n"x,1\ny,2\nz,"3" or "4"\n',
            BadRow(
                2,
                "an opening quote that is closed lines later, which merges rows into one cell",
                "close or delete the opening quote",
            ),
        ),
        (
            "a.csv",
            'a,b\n"x,1\ny,2\nz 3"\n',
            BadRow(
                2,
                "1 cell instead of 2, in a row of several lines, whose opening quote may be closed "
                "too late",
                "close or delete the opening quote",
            ),
        ),
        (
            "a.csv",
            "a,b\nx\ry,2\n",
            BadRow(2, "text after a closing quote, or a lone carriage return"),
        ),
        ("a.csv", b'a,b\n"\xc3\xa9\n\xe9",2\n', not_utf8(3, b'\xe9",2\n', is_mixed=True)),
        ("a.csv", "a,b\nx\0y,2\n", BadRow(2, *NUL)),
        (
            "a.jsonl",
            '{"a": 1}\n{"a" 1}\n',
            BadRow(2, "not valid JSON (JSON is malformed: expected ':' (byte 5))"),
        ),
        ("a.jsonl", '{"a": "x', BadRow(1, "not valid JSON (Input data was truncated)")),
        ("a.jsonl", "[1]\n", BadRow(1, "JSON, but not an object")),
        ("a.jsonl", "[" * 1_000_000, BadRow(1, "not valid JSON (nested too deeply)")),
        ("a.jsonl", '{"a": "\\u0000"}\n', BadRow(1, *NUL)),
        ("a.jsonl", '{"a": "\0"}\n', BadRow(1, *NUL)),
        ("a.jsonl", b'{"a": "\xff"}\n', not_utf8(1, b'{"a": "\xff"}\n')),
        ("a.jsonl", "x" * 10_000_001, BadRow(1, "more than 10,000,000 bytes", "split them")),
        ("a.txt", b"\xc3\xa9\ntw\xf6\n", not_utf8(2, b"tw\xf6\n", is_mixed=True)),
    ],
    ids=[
        "too many cells",
        "too few cells",
        "text after a quote",
        "rows between two quotes",
        "a row ended by a quote",
        "lone carriage return",
        "Latin-1 amid a quoted cell",
        "NUL in CSV",
        "broken JSON",
        "JSON cut off",
        "no JSON object",
        "JSON nested too deeply",
        "escaped NUL",
        "NUL in JSON",
        "no UTF-8 in JSON",
        "too long a line",
        "Latin-1 in text",
    ],
)
def test_read_rows_numbers_bad_rows_by_line(name: str, content: str | bytes, bad: BadRow) -> None:
    found = [row for row in rows_of(name, content) if isinstance(row, BadRow)]

    assert [row._replace(values={}, n_bytes=0) for row in found] == [bad._replace(values={})]


@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        ("a.csv", "a;b\n1;2;3\n", {"a": "1", "b": "2;3"}),
        ("a.csv", 'a;b\n1;2;"3;4";5\n', {"a": "1", "b": "2;3;4;5"}),
        ("a.csv", 'a,b\n"1\n"\n', {"a": "1\n", "b": ""}),
        ("a.csv", 'a,b,c\n7,"x ""y""" and z,2\n', {"a": "7", "b": '"x ""y""" and z', "c": "2"}),
        ("a.csv", 'a,b,c\n"7","x\n"y,2\n', {"a": "7", "b": '"x\n"y', "c": "2"}),
        ("a.csv", "a,b\nx\ry,2\n", {"a": "x\ry", "b": "2"}),
        ("a.csv", b'a,b\n"\xc3\xa9\n\xe9",2\n', {"a": "é\né", "b": "2"}),
        ("a.csv", "a,b\nx\0y,2\n", {"a": "x\0y", "b": "2"}),
        ("a.jsonl", b'{"a": "\xff", "b": 1}\n', {"a": "ÿ", "b": 1}),
        ("a.jsonl", '{"a": "\\u0000"}\n', {"a": "\0"}),
        ("a.txt", b"\xc3\xa9\ntw\xf6\n", {"text": "twö", "topic": None}),
    ],
    ids=[
        *("too many cells", "too many, quoted", "too few", "text after a quote"),
        *("text after a quote of two lines", "carriage return", "Latin-1", "NUL"),
        *("Latin-1 in JSON", "NUL in JSON", "Latin-1 in text"),
    ],
)
def test_table_rows_keep_the_cells_of_a_bad_row(
    name: str, content: str | bytes, values: dict[str, object]
) -> None:
    (bad,) = (row for row in rows_of(name, content) if isinstance(row, BadRow))

    assert dict(bad.values) == values


# Separators


@pytest.mark.parametrize(
    ("table", "separator"),
    [
        ("id,text\n1,a\n", ","),
        ("id;text\n1;a, b, c\n", ";"),
        ("id\ttext\n", "\t"),
        ("id|text\n1|a, b; c\n", "|"),
        ("Nachricht\nHallo, Welt\nA; b\n", ""),
        ("Nachricht, kurz\nHallo\na, b, c\n", ""),
        ("Frage, Antwort\na, b\nc, d\n", ","),
        ('"a,b,c";d\n1;2\n', ";"),
        ('"Nach\nricht";d\n1;2\n', ";"),
        ("Nr;Text, lang, frei;x\n1;a, b;2\n2;c;3\n", ";"),
        ("\n \nid;text\n", ";"),
        ("", ""),
    ],
)
def test_find_start_guesses_the_delimiter_from_the_first_lines(table: str, separator: str) -> None:
    assert find_start(table).delimiter == separator


def test_read_rows_recognises_one_column_by_its_header() -> None:
    path = write("a.csv", 'Nachricht\r\nHallo, Welt; gut\r\n"a;b\r\n""c"""\r\n')
    rows = read_rows(path)

    assert [row.values for row in rows] == [
        {"Nachricht": "Hallo, Welt; gut"},
        {"Nachricht": 'a;b\r\n"c"'},
    ]
    assert rows.separator == ONE_COLUMN


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.csv.gz"])
def test_read_rows_obeys_a_named_separator(name: str) -> None:
    data = b"a,b~text\n1~x\n"
    path = write(name, gzip.compress(data) if name.endswith(".gz") else data)

    rows = read_rows(path, ReadOptions(separator="~"))

    assert read_dialect(rows).delimiter == "~"
    assert [row.values for row in rows] == [{"a,b": "1", "text": "x"}]


@pytest.mark.parametrize("separator", ["", "ab", "a", "1", '"', "\n", "\0", 3, "\ud800"])
def test_check_delimiter_rejects_what_is_no_sign(separator: str) -> None:
    with pytest.raises(OptionError, match="give the character between the cells of a table"):
        read(write("a.csv", CSV), separator=separator)


def test_read_rows_rejects_a_separator_without_cells() -> None:
    with pytest.raises(OptionError) as error:
        read(write("a.jsonl", JSONL), separator=";")

    assert str(error.value) == (
        "`separator` is ';', but a.jsonl is read as jsonl, which has no separators; leave it out, "
        "or choose another `format`."
    )


def test_read_rows_reads_unicode_text_of_excel() -> None:
    write("a.txt", "id\ttext\r\n1\tÄpfel\r\n".encode("utf-16"))
    rows = read_rows("a.txt")

    assert [row.values for row in rows] == [{"id": "1", "text": "Äpfel"}]
    assert (rows.format, rows.separator, rows.encoding) == ("tsv", "\t", "utf-16")
    assert rows.note.endswith('its first line names columns; for plain texts, `format="txt"`')
    assert len(list(read_rows("a.txt", ReadOptions(format="txt")))) == 2


@pytest.mark.parametrize(
    "blank",
    ["\n", "  \n", ",\n", ",,,,\n", ' ,""\n', "\r\n", "\t , \r\n"],
    ids=["line feed", "spaces", "commas", "too many commas", "quotes", "CRLF", "white space"],
)
def test_table_rows_skip_empty_rows(blank: str) -> None:
    header, first, last = CSV.splitlines(keepends=True)

    assert rows_of("a.csv", header + first + blank + last + blank) == [
        SourceRow(2, TWO_ROWS[0]),
        SourceRow(4, TWO_ROWS[1]),
    ]
    assert rows_of("a.csv", blank + CSV) == [SourceRow(3, TWO_ROWS[0]), SourceRow(4, TWO_ROWS[1])]


def test_folder_rows_name_bad_files_by_path() -> None:
    write("texts/a/1.txt", b"caf\xe9")
    write("texts/a/1b.txt", b"\xef\xbb\xbfcaf\xe9")
    write("texts/a/2.txt", "\0")
    write("texts/a/3.txt", "x" * 10_000_001)

    assert list(read_rows("texts")) == [
        not_utf8("a/1.txt", b"caf\xe9"),
        not_utf8("a/1b.txt", b"\xef\xbb\xbfcaf\xe9"),
        BadRow("a/2.txt", *NUL, values={"text": "\0", "topic": "a"}, n_bytes=1),
        BadRow("a/3.txt", "more than 10,000,000 bytes", "split them"),
    ]


def test_parquet_rows_number_bad_rows(write_parquet: Any) -> None:
    write_parquet("a.parquet", {"t": ("VARCHAR", ["a", "b" * 10_000_001, "c\0", "d"])})

    assert list(read_rows("a.parquet")) == [
        SourceRow(1, {"t": "a"}),
        BadRow(2, "more than 10,000,000 bytes", "split them"),
        BadRow(3, *NUL, values={"t": "c\0"}, n_bytes=2),
        SourceRow(4, {"t": "d"}),
    ]


def test_read_rows_notes_a_quoted_cell_of_rows() -> None:
    rows = "".join(f"grain,text {number}\n" for number in range(4))
    write("a.csv", f'topic,text\ngrain,"text\n{rows}grain,the end"\ngrain,"a letter,\nyours"\n')

    first, second = read_rows("a.csv")

    assert isinstance(first, SourceRow)
    assert first.note == (
        "a quoted cell of several lines that look like rows of the table; if they are, close or "
        "delete its opening quote"
    )
    assert isinstance(second, SourceRow)
    assert second.note == ""


# Files that can't be read on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            'a,b\n1,2\n"x\ny",3\n4,"open\nand\nopen\n',
            "a.csv, line 5: unclosed quote in the row that starts here; close or delete it.",
        ),
        (
            "a.csv",
            "a,b\n1,2\n" + "x" * 50_000_000 + ",3\n",
            "a.csv, line 3: the row that starts here has more than 10,000,000 bytes; "
            "close its quotes, or split it.",
        ),
        (
            "a.csv",
            'a,b\n1,"' + ("word " * 999 + "word\n") * 2_001 + '"\n',
            "a.csv, line 2: the row that starts here has more than 10,000,000 bytes; "
            "close its quotes, or split it.",
        ),
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv has two columns named 'a'; rename one."),
        (
            "a.csv",
            b"t\xe9xte long\n\xc3\xa9\n",
            'a.csv, line 1: bytes that are not UTF-8; if it is cp1252, pass `encoding="cp1252"`.',
        ),
        (
            "a.csv",
            "a,b\r1,2\r3,4\r",
            "a.csv, line 1: text after a closing quote, or a lone carriage return; fix them.",
        ),
        (
            "a.csv.gz",
            gzip.compress(CSV.encode())[:-12],
            "a.csv.gz is truncated; download or compress it again.",
        ),
        (
            "a.csv.gz",
            gzip.compress("text;Thema\nGröße;a\n".encode("cp1252"))[:-12],
            "a.csv.gz is truncated; download or compress it again.",
        ),
        (
            "a.csv.gz",
            gzip.compress(CSV.encode())[:-8] + bytes(8),
            "a.csv.gz: damaged compressed data or trailing data (CRC check "
            "failed 0x0 != 0x0); download or compress it again.",
        ),
        (
            "a.csv.gz",
            gzip.compress(CSV.encode()) + b"more",
            "a.csv.gz: damaged compressed data or trailing data (Not a gzipped "
            "file (b'mo')); download or compress it again.",
        ),
        ("a.csv.gz", CSV, "a.csv.gz is not compressed with gzip; remove .gz from its name."),
        ("a.jsonl", "{}".encode("utf-16"), 'a.jsonl is UTF-16; read it with `encoding="utf-16"`.'),
    ],
    ids=[
        "quote never closed",
        "50 MB line",
        "quoted cell over many lines",
        "two columns of one name",
        "header not UTF-8",
        "carriage returns for line ends",
        "gzip cut off",
        "gzip in cp1252 cut off",
        "damaged gzip",
        "gzip with more data",
        "no gzip",
        "UTF-16",
    ],
)
def test_read_rows_rejects_a_file_that_breaks_off(
    name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError) as error:
        rows_of(name, content)

    found = re.sub(r"failed \w+ != \w+", "failed 0x0 != 0x0", str(error.value))
    assert found == message


@pytest.mark.parametrize("n_bytes", [0, 10, 300, -1], ids=["none", "few", "half", "all but one"])
def test_parquet_rows_reject_a_file_that_is_cut_off(n_bytes: int, write_parquet: Any) -> None:
    columns = {name: ("VARCHAR", [row[name] for row in TWO_ROWS]) for name in ("text", "topic")}
    write_parquet("whole.parquet", columns)

    with pytest.raises(DataError) as error:
        rows_of("a.parquet", Path("whole.parquet").read_bytes()[:n_bytes])

    # What stands in brackets is DuckDB's reason, and changes with its version.
    assert re.fullmatch(
        r"a\.parquet is not a complete Parquet file \(.+\); write it again\.", str(error.value)
    )


@pytest.mark.slow
def test_parquet_rows_survive_any_changed_byte(write_parquet: Any) -> None:
    columns = {"t": ("VARCHAR", ["wheat", "corn"]), "n": ("INTEGER", [1, 2])}
    write_parquet("whole.parquet", columns)
    whole = Path("whole.parquet").read_bytes()
    for at in range(0, len(whole), 5):
        damaged = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        with contextlib.suppress(DataError):
            rows_of("a.parquet", damaged)


def test_read_rows_limits_what_a_gzip_file_unpacks_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_UNPACKED", 1_000)

    with pytest.raises(DataError) as error:
        rows_of("a.txt.gz", gzip.compress(b"a\n" * 1_000))

    assert str(error.value) == (
        "a.txt.gz unpacks to more than 1,000 bytes; if it should, unpack it first with gunzip."
    )


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("tikets.csv", {}, "tikets.csv doesn't exist; did you mean tickets.csv?"),
        ("tiny.csv", {}, "tiny.csv doesn't exist; check the path."),
        (
            "~$a.xlsx",
            {},
            "~$a.xlsx is Excel's lock file of an open document; pass the document: a.xlsx.",
        ),
        ("x/y.csv", {}, "x/y.csv doesn't exist; check the path."),
        (
            "notes.docx",
            {},
            "notes.docx is in an unknown format; use a name that ends in one of .csv, .tsv, "
            ".jsonl, "
            ".ndjson, .json, .parquet, .xlsx, .txt, .ft, or name the format with `format`.",
        ),
        (
            "old.xls",
            {},
            "old.xls is a spreadsheet in an unsupported format; open it in Excel or "
            "LibreOffice, "
            "and save it as .xlsx.",
        ),
        (
            "texts.csv",
            {"format": "csv"},
            "texts.csv is a folder and can't be read as csv; check the path.",
        ),
        (
            "a.slug",
            {},
            "a.slug is a model, not documents; pass documents, or classify some with it: slugline "
            "predict a.slug FILE",
        ),
        (
            "tickets.csv",
            {"format": "folder"},
            "tickets.csv is not a folder and can't be read as folder; check the path.",
        ),
    ],
    ids=[
        "near name",
        "only the ending is similar",
        "lock file",
        "no near name",
        "unknown ending",
        "old spreadsheet",
        "folder as file",
        "model",
        "file as folder",
    ],
)
def test_read_rows_rejects_missing_files_and_unknown_endings(
    source: str, options: dict[str, Any], message: str
) -> None:
    write("tickets.csv", CSV)
    write("notes.docx", "")
    write("a.slug", "")
    write("old.xls", "")
    write("~$a.xlsx", "")
    Path("texts.csv").mkdir()

    with pytest.raises(DataError) as error:
        read(source, **options)

    assert str(error.value) == message


def test_read_rows_names_what_a_broken_link_leads_to() -> None:
    Path("link.csv").symlink_to("gone.csv")

    with pytest.raises(DataError) as error:
        read_rows("link.csv")

    assert str(error.value) == (
        "link.csv is a link to gone.csv, which doesn't exist; check the link."
    )


def test_read_rows_rejects_a_file_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    write("a.csv", CSV)
    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(DataError) as error:
        read_rows("a.csv")

    assert str(error.value) == (
        "a.csv can't be read (Permission denied); check the file and its permissions."
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["1.txt", ".git/x.txt"],
            "texts has no sub-folders; make one for each topic, with its texts as *.txt.",
        ),
        (["a/1.md"], "texts/a has no *.txt files; add the topic's texts, or remove it."),
        (
            ["a/1.txt", "a/old/2.txt"],
            "texts/a/old is a folder within the topic 'a'; move its texts up one level.",
        ),
    ],
    ids=["no topics", "no texts", "nested"],
)
def test_folder_rows_reject_other_folders(files: list[str], message: str) -> None:
    for file in files:
        write(f"texts/{file}", "text")

    with pytest.raises(DataError) as error:
        list(read_rows("texts"))

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,n\n"two\nlines",1\nx,2\n'),
        ("a.jsonl", '{"text": "\u00e9", "n": [1, 2, 3]}\n{"text": "x"}\n'),
        ("a.txt", "one\ntw\u00f6\n"),
    ],
)
def test_rows_have_the_number_of_bytes_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    sizes = [row.n_bytes for row in read_rows(tmp_path / name) if isinstance(row, SourceRow)]

    header = "text,n\n" if name == "a.csv" else ""
    assert len(sizes) == 2
    assert sum(sizes) == len((text.removeprefix(header)).encode())


def test_json_rows_keep_nested_values_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "list": [1, 2.50], "object": {"a": []}, "n": 1, "no": null}')

    [row] = read_rows(path)

    assert isinstance(row, SourceRow)
    written = {name: bytes(row.values[name]) for name in ("list", "object")}
    assert written == {"list": b"[1, 2.50]", "object": b'{"a": []}'}
    assert [row.values[name] for name in ("text", "n", "no")] == ["x", 1, None]


def test_table_rows_limit_quoted_rows_to_max_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_rows, "MAX_RECORD", 100)
    for n_bytes, fits in ((100, True), (101, False)):
        row = b'"' + b"a\n" * 40 + b"a" * (n_bytes - 83) + b'"\n'
        assert len(row) == n_bytes
        lines = TextLines(io.BytesIO(b"text\nfirst\n" + row).readline, "data.csv")
        rows = formats.table_rows(lines)
        assert next(rows) == SourceRow(2, {"text": "first"})
        if fits:
            assert [row.at for row in rows] == [3]
        else:
            with pytest.raises(DataError, match="line 3: the row that starts here has more than"):
                next(rows)


def test_parquet_rows_shorten_errors_of_duckdb() -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    text = "x" * 50_000
    pq.write_table(
        pa.table({"text": [text]}), "a.parquet", compression="none", use_dictionary=False
    )
    data = Path("a.parquet").read_bytes()
    Path("a.parquet").write_bytes(data.replace(text.encode(), b"\xff" + text[1:].encode()))
    Path("a.csv").write_text(f"{text},{text}\n{text},b\n")

    for name in ("a.parquet", "a.csv"):
        with pytest.raises(DataError) as error:
            list(read_rows(name))
        assert len(str(error.value)) < 500


def test_parquet_rows_reject_a_repeated_long_text() -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 2048), pa.array(["x" * 9_000_000]))
    pq.write_table(pa.table({"text": repeated}), "a.parquet", compression="zstd")

    with pytest.raises(DataError) as error:
        list(read_rows("a.parquet"))

    assert Path("a.parquet").stat().st_size < 10_000
    assert str(error.value) == (
        "a.parquet has 18,432,000,000 bytes of text in 2,048 rows; the maximum is 134,217,728. "
        "Write it as JSON lines."
    )


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "\ufeffSEP=;"])
def test_table_rows_obey_a_line_that_names_the_separator(
    name: str, line: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(f"{line}\r\na,b,text;topic\r\n1,2;x\r\n", newline="")

    rows = read_rows(path)

    assert read_dialect(rows)[0] == ";"
    assert read_dialect(rows).columns == ("a,b,text", "topic")
    assert list(rows) == [SourceRow(3, {"a,b,text": "1,2", "topic": "x"})]


@pytest.mark.parametrize(
    ("name", "content", "dialect"),
    [
        ("a.csv", b"text;topic\r\na;b\r\n", TableDialect(";", newline="\r\n")),
        ("a.csv.gz", gzip.compress(b"text;topic\n"), TableDialect(";")),
        ("a.tsv", b"text,a\ttopic\n", TableDialect("\t")),
        ("a.csv", "\ufefftext,tópic\n".encode(), TableDialect(has_mark=True)),
        ("a.csv", "text;tópic\n".encode("cp1252"), TableDialect(";", "cp1252")),
        ("a.csv", b"", TableDialect()),
        ("a.jsonl", b'{"text;topic": 1}\n', TableDialect()),
    ],
    ids=["semicolons", "gzip", "tabs", "mark", "Windows", "empty", "JSON"],
)
def test_table_writer_writes_in_the_dialect_read(
    name: str, content: bytes, dialect: TableDialect
) -> None:
    rows = read_rows(write(name, content))
    assert read_dialect(rows)._replace(columns=()) == dialect
    list(rows)


def test_read_dialect_from_the_first_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.csv", '"text","topic"\na,b\n')
    for n_shown, is_quoted in ((1000, False), (16, False), (15, True)):
        monkeypatch.setattr(readers, "_N_SHOWN", n_shown)
        rows = read_rows(path)
        assert read_dialect(rows).is_quoted is is_quoted
        list(rows)


def test_text_lines_advise_to_save_lines_of_two_encodings_in_one(tmp_path: Path) -> None:
    lines = [f"Größe {n};Rückgabe\n".encode("cp1252" if n % 2 else "utf-8") for n in range(12)]
    (tmp_path / "a.csv").write_bytes(b"Text;Thema\n" + b"".join(lines[1:]))
    with pytest.raises(DataError) as caught:
        load_corpus(tmp_path / "a.csv")
    assert (
        str(caught.value)
        .partition("); ")[2]
        .startswith(
            "save all lines in one encoding (others are UTF-8, as if two files were joined)"
        )
    )
    assert "encoding=" not in str(caught.value)
