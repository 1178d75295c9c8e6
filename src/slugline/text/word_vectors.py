"""Looks up the vectors of words in a table, and sums those of a text.

The table comes with the package, or is written by `slugline.text.vector_table.write_table`. Texts
are read by these rules:

* Words are those of `slugline.text.tokens`; each one that is in the table adds its vector.
* Any other word is divided at its apostrophes, and each part that is in the table adds its vector.
* In any other part, from the left, the longest word of the table that the part continues with adds
  its vector; without one, a character is left out. The table has limits to the number of characters
  of such pieces. Of a part with over 100 characters, only the first 100 are read, except in scripts
  without spaces, where a word is all that is between punctuation.

Vectors are added in float32 in the order in which they are read, so a sum has the same bits however
texts are divided into chunks, and whether the compiled kernel or NumPy adds them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, I64, U8, U64, Mask
from slugline.base.files import PathLike
from slugline.corpus.documents import check_texts
from slugline.errors import EncoderError
from slugline.text.characters import is_unspaced
from slugline.text.hashing import PADDING, hash_spans
from slugline.text.sparse import ranges, row_lengths, row_offsets
from slugline.text.terms import SpanMapper
from slugline.text.tokens import Words, encode_text, find_words, map_chunks
from slugline.text.vector_table import ROW_BITS, VectorTable, map_table

#: Version of the table that models are trained with.
VERSION = 1
#: Where the tables of the package are.
FOLDER = Path(__file__).parent
_ROW_MASK = np.uint32((1 << ROW_BITS) - 1)
_MAX_PART = 100
_SPACE, _APOSTROPHE = b" '"
_DIGITS = b"09"
# Vectors that NumPy unpacks and adds at once.
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
        unknown words of ASCII digits. It is 0 without words.
    """

    sums: F32
    known: F32


class WordContribution(NamedTuple):
    """What a word, or a piece in a script without spaces, adds to a text's sum.

    Attributes
    ----------
    start, end : int
        The characters of the text.
    vector : float32 array, shape (n_columns,)
    """

    start: int
    end: int
    vector: F32


