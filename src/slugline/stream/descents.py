"""Training from blocks of rows: two descents for all topics, batch by batch, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F16, F32, F64, I32, I64, Mask
from slugline.learning.labels import Labels
from slugline.learning.linear import fit, newton, steps, sums
from slugline.learning.linear.newton import Iterate, Preconditioner
from slugline.stream.checkpoint import Checkpoint, Phase, RunningDescent, StreamState
from slugline.stream.engine import DescentReport, DescentStart, DescentTask, Engine, TopicParallel
from slugline.stream.heldout import HeldOutRows, StreamResult, find_min_key
from slugline.stream.local import write_memmap

# Rows of all blocks ------------------------------------------------------------------------------

#: Maximum number of dense weights: of all columns, for a batch of topics. A batch has eight or nine
#: arrays of these, which take most of the memory.
MAX_WEIGHTS = 7 << 22
#: Maximum number of topics of a batch.
MAX_TOPICS = 128
# The compiled kernel goes through so many topics together; the scores of 16 fill a cache line.
_LANE = 8


@dataclass(frozen=True)
class RowBlocks:
    """The `RowBlock`s of an engine, and statistics of all of them.

    Training rows are the rows that are not held out. No row is held out if `min_key` is 0.
    """

    engine: Engine
    n_columns: int
    n_rows: int
    n_training_rows: int
    # shape (n_topics,): rows of each topic, and training rows of each topic
    topic_counts: I64
    training_topic_counts: I64
    known_columns: Mask  # shape (n_columns,): columns that occur in training rows
    min_key: int  # Rows with a lower key are held out
    multilabel: bool = False  # Whether rows may have several topics
    class_weights: F64 | None = None  # shape (n_topics,): the user's, if any

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.topic_counts)

    @cached_property
    def squares(self) -> F64:
        """Sum of squares of each column, shape (n_columns,); takes a pass on first use."""
        return self.engine.sum_blocks(sums.column_squares)[0]

    def n_learned(self, min_key: int) -> int:
        """Return the number of rows from which a descent learns: all, or the training rows."""
        return self.n_training_rows if min_key else self.n_rows

    @property
    def topic_weights(self) -> F64:
        """The weight of the rows of each topic, shape (n_topics,)."""
        return np.ones(self.n_topics) if self.class_weights is None else self.class_weights

    def topic_batches(self) -> list[slice]:
        """Return the batches of topics that are learned together.

        Each batch makes passes over all entries of the rows, so few wide batches are faster than
        many narrow ones.
        """
        width = topics_per_batch(self.n_columns)
        starts = range(0, self.n_topics, width)
        return [slice(start, min(start + width, self.n_topics)) for start in starts]


def topics_per_batch(n_columns: int) -> int:
    """Return the largest number of topics that are learned together, given the number of columns.

    >>> topics_per_batch(1_700_000)
    16
    """
    width = min(MAX_TOPICS, max(1, MAX_WEIGHTS // max(1, n_columns)))
    return width if width < _LANE else width - width % _LANE


def hold_out_rows(
    engine: Engine,
    n_columns: int,
    n_rows: int,
    topic_counts: I64,
    class_weights: F64 | None = None,
    *,
    multilabel: bool = False,
) -> RowBlocks:
    """Return the rows of an engine, of which as many are held out as calibration needs."""
    n_topics = len(topic_counts)
    min_key = find_min_key(n_rows, n_topics, multilabel=multilabel)
    column_counts, training_topic_counts, n_training = engine.sum_blocks(
        sums.training_counts, n_topics, min_key
    )
    known_columns, n_training_rows = column_counts > 0, int(n_training[0])
    if not known_columns.any() or n_training_rows == n_rows:  # too few to hold any out
        known_columns, min_key = np.ones(n_columns, dtype=np.bool_), 0
        training_topic_counts, n_training_rows = topic_counts, n_rows
    return RowBlocks(
        engine=engine,
        n_columns=n_columns,
        n_rows=n_rows,
        n_training_rows=n_training_rows,
        topic_counts=topic_counts,
        training_topic_counts=training_topic_counts,
        known_columns=known_columns,
        min_key=min_key,
        multilabel=multilabel,
        class_weights=class_weights,
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
    def from_rows(cls, rows: RowBlocks, topic_counts: I64, min_key: int) -> Objective:
        """Return the objective for rows with keys from `min_key` up, given their topic counts."""
        n_rows = rows.n_learned(min_key)
        negative, positive = sums.topic_costs(n_rows, topic_counts, rows.class_weights)
        rates = _term_rates(rows, topic_counts, min_key)
        preconditioner = Preconditioner.from_columns(rates, rows.squares, n_rows)
        return cls(n_rows, negative, positive, preconditioner, min_key)

    def targets(self, topics: slice) -> sums.OneVsRestTargets:
        """Return the targets of a batch of topics."""
        labels = np.arange(topics.start, topics.stop, dtype=np.int32)
        return sums.OneVsRestTargets(labels, self.negative_costs, self.positive_costs, self.min_key)


def _term_rates(rows: RowBlocks, topic_counts: I64, min_key: int) -> F64:
    """Return the learning rate of each term, shape (n_columns,).

    All rates are 1 if there are many rows, as their weights are learned fast enough.
    """
    if rows.n_learned(min_key) > steps.MANY_ROWS:
        return np.ones(rows.n_columns)
    parts = []
    for topics in rows.topic_batches():
        (by_topic,) = rows.engine.sum_blocks(sums.topic_counts, topics, min_key)
        parts.append(sp.csc_array(by_topic))
    present = np.flatnonzero(topic_counts)
    by_topic = sp.hstack(parts, format="csc")[:, present]
    relevance = steps.relevance_from_counts(by_topic, topic_counts[present])
    power = steps.relevance_power(rows.n_rows, len(present), rows.multilabel)
    return steps.learning_rates(relevance, rows.squares, power)


# Training ----------------------------------------------------------------------------------------

#: A function called with the number of passes, the current topics, and the fraction of work done.
PassReporter = Callable[[int, slice, float], None]

# Up to this many weights stay dense, in float16, between the two descents.
_MAX_DENSE = 1 << 28
# From this many weights on, those of an iterate are stored in a file, not in memory.
_MIN_IN_FILE = 1 << 22
# The largest finite number of float16.
_MAX_FLOAT16 = np.float32(65_504)
# The first descent only serves to score held-out rows, so it may end farther from the minimum.
_FIRST_TOLERANCE = 3e-2


class StreamTraining:
    """Two descents: one on the training rows and, starting from its result, one on all rows.

    With a checkpoint, training resumes from the saved state.
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
        self._phases: list[Phase] = ["all rows"]
        if rows.min_key:
            self._phases.insert(0, "training rows")
        self._checkpoint, self._state = checkpoint, StreamState(self._phases[0])
        if checkpoint is not None:
            self._state = checkpoint.load(rows.n_columns, self._batches, self._phases)
        self._max_fraction_done = 0.0

    def run(self, on_interrupt: Callable[[], None] = lambda: None) -> StreamResult:
        """Return the result of both phases; held-out rows are scored after the first.

        After Ctrl-C, the result is from the last pass, if all topics have been started.
        """
        interrupted = False
        try:
            self._run_phases()
        except KeyboardInterrupt:
            if len(self._state.iterates) < len(self._batches):
                raise
            interrupted = True
            on_interrupt()
        return self._result(interrupted=interrupted)

    def _run_phases(self) -> None:
        rows = self._rows
        if self._is_first_of_two():
            tolerance = max(_FIRST_TOLERANCE, self._tolerance)
            self._descend_batches(rows.training_topic_counts, rows.min_key, tolerance)
            self._state.begin_all_rows()
        self._descend_batches(rows.topic_counts, 0, self._tolerance)

    def _is_first_of_two(self) -> bool:
        return self._state.phase == "training rows"

    def _descend_batches(self, topic_counts: I64, min_key: int, tolerance: float) -> None:
        """Descend for the remaining batches, on the rows with keys of at least `min_key`."""
        batches = self._batches[self._state.n_done :]
        if not batches:
            return
        objective = Objective.from_rows(self._rows, topic_counts, min_key)
        engine, width = self._rows.engine, batches[0].stop - batches[0].start
        parallel = engine.plan_topic_parallel(self._rows.n_columns, width, len(batches))
        if parallel is not None:
            self._descend_parallel(parallel, objective, batches, tolerance)
            return
        score = self._heldout_scorer()
        for topics in batches:
            iterate = self._descend(objective, topics, tolerance)
            self._finish_batch(None if score is None else score(engine, iterate))

    def _descend(self, objective: Objective, topics: slice, tolerance: float) -> Iterate:
        """Descend for a batch of topics; store the iterate even after an interruption."""
        state, n_before, step = self._state, self._state.n_passes, None
        descent = self._descent_start(objective, tolerance, topics).descent()
        try:
            for step in newton.minimize(self._rows.engine, descent):
                state.initial_norms.setdefault(topics.start, step.first)
                state.running = RunningDescent(step.iterate, step.state)
                self._save()
                fraction = self._fraction_done([step.relative_norm], tolerance)
                self._report(n_before + step.n_passes, topics, fraction)
        finally:
            if step is not None:
                state.n_passes = n_before + step.n_passes
                if step.n_passes > 1:  # there was a step
                    self._store_iterate(topics, step.iterate)
        return descent.iterate

    def _descend_parallel(
        self, parallel: TopicParallel, objective: Objective, batches: list[slice], tolerance: float
    ) -> None:
        """Descend for several batches at once; their results are saved in order."""
        state, n_ended = self._state, 0
        reports: dict[int, DescentReport] = {}
        tasks = [
            DescentTask(
                start=partial(self._descent_start, objective, tolerance, topics),
                finish=self._heldout_scorer(),
            )
            for topics in batches
        ]
        try:
            for number, report in parallel.run(tasks):
                reports[number] = report
                state.initial_norms.setdefault(batches[number].start, report.initial_norms)
                while n_ended in reports and reports[n_ended].iterate is not None:
                    ended = reports.pop(n_ended)
                    state.n_passes += ended.n_passes
                    self._store_iterate(batches[n_ended], ended.iterate)
                    self._finish_batch(ended.result)
                    n_ended += 1
                n_passes = state.n_passes + sum(running.n_passes for running in reports.values())
                relative_norms = [running.relative_norm for running in reports.values()]
                fraction = self._fraction_done(relative_norms, tolerance)
                self._report(n_passes, batches[number], fraction)
        finally:
            reports.update(parallel.stop())
            for number, report in reports.items():
                state.n_passes += report.n_passes
                self._store_iterate(batches[number], report.iterate)

    def _heldout_scorer(self) -> Callable[[Engine, Iterate], F32] | None:
        """Return a function that scores held-out rows; None in the phase that learns from them."""
        if not self._is_first_of_two():
            return None
        rows = self._rows
        return partial(score_heldout, min_key=rows.min_key, known_columns=rows.known_columns)

    def _descent_start(self, objective: Objective, tolerance: float, topics: slice) -> DescentStart:
        """Return the start of the descent of a batch, or the state from which it resumes."""
        state, descent_state = self._state, None
        iterate = state.iterates.get(topics.start)
        initial_norms = state.initial_norms.get(topics.start)
        if initial_norms is not None:  # the norms of the training rows, which are fewer
            initial_norms = initial_norms * objective.n_rows / self._rows.n_training_rows
        if state.running is not None and topics == self._batches[state.n_done]:
            iterate, descent_state = state.running
        return DescentStart(
            targets=objective.targets(topics),
            preconditioner=objective.preconditioner,
            iterate=iterate,
            initial_norms=initial_norms,
            tolerance=tolerance,
            state=descent_state,
        )

    def _finish_batch(self, scores: F32 | None) -> None:
        """Record the end of the descent of the next batch, and its scores of held-out rows."""
        state = self._state
        if scores is not None:
            state.heldout_scores.append(scores)
        state.n_done, state.running = state.n_done + 1, None
        is_last = state.phase == self._phases[-1] and state.n_done == len(self._batches)
        self._save(is_last=is_last)

    def _save(self, *, is_last: bool = False) -> None:
        if self._checkpoint is not None:
            self._checkpoint.save(self._state, is_last=is_last)

    def _fraction_done(self, relative_norms: list[float], tolerance: float) -> float:
        """Return the fraction of work done, estimated from how far gradients have fallen.

        The fraction never falls, even if a gradient grows in a step.
        """
        fractions = np.ones(len(relative_norms))
        if tolerance < 1:
            fractions = np.log(np.clip(relative_norms, tolerance, 1)) / np.log(tolerance)
        n_ended = len(self._batches) * self._phases.index(self._state.phase) + self._state.n_done
        n_descents = len(self._batches) * len(self._phases)
        fraction = float((n_ended + fractions.sum()) / n_descents)
        self._max_fraction_done = max(self._max_fraction_done, fraction)
        return self._max_fraction_done

    def _store_iterate(self, topics: slice, iterate: Iterate | None) -> None:
        """Store an iterate, dense if the second descent starts from it and the weights are few."""
        if iterate is None:
            return
        weights: Any = iterate.weights
        n_weights = self._rows.n_columns * self._rows.n_topics
        if self._is_first_of_two() and n_weights <= _MAX_DENSE:
            weights = _to_float16(weights)
        else:
            weights = self._sparsify(weights)
        self._state.iterates[topics.start] = Iterate(weights, iterate.biases)

    def _sparsify(self, weights: Any) -> Any:
        """Return weights as CSC, without negligible ones."""
        if not isinstance(weights, np.ndarray):
            return weights
        rows = self._rows
        threshold = steps.drop_threshold(rows.n_columns * rows.n_topics)
        if rows.n_rows <= steps.FEW_ROWS and not rows.multilabel:  # as `fit` does
            threshold = steps.THRESHOLD_AT_MINIMUM
        return steps.sparsify(weights.astype(np.float32, copy=False), threshold)

    def _result(self, *, interrupted: bool) -> StreamResult:
        """Return the result with the current weights."""
        rows, iterates = self._rows, self._state.iterates
        for topics in self._batches:
            if topics.start not in iterates:  # no step was needed
                width = topics.stop - topics.start
                self._store_iterate(topics, Iterate.initial(rows.n_columns, width))
        in_order = [iterates[topics.start] for topics in self._batches]
        biases = np.concatenate([iterate.biases for iterate in in_order]).astype(np.float32)
        biases[rows.topic_weights * rows.topic_counts == 0] = fit.ABSENT_SCORE
        heldout = self._heldout_rows()
        is_learned = not self._is_first_of_two()
        return StreamResult(
            weights=steps.hstack_topics([self._sparsify(iterate.weights) for iterate in in_order]),
            biases=biases,
            calibration=heldout.calibration(rows.topic_weights),
            heldout=heldout,
            n_passes=self._state.n_passes,
            interrupted=interrupted,
            n_unused=0 if is_learned else rows.n_rows - rows.n_training_rows,
        )

    def _heldout_rows(self) -> HeldOutRows:
        rows, state = self._rows, self._state
        if len(state.heldout_scores) < len(self._batches):
            return HeldOutRows.empty(rows.n_topics, multilabel=rows.multilabel)
        scores = np.concatenate(state.heldout_scores, axis=1)
        blocks = rows.engine.collect(heldout_topics, rows.min_key)
        first_rows = np.cumsum([0, *(block.n_rows for block in blocks[:-1])])
        numbers = np.concatenate(
            [block.rows + first for block, first in zip(blocks, first_rows, strict=True)]
        )
        y = np.concatenate([block.y for block in blocks])
        starts = np.concatenate([[0], *(block.n_each for block in blocks)]).cumsum()
        labels = Labels(y.astype(np.int64), starts, rows.multilabel)
        counts = rows.topic_weights * rows.training_topic_counts
        fraction = rows.n_training_rows / rows.n_rows
        return HeldOutRows.from_scores(numbers, labels, scores, counts, fraction)


