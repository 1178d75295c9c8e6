"""Held-out scores of topics: by words, by their frequencies, and by vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from labelled_texts import labelled
from slugline.auditing import scores
from slugline.auditing.evidence import number_identical
from slugline.auditing.scores import (
    DocumentRows,
    assign_folds,
    frequency_scores,
    heldout_scores,
    vector_factor,
    vector_scores,
)
from slugline.learning.calibration import spread
from slugline.learning.encoder.class_sums import ClassSums
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features


def test_assign_folds_keeps_copies_together() -> None:
    texts, topics, _ = labelled(60, 0)
    groups = number_identical(texts + texts[:20])
    y = np.array([["bank", "grain", "sport"].index(topic) for topic in topics + topics[:20]])
    folds = assign_folds(Labels.from_topics(y), groups, 0)
    assert (folds[60:] == folds[:20]).all()
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}


def test_frequency_scores_are_those_of_naive_bayes() -> None:
    from sklearn.naive_bayes import MultinomialNB

    texts, topics, _ = labelled(90, 6)
    # The third topic has few documents, all of them short.
    texts = [text[: 20 if n % 3 == 2 else 200] for n, text in enumerate(texts) if n % 9 != 2][:60]
    topics = [topic for n, topic in enumerate(topics) if n % 9 != 2][:60]
    X = Features([FeatureGroup("words")], 1).fit_transform(texts)
    y = np.array([["bank", "grain", "sport"].index(topic) for topic in topics])
    folds = np.arange(60) % 5
    expected = np.zeros((60, 3))
    for fold in range(5):
        bayes = MultinomialNB(alpha=0.01, fit_prior=False).fit(X[folds != fold], y[folds != fold])
        expected[folds == fold] = bayes.predict_joint_log_proba(X[folds == fold])
    expected -= expected.mean(axis=1, keepdims=True)
    found = frequency_scores(X, Labels.from_topics(y), 3, folds)
    np.testing.assert_allclose(found, 0.1 * expected / expected.std(), atol=1e-4)
    assert not frequency_scores(
        X, Labels.from_topics(np.zeros(60, dtype=np.int64)), 1, folds % 3
    ).any()


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_heldout_scores_are_the_mean_of_three_rounds(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[tuple[Any, ...]] = []

    def score(X: Any, y: Any, context: Any, folds: Any, is_used: Any, passes: int) -> Any:
        rounds.append((X, folds.tolist(), is_used.tolist(), passes))
        return np.full((len(y), context.n_topics), 3.0 ** len(rounds), dtype=np.float32)

    def score_vectors(vectors: Any, y: Any, n_topics: int, folds: Any, is_used: Any) -> Any:
        assert (folds.tolist(), is_used.tolist()) == rounds[-1][1:3]
        return np.full((len(y), n_topics), 5.0 ** len(rounds), dtype=np.float32)

    monkeypatch.setattr(scores, "scores_in_folds", score)
    monkeypatch.setattr(scores, "vector_scores", score_vectors)
    monkeypatch.setattr(scores, "vector_factor", lambda *_: np.float32(factor))
    monkeypatch.setattr(
        scores, "frequency_scores", lambda X, y, n, folds: np.ones((len(y), n), np.float32)
    )
    terms = sp.csr_array(np.eye(10, dtype=np.float32))
    leads = sp.csr_array((10, 2), dtype=np.float32)
    vectors = np.ones((10, 1), dtype=np.float32) if factor else None
    y, groups, is_judged = np.arange(10) % 2, np.arange(10), np.ones(10, dtype=bool)
    so_far: list[float] = []

    def suspects(scores: np.ndarray) -> np.ndarray:
        so_far.append(float(scores[0, 0]))
        return np.arange(10) < len(so_far)

    begun: list[int] = []
    heldout = heldout_scores(
        DocumentRows(terms, leads, vectors),
        Labels.from_topics(y),
        FitContext(2, seed=4),
        groups,
        is_judged,
        suspects,
        begun.append,
    )

    assert begun == [0, 1, 2]
    assert [rows is terms for rows, *_ in rounds] == [True, False, True]
    assert rounds[1][0] is leads
    assert [folds for _, folds, _, _ in rounds] == [
        assign_folds(Labels.from_topics(y), groups, seed).tolist() for seed in (4, 5, 6)
    ]
    assert [is_used.count(False) for _, _, is_used, _ in rounds] == [0, 1, 2]
    assert {passes for *_, passes in rounds} == {1}
    assert so_far == [3 + factor * 5 + 1, (3 + 9) / 2 + factor * (5 + 25) / 2 + 1]
    np.testing.assert_allclose(heldout, (3 + 9 + 27 + factor * (5 + 25 + 125)) / 3 + 1, rtol=1e-6)


# Vectors ----------------------------------------------------------------------------------------


def vectors_by_topic(y: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return rows of unit length that are near an axis of their topic."""
    rows = np.random.default_rng(seed).normal(0, 0.3, (len(y), 8)).astype(np.float32)
    rows[np.arange(len(y)), y] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_vector_scores_are_those_of_the_other_folds() -> None:
    y, folds = np.arange(60) % 3, np.arange(60) % 5
    vectors = vectors_by_topic(y)
    vectors[7] = 0
    is_used = np.arange(60) != 9
    expected = np.zeros((60, 3), dtype=np.float32)
    for fold in range(5):
        train = (folds != fold) & is_used & (np.arange(60) != 7)
        weights, biases = ClassSums.from_rows(vectors[train], y[train], 3).solve(3.0)
        expected[folds == fold] = vectors[folds == fold] @ weights + biases
    expected -= expected.mean(axis=1, keepdims=True)
    expected[7] = 0
    heldout = vector_scores(vectors, y, 3, folds, is_used)
    np.testing.assert_allclose(heldout, expected, atol=1e-4)
    assert (heldout.argmax(axis=1) == y)[vectors.any(axis=1)].mean() > 0.9


def test_vector_scores_are_0_without_known_words_in_other_folds() -> None:
    y, folds = np.arange(10) % 2, np.arange(10) % 5
    vectors = np.zeros((10, 4), dtype=np.float32)
    vectors[0, 0] = 1
    assert not vector_scores(vectors, y, 2, folds, np.ones(10, dtype=bool))[0].any()
    assert not vector_scores(0 * vectors, y, 2, folds, np.ones(10, dtype=bool)).any()


def scores_of(y: np.ndarray, strength: float, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0, 1, (len(y), 3)).astype(np.float32)
    drawn[np.arange(len(y)), y] += np.float32(strength)
    return drawn - drawn.mean(axis=1, keepdims=True)


def test_vector_factor_is_0_if_vectors_say_nothing() -> None:
    y, rows = np.arange(900) % 3, np.arange(900)
    by_terms = scores_of(y, 2, 0)
    assert vector_factor(by_terms, scores_of(y, 0, 1), y, rows) == 0
    assert vector_factor(by_terms, np.zeros_like(by_terms), y, rows) == 0
    assert vector_factor(by_terms, scores_of(y, 2, 1), y, rows[:0]) == 0


def test_vector_factor_grows_with_what_vectors_know() -> None:
    y, rows = np.arange(900) % 3, np.arange(900)
    by_terms = scores_of(y, 2, 0)
    weak, strong = scores_of(y, 1, 1), scores_of(y, 3, 1)
    added = [vector_factor(by_terms, part, y, rows) * spread(part) for part in (weak, strong)]
    # Their spread over topics is at most that of the scores of words.
    assert 0 < added[0] < added[1] == pytest.approx(spread(by_terms))
