"""How a linear learner descends: minibatches and steps.

One topic against all others, with squared hinge loss: the same for documents all at once and for
batch after batch. A compiled kernel, `_descent.c`, takes the steps where there is one, else NumPy:
the same, bit for bit, where SciPy rounds each product, as on x86-64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Integers
from slugline.text import sparse

__all__ = [
    "MANY_ROWS",
    "AdaGradDescent",
    "Minibatch",
    "Minibatches",
    "SampleCosts",
    "initial_squared_sums",
    "kernel",
    "learning_rates",
    "relevance",
    "relevance_from_counts",
    "term_rates",
    "topic_rarity",
]


try:
    from slugline.learning.linear import _descent as kernel
except ImportError:  # there was no compiler
    kernel = None  # type: ignore[assignment]


#: More rows than this are learned from in larger and shorter steps.
MANY_ROWS = 20_000

# Chosen by cross-validation on training splits. A penalty on large weights did not help: passes are
# few, and steps shrink.
_ROWS_PER_STEP, _MORE_ROWS_PER_STEP = 64, 128
# Minibatches that the kernel learns from at a time, for as long as which Ctrl-C waits.
_STEPS_AT_A_TIME = 256
# Minibatches of so many entries are kept from pass to pass: making one takes a quarter of a step.
_MOST_KEPT = 1 << 23
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

    def __init__(self, rows: Integers, columns: Integers, X: sp.csr_array) -> None:
        self.rows, self.columns, self.X = rows, columns, X


class Minibatches:
    """Rows in an order that the seed determines, cut into minibatches.

    Each pass takes the same minibatches: what they name is looked up once, which the kernel does
    without. Of many values no copy is kept, as that would take as much memory as all the rest.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    rows : int array
        Those of the rows to go through.
    rng : numpy.random.Generator
    n_passes : int
        How many passes there will be.
    """

    def __init__(
        self, X: sp.csr_array, rows: Integers, rng: np.random.Generator, n_passes: int
    ) -> None:
        self.X = X
        order = rng.permutation(rows).astype(np.int32)
        size = _ROWS_PER_STEP if len(order) <= MANY_ROWS else _MORE_ROWS_PER_STEP
        self._rows = [order[first : first + size] for first in range(0, len(order), size)]
        self._orders = [rng.permutation(len(self._rows)) for _ in range(n_passes)]
        if not _has_kernel():
            self._parts  # noqa: B018  made once, before there are threads
        self._kept: dict[int, Minibatch] | None = {} if X.nnz <= _MOST_KEPT else None

    def rows_of_passes(self, first: int, last: int | None) -> Iterator[tuple[int, list[Integers]]]:
        """Yield the rows of some minibatches at a time, and the pass, as `passes` does."""
        for number, order in enumerate(self._orders[first:last], first):
            for start in range(0, len(order), _STEPS_AT_A_TIME):
                some = order[start : start + _STEPS_AT_A_TIME]
                yield number, [self._rows[part] for part in some.tolist()]

    def passes(self, first: int, last: int | None) -> Iterator[tuple[int, Minibatch]]:
        """Yield the minibatches of the passes from `first` to before `last`, and the pass."""
        for number, order in enumerate(self._orders[first:last], first):
            for part in order.tolist():
                yield number, self._minibatch(part)

    def _minibatch(self, part: int) -> Minibatch:
        if self._kept is None:
            return self._made(*self._parts[part])
        if part not in self._kept:
            self._kept[part] = self._made(*self._parts[part])
        return self._kept[part]

    def _made(self, rows: Integers, columns: Integers, local: Integers) -> Minibatch:
        part = self.X[rows]
        shape = (len(rows), len(columns))
        X = sp.csr_array((part.data, local.astype(np.int32), part.indptr), shape=shape)
        return Minibatch(rows, columns, X)

    @cached_property
    def _parts(self) -> list[tuple[Integers, Integers, Integers]]:
        """Of each minibatch: rows, the columns they name, and which of these each value is of."""
        return list(self._cut())

    def _cut(self) -> Iterator[tuple[Integers, Integers, Integers]]:
        named = np.zeros(self.X.shape[1], dtype=bool)
        number = np.empty(self.X.shape[1], dtype=np.int32)
        for rows in self._rows:
            indices = self.X[rows].indices
            named[indices] = True
            columns = np.flatnonzero(named).astype(np.int32)
            named[columns] = False
            number[columns] = np.arange(len(columns), dtype=np.int32)
            local = number[indices].astype(np.min_scalar_type(len(columns)))
            yield rows, columns, local


@dataclass(frozen=True)
class SampleCosts:
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

    y: I64
    others: F32
    own: F32


class AdaGradDescent:
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
    costs : Costs
    rates : float32 array, shape (n_columns + 1,)
        Learning rate of each term, and last of the biases.

    Attributes
    ----------
    highest, right : float32 array, shape (n_rows,)
        Of every row, before anything was learned from it: its highest score, and that of its own
        topic; minus infinity where the topic is not one of these.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning and stochastic
    optimization; here with one sum per term instead of one per weight.
    """

    def __init__(
        self,
        topics: slice,
        weights: F32,
        biases: F32,
        sums: F32,
        costs: SampleCosts,
        rates: F32,
    ) -> None:
        self.topics, self.weights, self.biases, self.sums = topics, weights, biases, sums
        self._items = _as_items(weights)
        self._costs, self._learning_rates = costs, rates
        self.highest = np.full(len(costs.y), -np.inf, dtype=np.float32)
        self.right = self.highest.copy()

    def run(self, batches: Minibatches, first: int = 0, last: int | None = None) -> AdaGradDescent:
        """Go through the rows in each of the passes from `first` to before `last`; return this."""
        if _has_kernel():
            for number, parts in batches.rows_of_passes(first, last):
                self._steps(batches.X, parts, is_first=number == 0)
        else:
            for number, batch in batches.passes(first, last):
                self._step(batch, is_first=number == 0)
        return self

    def _steps(self, X: sp.csr_array, parts: list[Integers], *, is_first: bool) -> None:
        """Take the step of each minibatch in the kernel."""
        costs = self._costs
        rows, sizes = np.concatenate(parts), np.array(list(map(len, parts)), dtype=np.int64)
        kernel.descend(
            X.data,
            X.indices.astype(np.int32, copy=False),
            X.indptr.astype(np.int64, copy=False),
            costs.y,
            costs.others,
            costs.own,
            rows,
            sizes,
            self._learning_rates,
            self.weights,
            self.biases,
            self.sums,
            self.highest if is_first else None,
            self.right if is_first else None,
            self.topics.start,
        )

    def _step(self, batch: Minibatch, *, is_first: bool) -> None:
        """Take one step downhill."""
        weights = self.weights.take(batch.columns, axis=0)  # three times as fast as by []
        scores: F32 = batch.X @ weights
        scores += self.biases
        here = self._here(batch.rows)
        if is_first:
            self.highest[batch.rows] = scores.max(axis=1)
            self.right[batch.rows[here[0]]] = scores[here]
        slope = self._slope(scores, batch.rows, here)
        gradient: F32 = batch.X.T @ slope
        rates = self._rates(batch.columns, gradient)
        gradient *= rates[:, np.newaxis]
        weights -= gradient
        self._items.put(batch.columns, _as_items(weights))
        # The biases are the weights of a term that every document has.
        common = slope.sum(axis=0, keepdims=True)
        self.biases -= self._rates(np.array([-1]), common) * common[0]

    def _here(self, rows: Integers) -> tuple[Integers, Integers]:
        """Return which of the rows have one of these topics, and which one."""
        y = self._costs.y[rows]
        here = np.flatnonzero((y >= self.topics.start) & (y < self.topics.stop))
        return here, y[here] - self.topics.start

    def _rates(self, columns: Integers, gradient: F32) -> F32:
        sums: F32 = self.sums.take(columns)
        sums += np.square(gradient).sum(axis=1) / np.float32(gradient.shape[1])
        self.sums[columns] = sums
        rates: F32 = np.divide(self._learning_rates.take(columns), np.sqrt(sums), dtype=np.float32)
        return rates

    def _slope(self, scores: F32, rows: Integers, here: tuple[Integers, Integers]) -> F32:
        """Return the derivative of the loss with respect to each score."""
        slope = np.maximum(1 + scores, 0)
        slope *= self._costs.others[rows, np.newaxis]
        slope[here] = -np.maximum(1 - scores[here], 0) * self._costs.own[rows[here[0]]]
        slope *= np.float32(2)
        return slope


