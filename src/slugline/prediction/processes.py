"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import sys
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from slugline.errors import Parameter, SluglineError
from slugline.model.decider import Decider
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions
from slugline.prediction.task import FileProgress, FileResult, JobEnded, Task, predict_file

#: A function that is called with the number of a task, and its progress or result.
Report = Callable[[int, FileProgress | FileResult], object]
#: A file is given up after this many workers died on it.
MAX_DEATHS = 5
# Seconds for a worker to end before it is killed.
_PATIENCE = 5.0
_READY = "ready"
# Packages that start their own threads.
_THREADED = {
    "distributed",
    "duckdb",
    "grpc",
    "onnxruntime",
    "polars",
    "pyarrow",
    "ray",
    "tensorflow",
    "torch",
}


def predict_on_this_machine(
    model: ModelCopy, options: PredictOptions, tasks: Sequence[Task], report: Report, n_workers: int
) -> None:
    """Predict files in up to `n_workers` processes, which share the model or load it once each.

    Processes are used instead of threads, as most of the time is spent on reading, which holds the
    interpreter's lock. With one worker or one file, no process other than this one is needed. A
    file whose worker is killed gets another worker. An exception that `report` raises ends the job.

    Raises
    ------
    SluglineError : if processes can't be started.
    """
    if min(n_workers, len(tasks)) == 1:
        decider = model.decider(options)
        for task in tasks:
            report(task.number, predict_file(decider, options, task, partial(report, task.number)))
        return
    waiting = deque(tasks)
    pool = _WorkerPool(model, options)
    try:
        while waiting or pool.workers:
            while waiting and len(pool.workers) < n_workers:
                pool.start(waiting.popleft())
            for worker in pool.wait_for_messages():
                lost = pool.receive(worker, report)
                if lost is not None:
                    waiting.appendleft(lost)
                elif worker.is_free and waiting:
                    worker.assign(waiting.popleft())
                elif worker.is_free:
                    pool.end(worker)
    finally:
        pool.end_all()


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task
    is_ready: bool = False
    is_free: bool = False

    def assign(self, task: Task) -> None:
        self.task, self.is_free = task, False
        with contextlib.suppress(OSError):  # if the process has died, `receive` finds out
            self.connection.send(task)


class _WorkerPool:
    """Worker processes, and the number of workers that died on each file."""

    def __init__(self, model: ModelCopy, options: PredictOptions) -> None:
        self.workers: list[_Worker] = []
        self._model, self._options = model, options
        self._deaths: Counter[int] = Counter()
        self._forks = _may_fork()
        self._context: Any = multiprocessing.get_context("fork" if self._forks else "spawn")
        if self._forks:
            # Forks share the model's memory as long as the garbage collector doesn't write to it.
            gc.freeze()

    def start(self, task: Task) -> None:
        connection, worker_connection = self._context.Pipe()
        # A fork inherits these connections, which are not closed until it closes them as well.
        inherited = []
        if self._forks:
            inherited = [connection, *(worker.connection for worker in self.workers)]
        arguments = (worker_connection, inherited, self._model, self._options)
        process = self._context.Process(target=_run_worker, args=arguments, daemon=True)
        with warnings.catch_warnings():
            # Python warns about forks with threads; these are NumPy's, which handle forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        worker_connection.close()
        worker = _Worker(process, connection, task)
        self.workers.append(worker)
        worker.assign(task)

    def wait_for_messages(self) -> list[_Worker]:
        ready = wait([worker.connection for worker in self.workers])
        return [worker for worker in self.workers if worker.connection in ready]

    def receive(self, worker: _Worker, report: Report) -> Task | None:
        """Report one message of a worker; if it has died, return its task for another worker."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._replace(worker, report)
        if message == _READY:
            worker.is_ready = True
            return None
        worker.is_free = isinstance(message, FileResult)
        report(worker.task.number, message)
        return None

    def _replace(self, worker: _Worker, report: Report) -> Task | None:
        task = worker.task
        self.end(worker)
        # The exit status of a killed process is negative.
        if not worker.is_ready and (worker.process.exitcode or 0) > 0:
            raise SluglineError(
                "worker processes can't be started; in a script, call this under "
                '`if __name__ == "__main__":`, or with ',
                Parameter("n_workers", 1),
                ".",
            )
        self._deaths[task.number] += 1
        if self._deaths[task.number] < MAX_DEATHS:
            return task
        report(
            task.number,
            FileResult(
                error=f"{task.source}: {MAX_DEATHS} worker processes died on it (exit status "
                f"{worker.process.exitcode}), perhaps for lack of memory; let fewer run at a time."
            ),
        )
        return None

    def end(self, worker: _Worker) -> None:
        """End a worker by closing its connection."""
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
    """Whether workers may be forks of this process, which share the model in memory.

    A fork has copies of all locks but not of the threads that would release them, so there must be
    no threads but NumPy's.
    """
    has_threads = threading.active_count() > 1 or bool(_THREADED & sys.modules.keys())
    return sys.platform == "linux" and not has_threads


def _run_worker(
    connection: Connection,
    inherited: Sequence[Connection],
    model: ModelCopy,
    options: PredictOptions,
) -> None:
    """Predict the files that arrive until the connection closes."""
    for inherited_connection in inherited:
        inherited_connection.close()

    def report(message: FileProgress) -> None:
        try:
            connection.send(message)
        except OSError as error:
            raise JobEnded from error

    # Ctrl-C interrupts all processes of the terminal; the parent process reports it.
    with contextlib.suppress(EOFError, OSError, JobEnded, KeyboardInterrupt):
        decider = model.decider(options)
        connection.send(_READY)
        while True:
            connection.send(_file_result(decider, options, connection.recv(), report))


def _file_result(
    decider: Decider, options: PredictOptions, task: Task, report: Callable[[FileProgress], object]
) -> FileResult:
    try:
        return predict_file(decider, options, task, report)
    except JobEnded:
        raise
    except Exception as error:  # noqa: BLE001 (otherwise the file would be retried four times)
        return FileResult(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")
