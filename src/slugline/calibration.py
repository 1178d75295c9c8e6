"""Turns scores into probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best_sharpness", "log_softmax", "softmax"]

Floats = npt.NDArray[np.float32]

# Differences of scores up to this are finite.
_MAX_SCORE = np.float32(1e38)


def softmax(scores: Floats) -> Floats:
    """Return rows of probabilities for rows of scores; infinite scores count as very large."""
    proba = np.clip(scores, -_MAX_SCORE, _MAX_SCORE)
    proba -= proba.max(axis=1, keepdims=True)
    np.exp(proba, out=proba)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def log_softmax(scores: Floats) -> Floats:
    """Return rows of log-probabilities for rows of scores, without ever taking the log of 0."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


Labels = npt.NDArray[np.int64]


def best_sharpness(scores: Floats, y: Labels, weights: Floats | None = None) -> float:
    """Return the sharpness, between 1/7 and 55, for which rows have the lowest mean log loss.

    Sharpness is the factor on scores before softmax. Log loss is -log of the probability of the
    right topic.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Scores of rows that were not learned from.
    y : int array, shape (n_rows,)
    weights : float32 array, shape (n_rows,), optional
        Weight of each row's loss; equal by default.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks: temperature
    scaling, in which sharpness is the inverse of the temperature.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_sharpness: float) -> float:
        log_proba = log_softmax(scores * np.float32(np.exp(log_sharpness)))
        return -float(np.average(log_proba[np.arange(len(y)), y], weights=weights))

    found = minimize_scalar(loss, bounds=(-2.0, 4.0), method="bounded", options={"xatol": 1e-2})
    return float(np.exp(found.x))
