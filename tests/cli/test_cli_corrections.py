"""`slugline train --corrections` and `slugline rollback`, as typed."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError
from slugline.labels.store import LabelStore
from slugline.model.file import container
from slugline.model.file.content import load_model

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
News = list[tuple[str, str]]
TRAIN = ["train", "news.csv", "-o", "news.slug", "-q", "--test-fraction", 0.4]
TRAIN_BY_WORDS = [*TRAIN, "--encoder", "none"]


def correct(
    path: str,
    *pairs: tuple[str, str],
    model: str = "news",
    answer: str = "bank",
    approved: bool = True,
) -> None:
    with LabelStore(path) as store:
        for text, topic in pairs:
            added = store.add_correction(
                text=text, topic=topic, answer=answer, probability=0.5, model=model, digest="abc"
            )
            if approved:
                store.approve_correction(added.id)


FLOWERS = [(f"a tulip and a rose of garden {n}", "flowers") for n in range(9)]


def harmful(news: News) -> list[tuple[str, str]]:
    """Return corrections that make grain a sport."""
    grain = [text for text, topic in news if topic == "grain"]
    return [(f"{text} {n}", "sport") for text in grain for n in range(10)]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, news_csv: Path) -> None:
    assert news_csv.parent == tmp_path
    monkeypatch.chdir(tmp_path)


# Learning ---------------------------------------------------------------------------------------


def test_train_corrections_prints_changes_and_rollback_restores_the_model(run: Run) -> None:
    run(*TRAIN)
    before, report_before = Path("news.slug").read_bytes(), Path("news.html").read_bytes()
    correct("c.db", *FLOWERS)
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[lines.index("changes due to c.db") :] == [
        "changes due to c.db",
        "corrections      9 corrections of 9 texts",
        "new topics       flowers",
        "corrected texts  9 of 9 right after training on the others, 0 before",
        "test texts       accuracy 1.000 before, 1.000 after; difference +0.000, 95 % interval "
        "+0.000 to +0.000",
        "clearly worse    no topic got clearly worse (all 3 had enough test texts to tell)",
        "",
        "topic    documents  corrections  F1 before  after  better  worse",
        "flowers          0            9          -      -       0      0",
        "before  news.slug.before.1; to restore it: slugline rollback news.slug",
    ]
    assert load("news.slug").predict(["tulip and rose"]).tolist() == ["flowers"]
    assert Path("news.slug.before.1").read_bytes() == before
    assert "Learned from 9 corrected texts as well" in load("news.slug").card_
    rolled = run("rollback", "news.slug")
    assert rolled.out.splitlines() == [
        "model     news.slug, restored from news.slug.before.1",
        f"replaced  {Path('news.slug.rolled-back').absolute()}",
        "report    news.html, restored as well",
        "kept      no earlier version",
    ]
    assert Path("news.slug").read_bytes() == before
    assert Path("news.html").read_bytes() == report_before
    assert 'id="corrections"' in Path("news.html.rolled-back").read_text()


def test_train_corrections_warns_of_other_data(run: Run, news: News) -> None:
    run(*TRAIN)
    correct("c.db", *FLOWERS)
    others = [(text, topic) for text, topic in news if topic != "grain"]
    lines = [f"{text},{topic}\n" for text, topic in others]
    Path("other.csv").write_text("".join(["body,queue\n", *lines]), "utf-8")
    n_learned = load_model("news.slug")[0].n_documents

    found = run("train", "other.csv", "-o", "news.slug", "-q", "--corrections", "c.db")

    assert (
        f"warning: news.slug was trained on {n_learned} documents, but other.csv and c.db have "
        f"{len(others) + 9}, none of them with the topic grain; if other.csv is not its "
        "training data, `slugline rollback news.slug` restores it."
    ) in found.err
    assert "warning: news.slug was trained on" not in run(*TRAIN, "--corrections", "c.db").err


def test_train_corrections_json_holds_what_changed(run: Run) -> None:
    correct("c.db", *FLOWERS)
    found = json.loads(run(*TRAIN, "--corrections", "c.db", "--json").out)
    assert found["corrections"]["now_right"] == {"n_asked": 9, "n_before": 0, "n_after": 9}
    assert found["corrections"]["passes"]
    assert found["model"] == "news.slug"
    assert not Path("news.slug.before.1").exists(), "there was none"


def test_train_corrections_holds_back_a_model_with_a_clearly_worse_topic(
    run: Run, news: News
) -> None:
    run(*TRAIN_BY_WORDS)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    correct("c.db", *harmful(news))
    asked = [*TRAIN_BY_WORDS, "--corrections", "c.db"]
    found = run(*asked)
    assert found.code == 1
    *_, message = found.err.splitlines()
    assert message.startswith("slugline: error: news.slug is not written: topic 'grain' got clear")
    assert message.endswith(
        ". Look at the corrections of these topics, or write the model anyway with --force."
    )
    assert "clearly worse    2 topics got clearly worse (all 3 had enough test texts to tell)" in (
        found.out
    )
    assert {name: Path(name).read_bytes() for name in before} == before
    told = run(*asked, "--json")
    assert told.code == 1
    reason = json.loads(told.out)["corrections"]["why_not"]
    assert f"is not written: {reason}. Look" in message
    assert json.loads(told.out)["model"] is None

    forced = run(*asked, "--force")
    assert forced.code == 0
    assert f"warning: {reason}" in forced.err
    assert Path("news.slug.before.1").read_bytes() == before["news.slug"]
    assert Path("news.slug").read_bytes() != before["news.slug"]


def test_train_corrections_holds_back_a_model_of_lower_precision(run: Run, news: News) -> None:
    run(*TRAIN, "--min-precision", 0.9)
    before = Path("news.slug").read_bytes()
    correct("c.db", *FLOWERS)
    # Settings without a promise, and one that can't be kept.
    for settings, now in ((["--seed", 5], "no precision"), (["--min-precision", 0.8], "only 0.8")):
        found = run(*TRAIN, "--corrections", "c.db", "--json", *settings)
        assert found.code == 1
        taught = json.loads(found.out)["corrections"]
        assert not taught["passes"]
        assert taught["why_not"].endswith(f", but now {now} can be promised")
        assert taught["promise"]["precision_before"] == 0.9
        assert "Look at the corrections, or write the model anyway" in found.err
        assert Path("news.slug").read_bytes() == before
    assert run(*TRAIN, "--corrections", "c.db", "--seed", 5, "--force").code == 0
    assert Path("news.slug.before.1").read_bytes() == before


def test_train_corrections_holds_back_a_model_unsure_of_every_text(run: Run, news: News) -> None:
    run(*TRAIN, "--min-precision", 0.9)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    # Wrong topics, by turns: the best guesses stay the same, but none of them is sure.
    topics = ["bank", "grain", "sport"]
    wrong = [
        (f"{text} {n}", topics[(topics.index(topic) + 1 + n % 2) % 3])
        for n in range(2)
        for text, topic in news
    ]
    correct("c.db", *wrong)
    found = run(*TRAIN, "--corrections", "c.db", "--json")
    assert found.code == 1
    assert json.loads(found.out)["corrections"]["promise"]["precision_after"] == 0
    assert "but now no precision can be promised" in found.err
    assert {name: Path(name).read_bytes() for name in before} == before


@pytest.mark.parametrize("options", [[], ["--quantize", "int8"]], ids=["whole", "smaller"])
def test_train_corrections_holds_back_a_model_that_cannot_be_used(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    run(*TRAIN, *options)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    correct("c.db", *FLOWERS)
    loaded = []

    def fail(path: Path, *arguments: Any) -> Any:
        if path.name == ".news.slug.trial":
            loaded.append(container.read(path))
            raise ModelFileError(f"{path}: damaged.")
        return load_model(path, *arguments)

    monkeypatch.setattr("slugline.corrections.learning.load_model", fail)
    for force in ([], ["--force"]):
        found = run(*TRAIN, "--corrections", "c.db", "--json", *force)
        assert found.code == 1
        assert json.loads(found.out)["corrections"]["why_not"] == (
            "the new model can't be loaded from its file and answer texts (.news.slug.trial: "
            "damaged.)"
        )
        assert "news.slug is not written: the new model can't be loaded" in found.err
        now = {path.name: path.read_bytes() for path in Path().iterdir()}
        assert {name: now[name] for name in before} == before
        assert now.keys() - before.keys() <= {"c.db", "c.db-shm", "c.db-wal"}
    assert len(loaded) == 2
    monkeypatch.undo()


def test_train_corrections_reuses_the_settings_of_the_model(run: Run) -> None:
    settings = ["--seed", 3, "--balanced", "--quantize", "int8", "--min-precision", 0.6]
    run("train", "news.csv", "-o", "news.slug", "-q", "--test-fraction", 0.4, *settings)
    correct("c.db", *FLOWERS)
    assert run("train", "news.csv", "-o", "news.slug", "-q", "--corrections", "c.db").code == 0
    info = container.read("news.slug").info
    assert (info.seed, info.class_weight, info.weight_type) == (3, "balanced", "int8")
    assert info.test_fraction == 0.4
    assert info.min_precision == 0.6


NUMBERS = {"bank": 10, "grain": -2, "sport": 0}


@pytest.mark.parametrize(
    ("new", "classes"),
    [(7, [10, -2, 0, 7]), ("flowers", ["-2", "0", "10", "flowers"])],
    ids=["a number", "a word"],
)
def test_train_corrections_keeps_numeric_topics(
    run: Run, news: News, new: str | int, classes: list[str | int]
) -> None:
    texts, topics = zip(*((text, NUMBERS[topic]) for text, topic in news), strict=True)
    weights = {10: 1.0, -2: 2.0, 0: 3.0}
    TopicClassifier(class_weight=weights).fit(texts, topics).save("news.slug")
    lines = [f"{text},{topic}" for text, topic in zip(texts, topics, strict=True)]
    Path("news.csv").write_text("\n".join(["body,queue", *lines]))
    correct("c.db", *((text, str(new)) for text, _ in FLOWERS), answer="10")
    assert run(*TRAIN, "--corrections", "c.db").code == 0
    model = load("news.slug")
    assert sorted(model.classes_.tolist()) == sorted(classes)
    assert model.predict(["tulip and rose"]).tolist() == [new]
    found = container.read("news.slug").info.class_weight
    assert found == {str(key): value for key, value in weights.items()}


def test_train_corrections_leaves_out_corrections_of_other_models(run: Run) -> None:
    correct("c.db", *FLOWERS)
    correct("c.db", ("goal", "Ziel"), model="german")
    found = run(*[part for part in TRAIN if part != "-q"], "--corrections", "c.db")
    assert found.code == 0
    assert "c.db: left out: 1 correction of other models\n" in found.err
    assert load("news.slug").classes_.tolist() == ["bank", "flowers", "grain", "sport"]


def test_train_corrections_rejects_corrections_of_another_model(run: Run) -> None:
    correct("c.db", ("goal", "Ziel"), model="german")
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 1
    assert found.err == (
        "slugline: error: c.db contains no corrections of news of non-blank texts; it has "
        "corrections of german (1); to learn from these, name the model with --corrections-of.\n"
    )


def test_train_corrections_rejects_answers_that_are_no_topics(run: Run) -> None:
    with LabelStore("c.db") as store:
        store.add_correction(
            text="goal",
            topic="low",
            answer="high",
            probability=0.6,
            model="news",
            digest="",
            is_approved=True,
        )
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 1
    assert found.err == (
        "slugline: error: the corrected answers, such as 'high', are not topics of news.csv; pass "
        "the documents on which the corrected model was trained, or corrections of another "
        "model.\n"
    )


# What can't be ----------------------------------------------------------------------------------


def none_at_all(path: str) -> None:
    LabelStore(path).close()


def later_version(path: str) -> None:
    correct(path, *FLOWERS)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 5")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "c.db doesn't exist; name a file of labels."),
        (
            none_at_all,
            "c.db contains no corrections of news of non-blank texts; correct some answers first.",
        ),
        (
            later_version,
            "c.db contains labels in format 5 of a later Slugline; this one supports format "
            "2. Install a newer Slugline, or choose another file.",
        ),
        (
            lambda path: Path(path).write_text('{"text": "wheat", "topic": "grain"}\n'),
            "c.db holds no labels: it is not an SQLite file; name the file that `slugline label "
            "-o` or `slugline serve --corrections` keeps.",
        ),
        (lambda path: Path(path).mkdir(), "c.db holds no labels: it is a folder; name "),
    ],
    ids=["missing", "empty", "later version", "JSONL", "folder"],
)
def test_train_corrections_rejects_a_file_without_corrections(
    run: Run, make: Callable[[str], None], message: str
) -> None:
    make("c.db")
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 1
    assert found.err.startswith(f"slugline: error: {message}")
    assert not Path("news.slug").exists()


def test_train_corrections_reads_a_file_that_is_being_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct("c.db", *FLOWERS)
    # Whenever it writes or closes the file, it waits for the other, by default for five seconds.
    impatient = functools.partial(LabelStore, patience=0.1)
    monkeypatch.setattr("slugline.cli.train_corrections.LabelStore", impatient)
    with contextlib.closing(sqlite3.connect("c.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert run(*TRAIN, "--corrections", "c.db").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--corrections-of", "a"], "--corrections-of requires --corrections FILE."),
        (["--force"], "--force requires --corrections FILE."),
        (
            ["--corrections", "c.db", "--curve"],
            "--curve can't be used with --corrections; leave one out.",
        ),
        (
            ["--corrections", "c.db", "--test-fraction", 0],
            "--mistakes, --quantize, --curve and --corrections require test documents; pass --test "
            "FILE, or leave out --test-fraction 0.",
        ),
        (
            ["--corrections", "c.db", "-o", "c.db"],
            "--output c.db: would overwrite an input file; choose another one.",
        ),
        (
            ["--corrections", "c.db", "--report", "c.db"],
            "--report c.db: would overwrite an input file; choose another one.",
        ),
    ],
)
def test_train_corrections_rejects_options_that_do_not_go_together(
    run: Run, options: list[object], message: str
) -> None:
    correct("c.db", *FLOWERS, model="model")
    found = run("train", "news.csv", "-q", *options)
    assert found.code == 2
    assert found.err == f"slugline: error: {message}\n"
    assert not Path("model.slug").exists()


def test_train_corrections_does_not_replace_what_is_no_model(run: Run) -> None:
    correct("c.db", *FLOWERS, model="notes")
    Path("notes.slug").write_text("no model")
    found = run("train", "news.csv", "-q", "-o", "notes.slug", "--corrections", "c.db")
    assert found.code == 1
    assert found.err.startswith("slugline: error: notes.slug: not a Slugline model, or truncated;")
    assert Path("notes.slug").read_text() == "no model"


def test_train_corrections_does_not_replace_a_model_it_cannot_keep(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*TRAIN)
    before = Path("news.slug").read_bytes()
    correct("c.db", *FLOWERS)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slugline.model.file.generations._put_copy", fail)
    found = run(*TRAIN, "--corrections", "c.db")
    assert found.code == 1
    assert found.err.endswith(
        "slugline: error: news.slug: the model could not be kept as news.slug.before.1 (No space "
        "left on device), and is unchanged. Free some space.\n"
    )
    assert Path("news.slug").read_bytes() == before


# Going back -------------------------------------------------------------------------------------


def test_rollback_without_an_earlier_file_fails(run: Run) -> None:
    run(*TRAIN)
    found = run("rollback", "news.slug")
    assert found.code == 1
    assert found.err == (
        "slugline: error: news.slug: there is no earlier file next to it to restore; `slugline "
        "train --corrections` keeps one.\n"
    )


def test_train_corrections_learns_again_after_rollback(run: Run) -> None:
    run(*TRAIN)
    correct("c.db", *FLOWERS)
    assert run(*TRAIN, "--corrections", "c.db").code == 0
    learned = Path("news.slug").read_bytes()
    assert run("rollback", "news.slug").code == 0
    assert Path("news.slug").read_bytes() != learned
    assert run(*TRAIN, "--corrections", "c.db").code == 0
    assert Path("news.slug").read_bytes() == learned
