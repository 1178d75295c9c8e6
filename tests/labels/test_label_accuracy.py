"""Tests of the accuracy of a model of today's labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from slugline.evaluation.intervals import wilson
from slugline.labels.accuracy import MeasuredLabels, estimate_accuracy
from slugline.labels.selection import SelectionWeights, WeightedSampler


def random_draws(n: int, n_right: int, *, n_skipped: int = 0) -> MeasuredLabels:
    """Return labels of random draws, the first ones right, the last ones skipped."""
    place = np.arange(n)
    return MeasuredLabels(
        is_right=place < n_right,
        is_skipped=place >= n - n_skipped,
        confidence=np.full(n, 0.5),
        weights=np.ones(n),
    )


def test_estimate_of_random_draws_is_the_fraction_of_right_answers() -> None:
    estimate = estimate_accuracy(random_draws(100, 80), 0.5)
    assert estimate.accuracy == pytest.approx(0.8)
    assert estimate.n_effective == pytest.approx(100)
    assert 0.6 < estimate.low < 0.8 < estimate.high < 1


def test_estimate_with_few_labels_says_nothing() -> None:
    for n in (0, 5, 14):
        estimate = estimate_accuracy(random_draws(n, n), 0.5)
        assert math.isnan(estimate.accuracy)
        assert (estimate.low, estimate.high, estimate.n_labels) == (0, 1, n)


def test_interval_of_answers_that_are_all_right_has_a_width() -> None:
    estimate = estimate_accuracy(random_draws(30, 30), 0.5)
    assert estimate.accuracy == pytest.approx(1)
    assert estimate.low < 0.9
    assert estimate.high == pytest.approx(1)


def test_skipped_texts_bound_the_accuracy_from_both_sides() -> None:
    without = estimate_accuracy(random_draws(100, 72), 0.5)
    skipped = estimate_accuracy(random_draws(100, 72, n_skipped=10), 0.5)
    assert skipped.low == pytest.approx(without.low)
    assert skipped.high > without.high + 0.05
    assert skipped.accuracy == pytest.approx(0.77)


def test_interval_narrows_with_labels_and_widens_with_its_guarantee() -> None:
    widths = [estimate_accuracy(random_draws(n, n // 2), 0.5).width for n in (50, 200, 800)]
    assert widths[0] > 1.7 * widths[1] > 1.7 * 1.7 * widths[2]
    loose = estimate_accuracy(random_draws(200, 100), 0.5, alpha=0.2)
    assert loose.width < widths[1]


def test_confidence_in_other_texts_moves_the_estimate_but_not_its_width() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=200)
    labels = MeasuredLabels(
        is_right=rng.uniform(size=200) < confidence**0.2 * (confidence > 0.3),
        is_skipped=np.zeros(200, dtype=bool),
        confidence=confidence,
        weights=np.ones(200),
    )
    same, surer = (estimate_accuracy(labels, float(confidence.mean()) + up) for up in (0.0, 0.1))
    assert same.accuracy == pytest.approx(labels.is_right.mean())
    assert 0.05 < surer.accuracy - same.accuracy < 0.1
    assert surer.width == pytest.approx(same.width, rel=0.1)


def test_estimate_of_preferred_texts_has_no_bias() -> None:
    """Wrong answers are drawn four times as often as right ones, and count a quarter."""
    n_texts, estimates, naive = 2000, [], []
    right = np.arange(n_texts) % 4 > 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        selector, free = WeightedSampler(rng, 0.25), np.arange(n_texts)
        weights = np.where(right, 1.0, 4.0)
        selector.set_weights(SelectionWeights(free, weights, weights.__getitem__))
        drawn = []
        for _ in range(100):
            selected = selector.select(free)
            assert selected is not None
            drawn.append(selected)
            free = free[free != selected.row]
        is_right = np.array([right[each.row] for each in drawn])
        labels = MeasuredLabels(
            is_right=is_right,
            is_skipped=np.zeros(100, dtype=bool),
            confidence=np.full(100, 0.5),
            weights=np.array([1 / each.probability for each in drawn])
            / [each.n_candidates for each in drawn],
        )
        estimates.append(estimate_accuracy(labels, 0.5).accuracy)
        naive.append(is_right.mean())
    assert np.mean(estimates) == pytest.approx(0.75, abs=0.02)
    assert np.mean(naive) < 0.62


@pytest.mark.parametrize("accuracy", [0.05, 0.7, 0.98])
def test_interval_holds_at_every_look_in_nearly_all_runs(accuracy: float) -> None:
    n_runs, missed = 100, 0
    for seed in range(n_runs):
        is_right = np.random.default_rng(seed).uniform(size=300) < accuracy
        looks = (random_draws(n, 0) for n in range(20, 301, 10))
        for look in looks:
            estimate = estimate_accuracy(replace(look, is_right=is_right[: len(look)]), 0.5)
            if not estimate.low <= accuracy <= estimate.high:
                missed += 1
                break
    assert missed <= 0.05 * n_runs


@pytest.mark.parametrize("n_wrong", [0, 2, 20, 100])
def test_interval_is_at_most_twice_as_wide_as_a_usual_one(n_wrong: int) -> None:
    """Near an accuracy of 1 as well, and if weights differ by a factor of 10."""
    weights = np.where(np.arange(200) % 4, 0.5, 2.5)
    labels = replace(random_draws(200, 200 - n_wrong), weights=weights)
    usual = wilson(200 - n_wrong, 200)
    assert estimate_accuracy(labels, 0.5).width < 2.2 * (usual.high - usual.low)


def test_estimate_without_confidence_of_other_texts_counts_labels_alone() -> None:
    draws = replace(random_draws(100, 80), confidence=np.linspace(1, 0, 100))
    assert estimate_accuracy(draws, None).accuracy == pytest.approx(0.8)
    assert estimate_accuracy(draws, 0.9).accuracy != pytest.approx(0.8)


def test_texts_that_labels_say_nothing_about_bound_the_accuracy_from_both_sides() -> None:
    complete = estimate_accuracy(random_draws(100, 80), 0.5)
    partial = estimate_accuracy(random_draws(100, 80), 0.5, unmeasured_fraction=0.2)
    assert partial.low == pytest.approx(0.8 * complete.low)
    assert partial.high == pytest.approx(0.8 * complete.high + 0.2)
    assert partial.accuracy == pytest.approx(0.74)
