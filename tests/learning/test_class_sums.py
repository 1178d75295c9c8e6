"""Sums over rows from which a discriminant analysis is computed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from slugline.base.arrays import F32, I64
from slugline.learning.encoder.class_sums import ClassSums
from slugline.learning.encoder.fit import fit_dense_head

N_TOPICS = 3


def rows(n: int, seed: int = 0) -> tuple[F32, I64]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, N_TOPICS, n)
    X = rng.standard_normal((n, 8)) + 2 * np.eye(8)[y]
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def test_solve_agrees_with_the_head_that_leaves_out_rows() -> None:
    X, y = rows(300)
    head = fit_dense_head(X, y, N_TOPICS, penalties=(3.0,))
    weights, biases = ClassSums.from_rows(X, y, N_TOPICS).solve(3.0)
    scores, expected = X @ weights + biases, X @ head.weights + head.biases
    # The head is multiplied by a factor that suits held-out rows.
    factor = scores[0, 0] / expected[0, 0]
    np.testing.assert_allclose(scores, factor * expected, rtol=1e-3, atol=1e-3)


def test_solve_without_a_penalty_is_linear_discriminant_analysis() -> None:
    X, y = rows(300)
    weights, _ = ClassSums.from_rows(X, y, N_TOPICS).solve(1e-9)
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y).coef_.T
    difference = (weights - weights[:, :1])[:, 1:]
    np.testing.assert_allclose(difference, (expected - expected[:, :1])[:, 1:], rtol=1e-3)


@pytest.mark.parametrize("sizes", [(300,), (1, 299), (100, 100, 100)], ids=str)
def test_sums_of_parts_are_those_of_all_rows(sizes: tuple[int, ...]) -> None:
    X, y = rows(300)
    weight = np.random.default_rng(1).random(300).astype(np.float32)
    total, start = ClassSums.empty(N_TOPICS, 8), 0
    for size in sizes:
        part = slice(start, start + size)
        total += ClassSums.from_rows(X[part], y[part], N_TOPICS, weight[part])
        start += size
    once = ClassSums.from_rows(X, y, N_TOPICS, weight)
    for found, expected in zip(total.solve(1.0), once.solve(1.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert total.n_rows == 300


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_sums_without_weights_have_the_same_bits_for_any_parts_and_order(size: int) -> None:
    X, y = rows(5000)
    order = np.random.default_rng(1).permutation(5000)
    total = ClassSums.empty(N_TOPICS, 8)
    for start in range(0, 5000, size):
        part = order[start : start + size]
        total += ClassSums.from_rows(X[part], y[part], N_TOPICS)
    once = ClassSums.from_rows(X, y, N_TOPICS)
    for name in ("totals", "sums", "products"):
        np.testing.assert_array_equal(getattr(total, name), getattr(once, name))


def test_subtracting_rows_leaves_the_sums_of_the_others() -> None:
    X, y = rows(300)
    others = ClassSums.from_rows(X, y, N_TOPICS) - ClassSums.from_rows(X[:100], y[:100], N_TOPICS)
    expected = ClassSums.from_rows(X[100:], y[100:], N_TOPICS)
    assert others.n_rows == 200
    for name in ("totals", "sums", "products"):
        np.testing.assert_array_equal(getattr(others, name), getattr(expected, name))


def test_restore_returns_the_sums_of_a_file() -> None:
    X, y = rows(300)
    sums = ClassSums.from_rows(X, y, N_TOPICS)
    restored = ClassSums.restore(300, sums.arrays(), (N_TOPICS, 8))
    for name in ("totals", "sums", "products"):
        np.testing.assert_allclose(getattr(restored, name), getattr(sums, name), rtol=1e-6)


def test_rows_of_weight_two_count_as_two_rows() -> None:
    X, y = rows(50)
    twice = ClassSums.from_rows(X, y, N_TOPICS, np.full(50, 2, np.float32))
    repeated = ClassSums.from_rows(np.tile(X, (2, 1)), np.tile(y, 2), N_TOPICS)
    np.testing.assert_allclose(twice.products, repeated.products, rtol=1e-6)
    np.testing.assert_allclose(twice.sums, repeated.sums, rtol=1e-4)
    # The penalty is for a mean weight of 1, so that the scale of weights makes no difference.
    once = ClassSums.from_rows(X, y, N_TOPICS)
    np.testing.assert_allclose(twice.solve(1.0)[0], once.solve(1.0)[0], rtol=1e-4)


def test_solve_gives_topics_without_rows_the_lowest_score() -> None:
    X, y = rows(60)
    weights, biases = ClassSums.from_rows(X, 2 * y, 6).solve(3.0)
    scores = X @ weights + biases
    assert (scores[:, [1, 3, 5]].max(axis=1) < scores[:, [0, 2, 4]].min(axis=1)).all()
