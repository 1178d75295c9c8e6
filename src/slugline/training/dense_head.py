"""A linear classifier on few dense columns, fitted at once: discriminant analysis with a penalty.

Each topic's rows are seen as a cloud around their mean, and all clouds as of one shape. A row's
topic is the one whose mean is nearest in this shape. The sums of products within topics are
decomposed once; then every penalty, and every row's scores had it not been learned from, come from
small products.

References
----------
Friedman (1989), Regularized discriminant analysis. Sherman and Morrison (1950) and Woodbury (1950),
for the inverse of a matrix without some of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.calibration import log_softmax
from slugline.training.combining import best_factors

__all__ = ["PENALTIES", "FittedDense", "fit_dense_head"]


#: The penalties to choose from, for rows of unit length with a mean weight of 1.
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# Where there is nothing to choose by.
_USUAL = 1.0
# How much a topic's share of all rows counts: 1 would seldom call up rare topics.
_PRIOR_POWER = 0.5
# Rows that are left out together, at most: small systems of equations are solved for each group.
_TOGETHER = 128
# More rows hardly change which penalty is best; with thousands of topics, fewer are affordable.
_MAX_JUDGED, _MIN_JUDGED, _MAX_SCORES = 10_000, 500, 2_000_000
# Rows that are in double precision at once.
_AT_ONCE = 4096


@dataclass(frozen=True)
class FittedDense:
    """What `fit_dense_head` has learned.

    Attributes
    ----------
    weights : float32 array, shape (n_columns, n_topics)
    biases : float32 array, shape (n_topics,)
        The softmax of `X @ weights + biases` is calibrated.
    scores : float32 array, shape (n_rows, n_topics)
        Scores of each row, as if neither it nor the others of its group had been learned from.
    penalty : float
        The one that was chosen.
    """

    weights: F32
    biases: F32
    scores: F32
    penalty: float


def fit_dense_head(
    X: F32,
    y: I64,
    n_topics: int,
    sample_weight: F32 | None = None,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> FittedDense:
    """Fit weights and biases, and choose the penalty by the log loss of rows that are left out.

    Rows are left out in groups that hold at most one row of each topic. If a single row were left
    out, its own topic would have one row less than the others, and lower scores: with five rows a
    topic, that misleads the choice.

    Parameters
    ----------
    X : float array, shape (n_rows, n_columns)
        Rows of unit length.
    y : int array, shape (n_rows,)
        The topic of each row, from 0 to n_topics - 1.
    n_topics : int
    sample_weight : float array, shape (n_rows,), optional
        Weights of rows, 0 for those not to learn from; equal by default.
    penalties : sequence of float
        In ascending order, over 0.
    """
    costs = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
    learned = np.flatnonzero(costs)
    shape = _Shape(X, y, costs / costs[learned].mean(), n_topics)
    groups = _groups(y, learned)
    penalty, factor = _best_penalty(shape, groups, penalties)
    weights, biases = (factor * part for part in shape.solution(penalty))
    absent = np.bincount(y[learned], minlength=n_topics) == 0
    # No row of unit length scores less than this for all of the others.
    least = (biases - np.linalg.norm(weights, axis=0))[~absent].max() - 1
    weights[:, absent], biases[absent] = 0, least
    scores = np.empty((len(y), n_topics), dtype=np.float32)
    others = np.flatnonzero(costs == 0)
    scores[others] = X[others] @ weights + biases
    for group in groups:
        scores[group] = factor * shape.left_out(group, penalty)
    least_known = scores.min(axis=1, keepdims=True, where=~absent, initial=np.inf)
    scores[:, absent] = np.minimum(least_known - 1, least)
    return FittedDense(
        weights.astype(np.float32), biases.astype(np.float32), scores, float(penalty)
    )


def _groups(y: I64, rows: Index) -> list[Index]:
    """Divide rows into groups that hold at most one row of each topic."""
    by_topic = rows[np.argsort(y[rows], kind="stable")]
    topics = y[by_topic]
    rank = np.arange(len(rows)) - np.searchsorted(topics, topics)
    order = by_topic[np.argsort(rank, kind="stable")]
    groups: list[Index] = []
    for same_rank in np.split(order, np.cumsum(np.bincount(rank))[:-1]):
        groups += np.array_split(same_rank, -(-len(same_rank) // _TOGETHER))
    return groups


def _best_penalty(
    shape: _Shape, groups: list[Index], penalties: Sequence[float]
) -> tuple[float, float]:
    """Return the penalty for which rows that are left out have the lowest log loss.

    With it comes the factor on scores for which their softmax is calibrated.
    """
    n_wanted = min(_MAX_JUDGED, max(_MIN_JUDGED, _MAX_SCORES // shape.n_topics))
    judged = groups[:: -(-sum(map(len, groups)) // n_wanted)]
    rows = np.concatenate(judged)
    # A row that is its topic's only one can't be found without it, whatever the penalty.
    known = ~shape.is_alone(rows)
    y, costs = shape.y[rows][known], shape.costs[rows][known].astype(np.float32)
    if not len(y) or (y == y[0]).all():
        return _USUAL, 1.0
    found = []
    for penalty in penalties:
        scores = np.concatenate([shape.left_out(group, penalty) for group in judged])[known]
        factor = best_factors([scores], y, costs)[0]
        right = log_softmax(scores * np.float32(factor))[np.arange(len(y)), y]
        found.append((-float(np.average(right, weights=costs)), penalty, factor))
    return min(found)[1:]


class _Shape:
    """Means of topics, and the shape that the clouds around them share.

    Attributes
    ----------
    y : int array, shape (n_rows,)
    costs : float64 array, shape (n_rows,)
    n_topics : int
    """

    def __init__(self, X: F32, y: I64, costs: F64, n_topics: int) -> None:
        self.X, self.y, self.costs, self.n_topics = X, y, costs, n_topics
        rows = np.flatnonzero(costs)
        self._totals = np.bincount(y, costs, n_topics).astype(np.float64)
        # Around the mean of all rows, numbers stay small. Topics' scores all change by the same.
        self._centre = costs @ X / costs.sum()
        means = self._means_of(rows, n_topics)
        self._values, self._basis = self._decompose(rows, means)
        self._means = means @ self._basis

    def _means_of(self, rows: Index, n_topics: int) -> F64:
        sums = np.zeros((n_topics, self.X.shape[1]))
        for piece in _pieces(rows):
            np.add.at(sums, self.y[piece], self.costs[piece, None] * (self.X[piece] - self._centre))
        return sums / np.where(self._totals > 0, self._totals, 1)[:, None]

    def _decompose(self, rows: Index, means: F64) -> tuple[F64, F64]:
        """Return eigenvalues of the sums of products within topics, and their vectors."""
        span: F64 | None = None
        if len(rows) < self.X.shape[1]:  # whatever is not a mix of these rows has no weight
            span = np.linalg.qr((self.X[rows] - self._centre).T)[0]
        n_columns = self.X.shape[1] if span is None else span.shape[1]
        products = np.zeros((n_columns, n_columns))
        for piece in _pieces(rows):
            apart = self.X[piece] - self._centre - means[self.y[piece]]
            apart = apart if span is None else apart @ span
            products += apart.T @ (self.costs[piece, None] * apart)
        values, basis = np.linalg.eigh(products)
        return np.maximum(values, 0), basis if span is None else span @ basis

    def is_alone(self, rows: Index) -> Mask:
        """Return which rows are the only ones of their topics."""
        return self._rest(rows) <= 0

    def _rest(self, rows: Index) -> F64:
        """Return the weight of each row's topic without it."""
        rest = self._totals[self.y[rows]] - self.costs[rows]
        return np.where(rest > 1e-9 * self._totals[self.y[rows]], rest, 0)

    def solution(self, penalty: float) -> tuple[F64, F64]:
        """Return weights and biases."""
        scaled = self._means * (self._totals.sum() / (self._values + penalty))
        weights = self._basis @ scaled.T
        biases = -(self._means * scaled).sum(axis=1) / 2 - self._centre @ weights
        return weights, biases + _prior(self._totals)

    def left_out(self, group: Index, penalty: float) -> F32:
        """Return the scores of a group of rows of different topics, had none been learned from."""
        topics, costs, rest = self.y[group], self.costs[group], self._rest(group)
        share = np.divide(costs, rest, out=np.zeros(len(group)), where=rest > 0)
        # In these coordinates, the shape is a ball.
        roots = np.sqrt(self._values + penalty)
        own = (self.X[group] - self._centre) @ self._basis / roots
        means = self._means / roots
        apart = own - means[topics]
        means[topics] -= share[:, None] * apart
        # Without the group's products, it is one that a few directions stretch.
        stretched = apart * np.sqrt(share * self._totals[topics])[:, None]
        left = np.linalg.inv(np.eye(len(group)) - stretched @ stretched.T)
        of_means = means @ stretched.T
        products = own @ means.T + own @ stretched.T @ left @ of_means.T
        squares = (means * means).sum(axis=1) + (of_means @ left * of_means).sum(axis=1)
        totals = self._totals.copy()
        totals[topics] = rest
        scores = totals.sum() * (products - squares / 2) + _prior(totals)
        alone = np.flatnonzero(rest == 0)
        scores[alone, topics[alone]] = scores[alone].min(axis=1)
        return scores.astype(np.float32)


def _prior(totals: F64) -> F64:
    """Return what is added to the scores of topics for their number of rows."""
    return _PRIOR_POWER * np.log(np.where(totals > 0, totals, 1))


def _pieces(rows: Index) -> Iterator[Index]:
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
