"""Held-out predictions: what is kept of them, and what can be rebuilt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError
from slugline.learning.labels import Labels
from slugline.learning.net.learner import NeuralLearner
from slugline.model.heldout import MAX_PREDICTIONS, HeldOutPredictions, from_arrays, to_arrays

RNG = np.random.default_rng(0)
WORDS = {"grain": "wheat corn crop", "earn": "profit loss net", "metal": "zinc tin copper"}


def documents(n: int) -> tuple[list[str], list[str]]:
    """Return texts that differ and their topics, some of them wrong."""
    rng = np.random.default_rng(1)
    topics = [list(WORDS)[i] for i in rng.integers(3, size=n)]
    texts = [f"{' '.join(rng.choice(WORDS[t].split(), 2))} {i}" for i, t in enumerate(topics)]
    wrong = rng.random(n) < 0.1
    return texts, ["grain" if w else t for w, t in zip(wrong, topics, strict=True)]


def predictions_of(model: TopicClassifier) -> HeldOutPredictions:
    predictions = model.fitted_.heldout_predictions
    assert predictions is not None
    return predictions


def random_proba(n_documents: int, n_topics: int, concentration: float = 0.05) -> np.ndarray:
    return RNG.dirichlet(np.full(n_topics, concentration), n_documents).astype(np.float32)


# Rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fit", "fit_stream", "cross-validation"])
def test_heldout_rows_are_those_of_the_training_documents(how: str) -> None:
    texts, topics = documents(900)
    if how == "fit_stream":
        model = TopicClassifier(n_jobs=1).fit_stream(
            [(texts[:250], topics[:250]), (texts[250:], topics[250:])]
        )
    elif how == "fit":
        model = TopicClassifier().fit(texts, topics)
    else:
        net = NeuralLearner((4,), epochs=2)
        model = TopicClassifier(learner=net, min_precision=0.5).fit(texts, topics)
    predictions = predictions_of(model)
    assert predictions.rows is not None
    assert (np.diff(predictions.rows) > 0).all()
    names = [topics[row] for row in predictions.rows.tolist()]
    assert model.fitted_.topics.encode(names).tolist() == predictions.labels.topics.tolist()


def test_heldout_rows_of_several_topics_are_those_of_training(tmp_path: Path) -> None:
    texts, topics = documents(600)
    sets = [(topic, "even") if i % 2 == 0 else (topic,) for i, topic in enumerate(topics)]
    TopicClassifier().fit(texts, sets).save(tmp_path / "a.slug")
    model = load(tmp_path / "a.slug")
    predictions = predictions_of(model)
    assert predictions.rows is not None
    indicator = predictions.labels.indicator(4) > 0
    for row, given in zip(predictions.rows.tolist(), indicator, strict=True):
        assert {model.fitted_.topics.names[i] for i in np.flatnonzero(given)} == {*sets[row]}


# Counts of topics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fit", "fit_stream", "partial_fit"])
def test_topic_counts_are_those_of_the_training_documents(how: str, tmp_path: Path) -> None:
    texts, topics = documents(400)
    model: Any = TopicClassifier(n_jobs=1)
    if how == "fit_stream":
        model.fit_stream([(texts[:250], topics[:250]), (texts[250:], topics[250:])])
    elif how == "fit":
        model.fit(texts, topics)
    else:
        model.partial_fit(texts[:150], topics[:150], classes=[*WORDS])
        model.partial_fit(texts[150:], topics[150:])
    model.save(tmp_path / "a.slug")
    loaded = load(tmp_path / "a.slug")
    expected = [topics.count(str(name)) for name in loaded.fitted_.topics.names]
    assert loaded.fitted_.topic_counts.tolist() == expected
    assert list(loaded.info_.topic_counts) == expected


# Probabilities ------------------------------------------------------------------------------------


def test_dense_proba_is_close_to_the_predictions() -> None:
    proba = random_proba(500, 20)
    labels = Labels.from_topics(proba.argmax(axis=1))
    predictions = HeldOutPredictions.from_proba(proba, labels, np.arange(500))
    dense = predictions.dense_proba()
    np.testing.assert_allclose(dense.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(dense, proba, rtol=0.05, atol=2e-3)
    assert predictions.probabilities.tolist() == proba.max(axis=1).tolist()
    assert predictions.right.all()


def test_dense_proba_of_several_topics_keeps_their_means() -> None:
    proba = RNG.beta(0.05, 2, size=(3000, 40)).astype(np.float32)
    labels = Labels.from_topics(np.zeros(3000, dtype=np.int64))
    labels = Labels(labels.topics, labels.starts, multilabel=True)
    predictions = HeldOutPredictions.from_decisions(proba, labels, None)
    assert len(predictions.proba.levels) < proba.size / 2
    np.testing.assert_allclose(
        predictions.dense_proba().mean(axis=0), proba.mean(axis=0), rtol=0.005
    )


def test_from_decisions_keeps_the_likely_topics_in_any_order_of_rows() -> None:
    proba = RNG.beta(0.2, 1, size=(200, 5)).astype(np.float32)
    sets = Labels.from_indicator(sp.csr_array(RNG.random((200, 5)) < 0.3))
    rows = RNG.permutation(200)
    shuffled = HeldOutPredictions.from_decisions(proba[rows], sets.take(rows), rows)
    ordered = HeldOutPredictions.from_decisions(proba, sets, np.arange(200))
    assert shuffled.probabilities.min() >= 0.25
    np.testing.assert_array_equal(shuffled.probabilities, ordered.probabilities)
    np.testing.assert_array_equal(shuffled.right, ordered.right)


def reestimated_priors(proba: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Return class priors by expectation maximisation (Saerens et al., 2002)."""
    new = priors
    for _ in range(100):
        posterior = proba * (new / priors)
        new = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
    return new


