"""Corrections to several topics: stored, summed up, learned from, and held back if harmful."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.corpus.loading import load_corpus
from slugline.corrections.gate import topic_changes
from slugline.corrections.learning import merge_corrections, to_corpus
from slugline.corrections.learning_loop import LearningLoop
from slugline.corrections.summary import Confusion, UnresolvedCorrections, summarize
from slugline.errors import DataError
from slugline.labels.store import Correction, LabelStore

WORDS = {"a": "alpha apple axe", "b": "beta bread bolt", "c": "coal cup cart"}
SETS = [("a",), ("b",), ("c",), ("a", "b"), ("b", "c"), ()]


def correction(text: str, topics: Any, answer: Any = ("a",), number: int = 1) -> Correction:
    return Correction(number, text, topics, answer, 0.5, "m", "abc", None, "2026-01-01")


def documents(n: int = 120) -> tuple[list[str], list[tuple[str, ...]]]:
    sets = [SETS[i % 6] for i in range(n)]
    words = [" ".join(WORDS[topic] for topic in topics) for topics in sets]
    return [f"{text} no {i * 14 % 1000}" for i, text in enumerate(words)], sets


def test_store_returns_topic_sets_as_they_were_added(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"probability": 0.5, "model": "m", "digest": "d"}
    with LabelStore(tmp_path / "c.db") as store:
        for topics, answer in ((("b", "a"), ()), (("3", "1"), ("1",)), (("ü\"'",), ("x",))):
            kept = store.add_correction(text="t", topic=topics, answer=answer, **fields)
            assert (kept.topic, kept.answer) == (topics, answer)
        assert [row.topic for row in store.corrections()] == [("b", "a"), ("3", "1"), ("ü\"'",)]
        with pytest.raises(DataError, match="is blank"):
            store.add_correction(text="t", topic=("a", " "), answer=(), **fields)


def test_summarize_counts_added_and_removed_topics() -> None:
    texts, sets = documents()
    fitted = TopicClassifier(random_state=1).fit(texts, sets).fitted_
    summary = summarize(
        [
            correction("alpha apple axe beta bread bolt", ("a",), ("a", "b")),
            correction("alpha apple axe", ("a", "new"), ("a",)),
            correction("coal cup cart", ("c",), ("b",)),
            correction("coal cup cart", ("c",), ("c",)),
            correction("nothing", (), ()),
            correction("nothing", ("x", "y"), ("c",)),
        ],
        fitted,
    )
    assert set(summary.pairs) == {
        Confusion("b", "", 1),
        Confusion("", "new", 1),
        Confusion("b", "c", 1),
        Confusion("c", "", 1),
        Confusion("", "x", 1),
        Confusion("", "y", 1),
    }
    assert (summary.n_corrections, summary.n_confirmed) == (6, 2)
    assert summary.by_topic == {"a": 2, "c": 2, "new": 1, "x": 1, "y": 1}
    assert (summary.n_asked, summary.n_still_wrong) == (6, 3)
    assert summary.new_topics == ("new", "x", "y")
    assert summary.still_wrong[:2] == (
        UnresolvedCorrections("b", 1, 1),
        UnresolvedCorrections("new", 1, 1),
    )


def test_topic_changes_count_each_topic_of_a_document() -> None:
    topics = [("a", "b")] * 10 + [()] * 10
    after = [("a", "d")] * 10 + [("d",)] + [()] * 9
    changes, is_worse, _ = topic_changes(
        topics, topics, after, ["b"], n_newly_answered=0, n_no_longer_answered=0
    )
    a, b, d = changes
    assert (a.topic, a.n_true_positives_after, a.is_worse) == ("a", 10, False)
    assert (a.n_better, a.n_worse) == (0, 0)
    assert (b.n_true_positives_before, b.n_true_positives_after) == (10, 0)
    assert (b.lost_to, b.is_worse) == ("d", True)
    assert (d.n_documents, d.n_predicted_after, d.n_worse, d.is_worse) == (0, 11, 11, True)
    assert is_worse


def test_merge_corrections_rejects_corrections_of_another_kind() -> None:
    corrected = to_corpus([correction("one", ("a", "b"))], "c.db")
    assert corrected.topics == [("a", "b")]
    train = Corpus(["x", "y"], ["a", "b"], "news")
    with pytest.raises(DataError) as caught:
        merge_corrections(train, train, corrected)
    assert str(caught.value) == (
        "c.db has corrections to several topics, and each text of news has one topic; give "
        "corrections of a model trained on it."
    )


def correct(text: str, topics: tuple[str, ...], times: int) -> None:
    fields: dict[str, Any] = {"probability": 0.5, "model": "m", "digest": "d"}
    with LabelStore("c.db") as store:
        for n in range(times):
            corrected = f"{text} no {n * 14 % 1000 + 1}"
            store.approve_correction(
                store.add_correction(text=corrected, topic=topics, answer=("a",), **fields).id
            )


@pytest.fixture
def learn(run: Any, tmp_path: Path) -> Any:
    """Return a function that trains a model again with so many corrections of a text."""
    lines = [{"text": t, "topics": s} for t, s in zip(*documents(360), strict=True)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    trained = run("train", "data.jsonl", "-o", "m.slug", "--seed", 1, "-q")
    assert trained.code == 0, trained.err

    def learn(text: str, topics: tuple[str, ...], times: int) -> Any:
        correct(text, topics, times)
        return run("train", "data.jsonl", "--corrections", "c.db", "-o", "m.slug", "--json", "-q")

    return learn


def test_train_learns_several_topics_from_corrections(learn: Any) -> None:
    result = learn("alpha apple axe dune desk", ("a", "d"), 12)
    assert result.code == 0, result.err
    learned = json.loads(result.out)["corrections"]
    assert (learned["new_topics"], learned["passes"]) == (["d"], True)
    assert learned["now_right"] == {"n_asked": 12, "n_before": 0, "n_after": 12}
    assert learned["paired"]["micro_f1"][0] > 0.9
    answers = load("m.slug").predict(["dune desk alpha apple axe", "beta bread bolt"])
    assert [set(answer) for answer in answers] == [{"a", "d"}, {"b"}]


def test_train_holds_back_corrections_that_remove_a_topic_everywhere(learn: Any) -> None:
    before = Path("m.slug").read_bytes()
    result = learn("beta bread bolt", (), 200)
    assert result.code == 1
    assert not json.loads(result.out)["corrections"]["passes"]
    assert "topic 'b' got clearly worse: " in result.err
    assert Path("m.slug").read_bytes() == before


@pytest.mark.usefixtures("learn")
def test_learning_loop_learns_several_topics() -> None:
    log: list[str] = []
    correct("alpha apple axe dune desk", ("a", "d"), 12)
    loop = LearningLoop("m.slug", ["data.jsonl"], "c.db", 12, log.append, pauses=(0.05, 1))
    loop.start()
    until = time.monotonic() + 600
    while loop.state()["last"] is None and time.monotonic() < until:
        time.sleep(0.05)
    last = loop.state()["last"]
    loop.stop()
    assert (last["outcome"], last["new_topics"]) == ("replaced", ["d"]), log
    assert (
        "right after learning from the others: 12 of 12, 0 before; exact match on"
        in last["message"]
    )
    [answer] = load("m.slug").predict(["dune desk alpha apple axe"])
    assert set(answer) == {"a", "d"}


def test_load_corpus_reads_exported_topic_sets(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [{"id": 1, "text": "one", "answer": ["a"], "topics": ["a", "b"]}]
    rows += [{"id": 2, "text": "two", "answer": [], "topics": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert load_corpus(path).topics == [("a", "b"), ()]