def _has_kernel() -> bool:
    return kernel is not None and sparse.kernels_enabled()


def _as_items(weights: F32) -> npt.NDArray[np.void]:
    """Return a view in which each row is one item, as which it is stored twice as fast."""
    return weights.view((np.void, weights.itemsize * weights.shape[1])).reshape(-1)


def initial_squared_sums(n_columns: int, start: float) -> F32:
    """Return the sum of squared gradients of each term, and last of the biases."""
    return np.full(n_columns + 1, start, dtype=np.float32)


def topic_rarity(totals: npt.NDArray[np.number]) -> F32:
    """Return what each topic's documents count, at least 1; shape (n_topics,).

    Parameters
    ----------
    totals : array, shape (n_topics,)
        How many rows each topic has, or what they cost together.
    """
    mean = totals.sum() / np.count_nonzero(totals)
    rarer = mean / np.where(totals > 0, np.minimum(totals, mean), mean)
    return (rarer**_RARITY_POWER).astype(np.float32)


# How freely the weights of each term move: the more, the more the term tells about topics ---------

# Chosen on parts of training splits.
# A term has been seen in so much of a document of each topic before it is seen in any: what few
# documents say of a term counts little.
_SEEN_BEFORE = 1 / 6
# Added to each term's relevance, as one that tells nothing alone may tell something with others.
# Half as much would be better by 0.2 points in the mean, but lose up to 2 on some sets.
_IRRELEVANT = 1.0


