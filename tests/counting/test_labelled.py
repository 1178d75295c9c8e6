"""Shares from labels of some of the texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slugline.classifier import load
from slugline.corpus.label_database.records import Selection
from slugline.counting.labelled import (
    FoundText,
    LabelledSample,
    MatchedLabels,
    TextLabel,
    estimate_labelled_share,
    explained_variance,
)
from slugline.counting.labelled_file import read_labelled_sample
from slugline.counting.shares import HeldoutSample
from slugline.errors import DataError
from slugline.evaluation.intervals import wilson
from slugline.labels.cells import NewDocument
from slugline.labels.store import LabelStore


def test_labels_alone_give_wilsons_interval() -> None:
    has_topic = np.array([1.0] * 30 + [0.0] * 70)
    estimate = estimate_labelled_share(has_topic, np.ones(100), 10**9)
    assert estimate.method == "labels"
    assert estimate.share == pytest.approx(0.3)
    np.testing.assert_allclose(estimate.interval, wilson(30, 100), atol=1e-6)


def test_labels_of_all_texts_leave_no_doubt() -> None:
    has_topic = np.array([1.0] * 30 + [0.0] * 70)
    low, high = estimate_labelled_share(has_topic, np.ones(100), 100).interval
    assert 0.29 < low <= 0.3 <= high < 0.31


def test_good_probabilities_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    has_topic = (rng.random(200) < 0.3).astype(float)
    proba = np.where(has_topic, 0.9, 0.1) + rng.normal(0, 0.05, 200)
    alone = estimate_labelled_share(has_topic, np.ones(200), 10**6)
    both = estimate_labelled_share(has_topic, np.ones(200), 10**6, proba=proba, mean_proba=0.34)
    assert both.method == "labels and model"
    assert both.interval.high - both.interval.low < (alone.interval.high - alone.interval.low) / 2
    assert abs(both.share - 0.3) < 0.02


def test_wrong_probabilities_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    has_topic = (rng.random(200) < 0.3).astype(float)
    both = estimate_labelled_share(
        has_topic, np.ones(200), 10**6, proba=rng.random(200), mean_proba=0.9
    )
    assert both.interval.low < 0.3 < both.interval.high


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_intervals_hold_under_covariate_shift(share: float) -> None:
    rng = np.random.default_rng(1)
    n_right = 0
    for _ in range(300):
        topics = rng.random(5000) < share
        # The model takes half of the topic's texts for others, and some others for it.
        proba = np.clip(np.where(topics, rng.random(5000), rng.beta(1, 6, 5000)), 0, 1)
        chosen = rng.choice(5000, 200, replace=False)
        interval = estimate_labelled_share(
            topics[chosen].astype(float),
            np.ones(200),
            5000,
            proba=proba[chosen],
            mean_proba=float(proba.mean()),
        ).interval
        n_right += interval.low <= topics.mean() <= interval.high
    assert n_right / 300 > 0.93


def test_weights_correct_for_texts_that_were_drawn_more_often() -> None:
    rng = np.random.default_rng(2)
    topics = (rng.random(20_000) < 0.1).astype(float)
    probability = np.where(topics, 0.4, 0.05)
    chosen = rng.random(20_000) < probability / 10
    estimate = estimate_labelled_share(topics[chosen], 1 / probability[chosen], 20_000)
    assert topics[chosen].mean() > 0.3
    assert estimate.interval.low < topics.mean() < estimate.interval.high


def found_text(**n_by_group: int) -> FoundText:
    text = FoundText(np.array([0.5, 0.5], dtype=np.float32))
    text.n_by_group.update(n_by_group)
    return text


def test_matched_labels_count_a_text_as_often_as_it_was_drawn() -> None:
    sample = LabelledSample(
        "sample.csv", {"ok": (TextLabel(("other",)),) * 6, "hello": (TextLabel(("account",)),)}
    )
    found = {"ok": found_text(may=20, june=10), "hello": found_text(june=1)}
    labels = MatchedLabels.from_texts(sample, found, 2)
    assert labels.has_topic("other").sum() == 6
    assert labels.groups.tolist() == ["may"] * 4 + ["june"] * 3


def test_matched_labels_are_no_more_than_the_texts() -> None:
    sample = LabelledSample("sample.csv", {"ok": (TextLabel(("other",)),) * 6})
    assert len(MatchedLabels.from_texts(sample, {"ok": found_text(may=2)}, 2)) == 2


def test_explained_variance_is_that_of_heldout_documents() -> None:
    proba = np.array([[0.9, 0.1], [0.1, 0.9]] * 20)
    good = HeldoutSample(proba, np.array([0, 1] * 20), np.array([20.0, 20.0]))
    bad = HeldoutSample(proba, np.array([0, 0, 1, 1] * 10), np.array([20.0, 20.0]))
    shares = np.array([0.5, 0.5])
    np.testing.assert_allclose(explained_variance(good, shares), 0.99)
    np.testing.assert_allclose(explained_variance(bad, shares), 0, atol=1e-9)


# Files --------------------------------------------------------------------------------------------


def test_labelled_sample_is_read_with_the_columns_of_the_model(
    news_slug: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labelled.csv"
    path.write_text("text,topic\nwheat,grain\nloan,bank\n")
    sample = read_labelled_sample(path, load(news_slug).fitted_)
    assert sample.labels == {"wheat": (TextLabel(("grain",)),), "loan": (TextLabel(("bank",)),)}
    assert sample.concerns == ()


def test_labelled_sample_keeps_each_label_of_a_repeated_text(
    news_slug: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labelled.csv"
    path.write_text("text,topic\nwheat,grain\nwheat,bank\nwheat,grain\nloan,bank\n")
    sample = read_labelled_sample(path, load(news_slug).fitted_)
    assert [label.topics for label in sample.labels["wheat"]] == [("grain",), ("bank",), ("grain",)]
    assert len(sample) == 4


def test_labelled_sample_that_the_model_learned_from_is_named(
    news_csv: Path, tmp_path: Path
) -> None:
    import slugline

    classifier = slugline.train(news_csv, text="body", topic="queue", test_fraction=None).classifier
    sample = read_labelled_sample(news_csv, classifier.fitted_)
    assert sample.is_training_data
    assert sample.concerns[0].startswith("The model was trained on")
    classifier = slugline.train(news_csv, text="body", topic="queue", test_fraction=0.25).classifier
    assert not read_labelled_sample(news_csv, classifier.fitted_).is_training_data
    assert read_labelled_sample(news_csv, classifier.fitted_, 0.25).is_training_data


def make_store(path: Path, selections: list[Selection]) -> None:
    with LabelStore(path) as store:
        store.add_coder("Kim")
        store.add_topic("bank", "Kim")
        for i, selection in enumerate(selections):
            [number] = store.add_documents([NewDocument(f"id {i}", f"loan {i}")])
            assignment = store.assign("Kim", number, selection)
            assert assignment is not None
            store.label(assignment.id, ["bank"])


@pytest.mark.parametrize(("n_labels", "may_be_learned"), [(71, False), (72, True)])
def test_labelled_sample_of_a_database_that_a_model_may_have_learned_from_is_named(
    news_slug: Path, tmp_path: Path, n_labels: int, *, may_be_learned: bool
) -> None:
    fitted, path = load(news_slug).fitted_, tmp_path / "labels.db"
    fitted = replace(fitted, n_documents=72)
    make_store(path, [Selection("random", 0.01, 100)] * n_labels)
    sample = read_labelled_sample(path, fitted)
    assert sample.is_training_data == may_be_learned
    assert sample.concerns == (
        (
            f"The model may have been trained on labels in {path}, so all 72 labels are counted "
            "without the model. For narrower intervals, count without these labels, or label other "
            "texts in a new file.",
        )
        if may_be_learned
        else ()
    )


def test_labelled_sample_has_the_weights_of_a_label_database(
    news_slug: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.db"
    make_store(
        path,
        [Selection("random", 0.01, 100), Selection("suggested", 0.05, 100), Selection("imported")],
    )
    sample = read_labelled_sample(path, load(news_slug).fitted_)
    weights = {text: label.weight for text, [label] in sample.labels.items()}
    assert weights == pytest.approx({"loan 0": 1, "loan 1": 0.2})
    assert sample.concerns == (
        f"1 label of texts chosen without a known probability in {path} is ignored.",
    )


def test_labelled_sample_ignores_labels_given_with_a_guess_in_view(
    news_slug: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.db"
    make_store(path, [Selection("random", 0.01, 100)] * 3)
    with LabelStore(path) as store:
        # Earlier versions showed labels that a model contradicted to their coder again.
        assignment = store.assign("Kim", 1, Selection("audit", is_guess_shown=True))
        assert assignment is not None
        store.label(assignment.id, ["bank"], is_guess_shown=True)
        [number] = store.add_documents([NewDocument("id 5", "loan 5")])
        assignment = store.assign("Kim", number, Selection("suggested", 0.05, 100))
        assert assignment is not None
        store.label(assignment.id, ["bank"], is_guess_shown=True)
    sample = read_labelled_sample(path, load(news_slug).fitted_)
    assert {text: label.topics for text, [label] in sample.labels.items()} == {
        f"loan {i}": ("bank",) for i in (1, 2)
    }
    assert sample.concerns == (
        f"2 labels of texts labelled with the model's guess shown in {path} are ignored.",
    )


def test_labelled_sample_without_known_probabilities_is_an_error(
    news_slug: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.db"
    make_store(path, [Selection("imported"), Selection("audit", 0.5, 2)])
    with pytest.raises(DataError, match="no text was drawn at random or with a known probability"):
        read_labelled_sample(path, load(news_slug).fitted_)
