"""Train linear weights batch by batch."""

from __future__ import annotations

import copy

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, Index, Integers
from slugline.learning.calibration import AnyCalibration
from slugline.learning.heldout import HeldOutScores, RecentScores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.folds import HeldOutFit
from slugline.learning.linear.problem import (
    ABSENT_SCORE,
    INITIAL_BIAS,
    INITIAL_SQUARED_SUM,
    LinearProblem,
    default_passes,
    renormalize_rows,
    topic_batches,
)

# Assumed sum of squared gradients of a finished model's terms: their weights move less than the
# weights of new terms.
_SQUARED_SUM_OF_LEARNED = 3.0
# Number of topics trained at a time. Inserting columns copies the weights of this many topics.
_TOPICS_AT_A_TIME = 32


class LinearStream:
    """Weights and the state for training on the next batch.

    Parameters
    ----------
    weights : float32 CSR array, shape (n_columns, n_topics)
        Initial weights.
    biases : float32 array, shape (n_topics,)
    calibration : Calibration or TopicCalibration
    passes : int or None
        Passes over the rows of a batch; by default, depends on the number of rows.
    seed : int
        Determines the order of the rows.
    """

    def __init__(
        self,
        weights: sp.csr_array,
        biases: F32,
        calibration: AnyCalibration,
        *,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        self.biases, self.calibration = biases.copy(), calibration
        self._is_first, self._passes = False, passes
        self._rng = np.random.default_rng(seed)
        self._batches = topic_batches(len(biases), _TOPICS_AT_A_TIME)
        self._weights = [weights[:, topics].toarray() for topics in self._batches]
        n_columns = weights.shape[0]
        self._sums = [
            steps.initial_squared_sums(n_columns, _SQUARED_SUM_OF_LEARNED) for _ in self._batches
        ]
        self._totals = np.zeros(len(biases))
        # Number of training rows so far; unknown, and taken as infinite, for a finished model.
        self._n_learned = np.inf
        self.recent = RecentScores.empty(len(biases), multilabel=calibration.multilabel)
        #: Scores of the latest batch before training on it.
        self.heldout: HeldOutScores | None = None

    @classmethod
    def empty(
        cls,
        n_columns: int,
        n_topics: int,
        *,
        multilabel: bool = False,
        passes: int | None = None,
        seed: int = 0,
    ) -> LinearStream:
        """Return an untrained stream."""
        weights = sp.csr_array((n_columns, n_topics), dtype=np.float32)
        biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        recent = RecentScores.empty(n_topics, multilabel=multilabel, is_first=True)
        stream = cls(weights, biases, recent.fit(), passes=passes, seed=seed)
        stream.recent = recent
        stream._is_first, stream._n_learned = True, 0
        for sums in stream._sums:
            sums.fill(INITIAL_SQUARED_SUM)
        return stream

    @property
    def n_columns(self) -> int:
        """Number of columns."""
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

    def sparse_weights(self) -> sp.csr_array:
        """Return the weights without negligible ones; see `slugline.learning.linear.steps`."""
        threshold = steps.drop_threshold(self.n_columns * len(self.biases))
        parts = [steps.sparsify(weights, threshold) for weights in self._weights]
        return sp.hstack(parts, format="csr")

    def copy(self) -> LinearStream:
        """Return a copy for further training that shares the weights."""
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
            The new position of each column.
        n_columns : int
        """
        for number, (weights, sums) in enumerate(zip(self._weights, self._sums, strict=True)):
            wider = np.zeros((n_columns, weights.shape[1]), dtype=np.float32)
            wider[moved] = weights
            wider_sums = steps.initial_squared_sums(n_columns, INITIAL_SQUARED_SUM)
            wider_sums[moved], wider_sums[-1] = sums[:-1], sums[-1]
            self._weights[number], self._sums[number] = wider, wider_sums

    def learn(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Train on the rows of a batch.

        After an error or interrupt, the affected weights are restored from a copy.
        """
        problem = LinearProblem.from_rows(X, labels, context, self._batches)
        columns = np.unique(X.indices)
        before = [weights[columns] for weights in self._weights]
        try:
            self._learn(X, problem)
        except BaseException:
            for weights, values in zip(self._weights, before, strict=True):
                weights[columns] = values
            raise

    def _learn(self, X: sp.csr_array, problem: LinearProblem) -> None:
        rows = np.flatnonzero(problem.costs > 0)
        heldout = self._score_before_learning(X, problem, rows)
        self._totals += problem.totals(rows)
        # Topics that occur for the first time start from the initial bias.
        self.biases[(self.biases < ABSENT_SCORE / 2) & (self._totals > 0)] = INITIAL_BIAS
        costs = problem.sample_costs(self._totals)
        n_passes = self._passes or default_passes(len(rows))
        minibatches = steps.Minibatches(X, rows, self._rng, n_passes)
        rates = np.full(1, problem.learning_rate(len(rows)), dtype=np.float32)
        descents = {
            topics.start: steps.AdaGradDescent(
                topics, weights, self.biases[topics], sums, costs, rates
            )
            for topics, weights, sums in zip(self._batches, self._weights, self._sums, strict=True)
        }
        problem.map_batches(lambda topics: descents[topics.start].run(minibatches))
        if self._is_first:
            self.biases[self._totals == 0] = ABSENT_SCORE
        self._calibrate(problem, heldout)
        self.heldout = heldout
        self._is_first = False
        self._n_learned += len(rows)

    def _score_before_learning(
        self, X: sp.csr_array, problem: LinearProblem, rows: Index
    ) -> HeldOutScores:
        """Return scores of the batch from weights that were not trained on it.

        If the batch has more rows than all earlier ones, weights trained on one part of it score
        the other part.
        """
        if len(rows) > self._n_learned:
            return HeldOutFit.from_rows(problem, rows, rows, self._passes).score()
        rows = problem.calibration_rows(rows, self.biases > ABSENT_SCORE / 2)
        known_columns = np.bincount(X.indices, minlength=X.shape[1]) > 1
        for sums in self._sums:
            known_columns |= sums[:-1] > INITIAL_SQUARED_SUM
        renormalized = renormalize_rows(X[rows], known_columns)
        return HeldOutScores(rows, self.decision_function(renormalized))

    def _calibrate(self, problem: LinearProblem, heldout: HeldOutScores) -> None:
        labels, costs = problem.labels.take(heldout.rows), problem.costs[heldout.rows]
        self.recent, self.calibration = self.recent.update(
            heldout.scores, labels, costs, self.calibration
        )
