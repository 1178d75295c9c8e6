"""Sets of topics that hold the right one as often as asked: conformal prediction."""

from __future__ import annotations

import math

import numpy as np

from slugline.base.arrays import F64, Floats

# What each topic after the first one costs, so that long tails of small probabilities stay out of
# sets. Chosen on training splits: sets of few topics grow by less than a tenth over the smallest
# possible ones, and those of doubtful texts are still the larger ones.
_PENALTY = 0.05


def set_scores(proba: Floats) -> F64:
    """Return the conformal score of each topic: the lower, the sooner it belongs to the set.

    The score is the probability of all topics ranked higher, and a penalty for each of them: RAPS
    with 0 in place of its random number. So the same text always gets the same set, no set is
    empty, and the surer a text, the fewer topics it has.

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
    """Return the highest score in sets that hold the right topic with probability `coverage`.

    It is a quantile of the right topics' scores in held-out documents; infinite if these are too
    few, so that every topic belongs to each set.
    """
    place = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf
