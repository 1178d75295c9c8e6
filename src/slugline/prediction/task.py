"""Predictions for one file, run by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from slugline.corpus.columns import format_list
from slugline.corpus.readers import read_rows
from slugline.errors import Message, OutputError, SluglineError
from slugline.prediction.files import open_answer_file
from slugline.prediction.markers import MarkedFile
from slugline.prediction.rows import Deciders, PredictOptions, predict_rows, write_predictions

# Seconds between progress reports for a file.
_INTERVAL = 0.5


class Task(NamedTuple):
    """A file to predict: its path as given by the user, and its file of answers."""

    source: str
    answers: MarkedFile


class FileResult(NamedTuple):
    """Result of one file.

    Attributes
    ----------
    n_rows, n_bad : int
        Numbers of rows, and of rows with an error instead of an answer.
    notes : tuple of str
        Notes on guessed columns.
    warning, error : str
        Warning for the user, and reason for missing answers; "" if none.
    is_fatal : bool
        True if other files would fail as well.
    """

    n_rows: int = 0
    n_bad: int = 0
    notes: tuple[str, ...] = ()
    warning: str = ""
    error: str = ""
    is_fatal: bool = False


def predict_file(
    deciders: Deciders,
    options: PredictOptions,
    task: Task,
    on_progress: Callable[[Task, int, float], object] = lambda *_: None,
) -> FileResult:
    """Predict a file, and return the result, including any error about the file.

    `on_progress` is called about twice a second with the task, the number of answered rows and the
    fraction of the file read so far. Its exceptions propagate.
    """
    try:
        with task.answers.replacing():
            return _predict_file(deciders, options, task, on_progress)
    except OutputError as error:
        return FileResult(error=Message(*error.parts), is_fatal=True)
    except SluglineError as error:
        return FileResult(error=Message(*error.parts))
    except MemoryError:
        return FileResult(error=f"{task.source}: out of memory; rerun with fewer workers.")


def _predict_file(
    deciders: Deciders,
    options: PredictOptions,
    task: Task,
    on_progress: Callable[[Task, int, float], object],
) -> FileResult:
    layout = next(iter(deciders.values())).fitted.layout
    rows = read_rows(task.source, options.reading(layout))
    target = task.answers.path
    notes: list[str] = []
    last_report = time.monotonic()

    def report_progress(n_rows: int) -> None:
        nonlocal last_report
        if time.monotonic() - last_report >= _INTERVAL:
            last_report = time.monotonic()
            on_progress(task, n_rows, rows.fraction_read() or 0.0)

    batches = predict_rows(deciders, rows, options, announce=notes.append)
    with open_answer_file(target, rows, deciders, options.top) as file:
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
        warnings.append(f"{target} omits {columns}, missing from the first rows of {rows.name}")
    return FileResult(
        n_rows=counts.n_rows, n_bad=counts.n_bad, notes=tuple(notes), warning="; ".join(warnings)
    )
