"""The answers to one file: what a worker does."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from slugline.base.checks import check_whole
from slugline.corpus.columns import format_list
from slugline.corpus.readers import RowReader, check_format, read_rows
from slugline.corpus.rows import BadRow
from slugline.errors import DataError, ModelFileError, OptionError, OutputError, SluglineError
from slugline.learning.encoder.encoder import Encoder
from slugline.model.file.container import pack
from slugline.model.file.content import as_model_file, load_model, model_path
from slugline.model.fitted import Fitted
from slugline.model.routing import N_GUESSES, Router
from slugline.prediction.files import open_answer_file
from slugline.prediction.rows import Prediction, predict_rows

__all__ = [
    "How",
    "ModelCopy",
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


# A model's file as bytes, which travel to processes and machines, and are loaded there once -------

# Models that a process keeps: one that runs for months gets new versions.
_MOST_KEPT = 2
_kept: OrderedDict[str, Fitted] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class ModelCopy:
    """A model on its way to others.

    Attributes
    ----------
    name : str
        The name of its file.
    data : bytes
        The file.
    digest : str
        SHA-256 of these.
    encoder : "use" or an object with `encode`, optional
        See `slugline.load`; an object of your own must be one that can be pickled.
    """

    name: str
    data: bytes = field(repr=False)
    digest: str
    encoder: str | Encoder | None = None

    @classmethod
    def of(cls, model: Any, encoder: str | Encoder | None = None) -> ModelCopy:
        """Copy a model, after a check that it can be loaded.

        Parameters
        ----------
        model : path of a `.slug`, name of a shipped model, fitted TopicClassifier, or Fitted
        encoder : "use" or an object with `encode`, optional

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        NotFittedError : if a classifier has not learned yet.
        OptionError : if it is no model.
        """
        if isinstance(model, str | os.PathLike):
            fitted, _ = load_model(model, encoder)
            path = Path(model_path(model))
            try:
                data = path.read_bytes()
            except OSError as error:
                raise ModelFileError(
                    f"{path} can't be read ({error.strerror}); check the path."
                ) from error
            return cls._keeping(path.name, data, encoder, fitted)
        fitted = getattr(model, "fitted_", model)
        if not isinstance(fitted, Fitted):
            if hasattr(model, "predict_proba"):
                from slugline.errors import NotFittedError  # with scikit-learn

                raise NotFittedError("this model is not fitted yet; call fit first.")
            raise OptionError(
                f"`model` is a {type(model).__name__}; give the path of a model, or a fitted "
                "TopicClassifier."
            )
        return cls._keeping("model.slug", pack(as_model_file(fitted)), encoder, fitted)

    @classmethod
    def _keeping(
        cls, name: str, data: bytes, encoder: str | Encoder | None, fitted: Fitted
    ) -> ModelCopy:
        copy = cls(name, data, hashlib.sha256(data).hexdigest(), encoder)
        with _lock:
            _keep(copy.digest, fitted)
        return copy

    def fitted(self) -> Fitted:
        """Return the model, which this process loads once.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        """
        with _lock:
            if self.digest not in _kept:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / self.name
                    path.write_bytes(self.data)
                    _keep(self.digest, load_model(path, self.encoder)[0])
            _kept.move_to_end(self.digest)
            return _kept[self.digest]


def _keep(digest: str, fitted: Fitted) -> None:
    _kept[digest] = fitted
    while len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)


# The answers to one file: what a worker does ------------------------------------------------------

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
        See `slugline.corpus.readers.read_rows` and `slugline.prediction.rows.predict_rows`.
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
        check_format(self.format, self.encoding)


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
    router: Router, rows: RowReader, how: How, announce: Callable[[str], object]
) -> Iterator[list[Prediction | BadRow]]:
    """Return the answers to rows, batch by batch; see `slugline.prediction.rows.predict_rows`."""
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
        columns = format_list(file.left_out)
        warnings.append(f"{target} lacks {columns}, which the first rows of {rows.name} don't have")
    return Outcome(n_rows, n_bad, target.stat().st_size, tuple(notes), "; ".join(warnings))


def strict_error(rows: RowReader, bad: BadRow) -> DataError:
    """Return what ends the work at a bad row, if the user wants it to."""
    return DataError(
        f"{rows.name}, {rows.unit} {bad.at}: {bad.problem}; {bad.advice}, or go on past bad rows "
        "without `strict`."
    )
