"""Documents to weighted CSR rows: which terms count, and how much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import errors
from slugline.errors import DataError, OptionError
from slugline.ngrams import KINDS
from slugline.sparse import stack_rows
from slugline.text import checked_texts, find_words, map_chunks
from slugline.vocabulary import Vocabulary, VocabularyBuilder

__all__ = ["WEIGHTINGS", "Block", "Features", "idf", "weigh"]

Floats = npt.NDArray[np.float32]

#: How a term's count in a document becomes a number: present or not; how often; or how often, less
#: the more documents have it, with rows of length 1, where "log-tf-idf" takes 1 + ln(count).
WEIGHTINGS = ("multi-hot", "counts", "tf-idf", "log-tf-idf")


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
    """

    kind: str = "words"
    weighting: str = "log-tf-idf"
    weight: float = 1.0
    max_terms: int | None = None
    min_count: int = 1

    def __post_init__(self) -> None:
        for name, value, legal in (
            ("kind", self.kind, KINDS),
            ("weighting", self.weighting, WEIGHTINGS),
        ):
            if value not in legal:
                raise OptionError(f"unknown {name} {value!r}; choose one of {', '.join(legal)}.")
        if not 0 < self.weight < math.inf:
            raise OptionError(f"weight is {self.weight}; give a number over 0.")

    @property
    def has_idf(self) -> bool:
        """Whether terms weigh less the more documents have them."""
        return self.weighting.endswith("idf")


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
    vocabularies_ : list of Vocabulary, one for each block
    idf_ : list of float32 array, shape (n_terms,), or None where a block has no idf
    """

    vocabularies_: list[Vocabulary]
    idf_: list[Floats | None]

    def __init__(self, blocks: Sequence[Block] = (Block(),), n_jobs: int = 1) -> None:
        self.blocks = tuple(blocks)
        self.n_jobs = n_jobs

    @classmethod
    def restore(
        cls, blocks: Sequence[Block], vocabularies: list[Vocabulary], idf: list[Floats | None]
    ) -> Features:
        """Make fitted features from their parts, as a model file holds them."""
        features = cls(blocks)
        features.vocabularies_, features.idf_ = vocabularies, idf
        return features

    @property
    def n_columns(self) -> int:
        """How many columns a row has."""
        return sum(vocabulary.n_columns for vocabulary in self._fitted())

    def fit_transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Learn the vocabularies, and how many documents have each term; give the rows."""
        texts = list(checked_texts(texts))  # they are read twice
        builders = [VocabularyBuilder(block.kind) for block in self.blocks]
        for words in map_chunks(find_words, texts, self.n_jobs):
            for builder in builders:
                builder.add(words)
        self.vocabularies_ = [
            builder.build(block.max_terms, block.min_count)
            for builder, block in zip(builders, self.blocks, strict=True)
        ]
        if not self.n_columns:
            raise DataError("no document has a word in it; check which column holds the text.")
        counts = self._count(texts)
        self.idf_ = [
            idf(part) if block.has_idf else None
            for part, block in zip(counts, self.blocks, strict=True)
        ]
        return self._weigh(counts)

    def transform(self, texts: Iterable[str]) -> sp.csr_array:
        """Give one float32 CSR row per document, shape (n_documents, n_columns)."""
        self._fitted()
        return self._weigh(self._count(texts))

    def term(self, column: int) -> str:
        """Give the term of a column."""
        for vocabulary in self._fitted():
            if column < vocabulary.n_columns:
                return vocabulary.terms[column]
            column -= vocabulary.n_columns
        raise IndexError(column)

    def _count(self, texts: Iterable[str]) -> list[sp.csr_array]:
        """Count the terms of each block."""

        def count(chunk: Sequence[str]) -> list[sp.csr_array]:
            words = find_words(chunk)
            return [vocabulary.count(words) for vocabulary in self.vocabularies_]

        parts = list(map_chunks(count, texts, self.n_jobs))
        return [
            stack_rows((part[i] for part in parts), vocabulary.n_columns)
            for i, vocabulary in enumerate(self.vocabularies_)
        ]

    def _weigh(self, counts: list[sp.csr_array]) -> sp.csr_array:
        total = math.hypot(*(block.weight for block in self.blocks))
        for part, block, rarity in zip(counts, self.blocks, self.idf_, strict=True):
            weigh(part, block.weighting, rarity)
            part.data *= np.float32(block.weight / total)
        return counts[0] if len(counts) == 1 else sp.hstack(counts, format="csr")

    def _fitted(self) -> list[Vocabulary]:
        if not hasattr(self, "vocabularies_"):
            raise errors.NotFittedError("the features have no vocabulary yet; fit them first.")
        return self.vocabularies_


def idf(counts: sp.csr_array) -> Floats:
    """Smoothed inverse document frequency of each term: ln((1 + N) / (1 + df)) + 1.

    Parameters
    ----------
    counts : CSR array, shape (n_documents, n_terms)

    Returns
    -------
    float32 array, shape (n_terms,); natural-log units, at least 1.

    References
    ----------
    Unsmoothed form: Manning, Raghavan and Schuetze (2008), Introduction to Information Retrieval,
    6.2.1. Smoothed as scikit-learn's TfidfTransformer does.
    """
    n_documents, n_terms = counts.shape
    document_frequency = np.bincount(counts.indices, minlength=n_terms)
    return (np.log((1 + n_documents) / (1 + document_frequency)) + 1).astype(np.float32)


def weigh(counts: sp.csr_array, weighting: str, idf: Floats | None = None) -> None:
    """Turn counts into weights, in place; with idf, every row that has terms gets length 1."""
    if weighting == "multi-hot":
        counts.data[:] = 1
    if weighting == "log-tf-idf":
        np.log(counts.data, out=counts.data)
        counts.data += 1
    if idf is None:
        return
    counts.data *= idf[counts.indices]
    n_terms = np.diff(counts.indptr)
    rows = np.repeat(np.arange(len(n_terms)), n_terms)
    squares = np.bincount(rows, np.square(counts.data, dtype=np.float64), minlength=len(n_terms))
    counts.data /= np.sqrt(squares).astype(np.float32)[rows]
