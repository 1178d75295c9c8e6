"""`slugline evaluate`, `slugline info`, and `slugline` itself."""

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
from slugline.classifier import TopicClassifier, load
from slugline.cli.app import COMMANDS
from slugline.cli.metrics import print_evaluation
from slugline.corpus.corpus import Corpus
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.learning.net.learner import NeuralLearner

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
News = list[tuple[str, str]]

GUESSED = "read column 'text' as text and 'topic' as topic; choose others with --text and --topic"
MIXED = "text,topic\nwheat,grain\nwheat and corn,sport\ngoal,sport\nloan,bank\nbond,bank\n"


@pytest.fixture(autouse=True)
def _files(news_slug: Path, tmp_path: Path) -> None:
    """Have a model called news.slug in the folder, and documents, one of a wrong topic."""
    (tmp_path / "mixed.csv").write_text(MIXED)


# evaluate ---------------------------------------------------------------------------------------


def test_evaluate_json_holds_the_metrics_of_the_library(run: Run) -> None:
    code, out, err = run("evaluate", "news.slug", "mixed.csv", "--json")

    texts = ["wheat", "wheat and corn", "goal", "loan", "bond"]
    labels = np.array([1, 2, 2, 0, 0])
    proba = load("news.slug").predict_proba(texts)
    expected = Evaluation.from_probabilities(["bank", "grain", "sport"], labels, proba)
    assert (code, err) == (0, f"mixed.csv: {GUESSED}\n")
    assert json.loads(out) == expected.to_dict()
    assert json.loads(out)["accuracy"] == 0.8


def test_evaluate_prints_metrics_of_every_topic_and_mistakes(run: Run) -> None:
    code, out, err = run("evaluate", "news.slug", "mixed.csv", "--quiet")

    told = json.loads(run("evaluate", "news.slug", "mixed.csv", "--json").out)
    ends = {
        name: "95 % interval {:.3f} to {:.3f}".format(*told[f"{name}_interval"])
        for name in ("macro_f1", "weighted_f1")
    }
    assert (code, err) == (0, "")
    assert out == (
        "documents        5\n"
        "accuracy     0.800  95 % interval 0.376 to 0.964\n"
        f"macro-F1     0.778  {ends['macro_f1']}; every topic counts the same\n"
        f"weighted F1  0.800  {ends['weighted_f1']}; every document counts the same\n"
        f"top 2        {told['top_k'][0]['accuracy']:.3f}  the topic is among the 2 likeliest\n"
        f"log loss     {told['log_loss']:.3f}  nats; lower is better\n"
        f"Brier score  {told['brier_score']:.3f}  from 0 to 2; lower is better\n"
        f"calibration  {told['calibration_error']:.3f}  mean gap between probability and fraction "
        "right, in 5 equal bins of documents; by chance alone "
        f"{told['calibration_error_by_chance']:.3f}\n"
        "\n"
        "topic  documents  precision  recall     F1\n"
        "bank           2      1.000   1.000  1.000\n"
        "sport          2      1.000   0.500  0.667\n"
        "grain          1      0.500   1.000  0.667\n"
        "\n"
        "most common mistakes\n"
        "  sport taken for grain: 1\n"
    )


def test_evaluate_counts_unknown_topics_as_wrong_with_a_warning(run: Run) -> None:
    stdin = "text,topic\nwheat,grain\ncorn,grain\nbarley,oats\n"

    options = ["--format", "csv", "--json", "-q"]
    code, out, err = run("evaluate", "news.slug", "-", *options, stdin=stdin)

    assert code == 0
    assert err.startswith(
        "warning: 1 of the 3 test documents has a topic that the model doesn't know, such as 'oats'"
    )
    assert json.loads(out)["accuracy"] == pytest.approx(2 / 3)
    assert json.loads(out)["topics"][-1]["topic"] == "(unknown)"


