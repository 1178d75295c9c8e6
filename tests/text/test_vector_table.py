"""The file of word vectors: what is written is mapped, and a damaged file is an error."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.errors import DataError, EncoderError, OptionError
from slugline.text import counting
from slugline.text.counting import sum_texts
from slugline.text.tokens import find_words
from slugline.text.vector_sums import find_contributions
from slugline.text.vector_table import map_table
from word_table import N_HEADER, damage, write_small_table
from word_vector_file import write_table

TEXTS = ["oil prices", "石油油价 xoilx", "l'eau unheard " * 9, ""]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_small_table(tmp_path_factory.mktemp("table") / "small.slugvec").read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.slugvec"


@pytest.mark.skipif(counting.kernel is None, reason="there is no compiler")
def test_longest_by_start_has_words_of_two_characters_or_more(path: Path) -> None:
    words = ["oil", "oilprices", "oiled", "x", "石油", "石油价格", "石"]
    write_table(path, words, np.ones((7, 8), np.float32), version=1, languages=())
    table = map_table(path)
    starts = find_words(["oi 石油 xo"]).hashes >> 48
    assert table.longest_by_start[starts.astype(np.int64)].tolist() == [9, 4, 0]
    assert np.count_nonzero(table.longest_by_start) == 2


def with_checksum(data: bytes) -> bytes:
    return data[:92] + struct.pack("<I", zlib.crc32(data[:92])) + data[96:]


def message(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(EncoderError) as caught:
        map_table(path)
    return str(caught.value)


# Writing ----------------------------------------------------------------------------------------


def write(path: Path, words: Any, vectors: Any, **options: Any) -> str:
    return write_table(path, words, vectors, **{"version": 1, "languages": ("en",), **options})


@pytest.mark.parametrize("n_columns", [8, 128])
def test_write_table_rounds_vectors_to_15_numbers(n_columns: int, path: Path) -> None:
    rng = np.random.default_rng(1)
    words = [f"w{n}" for n in range(500)]
    vectors = rng.standard_normal((500, n_columns)) * rng.uniform(0.002, 30, (500, 1))
    vectors[7] = 0
    write(path, words, vectors.astype(np.float32))
    table = map_table(path)
    rows = table.apply_scale(table.unpack(np.arange(500)))
    step = np.abs(vectors).max(axis=1) / 7 + table.header.scale
    assert (np.abs(rows - vectors).max(axis=1) <= step / 2).all()
    assert [table.word(row) for row in range(500)] == words


def test_write_table_writes_a_header_with_version_sizes_and_digest(path: Path) -> None:
    digest = write(path, ["oil"], np.ones((1, 8)), version=3, languages=("de", "en"))
    table = map_table(path)
    assert (table.digest, table.languages) == (digest, ("de", "en"))
    assert (table.header.version, table.header.n_words, table.header.n_columns) == (3, 1, 8)
    table.check_digest()
    with path.open("rb") as file:
        assert file.read(8) == b"SLUGVEC1"


def test_write_table_writes_the_same_bytes_again(path: Path, data: bytes) -> None:
    assert write_small_table(path).read_bytes() == data


@pytest.mark.parametrize(
    ("words", "vectors", "expected"),
    [
        (
            ["oil"],
            np.ones((2, 8)),
            "`vectors` has shape (2, 8) for 1 word; give one row for each word, of which there may "
            "be up to 4,194,303.",
        ),
        ([], np.ones((0, 8)), "`vectors` has shape (0, 8) for 0 words; give one row for each "),
        (["oil"], np.ones((1, 12)), "`vectors` has 12 columns; pass a multiple of 8 up to 1,024."),
        (["oil"], np.full((1, 8), np.nan), "`vectors` contains NaN, infinity or a number "),
        (["oil"], np.full((1, 8), 1e39), "`vectors` contains NaN, infinity or a number "),
        (
            ["oil"],
            np.full((1, 8), 2e10),
            "`vectors` has a largest absolute value of 2e+10; multiply all vectors by one factor, ",
        ),
        (
            ["oil"],
            np.full((1, 8), 1e-41),
            "`vectors` has a largest absolute value of 1e-41; multiply all vectors by one factor, "
            "so that it is from 1e-30 to 1e+10.",
        ),
        (["gas oil"], np.ones((1, 8)), "'gas oil' isn't one word; pass words as returned "),
        (["x石"], np.ones((1, 8)), "'x石' isn't one word; pass words as returned by `tokenize`."),
        (["oil", "Gas"], np.ones((2, 8)), "Slugline reads 'Gas' as 'gas'; pass words as "),
        (["é" * 128], np.ones((1, 8)), "'éééé"),
        (["oil", "oil"], np.ones((2, 8)), "the word 'oil' is duplicated; remove one of the two."),
        (["\ud800"], np.ones((1, 8)), "'\\ud800' contains a lone surrogate; remove it."),
        ([1], np.ones((1, 8)), "`words`: document 0 is of type int, not a str; "),
        ("oil", np.ones((3, 8)), "`words`: the texts are a single string, not a "),
    ],
    ids=[
        "rows",
        "none",
        "columns",
        "NaN",
        "infinite",
        "too large",
        "too small",
        "two words",
        "scripts",
        "case",
        "long",
        "twice",
        "surrogate",
        "number",
        "string",
    ],
)
def test_write_table_rejects_invalid_words_and_vectors(
    words: list[str], vectors: Any, expected: str, path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        write(path, words, vectors)
    assert str(caught.value).startswith(expected)
    assert not path.exists()


@pytest.mark.parametrize(
    "options",
    [{"version": 0}, {"version": 1 << 32}, {"longest_piece": 65}, {"shortest_piece": 0}],
    ids=str,
)
def test_write_table_rejects_numbers_out_of_range(options: dict[str, Any], path: Path) -> None:
    with pytest.raises(OptionError):
        write(path, ["oil"], np.ones((1, 8)), **options)


# Damaged files ----------------------------------------------------------------------------------


def test_map_table_rejects_a_missing_file(path: Path) -> None:
    with pytest.raises(EncoderError) as caught:
        map_table(path)
    assert str(caught.value) == (
        f"can't read the word vectors in {path} (No such file or directory); "
        "install slugline again."
    )


def test_map_table_rejects_a_truncated_file(path: Path, data: bytes) -> None:
    for n_bytes in (0, 7, N_HEADER - 1):
        assert message(path, data[:n_bytes]) == (
            f"{path}: not a table of word vectors; install slugline again."
        )
    for changed in (data[:N_HEADER], data[:-1], data + b"\0"):
        assert message(path, changed) == (
            f"{path}: has {len(changed):,} bytes instead of {len(data):,}; install slugline again."
        )


@given(position=st.integers(8, 95), flip=st.integers(1, 255))
def test_map_table_rejects_a_changed_header(
    position: int, flip: int, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("changed") / "words.slugvec"
    changed = bytearray(data)
    changed[position] ^= flip
    assert message(path, bytes(changed)) == (
        f"{path}: the table of word vectors is damaged; install slugline again."
    )


def test_map_table_rejects_rules_of_another_version(path: Path, data: bytes) -> None:
    changed = with_checksum(data[:12] + struct.pack("<I", 2) + data[16:])
    assert message(path, changed) == (
        f"{path}: this table of word vectors (version 1, rules 2) belongs to another version of "
        "Slugline; install slugline again."
    )


@given(number=st.integers(1, 10), value=st.integers(0, 2**32 - 1) | st.integers(0, 300))
def test_map_table_checks_every_number_of_the_header(
    number: int, value: int, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("changed") / "words.slugvec"
    place = 8 + 4 * number
    path.write_bytes(with_checksum(data[:place] + struct.pack("<I", value) + data[place + 4 :]))
    try:
        table = map_table(path)
    except EncoderError:
        return
    sum_texts(table, TEXTS)


@given(seed=st.integers(0, 2**32 - 1), fraction=st.sampled_from([0.001, 0.1, 1]))
def test_word_vectors_of_a_damaged_table_read_nothing_outside_it(
    seed: int, fraction: float, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "words.slugvec"
    path.write_bytes(damage(data, seed, fraction))
    table = map_table(path)
    sums, known = sum_texts(table, TEXTS)
    assert np.isfinite(sums).all()
    assert ((known >= 0) & (known <= 1)).all()
    list(table)
    for text in TEXTS:
        find_contributions(table, text)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 1e35, 2.0**21, -1.0, 0.0])
def test_map_table_rejects_an_invalid_scale(scale: float, path: Path, data: bytes) -> None:
    changed = with_checksum(data[:52] + struct.pack("<f", scale) + data[56:])
    assert "belongs to another version of Slugline" in message(path, changed)


def test_map_table_rejects_damaged_notes(path: Path, data: bytes) -> None:
    assert message(path, data[:-64] + b"\xff" * 64).endswith("is damaged; install slugline again.")


def test_texts_have_finite_lengths_at_the_largest_scale(path: Path, data: bytes) -> None:
    path.write_bytes(with_checksum(data[:52] + struct.pack("<f", 2.0**20) + data[56:]))
    lengths = sum_texts(map_table(path), ["oil prices " * 10_000]).lengths(0)
    assert np.isfinite(lengths).all()
    assert lengths.all()


def test_check_digest_finds_a_changed_byte(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    map_table(path).check_digest()
    path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    table = map_table(path)
    with pytest.raises(EncoderError) as caught:
        table.check_digest()
    assert str(caught.value) == (f"{path}: checksum mismatch; install slugline again.")
