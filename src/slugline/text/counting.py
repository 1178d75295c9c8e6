"""Count the terms of documents, in a compiled kernel or in NumPy.

The kernel, `_kernel.c`, makes one pass over the bytes of a document; NumPy makes many passes over
arrays with all words of a chunk. Both find the same terms.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slugline.base.arrays import I32, U64, Integers
from slugline.corpus.documents import check_texts
from slugline.text.columns import HashedColumns, TermColumns, TermTable
from slugline.text.sparse import Entries, count_matrix, has_kernel, row_lengths, row_offsets
from slugline.text.table_columns import TableColumn, find_column_terms
from slugline.text.terms import KINDS, GroupedTerms, group_words
from slugline.text.tokens import JoinedTexts, find_words, map_chunks
from slugline.text.vector_sums import TextSums, sum_in_arrays

if TYPE_CHECKING:
    from slugline.text.vector_table import VectorTable

try:
    from slugline.text import _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


class TermCounts(NamedTuple):
    """Term counts of documents.

    Attributes
    ----------
    entries : Entries
        One row for each document and vocabulary; the rows of a document are adjacent.
    n_terms : int array, shape (n_documents, n_vocabularies)
        Number of term occurrences with a column.
    n_words : int array, shape (n_documents,)
        Number of words, with or without a column.
    sums : TextSums, optional
        Sums of word vectors, if a table was given.
    """

    entries: Entries
    n_terms: Integers
    n_words: Integers
    sums: TextSums | None = None


def count_chunk(
    texts: Sequence[str],
    kinds: Sequence[str],
    vocabularies: Sequence[TermColumns],
    *,
    columns: Sequence[TableColumn] = (),
    table: VectorTable | None = None,
    learn: bool = False,
) -> TermCounts:
    """Count the terms in a chunk of texts, in the kernel if available.

    Parameters
    ----------
    texts : sequence of str
    kinds : sequence of str
        Kinds of terms to count; the last one is for extra columns, if any.
    vocabularies : sequence of TermColumns
        One for each kind; their columns are concatenated.
    columns : sequence of TableColumn, optional
        Extra columns of the texts.
    table : VectorTable, optional
        Word vectors to sum in the same pass.
    learn : bool, default False
        Add columns to `HashedColumns` for new buckets. Each vocabulary's columns then begin with 0.
    """
    count = count_in_kernel if has_kernel() else count_in_arrays
    if not columns:
        return count(texts, kinds, vocabularies, table=table, learn=learn)
    counts = count(texts, kinds[:-1], vocabularies[:-1], table=table, learn=learn)
    terms = group_words(find_column_terms(texts, columns))
    first = 0 if learn else sum(other.n_columns for other in vocabularies[:-1])
    return _append_column_terms(counts, vocabularies[-1], terms, first=first, learn=learn)


def _append_column_terms(
    counts: TermCounts, vocabulary: TermColumns, terms: GroupedTerms, *, first: int, learn: bool
) -> TermCounts:
    """Append the counts of terms of extra columns."""
    if learn and isinstance(vocabulary, HashedColumns):
        vocabulary.learn(terms.spans)
    X = count_matrix(*vocabulary.columns_of_terms(terms), vocabulary.n_columns)
    entries = Entries(X.data, X.indices + np.int32(first), row_lengths(X.indptr))
    return TermCounts(
        counts.entries.append_parts(counts.n_terms.shape[1], entries),
        np.column_stack([counts.n_terms, entries.lengths]),
        counts.n_words,
        counts.sums,
    )


def count_in_arrays(
    texts: Sequence[str],
    kinds: Sequence[str],
    vocabularies: Sequence[TermColumns],
    *,
    table: VectorTable | None = None,
    learn: bool = False,
) -> TermCounts:
    """Count terms in NumPy, one kind at a time; see `count_chunk`."""
    words = find_words(texts)
    terms_by_kind = [KINDS[kind].find(words) for kind in kinds]
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
    counts = counts[np.arange(counts.shape[0]).reshape(n_kinds, -1).T.ravel()]
    entries = Entries(counts.data, counts.indices, row_lengths(counts.indptr))
    if not learn:
        entries.offset_columns([vocabulary.n_columns for vocabulary in vocabularies])
    return TermCounts(
        entries,
        lengths.reshape(n_kinds, -1).T,
        row_lengths(words.indptr),
        None if table is None else sum_in_arrays(table, words),
    )


#: Value of `KernelGroup.n_columns` if no bucket gets a new column.
FIXED_COLUMNS = -1


class KernelGroup(NamedTuple):
    """Columns of a feature group for the kernel; includes the fields of a `TermTable`, in order.

    Attributes
    ----------
    n_columns : int
        Number of columns so far if new buckets get columns, else `FIXED_COLUMNS`.
    first : int
        Index of the group's first column, added to its columns.
    """

    kind: str
    n_slots: int
    columns: I32 | None
    keys: U64 | None
    multiplier: int
    groups: U64 | None
    n_columns: int
    first: int

    @classmethod
    def from_table(
        cls, kind: str, table: TermTable, *, n_columns: int = FIXED_COLUMNS, first: int = 0
    ) -> KernelGroup:
        """Return the columns of a table."""
        return cls(kind, *table, n_columns, first)


class KernelResult(NamedTuple):
    """Results of the kernel, as the bytes of arrays.

    Attributes
    ----------
    columns, values, lengths : bytearray
        Int32, float32 and int64; see `Entries`.
    n_terms : bytearray
        Int64, shape (n_documents, n_groups).
    n_words : bytearray
        Int64, shape (n_documents,).
    names : tuple of (bytes, bytearray, bytearray)
        Concatenated terms of each group's new columns, their lengths (int64), and their buckets
        (int32).
    sums, known : bytearray or None
        Float32; see `TextSums`.
    """

    columns: bytearray
    values: bytearray
    lengths: bytearray
    n_terms: bytearray
    n_words: bytearray
    names: tuple[tuple[bytes, bytearray, bytearray], ...]
    sums: bytearray | None = None
    known: bytearray | None = None

    def text_sums(self, table: VectorTable) -> TextSums:
        """Return the sums of the vectors of the kernel's table."""
        sums, known = (
            np.frombuffer(each or bytearray(), np.float32) for each in (self.sums, self.known)
        )
        return TextSums(sums.reshape(-1, table.header.n_columns), known)


