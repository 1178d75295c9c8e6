"""The table of word vectors as an encoder."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.rows import RowCache, encode
from slugline.learning.encoder.vectors import WordVectorEncoder
from stand_ins import Letters, register
from word_table import WORDS, small_table

TEXTS = ["the oil price", "Oil", f"zzz the {'q' * 60}", "", "12"]


@pytest.fixture
def encoder(tmp_path: Path) -> WordVectorEncoder:
    return WordVectorEncoder(small_table(tmp_path))


def test_encode_sums_the_vectors_of_known_words(encoder: WordVectorEncoder, tmp_path: Path) -> None:
    table = small_table(tmp_path)
    rows = encoder.encode(TEXTS)
    the, oil, price = table.vectors(np.array([WORDS.index(w) for w in ("the", "oil", "price")]))
    for row, expected in zip(rows, (the + oil + price, oil), strict=False):
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), rtol=1e-5)


def test_encode_leaves_texts_of_unknown_words_to_words_alone(encoder: WordVectorEncoder) -> None:
    checked = get_encoder(encoder)
    rows = encode(TEXTS, checked)
    assert checked.find_known(rows).tolist() == [True, True, False, False, False]
    assert not rows[2:].any()
    np.testing.assert_allclose(np.linalg.norm(rows[:2], axis=1), 1, rtol=1e-6)


def test_encode_leaves_out_texts_below_the_smallest_known_fraction(
    encoder: WordVectorEncoder,
) -> None:
    known = [3 / 60, 3 / 61]  # the smallest fraction is 0.05
    rows = encoder.encode([f"the {'q' * round(3 / fraction - 3)}" for fraction in known])
    assert rows.any(axis=1).tolist() == [True, False]


def test_encode_neither_rounds_nor_caches_rows(
    encoder: WordVectorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowCache, "__enter__", lambda _: pytest.fail("the cache was opened"))
    rows = encode(TEXTS, encoder)
    assert rows.dtype == np.float32
    assert (rows != rows.astype(np.float16)).any()


def test_encode_gives_the_same_rows_in_any_batches_and_threads(
    encoder: WordVectorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"the {word}" for word in ("oil", "price", "rice", "ice") * 50]
    expected = encode(texts, encoder)
    monkeypatch.setattr(WordVectorEncoder, "batch_texts", 7)
    assert np.array_equal(encode(texts, WordVectorEncoder(encoder.table), n_jobs=3), expected)


def test_word_contributions_add_up_to_the_row(encoder: WordVectorEncoder) -> None:
    contributions = encoder.word_contributions("The oil price")
    total = np.sum([vector for *_, vector in contributions], axis=0)
    row = encoder.encode(["the oil price"])[0]
    np.testing.assert_allclose(total / np.linalg.norm(total), row, rtol=1e-5)
    assert len({start for start, *_ in contributions}) == 3


def test_encoder_is_pickled_without_its_table(encoder: WordVectorEncoder) -> None:
    data = pickle.dumps(encoder)
    assert len(data) < 500
    assert pickle.loads(data).digest == encoder.digest


def test_encoder_has_the_digest_and_version_of_its_table(encoder: WordVectorEncoder) -> None:
    checked = get_encoder(encoder)
    assert (checked.name, checked.version, checked.is_fast) == ("vectors", "1", True)
    assert encoder.table.digest in encoder.digest


class Use(Letters):
    name = "use"
    is_thread_safe = True


def test_joined_encoder_keeps_the_weight_of_a_part_where_vectors_know_nothing(
    encoder: WordVectorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "vectors", lambda: encoder)
    register(monkeypatch, "use", Use)
    joined = get_encoder("vectors,use")
    rows: Any = encode(["the oil", "zaza zeze", "zzz"], joined, cache_rows=False)
    lengths = np.linalg.norm(rows[:, 16:], axis=1)
    np.testing.assert_allclose(lengths, [0.5**0.5, 0.5**0.5, 0], atol=1e-3)
    assert joined.find_known(rows).tolist() == [True, True, False]
    assert (joined.is_fast, joined.version) == (False, "1")
