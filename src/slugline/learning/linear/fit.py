"""Learns linear weights from all documents at once.

Topics are learned in batches, so that weights are dense for only a few topics at a time.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.base.memory import release_memory
from slugline.base.progress import LongStep
from slugline.corpus.splits import make_folds
from slugline.learning.calibration import AnyCalibration
from slugline.learning.heldout import MAX_SCORES, HeldOutScores
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.dual import DualProblem, Minimum
from slugline.text.packed_rows import PackedRows
from slugline.text.sparse import SparseRows, row_lengths, row_offsets, row_slices, score_rows

S = TypeVar("S")
T = TypeVar("T")

# All constants were chosen by cross-validation on training splits.
# The number of passes over at most this many rows, and over more: few rows need more steps.
_PASSES = {500: 6, 1000: 5, 2000: 4, steps.MANY_ROWS: 3, 50_000: 2}
_MIN_PASSES = 1
# With many rows, steps must be smaller.
_LEARNING_RATE, _SMALL_LEARNING_RATE = 0.15, 0.1
# Initial sum of squared gradients of a term. If it were 0, the first step would be as long for a
# small error as for a large one.
INITIAL_SQUARED_SUM = 0.3
# The bias of a topic before learning, when no row is known to have it; and of one that never
# occurs, which is then never the most likely.
INITIAL_BIAS, ABSENT_SCORE = -1.0, -10.0
# A document is doubtful if the score of its topic is below the highest score by more than this.
_MARGIN = 1.0
# Up to this fraction of doubtful documents are hard cases to learn from rather than wrong topics.
_EXPECTED_DOUBTFUL = 0.03
# A small sample of many rows has nearly as large a fraction of doubtful ones as a larger sample: of
# topics of which a tenth is wrong, 0.082 of 5,000 and 0.092 of 20,000. If it has at most this
# fraction, no larger sample is tried.
_FEW_TRIED, _MIN_TRIED_PER_TOPIC, _FEW_DOUBTFUL = 5_000, 50, 0.003
# With fewer rows per topic, scores from before rows were learned from say little.
_MIN_ROWS_PER_TOPIC = 10
# If there are few rows, each is scored by a fit without its fold. If there are more, one part of
# the rows is scored by a fit to the other parts.
_N_FOLDS, _N_PARTS = 4, 3
# With more rows than this, of several topics each, folds take one pass less: on training splits of
# five sets, micro-F1 changed by at most 0.001, log loss by -0.023 to 0.002.
_MANY_ROWS_IN_FOLDS = 2000
# If less than this fraction of the rows is distinct, new rows will mostly be copies as well.
_FEW_DIFFERENT = 0.1
# A single pass scores at most one of so many parts of the rows before it learns from them.
_MIN_PARTS = 5
# Probabilities are calibrated on at least this many rows, if there are enough.
_MIN_CALIBRATION_ROWS = 500
# Memory is not given back to the system before at most this many weights are learned: getting it
# again would take a tenth of a fit to a few hundred rows.
_FEW_WEIGHTS = 1 << 20
# The smallest number of topics that are learned at a time.
_MIN_TOPICS = 8

# The spread of scores grows with this power of the number of rows that they are learned from, as
# measured on training splits with 20 to 10,000 rows, without making probabilities surer.
_SPREAD_POWER = 0.1
# Rows whose squared length differs from 1 by less have been scaled to it.
_NEAR = 1e-3


def default_passes(n_rows: int) -> int:
    """Return the number of passes over `n_rows` rows: from 6 for a few hundred rows down to 1."""
    return next((n for most, n in _PASSES.items() if n_rows <= most), _MIN_PASSES)


# Scores of held-out rows -------------------------------------------------------------------------


def scale_heldout_scores(scores: F32, fraction: float) -> F32:
    """Scale scores learned from a fraction of the rows to the spread of scores learned from all."""
    return scores * np.float32(fraction**-_SPREAD_POWER)


def renormalize_rows(X: sp.csr_array, known_columns: Mask) -> sp.csr_array:
    """Scale rows of length 1 to the length that they would have if only known columns existed.

    In a new document, a term that training has not seen has no column and no part in the row's
    length. In a held-out training document it has one, so the scores would be too low: half as high
    as those of new documents if rows are few.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows whose length is not 1 are not changed.
    known_columns : bool array, shape (n_columns,)
    """
    squares = sp.csr_array((X.data**2, X.indices, X.indptr), shape=X.shape)
    masks = np.stack([np.ones_like(known_columns), known_columns], axis=1).astype(np.float32)
    total, known_squares = (squares @ masks).T
    scale = np.ones_like(total)
    is_unit = (np.abs(total - 1) < _NEAR) & (known_squares > 0)
    scale[is_unit] = 1 / np.sqrt(known_squares[is_unit])
    data = X.data * scale.repeat(row_lengths(X.indptr))
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


def renormalized_parts(X: sp.csr_array, rows: Index, known_columns: Mask) -> Iterator[sp.csr_array]:
    """Yield some of the rows, a few at a time, as `renormalize_rows` scales them."""
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        yield renormalize_rows(X[rows[part]], known_columns)


def find_columns(X: PackedRows | sp.csr_array, rows: Index) -> Mask:
    """Return a mask of the columns in which some of the rows have entries."""
    has_entries = np.zeros(X.shape[1], dtype=bool)
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        has_entries[steps.take_columns(X, rows[part])[0]] = True
    return has_entries


def group_equal_rows(X: PackedRows | sp.csr_array) -> Index:
    """Return a number for each row, which is the same for equal rows; shape (n_rows,).

    Used to hold out all copies of a document together. Rows are compared by their product with a
    random vector, which is the same for different rows once in 10^15.
    """
    vector = np.random.default_rng(0).random(X.shape[1])
    products = [X[part] @ vector for part in row_slices(X.indptr)]
    return np.unique(np.concatenate(products), return_inverse=True)[1]


# Fitting -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FitLimits:
    """The sizes at which a problem is solved in another way."""

    # Up to which weights are those at the minimum, and rows are scored by fits without their fold.
    few_rows: int = steps.FEW_ROWS
    many_rows: int = steps.MANY_ROWS  # above which all terms have one learning rate, a smaller one
    max_topics: int = 32  # that are learned at a time; fewer where dense weights exceed the next
    max_weights: int = 1 << 24
    max_dense: int = 1 << 26  # weights that stay dense until all documents have been checked
    max_dense_parallel: int = 1 << 27  # weights that are learned at once
    max_scores: int = MAX_SCORES
    negatives_per_positive: int = 10  # rows of other topics that a batch learns from

    def most_topics(self, n_columns: int) -> int:
        """Return how many topics may have dense weights at a time."""
        return max(_MIN_TOPICS, self.max_weights // max(1, n_columns))


@dataclass(frozen=True)
class FittedLinear:
    """Result of `fit_linear`."""

    weights: sp.csr_array  # shape (n_columns, n_topics): without those too small to matter
    biases: F32  # shape (n_topics,)
    calibration: AnyCalibration
    # Number of rows that were not learned from because their topic looked wrong.
    n_suspect_labels: int
    heldout: HeldOutScores  # the scores that probabilities were calibrated on


def fit_linear(
    X: PackedRows | sp.csr_array,
    labels: Labels,
    context: FitContext,
    *,
    passes: int | None = None,
    clean: bool = True,
    limits: FitLimits | None = None,
) -> FittedLinear:
    """Return the weights, biases and calibration learned from rows.

    Parameters
    ----------
    X : PackedRows, or float32 CSR array, shape (n_rows, n_columns)
    labels : Labels
    context : FitContext
    passes : int, optional
        Passes over the rows; by default, their number decides.
    clean : bool, default True
        Whether to leave out rows that probably don't belong to their topic. None are left out if
        topics have very few rows, or if there are so many topics that each batch learns from a
        sample of rows.
    limits : FitLimits, optional
    """
    problem = LinearProblem.from_rows(X, labels, context, limits=limits)
    with closing(context.progress):
        return _fit_and_calibrate(problem, passes, clean)


def _fit_and_calibrate(problem: LinearProblem, passes: int | None, clean: bool) -> FittedLinear:
    rows = problem.counted_rows
    last = _LastRows.choose(problem, rows, passes)
    training = _Training.from_problem(problem, rows, passes, last=last)
    clean_rows = rows
    if clean and not problem.labels.multilabel:
        clean_rows = _without_doubtful(training, rows)
        if len(clean_rows) < len(rows):
            training = _Training.from_problem(problem, clean_rows, passes, last=last)
    heldout_fit = None
    if problem.labels.multilabel and training.last is None:
        # Fits that hold out rows share the threads with the fit to all rows: no thread waits for a
        # last batch. With one topic each, dense weights of both would take too much memory.
        heldout_fit = _HeldOutFit.from_rows(problem, rows, clean_rows, passes, beside=training)
    ends, scores = training.finish_batches(heldout_fit.tasks() if heldout_fit else [])
    heldout = heldout_fit.join(scores) if heldout_fit else training.heldout_scores()
    start = training.coefficients
    del training, heldout_fit
    if problem.X.shape[1] * problem.context.n_topics > _FEW_WEIGHTS:
        release_memory()  # before weights are in memory twice
    biases, parts = np.concatenate([bias_part for _, bias_part in ends]), [part for part, _ in ends]
    del ends  # so that a part can be freed when it has been copied
    weights = steps.hstack_topics(parts)
    biases[problem.totals(clean_rows) == 0] = ABSENT_SCORE
    if heldout is None:
        heldout = score_heldout_rows(problem, rows, clean_rows, passes, start=start)
    calibration = heldout.calibration(problem.labels, problem.costs)
    return FittedLinear(weights, biases, calibration, len(rows) - len(clean_rows), heldout)


@dataclass(frozen=True)
class LinearProblem:
    """Rows with their labels and costs, and the batches in which topics are learned."""

    X: PackedRows | sp.csr_array
    labels: Labels
    costs: F32
    context: FitContext
    batches: list[slice]
    limits: FitLimits
    is_stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def from_rows(
        cls,
        X: PackedRows | sp.csr_array,
        labels: Labels,
        context: FitContext,
        batches: list[slice] | None = None,
        limits: FitLimits | None = None,
    ) -> LinearProblem:
        """Return the problem; by default, batches are as large as memory allows."""
        limits = limits or FitLimits()
        if batches is None:
            width = min(limits.max_topics, limits.most_topics(X.shape[1]))
            batches = topic_batches(context.n_topics, width)
        weight = context.sample_weight
        costs = np.ones(len(labels), dtype=np.float32) if weight is None else weight
        return cls(X, labels, costs, context, batches, limits)

    def are_few(self, rows: Index) -> bool:
        """Return whether rows are so few that calibration by cross-validation is best."""
        return len(rows) <= self.limits.few_rows

    def learning_rate(self, n_rows: int) -> float:
        """Return the learning rate for `n_rows` rows."""
        return _LEARNING_RATE if n_rows <= self.limits.many_rows else _SMALL_LEARNING_RATE

    @property
    def is_sampled(self) -> bool:
        """Whether there are so many topics that each batch learns from a sample of the rows."""
        return len(self.batches) > 1 + self.limits.negatives_per_positive

    def totals(self, rows: Index) -> F64:
        """Return the total cost of each topic's rows."""
        return self.labels.take(rows).totals(self.context.n_topics, self.costs[rows])

    def calibration_rows(self, rows: Index, known_topics: Mask | bool = False) -> Index:
        """Return the rows to calibrate on: without the only rows of new topics.

        Parameters
        ----------
        rows : int array
        known_topics : bool array, shape (n_topics,), optional
        """
        if not self.labels.multilabel:
            y = self.labels.topics[rows]
            is_frequent = np.bincount(y, minlength=self.context.n_topics) > 1
            rows = rows[(is_frequent | known_topics)[y]]
        kind = label_type(multilabel=self.labels.multilabel)
        n_scores = kind.max_scores(self.limits.max_scores)
        most = max(_MIN_CALIBRATION_ROWS, n_scores // self.context.n_topics)
        return rows if self.are_few(rows) else rows[:: -(-len(rows) // most)]

    def sample_costs(self, totals: F64) -> steps.SampleCosts:
        """Return the costs of errors, given the totals of topics."""
        positive = self.costs[self.labels.rows]
        if not self.context.weighted_topics:
            positive = positive * steps.topic_rarity(totals)[self.labels.topics]
        return steps.SampleCosts(self.labels, self.costs, positive)

    @cached_property
    def is_small(self) -> bool:
        """Whether rows are so few that weights are computed at the minimum."""
        return not self.labels.multilabel and self.are_few(self.counted_rows)

    @cached_property
    def counted_rows(self) -> Index:
        """Rows that have a weight."""
        return np.flatnonzero(self.costs > 0)

    @cached_property
    def relevance_power(self) -> int:
        """The power of relevance in the learning rates of terms."""
        n_topics = int(np.count_nonzero(self.totals(self.counted_rows)))
        return steps.relevance_power(len(self.counted_rows), n_topics, self.labels.multilabel)

    def rates(self, rows: Index) -> F32:
        """Return the learning rate of each term, followed by that of the biases; or a single one.

        With many rows, all terms have the same rate, as their weights are learned fast enough.
        """
        rate = np.float32(self.learning_rate(len(rows)))
        if len(rows) > self.limits.many_rows:
            return np.full(1, rate)
        return rate * steps.term_rates(self.X, self.labels, rows, self.relevance_power)

    def map_batches(self, function: Callable[[slice], T]) -> list[T]:
        """Apply a function to each batch of topics; see `map`."""
        return self.map(function, self.batches)

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """Apply a function that learns one batch of topics to items.

        They are on as many threads as memory allows.
        """
        size = self.X.shape[1] * (self.batches[0].stop - self.batches[0].start)
        n_threads = min(self.context.n_jobs, max(1, self.limits.max_dense_parallel // max(1, size)))
        if min(n_threads, len(items)) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                return list(pool.map(function, items))
            except BaseException:  # such as Ctrl-C: the threads need not go on
                self.is_stopped.set()
                raise


@dataclass(frozen=True)
class _LastRows:
    """Rows that a single pass learns from last.

    Before that, they are scored, so that no other fit is needed to hold rows out.
    """

    mask: Mask  # shape (n_rows,)
    rows: Index  # shape (n_scored,): all of them, in ascending order

    @classmethod
    def choose(cls, problem: LinearProblem, rows: Index, passes: int | None) -> _LastRows | None:
        """Return a part of many rows with all copies of each; None with more than one pass."""
        if (passes or default_passes(len(rows))) > 1 or len(rows) <= problem.limits.many_rows:
            return None
        if problem.context.cross_validate:
            return None
        n_scored = len(problem.calibration_rows(rows))
        n_parts = max(_MIN_PARTS, len(rows) // max(1, n_scored))
        fold_of, n_parts = split_rows(problem, rows, n_parts)
        if n_parts < 2:
            return None
        mask = fold_of == 0
        return cls(mask, np.flatnonzero(mask))


class _Coefficients(NamedTuple):
    """The coefficients of rows at the minimum, from which fits to some of the rows start."""

    rows: Index  # in ascending order
    values: F32  # shape (n_topics, n_rows)

    def take(self, rows: Index) -> F32:
        """Return the coefficients of some of the rows."""
        return self.values[:, np.searchsorted(self.rows, rows)]


@dataclass(frozen=True)
class _Training:
    """Passes over some rows, with the state of descents after their first pass."""

    problem: LinearProblem
    rows: Index
    n_passes: int
    costs: steps.SampleCosts
    step: LongStep
    is_exact: bool
    last: _LastRows | None = None
    start: _Coefficients | None = None
    started: dict[int, steps.AdaGradDescent] = field(default_factory=dict)
    last_scores: dict[int, F32] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)  # first topics of batches after all passes

    @classmethod
    def from_problem(
        cls,
        problem: LinearProblem,
        rows: Index,
        passes: int | None,
        step: str = "learning from",
        last: _LastRows | None = None,
        start: _Coefficients | None = None,
    ) -> _Training:
        """Return the training on rows, of which `last` are scored if there is a single pass.

        A search for the minimum begins at `start`, which has these rows.
        """
        costs = problem.sample_costs(problem.totals(rows))
        n_passes = passes or default_passes(len(rows))
        progress = problem.context.progress
        long_step = LongStep(progress, f"{step} {len(rows):,} documents", len(problem.batches))
        is_exact = passes is None and problem.is_small
        return cls(
            problem=problem,
            rows=rows,
            n_passes=n_passes,
            costs=costs,
            step=long_step,
            is_exact=is_exact,
            last=last if n_passes == 1 else None,
            start=start,
        )

    @cached_property
    def rates(self) -> F32:
        """The learning rate of each term, followed by that of the biases; or a single one."""
        return self.problem.rates(self.rows)

    @cached_property
    def batches(self) -> list[steps.Minibatches]:
        """All the rows in minibatches; see `minibatches`."""
        return self.minibatches(self.rows, 0)

    def minibatches(self, rows: Index, number: int) -> list[steps.Minibatches]:
        """Return some of the rows in minibatches, in an order determined by seed and `number`.

        Rows that are scored before they are learned from have minibatches of their own.
        """
        rng = np.random.default_rng((self.problem.context.seed, number))
        parts = [rows]
        if self.last is not None:
            is_last = self.last.mask[rows]
            parts = [rows[~is_last], rows[is_last]]
        return [steps.Minibatches(self.problem.X, part, rng, self.n_passes) for part in parts]

    @cached_property
    def first_rows(self) -> Index:
        """The rows that are learned from before others are scored."""
        return self.rows if self.last is None else self.rows[~self.last.mask[self.rows]]

    @cached_property
    def known_columns(self) -> Mask:
        """A mask of the columns of these rows."""
        return find_columns(self.problem.X, self.first_rows)

    def _descend(
        self,
        descent: steps.AdaGradDescent,
        batches: list[steps.Minibatches],
        first: int = 0,
        last: int | None = None,
    ) -> steps.AdaGradDescent:
        """Do the passes from `first` up to `last - 1`, and score the last rows on the way."""
        n_steps = sum(part.n_steps for part in batches)
        for part in batches:
            if part is not batches[0] and self.last is not None:
                scores = self._score(descent, self.last.rows)
                self.last_scores[descent.topics.start] = scores
            weight = part.n_steps / n_steps
            descent.run(part, first, last, lambda fraction: self.report(weight * fraction))  # noqa: B023
        return descent

    def _score(self, end: steps.AdaGradDescent | Minimum, rows: Index) -> F32:
        """Return scores of rows that have not been learned from."""
        parts = renormalized_parts(self.problem.X, rows, self.known_columns)
        scores: F32 = np.concatenate(
            [score_rows(end.weights, SparseRows.from_csr(part)) for part in parts]
        )
        scores += end.biases
        return scores

    def score(self, topics: slice, rows: Index) -> F32:
        """Return scores of rows that are not learned from by weights after all passes."""
        return self._score(self.run(topics), rows)

    def heldout_scores(self) -> HeldOutScores | None:
        """Return the scores of the last rows before they were learned from; None if none were."""
        if self.last is None:
            return None
        problem, rows = self.problem, self.last.rows
        scores = np.concatenate([self.last_scores[part.start] for part in problem.batches], axis=1)
        is_absent = problem.totals(self.first_rows) == 0
        scores[:, is_absent] = ABSENT_SCORE
        scores = scale_heldout_scores(scores, len(self.first_rows) / len(self.rows))
        if not problem.labels.multilabel:  # topics that no other row has can't be predicted
            is_scored = ~is_absent[problem.labels.topics[rows]]
            rows, scores = rows[is_scored], scores[is_scored]
        return HeldOutScores(rows, scores, self.first_rows)

    def report(self, fraction: float) -> None:
        """Report progress in the passes of a batch of topics; end the thread if requested."""
        if self.problem.is_stopped.is_set():
            raise CancelledError
        self.step.add(fraction)

    @property
    def n_weights(self) -> int:
        """Number of weights if all were stored."""
        return self.problem.X.shape[1] * self.problem.context.n_topics

    @property
    def fits(self) -> bool:
        """Whether dense weights of all topics fit into memory at once."""
        return self.n_weights <= self.problem.limits.max_dense

    def doubtful(self, rows: Index) -> Mask:
        """Do the first pass; return a mask of the rows whose topic looks wrong."""

        def start(topics: slice) -> tuple[F32, F32]:
            descent = self._descend(self.descent(topics), self.batches, 0, 1)
            if self.fits and not self.is_exact:
                self.started[topics.start] = descent
            return descent.highest[rows], descent.right[rows]

        self.prepare()
        highest, right = zip(*self.problem.map_batches(start), strict=True)
        maximum = functools.partial(functools.reduce, np.maximum)
        return find_doubtful(maximum(highest), maximum(right), self.problem.labels.topics[rows])

    def finish_batches(
        self, others: Sequence[Callable[[], T]]
    ) -> tuple[list[tuple[Any, F32]], list[T]]:
        """Apply `finish` to each batch and, on the same threads, call other functions."""
        self.prepare()
        tasks: list[Callable[[], Any]] = [
            functools.partial(self.finish, topics) for topics in self.problem.batches
        ]
        n_batches = len(tasks)
        results = self.problem.map(_call, [*tasks, *others])
        return results[:n_batches], results[n_batches:]

    def prepare(self) -> None:
        """Make what all batches use, before threads start."""
        self.rates  # noqa: B018
        if self.is_exact:
            self.dual_problem  # noqa: B018
        elif not self.problem.is_sampled:
            self.batches  # noqa: B018
        if self.last is not None:
            self.known_columns  # noqa: B018
        if not self.is_exact and self.n_weights > _FEW_WEIGHTS:
            release_memory()  # before weights are dense

    def finish(self, topics: slice) -> tuple[Any, F32]:
        """Do the remaining passes; return the weights, without negligible ones, and the biases."""
        end, threshold = self.run(topics), steps.drop_threshold(self.n_weights)
        if self.is_exact:
            threshold = steps.THRESHOLD_AT_MINIMUM
        # Many weights of several batches wait for the others in little memory.
        are_few = len(self.problem.batches) == 1 or self.n_weights <= _FEW_WEIGHTS
        thin_out = steps.sparsify if are_few else steps.TopicWeights.from_dense
        return thin_out(end.weights, threshold), end.biases.astype(np.float32, copy=False)

    def run(self, topics: slice) -> steps.AdaGradDescent | Minimum:
        """Return the weights at the minimum or, if that would take long, after all passes."""
        if self.is_exact:
            return self._minimum(topics)
        if self.problem.is_sampled:
            return self._run_sampled(topics)
        descent = self.started.pop(topics.start, None)
        first = 1 if descent else 0
        end = self._descend(descent or self.descent(topics), self.batches, first)
        self.ended.append(topics.start)
        if len(self.ended) == len(self.problem.batches):
            for part in self.batches:
                part.release()
        return end

    @cached_property
    def dual_problem(self) -> DualProblem:
        """All the rows, and the costs of their errors for all topics."""
        problem, n_rows = self.problem, len(self.rows)
        totals = problem.totals(self.rows)
        is_weighted = problem.context.weighted_topics
        rarity = np.ones(len(totals)) if is_weighted else steps.topic_rarity(totals)
        return DualProblem.from_rows(
            problem.X[self.rows],
            problem.labels.topics[self.rows],
            problem.costs[self.rows],
            rarity.astype(np.float32),
            self.rates[:-1] / np.float32(problem.learning_rate(n_rows)),
            None if self.start is None else self.start.take(self.rows),
        )

    @property
    def coefficients(self) -> _Coefficients | None:
        """The coefficients of rows, after `finish` of all topics; None if not at the minimum."""
        if not self.is_exact:
            return None
        return _Coefficients(self.rows, self.dual_problem.coefficients)

    def _minimum(self, topics: slice) -> Minimum:
        """Return the weights and biases at the minimum."""
        self.report(0)
        minimum = self.dual_problem.minimum(topics)
        fraction = (topics.stop - topics.start) / self.problem.context.n_topics
        self.report(fraction * len(self.problem.batches))
        return minimum._replace(biases=minimum.biases.astype(np.float32))

    def _run_sampled(self, topics: slice) -> steps.AdaGradDescent:
        """Learn from the rows of the topics, and from a sample of the other rows."""
        labels = self.problem.labels.take(self.rows)
        is_here = (topics.start <= labels.topics) & (labels.topics < topics.stop)
        is_positive = np.zeros(len(labels), dtype=bool)
        is_positive[labels.rows[is_here]] = True
        positives, negatives = self.rows[is_positive], self.rows[~is_positive]
        n_wanted = self.problem.limits.negatives_per_positive * max(1, len(positives))
        n_sampled = min(len(negatives), n_wanted)
        rng = np.random.default_rng((self.problem.context.seed, topics.start, 1))
        sample = rng.choice(negatives, n_sampled, replace=False)
        costs = self.costs.negative.copy()
        costs[sample] *= np.float32(len(negatives) / max(1, n_sampled))
        rows = np.sort(np.concatenate([positives, sample]))
        descent = self.descent(topics, replace(self.costs, negative=costs))
        return self._descend(descent, self.minibatches(rows, topics.start))

    def descent(
        self, topics: slice, costs: steps.SampleCosts | None = None
    ) -> steps.AdaGradDescent:
        """Return the descent of topics before the first pass."""
        n_topics, n_columns = topics.stop - topics.start, self.problem.X.shape[1]
        weights = np.zeros((n_columns, n_topics), dtype=np.float32)
        biases = np.full(n_topics, INITIAL_BIAS, dtype=np.float32)
        sums = steps.initial_squared_sums(n_columns, INITIAL_SQUARED_SUM)
        return steps.AdaGradDescent(topics, weights, biases, sums, costs or self.costs, self.rates)


def _without_doubtful(training: _Training, rows: Index) -> Index:
    """Return the rows without those whose topic looks wrong, if there are more than expected."""
    problem = training.problem
    if len(rows) < _MIN_ROWS_PER_TOPIC * problem.context.n_topics or problem.is_sampled:
        return rows
    many_rows = problem.limits.many_rows
    if not training.fits and len(rows) > many_rows:
        # Leaving out rows would waste a first pass over all, so samples of the rows are tried
        # first.
        n_few = max(_FEW_TRIED, _MIN_TRIED_PER_TOPIC * problem.context.n_topics)
        for n_tried, most in ((n_few, _FEW_DOUBTFUL), (many_rows, _EXPECTED_DOUBTFUL)):
            if n_tried <= many_rows and _fraction_doubtful(problem, rows, n_tried) <= most:
                return rows
    doubtful = training.doubtful(rows)
    return rows[~doubtful] if doubtful.mean() > _EXPECTED_DOUBTFUL else rows


def _fraction_doubtful(problem: LinearProblem, rows: Index, n_tried: int) -> float:
    """Return the fraction of a sample of the rows whose topic looks wrong."""
    sample = rows[:: -(-len(rows) // n_tried)]
    return float(_Training.from_problem(problem, sample, 1).doubtful(sample).mean())


def find_doubtful(highest: F32, right: F32, y: I64) -> Mask:
    """Return a mask of rows that probably do not belong to their topics, by scores before learning.

    Parameters
    ----------
    highest, right : float32 array, shape (n_rows,)
        The highest score of each row, and the score of its topic.
    y : int array, shape (n_rows,)
    """
    is_far_below = right < highest - _MARGIN
    # A topic that would lose most of its rows is hard, or has few rows; its rows need not be wrong.
    n_rows, n_far_below = np.bincount(y), np.bincount(y, is_far_below)
    return is_far_below & (2 * n_far_below <= n_rows)[y]


# Scoring rows that are held out ------------------------------------------------------------------


class _Fold(NamedTuple):
    """Rows to learn from, rows to score, and the passes; see `fit_linear`."""

    train: Index
    test: Index
    passes: int | None


def score_heldout_rows(
    problem: LinearProblem,
    rows: Index,
    clean_rows: Index,
    passes: int | None,
    known_topics: Mask | bool = False,
    start: _Coefficients | None = None,
) -> HeldOutScores:
    """Score rows by weights learned from others: from other folds if rows are few, else one part.

    Equal rows are held out together, unless most rows have so many copies that new rows will have
    copies, too.

    Parameters
    ----------
    problem : LinearProblem
    rows, clean_rows : int array
        The rows to score, and those among them to learn from.
    passes : int, optional
        See `fit_linear`.
    known_topics : bool array, shape (n_topics,), optional
        See `LinearProblem.calibration_rows`.
    start : _Coefficients, optional
        Of `clean_rows`.
    """
    fit = _HeldOutFit.from_rows(problem, rows, clean_rows, passes, known_topics, start)
    return fit.join(problem.map(_call, fit.tasks()))


@dataclass(frozen=True)
class _HeldOutFit:
    """Fits to some of the rows, whose weights score the others; see `score_heldout_rows`."""

    problem: LinearProblem
    folds: list[_Fold]
    trainings: list[_Training]  # of each fold
    n_rows: int  # that all folds learn from
    training: Index | None  # the rows of the only fold; None if there are several

    @classmethod
    def from_rows(
        cls,
        problem: LinearProblem,
        rows: Index,
        clean_rows: Index,
        passes: int | None,
        known_topics: Mask | bool = False,
        start: _Coefficients | None = None,
        beside: _Training | None = None,
    ) -> _HeldOutFit:
        """Choose the folds, and prepare their training and that of `beside`."""
        scored = problem.calibration_rows(rows, known_topics)
        labels = problem.labels
        in_folds = (
            problem.are_few(rows)
            or problem.context.cross_validate
            or (labels.multilabel and len(rows) <= problem.limits.many_rows)
        )
        n_folds = _N_FOLDS if in_folds and not labels.multilabel else _N_PARTS
        fold_of, n_folds = split_rows(problem, rows, n_folds)
        has_fewer_passes = in_folds and labels.multilabel and len(rows) > _MANY_ROWS_IN_FOLDS
        folds: list[_Fold] = []
        n_scored = 0
        is_few = problem.are_few(rows)
        n_enough = len(labels) if is_few else problem.context.n_enough or len(labels)
        for number in range(n_folds if in_folds else 1):
            if n_scored >= n_enough:
                break
            is_test = (fold_of == number) == in_folds
            train, test = clean_rows[~is_test[clean_rows]], scored[is_test[scored]]
            if not labels.multilabel:  # topics outside the training rows can't be predicted
                test = test[problem.totals(train)[labels.topics[test]] > 0]
            if len(test):
                n_passes = passes
                if passes is None and has_fewer_passes:
                    n_passes = max(_MIN_PASSES, default_passes(len(train)) - 1)
                folds.append(_Fold(train, test, n_passes))
                n_scored += len(test)
        training = clean_rows[fold_of[clean_rows] == 0] if n_folds > 1 and not in_folds else None
        trainings = _prepare_folds(problem, folds, start, beside)
        return cls(problem, folds, trainings, len(clean_rows), training)

    def tasks(self) -> list[Callable[[], F32]]:
        """Return functions that each learn a batch of topics in a fold and score its test rows."""
        return _fold_tasks(self.problem, self.folds, self.trainings)

    def join(self, parts: list[F32]) -> HeldOutScores:
        """Return the held-out scores, given the results of `tasks`."""
        scores = [np.zeros((0, self.problem.context.n_topics), dtype=np.float32)]
        for fold, part in zip(
            self.folds, _join_folds(self.problem, self.folds, parts), strict=True
        ):
            scores.append(scale_heldout_scores(part, len(fold.train) / self.n_rows))
        none = np.zeros(0, dtype=np.intp)
        heldout = np.concatenate([none, *(fold.test for fold in self.folds)])
        order = np.argsort(heldout)
        return HeldOutScores(heldout[order], np.concatenate(scores)[order], self.training)


def _prepare_folds(
    problem: LinearProblem,
    folds: list[_Fold],
    start: _Coefficients | None = None,
    beside: _Training | None = None,
) -> list[_Training]:
    """Return the training of each fold, ready for threads, as is `beside`."""

    def prepare_fold(fold: _Fold) -> _Training:
        name = "calibrating: learning from"
        training = _Training.from_problem(problem, fold.train, fold.passes, name, start=start)
        training.known_columns  # noqa: B018  made once, before there are threads
        training.prepare()
        return training

    # Few rows are prepared in less time than threads start.
    if problem.is_small:
        return [*map(prepare_fold, folds)]
    tasks: list[Callable[[], Any]] = [functools.partial(prepare_fold, fold) for fold in folds]
    if beside is not None:
        tasks.insert(0, beside.prepare)
    return problem.map(_call, tasks)[len(tasks) - len(folds) :]


def _fold_tasks(
    problem: LinearProblem, folds: list[_Fold], trainings: list[_Training]
) -> list[Callable[[], F32]]:
    """Return functions that each score the test rows of a fold for a batch of topics."""
    batches = problem.batches
    if all(training.is_exact for training in trainings):
        # Topics don't depend on those of their batch, and fewer batches take less time.
        width = problem.limits.most_topics(problem.X.shape[1])
        batches = topic_batches(problem.context.n_topics, width)
    return [
        functools.partial(training.score, topics, fold.test)
        for fold, training in zip(folds, trainings, strict=True)
        for topics in batches
    ]


def _join_folds(problem: LinearProblem, folds: list[_Fold], parts: list[F32]) -> list[F32]:
    """Return the scores of each fold, given the results of `_fold_tasks`."""
    n_batches = len(parts) // max(1, len(folds))
    scores = []
    for number, fold in enumerate(folds):
        of_fold = np.concatenate(parts[number * n_batches : (number + 1) * n_batches], axis=1)
        of_fold[:, problem.totals(fold.train) == 0] = ABSENT_SCORE
        scores.append(of_fold)
    return scores


def _call(task: Callable[[], T]) -> T:
    return task()


def split_rows(problem: LinearProblem, rows: Index, n_parts: int) -> tuple[I64, int]:
    """Return the part of each row, -1 for other rows, and the number of parts.

    Equal rows are in one part, so that there may be fewer parts than `n_parts`.
    """
    groups = group_equal_rows(problem.X)[rows]
    n_different = len(np.unique(groups))
    if n_different < max(2, _FEW_DIFFERENT * len(rows)):
        groups, n_different = np.arange(len(rows)), len(rows)
    n_parts = min(n_parts, n_different)
    part_of = np.full(len(problem.labels), -1)
    if n_parts > 1:
        topics = problem.labels.take(rows).to_topics()
        part_of[rows] = make_folds(topics, n_parts, problem.context.seed, groups)
    return part_of, n_parts


def scores_in_folds(
    X: sp.csr_array,
    labels: Labels,
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
    labels : Labels
    context : FitContext
    folds : int array, shape (n_rows,)
        The fold of each row, from 0.
    learned : bool array, shape (n_rows,)
        A mask of the rows to learn from; other rows are only scored.
    passes : int, optional
        See `fit_linear`.

    Returns
    -------
    float32 array, shape (n_rows, n_topics); -10 for a topic that no other fold has.
    """
    problem = LinearProblem.from_rows(X, labels, context)
    scores = np.full((X.shape[0], context.n_topics), ABSENT_SCORE, dtype=np.float32)
    for fold in range(int(folds.max(initial=-1)) + 1):
        test, train = np.flatnonzero(folds == fold), np.flatnonzero((folds != fold) & learned)
        if len(test) and len(train):
            folds_left_out = [_Fold(train, test, passes)]
            trainings = _prepare_folds(problem, folds_left_out)
            parts = problem.map(_call, _fold_tasks(problem, folds_left_out, trainings))
            [scores[test]] = _join_folds(problem, folds_left_out, parts)
    return scores


def topic_batches(n_topics: int, width: int) -> list[slice]:
    """Split topics into batches of nearly equal size, at most `width`."""
    n_batches = -(-n_topics // width)
    bounds = [n_topics * number // n_batches for number in range(n_batches + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
