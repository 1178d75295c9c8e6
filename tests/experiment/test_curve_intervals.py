"""Intervals of learning curves hold the expected score, with other documents of either kind."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from slugline.evaluation.intervals import wilson
from slugline.experiment.curve_intervals import DrawScores, curve_intervals, f1_scores

SIZES, N_TRAIN, N_TEST, N_DRAWS = (20, 50, 100, 200), 240, 150, 5


def study(rng: np.random.Generator, spread: float) -> list[DrawScores]:
    """Return a study in which a draw's score is a mean of effects of its documents.

    A model is right where its effect and the test document's sum are over a random number; the
    expected score is 0.7 at each point.
    """
    effects = rng.normal(0, spread, N_TRAIN)
    easiness = rng.normal(0, 0.1, N_TEST)
    points = []
    for size in (*SIZES, N_TRAIN):
        scores = DrawScores(N_TRAIN)
        for _ in range(1 if size == N_TRAIN else N_DRAWS):
            drawn = rng.permutation(N_TRAIN)[:size]
            chance = np.clip(0.7 + effects[drawn].mean() + easiness, 0, 1)
            scores.add(drawn, (rng.random(N_TEST) < chance).astype(np.float64))
        points.append(scores)
    return points


@pytest.mark.parametrize("spread", [0, 0.3, 0.8])
def test_curve_intervals_cover_the_expected_score_in_95_of_100(spread: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        intervals = curve_intervals(study(rng, spread))
        held.append([i is not None and i.low <= 0.7 <= i.high for i in intervals])
    coverage = np.mean(held, axis=0)
    assert 0.93 < coverage.mean() < 0.98
    assert coverage.min() > 0.9
    assert coverage[-1] > 0.93  # all documents, of which there is a single fit


def test_curve_intervals_of_equal_draws_are_not_too_narrow() -> None:
    rng = np.random.default_rng(0)
    is_right = (rng.random(N_TEST) < 0.7).astype(np.float64)
    points = []
    for size in SIZES:  # all draws are the same, as if they shared all that counts
        scores = DrawScores(N_TRAIN)
        for _ in range(N_DRAWS):
            scores.add(rng.permutation(N_TRAIN)[:size], is_right)
        points.append(scores)
    alone = wilson(is_right.sum(), N_TEST)
    for interval in curve_intervals(points):
        assert interval == pytest.approx(alone, abs=0.002)


def test_overlap_is_the_fraction_of_common_documents() -> None:
    scores = DrawScores(10)
    assert scores.overlap == 1
    for drawn in ([0, 1, 2, 3], [2, 3, 4, 5], [6, 7, 8, 9]):
        scores.add(np.array(drawn), np.array([1.0, 1.0, 0.0, 0.0]))
    assert scores.overlap == pytest.approx((2 + 0 + 0) / 3 / 4)


def test_variances_are_those_of_a_two_way_analysis() -> None:
    rng = np.random.default_rng(0)
    table = (rng.random((4, 30)) < 0.6).astype(np.float64)
    scores = DrawScores(100)
    for row in table:
        scores.add(rng.permutation(100)[:20], row)
    residuals = table - table.mean(axis=1)[:, None] - table.mean(axis=0) + table.mean()
    assert scores.draw_variance() == pytest.approx(table.mean(axis=1).var(ddof=1))
    assert scores.interaction_variance() == pytest.approx((residuals**2).sum() / (3 * 29) / 30)
    assert scores.test_variance() == pytest.approx(table.mean(axis=0).var(ddof=1) / 30)


def test_curve_intervals_without_mistakes_are_wilson_intervals() -> None:
    points = []
    for size in (10, 20, 40):
        scores = DrawScores(50)
        for first in (0, 5, 10):
            scores.add(np.arange(first, first + size), np.ones(25))
        points.append(scores)
    assert curve_intervals(points) == [wilson(25, 25)] * 3


def test_curve_intervals_of_two_draws_are_none() -> None:
    points = study(np.random.default_rng(0), 0.3)
    for point in points:
        del point.drawn[2:], point.scores[2:]
    assert curve_intervals(points) == [None] * 5


def test_f1_scores_have_the_mean_and_spread_of_micro_f1() -> None:
    rng = np.random.default_rng(0)
    true, given = rng.random((2, 4000, 6)) < np.array([[[0.3]], [[0.4]]])
    parts = [part.sum(axis=1).astype(np.float64) for part in (true & given, given, true)]
    scores = f1_scores(*parts)
    assert scores.mean() == pytest.approx(f1_score(true, given, average="micro"))
    rows = [rng.integers(0, 4000, 4000) for _ in range(200)]
    resampled = [f1_score(true[row], given[row], average="micro") for row in rows]
    assert scores.std() / np.sqrt(4000) == pytest.approx(np.std(resampled), rel=0.15)
    assert f1_scores(*np.zeros((3, 5))).tolist() == [0] * 5
