"""`slugline train --stream`: files of any size in, a model file and an accuracy out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slugline.base.progress import LineProgress
from slugline.classifier import TopicClassifier, load
from slugline.cli import train_stream
from slugline.model.parts import fit as stream_fit
from slugline.model.parts import training

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
News = list[tuple[str, str]]


@pytest.fixture
def parts(news: News, tmp_path: Path) -> Path:
    """Write the news, six times over and numbered, to three files in a folder."""
    folder = tmp_path / "news"
    folder.mkdir()
    many = [(f"{text} {n}", topic) for n in range(6) for text, topic in news]
    for number in range(3):
        rows = [f"{text},{topic}" for text, topic in many[number::3]]
        (folder / f"part-{number}.csv").write_text("\n".join(["body,queue", *rows]) + "\n")
    return folder


def append(path: Path, row: str) -> None:
    path.write_text(path.read_text() + row)


def lines(text: str) -> list[str]:
    """Return the lines of an output, with one word for each number of seconds."""
    return re.sub(r"\d+\.\d s", "T s", text).splitlines()


def test_train_stream_learns_from_a_pattern_of_files(run: Run, parts: Path) -> None:
    result = run("train", "news/*.csv", "--stream", "-o", "news.slug")
    assert result.code == 0
    assert result.err.startswith(
        "reading\nread column 'body' as text and 'queue' as topic; choose others with --text and "
        "--topic\n"
    )
    first, accuracy, model = lines(result.out)
    assert first == "news/*.csv: learned 3 topics from 540 documents in T s"
    assert re.fullmatch(
        r"accuracy  1\.000  95 % interval 0\.9\d\d to 1\.000, on \d+ held-out texts", accuracy
    )
    assert model == "model   news.slug"
    assert load("news.slug").predict(["wheat and corn"]).tolist() == ["grain"]


def test_train_stream_equals_fit_stream(run: Run, parts: Path, tmp_path: Path) -> None:
    names = [str(path) for path in sorted(parts.iterdir())]
    how = ["--balanced", "--seed", 3, "--min-precision", 0.8]
    run("train", *names, "--stream", "-o", "one.slug", "--text", "body", *how)
    classifier = TopicClassifier(class_weight="balanced", random_state=3, min_precision=0.8)
    classifier.fit_stream("news/*.csv").save("other.slug")
    assert Path("one.slug").read_bytes() == Path("other.slug").read_bytes()


def test_train_stream_json_holds_everything(run: Run, parts: Path) -> None:
    append(parts / "part-1.csv", ",grain\n")
    result = run(
        *("train", "news/*.csv", "--stream", "-o", "news.slug", "--json", "-q"),
        *("--skip-bad-rows", "--min-precision", 0.8),
    )
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["data"] == {
        "name": "news/*.csv",
        "n_train": 540,
        "n_test": 0,
        "n_skipped": 1,
        "n_suspect_labels": 0,
        "n_topics": 3,
        "notes": [],
    }
    assert found["heldout"]["accuracy"] == 1
    assert found["heldout"]["interval"][0] > 0.9
    assert found["decisions"]["min_precision"] == 0.8
    assert (found["evaluation"], found["interrupted"]) == (None, False)
    assert found["model"] == "news.slug"


def test_train_stream_counts_skipped_rows_of_all_files(run: Run, parts: Path) -> None:
    for number in (0, 2):
        append(parts / f"part-{number}.csv", ",grain\n")
    result = run("train", "news/*.csv", "--stream", "-o", "news.slug", "--skip-bad-rows")
    assert "skipped       2  rows that can't be used" in result.out
    assert "2 rows skipped" in result.err


def test_train_stream_warns_of_rare_topics(run: Run, parts: Path) -> None:
    append(parts / "part-2.csv", "zebra stripes,animals\n")
    result = run("train", "news/*.csv", "--stream", "-o", "news.slug", "-q")
    assert result.err.startswith("warning: 1 of 4 topics has fewer than 10 training documents")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--stream", "--tune"],
            "--tune can't be used with --stream; leave one out. Without --stream, the data must "
            "fit into memory.",
        ),
        (
            ["--stream", "--test-fraction", 0],
            "--test-fraction can't be used with --stream; test the model with `slugline evaluate` "
            "instead.",
        ),
        (
            ["--workers", 2, "--report", "r.html"],
            "--report can't be used with --workers; test the model with `slugline evaluate` "
            "instead.",
        ),
        (
            ["--scheduler", "tcp://127.0.0.1:1", "--curve"],
            "--curve can't be used with --scheduler; leave one out. Without --scheduler, the data "
            "must fit into memory.",
        ),
        (
            ["--workers", 2, "--scheduler", "tcp://127.0.0.1:1"],
            "--workers can't be used with --scheduler, which runs on a cluster; leave one out.",
        ),
        (
            ["--stream", "-o", "news/part-0.csv"],
            "--output news/part-0.csv: would overwrite an input file; choose another one.",
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_train_stream_rejects_options_that_it_does_not_support(
    run: Run, parts: Path, options: list[Any], message: str
) -> None:
    result = run("train", "news/*.csv", *options)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"slugline: error: {message}\n"
    assert not Path("model.slug").exists()


@pytest.mark.parametrize(
    ("data", "code", "opening"),
    [
        ([], 2, "Missing argument 'DATA'"),
        (["x/*.csv"], 1, "no file matches x/*.csv; check the pattern and the folder."),
        (["gone.csv"], 1, "gone.csv doesn't exist; check the path."),
        (["reuters"], 2, "reuters is a small built-in data set; omit --stream"),
        (["empty.csv"], 1, "empty.csv contains no documents"),
        (["news/part-0.csv", "other.csv"], 1, "other.csv has texts and topics in columns 'text'"),
        (["bad.csv"], 1, "bad.csv: line 3 can't be used: 1 cell"),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, list) else "",
)
def test_train_stream_names_bad_data(
    run: Run, parts: Path, data: list[str], code: int, opening: str
) -> None:
    Path("empty.csv").write_text("")
    Path("other.csv").write_text("text,topic\nwheat,grain\n")
    Path("bad.csv").write_text("text,topic\nwheat,grain\ngrain\n")
    result = run("train", *data, "--stream")
    assert (result.code, result.out) == (code, "")
    assert result.err.removeprefix("reading\n").startswith(f"slugline: error: {opening}")
    assert not Path("model.slug").exists()


def learn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few documents learned in parts, as many are."""
    monkeypatch.setattr(stream_fit, "default_passes", lambda n: 1)
    monkeypatch.setattr(training, "_PART_SIZE", 100)


