"""How a linear learner descends: minibatches, steps, and what each row has put into its own scores.

One topic against all others, with squared hinge loss: the same for documents all at once and for
batch after batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = ["Costs", "Descent", "Minibatch", "Minibatches", "topic_rarity"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

# Chosen by cross-validation on training splits. A penalty on large weights did not help: passes are
# few, and steps shrink.
_ROWS_PER_STEP = 64
# A topic rarer than the mean one counts more, by this power of how much rarer it is: 0 would leave
# rare topics unheard, 1 would call them up in every doubtful case.
_RARITY_POWER = 0.75


class Minibatch:
    """Some rows, of which only the columns that they name are stored.

    Attributes
    ----------
    rows : int array, shape (n_rows,)
        Which rows they are.
    columns : int array, shape (n_named,)
        In ascending order.
    X : float32 CSR array, shape (n_rows, n_named)
    """

    __slots__ = ("X", "columns", "rows")

    def __init__(
        self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], X: sp.csr_array
    ) -> None:
        self.rows, self.columns, self.X = rows, columns, X


class Minibatches:
    """Rows in an order that the seed determines, cut into minibatches.

    Each pass takes the same minibatches: what they name is looked up once.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    rows : int array
        Those of the rows to go through.
    rng : numpy.random.Generator
    """

    def __init__(
        self, X: sp.csr_array, rows: npt.NDArray[np.intp], rng: np.random.Generator
    ) -> None:
        self._order = rng.permutation(rows)
        self._rng = rng
        self._parts = list(self._cut(X))

    def passes(self, n_passes: int) -> list[list[Minibatch]]:
        """Return the minibatches of each pass, in an order of its own."""
        orders = [self._rng.permutation(len(self._parts)) for _ in range(n_passes)]
        return [[self._parts[number] for number in order] for order in orders]

    def _cut(self, X: sp.csr_array) -> Iterator[Minibatch]:
        named = np.zeros(X.shape[1], dtype=bool)
        number = np.empty(X.shape[1], dtype=np.int32)
        for first in range(0, len(self._order), _ROWS_PER_STEP):
            rows = self._order[first : first + _ROWS_PER_STEP]
            part = X[rows]
            named[part.indices] = True
            columns = np.flatnonzero(named)
            named[columns] = False
            number[columns] = np.arange(len(columns), dtype=np.int32)
            shape = (len(rows), len(columns))
            local = sp.csr_array((part.data, number[part.indices], part.indptr), shape=shape)
            yield Minibatch(rows, columns, local)


@dataclass(frozen=True)
class Costs:
    """What errors on rows cost.

    Attributes
    ----------
    y : int array, shape (n_rows,)
        The topic of each row.
    others : float32 array, shape (n_rows,)
        Cost of a score for a topic that a row does not have.
    own : float32 array, shape (n_rows,)
        Cost of the score for its own topic.
    """

    y: Labels
    others: Floats
    own: Floats


class Descent:
    """Weights of some neighbouring topics on their way down.

    Steps shrink for each term as its gradients add up. Topics are learned one against all others,
    so that those of one descent need nothing of another's.

    Parameters
    ----------
    topics : slice
        Which topics they are.
    weights : float32 array, shape (n_columns, n_topics)
        Changed in place, as all of these.
    biases : float32 array, shape (n_topics,)
    sums : float32 array, shape (n_columns + 1,)
        Sum of squared gradients of each term, and last of the biases.
    learning_rate : float

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning and stochastic
    optimization; here with one sum per term instead of one per weight.
    """

    def __init__(
        self, topics: slice, weights: Floats, biases: Floats, sums: Floats, learning_rate: float
    ) -> None:
        self.topics, self.weights, self.biases, self.sums = topics, weights, biases, sums
        self._learning_rate = np.float32(learning_rate)

    def run(self, passes: Sequence[Sequence[Minibatch]], costs: Costs) -> tuple[Floats, Floats]:
        """Go through the rows, pass after pass.

        Returns
        -------
        before : float32 array, shape (n_rows, n_topics)
            Scores of each row before anything was learned from it.
        own : float32 array, shape (n_rows, n_topics)
            By how much all steps moved each row's scores on account of the row itself. (The biases,
            which all rows make together, are left aside.)
        """
        shape = (len(costs.y), len(self.biases))
        before, own = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        for number, batches in enumerate(passes):
            for batch in batches:
                scores, moved = self._step(batch, costs)
                own[batch.rows] += moved
                if number == 0:
                    before[batch.rows] = scores
        return before, own

    def _step(self, batch: Minibatch, costs: Costs) -> tuple[Floats, Floats]:
        """Take one step downhill; return scores from before, and each row's part in the move."""
        weights = self.weights[batch.columns]
        scores: Floats = batch.X @ weights
        scores += self.biases
        slope = self._slope(scores, batch.rows, costs)
        gradient = batch.X.T @ slope
        rates = self._rates(batch.columns, gradient)
        squared = sp.csr_array((batch.X.data**2, batch.X.indices, batch.X.indptr), batch.X.shape)
        moved = (squared @ -rates)[:, np.newaxis] * slope
        gradient *= rates[:, np.newaxis]
        weights -= gradient
        self.weights[batch.columns] = weights
        # The biases are the weights of a term that every document has.
        common = slope.sum(axis=0, keepdims=True)
        self.biases -= self._rates(np.array([-1]), common) * common[0]
        return scores, moved

    def _rates(self, columns: npt.NDArray[np.intp], gradient: Floats) -> Floats:
        sums = self.sums[columns]
        sums += np.einsum("ij,ij->i", gradient, gradient) / np.float32(gradient.shape[1])
        self.sums[columns] = sums
        return self._learning_rate / np.sqrt(sums)

    def _slope(self, scores: Floats, rows: npt.NDArray[np.intp], costs: Costs) -> Floats:
        """Return the derivative of the loss with respect to each score."""
        y = costs.y[rows]
        here = np.flatnonzero((y >= self.topics.start) & (y < self.topics.stop))
        own = here, y[here] - self.topics.start
        slope = np.maximum(1 + scores, 0)
        slope *= costs.others[rows, np.newaxis]
        slope[own] = -np.maximum(1 - scores[own], 0) * costs.own[rows[here]]
        slope *= np.float32(2)
        return slope


def topic_rarity(totals: npt.NDArray[np.number]) -> Floats:
    """Return what each topic's documents count, at least 1; shape (n_topics,).

    Parameters
    ----------
    totals : array, shape (n_topics,)
        How many rows each topic has, or what they cost together.
    """
    mean = totals.sum() / np.count_nonzero(totals)
    rarer = mean / np.where(totals > 0, np.minimum(totals, mean), mean)
    return (rarer**_RARITY_POWER).astype(np.float32)
