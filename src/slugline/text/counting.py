"""Counts the terms of documents, in a compiled kernel if there is one, else in NumPy.

Both return the same results, bit for bit. The kernel, `_kernel.c`, makes one pass over the bytes of
a document; NumPy makes many passes over arrays with all words of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from slugline.base.arrays import I32, I64, U64, Integers
from slugline.text import sparse
from slugline.text.characters import TRANSLATION, character_table, normalize_nfc
from slugline.text.columns import HashedColumns, TermColumns
from slugline.text.sparse import Entries, count_matrix, row_lengths, row_offsets
from slugline.text.table_columns import TableColumn, find_column_terms
from slugline.text.terms import KINDS, GroupedTerms, group_words
from slugline.text.tokens import encode_text, find_words, join_texts

try:
    from slugline.text import _kernel
except ImportError:  # not compiled at installation
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


class TermCounts(NamedTuple):
    """Term counts of documents.

    Attributes
    ----------
    entries : Entries
        One row for each document and vocabulary; the rows of a document are adjacent.
    n_terms : int array, shape (n_documents, n_vocabularies)
        Number of terms with a column.
    n_words : int array, shape (n_documents,)
        Number of words, with or without a column.
    """

    entries: Entries
    n_terms: Integers
    n_words: Integers


class TermCounter(Protocol):
    """Counts terms of documents, chunk by chunk."""

    def prepare(self, texts: Sequence[str], kinds: Sequence[str]) -> Any:
        """Return a chunk of texts prepared for `count`; threads may prepare chunks."""

    def count(
        self, chunk: Any, vocabularies: Sequence[TermColumns], *, learn: bool = False
    ) -> TermCounts:
        """Return how often each term occurs in a prepared chunk.

        The columns of the vocabularies, one for each kind, follow one another. With `learn`, each
        vocabulary's columns begin with 0, and `HashedColumns` get new columns for new buckets.
        """


class ArrayChunk(NamedTuple):
    """The terms of each kind in some texts, and the number of words of each text."""

    terms_by_kind: list[GroupedTerms]
    n_words: Integers


class ArrayCounter:
    """Counts terms in NumPy."""

    def prepare(self, texts: Sequence[str], kinds: Sequence[str]) -> ArrayChunk:
        """Return the terms of each kind in the texts."""
        words = find_words(texts)
        return ArrayChunk([KINDS[kind].find(words) for kind in kinds], row_lengths(words.indptr))

    def count(
        self, chunk: ArrayChunk, vocabularies: Sequence[TermColumns], *, learn: bool = False
    ) -> TermCounts:
        """Count the terms of all documents, one kind of term at a time, and then sort the rows."""
        terms_by_kind, n_words = chunk
        for vocabulary, terms in zip(vocabularies, terms_by_kind, strict=True):
            if learn and isinstance(vocabulary, HashedColumns):
                vocabulary.learn(terms.spans)
        places = [
            vocabulary.columns_of_terms(terms)
            for vocabulary, terms in zip(vocabularies, terms_by_kind, strict=True)
        ]
        columns = np.concatenate([columns for columns, _ in places])
        lengths = np.concatenate([row_lengths(indptr) for _, indptr in places])
        width = max(vocabulary.n_columns for vocabulary in vocabularies)
        counts = count_matrix(columns, row_offsets(lengths), width)
        n_kinds = len(vocabularies)
        if n_kinds > 1:
            counts = counts[np.arange(counts.shape[0]).reshape(n_kinds, -1).T.ravel()]
        entries = Entries(counts.data, counts.indices, row_lengths(counts.indptr))
        if not learn:
            entries.offset_columns([vocabulary.n_columns for vocabulary in vocabularies])
        return TermCounts(entries, lengths.reshape(n_kinds, -1).T, n_words)


class KernelChunk(NamedTuple):
    """Texts, their bytes joined with spaces, the bytes of each text, and the kinds of terms."""

    data: bytes
    lengths: I64
    texts: Sequence[str]
    kinds: Sequence[str]


class KernelGroup(NamedTuple):
    """The columns of a feature group for the kernel, most of them the fields of a `TermTable`.

    Attributes
    ----------
    n_columns : int
        Number of columns so far if new buckets get columns, else `FIXED_COLUMNS`.
    first : int
        The number of the group's first column, which is added to its columns.
    """

    kind: str
    n_slots: int
    columns: I32 | None
    keys: U64 | None
    multiplier: int
    groups: U64 | None
    n_columns: int
    first: int


#: In place of the number of columns if no bucket gets a new column.
FIXED_COLUMNS = -1


class KernelResult(NamedTuple):
    """Results of the kernel, as bytes of arrays.

    Attributes
    ----------
    columns, values, lengths : bytearray
        Int32, float32 and int64; see `Entries`.
    n_terms : bytearray
        Int64, shape (n_documents, n_groups).
    n_words : bytearray
        Int64, shape (n_documents,).
    names : tuple of (bytes, bytearray)
        The terms of new columns of each group, one after another, and their lengths as int64.
    """

    columns: bytearray
    values: bytearray
    lengths: bytearray
    n_terms: bytearray
    n_words: bytearray
    names: tuple[tuple[bytes, bytearray], ...]


class KernelCounter:
    """Counts terms in the compiled kernel, which releases the interpreter lock."""

    def prepare(self, texts: Sequence[str], kinds: Sequence[str]) -> KernelChunk:
        """Return the texts as bytes."""
        data, lengths = join_texts(texts)
        return KernelChunk(data, lengths, texts, kinds)

    def count(
        self, chunk: KernelChunk, vocabularies: Sequence[TermColumns], *, learn: bool = False
    ) -> TermCounts:
        """Count the terms, document by document."""
        data, lengths, texts, kinds = chunk
        groups, first = [], 0
        for kind, vocabulary in zip(kinds, vocabularies, strict=True):
            learns = learn and isinstance(vocabulary, HashedColumns)
            table = vocabulary.table if learns else vocabulary.compact_table
            groups.append(
                KernelGroup(
                    kind,
                    table.n_slots,
                    table.columns,
                    table.keys,
                    table.multiplier,
                    table.groups,
                    n_columns=vocabulary.n_columns if learns else FIXED_COLUMNS,
                    first=first,
                )
            )
            first += 0 if learn else vocabulary.n_columns
        # Characters of a plane beyond the first have four bytes, of which this is the first.
        characters = None if data.isascii() else character_table(1 + (b"\xf0" in data))
        result = KernelResult(
            *kernel.count(
                data,
                lengths,
                TRANSLATION,
                characters,
                lambda document: encode_text(normalize_nfc(texts[document])),
                tuple(groups),
            )
        )
        for vocabulary, (spelled, n_bytes) in zip(vocabularies, result.names, strict=True):
            if n_bytes and isinstance(vocabulary, HashedColumns):
                vocabulary.add_names((spelled, np.frombuffer(n_bytes, dtype=np.int64)))
        entries = Entries(
            np.frombuffer(result.values, dtype=np.float32),
            np.frombuffer(result.columns, dtype=np.int32),
            np.frombuffer(result.lengths, dtype=np.int64),
        )
        return TermCounts(
            entries,
            np.frombuffer(result.n_terms, dtype=np.int64).reshape(-1, len(groups)),
            np.frombuffer(result.n_words, dtype=np.int64),
        )


class ColumnChunk(NamedTuple):
    """A chunk of texts that another counter prepared, and the terms of their extra columns."""

    text_chunk: Any
    column_terms: GroupedTerms


class ColumnCounter:
    """Counts the terms of extra columns; another counter counts the terms of texts.

    The kind of the extra columns is the last one.
    """

    def __init__(self, text_counter: TermCounter, columns: Sequence[TableColumn]) -> None:
        self._text_counter, self._columns = text_counter, columns

    def prepare(self, texts: Sequence[str], kinds: Sequence[str]) -> ColumnChunk:
        """Return a chunk of the other counter with the terms of the extra columns."""
        column_terms = group_words(find_column_terms(texts, self._columns))
        return ColumnChunk(self._text_counter.prepare(texts, kinds[:-1]), column_terms)

    def count(
        self, chunk: ColumnChunk, vocabularies: Sequence[TermColumns], *, learn: bool = False
    ) -> TermCounts:
        """Count the terms of texts, followed by the terms of extra columns."""
        text_vocabularies, vocabulary = vocabularies[:-1], vocabularies[-1]
        counts = self._text_counter.count(chunk.text_chunk, text_vocabularies, learn=learn)
        if learn and isinstance(vocabulary, HashedColumns):
            vocabulary.learn(chunk.column_terms.spans)
        columns, indptr = vocabulary.columns_of_terms(chunk.column_terms)
        X = count_matrix(columns, indptr, vocabulary.n_columns)
        first = 0 if learn else sum(other.n_columns for other in text_vocabularies)
        entries = Entries(X.data, X.indices + np.int32(first), row_lengths(X.indptr))
        return TermCounts(
            counts.entries.append_parts(len(text_vocabularies), entries),
            np.column_stack([counts.n_terms, entries.lengths]),
            counts.n_words,
        )


def make_counter(columns: Sequence[TableColumn] = ()) -> TermCounter:
    """Return a `KernelCounter`, or an `ArrayCounter` if the kernel is missing or disabled.

    With extra columns, the counter is wrapped in a `ColumnCounter`.
    """
    is_compiled = kernel is not None and sparse.kernels_enabled()
    counter: TermCounter = KernelCounter() if is_compiled else ArrayCounter()
    return ColumnCounter(counter, columns) if columns else counter
