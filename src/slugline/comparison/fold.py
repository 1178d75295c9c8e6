"""Train a model on all folds but one, test it on the other, and measure time, memory and size.

The functions run in a separate process per model.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import itertools
import os
import pickle
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from slugline.base.memory import peak_memory_mb
from slugline.base.wording import nearest, one_line
from slugline.corpus.topic_sets import is_multilabel, to_indicator
from slugline.errors import OptionError, SluglineError


class Job(NamedTuple):
    """Documents with their folds, and settings shared by all models."""

    texts: Sequence[str]
    topics: Sequence[Any]
    folds: Sequence[int]
    seed: int
    n_threads: int


class ModelFailure(NamedTuple):
    """The reason why a model has no result."""

    reason: str


class FoldResult(NamedTuple):
    """Answers of a model for one fold after training on the others."""

    fold: int
    # Index of each answer in the sorted topics, -1 if not among them; for multi-label data, the
    # indices of all topics.
    answers: tuple[int | tuple[int, ...], ...]
    fit_seconds: float
    answer_seconds: float
    # Peak memory in MB (10^6 bytes); None where the system doesn't report it.
    peak_mb: float | None = None
    # Size of the saved model, for the last fold only; None if it can't be saved.
    file_bytes: int | None = None


# In the process of a model ------------------------------------------------------------------------

_CLEAR_REFS = Path("/proc/self/clear_refs")


def check(name: str, seed: int) -> ModelFailure | None:
    """Return the reason why a user's model can't be used, or None."""
    try:
        make = find_user_model(name, seed)
        try:
            model = make()
        except Exception as error:
            raise OptionError(f"creating a model raised {describe_error(error)}.") from error
        if not _is_classifier(model):
            raise OptionError(
                f"it returned {_kind(model)}, not a text classifier with `fit` and `predict`."
            )
    # Report any kind of failure, including an exit.
    except BaseException as error:  # noqa: BLE001
        return ModelFailure(_failure_reason(error))
    return None


def measure_fold(
    job_path: Path, name: str, estimator: bytes | None, fold: int
) -> FoldResult | ModelFailure:
    """Return the result of a model for a fold, or the reason for a failure.

    Parameters
    ----------
    job_path : Path
        A pickle of a `Job`.
    name : str
        One of `MODELS`, "module:name", or the name of an estimator.
    estimator : bytes, optional
        The pickle of the estimator.
    fold : int
    """
    try:
        job = _read_job(job_path)
        return _measure(_maker(job, name, estimator), job, fold)
    except BaseException as error:  # noqa: BLE001
        return ModelFailure(_failure_reason(error))
    finally:
        gc.collect()


def _failure_reason(error: BaseException) -> str:
    # Our own errors are already user-facing sentences.
    if isinstance(error, SluglineError):
        return str(error)
    reason = f"raised {describe_error(error)}"
    if isinstance(error, ValueError) and "could not convert string" in str(error):
        return f"{reason}; add a vectorizer before the classifier"
    return reason


@functools.cache
def _read_job(path: Path) -> Job:
    job: Job = pickle.loads(path.read_bytes())  # noqa: S301 (ours)
    gc.collect()
    with contextlib.suppress(OSError):  # reset the peak memory, where supported
        _CLEAR_REFS.write_text("5")
    return job


def _maker(job: Job, name: str, estimator: bytes | None) -> Callable[[], Any]:
    """Return a factory of unfitted models."""
    if estimator is not None:
        return partial(_copy_estimator, pickle.loads(estimator), job)  # noqa: S301
    if ":" in name:
        return find_user_model(name, job.seed)
    from slugline.comparison.models import make_model  # not needed for a user's model

    multilabel = is_multilabel(job.topics)
    return partial(make_model, name, job.seed, job.n_threads, multilabel=multilabel)


def _copy_estimator(estimator: Any, job: Job) -> Any:
    from sklearn.base import clone

    model = set_seed(clone(estimator, safe=False), job.seed)
    # Built-in models use the same number of threads.
    if type(model).__module__ == "slugline.classifier" and model.n_jobs is None:
        model.set_params(n_jobs=job.n_threads)
    return model


def _measure(make: Callable[[], Any], job: Job, fold: int) -> FoldResult:
    train = [row for row, document_fold in enumerate(job.folds) if document_fold != fold]
    test = [row for row, document_fold in enumerate(job.folds) if document_fold == fold]
    names, y = _labels(job.topics)
    # Make the result of a fold independent of folds measured before.
    random.seed(job.seed)
    np.random.seed(job.seed)
    # Cached encoder rows would hide the encoding time.
    with tempfile.TemporaryDirectory(prefix="slugline-") as cache:
        os.environ["SLUGLINE_CACHE"] = cache
        model = make()
        started = time.perf_counter()
        topics = y[train] if y.ndim == 2 else y[train].tolist()
        model.fit([job.texts[row] for row in train], topics)
        fitted = time.perf_counter()
        answers = model.predict([job.texts[row] for row in test])
        answered = time.perf_counter()
    return FoldResult(
        fold,
        _numbered(answers, names, y[test].shape),
        fitted - started,
        answered - fitted,
        peak_memory_mb(),
        _file_bytes(model) if fold == max(job.folds) else None,
    )


def _labels(topics: Sequence[Any]) -> tuple[list[str], Any]:
    """Return the sorted topics and the documents' topics; for multi-label data, an indicator."""
    if not is_multilabel(topics):
        return sorted(set(topics)), np.array(topics, dtype=object)
    names = sorted(set(itertools.chain.from_iterable(topics)))
    return names, to_indicator(topics, names)