def count_in_kernel(
    texts: Sequence[str],
    kinds: Sequence[str],
    vocabularies: Sequence[TermColumns],
    *,
    table: VectorTable | None = None,
    learn: bool = False,
) -> TermCounts:
    """Count terms in the compiled kernel, document by document; see `count_chunk`.

    The kernel releases the interpreter lock.
    """
    groups, first = [], 0
    for kind, vocabulary in zip(kinds, vocabularies, strict=True):
        if learn and isinstance(vocabulary, HashedColumns):
            terms, n_columns = vocabulary.learning_table, vocabulary.n_columns
        else:
            terms, n_columns = vocabulary.compact_table, FIXED_COLUMNS
        groups.append(KernelGroup.from_table(kind, terms, n_columns=n_columns, first=first))
        first += 0 if learn else vocabulary.n_columns
    result = _call_kernel(JoinedTexts.join(texts), tuple(groups), table)
    for vocabulary, (spelled, n_bytes, buckets) in zip(vocabularies, result.names, strict=True):
        if n_bytes and isinstance(vocabulary, HashedColumns):
            names = spelled, np.frombuffer(n_bytes, dtype=np.int64)
            vocabulary.add_columns(np.frombuffer(buckets, dtype=np.int32), names)
    return TermCounts(
        Entries(
            np.frombuffer(result.values, dtype=np.float32),
            np.frombuffer(result.columns, dtype=np.int32),
            np.frombuffer(result.lengths, dtype=np.int64),
        ),
        np.frombuffer(result.n_terms, dtype=np.int64).reshape(-1, len(groups)),
        np.frombuffer(result.n_words, dtype=np.int64),
        None if table is None else result.text_sums(table),
    )


def _call_kernel(
    joined: JoinedTexts, groups: tuple[KernelGroup, ...], table: VectorTable | None
) -> KernelResult:
    sections = () if table is None else (table.kernel_arguments,)
    return KernelResult(*kernel.count(*joined.kernel_arguments(), groups, *sections))


def sum_texts(table: VectorTable, texts: Sequence[str]) -> TextSums:
    """Return each text's sum of vectors and known fraction, without counting terms.

    Raises
    ------
    DataError : if a text is not a `str`.
    """
    texts = check_texts(texts)
    parts = [*map_chunks(functools.partial(_sum_chunk, table), texts)] or [_sum_chunk(table, [])]
    return TextSums(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _sum_chunk(table: VectorTable, texts: Sequence[str]) -> TextSums:
    if not has_kernel():
        return sum_in_arrays(table, find_words(texts))
    return _call_kernel(JoinedTexts.join(texts), (), table).text_sums(table)
