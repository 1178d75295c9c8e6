"""`slugline suggest`: a table to fill in, which `train` reads."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import running
from slugline.corpus.label_database.records import Selection
from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
LINES = ["the rate of wheat", "", "a goal for the bank", "corn at the match", 'say "loan", striker']


@pytest.fixture(autouse=True)
def _files(news_slug: Path, tmp_path: Path) -> None:
    """Have news.slug and new.txt in the folder."""
    (tmp_path / "new.txt").write_text("\n".join(LINES) + "\n")


def test_suggest_prints_a_table_with_an_empty_topic_column(run: Run) -> None:
    result = run("suggest", "news.slug", "new.txt", "-n", 3, "-q")
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["topic", "text", "guess", "probability"]
    assert len(rows) == 3
    for row in rows:
        assert row["topic"] == ""
        assert row["text"] in LINES
        assert row["guess"] in ("bank", "grain", "sport")
        assert 0 < float(row["probability"]) <= 1
    assert result.err == "warning: new.txt: skipped 1 row without text (line 2)\n"


def test_suggest_output_can_be_learned_from(run: Run, tmp_path: Path) -> None:
    result = run("suggest", "news.slug", "new.txt", "-n", 2, "-o", "label.csv", "-q")
    assert result.out == "2 of 4 texts to label: label.csv\n"
    table = (tmp_path / "label.csv").read_text()
    (tmp_path / "label.csv").write_text(table.replace("\n,", "\nsport,"))
    done = run("train", "label.csv", "-q", "--test-fraction", 0, "-o", "more.slug")
    assert done.code == 0
    assert "learned 1 topic from all 2 documents" in done.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.txt"], "--output a.txt: name it a.csv."),
        (["-o", "a.csv", "--json"], "--output applies to CSV output and can't be combined"),
        (["-n", "0"], ""),
    ],
    ids=["no CSV", "both", "none"],
)
def test_suggest_rejects_invalid_options(run: Run, options: list[str], message: str) -> None:
    result = run("suggest", "news.slug", "new.txt", *options)
    assert result.code == 2
    assert message in result.err


def test_suggest_output_does_not_overwrite_the_texts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text\nthe rate of wheat\n")
    result = run("suggest", "news.slug", "new.csv", "-o", "new.csv")
    assert result.code == 2
    assert result.err == (
        "slugline: error: --output new.csv: would overwrite an input file; choose another one.\n"
    )


def test_suggest_random_sets_texts_aside_before_there_is_a_model(run: Run) -> None:
    lines = [f'{n};"Wo ist\nPaket {n % 40}?"' for n in range(50)]
    Path("in.csv").write_text("Nr;Nachricht\n" + "\n".join(lines) + "\n")

    result = run(
        *("suggest", "--random", "in.csv", "-n", 10, "--text", "Nachricht"),
        *("-o", "test.csv", "--rest", "rest.csv", "-q"),
    )

    assert (result.code, result.err) == (0, "")
    test, rest = (
        list(csv.DictReader(io.StringIO(Path(name).read_text()), delimiter=";"))
        for name in ("test.csv", "rest.csv")
    )
    assert [*test[0]] == ["topic", "Nr", "Nachricht"]
    assert [*rest[0]] == ["Nr", "Nachricht"]
    assert {row["topic"] for row in test} == {""}
    chosen, others = ({row["Nachricht"] for row in rows} for rows in (test, rest))
    assert (len(test), len(chosen), len(others)) == (10, 10, 30)
    assert not chosen & others  # copies of chosen texts are in neither
    again = ["suggest", "--random", "in.csv", "-n", 10, "--text", "Nachricht", "-o", "again.csv"]
    assert run(*again).code == 0
    assert Path("again.csv").read_bytes() == Path("test.csv").read_bytes()
    assert run(*again, "--seed", 1).code == 0
    assert Path("again.csv").read_bytes() != Path("test.csv").read_bytes()


def test_suggest_random_leaves_out_labelled_rows(run: Run) -> None:
    lines = [f"{n};Paket {n};{'' if n % 2 else 'Versand'}" for n in range(20)]
    Path("half.csv").write_text("Nr;Nachricht;Thema\n" + "\n".join(lines) + "\n")
    options = ["suggest", "--random", "half.csv", "-n", 6, "-o", "test.csv", "--rest", "rest.csv"]

    result = run(*options)

    assert "10 texts with a topic already in column 'Thema' are not suggested" in result.err
    header, *test = csv.reader(Path("test.csv").read_text().splitlines(), delimiter=";")
    assert header == ["Thema", "Nr", "Nachricht"]
    assert [(row[0], int(row[1]) % 2) for row in test] == [("", 1)] * 6
    header, *rest = csv.reader(Path("rest.csv").read_text().splitlines(), delimiter=";")
    assert header == ["Nr", "Nachricht", "Thema"]
    assert [row[2] for row in rest].count("Versand") == 10
    assert {row[0] for row in rest}.isdisjoint(row[1] for row in test)
    assert len(rest) == 14

    assert run(*options, "--topic", "Bereich").code == 0
    assert Path("test.csv").read_text().startswith("Bereich;Nr;Nachricht;Thema\n")
    assert run(*options, "--topic", "Thema", "--text", "Nachricht").code == 0
    assert Path("test.csv").read_text().startswith("Thema;Nr;Nachricht\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--random"], "Missing argument 'UNLABELLED'."),
        (["news.slug"], "Missing argument 'UNLABELLED'."),
        ([], "Missing argument 'MODEL'."),
        (["--random", "news.slug", "new.txt"], "--random takes no MODEL; give only UNLABELLED."),
        (
            ["news.slug", "new.txt", "--rest", "a.csv"],
            "--rest requires --random; add it, or remove --rest.",
        ),
        (
            ["--random", "new.txt", "-o", "a.csv", "--rest", "a.csv"],
            "--rest a.csv: would overwrite another output; choose another file.",
        ),
        (["--random", "new.txt", "--rest", "a.xlsx"], "--rest a.xlsx: name it a.csv."),
    ],
)
def test_suggest_random_rejects_a_model(run: Run, options: list[str], message: str) -> None:
    assert run("suggest", *options) == (2, "", f"slugline: error: {message}\n")


def test_suggest_marks_several_topics_as_not_labelled_yet(run: Run) -> None:
    rows = "".join(f"wheat {n},grain;corn\ngoal {n},sport\n" for n in range(9))
    Path("train.csv").write_text("text,topics\n" + rows)
    train = ["train", "train.csv", "--topic-separator", ";", "-q", "--test-fraction", 0]
    assert run(*train, "-o", "several.slug").code == 0

    out = run("suggest", "several.slug", "new.txt", "-n", 2, "-o", "label.csv", "-q")

    assert out.code == 0
    assert {
        row["topics"] for row in csv.DictReader(io.StringIO(Path("label.csv").read_text()))
    } == {"?"}
    again = run("train", "train.csv", "label.csv", "--topic-separator", ";", "-o", "b.slug")
    assert "label.csv has no document with a topic; 2 of 2 rows are not labelled yet" in again.err


# The page -----------------------------------------------------------------------------------------


def post(address: str, operation: str, **body: Any) -> Any:
    """Return the reply of the page to an operation."""
    request = urllib.request.Request(
        f"{address}/v1/{operation}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        return json.load(reply)


def label_next(address: str, topic: str) -> str:
    """Give a topic to the next text; return its text."""
    text = post(address, "next")["text"]
    body = {"kind": "label", "topics": [topic], "request": uuid.uuid4().hex}
    post(address, "decide", assignment=text["assignment"], **body)
    return str(text["text"])


def test_suggest_page_shows_the_suggested_texts_with_guesses(run: Run, tmp_path: Path) -> None:
    listed = json.loads(run("suggest", "news.slug", "new.txt", "-n", 2, "-q", "--json").out)
    arguments = ("news.slug", "new.txt", "-n", 2, "--page", "-o", "labels.db", "--coder", "Kim")
    with running(*arguments, command="suggest") as address:
        with urllib.request.urlopen(f"{address}/v1/state", timeout=600) as reply:
            state = json.load(reply)
        first = post(address, "next")["text"]
        labelled = [label_next(address, "sport"), label_next(address, "bank")]
        assert post(address, "next")["text"] is None
    assert labelled == [each["text"] for each in listed]
    assert first["guess"]["topics"] == [listed[0]["guess"]]
    names = [topic["name"] for topic in state["codebook"]["topics"]]
    assert (names, state["content"]) == (["bank", "grain", "sport"], "suggestions")
    with LabelStore(tmp_path / "labels.db") as store:
        stored = [each.assignment for each in store.decisions()]
    assert {each.coder.name for each in stored} == {"Kim"}
    assert {each.selection._replace(guess=None) for each in stored} == {
        Selection("suggested", is_guess_shown=True)
    }
    done = run("train", "labels.db", "-q", "--test-fraction", 0, "-o", "more.slug")
    assert (done.code, "from all 2 documents" in done.out) == (0, True)


def test_suggest_page_goes_on_with_texts_that_have_no_label(run: Run, tmp_path: Path) -> None:
    arguments = ("news.slug", "new.txt", "-n", 9, "--page", "-o", "labels.db")
    with running(*arguments, command="suggest") as address:
        labelled = {label_next(address, "sport") for _ in range(3)}
    with running(*arguments, command="suggest") as address:
        labelled.add(label_next(address, "sport"))
    assert labelled == {line for line in LINES if line}
    result = run("suggest", *arguments, "--port", 0)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "slugline: error: every text of new.txt has a topic, or a label in labels.db.",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--page"], "--page requires a label database; add -o labels.db."),
        (["--page", "-o", "a.csv"], "--output a.csv: --page writes a database; name it a.db."),
        (
            ["--page", "-o", "a.db", "--json"],
            "--page opens a page and can't be combined with --json; leave one out.",
        ),
        (["--port", "1234"], "--port requires --page; add it, or omit --port."),
        (["--page", "-o", "no/a.db"], "--output no/a.db: can't write a file there"),
    ],
    ids=["no file", "a table", "json", "no page", "no folder"],
)
def test_suggest_page_rejects_invalid_options(run: Run, options: list[str], message: str) -> None:
    result = run("suggest", "news.slug", "new.txt", *options)
    assert (result.code, message in result.err) == (2, True), result.err


def test_suggest_page_rejects_labels_of_other_texts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("wheat and rate\nloan and goal\n")
    with running("news.slug", "new.txt", "--page", "-o", "a.db", command="suggest") as address:
        label_next(address, "sport")
    result = run("suggest", "news.slug", "other.txt", "--page", "-o", "a.db", "--port", 0)
    assert (result.code, "has labels of 1 other document" in result.err) == (1, True), result.err
