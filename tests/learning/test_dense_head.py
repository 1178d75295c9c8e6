"""The linear classifier on dense columns: its closed forms, its choices, its odd cases."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from slugline.learning.encoder import fit
from slugline.learning.encoder.fit import PENALTIES, _DiscriminantAnalysis, fit_dense_head

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def made(n_rows: int, n_columns: int, n_topics: int, noise: float = 1.0) -> tuple[Floats, Labels]:
    """Return rows of unit length around a centre for each topic, and their topics."""
    rng = np.random.default_rng(n_rows)
    y = rng.permutation(np.arange(n_rows) % n_topics)
    X = rng.normal(size=(n_topics, n_columns))[y] + noise * rng.normal(size=(n_rows, n_columns))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def reference(
    X: Floats, y: Labels, n_topics: int, penalty: float
) -> Callable[[Floats], npt.NDArray[np.float64]]:
    """Return the scores of discriminant analysis, by the book."""
    rows = X.astype(np.float64)
    means = np.stack([rows[y == topic].mean(axis=0) for topic in range(n_topics)])
    apart = rows - means[y]
    inverse = np.linalg.inv((apart.T @ apart + penalty * np.eye(X.shape[1])) / len(y))
    biases = 0.5 * np.log(np.bincount(y)) - 0.5 * np.einsum("ki,ij,kj->k", means, inverse, means)
    return lambda new: new.astype(np.float64) @ inverse @ means.T + biases


def shape(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return scores less what makes no difference: each row's mean, and a factor on all."""
    centred = scores.astype(np.float64) - scores.mean(axis=1, keepdims=True)
    return centred / np.abs(centred).max()


@pytest.mark.parametrize("n_rows", [200, 12], ids=["more rows", "more columns"])
def test_fit_dense_head_equals_discriminant_analysis(n_rows: int) -> None:
    X, y = made(n_rows, 20, 4)
    found = fit_dense_head(X, y, 4, penalties=[0.3])
    new, _ = made(50, 20, 4)
    expected = reference(X, y, 4, 0.3)(new)
    np.testing.assert_allclose(
        shape(new @ found.weights + found.biases), shape(expected), atol=1e-5
    )


@pytest.mark.parametrize("n_rows", [60, 12], ids=["more rows", "more columns"])
def test_heldout_scores_equal_those_of_a_fit_without_the_group(n_rows: int) -> None:
    X, y = made(n_rows, 20, 4)
    found = _DiscriminantAnalysis(X, y, np.ones(n_rows), 4)
    for group in fit._groups(y, np.arange(n_rows)):
        rest = np.setdiff1d(np.arange(n_rows), group)
        expected = reference(X[rest], y[rest], 4, 0.7)(X[group])
        left_out = found.heldout_scores(group[np.newaxis], [0.7])[0]
        np.testing.assert_allclose(
            left_out - left_out.mean(axis=1, keepdims=True),
            expected - expected.mean(axis=1, keepdims=True),
            rtol=1e-4,
            atol=1e-3,
        )


