"""`slugline predict --output`: the given columns, and the answers beside them."""

from __future__ import annotations

import csv
import datetime
import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.auditing.findings import text_digest
from slugline.corpus.dialects import TableDialect
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import SourceRow

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

TICKETS = 'ticket_id,body,note\n7,"wheat, ""corn""\ncrop",=1+1\n8,goal,\n'


@pytest.fixture(autouse=True)
def _files(news_slug: Path, tmp_path: Path) -> None:
    """Have a model called news.slug in the folder, and tickets."""
    (tmp_path / "tickets.csv").write_text(TICKETS)


def cells_of(path: str, delimiter: str = ",") -> list[list[str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


def without_probabilities(rows: list[list[str]], column: int) -> list[list[str]]:
    return [row[:column] + row[column + 1 :] for row in rows]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("A.TSV", "\t")])
def test_predict_output_keeps_the_given_columns_first(run: Run, name: str, delimiter: str) -> None:
    code, out, err = run("predict", "news.slug", "tickets.csv", "-q", "-o", name)

    header, *rows = cells_of(name, delimiter)
    assert (code, out, err) == (0, "", "")
    assert header == ["ticket_id", "body", "note", "topic", "probability", "error"]
    assert [row[:4] for row in rows] == [
        ["7", 'wheat, "corn"\ncrop', "=1+1", "grain"],
        ["8", "goal", "", "sport"],
    ]
    assert all(0.5 < float(row[4]) <= 1 and row[5] == "" for row in rows)


def test_predict_output_writes_the_columns_of_json_lines(run: Run) -> None:
    lines = [{"id": [1, {"a": 2}], "text": "wheat", "more": None}, {"text": "goal", "new": True}]
    stdin = "\n".join(map(json.dumps, lines))

    assert run("predict", "news.slug", "-q", "-o", "a.jsonl", stdin=stdin).code == 0

    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [
        ["id", "text", "more", "topic", "probability"],
        ["text", "new", "topic", "probability"],
    ]
    assert [row | line for row, line in zip(rows, lines, strict=True)] == rows


def test_predict_output_numbers_several_topics(run: Run) -> None:
    run("predict", "news.slug", "tickets.csv", "-q", "-o", "a.csv", "--top", 9)

    header, first, _ = cells_of("a.csv")
    names = ["topic", "probability", "topic_2", "probability_2", "topic_3", "probability_3"]
    assert header[3:] == [*names, "error"]
    assert {first[3], first[5], first[7]} == {"bank", "grain", "sport"}


def test_predict_output_keeps_bad_rows_with_their_error(run: Run) -> None:
    Path("t.csv").write_text("id,text\n1,wheat\n2,\n3,goal,x\n4,goal\n")

    code, out, err = run("predict", "news.slug", "t.csv", "--text", "text", "-o", "a.csv")

    assert (code, out) == (1, "")
    assert err == ('t.csv: 2 of 4 lines could not be classified; see "error" in a.csv\n')
    assert without_probabilities(cells_of("a.csv"), 3) == [
        ["id", "text", "topic", "error"],
        ["1", "wheat", "grain", ""],
        ["2", "", "", "line 3: no text in column 'text'"],
        ["3", "goal,x", "", "line 4: 3 cells instead of 2"],
        ["4", "goal", "sport", ""],
    ]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_predict_output_names_the_topic_column_like_the_model(run: Run, ending: str) -> None:
    if ending != ".jsonl":
        pytest.importorskip({".parquet": "duckdb", ".xlsx": "openpyxl"}.get(ending, "csv"))
    rows = [f"{word} {n};{topic}\n" for n in range(9) for word, topic in WORDS]
    Path("train.csv").write_text("Nachricht;Warteschlange\n" + "".join(rows))
    assert run("train", "train.csv", "--text", "Nachricht", "-q", "-o", "own.slug").code == 0
    Path("new.csv").write_text("Nr;Nachricht\n1;wheat 3\n2;goal 7\n")
    Path("taken.csv").write_text("Nr;Nachricht;warteschlange\n1;wheat 3;alt\n2;goal 7;\n")

    found = []
    for name in ("new", "taken"):
        target = f"{name}-answers{ending}"
        assert run("predict", "own.slug", f"{name}.csv", "-q", "--top", 2, "-o", target).code == 0
        (first, _) = (row.values for row in read_rows(target) if isinstance(row, SourceRow))
        found.append(first)

    new, taken = found
    answers = ["probability", "Warteschlange_2", "probability_2", "error"]
    answers = answers[:-1] if ending == ".jsonl" else answers  # of rows with errors alone
    assert [*new] == ["Nr", "Nachricht", "Warteschlange", *answers]
    assert new["Warteschlange"] == "grain"
    assert [*taken][2:] == ["warteschlange", "topic", "probability", "topic_2", *answers[2:]]
    assert (taken["warteschlange"], taken["topic"]) == ("alt", "grain")


