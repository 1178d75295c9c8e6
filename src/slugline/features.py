"""Documents to weighted CSR rows: which terms count, and how much."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import errors
from slugline.buckets import Buckets
from slugline.errors import DataError, OptionError
from slugline.ngrams import KINDS
from slugline.ranges import boundaries, row_lengths
from slugline.sparse import count_matrix, join_blocks, stack_rows
from slugline.term_columns import TermColumns
from slugline.text import as_texts, find_words, map_chunks
from slugline.vocabulary import VocabularyBuilder

__all__ = ["MAX_BUCKETS", "WEIGHTINGS", "Block", "Features", "document_frequency", "idf", "weigh"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]

#: How a term's count in a document becomes a number: present or not; how often; or how often, less
#: the more documents have it, with rows of length 1, where "log-tf-idf" takes 1 + ln(count).
WEIGHTINGS = ("multi-hot", "counts", "tf-idf", "log-tf-idf")
#: The most hash buckets of a block: more would cost learners more memory than they could be worth.
MAX_BUCKETS = 1 << 24


@dataclass(frozen=True, slots=True)
class Block:
    """One family of terms, side by side with others in a row.

    Parameters
    ----------
    kind : {"words", "lead", "bigrams", "characters"}, default "words"
        Words; the first words of a document; pairs of neighbours; runs of characters in words.
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}, default "log-tf-idf"
    weight : float, default 1.0
        What the whole block counts beside others. With idf, a row that has terms of all blocks
        gets length 1.
    max_terms : int, optional
        Keep the most frequent terms, at most so many; all by default.
    min_count : int, default 1
        Drop terms that occur less often in all documents together.
    n_buckets : int, optional
        A power of two up to `MAX_BUCKETS`: learn no vocabulary, but count each term in the column
        that its hash names. Columns then have no names, and rows of counts agree between processes
        that share nothing. What idf weighs terms by is learned all the same.
    """

    kind: str = "words"
    weighting: str = "log-tf-idf"
    weight: float = 1.0
    max_terms: int | None = None
    min_count: int = 1
    n_buckets: int | None = None

    def __post_init__(self) -> None:
        for name, value, legal in (
            ("kind", self.kind, KINDS),
            ("weighting", self.weighting, WEIGHTINGS),
        ):
            if value not in legal:
                raise OptionError(f"unknown {name} {value!r}; choose one of {', '.join(legal)}.")
        if not 0 < self.weight < math.inf:
            raise OptionError(f"weight is {self.weight}; give a number over 0.")
        if self.n_buckets is not None:
            self._check_buckets(self.n_buckets)

    @property
    def has_idf(self) -> bool:
        """Whether terms weigh less the more documents have them."""
        return self.weighting.endswith("idf")

    def _check_buckets(self, n_buckets: int) -> None:
        is_power = isinstance(n_buckets, int) and n_buckets > 0 and n_buckets.bit_count() == 1
        if not is_power or n_buckets > MAX_BUCKETS:
            raise OptionError(
                f"n_buckets is {n_buckets!r}; give a power of two up to {MAX_BUCKETS}, or None to "
                "learn a vocabulary."
            )
        if self.max_terms is not None or self.min_count != 1:
            raise OptionError(
                "max_terms and min_count choose the terms of a vocabulary, and with n_buckets "
                "there is none; leave them out."
            )


class Features:
    """Learns vocabularies, and turns documents into rows over them.

    Parameters
    ----------
    blocks : sequence of Block
        Their columns follow one another.
    n_jobs : int, default 1
        Threads. The rows are the same for any number.

    Attributes
    ----------
    vocabularies_ : list of Vocabulary or Buckets, one for each block
    idf_ : list of float32 array, shape (n_terms,), or None where a block has no idf
    """

    vocabularies_: list[TermColumns]
    idf_: list[Floats | None]

    def __init__(self, blocks: Sequence[Block] = (Block(),), n_jobs: int = 1) -> None:
        self.blocks = tuple(blocks)
        self.n_jobs = n_jobs

    @classmethod
    def restore(
        cls, blocks: Sequence[Block], vocabularies: list[TermColumns], idf: list[Floats | None]
    ) -> Features:
        """Make fitted features from their parts, as a model file holds them."""
        features = cls(blocks)
        features.vocabularies_, features.idf_ = vocabularies, idf
        return features

    @property
    def n_columns(self) -> int:
        """How many columns a row has."""
        return sum(self._widths())

    def fit_transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Learn the vocabularies, and how many documents have each term; give the rows."""
        texts = as_texts(texts)  # they are read twice
        self.vocabularies_ = self._learn_columns(texts)
        counts = deque(map_chunks(self._count, texts, self.n_jobs))
        if not any(part.nnz for part in counts):
            raise DataError("no document has a word in it; check which column holds the text.")
        self.idf_ = self._learn_idf(counts, len(texts))

        def rows() -> Iterator[sp.csr_array]:
            while counts:  # each is let go when its rows are made
                yield self._weigh(counts.popleft())

        return stack_rows(rows(), self.n_columns)

    def partial_fit_transform(self, texts: Sequence[str], n_before: int) -> sp.csr_array:
        """Learn from further documents how many have each term; give their rows.

        Only blocks of hash buckets learn on: a vocabulary, and its idf, stay as they were fitted.

        Parameters
        ----------
        texts : sequence of str
        n_before : int
            How many documents there were in all calls before; 0 in the first one, for which every
            block has to have hash buckets.
        """
        if n_before == 0:
            self.vocabularies_ = self._learn_columns(())
            self.idf_ = self._learn_idf((), 0)
        counts = list(map_chunks(self._count, texts, self.n_jobs))
        more = self._document_frequencies(counts)
        # A list of its own: a copy of these features may still be in use.
        self.idf_ = [
            idf(document_frequency(rarity, n_before) + counted, n_before + len(texts))
            if block.n_buckets is not None and rarity is not None
            else rarity
            for block, rarity, counted in zip(self.blocks, self.idf_, more, strict=True)
        ]
        return stack_rows((self._weigh(part) for part in counts), self.n_columns)

    def transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Give one float32 CSR row per document, shape (n_documents, n_columns)."""
        n_columns = self.n_columns
        parts = map_chunks(lambda chunk: self._weigh(self._count(chunk)), texts, self.n_jobs)
        return stack_rows(parts, n_columns)

    def term(self, column: int) -> str | None:
        """Give the term of a column; None in a block of hash buckets, which have no names."""
        for width, vocabulary in zip(self._widths(), self.vocabularies_, strict=True):
            if column < width:
                return vocabulary.term(column)
            column -= width
        raise IndexError(column)

    def _learn_columns(self, texts: Sequence[str]) -> list[TermColumns]:
        builders = [VocabularyBuilder(b.kind) for b in self.blocks if b.n_buckets is None]
        if builders:
            for words in map_chunks(find_words, texts, self.n_jobs):
                for builder in builders:
                    builder.add(words)
        rest = iter(builders)
        return [
            Buckets(block.n_buckets, block.kind)
            if block.n_buckets is not None
            else next(rest).build(block.max_terms, block.min_count)
            for block in self.blocks
        ]

    def _learn_idf(self, counts: Iterable[sp.csr_array], n_documents: int) -> list[Floats | None]:
        return [
            idf(frequency, n_documents) if block.has_idf else None
            for frequency, block in zip(
                self._document_frequencies(counts), self.blocks, strict=True
            )
        ]

    def _document_frequencies(self, counts: Iterable[sp.csr_array]) -> list[npt.NDArray[np.int64]]:
        """Count the documents that have each column of each block."""
        frequencies = [np.zeros(width, dtype=np.int64) for width in self._widths()]
        for part in counts:
            for frequency, (_, columns, _) in zip(frequencies, self._split(part), strict=True):
                np.add.at(frequency, columns, 1)
        return frequencies

    def _count(self, texts: Sequence[str]) -> sp.csr_array:
        """Count terms: all documents' rows over the first block, then those over the next one."""
        words = find_words(texts)
        found = [vocabulary.columns(words) for vocabulary in self.vocabularies_]
        columns = np.concatenate([columns for columns, _ in found])
        lengths = np.concatenate([row_lengths(indptr) for _, indptr in found])
        return count_matrix(columns, boundaries(lengths), max(self._widths()))

    def _split(self, counts: sp.csr_array) -> Iterator[tuple[Floats, Integers, Integers]]:
        """Give views of each block's values and columns, and how many each row has."""
        n_documents = counts.shape[0] // len(self.blocks)
        for block in range(len(self.blocks)):
            indptr = counts.indptr[block * n_documents : (block + 1) * n_documents + 1]
            part = slice(indptr[0], indptr[-1])
            yield counts.data[part], counts.indices[part], row_lengths(indptr)

    def _weigh(self, counts: sp.csr_array) -> sp.csr_array:
        """Turn counts into weights, in place, and put the blocks side by side."""
        total = math.hypot(*(block.weight for block in self.blocks))
        parts = zip(self._split(counts), self.blocks, self.idf_, strict=True)
        for (values, columns, lengths), block, rarity in parts:
            weigh(values, columns, lengths, block.weighting, rarity)
            values *= np.float32(block.weight / total)
        return join_blocks(counts, self._widths())

    def _widths(self) -> list[int]:
        if not hasattr(self, "vocabularies_"):
            raise errors.NotFittedError("the features have no vocabulary yet; fit them first.")
        return [vocabulary.n_columns for vocabulary in self.vocabularies_]


