"""Writes the file of a table of word vectors; `slugline.text.vector_table` describes it."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np

from slugline.base.arrays import F32, I64, U8, U16, U64
from slugline.base.checks import check_whole, has_surrogates, short_repr
from slugline.base.files import PathLike, write_whole
from slugline.base.wording import counted
from slugline.corpus.documents import check_texts
from slugline.errors import DataError, Parameter
from slugline.text.characters import is_unspaced
from slugline.text.hashing import hash_spans
from slugline.text.sparse import row_lengths
from slugline.text.tokens import Words, find_words
from slugline.text.vector_table import (
    CHECKSUM_START,
    DIGEST_START,
    HEADER_FIELDS,
    HEADER_SIZE,
    MAGIC,
    MAX_COLUMNS,
    MAX_PIECE,
    N_BITS,
    ROW_BITS,
    RULES_VERSION,
    ZERO,
    Header,
    Notes,
    digest_of,
)

#: The largest number of bytes of a word.
MAX_WORD_BYTES = 255
_ROW_MASK = np.uint64((1 << ROW_BITS) - 1)
# A hash shifted to the right by these numbers of bits is the number of a word's first slot, of a
# piece's bit in the filter, and of the bit of a piece's first characters there.
_SLOT_SHIFT, _PIECE_SHIFT, _BEGINNING_SHIFT = np.uint64(32), np.uint64(12), np.uint64(36)
# The largest absolute value of a number, and the largest factor.
_MAX_NUMBER, _MAX_FACTOR = 7, 4095
_MAX_UINT32 = (1 << 32) - 1
# The largest absolute value of vectors is at least this, as the scale, which is stored in single
# precision, must not be 0; and at most the other, as the scale is limited.
_MIN_LARGEST, _MAX_LARGEST = 1e-30, 1e10
# The largest fraction of slots in use: with more, words are further from their first slot.
_MAX_LOAD_FACTOR = 0.75


def write_table(
    path: PathLike,
    words: Sequence[str],
    vectors: F32,
    *,
    version: int,
    languages: Sequence[str],
    shortest_piece: int = 3,
    shortest_unspaced_piece: int = 2,
    longest_piece: int = 12,
) -> str:
    """Write a table of word vectors and return its digest.

    Parameters
    ----------
    path : path
    words : sequence of str
        Distinct words, as returned by `slugline.text.tokens.tokenize`. Put the most frequent ones
        first: texts then touch fewer pages of memory.
    vectors : float array, shape (n_words, n_columns)
        Contribution of each word to the sum of a text, including the word's weight. The number of
        columns is a multiple of 8, up to 1,024.
    version : int
    languages : sequence of str
        Codes of the languages of the words.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        Number of characters of words that may be pieces of an unknown word; see `Header`.

    Raises
    ------
    DataError : if a word is duplicated or not a token of `tokenize`, or vectors are invalid.
    OptionError : if a number is out of range.
    """
    words = check_texts(words, "words")
    with np.errstate(over="ignore"):  # values that are too large become infinity
        vectors = np.asarray(vectors, dtype=np.float32)
    _check_vectors(words, vectors)
    check_whole("version", version, 1, _MAX_UINT32)
    check_whole("longest_piece", longest_piece, 1, MAX_PIECE)
    check_whole("shortest_piece", shortest_piece, 1, MAX_PIECE)
    check_whole("shortest_unspaced_piece", shortest_unspaced_piece, 1, MAX_PIECE)
    text, lengths, tokens = _read_words(words)
    scale, factors, rows = _quantise(vectors)
    slots = _make_slots(tokens.hashes)
    notes = msgspec.json.encode(Notes(tuple(languages)))
    header = Header(
        version=version,
        rules_version=RULES_VERSION,
        n_words=len(words),
        n_columns=vectors.shape[1],
        n_bits=N_BITS,
        n_slots=len(slots),
        n_text=len(text),
        n_notes=len(notes),
        shortest_piece=shortest_piece,
        shortest_unspaced_piece=shortest_unspaced_piece,
        longest_piece=longest_piece,
        scale=scale,
    )
    start = HEADER_FIELDS.pack(MAGIC, *header).ljust(CHECKSUM_START, b"\0")
    start += struct.pack("<I", zlib.crc32(start))
    arrays = slots, _make_filter(tokens, header), factors, rows, lengths.astype(np.uint8)
    sections = [array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays]
    sections += text, notes
    body = b"".join(
        section.ljust(size, b"\0")
        for section, size in zip(sections, header.section_sizes(), strict=True)
    )
    digest = digest_of(start + bytes(HEADER_SIZE - DIGEST_START) + body)
    write_whole(path, start + bytes.fromhex(digest) + body)
    return digest


def _check_vectors(words: Sequence[str], vectors: F32) -> None:
    if vectors.ndim != 2 or len(vectors) != len(words) or not 0 < len(words) < 1 << ROW_BITS:
        raise DataError(
            Parameter("vectors"),
            f" has shape {vectors.shape} for {counted(len(words), 'word')}; give one row for each "
            f"word, of which there may be up to {(1 << ROW_BITS) - 1:,}.",
        )
    n_columns = vectors.shape[1]
    if n_columns % 8 or not 0 < n_columns <= MAX_COLUMNS:
        raise DataError(
            Parameter("vectors"),
            f" has {counted(n_columns, 'column')}; pass a multiple of 8 up to {MAX_COLUMNS:,}.",
        )
    if not np.isfinite(vectors).all():
        raise DataError(
            Parameter("vectors"),
            " contains NaN, infinity or a number too large for float32; remove such words.",
        )
    largest = float(np.abs(vectors).max())
    if largest and not _MIN_LARGEST <= largest <= _MAX_LARGEST:
        raise DataError(
            Parameter("vectors"),
            f" has a largest absolute value of {largest:.2g}; multiply all vectors by one factor, "
            f"so that it is from {_MIN_LARGEST:g} to {_MAX_LARGEST:g}.",
        )


def _read_words(words: Sequence[str]) -> tuple[bytes, I64, Words]:
    """Return the words as UTF-8, the number of bytes of each, and their places and hashes."""
    tokens = find_words(words)
    for word in words:
        if has_surrogates(word):
            raise DataError(f"{short_repr(word)} contains a lone surrogate; remove it.")
    n_tokens = row_lengths(tokens.indptr)
    if (n_tokens != 1).any():
        word = words[int(np.flatnonzero(n_tokens != 1)[0])]
        raise DataError(f"{short_repr(word)} isn't one word; pass words as returned by `tokenize`.")
    text, lengths = tokens.extract(np.arange(len(tokens)))
    if text != "".join(words).encode():
        i = next(i for i, word in enumerate(words) if tokens.word(i) != word)
        raise DataError(
            f"Slugline reads {short_repr(words[i])} as {short_repr(tokens.word(i))}; pass words as "
            "returned by `tokenize`."
        )
    if lengths.max() > MAX_WORD_BYTES:
        word = words[int(lengths.argmax())]
        raise DataError(f"{short_repr(word)} has over {MAX_WORD_BYTES} bytes; remove it.")
    # Words whose hashes differ only in the lowest bits would collide as well.
    compared = tokens.hashes & ~_ROW_MASK
    _, first, n_equal = np.unique(compared, return_index=True, return_counts=True)
    if (n_equal > 1).any():
        word = words[int(first[n_equal > 1].min())]
        raise DataError(f"the word {short_repr(word)} is duplicated; remove one of the two.")
    return text, lengths, tokens


def _first_slots(hashes: U64, n_slots: int) -> I64:
    return (hashes >> _SLOT_SHIFT).astype(np.int64) & (n_slots - 1)


def _make_slots(hashes: U64) -> U64:
    """Return the hash table of the words with these hashes."""
    n_slots = 1 << int(len(hashes) / _MAX_LOAD_FACTOR).bit_length()
    slots = [0] * n_slots
    entries = hashes & ~_ROW_MASK
    entries += np.arange(1, len(hashes) + 1, dtype=np.uint64)
    starts = _first_slots(hashes, n_slots)
    for slot, entry in zip(starts.tolist(), entries.tolist(), strict=True):
        while slots[slot]:
            slot = (slot + 1) % n_slots
        slots[slot] = entry
    return np.array(slots, dtype=np.uint64)


def _make_filter(words: Words, header: Header) -> U8:
    """Return the filter of words that may be pieces, and of their first characters."""
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    unspaced = is_unspaced(array, words.starts)
    shortest = np.where(unspaced, header.shortest_unspaced_piece, header.shortest_piece)
    characters = np.flatnonzero((array & 0xC0) != 0x80)
    first = np.searchsorted(characters, words.starts)
    n_characters = np.searchsorted(characters, words.ends) - first
    pieces = np.flatnonzero((n_characters >= shortest) & (n_characters <= header.longest_piece))
    starts, ends = words.starts[pieces], characters[(first + shortest)[pieces]]
    beginnings = hash_spans(array, starts, ends - starts)
    filter_ = np.zeros(header.n_slots, dtype=np.uint8)
    for numbers in (words.hashes[pieces] >> _PIECE_SHIFT, beginnings >> _BEGINNING_SHIFT):
        indices, bits = _filter_bits(filter_, numbers)
        np.bitwise_or.at(filter_, indices, bits)
    return filter_


def _filter_bits(filter_: U8, numbers: U64) -> tuple[I64, U8]:
    """Return the index of each number's byte in a filter, and its bit in that byte."""
    bits = numbers.astype(np.int64) & (8 * len(filter_) - 1)
    return bits >> 3, np.left_shift(1, bits & 7).astype(np.uint8)


def _quantise(vectors: F32) -> tuple[float, U16, U8]:
    """Return the scale, the factor of each vector, and the packed values of the vectors."""
    largest = np.abs(vectors).max(axis=1).astype(np.float64) / _MAX_NUMBER
    scale = math.ldexp(1, math.frexp(float(largest.max()) / _MAX_FACTOR)[1])
    factors = np.ceil(largest / scale)
    numbers = np.rint(vectors / np.maximum(factors * scale, scale)[:, np.newaxis])
    nibbles = (numbers.astype(np.int8) + ZERO).astype(np.uint8)
    half = vectors.shape[1] // 2
    return scale, factors.astype(np.uint16), nibbles[:, :half] | nibbles[:, half:] << 4
