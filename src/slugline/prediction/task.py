"""Predictions for one file, as a worker makes them."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from slugline.corpus.columns import format_list
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow
from slugline.errors import OptionError, OutputError, SluglineError, os_errors_as
from slugline.learning.encoder.encoder import Encoder
from slugline.model.decider import Decider
from slugline.model.file.container import pack, read_bytes
from slugline.model.file.content import load_model, model_path, to_model_file
from slugline.model.fitted import Fitted
from slugline.prediction.files import open_answer_file
from slugline.prediction.rows import PredictOptions, make_decider, predict_rows, strict_error

# Copies of a model --------------------------------------------------------------------------------

# Models that a process keeps: one that runs for months gets new versions.
_MAX_FITTED = 2
_fitted: OrderedDict[str, Fitted] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class ModelCopy:
    """A model file as bytes, to be sent to processes and machines, which load it once.

    Attributes
    ----------
    name : str
        The name of its file.
    data : bytes
    digest : str
        SHA-256 of `data`.
    encoder : str or an object with `encode`, optional
        See `slugline.load`; it must be picklable.
    """

    name: str
    data: bytes = field(repr=False)
    digest: str
    encoder: str | Encoder | None = None

    @classmethod
    def from_model(cls, model: Any, encoder: str | Encoder | None = None) -> ModelCopy:
        """Copy a model, after a check that it loads.

        `model` is the path of a `.slug`, the name of a shipped model, a fitted TopicClassifier, or
        a Fitted.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        NotFittedError : if a classifier is not fitted.
        OptionError : if it is no model.
        """
        if isinstance(model, str | os.PathLike):
            path = Path(model_path(model))
            data = read_bytes(path)
            fitted, _ = load_model(path, encoder, data=data)
            return cls._of_fitted(path.name, data, encoder, fitted)
        fitted = getattr(model, "fitted_", model)
        if not isinstance(fitted, Fitted):
            if hasattr(model, "predict_proba"):
                from slugline.errors import NotFittedError  # with scikit-learn

                raise NotFittedError("this model is not fitted yet; call fit first.")
            raise OptionError(
                f"`model` is of type {type(model).__name__}; give the path of a model, or a fitted "
                "TopicClassifier."
            )
        return cls._of_fitted("model.slug", pack(to_model_file(fitted)), encoder, fitted)

    @classmethod
    def _of_fitted(
        cls, name: str, data: bytes, encoder: str | Encoder | None, fitted: Fitted
    ) -> ModelCopy:
        copy = cls(name, data, hashlib.sha256(data).hexdigest(), encoder)
        with _lock:
            _remember(copy.digest, fitted)
        return copy

    def fitted(self) -> Fitted:
        """Return the model, which this process loads once; raises as `slugline.load` does."""
        with _lock:
            if self.digest not in _fitted:
                fitted, _ = load_model(Path(self.name), self.encoder, data=self.data)
                _remember(self.digest, fitted)
            _fitted.move_to_end(self.digest)
            return _fitted[self.digest]


def _remember(digest: str, fitted: Fitted) -> None:
    _fitted[digest] = fitted
    while len(_fitted) > _MAX_FITTED:
        _fitted.popitem(last=False)


# One file -----------------------------------------------------------------------------------------

# Seconds between two times that a worker tells how far it is with a file.
_INTERVAL = 0.5


class JobEnded(Exception):  # noqa: N818 (nothing is wrong)
    """The job has ended, so nobody waits for the rest of this file."""


class Task(NamedTuple):
    """A file to predict: its number in the job, and the paths of the file and of its answers."""

    number: int
    source: str
    target: str


class FileResult(NamedTuple):
    """Result of one file.

    Attributes
    ----------
    n_rows, n_bad, size : int
        Rows, those among them that got an error in place of an answer, and bytes of the answers.
    notes : tuple of str
        Guesses about columns.
    warning, error : str
        What the user should know, and why there are no answers; "" if nothing.
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
    """Progress with a file: number of rows with answers, and share of the file read (or 0)."""

    n_rows: int
    share: float


_deciders: dict[tuple[object, ...], Decider] = {}


def cached_decider(model: ModelCopy, options: PredictOptions) -> Decider:
    """Return the decider, which this process makes once; raises as `Decider.from_fitted` does."""
    key = (model.digest, options.min_precision, options.per_topic, options.coverage)
    fitted = model.fitted()
    with _lock:
        if key not in _deciders:
            _deciders.clear()  # one of an earlier job
            _deciders[key] = make_decider(fitted, options)
        return _deciders[key]


def predict_file(
    decider: Decider, options: PredictOptions, task: Task, report: Callable[[FileProgress], object]
) -> FileResult:
    """Return the result of a file; an error of the file is part of it.

    `report` receives the progress now and then; what it raises ends the work.
    """
    try:
        return _predict_file(decider, options, task, report)
    except OutputError as error:
        return FileResult(error=str(error), is_fatal=True)
    except SluglineError as error:
        return FileResult(error=str(error))
    except MemoryError:
        return FileResult(
            error=f"{task.source}: the memory is full; let fewer workers run at a time."
        )


def _predict_file(
    decider: Decider, options: PredictOptions, task: Task, report: Callable[[FileProgress], object]
) -> FileResult:
    rows = read_rows(
        task.source,
        format=options.format,
        encoding=options.encoding,
        separator=options.separator,
        layout=decider.fitted.layout,
    )
    target, notes = Path(task.target), list[str]()
    failure = f"{target.parent} can't be made"
    with os_errors_as(OutputError, failure, "fix the permissions of the folder."):
        target.parent.mkdir(parents=True, exist_ok=True)
    n_rows = n_bad = 0
    last_report = time.monotonic()
    batches = predict_rows(decider, rows, options, announce=notes.append)
    first_bad: BadRow | None = None
    with open_answer_file(target, rows, decider, options.top) as file:
        for batch in batches:
            bad = [row for row in batch if isinstance(row, BadRow)]
            if bad and options.strict:
                raise strict_error(rows, bad[0])
            first_bad = first_bad or (bad[0] if bad else None)
            file.write(batch)
            n_rows += len(batch)
            n_bad += len(bad)
            if time.monotonic() - last_report >= _INTERVAL:
                last_report = time.monotonic()
                report(FileProgress(n_rows, rows.fraction_read() or 0.0))
    warnings = []
    if first_bad is not None:
        warnings.append(
            f"{rows.name}: {n_bad:,} of {n_rows:,} {rows.unit}s could not be classified, first "
            f'{rows.unit} {first_bad.at} ({first_bad.problem}); "error" in {target} says why'
        )
    if file.dropped_columns:
        columns = format_list(file.dropped_columns)
        warnings.append(f"{target} lacks {columns}, which the first rows of {rows.name} don't have")
    return FileResult(n_rows, n_bad, target.stat().st_size, tuple(notes), "; ".join(warnings))