def relevance(X: sp.csr_array, y: I64, rows: Integers) -> F64:
    """Return how far the topics of a term's documents are from those of all; shape (n_columns,).

    The Kullback-Leibler divergence, as a share of what it is at most where topics are equally
    frequent: 0 for a term that all topics have alike.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    y : int array, shape (n_rows,)
    rows : int array
        Those of the rows to look at.
    """
    topics, number = np.unique(y[rows], return_inverse=True)
    n_topics = len(topics)
    is_of = sp.csr_array(
        (np.ones(len(rows)), (rows, number)), shape=(X.shape[0], n_topics), dtype=np.float32
    )
    has = sp.csr_array(((X.data != 0).astype(np.float32), X.indices, X.indptr), shape=X.shape)
    return relevance_from_counts(has.T @ is_of, np.bincount(number))


def relevance_from_counts(counts: sp.csr_array, sizes: Integers) -> F64:
    """Return the same as `relevance`, given how many rows of each topic have each term.

    Parameters
    ----------
    counts : float32 CSR array, shape (n_columns, n_topics)
    sizes : int array, shape (n_topics,)
        How many rows each topic has, at least one.
    """
    n_columns, n_topics = counts.shape
    found = counts.tocoo()  # a value for each term and topic that occur together
    terms, share = found.row, (sizes / sizes.sum())[found.col]
    prior = _SEEN_BEFORE * n_topics
    total = np.bincount(terms, found.data, n_columns) + prior
    ratio = (found.data / share + prior) / total[terms]
    divergence = np.bincount(terms, share * ratio * np.log(ratio), n_columns).astype(np.float64)
    # Topics without the term have one ratio.
    elsewhere = 1 - np.bincount(terms, share, n_columns)
    divergence += elsewhere * (prior / total) * np.log(prior / total)
    return divergence / np.log(max(n_topics, 2))


def term_rates(X: sp.csr_array, y: I64, rows: Integers) -> F32:
    """Return what multiplies the learning rate of each term, and last of the biases: that is 1.

    The mean over the rows, in which a term counts by its squared weights in them, is 1 as well.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    y : int array, shape (n_rows,)
    rows : int array
        Those of the rows to learn from.

    Returns
    -------
    float32 array, shape (n_columns + 1,)
    """
    is_seen = np.zeros(X.shape[0], dtype=np.float32)
    is_seen[rows] = 1
    squares = sp.csr_array((np.square(X.data), X.indices, X.indptr), shape=X.shape)
    seen = (squares.T @ is_seen).astype(np.float64)
    return np.append(learning_rates(relevance(X, y, rows), seen), 1).astype(np.float32)


def learning_rates(relevance: F64, squares: F64) -> F64:
    """Return the rates of terms by their relevance and their sums of squares; all (n_columns,)."""
    rates: F64 = (_IRRELEVANT + relevance) ** 2
    return rates / ((squares @ rates) / squares.sum() if squares.any() else 1.0)
