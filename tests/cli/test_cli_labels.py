"""`slugline labels show`, `approve` and `withdraw`, and training that holds some corrections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline import load
from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
TRAIN = ["train", "news.csv", "-o", "news.slug", "-q", "--test-fraction", 0.4]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, news_csv: Path) -> None:
    assert news_csv.parent == tmp_path
    monkeypatch.chdir(tmp_path)


def _fields(text: str) -> dict[str, Any]:
    return {"text": text, "answer": "bank", "model": "news", "digest": "d"}


def correct(n: int, topic: str = "flowers", *, approved: bool = False) -> None:
    """Add corrections by a person who may, or may not, approve."""
    with LabelStore("c.db") as store:
        for number in range(n):
            fields = _fields(f"a tulip\nand a rose of {topic} {number}")
            store.add_correction(
                **fields, probability=0.5, topic=topic, who="Kim", is_approved=approved
            )


def test_labels_lists_reasons_and_approves(run: Run) -> None:
    run(*TRAIN)
    before = Path("news.slug").read_bytes()
    correct(8)
    with LabelStore("c.db") as store:
        [first] = store.get_corrections([1])
        store.add_correction(**_fields(first.text), topic="bank", who="Ann", probability=0.95)
    listed = run("labels", "show", "c.db").out.splitlines()[2:]
    assert listed[0] == "9 corrections wait for approval"
    assert listed[2].startswith("1  20")
    assert listed[2].endswith(" UTC, by Kim, as typed, of model news")
    assert listed[3:6] == [
        "  a tulip and a rose of flowers 0",
        "  predicted bank, corrected to flowers",
        "  look closely: Ann assigned 'bank' to the same text",
    ]
    run("labels", "withdraw", "c.db", 9)
    pending = run(*TRAIN, "--corrections", "c.db")
    assert pending.code == 1
    assert pending.out == "8 corrections wait for approval\n"
    assert " ".join(pending.err.split()).endswith(
        "news.slug is not written: all corrections in c.db wait for approval. Approve them with "
        "`slugline labels approve c.db pending`, or list them first."
    )
    assert Path("news.slug").read_bytes() == before
    as_json = run(*TRAIN, "--corrections", "c.db", "--json")
    found = json.loads(as_json.out)["corrections"]
    assert (as_json.code, found) == (1, {"n_texts": 0, "n_pending": 8})

    done = run("labels", "approve", "c.db", "1-3,4", 5)
    assert done.err == "approved 5 corrections; 3 corrections wait for approval\n"
    done = run("labels", "withdraw", "c.db", 6)
    assert done.err == "withdrew 1 correction; 2 corrections wait for approval\n"
    learned = run(*TRAIN, "--corrections", "c.db")
    assert learned.code == 0, learned.err
    assert "2 corrections wait for approval" in learned.out
    assert "`slugline labels show c.db` lists them" in learned.out
    assert load("news.slug").predict(["tulip and rose"]).tolist() == ["flowers"]

    assert run("labels", "approve", "c.db", "pending", "--who", "Ann").code == 0
    rows = json.loads(run("labels", "show", "c.db", "--all", "--json").out)
    assert rows["n_pending"] == 0
    assert [row["approver"] for row in rows["corrections"]] == [None] * 5 + ["Ann"] * 2
    assert "approved 20" in run("labels", "show", "c.db", "--all").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["approve", "c.db", "x"], 2, "'x' is not a correction number; give a number such as 3"),
        (["approve", "c.db", ""], 2, "'' is not a correction number"),
        (["withdraw", "c.db", "3-2"], 2, "the range 3-2 ends before it begins; write 2-3."),
        (["approve", "c.db", "9"], 1, "c.db has no correction 9, or it was withdrawn"),
        (["approve", "c.db", "9" * 18], 1, f"c.db has no correction {'9' * 18}, or it was with"),
        (["approve", "c.db", "9" * 19], 2, "is not a correction number"),
        (["approve", "c.db"], 2, "no corrections given; pass numbers, or `pending` for all"),
        (["withdraw", "c.db", 1, "--coder", "Kim"], 2, "NUMBERS and --coder exclude each other"),
        (["withdraw", "c.db", "--coder", "Kim"], 1, "c.db has no coder 'Kim'; it has none."),
        (["restore", "c.db"], 2, "Missing option '--coder'."),
        (["show"], 2, "Missing argument 'FILE'."),
        ([], 2, "Missing command."),
    ],
)
def test_labels_rejects_invalid_arguments(
    run: Run, arguments: list[Any], code: int, message: str
) -> None:
    correct(8)
    found = run("labels", *arguments)
    assert found.code == code
    assert message in " ".join(found.err.split())
    assert "8 corrections wait" in run("labels", "show", "c.db").out


def test_approve_takes_a_range_in_which_none_waits(run: Run) -> None:
    correct(3, approved=True)
    found = run("labels", "approve", "c.db", "1-999999999999")
    assert found.code == 0
    assert "no corrections from 1 to 999999999999 are pending" in found.err
    assert "approved 0 corrections" in found.err


def test_labels_of_a_coder_are_withdrawn_and_restored(run: Run) -> None:
    correct(2, approved=True)
    shown = run("labels", "show", "c.db").out.splitlines()
    assert shown[:4] == ["2 texts with an answer", "", "topic    texts", "flowers      2"]
    found = run("labels", "withdraw", "c.db", "--coder", "Kim", "--who", "Ann")
    assert "withdrew 2 labels of Kim; undo with: slugline labels restore c.db" in found.err
    assert run("labels", "show", "c.db").out.startswith("0 texts with an answer\n")
    found = run("labels", "restore", "c.db", "--coder", "Kim")
    assert found.err == "Kim has 2 labels again\n"
    found = run("labels", "restore", "c.db", "--coder", "Kim")
    assert (found.code, "no labels of 'Kim' are withdrawn" in found.err) == (1, True)


def test_labels_rejects_a_missing_or_another_file(run: Run) -> None:
    assert "c.db doesn't exist; name a file of labels" in run("labels", "show", "c.db").err
    assert "news.csv holds no labels: it is not an SQLite" in run("labels", "show", "news.csv").err
    assert not Path("c.db").exists()


def test_labels_lists_hostile_texts_on_one_line_each(run: Run) -> None:
    with LabelStore("c.db") as store:
        for text in ("\x1b[2J red\nline", "half \ud800", "x" * 5000):
            fields: dict[str, Any] = {"probability": 0.5, "model": "news", "digest": "d"}
            store.add_correction(text=text, topic="a\x07", answer="b", who="\x1b[1m", **fields)
    found = run("labels", "show", "c.db", "--all")
    assert found.code == 0
    assert "\x1b" not in found.out
    assert "\x07" not in found.out
    assert max(map(len, found.out.splitlines())) < 250
    assert len(json.loads(run("labels", "show", "c.db", "--all", "--json").out)["corrections"]) == 3


# Versions that are held back ---------------------------------------------------------------------


def test_train_corrections_keeps_topics_already_learned(run: Run) -> None:
    run(*TRAIN)
    correct(3, approved=True)
    assert run(*TRAIN, "--corrections", "c.db").code == 0
    correct(9, "weather")
    listed = json.loads(run("labels", "show", "c.db", "--json").out)["corrections"]
    assert [row["id"] for row in listed] == [*range(4, 13)]
    run("labels", "approve", "c.db", "4-6")
    learned = run(*TRAIN, "--corrections", "c.db")
    assert learned.code == 0, learned.err
    assert "flowers" in load("news.slug").classes_
    assert run("labels", "show", "c.db", "--all").out.count("  first used in model version ") == 6


def test_train_corrections_holds_back_a_model_that_lacks_a_topic(run: Run) -> None:
    run(*TRAIN)
    correct(3, approved=True)
    run(*TRAIN, "--corrections", "c.db")
    before = Path("news.slug").read_bytes()
    with LabelStore("c.db") as store:
        for number in (1, 2, 3):
            store.undo_correction(number)
    correct(3, "bank", approved=True)
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 1
    assert (
        "no document or correction has these topics of the model to be replaced: 'flowers'"
    ) in " ".join(found.err.split())
    assert Path("news.slug").read_bytes() == before
    assert run(*TRAIN, "--corrections", "c.db", "--force").code == 0
    assert "flowers" not in load("news.slug").classes_


def test_train_corrections_keeps_a_model_that_answers_corrected_texts_as_well(
    run: Run, news: list[tuple[str, str]]
) -> None:
    run(*TRAIN)
    before = Path("news.slug").read_bytes()
    # Not of the topic "bank", which would confirm the answers.
    with LabelStore("c.db") as store:
        for text, topic in news[1:3]:
            fields = _fields(f"{text} {topic}")
            store.add_correction(**fields, probability=0.5, topic=topic, is_approved=True)
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 1
    assert "the new model fixes none of 2 newly corrected texts" in found.err
    assert Path("news.slug").read_bytes() == before


def test_train_corrections_leaves_a_model_of_the_same_bytes(run: Run) -> None:
    run(*TRAIN)
    correct(3, approved=True)
    assert run(*TRAIN, "--corrections", "c.db").code == 0
    before = Path("news.slug").stat()
    correct(2, "weather")
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 0
    assert found.out.splitlines()[-1] == (
        "nothing new to learn: news.slug is identical and was left unchanged"
    )
    assert json.loads(run(*TRAIN, "--corrections", "c.db", "--json").out)["corrections"][
        "is_unchanged"
    ]
    after = Path("news.slug").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [*Path().glob("*.slug.before.*")] == [Path("news.slug.before.1")]
    assert [*Path().glob(".*.trial")] == []
