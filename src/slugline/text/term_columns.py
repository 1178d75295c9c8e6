"""Maps terms to columns: what a vocabulary and hash buckets have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.sparse import count_matrix, stack_rows
from slugline.text.terms import KINDS, Terms
from slugline.text.words import Words, find_words, map_chunks

__all__ = ["Buckets", "TermColumns"]


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

    @abstractmethod
    def _find_columns(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Return the column of each term, given its hash; below 0 if it has none."""

    def columns(self, words: Words) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the columns of the terms in documents, given the documents' words.

        Returns
        -------
        columns : int32 array, shape (n_terms,)
            In reading order; terms without a column are left out.
        indptr : int64 array, shape (n_documents + 1,)
            Document `d` has `columns[indptr[d]:indptr[d + 1]]`.
        """
        terms = self._find(words)
        return terms.spread(self._find_columns(terms.spans.hashes))

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
            known = self._find_columns(terms.spans.hashes) >= 0
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
        self._n_buckets = n_buckets

    def __repr__(self) -> str:
        return f"Buckets({self._n_buckets}, kind={self.kind!r})"

    @property
    def n_columns(self) -> int:
        """Number of buckets."""
        return self._n_buckets

    def term(self, column: int) -> None:
        """Return None: many terms may share a bucket, and their names are not kept."""

    def _find_columns(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        return (hashes & np.uint64(self._n_buckets - 1)).astype(np.int32)
