"""`slugline train --min-precision` and `slugline predict`, which then may be unsure."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.learning.net.learner import NeuralLearner

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
SURE, MIXED, FOREIGN = (
    "the loan and rate and bond of 1",
    "the loan and wheat and goal of 1",
    "यह सब्ज़ी स्वादिष्ट",
)


@pytest.fixture(scope="module")
def documents(news: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return 270 texts of three topics, of which one in thirty has a wrong topic."""
    texts = [f"{text} {number % 4}" for number in range(3) for text, _ in news]
    topics = [topic for _ in range(3) for _, topic in news]
    for number in range(0, len(topics), 30):
        topics[number] = {"bank": "grain", "grain": "sport", "sport": "bank"}[topics[number]]
    return texts, topics


@pytest.fixture
def data(documents: tuple[list[str], list[str]], tmp_path: Path) -> Path:
    lines = [
        json.dumps({"text": text, "topic": topic}) for text, topic in zip(*documents, strict=True)
    ]
    (tmp_path / "news.jsonl").write_text("\n".join(lines))
    return tmp_path / "news.jsonl"


@pytest.fixture
def model(documents: tuple[list[str], list[str]], tmp_path: Path) -> Path:
    TopicClassifier(min_precision=0.9).fit(*documents).save(tmp_path / "news.slug")
    return tmp_path / "news.slug"


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_predict_unsure_gives_reason_and_guesses(run: Run, model: Path) -> None:
    code, out, err = run("predict", model, "-q", stdin=f"{SURE}\n{MIXED}\n{FOREIGN}\n\n!?\n")
    sure, mixed, foreign, blank, marks = lines_of(out)
    assert code == 1
    assert err == ""
    assert blank == {"line": 4, "error": "no text"}
    assert set(sure) == {"topic", "probability"}
    assert sure["topic"] == "bank"
    assert re.fullmatch(r"probability 0\.\d\d is under 0\.\d\d", mixed["reason"])
    assert [foreign["reason"], marks["reason"]] == ["unknown words: 3 of 3", "no words"]
    for line in (mixed, foreign, marks):
        assert line["topic"] is None
        assert {guess["topic"] for guess in line["topics"]} == {"bank", "grain", "sport"}
        assert line["topics"][0]["probability"] == line["probability"]


def test_predict_rejects_a_blank_text_of_one_or_two_columns(run: Run, model: Path) -> None:
    Path("t.csv").write_text(f'title,body,id\n"","  ",1\n,{SURE},2\n')
    for columns in ("body", "title,body"):
        code, out, _ = run("predict", model, "t.csv", "--text", columns)
        blank, sure = lines_of(out)
        assert (code, blank["line"]) == (1, 2)
        assert blank["error"].startswith("no text in column")
        assert sure["topic"] == "bank"


def test_predict_min_precision_0_answers_all_texts(run: Run, model: Path) -> None:
    lines = f"{SURE}\n{MIXED}\n\n"
    first, second, blank = lines_of(
        run("predict", model, "-q", "--min-precision", 0, stdin=lines).out
    )
    assert blank == {"line": 3, "error": "no text"}
    assert [first["topic"], second["topic"]] == load(model).predict([SURE, MIXED]).tolist()


def test_predict_min_precision_changes_the_precision(run: Run, model: Path, data: Path) -> None:
    answered = []
    for more in ([], ["--min-precision", 0.94], ["--min-precision", 0.5]):
        lines = lines_of(run("predict", model, data, "-q", *more).out)
        answered.append(sum(line["topic"] is not None for line in lines))
    assert answered[1] <= answered[0] <= answered[2]
    assert answered[1] < 270


def test_predict_min_precision_out_of_reach_is_rejected_first(run: Run, model: Path) -> None:
    code, out, err = run("predict", model, "-q", "--min-precision", 0.999, stdin=SURE)
    assert (code, out) == (2, "")
    assert re.fullmatch(
        r"slugline: error: --min-precision is 0\.999, but no threshold reaches it on "
        r"270 held-out training documents\. The best that can be promised is "
        r"0\.\d+, for \d+ % of the texts; ask for that or less, or give more documents\.\n",
        err,
    )


