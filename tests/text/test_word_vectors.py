"""Word vectors: sums of texts by the rules, with the same bits in any chunks, and the table."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.base.arrays import F32
from slugline.errors import DataError, EncoderError
from slugline.text import vector_table
from slugline.text.characters import find_unspaced
from slugline.text.counting import sum_texts
from slugline.text.tokens import ChunkSizes, find_words, tokenize
from slugline.text.vector_sums import find_contributions
from slugline.text.vector_table import VectorTable, open_table
from word_table import TEXT, WORDS, small_table, write_small_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> VectorTable:
    return small_table(tmp_path_factory.mktemp("table"))


# The rules --------------------------------------------------------------------------------------


def pieces(word: str) -> list[tuple[str, bool]]:
    """Return the words of the table that stand for a word, and whether they count as known."""
    if word in WORDS:
        return [(word, True)]
    found = []
    for part in filter(None, word.split("'")):
        if part in WORDS:
            found.append((part, True))
            continue
        unspaced = bool(find_unspaced(part[0]))
        at, part = 0, part if unspaced else part[:100]
        while at < len(part):
            ends = range(min(at + 12, len(part)), at + (1 if unspaced else 2), -1)
            end = next((end for end in ends if part[at:end] in WORDS), None)
            if end is not None:
                found.append((part[at:end], unspaced))
            at = at + 1 if end is None else end
    return found


def n_letters(word: str) -> int:
    return len(word.replace("'", ""))


def read(text: str) -> tuple[list[str], float]:
    """Return the words of the table whose vectors a text has, and the fraction that is known."""
    found, n_known, n_counted = [], 0, 0
    for word in tokenize(text):
        parts = pieces(word)
        found += [part for part, _ in parts]
        n_known += sum(n_letters(part) for part, is_known in parts if is_known)
        if word in WORDS or not (word.isascii() and word.isdigit()):
            n_counted += n_letters(word)
    return found, n_known / n_counted if n_counted else 0.0


def vectors_of(words: list[str], table: VectorTable) -> F32:
    return table.vectors(np.array([WORDS.index(word) for word in words], dtype=np.int64))


def total_of(words: list[str], table: VectorTable) -> F32:
    """Return the sum of vectors; it is exact."""
    return vectors_of(words, table).sum(axis=0, dtype=np.float64).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "expected", "known"),
    [
        ("", [], 0),
        ("The OIL price", ["the", "oil", "price"], 1),
        ("the unheard", ["the"], 3 / 10),
        ("Don’t", ["don't"], 1),
        ("l'eau d'eau", ["l", "eau", "eau"], 7 / 8),
        ("'oil'", ["oil"], 1),
        ("Ölpreise", ["ölpreis"], 0),
        ("xpricesx", ["prices"], 0),
        ("石油油价", ["石油", "油价"], 1),
        ("石石油机", ["石油"], 1 / 2),
        ("石", ["石"], 1),
        ("1234 oil", ["oil"], 1),
        ("42", ["42"], 1),
        ("1234", [], 0),
        ("xoix", [], 0),
        ("x", ["x"], 1),
        ("x" * 97 + "oil", ["oil"], 0),
        ("x" * 98 + "oil", [], 0),
        ("石" * 500 + "石油", ["石油"], 2 / 502),
        ("w" + "a" * 12, ["a" * 12], 0),
        ("w" + "b" * 13, [], 0),
        ("\ud800 oil", ["oil"], 3 / 4),
    ],
)
def test_sum_texts_follows_the_rules(
    text: str, expected: list[str], known: float, table: VectorTable
) -> None:
    assert read(text) == (expected, known)
    sums = sum_texts(table, [text])
    np.testing.assert_array_equal(sums.sums, [total_of(expected, table)])
    np.testing.assert_array_equal(sums.known, [np.float32(known)])
    assert (sums.sums.dtype.name, sums.known.dtype.name) == ("float32", "float32")


@given(texts=st.lists(TEXT, max_size=6))
def test_sum_texts_adds_the_vectors_of_each_word(texts: list[str], table: VectorTable) -> None:
    sums, known = sum_texts(table, texts)
    for text, row, fraction in zip(texts, sums, known, strict=True):
        words, expected = read(text)
        np.testing.assert_array_equal(row, total_of(words, table))
        assert fraction == np.float32(expected)


@given(text=TEXT)
def test_word_contributions_are_the_vectors_of_the_sum(text: str, table: VectorTable) -> None:
    contributions = find_contributions(table, text)
    vectors = np.array([each.vector for each in contributions]).reshape(-1, 16)
    np.testing.assert_array_equal(vectors, vectors_of(read(text)[0], table))
    starts = [each.start for each in contributions]
    assert starts == sorted(starts)


def test_word_contributions_are_of_words_and_of_pieces_without_spaces(table: VectorTable) -> None:
    text = "Naïve Ölpreise: l’eau, unheard 石油油价!"
    words = find_words([text])
    spans = [words.buffer[start:end].decode() for start, end, _ in find_contributions(table, text)]
    assert spans == ["naïve", "ölpreise", "l'eau", "l'eau", "石油", "油价"]
    assert find_contributions(table, "unheard") == []


# Chunks and long texts --------------------------------------------------------------------------


def test_sum_texts_gives_the_same_bits_in_any_chunks(
    table: VectorTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["The oil price", "", "石油油价 ölpreise", "don’t", "unheard opec's"] * 40
    expected = sum_texts(table, texts)
    monkeypatch.setattr("slugline.text.tokens.CHUNK_SIZES", ChunkSizes(50, texts_per_step=16))
    sums, known = sum_texts(table, texts)
    np.testing.assert_array_equal(sums, expected.sums)
    np.testing.assert_array_equal(known, expected.known)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("oil price " * 100_000, id="words"),
        pytest.param("QUJD" * 250_000, id="base64"),
        pytest.param("石油价机" * 80_000, id="no spaces"),
        pytest.param("'" * 1_000_000, id="apostrophes"),
        pytest.param("l'" * 500_000, id="parts"),
        pytest.param(" .," * 300_000, id="separators"),
    ],
)
def test_sum_texts_reads_a_long_text(text: str, table: VectorTable) -> None:
    (_, row), (_, known) = sum_texts(table, ["oil", text])
    words, fraction = read(text[:100_000])
    assert known == pytest.approx(fraction, abs=1e-3)
    assert row.any() == bool(words)


def test_sum_texts_of_no_texts_has_no_rows(table: VectorTable) -> None:
    sums, known = sum_texts(table, [])
    assert (sums.shape, known.shape) == ((0, table.header.n_columns), (0,))


def test_sum_texts_rejects_a_text_that_is_no_str(table: VectorTable) -> None:
    with pytest.raises(DataError):
        sum_texts(table, ["oil", None])  # type: ignore[list-item]


# The table --------------------------------------------------------------------------------------


def test_table_has_the_words_of_the_table(table: VectorTable) -> None:
    assert tuple(table) == WORDS
    assert (len(table), table.row_of_word["oil"]) == (len(WORDS), 1)


def test_table_opens_the_same_file_after_pickling(table: VectorTable) -> None:
    copy = pickle.loads(pickle.dumps(table))
    assert copy.digest == table.digest
    np.testing.assert_array_equal(copy.rows, table.rows)


def test_open_table_maps_the_table_of_the_package_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_table(tmp_path / "word_vectors_1.slugvec")
    monkeypatch.setattr(vector_table, "FOLDER", tmp_path)
    assert open_table() is open_table(1)
    assert pickle.loads(pickle.dumps(open_table())) is open_table()


def test_open_table_says_to_install_again_if_its_own_table_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_table, "FOLDER", tmp_path)
    with pytest.raises(EncoderError, match=r"^can't read .*; install slugline again\.$"):
        open_table()


def test_open_table_rejects_a_table_of_another_version_than_its_name_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_small_table(tmp_path / "word_vectors_2.slugvec")
    monkeypatch.setattr(vector_table, "FOLDER", tmp_path)
    with pytest.raises(EncoderError) as caught:
        open_table(2)
    assert str(caught.value) == (
        f"{path}: contains version 1 of the word vectors instead of 2; install slugline again."
    )


def test_open_table_rejects_a_version_without_a_file() -> None:
    with pytest.raises(EncoderError) as caught:
        open_table(99)
    assert str(caught.value) == (
        "this version of Slugline has no word_vectors_99.slugvec; install the version that "
        "trained the model, or retrain the model."
    )
