"""Initial weights."""

from __future__ import annotations

import numpy as np

from slugline.base.arrays import F32

__all__ = ["glorot_uniform"]


def glorot_uniform(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> F32:
    """Return weights drawn evenly from +-limit, where limit = sqrt(6 / (n_inputs + n_outputs)).

    Returns
    -------
    float32 array, shape (n_inputs, n_outputs).

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural
    networks, equation 16.
    """
    weights = rng.random((n_inputs, n_outputs), dtype=np.float32)
    limit = np.float32(np.sqrt(6 / (n_inputs + n_outputs)))
    weights *= 2 * limit
    weights -= limit
    return weights
