"""Features: vocabularies and weights that turn documents into CSR rows."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from msgspec import Meta

from slugline import errors
from slugline.base.arrays import F32, F64, I64, Index, Integers, Mask
from slugline.base.checks import count_threads
from slugline.base.progress import SILENT, LongStep, Progress
from slugline.base.wording import format_call
from slugline.corpus.documents import check_texts
from slugline.errors import DataError
from slugline.text.columns import Buckets, HashedColumns, TermColumns, VocabularyBuilder
from slugline.text.counting import count_chunk
from slugline.text.feature_groups import (
    FeatureGroup,
    RowWeights,
    check_feature_groups,
    document_frequency,
    idf,
)
from slugline.text.sparse import Entries, RowStack, SparseRows, ranges, row_offsets
from slugline.text.table_columns import TableColumn
from slugline.text.tokens import find_words, map_chunks
from slugline.text.vector_sums import TextSums

if TYPE_CHECKING:
    import scipy.sparse as sp

    from slugline.text.vector_table import VectorTable

# Rows and word counts -----------------------------------------------------------------------------


class WordCounts(NamedTuple):
    """Number of words of each text, and number of words with a column.

    Attributes
    ----------
    n_known, n_words : int array, shape (n_documents,)
    """

    n_known: Integers
    n_words: Integers

    @property
    def n_unknown(self) -> Integers:
        """Number of unknown words of each document."""
        return self.n_words - self.n_known

    @classmethod
    def concatenate(cls, parts: Sequence[WordCounts]) -> WordCounts:
        """Return the counts of one or more parts, concatenated."""
        return cls(
            np.concatenate([part.n_known for part in parts]),
            np.concatenate([part.n_words for part in parts]),
        )


class FeatureBatch(NamedTuple):
    """Rows of documents, and their word counts.

    All words count as known if no feature group counts words. `sums` are the sums of word vectors,
    if a table of them was given.
    """

    rows: SparseRows
    words: WordCounts
    sums: TextSums | None = None

    @property
    def text_sums(self) -> TextSums:
        """The sums of texts read with a table of word vectors; raises ValueError without it."""
        if self.sums is None:
            raise ValueError("texts were encoded without word vectors")
        return self.sums


# Features -----------------------------------------------------------------------------------------


class Features:
    """Learns vocabularies, and turns documents into weighted rows.

    Parameters
    ----------
    feature_groups : sequence of FeatureGroup
        Their columns are concatenated.
    n_jobs : int, optional
        Number of threads, by default one per core; does not affect the rows.

    Attributes
    ----------
    n_threads : int
        Effective number of threads.
    vocabularies_ : list of Vocabulary, HashedColumns or Buckets, one for each group
    idf_ : list of float32 array, shape (n_terms,), or None for a group without idf
    """

    vocabularies_: list[TermColumns]
    idf_: list[F32 | None]
    # Word counts of the first training documents, for `unknown_word_rate`.
    _training_words: _TrainingWords | None = None

    def __init__(
        self, feature_groups: Sequence[FeatureGroup] = (FeatureGroup(),), n_jobs: int | None = None
    ) -> None:
        self.feature_groups = check_feature_groups(feature_groups)
        self.n_jobs = n_jobs
        self.n_threads = count_threads(n_jobs)

    def __repr__(self) -> str:
        return format_call(self)

    @classmethod
    def restore(
        cls,
        feature_groups: Sequence[FeatureGroup],
        vocabularies: list[TermColumns],
        idf: list[F32 | None],
    ) -> Features:
        """Return fitted features from their parts in a model file."""
        features = cls(feature_groups)
        features.vocabularies_, features.idf_ = vocabularies, idf
        return features

    @property
    def n_columns(self) -> int:
        """Number of columns of a row."""
        return sum(self._widths())

    def fit_transform(self, texts: Iterable[str], progress: Progress = SILENT) -> sp.csr_array:
        """Learn vocabularies and idf; return the rows of the documents."""
        texts, counts = check_texts(texts), RowStack()  # iterated over twice
        self.vocabularies_ = self._learn_vocabularies(texts)
        self._training_words = None
        with closing(progress):
            self._count_learning(texts, counts, grow=True, progress=progress)
        if not counts.n_entries:
            raise DataError("no document contains a word; check which column contains the text.")
        for vocabulary in self.vocabularies_:
            if isinstance(vocabulary, HashedColumns):
                vocabulary.drop_table()
        frequencies = self._document_frequencies(counts)
        self.idf_ = [
            idf(frequency, len(texts)) if group.has_idf else None
            for frequency, group in zip(frequencies, self.feature_groups, strict=True)
        ]
        return self._weights().weigh_stack(counts)

    def partial_fit_transform(
        self, texts: Sequence[str], n_before: int, *, grow: bool = True
    ) -> tuple[sp.csr_array, Index | None]:
        """Update the idf with further documents; return their rows.

        Only groups with hash buckets learn further terms. Vocabularies and their idf stay fixed.

        Parameters
        ----------
        texts : sequence of str
        n_before : int
            Number of documents in earlier calls; 0 in the first call, which needs hashed groups.
        grow : bool, default True
            Add columns for empty buckets. If False in the first call, every bucket gets a column.

        Returns
        -------
        rows : float32 CSR array, shape (n_documents, n_columns)
        moved : int array, shape (n_columns_before,), or None
            New index of each earlier column; None in the first call, or if none was added.
        """
        if n_before == 0:
            self.vocabularies_ = [
                (HashedColumns if grow or group.is_unused else Buckets)(group.n_buckets, group.kind)
                for group in self.feature_groups
                if group.n_buckets is not None
            ]
            self.idf_ = [
                idf(np.zeros(width, dtype=np.int64), 0) if group.has_idf else None
                for width, group in zip(self._widths(), self.feature_groups, strict=True)
            ]
        widths_before = self._widths()
        if grow:  # copies, because the earlier features may still be in use
            self.vocabularies_ = [
                vocabulary.copy() if isinstance(vocabulary, HashedColumns) else vocabulary
                for vocabulary in self.vocabularies_
            ]
        counts = RowStack()
        self._count_learning(texts, counts, grow=grow)
        groups = zip(
            self.feature_groups, self.idf_, self._document_frequencies(counts), strict=True
        )
        self.idf_ = [
            _updated_idf(rarity, n_before, frequency, len(texts))
            if group.n_buckets is not None and rarity is not None
            else rarity
            for group, rarity, frequency in groups
        ]
        widths = self._widths()
        if n_before == 0 or widths == widths_before:
            return self._weights().weigh_stack(counts), None
        return self._weights().weigh_stack(counts), ranges(
            np.cumsum([0, *widths[:-1]]), np.array(widths_before)
        )

    @property
    def table_columns(self) -> tuple[TableColumn, ...]:
        """Extra table columns included in the rows."""
        return self.feature_groups[-1].columns

    @property
    def words_group(self) -> int | None:
        """Index of the feature group that counts words, or None."""
        return next(
            (n for n, group in enumerate(self.feature_groups) if group.kind == "words"), None
        )

    def transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Return a float32 CSR array, shape (n_documents, n_columns)."""
        return self.read(texts)[0]

    def read(self, texts: Iterable[str]) -> tuple[sp.csr_array, WordCounts]:
        """Return the rows and the word counts of documents."""
        words, stack = [], RowStack()
        for part in self.read_parts(texts):
            words.append(part.words)
            stack.append(part.rows.entries)
        rows = SparseRows(stack.concatenate(), self.n_columns, len(self.feature_groups))
        return rows.csr(), WordCounts.concatenate(words)

    def read_parts(
        self, texts: Iterable[str], table: VectorTable | None = None
    ) -> Iterator[FeatureBatch]:
        """Yield rows and word counts, a few documents at a time; one empty batch without documents.

        With a table of word vectors, word vectors are summed in the same pass.
        """
        self._widths()  # fail before reading texts if not fitted
        read = functools.partial(self._read, table=table)
        parts = map_chunks(read, texts, self.n_threads)
        first = next(parts, None)
        yield read([]) if first is None else first
        yield from parts

    def _read(self, texts: Sequence[str], table: VectorTable | None = None) -> FeatureBatch:
        counts = count_chunk(
            texts, self._kinds(), self.vocabularies_, columns=self.table_columns, table=table
        )
        self._weights().weigh(counts.entries)
        rows = SparseRows(counts.entries, self.n_columns, len(self.feature_groups))
        group = self.words_group
        n_known = counts.n_words if group is None else counts.n_terms[:, group]
        return FeatureBatch(rows, WordCounts(n_known, counts.n_words), counts.sums)

    def term(self, column: int) -> str | None:
        """Return the term of a column, or None if it has no name."""
        for width, vocabulary in zip(self._widths(), self.vocabularies_, strict=True):
            if column < width:
                return vocabulary.term(column)
            column -= width
        raise IndexError(column)

    def without(self, unused: Mask) -> tuple[Features, Index]:
        """Return features without the `unused` hashed columns, and the columns that remain."""
        vocabularies, idfs, columns, first = list(self.vocabularies_), list(self.idf_), [], 0
        for number, vocabulary in enumerate(self.vocabularies_):
            retained = np.arange(vocabulary.n_columns)
            if isinstance(vocabulary, HashedColumns):
                used_columns = retained[~unused[first : first + len(retained)]]
                # In a model file, no columns would mean all buckets.
                retained = used_columns if len(used_columns) else retained[:1]
                rarity = self.idf_[number]
                vocabularies[number] = vocabulary.select(retained)
                idfs[number] = None if rarity is None else rarity[retained]
            columns.append(retained + first)
            first += vocabulary.n_columns
        features = Features(self.feature_groups, self.n_jobs)
        features.vocabularies_, features.idf_ = vocabularies, idfs
        return features, np.concatenate(columns)

    def unknown_word_rate(self, columns: Index) -> UnknownWordRate | None:
        """Return the rate in training documents, or None if no group counts words. Call only once.

        Training documents are treated like new ones: a word is known if it occurs in another
        document and has one of the `columns`.
        """
        number, words = self.words_group, self._training_words
        self._training_words = None  # to free memory
        if number is None or words is None:
            return None
        is_known = np.zeros(self.n_columns, dtype=bool)
        is_known[columns] = True
        first = sum(self._widths()[:number])
        return UnknownWordRate.from_counts(words.counts(is_known[first:]))

    def sample_training_words(self, counts: Entries) -> None:
        """Keep the words of a sample of training documents, for `unknown_word_rate`.

        `counts` has one row for each document and feature group, with columns of all groups.
        """
        number, n_groups = self.words_group, len(self.feature_groups)
        if number is None:
            return
        owners = np.arange(len(counts.lengths)).repeat(counts.lengths)
        totals = np.bincount(owners, counts.values, len(counts.lengths))
        n_words = totals[number::n_groups].astype(np.int64)
        offset, stack = sum(self._widths()[:number]), RowStack()
        stack.append(counts)
        self._training_words = _TrainingWords.from_stack(
            stack, [n_words], group=number, n_groups=n_groups, offset=offset
        )

    def _learn_vocabularies(self, texts: Sequence[str]) -> list[TermColumns]:
        builders = [
            VocabularyBuilder(group.kind)
            for group in self.feature_groups
            if group.n_buckets is None
        ]
        if builders:
            for words in map_chunks(find_words, texts, self.n_threads):
                for builder in builders:
                    builder.add(words)
        remaining = iter(builders)
        return [
            HashedColumns(group.n_buckets, group.kind)
            if group.n_buckets is not None
            else next(remaining).build(group.max_terms, group.min_count)
            for group in self.feature_groups
        ]

    def _count_learning(
        self, texts: Sequence[str], counts: RowStack, *, grow: bool, progress: Progress = SILENT
    ) -> None:
        """Count terms chunk by chunk, adding columns for new terms first."""
        kinds, columns = self._kinds(), self.table_columns
        n_words: list[Integers] = []
        step = LongStep(progress, f"counting words of {len(texts):,} documents", len(texts))
        for chunk in map_chunks(list, texts):
            chunk_counts = count_chunk(
                chunk, kinds, self.vocabularies_, columns=columns, learn=grow
            )
            counts.append(chunk_counts.entries)
            n_words.append(chunk_counts.n_words)
            step.add(len(chunk_counts.n_words))
        if grow:  # the number of columns of each group is known only now
            counts.offset_columns(self._widths())
        number = self.words_group
        if number is not None and self._training_words is None:
            self._training_words = _TrainingWords.from_stack(
                counts,
                n_words,
                group=number,
                n_groups=len(self.feature_groups),
                offset=sum(self._widths()[:number]),
            )

    def _document_frequencies(self, counts: RowStack) -> list[I64]:
        widths = self._widths()
        frequencies = np.zeros(sum(widths), dtype=np.int64)
        for part in counts.parts():
            np.add.at(frequencies, part.columns, 1)
        return np.split(frequencies, np.cumsum(widths[:-1]))

    def _weights(self) -> RowWeights:
        return RowWeights(self.feature_groups, self._widths(), self.idf_)

    def _kinds(self) -> list[str]:
        return [group.kind for group in self.feature_groups]

    def _widths(self) -> list[int]:
        if not hasattr(self, "vocabularies_"):
            raise errors.NotFittedError("the features have no vocabulary yet; fit them first.")
        return [vocabulary.n_columns for vocabulary in self.vocabularies_]


