"""The report on a training run: a page for any topics, whose sentences follow from the numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from page_elements import Elements, rows_of
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import Interval
from slugline.experiment.experiment import AccuracyOnLabels, Experiment, run_experiment
from slugline.learning.learner import Learner
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.learning.net.training import History
from slugline.model.fitted import Fitted
from slugline.reports.training import ConfusedTopic, confused_topics, training_page
from slugline.reports.training_text import advice, section_texts
from slugline.text.feature_groups import FeatureGroup

# 100 test documents, 82 of them right.
TOPICS = ["acq", "earn", "grain", "zinc"]
CONFUSION = [[36, 4, 0, 0], [2, 38, 0, 0], [5, 4, 7, 0], [3, 0, 0, 1]]
HISTORY = History(
    {
        "loss": [2.0, 1.0, 0.5, 0.25],
        "accuracy": [0.5, 0.7, 0.8, 0.9],
        "val_loss": [1.5, 1.0, 1.25, 1.5],
        "val_accuracy": [0.5, 0.6, 0.7, 0.6],
    }
)
PERFECT = np.diag([40, 40, 16, 4])
MANY = Evaluation(TOPICS, np.array(CONFUSION) * 20, 0.5)


def learned(topics: Sequence[str], **params: Any) -> Fitted:
    params = {"learner": NeuralLearner(epochs=1), **params}
    return TopicClassifier(**params).fit(["a word"] * 2 * len(topics), [*topics] * 2).fitted_


def trained(
    topics: Sequence[str] = TOPICS,
    confusion: Any = CONFUSION,
    fitted: Fitted | None = None,
    history: History | None = HISTORY,
    **changes: Any,
) -> Experiment:
    """Return an experiment with just these numbers."""
    matrix = np.array(confusion)
    interrupted = history is not None and history.stopped_by == "interrupt"
    n_heldout = 400 - history.n_rows if interrupted and history else 0
    experiment = Experiment(
        fitted=replace(fitted or learned(topics), history=history, n_unlearned=n_heldout),
        name="wires.csv",
        n_train=400,
        test=Corpus(["a word"] * matrix.sum(), [topics[0]] * matrix.sum(), "wires.csv"),
        test_fraction=0.2,
        evaluation=Evaluation(list(topics), matrix, 0.5),
        majority_topic=topics[0],
        majority=0.4,
        shuffled=0.35,
        warnings=(),
        seconds=1.5,
    )
    return replace(experiment, **changes)


# The page ---------------------------------------------------------------------------------------


def many_topics() -> Experiment:
    """Return an experiment on 150 topics, whose first is mistaken for each of the others."""
    topics = [f"topic {number:03}" for number in range(150)]
    confusion = np.diag(np.arange(150, 0, -1))
    confusion[0, 1:] = 1
    return trained(topics, confusion)


def evaluation_of(experiment: Experiment) -> Evaluation:
    evaluation = experiment.tested.evaluation
    assert isinstance(evaluation, Evaluation)
    return evaluation


@pytest.mark.parametrize(
    "experiment",
    [
        pytest.param(trained, id="four topics"),
        pytest.param(many_topics, id="150 topics"),
        pytest.param(lambda: trained(["one"], [[5]]), id="one topic"),
        pytest.param(lambda: trained(history=None), id="no epochs"),
        pytest.param(lambda: trained(confusion=PERFECT), id="no mistake"),
        pytest.param(lambda: trained(warnings=("too few <documents>.",)), id="a warning"),
        pytest.param(
            lambda: trained(evaluation=Evaluation([*TOPICS, "(unknown)"], np.tri(5, dtype=int), 1)),
            id="unknown topics",
        ),
    ],
)
def test_the_page_is_well_formed_and_needs_no_other_file(experiment: Any) -> None:
    page = training_page(experiment())
    elements = Elements(page)
    tags = {tag for tag, _ in elements.seen}
    assert not {"script", "link", "iframe", "img", "object"} & tags
    for _, attributes in elements.seen:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", page)
    ids = Counter(attributes["id"] for _, attributes in elements.seen if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1


def test_training_page_has_table_headers() -> None:
    page = training_page(many_topics())
    headers = [attributes for tag, attributes in Elements(page).seen if tag == "th"]
    assert {attributes.get("scope") for attributes in headers} == {"col", "row"}
    for body in re.findall(r"<tbody>.*?</tbody>", page, re.DOTALL):
        assert body.count("<tr>") == body.count('<tr><th scope="row"')


def test_training_page_has_ordered_headings_and_focusable_scrolling() -> None:
    seen = Elements(training_page(trained(warnings=("few.",)))).seen
    headings = [tag for tag, _ in seen if re.fullmatch(r"h\d", tag)]
    assert headings == ["h1"] + ["h2"] * (len(headings) - 1)
    scrolled = [attributes for _, attributes in seen if attributes.get("class") == "scroll"]
    assert scrolled
    for attributes in scrolled:
        assert (attributes["tabindex"], attributes["role"]) == ("0", "region")
        assert attributes["aria-label"]


def test_training_page_begins_with_the_accuracy_on_labels() -> None:
    on_labels = AccuracyOnLabels(400, 0.87, Interval(0.8, 0.93), "earn", 0.4, "About 50 more.")
    experiment = trained(on_labels=on_labels, majority=0.4, majority_topic="earn")
    assert experiment.test is not None
    experiment = replace(experiment, test=replace(experiment.test, has_selection_bias=True))
    page = training_page(experiment)
    assert "4 topics, 87.0\u202f% right" in page.replace("\xa0", "\u202f").replace(" %", "\u202f%")
    texts = section_texts(experiment)
    assert texts["headline"] == (
        "The classifier gets 87.0 % of the texts without a label right (95 % confidence interval: "
        "80.0 to 93.0 %), as estimated from 400 labels. That is 47.0 points better than always "
        "answering “earn”."
    )
    assert "classifier is less accurate on them (82.0 %) than on other texts" in texts["data"]
    assert texts["baselines"].startswith("The most common topic of the texts without a label is")
    assert advice(experiment)[0] == "About 50 more."
    assert not any(
        "missed" in each or "test documents would" in each for each in advice(experiment)
    )
    assert 'id="probabilities"' not in page


def test_training_page_has_no_curves_without_epochs() -> None:
    elements = Elements(training_page(trained(history=None)))
    assert "curves" not in elements.sections
    assert "svg" not in {tag for tag, _ in elements.seen}


def test_training_page_has_warnings_first() -> None:
    page = training_page(trained(warnings=("a layer is narrow.",)))
    assert "<p>a layer is narrow.</p>" in page[: page.index('id="data"')]
    assert 'id="warnings"' not in training_page(trained())


def test_training_page_lists_settings() -> None:
    fitted = learned(
        TOPICS,
        learner=NeuralLearner(hidden=[32, 16], epochs=1, l2=0.125),
        feature_groups=[
            FeatureGroup("words", "counts", max_terms=50),
            FeatureGroup("bigrams"),
            FeatureGroup("characters"),
        ],
        class_weight={"zinc": 2.0},
        random_state=7,
    )
    text = Elements(training_page(trained(fitted=fitted))).text
    settings = {
        "kind": "network",
        "hidden": "32, 16",
        "epochs": 1,
        "batch size": 128,
        "patience": 3,
        "validation fraction": 0.1,
        "dropout": "0",
        "l2": 0.125,
        "optimizer": "rmsprop",
        "n epochs": 1,
        "terms": "words (counts), bigrams (log-tf-idf) and characters (log-tf-idf)",
        "class weight": {"zinc": 2.0},
        "seed": 7,
    }
    learner = fitted.learner.settings()
    assert settings.keys() >= {n.replace("_", " ") for n, v in learner.items() if v is not None}
    for name, value in settings.items():
        assert f"{name}{value}" in text
    assert f"have the SHA-256 {fitted.data_digest}." in text
    assert f"numpy {np.__version__}" in text


# Names that are up to no good -------------------------------------------------------------------

HOSTILE = ["<script>alert(1)</script>", "x" * 300, "$a_1$ & 'b' \"c\"", "тема --x <!--"]


def test_training_page_escapes_and_shortens_names() -> None:
    confusion = np.diag([9, 9, 9, 9]) + np.roll(np.diag([1, 2, 3, 4]), 1, axis=1)
    page = training_page(
        trained(
            HOSTILE,
            confusion,
            name="<b>wires</b>.csv",
            warnings=tuple(f"{name} has few documents." for name in HOSTILE),
        )
    )
    elements = Elements(page)
    assert "script" not in {tag for tag, _ in elements.seen}
    assert "Trained on <b>wires</b>.csv" in elements.text
    assert [row[0] for row in rows_of(page, "topics")[1:]] == [
        "тема --x <!--",
        "$a_1$ & 'b' \"c\"",
        "x" * 49 + "…",
        "<script>alert(1)</script>",
    ]
    titles = {attributes["title"] for _, attributes in elements.seen if "title" in attributes}
    assert titles == set(HOSTILE)
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert not any(name in picture for name in ("alert", "xxx", "тема"))


# Tables -----------------------------------------------------------------------------------------


def test_training_page_lists_topics_by_size() -> None:
    confusion = [[0, 0, 2, 0], [0, 0, 0, 0], [1, 0, 8, 0], [0, 0, 0, 9]]
    assert rows_of(training_page(trained(confusion=confusion)), "topics") == [
        ["Topic", "Documents", "Precision", "Recall", "F1"],
        ["grain", "9", "80 %", "89 %", "84 %"],
        ["zinc", "9", "100 %", "100 %", "100 %"],
        ["acq", "2", "0 %", "0 %", "0 %"],
        ["earn", "0", "–", "–", "–"],
    ]


def test_training_page_lists_common_mistakes_first() -> None:
    assert rows_of(training_page(trained()), "confusions")[:3] == [
        ["Topic", "Taken for", "Documents"],
        ["grain", "acq", "5 of 16"],
        ["acq", "earn", "4 of 40"],
    ]


def test_confused_topics_come_by_most_common_mistake() -> None:
    page = training_page(trained())
    assert re.findall(r'class="right".*>(\d+)<', page) == ["7", "36", "38", "1"]
    assert re.findall(r'class="wrong".*>(\d+)<', page) == ["5", "4", "4", "2", "3"]
    assert rows_of(page, "confusions", 1) == [
        ["", "1grain", "2acq", "3earn", "4zinc"],
        ["1 grain", "7", "5", "4", ""],
        ["2 acq", "", "36", "4", ""],
        ["3 earn", "", "2", "38", ""],
        ["4 zinc", "", "3", "", "1"],
    ]


def test_confused_topics_are_limited_and_add_up() -> None:
    assert confused_topics(evaluation_of(trained()), max_topics=2) == [
        ConfusedTopic("grain", [7, 5], 4),
        ConfusedTopic("acq", [0, 36], 4),
    ]
    experiment = many_topics()
    shown = confused_topics(evaluation_of(experiment))
    n_documents = {f.topic: f.n_documents for f in experiment.tested.evaluation.per_topic()}
    assert len(shown) == 12
    assert [row.n_documents for row in shown] == [n_documents[row.topic] for row in shown]
    text = Elements(training_page(experiment)).text
    assert "The table shows the 12 of 150 topics with the most common mistakes." in text
    assert "any other topic" in text


def test_training_page_has_no_confusions_without_mistakes() -> None:
    experiment = trained(confusion=PERFECT)
    assert confused_topics(evaluation_of(experiment)) == []
    page = training_page(experiment)
    assert "<table" not in page[page.index('id="confusions"') : page.index('id="topics"')]


# What it says -----------------------------------------------------------------------------------


def with_curves(loss: list[float], val_loss: list[float], stopped_by: str | None = None) -> History:
    return History({"loss": loss, "val_loss": val_loss}, n_rows=360, stopped_by=stopped_by)


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        (
            "headline",
            {},
            "The classifier gets 82.0 % of 100 unseen documents right (95 % confidence interval: "
            "73.3 to 88.3 %). That is 42.0 points better than always answering “acq”.",
        ),
        (
            "baselines",
            {},
            "Shuffled topics guess each topic as often as it occurs. The most common "
            "topic of the training documents is “acq”; always answering it is right for 40.0 % of "
            "the test documents.",
        ),
        (
            "baselines",
            {"majority": 0.8},
            "Shuffled topics guess each topic as often as it occurs. The most common "
            "topic of the training documents is “acq”; always answering it is right for 80.0 % of "
            "the test documents. The 95 % confidence interval of the classifier, 73.3 % to 88.3 %, "
            "includes 80.0 %, so the difference may be chance.",
        ),
        ("data", {}, "Tested on: “acq” (40), “earn” (40), “grain” (16) and “zinc” (4)."),
        (
            "data",
            {"evaluation": Evaluation(TOPICS, np.diag([9, 5, 1, 0]), 0.5)},
            "Tested on: “acq” (9), “earn” (5), “grain” (1) and “zinc” (0). 1 topic has no test "
            "document, so its accuracy is unknown.",
        ),
        (
            "data",
            {"evaluation": Evaluation([*TOPICS, "(unknown)"], np.tri(5, dtype=int), 0.5)},
            "Tested on: “zinc” (4), “grain” (3), “earn” (2) and “acq” (1). 5 test documents "
            "have a topic that is not in the training documents and count as wrong.",
        ),
        (
            "data",
            {"evaluation": Evaluation([*TOPICS, "(unknown)"], np.eye(5, dtype=int), 0.5)},
            "Tested on: “acq” (1), “earn” (1), “grain” (1) and “zinc” (1). 1 test document has a "
            "topic that is not in the training documents and counts as wrong.",
        ),
        (
            "curves",
            {},
            "The validation loss (lower is better) is lowest after epoch 2, at 1.00; 2 more epochs "
            "did not lower it, while the training loss kept falling from 1.00 to 0.25: from then "
            "on, the network overfits. For these curves, 10 % "
            "of the training documents were held out. The classifier was then trained from scratch "
            "on all 400, for 2 epochs.",
        ),
        (
            "curves",
            {"history": with_curves([1.0, 1.5], [1.0, 2.0])},
            "The validation loss (lower is better) is lowest after epoch 1, at 1.00; 1 more epoch "
            "did not lower it. For these curves, 10 % of the training documents were held out. The "
            "classifier was then trained from scratch on all 400, for 1 epoch.",
        ),
        (
            "curves",
            {"history": with_curves([2.0, 1.5], [2.0, 1.0])},
            "After 2 epochs the validation loss (lower is better) was still falling, so more "
            "epochs might help. For these curves, 10 % of the training documents were held out. "
            "The classifier was then trained from scratch on all 400, for 2 epochs.",
        ),
        (
            "curves",
            {"history": with_curves([2.0, 1.5], [2.0, 1.0], "early stopping")},
            "The validation loss (lower is better) is lowest after epoch 2, the last one, at 1.00, "
            "but it had almost stopped falling by then. For these curves, 10 % of the training "
            "documents were held out. The classifier was then trained from scratch on all 400, for "
            "2 epochs.",
        ),
        (
            "curves",
            {"history": with_curves([2.0, 1.5], [1.0, 2.0], "interrupt")},
            "The validation loss (lower is better) is lowest after epoch 1, at 1.00; 1 more epoch "
            "did not lower it, while the training loss kept falling from 2.00 to 1.50: from then "
            "on, the network overfits. For these curves, 10 % "
            "of the training documents were held out. Training was interrupted before it "
            "used these too: the classifier is the one after epoch 1, trained on the other 360.",
        ),
        (
            "curves",
            {"history": with_curves([2.0, 1.5], [2.0, 1.0], "interrupt")},
            "The validation loss (lower is better) is lowest after epoch 2, the last one, at 1.00. "
            "For these curves, 10 % of the training documents were held out. Training was "
            "interrupted before it used these too: the classifier is the one after epoch 2, "
            "trained on the other 360.",
        ),
        (
            "confusions",
            {"evaluation": Evaluation(TOPICS, PERFECT + np.eye(4, k=3, dtype=int), 0.5)},
            "1 of 101 test documents was given a wrong topic. It is listed below.",
        ),
        (
            "confusions",
            {},
            "18 of 100 test documents were given a wrong topic. All of them are listed below.",
        ),
        (
            "confusions",
            {"evaluation": Evaluation(TOPICS, PERFECT, 0.5)},
            "No test document was given a wrong topic.",
        ),
    ],
    ids=[
        "headline",
        "baseline",
        "baseline within the interval",
        "few topics",
        "untested topic",
        "unknown topic",
        "one document of an unknown topic",
        "curves",
        "best in the middle",
        "still falling",
        "level in the end",
        "interrupted",
        "interrupted while still falling",
        "one mistake",
        "all mistakes",
        "no mistake",
    ],
)
def test_section_texts_follow_the_numbers(section: str, changes: dict[str, Any], said: str) -> None:
    assert section_texts(trained(**changes))[section] == said


@pytest.mark.parametrize(
    ("majority", "said"),
    [
        (0.82, "That is no better than always answering “acq”."),
        (0.9, "That is 8.0 points worse than always answering “acq”."),
    ],
    ids=["equal", "worse"],
)
def test_section_texts_do_not_praise_a_model_below_the_baseline(majority: float, said: str) -> None:
    assert section_texts(trained(majority=majority))["headline"].endswith(said)


# What to do next --------------------------------------------------------------------------------

CONFUSED = (
    "“acq” and “earn” are confused most often: 6 test documents, 33 % of all mistakes. Read some "
    "of them. If you can’t tell the two topics apart either, merge them. If you can, check how "
    "these documents were labelled."
)
FEW_TESTS = (
    "With 100 test documents, the true accuracy may be anywhere from 73 % to 88 %. That range is "
    "too wide to compare settings; four times as many test documents would halve it."
)
RARE = (
    "2 of 4 topics are missed more often than found: “grain” (7 of 16 found) and “zinc” (1 of 4 "
    "found). They are rare (10 test documents on average; the others have 40), so add more such "
    "documents"
)


def test_advice_names_missed_topics_confused_ones_and_a_test_too_small() -> None:
    assert advice(trained()) == [
        f"{RARE}, or give them more weight with `--balanced` (in Python, "
        '`class_weight="balanced"`).',
        CONFUSED,
        FEW_TESTS,
    ]


def test_advice_does_not_ask_for_tests_if_there_are_enough() -> None:
    assert len(advice(trained(evaluation=MANY))) == 2


def test_advice_ignores_unknown_topics() -> None:
    confusion = np.pad(np.array(CONFUSION) * 100, (0, 1))
    confusion[4, 0] = 5000
    evaluation = Evaluation([*TOPICS, "(unknown)"], confusion, 0.5)
    assert not any("(unknown)" in said for said in advice(trained(evaluation=evaluation)))


@pytest.mark.parametrize(
    "confusion",
    [PERFECT * 10, [[300, 0, 0, 0], [0, 80, 0, 0], [0, 0, 20, 0], [1, 0, 0, 1]]],
    ids=["no mistake", "half of a topic, one mistake"],
)
def test_advice_without_flaws_is_newer_documents(confusion: Any) -> None:
    assert advice(trained(confusion=confusion)) == [
        "Nothing stands out: no topic is missed more often than found, no two topics are confused "
        "more than once, and there are enough test documents. Try the classifier on newer "
        "documents."
    ]


# From a run -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learner", "n_pictures"),
    [
        pytest.param(NeuralLearner(epochs=3), 4, id="network"),
        pytest.param(LinearLearner(), 2, id="linear"),
        pytest.param(Mixture([LinearLearner(), NeuralLearner(epochs=3)]), 4, id="mixture"),
    ],
)
def test_train_writes_a_report(learner: Learner, n_pictures: int) -> None:
    texts = ["wheat and corn rose", "net profit fell", "a tanker at the port"] * 10
    corpus = Corpus(texts, ["grain", "earn", "ship"] * 10, "wires.csv")
    experiment = run_experiment(TopicClassifier(learner=learner).to_settings(), corpus)
    page = training_page(experiment)
    assert "24 training documents, 6 test documents" in page
    assert page.count("<svg") == n_pictures
