"""The samples that are kept of many texts."""

from __future__ import annotations

import numpy as np

from slugline.base.arrays import F32
from slugline.counting.tally import GroupTally, Reservoir
from slugline.text.features import WordCounts


def tally(proba: F32, n_rows: int, n_batches: int = 1) -> GroupTally:
    group = GroupTally(proba.shape[1], n_rows, 100, seed=0)
    for part in np.array_split(proba, n_batches):
        zeros = np.zeros(len(part), dtype=np.int64)
        group.add([""] * len(part), part, WordCounts(zeros, zeros), None)
    return group


def test_rows_are_all_kept_if_there_is_room() -> None:
    proba = np.array([[0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    group = tally(proba, 10, 2)
    rows, weights = group.rows()
    np.testing.assert_allclose(rows, proba, rtol=1e-6)
    assert weights.tolist() == [1, 1, 1]
    assert group.n_answers.tolist() == [1, 2]


def test_sampled_rows_are_bounded_and_stand_for_all() -> None:
    proba = np.random.default_rng(0).dirichlet(np.ones(3), 20_000).astype(np.float32)
    group = tally(proba, 500, 37)
    kept, weights = group.rows()
    assert len(kept) == 500
    assert len(group) == 20_000
    np.testing.assert_allclose(
        np.bincount(kept.argmax(axis=1), weights), np.bincount(proba.argmax(axis=1))
    )
    assert np.abs(weights @ kept / 20_000 - proba.mean(axis=0)).max() < 0.02


def test_sampled_rows_can_be_limited_later() -> None:
    group = tally(np.random.default_rng(0).dirichlet(np.ones(2), 100).astype(np.float32), 100)
    group.limit(10, 10)
    kept, weights = group.rows()
    assert len(kept) == 10
    assert weights.sum() == 100


def test_reservoir_keeps_early_and_late_rows_equally_often() -> None:
    n_early = 0
    for seed in range(50):
        reservoir = Reservoir(np.zeros(0), 20, seed)
        for place in range(10):
            reservoir.add(np.full(20, float(place)))
        n_early += int((reservoir.rows() < 5).sum())
    assert 400 < n_early < 600  # of 1,000, half are from the first half


def test_reservoir_is_the_same_in_any_batches() -> None:
    texts = np.array([f"text {i}" for i in range(500)], dtype=object)
    whole, parts = (Reservoir(texts[:0], 50, 1) for _ in range(2))
    whole.add(texts)
    for start in range(0, 500, 60):
        parts.add(texts[start : start + 60])
    assert whole.rows().tolist() == parts.rows().tolist()
    assert len({*whole.rows()}) == 50
    parts.limit(10)
    assert {*parts.rows()} < {*whole.rows()}
