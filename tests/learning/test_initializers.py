"""First weights: even over Glorot's range, by seed."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.learning.net.network import glorot_uniform


@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(10_000, 64), (64, 64), (64, 46)], ids=str)
def test_glorot_uniform_spreads_weights_evenly_over_the_range(
    n_inputs: int, n_outputs: int
) -> None:
    limit = np.sqrt(6 / (n_inputs + n_outputs))
    weights = glorot_uniform(np.random.default_rng(0), n_inputs, n_outputs)
    assert weights.shape == (n_inputs, n_outputs)
    assert weights.dtype == np.float32
    assert limit * 0.99 < abs(weights).max() <= limit * (1 + 1e-6)
    deciles = np.histogram(weights, bins=10, range=(-limit, limit))[0] / weights.size
    np.testing.assert_allclose(deciles, 0.1, atol=0.02)
