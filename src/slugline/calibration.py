"""Scores to probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best_sharpness", "log_softmax", "softmax"]

Floats = npt.NDArray[np.float32]

# Differences of scores up to this are finite.
_MAX_SCORE = np.float32(1e38)


def softmax(scores: Floats) -> Floats:
    """Turn rows of scores into rows of probabilities; infinite scores are taken for very large."""
    proba = np.clip(scores, -_MAX_SCORE, _MAX_SCORE)
    proba -= proba.max(axis=1, keepdims=True)
    np.exp(proba, out=proba)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def log_softmax(scores: Floats) -> Floats:
    """Turn rows of scores into rows of log-probabilities, without ever taking the log of 0."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


Labels = npt.NDArray[np.int64]


def best_sharpness(scores: Floats, y: Labels, weights: Floats | None = None) -> float:
    """Find the factor, between a seventh and fifty.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Of rows that were not learned from.
    y : int array, shape (n_rows,)
    weights : float32 array, shape (n_rows,), optional
        What each row's loss counts; all the same by default.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks: temperature
    scaling, where this is the inverse of the temperature.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_sharpness: float) -> float:
        log_proba = log_softmax(scores * np.float32(np.exp(log_sharpness)))
        return -float(np.average(log_proba[np.arange(len(y)), y], weights=weights))

    found = minimize_scalar(loss, bounds=(-2.0, 4.0), method="bounded", options={"xatol": 1e-2})
    return float(np.exp(found.x))
