"""Maps terms to columns: what a vocabulary and hash buckets have in common."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import I64, U64, Integers
from slugline.errors import DataError
from slugline.text.sparse import boundaries, count_matrix, ranges, stack_rows
from slugline.text.terms import KINDS, Terms
from slugline.text.words import Words, find_words, map_chunks, span_text

__all__ = [
    "Buckets",
    "SeenBuckets",
    "TermColumns",
    "TermTable",
]

# Buckets that a look-up sees at once, as bits of an integer.
_GROUP = 64


class TermTable(NamedTuple):
    """Where the compiled kernel finds the column of a term.

    Attributes
    ----------
    n_slots : int
        A power of two.
    columns : int32 array, shape (n_slots,), or None
        The column of each bucket or slot, below 0 if it has none. None makes buckets columns.
    keys : uint64 array, shape (n_slots,), or None
        Hashes in a table with linear probing; 0 in an empty slot. None if slots are buckets.
    multiplier : int
        Of the table with keys; see `slugline.text.hashing`.
    n_reserved : int
        What is added to what `columns` says, if there are keys.
    groups : uint64 array, shape (n_groups, 2), or None
        For each 64 buckets, a bit for each that has a column, the lowest for the first; and how
        many buckets before them have one. `columns` then has only the columns that there are. So a
        look-up of a few of a million buckets mostly stays in the processor's cache.
    """

    n_slots: int
    columns: npt.NDArray[np.int32] | None = None
    keys: U64 | None = None
    multiplier: int = 0
    n_reserved: int = 0
    groups: U64 | None = None


class TermColumns(ABC):
    """Assigns a column to each term.

    Attributes
    ----------
    kind : {"words", "lead", "bigrams", "characters"}
        What a term is; see `slugline.text.terms`.
    terms : sequence of str
        The terms whose names are known.
    """

    kind: str
    terms: Sequence[str]

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns that `transform` returns."""

    @abstractmethod
    def term(self, column: int) -> str | None:
        """Return the term of `column`, or None if it has no name."""

    @property
    @abstractmethod
    def table(self) -> TermTable:
        """Return where the kernel finds the column of a term."""

    @property
    def compact_table(self) -> TermTable:
        """Return the same in the form that is fastest for look-ups."""
        return self.table

    @abstractmethod
    def _find_columns(self, hashes: U64) -> npt.NDArray[np.int32]:
        """Return the column of each term, given its hash; below 0 if it has none."""

    def columns(self, words: Words) -> tuple[npt.NDArray[np.int32], I64]:
        """Return the columns of the terms in documents, given the documents' words.

        Returns
        -------
        columns : int32 array, shape (n_terms,)
            In reading order; terms without a column are left out.
        indptr : int64 array, shape (n_documents + 1,)
            Document `d` has `columns[indptr[d]:indptr[d + 1]]`.
        """
        return self.places(self._find(words))

    def places(self, terms: Terms) -> tuple[npt.NDArray[np.int32], I64]:
        """Return the same as `columns`, given terms of the kind."""
        return terms.spread(self.of_spans(terms))

    def of_spans(self, terms: Terms) -> npt.NDArray[np.int32]:
        """Return the column of each of `terms.spans`, shape (n_spans,); below 0 if it has none."""
        return self._find_columns(terms.spans.hashes)

    def count(self, words: Words) -> sp.csr_array:
        """Return how often each term occurs in documents, given the documents' words.

        Returns
        -------
        float32 CSR array, shape (n_documents, n_columns), with sorted indices; terms without a
        column are left out.
        """
        return count_matrix(*self.columns(words), self.n_columns)

    def transform(self, texts: Iterable[str], n_threads: int = 1) -> sp.csr_array:
        """Return how often each term occurs in texts; see `count`."""
        parts = map_chunks(lambda chunk: self.count(find_words(chunk)), texts, n_threads)
        return stack_rows(parts, self.n_columns)

    def known_share(self, texts: Iterable[str], n_threads: int = 1) -> float:
        """Return the share of all terms in `texts` that have a column; NaN if there are none."""

        def count(chunk: Sequence[str]) -> tuple[int, int]:
            terms = self._find(find_words(chunk))
            counts = terms.counts()
            known = self.of_spans(terms) >= 0
            return int(counts[known].sum()), int(counts.sum())

        parts = list(map_chunks(count, texts, n_threads))
        n_terms = sum(n for _, n in parts)
        return sum(n for n, _ in parts) / n_terms if n_terms else float("nan")

    def _find(self, words: Words) -> Terms:
        return KINDS[self.kind].find(words)


