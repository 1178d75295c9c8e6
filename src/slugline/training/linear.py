"""Fitting a linear learner: weights, doubtful documents, sharpness."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.calibration import best_sharpness
from slugline.training.context import FitContext

__all__ = ["SHARPNESS", "FittedLinear", "fit_linear", "hinge_pulls", "topic_rarity"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# All chosen by cross-validation on training splits.
# liblinear may stop here: finer steps change hardly any topic, and take twice the time.
_TOLERANCE = 0.05
# A topic rarer than the mean one counts more, by this power of how much rarer it is: 0 would leave
# rare topics unheard, 1 would call them up in every doubtful case.
_RARITY_POWER = 0.75
# Without a document, others would take over the rest of its part in the solution.
_NOT_TAKEN_OVER = 0.5
# A document is doubtful if its own topic's score lies by more than this under the highest.
_MARGIN = 1.0
# Up to this share of doubtful documents are hard cases to learn from rather than wrong topics.
_EXPECTED = 0.03
# What is found doubtful without the doubtful documents of a first round is found better.
_ROUNDS = 2
# The score of a topic without rows, far under what a topic with rows gives any row.
_ABSENT = -10.0
#: Where there is nothing to measure it on.
SHARPNESS = 5.0

# liblinear draws random numbers from one state for the whole process. scikit-learn seeds it in the
# same call that then trains, but trains with Python's own lock released: of two fits at once, each
# would take numbers from the other's sequence. Filters for warnings belong to the process, too.
_one_at_a_time = threading.Lock()
# scikit-learn's seeds end here.
_N_SEEDS = 1 << 32
# Warnings of scikit-learn that users can't act on: `_TOLERANCE` is loose by choice, and a topic
# may well have a single document.
_NO_CONCERN = ("Liblinear failed to converge", "The number of unique classes is greater than 50%")


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
    fit = _Fit(X, y, costs, C, context, costs > 0)
    n_rows = np.count_nonzero(costs)
    if clean and np.count_nonzero(fit.doubtful()) > _EXPECTED * n_rows:
        for _ in range(_ROUNDS):
            fit = _Fit(X, y, costs, C, context, (costs > 0) & ~fit.doubtful())
    n_left_out = int(n_rows - np.count_nonzero(fit.kept))
    return FittedLinear(fit.weights, fit.biases, fit.sharpness(), n_left_out)


class _Fit:
    """liblinear's one-vs-rest classifiers with squared hinge loss, and their view of the rows.

    Attributes
    ----------
    kept : bool array, shape (n_rows,)
        The rows that it learned from.
    weights : float32 array, shape (n_columns, n_topics)
    biases : float32 array, shape (n_topics,)
        A topic without a row among those kept is never the most likely.
    scores : float32 array, shape (n_rows, n_topics)
        Scores of each row, as if it had not been learned from.
    """

    def __init__(
        self, X: sp.csr_array, y: Labels, costs: Floats, C: float, context: FitContext, kept: Mask
    ) -> None:
        self.y, self.costs, self.kept = y, costs, kept
        self.weights = np.zeros((X.shape[1], context.n_topics), dtype=np.float32)
        self.biases = np.full(context.n_topics, _ABSENT, dtype=np.float32)
        self._topics = np.unique(y[kept])
        rarity = np.ones(context.n_topics, dtype=np.float32)
        if not context.weighted_topics:
            totals = np.bincount(y[kept], costs[kept], minlength=context.n_topics)
            rarity = topic_rarity(totals)
        if len(self._topics) == 1:
            self.biases[self._topics] = 1
        else:
            self._learn(X, rarity, C, context.seed)
        self.scores = X @ self.weights + self.biases
        self.scores -= self._own_parts(X, rarity, C)

    def doubtful(self) -> Mask:
        """Return which rows probably do not belong to their topic, judged by the others."""
        own = self.scores[np.arange(len(self.y)), self.y]
        far_under = own < self.scores.max(axis=1) - _MARGIN
        far_under &= self.costs > 0
        # A topic that loses most of its rows is hard, or has few; its rows are not wrong for that.
        n_rows = np.bincount(self.y, self.costs > 0)
        n_far_under = np.bincount(self.y, far_under)
        return far_under & (2 * n_far_under <= n_rows)[self.y]

    def sharpness(self) -> float:
        """Return how sharp probabilities may be; see `slugline.calibration`."""
        # A topic's only row shows nothing about it.
        n_kept = np.bincount(self.y[self.kept], minlength=len(self.biases))
        told = (self.costs > 0) & (n_kept[self.y] > 1)
        if len(self._topics) == 1 or not told.any():
            return SHARPNESS
        return best_sharpness(self.scores[told], self.y[told], self.costs[told])

    def _learn(self, X: sp.csr_array, rarity: Floats, C: float, seed: int) -> None:
        from sklearn.svm import LinearSVC

        topics, kept = self._topics, self.kept
        svc = LinearSVC(
            C=C,
            tol=_TOLERANCE,
            # Counts for the documents of a topic in its own classifier, not as others' opposites.
            class_weight=dict(zip(topics.tolist(), rarity[topics].tolist(), strict=True)),
            random_state=seed % _N_SEEDS,
        )
        _fit_alone(svc, X[kept], self.y[kept], self.costs[kept])
        # With two topics, liblinear fits only the second: the first is its opposite.
        signs = np.array([[-1], [1]]) if len(topics) == 2 else 1
        self.weights[:, topics] = (signs * svc.coef_).T
        self.biases[topics] = np.ravel(signs * svc.intercept_.reshape(-1, 1))

    def _own_parts(self, X: sp.csr_array, rarity: Floats, C: float) -> Floats:
        """Return what each row has put into its own scores, shape (n_rows, n_topics).

        A solution is a sum of rows, x_i with the factor 2 C c_i t_i max(0, 1 - t_i s_i), where t_i
        is 1 for its topic and -1 for all others, s_i its score, and c_i its cost. So its own part
        is that times |x_i|^2, of which others would take over some. The bias, which all rows make
        together, is taken to stay.

        References
        ----------
        Jaakkola and Haussler (1999), Probabilistic kernel regression models, for the leave-one-out
        bound that comes of it.
        """
        places = np.arange(len(self.y)), self.y
        parts = hinge_pulls(self.scores, self.y)
        lengths = X.multiply(X).sum(axis=1)
        parts *= (_NOT_TAKEN_OVER * 2 * C * self.costs * self.kept * lengths)[:, np.newaxis]
        if len(self._topics) == 2:  # both columns are one classifier
            parts *= rarity[self.y][:, np.newaxis]
        else:
            parts[places] *= rarity[self.y]
        return parts


def _fit_alone(svc: Any, X: sp.csr_array, y: Labels, costs: Floats) -> None:
    """Fit while no other thread fits, and suppress warnings that nobody can act on."""
    with _one_at_a_time, warnings.catch_warnings():
        for start in _NO_CONCERN:
            warnings.filterwarnings("ignore", start)
        svc.fit(X, y, sample_weight=costs)


def hinge_pulls(scores: Floats, y: Labels) -> Floats:
    """Return the pull on each score: t max(0, 1 - t s), half the slope of the squared hinge.

    t is 1 in the column of a row's topic and -1 in all others; shape (n_rows, n_topics).
    """
    targets = np.full(scores.shape, -1, dtype=np.float32)
    targets[np.arange(len(y)), y] = 1
    return targets * np.maximum(1 - targets * scores, 0)


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
