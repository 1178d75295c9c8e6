"""Held-out rows with their scores, and the result of training from parts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Mask
from slugline.learning.calibration import AnyCalibration
from slugline.learning.heldout import MAX_SCORES, HeldOutScores
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.linear.problem import ABSENT_SCORE, scale_heldout_scores

#: Number of different keys of rows.
N_KEYS = 1 << 64
#: One in this number of rows is initially held out for calibration, unless fewer provide enough
#: scores.
HELDOUT_RATIO = 5
# Minimum number of held-out rows, even if very many topics make their scores numerous.
_MIN_HELDOUT = 500


def max_heldout_rows(n_topics: int, *, multilabel: bool) -> int:
    """Return the maximum number of held-out rows."""
    max_scores = MAX_SCORES * label_type(multilabel=multilabel).score_factor
    return max(_MIN_HELDOUT, max_scores // n_topics)


def find_min_key(n_rows: int, n_topics: int, *, multilabel: bool) -> int:
    """Return the minimum key of training rows; rows with lower keys are held out."""
    max_heldout = max_heldout_rows(n_topics, multilabel=multilabel)
    return N_KEYS * min(max_heldout, n_rows // HELDOUT_RATIO) // n_rows


def row_weights(labels: Labels, topic_weights: F64) -> F32:
    """Return row weights, shape (n_rows,), from topic weights, shape (n_topics,)."""
    return labels.row_means(topic_weights.astype(np.float32)[labels.topics])


class HeldOutRows(NamedTuple):
    """Held-out rows, and their scores with weights fitted to the training rows.

    Attributes
    ----------
    rows : int64 array, shape (n_heldout,)
        Row numbers in reading order, sorted by text hash, so selections of rows don't depend on the
        reading order.
    labels : Labels
    scores : float32 array, shape (n_heldout, n_topics)
    in_folds : bool
        True if the scores are from cross-validation.
    """

    rows: I64
    labels: Labels
    scores: F32
    in_folds: bool = False

    def without_topics(self, absent: Mask) -> HeldOutRows:
        """Return the rows with scores such that absent topics are never predicted.

        Excludes single-label rows whose topic is absent. `absent` is a mask of topics without
        training rows, shape (n_topics,).
        """
        rows, labels, scores = self.rows, self.labels, self.scores.copy()
        scores[:, absent] = ABSENT_SCORE
        if not labels.multilabel:
            is_learned = np.flatnonzero(~absent[labels.topics])
            rows, labels, scores = rows[is_learned], labels.take(is_learned), scores[is_learned]
        return self._replace(rows=rows, labels=labels, scores=scores)

    def scaled(self, fraction: float) -> HeldOutRows:
        """Return the rows with scores rescaled as if the weights had been fitted to all rows.

        `fraction` is the number of training rows divided by the number of all rows.
        """
        return self._replace(scores=scale_heldout_scores(self.scores, fraction))

    def as_scores(self) -> HeldOutScores:
        """Return the scores in reading order."""
        order = np.argsort(self.rows)
        return HeldOutScores(self.rows[order], self.scores[order])

    def calibration(self, costs: F32 | None) -> AnyCalibration:
        """Return the calibration that fits the scores, given the cost of each row."""
        if costs is None:
            costs = np.ones(len(self.labels), dtype=np.float32)
        return HeldOutScores(np.arange(len(self.labels)), self.scores).calibration(
            self.labels, costs
        )


class PartsResult(NamedTuple):
    """Trained weights, and information about the training."""

    weights: sp.csr_array  # shape (n_columns, n_topics), without negligible weights
    biases: F32  # shape (n_topics,)
    calibration: AnyCalibration
    heldout: HeldOutRows
    n_unlearned: int = 0  # Rows not used because training was interrupted

    @property
    def interrupted(self) -> bool:
        """True if the user stopped training before all rows were used."""
        return self.n_unlearned > 0
