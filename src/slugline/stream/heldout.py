"""Held-out rows with their scores, and the result of training from a stream."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64
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

    @classmethod
    def from_scores(
        cls, rows: I64, labels: Labels, scores: F32, training_totals: F64, fraction: float
    ) -> HeldOutRows:
        """Return held-out rows with scores as if the weights had been learned from all rows.

        Parameters
        ----------
        rows, labels, scores
            See the attributes; scores are changed in place.
        training_totals : float64 array, shape (n_topics,)
            The total weight of each topic's training rows. Without any, the topic is never
            predicted, and its held-out rows are left out if rows have one topic each.
        fraction : float
            Of the rows, that of the training rows.
        """
        scores[:, training_totals == 0] = ABSENT_SCORE
        if not labels.multilabel:
            is_learned = np.flatnonzero(training_totals[labels.topics] > 0)
            rows, labels = rows[is_learned], labels.take(is_learned)
            scores = scores[is_learned]
        return cls(rows, labels, scale_heldout_scores(scores, fraction))

    def calibration(self, topic_weights: F64) -> AnyCalibration:
        """Return the calibration that fits the scores, given the weight of each topic's rows."""
        labels, costs = self.labels, row_weights(self.labels, topic_weights)
        return HeldOutScores(np.arange(len(labels)), self.scores).calibration(labels, costs)


class StreamResult(NamedTuple):
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
