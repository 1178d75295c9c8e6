"""How linear weights descend: the formulas, with dense arrays of float64."""

from __future__ import annotations

import numpy as np


class ReferenceDescent:
    """AdaGrad down the squared hinge loss of one topic against all others.

    Each term has one step size, as has the last column, which all rows have: that of the biases.
    """

    def __init__(
        self,
        weights: np.ndarray,
        biases: np.ndarray,
        start: float,
        learning_rate: float | np.ndarray,
    ) -> None:
        self.weights = np.vstack([weights, biases]).astype(np.float64)
        self.sums = np.full(len(self.weights), start)
        self.learning_rate = learning_rate

    def scores(self, X: np.ndarray) -> np.ndarray:
        return self.with_bias(X) @ self.weights

    def step(self, X: np.ndarray, y: np.ndarray, costs: np.ndarray) -> None:
        """Take a step by some rows, whose costs have the shape (n_rows, n_topics)."""
        rows = self.with_bias(X)
        signs = 2 * (y[:, np.newaxis] == np.arange(costs.shape[1])) - 1
        errors = np.maximum(0, 1 - signs * (rows @ self.weights))
        slope = -2 * costs * signs * errors
        gradient = rows.T @ slope
        self.sums += (gradient**2).mean(axis=1)
        rates = self.learning_rate / np.sqrt(self.sums)
        self.weights -= rates[:, np.newaxis] * gradient

    @staticmethod
    def with_bias(X: np.ndarray) -> np.ndarray:
        return np.hstack([X, np.ones((len(X), 1))])


def costs_of(y: np.ndarray, weight: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Give what an error costs: more for the row's own topic if that is rarer than the mean one."""
    present = totals[totals > 0]
    rarity = np.maximum(1, present.mean() / totals[y]) ** 0.75
    costs = np.repeat(weight[:, np.newaxis], len(totals), axis=1).astype(np.float64)
    costs[np.arange(len(y)), y] *= rarity
    return costs
