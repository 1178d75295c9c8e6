"""`predict_files`: a folder of answers to many files, by this machine or by a cluster."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.checks import check_whole, count_threads
from slugline.base.names import RECORD
from slugline.base.progress import Progress, check_progress
from slugline.errors import OptionError, OutputError, SluglineError
from slugline.prediction.processes import Heard, answer_here, answer_in_processes
from slugline.prediction.record import open_record, pair_files
from slugline.prediction.task import How, ModelCopy, Outcome, SoFar, Task, router_of

if TYPE_CHECKING:
    from distributed import Client

    from slugline.prediction.record import FilePair, Record

__all__ = [
    "Answered",
    "How",
    "predict_files",
]

# Problems that are reported; the record has all.
_MOST_WARNINGS = 20

_Run = Callable[[ModelCopy, How, Sequence[Task], Heard], None]


class Answered(NamedTuple):
    """What a job has done.

    Attributes
    ----------
    n_files : int
        Files that are answered now.
    n_there : int
        Files whose answers were there.
    n_rows : int
        Rows of `n_files`.
    n_bad, n_bad_files : int
        Rows that got an error for an answer, and files that have such, now or before.
    failed : list of (source, why)
        Files without answers.
    seconds : float
    """

    n_files: int
    n_there: int
    n_rows: int
    n_bad: int
    n_bad_files: int
    failed: list[tuple[str, str]]
    seconds: float


def predict_files(
    model: Any,
    sources: str | Path | Iterable[str | Path],
    out: str | Path,
    how: How | None = None,
    *,
    overwrite: bool = False,
    n_workers: int | None = None,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> Answered:
    """Answer all rows of files, and write a file of answers for each into a folder.

    A file of answers has the name of its file, all of its columns, then the answers, in its order.
    It appears whole or not at all. A file is read in batches, so that its size doesn't matter.

    What is done is noted in the folder (`slugline.prediction.record`). A job that runs again
    answers only files without answers, and files that have changed since. Answers of another model
    or of other settings are replaced with `overwrite` only.

    Parameters
    ----------
    model : path, name of a shipped model, fitted TopicClassifier, or `ModelCopy`
    sources : path, pattern such as "in/*.parquet", or several
        See `slugline.prediction.record.pair_files` for what the answers are called.
    out : path
        A folder, which is made if it is not there.
    how : How, optional
    overwrite : bool, default False
    n_workers : int, optional
        Processes on this machine, by default one for each core. Each loads the model. With 1, or
        for one file, everything happens in this process.
    client : distributed.Client or str, optional
        A cluster that works instead of this machine, or the address of its scheduler. Its workers
        must see the files and `out` by the same paths.
    progress : Progress, optional
        The share done is that of the files' bytes.

    Returns
    -------
    Answered; files that could not be read are in `failed`, and the others are answered.

    Raises
    ------
    ModelFileError, EncoderError, NotFittedError : if the model can't be loaded.
    OptionError : if a setting or name can't be, another job writes to `out`, or answers are there
        that are not to be replaced.
    DataError : if there is no such file.
    ClusterError : if the cluster can't be reached, lacks what is needed, or is lost.
    SluglineError : if answers can't be written, such as on a full disk, or processes can't be
        started.
    """
    how, out = how or How(), Path(out)
    if n_workers is not None:
        check_whole("n_workers", n_workers, 1)
    copy = model if isinstance(model, ModelCopy) else ModelCopy.of(model)
    router_of(copy, how)  # what is wrong with the settings is said before the work
    named = [sources] if isinstance(sources, str | Path) else [*sources]
    if not named:
        raise OptionError("`sources` names no file; give at least one.")
    pairs = pair_files(named, out, how.format, how.to)
    with ExitStack() as stack:
        progress = stack.enter_context(closing(check_progress(progress)))
        run = (
            _on_this_machine(n_workers) if client is None else _on_cluster(client, stack, progress)
        )
        record = stack.enter_context(open_record(out, copy, how))
        plan = record.plan(pairs, overwrite)
        job = _Job(plan.to_do, record, progress)
        progress.note(_planned(len(pairs), len(plan.there), plan.n_again))
        if plan.to_do:
            record.begin(plan.to_do)
            tasks = _tasks(plan.to_do, out, absolute=client is not None)
            run(copy, how, tasks, job.hear)
        return job.answered(plan.there)


def _on_cluster(client: Client | str, stack: ExitStack, progress: Progress) -> _Run:
    from slugline.base.clusters import connected

    found = stack.enter_context(connected(client))
    if found.dashboard_link:
        progress.note(f"dashboard: {found.dashboard_link}")
    from slugline.prediction.cluster import answer_on_cluster

    return partial(answer_on_cluster, found)


def _on_this_machine(n_workers: int | None) -> _Run:
    n_most = count_threads(n_workers)

    def run(model: ModelCopy, how: How, tasks: Sequence[Task], heard: Heard) -> None:
        n_needed = min(n_most, len(tasks))
        if n_needed == 1:
            answer_here(model, how, tasks, heard)
        else:
            answer_in_processes(model, how, tasks, heard, n_needed)

    return run


def _tasks(pairs: Sequence[FilePair], out: Path, absolute: bool) -> list[Task]:
    if absolute:
        out = out.absolute()
    sources = (str(Path(pair.source).absolute()) if absolute else pair.source for pair in pairs)
    targets = (str(out / pair.name) for pair in pairs)
    return list(map(Task, itertools.count(), sources, targets))


def _planned(n_files: int, n_there: int, n_again: int) -> str:
    text = f"{n_files:,} file{'s' if n_files > 1 else ''}"
    if n_there:
        text += f", {n_there:,} of which {'have' if n_there > 1 else 'has'} answers already"
    else:
        text += " to answer"
    if n_again:
        text += (
            f"; {n_again:,} {'are' if n_again > 1 else 'is'} answered again, as files, answers or "
            "options have changed"
        )
    return text


class _Job:
    """Keeps count of what workers say."""

    def __init__(self, pairs: Sequence[FilePair], record: Record, progress: Progress) -> None:
        self._progress = progress
        self._n_warnings = 0
        self._pairs = pairs
        self._record = record
        self._began = time.monotonic()
        self._so_far: dict[int, SoFar] = {}
        self._ended: set[int] = set()
        self._n_rows, self._n_read = 0, 0.0
        self._outcomes: list[Outcome] = []
        self._failed: list[tuple[str, str]] = []
        self._n_all_bytes = max(sum(pair.size for pair in pairs), 1)
        self._notes: set[str] = set()

    def hear(self, number: int, message: SoFar | Outcome) -> None:
        before = self._so_far.get(number, SoFar(0, 0.0))
        if isinstance(message, Outcome):
            self._take(self._pairs[number], message)
            message = SoFar(message.n_rows, 1.0)
            self._ended.add(number)
        elif number in self._ended:  # it comes late
            return
        self._so_far[number] = message
        self._n_rows += message.n_rows - before.n_rows
        self._n_read += (message.share - before.share) * self._pairs[number].size
        n_done = len(self._outcomes) + len(self._failed)
        share = min(1.0, max(0.0, self._n_read / self._n_all_bytes))
        speed = self._n_rows / max(self._seconds(), 1e-3)
        self._progress.update(
            "predicting",
            share,
            f"{n_done:,} of {len(self._pairs):,} files, {self._n_rows:,} rows, "
            f"{speed:,.0f} a second",
        )

    def answered(self, there: Sequence[int]) -> Answered:
        n_bad = [*there, *(outcome.n_bad for outcome in self._outcomes)]
        return Answered(
            n_files=len(self._outcomes),
            n_there=len(there),
            n_rows=sum(outcome.n_rows for outcome in self._outcomes),
            n_bad=sum(n_bad),
            n_bad_files=sum(map(bool, n_bad)),
            failed=self._failed,
            seconds=self._seconds(),
        )

    def _take(self, pair: FilePair, outcome: Outcome) -> None:
        if outcome.is_fatal:
            with suppress(OutputError):  # on a full disk, this fails as well
                self._record.failed(pair, outcome.error)
            raise SluglineError(
                f"{outcome.error} What is done stays; run it again, and it goes on from there."
            )
        if outcome.error:
            self._failed.append((pair.source, outcome.error))
            self._record.failed(pair, outcome.error)
            self._warn(outcome.error)
            return
        self._outcomes.append(outcome)
        self._record.done(pair, outcome.size, outcome.n_rows, outcome.n_bad)
        for note in outcome.notes:
            if note not in self._notes:  # most often the same of all files
                self._notes.add(note)
                self._progress.note(f"{pair.source}: {note}")
        if outcome.warning:
            self._warn(outcome.warning)

    def _warn(self, text: str) -> None:
        self._n_warnings += 1
        if self._n_warnings <= _MOST_WARNINGS:
            self._progress.warning(text)
        elif self._n_warnings == _MOST_WARNINGS + 1:
            self._progress.warning(f"there is more, which {RECORD} tells")

    def _seconds(self) -> float:
        return time.monotonic() - self._began
