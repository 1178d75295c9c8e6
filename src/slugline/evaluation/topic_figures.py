"""Precision, recall and F1 of topics, from counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slugline.base.arrays import F64, Integers

__all__ = ["TopicFigures", "f1_scores", "macro_f1", "topic_figures", "totals_by", "weighted_f1"]


@dataclass(frozen=True, slots=True)
class TopicFigures:
    """One topic's metrics; a ratio with nothing to divide by is NaN."""

    topic: str
    n_documents: int
    precision: float
    recall: float
    f1: float


def topic_figures(
    topics: Sequence[str], right: Integers, true: Integers, predicted: Integers
) -> list[TopicFigures]:
    """Return the metrics of each topic.

    Parameters
    ----------
    topics : names
    right, true, predicted : int arrays, shape (n_topics,)
        How many documents of each topic got it, have it, and got it rightly or wrongly.
    """
    return [
        TopicFigures(name, int(t), _ratio(r, p), _ratio(r, t), _ratio(2 * r, p + t))
        for name, r, t, p in zip(topics, right, true, predicted, strict=True)
    ]


def totals_by(topics: Integers, counts: Integers, n_topics: int) -> Integers:
    """Return how many documents there are of each topic.

    Parameters
    ----------
    topics : int array, shape (n_kinds,)
        The topic of each kind of document.
    counts : int array, shape (n_sets, n_kinds)
        How many documents of each kind there are, in several test sets.
    n_topics : int

    Returns
    -------
    int array, shape (n_sets, n_topics)
    """
    from scipy.sparse import csr_array

    shape = len(topics), n_topics
    belongs = csr_array((np.ones_like(topics), (np.arange(len(topics)), topics)), shape=shape)
    totals: Integers = (belongs.T @ counts.T).T
    return totals


def f1_scores(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return F1, the harmonic mean of precision and recall; 0 for a topic that doesn't occur."""
    scores: F64 = 2 * right / np.maximum(true + predicted, 1)
    return scores


def macro_f1(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return the mean F1 over the topics that occur, as true or as predicted ones.

    Parameters
    ----------
    right, true, predicted : int arrays, shape (..., n_topics)
        See `topic_figures`. The last axis is what the mean is over.
    """
    n_occurring = np.count_nonzero(true + predicted, axis=-1)
    mean: F64 = f1_scores(right, true, predicted).sum(axis=-1) / n_occurring
    return mean


def weighted_f1(right: Integers, true: Integers, predicted: Integers) -> F64:
    """Return the mean F1 in which each topic counts as often as documents have it."""
    scores = f1_scores(right, true, predicted)
    mean: F64 = (scores * true).sum(axis=-1) / true.sum(axis=-1)
    return mean


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan
