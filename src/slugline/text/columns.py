"""Mapping terms to columns, by feature hashing or by a vocabulary."""

from __future__ import annotations

import copy
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import I32, I64, U64, Integers
from slugline.base.checks import check_whole
from slugline.errors import DataError
from slugline.text.hashing import number_distinct
from slugline.text.sparse import row_offsets
from slugline.text.terms import KINDS, GroupedTerms, find_hash, join_terms
from slugline.text.tokens import Words, span_text

# Number of buckets with a bit in one integer; see `TermTable.groups`.
_BUCKETS_PER_GROUP = 64


class TermTable(NamedTuple):
    """Table in which the compiled kernel looks up the column of a term.

    Attributes
    ----------
    n_slots : int
        A power of two.
    columns : int32 array, shape (n_slots,), or None
        Column of each bucket or slot, negative if it has none. None if buckets are columns.
    keys : uint64 array, shape (n_slots,), or None
        Hashes in a table with linear probing, 0 in empty slots. None if slots are buckets.
    multiplier : int
        Used with keys; see `_make_hash_table`.
    groups : uint64 array, shape (n_groups, 2), or None
        For each group of 64 buckets, a bitmask of the buckets with a column, lowest first, and the
        number of columns before the group. `columns` then contains only existing columns, so that
        looking up a few of a million buckets mostly stays in the processor's cache.
    """

    n_slots: int
    columns: I32 | None = None
    keys: U64 | None = None
    multiplier: int = 0
    groups: U64 | None = None


class TermColumns(ABC):
    """Mapping from terms of a `kind` to columns; see `slugline.text.terms`."""

    kind: str
    terms: Sequence[str]

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns."""

    @abstractmethod
    def term(self, column: int) -> str | None:
        """Return the term of `column`, or None if it has no name."""

    @property
    def n_terms(self) -> int:
        """Number of terms."""
        return len(self.terms)

    def lines(self) -> bytes:
        """Return the terms in UTF-8, one on each line, as in a model file."""
        return "".join(f"{term}\n" for term in self.terms).encode("utf-8", "surrogatepass")

    @property
    @abstractmethod
    def table(self) -> TermTable:
        """The kernel's table."""

    @property
    def compact_table(self) -> TermTable:
        """The table in the form that is fastest for look-ups."""
        return self.table

    @abstractmethod
    def _find_columns(self, hashes: U64) -> I32:
        """Return the column of each hash, negative if it has none."""

    def columns_of_terms(self, terms: GroupedTerms) -> tuple[I32, I64]:
        """Return the columns of the terms of documents in reading order, and `indptr`.

        Document `d` has `columns[indptr[d]:indptr[d + 1]]`; terms without a column are skipped.
        """
        return terms.columns_in_order(self.columns_of_spans(terms))

    def columns_of_spans(self, terms: GroupedTerms) -> I32:
        """Return the column of each of `terms.spans`, negative if it has none."""
        return self._find_columns(terms.spans.hashes)


class Buckets(TermColumns):
    """Feature hashing: the hash of a term chooses one of a fixed number of columns.

    Stateless, so all processes compute the same rows. Terms in the same bucket are counted
    together, and columns have no names. There are no random signs, unlike in the paper.

    Parameters
    ----------
    n_buckets : int
        A power of two.
    kind : str, default "words"

    References
    ----------
    Weinberger, Dasgupta, Langford, Smola and Attenberg (2009), Feature hashing for large scale
    multitask learning.
    """

    terms = ()

    def __init__(self, n_buckets: int, kind: str = "words") -> None:
        self.kind = kind
        self.n_buckets = n_buckets

    @property
    def n_columns(self) -> int:
        """Number of buckets."""
        return self.n_buckets

    def term(self, column: int) -> str | None:  # noqa: ARG002
        """Return None: terms that share a bucket have no name."""
        return None

    @property
    def table(self) -> TermTable:
        """The kernel's table."""
        return TermTable(self.n_buckets)

    def _find_columns(self, hashes: U64) -> I32:
        return self._buckets(hashes)

    def _buckets(self, hashes: U64) -> I32:
        return (hashes & np.uint64(self.n_buckets - 1)).astype(np.int32)


