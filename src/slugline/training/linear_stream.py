"""Trains linear weights: on all documents at once, or on one batch after another."""

from __future__ import annotations

import copy
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.calibration import Calibration, best_calibration
from slugline.splits import make_folds
from slugline.training.context import FitContext
from slugline.training.linear import Costs, Descent, Minibatches, topic_rarity

__all__ = ["CALIBRATION", "LinearStream", "passes_for"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

# All chosen by cross-validation on training splits.
# Passes over up to so many rows, and over more. Few rows need more steps.
_PASSES = {500: 6, 1000: 5, 2000: 4, 20_000: 3}
_FEWEST_PASSES = 2
# Many rows need smaller steps.
_LEARNING_RATE, _SMALL_LEARNING_RATE, _MANY_ROWS = 0.15, 0.1, 20_000
# Initial sum of squared gradients of a term. If it were 0, the first step would be as long for a
# small error as for a large one. Weights that have been learned before move less than fresh ones.
_SUM_AT_FIRST, _SUM_OF_LEARNED = 0.3, 3.0
# The bias of a topic before anything is learned, and of one that never occurs: at first, no row is
# of the topic; and what no row is of is never the most likely.
_BIAS_AT_FIRST, _ABSENT = -1.0, -10.0
# A document is doubtful if its own topic's score lies by more than this under the highest.
_MARGIN = 1.0
# Up to this share of doubtful documents are hard cases to learn from rather than wrong topics.
_EXPECTED = 0.03
# Up to so many rows, calibration comes of cross-validation: what each of few rows has put into its
# own scores tells too little, as it is nearly all there is.
_FEW_ROWS, _N_FOLDS = 2000, 4
# Probabilities are calibrated by at most so many scores, of fewer rows if topics are many, and move
# away from what they were before as the rows become this many.
_MOST_SCORES, _ENOUGH_ROWS = 1 << 18, 50
# Without a row, others would make up for a little of what it has put into its own scores.
_OWN_SHARE = np.float32(0.95)
# Topics that are learned at a time, in memory of their own and on a thread of their own.
_TOPICS_AT_A_TIME = 64
#: What there is nothing to measure on.
CALIBRATION = Calibration(5.0, 0.01)


def passes_for(n_rows: int) -> int:
    """Return how many passes suit so many rows: from 6 over a few hundred down to 2."""
    return next((n for most, n in _PASSES.items() if n_rows <= most), _FEWEST_PASSES)


class LinearStream:
    """Weights, and what is kept from batch to batch to learn on.

    Parameters
    ----------
    weights : float32 array, shape (n_columns, n_topics)
        What was learned before, or zeros. Changed in place.
    biases : float32 array, shape (n_topics,)
        Likewise.
    calibration : Calibration
        What is assumed at first.
    first : bool
        Whether nothing has been learned yet.
    passes : int or None
        Passes over the rows of a batch; by default, their number decides.
    seed : int
        Determines the order of the rows.

    Attributes
    ----------
    calibration : Calibration
    n_left_out : int
        Number of rows of the latest batch that were left out, as their topic looked wrong.
    left_out : (int array, shape (n_rows,), float32 array, shape (n_rows, n_topics))
        Some rows of the latest batch, and their scores had they not been learned from.
    """

    left_out: tuple[Rows, Floats]

    def __init__(
        self,
        weights: Floats,
        biases: Floats,
        *,
        calibration: Calibration = CALIBRATION,
        first: bool = True,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        self.weights, self.biases = weights, biases
        self.calibration, self.n_left_out = calibration, 0
        self._is_first, self._passes = first, passes
        self._seed, self._rng = seed, np.random.default_rng(seed)
        start = _SUM_AT_FIRST if first else _SUM_OF_LEARNED
        self._sums = np.full((len(_blocks(len(biases))), len(weights) + 1), start, np.float32)
        self._totals = np.zeros(len(biases))
        self._recent = _Scores.of_nothing(len(biases))

    @classmethod
    def of_nothing(
        cls, n_columns: int, n_topics: int, *, passes: int | None = None, seed: int = 0
    ) -> LinearStream:
        """Return a stream that has learned nothing yet."""
        weights = np.zeros((n_columns, n_topics), dtype=np.float32)
        biases = np.full(n_topics, _BIAS_AT_FIRST, dtype=np.float32)
        return cls(weights, biases, passes=passes, seed=seed)

    def copy(self) -> LinearStream:
        """Return the same, to learn on; only the weights are still those of both."""
        twin = copy.copy(self)
        for name in ("biases", "_sums", "_totals", "_rng"):
            setattr(twin, name, copy.deepcopy(getattr(self, name)))
        return twin

    def widen(self, moved: Rows, n_columns: int) -> None:
        """Make room for new columns.

        Parameters
        ----------
        moved : int array, shape (n_columns_before,)
            Where each column is now.
        n_columns : int
        """
        weights = np.zeros((n_columns, self._n_topics), dtype=np.float32)
        sums = np.full((len(self._sums), n_columns + 1), _SUM_AT_FIRST, dtype=np.float32)
        weights[moved] = self.weights
        sums[:, moved], sums[:, -1] = self._sums[:, :-1], self._sums[:, -1]
        self.weights, self._sums = weights, sums

    def learn(self, X: sp.csr_array, y: Labels, context: FitContext, *, clean: bool) -> None:
        """Go through the rows of a batch a few times.

        If this fails or is interrupted, the weights are as they were.

        Parameters
        ----------
        clean : bool
            Leave out rows whose topic looks wrong. Only of a first batch.
        """
        named = np.unique(X.indices)
        before = self.weights[named]
        try:
            self._learn(X, y, context, clean)
        except BaseException:
            self.weights[named] = before
            raise

    def _learn(self, X: sp.csr_array, y: Labels, context: FitContext, clean: bool) -> None:
        weight = context.sample_weight
        costs = np.ones(len(y), dtype=np.float32) if weight is None else weight
        told = np.flatnonzero(costs > 0)
        run = self._begin(X, y, costs, told, context)
        run.go(1)
        if clean and self._is_first:
            kept = told[~_doubtful(run.before[told], y[told])]
            if len(told) - len(kept) > _EXPECTED * len(told):
                self.n_left_out, told = len(told) - len(kept), kept
                self._forget()
                run = self._begin(X, y, costs, told, context)
                run.go(1)
        run.go((self._passes or passes_for(len(told))) - 1)
        self.biases[self._totals == 0] = _ABSENT
        self._calibrate(run, X, y, costs, context)
        self._is_first = False

    @property
    def _n_topics(self) -> int:
        return len(self.biases)

    def _begin(
        self, X: sp.csr_array, y: Labels, costs: Floats, rows: Rows, context: FitContext
    ) -> _Run:
        self._totals += np.bincount(y[rows], costs[rows], minlength=len(self._totals))
        own = costs if context.weighted_topics else costs * topic_rarity(self._totals)[y]
        rate = _LEARNING_RATE if len(rows) <= _MANY_ROWS else _SMALL_LEARNING_RATE
        descents = [
            Descent(topics, self.weights[:, topics], self.biases[topics], sums, rate)
            for topics, sums in zip(_blocks(len(self.biases)), self._sums, strict=True)
        ]
        batches = Minibatches(X, rows, self._rng)
        return _Run(descents, batches, Costs(y, costs, own), context.n_jobs)

    def _forget(self) -> None:
        """Start again from nothing."""
        self.weights[:], self.biases[:] = 0, _BIAS_AT_FIRST
        self._sums[:], self._totals[:] = _SUM_AT_FIRST, 0

    def _calibrate(
        self, run: _Run, X: sp.csr_array, y: Labels, costs: Floats, context: FitContext
    ) -> None:
        """Calibrate by scores that the latest rows would have had they not been learned from.

        Of later batches, these are the scores from before; the first one's were learned from
        nothing. A topic's only row shows nothing about it. Rows that were left out are among them:
        there will be more of their kind.
        """
        rows = np.flatnonzero(costs > 0)
        several = np.bincount(y[rows], minlength=self._n_topics) > 1
        rows = rows[several[y[rows]]]
        rows = rows[:: max(1, len(rows) * self._n_topics // _MOST_SCORES)]
        if not self._is_first:
            scores = run.before[rows]
        elif len(rows) <= _FEW_ROWS:
            rows, scores = self._cross_validated(X, y, rows, context)
        else:
            scores = X[rows] @ self.weights + self.biases - _OWN_SHARE * run.own[rows]
        self.left_out = rows, scores
        self._recent = self._recent.then(scores, y[rows], costs[rows])
        if len(rows):
            self.calibration = self._recent.calibration(self.calibration)

    def _cross_validated(
        self, X: sp.csr_array, y: Labels, rows: Rows, context: FitContext
    ) -> tuple[Rows, Floats]:
        """Return scores of rows by streams that have not seen them."""
        if len(rows) < 2:
            return rows[:0], np.zeros((0, len(self.biases)), dtype=np.float32)
        folds = make_folds(y[rows].tolist(), min(_N_FOLDS, len(rows)), self._seed)
        scores = np.empty((len(rows), len(self.biases)), dtype=np.float32)
        for fold in range(folds.max() + 1):
            rest, held = rows[folds != fold], rows[folds == fold]
            weights = np.zeros_like(self.weights)
            biases = np.full_like(self.biases, _BIAS_AT_FIRST)
            part = LinearStream(weights, biases, passes=self._passes, seed=self._seed)
            weight = context.sample_weight
            costs = np.ones(len(y), dtype=np.float32) if weight is None else weight
            part._begin(X, y, costs, rest, context).go(self._passes or passes_for(len(rest)))
            biases[part._totals == 0] = _ABSENT
            scores[folds == fold] = X[held] @ weights + biases
        return rows, scores


class _Run:
    """Some passes over rows by the descents of all topics.

    Attributes
    ----------
    before : float32 array, shape (n_rows, n_topics)
        Scores of each row before anything was learned from it.
    own : float32 array, shape (n_rows, n_topics)
        What each row has put into its own scores.
    """

    def __init__(
        self, descents: list[Descent], batches: Minibatches, costs: Costs, n_jobs: int
    ) -> None:
        self._descents, self._batches, self._costs, self._n_jobs = descents, batches, costs, n_jobs
        shape = len(costs.y), sum(len(descent.biases) for descent in descents)
        self.before = np.zeros(shape, dtype=np.float32)
        self.own = np.zeros(shape, dtype=np.float32)
        self._started = False

    def go(self, n_passes: int) -> None:
        """Go through the rows so many more times."""
        passes = self._batches.passes(n_passes)

        def run(descent: Descent) -> None:
            before, own = descent.run(passes, self._costs)
            self.own[:, descent.topics] += own
            if not self._started:
                self.before[:, descent.topics] = before

        with ThreadPoolExecutor(self._n_jobs) as pool:
            list(pool.map(run, self._descents))
        self._started = True


@dataclass(frozen=True)
class _Scores:
    """Scores of rows that were not learned from, the latest ones."""

    scores: Floats
    y: Labels
    costs: Floats

    @classmethod
    def of_nothing(cls, n_topics: int) -> _Scores:
        none = np.zeros(0, dtype=np.float32)
        return cls(np.zeros((0, n_topics), dtype=np.float32), np.zeros(0, dtype=np.int64), none)

    def then(self, scores: Floats, y: Labels, costs: Floats) -> _Scores:
        """Return these and more, but of the latest ones only as many as are worth keeping."""
        latest = slice(-max(1, _MOST_SCORES // scores.shape[1]), None)
        return _Scores(
            np.concatenate([self.scores, scores])[latest],
            np.concatenate([self.y, y])[latest],
            np.concatenate([self.costs, costs])[latest],
        )

    def calibration(self, before: Calibration) -> Calibration:
        """Return what fits them; if they are few, it stays near the one before."""
        share = min(1.0, len(self.y) / _ENOUGH_ROWS)
        found = best_calibration(self.scores, self.y, self.costs)
        return Calibration(
            float(found.sharpness**share * before.sharpness ** (1 - share)),
            share * found.doubt + (1 - share) * before.doubt,
        )


def _blocks(n_topics: int) -> list[slice]:
    """Return topics in blocks of nearly equal size."""
    n_blocks = -(-n_topics // _TOPICS_AT_A_TIME)
    bounds = [n_topics * number // n_blocks for number in range(n_blocks + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def _doubtful(scores: Floats, y: Labels) -> Mask:
    """Return which rows probably do not belong to their topic, judged by those before them."""
    far_under = scores[np.arange(len(y)), y] < scores.max(axis=1) - _MARGIN
    # A topic that loses most of its rows is hard, or has few; its rows are not wrong for that.
    n_rows, n_far_under = np.bincount(y), np.bincount(y, far_under)
    return far_under & (2 * n_far_under <= n_rows)[y]
