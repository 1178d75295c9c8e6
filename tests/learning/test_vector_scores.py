"""Scores of sums of word vectors, by the compiled kernel and by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.learning.calibration import DEFAULT_CALIBRATION
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.head import DenseHead
from slugline.text import sparse
from slugline.text.vector_sums import TextSums

MIN_KNOWN = 0.05

needs_kernel = pytest.mark.skipif(
    sparse.kernel is None, reason="the kernel is not built: there was no compiler"
)


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


@needs_kernel
@given(
    n_texts=st.integers(0, 9),
    n_groups=st.integers(1, 12),
    n_topics=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
)
def test_kernel_adds_scores_as_numpy_does(
    n_texts: int, n_groups: int, n_topics: int, seed: int
) -> None:
    head = make_head(8 * n_groups, n_topics, seed)
    text_sums = make_sums(n_texts, 8 * n_groups, seed)
    by_words = np.random.default_rng(seed).standard_normal((n_texts, n_topics)).astype(np.float32)
    ours, theirs = by_words.copy(), by_words.copy()
    is_known = head.add_sums(ours, text_sums, MIN_KNOWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUGLINE_KERNEL", "0")
        assert np.array_equal(head.add_sums(theirs, text_sums, MIN_KNOWN), is_known)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


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


ZEROS = {
    "sums": np.zeros((2, 16), np.float32),
    "known": np.zeros(2, np.float32),
    "weights": np.zeros((1, 16, 8), np.float32),
    "biases": np.zeros(3, np.float32),
    "scores": np.zeros((2, 3), np.float32),
    "is_known": np.zeros(2, bool),
}


@needs_kernel
@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("sums", np.zeros((2, 8), np.float32)),
        ("sums", np.zeros((2, 16))),
        ("known", np.zeros(3, np.float32)),
        ("weights", np.zeros((1, 12, 8), np.float32)),
        ("weights", np.zeros((2, 16, 8), np.float32)),
        ("biases", np.zeros(4, np.float32)),
        ("biases", np.zeros(0, np.float32)),
        ("scores", np.zeros((2, 4), np.float32)),
        ("is_known", np.zeros(1, bool)),
        ("is_known", np.zeros(2, np.uint8)),
    ],
)
def test_kernel_rejects_arrays_that_do_not_fit(name: str, array: Any) -> None:
    given = {**ZEROS, name: array}
    with pytest.raises(ValueError, match=r"arrays that do not fit|an array of another type"):
        sparse.kernel.add_vector_scores(
            given["sums"],
            given["known"],
            MIN_KNOWN,
            given["weights"],
            given["biases"],
            0.5,
            given["scores"],
            given["is_known"],
        )
