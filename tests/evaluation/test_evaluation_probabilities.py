"""What probabilities are worth: against scikit-learn's figures, with ties and unknown topics."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from slugline.errors import DataError
from slugline.evaluation.evaluation import Evaluation, ScoredPredictions
from slugline.evaluation.intervals import wilson
from slugline.evaluation.probabilities import (
    calibration_error,
    chance_error,
    coverage_curve,
    reliability_curve,
)

TOPICS = ["acq", "earn", "grain", "zinc"]
seeds = st.integers(0, 10_000)


def random_case(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, n), rng.dirichlet(np.ones(4), n)


def of(y: np.ndarray, proba: np.ndarray) -> Evaluation:
    return Evaluation.from_probabilities(TOPICS, y, proba)


@given(seeds)
def test_scores_equal_those_of_scikit_learn(seed: int) -> None:
    y, proba = random_case(seed)
    ours = of(y, proba)
    assert ours.brier_score == pytest.approx(((proba - np.eye(4)[y]) ** 2).sum(axis=1).mean())
    for k in (1, 2, 3):
        expected = metrics.top_k_accuracy_score(y, proba, k=k, labels=range(4))
        assert ours.top_k(k) == pytest.approx(expected)
    assert ours.top_k(4) == 1
    assert ours.weighted_f1 == pytest.approx(
        metrics.f1_score(y, proba.argmax(axis=1), average="weighted")
    )


@given(seeds)
def test_brier_score_of_two_topics_is_twice_that_of_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.random(30), rng.integers(0, 2, 30)
    ours = Evaluation.from_probabilities(["a", "b"], y, np.stack([1 - p, p], axis=1))
    assert ours.brier_score == pytest.approx(2 * metrics.brier_score_loss(y, p))


def test_top_k_ranks_the_first_of_equal_topics_higher() -> None:
    proba = np.full((4, 4), 0.25)
    ours = of(np.array([0, 1, 2, 3]), proba)
    assert ours.n_right == 1
    assert [ours.top_k(k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]


def test_from_probabilities_is_the_same_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    y, proba = random_case(3)
    whole = ScoredPredictions.from_probabilities(y, proba)
    monkeypatch.setattr("slugline.evaluation.evaluation._BATCH_SIZE", 28)
    parts = ScoredPredictions.from_probabilities(y, proba)
    for name in vars(whole):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_top_k_and_brier_score_count_an_unknown_topic_as_wrong() -> None:
    ours = Evaluation.from_probabilities(
        ["a", "b"], np.array([0, -1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    )
    assert (ours.top_k(1), ours.top_k(2), ours.top_k(3)) == (0.5, 0.5, 0.5)
    assert ours.brier_score == 1  # 0 for the first and 2 for the second
    assert ours.calibration_error == pytest.approx(0.5)


def test_metrics_of_one_topic_are_defined() -> None:
    ours = Evaluation.from_probabilities(["a"], np.array([0, 0]), np.ones((2, 1)))
    told = json.loads(json.dumps(ours.to_dict(), allow_nan=False))
    assert (told["accuracy"], told["macro_f1"], told["weighted_f1"]) == (1, 1, 1)
    assert (told["brier_score"], told["calibration_error"], told["top_k"]) == (0, 0, [])


def test_metrics_of_probabilities_are_undefined_without_them() -> None:
    ours = Evaluation(["a", "b"], np.array([[3, 1], [0, 4]]), 0.25)
    assert math.isnan(ours.brier_score)
    assert math.isnan(ours.calibration_error)
    assert math.isnan(ours.top_k(1))
    assert (ours.reliability(), ours.coverage(), ours.top_ks) == ([], None, [])
    told = json.loads(json.dumps(ours.to_dict(), allow_nan=False))
    assert (told["brier_score"], told["calibration_error"], told["top_k"]) == (None, None, [])


@pytest.mark.parametrize(
    ("y", "proba", "message"),
    [
        (
            [0, 1],
            [[1.0, 0.0]],
            "the topics have shape (2,), but the probabilities have shape (1, 2);",
        ),
        ([0], [1.0], "the topics have shape (1,), but the probabilities have shape (1,); pass"),
        (
            [2],
            [[1.0, 0.0]],
            "the topics range from 2 to 2, but there are 2 columns; pass each topic",
        ),
        ([-2], [[1.0, 0.0]], "the topics range from -2 to -2, but there are 2 columns; pass"),
        ([0], [[math.nan, 0.0]], "a probability is not between 0 and 1; pass"),
        ([0], [[1.5, -0.5]], "a probability is not between 0 and 1; pass"),
    ],
    ids=["lengths", "no table", "no column", "under -1", "NaN", "over 1"],
)
def test_from_probabilities_rejects_invalid_answers(
    y: list[int], proba: object, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        Evaluation.from_probabilities(["a", "b"], np.array(y), np.array(proba))
    assert str(caught.value).startswith(message)


# Reliability ------------------------------------------------------------------------------------


def test_reliability_curve_gives_counts_and_intervals() -> None:
    bins = reliability_curve([0.5, 0.6, 0.9, 1.0], [True, False, True, False], n_bins=2)
    assert [tuple(b) for b in bins] == [(2, 0.55, 1), (2, 0.95, 1)]
    assert (bins[0].fraction_right, bins[0].interval) == (0.5, wilson(1, 2))


@given(seeds, st.integers(1, 20))
def test_reliability_curve_bins_hold_every_document_once(seed: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    proba, right = rng.integers(0, 6, 50) / 5, rng.random(50) < 0.5
    bins = reliability_curve(proba, right, n_bins)
    assert sum(b.n_documents for b in bins) == 50
    assert sum(b.n_right for b in bins) == pytest.approx(right.sum())
    assert (np.diff([b.probability for b in bins]) > -1e-12).all()
    gap = sum(b.n_documents * abs(b.probability - b.fraction_right) for b in bins) / 50
    assert calibration_error(proba, right, n_bins) == pytest.approx(gap)


def test_chance_error_is_the_calibration_error_of_exact_probabilities() -> None:
    rng = np.random.default_rng(0)
    proba = rng.uniform(0.2, 1, 400)
    found = [calibration_error(proba, rng.random(400) < proba) for _ in range(200)]
    expected = chance_error(reliability_curve(proba, proba > 0.5))
    assert np.mean(found) == pytest.approx(expected, rel=0.05)
    assert chance_error(reliability_curve([1.0, 1.0], [True, True])) == 0


# Coverage ---------------------------------------------------------------------------------------


def test_coverage_curve_answers_ties_together() -> None:
    curve = coverage_curve([0.9, 0.6, 0.6, 0.3], [True, True, False, False])
    assert curve.points() == [(0.9, 4, 1, 1), (0.6, 4, 3, 2), (0.3, 4, 4, 2)]
    assert [p.coverage for p in curve.points()] == [0.25, 0.75, 1]
    assert [p.accuracy for p in curve.points()] == pytest.approx([1, 2 / 3, 0.5])
    assert curve.points()[1].interval == wilson(2, 3)


@pytest.mark.parametrize(
    ("threshold", "counts"),
    [(1.0, (0, 0)), (0.9, (1, 1)), (0.7, (1, 1)), (0.6, (3, 2)), (0.0, (4, 2))],
)
def test_coverage_curve_at_a_threshold_counts_answered_and_right(
    threshold: float, counts: tuple[int, int]
) -> None:
    point = coverage_curve([0.9, 0.6, 0.6, 0.3], [1, 1, 0, 0]).at(threshold)
    assert (point.n_answered, point.n_right) == counts
    assert math.isnan(point.accuracy) == (counts == (0, 0))


def test_with_accuracy_looks_past_a_worse_point() -> None:
    curve = coverage_curve([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0])
    assert curve.with_accuracy(0.75) == (0.6, 5, 4, 3)
    assert curve.with_accuracy(1.0) == (0.9, 5, 1, 1)
    assert coverage_curve([0.9], [False]).with_accuracy(0.5) is None


@pytest.mark.parametrize(("share", "n_answered"), [(0, 1), (0.25, 1), (0.26, 3), (0.5, 3), (1, 4)])
def test_with_coverage_takes_whole_documents_and_ties(share: float, n_answered: int) -> None:
    curve = coverage_curve([0.9, 0.6, 0.6, 0.3], [1, 1, 0, 0])
    assert curve.with_coverage(share).n_answered == n_answered


@given(seeds, st.integers(1, 30))
def test_points_are_spread_and_end_with_all_documents(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    curve = coverage_curve(rng.integers(0, 40, 60) / 40, rng.random(60) < 0.5)
    points = curve.points(most)
    assert len(points) <= most
    assert points[-1].coverage == 1
    assert all(point == curve.at(point.threshold) for point in points)


@given(seeds)
def test_coverage_curve_does_not_depend_on_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    proba, right = rng.integers(0, 11, 50) / 10, rng.random(50) < 0.5
    order = rng.permutation(50)
    one, other = coverage_curve(proba, right), coverage_curve(proba[order], right[order])
    assert np.array_equal(one.n_right, other.n_right)
    assert (one.n_documents, one.n_right[-1]) == (50, right.sum())


def test_coverage_curve_rejects_no_documents() -> None:
    with pytest.raises(DataError, match=r"^the probabilities have shape \(0,\), but the answers"):
        coverage_curve([], [])