def _updated_idf(rarity: F32, n_before: int, frequency: I64, n_more: int) -> F32:
    """Return the idf of terms after `n_more` documents, which may have added columns.

    `frequency` is the number of these documents that contain each term.
    """
    frequency_before = np.zeros_like(frequency)
    frequency_before[: len(rarity)] = document_frequency(rarity, n_before)
    return idf(frequency_before + frequency, n_before + n_more)


# Unknown words ------------------------------------------------------------------------------------

# Fraction of the training documents considered to have unusually many unknown words.
_UNUSUAL_FRACTION = 0.01
# A smaller fraction of unknown words is never unusual, even if training documents have hardly any,
# for instance after filtering by a vocabulary. Texts in other languages have more.
_MIN_UNKNOWN = 0.25
# Maximum number of documents used to estimate the rate.
_MAX_SAMPLED = 20_000
# Tolerance for rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class UnknownWordRate:
    """Expected rate of unknown words in a document.

    Attributes
    ----------
    rate : float, over 0 and under 1
        Fraction of unknown words.
    max_excess : float, at least 0
        Largest normal excess over this fraction, in standard errors: short texts may have a larger
        fraction than long ones.
    """

    rate: Annotated[float, Meta(gt=0, lt=1)]
    max_excess: Annotated[float, Meta(ge=0, lt=1e9)]

    @classmethod
    def from_counts(cls, counts: WordCounts) -> UnknownWordRate:
        """Return the rate and the excess that 99 % of the documents don't exceed."""
        n_words, n_unknown = int(counts.n_words.sum()), int(counts.n_unknown.sum())
        rate = (n_unknown + 1) / (n_words + 2)  # Laplace's estimate: under 1, and never 0
        if not n_words:
            return cls(rate, 0.0)
        excess = _excess(counts, rate)[counts.n_words > 0]
        return cls(
            rate, max(0.0, float(np.quantile(excess, 1 - _UNUSUAL_FRACTION, method="higher")))
        )

    def are_unusual(self, counts: WordCounts) -> Mask:
        """Return a mask of texts with unusually many unknown words, shape (n_documents,)."""
        are_many = counts.n_unknown >= _MIN_UNKNOWN * np.maximum(counts.n_words, 1)
        if not are_many.any():
            return are_many
        return are_many & (_excess(counts, self.rate) > self.max_excess + _ROUNDING)


