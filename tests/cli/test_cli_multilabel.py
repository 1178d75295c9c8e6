"""`slugline train` and `evaluate` on documents with several topics."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slugline
from slugline.classifier import load
from slugline.evaluation.multilabel import MultilabelEvaluation

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

WORDS = {"grain": "wheat corn harvest", "ship": "vessel port cargo", "bank": "loan bond credit"}


def write_documents(path: Path, n: int, seed: int) -> None:
    """Write documents of up to three topics, with words of each and some of all, and mistakes."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        for _ in range(n):
            topics = [name for name in WORDS if rng.random() < 0.4]
            words = [word for name in topics for word in rng.choice(WORDS[name].split(), 2)]
            words += rng.choice(["said", "the", "of", "new", "year", "pct"], 4).tolist()
            topics = [name for name in WORDS if (name in topics) != (rng.random() < 0.05)]
            text = " ".join(rng.permutation(words).tolist())
            file.write(json.dumps({"text": text, "topics": topics}) + "\n")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_documents(tmp_path / "wires.jsonl", 200, 0)
    write_documents(tmp_path / "later.jsonl", 60, 1)


def test_train_multilabel_prints_f1_and_exact_match_and_writes_a_report(run: Run) -> None:
    code, out, _ = run("train", "wires.jsonl", "-o", "wires.slug", "-q", "--mistakes", "miss.csv")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("wires.jsonl: learned 3 topics, several for a text, from 1")
    names = ["micro-F1", "macro-F1", "per document", "exact match", "baseline", "encoder"]
    assert [line.split("  ")[0] for line in lines[1:9]] == [*names, "model", "report"]
    assert "exact match of always '" in lines[5]
    report = Path("wires.html").read_text()
    assert '<section id="pairs">' in report
    assert "F1 over all decisions (micro-F1)" in report
    with Path("miss.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert all(bool(row["topic"]) != bool(row["predicted"]) for row in rows)
    assert [*rows[0]] == ["line", "text", "topic", "predicted", "probability"]


def test_evaluate_json_of_several_topics_is_that_of_the_library(run: Run) -> None:
    run("train", "wires.jsonl", "-o", "wires.slug", "-q")
    code, out, _ = run("evaluate", "wires.slug", "later.jsonl", "-q", "--json")
    model, corpus = load("wires.slug"), slugline.load_corpus("later.jsonl")
    assert code == 0
    decision = model.fitted_.multilabel_rule
    assert decision is not None
    proba = model.predict_proba(corpus.texts)
    expected = MultilabelEvaluation.from_probabilities(
        ["bank", "grain", "ship"],
        corpus.topics,
        proba,
        decision.thresholds,
        answered=decision.decide(proba),
    )
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))
    assert expected.predicted == [tuple(sorted(topics)) for topics in model.predict(corpus.texts)]


def test_evaluate_against_compares_two_models_of_several_topics(run: Run) -> None:
    run("train", "wires.jsonl", "-o", "new.slug", "-q")
    run("train", "later.jsonl", "-o", "old.slug", "-q")
    code, out, _ = run("evaluate", "new.slug", "later.jsonl", "--against", "old.slug", "-q")
    assert code == 0
    assert "new.slug and old.slug on the same documents" in out
    result = slugline.evaluate("new.slug", "later.jsonl", against="old.slug")
    assert isinstance(result.evaluation, MultilabelEvaluation)
    assert result.against is not None
    assert result.against.n_documents == 60
    assert result.to_records()[0]["topic"] == "bank"
    assert "better by" in repr(result)
    assert result.to_dict()["against"]["micro_f1"][0] == pytest.approx(result.evaluation.micro.f1)


