"""Vocabularies: a model's terms and their columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from slugline.base.arrays import I32, I64, U64
from slugline.base.checks import check_whole
from slugline.errors import DataError
from slugline.text.columns import TermColumns, TermTable
from slugline.text.hashing import number_distinct
from slugline.text.sparse import row_offsets
from slugline.text.terms import KINDS, join_terms
from slugline.text.tokens import Words, find_words, map_chunks, span_text

# Hash table ---------------------------------------------------------------------------------------

_EMPTY = np.uint64(0)
_MIN_CAPACITY = 64


class HashTable:
    """Numbers distinct non-zero 64-bit hashes 0, 1, 2, ... in order of arrival.

    Open addressing with linear probing, at most a quarter full. A slot is the top bits of the hash
    times a random odd number (Dietzfelbinger et al., 1997), so attackers can't craft texts whose
    words all share a slot. The numbers do not depend on it.

    >>> table = HashTable()
    >>> table.add(np.array([40, 7, 40, 9], dtype=np.uint64))
    array([0, 1, 0, 2], dtype=int32)
    >>> table.lookup(np.array([9, 8], dtype=np.uint64))
    array([ 2, -1], dtype=int32)
    """

    def __init__(self) -> None:
        self._keys = np.zeros(_MIN_CAPACITY, dtype=np.uint64)
        self._numbers = np.full(_MIN_CAPACITY, -1, dtype=np.int32)
        self._size = 0
        self._multiplier = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)

    def __len__(self) -> int:
        return self._size

    @property
    def slots(self) -> tuple[U64, I32, int]:
        """Hash and number of each slot, and the multiplier."""
        return self._keys, self._numbers, int(self._multiplier)

    def lookup(self, hashes: U64) -> I32:
        """Return the number of each hash, or -1 if it is unknown."""
        mask = len(self._keys) - 1
        slots = self._slots(hashes)
        keys = self._keys[slots]
        numbers = self._numbers[slots]
        missed = keys != hashes
        numbers[missed] = -1
        pending = np.flatnonzero(missed & (keys != _EMPTY))
        while pending.size:
            slots[pending] = (slots[pending] + 1) & mask
            keys = self._keys[slots[pending]]
            hit = keys == hashes[pending]
            numbers[pending[hit]] = self._numbers[slots[pending[hit]]]
            pending = pending[~hit & (keys != _EMPTY)]
        return numbers

    def add(self, hashes: U64) -> I32:
        """Return the number of each hash, after numbering the new ones."""
        numbers = self.lookup(hashes)
        unknown = np.flatnonzero(numbers < 0)
        if not unknown.size:
            return numbers
        first, order = number_distinct(hashes[unknown])
        fresh = hashes[unknown[first]]
        numbers[unknown] = self._size + order
        first_number, self._size = self._size, self._size + len(fresh)
        if 4 * self._size > len(self._keys):
            self._grow()
        self._insert(fresh, np.arange(first_number, self._size, dtype=np.int32))
        return numbers

    def _slots(self, hashes: U64) -> I64:
        """Return the slot at which probing for each hash begins."""
        slots = hashes * self._multiplier
        slots >>= np.uint64(65 - len(self._keys).bit_length())
        return slots.view(np.int64)

    def _grow(self) -> None:
        is_used = self._keys != _EMPTY
        keys, numbers = self._keys[is_used], self._numbers[is_used]
        capacity = 1 << (4 * self._size - 1).bit_length()
        self._keys = np.zeros(capacity, dtype=np.uint64)
        self._numbers = np.full(capacity, -1, dtype=np.int32)
        self._insert(keys, numbers)

    def _insert(self, keys: U64, numbers: I32) -> None:
        mask = len(self._keys) - 1
        slots = self._slots(keys)
        while keys.size:
            free = self._keys[slots] == _EMPTY
            # Several keys may claim the same free slot; the key read back wins it.
            self._keys[slots[free]] = keys[free]
            placed = self._keys[slots] == keys
            self._numbers[slots[placed]] = numbers[placed]
            keys, numbers = keys[~placed], numbers[~placed]
            slots = (slots[~placed] + 1) & mask


# Vocabulary ---------------------------------------------------------------------------------------


class Vocabulary(TermColumns):
    """Terms in a fixed order, most frequent first, each with its own column.

    Parameters
    ----------
    terms : sequence of str
        Distinct terms; words as `slugline.text.tokens.tokenize` returns them.
    kind : str, default "words"

    Raises
    ------
    DataError : if a term occurs twice, two terms share a hash (which does not happen by accident),
        or a bigram is not a pair of words.
    """

    def __init__(self, terms: Sequence[str], kind: str = "words") -> None:
        self.terms = list(terms)
        self.kind = kind
        hashes = KINDS[kind].hash(*join_terms(self.terms))
        if len(hashes) != len(self.terms):
            raise DataError(f"the vocabulary contains a term that is not of the kind {kind!r}.")
        self._table = HashTable()
        self._table.add(hashes)
        if len(self._table) != len(self.terms):
            raise DataError(
                "the vocabulary contains a duplicate term, or two terms with the same hash; "
                "terms must be unique."
            )

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        num_words: int | None = None,
        min_count: int = 1,
        n_threads: int = 1,
    ) -> Vocabulary:
        """Return the vocabulary of `texts`: most frequent words first, ties by first appearance.

        Parameters
        ----------
        texts : iterable of str
            May be a stream; only part of it is in memory at a time.
        num_words : int, optional
            Keep at most this many words; all by default.
        min_count : int, default 1
            Drop words that occur less often.
        """
        builder = VocabularyBuilder()
        for words in map_chunks(find_words, texts, n_threads):
            builder.add(words)
        return builder.build(num_words, min_count)

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} terms, kind={self.kind!r})"

    @property
    def n_columns(self) -> int:
        """Number of terms."""
        return len(self.terms)

    @property
    def table(self) -> TermTable:
        """The vocabulary as a hash table for the compiled kernel."""
        keys, numbers, multiplier = self._table.slots
        return TermTable(len(keys), numbers, keys, multiplier)

    def column(self, term: str) -> int | None:
        """Return the column of `term`, or None if it is unknown."""
        hashes = KINDS[self.kind].hash(*join_terms([term]))
        # Only pairs of words have a hash as bigrams.
        number = int(self._table.lookup(hashes)[0]) if len(hashes) else -1
        return None if number < 0 else number

    def term(self, column: int) -> str | None:
        """Return the term of `column`."""
        return self.terms[column]

    def _find_columns(self, hashes: U64) -> I32:
        return self._table.lookup(hashes)


class VocabularyBuilder:
    """Counts terms chunk by chunk and builds a vocabulary of the most frequent ones.

    While counting, a term is stored as its hash, count and bytes: of millions of distinct pairs,
    most occur only once and never become strings.
    """

    def __init__(self, kind: str = "words") -> None:
        self.kind = kind
        self._table = HashTable()
        self._counts = np.zeros(0, dtype=np.int64)
        self._bytes: list[bytes] = []
        self._lengths: list[I64] = []

    def add(self, words: Words) -> None:
        """Count the terms of more documents."""
        terms = KINDS[self.kind].find(words)
        n_known = len(self._table)
        numbers = self._table.add(terms.spans.hashes)
        counts = np.bincount(numbers, terms.counts(), minlength=len(self._table)).astype(np.int64)
        counts[:n_known] += self._counts
        self._counts = counts
        # Write in reverse order, so that the first occurrence of each new term remains.
        places = np.flatnonzero(numbers >= n_known)[::-1]
        first = np.empty(len(counts) - n_known, dtype=np.int64)
        first[numbers[places] - n_known] = places
        data, lengths = terms.spans.extract(first)
        self._bytes.append(data)
        self._lengths.append(lengths)

    def build(self, max_terms: int | None = None, min_count: int = 1) -> Vocabulary:
        """Return the vocabulary of sufficiently frequent terms; see `Vocabulary.fit`."""
        if max_terms is not None:
            check_whole("num_words", max_terms, 1)
        order = np.argsort(-self._counts, kind="stable")
        order = order[: np.count_nonzero(self._counts >= min_count)][:max_terms]
        data = b"".join(self._bytes)
        indptr = row_offsets(np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths]))
        spans = zip(indptr[order].tolist(), indptr[order + 1].tolist(), strict=True)
        terms = [span_text(data[start:end]) for start, end in spans]
        return Vocabulary(terms, self.kind)