class HashedColumns(Buckets):
    """Feature hashing with columns only for the buckets of terms in the training documents.

    Columns are numbered in order of appearance. Each is named after its first term; later terms in
    the same bucket are counted with it. For the parameters, see `Buckets`.
    """

    # Cached by `compact_table` until a column is added.
    _compact: TermTable | None = None
    # Column of each bucket, negative if it has none. Built on the first look-up: for models that
    # only predict, it would dominate memory and loading time.
    _bucket_columns: I32 | None = None

    def __init__(self, n_buckets: int, kind: str = "words") -> None:
        super().__init__(n_buckets, kind)
        # Bucket of each column, in parts.
        self._column_buckets: tuple[I32, ...] = ()
        self._names: tuple[tuple[bytes, I32], ...] = ()
        self._bounds: I64 | None = None
        self._n_columns = 0

    @classmethod
    def from_names(
        cls, names: tuple[bytes, I64], n_buckets: int, kind: str = "words"
    ) -> HashedColumns:
        """Return columns for the buckets of terms from `join_terms`, in their order.

        Raises
        ------
        DataError : if two terms share a bucket, or a term is not of the kind.
        """
        hashes = find_hash(kind)(*names)
        if len(hashes) != len(names[1]):
            raise DataError(f"a term is not of the kind {kind!r}")
        columns = cls(n_buckets, kind)
        columns.add_columns(columns._buckets(hashes), names)
        buckets = np.sort(columns._buckets_by_column())
        if (buckets[1:] == buckets[:-1]).any():
            raise DataError(f"two terms of the kind {kind!r} are in one bucket")
        return columns

    @property
    def n_columns(self) -> int:
        """Number of buckets with a term."""
        return self._n_columns

    @property
    def n_terms(self) -> int:
        """Number of columns."""
        return self._n_columns

    @property
    def terms(self) -> Sequence[str]:  # type: ignore[override]
        """The name of each column."""
        return split_lines(self.lines())

    def lines(self) -> bytes:
        """Return the names of columns in UTF-8, one on each line."""
        data, lengths = self._join_names()
        lines = np.full(len(data) + len(lengths), ord("\n"), dtype=np.uint8)
        is_name = np.ones(len(lines), dtype=bool)
        is_name[np.cumsum(lengths + 1, dtype=np.int64) - 1] = False
        lines[is_name] = np.frombuffer(data, dtype=np.uint8)
        # Collapse the spaces between the words of a term; see `span_text`.
        return re.sub(rb"  +", b" ", lines.tobytes())

    def term(self, column: int) -> str | None:
        """Return the term that the column is named after."""
        data, bounds = self._name_bytes()
        return span_text(data[bounds[column] : bounds[column + 1]])

    def learn(self, spans: Words) -> None:
        """Add a column for every bucket that receives its first term."""
        buckets = self._buckets(spans.hashes)
        unseen = np.flatnonzero(self._columns[buckets] < 0)
        if unseen.size:
            first = np.unique(buckets[unseen], return_index=True)[1]
            places = unseen[np.sort(first)]
            self._columns[buckets[places]] = np.arange(len(places)) + self._n_columns
            self.add_columns(buckets[places], spans.extract(places))

    @property
    def table(self) -> TermTable:
        """The kernel's table, which the kernel extends with columns of new buckets."""
        return TermTable(self.n_buckets, self._columns)

    @property
    def learning_table(self) -> TermTable:
        """The kernel's table, or an empty one that the kernel sizes for the first columns."""
        return self.table if self._n_columns else TermTable(self.n_buckets)

    @property
    def compact_table(self) -> TermTable:
        """The table for faster look-ups, valid until a column is added."""
        if self._compact is None:
            self._compact = self._group_table()
        return self._compact

    def add_columns(self, buckets: I32, names: tuple[bytes, Integers]) -> None:
        """Register columns that the kernel has already added to its table, if any.

        `names` contains the concatenated names and their lengths in bytes.
        """
        data, lengths = names
        self._n_columns += len(lengths)
        # 32 bits save memory: there may be over a million names.
        self._names = (*self._names, (data, lengths.astype(np.int32, copy=False)))
        self._column_buckets = (*self._column_buckets, buckets)
        self._bounds = self._compact = None

    def drop_table(self) -> None:
        """Free the table that the kernel extends; it is rebuilt when needed."""
        self._bucket_columns = None

    def copy(self) -> HashedColumns:
        """Return a copy that can learn further terms."""
        twin = copy.copy(self)
        if self._bucket_columns is not None:
            twin._bucket_columns = self._bucket_columns.copy()
        return twin

    def select(self, columns: Integers) -> HashedColumns:
        """Return a copy with only the given columns, which must be ascending."""
        buckets, data, lengths = self.buckets_and_names()
        is_selected = np.zeros(self.n_columns, dtype=bool)
        is_selected[columns] = True
        # A mask of bytes: positions would take eight times as much memory.
        names = np.frombuffer(data, dtype=np.uint8)[is_selected.repeat(lengths)].tobytes()
        return HashedColumns.from_buckets(
            buckets[columns], (names, lengths[columns]), self.n_buckets, self.kind
        )

    @classmethod
    def from_buckets(
        cls, buckets: I32, names: tuple[bytes, Integers], n_buckets: int, kind: str
    ) -> HashedColumns:
        """Return columns for distinct buckets, in order; the inverse of `buckets_and_names`."""
        columns = cls(n_buckets, kind)
        columns.add_columns(buckets, names)
        return columns

    def buckets_and_names(self) -> tuple[I32, bytes, I32]:
        """Return the bucket of each column, the names concatenated as bytes, and their lengths."""
        data, lengths = self._join_names()
        return self._buckets_by_column(), data, lengths

    @property
    def _columns(self) -> I32:
        """Column of each bucket, negative if it has none; callers write into it."""
        if self._bucket_columns is None:
            table = np.full(self.n_buckets, -1, dtype=np.int32)
            table[self._buckets_by_column()] = np.arange(self._n_columns)
            self._bucket_columns = table
        return self._bucket_columns

    def _buckets_by_column(self) -> I32:
        """Return the bucket of each column."""
        if len(self._column_buckets) != 1:
            none = np.zeros(0, dtype=np.int32)
            self._column_buckets = (np.concatenate([none, *self._column_buckets]),)
        return self._column_buckets[0]

    def _group_table(self) -> TermTable:
        buckets = self._buckets_by_column()
        numbers = buckets // _BUCKETS_PER_GROUP
        bits = np.left_shift(np.uint64(1), (buckets % _BUCKETS_PER_GROUP).astype(np.uint64))
        masks = np.zeros(-(-self.n_buckets // _BUCKETS_PER_GROUP), dtype=np.uint64)
        np.add.at(masks, numbers, bits)  # all bits of a group are distinct
        n_before = row_offsets(np.bitwise_count(masks))[:-1]
        # Columns in bucket order, three times as fast as sorting.
        columns = np.empty(len(buckets), dtype=np.int32)
        n_lower = np.bitwise_count(masks[numbers] & (bits - np.uint64(1)))
        columns[n_before[numbers] + n_lower] = np.arange(len(buckets), dtype=np.int32)
        groups = np.stack([masks, n_before.astype(np.uint64)], axis=1)
        return TermTable(self.n_buckets, columns, groups=groups)

    def _name_bytes(self) -> tuple[bytes, I64]:
        """Return the names concatenated as bytes, and the offsets between them."""
        data, lengths = self._join_names()
        if self._bounds is None:  # cached, because finding one name takes as long as finding all
            self._bounds = row_offsets(lengths)
        return data, self._bounds

    def _join_names(self) -> tuple[bytes, I32]:
        """Return the names concatenated as bytes, and their lengths."""
        if len(self._names) != 1:
            none = np.zeros(0, dtype=np.int32)
            data = b"".join(data for data, _ in self._names)
            self._names = ((data, np.concatenate([none, *(n for _, n in self._names)])),)
        return self._names[0]

    def _find_columns(self, hashes: U64) -> I32:
        return self._columns[self._buckets(hashes)]


def split_lines(lines: bytes) -> list[str]:
    """Return the terms; the inverse of `TermColumns.lines`."""
    return lines.decode("utf-8", "surrogatepass").split("\n")[:-1]


# Vocabularies -------------------------------------------------------------------------------------


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
        # The columns in the order of their hashes.
        self._order = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._order]
        if (self._hashes[1:] == self._hashes[:-1]).any():
            raise DataError(
                "the vocabulary contains a duplicate term, or two terms with the same hash; "
                "terms must be unique."
            )

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def n_columns(self) -> int:
        """Number of terms."""
        return len(self.terms)

    @cached_property
    def table(self) -> TermTable:
        """The vocabulary as a hash table for the compiled kernel."""
        return _make_hash_table(self._hashes, self._order)

    def term(self, column: int) -> str | None:
        """Return the term of `column`."""
        return self.terms[column]

    def _find_columns(self, hashes: U64) -> I32:
        if not self.terms:
            return np.full(len(hashes), -1, dtype=np.int32)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self.terms) - 1)
        return np.where(self._hashes[places] == hashes, self._order[places], np.int32(-1))