def test_evaluate_rejects_documents_without_known_topics(run: Run) -> None:
    stdin = "text,topic\nwheat,corn\ngoal,football\n"

    assert run("evaluate", "news.slug", "-", "--format", "csv", "-q", stdin=stdin) == (
        1,
        "",
        "slugline: error: standard input has none of the model's topics, such as 'bank', but ones "
        "like 'corn'; test on documents with the model's topics.\n",
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["mixd.csv"], 1, "mixd.csv doesn't exist"),
        (["reuter"], 1, "reuter is not a file, folder or known data set"),
        (["mixed.csv", "--text", "txt"], 2, "mixed.csv has no column 'txt'"),
        (
            ["bbc", "--topic", "queue"],
            2,
            "bbc is a built-in data set; omit column and format options",
        ),
    ],
    ids=["missing file", "misspelt data set", "missing column", "columns of a known data set"],
)
def test_evaluate_rejects_files_that_it_cannot_read(
    run: Run, options: list[str], code: int, message: str
) -> None:
    result = run("evaluate", "news.slug", *options)

    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"slugline: error: {message}")
    assert len(result.err.splitlines()) == 1


def test_evaluate_takes_a_topic_of_the_model_without_documents(run: Run) -> None:
    stdin = "text,topic\nwheat,grain\n"
    options = ["-", "--format", "csv", "-q", "--json"]
    told = json.loads(run("evaluate", "news.slug", *options, stdin=stdin).out)
    assert told["macro_f1_interval"] == told["accuracy_interval"]
    assert told["topics"][0] == {
        "topic": "bank",
        "n_documents": 0,
        "precision": None,
        "recall": None,
        "f1": None,
    }


# --against --------------------------------------------------------------------------------------


@pytest.fixture
def other(run: Run, tmp_path: Path) -> Path:
    """Have a second model, that knows other topics: grain and oats."""
    rows = "".join(f"wheat {n},grain\nbarley {n},oats\n" for n in range(9))
    (tmp_path / "oats.csv").write_text(f"text,topic\n{rows}")
    run("train", "oats.csv", "-q", "-o", "other.slug")
    return tmp_path / "other.slug"


@pytest.mark.usefixtures("other")
def test_evaluate_against_compares_two_models(run: Run) -> None:
    code, out, err = run("evaluate", "news.slug", "mixed.csv", "-q", "--against", "other.slug")
    told = json.loads(
        run("evaluate", "news.slug", "mixed.csv", "--json", "-q", "--against", "other.slug").out
    )
    paired = told["against"]["paired"]

    assert code == 0
    assert "warning: other.slug: 4 of the 5 test documents have a topic that" in err
    assert "warning: the model" not in err
    # Of wheat, corn, goal, loan and bond, only the second is wrong for the first model; the other
    # one knows grain alone.
    assert told["accuracy"] == 0.8
    assert told["against"]["evaluation"]["accuracy"] == 0.2
    assert (paired["n_both_right"], paired["n_only_first_right"]) == (1, 3)
    assert (paired["n_only_second_right"], paired["n_neither_right"]) == (0, 1)
    assert paired["mcnemar_p"] == 0.25
    ends = [
        "95 % interval {:.3f} to {:.3f}".format(*paired[f"{name}_difference_interval"])
        for name in ("accuracy", "macro_f1")
    ]
    f1, difference = paired["macro_f1"], paired["macro_f1_difference"]
    evaluations = told, told["against"]["evaluation"]
    assert f1 == pytest.approx([each["macro_f1"] for each in evaluations])
    assert out.partition("\n\nnews.slug and")[2].splitlines() == [
        " other.slug on the same documents",
        "                    news.slug  other.slug  difference",
        f"accuracy                0.800       0.200      +0.600  {ends[0]}",
        f"macro-F1                {f1[0]:.3f}       {f1[1]:.3f}      {difference:+.3f}  {ends[1]}",
        "right, other wrong          3           0          +3  p = 0.250 by McNemar's exact test",
        "neither is significantly more accurate: the difference may be due to chance",
    ]


def test_evaluate_against_the_same_model_finds_no_difference(run: Run) -> None:
    options = ["mixed.csv", "--json", "-q", "--against", "news.slug"]
    paired = json.loads(run("evaluate", "news.slug", *options).out)["against"]["paired"]
    assert (paired["accuracy_difference"], paired["mcnemar_p"]) == (0, 1)


