"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import sys
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from slugline.errors import SluglineError
from slugline.prediction.task import (
    How,
    ModelCopy,
    Outcome,
    SoFar,
    Stopped,
    Task,
    answer,
    router_of,
)

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from slugline.model.routing import Router

__all__ = [
    "MOST_DEATHS",
    "Heard",
    "answer_here",
    "answer_in_processes",
]

#: Told the number of a task, and how far it is, or its outcome.
Heard = Callable[[int, SoFar | Outcome], object]
#: How many workers may end at one file before it is given up.
MOST_DEATHS = 5
# Seconds until a worker that is to end is killed.
_PATIENCE = 5.0
_READY = "ready"
# Packages that start threads of their own.
_THREADED = frozenset(
    (
        "distributed",
        "duckdb",
        "grpc",
        "onnxruntime",
        "polars",
        "pyarrow",
        "ray",
        "tensorflow",
        "torch",
    )
)


def answer_here(model: ModelCopy, how: How, tasks: Iterable[Task], heard: Heard) -> None:
    """Answer files one by one in this process."""
    router = router_of(model, how)
    for task in tasks:
        heard(task.number, answer(router, how, task, partial(heard, task.number)))


def answer_in_processes(
    model: ModelCopy, how: How, tasks: Iterable[Task], heard: Heard, n_workers: int
) -> None:
    """Answer files in processes of their own, which share the model, or each load it once.

    Reading takes most of the time, and threads of one process would wait for each other there. A
    file whose worker is killed gets another one.

    Parameters
    ----------
    model : ModelCopy
    how : How
    tasks : iterable of Task
    heard : callable
        Told of rows and outcomes; what it raises ends the job.
    n_workers : int
        The most processes.

    Raises
    ------
    SluglineError : if processes can't be started.
    """
    waiting = deque(tasks)
    crew = _Crew(model, how)
    try:
        while waiting or crew.workers:
            while waiting and len(crew.workers) < n_workers:
                crew.start(waiting.popleft())
            for worker in crew.with_news():
                task = crew.hear(worker, heard)
                if task is not None:
                    waiting.appendleft(task)
                elif worker.is_free and waiting:
                    worker.give(waiting.popleft())
                elif worker.is_free:
                    crew.end(worker)
    finally:
        crew.end_all()


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task
    is_ready: bool = False
    is_free: bool = False

    def give(self, task: Task) -> None:
        self.task, self.is_free = task, False
        with contextlib.suppress(OSError):  # that it has died is heard next
            self.connection.send(task)


class _Crew:
    """Workers, and the files at which some have died."""

    def __init__(self, model: ModelCopy, how: How) -> None:
        self.workers: list[_Worker] = []
        self._given = (model, how)
        self._deaths: Counter[int] = Counter()
        self._forks = _may_fork()
        self._context: Any = multiprocessing.get_context("fork" if self._forks else "spawn")
        if self._forks:
            # The collector would write to all objects, and so make copies of the model's memory.
            gc.freeze()

    def start(self, task: Task) -> None:
        ours, its = self._context.Pipe()
        # A fork has them, too, and would keep others from hearing that they are closed.
        others = [ours, *(worker.connection for worker in self.workers)] if self._forks else []
        arguments = (its, others, *self._given)
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        with warnings.catch_warnings():
            # NumPy's threads, which know how to be forked, make Python warn.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        its.close()
        worker = _Worker(process, ours, task)
        self.workers.append(worker)
        worker.give(task)

    def with_news(self) -> list[_Worker]:
        found = wait([worker.connection for worker in self.workers])
        return [worker for worker in self.workers if worker.connection in found]

    def hear(self, worker: _Worker, heard: Heard) -> Task | None:
        """Pass on one message; return the worker's task if it has died, for another one."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker, heard)
        if message == _READY:
            worker.is_ready = True
            return None
        worker.is_free = isinstance(message, Outcome)
        heard(worker.task.number, message)
        return None

    def _bury(self, worker: _Worker, heard: Heard) -> Task | None:
        task = worker.task
        self.end(worker)
        # Those that are killed have a negative status.
        if not worker.is_ready and (worker.process.exitcode or 0) > 0:
            raise SluglineError(
                "worker processes can't be started; in a script, call this under "
                '`if __name__ == "__main__":`, or with `n_workers=1`.'
            )
        self._deaths[task.number] += 1
        if self._deaths[task.number] < MOST_DEATHS:
            return task
        heard(
            task.number,
            Outcome(
                error=f"{task.source}: {MOST_DEATHS} worker processes ended at it (exit status "
                f"{worker.process.exitcode}); they may lack memory, so let fewer run at a time."
            ),
        )
        return None

    def end(self, worker: _Worker) -> None:
        """End a worker, which hears that its connection is closed."""
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()

    def end_all(self) -> None:
        for worker in self.workers:
            worker.connection.close()
        for worker in [*self.workers]:
            self.end(worker)
        if self._forks:
            gc.unfreeze()


def _may_fork() -> bool:
    """Whether processes may begin as copies of this one, which have the model that it has loaded.

    Then it need not be loaded again, and is in memory once. But a copy has the locks of threads
    that it hasn't, so there must be none but NumPy's.
    """
    is_alone = threading.active_count() == 1 and not _THREADED & sys.modules.keys()
    return sys.platform == "linux" and is_alone


def _work(connection: Connection, others: Sequence[Connection], model: ModelCopy, how: How) -> None:
    """Answer the files that come, until nobody is there any more."""
    for other in others:
        other.close()

    def tell(so_far: SoFar) -> None:
        try:
            connection.send(so_far)
        except OSError as error:
            raise Stopped from error

    # The terminal interrupts all processes; the first one says so.
    with contextlib.suppress(EOFError, OSError, Stopped, KeyboardInterrupt):
        router = router_of(model, how)
        connection.send(_READY)
        while True:
            connection.send(_outcome(router, how, connection.recv(), tell))


def _outcome(router: Router, how: How, task: Task, tell: Callable[[SoFar], object]) -> Outcome:
    try:
        return answer(router, how, task, tell)
    except Stopped:
        raise
    except Exception as error:  # noqa: BLE001 (else, four more workers would end at it)
        return Outcome(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")