def test_reestimated_priors_of_kept_predictions_are_close_to_those_of_all() -> None:
    proba = random_proba(4000, 30, 0.1)
    topics = np.array([RNG.choice(30, p=row / row.sum()) for row in proba.astype(np.float64)])
    predictions = HeldOutPredictions.from_proba(proba, Labels.from_topics(topics), None)
    priors = np.bincount(topics, minlength=30) / len(topics)
    shifted = RNG.random(4000) < np.where(topics < 10, 1, 0.2)
    expected = reestimated_priors(proba[shifted], priors)
    found = reestimated_priors(predictions.dense_proba()[shifted], priors)
    assert np.abs(found - expected).max() < 1e-3


def test_from_proba_limits_documents_and_probabilities() -> None:
    proba = random_proba(3 * MAX_PREDICTIONS, 60, 1.0)
    labels = Labels.from_topics(np.zeros(len(proba), dtype=np.int64))
    predictions = HeldOutPredictions.from_proba(proba, labels, np.arange(len(proba)))
    assert predictions.n_documents == MAX_PREDICTIONS
    assert 39_900 < len(predictions.proba.levels) <= 40_000
    several = Labels(labels.topics, labels.starts, multilabel=True)
    predictions = HeldOutPredictions.from_decisions(np.sqrt(proba), several, None)
    assert predictions.n_candidates < 21_000
    again = from_arrays(
        to_arrays(predictions),
        n_documents=len(proba),
        n_topics=60,
        multilabel=True,
        words=None,
        precision=None,
    )
    np.testing.assert_array_equal(again.dense_proba(), predictions.dense_proba())
    np.testing.assert_array_equal(again.right, predictions.right)


@pytest.mark.parametrize("name", ["labels", "topics"])
def test_from_arrays_rejects_a_topic_that_does_not_exist(name: str) -> None:
    proba = random_proba(50, 6)
    labels = Labels.from_topics(proba.argmax(axis=1))
    several = Labels(labels.topics, labels.starts, multilabel=True)
    arrays = to_arrays(HeldOutPredictions.from_decisions(proba, several, None))
    arrays[name][-1] = 6
    with pytest.raises(DataError, match="unknown topic numbers"):
        from_arrays(arrays, n_documents=50, n_topics=6, multilabel=True, words=None, precision=None)
