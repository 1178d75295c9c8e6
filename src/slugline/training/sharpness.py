"""How sharp probabilities may be: the factor on scores whose softmax has the least log loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slugline.softmax import log_softmax

__all__ = ["best_sharpness"]

Floats = npt.NDArray[np.float32]
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
