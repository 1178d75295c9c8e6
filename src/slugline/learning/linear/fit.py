"""Linear weights from all documents at once.

Topics are learned in blocks, so that dense weights are only ever needed for a few topics at a time.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.corpus.splits import make_folds
from slugline.learning.calibration import Calibration, fit_calibration
from slugline.learning.learner import FitContext
from slugline.learning.linear.steps import (
    MANY_ROWS,
    AdaGradDescent,
    Minibatches,
    SampleCosts,
    initial_squared_sums,
    term_rates,
    topic_rarity,
)
from slugline.learning.linear.weights import drop_threshold, hstack_topics, sparsify
from slugline.text.sparse import row_lengths

__all__ = [
    "DEFAULT_CALIBRATION",
    "FittedLinear",
    "HeldOutScores",
    "default_passes",
    "fit_linear",
    "group_equal_rows",
    "renormalize_rows",
    "scale_heldout_scores",
    "scores_in_folds",
]


# Scores of rows by weights that were not learned from them, and what they say of ------------------

#: The calibration where there is nothing to measure on.
DEFAULT_CALIBRATION = Calibration(5.5, 0.01, 0.06)
# Scores spread with this power of the number of rows that they are learned from, as measured over
# training splits from 20 rows to 10,000; probabilities get no surer by that.
_SPREAD_POWER = 0.1
# Rows whose length differs from 1 by less have been scaled to it.
_NEAR = 1e-3
# Rows that are compared at once.
_AT_ONCE = 4096


class HeldOutScores(NamedTuple):
    """Scores that some rows would have had they not been learned from.

    Attributes
    ----------
    rows : int array, shape (n_rows,)
    scores : float32 array, shape (n_rows, n_topics)
    """

    rows: Index
    scores: F32

    def calibration(self, y: I64, costs: F32) -> Calibration:
        """Return what suits the scores, given the topics and costs of all rows."""
        if not len(self.rows):
            return DEFAULT_CALIBRATION
        return fit_calibration(self.scores, y[self.rows], costs[self.rows])


def scale_heldout_scores(scores: F32, share: float) -> F32:
    """Return scores as far apart as if they came of all rows, not of a share of them."""
    return scores * np.float32(share**-_SPREAD_POWER)


def renormalize_rows(X: sp.csr_array, known: Mask) -> sp.csr_array:
    """Return rows of length 1 as long as they would be if only the known columns existed.

    In a new document, a term that nothing was learned of has no column and no part in the row's
    length. In a training document it has one, which is why the scores of rows that were left out
    would be too low: half as high as those of new documents if rows are few.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows of another length than 1 stay as they are: they have not been scaled to it.
    known : bool array, shape (n_columns,)
    """
    squares = sp.csr_array((X.data**2, X.indices, X.indptr), shape=X.shape)
    total, of_known = (
        squares @ np.stack([np.ones_like(known), known], axis=1).astype(np.float32)
    ).T
    scale = np.ones_like(total)
    some = (np.abs(total - 1) < _NEAR) & (of_known > 0)
    scale[some] = 1 / np.sqrt(of_known[some])
    data = X.data * scale.repeat(row_lengths(X.indptr))
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


def group_equal_rows(X: sp.csr_array) -> Index:
    """Return a number for each row, the same for rows that are equal; shape (n_rows,).

    A copy of a document is not left out while the other one is learned from. Rows are compared by
    their product with a random vector, which makes equal numbers of unequal rows once in 10^15.
    """
    vector = np.random.default_rng(0).random(X.shape[1])
    parts = [X[first : first + _AT_ONCE] @ vector for first in range(0, X.shape[0], _AT_ONCE)]
    return np.unique(np.concatenate(parts), return_inverse=True)[1]


# Linear weights from all documents at once --------------------------------------------------------

T = TypeVar("T")
U = TypeVar("U")

# All chosen by cross-validation on training splits.
# Passes over up to so many rows, and over more. Few rows need more steps.
_PASSES = {500: 6, 1000: 5, 2000: 4, MANY_ROWS: 3, 50_000: 2}
_FEWEST_PASSES = 1
# Many rows need smaller steps.
_LEARNING_RATE, _SMALL_LEARNING_RATE = 0.15, 0.1
# Initial sum of squared gradients of a term. If it were 0, the first step would be as long for a
# small error as for a large one.
INITIAL_SQUARED_SUM = 0.3
# The bias of a topic before anything is learned, and of one that never occurs: at first, no row is
# of the topic; and what no row is of is never the most likely.
INITIAL_BIAS, ABSENT_SCORE = -1.0, -10.0
# A document is doubtful if its own topic's score lies by more than this under the highest.
_MARGIN = 1.0
# Up to this share of doubtful documents are hard cases to learn from rather than wrong topics.
_EXPECTED = 0.03
# With fewer rows a topic than this, the scores before a row say little about it.
_ENOUGH_A_TOPIC = 10
# Up to so many rows, each gets scores from a fit without its fold: rows are few, and fits quick. Of
# more rows, a third is learned from once more to judge the others.
_FEW_ROWS, _N_FOLDS, _N_PARTS = 500, 4, 3
# Where fewer rows than this share are different, new ones will be copies of those, too.
_FEW_DIFFERENT = 0.1
# Probabilities are calibrated by at most so many scores, of fewer rows if topics are many.
MAX_SCORES, _FEWEST_WATCHED = 1 << 18, 500
# Of the rows of other topics, a block of topics learns from so many for each row of its own.
_OTHERS = 10
# Topics that are learned at a time, fewer where dense weights for them would be more than this.
MAX_TOPICS, _FEWEST_TOPICS, _MAX_WEIGHTS = 32, 8, 1 << 24
# Up to so many weights stay dense until all documents have been looked at, and are learned at once.
_MAX_DENSE, _MAX_DENSE_PARALLEL = 1 << 26, 1 << 27


def default_passes(n_rows: int) -> int:
    """Return how many passes suit so many rows: from 6 over a few hundred down to 1."""
    return next((n for most, n in _PASSES.items() if n_rows <= most), _FEWEST_PASSES)


@dataclass(frozen=True)
class FittedLinear:
    """What `fit_linear` has learned.

    Attributes
    ----------
    weights : float32 CSR array, shape (n_columns, n_topics)
        Without those too small to matter.
    biases : float32 array, shape (n_topics,)
    calibration : Calibration
    n_left_out : int
        How many rows were left out, as their topic looked wrong.
    left_out : LeftOut
        What it was calibrated by.
    """

    weights: sp.csr_array
    biases: F32
    calibration: Calibration
    n_left_out: int
    left_out: HeldOutScores


def fit_linear(
    X: sp.csr_array,
    y: I64,
    context: FitContext,
    *,
    passes: int | None = None,
    clean: bool = True,
) -> FittedLinear:
    """Learn from rows and their topics.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    y : int array, shape (n_rows,)
    context : FitContext
    passes : int, optional
        Passes over the rows; by default, their number decides.
    clean : bool, default True
        Leave out rows that probably do not belong to their topic, unless topics have very few, or
        are so many that most rows are only learned from by some.
    """
    problem = LinearProblem.of(X, y, context)
    told = np.flatnonzero(problem.costs > 0)
    start, kept = _Training.of(problem, told, passes), told
    if clean:
        kept = _without_doubtful(start, told)
        if len(kept) < len(told):
            start = _Training.of(problem, kept, passes)
    found = start.each_block(start.finish)
    del start  # its minibatches take half as much memory as the rows
    biases = np.concatenate([part.biases for part in found])
    weights = hstack_topics([found.pop(0).weights for _ in problem.blocks])
    biases[problem.totals(kept) == 0] = ABSENT_SCORE
    left_out = score_heldout_rows(problem, told, kept, passes)
    calibration = left_out.calibration(y, problem.costs)
    return FittedLinear(weights, biases, calibration, len(told) - len(kept), left_out)


@dataclass(frozen=True)
class LinearProblem:
    """Rows, their topics and what they cost."""

    X: sp.csr_array
    y: I64
    costs: F32
    context: FitContext
    blocks: list[slice]

    @classmethod
    def of(
        cls, X: sp.csr_array, y: I64, context: FitContext, blocks: list[slice] | None = None
    ) -> LinearProblem:
        """Return the problem; its topics are cut by the memory that they take."""
        if blocks is None:
            width = max(_FEWEST_TOPICS, _MAX_WEIGHTS // max(1, X.shape[1]))
            blocks = topic_batches(context.n_topics, min(MAX_TOPICS, width))
        weight = context.sample_weight
        costs = np.ones(len(y), dtype=np.float32) if weight is None else weight
        return cls(X, y, costs, context, blocks)

    @property
    def is_sampled(self) -> bool:
        """Whether topics are so many that each block learns from a part of the rows."""
        return len(self.blocks) > 1 + _OTHERS

    def totals(self, rows: Index) -> F64:
        """Return what the rows of each topic cost together."""
        costs = self.costs[rows].astype(np.float64)
        return np.bincount(self.y[rows], costs, minlength=self.context.n_topics).astype(np.float64)

    def watched(self, rows: Index, known: Mask | bool = False) -> Index:
        """Return the rows to calibrate by; a topic's only row shows nothing about it.

        Unless the topic is known from before; `known` has the shape (n_topics,).
        """
        several = np.bincount(self.y[rows], minlength=self.context.n_topics) > 1
        rows = rows[(several | known)[self.y[rows]]]
        most = max(_FEWEST_WATCHED, MAX_SCORES // self.context.n_topics)
        return rows if are_few(rows) else rows[:: -(-len(rows) // most)]

    def weighed(self, totals: F64) -> SampleCosts:
        """Return what errors cost if topics have these totals."""
        if self.context.weighted_topics:
            return SampleCosts(self.y, self.costs, self.costs)
        return SampleCosts(self.y, self.costs, self.costs * topic_rarity(totals)[self.y])

    def rates(self, rows: Index) -> F32:
        """Return the learning rate of each term, and last of the biases.

        Many rows tell soon enough what a term is worth.
        """
        rate = np.float32(learning_rate(len(rows)))
        if len(rows) > MANY_ROWS:
            return np.full(self.X.shape[1] + 1, rate)
        return rate * term_rates(self.X, self.y, rows)

    def each_block(self, work: Callable[[slice], T]) -> list[T]:
        """Return what `work` makes of each block of topics, on as many threads as memory allows."""
        size = self.X.shape[1] * (self.blocks[0].stop - self.blocks[0].start)
        n_threads = min(self.context.n_jobs, max(1, _MAX_DENSE_PARALLEL // max(1, size)))
        return map_threads(work, self.blocks, n_threads)


class _BatchWeights(NamedTuple):
    """What one block of topics has learned."""

    weights: sp.csc_array
    biases: F32


@dataclass(frozen=True)
class _Training:
    """Some rows to go through, and descents that have begun."""

    problem: LinearProblem
    rows: Index
    n_passes: int
    costs: SampleCosts
    rates: F32
    begun: dict[int, AdaGradDescent]

    @classmethod
    def of(cls, problem: LinearProblem, rows: Index, passes: int | None) -> _Training:
        """Return passes over rows, none of which has begun."""
        n_passes = passes or default_passes(len(rows))
        costs = problem.weighed(problem.totals(rows))
        return cls(problem, rows, n_passes, costs, problem.rates(rows), {})

    @cached_property
    def batches(self) -> Minibatches:
        """All the rows in minibatches."""
        return self.minibatches(self.rows, 0)

    def minibatches(self, rows: Index, number: int) -> Minibatches:
        """Return some of the rows in minibatches, in an order that seed and `number` determine."""
        rng = np.random.default_rng((self.problem.context.seed, number))
        return Minibatches(self.problem.X, rows, rng, self.n_passes)

    @property
    def n_weights(self) -> int:
        """Number of weights, if they were dense."""
        return self.problem.X.shape[1] * self.problem.context.n_topics

    @property
    def fits(self) -> bool:
        """Whether there is memory for dense weights of all topics at once."""
        return self.n_weights <= _MAX_DENSE

    def doubtful(self, rows: Index) -> Mask:
        """Go through the first pass; return which rows look as if their topic was wrong."""

        def begin(topics: slice) -> tuple[F32, F32]:
            descent = self.descent(topics).run(self.batches, 0, 1)
            if self.fits:
                self.begun[topics.start] = descent
            return descent.highest[rows], descent.right[rows]

        parts = self.each_block(begin)
        highest = functools.reduce(np.maximum, (highest for highest, _ in parts))
        right = functools.reduce(np.maximum, (right for _, right in parts))
        return find_doubtful(highest, right, self.problem.y[rows])

    def each_block(self, work: Callable[[slice], T]) -> list[T]:
        """Return what `work` makes of each block of topics; see `Problem.each_block`."""
        if not self.problem.is_sampled:
            self.batches  # noqa: B018  made once, before there are threads
        return self.problem.each_block(work)

    def finish(self, topics: slice) -> _BatchWeights:
        """Take the passes that are left, and keep only weights that matter."""
        descent = self.run(topics)
        weights = sparsify(descent.weights, drop_threshold(self.n_weights))
        return _BatchWeights(weights, descent.biases)

    def run(self, topics: slice) -> AdaGradDescent:
        """Take the passes that are left."""
        if self.problem.is_sampled:
            return self._sampled(topics)
        begun = self.begun.pop(topics.start, None)
        return begun.run(self.batches, 1) if begun else self.descent(topics).run(self.batches)

    def _sampled(self, topics: slice) -> AdaGradDescent:
        """Descend by the rows of the topics and by some others that stand for all."""
        y = self.problem.y[self.rows]
        is_own = (topics.start <= y) & (y < topics.stop)
        own, others = self.rows[is_own], self.rows[~is_own]
        n_others = min(len(others), _OTHERS * max(1, len(own)))
        rng = np.random.default_rng((self.problem.context.seed, topics.start, 1))
        some = rng.choice(others, n_others, replace=False)
        costs = self.costs.others.copy()
        costs[some] *= np.float32(len(others) / max(1, n_others))
        rows = np.sort(np.concatenate([own, some]))
        descent = self.descent(topics, replace(self.costs, others=costs))
        return descent.run(self.minibatches(rows, topics.start))

    def descent(self, topics: slice, costs: SampleCosts | None = None) -> AdaGradDescent:
        """Return the descent of topics that have learned nothing."""
        n_topics, n_columns = topics.stop - topics.start, self.problem.X.shape[1]
        weights = np.zeros((n_columns, n_topics), dtype=np.float32)
        biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        sums = initial_squared_sums(n_columns, INITIAL_SQUARED_SUM)
        return AdaGradDescent(topics, weights, biases, sums, costs or self.costs, self.rates)


def _without_doubtful(start: _Training, rows: Index) -> Index:
    """Return the rows without those whose topic looks wrong, if these are more than expected."""
    problem = start.problem
    if len(rows) < _ENOUGH_A_TOPIC * problem.context.n_topics or problem.is_sampled:
        return rows
    if not start.fits and len(rows) > MANY_ROWS:
        # What has begun can't be kept, so a part of the rows tells first whether that is needed.
        some = rows[:: -(-len(rows) // MANY_ROWS)]
        if _Training.of(problem, some, 1).doubtful(some).mean() <= _EXPECTED:
            return rows
    doubtful = start.doubtful(rows)
    return rows[~doubtful] if doubtful.mean() > _EXPECTED else rows


def find_doubtful(highest: F32, right: F32, y: I64) -> Mask:
    """Return which rows probably do not belong to their topic, judged by those before them.

    Parameters
    ----------
    highest, right : float32 array, shape (n_rows,)
        The highest score of each row, and that of its topic.
    y : int array, shape (n_rows,)
    """
    far_under = right < highest - _MARGIN
    # A topic that loses most of its rows is hard, or has few; its rows are not wrong for that.
    n_rows, n_far_under = np.bincount(y), np.bincount(y, far_under)
    return far_under & (2 * n_far_under <= n_rows)[y]


def score_heldout_rows(
    problem: LinearProblem, told: Index, kept: Index, passes: int | None, known: Mask | bool = False
) -> HeldOutScores:
    """Return scores of rows by weights of others: of other folds if rows are few, or of one part.

    Equal rows are left out together, unless most rows have so many copies that new ones will, too.

    Parameters
    ----------
    problem : Problem
    told, kept : int array
        The rows, and those of them to learn from.
    passes : int, optional
        See `fit_linear`.
    known : bool array, shape (n_topics,), optional
        See `Problem.watched`.
    """
    judged, y, n_topics = problem.watched(told, known), problem.y, problem.context.n_topics
    in_folds = are_few(told) or problem.context.cross_validate
    groups = group_equal_rows(problem.X)[told]
    n_different = len(np.unique(groups))
    if n_different < max(2, _FEW_DIFFERENT * len(told)):
        groups, n_different = np.arange(len(told)), len(told)
    n_folds = min(_N_FOLDS if in_folds else _N_PARTS, n_different)
    scores = [np.zeros((0, n_topics), dtype=np.float32)]
    rows = [judged[:0]]
    fold_of = np.full(len(y), -1)
    if n_folds > 1:
        fold_of[told] = make_folds(y[told].tolist(), n_folds, problem.context.seed, groups)
    for fold in range(n_folds if in_folds else 1):
        is_held = (fold_of == fold) == in_folds
        rest, held = kept[~is_held[kept]], judged[is_held[judged]]
        held = held[problem.totals(rest)[y[held]] > 0]  # others' topics can't be told
        if len(held):
            rows.append(held)
            part = _fit_and_score(problem, rest, held, passes)
            scores.append(scale_heldout_scores(part, len(rest) / len(kept)))
    found = np.concatenate(rows)
    order = np.argsort(found)
    return HeldOutScores(found[order], np.concatenate(scores)[order])


def scores_in_folds(
    X: sp.csr_array,
    y: I64,
    context: FitContext,
    folds: I64,
    learned: Mask,
    *,
    passes: int | None = None,
) -> F32:
    """Return the score of each row by weights learned from the other folds.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    y : int array, shape (n_rows,)
    context : FitContext
    folds : int array, shape (n_rows,)
        The fold of each row, from 0.
    learned : bool array, shape (n_rows,)
        Which rows to learn from; the others get scores alone.
    passes : int, optional
        See `fit_linear`.

    Returns
    -------
    float32 array, shape (n_rows, n_topics); -10 for a topic that no other fold has.
    """
    problem = LinearProblem.of(X, y, context)
    scores = np.full((len(y), context.n_topics), ABSENT_SCORE, dtype=np.float32)
    for fold in range(int(folds.max(initial=-1)) + 1):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero((folds != fold) & learned)
        if len(held) and len(rest):
            scores[held] = _fit_and_score(problem, rest, held, passes)
    return scores


def _fit_and_score(problem: LinearProblem, rest: Index, held: Index, passes: int | None) -> F32:
    """Return scores of the rows that are held by weights learned from the rest."""
    start = _Training.of(problem, rest, passes)
    known = np.zeros(problem.X.shape[1], dtype=bool)
    known[problem.X[rest].indices] = True
    X = renormalize_rows(problem.X[held], known)

    def score(topics: slice) -> F32:
        descent = start.run(topics)
        scores: F32 = X @ descent.weights + descent.biases
        return scores

    scores = np.concatenate(start.each_block(score), axis=1)
    scores[:, problem.totals(rest) == 0] = ABSENT_SCORE
    return scores


def are_few(rows: Index) -> bool:
    """Whether rows are so few that they are best calibrated by cross-validation."""
    return len(rows) <= _FEW_ROWS


def learning_rate(n_rows: int) -> float:
    """Return what suits so many rows."""
    return _LEARNING_RATE if n_rows <= MANY_ROWS else _SMALL_LEARNING_RATE


def topic_batches(n_topics: int, width: int) -> list[slice]:
    """Return topics in blocks of nearly equal size, at most `width`."""
    n_blocks = -(-n_topics // width)
    bounds = [n_topics * number // n_blocks for number in range(n_blocks + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def map_threads(work: Callable[[U], T], parts: Sequence[U], n_jobs: int) -> list[T]:
    """Return what `work` makes of each part; on one thread, without a pool."""
    if min(n_jobs, len(parts)) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(n_jobs) as pool:
        return list(pool.map(work, parts))