WORDS = (("wheat", "grain"), ("goal", "sport"))


def test_predict_output_keeps_a_given_topic(run: Run) -> None:
    Path("t.csv").write_text("topic,text\nold,wheat\n")

    run("predict", "news.slug", "t.csv", "-q", "-o", "a.csv")

    header, row = cells_of("a.csv")
    assert header == ["topic", "text", "predicted_topic", "probability", "error"]
    assert row[:3] == ["old", "wheat", "grain"]


def test_predict_output_warns_of_columns_that_come_after_the_header(run: Run) -> None:
    lines = [{"text": "wheat"}] * 1024 + [{"text": "goal", "late": 1, "topic": "x"}]
    Path("t.jsonl").write_text("\n".join(map(json.dumps, lines)))

    for name, left_out in (("a.csv", "'late', 'topic'"), ("a.jsonl", "'topic'")):
        code, _, err = run("predict", "news.slug", "t.jsonl", "--text", "text", "-o", name)
        assert (code, err) == (
            0,
            f"warning: {name} omits {left_out}, missing from the first rows of t.jsonl\n",
        )
    assert cells_of("a.csv")[0] == ["text", "topic", "probability", "error"]
    assert json.loads(Path("a.jsonl").read_text().splitlines()[-1])["late"] == 1


# Whole or not at all ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"), [(["--strict"], 1), (["--text", "bdy"], 2)], ids=["strict", "column"]
)
def test_predict_output_leaves_the_earlier_file_if_it_fails(
    run: Run, options: list[str], code: int
) -> None:
    Path("t.csv").write_text("id,body\n1,wheat\n2,\n")
    Path("a.csv").write_text("earlier\n")

    assert run("predict", "news.slug", "t.csv", "-o", "a.csv", *options).code == code

    assert Path("a.csv").read_text() == "earlier\n"
    assert list(Path().glob(".*.part")) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "a.docx",
            "--output is a.docx; use a name that ends in one of .csv, .tsv, .jsonl, .parquet, "
            ".xlsx, or in / for a folder.",
        ),
        ("tickets.csv", "--output tickets.csv: would overwrite an input file; choose another one."),
        ("./m.csv", "--output m.csv: would overwrite an input file; choose another one."),
        (
            "none/a.csv",
            "--output none/a.csv: can't write a file there (No such file or directory); "
            "create the folder, fix its permissions, or choose another one.",
        ),
    ],
    ids=["ending", "texts", "model", "no folder"],
)
def test_predict_output_rejects_an_invalid_path_before_the_work(
    run: Run, output: str, message: str
) -> None:
    Path("news.slug").rename("m.csv")

    result = run("predict", "m.csv", "tickets.csv", "-o", output)

    assert result == (2, "", f"slugline: error: {message}\n")
    assert Path("tickets.csv").read_text() == TICKETS


