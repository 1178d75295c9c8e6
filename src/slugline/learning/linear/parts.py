"""Learns linear weights from rows that don't fit into memory, part by part.

Between parts, weights are stored in half precision without negligible ones. They are dense only
while a part is learned from, and only for its columns.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I32, Index, Mask
from slugline.base.memory import release_memory
from slugline.learning.heldout import HeldOutScores, RecentScores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.folds import HeldOutFit
from slugline.learning.linear.half_weights import MAX_TOPICS, HalfWeights
from slugline.learning.linear.heldout_rows import renormalize_rows
from slugline.learning.linear.problem import (
    ABSENT_SCORE,
    INITIAL_BIAS,
    INITIAL_SQUARED_SUM,
    LinearProblem,
    topic_batches,
)
from slugline.text.sparse import narrow_offsets, ranges, row_offsets, row_slices

# Weights below this fraction of the root mean square of a part's weights are not stored. Chosen by
# cross-validation on training splits that were learned in 20 parts: with 0.5, up to 1.0 points of
# accuracy are lost.
_STORED = 0.25
# Those that are stored have a larger root mean square. With this factor of `steps.drop_threshold`,
# as many are kept in the end as if all were stored, with the same accuracy in cross-validation.
_FINAL = 0.45


class PartWeights:
    """The weights of all topics, while they are learned from parts of the rows.

    Parameters
    ----------
    n_columns, n_topics : int

    Attributes
    ----------
    biases : float32 array, shape (n_topics,)
    batches : list of slice
        The topics that are learned together.
    weights : list of HalfWeights
        The weights of each batch.
    sums : list of float32 array, shape (n_columns + 1,)
        Of each batch, the sum of squared gradients of each term, followed by that of the biases.
    """

    def __init__(self, n_columns: int, n_topics: int) -> None:
        self.biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        self.batches = topic_batches(n_topics, MAX_TOPICS)
        self.weights = [HalfWeights(batch.stop - batch.start) for batch in self.batches]
        self.sums = [steps.initial_squared_sums(0, INITIAL_SQUARED_SUM) for _ in self.batches]
        # Columns are numbered in the order in which `widen` adds them: the number of each.
        self._numbers: I32 = np.zeros(0, dtype=np.int32)
        self.widen(np.zeros(0, dtype=np.int64), n_columns)

    def widen(self, moved: Index, n_columns: int) -> None:
        """Make room for new columns.

        Parameters
        ----------
        moved : int array, shape (n_columns_before,)
            The new position of each column.
        n_columns : int
        """
        numbers = np.empty(n_columns, dtype=np.int32)
        is_new = np.ones(n_columns, dtype=bool)
        is_new[moved] = False
        numbers[moved], n_before = self._numbers, len(self._numbers)
        numbers[is_new] = np.arange(n_before, n_columns, dtype=np.int32)
        self._numbers = numbers
        for number, weights in enumerate(self.weights):
            weights.append_rows(n_columns - n_before)
            self.sums[number] = steps.widen_squared_sums(
                self.sums[number], slice(n_before), n_columns, INITIAL_SQUARED_SUM
            )

    def take_columns(self, X: sp.csr_array) -> tuple[sp.csr_array, I32]:
        """Return rows with only the columns that have entries, and the numbers of these columns.

        The numbers of columns in `X` are overwritten.
        """
        is_present = np.zeros(len(self._numbers), dtype=bool)
        for part in row_slices(X.indptr):
            entries = slice(X.indptr[part.start], X.indptr[part.stop])
            is_present[self._numbers[X.indices[entries]]] = True
        numbers = np.flatnonzero(is_present).astype(np.int32)
        places = np.cumsum(is_present, dtype=np.int32)[self._numbers] - np.int32(1)
        for part in row_slices(X.indptr):
            entries = slice(X.indptr[part.start], X.indptr[part.stop])
            X.indices[entries] = places[X.indices[entries]]
        arrays = X.data, X.indices, X.indptr
        return sp.csr_array(arrays, shape=(X.shape[0], len(numbers))), numbers

    def score(self, X: sp.csr_array, numbers: I32) -> F32:
        """Return the scores of rows whose columns have these numbers, shape (n_rows, n_topics)."""
        scores = np.concatenate([X @ weights.take(numbers) for weights in self.weights], axis=1)
        return np.asarray(scores + self.biases)

    def is_learned(self, numbers: I32) -> Mask:
        """Return a mask of the columns, given their numbers, whose weights have been moved."""
        is_learned: Mask = np.zeros(len(numbers), dtype=bool)
        for sums in self.sums:
            is_learned |= sums[numbers] > INITIAL_SQUARED_SUM
        return is_learned

    def learn(
        self,
        problem: LinearProblem,
        numbers: I32,
        totals: F64,
        minibatches: steps.Minibatches,
        X_scored: sp.csr_array | None = None,
    ) -> F32:
        """Learn from the rows of a part.

        Parameters
        ----------
        problem : LinearProblem
            With the rows, and the batches of these weights.
        numbers : int32 array
            The numbers of the rows' columns, from `take_columns`.
        totals : float64 array, shape (n_topics,)
            The total cost of each topic's rows, in this part and others; ignored if the user has
            given weights to topics.
        minibatches : Minibatches
            Of the rows to learn from.
        X_scored : float32 CSR array, optional
            Rows to score before that, by weights alone.

        Returns
        -------
        float32 array, shape (n_scored, n_topics)
        """
        costs = problem.sample_costs(totals)
        rates = np.full(1, problem.learning_rate(minibatches.n_in_all), dtype=np.float32)
        indices = {batch.start: index for index, batch in enumerate(self.batches)}
        places = np.append(numbers, -1)

        def learn_topics(topics: slice) -> F32:
            """Learn the weights of a batch of topics; return scores from before."""
            index = indices[topics.start]
            weights, sums = self.weights[index].take(numbers), self.sums[index][places]
            n_topics = topics.stop - topics.start
            scores = np.zeros((0, n_topics), np.float32) if X_scored is None else X_scored @ weights
            steps.AdaGradDescent(topics, weights, self.biases[topics], sums, costs, rates).run(
                minibatches
            )
            self.weights[index].put(numbers, weights, _STORED)
            self.sums[index][places] = sums
            return scores

        return np.concatenate(problem.map_batches(learn_topics), axis=1)

    def pop_weights(self, n_columns: int, moved: Index | None) -> sp.csr_array:
        """Return the weights without negligible ones, and free the state; learning can't continue.

        Parameters
        ----------
        n_columns : int
            Number of columns to return weights of.
        moved : int array, shape (n_columns,), or None
            The positions of these columns, if others have been inserted among them.
        """
        release_memory()
        numbers = self._numbers
        if moved is not None and len(numbers) != n_columns:
            numbers = numbers[moved]
        columns = np.full(len(self._numbers), -1)
        columns[numbers] = np.arange(n_columns)
        threshold = _FINAL * steps.drop_threshold(n_columns * len(self.biases))
        lengths = np.zeros(n_columns, dtype=np.int64)
        for weights in self.weights:
            weights.drop_small(threshold)
            lengths += weights.row_lengths()[numbers]
        indptr = narrow_offsets(row_offsets(lengths))
        topics, values = (np.empty(indptr[-1], dtype=dtype) for dtype in (np.int32, np.float32))
        ends = indptr[:-1].copy()
        for batch in self.batches:
            for rows, counts, row_topics, row_values in self.weights.pop(0).pop_blocks():
                has_column = columns[rows] >= 0
                is_wanted = has_column.repeat(counts)
                owners, counts = columns[rows][has_column], counts[has_column]
                places = ranges(ends[owners], counts)
                topics[places] = row_topics[is_wanted] + batch.start
                values[places] = row_values[is_wanted]
                ends[owners] += counts
        return sp.csr_array((values, topics, indptr), shape=(n_columns, len(self.biases)))


class LinearParts:
    """Weights that are learned from parts of the rows, once each, and their calibration.

    Parameters
    ----------
    n_columns, n_topics : int
    multilabel : bool
    passes : int
        Passes over the rows of a part.
    seed : int
        Determines the order of the rows.

    Attributes
    ----------
    calibration : Calibration or TopicCalibration
    recent : RecentScores
    """

    def __init__(
        self, n_columns: int, n_topics: int, *, multilabel: bool, passes: int = 1, seed: int = 0
    ) -> None:
        self.recent = RecentScores.empty(n_topics, multilabel=multilabel, is_first=True)
        self.calibration = self.recent.fit()
        self._passes, self._rng = passes, np.random.default_rng(seed)
        self._weights = PartWeights(n_columns, n_topics)
        self._totals, self._n_learned = np.zeros(n_topics), 0

    @property
    def biases(self) -> F32:
        """The bias of each topic, shape (n_topics,)."""
        return self._weights.biases

    def widen(self, moved: Index, n_columns: int) -> None:
        """Make room for new columns; see `PartWeights.widen`."""
        self._weights.widen(moved, n_columns)

    def pop_weights(self, n_columns: int, moved: Index | None) -> sp.csr_array:
        """Return the weights, and free the state; see `PartWeights.pop_weights`."""
        return self._weights.pop_weights(n_columns, moved)

    def learn(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Learn from the rows of a part; the numbers of columns in `X` are overwritten."""
        learned = self._weights
        X, numbers = learned.take_columns(X)
        release_memory()
        problem = LinearProblem.from_rows(X, labels, context, learned.batches)
        rows = np.flatnonzero(problem.costs > 0)
        biases, heldout_rows = learned.biases.copy(), rows[:0]
        heldout = None
        if len(rows) > self._n_learned:
            heldout = HeldOutFit.from_rows(problem, rows, rows, self._passes).score()
        else:
            is_known = biases > ABSENT_SCORE / 2
            heldout_rows = problem.calibration_rows(rows, is_known)
        # That several rows or earlier parts have.
        known_columns = (np.bincount(X.indices, minlength=X.shape[1]) > 1) | (
            learned.is_learned(numbers)
        )
        X_heldout = renormalize_rows(X[heldout_rows], known_columns)
        self._totals += problem.totals(rows)
        # Topics that occur for the first time.
        is_new = (biases < ABSENT_SCORE / 2) & (self._totals > 0)
        learned.biases[is_new] = INITIAL_BIAS
        minibatches = steps.Minibatches(X, rows, self._rng, self._passes)
        scores = learned.learn(problem, numbers, self._totals, minibatches, X_heldout)
        if heldout is None:
            heldout = HeldOutScores(heldout_rows, scores + biases)
        if not self._n_learned:
            learned.biases[self._totals == 0] = ABSENT_SCORE
        heldout_labels = problem.labels.take(heldout.rows)
        self.recent, self.calibration = self.recent.update(
            heldout.scores, heldout_labels, problem.costs[heldout.rows], self.calibration
        )
        self._n_learned += len(rows)
