"""Shares of topics from probabilities, and their simulated errors."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.base.arrays import F64, Index
from slugline.counting.estimation import SimulatedErrors, count_copies, estimate_group
from slugline.counting.shares import (
    HeldoutSample,
    binary_proba,
    correct_proba,
    estimate_shares,
    heldout_samples,
    implied_shares,
)
from slugline.learning.labels import Labels
from slugline.model.heldout import HeldOutPredictions

# A calibrated model of texts with one number: normal, around a mean of each topic.
MEANS = np.array([-1.0, 0.5, 1.5])
TRAINING = np.array([0.6, 0.3, 0.1])


def draw(shares: F64, n: int, rng: np.random.Generator) -> tuple[F64, Index]:
    """Return probabilities of texts by a model of the training shares, and their topics."""
    topics = rng.choice(3, n, p=shares)
    x = MEANS[topics] + rng.normal(size=n)
    proba = TRAINING * np.exp(-((x[:, np.newaxis] - MEANS) ** 2) / 2)
    return proba / proba.sum(axis=1, keepdims=True), topics


def heldout(n: int, rng: np.random.Generator) -> HeldoutSample:
    proba, topics = draw(TRAINING, n, rng)
    return HeldoutSample(proba, topics, TRAINING * n)


def test_estimate_shares_finds_other_shares_than_those_of_training() -> None:
    rng = np.random.default_rng(0)
    sample, shares = heldout(2000, rng), np.array([0.1, 0.3, 0.6])
    proba, topics = draw(shares, 5000, rng)
    found = estimate_shares(sample, proba, np.ones((5000, 1)))[:, 0]
    true = np.bincount(topics) / 5000
    answers = np.bincount(proba.argmax(axis=1), minlength=3) / 5000
    assert np.abs(found - true).max() < 0.04 < np.abs(answers - true).max() / 3


def test_estimate_shares_corrects_the_probabilities_of_few_texts_by_little() -> None:
    sample = heldout(1000, np.random.default_rng(0))
    proba = np.tile([[0.3, 0.4, 0.3]], (200, 1))
    found = [estimate_shares(sample, proba[:n], np.ones((n, 1)))[2, 0] for n in (1, 5, 20, 200)]
    assert found == sorted(found)
    assert found[0] < 0.4
    assert found[-1] > 0.7


def test_estimate_shares_counts_texts_that_are_sure_as_they_are() -> None:
    sample = heldout(1000, np.random.default_rng(0))
    sure = np.eye(3)[[0, 1, 1, 2]]
    found = estimate_shares(sample, sure, np.ones((4, 1)))[:, 0]
    np.testing.assert_allclose(found, [0.25, 0.5, 0.25], atol=1e-6)


def test_estimate_shares_counts_a_row_as_often_as_its_weight() -> None:
    rng = np.random.default_rng(0)
    sample = heldout(500, rng)
    proba, _ = draw(TRAINING, 30, rng)
    weights = rng.integers(0, 4, 30)
    by_weight = estimate_shares(sample, proba, weights[:, np.newaxis].astype(float))
    repeated = np.repeat(proba, weights, axis=0)
    by_row = estimate_shares(sample, repeated, np.ones((len(repeated), 1)))
    np.testing.assert_allclose(by_weight, by_row)


def test_implied_shares_of_a_rare_topic_are_not_near_zero() -> None:
    proba = np.tile([[0.99, 0.01]], (100, 1))
    sample = HeldoutSample(proba, np.zeros(100, dtype=np.intp), np.array([999.0, 1.0]))
    assert implied_shares(sample)[1, 0] > 0.005


def test_topic_of_many_does_not_become_common_by_low_probabilities() -> None:
    rng = np.random.default_rng(0)
    column = rng.uniform(0.001, 0.003, 2000)
    samples = heldout_samples(
        HeldOutPredictions.from_decisions(
            np.stack([column, 1 - column], axis=1).astype(np.float32),
            Labels(np.ones(2000, dtype=np.int64), np.arange(2001), True),
            None,
        ),
        np.array([2.0, 1998.0]),
        2000,
    )
    # All probabilities are twice as high as in training.
    proba = binary_proba(2 * column, samples[0].low_proba)
    found = estimate_group(samples[0], proba, np.ones(2000), seed=0, n_sets=50)
    assert found.shares[0] < 0.01
    # But texts that surely have it are counted.
    proba[:100] = [0.98, 0.02]
    found = estimate_group(samples[0], proba, np.ones(2000), seed=0, n_sets=50)
    assert 0.04 < found.shares[0] < 0.09


def binary_sample(n_topic: int, rng: np.random.Generator) -> HeldoutSample:
    """Return 2,000 held-out documents, some with the topic, by a model that is right about them."""
    is_topic = np.arange(2000) < n_topic
    proba = binary_proba(np.where(is_topic, 0.9, rng.uniform(0, 0.1, 2000)), 0.005)
    counts = np.array([n_topic, 2000.0 - n_topic])
    return HeldoutSample(proba, np.where(is_topic, 0, 1), counts, n_alternatives=50)


def test_topic_of_several_with_few_heldout_documents_is_counted_by_answers() -> None:
    rng = np.random.default_rng(0)
    # Most texts are a little like the topic, which the held-out documents were not.
    proba = binary_proba(np.where(np.arange(400) < 8, 0.9, 0.25), 0.005)
    few, many = (
        estimate_shares(binary_sample(n, rng), proba, np.ones((400, 1)))[0, 0] for n in (4, 600)
    )
    assert abs(few - 8 / 400) < 0.005
    assert many > 0.1


def test_em_weight_grows_with_the_heldout_documents_of_a_topic() -> None:
    rng = np.random.default_rng(0)
    weights = [binary_sample(n, rng).em_weight for n in (0, 10, 100, 1000)]
    assert weights == pytest.approx([0, 0.008, 0.25, 0.83], abs=0.01)
    assert heldout(100, rng).em_weight == 1


@pytest.mark.parametrize("shares", [TRAINING, np.array([0.2, 0.3, 0.5])])
def test_shares_of_20_texts_are_no_worse_than_answers_or_training_shares(shares: F64) -> None:
    rng = np.random.default_rng(3)
    sample = heldout(600, rng)
    errors = []
    for _ in range(200):
        proba, topics = draw(shares, 20, rng)
        true = np.bincount(topics, minlength=3) / 20
        answers = np.bincount(proba.argmax(axis=1), minlength=3) / 20
        found = estimate_shares(sample, proba, np.ones((20, 1)))[:, 0]
        errors.append(
            [np.abs(each - true).mean() for each in (found, answers, sample.training_shares)]
        )
    by_slugline, by_answers, by_training = np.mean(errors, axis=0)
    assert by_slugline < 1.02 * min(by_answers, by_training)


def test_correct_proba_follows_bayes_rule() -> None:
    corrected = correct_proba(np.array([[0.5, 0.5]]), np.array([0.8, 0.2]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(corrected, [[0.8, 0.2]])


@pytest.mark.parametrize("n_texts", [40, 400])
def test_intervals_hold_for_calibrated_probabilities(n_texts: int) -> None:
    rng = np.random.default_rng(1)
    n_right = n = 0
    for seed in range(15):
        sample, shares = heldout(400, rng), rng.dirichlet(np.ones(3))
        proba, topics = draw(shares, n_texts, rng)
        estimate = estimate_group(sample, proba, np.ones(n_texts), seed=seed)
        true = np.bincount(topics, minlength=3) / n_texts
        for interval, share in zip(estimate.intervals(), true, strict=True):
            n_right += interval.low <= share <= interval.high
            n += 1
    assert n_right / n >= 0.85


def test_standard_errors_are_larger_on_the_side_of_larger_errors() -> None:
    estimates = np.full((1, 100), 0.1)
    shares = np.where(np.arange(100) < 50, 0.09, 0.2)[np.newaxis]
    simulated = SimulatedErrors(estimates, shares)
    [[downwards], [upwards]] = simulated.standard_errors(np.array([0.1]))
    both = np.sqrt((0.01**2 + 0.1**2) / 2)
    assert (downwards, upwards) == pytest.approx(((0.01 + both) / 2, (0.1 + both) / 2))


def test_intervals_of_texts_that_repeat_hold() -> None:
    rng = np.random.default_rng(4)
    sample, n_right, widths = heldout(400, rng), 0, []
    for seed in range(20):
        proba, topics = draw(rng.dirichlet(np.ones(3)), 20, rng)
        true = np.bincount(topics, minlength=3) / 20
        copies = np.full(20, 20.0)
        intervals = [
            estimate_group(sample, proba, copies, seed=seed, n_copies=n, n_sets=50).intervals()
            for n in (copies, None)
        ]
        n_right += sum(
            each.low <= share <= each.high for each, share in zip(intervals[0], true, strict=True)
        )
        widths.append([sum(each.high - each.low for each in both) for both in intervals])
    assert n_right / 60 > 0.9
    with_copies, without = np.mean(widths, axis=0)
    assert with_copies > 1.3 * without


def test_count_copies_counts_equal_rows() -> None:
    rows = np.array([[0.5, 0.5], [0.2, 0.8], [0.5, 0.5]])
    assert count_copies(rows, np.ones(3)).tolist() == [2, 1, 2]
    # Of 30 texts, three were drawn: the other one stands for ten.
    assert count_copies(rows, np.full(3, 10.0)).tolist() == [11, 1, 11]