def test_predict_min_precision_of_a_network_says_how_to_train(
    run: Run, news: list[tuple[str, str]], tmp_path: Path
) -> None:
    classifier = TopicClassifier(learner=NeuralLearner((8,), epochs=2))
    classifier.fit(*zip(*news, strict=True)).save(tmp_path / "plain.slug")
    code, out, err = run("predict", "plain.slug", "--min-precision", 0.9, stdin=SURE)
    assert (code, out) == (2, "")
    assert err == (
        "slugline: error: --min-precision requires held-out predictions, which this model lacks: "
        "its learner makes them only on request, because they take more fits; train it with "
        "--min-precision.\n"
    )
    assert run("predict", "plain.slug", "--per-topic", stdin=SURE).err == (
        "slugline: error: --per-topic requires a --min-precision over 0; add it.\n"
    )
    assert run("predict", "plain.slug", "--per-topic", "--min-precision", 0, stdin=SURE).err == (
        "slugline: error: --per-topic requires a --min-precision over 0; add it.\n"
    )


def test_predict_output_csv_has_columns_for_reasons(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"text\n{SURE}\n{FOREIGN}\n")
    run("predict", model, "in.csv", "-q", "-o", "out.csv")
    with (tmp_path / "out.csv").open() as file:
        sure, foreign = csv.DictReader(file)
    assert list(sure) == ["text", "topic", "probability", "reason", "guess", "error"]
    assert (sure["topic"], sure["reason"], sure["guess"]) == ("bank", "", "bank")
    assert (foreign["topic"], foreign["reason"]) == ("", "unknown words: 3 of 3")
    assert foreign["guess"]


def test_train_min_precision_prints_what_thresholds_bring(run: Run, data: Path) -> None:
    code, out, _ = run("train", data, "-q", "--min-precision", 0.8)
    assert code == 0
    assert re.search(
        r"min precision      0\.8, with 90 % confidence\n"
        r"from probability   \d\.\d\d\n"
        r"on held-out texts  \d+\.\d % answered by probability alone, \d+\.\d % of them right\n"
        r"on test texts      \d+\.\d % answered, \d+\.\d % of them right\n",
        out,
    )
    assert run("check", "model.slug", data, "-q").code == 0
    answers = r"The model answers (all|\d+\.\d % of the) test documents, and \d+\.\d % of these "
    assert re.search(answers, run("info", "model.slug").out)


def test_train_min_precision_json_holds_thresholds_and_the_test(run: Run, data: Path) -> None:
    found = json.loads(run("train", data, "-q", "--min-precision", 0.8, "--json").out)["decisions"]
    assert (found["min_precision"], found["alternative"]) == (0.8, None)
    assert set(found["thresholds"]) == {"bank", "grain", "sport"}
    assert found["test"]["n_answered"] / found["test"]["n_documents"] == found["test"]["coverage"]
    assert found["test"]["n_documents"] == 54
    untested = run("train", data, "-q", "--min-precision", 0.8, "--json", "--test-fraction", 0)
    assert json.loads(untested.out)["decisions"]["test"] is None


