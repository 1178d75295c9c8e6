"""Documents to weighted CSR rows: which terms count, and how much."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import errors
from slugline.checks import check_whole
from slugline.displays import as_call
from slugline.documents import as_texts
from slugline.errors import DataError
from slugline.ragged import boundaries, row_lengths
from slugline.sparse import count_matrix, join_blocks, stack_rows
from slugline.text.block import Block, check_blocks
from slugline.text.term_columns import Buckets, TermColumns
from slugline.text.vocabulary import VocabularyBuilder
from slugline.text.weighting import document_frequency, idf, weigh
from slugline.text.words import find_words, map_chunks

__all__ = ["Features"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]


class Features:
    """Learns vocabularies, and turns documents into rows over them.

    Parameters
    ----------
    blocks : sequence of Block
        Their columns follow one another.
    n_jobs : int, default 1
        Threads. The rows are the same for any number.

    Raises
    ------
    OptionError : if there is no block, or one of them is something else, or no thread.

    Attributes
    ----------
    vocabularies_ : list of Vocabulary or Buckets, one for each block
    idf_ : list of float32 array, shape (n_terms,), or None where a block has no idf
    """

    vocabularies_: list[TermColumns]
    idf_: list[Floats | None]

    def __init__(self, blocks: Sequence[Block] = (Block(),), n_jobs: int = 1) -> None:
        self.blocks = check_blocks(blocks)
        check_whole("n_jobs", n_jobs, 1)
        self.n_jobs = n_jobs

    def __repr__(self) -> str:
        return as_call(self)

    @classmethod
    def restore(
        cls, blocks: Sequence[Block], vocabularies: list[TermColumns], idf: list[Floats | None]
    ) -> Features:
        """Return fitted features from their parts, as a model file holds them."""
        features = cls(blocks)
        features.vocabularies_, features.idf_ = vocabularies, idf
        return features

    @property
    def n_columns(self) -> int:
        """Number of columns of a row."""
        return sum(self._widths())

    def fit_transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Learn the vocabularies, and how many documents have each term; return the rows."""
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
        """Learn from further documents how many have each term; return their rows.

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
        """Return one float32 CSR row per document, shape (n_documents, n_columns)."""
        n_columns = self.n_columns
        parts = map_chunks(lambda chunk: self._weigh(self._count(chunk)), texts, self.n_jobs)
        return stack_rows(parts, n_columns)

    def term(self, column: int) -> str | None:
        """Return the term of a column; None in a block of hash buckets, which have no names."""
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
        """Return views of each block's values and columns, and how many each row has."""
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
