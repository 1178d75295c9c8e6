"""Prediction of files in several processes on this machine."""

from __future__ import annotations

import contextlib
import functools
import pickle
import tempfile
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from pathlib import Path

from slugline.base.files import remove_parts
from slugline.base.processes import worker_processes
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions
from slugline.prediction.task import FileResult, Task, predict_file

# The maximum that multiprocessing supports on Windows.
_MAX_WORKERS = 61


def predict_in_processes(
    model: ModelCopy, options: PredictOptions, tasks: Sequence[Task], n_workers: int
) -> Generator[tuple[Task, FileResult]]:
    """Predict files in several processes that each load the model, and yield the results.

    Uses processes instead of threads because most time is spent on reading, which holds the
    interpreter's lock. If a process is killed, the files in progress fail, and new processes
    predict the remaining ones. Closing the iterator ends all processes.
    """
    n_workers = min(n_workers, len(tasks), _MAX_WORKERS)
    waiting = deque(tasks)
    with tempfile.TemporaryDirectory(prefix="slugline-") as folder:
        # Passed in a file to avoid sending the model with each task.
        job_path = Path(folder, "job.pickle")
        job_path.write_bytes(pickle.dumps((model, options)))
        while waiting:
            yield from _predict_until_killed(job_path, waiting, n_workers)


def _predict_until_killed(
    job_path: Path, waiting: deque[Task], n_workers: int
) -> Generator[tuple[Task, FileResult]]:
    """Yield the results of tasks until all are done or a process is killed."""
    running: dict[Future[FileResult], Task] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_parts, running)  # after the workers have ended
        executor = stack.enter_context(worker_processes(n_workers))
        try:
            while True:
                while waiting and len(running) < n_workers:
                    future = executor.submit(_predict, job_path, waiting[0])
                    running[future] = waiting.popleft()
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenExecutor:
            for future, task in running.items():
                yield task, _killed(task) if future.exception() else future.result()


def _remove_parts(running: dict[Future[FileResult], Task]) -> None:
    for task in running.values():
        remove_parts(task.answers.path)


def _killed(task: Task) -> FileResult:
    return FileResult(
        error=f"{task.source}: a worker process was killed while it predicted this file, perhaps "
        "for lack of memory; rerun with fewer workers."
    )


def _predict(job_path: Path, task: Task) -> FileResult:
    """Predict a file in a worker."""
    try:
        model, options = _read_job(job_path)
        return predict_file(model.decider(options), options, task)
    except Exception as error:  # noqa: BLE001 (an unknown error is an error of the file)
        return FileResult(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")


@functools.cache
def _read_job(path: Path) -> tuple[ModelCopy, PredictOptions]:
    job: tuple[ModelCopy, PredictOptions] = pickle.loads(path.read_bytes())  # noqa: S301 (ours)
    return job
