"""Tests of the selection of texts with known probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.base.arrays import F64, Index
from slugline.labels.selection import TextPool, TextSelector, distance_weights, doubt_weights


def selector(n_texts: int, fraction: float = 0.25, seed: int = 0) -> TextSelector:
    """Return a selector from rows 10, 20, 30 and so on."""
    rng = np.random.default_rng(seed)
    return TextSelector(TextPool(10 * np.arange(1, n_texts + 1), rng), rng, fraction)


def by_row(rows: Index) -> F64:
    """Return weights of 1 for row 10, 2 for row 20 and so on."""
    return rows / 10.0


def test_select_takes_each_text_once_until_none_is_left() -> None:
    chosen = selector(5)
    rows = [selected.row for _ in range(5) if (selected := chosen.select())]
    assert sorted(rows) == [10, 20, 30, 40, 50]
    assert chosen.select() is None


def test_select_without_weights_draws_at_random() -> None:
    selected = selector(8).select()
    assert selected is not None
    assert selected.is_random
    assert selected.probability == 1 / 8
    assert selected.n_candidates == 8


def test_probabilities_of_all_texts_sum_to_1() -> None:
    total = 0.0
    for row in (10, 20, 30, 40):
        chosen = selector(4)
        chosen.compare(np.array([10, 20, 30, 40]), by_row)
        while (selected := chosen.select()) is not None and selected.row != row:
            chosen = selector(4, seed=int(np.random.default_rng().integers(1 << 30)))
            chosen.compare(np.array([10, 20, 30, 40]), by_row)
        assert selected is not None
        assert selected.probability == pytest.approx(0.25 / 4 + 0.75 * row / 100)
        total += selected.probability
    assert total == pytest.approx(1)


def test_texts_are_selected_as_often_as_their_probability_says() -> None:
    counts = {10: 0, 20: 0, 30: 0, 40: 0}
    for seed in range(2000):
        chosen = selector(4, seed=seed)
        chosen.compare(np.array([10, 20, 30, 40]), by_row)
        selected = chosen.select()
        assert selected is not None
        counts[selected.row] += 1
    for row, count in counts.items():
        assert count / 2000 == pytest.approx(0.25 / 4 + 0.75 * row / 100, abs=0.04)


def test_texts_outside_the_sample_have_the_probability_that_they_would_have_in_it() -> None:
    chosen = selector(4, fraction=0.5)
    chosen.compare(np.array([10, 30]), by_row)
    for _ in range(4):
        selected = chosen.select()
        assert selected is not None
        if selected.row == 20:
            assert selected.is_random
    inside = 0.5 / 4 + 0.5 * 2 * 1 / (4 * 4)  # of row 10
    for seed in range(100):
        chosen = selector(4, fraction=0.5, seed=seed)
        chosen.compare(np.array([10, 30]), by_row)
        selected = chosen.select()
        assert selected is not None
        if selected.row in (10, 20):
            assert selected.probability == pytest.approx(
                inside if selected.row == 10 else 0.5 / 4 + 0.5 * 2 * 2 / (4 * 4)
            )


def test_probability_is_that_of_its_own_kind_of_draw_if_guesses_are_shown() -> None:
    for seed in range(50):
        chosen = selector(4, seed=seed)
        chosen.compare(np.array([10, 20, 30, 40]), by_row)
        selected = chosen.select(is_blind=False)
        assert selected is not None
        expected = 0.25 / 4 if selected.is_random else 0.75 * selected.row / 100
        assert selected.probability == pytest.approx(expected)


def test_take_removes_a_row_once_and_ignores_others() -> None:
    pool = TextPool(np.array([3, 5, 8]), np.random.default_rng(0))
    for row in (5, 5, 4, 99):
        pool.take(row)
    assert pool.n_free == 2
    assert pool.free_rows().tolist() == [3, 8]
    assert {pool.draw() for _ in range(40)} == {3, 8}
    assert pool.sample(1).tolist() in ([3], [8])
    assert pool.sample(9).tolist() == [3, 8]


def test_select_with_one_seed_is_reproducible() -> None:
    first, second = (
        [selected.row for _ in range(20) if (selected := chosen.select())]
        for chosen in (selector(50, seed=4), selector(50, seed=4))
    )
    assert first == second


def test_doubt_weights_grow_with_doubt_and_are_over_0() -> None:
    weights = doubt_weights(np.array([0.0, 0.5, 1.0]))
    assert (weights > 0).all()
    assert (np.diff(weights) > 0).all()


def test_distance_weights_are_0_for_what_was_selected() -> None:
    vectors = np.eye(3)
    assert distance_weights(vectors, np.zeros((0, 3))).tolist() == [1, 1, 1]
    assert distance_weights(vectors, vectors[:1]).tolist() == [0, 1, 1]
