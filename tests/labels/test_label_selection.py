"""Tests of the selection of texts with known probabilities."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from slugline.base.arrays import F64, Index
from slugline.labels.selection import (
    DistanceWeigher,
    Draw,
    SelectionWeights,
    WeightedSampler,
    distance_weights,
    doubt_weights,
)

ROWS = np.array([10, 20, 30, 40])


def selector(
    fraction: float = 0.25, seed: int = 0, weighed: Index | None = None
) -> WeightedSampler:
    """Return a selector with weights of 1 for row 10, 2 for row 20 and so on."""
    result = WeightedSampler(np.random.default_rng(seed), fraction)
    rows = ROWS if weighed is None else weighed
    result.set_weights(SelectionWeights(rows, by_row(rows), by_row))
    return result


def by_row(rows: Index) -> F64:
    return rows / 10.0


def select(chosen: WeightedSampler, *, shows_guess: bool = False) -> Draw:
    selected = chosen.select(ROWS, shows_guess=shows_guess)
    assert selected is not None
    return selected


def test_select_without_weights_draws_at_random() -> None:
    for weights in (None, SelectionWeights(ROWS, np.zeros(4), by_row)):
        chosen = WeightedSampler(np.random.default_rng(0))
        if weights is not None:
            chosen.set_weights(weights)
        selected = select(chosen)
        assert selected.is_random
        assert selected.probability == 1 / 4
        assert selected.n_candidates == 4


def test_probabilities_of_all_texts_sum_to_1() -> None:
    probability = {}
    for seed in range(60):
        selected = select(selector(seed=seed))
        probability[selected.row] = selected.probability
        assert selected.probability == pytest.approx(0.25 / 4 + 0.75 * selected.row / 100)
    assert sum(probability.values()) == pytest.approx(1)


def test_probabilities_are_of_the_texts_that_are_free() -> None:
    for seed in range(20):
        selected = selector(seed=seed).select(np.array([10, 30]))
        assert selected is not None
        assert selected.probability == pytest.approx(0.25 / 2 + 0.75 * selected.row / 40)


def test_texts_are_selected_as_often_as_their_probability_says() -> None:
    counts = Counter(select(selector(seed=seed)).row for seed in range(2000))
    for row, count in counts.items():
        assert count / 2000 == pytest.approx(0.25 / 4 + 0.75 * row / 100, abs=0.04)


def test_texts_outside_the_sample_have_the_probability_that_they_would_have_in_it() -> None:
    for seed in range(100):
        selected = select(selector(0.5, seed, np.array([10, 30])))
        if selected.row == 20:
            assert selected.is_random
        weight = selected.row / 10
        assert selected.probability == pytest.approx(0.5 / 4 + 0.5 * 2 * weight / (4 * 4))


def test_probability_is_that_of_its_own_kind_of_draw_if_guesses_are_shown() -> None:
    for seed in range(50):
        selected = select(selector(seed=seed), shows_guess=True)
        expected = 0.25 / 4 if selected.is_random else 0.75 * selected.row / 100
        assert selected.probability == pytest.approx(expected)


def test_probability_is_never_above_1() -> None:
    chosen = selector(0.5, weighed=np.array([10]))
    chosen.set_weights(
        SelectionWeights(np.array([10]), np.array([1.0]), lambda rows: 1e6 * by_row(rows))
    )
    assert all(select(chosen).probability <= 1 for _ in range(20))


def test_sample_returns_distinct_rows_in_order() -> None:
    chosen = selector()
    assert chosen.sample(ROWS, 4).tolist() == [10, 20, 30, 40]
    sample = chosen.sample(ROWS, 3)
    assert len({*sample.tolist()}) == 3
    assert sample.tolist() == sorted(sample.tolist())


def test_doubt_weights_grow_with_doubt_and_are_over_0() -> None:
    weights = doubt_weights(np.array([0.0, 0.5, 1.0]))
    assert (weights > 0).all()
    assert (np.diff(weights) > 0).all()


def test_distance_weights_are_0_for_what_was_selected() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert distance_weights(vectors, vectors[:0]).tolist() == [1, 1, 1]
    assert distance_weights(vectors, vectors[:1]).tolist() == [0, 1, 1]


def test_vector_spread_prefers_texts_unlike_those_that_were_selected() -> None:
    texts = ["wheat and maize", "interest rates of banks", "wheat and barley", "bank loans"]
    spread = DistanceWeigher(texts, np.arange(4))
    assert spread.weights().values.tolist() == [1, 1, 1, 1]
    spread.add("wheat and maize")
    weights = spread.weights()
    assert weights.values.argmin() == 0
    assert weights.values[2] < weights.values[1]
    assert weights.weigh(np.array([1, 2])) == pytest.approx(weights.values[[1, 2]])
