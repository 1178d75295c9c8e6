"""Intervals of shares and of F1, from counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from slugline.evaluation.evaluation import Evaluation, count_by_topic, macro_f1, weighted_f1
from slugline.evaluation.intervals import bootstrap, wilson

seeds = st.integers(0, 10_000)


def share_right(drawn: np.ndarray) -> np.ndarray:
    return (drawn[:, 0] / drawn.sum(axis=1))[:, np.newaxis]


def mixed(
    n_topics: int, n: int, seed: int = 0, share: float = 0.7
) -> tuple[np.ndarray, Evaluation]:
    """Return an evaluation of answers of which about a share is right, and its confusions."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_topics, n)
    predicted = np.where(rng.random(n) < 0.7, y, rng.integers(0, n_topics, n))
    confusion = np.bincount(y * n_topics + predicted, minlength=n_topics**2)
    confusion = confusion.reshape(n_topics, n_topics)
    return confusion, Evaluation([str(t) for t in range(n_topics)], confusion, 0.5)


def test_bootstrap_of_a_fraction_is_close_to_wilson() -> None:
    (interval,) = bootstrap(np.array([820, 180]), share_right, seed=1)
    assert interval == pytest.approx(wilson(820, 1000), abs=0.005)


def test_bootstrap_is_fixed_by_the_seed() -> None:
    counts = np.array([82, 18, 7])
    assert bootstrap(counts, share_right, seed=1) == bootstrap(counts, share_right, seed=1)
    assert bootstrap(counts, share_right, seed=1) != bootstrap(counts, share_right, seed=2)


def test_bootstrap_draws_many_kinds_in_batches() -> None:
    sizes = []

    def statistic(drawn: np.ndarray) -> np.ndarray:
        sizes.append(drawn.size)
        return drawn[:, :1] / drawn.sum(axis=1, keepdims=True)

    bootstrap(np.ones(20_000, dtype=int), statistic, seed=0, n_resamples=500)
    assert len(sizes) > 2
    assert max(sizes) <= 1 << 22


@pytest.mark.slow
def test_f1_intervals_equal_resampling_of_documents() -> None:
    confusion, ours = mixed(4, 300)
    true, predicted = np.nonzero(confusion)
    repeats = confusion[true, predicted]
    true, predicted = true.repeat(repeats), predicted.repeat(repeats)
    rng = np.random.default_rng(5)
    by_topic = [
        metrics.precision_recall_fscore_support(true[rows], predicted[rows])[2:]
        for rows in rng.integers(0, len(true), (200, len(true)))
    ]
    for scores, interval in (
        ([np.mean(f1) for f1, _ in by_topic], ours.macro_f1_interval),
        ([np.average(f1, weights=n) for f1, n in by_topic], ours.weighted_f1_interval),
    ):
        assert np.mean((np.array(scores) >= interval[0]) & (np.array(scores) <= interval[1])) > 0.9
        assert interval == pytest.approx(np.quantile(scores, [0.025, 0.975]), abs=0.02)


def test_macro_f1_interval_covers_the_population_with_few_documents() -> None:
    """Plain percentiles do so for 6 in 10 of such test sets; see Efron's correction."""
    n_topics, n_sets = 77, 60
    share = np.full((n_topics, n_topics), 0.1 / (n_topics - 1))
    np.fill_diagonal(share, 0.9)
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(n_sets):
        confusion = rng.multinomial(300, share.ravel() / n_topics).reshape(share.shape)
        ours = Evaluation([str(t) for t in range(n_topics)], confusion, 0.5, seed=seed)
        low, high = ours.macro_f1_interval
        held += low <= 0.9 <= high
    assert held / n_sets >= 0.8


@given(seeds, st.integers(1, 6), st.integers(1, 40))
def test_f1_intervals_lie_between_0_and_1_around_the_metric(
    seed: int, n_topics: int, n: int
) -> None:
    _, ours = mixed(n_topics, n, seed)
    for found, (low, high) in (
        (ours.macro_f1, ours.macro_f1_interval),
        (ours.weighted_f1, ours.weighted_f1_interval),
    ):
        assert 0 <= low <= high <= 1
        assert low - 1e-9 <= found <= high + 1e-9


def test_f1_intervals_without_a_mistake_are_wilson_intervals() -> None:
    ours = Evaluation(["a", "b"], np.diag([3, 2]), 0.0)
    assert ours.macro_f1_interval == ours.weighted_f1_interval == wilson(5, 5)
    assert ours.macro_f1_interval.low < 0.6


def test_f1_interval_without_a_right_answer_is_0() -> None:
    ours = Evaluation(["a", "b"], np.array([[0, 3], [2, 0]]), 5.0)
    assert (ours.macro_f1, ours.macro_f1_interval) == (0, (0, 0))


@settings(max_examples=20)
@given(seeds)
def test_count_by_topic_equals_counts_of_each_resample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, 5, (2, 9))
    drawn = rng.integers(0, 4, (3, 9))
    drawn[:, 0] += 1
    totals = count_by_topic(true, predicted, drawn)
    for row, counts in enumerate(drawn):
        y, p = true.repeat(counts), predicted.repeat(counts)
        assert np.array_equal(totals[1][row], np.bincount(y, minlength=totals[1].shape[1]))
        assert macro_f1(*totals)[row] == pytest.approx(metrics.f1_score(y, p, average="macro"))
        assert weighted_f1(*totals)[row] == pytest.approx(
            metrics.f1_score(y, p, average="weighted")
        )