class WordVectors:
    """Vectors of words, in a table that is mapped from a file.

    Nothing of the file but its header is read before it is needed. Instances can be used by several
    threads.

    Parameters
    ----------
    table : VectorTable

    Attributes
    ----------
    n_columns : int
    version : int
        Version of the table.
    digest : str
        SHA-256 that distinguishes tables, as the file states it; see `check_digest`.
    languages : tuple of str
        Codes of the languages of the words.
    """

    def __init__(self, table: VectorTable) -> None:
        self._table = table
        self.n_columns = table.header.n_columns
        self.version = table.header.version
        self.digest = table.digest
        self.languages = table.languages

    @classmethod
    def open(cls, path: PathLike) -> WordVectors:
        """Map a table.

        Raises
        ------
        EncoderError : if there is no such file, or it is damaged or of another version.
        """
        return cls(map_table(path))

    def __reduce__(self) -> tuple[object, ...]:
        # Another machine has the package's own table in another folder.
        if self._table.path == _table_path(self.version):
            return open_table, (self.version,)
        return WordVectors.open, (self._table.path,)

    def __len__(self) -> int:
        return self._table.header.n_words

    def __repr__(self) -> str:
        return f"<WordVectors {self._table.path.name}: {len(self):,} x {self.n_columns}>"

    @property
    def words(self) -> Iterator[str]:
        """The words of the table, in the order of its rows."""
        return map(self._table.word, range(len(self)))

    def check_digest(self) -> None:
        """Raise EncoderError if the file isn't what its digest says; reads all of it once."""
        if not self._has_its_digest:
            raise EncoderError(
                f"{self._table.path}: the table of word vectors was changed; ",
                "install slugline again.",
            )

    @functools.cached_property
    def _has_its_digest(self) -> bool:
        return self._table.compute_digest() == self.digest

    def row(self, word: str) -> int | None:
        """Return the row of a word as Slugline reads it, in lower case; None if it has none."""
        data = encode_text(word)
        if not data:
            return None
        array = np.frombuffer(data + PADDING, dtype=np.uint8)
        starts, lengths = np.zeros(1, dtype=np.int64), np.array([len(data)])
        (row,) = find_rows(
            self._table, array, starts, lengths, hash_spans(array, starts, lengths)
        ).tolist()
        return None if row < 0 else row

    def vector(self, word: str) -> F32:
        """Return the vector that a word of the table adds to a text, shape (n_columns,).

        Raises
        ------
        KeyError : if the word isn't in the table.
        """
        row = self.row(word)
        if row is None:
            raise KeyError(word)
        return self.vectors([row])[0]

    def vectors(self, rows: Sequence[int] | I64) -> F32:
        """Return the vectors of rows, shape (n_rows, n_columns)."""
        return self._table.vectors(np.asarray(rows, dtype=np.int64))

    def sum_texts(self, texts: Sequence[str], n_threads: int = 1) -> TextSums:
        """Return the sum of the vectors of each text, and the fraction of it that is known.

        Raises
        ------
        DataError : if a text is not a `str`.
        """
        texts = check_texts(texts)
        sums = np.empty((len(texts), self.n_columns), dtype=np.float32)
        known = np.empty(len(texts), dtype=np.float32)
        n_done = 0
        for part in map_chunks(functools.partial(sum_arrays, self._table), texts, n_threads):
            chunk = slice(n_done, n_done + len(part.known))
            sums[chunk], known[chunk] = part
            n_done = chunk.stop
        return TextSums(sums, known)

    def word_contributions(self, text: str) -> list[WordContribution]:
        """Return what the words of a text add to its sum, in order.

        Words that have neither an entry nor pieces in the table are left out. The pieces of a word
        are one contribution, except in scripts without spaces, where each piece is one of its own.
        """
        words = find_words([text])
        found = find_vectors(self._table, words)
        if not len(found.rows):
            return []
        array = np.frombuffer(words.buffer, dtype=np.uint8)
        is_first = np.diff(found.owners, prepend=-1) != 0
        is_first |= is_unspaced(array, found.starts)
        numbers = np.cumsum(is_first) - 1
        vectors = np.zeros((int(numbers[-1]) + 1, self.n_columns), dtype=np.float32)
        np.add.at(vectors, numbers, self._table.vectors(found.rows))
        owners, is_piece = found.owners[is_first], is_unspaced(array, found.starts[is_first])
        starts = np.where(is_piece, found.starts[is_first], words.starts[owners])
        ends = np.where(is_piece, found.ends[is_first], words.ends[owners])
        spans = zip(*SpanMapper(text, words).to_text_positions(starts, ends), strict=True)
        return [
            WordContribution(start, end, vector)
            for (start, end), vector in zip(spans, vectors, strict=True)
        ]


def open_table(version: int = VERSION) -> WordVectors:
    """Return the package's table of word vectors, which is mapped once.

    Raises
    ------
    EncoderError : if the package has no table of this version, or it is damaged.
    """
    return _open_once(_table_path(version))


@functools.cache
def _open_once(path: Path) -> WordVectors:
    if not path.exists():
        raise EncoderError(
            f"this version of Slugline has no {path.name}; install the version that the model was "
            "trained with, or train the model again."
        )
    return WordVectors.open(path)


def _table_path(version: int) -> Path:
    return FOLDER / f"word_vectors_{version}.slugvec"


# In NumPy -----------------------------------------------------------------------------------------


