"""Intervals of a learning curve that cover the choice of test and labelled documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Index
from slugline.evaluation.intervals import Interval, wilson

#: Minimum number of draws for intervals; fewer don't show how much draws differ.
FEWEST_DRAWS = 3


@dataclass
class DrawScores:
    """Scores of test documents after training on draws of one size.

    A document's score is 1 for a right answer and 0 for a wrong one, or comes from `f1_scores`.
    The score of a draw is the mean over documents.

    Attributes
    ----------
    n_train : int
    drawn : list of int array
        The training documents of each draw.
    scores : list of float array, shape (n_test,)
        The scores of test documents after training on each draw.
    """

    n_train: int
    drawn: list[Index] = field(default_factory=list)
    scores: list[F64] = field(default_factory=list)

    def add(self, drawn: Index, scores: F64) -> None:
        """Add the scores of test documents after training on the documents `drawn`."""
        self.drawn.append(drawn)
        self.scores.append(scores)

    @property
    def means(self) -> F64:
        """The score of each draw."""
        return np.mean(self.scores, axis=1)

    @property
    def mean(self) -> float:
        """Mean score over draws and documents."""
        return float(np.mean(self.scores))

    @property
    def n_test(self) -> int:
        """Number of test documents."""
        return len(self.scores[0])

    @property
    def size(self) -> float:
        """Mean number of documents per draw."""
        return float(np.mean([len(rows) for rows in self.drawn]))

    @property
    def overlap(self) -> float:
        """Mean fraction of documents that two draws share; 1 for a single draw."""
        n_draws = len(self.drawn)
        if n_draws < 2:
            return 1.0
        n_drawn = np.bincount(np.concatenate(self.drawn))
        n_shared = float((n_drawn * (n_drawn - 1)).sum())
        return n_shared / (n_draws * (n_draws - 1) * self.size)

    def test_variance(self) -> float:
        """Return the variance of the mean due to the choice of test documents."""
        if self.n_test < 2:
            return 0.0
        return float(np.mean(self.scores, axis=0).var(ddof=1)) / self.n_test

    def draw_variance(self) -> float:
        """Return the variance of the draws' scores."""
        return float(self.means.var(ddof=1))

    def interaction_variance(self) -> float:
        """Return the part of `draw_variance` due to the test documents.

        This is the interaction in a two-way analysis of variance of draws and documents: on
        different test documents, different draws would score higher.
        """
        scores = np.array(self.scores)
        residuals = scores - self.means[:, None] - scores.mean(axis=0) + self.mean
        n_free = (len(scores) - 1) * (self.n_test - 1)
        return float((residuals**2).sum()) / max(n_free, 1) / self.n_test


def f1_scores(right: F64, given: F64, true: F64) -> F64:
    """Return document scores with the mean and the variance of micro-F1.

    Micro-F1 is a ratio of totals, 2 right / (given + true), linearised here around its value.

    Parameters
    ----------
    right, given, true : float array, shape (n_documents,)
        Numbers of correctly predicted, predicted, and true topics.

    References
    ----------
    Cochran (1977), Sampling techniques, 6.3: the ratio estimate.
    """
    total = given + true
    if not total.any():
        return np.zeros(len(total))
    f1 = 2 * right.sum() / total.sum()
    scores: F64 = f1 + (2 * right - f1 * total) / total.mean()
    return scores


def curve_intervals(points: Sequence[DrawScores]) -> list[Interval | None]:
    """Return a 95 % interval of the expected score at each point; None with too few draws.

    The expectation is over new samples of test and labelled documents of the same size. The
    variance of a point with `n` documents per draw is ::

        V_test + V(n) (1 / D + (1 - 1 / D) f)

    where `V_test` is the variance over test documents and `V(n)` the variance of a single draw's
    score. Any two of the `D` draws share the fraction `f` of their documents, which to first order
    is also the correlation of their scores. Therefore, the last points vary more than their draws
    show, and the single fit to all documents, with `f` = 1, has the full variance `V(n)`. `V(n)` is
    assumed to fall as 1 / n and is estimated from all points with enough draws: the variance of
    their scores is `V(n) (1 - f)` plus an interaction with test documents, which is subtracted. The
    result is Wilson's interval for a proportion of the same variance, with a quantile of Student's
    t.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error: the correction by overlaps.
    Hoeffding (1948), A class of statistics with asymptotically normal distribution: the
    correlation. Owen (2007), The pigeonhole bootstrap: both samplings have their own variance.
    """
    estimate = _variance_per_document(points)
    if estimate is None:
        return [None] * len(points)
    intervals: list[Interval | None] = []
    for point in points:
        n_draws = len(point.drawn)
        if n_draws < FEWEST_DRAWS and point.size < point.n_train:
            intervals.append(None)
            continue
        correlated = 1 / n_draws + (1 - 1 / n_draws) * point.overlap
        by_draws = _Variance(correlated * estimate.value / point.size, estimate.n_free)
        by_test = _Variance(point.test_variance(), max(1, point.n_test - 1))
        intervals.append(_interval(point.mean, by_draws.plus(by_test), point.n_test))
    return intervals


class _Variance(NamedTuple):
    """A variance estimate and its degrees of freedom."""

    value: float
    n_free: float

    def plus(self, other: _Variance) -> _Variance:
        """Return the sum, with degrees of freedom by Welch and Satterthwaite."""
        value = self.value + other.value
        uncertainty = self.value**2 / self.n_free + other.value**2 / other.n_free
        return _Variance(value, value**2 / uncertainty if uncertainty > 0 else other.n_free)


def _variance_per_document(points: Sequence[DrawScores]) -> _Variance | None:
    """Return n V(n), the precision-weighted mean over points; None with too few draws."""
    estimates, precisions, n_free = [], [], []
    for point in points:
        n_draws, distinct = len(point.drawn), 1 - point.overlap
        if n_draws < FEWEST_DRAWS or distinct <= 0:
            continue
        interaction = point.interaction_variance()
        estimates.append((point.draw_variance() - interaction) / distinct * point.size)
        n_free.append(n_draws - 1)
        noise = interaction / distinct * point.size
        precisions.append((n_draws - 1) / noise**2 if noise > 0 else 0.0)
    if not estimates:
        return None
    weights = np.array(precisions if any(precisions) else [1.0] * len(estimates))
    weights /= weights.sum()
    effective = 1 / float((weights**2 / np.array(n_free)).sum())
    return _Variance(max(0.0, float(weights @ estimates)), effective)


def _interval(score: float, variance: _Variance, n_test: int) -> Interval:
    """Return Wilson's interval for a mean with this variance, using a quantile of Student's t."""
    if variance.value <= 0 or not 0 < score < 1:
        return wilson(score * n_test, n_test)
    from scipy.special import stdtrit

    n = score * (1 - score) / variance.value
    return wilson(score * n, n, float(stdtrit(variance.n_free, 0.975)))
