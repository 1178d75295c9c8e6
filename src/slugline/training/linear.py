"""Fitting a linear learner: doubtful documents, sharpness, weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.learners import FitContext
from slugline.softmax import log_softmax
from slugline.splits import hold_out

__all__ = ["FittedLinear", "fit_linear"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# All chosen by cross-validation on training splits.
# Doubtful documents are looked for with a cost so low that none is learned by heart.
_SEARCH_C = 0.1
# A document is doubtful if its own topic's score lies by more than this under the highest.
_MARGIN = 1.0
# Up to this share of doubtful documents are hard cases to learn from rather than wrong topics.
_EXPECTED = 0.02
# How sharp probabilities may be is measured on this share of the documents, held out.
_HELD_OUT = 0.2
# Where there is nothing to measure it on.
_SHARPNESS = 5.0


@dataclass(frozen=True)
class FittedLinear:
    """See `slugline.learners.linear.LinearLearner`."""

    weights: Floats
    biases: Floats
    sharpness: float
    n_left_out: int


def fit_linear(
    X: sp.csr_array, y: Labels, context: FitContext, *, C: float, clean: bool
) -> FittedLinear:
    """Fit weights, biases and sharpness."""
    costs = np.ones(len(y), dtype=np.float32)
    if context.sample_weight is not None:
        costs *= context.sample_weight
    kept = costs > 0
    if clean:
        # What is doubtful must not depend on the unit of the weights.
        doubtful = _doubtful(X, y, costs / costs[kept].mean(), context)
        if doubtful[kept].mean() > _EXPECTED:
            kept &= ~doubtful
    sharpness = _SHARPNESS
    if np.bincount(y[kept]).max() > 1:
        held = np.zeros(len(y), dtype=bool)
        held[kept] = hold_out(y[kept].tolist(), _HELD_OUT, context.seed)
        weights, biases = _fit(X, y, costs, kept & ~held, C, context)
        sharpness = _best_sharpness(X[held] @ weights + biases, y[held], costs[held])
    weights, biases = _fit(X, y, costs, kept, C, context)
    n_left_out = int(np.count_nonzero(costs)) - int(np.count_nonzero(kept))
    return FittedLinear(weights, biases, sharpness, n_left_out)


def _fit(
    X: sp.csr_array, y: Labels, costs: Floats, rows: Mask, C: float, context: FitContext
) -> tuple[Floats, Floats]:
    """Fit liblinear's one-vs-rest classifiers with squared hinge loss on some of the rows.

    Returns
    -------
    weights, shape (n_columns, n_topics), and biases, shape (n_topics,). A topic without a row
    among them is never the likeliest.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    weights = np.zeros((X.shape[1], context.n_topics), dtype=np.float32)
    biases = np.full(context.n_topics, -1, dtype=np.float32)
    topics = np.unique(y[rows])
    if len(topics) == 1:
        biases[topics] = 1
        return weights, biases
    svc = LinearSVC(C=C, random_state=context.seed)
    with warnings.catch_warnings():
        # The last digits that more iterations would settle move no document to another topic.
        warnings.simplefilter("ignore", ConvergenceWarning)
        svc.fit(X[rows], y[rows], sample_weight=costs[rows])
    # Of two topics, liblinear fits the second one alone: the first one is its opposite.
    signs = np.array([[-1], [1]]) if len(topics) == 2 else 1
    weights[:, topics] = (signs * svc.coef_).T
    biases[topics] = np.ravel(signs * svc.intercept_.reshape(-1, 1))
    return weights, biases


def _doubtful(X: sp.csr_array, y: Labels, costs: Floats, context: FitContext) -> Mask:
    """Tell which rows hardly can belong to their topic, by what the others make of them.

    A solution is a sum of rows, x_i with the factor 2 c_i t_i max(0, 1 - t_i s_i), where t_i is 1
    for its topic and -1 for all others, s_i its score, and c_i its cost. Without its own part, the
    score of x_i is lower by that times |x_i|^2. The bias, which all rows make together, is taken to
    stay.

    References
    ----------
    Jaakkola and Haussler (1999), Probabilistic kernel regression models, for the leave-one-out
    bound that comes of it.
    """
    weights, biases = _fit(X, y, costs, costs > 0, _SEARCH_C, context)
    scores = X @ weights + biases
    places = np.arange(len(y)), y
    targets = np.full(scores.shape, -1, dtype=np.float32)
    targets[places] = 1
    own = targets * np.maximum(1 - targets * scores, 0)
    own *= (2 * _SEARCH_C * costs * X.multiply(X).sum(axis=1))[:, np.newaxis]
    scores -= own
    return scores[places] < scores.max(axis=1) - _MARGIN


def _best_sharpness(scores: Floats, y: Labels, costs: Floats) -> float:
    """Find the factor on scores whose softmax has the least log loss, rows weighted by `costs`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks: temperature
    scaling, where this is the inverse of the temperature.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_sharpness: float) -> float:
        log_proba = log_softmax(scores * np.float32(np.exp(log_sharpness)))
        return -float(np.average(log_proba[np.arange(len(y)), y], weights=costs))

    # Factors from a seventh to fifty: scores of the largest margin ask for some five.
    found = minimize_scalar(loss, bounds=(-2.0, 4.0), method="bounded", options={"xatol": 1e-2})
    return float(np.exp(found.x))
