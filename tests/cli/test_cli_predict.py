"""`slugline predict`: one JSON line per document."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import load

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

SLUGLINE = [sys.executable, "-m", "slugline"]
TEXTS = ["wheat and corn", "goal and match", "loan and bond", "barley"]
TOPICS = ["grain", "sport", "bank", "grain"]


@pytest.fixture(autouse=True)
def _model(news_slug: Path) -> None:
    """Have a model called news.slug in the folder."""


def rows_of(result: Any) -> list[Any]:
    assert (result.code, result.err) == (0, "")
    return [json.loads(line) for line in result.out.splitlines()]


def test_predict_answers_lines_of_standard_input_in_order(run: Run) -> None:
    result = run("predict", "news.slug", stdin="\n".join(TEXTS))

    proba = load("news.slug").predict_proba(TEXTS).max(axis=1)
    assert result == (
        0,
        "".join(
            f'{{"topic":"{topic}","probability":{round(float(p), 4)}}}\n'
            for topic, p in zip(TOPICS, proba, strict=True)
        ),
        "",
    )


@pytest.mark.parametrize("to_file", [True, False])
def test_predict_reports_progress_of_a_long_job_that_writes_a_file(
    run: Run, tmp_path: Path, to_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.base.progress._SHORT", 0.0)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    code, _, err = run("predict", "news.slug", "texts.txt", *(["-o", "a.csv"] if to_file else []))
    assert code == 0
    # Lines would run into answers, such as those that a program reads.
    assert ("100%  predicting  4 lines  " in err) == to_file


def test_predict_top_gives_the_most_likely_topics(run: Run) -> None:
    [row] = rows_of(run("predict", "news.slug", "--top", 2, stdin="wheat and goal wheat"))

    model = load("news.slug")
    proba = dict(zip(model.classes_, model.predict_proba(["wheat and goal wheat"])[0], strict=True))
    best = sorted(proba, key=lambda topic: -proba[topic])[:2]
    assert row == {
        "topic": best[0],
        "probability": round(float(proba[best[0]]), 4),
        "topics": [{"topic": t, "probability": round(float(proba[t]), 4)} for t in best],
    }


def test_predict_recognizes_json_lines_on_standard_input(run: Run) -> None:
    lines = [json.dumps({"id": [7], "text": "wheat"}), json.dumps({"text": "goal"})]

    rows = rows_of(run("predict", "news.slug", "-q", stdin="\n".join(lines)))

    assert [(row.get("id"), row["topic"]) for row in rows] == [([7], "grain"), (None, "sport")]


def write_parquet(path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, body VARCHAR)")
        rows = [(f"n{i}", text) for i, text in enumerate(TEXTS)]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


def csv_of(texts: list[str]) -> str:
    return "id,body,queue\n" + "".join(f"n{i},{text},\n" for i, text in enumerate(texts))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path: path.write_text(csv_of(TEXTS))),
        ("t.csv.gz", lambda path: path.write_bytes(gzip.compress(csv_of(TEXTS).encode()))),
        ("t.tsv", lambda path: path.write_text(csv_of(TEXTS).replace(",", "\t"))),
        (
            "t.jsonl",
            lambda path: path.write_text(
                "".join(json.dumps({"id": f"n{i}", "body": t}) + "\n" for i, t in enumerate(TEXTS))
            ),
        ),
        (
            "t.json",
            lambda path: path.write_text(
                json.dumps([{"id": f"n{i}", "body": t} for i, t in enumerate(TEXTS)])
            ),
        ),
        ("t.parquet", write_parquet),
    ],
    ids=["csv", "gzip", "tsv", "jsonl", "json", "parquet"],
)
def test_predict_reads_every_kind_of_table_and_passes_ids(
    run: Run, tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    write(tmp_path / name)

    rows = rows_of(run("predict", "news.slug", name, "-q"))

    assert [row["id"] for row in rows] == ["n0", "n1", "n2", "n3"]
    assert [row["topic"] for row in rows] == TOPICS


def test_predict_answers_each_text_of_a_json_array(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps([*TEXTS, 3]))

    code, out, _ = run("predict", "news.slug", "t.json", "-q")
    rows = [json.loads(line) for line in out.splitlines()]

    assert code == 1
    assert [row["topic"] for row in rows[:4]] == TOPICS
    assert rows[4:] == [{"item": 5, "error": "JSON, but not an object or text"}]


@pytest.mark.parametrize("options", [["notes"], ["notes.log", "--format", "txt"]])
def test_predict_reads_lines_of_a_file_without_ending_or_by_format(
    run: Run, options: list[str]
) -> None:
    Path(options[0]).write_text("wheat\ngoal\n")
    rows = rows_of(run("predict", "news.slug", *options))
    assert [row["topic"] for row in rows] == ["grain", "sport"]


def test_predict_text_names_the_column(run: Run) -> None:
    stdin = "text,other\nwheat,goal\n"
    [row] = rows_of(
        run("predict", "news.slug", "-", "--format", "csv", "--text", "other", stdin=stdin)
    )
    assert row["topic"] == "sport"


@pytest.mark.parametrize("format_", [[], ["--format", "csv"]], ids=["guessed", "named"])
def test_predict_recognizes_a_table_on_standard_input(run: Run, format_: list[str]) -> None:
    options = ["-", "-q", *format_] if format_ else ["-q"]
    rows = rows_of(run("predict", "news.slug", *options, stdin=csv_of(TEXTS)))

    assert [row["id"] for row in rows] == ["n0", "n1", "n2", "n3"]
    assert [row["topic"] for row in rows] == TOPICS


def test_predict_notes_what_it_assumes_of_standard_input(run: Run) -> None:
    _, out, err = run("predict", "news.slug", stdin="id,text\n7,wheat\n")

    assert json.loads(out)["id"] == "7"
    assert err == (
        "standard input: read as CSVbecause its first line names columns; for plain texts, "
        "--format txt\n"
        "standard input: read column 'text' as text; choose another with --text\n"
    )


@pytest.mark.parametrize(
    "first",
    [
        "wheat, goal, and more",
        "The text, in short",
        "text",
        "a,b,c",
        'text,"',
        "text,text",
        "text,",
    ],
)
def test_predict_takes_an_ordinary_first_line_for_a_text(run: Run, first: str) -> None:
    rows = rows_of(run("predict", "news.slug", stdin=f"{first}\nwheat\n"))
    assert len(rows) == 2


def test_predict_notes_an_id_of_another_case_and_id_names_it(run: Run) -> None:
    Path("t.csv").write_text("ID,ticket_id,text\n7,t7,wheat\n")

    _, out, err = run("predict", "news.slug", "t.csv", "--text", "text")
    assert (json.loads(out)["id"], err) == (
        "7",
        "t.csv: read column 'ID' as id; choose another with --id\n",
    )
    [row] = rows_of(run("predict", "news.slug", "t.csv", "--text", "text", "--id", "ticket_id"))
    assert row["id"] == "t7"


def test_predict_text_joins_two_columns(run: Run) -> None:
    Path("t.csv").write_text("subject,body\nwheat,corn\n")

    [joined] = rows_of(run("predict", "news.slug", "t.csv", "--text", "subject,body"))
    [row] = rows_of(run("predict", "news.slug", stdin="wheat corn"))

    assert joined == row


def test_predict_writes_an_id_of_several_lines_on_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"id": [1,\n 2],\n "text": "wheat"}]')
    [row] = rows_of(run("predict", "news.slug", "t.json", "-q"))
    assert row["id"] == [1, 2]


# Bad rows ---------------------------------------------------------------------------------------


BAD = b'{"text": "wheat"}\n{"text": 5}\nnonsense\n{"text": "caf\xe9"}\n\n{"text": "goal"}\n'


def test_predict_reports_a_bad_row_and_goes_on(run: Run) -> None:
    code, out, err = run("predict", "news.slug", stdin=BAD)

    topics = [json.loads(line).get("topic") for line in out.splitlines()]
    assert topics == ["grain", None, None, None, "sport"]
    assert out.splitlines()[1:4] == [
        '{"line":2,"error":"no text in column \'text\'"}',
        '{"line":3,"error":"not valid JSON (JSON is malformed: invalid character (byte 4))"}',
        '{"line":4,"error":"bytes that are not UTF-8"}',
    ]
    assert (code, err) == (
        1,
        "standard input: read column 'text' as text; choose another with --text\n"
        "standard input: 3 of 5 lines could not be classified (bytes that are not UTF-8: if it is "
        'cp1252, pass --encoding cp1252); see "error" in the lines\n',
    )


def test_predict_quiet_warns_of_bad_rows_in_an_output(run: Run) -> None:
    code, out, err = run("predict", "news.slug", "--quiet", "-o", "answers.jsonl", stdin=BAD)
    assert (code, out) == (1, "")
    assert err.startswith("warning: standard input: 3 of 5 lines could not be classified")


def test_predict_quiet_reports_bad_rows_by_the_exit_status_only(run: Run) -> None:
    code, _, err = run("predict", "news.slug", "--quiet", stdin=BAD)
    assert (code, err) == (1, "")


def test_predict_strict_stops_at_the_first_bad_row(run: Run) -> None:
    code, out, err = run("predict", "news.slug", "--strict", "-q", stdin=BAD)

    assert (code, err) == (
        1,
        "slugline: error: standard input, line 2: no text in column 'text'; fix them, or "
        "continue past bad rows without --strict.\n",
    )
    assert [json.loads(line)["topic"] for line in out.splitlines()] == ["grain"]


@pytest.mark.parametrize(
    ("stdin", "options"),
    [("", []), ("text\n", ["-", "--format", "csv"])],
    ids=["nothing", "a header only"],
)
def test_predict_answers_no_documents_with_no_lines(
    run: Run, stdin: str, options: list[str]
) -> None:
    result = run("predict", "news.slug", *options, stdin=stdin)

    assert result == (0, "", "standard input contains no texts\n")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["t.csv", "new.csv"], 2, "new.csv doesn't exist; did you mean -o new.csv?"),
        (["tt.csv"], 1, "tt.csv doesn't exist; check the path."),
        (["."], 1, ". contains no .txt or Parquet files; pass other files individually."),
        (
            ["t.csv", "--text", "BODY"],
            2,
            "t.csv has no column 'BODY'; found 'a', 'b', 'body'; did you mean 'body'?",
        ),
        (
            ["t.csv", "--text", "bdy"],
            2,
            "t.csv has no column 'bdy'; found 'a', 'b', 'body'; did you mean 'body'?",
        ),
        (
            ["t.csv", "--id", "bdy"],
            2,
            "t.csv has no column 'bdy'; found 'a', 'b', 'body'; did you mean 'body'?",
        ),
        (
            ["none.csv"],
            1,
            "none.csv: cannot tell which of 'a', 'b', 'c' contains the text; choose columns with "
            "--text, or add a header if these are not column names.",
        ),
        (
            ["t.csv", "--format", "xls"],
            2,
            "unknown format 'xls'; choose one of csv, tsv, jsonl, json, parquet, "
            "xlsx, txt, folder.",
        ),
    ],
    ids=[
        "no -o",
        "missing file",
        "folder",
        "upper case",
        "missing column",
        "missing id",
        "no known column",
        "format",
    ],
)
def test_predict_rejects_files_that_it_cannot_read(
    run: Run, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    (tmp_path / "t.csv").write_text("a,b,body\n1,2,wheat\n")
    (tmp_path / "none.csv").write_text("a,b,c\n1,2,3\n")

    assert run("predict", "news.slug", *options) == (code, "", f"slugline: error: {message}\n")


# Which model, which file ------------------------------------------------------------------------

USING = (
    "using the included model reuters46 (46 newswire topics of 1987); "
    "use your own with slugline predict MODEL FILE\n"
)
WIRE = "OPEC will raise its crude oil output"


@pytest.fixture
def files(tmp_path: Path, news_slug: Path) -> None:
    """Have texts, and a model whose name does not tell that it is one."""
    (tmp_path / "texts.txt").write_text(f"{WIRE}\n")
    (tmp_path / "model.v2").write_bytes(news_slug.read_bytes())


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "topic", "said"),
    [
        ([], "crude", USING),
        (["--quiet"], "crude", ""),
        (["-"], "crude", USING),
        (["texts.txt"], "crude", USING),
        (["texts.txt", "-q"], "crude", ""),
        (["reuters46"], "crude", ""),
        (["reuters46", "texts.txt"], "crude", ""),
        (["news.slug"], "grain", ""),
        (["model.v2"], "grain", ""),
        (["model.v2", "-"], "grain", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_predict_takes_one_argument_for_a_model_or_a_file(
    run: Run, arguments: list[str], topic: str, said: str
) -> None:
    stdin = "corn and wheat" if topic == "grain" else WIRE

    code, out, err = run("predict", *arguments, stdin=stdin)

    assert (code, err) == (0, said)
    assert [json.loads(line)["topic"] for line in out.splitlines()] == [topic]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["tickets"],
            "tickets: no such file. Check the path, or pass a model: reuters46 or a .slug file.",
        ),
        (["reuters64", "-"], "reuters64: there is no such file; did you mean reuters46?"),
        (["mine.slug"], "mine.slug: there is no such file; check the path."),
        (["mine", "texts.txt"], "mine: there is no such file; check the path."),
        (["./reuters46", "-"], "./reuters46: there is no such file; check the path."),
        (["reuters46", "tickets"], "tickets doesn't exist; check the path."),
    ],
    ids=["neither", "nearly a name", "model", "model and file", "a path like the name", "file"],
)
def test_predict_rejects_a_missing_model_or_file(
    run: Run, arguments: list[str], message: str
) -> None:
    assert run("predict", *arguments) == (1, "", f"slugline: error: {message}\n")


@pytest.mark.parametrize("model", [[], ["reuters46"]], ids=["only a text", "model and text"])
@pytest.mark.parametrize("text", ["Is wheat up 3.5 %?", "wheat " * 1000], ids=["short", "long"])
def test_predict_says_how_to_give_a_text(run: Run, model: list[str], text: str) -> None:
    shown = text if len(text) < 60 else ("wheat " * 10)[:59] + "…"
    assert run("predict", *model, text) == (
        1,
        "",
        f"slugline: error: '{shown}' is not a file. To classify it as a text: echo '{shown}' | "
        f"slugline predict reuters46. To see which words count: slugline explain reuters46 "
        f"'{shown}'.\n",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_predict_loses_nothing_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "texts").write_text(f"PKB said: {WIRE}\n{WIRE}\n")
    # Who writes waits for a reader, for ever if that has ended before.
    with subprocess.Popen(["bash", "-c", "cat texts > pipe"], cwd=tmp_path) as writer:
        command = [*SLUGLINE, "predict", "pipe", "-q"]
        out = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE).stdout
        writer.kill()
    assert [json.loads(line)["topic"] for line in out.splitlines()] == ["crude", "crude"]


def test_predict_recognizes_a_model_in_place_of_the_texts(run: Run) -> None:
    assert run("predict", "texts.csv", "news.slug") == (
        1,
        "",
        "slugline: error: texts.csv is not a model, but news.slug is. Swap them: "
        "slugline predict news.slug texts.csv\n",
    )


# Threads ------------------------------------------------------------------------------------------


def test_predict_answers_the_same_for_any_number_of_threads(run: Run) -> None:
    Path("many.txt").write_text("\n".join(TEXTS * 1000 + [""] + TEXTS))

    results = [run("predict", "news.slug", "many.txt", "--threads", n) for n in (1, 2, 3)]

    assert results[0].code == 1  # of the blank line
    assert results[0].out.count("\n") == 4005
    assert results[1:] == results[:1] * 2


def test_predict_strict_stops_at_the_same_row_on_several_threads(run: Run) -> None:
    Path("many.txt").write_text("\n".join(TEXTS * 1000 + [""] + TEXTS))

    results = [run("predict", "news.slug", "many.txt", "--strict", "--threads", n) for n in (1, 2)]

    assert results[0] == results[1]
    assert results[0].out.count("\n") == 4000
    assert results[0].err == (
        "slugline: error: many.txt, line 4001: no text; fix them, or continue past bad rows "
        "without --strict.\n"
    )


# Pipes ------------------------------------------------------------------------------------------


def test_predict_ends_quietly_if_the_reader_stops(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("wheat\n" * 50_000)
    with subprocess.Popen(
        [*SLUGLINE, "predict", "news.slug", "many.txt"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        process.stdout.close()
        said = process.stderr.read()

    assert first["topic"] == "grain"
    assert (process.returncode, said) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["predict", "info"])
def test_predict_reports_a_full_disk_of_standard_output(tmp_path: Path, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [*SLUGLINE, command, "news.slug"],
            cwd=tmp_path,
            input=b"wheat\n",
            timeout=600,
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )

    assert (process.returncode, process.stderr.decode()) == (
        1,
        "slugline: error: can't write the output (No space left on device); free disk space, or "
        "redirect it.\n",
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows tells nothing of pipes")
@pytest.mark.parametrize(
    ("first", "line", "threads"),
    [
        ("", "{}", 1),
        ("", "{}", 2),
        ("", '{{"text": "{}"}}', 2),
        ("id,text\n", "7,{}", 1),
        ("key;wire\n", "7;{}", 2),
    ],
    ids=["text", "text, threads", "JSON", "CSV", "CSV by name"],
)
def test_predict_answers_a_program_that_waits_at_once(
    tmp_path: Path, threads: int, first: str, line: str
) -> None:
    command = ["predict", "news.slug", "-q", "--threads", str(threads)]
    options = ["-", "--format", "csv", "--text", "wire"] if "wire" in first else []
    with subprocess.Popen(
        [*SLUGLINE, *command, *options], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(first.encode())
        for text, topic in zip(TEXTS, TOPICS, strict=True):
            process.stdin.write(line.format(text).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["topic"] == topic
        process.stdin.close()
        process.wait(600)

    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_predict_ends_at_an_interrupt_without_a_traceback(tmp_path: Path, threads: int) -> None:
    with subprocess.Popen(
        [*SLUGLINE, "predict", "news.slug", "--threads", str(threads)],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"wheat\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        process.wait(600)

    assert process.returncode == 130
    assert b"Traceback" not in said


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_predict_answers_a_person_who_types_at_once(tmp_path: Path) -> None:
    keyboard, their_end = os.openpty()
    with subprocess.Popen(
        [*SLUGLINE, "predict", "news.slug"],
        cwd=tmp_path,
        stdin=their_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for text, topic in zip(TEXTS, TOPICS, strict=True):
            os.write(keyboard, text.encode() + b"\n")
            assert json.loads(process.stdout.readline())["topic"] == topic
        os.write(keyboard, b"\x04")
        process.wait(600)
        said = process.stderr.read()

    os.close(their_end)
    os.close(keyboard)
    assert process.returncode == 0
    assert said == b"type one text per line; Ctrl-D ends the input\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_predict_takes_closed_streams_without_a_traceback(news_slug: Path, closed: str) -> None:
    command = f"'{sys.executable}' -m slugline predict news.slug {closed}"
    process = subprocess.run(
        ["bash", "-c", command], cwd=news_slug.parent, input=b"", capture_output=True, check=False
    )
    assert process.returncode == 0
    assert b"Traceback" not in process.stderr


def test_predict_encoding_is_used(run: Run, news_slug: Path) -> None:
    Path("latin.csv").write_bytes("body\nwheat für köln\n".encode("cp1252"))
    code, out, _ = run("predict", news_slug, "latin.csv", "-q", "--encoding", "cp1252")
    assert (code, json.loads(out)["topic"]) == (0, "grain")


def test_predict_does_not_take_an_excel_file_for_a_model(run: Run) -> None:
    Path("neu.xlsx").write_bytes(b"PK\x03\x04")

    alone = run("predict", "neu.xlsx", "-q")
    before_model = run("predict", "neu.xlsx", "news.slug")

    assert "neu.xlsx cannot be read as Excel" in alone.err
    assert "neu.xlsx is not a model, but news.slug is. Swap them" in (before_model.err)