def test_evaluate_rejects_documents_of_one_topic_for_several(run: Run, news_slug: Path) -> None:
    run("train", "wires.jsonl", "-o", "wires.slug", "-q")
    Path("one.csv").write_text("text,topic\nwheat,grain\nloan,bank\n")
    code, _, err = run("evaluate", "wires.slug", "one.csv", "-q")
    assert (code, err) == (
        1,
        "slugline: error: the model is multi-label, but documents of one.csv have one topic each; "
        "give lists of topics (in a table, --topic-separator), or use a single-label model.\n",
    )
    code, _, err = run("evaluate", news_slug, "later.jsonl", "-q")
    assert code == 1
    assert "the model is single-label, but later.jsonl is multi-label" in err


def test_curve_uses_micro_f1_and_suggest_gives_several_guesses(run: Run) -> None:
    trained = run("train", "wires.jsonl", "-o", "wires.slug", "-q", "--curve", "--json")
    assert trained.code == 0
    drawn = run("curve", "wires.jsonl", "--draws", 3, "-q")
    assert (drawn.code, drawn.err) == (0, "")
    assert drawn.out.splitlines()[0].endswith("to test on; percentages are micro-F1")
    assert "random choice of labelled documents (3 draws)" in drawn.out
    assert "of test documents (43 test documents)" in drawn.out
    data = json.loads(trained.out)
    last = data["curve"]["curves"][0]["points"][-1]
    assert last["micro_f1"] == pytest.approx(data["evaluation"]["micro"]["f1"], rel=1e-12)
    Path("new.txt").write_text("wheat corn harvest vessel port cargo\nloan\n")
    suggested = run("suggest", "wires.slug", "new.txt", "-n", 2, "--json", "-q")
    guesses = {item["text"]: item["guess"] for item in json.loads(suggested.out)}
    assert {*guesses["wheat corn harvest vessel port cargo"]} == {"grain", "ship"}


@pytest.mark.parametrize("form", ["separator", "columns"])
def test_suggest_writes_topics_in_the_form_of_the_data(run: Run, form: str) -> None:
    options = ["--topic-separator", "|"] if form == "separator" else ["--topic-columns", "oil,tea"]
    rows = {"separator": ["text,tags", "petrol,oil", "cup,tea", "cup petrol,oil|tea"]}
    rows["columns"] = ["text,oil,tea", "petrol,1,0", "cup,0,1", "cup petrol,1,1"]
    head, *others = rows[form]
    Path("tags.csv").write_text("\n".join([head, *others * 5]))
    Path("new.csv").write_text("text\ncup petrol\n")
    named = ["--topic", "tags"] if form == "separator" else []
    assert run("train", "tags.csv", *options, *named, "-o", "t.slug", "-q").code == 0
    head, row = run("suggest", "t.slug", "new.csv", "-q").out.splitlines()
    blank = ["tags"] if form == "separator" else ["oil", "tea"]
    assert head.split(",") == [*blank, "text", "guess", "probability"]
    guess = row.split(",")[len(blank) + 1]
    assert {*guess.split("|" if form == "separator" else ";")} == {"oil", "tea"}


def test_train_min_precision_tests_the_topics_given(run: Run) -> None:
    options = ("--min-precision", "0.8", "-q", "--json")
    result = json.loads(run("train", "wires.jsonl", "-o", "wires.slug", *options).out)
    tested = result["decisions"]["test"]
    decisions = load("wires.slug").decide(slugline.load_corpus("later.jsonl").texts)
    assert tested["precision"] == tested["n_right"] / tested["n_given"]
    assert tested["recall"] == tested["n_right"] / tested["n_true"]
    later = json.loads(run("evaluate", "wires.slug", "later.jsonl", "-q", "--json").out)
    assert later["decisions"]["test"]["n_given"] == sum(
        len(decision.topics or ()) for decision in decisions
    )
    out = run("evaluate", "wires.slug", "later.jsonl", "-q").out
    assert re.search(r"recall \d+\.\d % of the topics that .*, precision \d+\.\d % of the", out)


