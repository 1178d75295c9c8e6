"""Scores of sums of word vectors."""

from __future__ import annotations

import numpy as np

from slugline.learning.calibration import DEFAULT_CALIBRATION
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.head import DenseHead
from slugline.text.vector_sums import TextSums

MIN_KNOWN = 0.05


def make_head(n_columns: int, n_topics: int, seed: int = 0) -> DenseHead:
    rng = np.random.default_rng(seed)
    return DenseHead(
        encoder=get_encoder("vectors"),
        weights=rng.standard_normal((n_columns, n_topics)).astype(np.float32),
        biases=rng.standard_normal(n_topics).astype(np.float32),
        sparse_factor=0.7,
        calibration=DEFAULT_CALIBRATION,
        encoder_weight=0.5,
    )


def make_sums(n_texts: int, n_columns: int, seed: int = 0) -> TextSums:
    """Return sums, of which some are zeros and some of hardly known texts."""
    rng = np.random.default_rng(seed)
    sums = rng.standard_normal((n_texts, n_columns)).astype(np.float32)
    sums[rng.random(n_texts) < 0.2] = 0
    known = rng.choice(np.array([0, 0.04, 0.05, 0.06, 1], dtype=np.float32), n_texts)
    return TextSums(sums, known)


def test_add_sums_adds_the_scores_of_rows_of_unit_length() -> None:
    head, text_sums = make_head(96, 21), make_sums(50, 96)
    scores = np.random.default_rng(0).standard_normal((50, 21)).astype(np.float32)
    by_words = scores.copy()
    is_known = head.add_sums(scores, text_sums, MIN_KNOWN)
    lengths = np.linalg.norm(text_sums.sums, axis=1)
    assert np.array_equal(is_known, (lengths > 0) & (text_sums.known >= np.float32(MIN_KNOWN)))
    rows = text_sums.sums[is_known] / lengths[is_known, np.newaxis]
    expected = head.add_scores(by_words[is_known], rows)
    np.testing.assert_allclose(scores[is_known], expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(scores[~is_known], by_words[~is_known])


def test_add_sums_gives_a_text_the_same_scores_in_any_batch() -> None:
    head, text_sums = make_head(96, 21), make_sums(50, 96)
    together = np.ones((50, 21), dtype=np.float32)
    head.add_sums(together, text_sums, MIN_KNOWN)
    for row in range(50):
        scores = np.ones((1, 21), dtype=np.float32)
        batch = TextSums(*(each[row : row + 1] for each in text_sums))
        head.add_sums(scores, batch, MIN_KNOWN)
        assert np.array_equal(scores[0], together[row])


def test_lengths_are_those_of_sums() -> None:
    text_sums = make_sums(50, 24)
    lengths = np.linalg.norm(text_sums.sums, axis=1)
    np.testing.assert_allclose(text_sums.lengths(0), lengths, rtol=1e-6)
    is_known = text_sums.known >= np.float32(MIN_KNOWN)
    assert np.array_equal(text_sums.lengths(MIN_KNOWN) > 0, is_known & (lengths > 0))
