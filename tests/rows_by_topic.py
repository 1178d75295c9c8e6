"""Rows that are made up: each topic has columns of its own, and all share others."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

N_TOPICS = 8


def make_up(
    n_rows: int, seed: int = 0, n_topics: int = N_TOPICS
) -> tuple[sp.csr_array, np.ndarray]:
    """Return rows of length 1, each with some of its topic's 20 columns and some of 200 others."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_topics, size=n_rows)
    X = np.zeros((n_rows, 20 * n_topics + 200), dtype=np.float32)
    for row, topic in enumerate(y):
        X[row, 20 * topic + rng.choice(20, 6, replace=False)] = 1
        X[row, 20 * n_topics + rng.choice(200, 6, replace=False)] = 1
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return sp.csr_array(X), y


def plant_wrong_topics(
    y: np.ndarray, share: float, n_topics: int = N_TOPICS
) -> tuple[np.ndarray, np.ndarray]:
    """Return another topic to some rows; say which."""
    rng = np.random.default_rng(1)
    wrong = np.zeros(len(y), dtype=bool)
    wrong[rng.choice(len(y), round(share * len(y)), replace=False)] = True
    shift = rng.integers(1, n_topics, size=len(y))
    return np.where(wrong, (y + shift) % n_topics, y), wrong