# A hash table has at least this many slots per term.
_SPARSITY = 4


def _make_hash_table(hashes: U64, columns: I32) -> TermTable:
    """Return a table with linear probing, from distinct hashes that are not 0 to columns.

    A slot is the top bits of the hash times a random odd number (Dietzfelbinger et al., 1997), so
    attackers can't craft texts whose words all share a slot.
    """
    n_slots = 1 << max(_SPARSITY * len(hashes) - 1, 63).bit_length()
    multiplier = int.from_bytes(os.urandom(8), "little") | 1
    keys, numbers = np.zeros(n_slots, dtype=np.uint64), np.full(n_slots, -1, dtype=np.int32)
    slots = (hashes * np.uint64(multiplier) >> np.uint64(65 - n_slots.bit_length())).view(np.int64)
    while hashes.size:
        is_free = keys[slots] == 0
        # Several hashes may claim the same free slot; the hash read back wins it.
        keys[slots[is_free]] = hashes[is_free]
        is_placed = keys[slots] == hashes
        numbers[slots[is_placed]] = columns[is_placed]
        hashes, columns = hashes[~is_placed], columns[~is_placed]
        slots = (slots[~is_placed] + 1) & (n_slots - 1)
    return TermTable(n_slots, numbers, keys, multiplier)