class FoundVectors(NamedTuple):
    """The rows of a table that words add to the sums of their documents, in reading order.

    Attributes
    ----------
    rows, owners : int64 arrays, shape (n_vectors,)
        Each row, and the index of the word it belongs to.
    starts, ends : int64 arrays, shape (n_vectors,)
        The bytes of the word, or of the part or piece of it that is in the table.
    n_known, n_counted : int64 arrays, shape (n_words,)
        Number of known characters of each word, and of all its characters that count.
    """

    rows: I64
    owners: I64
    starts: I64
    ends: I64
    n_known: I64
    n_counted: I64


def sum_arrays(table: VectorTable, texts: Sequence[str]) -> TextSums:
    """Return the sums of the vectors of texts, in NumPy."""
    words = find_words(texts)
    found = find_vectors(table, words)
    sums = np.zeros((len(texts), table.header.n_columns), dtype=np.float32)
    documents = np.repeat(np.arange(len(texts)), row_lengths(words.indptr))
    for first in range(0, len(found.rows), _BATCH_VECTORS):
        batch = slice(first, first + _BATCH_VECTORS)
        # One after another, in order; other sums add in pairs.
        np.add.at(sums, documents[found.owners[batch]], table.vectors(found.rows[batch]))
    n_known, n_counted = (
        row_lengths(row_offsets(counts)[words.indptr])
        for counts in (found.n_known, found.n_counted)
    )
    return TextSums(sums, (n_known / np.maximum(n_counted, 1)).astype(np.float32))


def find_vectors(table: VectorTable, words: Words) -> FoundVectors:
    """Return the rows of words, or of the parts and pieces of words that have none."""
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    rows = find_rows(table, array, words.starts, words.ends - words.starts, words.hashes)
    is_unknown = rows < 0
    part_owners, part_starts, part_ends = _divide_words(array, words, is_unknown)
    part_rows = _rows_of_spans(table, array, part_starts, part_ends)
    remaining = part_rows < 0
    piece_parts, piece_starts, piece_ends, piece_rows = _find_pieces(
        table, array, part_starts[remaining], part_ends[remaining]
    )
    owners = [
        np.flatnonzero(~is_unknown),
        part_owners[~remaining],
        part_owners[remaining][piece_parts],
    ]
    starts = words.starts[~is_unknown], part_starts[~remaining], piece_starts
    ends = words.ends[~is_unknown], part_ends[~remaining], piece_ends
    order = np.argsort(np.concatenate(starts), kind="stable")
    all_rows = np.concatenate([rows[~is_unknown], part_rows[~remaining], piece_rows])[order]
    all_owners, all_starts, all_ends = (
        np.concatenate(each)[order] for each in (owners, starts, ends)
    )
    n_letters = row_offsets(((array & 0xC0) != 0x80) & (array != _APOSTROPHE))
    counts = _count_between(n_letters, all_starts, all_ends)
    # Pieces of words with spaces around them say little of what is known.
    is_word = np.isin(all_starts, piece_starts, invert=True)
    counts[~(is_word | is_unspaced(array, all_starts))] = 0
    n_known = np.zeros(len(words), dtype=np.int64)
    np.add.at(n_known, all_owners, counts)
    n_counted = _count_between(n_letters, words.starts, words.ends)
    first, last = _DIGITS
    n_others = row_offsets((array < first) | (array > last))
    n_counted[is_unknown & (_count_between(n_others, words.starts, words.ends) == 0)] = 0
    return FoundVectors(all_rows, all_owners, all_starts, all_ends, n_known, n_counted)


def _count_between(offsets: I64, starts: I64, ends: I64) -> I64:
    return offsets[ends] - offsets[starts]