def stop_at(monkeypatch: pytest.MonkeyPatch, n: int, how: type[BaseException]) -> None:
    """Have an error, or Ctrl-C, when a part is reported for the n-th time."""
    reported = 0

    def update(self: Any, step: str, share: float | None = None, detail: str = "") -> None:
        nonlocal reported
        reported += detail.startswith("part ")
        if reported == n:
            raise how

    monkeypatch.setattr(LineProgress, "update", update)


def test_train_stream_interrupted_saves_the_model(
    run: Run, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_in_parts(monkeypatch)
    how = ["train", "news/*.csv", "--stream", "-o", "news.slug"]
    run(*how)
    wanted = Path("news.slug").read_bytes()
    with monkeypatch.context() as patch:
        stop_at(patch, 3, KeyboardInterrupt)
        result = run(*how)
    assert result.code == 130  # though there is a model: no script takes it for done
    said = "\ninterrupted: keeping what was learned from 233 documents; press Ctrl-C again"
    assert result.err.count(said) == 1
    assert (
        "warning: training was interrupted and used only some of the documents. Rerun for a "
        "better model. `slugline rollback news.slug` restores the previous one.\n"
    ) in result.err
    assert Path("news.slug").read_bytes() != wanted
    assert Path("news.slug.before.1").read_bytes() == wanted
    again = run(*how)
    assert again.code == 0
    assert Path("news.slug").read_bytes() == wanted


def test_train_stream_rejects_a_folder_of_temporary_files_that_is_missing(
    run: Run, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "not/there")
    result = run("train", "news/*.csv", "--stream")
    assert (result.code, result.err) == (
        2,
        "slugline: error: TMPDIR=not/there is not a writable folder; choose one with enough "
        "space, or unset it.\n",
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [(stream_fit, "fit_rows"), (train_stream, "save_model")],
    ids=["while learning", "while saving"],
)
def test_train_stream_interrupted_before_a_model_says_so(
    run: Run, parts: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, interrupt)
    result = run("train", "news/*.csv", "--stream")
    assert result.code == 130
    assert "interrupted; no model was saved\n" in result.err
    assert not Path("model.slug").exists()
