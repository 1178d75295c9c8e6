"""The state for training an encoder head batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slugline.base.arrays import F32, I64
from slugline.learning.encoder.class_sums import ClassSums

if TYPE_CHECKING:
    from slugline.learning.encoder.encoder import CheckedEncoder
    from slugline.learning.encoder.fusion import ScoreFusion
    from slugline.learning.encoder.head import DenseHead


@dataclass(frozen=True, eq=False)
class RecentRows:
    """Scores of the latest rows before training on them.

    Attributes
    ----------
    word_scores, encoder_scores : float32 arrays, shape (n_rows, n_topics)
    y : int array, shape (n_rows,)
    weights : float32 array, shape (n_rows,)
    n_new : int
        Number of rows since the scores were last fused.
    """

    word_scores: F32
    encoder_scores: F32
    y: I64
    weights: F32
    n_new: int = 0

    @classmethod
    def empty(cls, n_topics: int) -> RecentRows:
        """Return the state without rows."""
        scores = np.zeros((0, n_topics), dtype=np.float32)
        return cls(scores, scores, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))

    def append(
        self, word_scores: F32, encoder_scores: F32, y: I64, weights: F32, *, max_rows: int
    ) -> RecentRows:
        """Append rows, and keep the latest `max_rows`."""
        latest = slice(-max_rows, None)
        return RecentRows(
            np.concatenate([self.word_scores, word_scores])[latest],
            np.concatenate([self.encoder_scores, encoder_scores])[latest],
            np.concatenate([self.y, y])[latest],
            np.concatenate([self.weights, weights])[latest],
            self.n_new + len(y),
        )


@dataclass(frozen=True, eq=False)
class HeadState:
    """The training state of a head; `slugline.learning.encoder.batches` updates it.

    Attributes
    ----------
    encoder : CheckedEncoder
    sums : ClassSums
        Sums over all documents known to the encoder; the only part of the state in model files.
    recent : RecentRows
    fusion : ScoreFusion or None
        None until there are recent rows of two topics.
    fitted : DenseHead or None
        The head from a fit or a model file, before the first batch.
    n_learned : float
        Number of training documents in batches; infinite after a fit.
    """

    encoder: CheckedEncoder
    sums: ClassSums
    recent: RecentRows
    fusion: ScoreFusion | None = None
    fitted: DenseHead | None = None
    n_learned: float = 0

    @classmethod
    def empty(cls, encoder: CheckedEncoder, n_topics: int, n_columns: int) -> HeadState:
        """Return the state before the first batch."""
        return cls(encoder, ClassSums.empty(n_topics, n_columns), RecentRows.empty(n_topics))

    @classmethod
    def after_fit(cls, head: DenseHead, sums: ClassSums) -> HeadState:
        """Return the state after a fit, given its head and sums."""
        recent = RecentRows.empty(len(sums.totals))
        return cls(head.encoder, sums, recent, fitted=head, n_learned=np.inf)