def test_evaluate_against_rejects_a_missing_model_before_printing(run: Run) -> None:
    code, out, err = run("evaluate", "news.slug", "mixed.csv", "--against", "none.slug")
    assert (code, out) == (1, "")
    assert err.startswith("slugline: error: none.slug")
    assert len(err.splitlines()) == 1


def test_evaluate_against_rejects_a_model_of_other_topics_before_printing(run: Run) -> None:
    texts, topics = (
        ["late parcel", "lost parcel", "new invoice", "old invoice"],
        ["a", "a"] + ["b"] * 2,
    )
    TopicClassifier().fit(texts * 5, topics * 5).save("letters.slug")

    code, out, err = run("evaluate", "news.slug", "mixed.csv", "-q", "--against", "letters.slug")

    assert (code, out) == (1, "")
    assert err.startswith(
        "slugline: error: letters.slug: mixed.csv has none of the model's topics, such as 'a', but"
    )
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("other")
def test_evaluate_mistakes_rejects_the_path_of_the_second_model(run: Run) -> None:
    options = ["--against", "other.slug", "--mistakes", "other.slug"]
    assert run("evaluate", "news.slug", "mixed.csv", *options).err == (
        "slugline: error: --mistakes other.slug: would overwrite an input file; choose another "
        "one.\n"
    )


# info -------------------------------------------------------------------------------------------


def test_info_gives_all_that_the_file_says_of_the_model_as_json(run: Run) -> None:
    code, out, err = run("info", "news.slug", "--json")

    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told["topics"] == ["bank", "grain", "sport"]
    assert told["n_documents"] == 90
    assert told["metrics"] == {"test_accuracy": 0.75}
    assert told["versions"]["slugline"] == slugline.__version__


# slugline ---------------------------------------------------------------------------------------


def test_main_without_arguments_prints_the_help(run: Run) -> None:
    code, out, err = run()

    assert code == 2
    assert "Usage: slugline" in out + err
    assert all(command in out + err for command in ("train", "predict", "evaluate", "info"))


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_a_help(run: Run, command: str, option: str) -> None:
    code, out, err = run(command, option)

    assert (code, err) == (0, "")
    assert f"Usage: slugline {command}" in out
    # What an option takes has a name of ours, and is no type of click's.
    assert re.findall(r"--[\w-]+ (?:TEXT|INTEGER|FLOAT|PATH|<)", out) == []


@pytest.mark.parametrize("command", ["evaluate", "check", "suggest"])
def test_commands_recognize_a_model_in_place_of_the_texts(run: Run, command: str) -> None:
    assert run(command, "mixed.csv", "news.slug") == (
        1,
        "",
        "slugline: error: mixed.csv is not a model, but news.slug is. Swap them: "
        f"slugline {command} news.slug mixed.csv\n",
    )


KNOWN = (
    "the results show how well it remembers, not how well it does on new documents. For that, see "
    "the model's report, or evaluate it on other documents.\n"
)


def test_evaluate_warns_of_training_documents(run: Run, news_csv: Path, tmp_path: Path) -> None:
    run("train", news_csv, "-q", "--seed", 3)
    assert run("evaluate", "model.slug", news_csv, "-q").err == (
        "warning: the model was trained on 72 of these 90 documents, and only the other 18 are new "
        f"to it: {KNOWN}"
    )
    (tmp_path / "test.csv").write_text("body,queue\nwheat,grain\ngoal,sport\n")
    run("train", news_csv, "-q", "--test", "test.csv", "-o", "all.slug")
    assert run("evaluate", "all.slug", news_csv, "-q").err == (
        f"warning: the model was trained on all of these 90 documents: {KNOWN}"
    )
    assert run("evaluate", "all.slug", "test.csv", "-q").err == ""


def test_evaluate_warns_of_documents_that_chose_the_best_epoch(
    run: Run, news: News, tmp_path: Path
) -> None:
    (tmp_path / "held.csv").write_text("body,queue\nwheat,grain\ngoal,sport\n")
    texts, topics = zip(*news, strict=True)
    held_out = (["wheat", "goal"], ["grain", "sport"])
    net = TopicClassifier(learner=NeuralLearner(epochs=1))
    net.fit(texts, topics, validation_data=held_out).save("model.slug")
    assert run("evaluate", "model.slug", "held.csv", "-q").err.startswith(
        "warning: the model's best epoch was chosen on these documents, so the results "
        "look better than they are."
    )


