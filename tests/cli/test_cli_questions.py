"""Models that answer several questions, and the commands that use them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import load
from slugline.errors import ModelFileError

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

QUEUES = {"grain": ("wheat", "corn"), "bank": ("loan", "bond")}
MOODS = {"angry": ("terrible", "awful"), "calm": ("thanks", "kindly")}
# The texts of each row with `mood` empty aren't trained on for that question.
ROWS = [
    (f"{word} {tone}", queue, mood if number % 3 else "")
    for number in range(6)
    for queue, words in QUEUES.items()
    for word in words
    for mood, tones in MOODS.items()
    for tone in tones
]
DESK = "body,queue,mood\n" + "\n".join(map(",".join, ROWS)) + "\n"
TOPICS = ("--topic", "queue", "--topic", "mood")
TRAIN = ("train", "desk.csv", "-o", "desk.slug", *TOPICS)


@pytest.fixture
def desk(run: Run, tmp_path: Path) -> Path:
    """Train a model of two questions."""
    (tmp_path / "desk.csv").write_text(DESK)
    assert run(*TRAIN, "-q").code == 0
    return tmp_path / "desk.slug"


# Training -----------------------------------------------------------------------------------------


def test_train_tests_each_question_on_the_rows_that_answer_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "desk.csv").write_text(DESK)
    code, out, _ = run(*TRAIN, "--json")
    assert code == 0
    questions = json.loads(out)["questions"]
    assert list(questions) == ["queue", "mood"]
    n_rows = {
        name: each["data"]["n_train"] + each["data"]["n_test"] for name, each in questions.items()
    }
    assert n_rows == {"queue": len(ROWS), "mood": sum(mood != "" for _, _, mood in ROWS)}
    assert questions["mood"]["model"] == "desk.slug:mood"
    assert questions["mood"]["report"] == "desk-mood.html"
    assert (tmp_path / "desk-mood.html").is_file()
    page = (tmp_path / "desk.html").read_text()
    assert 'href="desk-queue.html"' in page
    assert 'href="desk-mood.html"' in page


@pytest.mark.usefixtures("desk")
def test_each_question_is_the_model_that_would_be_trained_alone(run: Run, tmp_path: Path) -> None:
    assert run("train", "desk.csv", "--topic", "mood", "--text", "body", "-q").code == 0
    (tmp_path / "alone.slug").write_bytes((tmp_path / "model.slug").read_bytes())
    lines = [
        run("predict", name, "desk.csv", "-q").out for name in ("alone.slug", "desk.slug:mood")
    ]
    assert lines[0] == lines[1]
    check = run("check", "desk.slug:mood", "desk.csv", "-q")
    assert (check.code, "identical" in check.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--topic", "queue", "--topic", "queue"], "--topic queue is given twice; leave one out."),
        (
            ["--topic", "queue", "--topic", "mod"],
            "desk.csv has no column 'mod'; found 'body', 'queue', 'mood'; did you mean 'mood'?",
        ),
        (
            ["--topic", "queue", "--topic", "body"],
            "--topic 'body' is also read as text; choose the text column with --text.",
        ),
        (
            ["--topic", "queue", "--topic", "mood", "--stream"],
            "--stream can't be used with several --topic; leave it out, or train a model for each.",
        ),
        (
            [*TOPICS, "--min-precision", "mod=0.9"],
            "--min-precision names the question 'mod', which no --topic names; choose one of "
            "'queue', 'mood'.",
        ),
        (
            ["--topic", "queue", "--min-precision", "queue=0.9"],
            "--min-precision names the question 'queue', but the model answers a single one; leave "
            "the name out.",
        ),
        (
            [*TOPICS, "--min-precision", "mood=0.9", "--min-precision", "mood=0.8"],
            "--min-precision is given twice for 'mood'; leave one out.",
        ),
        (
            [*TOPICS, "--min-precision", "mood=often"],
            "--min-precision is 'mood=often'; give a fraction such as 0.95, or QUESTION=0.95 for "
            "one of several questions.",
        ),
        (
            [*TOPICS, "--min-precision", "mood=2"],
            "--min-precision is 2.0; give a number over 0 and under 1. Did you mean 0.02?",
        ),
    ],
)
def test_train_refuses_questions(
    run: Run, tmp_path: Path, arguments: list[str], error: str
) -> None:
    (tmp_path / "desk.csv").write_text(DESK)
    result = run("train", "desk.csv", "-o", "desk.slug", *arguments, "-q")
    assert result.code in (1, 2)
    assert result.err.splitlines()[-1] == f"slugline: error: {error}"
    assert not (tmp_path / "desk.slug").exists()


def test_train_names_reports_apart(run: Run, tmp_path: Path) -> None:
    names = ["a!", "a?", "a-2", "A"]
    (tmp_path / "desk.csv").write_text(
        f"body,{','.join(names)}\n"
        + "".join(f"{text},{queue},{queue},{queue},{queue}\n" for text, queue, _ in ROWS)
    )
    topics = [word for name in names for word in ("--topic", name)]
    assert run("train", "desk.csv", "-o", "desk.slug", *topics, "-q").code == 0

    reports = {path.name for path in tmp_path.glob("desk-*.html")}
    assert reports == {"desk-a.html", "desk-a-2.html", "desk-a-2-2.html", "desk-A-3.html"}


def test_train_says_which_question_a_note_belongs_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "desk.csv").write_text(DESK)
    notes = run(*TRAIN).err.splitlines()
    [left_out] = (number for number, note in enumerate(notes) if "left out" in note)
    assert notes.index("reading question 'mood'") < left_out
    assert left_out < notes.index("training question 'queue'")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["0.8"], {"queue": 0.8, "mood": 0.8}),
        (["mood=0.9"], {"queue": None, "mood": 0.9}),
        (["mood=0.9", "0.8"], {"queue": 0.8, "mood": 0.9}),
    ],
)
def test_train_takes_a_precision_for_each_question(
    run: Run, tmp_path: Path, values: list[str], expected: dict[str, float | None]
) -> None:
    (tmp_path / "desk.csv").write_text(DESK)
    flags = [word for value in values for word in ("--min-precision", value)]
    assert run(*TRAIN, *flags, "-q", "--test-fraction", 0).code == 0

    found = {name: load(f"desk.slug:{name}").min_precision for name in expected}
    assert found == expected


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
def test_predict_prints_an_answer_per_question(run: Run) -> None:
    line = json.loads(run("predict", "desk.slug", "-", "-q", stdin="wheat terrible\n").out)
    assert {name: answer["topic"] for name, answer in line["answers"].items()} == {
        "queue": "grain",
        "mood": "angry",
    }
    explained = run("predict", "desk.slug", "-", "--explain", "-q", stdin="wheat terrible\n").out
    reasons = {
        name: answer["reasons"][0]["word"]
        for name, answer in json.loads(explained)["answers"].items()
    }
    assert reasons == {"queue": "wheat", "mood": "terrible"}


@pytest.mark.parametrize("output", ["out.csv", "out/"])
@pytest.mark.usefixtures("desk")
def test_predict_names_columns_after_questions(run: Run, tmp_path: Path, output: str) -> None:
    (tmp_path / "new.csv").write_text("Nr,body\n7,corn awful\n8,\n")
    assert run("predict", "desk.slug", "new.csv", "-o", output, "-q").code == 1
    path = tmp_path / output
    text = (path / "new.csv" if path.is_dir() else path).read_text()
    first, second = csv.DictReader(io.StringIO(text))
    assert list(first) == [
        *("Nr", "body", "queue", "queue probability", "mood", "mood probability", "error")
    ]
    assert (first["queue"], first["mood"], first["error"]) == ("grain", "angry", "")
    assert (second["queue"], second["mood"]) == ("", "")
    assert second["error"] == "line 3: no text in column 'body'"


@pytest.mark.usefixtures("desk")
def test_predict_keeps_columns_that_have_the_name_of_a_question(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("body,Queue\ncorn awful,old\n")
    assert run("predict", "desk.slug", "new.csv", "-o", "out.csv", "-q").code == 0
    [row] = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert (row["Queue"], row["predicted_queue"]) == ("old", "grain")
    assert "predicted_queue probability" in row
    assert "mood" in row


@pytest.mark.usefixtures("desk")
def test_evaluate_tests_each_question(run: Run) -> None:
    result = run("evaluate", "desk.slug", "desk.csv", "--json", "-q")
    assert result.code == 0
    questions = json.loads(result.out)["questions"]
    assert {name: each["n_documents"] for name, each in questions.items()} == {
        "queue": len(ROWS),
        "mood": sum(mood != "" for _, _, mood in ROWS),
    }
    assert "desk.slug:queue: the model was trained on" in result.err
    refused = run("evaluate", "desk.slug", "desk.csv", "--topic", "queue")
    assert refused.err == (
        "slugline: error: --topic requires a single question; name it, such as desk.slug:queue.\n"
    )


@pytest.mark.usefixtures("desk")
def test_info_describes_each_question(run: Run) -> None:
    lines = run("info", "desk.slug").out.splitlines()
    assert [line for line in lines if line.startswith("# Question")] == [
        "# Question queue",
        "# Question mood",
    ]
    assert list(json.loads(run("info", "desk.slug", "--json").out)["questions"]) == [
        "queue",
        "mood",
    ]


# Names of questions -------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
def test_commands_for_one_question_ask_for_its_name(run: Run) -> None:
    assert run("explain", "desk.slug", "wheat").err == (
        "slugline: error: desk.slug: answers 2 questions ('queue' and 'mood'); name one of them, "
        "such as desk.slug:queue.\n"
    )
    assert run("explain", "desk.slug:moods", "wheat").err == (
        "slugline: error: desk.slug: doesn't answer the question 'moods'; did you mean "
        "desk.slug:mood?\n"
    )
    assert "angry" in run("explain", "desk.slug:mood", "terrible").out


@pytest.mark.usefixtures("run")
def test_load_reads_a_question(desk: Path, news_slug: Path) -> None:
    assert load(f"{desk}:mood").predict(["terrible"]).tolist() == ["angry"]
    with pytest.raises(ModelFileError, match="answers 2 questions"):
        load(desk)
    with pytest.raises(ModelFileError, match="answers a single question, not also 'queue'"):
        load(f"{news_slug}:queue")
