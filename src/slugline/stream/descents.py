"""What is learned from blocks of rows: weights for all topics, a few at a time, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F16, F32, F64, I64, Mask
from slugline.learning.calibration import Calibration
from slugline.learning.linear.fit import (
    ABSENT_SCORE,
    MAX_SCORES,
    HeldOutScores,
    renormalize_rows,
    scale_heldout_scores,
    topic_batches,
)
from slugline.learning.linear.newton import (
    TOLERANCE,
    Iterate,
    NewtonDescent,
    Preconditioner,
    minimise,
    row_slices,
)
from slugline.learning.linear.steps import (
    MANY_ROWS,
    learning_rates,
    relevance_from_counts,
    topic_rarity,
)
from slugline.learning.linear.sums import (
    OneVsRestTargets,
    RowBlock,
    column_squares,
    error_cost,
    topic_counts,
    training_counts,
)
from slugline.learning.linear.weights import drop_threshold, hstack_topics, sparsify
from slugline.stream.checkpoint import CheckpointWriter, RunningDescent, StreamState
from slugline.stream.local import write_memmap
from slugline.stream.topic_parallel import DescentReport, DescentTask

__all__ = [
    "MAX_TOPICS",
    "MAX_WEIGHTS",
    "Objective",
    "RowBlocks",
    "StreamResult",
    "hold_out_rows",
    "learn",
]


# Blocks of rows on an engine, and what is known of all of them ------------------------------------

# There are so many keys.
_ALL_KEYS = 1 << 64
# One in so many rows is held out at first, to tell how sure probabilities may be; if topics are
# very many, so many rows and no more.
_HELD_OUT, _FEWEST_JUDGED = 5, 500
#: Weights that are dense at a time, of all columns and a few topics; and the most topics.
MAX_WEIGHTS, MAX_TOPICS = 3 << 24, 128


@dataclass(frozen=True)
class RowBlocks:
    """Blocks of rows, and what is known of all of them.

    Attributes
    ----------
    engine : object
        It holds `RowBlock`s; see `slugline.stream.local.LocalEngine`.
    n_columns : int
    n_all, n_learned : int array, shape (n_topics,)
        How many rows each topic has, and how many of those that are not held out.
    known : bool array, shape (n_columns,)
        Which columns those have.
    least_key : int
        Rows with a lower key are held out.
    weights : float64 array, shape (n_topics,), or None
        What the user says that the rows of each topic count.
    """

    engine: Any
    n_columns: int
    n_all: I64
    n_learned: I64
    known: Mask
    least_key: int
    weights: F64 | None = None

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.n_all)

    @cached_property
    def squares(self) -> F64:
        """The sum of squares of each column, shape (n_columns,), for which all rows are read."""
        squares: F64 = self.engine.sums(column_squares)[0]
        return squares

    @property
    def topic_weights(self) -> F64:
        """What the rows of each topic count."""
        return np.ones(self.n_topics) if self.weights is None else self.weights

    def blocks_of_topics(self) -> list[slice]:
        """Return the topics that are learned at a time, in an even number of runs of one length.

        So the runs are shared out evenly by two workers. Each passes over all entries of rows, so
        that few and wide runs are faster.
        """
        width = min(MAX_TOPICS, max(1, MAX_WEIGHTS // max(1, self.n_columns)))
        n_blocks = -(-self.n_topics // width)
        n_blocks += n_blocks % 2 if n_blocks > 1 else 0
        return topic_batches(self.n_topics, -(-self.n_topics // n_blocks))


def hold_out_rows(engine: Any, n_columns: int, n_all: I64) -> RowBlocks:
    """Return what is known of rows, of which some are held out: a share that calibration needs.

    Parameters
    ----------
    engine : object
    n_columns : int
    n_all : int array, shape (n_topics,)
    """
    n_rows, n_topics = int(n_all.sum()), len(n_all)
    most = max(_FEWEST_JUDGED, MAX_SCORES // n_topics)
    least_key = _ALL_KEYS * min(most, n_rows // _HELD_OUT) // n_rows
    counts, n_learned = engine.sums(training_counts, n_topics, least_key)
    known = counts > 0
    if not known.any() or (n_learned == n_all).all():  # too few to hold any out
        return RowBlocks(engine, n_columns, n_all, n_all, np.ones(n_columns, dtype=np.bool_), 0)
    return RowBlocks(engine, n_columns, n_all, n_learned, known, least_key)


# What does not change from topic to topic while some of the rows are learned from -----------------


@dataclass(frozen=True)
class Objective:
    """How to learn from these rows, whatever the topics.

    Attributes
    ----------
    rows : Rows
    n_rows : int
        Those that are learned from.
    others, own : float32 array, shape (n_topics,)
        As for `OneVsRestTargets`.
    scales : Scales
    least_key : int
        Rows with a lower key are held out.
    """

    rows: RowBlocks
    n_rows: int
    others: F32
    own: F32
    scales: Preconditioner
    least_key: int

    @classmethod
    def of(cls, rows: RowBlocks, counts: I64, least_key: int) -> Objective:
        """Return how to learn from rows that topics have so many of."""
        n_rows, weights = int(counts.sum()), rows.topic_weights
        others = error_cost(n_rows) * weights
        own = others if rows.weights is not None else others * topic_rarity(counts)
        scales = Preconditioner.of(_rates(rows, counts, least_key), rows.squares, n_rows)
        return cls(
            rows, n_rows, others.astype(np.float32), own.astype(np.float32), scales, least_key
        )

    def aim(self, topics: slice) -> OneVsRestTargets:
        """Return what a few topics are to learn."""
        numbers = np.arange(topics.start, topics.stop, dtype=np.int32)
        return OneVsRestTargets(numbers, self.others, self.own, self.least_key)


def _rates(rows: RowBlocks, counts: I64, least_key: int) -> F64:
    """Return how freely each term moves; many rows tell soon enough what a term is worth."""
    if counts.sum() > MANY_ROWS:
        return np.ones(rows.n_columns)
    parts = []
    for topics in rows.blocks_of_topics():
        (found,) = rows.engine.sums(topic_counts, topics, least_key)
        parts.append(sp.csc_array(found))
    there = np.flatnonzero(counts)
    found = sp.hstack(parts, format="csc")[:, there]
    return learning_rates(relevance_from_counts(found, counts[there]), rows.squares)


# What is learned from blocks of rows: weights for all topics, a few at a time, and ----------------

#: Told of the passes done, the topics at work, the share of the gradient that is left, and that of
#: all the work that is done.
PassReporter = Callable[[int, slice, float, float], None]

# Weights that are kept from one descent to the other, in two bytes each.
_MAX_DENSE = 1 << 28
# So many of a descent lie in a file meanwhile.
_MAX_FLOAT16_IN_MEMORY = 1 << 22
# What two bytes hold at most.
_MAX_FLOAT16 = np.float32(65_504)
# What is learned to judge the rows held out need not be as near to the minimum.
_TOLERANCE_OF_JUDGE = 3e-2


class StreamResult(NamedTuple):
    """What was learned.

    Attributes
    ----------
    weights : float32 CSR array, shape (n_columns, n_topics)
        Without those too small to matter.
    biases : float32 array, shape (n_topics,)
    calibration : Calibration
    left_out : (int array, shape (n_judged,), float32 array, shape (n_judged, n_topics))
        Topics of rows held out, and their scores by what was learned from the others.
    n_passes : int
        Passes over all blocks, for a few topics each.
    interrupted : bool
        Whether a person stopped it.
    n_held_out : int
        How many rows were not learned from, as it was stopped before.
    """

    weights: sp.csr_array
    biases: F32
    calibration: Calibration
    left_out: tuple[I64, F32]
    n_passes: int
    interrupted: bool
    n_held_out: int


def learn(
    rows: RowBlocks,
    report: PassReporter,
    tolerance: float = TOLERANCE,
    keeper: CheckpointWriter | None = None,
) -> StreamResult:
    """Learn from rows that are not held out, judge the others by that, then learn from all.

    After Ctrl-C, what the last pass found is kept, if all topics have been begun. With a keeper, it
    goes on from where an earlier call ended.
    """
    training = _Training(rows, report, tolerance, keeper)
    try:
        training.run()
    except KeyboardInterrupt:
        if not training.is_whole:
            raise
        training.interrupted = True
    return training.result()


class _Training:
    """Two descents: from the rows that are not held out, and from where that ends, from all."""

    def __init__(
        self,
        rows: RowBlocks,
        report: PassReporter,
        tolerance: float,
        keeper: CheckpointWriter | None,
    ) -> None:
        self.interrupted = False
        self._rows, self._report, self._tolerance = rows, report, tolerance
        self._blocks = rows.blocks_of_topics()
        self._keeper, self._state = keeper, StreamState()
        if keeper is not None:
            self._state = keeper.load(rows.n_columns, self._blocks)
        self._n_held_out, self._done = 0, 0.0
        self._is_first = True

    @property
    def is_whole(self) -> bool:
        """Whether there are weights for all topics."""
        return len(self._state.found) == len(self._blocks)

    def run(self) -> None:
        """Descend twice, a few topics at a time."""
        rows = self._rows
        if rows.least_key:
            self._n_held_out = int((rows.n_all - rows.n_learned).sum())
            tolerance = max(_TOLERANCE_OF_JUDGE, self._tolerance)
            self._descend_all(rows.n_learned, rows.least_key, tolerance)
        self._is_first, self._n_held_out = False, 0
        self._descend_all(rows.n_all, 0, self._tolerance)

    def _descend_all(self, counts: I64, least_key: int, tolerance: float) -> None:
        """Descend from so many rows, for the topics that this has not been done for yet."""
        n_before = 0 if self._is_first else len(self._state.scores)
        todo = self._blocks[self._state.n_done - n_before :]
        if not todo:
            return
        stage = Objective.of(self._rows, counts, least_key)
        width = todo[0].stop - todo[0].start
        apart = self._rows.engine.apart(self._rows.n_columns, width, len(todo))
        if apart is not None:
            self._descend_apart(apart, stage, todo, tolerance)
            return
        for topics in todo:
            point = self._descend(stage, topics, tolerance)
            if self._is_first:
                self._state.scores.append(score_heldout(self._rows.engine, point, *self._judging()))
            self._ended()

    def _descend_apart(
        self, apart: Any, stage: Objective, todo: list[slice], tolerance: float
    ) -> None:
        """Descend for several topics at once; what has ended is kept in order."""
        state, ended = self._state, 0
        told: dict[int, DescentReport] = {}
        finish: Any = (score_heldout, self._judging()) if self._is_first else (_nothing, ())
        jobs = [
            DescentTask(begin_descent, partial(self._arguments, stage, tolerance, topics), *finish)
            for topics in todo
        ]
        try:
            for number, news in apart.run(jobs):
                told[number] = news
                state.firsts.setdefault(todo[number].start, news.first)
                while ended in told and told[ended].point is not None:
                    self._end(todo[ended], told.pop(ended))
                    ended += 1
                n_passes = state.n_passes + sum(each.n_passes for each in told.values())
                done = self._share_done([each.share for each in told.values()], tolerance)
                self._report(n_passes, todo[number], news.share, done)
        finally:
            told.update(apart.stopped())
            for number, news in told.items():
                state.n_passes += news.n_passes
                self._hold(todo[number], news.point)

    def _end(self, topics: slice, told: DescentReport) -> None:
        """Take what a descent has found that has ended elsewhere."""
        self._state.n_passes += told.n_passes
        self._hold(topics, told.point)
        if self._is_first:
            self._state.scores.append(told.finished)
        self._ended()

    def _judging(self) -> tuple[int, Mask]:
        return self._rows.least_key, self._rows.known

    def _arguments(self, stage: Objective, tolerance: float, topics: slice) -> tuple[Any, ...]:
        """Return those of `begin_descent`."""
        state, rest = self._state, None
        first = state.firsts.get(topics.start)
        if first is not None:  # it was of fewer rows
            first = first * stage.n_rows / self._rows.n_learned.sum()
        found = state.found.get(topics.start)
        if state.under_way is not None and topics == self._blocks[state.n_done % len(self._blocks)]:
            found, rest = state.under_way
        return stage.aim(topics), stage.scales, found, first, tolerance, rest

    def _ended(self) -> None:
        """Note that a descent has ended."""
        self._state.n_done, self._state.under_way = self._state.n_done + 1, None
        self._keep(is_last=self._state.n_done == self._n_descents)

    @property
    def _n_descents(self) -> int:
        return (2 if self._rows.least_key else 1) * len(self._blocks)

    def _keep(self, *, is_last: bool = False) -> None:
        if self._keeper is not None:
            self._keeper.keep(self._state, is_last=is_last)

    def _descend(self, stage: Objective, topics: slice, tolerance: float) -> Iterate:
        """Descend for a few topics; hold what was found, even if that was stopped."""
        state, n_before, found = self._state, self._state.n_passes, None
        descent = begin_descent(*self._arguments(stage, tolerance, topics))
        try:
            for found in minimise(self._rows.engine, descent):
                state.firsts.setdefault(topics.start, found.first)
                state.under_way = RunningDescent(found.point, found.rest)
                self._keep()
                done = self._share_done([found.share], tolerance)
                self._report(n_before + found.n_passes, topics, found.share, done)
        finally:
            if found is not None:
                state.n_passes = n_before + found.n_passes
                # Before the first step, there is nothing to hold.
                if found.n_passes > 1:
                    self._hold(topics, found.point)
        return descent.point

    def _share_done(self, left: list[float], tolerance: float) -> float:
        """Return the share of the work that is done: a gradient shrinks by a factor each step.

        Where it grows for once, the share stays.
        """
        if tolerance < 1:
            own = np.log(np.clip(left, tolerance, 1)) / np.log(tolerance)
        else:
            own = np.ones(len(left))
        done = (self._state.n_done + own.sum()) / self._n_descents
        self._done = max(self._done, float(done))
        return self._done

    def _hold(self, topics: slice, point: Iterate | None) -> None:
        """Hold weights, if any: while the other descent is to begin there, all, if few enough."""
        if point is None:
            return
        n_weights = self._rows.n_columns * self._rows.n_topics
        if self._is_first and n_weights <= _MAX_DENSE:
            weights: Any = _to_float16(point.weights)
        else:
            weights = self._slim(point)
        self._state.found[topics.start] = Iterate(weights, point.biases)

    def _slim(self, point: Any) -> Any:
        if not isinstance(point.weights, np.ndarray):
            return point.weights
        weights = point.weights.astype(np.float32, copy=False)
        share = drop_threshold(self._rows.n_columns * self._rows.n_topics)
        return sparsify(weights, share)

    def result(self) -> StreamResult:
        """Return what was found."""
        rows = self._rows
        for topics in self._blocks:
            if topics.start not in self._state.found:  # the start was the minimum
                self._hold(topics, Iterate.first(rows.n_columns, topics.stop - topics.start))
        found = [self._state.found[topics.start] for topics in self._blocks]
        biases = np.concatenate([point.biases for point in found]).astype(np.float32)
        biases[rows.topic_weights * rows.n_all == 0] = ABSENT_SCORE
        y, scores = self._left_out()
        left_out = HeldOutScores(np.arange(len(y)), scores)
        calibration = left_out.calibration(y, rows.topic_weights.astype(np.float32)[y])
        return StreamResult(
            hstack_topics([self._slim(point) for point in found]),
            biases,
            calibration,
            (y, scores),
            self._state.n_passes,
            self.interrupted,
            self._n_held_out,
        )

    def _left_out(self) -> tuple[I64, F32]:
        """Return topics of rows held out, and their scores by the others."""
        rows = self._rows
        if len(self._state.scores) < len(self._blocks):
            return np.zeros(0, dtype=np.int64), np.zeros((0, rows.n_topics), dtype=np.float32)
        scores = np.concatenate(self._state.scores, axis=1)
        parts = rows.engine.each(heldout_topics, rows.least_key)
        y = np.concatenate(parts).astype(np.int64)
        counts = rows.topic_weights * rows.n_learned
        scores[:, counts == 0] = ABSENT_SCORE
        told = counts[y] > 0  # others' topics can't be told
        share = rows.n_learned.sum() / rows.n_all.sum()
        return y[told], scale_heldout_scores(scores[told], float(share))


def begin_descent(
    aim: OneVsRestTargets, scales: Preconditioner, held: Iterate | None, *others: Any
) -> NewtonDescent:
    """Return a descent from what another one has found; `others` are as for `NewtonDescent`."""
    return NewtonDescent(aim, scales, _start_of(held, aim, scales), *others)


def _start_of(held: Iterate | None, aim: OneVsRestTargets, scales: Preconditioner) -> Iterate:
    """Return where to start: from nothing, or from weights that may be narrow or sparse."""
    if held is None:
        return Iterate.first(len(scales.steps), len(aim.topics))
    is_dense = isinstance(held.weights, np.ndarray)
    weights: Any = held.weights
    weights = weights.astype(np.float32) if is_dense else weights.toarray()
    return Iterate(weights, held.biases.copy())


def _to_float16(weights: F32) -> F16:
    """Return weights in two bytes each; many of them lie in a file."""
    parts = (weights[part].clip(-_MAX_FLOAT16, _MAX_FLOAT16) for part in row_slices(weights))
    halves = (part.astype(np.float16) for part in parts)
    if weights.size < _MAX_FLOAT16_IN_MEMORY:
        return np.concatenate(list(halves))
    return write_memmap(halves, weights.shape)


def heldout_topics(block: RowBlock, least_key: int) -> npt.NDArray[np.int32]:
    """Return the topics of rows with a lower key."""
    y: npt.NDArray[np.int32] = block.y[block.keys < np.uint64(least_key)]
    return y


def score_heldout_rows(block: RowBlock, least_key: int, point: Iterate, known: Mask) -> F32:
    """Return scores of rows with a lower key, as if they were new: with known columns alone."""
    X = block.some(block.keys < np.uint64(least_key))
    scores: F32 = renormalize_rows(X, known) @ point.weights
    scores += point.biases.astype(np.float32)
    return scores


def score_heldout(engine: Any, point: Iterate, least_key: int, known: Mask) -> F32:
    """Return the scores of all rows with a lower key; see `score_heldout_rows`."""
    return np.concatenate(engine.each(score_heldout_rows, least_key, point, known))


def _nothing(engine: Any, point: Iterate) -> None:
    """Return what is wanted of rows when all have been learned from."""
