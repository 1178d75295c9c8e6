"""Scores to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import special

from slugline.calibration import best_sharpness, log_softmax, softmax

SCORES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(SCORES)
def test_both_equal_scipys_in_float64(scores: np.ndarray) -> None:
    exact = scores.astype(np.float64)
    np.testing.assert_allclose(softmax(scores), special.softmax(exact, axis=1), 1e-4, 1e-30)
    np.testing.assert_allclose(
        log_softmax(scores), special.log_softmax(exact, axis=1), rtol=1e-5, atol=1e-5
    )


@given(SCORES)
def test_rows_sum_to_1_stay_float32_and_leave_the_scores_alone(scores: np.ndarray) -> None:
    before = scores.copy()
    proba = softmax(scores)
    assert proba.dtype == log_softmax(scores).dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert np.array_equal(scores, before)


def test_the_log_of_a_hopeless_topic_is_finite() -> None:
    scores = np.array([[0, -500]], dtype=np.float32)
    assert softmax(scores).tolist() == [[1, 0]]
    assert log_softmax(scores).tolist() == [[0, -500]]


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_no_rows_give_no_rows(function: object) -> None:
    assert function(np.zeros((0, 3), dtype=np.float32)).shape == (0, 3)  # type: ignore[operator]


@pytest.mark.filterwarnings("error")
def test_infinite_scores_are_taken_for_very_large_ones() -> None:
    inf = np.float32(np.inf)
    largest = np.finfo(np.float32).max
    scores = np.array(
        [[inf, 0], [-inf, 0], [-inf, -inf], [inf, inf], [inf, -inf], [largest, -largest]],
        dtype=np.float32,
    )
    assert softmax(scores).tolist() == [[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]]


# Sharpness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_the_best_sharpness_makes_the_weighted_loss_least(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 4)).astype(np.float32)
    y = np.where(rng.random(200) < 0.6, scores.argmax(axis=1), rng.integers(4, size=200))
    weights = rng.random(200).astype(np.float32) ** 4 if weighted else None

    def loss(sharpness: float) -> float:
        log_proba = special.log_softmax(sharpness * scores.astype(np.float64), axis=1)
        return float(np.average(-log_proba[np.arange(200), y], weights=weights))

    grid = np.geomspace(0.2, 40, 1000)
    assert best_sharpness(scores, y, weights) == pytest.approx(min(grid, key=loss), rel=0.02)


def test_sharpness_has_bounds_where_all_topics_are_right_or_all_are_wrong() -> None:
    scores = np.eye(3, dtype=np.float32)
    assert 10 < best_sharpness(scores, np.arange(3)) < 55
    assert 1 / 8 < best_sharpness(scores, np.array([1, 2, 0])) < 1 / 7
