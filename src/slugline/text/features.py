"""Documents to weighted CSR rows: which terms count, and how much."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline import errors
from slugline.base.arrays import F32, F64, I64, Index, Integers, Mask
from slugline.base.checks import count_threads
from slugline.base.words import as_call
from slugline.corpus.documents import check_texts
from slugline.errors import DataError
from slugline.text.blocks import Block, check_blocks, document_frequency, idf
from slugline.text.columns import Buckets, SeenBuckets, TermColumns
from slugline.text.counting import Counts, counter
from slugline.text.row_weights import RowWeights
from slugline.text.sparse import Rows, RowStack, ranges, row_lengths, stack_rows
from slugline.text.terms import KINDS
from slugline.text.vocabulary import VocabularyBuilder
from slugline.text.words import find_words, map_chunks

__all__ = [
    "Features",
    "Reading",
    "UsualWords",
    "WordCounts",
    "usual_words",
]


# What is read in texts: their rows, and how many words there are ----------------------------------


class WordCounts(NamedTuple):
    """How many words texts have, and how many of these are known.

    Attributes
    ----------
    known, all : int array, shape (n_documents,)
    """

    known: Integers
    all: Integers

    @property
    def unknown(self) -> Integers:
        """How many words are unknown, shape (n_documents,)."""
        return self.all - self.known

    @classmethod
    def joined(cls, parts: Sequence[WordCounts]) -> WordCounts:
        """Return the counts of the texts of all parts, of which there is one at least."""
        if len(parts) == 1:
            return parts[0]
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class Reading(NamedTuple):
    """What learners need to know of texts, and what tells whether they are of the usual kind.

    Attributes
    ----------
    rows : Rows, shape (n_documents, n_columns)
    words : WordCounts
        Where words are no family of terms, all count as known.
    """

    rows: Rows
    words: WordCounts


# Documents to weighted CSR rows: which terms count, and how much ----------------------------------


class Features:
    """Learns vocabularies, and turns documents into rows over them.

    Parameters
    ----------
    blocks : sequence of Block
        Their columns follow one another.
    n_jobs : int, optional
        Threads, by default one for each core. The rows are the same for any number.

    Raises
    ------
    OptionError : if there is no block, or one of them is something else, or no thread.

    Attributes
    ----------
    vocabularies_ : list of Vocabulary, SeenBuckets or Buckets, one for each block
    idf_ : list of float32 array, shape (n_terms,), or None where a block has no idf
    """

    vocabularies_: list[TermColumns]
    idf_: list[F32 | None]
    # What `_weights` returned last.
    _made: RowWeights | None = None

    def __init__(
        self,
        blocks: Sequence[Block] = (Block(),),
        n_jobs: int | None = None,
    ) -> None:
        self.blocks = check_blocks(blocks)
        self.n_jobs = n_jobs
        self._n_threads = count_threads(n_jobs)

    def __repr__(self) -> str:
        return as_call(self)

    @classmethod
    def restore(
        cls,
        blocks: Sequence[Block],
        vocabularies: list[TermColumns],
        idf: list[F32 | None],
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
        texts = check_texts(texts)  # they may be read twice
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
    ) -> tuple[sp.csr_array, Index | None]:
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

    @property
    def words_block(self) -> int | None:
        """The number of the block whose terms are words; None if there is none."""
        return next((n for n, block in enumerate(self.blocks) if block.kind == "words"), None)

    def transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Return one float32 CSR row per document, shape (n_documents, n_columns)."""
        return self.read(texts)[0]

    def transform_parts(self, texts: Iterable[str]) -> Iterator[sp.csr_array]:
        """Yield the same rows a few at a time; one part without any, if there is no document."""
        return (part.rows.csr() for part in self.read_parts(texts))

    def read(self, texts: Iterable[str]) -> tuple[sp.csr_array, WordCounts]:
        """Return the rows of documents, and how many words they have."""
        words: list[WordCounts] = []

        def parts() -> Iterator[sp.csr_array]:
            for part in self.read_parts(texts):
                words.append(part.words)
                yield part.rows.csr()

        rows = stack_rows(parts(), self.n_columns)
        return rows, WordCounts.joined(words)

    def read_parts(self, texts: Iterable[str]) -> Iterator[Reading]:
        """Yield what learners need of a few documents at a time; one part of none, if need be."""
        self._widths()  # an error, before any text is read, if there are none
        parts = map_chunks(self._read, texts, self._n_threads)
        first = next(parts, None)
        yield self._read([]) if first is None else first
        yield from parts

    def _read(self, texts: Sequence[str]) -> Reading:
        count = counter()
        counts = count.count(count.read(texts, self._kinds()), self.vocabularies_)
        self._weights().weigh(counts.entries)
        rows = Rows(counts.entries, self.n_columns, len(self.blocks))
        return Reading(rows, self._words(counts))

    def _words(self, counts: Counts) -> WordCounts:
        block = self.words_block
        known = counts.n_words if block is None else counts.n_terms[:, block]
        return WordCounts(known, counts.n_words)

    def term(self, column: int) -> str | None:
        """Return the term of a column; None if the block keeps no names of its buckets."""
        for width, vocabulary in zip(self._widths(), self.vocabularies_, strict=True):
            if column < width:
                return vocabulary.term(column)
            column -= width
        raise IndexError(column)

    def without(self, unused: Mask) -> tuple[Features, Index]:
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
        features = Features(self.blocks, self.n_jobs)
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
        count, kinds, counts = counter(), self._kinds(), RowStack()
        for read in map_chunks(lambda chunk: count.read(chunk, kinds), texts, self._n_threads):
            counts.append(count.count(read, self.vocabularies_, learn=grow).entries)
        if grow:  # only now is it known how many columns each block has
            widths = self._widths()
            for part in counts.parts():
                part.place(widths)
        return counts

    def _document_frequencies(self, counts: RowStack) -> list[I64]:
        """Count the documents that have each column of each block."""
        widths = self._widths()
        frequencies = np.zeros(sum(widths), dtype=np.int64)
        for part in counts.parts():
            np.add.at(frequencies, part.columns, 1)
        return np.split(frequencies, np.cumsum(widths[:-1]))

    def _rows(self, counts: RowStack) -> sp.csr_array:
        """Turn counts into weighted rows, part by part in place."""
        for part in counts.parts():
            self._weights().weigh(part)
        return Rows(counts.all(), self.n_columns, len(self.blocks)).csr()

    def _weights(self) -> RowWeights:
        """Return how counts become weights, which only changes if columns or idf do."""
        made, widths = self._made, self._widths()
        if made is None or made.widths != widths or any(map(operator.is_not, made.idf, self.idf_)):
            made = self._made = RowWeights(self.blocks, widths, self.idf_)
        return made

    def _kinds(self) -> list[str]:
        return [block.kind for block in self.blocks]

    def _widths(self) -> list[int]:
        if not hasattr(self, "vocabularies_"):
            raise errors.NotFittedError("the features have no vocabulary yet; fit them first.")
        return [vocabulary.n_columns for vocabulary in self.vocabularies_]


