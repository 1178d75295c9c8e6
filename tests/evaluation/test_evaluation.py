"""Figures from counts, against scikit-learn's."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from slugline.errors import DataError
from slugline.evaluation.evaluation import (
    Evaluation,
    chance_baseline,
    majority_baseline,
    shuffled_baseline,
)
from slugline.evaluation.intervals import wilson
from slugline.evaluation.probabilities import calibration_error

TOPICS = ["acq", "earn", "grain", "zinc"]
seeds = st.integers(0, 10_000)


def random_case(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(len(TOPICS)), n)
    return rng.integers(0, 3, n), proba


@given(seeds)
def test_metrics_equal_those_of_scikit_learn(seed: int) -> None:
    y, proba = random_case(seed)
    predicted = proba.argmax(axis=1)
    ours = Evaluation.from_probabilities(TOPICS, y, proba)
    assert np.array_equal(ours.confusion, metrics.confusion_matrix(y, predicted, labels=range(4)))
    assert ours.accuracy == metrics.accuracy_score(y, predicted)
    assert ours.n_known == len(TOPICS)
    assert ours.macro_f1 == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    assert ours.log_loss == pytest.approx(metrics.log_loss(y, proba, labels=range(4)))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        y, predicted, labels=range(4), zero_division=np.nan
    )
    for i, figures in enumerate(ours.per_topic()):
        assert figures.n_documents == support[i]
        for got, expected in zip(
            (figures.precision, figures.recall), (precision[i], recall[i]), strict=True
        ):
            assert got == pytest.approx(expected, nan_ok=True)
        if not math.isnan(figures.f1):
            assert figures.f1 == pytest.approx(np.nan_to_num(f1[i]))


def test_from_probabilities_counts_an_unknown_topic_as_wrong() -> None:
    ours = Evaluation.from_probabilities(
        ["a", "b"], np.array([0, -1]), np.array([[0.9, 0.1], [0.8, 0.2]])
    )
    assert ours.accuracy == 0.5
    assert ours.topics == ["a", "b", "(unknown)"]
    assert ours.n_known == 2
    assert ours.confusions() == [("(unknown)", "a", 1)]


def test_confusions_of_many_topics_use_little_memory() -> None:
    confusion = np.zeros((1000, 1000), dtype=np.int64)
    confusion[2, 1], confusion[1, 2], confusion[0, 3], confusion[5, 5] = 1, 1, 4, 9
    ours = Evaluation([str(topic) for topic in range(1000)], confusion, 0.5)
    tracemalloc.start()
    try:
        found = ours.confusions(10**6)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [("0", "3", 4), ("1", "2", 1), ("2", "1", 1)]
    assert peak < confusion.nbytes / 10


def test_topics_tell_one_called_unknown_from_unknown_ones() -> None:
    ours = Evaluation.from_probabilities(
        ["(unknown)", "b"], np.array([0, -1]), np.array([[0.9, 0.1], [0.9, 0.1]])
    )
    assert ours.topics == ["(unknown)", "b", "((unknown))"]
    assert ours.confusions() == [("((unknown))", "(unknown)", 1)]


def test_confusions_are_sorted_and_leave_out_zeros() -> None:
    confusion = np.array([[5, 2, 0], [3, 1, 0], [0, 0, 4]])
    ours = Evaluation(["a", "b", "c"], confusion, 0.1)
    assert ours.confusions() == [("b", "a", 3), ("a", "b", 2)]
    assert ours.confusions(1) == [("b", "a", 3)]


def test_from_probabilities_rejects_no_documents() -> None:
    with pytest.raises(DataError) as caught:
        Evaluation.from_probabilities(["a"], np.array([], dtype=np.int64), np.zeros((0, 1)))
    assert str(caught.value) == "no documents to evaluate; pass at least one."


def test_majority_baseline_uses_training_topics_only() -> None:
    assert majority_baseline(["a", "a", "b"], ["b", "b", "a"]) == ("a", 1 / 3)


def test_shuffled_baseline_is_near_chance() -> None:
    y = ["a"] * 700 + ["b"] * 300
    values = [shuffled_baseline(y, seed) for seed in range(20)]
    assert chance_baseline(y) == 0.7**2 + 0.3**2
    assert np.mean(values) == pytest.approx(chance_baseline(y), abs=0.01)
    assert len(set(values)) > 1


# Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 3.
@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_wilson_gives_the_published_intervals(
    n_right: int, n: int, low: float, high: float
) -> None:
    assert wilson(n_right, n) == pytest.approx((low, high), abs=1e-4)


def test_to_dict_holds_all_metrics() -> None:
    ours = Evaluation(["a", "b"], np.array([[3, 1], [0, 4]]), 0.25)
    assert ours.to_dict() == {
        "n_documents": 8,
        "accuracy": 7 / 8,
        "accuracy_interval": list(wilson(7, 8)),
        "macro_f1": pytest.approx((6 / 7 + 8 / 9) / 2),
        "macro_f1_interval": list(ours.macro_f1_interval),
        "weighted_f1": pytest.approx((6 / 7 + 8 / 9) / 2),
        "weighted_f1_interval": list(ours.weighted_f1_interval),
        "top_k": [],
        "log_loss": 0.25,
        "brier_score": None,
        "calibration_error": None,
        "calibration_error_by_chance": None,
        "reliability": [],
        "topics": [
            {"topic": "a", "n_documents": 4, "precision": 1, "recall": 0.75, "f1": 6 / 7},
            {"topic": "b", "n_documents": 4, "precision": 0.8, "recall": 1, "f1": 8 / 9},
        ],
        "confusions": [{"topic": "a", "predicted": "b", "n_documents": 1}],
    }


def test_macro_f1_ignores_absent_topics_and_counts_missed_ones_as_0() -> None:
    confusion = np.array([[4, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert Evaluation(["a", "b", "c"], confusion, 0.0).macro_f1 == pytest.approx(8 / 9 / 2)
    confusion = np.array([[4, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert Evaluation(["a", "b", "c"], confusion, 0.0).macro_f1 == pytest.approx(8 / 9 / 2)


@pytest.mark.parametrize("topic", [1, -1], ids=["without probability", "unknown"])
def test_log_loss_of_an_impossible_topic_is_finite(topic: int) -> None:
    ours = Evaluation.from_probabilities(
        ["a", "b"], np.array([0, topic]), np.array([[1.0, 0.0], [1.0, 0.0]])
    )
    assert ours.log_loss == pytest.approx(-np.log(np.finfo(np.float32).tiny) / 2)


def test_calibration_error_of_calibrated_probabilities_is_0() -> None:
    right = [True, False] * 20 + [True, True, True, False] * 10
    assert calibration_error([0.5] * 40 + [0.75] * 40, right, n_bins=2) == pytest.approx(0)


def test_calibration_error_is_the_mean_gap_of_equal_bins() -> None:
    proba = [0.5, 0.6, 0.9, 1.0]
    right = [True, False, True, False]
    # Bins: 0.55 said and 0.5 right; 0.95 said and 0.5 right.
    assert calibration_error(proba, right, n_bins=2) == pytest.approx((0.05 + 0.45) / 2)


def test_calibration_error_weighs_bins_by_documents() -> None:
    assert calibration_error([0.1, 0.2, 0.9], [0, 0, 0], n_bins=2) == pytest.approx(
        2 / 3 * 0.15 + 1 / 3 * 0.9
    )


@given(seeds, st.integers(1, 80))
def test_calibration_error_does_not_depend_on_the_order(seed: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    proba, right = rng.integers(0, 11, 50) / 10, rng.random(50) < 0.5
    order = rng.permutation(50)
    one = calibration_error(proba, right, n_bins)
    assert one == pytest.approx(calibration_error(proba[order], right[order], n_bins))
    assert 0 <= one <= 1


def test_calibration_error_takes_probabilities_rounded_over_1() -> None:
    assert calibration_error(np.array([1.0000001], dtype=np.float32), [True]) == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(
    ("proba", "right", "message"),
    [
        ([], [], "the probabilities have shape (0,), but the answers have shape (0,); pass"),
        ([0.5], [True, True], "the probabilities have shape (1,), but the answers have shape (2,)"),
        ([1.5], [True], "a probability is not between 0 and 1; pass the probabilities of"),
        ([math.nan], [True], "a probability is not between 0 and 1"),
    ],
    ids=["nothing", "lengths", "over 1", "NaN"],
)
def test_calibration_error_rejects_invalid_probabilities(
    proba: list[float], right: list[bool], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        calibration_error(proba, right)
    assert str(caught.value).startswith(message)
