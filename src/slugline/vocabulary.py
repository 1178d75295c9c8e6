"""The terms that a model knows, and the column that each has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.errors import DataError, OptionError
from slugline.hash_table import HashTable
from slugline.ngrams import KINDS
from slugline.sparse import count_matrix, stack_rows
from slugline.text import Words, find_words, map_chunks, span_text

__all__ = ["Vocabulary", "VocabularyBuilder"]


class Vocabulary:
    """Terms in a fixed order, from the most frequent down, each with a column of its own.

    Parameters
    ----------
    terms : sequence of str
        Distinct terms as they occur in texts; words as `slugline.text.tokenize` gives them.
    kind : {"words", "lead", "bigrams", "characters"}, default "words"
        What a term is; see `slugline.ngrams`.
    n_reserved : int, default 0
        Columns kept free before the first term. The Reuters data set reserves 4, of which 0 stands
        for padding, 1 for the start of a document and 2 for a word outside the vocabulary.

    Raises
    ------
    DataError : if a term occurs twice, or a bigram is not a pair of words.
    """

    PADDING, START, UNKNOWN = 0, 1, 2
    #: How many columns the Reuters data set keeps free.
    REUTERS_RESERVED = 4

    def __init__(self, terms: Sequence[str], kind: str = "words", n_reserved: int = 0) -> None:
        if 0 < n_reserved <= self.UNKNOWN:
            raise OptionError(
                f"n_reserved is {n_reserved}; give 0, or at least {self.UNKNOWN + 1} for the marks "
                "of padding, start and unknown words."
            )
        self.terms = list(terms)
        self.kind = kind
        self.n_reserved = n_reserved
        hashes = KINDS[kind].hash(self.terms)
        if len(hashes) != len(self.terms):
            raise DataError(f"a term of the vocabulary is none of the kind {kind!r}.")
        self._table = HashTable()
        self._table.add(hashes)
        if len(self._table) != len(self.terms):
            raise DataError("a term occurs twice in the vocabulary; each needs one column.")

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        num_words: int | None = None,
        min_count: int = 1,
        n_threads: int = 1,
    ) -> Vocabulary:
        """Collect the words of `texts`, most frequent first, ties in order of appearance.

        Parameters
        ----------
        texts : iterable of str
            May be a stream; only a chunk of it is held at a time.
        num_words : int, optional
            Keep at most so many words; all by default.
        min_count : int, default 1
            Drop words that occur less often.
        """
        builder = VocabularyBuilder()
        for words in map_chunks(find_words, texts, n_threads):
            builder.add(words)
        return builder.build(num_words, min_count)

    @classmethod
    def from_word_index(
        cls, word_index: Mapping[str, int], num_words: int | None = None
    ) -> Vocabulary:
        """Make the vocabulary of a Keras word index, which ranks words from 1.

        Columns agree with `slugline.reuters.load_data`, whose `num_words` counts the four reserved
        columns too.
        """
        words = sorted(word_index, key=word_index.__getitem__)
        if num_words is not None:
            words = words[: max(num_words - cls.REUTERS_RESERVED, 0)]
        return cls(words, n_reserved=cls.REUTERS_RESERVED)

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} terms, kind={self.kind!r}, n_reserved={self.n_reserved})"

    @property
    def n_columns(self) -> int:
        """How many columns `transform` gives: the reserved ones and one per term."""
        return self.n_reserved + len(self)

    def column(self, term: str) -> int | None:
        """Give the column of `term`, or None if it is unknown."""
        hashes = KINDS[self.kind].hash([term])
        # A string that is no pair has no hash as one, and a string of more words has several.
        number = int(self._table.lookup(hashes)[0]) if len(hashes) == 1 else -1
        return None if number < 0 else self.n_reserved + number

    def term(self, column: int) -> str | None:
        """Give the term of `column`, or None for a reserved one."""
        return self.terms[column - self.n_reserved] if column >= self.n_reserved else None

    def count(self, words: Words) -> sp.csr_array:
        """Count terms in documents whose words have been found.

        Returns
        -------
        float32 CSR array, shape (n_documents, n_columns); indices sorted, reserved columns empty,
        terms outside the vocabulary left out.
        """
        columns, found = self._columns(words)
        known = columns >= 0
        n_known_before = np.concatenate([[0], np.cumsum(known)])
        return count_matrix(columns[known], n_known_before[found.indptr], self.n_columns)

    def transform(self, texts: Iterable[str], n_threads: int = 1) -> sp.csr_array:
        """Count terms in texts; see `count`."""
        parts = map_chunks(lambda chunk: self.count(find_words(chunk)), texts, n_threads)
        return stack_rows(parts, self.n_columns)

    def known_share(self, texts: Iterable[str], n_threads: int = 1) -> float:
        """Give the share of all terms in `texts` that the vocabulary knows; NaN without any."""
        n_known = n_terms = 0
        parts = map_chunks(lambda chunk: self._columns(find_words(chunk))[0], texts, n_threads)
        for columns in parts:
            n_known += int(np.count_nonzero(columns >= 0))
            n_terms += len(columns)
        return n_known / n_terms if n_terms else float("nan")

    def encode(self, texts: Iterable[str], n_threads: int = 1) -> list[list[int]]:
        """Turn each document into its terms' columns, in reading order, as Keras' Reuters does.

        With reserved columns a document begins with `START`, and a term outside the vocabulary is
        `UNKNOWN`; without them unknown terms are left out.
        """
        parts = map_chunks(self._encode, texts, n_threads)
        return [sequence for part in parts for sequence in part]

    def _columns(self, words: Words) -> tuple[npt.NDArray[np.int32], Words]:
        """Find the terms and the column of each, -1 where it is unknown."""
        found = KINDS[self.kind].find(words)
        columns = self._table.lookup(found.hashes)
        if self.n_reserved:
            columns[columns >= 0] += self.n_reserved
        return columns, found

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        columns, found = self._columns(find_words(texts))
        documents = [columns[a:b] for a, b in itertools.pairwise(found.indptr)]
        if not self.n_reserved:
            return [document[document >= 0].tolist() for document in documents]
        columns[columns < 0] = self.UNKNOWN
        return [[self.START, *document.tolist()] for document in documents]


class VocabularyBuilder:
    """Counts terms chunk by chunk, then makes a vocabulary of the most frequent.

    Until then a term is its hash, its count and its bytes: of millions of distinct pairs most occur
    once, and never become strings.
    """

    def __init__(self, kind: str = "words") -> None:
        self.kind = kind
        self._table = HashTable()
        self._counts = np.zeros(0, dtype=np.int64)
        self._bytes: list[bytes] = []
        self._lengths: list[npt.NDArray[np.int64]] = []

    def add(self, words: Words) -> None:
        """Count the terms of more documents."""
        found = KINDS[self.kind].find(words)
        n_known = len(self._table)
        numbers = self._table.add(found.hashes)
        counts = np.bincount(numbers, minlength=len(self._table))
        counts[:n_known] += self._counts
        self._counts = counts
        fresh = np.flatnonzero(numbers >= n_known)
        _, first = np.unique(numbers[fresh], return_index=True)
        data, lengths = found.cut(fresh[first])
        self._bytes.append(data)
        self._lengths.append(lengths)

    def build(self, max_terms: int | None = None, min_count: int = 1) -> Vocabulary:
        """Keep terms that occur often enough, the most frequent first, ties by appearance."""
        if max_terms is not None and max_terms < 1:
            raise OptionError(f"num_words is {max_terms}; give a number of at least 1.")
        order = np.argsort(-self._counts, kind="stable")
        order = order[: np.count_nonzero(self._counts >= min_count)][:max_terms]
        data = b"".join(self._bytes)
        ends = np.cumsum(np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths]))
        starts = np.concatenate([[0], ends])[:-1]
        spans = zip(starts[order].tolist(), ends[order].tolist(), strict=True)
        terms = [span_text(data[start:end]) for start, end in spans]
        return Vocabulary(terms, self.kind)
