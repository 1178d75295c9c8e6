"""Fit a multilabel encoder head, whose scores are added to word scores."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.base.threads import limit_blas
from slugline.learning.calibration import (
    TopicCalibration,
    fit_topic_calibration,
    round_digits,
    sigmoid,
)
from slugline.learning.encoder.fit import PENALTIES, CentredRows, EncoderHead, pieces
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.problem import ABSENT_SCORE, INITIAL_BIAS

# Number of scores, and minimum number of rows, used to choose the penalty and the encoder's weight;
# more hardly change them.
_MAX_SCORES, _MIN_ROWS = 200_000, 500
# Maximum factor on scores, which are mostly between -1 and 1, and minimum probability.
_MAX_FACTOR, _LEAST = 50.0, 1e-6


class _LeastSquares(CentredRows):
    """Ridge regression of topics, standardized so that rare ones reach the same scores.

    References
    ----------
    Allen (1974), The relationship between variable selection and data augmentation and a method for
    prediction: closed-form held-out predictions.
    """

    def __init__(self, X: F32, y: sp.csr_array, costs: F32) -> None:
        rows = np.flatnonzero(costs)
        super().__init__(X, costs.astype(np.float64) / costs[rows].mean(dtype=np.float64))
        self._mean = y.T @ self.costs / self.costs.sum()
        spread = np.sqrt(self._mean * (1 - self._mean))
        self._spread = np.where(spread > 0, spread, 1)
        self._copies = np.unique(X, axis=0, return_inverse=True)[1].ravel()
        totals = np.bincount(self._copies, self.costs)
        weights = self.costs / np.maximum(totals, np.finfo(float).tiny)[self._copies]
        by_copies = sp.csr_array((weights, (self._copies, np.arange(len(X)))))
        self._costs_of_copies, self._y_of_copies = totals[self._copies], by_copies @ y
        self._values, self._basis = self.decompose(rows, self.centred)
        self._products = np.zeros((self._basis.shape[1], y.shape[1]))
        for piece in pieces(rows):
            weighted = self.costs[piece, np.newaxis] * (self.centred(piece) @ self._basis)
            self._products += (y[piece].T @ weighted).T / self._spread

    def solution(self, penalty: float) -> tuple[F64, F64]:
        """Return weights and biases."""
        weights = self._basis @ (self._products / (self._values + penalty)[:, np.newaxis])
        return weights, 2 * self._mean - 1 - self.centre @ weights

    def heldout_scores(self, rows: Index, penalty: float) -> F32:
        """Return scores of rows from fits that exclude each row and its copies."""
        scores = np.empty((len(rows), len(self._mean)), dtype=np.float32)
        for places in pieces(np.arange(len(rows))):
            piece = rows[places]
            row = self.centred(piece) @ self._basis
            scaled = row / (self._values + penalty)
            leverage = (scaled * row).sum(axis=1) + 1 / self.costs.sum()
            leverage = (leverage * self._costs_of_copies[piece])[:, np.newaxis]
            target = (self._y_of_copies[self._copies[piece]].toarray() - self._mean) / self._spread
            heldout = scaled @ self._products - leverage * target
            heldout /= np.maximum(1 - leverage, _LEAST)
            scores[places] = heldout + 2 * self._mean - 1
        return scores


def fit_multilabel_head(
    rows: F32,
    labels: Labels,
    n_documents: int,
    context: FitContext,
    heldout: tuple[Index, F32],
    factors: F32,
) -> tuple[EncoderHead | None, F32 | None]:
    """Return the encoder head that best improves word scores, and held-out mean scores.

    Both scores are averaged with the same weights for all topics. Both results are None if there
    are no held-out rows, or if their log loss falls by less than a standard error and no topic
    without documents has a description.

    Parameters
    ----------
    rows : float32 array, shape (n_rows, n_columns)
        Rows of unit length: documents, then descriptions.
    labels : Labels
    n_documents : int
    context : FitContext
        Contains a weight for each row.
    heldout : (int array, shape (n_heldout,), float32 array, shape (n_heldout, n_topics))
        Indices of some documents, and their cross-validated word scores.
    factors : float32 array, shape (n_columns,) or (1,)
        Factors on columns; see `CheckedEncoder.column_factors`.
    """
    rows = rows * factors
    (heldout_rows, words), y = heldout, labels.to_csr(context.n_topics)
    known = np.flatnonzero(y[:n_documents].sum(axis=0))
    if not len(heldout_rows) or not len(known):
        return None, None
    costs = context.sample_weight
    costs = np.ones(len(rows), dtype=np.float32) if costs is None else costs
    # Descriptions of other topics are not training rows.
    costs = np.where((np.arange(len(rows)) < n_documents) | (y[:, known].sum(axis=1) > 0), costs, 0)
    right, cost = y[heldout_rows][:, known].toarray(), costs[heldout_rows]
    words = words[:, known]
    # A topic missing from the other folds has the initial score.
    words[words <= ABSENT_SCORE] = INITIAL_BIAS
    # With one thread, since the last bits depend on the number of threads.
    with limit_blas():
        ridge = _LeastSquares(rows, y[:, known], costs)
        # Choose the encoder's weight and the penalty with the lowest log loss on held-out rows.
        chosen = _sample(len(heldout_rows), words.shape[1])
        sample = words[chosen], right[chosen], cost[chosen]
        tried = (
            (ridge.heldout_scores(heldout_rows[chosen], penalty), penalty) for penalty in PENALTIES
        )
        encoder_weight, penalty = min(
            (*_fit_encoder_weight(s, *sample), penalty) for s, penalty in tried
        )[1:]
        parts = (
            (1 - encoder_weight) * words,
            encoder_weight * ridge.heldout_scores(heldout_rows, penalty),
        )
        scores = parts[0] + parts[1]
        curves, of_words = (fit_topic_calibration(s, right, cost) for s in (scores, words))
        gain = _log_losses(of_words.proba(words), right) - _log_losses(curves.proba(scores), right)
        gain = gain.sum(axis=1)
        mean, weight = np.average(gain, weights=cost), cost / cost.sum()
        new = np.setdiff1d(y[n_documents:].indices, known)
        if not len(new) and mean <= np.sqrt(weight**2 @ (gain - mean) ** 2):
            return None, None
        sums = np.full((len(heldout_rows), context.n_topics), ABSENT_SCORE, dtype=np.float32)
        weights = np.zeros((rows.shape[1], context.n_topics), dtype=np.float32)
        biases = np.full(context.n_topics, encoder_weight * ABSENT_SCORE, dtype=np.float32)
        weights[:, known], biases[known] = (
            encoder_weight * part for part in ridge.solution(penalty)
        )
        sums[:, known] = scores
        if len(new):
            placed = _place_new(rows, y, n_documents, known, new, heldout_rows, curves.bend)
            weights[:, new], biases[new] = placed
            sums[:, new] = rows[heldout_rows] @ weights[:, new] + biases[new]
            biases[new] -= (1 - encoder_weight) * ABSENT_SCORE
    slopes, intercepts = np.ones_like(biases), np.zeros_like(biases)
    slopes[known], intercepts[known] = curves.slopes, curves.intercepts
    calibration = TopicCalibration(slopes, intercepts, curves.bend)
    of_encoder = float(parts[1].std() / (parts[0].std() + parts[1].std() or 1.0))
    weights *= factors[:, np.newaxis]
    return EncoderHead(weights, biases, 1 - encoder_weight, calibration, of_encoder), sums


def _sample(n_rows: int, n_topics: int) -> Index:
    """Return evenly spaced rows with about `_MAX_SCORES` scores."""
    n_chosen = min(n_rows, max(_MIN_ROWS, _MAX_SCORES // n_topics))
    return np.linspace(0, n_rows, n_chosen, endpoint=False).astype(np.intp)


def _fit_encoder_weight(scores: F32, words: F32, right: F32, cost: F32) -> tuple[float, float]:
    """Return the lowest log loss of a weighted mean of scores, and the encoder's weight in it."""
    from scipy.optimize import minimize

    parts = np.stack([words.ravel(), scores.ravel(), np.ones(words.size)])
    is_right, weight = right.ravel(), (cost / cost.sum()).repeat(words.shape[1])

    def loss(factors: F64) -> tuple[float, F64]:
        summed = factors @ parts
        error = weight * (sigmoid(summed) - is_right)
        return float(weight @ (np.logaddexp(0, summed) - is_right * summed)), parts @ error

    bounds = [(0, _MAX_FACTOR), (0, _MAX_FACTOR), (-_MAX_FACTOR, _MAX_FACTOR)]
    best = minimize(loss, (1.0, 1.0, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(best.fun), round_digits(best.x[1] / (best.x[:2].sum() or 1.0))


def _log_losses(proba: F32, right: F32) -> F64:
    of_truth = np.where(right > 0, proba, 1 - proba).astype(np.float64)
    return np.asarray(-np.log(np.maximum(of_truth, _LEAST)))


# Topics with a description but no document -------------------------------------------------------

# Bounds of the slope and offset that turn cosines with descriptions into scores.
_BOUNDS = [(0.0, 100.0), (-100.0, 100.0)]


def _place_new(
    rows: F32,
    y: sp.csr_array,
    n_documents: int,
    known: Index,
    new: Index,
    heldout_rows: Index,
    bend: F32,
) -> tuple[F32, F32]:
    """Return the weights of topics without documents, shape (n_columns, n_new), and their biases.

    Scores are a linear function of a row's cosine with the description, standardized by the cosines
    of documents without the topic. Its coefficients come from a logistic regression over the known
    topics, each treated as a new one; the first document stands in for a missing description.
    """
    from scipy.optimize import minimize

    by_topic = y[:, known].tocsc()
    by_topic.sort_indices()
    starts, ends = by_topic.indptr[:-1], by_topic.indptr[1:]
    first, last = by_topic.indices[starts], by_topic.indices[ends - 1]
    examples = np.where(last >= n_documents, last, first)
    heldout_rows = heldout_rows[_sample(len(heldout_rows), len(known))]
    is_other = heldout_rows[:, np.newaxis] != examples
    right = y[heldout_rows][:, known].toarray()
    cosines = rows[heldout_rows] @ rows[examples].T
    mean, spread = _moments(cosines, (right == 0) & is_other)
    standard, right = ((cosines - mean) / spread)[is_other], right[is_other]
    curve = TopicCalibration(np.ones(1, np.float32), np.zeros(1, np.float32), bend)

    def loss(line: F64) -> float:
        return float(_log_losses(curve.proba(line[0] * standard + line[1]), right).mean())

    line = minimize(loss, (1.0, -2.0), method="Nelder-Mead", bounds=_BOUNDS).x
    slope, offset = map(round_digits, line)
    described = y[n_documents:, new]
    means = (described.T @ rows[n_documents:]) / described.sum(axis=0)[:, np.newaxis]
    mean, spread = _moments(
        rows[heldout_rows] @ means.T, np.ones((len(heldout_rows), len(new)), dtype=bool)
    )
    return (slope * means.T / spread).astype(np.float32), offset - slope * mean / spread


def _moments(cosines: F32, where: Mask) -> tuple[F32, F32]:
    """Return the mean and standard deviation of each column; 0 and 1 for columns without values."""
    counts = np.maximum(where.sum(axis=0), 1)
    mean = np.where(where, cosines, 0).sum(axis=0) / counts
    variance = np.where(where, (cosines - mean) ** 2, 0).sum(axis=0) / counts
    return mean, np.sqrt(np.where(variance > _LEAST, variance, 1))
