"""What is learned from blocks of rows: weights for all topics, a few at a time, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.calibration import Calibration
from slugline.scale.state import Keeper, State, UnderWay
from slugline.term_weights import join_topics, share_to_drop, slim
from slugline.training.hinge import Aim, cost_of
from slugline.training.left_out import LeftOut, as_new, as_of_all
from slugline.training.linear import MANY_ROWS, topic_rarity
from slugline.training.linear_fit import ABSENT, MOST_SCORES, topic_blocks
from slugline.training.row_block import RowBlock, column_squares, topic_counts
from slugline.training.term_rates import rates_of, relevance_of
from slugline.training.whole_passes import TOLERANCE, Point, Scales, minimise

__all__ = ["ALL_KEYS", "Learned", "Rows", "learn"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
#: Told of the passes done, the topics at work, the share of the gradient that is left, and that of
#: all the work that is done.
Report = Callable[[int, slice, float, float], None]

#: There are so many keys.
ALL_KEYS = 1 << 64
# Weights that are dense at a time, of all columns and a few topics; and the most topics.
_MOST_WEIGHTS, _MOST_TOPICS = 1 << 25, 128
# Weights that are kept from one descent to the other, in two bytes each.
_MOST_KEPT = 1 << 28
# What two bytes hold at most.
_MOST_HALF = np.float32(65_504)
# What is learned to judge the rows held out need not be as near to the minimum.
_TOLERANCE_OF_JUDGE = 3e-2
# Rows held out that are judged, if topics are very many.
_FEWEST_JUDGED = 500


@dataclass(frozen=True)
class Rows:
    """Blocks of rows, and what is known of all of them.

    Attributes
    ----------
    engine : object
        It holds `RowBlock`s; see `slugline.scale.local.LocalEngine`.
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
    n_all: Counts
    n_learned: Counts
    known: npt.NDArray[np.bool_]
    least_key: int
    weights: npt.NDArray[np.float64] | None = None

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.n_all)

    @property
    def topic_weights(self) -> npt.NDArray[np.float64]:
        """What the rows of each topic count."""
        return np.ones(self.n_topics) if self.weights is None else self.weights

    def blocks_of_topics(self) -> list[slice]:
        """Return the topics that are learned at a time: two, four, ... runs of about one length.

        So the runs are shared out evenly by two, four, ... workers.
        """
        width = min(_MOST_TOPICS, max(1, _MOST_WEIGHTS // max(1, self.n_columns)))
        n_blocks = 1 << (-(-self.n_topics // width) - 1).bit_length()
        return topic_blocks(self.n_topics, -(-self.n_topics // n_blocks))


class Learned(NamedTuple):
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
    biases: Floats
    calibration: Calibration
    left_out: tuple[Labels, Floats]
    n_passes: int
    interrupted: bool
    n_held_out: int


def learn(
    rows: Rows, report: Report, tolerance: float = TOLERANCE, keeper: Keeper | None = None
) -> Learned:
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

    def __init__(self, rows: Rows, report: Report, tolerance: float, keeper: Keeper | None) -> None:
        self.interrupted = False
        self._rows, self._report, self._tolerance = rows, report, tolerance
        self._blocks = rows.blocks_of_topics()
        self._keeper, self._state = keeper, State()
        if keeper is not None:
            self._state = keeper.load(rows.n_columns, self._blocks)
        self._n_held_out = 0
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
            for stage, topics in self._todo(rows.n_learned, rows.least_key):
                point = self._descend(stage, topics, tolerance)
                self._state.scores.append(_judged_scores(rows, point))
                self._ended()
        self._is_first = False
        for stage, topics in self._todo(rows.n_all, 0):
            self._n_held_out = 0
            self._descend(stage, topics, self._tolerance)
            self._ended()
        self._n_held_out = 0

    def _todo(self, counts: Counts, least_key: int) -> Iterator[tuple[_Stage, slice]]:
        """Yield the topics that a descent from so many rows has not come to yet."""
        n_before = 0 if self._is_first else len(self._state.scores)
        todo = self._blocks[self._state.n_done - n_before :]
        if todo:
            stage = _Stage.of(self._rows, counts, least_key)
            yield from ((stage, topics) for topics in todo)

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

    def _descend(self, stage: _Stage, topics: slice, tolerance: float) -> Point:
        """Descend for a few topics; hold what was found, even if that was stopped."""
        state, rest = self._state, None
        first = state.firsts.get(topics.start)
        if first is not None:  # it was of fewer rows
            first = first * stage.n_rows / self._rows.n_learned.sum()
        start, n_before = self._start(topics), state.n_passes
        if state.under_way is not None:
            start, rest = state.under_way
        engine, aim, found = self._rows.engine, stage.aim(topics), None
        try:
            for found in minimise(engine, aim, stage.scales, start, first, tolerance, rest):
                state.firsts.setdefault(topics.start, found.first)
                state.under_way = UnderWay(found.point, found.rest)
                self._keep()
                done = self._share_done(found.share, tolerance)
                self._report(n_before + found.n_passes, topics, found.share, done)
        finally:
            if found is not None:
                state.n_passes = n_before + found.n_passes
                # Before the first step, there is nothing to hold.
                if found.n_passes > 1:
                    self._hold(topics, found.point)
        return start if found is None else found.point

    def _share_done(self, left: float, tolerance: float) -> float:
        """Return the share of the work that is done: a gradient shrinks by a factor each step."""
        own = np.log(max(left, tolerance)) / np.log(tolerance) if tolerance < 1 else 1.0
        return float((self._state.n_done + min(1.0, max(0.0, own))) / self._n_descents)

    def _start(self, topics: slice) -> Point:
        if topics.start in self._state.found:
            weights, biases = self._state.found[topics.start]
            is_dense = isinstance(weights, np.ndarray)
            weights = weights.astype(np.float32) if is_dense else weights.toarray()
            return Point(weights, biases.copy())
        return Point.first(self._rows.n_columns, topics.stop - topics.start)

    def _hold(self, topics: slice, point: Point) -> None:
        """Hold weights: while the other descent is to begin there, all of them, if few enough."""
        n_weights = self._rows.n_columns * self._rows.n_topics
        if self._is_first and n_weights <= _MOST_KEPT:
            weights: Any = point.weights.clip(-_MOST_HALF, _MOST_HALF).astype(np.float16)
        else:
            weights = self._slim(point)
        self._state.found[topics.start] = Point(weights, point.biases)

    def _slim(self, point: Any) -> Any:
        if not isinstance(point.weights, np.ndarray):
            return point.weights
        weights = point.weights.astype(np.float32, copy=False)
        share = share_to_drop(self._rows.n_columns * self._rows.n_topics)
        return slim(weights, share)

    def result(self) -> Learned:
        """Return what was found."""
        rows = self._rows
        for topics in self._blocks:
            if topics.start not in self._state.found:  # the start was the minimum
                self._hold(topics, self._start(topics))
        found = [self._state.found[topics.start] for topics in self._blocks]
        biases = np.concatenate([point.biases for point in found]).astype(np.float32)
        biases[rows.topic_weights * rows.n_all == 0] = ABSENT
        y, scores = self._left_out()
        left_out = LeftOut(np.arange(len(y)), scores)
        calibration = left_out.calibration(y, rows.topic_weights.astype(np.float32)[y])
        return Learned(
            join_topics([self._slim(point) for point in found]),
            biases,
            calibration,
            (y, scores),
            self._state.n_passes,
            self.interrupted,
            self._n_held_out,
        )

    def _left_out(self) -> tuple[Labels, Floats]:
        """Return topics of rows held out, and their scores by the others."""
        rows = self._rows
        if len(self._state.scores) < len(self._blocks):
            return np.zeros(0, dtype=np.int64), np.zeros((0, rows.n_topics), dtype=np.float32)
        scores = np.concatenate(self._state.scores, axis=1)
        parts = rows.engine.each(topics_of_judged, _least_judged(rows))
        y = np.concatenate(parts).astype(np.int64)
        counts = rows.topic_weights * rows.n_learned
        scores[:, counts == 0] = ABSENT
        told = counts[y] > 0  # others' topics can't be told
        share = rows.n_learned.sum() / rows.n_all.sum()
        return y[told], as_of_all(scores[told], float(share))


@dataclass(frozen=True)
class _Stage:
    """What does not change from topic to topic while some of the rows are learned from."""

    rows: Rows
    n_rows: int
    others: Floats
    own: Floats
    scales: Scales
    least_key: int

    @classmethod
    def of(cls, rows: Rows, counts: Counts, least_key: int) -> _Stage:
        """Return how to learn from rows that topics have so many of."""
        n_rows, weights = int(counts.sum()), rows.topic_weights
        others = cost_of(n_rows) * weights
        own = others if rows.weights is not None else others * topic_rarity(counts)
        (squares,) = rows.engine.sums(column_squares)
        scales = Scales.of(_rates(rows, counts, squares, least_key), squares, n_rows)
        return cls(
            rows, n_rows, others.astype(np.float32), own.astype(np.float32), scales, least_key
        )

    def aim(self, topics: slice) -> Aim:
        """Return what a few topics are to learn."""
        numbers = np.arange(topics.start, topics.stop, dtype=np.int32)
        return Aim(numbers, self.others, self.own, self.least_key)


def _rates(
    rows: Rows, counts: Counts, squares: npt.NDArray[np.float64], least_key: int
) -> npt.NDArray[np.float64]:
    """Return how freely each term moves; many rows tell soon enough what a term is worth."""
    if counts.sum() > MANY_ROWS:
        return np.ones(rows.n_columns)
    parts = []
    for topics in rows.blocks_of_topics():
        (found,) = rows.engine.sums(topic_counts, topics, least_key)
        parts.append(sp.csc_array(found))
    there = np.flatnonzero(counts)
    found = sp.hstack(parts, format="csc")[:, there]
    return rates_of(relevance_of(found, counts[there]), squares)


def _least_judged(rows: Rows) -> int:
    """Return the key from which on rows are not judged: no more are than calibration needs."""
    n_held_out = int((rows.n_all - rows.n_learned).sum())
    most = max(_FEWEST_JUDGED, MOST_SCORES // rows.n_topics)
    return rows.least_key * most // max(most, n_held_out)


def topics_of_judged(block: RowBlock, least_judged: int) -> npt.NDArray[np.int32]:
    """Return the topics of rows with a lower key."""
    y: npt.NDArray[np.int32] = block.y[block.keys < np.uint64(least_judged)]
    return y


def scores_of_judged(
    block: RowBlock, least_judged: int, point: Point, known: npt.NDArray[np.bool_]
) -> Floats:
    """Return scores of rows with a lower key, as if they were new: with known columns alone."""
    chosen = np.flatnonzero(block.keys < np.uint64(least_judged))
    scores: Floats = as_new(block.csc().tocsr()[chosen], known) @ point.weights
    scores += point.biases.astype(np.float32)
    return scores


def _judged_scores(rows: Rows, point: Point) -> Floats:
    return np.concatenate(
        rows.engine.each(scores_of_judged, _least_judged(rows), point, rows.known)
    )
