"""A small table of word vectors, and a strategy for texts with its words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from slugline.text.vector_table import VectorTable, map_table
from word_vector_file import write_table

N_HEADER = 128

WORDS = (
    *("the", "oil", "price", "prices", "opec", "eau", "l", "don't", "naïve", "ölpreis", "öl"),
    *("preis", "rice", "ice", "x", "a" * 12, "b" * 13, "42", "手机", "石油", "石", "油价", "ราคา"),
    *("น้ำมัน", "コーヒー", "नमस्ते", "مرحبا", "ελλάδα", "𠀀𠀁", "été", "oi", "n" * 40),
)

# Words of the table, also in other forms, similar words, and characters that separate words or that
# no table has.
PIECES = st.sampled_from(
    [
        *WORDS,
        *("OIL", "Öl", "nai\u0308ve", "ΣΑΣ", "İ", "don’t", "l’eau", "'oil'", "''", "opec's"),
        *("oilprices", "ölpreise", "xoilx", "iphone手机", "石油油价石", "ราคาน้ำมัน", "油", "手"),
        *("1", "42nd", "1234", "x" * 99, "x" * 97 + "oil", "x" * 98 + "oil", "é" * 101),
        *("\ud800", "\udfff\ud83d", "\0", "🙂", "\u0301", "\u200b", "https://oil.example/a?b=1"),
        *(" ", " ", " ", "\t\n", "\u3000", "-", "。", "…"),
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join)


def write_small_table(
    path: Path, words: Sequence[str] = WORDS, n_columns: int = 16, seed: int = 0
) -> Path:
    """Write a table of random vectors of words; return its path."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((len(words), n_columns)) * rng.uniform(0.01, 2, (len(words), 1))
    write_table(path, words, vectors.astype(np.float32), version=1, languages=("de", "en", "zh"))
    return path


def damage(data: bytes, seed: int, fraction: float) -> bytes:
    """Return the file of a table with random bytes, but for the header and the notes."""
    rng = np.random.default_rng(seed)
    body = np.frombuffer(data, dtype=np.uint8).copy()
    is_changed = rng.random(len(body)) < fraction
    is_changed[:N_HEADER] = is_changed[-64:] = False
    body[is_changed] = rng.integers(0, 256, int(is_changed.sum()))
    return body.tobytes()


def small_table(folder: Path) -> VectorTable:
    """Return a table of random vectors."""
    return map_table(write_small_table(folder / "small.slugvec"))