def test_predict_output_reports_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    assert run("predict", "news.slug", "tickets.csv", "-q", "-o", "a.csv") == (
        1,
        "",
        "slugline: error: a.csv can't be written (No space left on device). Free some space, or "
        "choose another place.\n",
    )
    assert not Path("a.csv").exists()


def test_predict_output_memory_does_not_grow_with_the_rows(run: Run) -> None:
    with Path("large.csv").open("w") as file:
        file.write("text,more\n")
        file.writelines(f"wheat,{'x' * 500_000}\n" for _ in range(120))

    tracemalloc.start()
    code = run("predict", "news.slug", "large.csv", "-q", "-o", "a.csv").code
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert code == 0
    assert Path("a.csv").stat().st_size > 60e6
    assert peak < 58e6  # of which the tables of buckets of the model's six blocks take 26e6


# As they came in ----------------------------------------------------------------------------------

GERMAN = [["Nr", "Betreff", "Nachricht"], ["007", "Währung", "wheat;\r\ncorn"], ["8", "=1+1", ""]]


def write_german(name: str, quoting: Any = csv.QUOTE_MINIMAL, encoding: str = "cp1252") -> bytes:
    with Path(name).open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=";", quoting=quoting).writerows(GERMAN)
    return Path(name).read_bytes()


