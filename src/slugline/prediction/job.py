"""Predictions for many files, written to a folder, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import functools
import pickle
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.checks import check_whole, count_threads
from slugline.base.clusters import connected
from slugline.base.files import remove_parts
from slugline.base.processes import worker_processes
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import counted, have
from slugline.errors import Message, OptionError, Parameter, SluglineError
from slugline.prediction.file_pairs import FilePair, pair_files
from slugline.prediction.markers import locked_folder, marked_file
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions, decider_notes
from slugline.prediction.task import FileResult, Task, predict_file

if TYPE_CHECKING:
    from distributed import Client

# Maximum number of warnings shown.
_MAX_WARNINGS = 20


class JobResult(NamedTuple):
    """The result of a job.

    Attributes
    ----------
    n_files, n_rows : int
        Numbers of files and rows predicted by this run of the job.
    n_up_to_date : int
        Number of files whose answers were already up to date.
    n_bad, n_bad_files : int
        Numbers of rows with an error instead of an answer, and of files with such rows, in this
        run.
    failed : list of (source, error)
        Files without answers, and the reasons.
    seconds : float
    """

    n_files: int
    n_up_to_date: int
    n_rows: int
    n_bad: int
    n_bad_files: int
    failed: list[tuple[str, str]]
    seconds: float


def predict_files(
    model: Any,
    sources: str | Path | Iterable[str | Path],
    out: str | Path,
    options: PredictOptions | None = None,
    *,
    overwrite: bool = False,
    n_workers: int | None = None,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> JobResult:
    """Predict the topics of all rows of files; write an answer file for each to a folder.

    An answer file is named after its source and contains all rows and columns of the source,
    followed by the answers. It is written atomically. Files of any size are read in batches.

    Markers in the folder `_slugline` record the model and settings of each answer file. When
    rerun, a job predicts only new and changed files. It replaces answers from another model or
    other settings only with `overwrite`.

    Parameters
    ----------
    model : path, name of an included model, fitted TopicClassifier, or `ModelCopy`
    sources : path, pattern such as `in/*.parquet`, or iterable of these
        See `slugline.prediction.file_pairs.pair_files` for the names of their answers.
    out : path
        A folder; created if it is missing.
    options : PredictOptions, optional
    overwrite : bool, default False
    n_workers : int, optional
        Number of processes on this machine, by default one per core. Each loads the model. With 1,
        or for a single file, everything runs in the current process.
    client : distributed.Client or str, optional
        A cluster to use instead of this machine, or the address of its scheduler. Its workers must
        see the files and `out` under the same paths.
    progress : Progress, optional
        Reports the fraction of bytes processed.

    Returns
    -------
    JobResult; all files have answers except the unreadable files in `failed`.

    Raises
    ------
    ModelFileError, EncoderError, NotFittedError : if the model can't be loaded.
    OptionError : if a setting or name is invalid, another job writes to `out`, or answers there
        must not be replaced.
    DataError : if there is no such file.
    ClusterError : if the cluster can't be reached, lacks something, or is lost.
    SluglineError : if answers can't be written, such as on a full disk.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from slugline import predict_files
    >>> file = Path(tempfile.mkdtemp(), "new.txt")
    >>> _ = file.write_text("Wheat exports rose")
    >>> result = predict_files("reuters46", file, file.parent / "answers", n_workers=1)
    >>> result.n_rows, result.failed
    (1, [])
    """
    options, out = options or PredictOptions(), Path(out)
    if n_workers is not None:
        check_whole("n_workers", n_workers, 1)
    copy = model if isinstance(model, ModelCopy) else ModelCopy.from_model(model)
    # Fail early on invalid settings.
    deciders = copy.deciders(options)
    paths = [sources] if isinstance(sources, str | Path) else [*sources]
    if not paths:
        raise OptionError(Parameter("sources"), " is empty; pass at least one file.")
    pairs = pair_files(paths, out, options.format, options.to)
    with ExitStack() as stack:
        progress = stack.enter_context(closing(check_progress(progress)))
        if client is not None:
            client = stack.enter_context(connected(client))
            out = out.absolute()  # workers have different working folders
        stack.enter_context(locked_folder(out))
        plan = _make_plan(pairs, out, copy, options, overwrite=overwrite)
        job = _JobTracker(plan.to_do, progress)
        if client is not None and client.dashboard_link:
            progress.note(f"dashboard: {client.dashboard_link}")
        progress.note(_describe_plan(len(pairs), plan))
        for name, note in decider_notes(Path(copy.name).name, deciders):
            progress.warning(Message(f"{name} is ", note))
        if not plan.to_do:
            return job.result(plan)
        results: Generator[tuple[Task, FileResult]]
        if client is not None:
            from slugline.prediction.cluster import predict_on_cluster

            results = predict_on_cluster(client, copy, options, plan.to_do)
        elif min(count_threads(n_workers), len(plan.to_do)) > 1:
            results = _predict_in_processes(copy, options, plan.to_do, count_threads(n_workers))
        else:
            results = (
                (task, predict_file(deciders, options, task, job.show_progress))
                for task in plan.to_do
            )
        for task, result in stack.enter_context(closing(results)):
            job.finish(task, result)
        return job.result(plan)


class _Plan(NamedTuple):
    """The files to predict, and the numbers of finished files and of outdated answers."""

    to_do: list[Task]
    n_up_to_date: int
    n_outdated: int


def _make_plan(
    pairs: Sequence[FilePair],
    out: Path,
    model: ModelCopy,
    options: PredictOptions,
    *,
    overwrite: bool,
) -> _Plan:
    to_do, n_up_to_date, n_outdated = list[Task](), 0, 0
    for pair in pairs:
        answers = marked_file(out, pair, model.digest, options)
        if answers.path.exists():
            if not answers.is_outdated(overwrite=overwrite):
                n_up_to_date += 1
                continue
            n_outdated += 1
        to_do.append(Task(pair.source, answers))
    # Largest files first, so workers finish at about the same time.
    to_do.sort(key=lambda task: -task.answers.marker.source_size)
    return _Plan(to_do, n_up_to_date, n_outdated)


def _describe_plan(n_files: int, plan: _Plan) -> str:
    text = counted(n_files, "file")
    if plan.n_up_to_date:
        text += f", {plan.n_up_to_date:,} of which {have(plan.n_up_to_date)} answers already"
    else:
        text += " to answer"
    if plan.n_outdated:
        text += (
            f"; {plan.n_outdated:,} {'are' if plan.n_outdated > 1 else 'is'} answered again "
            "because files, answers or options have changed"
        )
    return text


class _JobTracker:
    """Collects the results of files, and reports the progress of the job."""

    def __init__(self, tasks: Sequence[Task], progress: Progress) -> None:
        self._progress = progress
        self._start = time.monotonic()
        self._n_files = len(tasks)
        self._n_bytes = max(sum(task.answers.marker.source_size for task in tasks), 1)
        self._n_rows, self._n_bytes_read = 0, 0
        self._results: list[FileResult] = []
        self._failed: list[tuple[str, str]] = []
        self._notes: set[str] = set()
        self._n_warnings = 0

    def show_progress(self, task: Task | None = None, n_rows: int = 0, fraction: float = 0) -> None:
        """Report the progress of the job, including the file that is being predicted."""
        n_bytes: float = self._n_bytes_read
        if task is not None:
            n_bytes += fraction * task.answers.marker.source_size
        n_rows += self._n_rows
        n_done = len(self._results) + len(self._failed)
        speed = n_rows / max(self._seconds(), 1e-3)
        self._progress.update(
            "predicting",
            min(1.0, n_bytes / self._n_bytes),
            f"{n_done:,} of {self._n_files:,} files, {n_rows:,} rows, {speed:,.0f} a second",
        )

    def finish(self, task: Task, result: FileResult) -> None:
        """Add the result of a file; raise SluglineError if other files would fail as well."""
        if result.is_fatal:
            raise SluglineError(
                result.error, " Finished files are kept; rerun to predict the others."
            )
        if result.error:
            self._failed.append((task.source, result.error))
            self._warn(result.error)
        else:
            self._results.append(result)
            for note in result.notes:
                if note not in self._notes:  # usually the same for all files
                    self._notes.add(note)
                    self._progress.note(Message(f"{task.source}: ", note))
            if result.warning:
                self._warn(result.warning)
        self._n_rows += result.n_rows
        self._n_bytes_read += task.answers.marker.source_size
        self.show_progress()

    def result(self, plan: _Plan) -> JobResult:
        """Return the result of the job."""
        n_bad = [file.n_bad for file in self._results if file.n_bad]
        return JobResult(
            n_files=len(self._results),
            n_up_to_date=plan.n_up_to_date,
            n_rows=self._n_rows,
            n_bad=sum(n_bad),
            n_bad_files=len(n_bad),
            failed=self._failed,
            seconds=self._seconds(),
        )

    def _warn(self, text: str) -> None:
        self._n_warnings += 1
        if self._n_warnings <= _MAX_WARNINGS:
            self._progress.warning(text)
        elif self._n_warnings == _MAX_WARNINGS + 1:
            self._progress.warning("further warnings are not shown")

    def _seconds(self) -> float:
        return time.monotonic() - self._start


# Several processes --------------------------------------------------------------------------------

# The maximum that multiprocessing supports on Windows.
_MAX_WORKERS = 61


def _predict_in_processes(
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
        error=f"{task.source}: a worker process was killed while predicting this file, perhaps "
        "because memory ran out; rerun with fewer workers."
    )


def _predict(job_path: Path, task: Task) -> FileResult:
    """Predict a file in a worker."""
    try:
        model, options = _read_job(job_path)
        return predict_file(model.deciders(options), options, task)
    except Exception as error:  # noqa: BLE001 (an unknown error is an error of the file)
        return FileResult(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")


@functools.cache
def _read_job(path: Path) -> tuple[ModelCopy, PredictOptions]:
    job: tuple[ModelCopy, PredictOptions] = pickle.loads(path.read_bytes())  # noqa: S301 (ours)
    return job
