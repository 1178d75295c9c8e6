"""How many texts to label for intervals of a width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.counting.labelled import MIN_EACH, MIN_LABELLED, uses_model
from slugline.counting.results import GroupCount, LabelPlan
from slugline.evaluation.intervals import Z_95


class PlannedGroup(NamedTuple):
    """A group of texts whose shares are to be known.

    Attributes
    ----------
    name : str
        Empty for all texts.
    n_texts : int
    shares, explained : float64 array, shape (n_topics,)
        The shares of the topics as far as they are known, and how much of the variance of each the
        model explains.
    """

    name: str
    n_texts: int
    shares: F64
    explained: F64

    @classmethod
    def from_count(
        cls, group: GroupCount, total: GroupCount, explained: Mapping[str, float]
    ) -> PlannedGroup:
        """Return the shares of the topics of all texts in a group, as far as they are known.

        `explained` has how much of the variance the model explains of each topic that it knows.
        """
        shares = {topic.topic: topic.share for topic in group.topics if topic.is_estimated}
        return cls(
            group.name,
            group.n_texts,
            np.array([shares.get(topic.topic, topic.share) for topic in total.topics]),
            np.array([explained.get(topic.topic, 0.0) for topic in total.topics]),
        )


class _SampleSizes(NamedTuple):
    """How many texts of a group to label for each topic, shape (n_topics,)."""

    with_model: F64
    alone: F64


def plan_labels(
    total: PlannedGroup,
    topics: Sequence[str],
    margin: float,
    *,
    groups: Sequence[PlannedGroup] = (),
    column: str = "",
    n_labelled: int = 0,
) -> LabelPlan:
    """Return how many random texts to label, so that no interval is wider than twice a margin.

    Texts are drawn from all, so that a small group needs many of them.

    Parameters
    ----------
    total : PlannedGroup
    topics : sequence of str
    margin : float
    groups : sequence of PlannedGroup, optional
        Groups whose shares are to be known as well.
    column : str, optional
        What these are groups of.
    n_labelled : int, default 0
        Number of texts that have a label.
    """
    groups = [each for each in groups if each.n_texts]
    candidates = groups or [total]
    sizes = [_sample_sizes(group, margin) for group in candidates]
    # Drawing from all texts, a group gets only its share of them.
    scales = [total.n_texts / group.n_texts for group in candidates]
    needs = np.array(
        [np.ceil(scale * each.with_model) for scale, each in zip(scales, sizes, strict=True)]
    )
    alone = max(
        float(np.ceil(scale * each.alone).max()) for scale, each in zip(scales, sizes, strict=True)
    )
    # Of topics that need as many, the one with the largest variance.
    variances = np.array([group.shares * (1 - group.shares) for group in candidates])
    most, topic = np.unravel_index((needs + variances).argmax(), needs.shape)
    return LabelPlan(
        margin=margin,
        n_texts=int(needs[most, topic]),
        topic=topics[topic],
        n_without_model=int(alone),
        n_available=total.n_texts,
        n_labelled=n_labelled,
        group=candidates[most].name,
        column=column if groups else "",
        n_for_total=int(_sample_sizes(total, margin).with_model.max()),
    )


def _sample_sizes(group: PlannedGroup, margin: float) -> _SampleSizes:
    variances = group.shares * (1 - group.shares)
    residuals = np.where(
        [uses_model(each) for each in group.explained.tolist()], 1 - group.explained, 1.0
    )
    alone = np.ceil(_sizes_for(variances, margin, group.n_texts))
    with_model = np.ceil(_sizes_for(variances * residuals, margin, group.n_texts))
    # With fewer labels of a rare topic, its labels count alone.
    fewest = np.ceil(MIN_EACH / np.maximum(np.minimum(group.shares, 1 - group.shares), 1e-9))
    return _SampleSizes(np.minimum(np.maximum(with_model, fewest), alone), alone)


def _sizes_for(variances: F64, margin: float, n_texts: int) -> F64:
    n = variances * (Z_95 / margin) ** 2
    sizes: F64 = n / (1 + n / n_texts)
    return np.clip(sizes, min(MIN_LABELLED, n_texts), n_texts)