@pytest.mark.parametrize(
    ("encoding", "quoting"),
    [
        ("cp1252", csv.QUOTE_MINIMAL),
        ("cp1252", csv.QUOTE_ALL),
        ("utf-8-sig", csv.QUOTE_MINIMAL),
        ("utf-16", csv.QUOTE_ALL),
    ],
)
def test_predict_output_keeps_the_dialect_of_a_table(run: Run, encoding: str, quoting: int) -> None:
    before = write_german("t.csv", quoting, encoding).decode(encoding)
    options = ["--encoding", encoding, "--text", "Betreff,Nachricht", "--id", "Nr"]

    assert run("predict", "news.slug", "t.csv", *options, "-q", "-o", "a.csv").code == 0

    data = Path("a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    after = data.decode(encoding)
    quote = '"' if quoting == csv.QUOTE_ALL else ""
    more = [f"{quote}{name}{quote}" for name in ("topic", "probability", "error")]
    assert after.split("\r\n")[0] == ";".join([before.split("\r\n")[0], *more])
    cells = list(csv.reader(after.splitlines(keepends=True), delimiter=";"))
    assert [row[:3] for row in cells] == GERMAN
    assert re.fullmatch(r"0,\d{1,4}", cells[1][4])  # which German Excel takes for a number
    assert after.count("\n") == before.count("\n")


def test_table_dialect_becomes_utf_8_for_topics_it_lacks() -> None:
    dialect = TableDialect(";", "cp1252")

    assert dialect.with_characters(["Währung", 3]) == dialect
    assert dialect.with_characters(["Łódź"]) == TableDialect(";", "utf-8", has_mark=True)


def test_suggest_output_keeps_columns_and_dialect(run: Run) -> None:
    write_german("t.csv")
    options = ["--encoding", "cp1252", "--text", "Betreff,Nachricht"]

    assert run("suggest", "news.slug", "t.csv", *options, "-q", "-o", "s.csv").code == 0

    lines = Path("s.csv").read_bytes().decode("cp1252")
    assert lines.startswith("topic;Nr;Betreff;Nachricht;guess;probability\r\n")
    assert ';007;Währung;"wheat;\r\ncorn";' in lines
    assert re.search(r";grain;0,\d{4}\r\n", lines)


@pytest.mark.parametrize("name", ["fixed.csv", "fixed.jsonl"])
def test_audit_repairs_documents_in_their_dialect(run: Run, name: str) -> None:
    rows = [f'{n};"Währung {n % 2}";{"ab"[n % 2]}\r\n' for n in range(20)]
    Path("t.csv").write_bytes(("Nr;Text;Thema\r\n" + "".join(rows)).encode("cp1252"))
    Path("d.csv").write_text(
        f"decision,new_topic,at,digest\nrelabel,b,2,{text_digest('Währung 0', 'a')}\n"
    )
    options = ["--encoding", "cp1252", "--decisions", "d.csv", "-q"]

    assert run("audit", "t.csv", *options, "-o", name).code == 0

    data = Path(name).read_bytes()
    if name.endswith(".csv"):
        expected = ("Nr;Text;Thema\r\n" + "".join(["0;Währung 0;b\r\n", *rows[1:]])).replace(
            '"', ""
        )
        assert data == expected.encode("cp1252")
    else:
        assert data.decode().startswith('{"Nr":"0","Text":"Währung 0","Thema":"b"}\n')


def test_predict_output_xlsx_holds_texts_as_texts(run: Run) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    cells = ["=1+1", "+49 30 1234", "-x", "@a", "00712345678901234567", "a\x07b_x0041_", "1.5"]
    lines = ["text," + ",".join(map(str, range(len(cells)))), "wheat," + ",".join(cells)]
    Path("t.csv").write_text("\n".join(lines))

    assert run("predict", "news.slug", "t.csv", "-q", "-o", "a.xlsx").code == 0

    header, row = openpyxl.load_workbook("a.xlsx").active.iter_rows()
    assert [cell.value for cell in header][-3:] == ["topic", "probability", "error"]
    assert {cell.data_type for cell in row[: len(cells) + 2]} == {"s"}
    assert (row[-3].value, row[-2].data_type) == ("grain", "n")
    (found,) = read_rows("a.xlsx")
    assert isinstance(found, SourceRow)
    assert [*found.values.values()][1 : len(cells) + 1] == cells


def test_predict_output_xlsx_keeps_the_given_workbook(run: Run) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Datum", "text", "Topic"])
    book.active.append([datetime.datetime(2025, 3, 1), "=wheat corn", "old"])
    book.active["B2"].data_type = "s"
    book.active["A2"].number_format = "DD.MM.YYYY"
    book.active.append([datetime.datetime(2025, 3, 2), None, None])
    book.active.freeze_panes = "A2"
    book.create_sheet("Notizen")["A1"] = "=Tabelle1!A1"
    book.save("t.xlsx")

    assert run("predict", "news.slug", "t.xlsx", "-q", "-o", "a.xlsx").code == 1

    book = openpyxl.load_workbook("a.xlsx")
    sheet = book.active
    assert [[cell.value for cell in row] for row in sheet] == [
        ["Datum", "text", "Topic", "predicted_topic", "probability", "error"],
        [datetime.datetime(2025, 3, 1), "=wheat corn", "old", "grain", sheet["E2"].value, None],
        [datetime.datetime(2025, 3, 2), *[None] * 4, "row 3: no text in column 'text'"],
    ]
    assert (sheet["A2"].number_format, sheet["B2"].data_type) == ("DD.MM.YYYY", "s")
    assert isinstance(sheet["E2"].value, float)
    assert (sheet.freeze_panes, book["Notizen"]["A1"].value) == ("A2", "=Tabelle1!A1")
    # Without the package, too: the file is copied.
    assert run("predict", "news.slug", "t.xlsx", "-q", "-o", "out/").code == 1
    assert Path("out/t.xlsx").read_bytes() == Path("a.xlsx").read_bytes()


def test_predict_output_xlsx_rejects_a_sheet_without_room(run: Run) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.active["XFD2"] = "wheat"
    book.save("t.xlsx")

    code, _, err = run("predict", "news.slug", "t.xlsx", "-q", "-o", "a.xlsx")

    assert code == 1
    assert "t.xlsx has no free columns for the answers after column XFD" in err
    assert not Path("a.xlsx").exists()


def test_predict_output_csv_of_an_excel_file_is_marked_as_utf_8(run: Run) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.active.append(["wheat für alle"])
    book.save("t.xlsx")

    assert run("predict", "news.slug", "t.xlsx", "-q", "-o", "a.csv").code == 0

    data = Path("a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbftext,topic,")
    assert "wheat für alle,grain," in data.decode("utf-8-sig")


def test_predict_output_xlsx_rejects_a_cell_that_is_too_long(run: Run) -> None:
    pytest.importorskip("openpyxl")
    Path("t.csv").write_text(f"text,more\nwheat,{'x' * 40_000}\n")

    code, _, err = run("predict", "news.slug", "t.csv", "-q", "-o", "a.xlsx")

    assert code == 1
    message = "a cell in row 2 has 40,000 characters, but Excel allows 32,767; write CSV.\n"
    assert err.endswith(message)
    assert not Path("a.xlsx").exists()


def test_predict_names_the_file_of_each_text_of_a_folder(run: Run) -> None:
    Path("in").mkdir()
    Path("in/b.txt").write_text("wheat\nand corn")
    Path("in/a.txt").write_text("goal")

    code, out, err = run("predict", "news.slug", "in")
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["id"], row["topic"]) for row in rows] == [("a.txt", "sport"), ("b.txt", "grain")]

    assert run("predict", "news.slug", "in", "-o", "a.csv").code == 0
    header, *cells = cells_of("a.csv")
    assert header == ["text", "id", "topic", "probability", "error"]
    assert [row[:3] for row in cells] == [
        ["goal", "a.txt", "sport"],
        ["wheat\nand corn", "b.txt", "grain"],
    ]


