"""Sums of word vectors of texts.

Rules for looking up words:

* Texts are split as in `slugline.text.tokens`. A word in the table adds its vector.
* Other words are split at apostrophes. A part in the table adds its vector.
* Other parts are matched greedily from the left: the longest piece in the table adds its vector; if
  none matches, one character is skipped. The table limits the length of pieces. Only the first 100
  characters of a part are read, except in scripts without spaces, where words extend from one
  punctuation mark to the next.

Vectors are integers until their sum is scaled, so sums don't depend on the order of additions. The
compiled kernel follows the same rules in `_vectors.h`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slugline.base.arrays import F32, I64
from slugline.text.characters import is_unspaced
from slugline.text.sparse import row_lengths, row_offsets
from slugline.text.tokens import Words, find_words

if TYPE_CHECKING:
    from slugline.text.vector_table import VectorTable

_MAX_PART = 100
# Number of squares added at once, as in _products.h (TOPICS_AT_ONCE); divides the number of
# columns.
_SQUARES_AT_ONCE = 8
# Number of vectors unpacked at once.
_BATCH_VECTORS = 4096


class TextSums(NamedTuple):
    """Sums of word vectors of texts.

    Attributes
    ----------
    sums : float32 array, shape (n_texts, n_columns)
        Not normalized; 0 if no word is known.
    known : float32 array, shape (n_texts,)
        Fraction of word characters that belong to words in the table or, in scripts without spaces,
        to pieces in the table. Excludes apostrophes and unknown ASCII numbers. 0 without words.
    """

    sums: F32
    known: F32

    def lengths(self, min_known_fraction: float) -> F32:
        """Return the lengths of the sums, shape (n_texts,); 0 below the known fraction.

        Unlike NumPy's sums, squares are added in the same order on every machine.
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


class FoundVectors(NamedTuple):
    """Words, parts and pieces found in a table, in reading order.

    Attributes
    ----------
    owners : int64 array, shape (n_found,)
        Index of the word.
    starts, ends : int64 arrays, shape (n_found,)
        Byte offsets.
    rows : int64 array, shape (n_found,)
        Table rows.
    n_known, n_counted : int64 arrays, shape (n_words,)
        Numbers of known characters, and of characters that count, of each word.
    """

    owners: I64
    starts: I64
    ends: I64
    rows: I64
    n_known: I64
    n_counted: I64


def sum_in_arrays(table: VectorTable, words: Words) -> TextSums:
    """Return the sums of word vectors of documents, without the kernel."""
    found = find_vectors(table, words)
    owners, rows = found.owners, found.rows
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
    """Look up words, and the parts and pieces of unknown words."""
    found: list[tuple[int, int, int, int]] = []
    n_known, n_counted = np.zeros((2, len(words)), dtype=np.int64)
    are_unspaced = is_unspaced(np.frombuffer(words.buffer, dtype=np.uint8), words.starts)
    for owner, start in enumerate(words.starts.tolist()):
        word, is_in_unspaced_script = words.word(owner), bool(are_unspaced[owner])
        is_known = word in table.row_of_word
        if is_known or not (word.isascii() and word.isdigit()):
            n_counted[owner] = len(word) - word.count("'")
        for at, part in [(0, word)] if is_known else _split(word):
            if part in table.row_of_word:
                pieces = [(0, part)]
            else:
                pieces = list(_find_pieces(table, part, is_in_unspaced_script))
            for place, piece in pieces:
                first = start + len(word[: at + place].encode("utf-8", "surrogatepass"))
                last = first + len(piece.encode("utf-8", "surrogatepass"))
                found.append((owner, first, last, table.row_of_word[piece]))
                # In scripts with spaces, matching pieces don't make a word known.
                if piece == part or is_in_unspaced_script:
                    n_known[owner] += len(piece) - piece.count("'")
    owners, starts, ends, rows = np.array(found, dtype=np.int64).reshape(-1, 4).T
    return FoundVectors(owners, starts, ends, rows, n_known, n_counted)


class WordContribution(NamedTuple):
    """Contribution of a word, or a part or piece of it, to a text's sum of vectors.

    Attributes
    ----------
    start, end : int
        Byte offsets of the word, or of the piece in scripts without spaces, in the buffer of
        `find_words([text])`.
    vector : float32 array, shape (n_columns,)
    """

    start: int
    end: int
    vector: F32


def find_contributions(table: VectorTable, text: str) -> list[WordContribution]:
    """Return the vectors of a text's sum, in the order of its words."""
    words = find_words([text])
    found = find_vectors(table, words)
    is_piece = is_unspaced(np.frombuffer(words.buffer, dtype=np.uint8), found.starts)
    starts = np.where(is_piece, found.starts, words.starts[found.owners]).tolist()
    ends = np.where(is_piece, found.ends, words.ends[found.owners]).tolist()
    return [*map(WordContribution, starts, ends, table.vectors(found.rows))]


def _split(word: str) -> Iterator[tuple[int, str]]:
    """Yield the parts of a word between apostrophes, and where they start."""
    at = 0
    for part in word.split("'"):
        if part:
            yield at, part
        at += len(part) + 1


def _find_pieces(table: VectorTable, part: str, unspaced: bool) -> Iterator[tuple[int, str]]:
    """Yield the longest matches in a part of a word, from the left, and where they start."""
    header, at = table.header, 0
    shortest = header.shortest_unspaced_piece if unspaced else header.shortest_piece
    part = part if unspaced else part[:_MAX_PART]
    while at < len(part):
        lengths = range(min(header.longest_piece, len(part) - at), shortest - 1, -1)
        pieces = (part[at : at + length] for length in lengths)
        piece = next((each for each in pieces if each in table.row_of_word), None)
        if piece is not None:
            yield at, piece
        at += len(piece or " ")
