"""Held-out scores, and calibrations fitted to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.learning.calibration import USUAL_CURVE, AnyCalibration
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels

#: Calibrate probabilities on at most this many scores: the more topics, the fewer rows.
MAX_SCORES = 1 << 18
# With this many rows, times the number of topics if each has its own curve, a new calibration fully
# replaces the previous one.
_ENOUGH_ROWS = 50
# With a curve per topic, use this many times as many scores; more would take longer than training.
_MORE_SCORES = 4
# Refit the calibration when this fraction of the latest rows is new: fitting takes longer than
# training on a few rows.
_NEW_FRACTION = 0.02


def log_proba_gains(proba: F32, before: F32, y: I64) -> F64:
    """Return the gain in log-probability of each row's topic; the mean is the fall in log loss.

    Parameters
    ----------
    proba, before : float32 arrays, shape (n_rows, n_topics)
    y : int array, shape (n_rows,)
    """
    rows = np.arange(len(y))
    return np.log(proba[rows, y].astype(np.float64)) - np.log(before[rows, y].astype(np.float64))


class HeldOutScores(NamedTuple):
    """Scores of rows from weights that were not trained on them."""

    rows: Index  # shape (n_rows,)
    scores: F32  # shape (n_rows, n_topics)
    #: The training rows of the weights; None with several folds.
    training: Index | None = None

    def of_rows(self, mask: Mask) -> HeldOutScores:
        """Return the scores of the rows in `mask`, renumbered from 0."""
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
    """Scores of the latest rows before training on them.

    Attributes
    ----------
    scores : float32 array, shape (n_rows, n_topics)
    labels : Labels
    costs : float32 array, shape (n_rows,)
    enough : int
        Number of rows from which an earlier calibration no longer counts.
    usual : (float, float)
        Prior slope and intercept of the topics' curves.
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
        """Return scores without rows; `is_first` is True before the first batch."""
        scores, costs = np.zeros((0, n_topics), dtype=np.float32), np.zeros(0, dtype=np.float32)
        enough = _ENOUGH_ROWS
        if multilabel:
            enough = 1 if is_first else _ENOUGH_ROWS * n_topics
        return cls(scores, Labels.empty(multilabel=multilabel), costs, enough, usual)

    def update(
        self, scores: F32, labels: Labels, costs: F32, before: AnyCalibration
    ) -> tuple[RecentScores, AnyCalibration]:
        """Append scores, drop the oldest, and refit the calibration `before` if enough are new."""
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
        # With few rows, the calibration hardly changes. Both have the same type.
        fitted = recent.fit().blend(before, recent.weight)  # type: ignore[arg-type]
        return replace(recent, n_new=0), fitted

    @property
    def weight(self) -> float:
        """The weight, up to 1, of a calibration on these scores in the mean with an earlier one."""
        return min(1.0, len(self.labels) / self.enough)

    def fit(self) -> AnyCalibration:
        """Return the calibration that fits these scores best."""
        kind = label_type(multilabel=self.labels.multilabel)
        return kind.fit_calibration(self.scores, self.labels, self.costs, self.usual)
