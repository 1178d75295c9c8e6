"""Linear weights from one batch of documents after another."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Index, Integers
from slugline.learning.calibration import Calibration, fit_calibration
from slugline.learning.learner import FitContext
from slugline.learning.linear.fit import (
    ABSENT_SCORE,
    DEFAULT_CALIBRATION,
    INITIAL_BIAS,
    INITIAL_SQUARED_SUM,
    MAX_SCORES,
    HeldOutScores,
    LinearProblem,
    default_passes,
    learning_rate,
    renormalize_rows,
    score_heldout_rows,
    topic_batches,
)
from slugline.learning.linear.steps import AdaGradDescent, Minibatches, initial_squared_sums
from slugline.learning.linear.weights import drop_threshold, hstack_topics, sparsify

__all__ = [
    "LinearStream",
]

# Sum of squared gradients of a term that has been learned before: its weights move less than those
# of a fresh one.
_SUM_OF_LEARNED = 3.0
# Topics that are learned at a time: while room is made for new columns, this many take it twice.
_TOPICS_AT_A_TIME = 32
# Probabilities move away from what they were before as the rows become this many.
_ENOUGH_ROWS = 50
# They are calibrated again when this share of the latest rows is new, which takes longer than to
# learn from a few rows.
_NEWS = 0.02


class LinearStream:
    """Weights, and what is kept from batch to batch to learn on.

    Parameters
    ----------
    weights : float32 CSR array, shape (n_columns, n_topics)
        What was learned before.
    biases : float32 array, shape (n_topics,)
        Likewise.
    calibration : Calibration
        Likewise.
    passes : int or None
        Passes over the rows of a batch; by default, their number decides.
    seed : int
        Determines the order of the rows.

    Attributes
    ----------
    biases : float32 array, shape (n_topics,)
    calibration : Calibration
    """

    def __init__(
        self,
        weights: sp.csr_array,
        biases: F32,
        calibration: Calibration,
        *,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        self.biases, self.calibration = biases.copy(), calibration
        self._is_first, self._passes = False, passes
        self._rng = np.random.default_rng(seed)
        self._blocks = topic_batches(len(biases), _TOPICS_AT_A_TIME)
        self._weights = [weights[:, topics].toarray() for topics in self._blocks]
        self._sums = [initial_squared_sums(weights.shape[0], _SUM_OF_LEARNED) for _ in self._blocks]
        self._totals = np.zeros(len(biases))
        # Of weights from elsewhere, it isn't known.
        self._n_learned = np.inf
        self._recent, self._n_new = _Recent.of_nothing(len(biases)), 0

    @classmethod
    def of_nothing(
        cls, n_columns: int, n_topics: int, *, passes: int | None = None, seed: int = 0
    ) -> LinearStream:
        """Return a stream that has learned nothing yet."""
        weights = sp.csr_array((n_columns, n_topics), dtype=np.float32)
        biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        stream = cls(weights, biases, DEFAULT_CALIBRATION, passes=passes, seed=seed)
        stream._is_first, stream._n_learned = True, 0
        stream._sums = [
            initial_squared_sums(n_columns, INITIAL_SQUARED_SUM) for _ in stream._blocks
        ]
        return stream

    @property
    def n_columns(self) -> int:
        """Number of columns of a row."""
        return len(self._weights[0])

    def decision_function(self, X: sp.csr_array) -> F32:
        """Return scores, shape (n_rows, n_topics)."""
        scores: F32 = np.concatenate([X @ weights for weights in self._weights], axis=1)
        scores += self.biases
        return scores

    def weights_of(self, columns: Integers) -> F64:
        """Return the weights of some columns, shape (n_chosen, n_topics)."""
        chosen = [weights[columns] for weights in self._weights]
        return np.concatenate(chosen, axis=1, dtype=np.float64)

    def slim_weights(self) -> sp.csr_array:
        """Return the weights that matter; see `slugline.learning.linear.weights.sparsify`."""
        share = drop_threshold(self.n_columns * len(self.biases))
        return hstack_topics([sparsify(weights, share) for weights in self._weights])

    def settle(self, n_columns: int, moved: Index | None) -> sp.csr_array:
        """Return the weights that matter, and keep none: nothing more can be learned.

        Parameters
        ----------
        n_columns : int
            Number of columns to return weights of.
        moved : int array, shape (n_columns,), or None
            Where these columns are, if others have come to stand among them.
        """
        share, parts = drop_threshold(n_columns * len(self.biases)), []
        while self._weights:
            weights = self._weights.pop(0)
            if moved is not None and len(weights) != n_columns:
                weights = weights[moved]
            parts.append(sparsify(weights, share))
        return hstack_topics(parts)

    def copy(self) -> LinearStream:
        """Return the same, to learn on; only the weights are still those of both."""
        twin = copy.copy(self)
        twin._weights = list(self._weights)
        for name in ("biases", "_sums", "_totals", "_rng"):
            setattr(twin, name, copy.deepcopy(getattr(self, name)))
        return twin

    def widen(self, moved: Index, n_columns: int) -> None:
        """Make room for new columns.

        Parameters
        ----------
        moved : int array, shape (n_columns_before,)
            Where each column is now.
        n_columns : int
        """
        for number, (weights, sums) in enumerate(zip(self._weights, self._sums, strict=True)):
            wider = np.zeros((n_columns, weights.shape[1]), dtype=np.float32)
            wider[moved] = weights
            self._weights[number] = wider
            self._sums[number] = initial_squared_sums(n_columns, INITIAL_SQUARED_SUM)
            self._sums[number][moved], self._sums[number][-1] = sums[:-1], sums[-1]

    def learn(self, X: sp.csr_array, y: I64, context: FitContext, *, undo: bool = True) -> None:
        """Go through the rows of a batch a few times.

        Parameters
        ----------
        undo : bool, default True
            Leave the weights as they were if this fails or is interrupted, for which a copy of
            those that may change is kept meanwhile.
        """
        if not undo:
            self._learn(LinearProblem.of(X, y, context, self._blocks))
            return
        named = np.unique(X.indices)
        before = [weights[named] for weights in self._weights]
        try:
            self._learn(LinearProblem.of(X, y, context, self._blocks))
        except BaseException:
            for weights, some in zip(self._weights, before, strict=True):
                weights[named] = some
            raise

    def _learn(self, problem: LinearProblem) -> None:
        told = np.flatnonzero(problem.costs > 0)
        left_out = self._left_out(problem, told)
        self._totals += problem.totals(told)
        # Topics that have not occurred before.
        self.biases[(self.biases < ABSENT_SCORE / 2) & (self._totals > 0)] = INITIAL_BIAS
        costs = problem.weighed(self._totals)
        n_passes = self._passes or default_passes(len(told))
        batches = Minibatches(problem.X, told, self._rng, n_passes)
        rates = np.full(self.n_columns + 1, learning_rate(len(told)), dtype=np.float32)
        descents = [
            AdaGradDescent(topics, weights, self.biases[topics], sums, costs, rates)
            for topics, weights, sums in zip(self._blocks, self._weights, self._sums, strict=True)
        ]
        by_topic = {descent.topics.start: descent for descent in descents}
        problem.each_block(lambda topics: by_topic[topics.start].run(batches))
        if self._is_first:
            self.biases[self._totals == 0] = ABSENT_SCORE
        self._calibrate(problem, left_out)
        self._is_first = False
        self._n_learned += len(told)

    def _left_out(self, problem: LinearProblem, told: Index) -> HeldOutScores:
        """Return scores of the latest rows by what was learned before.

        Where that is less than they are themselves, by what is learned of a part of them instead.
        """
        if len(told) > self._n_learned:
            return score_heldout_rows(problem, told, told, self._passes)
        rows = problem.watched(told, self.biases > ABSENT_SCORE / 2)
        X = problem.X
        known = np.bincount(X.indices, minlength=X.shape[1]) > 1
        for sums in self._sums:
            known |= sums[:-1] > INITIAL_SQUARED_SUM
        return HeldOutScores(rows, self.decision_function(renormalize_rows(X[rows], known)))

    def _calibrate(self, problem: LinearProblem, left_out: HeldOutScores) -> None:
        rows = left_out.rows
        self._recent = self._recent.then(left_out.scores, problem.y[rows], problem.costs[rows])
        self._n_new += len(rows)
        if self._n_new > _NEWS * len(self._recent.y):
            self.calibration, self._n_new = self._recent.calibration(self.calibration), 0


@dataclass(frozen=True)
class _Recent:
    """Scores of rows that were not learned from, the latest ones."""

    scores: F32
    y: I64
    costs: F32

    @classmethod
    def of_nothing(cls, n_topics: int) -> _Recent:
        none = np.zeros(0, dtype=np.float32)
        return cls(np.zeros((0, n_topics), dtype=np.float32), np.zeros(0, dtype=np.int64), none)

    def then(self, scores: F32, y: I64, costs: F32) -> _Recent:
        """Return these and more, but of the latest ones only as many as are worth keeping."""
        latest = slice(-max(1, MAX_SCORES // scores.shape[1]), None)
        return _Recent(
            np.concatenate([self.scores, scores])[latest],
            np.concatenate([self.y, y])[latest],
            np.concatenate([self.costs, costs])[latest],
        )

    def calibration(self, before: Calibration) -> Calibration:
        """Return what fits them; if they are few, it stays near the one before."""
        share = min(1.0, len(self.y) / _ENOUGH_ROWS)
        found = fit_calibration(self.scores, self.y, self.costs)
        return Calibration(
            float(found.inverse_temperature**share * before.inverse_temperature ** (1 - share)),
            share * found.uniform_weight + (1 - share) * before.uniform_weight,
            share * found.high_temperature_weight + (1 - share) * before.high_temperature_weight,
        )
