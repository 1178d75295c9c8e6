"""`slugline audit --page`: decisions about suspects, and the repair that they make."""

from __future__ import annotations

import contextlib
import csv
import json
import random
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import running
from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
#: The documents that have a wrong topic.
WRONG = (10, 33, 57, 71)


@pytest.fixture
def documents(news: list[tuple[str, str]]) -> list[dict[str, str]]:
    return make_documents(news)


def make_documents(news: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Return documents with an id and a price, four of them with a wrong topic."""
    rng = random.Random(0)
    rows = [
        {"id": f"n{n}", "body": f"{text} {rng.randrange(10**6)}", "price": "1,50", "queue": topic}
        for n, (text, topic) in enumerate(news)
    ]
    other = {"bank": "grain", "grain": "sport", "sport": "bank"}
    for n in WRONG:
        rows[n]["queue"] = other[rows[n]["queue"]]
    return rows


@pytest.fixture
def data(documents: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "news.csv"
    write(path, documents)
    return path


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="cp1252") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, delimiter=";"))


READING = ("--text", "body", "--topic", "queue")


def reviewing(*words: object) -> Any:
    return running("news.csv", *READING, "--page", "--coder", "Kim", *words, command="audit")


def post(address: str, operation: str, **body: Any) -> Any:
    """Return the reply of the page to an operation."""
    request = urllib.request.Request(
        f"{address}/v1/{operation}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        return json.load(reply)


def decide(address: str, kind: str, topic: str = "", reason: str | None = None) -> Any:
    """Decide about the next suspect, and return it; a topic is by name, or "keep" or "change"."""
    text = post(address, "next")["text"]
    review = text["review"]
    topics = {"keep": review["topics"], "change": review["proposal"], "": []}.get(topic, [topic])
    body = {"kind": kind, "topics": topics, "reason": reason, "request": uuid.uuid4().hex}
    text["decision"] = post(address, "decide", assignment=text["assignment"], **body)
    return text


def row_number(text: Any) -> int:
    return int(dict(text["columns"])["id"][1:])


@pytest.fixture(scope="module")
def _decision(
    news: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, int]:
    """Return a database with a decision to change a topic, and the row of the document."""
    with contextlib.chdir(tmp_path_factory.mktemp("review")):
        write(Path("news.csv"), make_documents(news))
        with reviewing() as address:
            number = row_number(decide(address, "label", "change"))
        return Path("reviewed.db").read_bytes(), number


@pytest.fixture
def changed_row(_decision: tuple[bytes, int], data: Path) -> int:
    """Have reviewed.db in the folder; return the row of the document that it changes."""
    Path("reviewed.db").write_bytes(_decision[0])
    return _decision[1]


# Decisions and repair -----------------------------------------------------------------------------


def test_audit_page_shows_suspects_with_evidence(
    data: Path, documents: list[dict[str, str]], tmp_path: Path
) -> None:
    with reviewing() as address:
        text = decide(address, "label", "keep")
        with urllib.request.urlopen(f"{address}/v1/state", timeout=600) as reply:
            state = json.load(reply)
    document = documents[row_number(text)]
    assert row_number(text) in WRONG
    assert (text["text"], text["columns"][1]) == (document["body"], ["price", "1,50"])
    assert text["review"]["topics"] == [document["queue"]]
    proposal = text["review"]["proposal"][0]
    assert text["review"]["reasons"][1] == (
        f"its words are typical of {proposal} rather than {document['queue']}"
    )
    assert (state["content"], state["source"]) == ("suspects", "news.csv")
    with LabelStore(tmp_path / "reviewed.db") as store:
        (decision,) = store.decisions()
    selection = decision.assignment.selection
    assert (selection.reason, selection.probability) == ("audit", None)
    assert decision.assignment.coder.name == "Kim"


def test_audit_decisions_of_the_page_repair_the_data(
    run: Run, data: Path, documents: list[dict[str, str]], tmp_path: Path
) -> None:
    with reviewing("-o", "r.db") as address:
        changed = row_number(decide(address, "label", "change"))
        removed = row_number(decide(address, "skip", reason="none of these"))
        decide(address, "label", "keep")
        undone = decide(address, "label", "change")
        post(address, "undo", decision=undone["decision"]["id"], request=uuid.uuid4().hex)
    result = run("audit", "news.csv", *READING, "--decisions", "r.db", "-o", "fixed.csv", "-q")
    assert result.out == (
        f"1 relabelled, 1 dropped, 1 kept\n{len(documents) - 1} documents: fixed.csv\n"
    )
    right = {"bank": "sport", "grain": "bank", "sport": "grain"}
    expected = [dict(row) for row in documents]
    expected[changed]["queue"] = right[expected[changed]["queue"]]
    del expected[removed]
    assert read(tmp_path / "fixed.csv") == expected


def test_audit_page_goes_on_where_it_stopped(data: Path) -> None:
    with reviewing("-o", "r.db") as address:
        first = row_number(decide(address, "label", "keep"))
        recent = post(address, "recent")["decisions"]
    with reviewing("-o", "r.db") as address:
        second = row_number(decide(address, "label", "change"))
        again = post(address, "text", assignment=recent[0]["decision"]["assignment"])
    assert first != second
    assert row_number(again) == first
    assert again["review"]["topics"] == again["decision"]["topics"]


def test_audit_page_gives_each_suspect_to_one_person(data: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("anna 0123456789abcdef\nben fedcba9876543210\n")
    with reviewing("--token-file", tokens) as address:
        found = []
        for token in ("0123456789abcdef", "fedcba9876543210"):
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            for path, body in (("state", None), ("next", b"{}")):
                request = urllib.request.Request(f"{address}/v1/{path}", body, headers)
                with urllib.request.urlopen(request, timeout=600) as reply:
                    content = json.load(reply)
            found.append(row_number(content["text"]))
    assert found[0] != found[1]


def test_audit_decisions_of_the_page_reject_changed_data(
    run: Run, data: Path, documents: list[dict[str, str]], changed_row: int
) -> None:
    documents[changed_row]["body"] += "!"
    write(data, documents)
    decisions = ("--decisions", "reviewed.db", "-o", "fixed.csv", "-q")
    result = run("audit", "news.csv", *READING, *decisions)
    assert (result.code, Path("fixed.csv").exists()) == (1, False)
    line = f"line {changed_row + 2} of news.csv"
    assert f"reviewed.db, decision about document 1: {line} has changed" in result.err
    assert "or undo the decision on the page." in result.err


def test_audit_page_reviews_several_topics(run: Run, documents: list[dict[str, str]]) -> None:
    rows = [{**row, "queue": f"{row['queue']},all"} for row in documents]
    write(Path("news.csv"), rows)
    with reviewing("-o", "r.db", "--topic-separator", ",") as address:
        text = post(address, "next")["text"]
        number = row_number(text)
        body = {"kind": "label", "topics": ["all"], "request": uuid.uuid4().hex}
        post(address, "decide", assignment=text["assignment"], **body)
    assert number in WRONG
    assert {*text["review"]["topics"]} == {*rows[number]["queue"].split(",")}
    words = ("audit", "news.csv", *READING, "--topic-separator", ",", "--decisions", "r.db", "-q")
    assert run(*words, "-o", "fixed.csv").out.startswith("1 relabelled, 0 dropped, 0 kept\n")
    fixed = read(Path("fixed.csv"))
    assert fixed[number]["queue"] == "all"
    assert [row["queue"] for row in fixed[:number]] == [row["queue"] for row in rows[:number]]


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--page", "-o", "a.csv"), 2, "--page writes a database; name it a.db."),
        (("--page", "--review", "a.csv"), 2, "--review cannot be combined with --page"),
        (("--page", "--decisions", "a.csv"), 2, "--decisions cannot be combined with --page"),
        (("-o", "a.db"), 2, "--output a.db: a database of decisions requires --page; add it."),
        (("--coder", "Kim"), 2, "--coder requires --page; add it, or omit --coder."),
        (("--page", "-o", "no/a.db"), 2, "--output no/a.db: can't write a file there"),
        (("--page", "-o", "news.csv/a.db"), 2, "can't write a file there"),
        (("--page", "-o", "other.db"), 1, "other.db contains labels, not audit decisions"),
        (("--page", "-o", "text.db"), 1, "not an SQLite file"),
        (("--page", "--host", "0.0.0.0"), 2, "add --token-file FILE"),
        (("--decisions", "other.db", "-o", "a.csv"), 1, "other.db contains labels, not"),
    ],
)
def test_audit_page_reports_what_it_can_not_use(
    run: Run, data: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    with LabelStore("other.db") as store:
        store.add_coder("Kim")
        store.add_topic("grain", "Kim")
    Path("text.db").write_text("no database at all\n" * 100)
    result = run("audit", "news.csv", *READING, *words)
    assert (result.code, message in result.err) == (status, True), result.err
    assert not Path("a.db").exists()


def test_audit_page_reports_data_without_topics(run: Run) -> None:
    Path("news.csv").write_text("id,body\n1,wheat\n2,loan\n")
    result = run("audit", "news.csv", "--page")
    assert (result.code, Path("reviewed.db").exists()) == (1, False)


def test_audit_page_says_that_nothing_is_suspect(tmp_path: Path) -> None:
    texts = [f"{'wheat corn' if n % 2 else 'loan rate'} {n}" for n in range(60)]
    rows = [{"body": text, "queue": text.split()[0]} for text in texts]
    write(tmp_path / "news.csv", rows)
    command = [sys.executable, "-m", "slugline", "audit", "news.csv", *READING, "--page"]
    done = subprocess.run(
        [*command, "--port", "0"], capture_output=True, text=True, timeout=600, cwd=tmp_path
    )
    assert (done.returncode, (tmp_path / "reviewed.db").exists()) == (0, False), done.stderr
    assert "no suspect topics, so there is nothing to review" in done.stderr


def test_audit_page_leaves_no_file_behind_where_a_port_is_in_use(run: Run, data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = run("audit", "news.csv", *READING, "--page", "--port", other.getsockname()[1])
    assert (result.code, "is in use" in result.err) == (1, True), result.err
    assert not Path("reviewed.db").exists()


@pytest.mark.usefixtures("changed_row")
def test_audit_page_rejects_decisions_about_other_documents(
    run: Run, data: Path, documents: list[dict[str, str]]
) -> None:
    write(data, [{**row, "body": f"{row['body']} now"} for row in documents])
    result = run("audit", "news.csv", *READING, "--page", "--port", 0)
    assert (result.code, "has labels of 1 other document" in result.err) == (1, True), result.err


@pytest.mark.usefixtures("changed_row")
def test_train_does_not_take_decisions_for_all_labels(run: Run) -> None:
    result = run("train", "reviewed.db", "-o", "a.slug")
    assert result.code == 1
    assert "slugline audit news.csv --decisions reviewed.db -o repaired.csv" in result.err


def test_label_adds_no_labels_to_decisions(run: Run, data: Path) -> None:
    with reviewing() as address:
        post(address, "next")
    result = run("label", "news.csv", "--text", "body", "-o", "reviewed.db", "--port", 0)
    assert (result.code, "contains audit decisions" in result.err) == (2, True)