class Buckets(TermColumns):
    """A fixed number of columns; the hash of a term chooses its column.

    Nothing is learned and nothing is shared, so rows agree whichever process makes them. Terms in
    the same bucket are counted together, and none has a name.

    Parameters
    ----------
    n_buckets : int
        A power of two.
    kind : {"words", "lead", "bigrams", "characters"}, default "words"

    References
    ----------
    Weinberger, Dasgupta, Langford, Smola and Attenberg (2009), Feature hashing for large scale
    multitask learning; here without their random signs.
    """

    terms = ()

    def __init__(self, n_buckets: int, kind: str = "words") -> None:
        self.kind = kind
        self.n_buckets = n_buckets

    def __repr__(self) -> str:
        return f"Buckets({self.n_buckets}, kind={self.kind!r})"

    @property
    def n_columns(self) -> int:
        """Number of buckets."""
        return self.n_buckets

    def term(self, column: int) -> str | None:  # noqa: ARG002
        """Return None: many terms may share a bucket, and their names are not kept."""
        return None

    @property
    def table(self) -> TermTable:
        """Return where the kernel finds the column of a term."""
        return TermTable(self.n_buckets)

    def _find_columns(self, hashes: U64) -> npt.NDArray[np.int32]:
        return self._buckets(hashes)

    def _buckets(self, hashes: U64) -> npt.NDArray[np.int32]:
        return (hashes & np.uint64(self.n_buckets - 1)).astype(np.int32)