def _numbered(
    answers: Any, names: list[str], shape: tuple[int, ...]
) -> tuple[int | tuple[int, ...], ...]:
    multilabel = len(shape) == 2
    if hasattr(answers, "toarray"):
        answers = answers.toarray()
    array = np.asarray(answers, dtype=object)
    if array.shape != shape:
        expected = f"an indicator of shape {shape}" if multilabel else "one topic for each text"
        raise OptionError(
            f"returned an array of shape {array.shape} for {shape[0]} texts instead of {expected}"
        )
    if multilabel:
        return tuple(tuple(np.flatnonzero(row).tolist()) for row in array)
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(numbers.get(str(answer), -1) for answer in array)


def _file_bytes(model: Any) -> int | None:
    """Return the size of the model's file or pickle; None if it can't be saved."""
    if type(model).__module__ == "slugline.classifier":  # avoids an import for other models
        with tempfile.TemporaryDirectory(prefix="slugline-") as folder:
            path = Path(folder, "model.slug")
            model.save(path)
            return path.stat().st_size
    try:
        with tempfile.TemporaryFile() as file:
            pickle.dump(model, file, pickle.HIGHEST_PROTOCOL)
            return file.tell()
    # Pickling may raise anything; the other results remain valid.
    except Exception:  # noqa: BLE001
        return None


# Models in modules of the user --------------------------------------------------------------------

_LONGEST = 300  # maximum length of an error message


def find_user_model(reference: str, seed: int) -> Callable[[], Any]:
    """Return a factory of unfitted models.

    Parameters
    ----------
    reference : str
        "module:name", searched in the current folder first: an estimator, which is cloned, or a
        class or function that returns one.
    seed : int
        Replaces each `random_state` of the estimator that is None.

    Raises
    ------
    OptionError : if there is no such module or name, or it is not a classifier.
    """
    module_name, _, name = reference.partition(":")
    model = _find_name(_import(module_name), name)
    if not isinstance(model, type) and _is_classifier(model):
        from sklearn.base import clone

        # Copy objects that are not scikit-learn estimators.
        model = partial(clone, model, safe=False)
    elif not callable(model):
        raise OptionError(
            f"{name} is {_kind(model)}; pass a text classifier with `fit` and `predict`, or a "
            "function that returns one."
        )
    return lambda: set_seed(model(), seed)


def describe_error(error: BaseException) -> str:
    """Return an error's message on one line, with its line in a file of the current folder."""
    name, message = type(error).__name__, str(error)
    line = one_line(f"{name}: {message}" if message.strip() else name, _LONGEST)
    folder = Path.cwd()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).parent == folder:
            return f"{line} ({Path(frame.filename).name}, line {frame.lineno})"
    return line


def _import(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise OptionError(
                f"module {name} imports {missing}, which is not installed; install it."
            ) from error
        hint = f"omit .py: {name[:-3]}" if name.endswith(".py") else "check its name"
        raise OptionError(
            f"no module {missing} in {Path.cwd()} or the installed packages; {hint}."
        ) from error
    except Exception as error:
        raise OptionError(f"importing {name} raises {describe_error(error)}; fix it.") from error


def _find_name(module: ModuleType, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            names = [n for n in dir(value) if not n.startswith("_")]
            near = nearest(part, names)
            hint = f"did you mean {near}?" if near else "check its name."
            raise OptionError(f"module {module.__name__} has no {name}; {hint}")
        value = getattr(value, part)
    return value


def _is_classifier(value: Any) -> bool:
    return all(callable(getattr(value, method, None)) for method in ("fit", "predict"))


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def set_seed(model: Any, seed: int) -> Any:
    """Return a model with the seed for each `random_state` that is None."""
    if not hasattr(model, "get_params") or not hasattr(model, "set_params"):
        return model
    unset = [name for name, value in model.get_params().items() if value is None]
    names = [name for name in unset if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(names, seed)) if names else model
