"""Adjusts group counts so that they add up to the counts of all texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import F64
from slugline.counting.results import GroupCount, TopicCount
from slugline.evaluation.intervals import Interval

# Lower bound of shares, so that a topic without texts can be scaled.
_LEAST_SHARE = 1e-9
_TOLERANCE, _MAX_STEPS = 1e-6, 200


def add_up(
    groups: Sequence[GroupCount], total: GroupCount, *, multilabel: bool
) -> tuple[GroupCount, ...]:
    """Return groups whose counts of each topic add up to the topic's total.

    The total has the smallest error. Except for multi-label models, the shares of each group still
    sum to 1. Intervals move with their shares. Groups are unchanged if some are counted by labels
    and others by the model.

    Parameters
    ----------
    groups : sequence of GroupCount
        Groups that partition the texts, with the same topics as `total`, in the same order.
    total : GroupCount
    multilabel : bool

    References
    ----------
    Deming and Stephan (1940), On a least squares adjustment of a sampled frequency table when the
    expected marginal totals are known.
    """
    counts = [total, *groups]
    if not groups or len({(each.is_estimated, each.is_by_model) for each in counts}) > 1:
        return tuple(groups)
    if not total.is_estimated:
        return tuple(groups)
    n_texts = np.array([group.n_texts for group in groups], dtype=np.float64)
    shares = np.array([[topic.share for topic in group.topics] for group in groups])
    sums = n_texts.sum() * np.array([topic.share for topic in total.topics])
    adjusted = _rake(shares, n_texts, sums, multilabel=multilabel)
    return tuple(
        group._replace(
            topics=tuple(
                _move(topic, share) for topic, share in zip(group.topics, row, strict=True)
            )
        )
        for group, row in zip(groups, adjusted.tolist(), strict=True)
    )


def _rake(shares: F64, n_texts: F64, sums: F64, *, multilabel: bool) -> F64:
    """Return shares that give the column sums `sums`, shape (n_groups, n_topics)."""
    numbers = np.maximum(shares, _LEAST_SHARE) * n_texts[:, np.newaxis]
    for _ in range(_MAX_STEPS):
        before = numbers
        numbers = numbers * (sums / np.maximum(numbers.sum(axis=0), 1e-300))
        if multilabel:
            numbers = np.minimum(numbers, n_texts[:, np.newaxis])
        else:
            numbers = numbers * (n_texts / np.maximum(numbers.sum(axis=1), 1e-300))[:, np.newaxis]
        if np.abs(numbers - before).max() < _TOLERANCE:
            break
    raked: F64 = numbers / n_texts[:, np.newaxis]
    return raked


def _move(topic: TopicCount, share: float) -> TopicCount:
    """Return a count with a new share, its interval shifted by the difference."""
    difference = share - topic.share
    low, high = (min(max(end + difference, 0.0), 1.0) for end in topic.interval)
    return topic._replace(share=share, interval=Interval(low, high))
