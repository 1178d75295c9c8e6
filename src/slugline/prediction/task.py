"""Predictions for one file, made by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from slugline.corpus.columns import format_list
from slugline.corpus.readers import read_rows
from slugline.errors import Message, OutputError, SluglineError, os_errors_as
from slugline.model.decider import Decider
from slugline.prediction.files import open_answer_file
from slugline.prediction.rows import PredictOptions, predict_rows, write_predictions

# Seconds between two reports of the progress with a file.
_INTERVAL = 0.5


class JobEnded(Exception):  # noqa: N818 (not an error)
    """Raised by the `report` of `predict_file` when the job has ended, to stop work on the file."""


class Task(NamedTuple):
    """A file to predict: its number in the job, its path, and the path of its answers."""

    number: int
    source: str
    target: str


class FileResult(NamedTuple):
    """Result of one file.

    Attributes
    ----------
    n_rows, n_bad, size : int
        Number of rows, of rows with an error instead of an answer, and of bytes of the answers.
    notes : tuple of str
        Notes on columns that were guessed.
    warning, error : str
        A warning for the user, and the reason why there are no answers; "" if there is none.
    is_fatal : bool
        Whether other files would fail as well.
    """

    n_rows: int = 0
    n_bad: int = 0
    size: int = 0
    notes: tuple[str, ...] = ()
    warning: str = ""
    error: str = ""
    is_fatal: bool = False


class FileProgress(NamedTuple):
    """Progress with a file: number of rows with answers, and fraction of the file read (or 0)."""

    n_rows: int
    fraction: float


def predict_file(
    decider: Decider, options: PredictOptions, task: Task, report: Callable[[FileProgress], object]
) -> FileResult:
    """Predict a file, and return the result, which includes an error about the file.

    `report` is called with the progress about twice a second. Its exceptions are passed on.
    """
    try:
        return _predict_file(decider, options, task, report)
    except OutputError as error:
        return FileResult(error=Message(*error.parts), is_fatal=True)
    except SluglineError as error:
        return FileResult(error=Message(*error.parts))
    except MemoryError:
        return FileResult(error=f"{task.source}: out of memory; let fewer workers run at a time.")


def _predict_file(
    decider: Decider, options: PredictOptions, task: Task, report: Callable[[FileProgress], object]
) -> FileResult:
    rows = read_rows(task.source, options.reading(decider.fitted.layout))
    target = Path(task.target)
    notes: list[str] = []
    failure = f"{target.parent} can't be created"
    with os_errors_as(OutputError, failure, "fix the permissions of the folder."):
        target.parent.mkdir(parents=True, exist_ok=True)
    last_report = time.monotonic()

    def report_progress(n_rows: int) -> None:
        nonlocal last_report
        if time.monotonic() - last_report >= _INTERVAL:
            last_report = time.monotonic()
            report(FileProgress(n_rows, rows.fraction_read() or 0.0))

    batches = predict_rows(decider, rows, options, announce=notes.append)
    with open_answer_file(target, rows, decider, options.top) as file:
        counts = write_predictions(
            batches, rows, file.write, strict=options.strict, on_progress=report_progress
        )
    warnings = []
    if counts.bad_rows:
        first_bad = counts.bad_rows[0]
        warnings.append(
            f"{rows.name}: {counts.n_bad:,} of {counts.n_rows:,} {rows.unit}s could not be "
            f"classified, first {rows.unit} {first_bad.at} ({first_bad.problem}); see "
            f'"error" in {target}'
        )
    if file.dropped_columns:
        columns = format_list(file.dropped_columns)
        warnings.append(f"{target} lacks {columns}, which the first rows of {rows.name} don't have")
    return FileResult(
        n_rows=counts.n_rows,
        n_bad=counts.n_bad,
        size=target.stat().st_size,
        notes=tuple(notes),
        warning="; ".join(warnings),
    )
