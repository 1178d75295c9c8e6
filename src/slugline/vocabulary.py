"""The words that a model knows, and the column that each has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.errors import DataError, OptionError
from slugline.hash_table import HashTable
from slugline.sparse import count_matrix, stack_rows
from slugline.text import Words, find_words, map_chunks

__all__ = ["Vocabulary"]


class Vocabulary:
    """Words in a fixed order, from the most frequent down, each with a column of its own.

    Parameters
    ----------
    words : sequence of str
        Distinct words as `slugline.text.tokenize` gives them.
    n_reserved : int, default 0
        Columns kept free before the first word. The Reuters data set reserves 4, of which 0 stands
        for padding, 1 for the start of a document and 2 for a word outside the vocabulary.

    Raises
    ------
    DataError : if a word occurs twice, or is no word, so that no text could ever contain it.
    """

    PADDING, START, UNKNOWN = 0, 1, 2
    #: How many columns the Reuters data set keeps free.
    REUTERS_RESERVED = 4

    def __init__(self, words: Sequence[str], n_reserved: int = 0) -> None:
        self.words = list(words)
        self.n_reserved = n_reserved
        spans = find_words(self.words)
        odd = np.flatnonzero(np.diff(spans.indptr) != 1)
        if odd.size:
            raise DataError(
                f"{self.words[odd[0]]!r} is not one word; a vocabulary holds single words, "
                "as tokenize() gives them."
            )
        self._table = HashTable()
        self._table.add(spans.hashes)
        if len(self._table) != len(self.words):
            raise DataError("a word occurs twice in the vocabulary; each word needs one column.")

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
        if num_words is not None and num_words < 1:
            raise OptionError(f"num_words is {num_words}; give a number of at least 1.")
        table = HashTable()
        words: list[str] = []
        counts = np.zeros(0, dtype=np.int64)
        for chunk in map_chunks(find_words, texts, n_threads):
            n_known = len(table)
            numbers = table.add(chunk.hashes)
            words += _first_occurrences(chunk, numbers, n_known)
            counts = np.concatenate([counts, np.zeros(len(table) - n_known, dtype=np.int64)])
            counts += np.bincount(numbers, minlength=len(table))
        order = np.argsort(-counts, kind="stable")
        order = order[: np.count_nonzero(counts >= min_count)][:num_words]
        return cls([words[i] for i in order])

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
        return len(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words, n_reserved={self.n_reserved})"

    @property
    def n_columns(self) -> int:
        """How many columns `transform` gives: the reserved ones and one per word."""
        return self.n_reserved + len(self)

    def column(self, word: str) -> int | None:
        """Give the column of `word`, or None if it is unknown."""
        number = int(self._table.lookup(find_words([word]).hashes[:1])[0])
        return None if number < 0 else self.n_reserved + number

    def word(self, column: int) -> str | None:
        """Give the word of `column`, or None for a reserved one."""
        return self.words[column - self.n_reserved] if column >= self.n_reserved else None

    def transform(self, texts: Iterable[str], n_threads: int = 1) -> sp.csr_array:
        """Count words.

        Returns
        -------
        float32 CSR array, shape (n_documents, n_columns); indices sorted, reserved columns empty,
        words outside the vocabulary left out.
        """
        return stack_rows(map_chunks(self._count, texts, n_threads), self.n_columns)

    def known_share(self, texts: Iterable[str], n_threads: int = 1) -> float:
        """Give the share of all words in `texts` that the vocabulary knows; NaN without words."""
        n_known = n_words = 0
        for columns, _ in map_chunks(self._columns, texts, n_threads):
            n_known += int(np.count_nonzero(columns >= 0))
            n_words += len(columns)
        return n_known / n_words if n_words else float("nan")

    def encode(self, texts: Iterable[str], n_threads: int = 1) -> list[list[int]]:
        """Turn each document into its words' columns, in reading order, as Keras' Reuters does.

        With reserved columns a document begins with `START`, and a word outside the vocabulary is
        `UNKNOWN`; without them unknown words are left out.
        """
        parts = map_chunks(self._encode, texts, n_threads)
        return [sequence for part in parts for sequence in part]

    def _columns(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], Words]:
        """Find the words of `texts` and the column of each, -1 where it is unknown."""
        words = find_words(texts)
        columns = self._table.lookup(words.hashes)
        if self.n_reserved:
            columns[columns >= 0] += self.n_reserved
        return columns, words

    def _count(self, texts: Sequence[str]) -> sp.csr_array:
        columns, words = self._columns(texts)
        known = columns >= 0
        n_known_before = np.concatenate([[0], np.cumsum(known)])
        return count_matrix(columns[known], n_known_before[words.indptr], self.n_columns)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        columns, words = self._columns(texts)
        documents = [columns[a:b] for a, b in itertools.pairwise(words.indptr)]
        if not self.n_reserved:
            return [document[document >= 0].tolist() for document in documents]
        columns[columns < 0] = self.UNKNOWN
        return [[self.START, *document.tolist()] for document in documents]


def _first_occurrences(words: Words, numbers: npt.NDArray[np.int32], n_known: int) -> list[str]:
    """Give the text of each word numbered `n_known` or higher, in order of its number."""
    fresh = np.flatnonzero(numbers >= n_known)
    _, first = np.unique(numbers[fresh], return_index=True)
    return [words.word(i) for i in fresh[first]]
