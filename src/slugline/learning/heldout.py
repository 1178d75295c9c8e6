"""Scores of rows that were not learned from, and the calibrations that fit them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, Index
from slugline.learning.calibration import USUAL_CURVE, AnyCalibration
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels

#: Probabilities are calibrated on at most so many scores, of fewer rows if topics are many.
MAX_SCORES = 1 << 18
# The calibration moves away from the one before as the rows become this many; times the topics, if
# each has a curve of its own.
_ENOUGH_ROWS = 50
# Times so many scores are used for curves of each topic. More take longer than learning.
_MORE_SCORES = 4
# It is fitted again when this fraction of the latest rows is new, as that takes longer than
# learning from a few rows.
_NEW_FRACTION = 0.02


class HeldOutScores(NamedTuple):
    """Scores of rows by weights that were not learned from them."""

    rows: Index  # shape (n_rows,)
    scores: F32  # shape (n_rows, n_topics)

    def calibration(self, labels: Labels, costs: F32) -> AnyCalibration:
        """Fit a calibration to the scores, given labels and costs of all rows."""
        kind = label_type(multilabel=labels.multilabel)
        return kind.fit_calibration(self.scores, labels.take(self.rows), costs[self.rows])


@dataclass(frozen=True)
class RecentScores:
    """Scores of the latest rows before they were learned from.

    Attributes
    ----------
    scores : float32 array, shape (n_rows, n_topics)
    labels : Labels
    costs : float32 array, shape (n_rows,)
    enough : int
        Number of rows from which on what was chosen on others before counts for nothing.
    usual : (float, float)
        The usual slope and intercept of curves by topic.
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
        """Return the scores of no rows, before a first batch or later ones."""
        scores, costs = np.zeros((0, n_topics), dtype=np.float32), np.zeros(0, dtype=np.float32)
        enough = _ENOUGH_ROWS
        if multilabel:
            enough = 1 if is_first else _ENOUGH_ROWS * n_topics
        return cls(scores, Labels.empty(multilabel=multilabel), costs, enough, usual)

    def update(
        self, scores: F32, labels: Labels, costs: F32, before: AnyCalibration
    ) -> tuple[RecentScores, AnyCalibration]:
        """Return the latest of these and more, as many as calibration uses, and the calibration.

        That is the one `before` until enough of them are new.
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
        """The weight, up to 1, of what is chosen by them beside what was chosen before."""
        return min(1.0, len(self.labels) / self.enough)

    def fit(self) -> AnyCalibration:
        """Return the calibration that fits them alone."""
        kind = label_type(multilabel=self.labels.multilabel)
        return kind.fit_calibration(self.scores, self.labels, self.costs, self.usual)

    def calibration(self, before: AnyCalibration) -> AnyCalibration:
        """Return the calibration that fits them; if they are few, near the one before."""
        # Both are of one type.
        return self.fit().blend(before, self.weight)  # type: ignore[arg-type]