def test_explain_and_check_take_models_of_several_topics(run: Run) -> None:
    run("train", "wires.jsonl", "-o", "wires.slug", "-q")
    text = "wheat corn harvest vessel port cargo"
    code, out, err = run("explain", "wires.slug", text, "-q", "--html", "why.html")
    given = load("wires.slug").predict([text])[0]
    assert (code, err, {*given}) == (0, "", {"grain", "ship"})
    headings = [line for line in out.splitlines() if ", given from " in line]
    assert [heading.split(",")[0] for heading in headings] == [*given]
    page = Path("why.html").read_text()
    assert all(f"Why {topic}" in page for topic in given)
    code, out, _ = run("explain", "wires.slug", text, "--topic", "bank", "-q")
    assert re.match(r"bank, probability 0\.\d\d, not given: probability 0\.\d+ is under 0", out)
    code, _, err = run("explain", "wires.slug", text, "--not", "bank")
    assert (code, err) == (
        2,
        "slugline: error: --not requires a single-label model, but this one is "
        "multi-label; leave it out.\n",
    )

    code, out, err = run("check", "wires.slug", "wires.jsonl", "-q")
    assert (code, err) == (0, "")
    assert out.startswith("wires.slug: identical; 1")
    assert run("check", "wires.slug", "later.jsonl", "-q").code == 1


def write_paths(path: Path, n: int, seed: int, more: str = "") -> None:
    """Write documents whose topics are paths, some of which end at the parent."""
    rng = np.random.default_rng(seed)
    names = ["trade/grain", "trade/ship", "bank", "trade"]
    words = {f"trade/{name}": words for name, words in WORDS.items()} | {"bank": WORDS["bank"]}
    words["trade"] = "export tariff customs"
    lines = ["text,topic"]
    for _ in range(n):
        topic = str(rng.choice(names))
        lines.append(f"{' '.join([*rng.choice(words[topic].split(), 3), 'said the'])},{topic}")
    path.write_text("\n".join([*lines, more]) + "\n")


def test_train_topic_path_learns_measures_and_predicts_paths(run: Run) -> None:
    write_paths(Path("paths.csv"), 160, 0)
    write_paths(Path("after.csv"), 60, 1)
    code, out, err = run("train", "paths.csv", "--topic-path", "/", "-o", "paths.slug")
    assert (code, "learned 4 topics, one path for a text" in out) == (0, True), err
    report = Path("paths.html").read_text()
    section = report[report.index('<section id="levels">') :].split("</section>")[0]
    assert re.findall(r"<th scope=.row.>(\d)</th><td class=.number.>(\d)</td>", section) == [
        ("1", "2"),
        ("2", "2"),
    ]
    assert section.count(" %</td>") == 6
    code, tested, _ = run("evaluate", "paths.slug", "after.csv")
    assert code == 0
    for printed in (out, tested):
        levels = printed[printed.index("depth of topics") :].splitlines()[1:3]
        assert [line.split()[:2] for line in levels] == [["1", "2"], ["2", "2"]]
    assert run("check", "paths.slug", "paths.csv")[0] == 0
    assert run("predict", "paths.slug", "after.csv", "-o", "answers.csv", "-q")[0] == 0
    with Path("answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = [row["topic"] == row["topics"] for row in rows]
    assert np.mean(right) > 0.9
    assert {"trade", "trade/grain"} <= {row["topics"] for row in rows}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--topic-path", "x"), "--topic-path is 'x'; give the path separator"),
        (("--topic-path", "/", "--stream"), "--topic-path can't be used with --stream"),
        (
            ("--topic-path", "/", "--corrections", "paths.csv"),
            "--topic-path can't be used with --corrections; leave one out.",
        ),
    ],
)
def test_train_topic_path_rejects_invalid_options(
    run: Run, options: tuple[str, ...], message: str
) -> None:
    write_paths(Path("paths.csv"), 60, 0)
    code, _, err = run("train", "paths.csv", *options, "-o", "paths.slug")
    assert code != 0
    assert message in err
