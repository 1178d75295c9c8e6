"""Trains linear weights on one batch of documents after another."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.calibration import best_sharpness
from slugline.sparse import row_gradient
from slugline.training.context import FitContext
from slugline.training.linear import hinge_pulls, topic_rarity
from slugline.training.optimizers import RowAdaGrad

__all__ = ["LinearStream"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

# All chosen by cross-validation on training splits. A penalty on large weights did not help: passes
# are few, and steps shrink.
_PASSES = 3
_ROWS_PER_STEP = 64
_LEARNING_RATE = 0.1
# Initial sum of squared gradients of a term. If it were 0, the first step would be as long for a
# small error as for a large one. Weights that have been learned before move less than fresh ones.
_SUM_AT_FIRST, _SUM_OF_LEARNED = 0.3, 3.0
# Sharpness, the factor on scores before softmax, is fitted to this many of the latest documents.
_N_RECENT = 1000
_WEIGHTS, _BIASES = 0, 1
# What learning changes in place, besides weights and biases.
_CHANGED_IN_PLACE = ("_rng", "_optimizer", "_totals")


class LinearStream:
    """What a linear learner keeps from batch to batch for fitting, but doesn't need to predict.

    Parameters
    ----------
    weights : float32 array, shape (n_columns, n_topics)
        Changed in place.
    biases : float32 array, shape (n_topics,)
        Likewise.
    sharpness : float
        The factor on scores before softmax that is assumed before the first batch.
    first : bool
        Whether nothing has been learned yet.
    C : float
        Cost of errors.
    seed : int
        Determines the order of the rows.
    """

    def __init__(
        self,
        weights: Floats,
        biases: Floats,
        *,
        sharpness: float,
        first: bool,
        C: float,
        seed: int,
    ) -> None:
        self._weights, self._biases = weights, biases
        self._first_sharpness = sharpness
        self._C = C
        self._rng = np.random.default_rng(seed)
        start = _SUM_AT_FIRST if first else _SUM_OF_LEARNED
        self._optimizer = RowAdaGrad(_LEARNING_RATE, start=start)
        self._totals = np.zeros(len(biases))
        self._recent_scores = np.empty((0, len(biases)), dtype=np.float32)
        self._recent_labels = np.empty(0, dtype=np.int64)
        self._recent_costs = np.empty(0, dtype=np.float32)

    def learn(self, X: sp.csr_array, y: Labels, context: FitContext) -> float:
        """Go through the rows of a batch a few times; return the new sharpness.

        If this fails or is interrupted, nothing is learned from the batch.
        """
        touched = np.unique(X.indices)
        weights, biases = self._weights[touched], self._biases.copy()
        state = {name: copy.deepcopy(getattr(self, name)) for name in _CHANGED_IN_PLACE}
        before = self.__dict__ | state
        try:
            return self._learn(X, y, context)
        except BaseException:
            self._weights[touched], self._biases[:] = weights, biases
            self.__dict__.update(before)
            raise

    def _learn(self, X: sp.csr_array, y: Labels, context: FitContext) -> float:
        costs = np.ones(len(y), dtype=np.float32)
        if context.sample_weight is not None:
            told = context.sample_weight > 0
            X, y, costs = X[told], y[told], context.sample_weight[told]
        self._totals += np.bincount(y, costs, minlength=len(self._totals))
        own_costs = costs if context.weighted_topics else costs * topic_rarity(self._totals)[y]
        # Before anything is learned from a row, it scores as a new document would.
        honest = self._pass(X, y, costs, own_costs)
        for _ in range(_PASSES - 1):
            self._pass(X, y, costs, own_costs)
        return self._sharpness(honest, y, costs)

    def _pass(self, X: sp.csr_array, y: Labels, costs: Floats, own_costs: Floats) -> Floats:
        """Take one step after another; return each row's scores from before its step."""
        scores = np.empty((len(y), len(self._biases)), dtype=np.float32)
        order = self._rng.permutation(len(y))
        for first in range(0, len(y), _ROWS_PER_STEP):
            rows = order[first : first + _ROWS_PER_STEP]
            batch = X[rows]
            scores[rows] = batch @ self._weights + self._biases
            slope = hinge_pulls(scores[rows], y[rows])
            slope *= np.float32(-2 * self._C)
            cost = np.repeat(costs[rows, np.newaxis], slope.shape[1], axis=1)
            cost[np.arange(len(rows)), y[rows]] = own_costs[rows]
            self._step(batch, slope * cost)
        return scores

    def _step(self, X: sp.csr_array, slope: Floats) -> None:
        """Move downhill, given the derivative of the loss with respect to each score."""
        self._optimizer.begin_step()
        terms, gradient = row_gradient(X, slope)
        self._optimizer.update(_WEIGHTS, self._weights, gradient, terms)
        # The biases are the weights of a term that every document has.
        everywhere = np.zeros(1, dtype=np.intp)
        gradient = slope.sum(axis=0, keepdims=True)
        self._optimizer.update(_BIASES, self._biases[np.newaxis], gradient, everywhere)

    def _sharpness(self, scores: Floats, y: Labels, costs: Floats) -> float:
        """Return the sharpness that fits the latest documents; if few, stay near the first one."""
        self._recent_scores = np.concatenate([self._recent_scores, scores])[-_N_RECENT:]
        self._recent_labels = np.concatenate([self._recent_labels, y])[-_N_RECENT:]
        self._recent_costs = np.concatenate([self._recent_costs, costs])[-_N_RECENT:]
        share = len(self._recent_labels) / _N_RECENT
        found = best_sharpness(self._recent_scores, self._recent_labels, self._recent_costs)
        return float(found**share * self._first_sharpness ** (1 - share))
