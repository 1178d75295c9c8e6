"""Counts the terms of documents: in a compiled kernel if there is one, else in NumPy.

Both give the same, bit for bit. The kernel, `_kernel.c`, makes one pass over the bytes of a
document; NumPy makes many over arrays of all words of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from slugline.base.arrays import I64, Integers
from slugline.text import sparse
from slugline.text.columns import HashedColumns, TermColumns
from slugline.text.sparse import Entries, boundaries, count_matrix, row_lengths
from slugline.text.table_columns import TableColumn, find_column_terms
from slugline.text.terms import KINDS, GroupedTerms, group_words
from slugline.text.tokens import (
    TRANSLATION,
    character_table,
    encode_text,
    find_words,
    join_texts,
    normalize_nfc,
)

try:
    from slugline.text import _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


class Counts(NamedTuple):
    """Term counts of documents.

    Attributes
    ----------
    entries : Entries
        One row per document and vocabulary, the rows of a document together.
    n_terms : int array, shape (n_documents, n_vocabularies)
        Number of terms with a column.
    n_words : int array, shape (n_documents,)
        Number of words, with or without a column.
    """

    entries: Entries
    n_terms: Integers
    n_words: Integers


class Counter(Protocol):
    """Counts terms of documents, chunk by chunk."""

    def read(self, texts: Sequence[str], kinds: Sequence[str]) -> Any:
        """Return what `count` needs of a chunk of texts; chunks may be read on threads."""

    def count(
        self, read: Any, vocabularies: Sequence[TermColumns], *, learn: bool = False
    ) -> Counts:
        """Return how often each term occurs in a chunk that was `read`.

        Columns of the vocabularies, one for each kind, follow one another. With `learn`, each
        vocabulary's columns begin with 0, and `HashedColumns` get more for new buckets.
        """


class ArrayCounter:
    """Counts in NumPy."""

    def read(
        self, texts: Sequence[str], kinds: Sequence[str]
    ) -> tuple[list[GroupedTerms], Integers]:
        """Return the terms of each kind, and the number of words of each text."""
        words = find_words(texts)
        return [KINDS[kind].find(words) for kind in kinds], row_lengths(words.indptr)

    def count(
        self,
        read: tuple[list[GroupedTerms], Integers],
        vocabularies: Sequence[TermColumns],
        *,
        learn: bool = False,
    ) -> Counts:
        """Count all documents' terms of one kind after another, then put rows in order."""
        terms_by_kind, n_words = read
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
        counts = count_matrix(columns, boundaries(lengths), width)
        n_kinds = len(vocabularies)
        if n_kinds > 1:
            counts = counts[np.arange(counts.shape[0]).reshape(n_kinds, -1).T.ravel()]
        entries = Entries(counts.data, counts.indices, row_lengths(counts.indptr))
        if not learn:
            entries.offset_columns([vocabulary.n_columns for vocabulary in vocabularies])
        return Counts(entries, lengths.reshape(n_kinds, -1).T, n_words)


class KernelCounter:
    """Counts in the compiled kernel, which runs beside other threads."""

    def read(
        self, texts: Sequence[str], kinds: Sequence[str]
    ) -> tuple[bytes, I64, Sequence[str], Sequence[str]]:
        """Return the documents as bytes, the length of each, and the documents."""
        return *join_texts(texts), texts, kinds

    def count(
        self,
        read: tuple[bytes, I64, Sequence[str], Sequence[str]],
        vocabularies: Sequence[TermColumns],
        *,
        learn: bool = False,
    ) -> Counts:
        """Count document by document."""
        data, lengths, texts, kinds = read
        feature_groups, first = [], 0
        for kind, vocabulary in zip(kinds, vocabularies, strict=True):
            n_columns = vocabulary.n_columns
            if learn and isinstance(vocabulary, HashedColumns):
                feature_groups.append((kind, *vocabulary.table, n_columns, first))
            else:
                feature_groups.append((kind, *vocabulary.compact_table, -1, first))
            first += 0 if learn else n_columns
        # Characters of a plane beyond the first have four bytes, of which this is the first.
        characters = None if data.isascii() else character_table(1 + (b"\xf0" in data))
        columns, values, n_each, n_terms, n_words, names = kernel.count(
            data,
            lengths,
            TRANSLATION,
            characters,
            lambda document: encode_text(normalize_nfc(texts[document])),
            tuple(feature_groups),
        )
        for vocabulary, (spelled, n_bytes) in zip(vocabularies, names, strict=True):
            if n_bytes and isinstance(vocabulary, HashedColumns):
                vocabulary.add_names((spelled, np.frombuffer(n_bytes, dtype=np.int64)))
        entries = Entries(
            np.frombuffer(values, dtype=np.float32),
            np.frombuffer(columns, dtype=np.int32),
            np.frombuffer(n_each, dtype=np.int64),
        )
        return Counts(
            entries,
            np.frombuffer(n_terms, dtype=np.int64).reshape(-1, len(feature_groups)),
            np.frombuffer(n_words, dtype=np.int64),
        )


class ColumnCounter:
    """Counts the terms of columns beside the texts, whose own terms another counter counts.

    Their kind is the last one.
    """

    def __init__(self, texts: Counter, columns: Sequence[TableColumn]) -> None:
        self._texts, self._columns = texts, columns

    def read(self, texts: Sequence[str], kinds: Sequence[str]) -> tuple[Any, GroupedTerms]:
        """Return what the other counter needs, and the terms of columns."""
        terms = group_words(find_column_terms(texts, self._columns))
        return self._texts.read(texts, kinds[:-1]), terms

    def count(
        self,
        read: tuple[Any, GroupedTerms],
        vocabularies: Sequence[TermColumns],
        *,
        learn: bool = False,
    ) -> Counts:
        """Count the terms of texts, and put those of columns after them."""
        (*others, column_terms), (of_texts, terms) = vocabularies, read
        counts = self._texts.count(of_texts, others, learn=learn)
        if learn and isinstance(column_terms, HashedColumns):
            column_terms.learn(terms.spans)
        X = count_matrix(*column_terms.columns_of_terms(terms), column_terms.n_columns)
        first = 0 if learn else sum(vocabulary.n_columns for vocabulary in others)
        more = Entries(X.data, X.indices + np.int32(first), row_lengths(X.indptr))
        return Counts(
            counts.entries.append_parts(len(others), more),
            np.column_stack([counts.n_terms, more.lengths]),
            counts.n_words,
        )


def make_counter(columns: Sequence[TableColumn] = ()) -> Counter:
    """Return a `KernelCounter`, or an `ArrayCounter` if no kernel is there or wanted.

    With columns beside the text, it is within a `ColumnCounter`.
    """
    is_compiled = kernel is not None and sparse.kernels_enabled()
    counter: Counter = KernelCounter() if is_compiled else ArrayCounter()
    return ColumnCounter(counter, columns) if columns else counter