def test_evaluate_warns_of_training_documents_of_a_known_data_set(
    run: Run, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus([text for text, _ in news], [topic for _, topic in news], "bbc")
    monkeypatch.setattr("slugline.corpus.loading._load_bbc", lambda: corpus)
    run("train", "bbc", "-q")
    assert "trained on 72 of these 90 documents" in run("evaluate", "model.slug", "bbc", "-q").err


# --mistakes -------------------------------------------------------------------------------------


def test_evaluate_mistakes_lists_lines_most_probable_first(run: Run) -> None:
    Path("wrong.csv").write_text(
        'topic,text\nsport,"wheat\nand corn"\ngrain,wheat\nbank,corn and goal\nsport,wheat crop\n'
    )

    code, _, err = run("evaluate", "news.slug", "wrong.csv", "-q", "--mistakes", "m.csv")

    texts = ["wheat\nand corn", "corn and goal", "wheat crop"]
    proba = load("news.slug").predict_proba(texts)
    with Path("m.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert (code, err) == (0, "")
    assert header == ["line", "text", "topic", "predicted", "probability"]
    assert {int(row[0]): row[1:3] for row in rows} == {
        2: [texts[0], "sport"],
        5: [texts[1], "bank"],
        6: [texts[2], "sport"],
    }
    expected = sorted((round(float(p), 4) for p in proba.max(axis=1)), reverse=True)
    assert [float(row[4]) for row in rows] == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mixed.csv", "--mistakes mixed.csv: would overwrite an input file; choose another one."),
        ("news.slug", "--mistakes news.slug: would overwrite an input file; choose another one."),
        ("-", "--mistakes -: can't be written to standard output; name a file."),
    ],
)
def test_evaluate_mistakes_rejects_the_path_of_an_input(run: Run, path: str, message: str) -> None:
    result = run("evaluate", "news.slug", "mixed.csv", "--mistakes", path)
    assert result == (2, "", f"slugline: error: {message}\n")


# Several topics -----------------------------------------------------------------------------------


def several_topics() -> MultilabelEvaluation:
    proba = np.array([[0.9, 0.8], [0.2, 0.9], [0.7, 0.1], [0.1, 0.6]], dtype=np.float32)
    return MultilabelEvaluation.from_probabilities(
        ["grain", "wheat"],
        [("grain", "wheat"), ("wheat",), ("grain",), ()],
        proba,
        np.array([0.5, 0.25], dtype=np.float32),
    )


def test_print_evaluation_of_several_topics_has_thresholds_and_pairs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluation = several_topics()
    print_evaluation(evaluation)
    micro, macro, samples = (f"{low:.3f} to {high:.3f}" for low, high in evaluation.f1_intervals)
    assert capsys.readouterr().out.splitlines() == [
        "documents          4",
        f"micro-F1       0.889  95 % interval {micro}; every decision counts the same",
        f"macro-F1       0.900  95 % interval {macro}; every topic counts the same",
        f"per document   0.750  95 % interval {samples}; mean F1 over documents; 1 if "
        "a document without topics is assigned none",
        "exact match    0.750  95 % interval 0.301 to 0.954; documents assigned exactly their "
        "topics",
        "precision@1    1.000  how often the likeliest topic is right; nDCG@1 1.000",
        "ranking        1.000  label ranking average precision",
        "Hamming loss  0.1250  fraction of all decisions that are wrong",
        "calibration    0.213  mean gap between probability and fraction right, in 8 equal "
        "bins of decisions with a probability above 5 %; by chance alone 0.294",
        "",
        "topic  documents  precision  recall     F1  threshold",
        "grain          2      1.000   1.000  1.000      0.500",
        "wheat          2      0.667   1.000  0.800      0.250",
        "",
        "most common pairs",
        "  grain and wheat: 1 in the data, 1 in answers",
    ]
