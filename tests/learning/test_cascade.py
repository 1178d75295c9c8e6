"""From which probability words alone answer: what that costs, and where chance could mislead."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.base.arrays import F32
from slugline.learning.encoder.head import Cascade, DenseHead
from slugline.text.features import WordCounts


def rows_of(first: F32) -> F32:
    """Return rows of two topics from the probability of the first."""
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def test_cascade_threshold_lasts_while_words_and_sums_agree() -> None:
    sureness = np.linspace(0.99, 0.51, 1000).astype(np.float32)
    both = np.full(1000, 0.9, np.float32)
    both[400:] = 0.1  # below 0.8, words are wrong
    cascade = Cascade.from_proba(rows_of(sureness), rows_of(both), None)
    assert cascade is not None
    # Each of these rows loses 0.8, and 0.2 % of 1,000 rows are 2.
    assert cascade.threshold == pytest.approx(sureness[400], abs=0.002)
    assert cascade.encoded_fraction == pytest.approx(0.6, abs=0.002)


@pytest.mark.parametrize(("n_rows", "is_shown"), [(100, False), (249, False), (251, True)])
def test_cascade_needs_enough_rows_that_agree(n_rows: int, is_shown: bool) -> None:
    by_words = rows_of(np.full(n_rows, 0.9, np.float32))
    cascade = Cascade.from_proba(by_words, by_words, None)
    assert cascade == (Cascade(by_words[0, 0], 0.0) if is_shown else None)


def test_cascade_treats_rows_of_equal_probability_alike() -> None:
    by_words = rows_of(np.repeat(np.array([0.9, 0.8], np.float32), 500))
    both = by_words.copy()
    both[900:] = both[900:, ::-1]  # among those of 0.8
    assert Cascade.from_proba(by_words, both, None) == Cascade(float(by_words[0, 0]), 0.5)
    both = both[::-1]  # among those of 0.9
    assert Cascade.from_proba(by_words, both, None) is None


def test_cascade_counts_rows_by_their_weight() -> None:
    by_words = rows_of(np.linspace(0.99, 0.51, 1000).astype(np.float32))
    both = by_words.copy()
    both[100:200] = both[100:200, ::-1]
    weight = np.ones(1000, np.float32)
    strict = Cascade.from_proba(by_words, both, weight)
    assert strict == Cascade.from_proba(by_words, both, None)
    weight[100:200] = 0
    loose = Cascade.from_proba(by_words, both, weight)
    assert strict is not None
    assert loose is not None
    assert strict.encoded_fraction > 0.8
    assert loose.encoded_fraction == 0


def test_cascade_compares_only_the_two_most_likely_topics() -> None:
    by_words = np.array([[0.5, 0.1, 0.1, 0.3], [0.5, 0.4, 0.1, 0.0]], np.float32)
    cascade = Cascade(0.6, 0.5)
    assert cascade.is_sure(by_words).tolist() == [True, False]
    assert cascade.is_sure(by_words[:, :1]).all()  # there is no other topic
    rows = np.repeat(by_words, 500, axis=0)
    both = rows.copy()
    both[900:] = both[900:, ::-1]  # where the second is near, both together often disagree
    chosen = Cascade.from_proba(rows, both, None)
    assert chosen is not None
    assert chosen.threshold == pytest.approx(0.625)
    assert chosen.encoded_fraction == 0.5


def test_cascade_of_no_rows_is_none() -> None:
    nothing = np.zeros(0, np.float32)
    assert Cascade.from_proba(rows_of(nothing), rows_of(nothing), None) is None


def test_needs_encoder_for_texts_of_unknown_words() -> None:
    zeros = np.zeros(1, np.float32)
    parts = (None, zeros, zeros, 1.0, None, 0.5)
    proba, words = (
        rows_of(np.array([0.9, 0.9, 0.9, 0.7], np.float32)),
        np.array([[2, 1, 0, 4], [4, 4, 0, 4]]),
    )
    head = DenseHead(*parts, Cascade(0.8, 0.5))  # type: ignore[arg-type]
    assert head.needs_encoder(proba, WordCounts(*words)).tolist() == [False, True, True, True]
    always = DenseHead(*parts)  # type: ignore[arg-type]
    assert always.needs_encoder(proba, WordCounts(*words)).all()
