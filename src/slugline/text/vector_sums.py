"""Finds the words of texts in a table of word vectors, and sums their vectors, word by word.

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
# Number of squares added together, as in _products.h (TOPICS_AT_ONCE). The number of columns of a
# table is a multiple of it.
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


class FoundVectors(NamedTuple):
    """The words of texts that are in a table, or the parts and pieces of words, in reading order.

    Attributes
    ----------
    owners : int64 array, shape (n_found,)
        The index of the word that each belongs to.
    starts, ends : int64 arrays, shape (n_found,)
        In bytes.
    rows : int64 array, shape (n_found,)
        Rows of the table.
    n_known, n_counted : int64 arrays, shape (n_words,)
        Number of known characters of each word, and of all its characters that count.
    """

    owners: I64
    starts: I64
    ends: I64
    rows: I64
    n_known: I64
    n_counted: I64


def sum_in_arrays(table: VectorTable, words: Words) -> TextSums:
    """Return the sums of the vectors of documents."""
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
    """Return the words that have vectors, and the parts and pieces of others that have them."""
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
                # Pieces of words with spaces around them say little of what is known.
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
