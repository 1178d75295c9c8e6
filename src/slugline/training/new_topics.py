"""Scores for topics that have a description and no document, beside topics that have documents."""

from __future__ import annotations

import numpy as np

from slugline.base.arrays import F32, F64, I64, Mask

__all__ = ["new_topic_line"]


# Of slope and offset.
_BOUNDS = [(0.0, 100.0), (-100.0, 100.0)]


def new_topic_line(scores: F32, cosines: F32, y: I64, counts: Mask) -> tuple[float, float]:
    """Return slope and offset of a line that turns cosines with a description into scores.

    Each known topic is taken for a new one in turn: of its own score nothing is known, and what
    stands against the scores of all others is the line. Whether a document then finds its topic is
    a logistic regression with two coefficients.

    Parameters
    ----------
    scores : float array, shape (n_rows, n_topics)
        Of rows that were not learned from; their softmax is calibrated.
    cosines : float array, shape (n_rows, n_topics)
        Of each row with the description of each topic, or with a document in its place.
    y : int array, shape (n_rows,)
    counts : bool array, shape (n_rows, n_topics)
        False where a row itself is the document.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    rest = _without_each(scores.astype(np.float64))[counts]
    cosine = cosines[counts].astype(np.float64)
    is_own = (y[:, np.newaxis] == np.arange(scores.shape[1]))[counts]

    def loss(line: F64) -> tuple[float, F64]:
        lead = line[0] * cosine + line[1] - rest
        wrong = expit(lead) - is_own
        losses = np.logaddexp(0, np.where(is_own, -lead, lead))
        return float(losses.mean()), np.array([(wrong * cosine).mean(), wrong.mean()])

    found = minimize(loss, (1.0, 0.0), jac=True, method="L-BFGS-B", bounds=_BOUNDS).x
    return float(found[0]), float(found[1])


def _without_each(scores: F64) -> F64:
    """Return, for each row and topic, the log of the sum of exp of the scores of all others."""
    from scipy.special import logsumexp

    total = logsumexp(scores, axis=1, keepdims=True)
    rest = 1 - np.exp(scores - total)
    # Where a topic is nearly certain, nothing is left of the others but the largest one.
    others = scores.copy()
    others[np.arange(len(scores)), scores.argmax(axis=1)] = -np.inf
    second = np.broadcast_to(others.max(axis=1, keepdims=True), scores.shape)
    with np.errstate(divide="ignore"):
        return np.where(rest > 1e-9, total + np.log(rest), second)