def _divide_words(array: U8, words: Words, is_unknown: Mask) -> tuple[I64, I64, I64]:
    """Return the words that the parts of unknown words belong to, and their starts and ends."""
    is_edge = (array == _SPACE) | (array == _APOSTROPHE)
    edges = np.flatnonzero(is_edge[1:] != is_edge[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    owners = np.searchsorted(words.starts, starts, side="right") - 1
    remaining = is_unknown[owners]
    return owners[remaining], starts[remaining], ends[remaining]


def _find_pieces(
    table: VectorTable, array: U8, starts: I64, ends: I64
) -> tuple[I64, I64, I64, I64]:
    """Return the longest matches in parts of words: part, start, end and row of each piece."""
    header = table.header
    characters = np.flatnonzero((array & 0xC0) != 0x80)
    first = np.searchsorted(characters, starts)
    unspaced = is_unspaced(array, starts)
    n_characters = np.searchsorted(characters, ends) - first
    n_characters = np.where(unspaced, n_characters, np.minimum(n_characters, _MAX_PART))
    positions = ranges(first, n_characters)
    n_left = np.repeat(first + n_characters, n_characters) - positions
    shortest = np.where(unspaced, header.shortest_unspaced_piece, header.shortest_piece)
    shortest = np.repeat(shortest, n_characters)
    lengths = np.zeros(len(positions), dtype=np.int64)
    rows = np.full(len(positions), -1, dtype=np.int64)
    for length in range(header.longest_piece, 0, -1):
        candidates = np.flatnonzero((rows < 0) & (length >= shortest) & (length <= n_left))
        places = positions[candidates]
        rows[candidates] = _rows_of_spans(
            table, array, characters[places], characters[places + length]
        )
        lengths[candidates[rows[candidates] >= 0]] = length
    chosen = _walk(lengths)
    places = positions[chosen]
    parts = np.repeat(np.arange(len(starts)), n_characters)[chosen]
    return parts, characters[places], characters[places + lengths[chosen]], rows[chosen]


def _walk(lengths: I64) -> I64:
    """Return the places of matches, each the first one after the end of the one before."""
    chosen, end = [], 0
    for place in np.flatnonzero(lengths).tolist():
        if place >= end:
            chosen.append(place)
            end = place + int(lengths[place])
    return np.array(chosen, dtype=np.int64)


def _rows_of_spans(table: VectorTable, array: U8, starts: I64, ends: I64) -> I64:
    lengths = ends - starts
    return find_rows(table, array, starts, lengths, hash_spans(array, starts, lengths))


def find_rows(table: VectorTable, array: U8, starts: I64, lengths: I64, hashes: U64) -> I64:
    """Return the row of the word in each span of bytes, or -1."""
    n_slots, n_words = table.header.n_slots, table.header.n_words
    rows = np.full(len(starts), -1, dtype=np.int64)
    remaining = np.arange(len(starts))
    slots = (hashes >> np.uint64(32)).astype(np.int64) & (n_slots - 1)
    fingerprints = hashes.astype(np.uint32) << np.uint32(ROW_BITS)
    for _ in range(n_slots):
        entries = table.slots[slots[remaining]]
        is_used = entries != 0
        remaining, entries = remaining[is_used], entries[is_used]
        if not remaining.size:
            break
        row = (entries & _ROW_MASK).astype(np.int64) - 1
        alike = np.flatnonzero((entries & ~_ROW_MASK) == fingerprints[remaining])
        alike = alike[(row[alike] >= 0) & (row[alike] < n_words)]
        numbers = remaining[alike]
        same = alike[_are_words(table, row[alike], array, starts[numbers], lengths[numbers])]
        rows[remaining[same]] = row[same]
        remaining = np.delete(remaining, same)
        slots[remaining] = (slots[remaining] + 1) & (n_slots - 1)
    return rows


def _are_words(table: VectorTable, rows: I64, array: U8, starts: I64, lengths: I64) -> Mask:
    """Return whether each span of bytes is the word of a row."""
    first, last = table.offsets[rows].astype(np.int64), table.offsets[rows + 1].astype(np.int64)
    same = (last - first == lengths) & (last <= len(table.text))
    lengths = lengths[same]
    differs = array[ranges(starts[same], lengths)] != table.text[ranges(first[same], lengths)]
    same[same] = row_lengths(row_offsets(differs)[row_offsets(lengths)]) == 0
    return same
