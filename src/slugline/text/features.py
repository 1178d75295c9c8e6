"""Documents to weighted CSR rows: which terms count, and how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import errors
from slugline.displays import as_call
from slugline.documents import as_texts
from slugline.errors import DataError
from slugline.ragged import boundaries, ranges, row_lengths
from slugline.sparse import RowStack, count_matrix, join_blocks, stack_rows
from slugline.text.block import Block, check_blocks
from slugline.text.term_columns import Buckets, SeenBuckets, TermColumns
from slugline.text.terms import KINDS, Terms
from slugline.text.vocabulary import VocabularyBuilder
from slugline.text.weighting import document_frequency, idf, squares, weigh
from slugline.text.words import find_words, map_chunks
from slugline.threads import count_threads

__all__ = ["Features"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]


class Features:
    """Learns vocabularies, and turns documents into rows over them.

    Parameters
    ----------
    blocks : sequence of Block
        Their columns follow one another.
    n_jobs : int, optional
        Threads, by default one for each core. The rows are the same for any number.
    apart : bool, default False
        Scale each block's part of a row on its own. By default, the parts that weigh terms by idf
        get length 1 together. True for model files of format 1.

    Raises
    ------
    OptionError : if there is no block, or one of them is something else, or no thread.

    Attributes
    ----------
    vocabularies_ : list of Vocabulary, SeenBuckets or Buckets, one for each block
    idf_ : list of float32 array, shape (n_terms,), or None where a block has no idf
    """

    vocabularies_: list[TermColumns]
    idf_: list[Floats | None]

    def __init__(
        self,
        blocks: Sequence[Block] = (Block(),),
        n_jobs: int | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self.blocks = check_blocks(blocks)
        self.n_jobs = n_jobs
        self._n_threads = count_threads(n_jobs)
        self.apart = apart

    def __repr__(self) -> str:
        return as_call(self)

    @classmethod
    def restore(
        cls,
        blocks: Sequence[Block],
        vocabularies: list[TermColumns],
        idf: list[Floats | None],
        *,
        apart: bool = False,
    ) -> Features:
        """Return fitted features from their parts, as a model file holds them."""
        features = cls(blocks, apart=apart)
        features.vocabularies_, features.idf_ = vocabularies, idf
        return features

    @property
    def n_columns(self) -> int:
        """Number of columns of a row."""
        return sum(self._widths())

    def fit_transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Learn the vocabularies, and how many documents have each term; return the rows."""
        texts = as_texts(texts)  # they may be read twice
        self.vocabularies_ = self._learn_vocabularies(texts)
        counts = self._count_learning(texts, True)
        if not counts.n_entries:
            raise DataError("no document has a word in it; check which column holds the text.")
        frequencies = self._document_frequencies(counts)
        self.idf_ = [
            idf(frequency, len(texts)) if block.has_idf else None
            for frequency, block in zip(frequencies, self.blocks, strict=True)
        ]
        return self._rows(counts)

    def partial_fit_transform(
        self, texts: Sequence[str], n_before: int, *, grow: bool = True
    ) -> tuple[sp.csr_array, npt.NDArray[np.intp] | None]:
        """Learn from further documents how many have each term; return their rows.

        Only blocks of hash buckets learn on. A vocabulary, and its idf, stay as they were fitted.

        Parameters
        ----------
        texts : sequence of str
        n_before : int
            How many documents there were in all calls before; 0 in the first one, for which every
            block has to have hash buckets.
        grow : bool, default True
            Add columns for buckets that no document before had a term in. If False in the first
            call, every bucket has a column from the start.

        Returns
        -------
        rows : float32 CSR array, shape (n_documents, n_columns)
        moved : int array, shape (n_columns_before,), or None
            Where each column of the rows before is now: those of the second block follow the new
            ones of the first. None if no column has been added, and in the first call.
        """
        if n_before == 0:
            self.vocabularies_ = [
                SeenBuckets(b.n_buckets, b.kind) if grow else Buckets(b.n_buckets, b.kind)
                for b in self.blocks
                if b.n_buckets is not None
            ]
            self.idf_ = [
                idf(np.zeros(width, dtype=np.int64), 0) if block.has_idf else None
                for width, block in zip(self._widths(), self.blocks, strict=True)
            ]
        before = self._widths()
        if grow:  # what was learned before may still be in use
            self.vocabularies_ = [
                known.copy() if isinstance(known, SeenBuckets) else known
                for known in self.vocabularies_
            ]
        counts = self._count_learning(texts, grow)
        more = self._document_frequencies(counts)
        self.idf_ = [
            _idf_of_more(rarity, n_before, counted, len(texts))
            if block.n_buckets is not None and rarity is not None
            else rarity
            for block, rarity, counted in zip(self.blocks, self.idf_, more, strict=True)
        ]
        now = self._widths()
        if n_before == 0 or now == before:
            return self._rows(counts), None
        return self._rows(counts), ranges(np.cumsum([0, *now[:-1]]), np.array(before))

    def transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Return one float32 CSR row per document, shape (n_documents, n_columns)."""
        n_columns = self.n_columns
        parts = map_chunks(self._transform, texts, self._n_threads)
        return stack_rows(parts, n_columns)

    def _transform(self, texts: Sequence[str]) -> sp.csr_array:
        return self._weigh(self._count(self._find(texts)))

    def term(self, column: int) -> str | None:
        """Return the term of a column; None if the block keeps no names of its buckets."""
        for width, vocabulary in zip(self._widths(), self.vocabularies_, strict=True):
            if column < width:
                return vocabulary.term(column)
            column -= width
        raise IndexError(column)

    def without(self, unused: npt.NDArray[np.bool_]) -> tuple[Features, npt.NDArray[np.intp]]:
        """Return features without some columns, and which columns these are.

        Only blocks of hash buckets lose any.

        Parameters
        ----------
        unused : bool array, shape (n_columns,)
            Which columns nobody needs.
        """
        kept, idfs, columns, first = list(self.vocabularies_), list(self.idf_), [], 0
        for number, vocabulary in enumerate(self.vocabularies_):
            own = np.arange(vocabulary.n_columns)
            if isinstance(vocabulary, SeenBuckets):
                used = own[~unused[first : first + len(own)]]
                own = used if len(used) else own[:1]  # in a model file, none would mean all buckets
                kept[number], rarity = vocabulary.keep(own), self.idf_[number]
                idfs[number] = None if rarity is None else rarity[own]
            columns.append(own + first)
            first += vocabulary.n_columns
        features = Features(self.blocks, self.n_jobs, apart=self.apart)
        features.vocabularies_, features.idf_ = kept, idfs
        return features, np.concatenate(columns)

    def _learn_vocabularies(self, texts: Sequence[str]) -> list[TermColumns]:
        builders = [VocabularyBuilder(b.kind) for b in self.blocks if b.n_buckets is None]
        if builders:
            for words in map_chunks(find_words, texts, self._n_threads):
                for builder in builders:
                    builder.add(words)
        rest = iter(builders)
        return [
            SeenBuckets(block.n_buckets, block.kind)
            if block.n_buckets is not None
            else next(rest).build(block.max_terms, block.min_count)
            for block in self.blocks
        ]

    def _count_learning(self, texts: Sequence[str], grow: bool) -> RowStack:
        """Count terms chunk by chunk, after the buckets have learned those of the chunk."""
        counts = RowStack()
        for found in map_chunks(self._find, texts, self._n_threads):
            for vocabulary, terms in zip(self.vocabularies_, found, strict=True):
                if grow and isinstance(vocabulary, SeenBuckets):
                    vocabulary.learn(terms.spans)
            counts.append(self._count(found))
        return counts

    def _document_frequencies(self, counts: RowStack) -> list[npt.NDArray[np.int64]]:
        """Count the documents that have each column of each block."""
        frequencies = [np.zeros(width, dtype=np.int64) for width in self._widths()]
        for part in counts.parts(self.n_columns):
            for frequency, (_, columns, _) in zip(frequencies, self._split(part), strict=True):
                np.add.at(frequency, columns, 1)
        return frequencies

    def _find(self, texts: Sequence[str]) -> list[Terms]:
        """Return the terms of each block in some documents."""
        words = find_words(texts)
        return [KINDS[block.kind].find(words) for block in self.blocks]

    def _count(self, found: Sequence[Terms]) -> sp.csr_array:
        """Count terms: all documents' rows over the first block, then those over the next one."""
        places = [
            vocabulary.places(terms)
            for vocabulary, terms in zip(self.vocabularies_, found, strict=True)
        ]
        columns = np.concatenate([columns for columns, _ in places])
        lengths = np.concatenate([row_lengths(indptr) for _, indptr in places])
        return count_matrix(columns, boundaries(lengths), max(self._widths()))

    def _rows(self, counts: RowStack) -> sp.csr_array:
        """Turn counts into weighted rows, part by part in place."""
        for number, part in enumerate(counts.parts(self.n_columns)):
            counts.replace(number, self._weigh(part))
        return counts.rows(self.n_columns)

    def _split(self, counts: sp.csr_array) -> Iterator[tuple[Floats, Integers, Integers]]:
        """Return views of each block's values and columns, and how many each row has."""
        n_documents = counts.shape[0] // len(self.blocks)
        for block in range(len(self.blocks)):
            indptr = counts.indptr[block * n_documents : (block + 1) * n_documents + 1]
            part = slice(indptr[0], indptr[-1])
            yield counts.data[part], counts.indices[part], row_lengths(indptr)

    def _weigh(self, counts: sp.csr_array) -> sp.csr_array:
        """Turn counts into weights, in place, and put the blocks side by side."""
        parts = list(zip(self._split(counts), self.blocks, self.idf_, strict=True))
        sums = []
        for (values, columns, lengths), block, rarity in parts:
            weigh(values, columns, block.weighting, rarity)
            if not self.apart:
                values *= np.float32(block.weight)
            sums.append(squares(values, lengths))
        total = sum(one for one, block in zip(sums, self.blocks, strict=True) if block.has_idf)
        weights = np.array([block.weight for block in self.blocks]) if self.apart else None
        for number, ((values, _, lengths), block, _) in enumerate(parts):
            scale = 1.0 if weights is None else weights[number] / np.hypot.reduce(weights)
            if block.has_idf:
                norms = np.sqrt(sums[number] if self.apart else total)
                scale = scale / np.where(norms > 0, norms, 1)
            values *= np.broadcast_to(scale, len(lengths)).astype(np.float32).repeat(lengths)
        return join_blocks(counts, self._widths())

    def _widths(self) -> list[int]:
        if not hasattr(self, "vocabularies_"):
            raise errors.NotFittedError("the features have no vocabulary yet; fit them first.")
        return [vocabulary.n_columns for vocabulary in self.vocabularies_]


def _idf_of_more(
    rarity: Floats, n_before: int, counted: npt.NDArray[np.int64], n_more: int
) -> Floats:
    """Return the idf of terms after `n_more` documents, for which new columns have been added."""
    before = np.zeros_like(counted)
    before[: len(rarity)] = document_frequency(rarity, n_before)
    return idf(before + counted, n_before + n_more)