class VocabularyBuilder:
    """Counts terms chunk by chunk and builds a vocabulary of the most frequent ones.

    While counting, a term is stored as its hash, count and bytes: of millions of distinct pairs,
    most occur only once and never become strings.
    """

    def __init__(self, kind: str = "words") -> None:
        self.kind = kind
        self._numbers: dict[int, int] = {}  # of each term, by its hash
        self._counts = np.zeros(0, dtype=np.int64)
        self._bytes: list[bytes] = []
        self._lengths: list[I64] = []

    def add(self, words: Words) -> None:
        """Count the terms of more documents."""
        terms = KINDS[self.kind].find(words)
        first, inverse = number_distinct(terms.spans.hashes)
        n_known, known = len(self._numbers), self._numbers
        hashes = terms.spans.hashes[first].tolist()
        numbers = np.array([known.setdefault(each, len(known)) for each in hashes], dtype=np.int64)
        counts = np.zeros(len(known), dtype=np.int64)
        counts[:n_known] = self._counts
        counts[numbers] += np.bincount(inverse, terms.counts(), len(first)).astype(np.int64)
        self._counts = counts
        # In order of appearance, like the numbers of new terms.
        data, lengths = terms.spans.extract(first[numbers >= n_known])
        self._bytes.append(data)
        self._lengths.append(lengths)

    def build(self, max_terms: int | None = None, min_count: int = 1) -> Vocabulary:
        """Return a vocabulary, most frequent terms first, ties by first appearance.

        Parameters
        ----------
        max_terms : int, optional
            Keep at most this many terms; all by default.
        min_count : int, default 1
            Drop terms that occur less often.
        """
        if max_terms is not None:
            check_whole("num_words", max_terms, 1)
        order = np.argsort(-self._counts, kind="stable")
        order = order[: np.count_nonzero(self._counts >= min_count)][:max_terms]
        data = b"".join(self._bytes)
        indptr = row_offsets(np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths]))
        spans = zip(indptr[order].tolist(), indptr[order + 1].tolist(), strict=True)
        terms = [span_text(data[start:end]) for start, end in spans]
        return Vocabulary(terms, self.kind)