def test_train_min_precision_out_of_reach_saves_the_model_and_warns(run: Run, data: Path) -> None:
    code, out, err = run("train", data, "-q", "--min-precision", 0.999)
    assert code == 0
    assert re.search(r"\ncan be promised   0\.\d+, for \d+ % of the texts\n", out)
    headline = (
        "The model is unsure of every text, and none of the 54 test documents is answered: no "
        "threshold reaches the precision of 0.999 that it was trained for."
    )
    assert out.startswith(f"{headline}\n")
    assert "With a --min-precision of 0, the model answers every text.\n\n" in out
    assert headline not in err  # it is said once
    html = Path("model.html").read_text("utf-8")
    assert headline in " ".join(re.sub("<[^>]*>", " ", html).split())
    assert f"\n\n**{headline} " in run("info", "model.slug").out
    code, out, err = run("train", data, "-q", "--min-precision", 0.999, "--json")
    assert err.startswith(f"warning: {headline} ")
    found = json.loads(out)["decisions"]
    assert found["promise"]["status"] == "unreachable"
    assert 0.5 < found["alternative"]["precision"] < 0.999
    assert set(found["thresholds"].values()) == {None}
    text = f"{SURE} 1"  # of as many words as all documents
    code, out, err = run("predict", "model.slug", "-q", stdin=text)
    assert code == 0
    answer = json.loads(out)
    assert (answer["topic"], answer["topics"][0]["topic"]) == (None, "bank")
    assert answer["reason"].endswith("; no answer with this topic is sure enough")
    assert err.startswith("warning: model.slug is unsure of every text: no threshold reaches the ")
    for share in (0.7, 0):
        code, out, err = run("predict", "model.slug", "-q", "--min-precision", share, stdin=text)
        assert (code, json.loads(out)["topic"], err) == (0, "bank", "")
    code, out, err = run("predict", "model.slug", "--min-precision", 0.999, stdin=SURE)
    assert (code, out) == (2, "")
    assert "--min-precision is 0.999, but no threshold reaches it on" in err
    assert "The best that can be promised is 0." in err
    code, out, err = run("export", "model.slug", "-q", "-o", "page.html")
    assert (code, out) == (0, "")
    assert err.startswith("warning: model.slug is unsure of every text: no threshold reaches the ")
    assert run("export", "model.slug", "-q", "--min-precision", 0, "-o", "page.html").err == ""
    # Nor is it said where nothing is answered.
    err = run("predict", "model.slug", "missing.csv", "-q").err
    assert err == "slugline: error: missing.csv doesn't exist; check the path.\n"


def test_predict_folder_warns_of_a_model_unsure_of_every_text(
    run: Run, data: Path, tmp_path: Path
) -> None:
    run("train", data, "-q", "--min-precision", 0.999)
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("the loan and rate and bond of 1\n")
    code, _, err = run("predict", "model.slug", "one.txt", "two.txt", "-q", "-o", "out/")
    assert code == 0
    assert err.count("model.slug is unsure of every text: no threshold reaches") == 1
    assert "With a --min-precision of 0, the model answers every text." in err
    answer = json.loads((tmp_path / "out/one.jsonl").read_text())
    assert (answer["topic"], answer["guess"]) == (None, "bank")


def test_predict_min_precision_asks_about_per_cent(run: Run, model: Path) -> None:
    code, _, err = run("predict", model, "--min-precision", "95", stdin=SURE)
    assert code == 2
    assert "Did you mean 0.95?" in err


def test_train_min_precision_rejects_descriptions_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "topics.csv").write_text("name,description\ncard,a lost card\nparcel,a parcel\n")
    code, _, err = run("train", "--topics", "topics.csv", "--min-precision", 0.9)
    assert code == 2
    assert "--min-precision requires DATA" in err


# The page about it ------------------------------------------------------------------------------


def test_decide_test_counts_unknown_topics_as_wrong() -> None:
    from slugline.experiment.evaluate import DecisionResult, decide_test
    from slugline.model.decider import Decider

    texts = [f"wheat {number}" for number in range(100)]
    fitted = TopicClassifier(min_precision=0.9).fit(texts, ["grain"] * 100).fitted_
    routed = decide_test(
        Decider.from_fitted(fitted), Corpus(["wheat", "wheat"], ["grain", "metal"], "test")
    )
    assert routed == DecisionResult(n_documents=2, n_answered=2, n_right=1)
    assert routed.precision == 0.5
    nothing = decide_test(Decider.from_fitted(fitted), Corpus(["zinc"], ["metal"], "test"))
    assert (nothing.precision, nothing.summary()) == (None, "none answered")
