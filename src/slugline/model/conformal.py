"""Conformal prediction: sets of topics that contain the right one with a given probability."""

from __future__ import annotations

import math

import numpy as np

from slugline.base.arrays import F64, Floats

# Penalty for each topic after the first; keeps long tails of small probabilities out of sets.
# Chosen on training splits: with few topics, sets are less than a tenth larger than the smallest
# possible ones, and doubtful texts still get larger sets than others.
_PENALTY = 0.05


def set_scores(proba: Floats) -> F64:
    """Return the conformal score of each topic; topics with low scores enter a set first.

    The score is the total probability of the topics that are ranked higher, plus a penalty for each
    of them: RAPS with 0 in place of its random number. So equal texts get equal sets, no set is
    empty, and a text with a clear topic gets a small set.

    Parameters
    ----------
    proba : float array, shape (n_documents, n_topics)

    Returns
    -------
    float64 array, shape (n_documents, n_topics)

    References
    ----------
    Romano, Sesia and Candès (2020), Classification with valid and adaptive coverage, and
    Angelopoulos, Bates, Malik and Jordan (2021), Uncertainty sets for image classifiers using
    conformal prediction.
    """
    order = np.argsort(-proba, axis=1, kind="stable")
    sorted_proba = np.take_along_axis(proba, order, axis=1).astype(np.float64)
    scores = sorted_proba.cumsum(axis=1) - sorted_proba
    scores[:, 0] = 0
    scores += _PENALTY * np.arange(proba.shape[1])
    unsorted = np.empty_like(scores)
    np.put_along_axis(unsorted, order, scores, axis=1)
    return unsorted


def highest_score(scores: Floats, coverage: float) -> float:
    """Return the score threshold of sets that contain the right topic with probability `coverage`.

    The threshold is a quantile of the scores of the right topics of held-out documents. It is
    infinite if there are too few documents, so that every set contains all topics.
    """
    place = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf
