"""Intervals of a learning curve: what depends on the test documents, and on the labelled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64, Index
from slugline.evaluation.intervals import Interval, wilson

#: With fewer draws, there are no intervals: nothing shows how much draws differ.
FEWEST_DRAWS = 3


@dataclass
class DrawScores:
    """The scores of test documents after learning from draws of one size, summed up as they come.

    The mean score over documents is the score of a draw: 1 for a right answer and 0 for a wrong
    one, or see `f1_scores`.
    """

    n_train: int
    n_test: int
    #: The mean of each draw, and its number of documents.
    means: list[float] = field(default_factory=list)
    n_documents: list[int] = field(default_factory=list)
    _sums: F64 = field(init=False, repr=False)
    _squares: float = 0.0
    _n_drawn: I64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._sums = np.zeros(self.n_test)
        self._n_drawn = np.zeros(self.n_train, dtype=np.int64)

    def add(self, drawn: Index, scores: F64) -> None:
        """Add the scores of test documents, after learning from the documents `drawn`."""
        self.means.append(float(scores.mean()))
        self.n_documents.append(len(drawn))
        self._sums += scores
        self._squares += float(scores @ scores)
        self._n_drawn[drawn] += 1

    @property
    def mean(self) -> float:
        """The mean over draws and documents."""
        return float(np.mean(self.means))

    @property
    def size(self) -> float:
        """The mean number of documents of a draw."""
        return float(np.mean(self.n_documents))

    @property
    def is_all(self) -> bool:
        """Whether each draw has all documents, so that a single one is enough."""
        return all(n == self.n_train for n in self.n_documents)

    @property
    def overlap(self) -> float:
        """The share of a draw's documents that another one has as well, on average; 1 if alone."""
        n_draws = len(self.means)
        if n_draws < 2:
            return 1.0
        n_pairs = n_draws * (n_draws - 1) / 2
        n_shared = float((self._n_drawn * (self._n_drawn - 1) / 2).sum())
        return n_shared / (n_pairs * self.size)

    def test_variance(self) -> float:
        """Return the variance of the mean over draws by the choice of test documents."""
        if self.n_test < 2:
            return 0.0
        return float((self._sums / len(self.means)).var(ddof=1)) / self.n_test

    def draw_variances(self) -> tuple[float, float]:
        """Return the variance of draws' means, and the part of it due to the test documents.

        That part is the interaction in an analysis of variance: on other test documents, other
        draws would be the better ones.
        """
        n_draws = len(self.means)
        means = np.array(self.means)
        between = float(means.var(ddof=1))
        documents = self._sums / n_draws
        squares = self._squares - self.n_test * float(((means - self.mean) ** 2).sum())
        squares -= n_draws * float(documents @ documents)
        n_free = (n_draws - 1) * (self.n_test - 1)
        return between, max(0.0, squares) / max(n_free, 1) / self.n_test


def f1_scores(right: F64, given: F64, true: F64) -> F64:
    """Return scores of documents whose mean is micro-F1, and whose spread is that of micro-F1.

    Micro-F1 is a ratio, 2 right / (given + true) in all, linearised here around its value.

    Parameters
    ----------
    right, given, true : float array, shape (n_documents,)
        Number of topics that are given rightly, given, and true.

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
    """Return a 95 % interval of the expected score at each point; None without enough draws.

    Expected, that is, with other test documents and other labelled documents, as many as here. The
    variance of a point with `n` documents to a draw is ::

        V_test + V(n) (1 / D + (1 - 1 / D) f)

    with the variance `V_test` over test documents, and that of the score of one draw, `V(n)`. Of
    its `D` draws, two share `f` of their documents, and to first order their scores correlate by
    as much: that is why the last points vary more than their draws show, and the single fit to all
    documents, with `f` = 1, by the whole of `V(n)`. `V(n)` is taken to fall as 1 / n, and measured
    at all points with enough draws: draws' scores vary by `V(n) (1 - f)` and by an interaction with
    test documents, which is subtracted. The interval is Wilson's for a share of the same variance,
    with a quantile of Student's t.

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
        n_draws = len(point.means)
        if n_draws < FEWEST_DRAWS and not point.is_all:
            intervals.append(None)
            continue
        share = 1 / n_draws + (1 - 1 / n_draws) * point.overlap
        by_draws = _Variance(share * estimate.value / point.size, estimate.n_free)
        by_test = _Variance(point.test_variance(), max(1, point.n_test - 1))
        intervals.append(_interval(point.mean, by_draws.plus(by_test), point.n_test))
    return intervals


class _Variance(NamedTuple):
    """An estimate of a variance, and its degrees of freedom."""

    value: float
    n_free: float

    def plus(self, other: _Variance) -> _Variance:
        """Return the sum, with degrees of freedom by Welch and Satterthwaite."""
        value = self.value + other.value
        uncertainty = self.value**2 / self.n_free + other.value**2 / other.n_free
        return _Variance(value, value**2 / uncertainty if uncertainty > 0 else other.n_free)


def _variance_per_document(points: Sequence[DrawScores]) -> _Variance | None:
    """Return n V(n), the mean over points by how sure it is there; None without enough draws."""
    values, weights, n_free = [], [], []
    for point in points:
        apart = 1 - point.overlap
        if len(point.means) < FEWEST_DRAWS or apart <= 0:
            continue
        between, by_test = point.draw_variances()
        values.append((between - by_test) / apart * point.size)
        n_free.append(len(point.means) - 1)
        noise = by_test / apart * point.size
        weights.append(n_free[-1] / noise**2 if noise > 0 else 0.0)
    if not values:
        return None
    shares = np.array(weights if any(weights) else [1.0] * len(values))
    shares /= shares.sum()
    effective = 1 / float((shares**2 / np.array(n_free)).sum())
    return _Variance(max(0.0, float(shares @ values)), effective)


def _interval(score: float, variance: _Variance, n_test: int) -> Interval:
    """Return Wilson's interval of a share with this variance, with a quantile of Student's t."""
    if variance.value <= 0 or not 0 < score < 1:
        return wilson(score * n_test, n_test)
    from scipy.special import stdtrit

    n = score * (1 - score) / variance.value
    return wilson(score * n, n, float(stdtrit(variance.n_free, 0.975)))
