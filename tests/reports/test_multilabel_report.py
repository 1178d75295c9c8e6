"""The report on a training run whose documents have several topics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from page_elements import Elements, rows_of
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.experiment.evidence import gather_evidence
from slugline.experiment.experiment import Experiment
from slugline.reports.training import training_page
from slugline.reports.training_text import advice

NAMES = ["acq", "earn", "grain", "wheat"]
Set = tuple[str, ...]


def trained(
    sets: Sequence[Set], answers: Sequence[Set], proba: np.ndarray | None = None
) -> Experiment:
    """Return an experiment with these topics and answers, of probability 0.9 or else 0.1."""
    if proba is None:
        rows = [[0.9 if name in topics else 0.1 for name in NAMES] for topics in answers]
        proba = np.array(rows, dtype=np.float32)
    thresholds = np.array([0.5, 0.4, 0.3, 0.25], dtype=np.float32)
    evaluation = MultilabelEvaluation.from_probabilities(NAMES, sets, proba, thresholds)
    texts = [f"wheat rose by {number}" for number in range(len(sets))]
    return Experiment(
        fitted=TopicClassifier().fit(["a word", "wheat rose"] * 4, NAMES * 2).fitted_,
        name="wires.jsonl",
        n_train=400,
        warnings=(),
        seconds=1.5,
        test=Corpus(texts, [*sets], "wires.jsonl", unit="line"),
        test_fraction=0.2,
        evaluation=evaluation,
        majority_topic="acq",
        majority=0.25,
        shuffled=0.2,
    )


# 180 documents, 60 of them with a mistake.
TRUE: Sequence[Set] = [
    ("grain", "wheat"),
    ("acq",),
    (),
    ("earn",),
    ("grain",),
    ("earn", "acq"),
] * 30
GIVEN: Sequence[Set] = [
    ("grain", "wheat"),
    ("acq",),
    (),
    ("earn",),
    ("grain", "wheat"),
    ("earn",),
] * 30


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}">')
    return " ".join(
        Elements(page[start : page.index("</section>", start)] + "</section>").text.split()
    )


def test_multilabel_page_has_all_sections_and_numbers() -> None:
    experiment = trained(TRUE, GIVEN)
    page = training_page(experiment, evidence=gather_evidence(experiment))
    elements = Elements(page)
    assert elements.sections == [
        *("next", "data", "baselines", "probabilities", "pairs", "missed", "added", "topics"),
        *("words", "settings"),
    ]
    links = [attributes["href"] for tag, attributes in elements.seen if tag == "a"]
    assert [link for link in links if link] == [f"#{name}" for name in elements.sections[1:]]
    text = " ".join(elements.text.split())
    assert "Of the topics that 180 unseen documents have, the classifier finds 85.7 %" in text
    assert "85.7 % of the topics that it assigns are right: a micro-F1 of 85.7 %" in text
    assert "66.7 % of the documents are assigned exactly their topics." in text
    assert "30 of the 210 topics that the test documents have are not assigned." in text
    assert "A test document has 1.2 topics on average and at most 2, and 30 have none" in text
    assert "Log loss" not in text
    assert "--curve" not in text


def test_multilabel_page_has_tables_of_thresholds_and_pairs() -> None:
    experiment = trained(TRUE, GIVEN)
    page = training_page(experiment, evidence=gather_evidence(experiment))
    assert rows_of(page, "topics") == [
        ["Topic", "Documents", "From", "Precision", "Recall", "F1"],
        ["acq", "60", "50\xa0%", "100 %", "50 %", "67 %"],
        ["earn", "60", "40\xa0%", "100 %", "100 %", "100 %"],
        ["grain", "60", "30\xa0%", "100 %", "100 %", "100 %"],
        ["wheat", "30", "25\xa0%", "50 %", "100 %", "67 %"],
    ]
    assert rows_of(page, "pairs") == [
        ["Topic", "And", "In the data", "In answers"],
        ["grain", "wheat", "30", "60"],
        ["acq", "earn", "30", "0"],
    ]


def test_multilabel_page_quotes_missed_and_added_topics() -> None:
    experiment = trained(TRUE, GIVEN)
    evidence = gather_evidence(experiment)
    assert evidence.missed[0][:3] == (6, "acq", "earn")
    assert evidence.missed[0].probability == pytest.approx(0.1)
    assert evidence.added[0][:3] == (5, "wheat", "grain")
    assert evidence.added[0].probability == pytest.approx(0.9)
    page = training_page(experiment, evidence=evidence)
    assert "acq is missing; given: earn" in section(page, "missed")
    assert "wheat is given; in the data: grain" in section(page, "added")


def test_multilabel_advice_names_missed_and_added_topics() -> None:
    sets: Sequence[Set] = [("earn",)] * 20 + [("grain",)] * 4 + [("acq",)] * 4
    answers: Sequence[Set] = [("earn",)] * 17 + [("earn", "wheat")] * 3 + [()] * 4 + [("acq",)] * 4
    experiment = trained(sets, answers)
    assert isinstance(experiment.evaluation, MultilabelEvaluation)
    missed, added, few = advice(experiment)
    assert missed.startswith(
        "1 of 3 topics is missed more often than found: “grain” (0 of 4 found)"
    )
    assert added == (
        "1 topic is assigned wrongly more often than correctly: “wheat” (0 % right). Read some of "
        "these documents: perhaps the topic is missing in the data."
    )
    assert few.startswith("With 28 test documents, the true micro-F1 may be anywhere from")


def test_multilabel_page_counts_unknown_topics() -> None:
    experiment = trained([("earn", "oil"), ("acq",)], [("earn",), ("acq",)])
    text = section(training_page(experiment, evidence=gather_evidence(experiment)), "data")
    assert "1 topic of the test documents, such as “oil”, is not in the training documents" in text


def test_multilabel_page_has_no_probabilities_without_answers() -> None:
    experiment = trained([("earn",)], [()])
    page = training_page(experiment, evidence=gather_evidence(experiment))
    assert "probabilities" not in Elements(page).sections


def test_describe_reliability_is_not_fooled_by_the_average() -> None:
    row, column = np.indices((400, 4))
    proba = np.where((row + column) % 2, 0.2, 0.8).astype(np.float32)
    # Half of the decisions are right, whatever their probability.
    sets = [tuple(np.array(NAMES)[has].tolist()) for has in (row // 2) % 2 == 0]
    text = section(training_page(trained(sets, sets, proba)), "probabilities")
    assert "the two agree on average, but not in all groups. In 15 groups" in text
    calibrated = (row // 2 + row * column) % 5 < np.round(5 * proba)
    sets = [tuple(np.array(NAMES)[has].tolist()) for has in calibrated]
    text = section(training_page(trained(sets, sets, proba)), "probabilities")
    assert "the two agree, within the error of the test. In 15 groups" in text
