"""Training from blocks of rows: two descents for all topics, batch by batch, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F16, F32, F64, I32, I64, Mask
from slugline.learning.calibration import AnyCalibration
from slugline.learning.heldout import MAX_SCORES, HeldOutScores
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.linear import fit, newton, steps, sums
from slugline.learning.linear.newton import Iterate, Preconditioner
from slugline.stream.checkpoint import Checkpoint, RunningDescent, StreamState
from slugline.stream.engine import DescentReport, DescentTask, Engine, TopicParallel
from slugline.stream.local import write_memmap

# Rows of all blocks ------------------------------------------------------------------------------

# The number of different keys.
_ALL_KEYS = 1 << 64
# One in so many rows is held out from the first descent, to calibrate on; if topics are very many,
# so many rows and no more.
_HELD_OUT, _MIN_HELD_OUT = 5, 500
#: Weights that are dense at a time, of all columns and a batch of topics; and topics of a batch.
MAX_WEIGHTS, MAX_TOPICS = 3 << 24, 128


@dataclass(frozen=True)
class RowBlocks:
    """The `RowBlock`s of an engine, and statistics of all of them."""

    engine: Engine
    n_columns: int
    n_rows: int
    n_training_rows: int  # Those that are not held out
    # shape (n_topics,): rows of each topic, and those of them that are not held out.
    n_all: I64
    n_training: I64
    known_columns: Mask  # shape (n_columns,): columns that occur in rows that are not held out
    min_key: int  # Rows with a lower key are held out
    multilabel: bool = False  # Whether rows may have several topics
    weights: F64 | None = None  # shape (n_topics,), or None: the user's weights of topics

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.n_all)

    @cached_property
    def squares(self) -> F64:
        """Sum of squares of each column, shape (n_columns,); takes a pass when first asked for."""
        return self.engine.sum_blocks(sums.column_squares)[0]

    def n_learned(self, min_key: int) -> int:
        """Return how many rows a descent learns from: all, or those that are not held out."""
        return self.n_training_rows if min_key else self.n_rows

    @property
    def topic_weights(self) -> F64:
        """The weight of each topic's rows."""
        return np.ones(self.n_topics) if self.weights is None else self.weights

    def topic_batches(self) -> list[slice]:
        """Return the batches in which topics are learned.

        Their number is even, so that two workers share them out evenly. Each passes over all
        entries of rows, so that few and wide batches are faster.
        """
        width = min(MAX_TOPICS, max(1, MAX_WEIGHTS // max(1, self.n_columns)))
        n_batches = -(-self.n_topics // width)
        n_batches += n_batches % 2 if n_batches > 1 else 0
        return fit.topic_batches(self.n_topics, -(-self.n_topics // n_batches))


def hold_out_rows(
    engine: Engine, n_columns: int, n_rows: int, n_all: I64, *, multilabel: bool = False
) -> RowBlocks:
    """Return the rows of an engine with a share held out, as large as calibration needs."""
    n_topics = len(n_all)
    most = max(_MIN_HELD_OUT, label_type(multilabel=multilabel).max_scores(MAX_SCORES) // n_topics)
    min_key = _ALL_KEYS * min(most, n_rows // _HELD_OUT) // n_rows
    counts, n_training, n_left = engine.sum_blocks(sums.training_counts, n_topics, min_key)
    known_columns, n_training_rows = counts > 0, int(n_left[0])
    if not known_columns.any() or n_training_rows == n_rows:  # too few to hold any out
        known_columns, min_key = np.ones(n_columns, dtype=np.bool_), 0
        n_training, n_training_rows = n_all, n_rows
    return RowBlocks(
        engine,
        n_columns,
        n_rows,
        n_training_rows,
        n_all,
        n_training,
        known_columns,
        min_key,
        multilabel,
    )


@dataclass(frozen=True)
class Objective:
    """The function that a descent minimises, for all topics."""

    n_rows: int  # Rows that are learned from
    # shape (n_topics,): see `OneVsRestTargets`.
    negative_costs: F32
    positive_costs: F32
    preconditioner: Preconditioner
    min_key: int  # Rows with a lower key are held out

    @classmethod
    def from_rows(cls, rows: RowBlocks, counts: I64, min_key: int) -> Objective:
        """Return the objective for training rows, given how many each topic has."""
        n_rows = rows.n_learned(min_key)
        costs = sums.topic_costs(n_rows, counts, rows.weights)
        rates = _term_rates(rows, counts, min_key)
        preconditioner = Preconditioner.from_columns(rates, rows.squares, n_rows)
        return cls(n_rows, *costs, preconditioner, min_key)

    def targets(self, topics: slice) -> sums.OneVsRestTargets:
        """Return the targets of a batch of topics."""
        labels = np.arange(topics.start, topics.stop, dtype=np.int32)
        return sums.OneVsRestTargets(labels, self.negative_costs, self.positive_costs, self.min_key)


def _term_rates(rows: RowBlocks, counts: I64, min_key: int) -> F64:
    """Return the rate of each term: all 1 with many rows, where weights are learned soon enough."""
    if rows.n_learned(min_key) > steps.MANY_ROWS:
        return np.ones(rows.n_columns)
    parts = []
    for topics in rows.topic_batches():
        (by_topic,) = rows.engine.sum_blocks(sums.topic_counts, topics, min_key)
        parts.append(sp.csc_array(by_topic))
    present = np.flatnonzero(counts)
    by_topic = sp.hstack(parts, format="csc")[:, present]
    relevance = steps.relevance_from_counts(by_topic, counts[present])
    power = steps.relevance_power(rows.n_rows, len(present), rows.multilabel)
    return steps.learning_rates(relevance, rows.squares, power)


# Training ----------------------------------------------------------------------------------------

#: Called with the passes so far, the current topics, and the share of all work that is done.
PassReporter = Callable[[int, slice, float], None]

# Weights that stay dense, in float16, between the two descents; and those of one iterate from which
# they are in a file.
_MAX_DENSE, _MAX_FLOAT16_IN_MEMORY = 1 << 28, 1 << 22
_MAX_FLOAT16 = np.float32(65_504)
# The first descent, which is for scores of held-out rows, need not be as near to the minimum.
_FIRST_TOLERANCE = 3e-2


class StreamResult(NamedTuple):
    """The trained weights, and how they were trained."""

    weights: sp.csr_array  # shape (n_columns, n_topics): without those too small to matter
    biases: F32  # shape (n_topics,)
    calibration: AnyCalibration
    # Held-out rows, and their scores by the first descent, shape (n_heldout, n_topics).
    heldout: tuple[Labels, F32]
    n_passes: int  # Passes over all blocks, for a batch of topics each
    interrupted: bool  # Whether a person stopped it
    n_heldout: int  # Rows that were not learned from, as it was stopped before the second descent


class StreamTraining:
    """Two descents: from rows that are not held out, and from there, from all rows.

    With a checkpoint, training resumes from the state it has saved.
    """

    def __init__(
        self,
        rows: RowBlocks,
        report: PassReporter,
        tolerance: float,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._rows, self._report, self._tolerance = rows, report, tolerance
        self._batches = rows.topic_batches()
        self._n_descents = (2 if rows.min_key else 1) * len(self._batches)
        self._checkpoint, self._state = checkpoint, StreamState()
        if checkpoint is not None:
            self._state = checkpoint.load(rows.n_columns, self._batches)
        self._n_heldout, self._done = 0, 0.0
        self._is_first = True

    def run(self, on_interrupt: Callable[[], None] = lambda: None) -> StreamResult:
        """Do both descents, scoring the rows that are held out from the first.

        After Ctrl-C, the result is that of the last pass, if all topics have been started.
        """
        interrupted = False
        try:
            self._descend_twice()
        except KeyboardInterrupt:
            if len(self._state.iterates) < len(self._batches):
                raise
            interrupted = True
            on_interrupt()
        return self._result(interrupted)

    def _descend_twice(self) -> None:
        rows = self._rows
        if rows.min_key:
            self._n_heldout = rows.n_rows - rows.n_training_rows
            tolerance = max(_FIRST_TOLERANCE, self._tolerance)
            self._descend_all(rows.n_training, rows.min_key, tolerance)
        self._is_first, self._n_heldout = False, 0
        self._descend_all(rows.n_all, 0, self._tolerance)

    def _descend_all(self, counts: I64, min_key: int, tolerance: float) -> None:
        """Descend for the topics that have not ended, given the rows of each topic."""
        n_before = 0 if self._is_first else len(self._state.scores)
        batches = self._batches[self._state.n_done - n_before :]
        if not batches:
            return
        objective = Objective.from_rows(self._rows, counts, min_key)
        engine, width = self._rows.engine, batches[0].stop - batches[0].start
        parallel = engine.topic_parallel(self._rows.n_columns, width, len(batches))
        if parallel is not None:
            self._descend_parallel(parallel, objective, batches, tolerance)
            return
        for topics in batches:
            iterate = self._descend(objective, topics, tolerance)
            scores = score_heldout(engine, iterate, *self._heldout()) if self._is_first else None
            self._end(scores)

    def _descend(self, objective: Objective, topics: slice, tolerance: float) -> Iterate:
        """Descend for a batch of topics; keep the iterate even if that is interrupted."""
        state, n_before, step = self._state, self._state.n_passes, None
        descent = begin_descent(*self._descent_arguments(objective, tolerance, topics))
        try:
            for step in newton.minimise(self._rows.engine, descent):
                state.firsts.setdefault(topics.start, step.first)
                state.running = RunningDescent(step.iterate, step.state)
                self._save()
                share = self._share_done([step.share], tolerance)
                self._report(n_before + step.n_passes, topics, share)
        finally:
            if step is not None:
                state.n_passes = n_before + step.n_passes
                if step.n_passes > 1:  # there has been a step
                    self._keep(topics, step.iterate)
        return descent.iterate

    def _descend_parallel(
        self, parallel: TopicParallel, objective: Objective, batches: list[slice], tolerance: float
    ) -> None:
        """Descend for several batches at once; results are saved in order."""
        state, n_ended = self._state, 0
        reports: dict[int, DescentReport] = {}
        finish: Any = (score_heldout, self._heldout()) if self._is_first else (_no_result, ())
        tasks = [
            DescentTask(
                begin_descent,
                partial(self._descent_arguments, objective, tolerance, topics),
                *finish,
            )
            for topics in batches
        ]
        try:
            for number, report in parallel.run(tasks):
                reports[number] = report
                state.firsts.setdefault(batches[number].start, report.first)
                while n_ended in reports and reports[n_ended].iterate is not None:
                    ended = reports.pop(n_ended)
                    state.n_passes += ended.n_passes
                    self._keep(batches[n_ended], ended.iterate)
                    self._end(ended.result)
                    n_ended += 1
                n_passes = state.n_passes + sum(running.n_passes for running in reports.values())
                shares = [running.share for running in reports.values()]
                share = self._share_done(shares, tolerance)
                self._report(n_passes, batches[number], share)
        finally:
            reports.update(parallel.stop())
            for number, report in reports.items():
                state.n_passes += report.n_passes
                self._keep(batches[number], report.iterate)

    def _heldout(self) -> tuple[int, Mask]:
        return self._rows.min_key, self._rows.known_columns

    def _descent_arguments(
        self, objective: Objective, tolerance: float, topics: slice
    ) -> tuple[Any, ...]:
        """Return the arguments of `begin_descent`."""
        state, descent_state = self._state, None
        first = state.firsts.get(topics.start)
        if first is not None:  # it was of fewer rows
            first = first * objective.n_rows / self._rows.n_training_rows
        start = state.iterates.get(topics.start)
        if state.running is not None and topics == self._batches[state.n_done % len(self._batches)]:
            start, descent_state = state.running
        targets, preconditioner = objective.targets(topics), objective.preconditioner
        return targets, preconditioner, start, first, tolerance, descent_state

    def _end(self, scores: F32 | None) -> None:
        """Note that the descent of the next batch has ended, and its scores of held-out rows."""
        if self._is_first and scores is not None:
            self._state.scores.append(scores)
        self._state.n_done, self._state.running = self._state.n_done + 1, None
        self._save(is_last=self._state.n_done == self._n_descents)

    def _save(self, *, is_last: bool = False) -> None:
        if self._checkpoint is not None:
            self._checkpoint.save(self._state, is_last=is_last)

    def _share_done(self, shares: list[float], tolerance: float) -> float:
        """Return the share of the work that is done: each step divides a gradient by some factor.

        Where a gradient grows for once, the share stays.
        """
        ended = np.ones(len(shares))
        if tolerance < 1:
            ended = np.log(np.clip(shares, tolerance, 1)) / np.log(tolerance)
        self._done = max(self._done, float((self._state.n_done + ended.sum()) / self._n_descents))
        return self._done

    def _keep(self, topics: slice, iterate: Iterate | None) -> None:
        """Keep the weights of an iterate: all if the second descent starts from them, and few."""
        if iterate is None:
            return
        n_weights = self._rows.n_columns * self._rows.n_topics
        if self._is_first and n_weights <= _MAX_DENSE:
            weights: Any = _to_float16(iterate.weights)
        else:
            weights = self._sparsify(iterate)
        self._state.iterates[topics.start] = Iterate(weights, iterate.biases)

    def _sparsify(self, iterate: Any) -> Any:
        if not isinstance(iterate.weights, np.ndarray):
            return iterate.weights
        weights, rows = iterate.weights.astype(np.float32, copy=False), self._rows
        share = steps.drop_threshold(rows.n_columns * rows.n_topics)
        if rows.n_rows <= steps.FEW_ROWS and not rows.multilabel:  # as `fit` does
            share = steps.SHARE_AT_MINIMUM
        return steps.sparsify(weights, share)

    def _result(self, interrupted: bool) -> StreamResult:
        """Return the weights so far."""
        rows, iterates = self._rows, self._state.iterates
        for topics in self._batches:
            if topics.start not in iterates:  # the start was the minimum
                width = topics.stop - topics.start
                self._keep(topics, Iterate.initial(rows.n_columns, width))
        in_order = [iterates[topics.start] for topics in self._batches]
        biases = np.concatenate([iterate.biases for iterate in in_order]).astype(np.float32)
        biases[rows.topic_weights * rows.n_all == 0] = fit.ABSENT_SCORE
        labels, scores = self._heldout_scores()
        costs = labels.row_means(rows.topic_weights.astype(np.float32)[labels.topics])
        return StreamResult(
            steps.hstack_topics([self._sparsify(iterate) for iterate in in_order]),
            biases,
            HeldOutScores(np.arange(len(labels)), scores).calibration(labels, costs),
            (labels, scores),
            self._state.n_passes,
            interrupted,
            self._n_heldout,
        )

    def _heldout_scores(self) -> tuple[Labels, F32]:
        """Return topics of held-out rows, and their scores by the first descent."""
        rows = self._rows
        if len(self._state.scores) < len(self._batches):
            labels = Labels.empty(multilabel=rows.multilabel)
            return labels, np.zeros((0, rows.n_topics), dtype=np.float32)
        scores = np.concatenate(self._state.scores, axis=1)
        y, n_each = map(
            np.concatenate, zip(*rows.engine.collect(heldout_topics, rows.min_key), strict=True)
        )
        starts = np.concatenate([[0], n_each.cumsum()])
        labels = Labels(y.astype(np.int64), starts, rows.multilabel)
        counts = rows.topic_weights * rows.n_training
        scores[:, counts == 0] = fit.ABSENT_SCORE
        if not rows.multilabel:
            is_learned = np.flatnonzero(counts[y] > 0)  # other topics can't be predicted
            labels, scores = labels.take(is_learned), scores[is_learned]
        return labels, fit.scale_heldout_scores(scores, rows.n_training_rows / rows.n_rows)


def begin_descent(
    targets: sums.OneVsRestTargets,
    preconditioner: Preconditioner,
    start: Iterate | None,
    *others: Any,
) -> newton.NewtonDescent:
    """Return a descent from nothing, or from weights that may be float16 or sparse."""
    if start is None:
        start = Iterate.initial(len(preconditioner.scaling), len(targets.topics))
    else:
        weights: Any = start.weights
        is_dense = isinstance(weights, np.ndarray)
        weights = weights.astype(np.float32) if is_dense else weights.toarray()
        start = Iterate(weights, start.biases.copy())
    return newton.NewtonDescent(targets, preconditioner, start, *others)


def _to_float16(weights: F32) -> F16:
    """Return weights in float16; many of them are in a file."""
    parts: Iterator[F16] = (
        weights[part].clip(-_MAX_FLOAT16, _MAX_FLOAT16).astype(np.float16)
        for part in newton.row_slices(weights)
    )
    if weights.size < _MAX_FLOAT16_IN_MEMORY:
        return np.concatenate(list(parts))
    return write_memmap(parts, weights.shape)


def heldout_topics(block: sums.RowBlock, min_key: int) -> tuple[I32, I64]:
    """Return the topics of held-out rows, one row after the other, and how many each has."""
    is_heldout = block.keys < np.uint64(min_key)
    n_each = np.bincount(block.label_rows, minlength=len(is_heldout))[is_heldout]
    return block.y[is_heldout[block.label_rows]], n_each


def score_heldout_rows(
    block: sums.RowBlock, min_key: int, iterate: Iterate, known_columns: Mask
) -> F32:
    """Return scores of held-out rows as if they were new: with known columns alone."""
    X = block.take_rows(block.keys < np.uint64(min_key))
    scores: F32 = fit.renormalize_rows(X, known_columns) @ iterate.weights
    scores += iterate.biases.astype(np.float32)
    return scores


def score_heldout(engine: Engine, iterate: Iterate, min_key: int, known_columns: Mask) -> F32:
    """Return the scores of held-out rows of all blocks."""
    return np.concatenate(engine.collect(score_heldout_rows, min_key, iterate, known_columns))


def _no_result(engine: Engine, iterate: Iterate) -> None:
    """Finish a descent from all rows, which needs no scores."""
