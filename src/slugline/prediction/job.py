"""`predict_files`: predicts many files into a folder, on this machine or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.checks import check_whole, count_threads
from slugline.base.names import RECORD
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import counted, have
from slugline.errors import Message, OptionError, OutputError, Parameter, SluglineError
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.processes import Report, predict_on_this_machine
from slugline.prediction.record import FilePair, JobPlan, JobRecord, open_record, pair_files
from slugline.prediction.rows import PredictOptions
from slugline.prediction.task import FileProgress, FileResult, Task

if TYPE_CHECKING:
    from distributed import Client


# Maximum number of warnings shown; the record has all of them.
_MAX_WARNINGS = 20

_Runner = Callable[[ModelCopy, PredictOptions, Sequence[Task], Report], None]


class JobResult(NamedTuple):
    """The result of a job.

    Attributes
    ----------
    n_files, n_rows : int
        Number of files predicted by this run of the job, and of their rows.
    n_up_to_date : int
        Number of files that already had up-to-date answers.
    n_bad, n_bad_files : int
        Number of rows with an error instead of an answer, and of files with such rows, in total.
    failed : list of (source, error)
        Files without answers, with the reason.
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
    """Predict the topics of all rows of files; write a file of answers for each into a folder.

    A file of answers has the name of its source, and a row for each row of the source, with all its
    columns and then the answers. It appears complete or not at all. Files are read in batches, so
    their size doesn't matter.

    A record in the folder (`slugline.prediction.record`) lists the files that are done. A job that
    runs again predicts only files without answers, and files that have changed since. It replaces
    answers of another model or of other settings only with `overwrite`.

    Parameters
    ----------
    model : path, name of an included model, fitted TopicClassifier, or `ModelCopy`
    sources : path, pattern such as `in/*.parquet`, or iterable of these
        See `slugline.prediction.record.pair_files` for the names of their answers.
    out : path
        A folder; created if it is missing.
    options : PredictOptions, optional
    overwrite : bool, default False
    n_workers : int, optional
        Number of processes on this machine, by default one for each core. Each loads the model.
        With 1, or for a single file, everything runs in this process.
    client : distributed.Client or str, optional
        A cluster to use instead of this machine, or the address of its scheduler. Its workers must
        see the files and `out` under the same paths.
    progress : Progress, optional
        Reports the fraction of the files' bytes that is done.

    Returns
    -------
    JobResult; `failed` lists files that could not be read, and the others have answers.

    Raises
    ------
    ModelFileError, EncoderError, NotFittedError : if the model can't be loaded.
    OptionError : if a setting or name is invalid, another job writes to `out`, or answers there
        must not be replaced.
    DataError : if there is no such file.
    ClusterError : if the cluster can't be reached, lacks something, or is lost.
    SluglineError : if answers can't be written, such as on a full disk, or processes can't start.

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
    # Made before the work, so that invalid settings raise an error at once.
    decider = copy.decider(options)
    paths = [sources] if isinstance(sources, str | Path) else [*sources]
    if not paths:
        raise OptionError(Parameter("sources"), " names no file; give at least one.")
    pairs = pair_files(paths, out, options.format, options.to)
    with ExitStack() as stack:
        progress = stack.enter_context(closing(check_progress(progress)))
        if client is None:
            run: _Runner = partial(predict_on_this_machine, n_workers=count_threads(n_workers))
        else:
            run = _cluster_runner(client, stack, progress)
        record = stack.enter_context(open_record(out, copy, options))
        plan = record.plan(pairs, overwrite=overwrite)
        job = _JobTracker(plan.to_do, record, progress)
        progress.note(_describe_plan(len(pairs), plan))
        if decider.note:
            progress.warning(Message(f"{copy.name} is ", decider.note))
        if plan.to_do:
            record.add_begun(plan.to_do)
            tasks = _make_tasks(plan.to_do, out, absolute=client is not None)
            run(copy, options, tasks, job.receive)
        return job.result(plan)


def _cluster_runner(client: Client | str, stack: ExitStack, progress: Progress) -> _Runner:
    from slugline.base.clusters import connected

    connection = stack.enter_context(connected(client))
    if connection.dashboard_link:
        progress.note(f"dashboard: {connection.dashboard_link}")
    from slugline.prediction.cluster import predict_on_cluster

    return partial(predict_on_cluster, connection)


def _make_tasks(pairs: Sequence[FilePair], out: Path, *, absolute: bool) -> list[Task]:
    """Return the tasks; `absolute` paths are for workers, which have other working folders."""
    tasks = []
    for number, pair in enumerate(pairs):
        source, target = Path(pair.source), out / pair.name
        if absolute:
            source, target = source.absolute(), target.absolute()
        tasks.append(Task(number, str(source) if absolute else pair.source, str(target)))
    return tasks


def _describe_plan(n_files: int, plan: JobPlan) -> str:
    text = counted(n_files, "file")
    n_up_to_date = len(plan.n_bad_up_to_date)
    if n_up_to_date:
        text += f", {n_up_to_date:,} of which {have(n_up_to_date)} answers already"
    else:
        text += " to answer"
    if plan.n_outdated:
        text += (
            f"; {plan.n_outdated:,} {'are' if plan.n_outdated > 1 else 'is'} answered again, as "
            "files, answers or options have changed"
        )
    return text


class _JobTracker:
    """Records the results of files, and reports the progress of the job."""

    def __init__(self, pairs: Sequence[FilePair], record: JobRecord, progress: Progress) -> None:
        self._progress = progress
        self._n_warnings = 0
        self._pairs = pairs
        self._record = record
        self._start = time.monotonic()
        self._by_file: dict[int, FileProgress] = {}
        self._finished: set[int] = set()
        self._n_rows, self._n_bytes_read = 0, 0.0
        self._results: list[FileResult] = []
        self._failed: list[tuple[str, str]] = []
        self._n_bytes = max(sum(pair.size for pair in pairs), 1)
        self._notes: set[str] = set()

    def receive(self, number: int, message: FileProgress | FileResult) -> None:
        previous = self._by_file.get(number, FileProgress(0, 0.0))
        if isinstance(message, FileResult):
            self._finish(self._pairs[number], message)
            message = FileProgress(message.n_rows, 1.0)
            self._finished.add(number)
        elif number in self._finished:  # progress that arrives after the result
            return
        self._by_file[number] = message
        self._n_rows += message.n_rows - previous.n_rows
        self._n_bytes_read += (message.fraction - previous.fraction) * self._pairs[number].size
        n_done = len(self._results) + len(self._failed)
        fraction = min(1.0, max(0.0, self._n_bytes_read / self._n_bytes))
        speed = self._n_rows / max(self._seconds(), 1e-3)
        self._progress.update(
            "predicting",
            fraction,
            f"{n_done:,} of {len(self._pairs):,} files, {self._n_rows:,} rows, "
            f"{speed:,.0f} a second",
        )

    def result(self, plan: JobPlan) -> JobResult:
        n_bad = [*plan.n_bad_up_to_date, *(file.n_bad for file in self._results)]
        return JobResult(
            n_files=len(self._results),
            n_up_to_date=len(plan.n_bad_up_to_date),
            n_rows=sum(file.n_rows for file in self._results),
            n_bad=sum(n_bad),
            n_bad_files=sum(map(bool, n_bad)),
            failed=self._failed,
            seconds=self._seconds(),
        )

    def _finish(self, pair: FilePair, result: FileResult) -> None:
        if result.is_fatal:
            with suppress(OutputError):  # on a full disk, this may fail as well
                self._record.add_failed(pair, result.error)
            raise SluglineError(
                result.error, " Finished files stay; run this again to predict the others."
            )
        if result.error:
            self._failed.append((pair.source, result.error))
            self._record.add_failed(pair, result.error)
            self._warn(result.error)
            return
        self._results.append(result)
        self._record.add_done(pair, result.size, result.n_rows, result.n_bad)
        for note in result.notes:
            if note not in self._notes:  # usually the same for all files
                self._notes.add(note)
                self._progress.note(Message(f"{pair.source}: ", note))
        if result.warning:
            self._warn(result.warning)

    def _warn(self, text: str) -> None:
        self._n_warnings += 1
        if self._n_warnings <= _MAX_WARNINGS:
            self._progress.warning(text)
        elif self._n_warnings == _MAX_WARNINGS + 1:
            self._progress.warning(f"further warnings are in {RECORD} only")

    def _seconds(self) -> float:
        return time.monotonic() - self._start
