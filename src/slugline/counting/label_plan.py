"""Number of texts to label to halve the widest interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.counting.labelled import MIN_EACH, MIN_LABELLED, uses_model
from slugline.counting.results import GroupCount, LabelPlan
from slugline.evaluation.intervals import Z_95

# Largest margin of error that needs no more labels: a quarter of a share of 10 %.
_WIDE = 0.025


class PlannedGroup(NamedTuple):
    """A group of texts whose shares are estimated.

    Attributes
    ----------
    n_texts : int
    shares, margins, explained : float64 array, shape (n_topics,)
        The shares of the topics, their margins of error, and the fraction of each topic's variance
        that the model explains.
    """

    n_texts: int
    shares: F64
    margins: F64
    explained: F64

    @classmethod
    def from_count(cls, group: GroupCount, explained: Mapping[str, float]) -> PlannedGroup:
        """Return the estimated topics of a group.

        `explained` maps the model's topics to the fraction of variance that the model explains.
        """
        topics = [topic for topic in group.topics if topic.is_estimated]
        return cls(
            group.n_texts,
            np.array([topic.share for topic in topics]),
            np.array([(topic.interval.high - topic.interval.low) / 2 for topic in topics]),
            np.array([explained.get(topic.topic, 0.0) for topic in topics]),
        )

    @property
    def widest(self) -> float:
        """Largest margin of error, or 0."""
        return float(self.margins.max(initial=0))

    def count_labels(self, margin: float) -> int:
        """Return the number of random texts to label for margins of error up to `margin`."""
        variances = self.shares * (1 - self.shares)
        residuals = np.where(
            [uses_model(each) for each in self.explained.tolist()], 1 - self.explained, 1.0
        )
        alone = np.ceil(_sizes_for(variances, margin, self.n_texts))
        with_model = np.ceil(_sizes_for(variances * residuals, margin, self.n_texts))
        # A topic with fewer labels is counted from its labels alone.
        fewest = np.ceil(MIN_EACH / np.maximum(np.minimum(self.shares, 1 - self.shares), 1e-9))
        return int(np.minimum(np.maximum(with_model, fewest), alone).max(initial=0))


def plan_labels(
    total: PlannedGroup,
    groups: Sequence[PlannedGroup] = (),
    *,
    has_changes: bool = False,
    column: str = "",
    n_labelled: int = 0,
) -> LabelPlan | None:
    """Return the number of random texts to label to halve the widest interval.

    Returns None if the intervals are narrow. Wide intervals of groups don't matter if a change
    between groups is significant.

    Parameters
    ----------
    total : PlannedGroup
        All texts.
    groups : sequence of PlannedGroup, optional
        Groups of the texts.
    has_changes : bool, default False
        True if a change between groups is significant.
    column : str, optional
        Name of the grouping column.
    n_labelled : int, default 0
        Number of labelled texts.
    """
    widest_group = max((group.widest for group in groups), default=0.0)
    if total.widest <= _WIDE and (has_changes or widest_group <= _WIDE):
        return None
    return LabelPlan(
        n_texts=total.count_labels(total.widest / 2),
        n_by_group=max((group.count_labels(widest_group / 2) for group in groups), default=0),
        n_available=total.n_texts,
        n_labelled=n_labelled,
        column=column,
    )


def _sizes_for(variances: F64, margin: float, n_texts: int) -> F64:
    n = variances * (Z_95 / margin) ** 2
    sizes: F64 = n / (1 + n / n_texts)
    return np.clip(sizes, min(MIN_LABELLED, n_texts), n_texts)
