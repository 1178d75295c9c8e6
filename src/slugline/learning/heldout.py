"""Held-out scores, and the calibrations that are fitted to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.learning.calibration import USUAL_CURVE, AnyCalibration
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels

#: Probabilities are calibrated on at most this many scores: the more topics, the fewer rows.
MAX_SCORES = 1 << 18
# With this many rows, a new calibration fully replaces the one before. If each topic has its own
# curve, this is multiplied by the number of topics.
_ENOUGH_ROWS = 50
# For separate curves of topics, this many times as many scores are used; more would take longer
# than learning.
_MORE_SCORES = 4
# It is fitted again when this fraction of the latest rows is new, as that takes longer than
# learning from a few rows.
_NEW_FRACTION = 0.02


def log_proba_gains(proba: F32, before: F32, y: I64) -> F64:
    """Return by how much the log probability of each row's topic is higher than before.

    The mean is by how much the log loss is lower.

    Parameters
    ----------
    proba, before : float32 arrays, shape (n_rows, n_topics)
    y : int array, shape (n_rows,)
    """
    rows = np.arange(len(y))
    return np.log(proba[rows, y].astype(np.float64)) - np.log(before[rows, y].astype(np.float64))


class HeldOutScores(NamedTuple):
    """Scores of rows by weights that were not learned from these rows."""

    rows: Index  # shape (n_rows,)
    scores: F32  # shape (n_rows, n_topics)
    #: The rows that all weights were learned from; None if they differ, as with several folds.
    training: Index | None = None

    def of_rows(self, mask: Mask) -> HeldOutScores:
        """Return the scores of the rows of a mask, numbered as if there were no others."""
        numbers = np.cumsum(mask) - 1
        chosen = mask[self.rows]
        training = self.training
        if training is not None:
            training = numbers[training[mask[training]]]
        return HeldOutScores(numbers[self.rows[chosen]], self.scores[chosen], training)

    def calibration(self, labels: Labels, costs: F32) -> AnyCalibration:
        """Fit a calibration to the scores, given labels and costs of all rows."""
        kind = label_type(multilabel=labels.multilabel)
        return kind.fit_calibration(self.scores, labels.take(self.rows), costs[self.rows])


@dataclass(frozen=True)
class RecentScores:
    """Scores that the latest rows got before they were learned from.

    Attributes
    ----------
    scores : float32 array, shape (n_rows, n_topics)
    labels : Labels
    costs : float32 array, shape (n_rows,)
    enough : int
        Number of rows from which an earlier calibration no longer counts.
    usual : (float, float)
        The usual slope and intercept of the curves of topics.
    n_new : int
        Number of rows since the calibration was fitted.
    """

    scores: F32
    labels: Labels
    costs: F32
    enough: int
    usual: tuple[float, float] = USUAL_CURVE
    n_new: int = 0

    @classmethod
    def empty(
        cls,
        n_topics: int,
        *,
        multilabel: bool,
        usual: tuple[float, float] = USUAL_CURVE,
        is_first: bool = False,
    ) -> RecentScores:
        """Return scores without rows; `is_first` is whether the first batch comes next."""
        scores, costs = np.zeros((0, n_topics), dtype=np.float32), np.zeros(0, dtype=np.float32)
        enough = _ENOUGH_ROWS
        if multilabel:
            enough = 1 if is_first else _ENOUGH_ROWS * n_topics
        return cls(scores, Labels.empty(multilabel=multilabel), costs, enough, usual)

    def update(
        self, scores: F32, labels: Labels, costs: F32, before: AnyCalibration
    ) -> tuple[RecentScores, AnyCalibration]:
        """Return the latest scores, as many as calibration uses, and the calibration.

        The calibration is the one `before` until enough scores are new.
        """
        n_scores = MAX_SCORES * (_MORE_SCORES if labels.multilabel else 1)
        all_labels = Labels.concatenate(self.labels, labels)
        n_rows = min(len(all_labels), max(1, n_scores // scores.shape[1]))
        latest = np.arange(len(all_labels) - n_rows, len(all_labels))
        recent = replace(
            self,
            scores=np.concatenate([self.scores, scores])[latest],
            labels=all_labels.take(latest),
            costs=np.concatenate([self.costs, costs])[latest],
            n_new=self.n_new + len(labels),
        )
        if recent.n_new <= _NEW_FRACTION * n_rows:
            return recent, before
        return replace(recent, n_new=0), recent.calibration(before)

    @property
    def weight(self) -> float:
        """The weight, up to 1, of a calibration on these scores against an earlier one."""
        return min(1.0, len(self.labels) / self.enough)

    def fit(self) -> AnyCalibration:
        """Return the calibration that fits these scores best."""
        kind = label_type(multilabel=self.labels.multilabel)
        return kind.fit_calibration(self.scores, self.labels, self.costs, self.usual)

    def calibration(self, before: AnyCalibration) -> AnyCalibration:
        """Return the calibration that fits these scores; with few scores, it hardly changes."""
        # Both have the same type.
        return self.fit().blend(before, self.weight)  # type: ignore[arg-type]
