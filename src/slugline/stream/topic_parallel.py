"""Topics apart: each worker has all rows, and descends for some of the topics by itself.

Rows are fewer bytes than the weights that passes would send around. A descent stays on its worker;
the client is told how far it is after each step, and gets what it found at the end. Between workers
there is nothing to add up, so that descents are those of one machine, bit for bit. One that is lost
with its worker begins anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from slugline.base.arrays import F64
from slugline.errors import ClusterError
from slugline.learning.linear.newton import Iterate, NewtonDescent
from slugline.stream.engine import BufferPool
from slugline.stream.local import LocalEngine

__all__ = [
    "MAX_LOSSES",
    "DescentReport",
    "DescentTask",
    "TopicParallelEngine",
    "plan_workers",
]

#: How often descents, or what is shared for a pass, may be lost with all workers that hold it.
MAX_LOSSES = 10
# Arrays of all weights of a descent that are at work at a time, at most.
_ARRAYS = 12
# What a pass costs a thread for each topic and byte of rows, and how fast weights are sent, as
# `benchmarks/run.py streams passes` has found on local workers; only who does what depends on it.
_SECONDS_OF_BYTE, _BYTES_A_SECOND = 5e-11, 1e9
# More than all blocks: a worker has them in memory, or Dask has.
_NO_LIMIT = 1 << 62


def plan_workers(
    n_bytes: int,
    n_weights: int,
    width: int,
    n_jobs: int,
    threads: Mapping[str, int],
    room: Mapping[str, float],
) -> list[str]:
    """Return a worker for each descent that may be under way at a time.

    Parameters
    ----------
    n_bytes : int
        Of all rows.
    n_weights, width : int
        Of a descent, which is for so many topics.
    n_jobs : int
        How many descents there are.
    threads, room : mapping of str to number
        How many threads each worker has, and how many bytes it has for rows, and for weights.

    Returns
    -------
    list of str, which is empty if rows are too many, or if passes that share out rows are sooner
    done.
    """
    found = {
        worker: min(n_threads, int(min(room[worker] / (_ARRAYS * 4 * n_weights), n_threads)))
        for worker, n_threads in sorted(threads.items())
        if n_bytes <= room.get(worker, 0)
    }
    n_places = sum(found.values())
    if not n_places:
        return []
    # Seconds of a pass for all topics: descents wait for one another, or weights are sent.
    alone = n_bytes * width * _SECONDS_OF_BYTE
    sent = (2 * math.log2(len(threads)) + 3) * 4 * n_weights / _BYTES_A_SECOND
    if -(-n_jobs // n_places) * alone > n_jobs * (alone / sum(threads.values()) + sent):
        return []
    turns = range(max(found.values()))
    return [worker for turn in turns for worker, n in found.items() if turn < n]


class DescentTask(NamedTuple):
    """A descent for some topics.

    Attributes
    ----------
    begin : callable
        At the top level of a module; `begin(*arguments())` returns a `NewtonDescent`.
    arguments : callable
    finish : callable
        At the top level of a module; `finish(engine, point, *finishing)` returns what is wanted of
        the rows in the end.
    finishing : tuple
    """

    begin: Callable[..., NewtonDescent]
    arguments: Callable[[], tuple[Any, ...]]
    finish: Callable[..., Any]
    finishing: tuple[Any, ...] = ()


class DescentReport(NamedTuple):
    """How far a descent is; in the end, where it is and what was wanted of the rows."""

    n_passes: int
    share: float
    is_done: bool
    first: F64
    point: Iterate | None = None
    finished: Any = None


@dataclass
class _RunningTask:
    """A job that a worker is at.

    Attributes
    ----------
    state, before : Future or None
        The descent after the step that is taken, and before it.
    """

    number: int
    job: DescentTask
    worker: str
    state: Any = None
    before: Any = None
    told: DescentReport | None = None


class TopicParallelEngine:
    """Has descents done on workers that hold all blocks.

    Parameters
    ----------
    engine : DaskEngine
    blocks : sequence of Future
    groups : sequence of slice
        Of blocks that are added up one after another.
    workers : sequence of str
        One for each descent that may be under way at a time.
    """

    def __init__(
        self, engine: Any, blocks: Sequence[Any], groups: Sequence[slice], workers: Sequence[str]
    ) -> None:
        self._engine, self._rows = engine, (list(blocks), list(groups))
        self._free = deque(workers)
        self._waiting: deque[tuple[int, DescentTask]] = deque()
        self._under_way: dict[Any, _RunningTask] = {}
        self._n_lost = 0

    def run(self, jobs: Sequence[DescentTask]) -> Iterator[tuple[int, DescentReport]]:
        """Yield the numbers of descents, and how far they are, after each step of any."""
        self._waiting = deque(enumerate(jobs))
        self._begin_more()
        while self._under_way:
            future = self._first_done()
            try:
                (told,) = self._engine.gather([future])
            except CancelledError:
                self._lose(self._under_way.pop(future))
                self._begin_more()
            else:
                at_work = self._under_way.pop(future)
                self._go_on(at_work, told)
                self._begin_more()  # so that the worker need not wait for what is done with this
                yield at_work.number, told

    def stopped(self) -> Iterator[tuple[int, DescentReport]]:
        """Yield where descents are that have not ended; none of them goes on."""
        for future, at_work in self._under_way.items():
            last = at_work.before or at_work.state
            if at_work.told is not None and at_work.told.n_passes > 1 and last is not None:
                (point,) = self._engine.gather([self._submit(at_work, _iterate, last)])
                yield at_work.number, at_work.told._replace(point=point)
            self._engine.release([future, at_work.before, at_work.state])
        self._under_way.clear()

    def _begin_more(self) -> None:
        while self._waiting and self._free:
            self._begin(_RunningTask(*self._waiting.popleft(), self._free.popleft()))

    def _begin(self, at_work: _RunningTask) -> None:
        job = at_work.job
        # Its arguments are part of the task, so that another worker can begin as well. A task that
        # needs nothing, and is meant for a worker that is gone, would wait for that forever.
        at_work.state = self._submit(at_work, _begin, self._rows, job.begin, job.arguments())
        self._ask(at_work, self._submit(at_work, _report, at_work.state))

    def _go_on(self, at_work: _RunningTask, told: DescentReport) -> None:
        """Let a descent take its next step, or end."""
        self._engine.release([at_work.before])
        at_work.told, at_work.before = told, None
        if told.point is not None:
            self._engine.release([at_work.state])
            self._free.append(at_work.worker)
        elif told.is_done:
            finish = at_work.job.finish, at_work.job.finishing
            future = self._submit(at_work, _finish, at_work.state, self._rows, *finish)
            self._ask(at_work, future)
        else:
            at_work.before = at_work.state
            at_work.state = self._submit(at_work, _advance, at_work.before, self._rows)
            self._ask(at_work, self._submit(at_work, _report, at_work.state))

    def _lose(self, at_work: _RunningTask) -> None:
        """Begin a descent anew of which all is lost."""
        self._n_lost += 1
        if self._n_lost > MAX_LOSSES:
            raise ClusterError(
                f"workers were lost {MAX_LOSSES} times in their descents; their logs may tell why."
            )
        self._engine.release([at_work.before, at_work.state])
        self._free.append(at_work.worker)
        self._waiting.appendleft((at_work.number, at_work.job))

    def _submit(self, at_work: _RunningTask, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._engine.submit_to(at_work.worker, function, *arguments)

    def _ask(self, at_work: _RunningTask, future: Any) -> None:
        self._under_way[future] = at_work

    def _first_done(self) -> Any:
        """Return a future that is done, or lost."""
        while True:
            is_lost = True
            with suppress(CancelledError):
                self._engine.waited(list(self._under_way), "FIRST_COMPLETED")
                is_lost = False
            for future in self._under_way:
                if future.status != "pending":
                    return future
            if is_lost:  # nobody is at any of them
                return next(iter(self._under_way))


# What workers do ---------------------------------------------------------------------------------


# Blocks, and which of them are added up one after another.
_WorkerRows = tuple[Sequence[Any], Sequence[slice]]
# A descent, and what it has for sums, which stays in the process.
_WorkerState = tuple[NewtonDescent, BufferPool]


def _begin(
    rows: _WorkerRows, begin: Callable[..., NewtonDescent], arguments: tuple[Any, ...]
) -> _WorkerState:
    descent, spare = begin(*arguments), BufferPool()
    descent.advance(_local_engine(rows, spare))
    return descent, spare


def _advance(state: _WorkerState, rows: _WorkerRows) -> _WorkerState:
    """Return a descent a step further; the one before stays, as Dask may want it again."""
    descent, spare = state
    after = descent.copy()
    after.advance(_local_engine(rows, spare))
    return after, spare


def _iterate(state: _WorkerState) -> Iterate:
    descent, _ = state
    return descent.point


def _report(state: _WorkerState) -> DescentReport:
    descent, _ = state
    return DescentReport(descent.n_passes, descent.share, descent.is_done, descent.first)


def _finish(
    state: _WorkerState, rows: _WorkerRows, finish: Callable[..., Any], finishing: tuple[Any, ...]
) -> DescentReport:
    descent, spare = state
    point = descent.point
    finished = finish(_local_engine(rows, spare), point, *finishing)
    return _report(state)._replace(point=point, finished=finished)


def _local_engine(rows: _WorkerRows, spare: BufferPool) -> LocalEngine:
    blocks, groups = rows
    engine = LocalEngine(1, _NO_LIMIT, spare)
    for block in blocks:
        engine.append(block)
    engine.group(groups)
    return engine
