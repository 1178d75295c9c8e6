"""Least squares on an encoder's rows, for several topics a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from slugline.learning.encoder.multilabel import _LeastSquares, fit_multilabel_head
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext

Floats = npt.NDArray[np.float32]


def made(n_rows: int, n_columns: int = 20, n_topics: int = 4) -> tuple[Floats, Any]:
    """Return rows of unit length that tell their topics, and the topics, of which some are rare."""
    rng = np.random.default_rng(n_rows)
    y = (rng.random((n_rows, n_topics)) < np.linspace(0.1, 0.5, n_topics)).astype(np.float32)
    y[0] = 1
    rows = y @ rng.normal(size=(n_topics, n_columns)) + rng.normal(size=(n_rows, n_columns))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), sp.csr_array(y)


def ones(n_rows: int) -> Floats:
    return np.ones(n_rows, dtype=np.float32)


def reference(X: Floats, y: Any, weight: Floats, penalty: float, scale: Any) -> Any:
    """Return weighted ridge regression with an intercept, by the book, as a function of rows."""
    mean, cost = weight @ X / weight.sum(), weight[:, np.newaxis]
    target = y.toarray() - weight @ y.toarray() / weight.sum()
    apart = X.astype(np.float64) - mean
    matrix = apart.T @ (cost * apart) + penalty * np.eye(X.shape[1])
    weights = np.linalg.solve(matrix, apart.T @ (cost * target)) / scale
    return lambda new: (new - mean) @ weights + (weight @ y.toarray() / weight.sum()) / scale


@pytest.mark.parametrize("n_rows", [60, 12], ids=["more rows", "more columns"])
def test_heldout_scores_equal_those_of_a_fit_without_the_row(n_rows: int) -> None:
    X, y = made(n_rows)
    found = _LeastSquares(X, y, ones(n_rows)).heldout_scores(np.arange(n_rows), 0.7)
    mean = y.toarray().mean(axis=0)
    scale = np.sqrt(mean * (1 - mean))
    for row in range(n_rows):
        others = np.delete(np.arange(n_rows), row)
        expected = reference(X[others], y[others], ones(n_rows - 1), 0.7, scale)(X[row])
        np.testing.assert_allclose(
            found[row], expected - mean / scale + 2 * mean - 1, rtol=1e-4, atol=1e-4
        )


def test_solution_equals_ridge_regression() -> None:
    X, y = made(60)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 60).astype(np.float32)
    weights, biases = _LeastSquares(X, y, weight).solution(0.3)
    mean = weight @ y.toarray() / weight.sum()
    scale = np.sqrt(mean * (1 - mean))
    expected = reference(X, y, weight / weight.mean(), 0.3, scale)(X)
    scores = expected - mean / scale + 2 * mean - 1
    np.testing.assert_allclose(X @ weights + biases, scores, rtol=1e-4, atol=1e-5)


def test_solution_takes_a_weight_of_two_for_two_rows() -> None:
    X, y = made(60)
    weight = ones(60)
    weight[:20] = 2
    twice = np.concatenate([np.arange(60), np.arange(20)])
    weighted = _LeastSquares(X, y, weight).solution(0.5 * 60 / 80)
    doubled = _LeastSquares(X[twice], y[twice], ones(80)).solution(0.5)
    for found, expected in zip(weighted, doubled, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_heldout_scores_leave_out_copies_of_the_row() -> None:
    X, y = made(60)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    found = _LeastSquares(X[twice], y[twice], ones(80))
    mean, scale = found._mean, found._spread
    others = np.delete(np.arange(80), [5, 65])
    expected = reference(X[twice[others]], y[twice[others]], ones(78), 0.7, scale)(X[5])
    scores = found.heldout_scores(np.array([5, 65]), 0.7)
    np.testing.assert_allclose(scores, [expected - mean / scale + 2 * mean - 1] * 2, rtol=1e-4)


def test_heldout_scores_of_rows_of_weight_zero_are_predictions() -> None:
    X, y = made(100)
    more = np.concatenate([X, X[:20][:, ::-1]]), sp.vstack([y, 1 - y[:20].toarray()], format="csr")
    weight = np.repeat(np.array([1, 0], dtype=np.float32), [100, 20])
    found, expected = _LeastSquares(*more, weight), _LeastSquares(X, y, ones(100))
    weights, biases = expected.solution(0.5)
    np.testing.assert_allclose(found.solution(0.5)[0], weights, atol=1e-6)
    scores = found.heldout_scores(np.arange(100, 120), 0.5)
    np.testing.assert_allclose(scores, more[0][100:] @ weights + biases, atol=1e-5)


def head_of(X: Floats, y: Any, words: Floats) -> Any:
    """Return the head and the sums for as many documents as there are scores of words."""
    n_rows = len(words)
    left_out = np.arange(n_rows), words
    return fit_multilabel_head(
        X, Labels.from_indicator(y), n_rows, FitContext(y.shape[1]), left_out, np.ones(1, "f4")
    )


def noise(y: Any, signal: float) -> Floats:
    """Return scores of words that tell more or less of the topics."""
    rng = np.random.default_rng(0)
    scores = signal * (2 * y.toarray() - 1) + rng.normal(size=y.shape) - 0.5
    return scores.astype(np.float32)


def test_fit_multilabel_head_favors_the_better_scores() -> None:
    X, y = made(600)
    shares = [head_of(X, y, noise(y, signal))[0].sparse_factor for signal in (0.0, 0.5, 1.0)]
    assert 0 <= shares[0] < 0.1 < shares[1] < shares[2] < 1
    unrelated = np.random.default_rng(1).permutation(X)
    assert head_of(unrelated, y, noise(y, 1.0)) == (None, None)


def test_fit_multilabel_head_returns_heldout_sums_of_both_scores() -> None:
    X, y = made(400)
    words = noise(y, 0.5)
    head, sums = head_of(X, y, words)
    learned = head.sparse_factor * words + X @ head.weights + head.biases
    assert np.corrcoef(sums.ravel(), learned.ravel())[0, 1] > 0.98
    # Those of other rows are as good.
    assert (sums > 0).mean() == pytest.approx((learned > 0).mean(), abs=0.02)


def test_fit_multilabel_head_keeps_an_absent_topic_as_unlikely_as_by_words() -> None:
    X, y = made(200)
    wider = sp.csr_array((y.data, y.indices + 1, y.indptr), shape=(200, 5))
    words = np.hstack([np.full((200, 1), -10, dtype=np.float32), noise(y, 0.3)])
    head, sums = head_of(X, wider, words)
    absent = head.sparse_factor * words[:, :1] + X @ head.weights[:, :1] + head.biases[:1]
    np.testing.assert_allclose(absent, -10, rtol=1e-5)
    assert head.calibration.proba(sums)[:, 0].max() < 1e-3
    known = head_of(X, y, words[:, 1:])[0]
    np.testing.assert_array_equal(head.weights[:, 1:], known.weights)
    np.testing.assert_array_equal(head.calibration.slopes[1:], known.calibration.slopes)


def test_fit_multilabel_head_recognizes_a_described_topic() -> None:
    X, y = made(800, n_columns=40, n_topics=6)
    has_topic = y.toarray() > 0
    means = np.stack([X[has_topic[:, t]].mean(axis=0) for t in range(6)]) - X.mean(axis=0)
    described = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    hidden = y.toarray()
    hidden[:, 0] = 0
    labels = sp.csr_array(np.concatenate([hidden, np.eye(6)]).astype(np.float32))
    words = noise(labels[:800], 0.3)
    words[:, 0] = -10
    head, sums = head_of(np.concatenate([X, described]), labels, words)
    scores = (head.sparse_factor * words + X @ head.weights + head.biases)[:, 0]
    np.testing.assert_allclose(sums[:, 0], scores, atol=1e-4)
    proba, is_new = head.calibration.proba(sums)[:, 0], has_topic[:, 0]
    assert proba[is_new].mean() > proba[~is_new].mean() + 0.2


def test_fit_multilabel_head_without_rows_or_topics_returns_none() -> None:
    X, y = made(10)
    nothing = np.zeros((10, 4), dtype=np.float32)
    left_out = np.arange(0), nothing[:0]
    of_nothing = fit_multilabel_head(
        X, Labels.from_indicator(y), 10, FitContext(4), left_out, np.ones(1, "f4")
    )
    assert of_nothing == (None, None)
    assert head_of(X, sp.csr_array(nothing), nothing) == (None, None)
