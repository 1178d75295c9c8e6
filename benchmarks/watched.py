"""`fit_stream` for some of the topics, timed: seconds of reading and of passes, and their costs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import scipy.sparse as sp

import clusters
from slugline import TopicClassifier
from slugline.learning.linear.newton import TOLERANCE, Iterate
from slugline.stream import descents, fit
from slugline.stream.checkpoint import StreamState
from slugline.stream.descents import RowBlocks
from slugline.stream.local import write_memmap

# Up to so many, all weights are kept from one descent to the other, as `slugline.stream.descents`
# does; of more, one in so many is left here, which is more than matter.
_MOST_KEPT, _ONE_IN = 1 << 28, 8


class Enough(Exception):  # noqa: N818
    """All that was to be measured has been."""


@dataclass
class Watched:
    """What was measured.

    Attributes
    ----------
    reading, passes : float
        Seconds: from the first text to the rows, and of the passes.
    n_passes : int
        All passes, of each topic block and both descents.
    in_engine : float
        Seconds of the passes in which blocks were gone through; on one machine only.
    n_texts, n_columns, n_topics, n_blocks, width : int
        Topics are learned in so many blocks of about such a width.
    n_entries, n_bytes : int
        Of all rows; on one machine only.
    """

    reading: float = 0.0
    passes: float = 0.0
    n_passes: int = 0
    in_engine: float = 0.0
    n_texts: int = 0
    n_columns: int = 0
    n_topics: int = 0
    n_blocks: int = 0
    width: int = 0
    n_entries: int = 0
    n_bytes: int = 0

    @property
    def a_pass(self) -> float:
        """Seconds of a pass for one block of topics."""
        return self.passes / max(1, self.n_passes)


class _Timed:
    """An engine whose passes are timed."""

    def __init__(self, engine: Any, watched: Watched) -> None:
        self._engine, self._watched = engine, watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def sums(self, *arguments: Any, **how: Any) -> Any:
        return self._time(self._engine.sums, *arguments, **how)

    def keeping_sums(self, *arguments: Any, **how: Any) -> Any:
        return self._time(self._engine.keeping_sums, *arguments, **how)

    def _time(self, function: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **how)
        finally:
            self._watched.in_engine += time.perf_counter() - start


class _Keeper:
    """Ends learning with the last descent, and may have it begin with the last topics.

    Those before are then as they would be, so that memory is.
    """

    def __init__(self, watched: Watched, *, at_last: bool) -> None:
        self._watched, self._at_last = watched, at_last

    def load(self, n_columns: int, blocks: list[slice]) -> StreamState:
        state = StreamState()
        n_topics = blocks[-1].stop
        if self._at_last:
            state.n_done = len(blocks) - 1
            for topics in blocks[:-1]:
                width = topics.stop - topics.start
                make = _dense if n_columns * n_topics <= _MOST_KEPT else _sparse
                state.found[topics.start] = Iterate(make(n_columns, width), np.zeros(width))
        return state

    def keep(self, state: StreamState, *, is_last: bool = False) -> None:
        self._watched.n_passes = state.n_passes
        if is_last:
            raise Enough


def _dense(n_columns: int, width: int) -> Any:
    shape = n_columns, width
    return write_memmap([np.full(shape, 0.01, dtype=np.float16)], shape)


def _sparse(n_columns: int, width: int) -> Any:
    rows = np.tile(np.arange(0, n_columns, _ONE_IN, dtype=np.int32), width)
    ends = np.linspace(0, len(rows), width + 1).astype(np.int32)
    data = np.full(len(rows), 0.01, dtype=np.float32)
    return sp.csc_array((data, rows, ends), shape=(n_columns, width))


def watch(
    source: Any,
    n_topic_blocks: int | None,
    *,
    n_jobs: int | None = 1,
    n_steps: int | None = None,
    client: Any = None,
    by_rows: bool = False,
    tolerance: float = TOLERANCE,
) -> Watched:
    """Learn, and return what was measured.

    Parameters
    ----------
    source : as for fit_stream
    n_topic_blocks : int, optional
        How many blocks of topics are learned, the first ones; by default all, of which the first
        descent is counted as done but for the last block.
    n_jobs : int, optional
        Threads on one machine; by default all cores.
    n_steps : int, optional
        End after so many Newton steps; by default, after all.
    client : distributed.Client, optional
    by_rows : bool, default False
        Workers share rows out even where each could hold all of them.
    tolerance : float, default TOLERANCE
    """
    watched = Watched()
    began = time.perf_counter()

    def learn(rows: RowBlocks, report: Any, tolerance: float, _: Any) -> None:
        watched.reading = time.perf_counter() - began
        few = _describe(rows, watched, n_topic_blocks, is_here=client is None)
        reported: list[tuple[float, int]] = [(time.perf_counter(), 0)]

        def reporting(n_passes: int, *others: Any) -> None:
            report(n_passes, *others)
            reported.append((time.perf_counter(), n_passes))
            if n_steps is not None and len(reported) > 1 + n_steps:
                raise Enough

        keeper = _Keeper(watched, at_last=n_topic_blocks is None)
        watched.in_engine, start = 0.0, time.perf_counter()
        try:
            descents.learn(few, reporting, tolerance, keeper)
        finally:
            watched.passes = time.perf_counter() - start
            if n_steps is not None:  # the first one finds what all of them need
                (before, n_before), (after, n_after) = reported[1], reported[-1]
                watched.passes, watched.n_passes = after - before, n_after - n_before

    classifier = TopicClassifier(n_jobs=n_jobs)
    with mock.patch.object(fit, "learn", learn), clusters.sharing(by_rows=by_rows):
        try:
            classifier.fit_stream(source, client=client, tolerance=tolerance)
        except Enough:
            return watched
    raise SystemExit("fit_stream ended before its last pass; watched.py no longer fits it.")


def _describe(rows: Any, watched: Watched, n_topic_blocks: int | None, *, is_here: bool) -> Any:
    """Note what rows are, and return them with the topics that are to be learned."""
    blocks = rows.blocks_of_topics()
    watched.n_texts, watched.n_columns = int(rows.n_all.sum()), rows.n_columns
    watched.n_topics, watched.n_blocks = rows.n_topics, len(blocks)
    watched.width = -(-rows.n_topics // len(blocks))

    class FewTopics(RowBlocks):
        """Rows of which only some topics are learned."""

        def blocks_of_topics(self) -> list[slice]:
            return blocks[:n_topic_blocks]

    fields = {field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)}
    if is_here:
        sizes = np.array(rows.engine.each(_sizes))
        watched.n_entries, watched.n_bytes = (int(n) for n in sizes.sum(axis=0))
        fields["engine"] = _Timed(rows.engine, watched)
    return FewTopics(**fields)


def _sizes(block: Sequence[Any]) -> tuple[int, int]:
    """Return the entries and the bytes of a block."""
    arrays = [part for part in block if isinstance(part, np.ndarray)]
    return len(arrays[0]), sum(array.nbytes for array in arrays)
