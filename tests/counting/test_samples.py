"""The sample of rows that is kept of many texts."""

from __future__ import annotations

import numpy as np

from slugline.counting.samples import SampledRows, SampledTexts


def test_sampled_rows_keep_all_if_there_is_room() -> None:
    rows = SampledRows(2, 10)
    rows.add(np.array([[0.2, 0.8], [0.6, 0.4]], dtype=np.float32))
    rows.add(np.array([[0.3, 0.7]], dtype=np.float32))
    proba, weights = rows.rows()
    np.testing.assert_allclose(proba, [[0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], rtol=1e-6)
    assert weights.tolist() == [1, 1, 1]
    assert rows.n_answers.tolist() == [1, 2]


def test_sampled_rows_are_bounded_and_stand_for_all() -> None:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 20_000).astype(np.float32)
    rows = SampledRows(3, 500)
    for part in np.array_split(proba, 37):
        rows.add(part)
    kept, weights = rows.rows()
    assert len(kept) == 500
    assert len(rows) == 20_000
    np.testing.assert_allclose(
        np.bincount(kept.argmax(axis=1), weights), np.bincount(proba.argmax(axis=1))
    )
    assert np.abs(weights @ kept / 20_000 - proba.mean(axis=0)).max() < 0.02


def test_sampled_rows_are_as_likely_to_be_kept_wherever_they_come() -> None:
    n_early = 0
    for seed in range(50):
        rows = SampledRows(2, 20, seed)
        for place in range(10):
            rows.add(np.array([[0.9 - 0.01 * place, 0.1 + 0.01 * place]] * 20, dtype=np.float32))
        kept, _ = rows.rows()
        n_early += int((kept[:, 0] > 0.855).sum())
    assert 400 < n_early < 600  # of 1,000, half are from the first half


def test_sampled_rows_can_be_limited_later() -> None:
    rows = SampledRows(2, 100)
    rows.add(np.random.default_rng(0).dirichlet(np.ones(2), 100).astype(np.float32))
    rows.limit(10)
    kept, weights = rows.rows()
    assert len(kept) == 10
    assert weights.sum() == 100


def test_sampled_texts_are_the_same_in_any_batches() -> None:
    texts = [f"text {i}" for i in range(500)]
    whole, parts = SampledTexts(50, 1), SampledTexts(50, 1)
    whole.add(texts)
    for start in range(0, 500, 60):
        parts.add(texts[start : start + 60])
    assert whole.texts() == parts.texts()
    assert len({*whole.texts()}) == 50
    parts.limit(10)
    assert parts.texts() == whole.texts()[:10]
