"""Sums of word vectors by the compiled kernel and by NumPy: the same bits, whatever comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distinct_characters import distinct_characters
from slugline.text import counting
from slugline.text.columns import Buckets
from slugline.text.counting import KernelResult, count_in_arrays, count_in_kernel, sum_texts
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features
from slugline.text.tokens import find_words
from slugline.text.vector_sums import TextSums, sum_in_arrays
from slugline.text.vector_table import VectorTable, map_table
from word_table import TEXT, WORDS, damage, small_table
from word_vector_file import write_table

needs_kernel = pytest.mark.skipif(
    counting.kernel is None, reason="the kernel is not built: there was no compiler"
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> VectorTable:
    return small_table(tmp_path_factory.mktemp("table"))


def assert_equal(ours: TextSums | None, theirs: TextSums | None) -> None:
    assert ours is not None
    assert theirs is not None
    for some, others in zip(ours, theirs, strict=True):
        assert (some.dtype, some.shape) == (others.dtype, others.shape)
        assert some.tobytes() == others.tobytes()


def compare(table: VectorTable, texts: list[str]) -> None:
    """Sum by the kernel and by NumPy."""
    assert_equal(sum_texts(table, texts), sum_in_arrays(table, find_words(texts)))


@needs_kernel
@given(texts=st.lists(TEXT, max_size=6))
def test_kernel_sums_as_numpy_does(texts: list[str], table: VectorTable) -> None:
    compare(table, texts)


@pytest.mark.slow
@needs_kernel
def test_kernel_reads_each_character_as_numpy_does(tmp_path: Path) -> None:
    words = [chr(point) for point in range(0x80, 0x32000, 7) if chr(point).isalpha()]
    words = [word for word in words if find_words([word]).buffer.strip() == word.encode()]
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(words), 8)).astype(np.float32)
    write_table(
        tmp_path / "characters.slugvec",
        words,
        vectors,
        version=1,
        languages=(),
        shortest_piece=1,
        shortest_unspaced_piece=1,
    )
    table = map_table(tmp_path / "characters.slugvec")
    compare(table, distinct_characters())
    compare(table, ["x" + "".join(map(chr, range(p, p + 99))) for p in range(0x80, 0x32000, 99)])


@pytest.mark.slow
@needs_kernel
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("oil price " * 70_000, id="more rows than 32 bits hold"),
        pytest.param("QUJD" * 25_000, id="base64"),
        pytest.param("石油价机" * 8_000, id="no spaces"),
        pytest.param("'" * 1_000_000, id="apostrophes"),
        pytest.param("l'" * 50_000, id="parts"),
        pytest.param("xoilprices'" * 9_000, id="pieces"),
        pytest.param("1" * 1_000_000, id="digits"),
        pytest.param("a手" * 20_000, id="scripts that change at every character"),
        pytest.param("\u0301" * 100_000, id="marks"),
        pytest.param("ΣΑΣ nai\u0308ve " * 9_000, id="hard characters"),
    ],
)
def test_kernel_sums_long_texts_as_numpy_does(text: str, table: VectorTable) -> None:
    compare(table, ["oil", text, ""])


@needs_kernel
@given(seed=st.integers(0, 2**32 - 1), shortest=st.integers(1, 9), longest=st.integers(1, 64))
def test_kernel_finds_pieces_of_any_length_as_numpy_does(
    seed: int, shortest: int, longest: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    letters = ["ab", "é石", "石油", "𠀀𠀁"][seed % 4]

    def word(most: int) -> str:
        return "".join(rng.choice([*letters], rng.integers(1, most)))

    words = {word(12) for _ in range(40)} | {word(64) for _ in range(5)}
    words = {word for word in words if len(find_words([word])) == 1}
    path = tmp_path_factory.mktemp("pieces") / "pieces.slugvec"
    write_table(
        path,
        sorted(words),
        rng.standard_normal((len(words), 8)).astype(np.float32),
        version=1,
        languages=(),
        shortest_piece=shortest,
        shortest_unspaced_piece=10 - shortest,
        longest_piece=longest,
    )
    compare(map_table(path), [word(200) for _ in range(9)])


@needs_kernel
@given(seed=st.integers(0, 2**32 - 1), fraction=st.sampled_from([0.001, 0.1, 1]))
def test_sums_of_a_damaged_table_are_finite(
    seed: int, fraction: float, table: VectorTable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "words.slugvec"
    assert table.path is not None
    path.write_bytes(damage(table.path.read_bytes(), seed, fraction))
    damaged = map_table(path)
    texts = ["oil prices", "石油油价 xoilx", "l'eau unheard " * 9, "", *WORDS]
    for found in (sum_texts(damaged, texts), sum_in_arrays(damaged, find_words(texts))):
        assert found.sums.shape == (len(texts), table.header.n_columns)
        assert np.isfinite(found.sums).all()
        assert (found.known >= 0).all()


# In the same pass as terms ----------------------------------------------------------------------


@needs_kernel
@given(texts=st.lists(TEXT, max_size=6))
def test_counting_sums_vectors_beside_terms(texts: list[str], table: VectorTable) -> None:
    kinds, columns = ("words", "characters"), [Buckets(1 << 16, "words"), Buckets(8, "characters")]
    expected = sum_texts(table, texts)
    for count in (count_in_kernel, count_in_arrays):
        counts = count(texts, kinds, columns, table=table)
        others = count(texts, kinds, columns)
        assert_equal(counts.sums, expected)
        assert others.sums is None
        np.testing.assert_array_equal(counts.entries.values, others.entries.values)


def test_features_sum_vectors_of_the_parts_that_they_read(table: VectorTable) -> None:
    texts = ["The oil price", "石油油价 ölpreise", "", "unheard opec's"] * 9
    features = Features([FeatureGroup("words", "log-tf-idf", 1.25)], n_jobs=1)
    features.fit_transform(texts)
    (part,) = features.read_parts(texts, table)
    assert_equal(part.sums, sum_texts(table, texts))
    assert [part.sums for part in features.read_parts(texts)] == [None]


# What doesn't fit -------------------------------------------------------------------------------

SLOTS = np.zeros(4, dtype=np.uint64)
FILTER, ROWS = np.zeros(4, dtype=np.uint8), np.zeros((3, 4), dtype=np.uint8)
FACTORS = np.ones(3, dtype=np.uint16)
LONGEST = np.zeros(1 << 16, dtype=np.uint8)
PIECES = (3, 2, 12, 1.0)
SIZE = "a table is not of the size that it has to be"


@needs_kernel
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("words", "a table of vectors is not a tuple"),
        (
            (SLOTS[:3], FILTER[:3], FACTORS, ROWS, LONGEST, 8, *PIECES),
            "the number of slots is not a power",
        ),
        (
            (SLOTS[:0], FILTER[:0], FACTORS, ROWS, LONGEST, 8, *PIECES),
            "the number of slots is not a power",
        ),
        ((SLOTS, FILTER[:3], FACTORS, ROWS, LONGEST, 8, *PIECES), SIZE),
        ((SLOTS, FILTER, FACTORS[:2], ROWS, LONGEST, 8, *PIECES), SIZE),
        ((SLOTS, FILTER, FACTORS, ROWS, LONGEST, 16, *PIECES), SIZE),
        ((SLOTS, FILTER, FACTORS, ROWS, LONGEST[1:], 8, *PIECES), SIZE),
        (
            (SLOTS, FILTER, FACTORS, ROWS, LONGEST, 7, *PIECES),
            "the number of columns is odd or too large",
        ),
        (
            (SLOTS, FILTER, FACTORS, ROWS, LONGEST, 0, *PIECES),
            "the number of columns is odd or too large",
        ),
        (
            (SLOTS, FILTER, FACTORS, ROWS, LONGEST, 1026, *PIECES),
            "the number of columns is odd or too ",
        ),
        (
            (SLOTS, FILTER, FACTORS, ROWS, LONGEST, 8, 0, 2, 12, 1.0),
            "pieces are too short or too long",
        ),
        (
            (SLOTS, FILTER, FACTORS, ROWS, LONGEST, 8, 3, -1, 12, 1.0),
            "pieces are too short or too long",
        ),
        (
            (SLOTS, FILTER, FACTORS, ROWS, LONGEST, 8, 3, 2, 65, 1.0),
            "pieces are too short or too long",
        ),
        (
            (SLOTS.view(np.int64)[:2].view(np.float64), FILTER, FACTORS, ROWS, LONGEST, 8, *PIECES),
            "an arr",
        ),
        (
            (SLOTS, FILTER.view(np.int8), FACTORS, ROWS, LONGEST, 8, *PIECES),
            "an array of another type, or ",
        ),
        (
            (SLOTS, FILTER, FACTORS.view(np.int16), ROWS, LONGEST, 8, *PIECES),
            "an array of another type, ",
        ),
    ],
)
def test_kernel_rejects_sections_that_do_not_fit(sections: Any, message: str) -> None:
    arguments = b"oil", np.array([3]), bytes(128), None, bytes, ()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared)
        counting.kernel.count(*arguments, sections)
    assert str(caught.value).startswith(message)


@needs_kernel
@given(text=st.binary(max_size=200))
def test_kernel_sums_vectors_of_any_bytes(text: bytes, table: VectorTable) -> None:
    arguments = text, np.array([len(text)]), bytes(range(128)), None, bytes, ()
    result = KernelResult(*counting.kernel.count(*arguments, table.kernel_arguments))
    sums, known = result.text_sums(table)
    assert np.isfinite(sums).all()
    assert 0 <= known[0] <= 1
