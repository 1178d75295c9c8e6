"""Linear weights during training on parts of the rows.

Between parts, weights are stored in half precision without negligible ones. They are dense only
during training on a part, and only for its columns.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I32, Mask
from slugline.base.checks import release_memory
from slugline.learning.linear import steps
from slugline.learning.linear.half_weights import MAX_TOPICS, HalfWeights
from slugline.learning.linear.problem import (
    INITIAL_BIAS,
    INITIAL_SQUARED_SUM,
    LinearProblem,
    topic_batches,
)
from slugline.text.sparse import narrow_offsets, ranges, row_offsets, row_slices

# Weights below this fraction of the root mean square of a part's weights are not stored. Chosen by
# cross-validation on training splits in 20 parts: 0.5 loses up to 1.0 points of accuracy.
_STORED = 0.25
# The stored weights have a larger root mean square. This factor on `steps.drop_threshold` keeps as
# many weights in the end as if all were stored, with the same cross-validated accuracy.
_FINAL = 0.45


class PartWeights:
    """The weights of all topics during training on parts of the rows.

    Parameters
    ----------
    n_columns, n_topics : int

    Attributes
    ----------
    biases : float32 array, shape (n_topics,)
    batches : list of slice
        The topics trained together.
    weights : list of HalfWeights
        The weights of each batch.
    sums : list of float32 array, shape (n_columns + 1,)
        For each batch, the sum of squared gradients of each term, then of the biases.
    """

    def __init__(self, n_columns: int, n_topics: int) -> None:
        self.biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        self.batches = topic_batches(n_topics, MAX_TOPICS)
        self._n_columns = n_columns
        self.weights = [HalfWeights(n_columns, batch.stop - batch.start) for batch in self.batches]
        self.sums = [
            steps.initial_squared_sums(n_columns, INITIAL_SQUARED_SUM) for _ in self.batches
        ]

    def take_columns(self, X: sp.csr_array) -> tuple[sp.csr_array, I32]:
        """Return the rows without empty columns, and the indices of the remaining columns.

        The column indices of `X` are overwritten.
        """
        is_present = np.zeros(self._n_columns, dtype=bool)
        is_present[X.indices] = True
        columns = np.flatnonzero(is_present).astype(np.int32)
        places = np.cumsum(is_present, dtype=np.int32) - np.int32(1)
        for part in row_slices(X.indptr):  # no copy of all indices
            entries = slice(X.indptr[part.start], X.indptr[part.stop])
            X.indices[entries] = places[X.indices[entries]]
        arrays = X.data, X.indices, X.indptr
        return sp.csr_array(arrays, shape=(X.shape[0], len(columns))), columns

    def score(self, X: sp.csr_array, columns: I32) -> F32:
        """Return the scores of rows with only these columns, shape (n_rows, n_topics)."""
        scores = np.concatenate([X @ weights.take(columns) for weights in self.weights], axis=1)
        return np.asarray(scores + self.biases)

    def is_learned(self, columns: I32) -> Mask:
        """Return a mask of the given columns whose weights have changed."""
        is_learned: Mask = np.zeros(len(columns), dtype=bool)
        for sums in self.sums:
            is_learned |= sums[columns] > INITIAL_SQUARED_SUM
        return is_learned

    def learn(
        self, problem: LinearProblem, columns: I32, totals: F64, minibatches: steps.Minibatches
    ) -> None:
        """Train on the rows of a part.

        Parameters
        ----------
        problem : LinearProblem
            Problem with the rows, and the batches of these weights.
        columns : int32 array
            The rows' columns, from `take_columns`.
        totals : float64 array, shape (n_topics,)
            The total cost of each topic's rows in all parts; ignored if the user gave topic
            weights.
        minibatches : Minibatches
            Minibatches of the training rows.
        """
        costs = problem.sample_costs(totals)
        rates = np.full(1, problem.learning_rate(minibatches.n_in_all), dtype=np.float32)
        indices = {batch.start: index for index, batch in enumerate(self.batches)}
        places = np.append(columns, -1)

        def learn_topics(topics: slice) -> None:
            index = indices[topics.start]
            weights, sums = self.weights[index].take(columns), self.sums[index][places]
            steps.AdaGradDescent(topics, weights, self.biases[topics], sums, costs, rates).run(
                minibatches
            )
            self.weights[index].put(columns, weights, _STORED)
            self.sums[index][places] = sums

        problem.map_batches(learn_topics)

    def pop_weights(self) -> sp.csr_array:
        """Return the weights without negligible ones, and free the state; this ends training.

        Returns
        -------
        float32 CSR array, shape (n_columns, n_topics)
        """
        release_memory()
        n_columns = self._n_columns
        threshold = _FINAL * steps.drop_threshold(n_columns * len(self.biases))
        lengths = np.zeros(n_columns, dtype=np.int64)
        for weights in self.weights:
            weights.drop_small(threshold)
            lengths += weights.row_lengths()
        indptr = narrow_offsets(row_offsets(lengths))
        topics, values = (np.empty(indptr[-1], dtype=dtype) for dtype in (np.int32, np.float32))
        ends = indptr[:-1].copy()
        for batch in self.batches:
            for rows, counts, row_topics, row_values in self.weights.pop(0).pop_blocks():
                places = ranges(ends[rows], counts)
                topics[places] = row_topics + batch.start
                values[places] = row_values
                ends[rows] += counts
        return sp.csr_array((values, topics, indptr), shape=(n_columns, len(self.biases)))
