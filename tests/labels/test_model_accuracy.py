"""Tests of the accuracy of a model that is trained on a label database."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.label_database.records import Selection
from slugline.corpus.loading import load_corpus, read_texts
from slugline.corpus.readers import read_rows
from slugline.experiment.curve import learning_curves
from slugline.experiment.experiment import run_experiment
from slugline.labels.label_setup import LabelOptions, open_labels
from slugline.labels.model_accuracy import measure_on_labels
from slugline.labels.text_table import SourceColumns, TextTable
from slugline.reports.training import training_page
from slugline.reports.training_text import section_texts

WORDS = {"grain": "wheat corn barley oats rye", "metal": "zinc tin copper nickel lead"}
SETTINGS = TopicClassifier(encoder=None).to_settings()


def label_texts(folder: Path, n_labels: int) -> Path:
    """Label 200 texts, every second one of which was doubted; these are labelled at random."""
    rng, texts = np.random.default_rng(0), []
    for n in range(200):
        words = WORDS["grain" if n % 4 < 2 else "metal"].split()
        texts.append(f"{' '.join(rng.choice(words, 3))} {n}")
    source, labels = folder / "texts.csv", folder / "labels.db"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    table = TextTable.from_texts(str(source), read_texts(read_rows(source)), SourceColumns())
    options = LabelOptions(coder="Kim", descriptions=dict.fromkeys(WORDS, ""))
    with open_labels(labels, table, options) as (store, _, _, _):
        for n in range(n_labels):
            is_doubted = n % 2 == 1
            topic = "grain" if n % 4 < 2 else "metal"
            if is_doubted and rng.random() < 0.5:
                topic = "metal" if topic == "grain" else "grain"
            # A doubted text is twenty times as likely to be drawn.
            reason, times = ("suggested", 20) if is_doubted else ("random", 1)
            [document] = store.add_documents([table.document(n)])
            selection = Selection(reason, times / 200, 200)  # type: ignore[arg-type]
            assignment = store.assign("Kim", document, selection)
            assert assignment is not None
            store.label(assignment.id, [topic])
    return labels


def test_measure_on_labels_weighs_doubted_texts_by_how_often_they_are_drawn(tmp_path: Path) -> None:
    labels = label_texts(tmp_path, 120)
    measured = measure_on_labels([labels], load_corpus(labels), SETTINGS)
    assert measured is not None
    assert measured.n_labels == 120
    assert measured.accuracy > 0.9
    assert measured.interval.low < measured.accuracy <= measured.interval.high
    assert measured.majority == pytest.approx(0.5, abs=0.05)
    assert measured.advice.startswith("Good enough to")


def test_measure_on_labels_counts_random_draws_alone_if_the_texts_are_gone(tmp_path: Path) -> None:
    labels = label_texts(tmp_path, 120)
    (tmp_path / "texts.csv").unlink()
    measured = measure_on_labels([labels], load_corpus(labels), SETTINGS)
    assert measured is not None
    assert measured.accuracy > 0.85
    assert measured.interval.low < 0.9


def test_measure_on_labels_needs_measured_labels(tmp_path: Path) -> None:
    labels = label_texts(tmp_path, 12)
    assert measure_on_labels([labels], load_corpus(labels), SETTINGS) is None


def test_measure_on_labels_needs_a_label_database_alone_and_no_test(tmp_path: Path) -> None:
    labels = label_texts(tmp_path, 120)
    corpus = load_corpus(labels)
    assert measure_on_labels([labels, labels], corpus, SETTINGS) is None
    assert measure_on_labels([tmp_path / "texts.csv"], corpus, SETTINGS) is None
    assert measure_on_labels([corpus], corpus, SETTINGS) is None
    assert measure_on_labels([labels], corpus, SETTINGS, test=corpus) is None


def test_run_experiment_of_doubted_labels_alone_measures_nothing(tmp_path: Path) -> None:
    labels = label_texts(tmp_path, 120)
    corpus = load_corpus([labels, labels])
    assert corpus.has_selection_bias
    experiment = run_experiment(SETTINGS, corpus)
    assert experiment.measured is None
    assert experiment.metrics is not None
    assert "test_accuracy" not in experiment.metrics
    assert "unknown: a model doubted many of the test documents" in str(experiment)
    assert section_texts(experiment)["headline"] == (
        "These labels don’t show how often the classifier is right about other texts: many of the "
        "test documents were labelled because a model doubted them. Test it on texts drawn at "
        "random, with `--test`."
    )
    page = training_page(experiment)
    assert 'id="baselines"' not in page
    assert "(accuracy)" not in page
    curves = learning_curves(corpus, n_draws=1)
    assert curves.notes[0] == (
        "many of the test documents were labelled because a model doubted them, so accuracies on "
        "other texts are usually higher."
    )


def test_measure_on_labels_learns_topics_as_the_corpus_has_them(tmp_path: Path) -> None:
    labels = label_texts(tmp_path, 120)
    corpus = load_corpus(labels, topic_map={"metal": "ore"})
    measured = measure_on_labels([labels], corpus, SETTINGS)
    assert measured is not None
    assert measured.accuracy > 0.9
    assert measured.majority_topic in ("grain", "ore")
