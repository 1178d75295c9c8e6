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
from slugline.learning.linear.heldout_rows import scale_heldout_scores
from slugline.learning.linear.problem import ABSENT_SCORE

#: Number of different keys of rows.
N_KEYS = 1 << 64
#: One in so many rows is held out at first, for calibration, unless there are more scores of these
#: than calibration needs.
HELDOUT_RATIO = 5
# With very many topics, whose scores are many, this number of rows is still held out.
_MIN_HELDOUT = 500


def max_heldout_rows(n_topics: int, *, multilabel: bool) -> int:
    """Return the largest number of rows to hold out."""
    max_scores = label_type(multilabel=multilabel).max_scores(MAX_SCORES)
    return max(_MIN_HELDOUT, max_scores // n_topics)


def find_min_key(n_rows: int, n_topics: int, *, multilabel: bool) -> int:
    """Return the smallest key of training rows; rows with a lower one are held out."""
    max_heldout = max_heldout_rows(n_topics, multilabel=multilabel)
    return N_KEYS * min(max_heldout, n_rows // HELDOUT_RATIO) // n_rows


def row_weights(labels: Labels, topic_weights: F64) -> F32:
    """Return the weight of each row, shape (n_rows,), given those of topics, shape (n_topics,)."""
    return labels.row_means(topic_weights.astype(np.float32)[labels.topics])


class HeldOutRows(NamedTuple):
    """Held-out rows, and their scores by weights learned from the training rows.

    Attributes
    ----------
    rows : int64 array, shape (n_heldout,)
        Their numbers in the order of reading. They are in the order of their texts' hashes, so that
        a selection of them doesn't depend on the order of reading.
    labels : Labels
    scores : float32 array, shape (n_heldout, n_topics)
    in_folds : bool
        Whether several fits, each without some of these rows, scored them.
    """

    rows: I64
    labels: Labels
    scores: F32
    in_folds: bool = False

    def without_topics(self, absent: Mask) -> HeldOutRows:
        """Return the rows with scores by which absent topics are never predicted.

        Rows with one topic each are left out if their topic is absent. `absent` is a mask of the
        topics without a training row, shape (n_topics,).
        """
        rows, labels, scores = self.rows, self.labels, self.scores.copy()
        scores[:, absent] = ABSENT_SCORE
        if not labels.multilabel:
            is_learned = np.flatnonzero(~absent[labels.topics])
            rows, labels, scores = rows[is_learned], labels.take(is_learned), scores[is_learned]
        return self._replace(rows=rows, labels=labels, scores=scores)

    def scaled(self, fraction: float) -> HeldOutRows:
        """Return the rows with scores as if the weights had been learned from all rows.

        `fraction` is the number of training rows divided by that of all rows.
        """
        return self._replace(scores=scale_heldout_scores(self.scores, fraction))

    def as_scores(self) -> HeldOutScores:
        """Return the scores, in the order of reading."""
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
    """The trained weights, and facts about the training."""

    weights: sp.csr_array  # shape (n_columns, n_topics), without negligible weights
    biases: F32  # shape (n_topics,)
    calibration: AnyCalibration
    heldout: HeldOutRows
    n_unlearned: int = 0  # Rows that an interruption left

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped training before all rows were learned from."""
        return self.n_unlearned > 0