class SeenBuckets(Buckets):
    """Columns for those of so many buckets that hold a term of the documents learned from.

    Columns are numbered in order of appearance. Each is named after the term that came first; terms
    that come later may share its bucket, and are then counted with it.

    Parameters
    ----------
    n_buckets : int
        A power of two.
    kind : {"words", "lead", "bigrams", "characters"}, default "words"
    """

    # What `compact_table` has made of columns that are still the same.
    _compact: TermTable | None = None

    def __init__(self, n_buckets: int, kind: str = "words") -> None:
        super().__init__(n_buckets, kind)
        self._columns = np.full(n_buckets, -1, dtype=np.int32)
        self._names: tuple[tuple[bytes, I64], ...] = ()
        self._bounds: I64 | None = None
        self._n_columns = 0

    @classmethod
    def of(cls, terms: Sequence[str], n_buckets: int, kind: str = "words") -> SeenBuckets:
        """Return the buckets of the named terms, in their order.

        Raises
        ------
        DataError : if two terms are in one bucket, or a term is not of the kind.
        """
        buckets = cls(n_buckets, kind)
        hashes = KINDS[kind].hash(terms)
        found = buckets._buckets(hashes)
        if len(hashes) != len(terms) or len(np.unique(found)) != len(terms):
            raise DataError(f"terms are not of the kind {kind!r}, or two are in one bucket")
        data = [term.encode("utf-8", "surrogatepass") for term in terms]
        lengths = np.fromiter(map(len, data), dtype=np.int64, count=len(data))
        buckets._append(found, (b"".join(data), lengths))
        return buckets

    def __repr__(self) -> str:
        return f"SeenBuckets({self.n_columns} of {self.n_buckets}, kind={self.kind!r})"

    @property
    def n_columns(self) -> int:
        """Number of buckets in which a term has been seen."""
        return self._n_columns

    @property
    def terms(self) -> Sequence[str]:  # type: ignore[override]
        """The name of each column."""
        data, bounds = self._spelled()
        return [span_text(data[a:b]) for a, b in itertools.pairwise(bounds.tolist())]

    def term(self, column: int) -> str | None:
        """Return the term that the column is named after."""
        data, bounds = self._spelled()
        return span_text(data[bounds[column] : bounds[column + 1]])

    def learn(self, spans: Words) -> None:
        """Give a column to every bucket that a term falls into for the first time."""
        buckets = self._buckets(spans.hashes)
        unseen = np.flatnonzero(self._columns[buckets] < 0)
        if unseen.size:
            first = np.unique(buckets[unseen], return_index=True)[1]
            places = unseen[np.sort(first)]
            self._append(buckets[places], spans.cut(places))

    @property
    def table(self) -> TermTable:
        """Return where the kernel finds the column of a term, and writes those of new ones."""
        return TermTable(self.n_buckets, self._columns)

    @property
    def compact_table(self) -> TermTable:
        """Return where the kernel finds the column of a term sooner, as long as none is new."""
        if self._compact is None:
            self._compact = self._grouped()
        return self._compact

    def learned(self, names: tuple[bytes, I64]) -> None:
        """Take the bytes and lengths of names of columns that have been written into the table."""
        self._n_columns += len(names[1])
        self._names, self._bounds, self._compact = (*self._names, names), None, None

    def copy(self) -> SeenBuckets:
        """Return the same columns, to learn on without changing these."""
        twin = copy.copy(self)
        twin._columns = self._columns.copy()
        return twin

    def keep(self, columns: Integers) -> SeenBuckets:
        """Return buckets of which only some columns are left, in ascending order."""
        buckets, data, lengths = self.named()
        lengths = lengths[columns]
        places = ranges(self._spelled()[1][columns], lengths)
        spelled = np.frombuffer(data, dtype=np.uint8)[places].tobytes()
        return SeenBuckets.of_buckets(
            buckets[columns], (spelled, lengths), self.n_buckets, self.kind
        )

    @classmethod
    def of_buckets(
        cls,
        buckets: npt.NDArray[np.int32],
        names: tuple[bytes, I64],
        n_buckets: int,
        kind: str,
    ) -> SeenBuckets:
        """Return columns for distinct buckets, in their order; see `named` for the others."""
        columns = cls(n_buckets, kind)
        columns._append(buckets, names)
        return columns

    def named(self) -> tuple[npt.NDArray[np.int32], bytes, I64]:
        """Return the bucket of each column, and all names: their bytes, and their lengths."""
        data, bounds = self._spelled()
        buckets = np.empty(self.n_columns, dtype=np.int32)
        seen = np.flatnonzero(self._columns >= 0)
        buckets[self._columns[seen]] = seen
        return buckets, data, np.diff(bounds)

    def _grouped(self) -> TermTable:
        has_column = np.zeros(-(-self.n_buckets // _GROUP) * _GROUP, dtype=bool)
        has_column[: self.n_buckets] = self._columns >= 0
        groups = np.empty((len(has_column) // _GROUP, 2), dtype=np.uint64)
        groups[:, 0] = np.packbits(has_column, bitorder="little").view("<u8")
        groups[:, 1] = boundaries(has_column.reshape(-1, _GROUP).sum(axis=1))[:-1]
        columns = self._columns[has_column[: self.n_buckets]]
        return TermTable(self.n_buckets, columns, groups=groups)

    def _append(self, buckets: npt.NDArray[np.int32], names: tuple[bytes, I64]) -> None:
        self._columns[buckets] = np.arange(self._n_columns, self._n_columns + len(buckets))
        self.learned(names)

    def _spelled(self) -> tuple[bytes, I64]:
        """Return all names as bytes, one after another, and where each begins and the last ends."""
        if len(self._names) != 1:
            none = np.zeros(0, dtype=np.int64)
            data = b"".join(data for data, _ in self._names)
            self._names = ((data, np.concatenate([none, *(n for _, n in self._names)])),)
        data, lengths = self._names[0]
        if self._bounds is None:  # or a name would take as long to find as all of them
            self._bounds = boundaries(lengths)
        return data, self._bounds

    def _find_columns(self, hashes: U64) -> npt.NDArray[np.int32]:
        return self._columns[self._buckets(hashes)]
