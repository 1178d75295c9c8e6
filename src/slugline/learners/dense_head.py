"""What a sentence encoder adds to the scores of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.calibration import Calibration
from slugline.encoders.checked import CheckedEncoder

if TYPE_CHECKING:
    from slugline.training.context import FitContext

__all__ = ["DenseHead"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

# What cosines are multiplied by where there is nothing to measure on: of the numbers tried, the one
# with the lowest log loss over a few data sets, with one document or the name of each topic.
_SHARPNESS = 15.0


@dataclass(frozen=True, eq=False)
class DenseHead:
    """Scores topics by the rows of an encoder, and adds them to the scores of words.

    Attributes
    ----------
    encoder : CheckedEncoder
    weights : float32 array, shape (encoder.width, n_topics)
    biases : float32 array, shape (n_topics,)
    sparse_factor : float
        What the scores of words are multiplied by.
    doubt : float
        See `Calibration`.
    share : float
        How much the encoder counts, from 0 to 1: its part of the scores' spread over topics.
    keep : bool, default True
        Whether rows of texts that it is asked about are kept in the cache.
    """

    encoder: CheckedEncoder
    weights: Floats
    biases: Floats
    sparse_factor: float
    doubt: float
    share: float
    keep: bool = True

    @classmethod
    def fit(
        cls,
        encoder: CheckedEncoder,
        rows: Floats,
        y: Labels,
        context: FitContext,
        left_out: tuple[Rows, Floats],
    ) -> DenseHead | None:
        """Learn from an encoder's rows; None if they only mislead.

        Parameters
        ----------
        encoder : CheckedEncoder
        rows : float32 array, shape (n_rows, n_columns)
            Of unit length: those of documents first, then those of descriptions.
        y : int array, shape (n_rows,)
            Their topics.
        context : FitContext
            With a weight for each of them.
        left_out : (int array, shape (n_judged,), float32 array, shape (n_judged, n_topics))
            Some of the documents, and their scores by words had they not been learned from.
        """
        from threadpoolctl import threadpool_limits

        from slugline.training.combining import combine
        from slugline.training.dense_head import fit_dense_head

        judged, sparse = left_out
        if len(np.unique(y[judged])) < 2:
            return cls.nearest(encoder, rows, y, context)
        weight = context.sample_weight
        # The number of threads would show in the last bits.
        with threadpool_limits(1, "blas"):
            found = fit_dense_head(rows, y, context.n_topics, weight)
            costs = None if weight is None else weight[judged]
            combined = combine(sparse, found.scores[judged], y[judged], costs)
        if combined is None:
            return None
        factor = np.float32(combined.dense_factor)
        return cls(
            encoder,
            found.weights * factor,
            found.biases * factor,
            sparse_factor=combined.sparse_factor,
            doubt=combined.doubt,
            share=combined.share,
        )

    @classmethod
    def nearest(
        cls, encoder: CheckedEncoder, rows: Floats, y: Labels, context: FitContext
    ) -> DenseHead:
        """Return a head whose scores are multiples of cosines with the mean of each topic's rows.

        One row a topic is enough, but none shows how sure to be. Parameters are those of `fit`.
        """
        weight = context.sample_weight
        sums = np.zeros((context.n_topics, rows.shape[1]))
        np.add.at(sums, y, rows if weight is None else rows * weight[:, np.newaxis])
        lengths = np.linalg.norm(sums, axis=1)
        weights = _SHARPNESS * (sums / np.where(lengths > 0, lengths, 1)[:, np.newaxis]).T
        # No cosine is as low as this of a topic without rows.
        biases = np.where(lengths > 0, 0, -2 * _SHARPNESS)
        return cls(
            encoder,
            np.ascontiguousarray(weights, dtype=np.float32),
            biases.astype(np.float32),
            sparse_factor=0.0,
            doubt=0.0,
            share=1.0,
        )

    def summary(self) -> str:
        """Return the encoder's name, and how much it counts."""
        return f"{self.encoder.name}, {self.share:.0%} of the spread of scores"

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder's name, and how much it counts, for JSON."""
        return {"name": self.encoder.name, "share": self.share}

    def decision_function(
        self, sparse: Floats, texts: Sequence[str], n_jobs: int | None = None
    ) -> Floats:
        """Return the sum of both scores, shape (n_documents, n_topics).

        Parameters
        ----------
        sparse : float32 array, shape (n_documents, n_topics)
            The scores of words.
        texts : sequence of str
        n_jobs : int, optional
            Threads to encode on.
        """
        from slugline.encoders.encoding import encode

        if not texts:
            return sparse
        rows = encode(texts, self.encoder, n_jobs=n_jobs, keep=self.keep)
        # In double precision, so that a text's scores don't show how many others stand beside it.
        dense = rows.astype(np.float64) @ self.weights.astype(np.float64) + self.biases
        return (np.float64(self.sparse_factor) * sparse + dense).astype(np.float32)

    def predict_proba(self, scores: Floats) -> Floats:
        """Return the probabilities of summed scores, shape (n_documents, n_topics)."""
        return Calibration(1.0, self.doubt).proba(scores)
