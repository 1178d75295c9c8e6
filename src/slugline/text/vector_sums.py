"""Finds the words of texts in a table of word vectors, and sums their vectors, in NumPy.

Texts are read by these rules:

* Words are those of `slugline.text.tokens`; each one that is in the table adds its vector.
* Any other word is divided at its apostrophes, and each part that is in the table adds its vector.
* In any other part, from the left, the longest word of the table that the part continues with adds
  its vector; without one, a character is left out. The table has limits to the number of characters
  of such pieces. Of a part with over 100 characters, only the first 100 are read, except in scripts
  without spaces, where a word is all that is between punctuation.

Vectors are integers until their sum is scaled, so a sum has the same bits in whichever order they
are added. The compiled kernel follows the same rules in `_vectors.h`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slugline.base.arrays import F32, I64, U8, U64, Mask
from slugline.text.characters import is_unspaced
from slugline.text.hashing import hash_spans
from slugline.text.sparse import ranges, row_lengths, row_offsets
from slugline.text.tokens import Words

if TYPE_CHECKING:
    from slugline.text.vector_table import VectorTable

_MAX_PART = 100
_SPACE, _APOSTROPHE = b" '"
_FIRST_DIGIT, _LAST_DIGIT = b"09"
# The number of squares that are added at once, as in _rows.c (TOPICS_AT_ONCE); a table's number of
# columns is a multiple of it.
_SQUARES_AT_ONCE = 8
# Vectors that are unpacked at once.
_BATCH_VECTORS = 4096


class TextSums(NamedTuple):
    """Sums of the vectors of the words of texts.

    Attributes
    ----------
    sums : float32 array, shape (n_texts, n_columns)
        Of any length; 0 if no word is known.
    known : float32 array, shape (n_texts,)
        Fraction of the characters of a text's words that belong to words of the table, or, in
        scripts without spaces, to pieces that are in the table. Apostrophes don't count, nor do
        ASCII numbers that aren't in the table. 0 if there are no words.
    """

    sums: F32
    known: F32

    def lengths(self, min_known_fraction: float) -> F32:
        """Return the lengths of the sums, shape (n_texts,); 0 for texts of which less is known.

        Squares are added in the same order on any machine, unlike in NumPy's own sums.
        """
        squares = self.sums * self.sums
        totals = squares[:, :_SQUARES_AT_ONCE].copy()
        for start in range(_SQUARES_AT_ONCE, squares.shape[1], _SQUARES_AT_ONCE):
            totals += squares[:, start : start + _SQUARES_AT_ONCE]
        while totals.shape[1] > 1:
            half = totals.shape[1] // 2
            totals = totals[:, :half] + totals[:, half:]
        lengths: F32 = np.sqrt(totals[:, 0])
        lengths[self.known < np.float32(min_known_fraction)] = 0
        return lengths


class Spans(NamedTuple):
    """Words, or parts or pieces of words.

    Attributes
    ----------
    owners : int64 array, shape (n_spans,)
        The index of the word that each belongs to.
    starts, ends : int64 arrays, shape (n_spans,)
        In bytes.
    rows : int64 array, shape (n_spans,)
        Each one's row in the table; -1 if it isn't there.
    """

    owners: I64
    starts: I64
    ends: I64
    rows: I64

    def take(self, rows: Mask | I64) -> Spans:
        """Return the spans with these indices, or where a mask is True."""
        return Spans(*(array[rows] for array in self))

    @classmethod
    def concatenate(cls, spans: Sequence[Spans]) -> Spans:
        """Return one after another."""
        return cls(*map(np.concatenate, zip(*spans, strict=True)))


class FoundVectors(NamedTuple):
    """The words of texts that are in a table, or the parts and pieces of words.

    Attributes
    ----------
    spans : Spans
        Those that add a vector to the sums of their documents, in reading order.
    n_known, n_counted : int64 arrays, shape (n_words,)
        Number of known characters of each word, and of all its characters that count.
    """

    spans: Spans
    n_known: I64
    n_counted: I64


def sum_in_arrays(table: VectorTable, words: Words) -> TextSums:
    """Return the sums of the vectors of documents."""
    found = find_vectors(table, words)
    owners, rows = found.spans.owners, found.spans.rows
    n_documents = len(words.indptr) - 1
    sums = np.zeros((n_documents, table.header.n_columns), dtype=np.int64)
    documents = np.repeat(np.arange(n_documents), row_lengths(words.indptr))
    for first in range(0, len(rows), _BATCH_VECTORS):
        batch = slice(first, first + _BATCH_VECTORS)
        np.add.at(sums, documents[owners[batch]], table.unpack(rows[batch]))
    n_known, n_counted = (
        row_lengths(row_offsets(counts)[words.indptr])
        for counts in (found.n_known, found.n_counted)
    )
    return TextSums(
        table.apply_scale(sums), (n_known / np.maximum(n_counted, 1)).astype(np.float32)
    )


def find_vectors(table: VectorTable, words: Words) -> FoundVectors:
    """Return the words that have vectors, and the parts and pieces of others that have them."""
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    rows = table.find_rows(words.hashes)
    is_unknown = rows < 0
    whole_words = Spans(np.arange(len(words)), words.starts, words.ends, rows)
    parts = _find_parts(table, array, words, is_unknown)
    pieces = _find_pieces(table, array, parts.take(parts.rows < 0))
    known = Spans.concatenate([whole_words.take(~is_unknown), parts.take(parts.rows >= 0)])
    # Pieces of words with spaces around them say little of what is known.
    counted = Spans.concatenate([known, pieces.take(is_unspaced(array, pieces.starts))])
    n_letters = row_offsets(((array & 0xC0) != 0x80) & (array != _APOSTROPHE))
    n_known = np.zeros(len(words), dtype=np.int64)
    np.add.at(n_known, counted.owners, _count_between(n_letters, counted.starts, counted.ends))
    n_counted = _count_between(n_letters, words.starts, words.ends)
    n_others = row_offsets((array < _FIRST_DIGIT) | (array > _LAST_DIGIT))
    n_counted[is_unknown & (_count_between(n_others, words.starts, words.ends) == 0)] = 0
    spans = Spans.concatenate([known, pieces])
    order = np.argsort(spans.starts, kind="stable")
    return FoundVectors(spans.take(order), n_known, n_counted)


def _count_between(offsets: I64, starts: I64, ends: I64) -> I64:
    return offsets[ends] - offsets[starts]


def _find_parts(table: VectorTable, array: U8, words: Words, is_unknown: Mask) -> Spans:
    """Return the parts of unknown words, between apostrophes."""
    is_edge = (array == _SPACE) | (array == _APOSTROPHE)
    edges = np.flatnonzero(is_edge[1:] != is_edge[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    owners = np.searchsorted(words.starts, starts, side="right") - 1
    remaining = is_unknown[owners]
    owners, starts, ends = owners[remaining], starts[remaining], ends[remaining]
    return Spans(owners, starts, ends, table.find_rows(_hash_between(array, starts, ends)))


def _find_pieces(table: VectorTable, array: U8, parts: Spans) -> Spans:
    """Return the longest matches in parts of words, from the left."""
    header = table.header
    characters = np.flatnonzero((array & 0xC0) != 0x80)
    first = np.searchsorted(characters, parts.starts)
    unspaced = is_unspaced(array, parts.starts)
    n_characters = np.searchsorted(characters, parts.ends) - first
    n_characters = np.where(unspaced, n_characters, np.minimum(n_characters, _MAX_PART))
    positions = ranges(first, n_characters)
    n_left = np.repeat(first + n_characters, n_characters) - positions
    are_two = np.flatnonzero(n_left >= 2)
    first_two = characters[positions[are_two]], characters[positions[are_two] + 2]
    longest = table.longest_with_start(_hash_between(array, *first_two))
    n_left[are_two] = np.minimum(n_left[are_two], np.maximum(longest, 1))
    shortest = np.where(unspaced, header.shortest_unspaced_piece, header.shortest_piece)
    shortest = np.repeat(shortest, n_characters)
    lengths = np.zeros(len(positions), dtype=np.int64)
    rows = np.full(len(positions), -1, dtype=np.int64)

    def hash_pieces(numbers: I64, n_characters: I64 | int) -> U64:
        places = positions[numbers]
        return _hash_between(array, characters[places], characters[places + n_characters])

    may_begin = np.flatnonzero(shortest <= n_left)
    beginnings = hash_pieces(may_begin, shortest[may_begin])
    may_begin = may_begin[table.may_begin_pieces(beginnings)]
    for length in range(header.longest_piece, 0, -1):
        is_possible = (rows < 0) & (length >= shortest) & (length <= n_left)
        numbers = may_begin[is_possible[may_begin]]
        hashes = hash_pieces(numbers, length)
        may_match = table.may_be_pieces(hashes)
        numbers = numbers[may_match]
        rows[numbers] = table.find_rows(hashes[may_match])
        lengths[numbers[rows[numbers] >= 0]] = length
    chosen = _walk(lengths)
    places = positions[chosen]
    owners = np.repeat(parts.owners, n_characters)[chosen]
    starts, ends = characters[places], characters[places + lengths[chosen]]
    return Spans(owners, starts, ends, rows[chosen])


def _walk(lengths: I64) -> I64:
    """Return the places of matches, each the first one after the end of the one before."""
    chosen, end = [], 0
    for place in np.flatnonzero(lengths).tolist():
        if place >= end:
            chosen.append(place)
            end = place + int(lengths[place])
    return np.array(chosen, dtype=np.int64)


def _hash_between(array: U8, starts: I64, ends: I64) -> U64:
    return hash_spans(array, starts, ends - starts)
