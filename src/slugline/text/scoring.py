"""Scoring texts in one pass of a compiled kernel, without intermediate feature rows.

The results equal the products of `Features.read_parts` with weights, except for rounding.
The kernel, `_scores.c`, caches its word look-ups between calls, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from slugline.base.arrays import F32, I32, Mask, aligned
from slugline.text.counting import KernelGroup
from slugline.text.feature_groups import apply_weighting
from slugline.text.features import Features, WordCounts
from slugline.text.sparse import has_kernel
from slugline.text.tokens import JoinedTexts, map_chunks

if TYPE_CHECKING:
    from slugline.text.vector_table import VectorTable

try:
    from slugline.text import _scores as _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel

# Number of counts whose weights the kernel looks up; it asks Python for those of higher counts.
_N_COUNTS = 256

#: The weights of terms: data, indices and indptr of a CSR array, shape (n_columns, n_topics).
TermWeights: TypeAlias = tuple[F32, I32, I32]


class VectorWeights(NamedTuple):
    """Weights that turn sums of word vectors into scores, which are added to the term scores.

    Attributes
    ----------
    table : VectorTable
    weights : float32 array, shape (n_groups, n_columns, 8)
        Weights in groups of 8 topics, as the kernel reads them.
    biases : float32 array, shape (n_topics,)
    factor : float
        Factor for the term scores.
    min_known_fraction : float
        Word vectors are ignored in texts with a smaller known fraction.
    """

    table: VectorTable
    weights: F32
    biases: F32
    factor: float
    min_known_fraction: float


class TextScores(NamedTuple):
    """Scores of texts.

    Attributes
    ----------
    scores : float32 array, shape (n_texts, n_topics)
    words : WordCounts
    has_vectors : bool array, shape (n_texts,), or None
        Mask of texts whose scores include word vectors; None for a model without word vectors.
    """

    scores: F32
    words: WordCounts
    has_vectors: Mask | None = None


class TextScorer:
    """Scores texts by term weights and word vectors. Thread-safe.

    Parameters
    ----------
    features : Features
        Fitted features without extra columns; they must not learn further terms.
    weights : TermWeights
    biases : float32 array, shape (n_topics,)
    vectors : VectorWeights, optional
    """

    def __init__(
        self,
        features: Features,
        weights: TermWeights,
        biases: F32,
        vectors: VectorWeights | None = None,
    ) -> None:
        self._features, self._biases, self._vectors = features, biases, vectors
        self._scorer = kernel.Scorer(
            tuple(self._kernel_groups()),
            -1 if features.words_group is None else features.words_group,
            weights,
            aligned(biases),
            None if vectors is None else (vectors.table.kernel_arguments, *vectors[1:]),
        )

    def score_parts(self, texts: Iterable[str]) -> Iterator[TextScores]:
        """Yield the scores of texts, a few at a time; one empty part without texts."""
        parts = map_chunks(self.score, texts, self._features.n_threads)
        first = next(parts, None)
        yield self.score([]) if first is None else first
        yield from parts

    def score(self, texts: Sequence[str]) -> TextScores:
        """Return the scores of texts, which are read at once."""
        n_texts = len(texts)
        scores = np.empty((n_texts, len(self._biases)), dtype=np.float32)
        n_known, n_words = np.empty((2, n_texts), dtype=np.int64)
        has_vectors = np.empty(n_texts, dtype=bool)
        self._scorer.score(
            *JoinedTexts.join(texts).kernel_arguments(),
            self._weigh_count,
            scores,
            n_known,
            n_words,
            has_vectors,
        )
        words = WordCounts(n_known, n_words)
        return TextScores(scores, words, None if self._vectors is None else has_vectors)

    def _kernel_groups(self) -> Iterator[tuple[KernelGroup, int, F32 | None, float, F32]]:
        features = self._features
        groups = zip(features.feature_groups, features.vocabularies_, features.idf_, strict=True)
        for group, vocabulary, rarity in groups:
            counts = np.arange(_N_COUNTS, dtype=np.float32)
            apply_weighting(counts[1:], group.weighting)
            yield (
                KernelGroup.from_table(group.kind, vocabulary.compact_table),
                vocabulary.n_columns,
                None if rarity is None else aligned(rarity),
                float(np.float32(group.weight)),
                counts,
            )

    def _weigh_count(self, count: float, group: int) -> float:
        """Return the weight of a count without idf."""
        value = np.array([count], dtype=np.float32)
        apply_weighting(value, self._features.feature_groups[group].weighting)
        return float(value[0])


def can_score(features: Features) -> bool:
    """Return True if the kernel can score texts with these features."""
    return has_kernel() and not features.table_columns
