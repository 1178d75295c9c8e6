"""Counts the terms of documents: in a compiled kernel where there is one, else in NumPy.

Both give the same, bit for bit. The kernel, `_kernel.c`, goes over the bytes of a document once;
NumPy goes over arrays of all words of a chunk, many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from slugline.base.arrays import I64, Integers
from slugline.text import sparse
from slugline.text.columns import SeenBuckets, TermColumns
from slugline.text.sparse import Entries, boundaries, count_matrix, row_lengths
from slugline.text.terms import KINDS, Terms
from slugline.text.words import TRANSLATION, composed, find_words, join, sides

try:
    from slugline.text import _kernel as kernel
except ImportError:  # there was no compiler
    kernel = None  # type: ignore[assignment]

__all__ = ["ArrayCounter", "Counter", "Counts", "KernelCounter", "counter", "kernel"]


class Counts(NamedTuple):
    """How often terms occur in documents.

    Attributes
    ----------
    entries : Entries
        A row for each vocabulary of the first document, then of the second, and so on.
    n_terms : int array, shape (n_documents, n_vocabularies)
        How many terms with a column each document has in all.
    n_words : int array, shape (n_documents,)
        How many words each document has, whether they have a column or not.
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
        """Return how often each term occurs.

        Parameters
        ----------
        read : object
            What `read` returns.
        vocabularies : sequence of TermColumns, one for each kind
            Their columns follow one another. But if `learn`, each vocabulary's columns begin with
            0, and those that are `SeenBuckets` get more for buckets that were not seen before.
        """


class ArrayCounter:
    """Counts in NumPy."""

    def read(self, texts: Sequence[str], kinds: Sequence[str]) -> tuple[list[Terms], Integers]:
        """Return the terms of each kind, and the number of words of each text."""
        words = find_words(texts)
        return [KINDS[kind].find(words) for kind in kinds], row_lengths(words.indptr)

    def count(
        self,
        read: tuple[list[Terms], Integers],
        vocabularies: Sequence[TermColumns],
        *,
        learn: bool = False,
    ) -> Counts:
        """Count all documents' terms of one kind, then of the next, and put them in order."""
        found, n_words = read
        for vocabulary, terms in zip(vocabularies, found, strict=True):
            if learn and isinstance(vocabulary, SeenBuckets):
                vocabulary.learn(terms.spans)
        places = [
            vocabulary.places(terms) for vocabulary, terms in zip(vocabularies, found, strict=True)
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
            entries.place([vocabulary.n_columns for vocabulary in vocabularies])
        return Counts(entries, lengths.reshape(n_kinds, -1).T, n_words)


class KernelCounter:
    """Counts in the compiled kernel, which other threads may go on beside."""

    def read(self, texts: Sequence[str], kinds: Sequence[str]) -> tuple[bytes, I64, Sequence[str]]:
        """Return the documents as bytes, in lower case beyond ASCII, and the length of each."""
        return *join(texts, composed), kinds

    def count(
        self,
        read: tuple[bytes, I64, Sequence[str]],
        vocabularies: Sequence[TermColumns],
        *,
        learn: bool = False,
    ) -> Counts:
        """Count document by document."""
        data, lengths, kinds = read
        blocks, first = [], 0
        for kind, vocabulary in zip(kinds, vocabularies, strict=True):
            n_columns = vocabulary.n_columns
            if learn and isinstance(vocabulary, SeenBuckets):
                blocks.append((kind, *vocabulary.table, n_columns, first))
            else:
                blocks.append((kind, *vocabulary.compact_table, -1, first))
            first += 0 if learn else n_columns
        characters = None if data.isascii() else sides()
        columns, values, n_each, n_terms, n_words, names = kernel.count(
            data, lengths, TRANSLATION, characters, tuple(blocks)
        )
        for vocabulary, (spelled, n_bytes) in zip(vocabularies, names, strict=True):
            if n_bytes and isinstance(vocabulary, SeenBuckets):
                vocabulary.learned((spelled, np.frombuffer(n_bytes, dtype=np.int64)))
        entries = Entries(
            np.frombuffer(values, dtype=np.float32),
            np.frombuffer(columns, dtype=np.int32),
            np.frombuffer(n_each, dtype=np.int64),
        )
        return Counts(
            entries,
            np.frombuffer(n_terms, dtype=np.int64).reshape(-1, len(blocks)),
            np.frombuffer(n_words, dtype=np.int64),
        )


def counter() -> Counter:
    """Return the kernel's counter, or NumPy's without a kernel or if `SLUGLINE_KERNEL` is 0."""
    if kernel is None or not sparse.kernels_enabled():
        return ArrayCounter()
    return KernelCounter()
