"""Descents in parallel by topic: each Dask worker holds all rows, and learns some of the topics.

They are used if the rows take fewer bytes than the weights that passes would send. A descent stays
on its worker; the client gets a report after each step, and the iterate at the end. Nothing is
summed across workers, so the results are those of one machine, bit for bit. A descent that is lost
with its worker starts again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from slugline.base.arrays import F32
from slugline.errors import ClusterError
from slugline.learning.linear.newton import Iterate, NewtonDescent
from slugline.stream.dask_tasks import DaskTasks, Future, release
from slugline.stream.engine import (
    BufferPool,
    DescentReport,
    DescentStart,
    DescentTask,
    Engine,
    TopicParallel,
)
from slugline.stream.local import LocalEngine

#: Maximum number of times that descents, or the arguments of a pass, may be lost with
#: all workers that hold them.
MAX_LOSSES = 10
# Maximum number of arrays of all weights that a descent has in memory.
_MAX_ARRAYS = 12
# Seconds of a pass for each topic and byte of rows on one thread, as measured on local workers by
# `benchmarks/run.py streams passes`. This and the next decide where a descent runs, not its result.
_SECONDS_PER_BYTE = 5e-11
# The speed of sending weights.
_BYTES_PER_SECOND = 1e9
# The worker, or Dask, has all blocks in memory already.
_UNLIMITED = 1 << 62


def plan_workers(
    n_bytes: int,
    n_weights: int,
    width: int,
    n_tasks: int,
    threads: Mapping[str, int],
    memory: Mapping[str, float],
) -> list[str]:
    """Return a worker for each descent that may run at the same time.

    Parameters
    ----------
    n_bytes : int
        Size of all rows.
    n_weights, width : int
        Numbers of weights and of topics of a descent.
    n_tasks : int
        Number of descents.
    threads, memory : mapping of str to number
        Threads of each worker, and the bytes that it may use for rows, and as many for weights.

    Returns
    -------
    list of str, empty if rows don't fit on a worker, or if passes that divide them are faster.
    """
    slots = {
        worker: int(min(memory[worker] / (_MAX_ARRAYS * 4 * n_weights), n_threads))
        for worker, n_threads in sorted(threads.items())
        if n_bytes <= memory.get(worker, 0)
    }
    n_slots = sum(slots.values())
    if not n_slots:
        return []
    # Seconds of a pass for all topics if descents wait for one another, and if weights are sent.
    computing = n_bytes * width * _SECONDS_PER_BYTE
    sending = (2 * math.log2(len(threads)) + 3) * 4 * n_weights / _BYTES_PER_SECOND
    by_topic = -(-n_tasks // n_slots) * computing
    by_row = n_tasks * (computing / sum(threads.values()) + sending)
    if by_topic > by_row:
        return []
    rounds = range(max(slots.values()))
    return [worker for number in rounds for worker, n in slots.items() if number < n]


@dataclass
class _RunningTask:
    """A running descent and its worker."""

    number: int
    task: DescentTask
    worker: str
    # The descent after the current step, and after the previous one.
    state: Future = None
    previous_state: Future = None
    report: DescentReport | None = None


class TopicParallelEngine(TopicParallel):
    """Runs descents on workers that hold all blocks.

    Parameters
    ----------
    tasks : DaskTasks
    blocks : sequence of Future
    groups : sequence of slice
        Blocks that are summed sequentially.
    workers : sequence of str
        A worker for each descent that may run at the same time.
    """

    def __init__(
        self,
        tasks: DaskTasks,
        blocks: Sequence[Future],
        groups: Sequence[slice],
        workers: Sequence[str],
    ) -> None:
        self._tasks, self._rows = tasks, (list(blocks), list(groups))
        self._idle_workers = deque(workers)
        self._waiting: deque[tuple[int, DescentTask]] = deque()
        # By the future of the next report.
        self._running: dict[Future, _RunningTask] = {}
        self._n_lost = 0

    def run(self, tasks: Sequence[DescentTask]) -> Iterator[tuple[int, DescentReport]]:
        """Yield the number of a task and a report after each step of any task."""
        self._waiting = deque(enumerate(tasks))
        self._start_waiting()
        while self._running:
            future = self._wait_for_any()
            try:
                (report,) = self._tasks.gather([future])
            except CancelledError:
                self._restart(self._running.pop(future))
                self._start_waiting()
            else:
                running = self._running.pop(future)
                self._continue(running, report)
                self._start_waiting()  # before the caller handles the report
                yield running.number, report

    def stop(self) -> Iterator[tuple[int, DescentReport]]:
        """Stop the remaining descents, and yield their reports with iterates."""
        for future, running in self._running.items():
            last = running.previous_state or running.state
            if running.report is not None and running.report.n_passes > 1 and last is not None:
                future_iterate = self._tasks.submit_to(running.worker, _iterate, last)
                (iterate,) = self._tasks.gather([future_iterate])
                yield running.number, running.report._replace(iterate=iterate)
            release([future, running.previous_state, running.state])
        self._running.clear()

    def _start_waiting(self) -> None:
        """Start waiting tasks on idle workers."""
        while self._waiting and self._idle_workers:
            number, task = self._waiting.popleft()
            running = _RunningTask(number, task, self._idle_workers.popleft())
            # The start is part of the Dask task, so that another worker can run it as well. A task
            # without dependencies, meant for a worker that is gone, would wait forever.
            running.state = self._tasks.submit_to(running.worker, _begin, self._rows, task.start())
            self._request(running, _report, running.state)

    def _continue(self, running: _RunningTask, report: DescentReport) -> None:
        """Submit the next step of a descent, or the function that finishes it."""
        release([running.previous_state])
        running.report, running.previous_state = report, None
        if report.iterate is not None:
            release([running.state])
            self._idle_workers.append(running.worker)
        elif report.is_done:
            self._request(running, _finish, running.state, self._rows, running.task.finish)
        else:
            running.previous_state = running.state
            running.state = self._tasks.submit_to(
                running.worker, _advance, running.previous_state, self._rows
            )
            self._request(running, _report, running.state)

    def _restart(self, running: _RunningTask) -> None:
        """Return a lost descent to the front of the waiting tasks."""
        self._n_lost += 1
        if self._n_lost > MAX_LOSSES:
            raise ClusterError(
                f"workers were lost {MAX_LOSSES} times in their descents; their logs may say why."
            )
        release([running.previous_state, running.state])
        self._idle_workers.append(running.worker)
        self._waiting.appendleft((running.number, running.task))

    def _request(
        self, running: _RunningTask, function: Callable[..., DescentReport], *arguments: Any
    ) -> None:
        """Submit a function that returns the next report."""
        self._running[self._tasks.submit_to(running.worker, function, *arguments)] = running

    def _wait_for_any(self) -> Future:
        """Return a future that is done or lost."""
        while True:
            is_lost = True
            with suppress(CancelledError):
                self._tasks.wait(list(self._running), "FIRST_COMPLETED")
                is_lost = False
            for future in self._running:
                if future.status != "pending":
                    return future
            if is_lost:  # no worker runs any of the tasks
                return next(iter(self._running))


# Tasks of workers --------------------------------------------------------------------------------

# Blocks, and groups of them.
_WorkerRows = tuple[Sequence[Any], Sequence[slice]]
# A descent, and buffers for its sums, which stay in the process.
_WorkerState = tuple[NewtonDescent, BufferPool]


def _begin(rows: _WorkerRows, start: DescentStart) -> _WorkerState:
    descent, pool = start.descent(), BufferPool()
    if not descent.is_done:  # it is done if the checkpoint was saved after its last step
        descent.advance(_local_engine(rows, pool))
    return descent, pool


def _advance(state: _WorkerState, rows: _WorkerRows) -> _WorkerState:
    """Return the descent after a step; `state` is unchanged, since Dask may use it again."""
    descent, pool = state
    after = descent.copy()
    after.advance(_local_engine(rows, pool))
    return after, pool


def _iterate(state: _WorkerState) -> Iterate:
    return state[0].iterate


def _report(state: _WorkerState) -> DescentReport:
    descent, _ = state
    return DescentReport(
        n_passes=descent.n_passes,
        relative_norm=descent.relative_norm,
        is_done=descent.is_done,
        initial_norms=descent.first,
    )


def _finish(
    state: _WorkerState, rows: _WorkerRows, finish: Callable[[Engine, Iterate], F32] | None
) -> DescentReport:
    descent, pool = state
    iterate = descent.iterate
    result = None if finish is None else finish(_local_engine(rows, pool), iterate)
    return _report(state)._replace(iterate=iterate, result=result)


def _local_engine(rows: _WorkerRows, pool: BufferPool) -> LocalEngine:
    blocks, groups = rows
    engine = LocalEngine(1, _UNLIMITED, pool)
    for block in blocks:
        engine.append(block)
    engine.set_groups(groups)
    return engine