def _idf_of_more(rarity: F32, n_before: int, counted: I64, n_more: int) -> F32:
    """Return the idf of terms after `n_more` documents, for which new columns have been added."""
    before = np.zeros_like(counted)
    before[: len(rarity)] = document_frequency(rarity, n_before)
    return idf(before + counted, n_before + n_more)


# How many of a text's words are known: few are, in another language or about other things ---------

# Of the training documents, this share has more unknown words than what still counts as usual.
_ODD = 0.01
# A smaller share of unknown words makes no text a foreign one, where documents to learn from have
# hardly any, such as those that were cut to a vocabulary. With this, texts in other languages are
# found as before.
_MANY = 0.25
# As many documents say what is usual.
_ENOUGH_DOCUMENTS = 20_000
# By how much the same arithmetic may differ.
_ROUNDED = 1e-6


class UsualWords(NamedTuple):
    """How many unknown words a new document usually has.

    Attributes
    ----------
    unknown : float, over 0 and under 1
        The share of words that are unknown.
    highest : float, at least 0
        By how many standard errors a document may have more of them, at most. Short texts may thus
        have a larger share than long ones.
    """

    unknown: float
    highest: float

    @classmethod
    def of(cls, counts: WordCounts) -> UsualWords:
        """Return what is usual in documents that are as good as new, but for one in a hundred."""
        n_words, n_unknown = int(counts.all.sum()), int(counts.unknown.sum())
        share = (n_unknown + 1) / (n_words + 2)  # Laplace's: under 1, and never 0
        if not n_words:
            return cls(share, 0.0)
        excess = _excess(counts, share)[counts.all > 0]
        return cls(share, max(0.0, float(np.quantile(excess, 1 - _ODD, method="higher"))))

    def are_odd(self, counts: WordCounts) -> Mask:
        """Return which texts have more unknown words than usual, shape (n_documents,)."""
        are_many = counts.unknown >= _MANY * np.maximum(counts.all, 1)
        if not are_many.any():
            return are_many
        return are_many & (_excess(counts, self.unknown) > self.highest + _ROUNDED)


def _excess(counts: WordCounts, share: float) -> F64:
    """Return by how many standard errors texts have more unknown words than a share of all."""
    error = np.sqrt(np.maximum(counts.all, 1) * share * (1 - share))
    found: F64 = (counts.unknown - counts.all * share) / error
    return found


def usual_words(features: Features, texts: Sequence[str]) -> UsualWords | None:
    """Return what is usual in training documents; None where words are no family of the features.

    In each of them, a word counts as known if it occurs in another one, so that the document is as
    good as new.
    """
    number = features.words_block
    if number is None:
        return None
    vocabulary = features.vocabularies_[number]
    texts = texts[:: max(1, -(-len(texts) // _ENOUGH_DOCUMENTS))]
    none: Integers = np.zeros(0, dtype=np.int64)
    n_words, columns, n_known = [none], [none], [none]
    for words in map_chunks(find_words, texts, count_threads(features.n_jobs)):
        found, indptr = vocabulary.places(KINDS["words"].find(words))
        n_words.append(row_lengths(words.indptr))
        columns.append(found)
        n_known.append(row_lengths(indptr))
    known = _known_elsewhere(np.concatenate(columns), np.concatenate(n_known))
    return UsualWords.of(WordCounts(known, np.concatenate(n_words)))


def _known_elsewhere(columns: Integers, lengths: Integers) -> Integers:
    """Return how many words of each document occur in another one, given their columns."""
    owner = np.arange(len(lengths)).repeat(lengths)
    width = int(columns.max(initial=0)) + 1
    several = np.bincount(np.unique(owner * width + columns) % width, minlength=width) > 1
    return np.bincount(owner[several[columns]], minlength=len(lengths))
