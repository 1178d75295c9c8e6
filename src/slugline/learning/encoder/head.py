"""Adds the scores of a sentence encoder to those of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.base.progress import SILENT, Progress
from slugline.base.words import percent

if TYPE_CHECKING:
    from slugline.base.arrays import F32
    from slugline.learning.encoder.encoder import CheckedEncoder


@dataclass(frozen=True, eq=False)
class DenseHead:
    """Scores topics by the rows of an encoder, and adds them to the scores of words.

    Attributes
    ----------
    weights, biases : float32 arrays, shape (encoder.width, n_topics) and (n_topics,)
    sparse_factor : float
        Factor on the scores of words.
    calibration : Calibration or TopicCalibration
        Of the summed scores.
    share : float
        Share of the encoder, from 0 to 1, in the scores' spread over topics.
    keep : bool, default True
        Whether to cache the rows of texts.
    progress : Progress
        Receives the progress of encoding them.
    """

    encoder: CheckedEncoder
    weights: F32
    biases: F32
    sparse_factor: float
    calibration: Any
    share: float
    keep: bool = True
    progress: Progress = SILENT

    def summary(self) -> str:
        """Return the encoder's name, and its share."""
        return f"{self.encoder.name}, {percent(self.share, 0)} of the spread of scores"

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder's name and share, for JSON."""
        return {"name": self.encoder.name, "share": self.share}

    def arrays(self) -> dict[str, F32]:
        """Return the arrays of a model file."""
        return {"weights": self.weights, "biases": self.biases, **self.calibration.arrays()}

    def decision_function(
        self, sparse: F32, texts: Sequence[str], n_jobs: int | None = None
    ) -> F32:
        """Return the sum of both scores, shape (n_documents, n_topics), given those of words."""
        return self.add_scores(sparse, self.rows(texts, n_jobs)) if texts else sparse

    def rows(self, texts: Sequence[str], n_jobs: int | None = None) -> F32:
        """Return the encoder's rows of texts, shape (n_documents, encoder.width)."""
        from slugline.learning.encoder.rows import encode

        return encode(texts, self.encoder, n_jobs=n_jobs, keep=self.keep, progress=self.progress)

    def add_scores(self, sparse: F32, rows: F32) -> F32:
        """Return the sum of both scores, given the encoder's rows."""
        # In double precision, so that a text's scores don't depend on the number of texts.
        dense = rows.astype(np.float64) @ self.weights.astype(np.float64) + self.biases
        return (np.float64(self.sparse_factor) * sparse + dense).astype(np.float32)

    def predict_proba(self, scores: F32) -> F32:
        """Return the probabilities of summed scores, shape (n_documents, n_topics)."""
        return self.calibration.proba(scores)
