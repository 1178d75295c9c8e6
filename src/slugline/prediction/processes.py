"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path

from slugline.errors import Parameter, SluglineError
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions
from slugline.prediction.task import FileResult, Task, predict_file

# As many as ProcessPoolExecutor supports on Windows.
_MAX_WORKERS = 61
# In a worker: the file with the model and the options of the job.
_job_path: Path


def predict_in_processes(
    model: ModelCopy, options: PredictOptions, tasks: Sequence[Task], n_workers: int
) -> Generator[tuple[Task, FileResult]]:
    """Predict files in several processes that each load the model; yield their results.

    Processes are used instead of threads because most of the time is spent on reading, which holds
    the interpreter's lock. If a process is killed, the files that were being predicted fail, and
    new processes predict the others. If the iterator is closed, all processes end.

    Raises
    ------
    SluglineError : if processes can't be started.
    """
    context = multiprocessing.get_context("spawn")
    n_workers = min(n_workers, len(tasks), _MAX_WORKERS)
    waiting = deque(tasks)
    with tempfile.TemporaryDirectory(prefix="slugline-") as folder:
        # In a file, since multiprocessing hangs if a process dies before it has read an argument
        # that is larger than the buffer of a pipe.
        job_path = Path(folder, "job.pickle")
        job_path.write_bytes(pickle.dumps((model, options)))
        while waiting:
            yield from _predict_until_killed(context, job_path, waiting, n_workers)


def _predict_until_killed(
    context: SpawnContext, job_path: Path, waiting: deque[Task], n_workers: int
) -> Generator[tuple[Task, FileResult]]:
    """Yield the results of tasks until there are no more, or a process is killed."""
    end_reader, end_writer = context.Pipe(duplex=False)
    running: dict[Future[FileResult], Task] = {}
    with (
        end_reader,
        end_writer,
        ProcessPoolExecutor(n_workers, context, _begin, (job_path, end_reader)) as executor,
    ):
        try:
            _check_start(executor)
            while True:
                while waiting and len(running) < n_workers:
                    future = executor.submit(_predict, waiting[0])
                    running[future] = waiting.popleft()
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            for future, task in running.items():
                yield task, _killed(task) if future.exception() else future.result()
        finally:
            if running:
                end_writer.close()


def _check_start(executor: ProcessPoolExecutor) -> None:
    try:
        executor.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise SluglineError(
            "worker processes can't be started; in a script, call this under "
            '`if __name__ == "__main__":`, or with ',
            Parameter("n_workers", 1),
            ".",
        ) from error


def _killed(task: Task) -> FileResult:
    return FileResult(
        error=f"{task.source}: a worker process was killed while it predicted this file, perhaps "
        "for lack of memory; rerun with fewer workers."
    )


def _begin(job_path: Path, end: Connection) -> None:
    """Prepare a worker, which ends when the other end of the pipe is closed."""
    global _job_path
    _job_path = job_path
    # Ctrl-C interrupts all processes of a terminal; the parent process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_at, args=(end,), daemon=True).start()


def _exit_at(end: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        end.recv()
    os._exit(1)


def _predict(task: Task) -> FileResult:
    """Predict a file in a worker."""
    try:
        model, options = _read_job()
        return predict_file(model.decider(options), options, task)
    except Exception as error:  # noqa: BLE001 (an unknown error is an error of the file)
        return FileResult(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")


@functools.cache
def _read_job() -> tuple[ModelCopy, PredictOptions]:
    job: tuple[ModelCopy, PredictOptions] = pickle.loads(_job_path.read_bytes())  # noqa: S301 (ours)
    return job