def idf(document_frequency: npt.NDArray[np.int64], n_documents: int) -> Floats:
    """Smoothed inverse document frequency of each term: ln((1 + N) / (1 + df)) + 1.

    Parameters
    ----------
    document_frequency : int array, shape (n_terms,)
        How many documents have each term.
    n_documents : int

    Returns
    -------
    float32 array, shape (n_terms,); natural-log units, at least 1.

    References
    ----------
    Unsmoothed form: Manning, Raghavan and Schuetze (2008), Introduction to Information Retrieval,
    6.2.1. Smoothed as scikit-learn's TfidfTransformer does.
    """
    return (np.log((1 + n_documents) / (1 + document_frequency)) + 1).astype(np.float32)


def document_frequency(idf: Floats, n_documents: int) -> npt.NDArray[np.int64]:
    """Undo `idf`: how many of the documents have each term, shape (n_terms,).

    Exact up to some millions of documents; beyond, float32 tells frequencies to seven digits.
    """
    return np.rint((1 + n_documents) / np.exp(idf.astype(np.float64) - 1) - 1).astype(np.int64)


def weigh(
    values: Floats, columns: Integers, lengths: Integers, weighting: str, idf: Floats | None = None
) -> None:
    """Turn counts into weights, in place; with idf, every row that has terms gets length 1.

    Parameters
    ----------
    values : float32 array, shape (n_values,)
        The counts of one row after another.
    columns : int array, shape (n_values,)
    lengths : int array, shape (n_rows,)
        How many values each row has.
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}
    idf : float32 array, shape (n_columns,), or None for a weighting without
    """
    if weighting == "multi-hot":
        values[:] = 1
    if weighting == "log-tf-idf":
        np.log(values, out=values)
        values += 1
    if idf is None or not len(values):
        return
    values *= idf[columns]
    lengths = lengths[lengths > 0]  # np.add.reduceat would take a value for an empty row
    squares = np.square(values, dtype=np.float64)
    norms = np.sqrt(np.add.reduceat(squares, np.cumsum(lengths) - lengths))
    values /= np.repeat(norms.astype(np.float32), lengths)
