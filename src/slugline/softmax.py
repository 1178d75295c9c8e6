"""Scores to probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["log_softmax", "softmax"]

Floats = npt.NDArray[np.float32]


def softmax(scores: Floats) -> Floats:
    """Turn rows of scores into rows of probabilities."""
    proba = scores - scores.max(axis=1, keepdims=True)
    np.exp(proba, out=proba)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def log_softmax(scores: Floats) -> Floats:
    """Turn rows of scores into rows of log-probabilities, without ever taking the log of 0."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