def test_discriminant_analysis_takes_a_weight_of_two_for_two_rows() -> None:
    X, y = made(60, 20, 4)
    weight = np.ones(60, dtype=np.float32)
    weight[:20] = 2
    twice = np.concatenate([np.arange(60), np.arange(20)])
    weighted = _DiscriminantAnalysis(X, y, weight.astype(np.float64), 4).solution(0.5)
    doubled = _DiscriminantAnalysis(X[twice], y[twice], np.ones(80), 4).solution(0.5)
    for found, expected in zip(weighted, doubled, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_groups_hold_each_row_once_and_one_row_per_topic() -> None:
    y = np.array([0] * 300 + list(range(1, 400)))
    rows = np.arange(len(y))[::2]
    groups = fit._groups(y, rows)
    assert sorted(np.concatenate(groups)) == rows.tolist()
    assert max(map(len, groups)) <= 128
    assert all(len(set(y[group])) == len(group) for group in groups)


def test_fit_dense_head_gives_round_clouds_a_larger_penalty() -> None:
    X, y = made(400, 20, 4, 2.0)
    long = X.copy()
    long[:, :3] += 5 * np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    long /= np.linalg.norm(long, axis=1, keepdims=True)
    penalties = [fit_dense_head(rows, y, 4).penalty for rows in (long, X)]
    assert PENALTIES[0] <= penalties[0] < penalties[1] <= PENALTIES[-1]


def test_fit_dense_head_heldout_scores_predict_the_accuracy_on_new_rows() -> None:
    X, y = made(2000, 30, 5, 2.0)
    found = fit_dense_head(X[:500], y[:500], 5)
    heldout = (found.scores.argmax(axis=1) == y[:500]).mean()
    new = ((X[500:] @ found.weights + found.biases).argmax(axis=1) == y[500:]).mean()
    assert heldout == pytest.approx(new, abs=0.04)


def test_fit_dense_head_scores_rows_of_weight_zero_without_learning() -> None:
    X, y = made(100, 10, 3)
    weight = np.ones(120, dtype=np.float32)
    weight[100:] = 0
    X_more = np.concatenate([X, X[:20][:, ::-1]])
    y_more = np.concatenate([y, (y[:20] + 1) % 3])
    found, expected = fit_dense_head(X_more, y_more, 3, weight), fit_dense_head(X, y, 3)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)
    scores = X_more[100:] @ found.weights + found.biases
    np.testing.assert_allclose(found.scores[100:], scores, atol=1e-6)


def test_fit_dense_head_never_predicts_a_topic_without_rows() -> None:
    X, y = made(60, 10, 3)
    found = fit_dense_head(X, np.array([0, 2, 3])[y], 5)
    assert set((X @ found.weights + found.biases).argmax(axis=1)) <= {0, 2, 3}
    assert set(found.scores.argmax(axis=1)) <= {0, 2, 3}


def test_fit_dense_head_always_predicts_a_single_topic() -> None:
    X, _ = made(6, 10, 3)
    found = fit_dense_head(X, np.full(6, 1), 3)
    assert (found.scores.argmax(axis=1) == 1).all()
    assert ((X @ found.weights + found.biases).argmax(axis=1) == 1).all()


@pytest.mark.parametrize("n_topics", [2, 300])
def test_fit_dense_head_of_one_row_per_topic_is_finite(n_topics: int) -> None:
    X, _ = made(n_topics, 16, n_topics)
    found = fit_dense_head(X, np.arange(n_topics), n_topics)
    assert np.isfinite(found.scores).all()
    assert ((X @ found.weights).argmax(axis=1) == np.arange(n_topics)).mean() > 0.5


@pytest.mark.parametrize("row", [0.0, 0.25], ids=["zeros", "the same"])
def test_fit_dense_head_of_equal_rows_is_finite(row: float) -> None:
    X = np.full((40, 16), row, dtype=np.float32)
    found = fit_dense_head(X, np.arange(40) % 4, 4)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.weights).all()


def test_fit_dense_head_measures_many_rows_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = made(1000, 10, 4, 2.0)
    full = fit_dense_head(X, y, 4)
    monkeypatch.setattr(fit, "_MAX_HELD_OUT", 200)
    monkeypatch.setattr(fit, "_ROWS_AT_A_TIME", 64)
    part = fit_dense_head(X, y, 4, penalties=[full.penalty])
    np.testing.assert_allclose(shape(part.weights), shape(full.weights), atol=1e-5)
    assert len(fit_dense_head(X, y, 4).scores) == 1000


def test_fit_dense_head_holds_the_scores_of_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_best_penalty", lambda *_: (1.0, 1.0, None))
    X, y = made(4000, 8, 500)
    tracemalloc.start()
    try:
        found = fit_dense_head(X, y, 500)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * found.scores.nbytes
