"""The answers to one file: what a worker does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slugline.answer_target import open_answer_file
from slugline.answers import Prediction
from slugline.checks import check_whole
from slugline.corpus.columns import listed
from slugline.corpus.readers import Rows, check_reading, read_rows
from slugline.corpus.rows import BadRow
from slugline.errors import DataError, OptionError, OutputError, SluglineError
from slugline.fitted import Fitted
from slugline.prediction import predict_rows
from slugline.routing import N_GUESSES, Router
from slugline.scale.model_copy import ModelCopy

__all__ = [
    "How",
    "Outcome",
    "SoFar",
    "Stopped",
    "Task",
    "answer",
    "batches_of",
    "make_router",
    "router_of",
    "strict_error",
]


# Seconds between two times that a worker tells how far it is with a file.
_INTERVAL = 0.5


class Stopped(Exception):  # noqa: N818 (nothing is wrong)
    """The job has ended, so that nobody waits for the rest of this file."""


@dataclass(frozen=True)
class How:
    """How files are read and answered.

    Attributes
    ----------
    text, id, format, encoding
        See `slugline.corpus.readers.read_rows` and `slugline.prediction.predict_rows`.
    to : {"csv", "tsv", "jsonl", "parquet"}, optional
        The format of answers; by default that of each file, JSON lines for text and JSON arrays,
        and CSV for Excel.
    top : int, default 1
        How many topics each row gets.
    min_precision, per_topic, coverage
        See `Router.of`.
    strict : bool, default False
        Whether a bad row makes its file fail. By default it gets an error in place of an answer.
    n_threads : int, default 1
        For each file.

    Raises
    ------
    OptionError : if there is no such format or encoding, or a number is none or under 1.
    """

    text: str | None = None
    id: str | None = None
    format: str | None = None
    encoding: str | None = None
    to: str | None = None
    top: int = 1
    min_precision: float | None = None
    per_topic: bool = False
    coverage: float | None = None
    strict: bool = False
    n_threads: int = 1

    def __post_init__(self) -> None:
        check_whole("top", self.top, 1)
        check_whole("n_threads", self.n_threads, 1)
        check_reading(self.format, self.encoding)


class Task(NamedTuple):
    """A file to answer.

    Attributes
    ----------
    number : int
        Among those of the job.
    source, target : str
        Paths of the file and of its answers.
    """

    number: int
    source: str
    target: str


class Outcome(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    n_rows, n_bad : int
        Rows, and those among them that got an error for an answer.
    size : int
        Bytes of the answers.
    notes : tuple of str
        What was guessed about columns.
    warning : str
        What the user should know of; "" if nothing.
    error : str
        Why there are no answers; "" if there are.
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


class SoFar(NamedTuple):
    """How far a worker is with a file.

    Attributes
    ----------
    n_rows : int
        Rows that are answered.
    share : float
        How much of the file is read, from 0 to 1; 0 if that is not known.
    """

    n_rows: int
    share: float


_routers: dict[tuple[object, ...], Router] = {}
_lock = threading.Lock()


def router_of(model: ModelCopy, how: How) -> Router:
    """Return what answers; this process makes it once.

    Raises
    ------
    OptionError : see `Router.of`.
    """
    key = (model.digest, how.min_precision, how.per_topic, how.coverage)
    fitted = model.fitted()
    with _lock:
        if key not in _routers:
            _routers.clear()  # one of an earlier job
            router = make_router(fitted, how)
            _routers[key] = router
        return _routers[key]


def make_router(fitted: Fitted, how: How) -> Router:
    """Return what answers.

    Raises
    ------
    OptionError : see `Router.of`; also if `per_topic` has no precision to keep.
    """
    router = Router.of(fitted, how.min_precision, per_topic=how.per_topic, coverage=how.coverage)
    if how.per_topic and router.precision is None:
        if how.min_precision is None:
            raise OptionError("`per_topic` is about `min_precision`; give both.")
        raise OptionError(
            "`per_topic` keeps `min_precision` for each topic, and with 0 all answers are given; "
            "leave it out, or give a `min_precision` over 0."
        )
    return router


def batches_of(
    router: Router, rows: Rows, how: How, announce: Callable[[str], object]
) -> Iterator[list[Prediction | BadRow]]:
    """Return the answers to rows, batch by batch; see `slugline.prediction.predict_rows`."""
    return predict_rows(
        router,
        rows,
        text=how.text,
        id=how.id,
        # What is unsure comes with guesses.
        top=how.top if router.precision is None else max(how.top, N_GUESSES),
        n_threads=how.n_threads,
        announce=announce,
    )


def answer(router: Router, how: How, task: Task, tell: Callable[[SoFar], object]) -> Outcome:
    """Answer a file; what is wrong with it is part of the outcome.

    Parameters
    ----------
    router : Router
    how : How
    task : Task
    tell : callable
        Told now and then how far it is; what it raises ends the work.
    """
    try:
        return _answered(router, how, task, tell)
    except OutputError as error:
        return Outcome(error=str(error), is_fatal=True)
    except SluglineError as error:
        return Outcome(error=str(error))
    except MemoryError:
        return Outcome(error=f"{task.source}: the memory is full; let fewer workers run at a time.")


def _answered(router: Router, how: How, task: Task, tell: Callable[[SoFar], object]) -> Outcome:
    rows = read_rows(task.source, format=how.format, encoding=how.encoding)
    target, notes = Path(task.target), list[str]()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{target.parent} can't be made ({error.strerror}); fix the permissions of the folder."
        ) from error
    n_rows = n_bad = 0
    told = time.monotonic()
    batches = batches_of(router, rows, how, notes.append)
    first_bad: BadRow | None = None
    with open_answer_file(target, rows, router, how.top) as file:
        for batch in batches:
            bad = [row for row in batch if isinstance(row, BadRow)]
            if bad and how.strict:
                raise strict_error(rows, bad[0])
            first_bad = first_bad or (bad[0] if bad else None)
            file.write(batch)
            n_rows += len(batch)
            n_bad += len(bad)
            if time.monotonic() - told >= _INTERVAL:
                told = time.monotonic()
                tell(SoFar(n_rows, rows.share_read() or 0.0))
    warnings = []
    if first_bad is not None:
        warnings.append(
            f"{rows.name}: {n_bad:,} of {n_rows:,} {rows.unit}s could not be classified, first "
            f'{rows.unit} {first_bad.at} ({first_bad.problem}); "error" in {target} says why'
        )
    if file.left_out:
        columns = listed(file.left_out)
        warnings.append(f"{target} lacks {columns}, which the first rows of {rows.name} don't have")
    return Outcome(n_rows, n_bad, target.stat().st_size, tuple(notes), "; ".join(warnings))


def strict_error(rows: Rows, bad: BadRow) -> DataError:
    """Return what ends the work at a bad row, if the user wants it to."""
    return DataError(
        f"{rows.name}, {rows.unit} {bad.at}: {bad.problem}; {bad.advice}, or go on past bad rows "
        "without `strict`."
    )