def test_predict_reads_a_folder_of_parquet_files(run: Run, write_parquet: Any) -> None:
    Path("in").mkdir()
    for name, text in (("b", "goal"), ("a", "wheat")):
        write_parquet(f"in/{name}.parquet", {"text": ("VARCHAR", [text]), "n": ("INT", [1])})

    for output in ("a.csv", "a.parquet"):
        assert run("predict", "news.slug", "in", "-q", "-o", output).code == 0

    assert [row[:3] for row in cells_of("a.csv")] == [
        ["text", "n", "topic"],
        ["wheat", "1", "grain"],
        ["goal", "1", "sport"],
    ]
    rows = [row.values for row in read_rows("a.parquet")]
    assert [(row["text"], row["n"], row["topic"]) for row in rows] == [
        ("wheat", 1, "grain"),
        ("goal", 1, "sport"),
    ]


def test_predict_output_escapes_topics_like_formulas_in_tables_only(run: Run) -> None:
    topics = ["=1+1", "＝a", "a-b"]
    lines = [f"wheat{n} corn{n},{topic}" for n, topic in enumerate(topics)] * 4
    Path("t.csv").write_text("\n".join(["text,topic", *lines]), encoding="utf-8")
    assert run("train", "t.csv", "--test-fraction", 0, "-o", "t.slug").code == 0
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        assert run("predict", "t.slug", "t.csv", "-q", "-o", name).code == 0
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        rows = cells_of(name, delimiter)[1:4]
        assert [row[1] for row in rows] == topics  # of the input, as they were
        assert [row[2] for row in rows] == ["'=1+1", "'＝a", "a-b"]
    answers = map(json.loads, Path("a.jsonl").read_text(encoding="utf-8").splitlines()[:3])
    assert [answer["predicted_topic"] for answer in answers] == topics


def test_suggest_output_escapes_guesses_like_formulas(run: Run) -> None:
    lines = [f"{word} {word}s,{topic}" for word, topic in (("wheat", "=1+1"), ("loan", "b"))] * 6
    Path("t.csv").write_text("\n".join(["text,topic", *lines]))
    Path("u.csv").write_text("text,note\nwheat here,=2\nloan there,=3\n")
    run("train", "t.csv", "--test-fraction", 0, "-o", "t.slug")
    assert run("suggest", "t.slug", "u.csv", "-q", "-o", "s.csv").code == 0
    header, *rows = cells_of("s.csv")
    note, guess = header.index("note"), header.index("guess")
    assert {(row[note], row[guess]) for row in rows} == {("=2", "'=1+1"), ("=3", "b")}
