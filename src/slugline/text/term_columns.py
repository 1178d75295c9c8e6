"""Which column each term has: what a vocabulary and hash buckets have in common."""

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
    """Gives each term of documents a column.

    Attributes
    ----------
    kind : {"words", "lead", "bigrams", "characters"}
        What a term is; see `slugline.text.terms`.
    terms : sequence of str
        Those that are known by name.
    """

    kind: str
    terms: Sequence[str]

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """How many columns `transform` gives."""

    @abstractmethod
    def term(self, column: int) -> str | None:
        """Return the term of `column`, or None if it has no name."""

    @abstractmethod
    def _find_columns(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Return the column of each term by its hash, below 0 where it has none."""

    def columns(self, words: Words) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the columns of the terms in documents whose words have been found.

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
        """Count terms in documents whose words have been found.

        Returns
        -------
        float32 CSR array, shape (n_documents, n_columns); indices sorted, terms without a column
        left out.
        """
        return count_matrix(*self.columns(words), self.n_columns)

    def transform(self, texts: Iterable[str], n_threads: int = 1) -> sp.csr_array:
        """Count terms in texts; see `count`."""
        parts = map_chunks(lambda chunk: self.count(find_words(chunk)), texts, n_threads)
        return stack_rows(parts, self.n_columns)

    def known_share(self, texts: Iterable[str], n_threads: int = 1) -> float:
        """Return the share of all terms in `texts` that have a column; NaN without any."""

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
    """A fixed number of columns, of which a term has the one that its hash names.

    Nothing is learned and nothing shared: rows made in any process agree. Terms that meet in a
    bucket are counted together, and none has a name.

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
        """How many buckets there are."""
        return self._n_buckets

    def term(self, column: int) -> None:
        """Return None: many terms may share a bucket, and none is kept."""

    def _find_columns(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        return (hashes & np.uint64(self._n_buckets - 1)).astype(np.int32)