def _to_float16(weights: F32) -> F16:
    """Return weights in float16, memory-mapped from a file if there are many."""
    parts: Iterator[F16] = (
        weights[part].clip(-_MAX_FLOAT16, _MAX_FLOAT16).astype(np.float16)
        for part in newton.row_slices(weights)
    )
    if weights.size < _MIN_IN_FILE:
        return np.concatenate(list(parts))
    return write_memmap(parts, weights.shape)


# Functions of blocks, which Dask finds by their names --------------------------------------------


class HeldOutTopics(NamedTuple):
    """The topics of the held-out rows of a block.

    Attributes
    ----------
    rows : int64 array, shape (n_heldout,)
        Positions in the block.
    y : int32 array, shape (n_labels,)
        Topics, row after row.
    n_each : int64 array, shape (n_heldout,)
        Number of topics of each row.
    n_rows : int
        Number of rows of the block.
    """

    rows: I64
    y: I32
    n_each: I64
    n_rows: int


def heldout_topics(block: sums.RowBlock, min_key: int) -> HeldOutTopics:
    """Return the topics of the held-out rows of a block."""
    is_heldout = block.keys < np.uint64(min_key)
    n_each = np.bincount(block.label_rows, minlength=len(is_heldout))[is_heldout]
    y = block.y[is_heldout[block.label_rows]]
    return HeldOutTopics(np.flatnonzero(is_heldout), y, n_each, len(is_heldout))


def score_heldout_rows(
    block: sums.RowBlock, min_key: int, iterate: Iterate, known_columns: Mask
) -> F32:
    """Return the scores of held-out rows from known columns only, as if the rows were new."""
    X = block.take_rows(block.keys < np.uint64(min_key))
    scores: F32 = fit.renormalize_rows(X, known_columns) @ iterate.weights
    scores += iterate.biases.astype(np.float32)
    return scores


def score_heldout(engine: Engine, iterate: Iterate, min_key: int, known_columns: Mask) -> F32:
    """Return the scores of held-out rows of all blocks."""
    return np.concatenate(engine.collect(score_heldout_rows, min_key, iterate, known_columns))