def _excess(counts: WordCounts, rate: float) -> F64:
    """Return the excess of unknown words of each text over a rate, in standard errors."""
    error = np.sqrt(np.maximum(counts.n_words, 1) * rate * (1 - rate))
    return (counts.n_unknown - counts.n_words * rate) / error


class _TrainingWords(NamedTuple):
    """Word counts of a sample of training documents, and the number of words of each document."""

    entries: Entries
    n_words: Integers

    @classmethod
    def from_stack(
        cls, stack: RowStack, n_words: Sequence[Integers], group: int, n_groups: int, offset: int
    ) -> _TrainingWords:
        """Return the counts of one feature group, whose columns begin at an offset."""
        step = max(1, -(-sum(map(len, n_words)) // _MAX_SAMPLED))
        sampled, words = slice(group, None, n_groups * step), RowStack()
        for part in stack.parts():
            lengths = part.lengths[sampled]
            places = ranges(row_offsets(part.lengths)[:-1][sampled], lengths)
            words.append(Entries(part.values[places], part.columns[places] - offset, lengths))
        none: Integers = np.zeros(0, dtype=np.int64)
        return cls(words.concatenate(), np.concatenate([none, *(n[::step] for n in n_words)]))

    def counts(self, is_known: Mask) -> WordCounts:
        """Return the number of known words of each document that also occur in another one."""
        values, columns, lengths = self.entries
        is_elsewhere = (np.bincount(columns, minlength=len(is_known)) > 1) & is_known
        owner = np.arange(len(lengths)).repeat(lengths)
        n_known = np.bincount(owner, values * is_elsewhere[columns], len(lengths))
        return WordCounts(n_known.astype(np.int64), self.n_words)
