"""Train batches of topics by passes over rows, or compute the minimum of their loss."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from slugline.base.arrays import F32, Index, Mask
from slugline.base.memory import release_memory
from slugline.base.progress import LongStep
from slugline.learning.heldout import HeldOutScores
from slugline.learning.linear import steps
from slugline.learning.linear.dual import DualProblem, Minimum
from slugline.learning.linear.problem import (
    ABSENT_SCORE,
    INITIAL_BIAS,
    INITIAL_SQUARED_SUM,
    LinearProblem,
    default_passes,
    find_columns,
    renormalized_parts,
    scale_heldout_scores,
    split_rows,
)
from slugline.text.sparse import SparseRows, score_rows

T = TypeVar("T")

# Return memory to the system only before training more weights than this: reallocating it takes a
# tenth of the time of a fit to a few hundred rows.
FEW_WEIGHTS = 1 << 20
# A single pass scores at most one in this many rows before training on them.
_MIN_PARTS = 5


def choose_last_rows(problem: LinearProblem, rows: Index, passes: int | None) -> Mask | None:
    """Return a mask of the last training rows of a single pass; None with several passes.

    They are scored before training on them, which saves a separate fit for held-out scores. All
    copies of a row are included.
    """
    if (passes or default_passes(len(rows))) > 1 or len(rows) <= problem.limits.many_rows:
        return None
    if problem.context.cross_validate:
        return None
    n_scored = len(problem.calibration_rows(rows))
    n_parts = max(_MIN_PARTS, len(rows) // max(1, n_scored))
    fold_of, n_parts = split_rows(problem, rows, n_parts)
    return fold_of == 0 if n_parts > 1 else None


@dataclass(frozen=True)
class Training:
    """Passes over some rows, and the state of descents after the first pass."""

    problem: LinearProblem
    rows: Index
    n_passes: int
    costs: steps.SampleCosts
    step: LongStep
    is_exact: bool
    last: Mask | None = None  # see `choose_last_rows`
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
        last: Mask | None = None,
    ) -> Training:
        """Return the training on rows; a single pass scores the rows of `last` before training."""
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
        )

    @cached_property
    def rates(self) -> F32:
        """The learning rate of each term, then of the biases; or a single rate."""
        return self.problem.rates(self.rows)

    @cached_property
    def batches(self) -> list[steps.Minibatches]:
        """All rows; see `minibatches`."""
        return self.minibatches(self.rows, 0)

    def minibatches(self, rows: Index, number: int) -> list[steps.Minibatches]:
        """Return some of the rows in minibatches, in an order determined by seed and `number`.

        Rows that are scored before training have separate minibatches.
        """
        rng = np.random.default_rng((self.problem.context.seed, number))
        parts = [rows]
        if self.last is not None:
            is_last = self.last[rows]
            parts = [rows[~is_last], rows[is_last]]
        return [steps.Minibatches(self.problem.X, part, rng, self.n_passes) for part in parts]

    @cached_property
    def first_rows(self) -> Index:
        """The training rows before the last rows are scored."""
        return self.rows if self.last is None else self.rows[~self.last[self.rows]]

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
        """Do the passes from `first` up to `last - 1`, and score the last rows before training."""
        n_steps = sum(part.n_steps for part in batches)
        for part in batches:
            if part is not batches[0] and self.last is not None:
                scores = self._score(descent, np.flatnonzero(self.last))
                self.last_scores[descent.topics.start] = scores
            weight = part.n_steps / n_steps
            descent.run(part, first, last, lambda fraction: self.report(weight * fraction))  # noqa: B023
        return descent

    def _score(self, end: steps.AdaGradDescent | Minimum, rows: Index) -> F32:
        """Return scores of rows outside the training rows."""
        parts = renormalized_parts(self.problem.X, rows, self.known_columns)
        scores: F32 = np.concatenate(
            [score_rows(end.weights, SparseRows.from_csr(part)) for part in parts]
        )
        scores += end.biases
        return scores

    def score(self, topics: slice, rows: Index) -> F32:
        """Return scores of held-out rows from weights after all passes."""
        return self._score(self.run(topics), rows)

    def heldout_scores(self) -> HeldOutScores | None:
        """Return the scores of the last rows before training on them, or None."""
        if self.last is None:
            return None
        problem, rows = self.problem, np.flatnonzero(self.last)
        scores = np.concatenate([self.last_scores[part.start] for part in problem.batches], axis=1)
        is_absent = problem.totals(self.first_rows) == 0
        scores[:, is_absent] = ABSENT_SCORE
        scores = scale_heldout_scores(scores, len(self.first_rows) / len(self.rows))
        if not problem.labels.multilabel:  # topics without other rows can't be predicted
            is_scored = ~is_absent[problem.labels.topics[rows]]
            rows, scores = rows[is_scored], scores[is_scored]
        return HeldOutScores(rows, scores, self.first_rows)

    def report(self, fraction: float) -> None:
        """Report progress in the passes of a batch of topics; stop the thread if requested."""
        if self.problem.is_stopped.is_set():
            raise CancelledError
        self.step.add(fraction)

    @property
    def n_weights(self) -> int:
        """Number of weights, including zeros."""
        return self.problem.X.shape[1] * self.problem.context.n_topics

    @property
    def fits(self) -> bool:
        """True if dense weights of all topics fit into memory together."""
        return self.n_weights <= self.problem.limits.max_dense

    def first_scores(self, rows: Index) -> tuple[F32, F32]:
        """Do the first pass; return the rows' highest scores and the scores of their topics.

        Rows are scored before training on them.
        """

        def start(topics: slice) -> tuple[F32, F32]:
            descent = self._descend(self.descent(topics), self.batches, 0, 1)
            if self.fits and not self.is_exact:
                self.started[topics.start] = descent
            return descent.highest[rows], descent.right[rows]

        self.prepare()
        highest, right = zip(*self.problem.map_batches(start), strict=True)
        maximum = functools.partial(functools.reduce, np.maximum)
        return maximum(highest), maximum(right)

    def finish_batches(
        self, others: Sequence[Callable[[], T]]
    ) -> tuple[list[tuple[Any, F32]], list[T]]:
        """Apply `finish` to each batch and, on the same threads, call other functions."""
        self.prepare()
        tasks: list[Callable[[], Any]] = [
            functools.partial(self.finish, topics) for topics in self.problem.batches
        ]
        n_batches = len(tasks)
        results = self.problem.call_all([*tasks, *others])
        return results[:n_batches], results[n_batches:]

    def prepare(self) -> None:
        """Compute the data shared by all batches before threads start."""
        self.rates  # noqa: B018
        if self.is_exact:
            self.dual_problem  # noqa: B018
        elif not self.problem.is_sampled:
            self.batches  # noqa: B018
        if self.last is not None:
            self.known_columns  # noqa: B018
        if not self.is_exact and self.n_weights > FEW_WEIGHTS:
            release_memory()  # before weights are dense

    def finish(self, topics: slice) -> tuple[Any, F32]:
        """Do the remaining passes; return the weights, without negligible ones, and the biases."""
        end, threshold = self.run(topics), steps.drop_threshold(self.n_weights)
        if self.is_exact:
            threshold = steps.THRESHOLD_AT_MINIMUM
        return steps.sparsify(end.weights, threshold), end.biases.astype(np.float32, copy=False)

    def run(self, topics: slice) -> steps.AdaGradDescent | Minimum:
        """Return the weights at the minimum for few rows, else after all passes."""
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
        """All rows, and the costs of their errors for all topics."""
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
        )

    def _minimum(self, topics: slice) -> Minimum:
        """Return the weights and biases at the minimum."""
        self.report(0)
        minimum = self.dual_problem.minimum(topics)
        fraction = (topics.stop - topics.start) / self.problem.context.n_topics
        self.report(fraction * len(self.problem.batches))
        return minimum._replace(biases=minimum.biases.astype(np.float32))

    def _run_sampled(self, topics: slice) -> steps.AdaGradDescent:
        """Train on the rows of the topics and a sample of the other rows."""
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
