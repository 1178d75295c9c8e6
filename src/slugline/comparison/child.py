"""The process of one model: it fits, answers, and measures time, memory and size.

Started as `python -m slugline.comparison.child JOB`. Messages go to what was standard output; what
the model prints is discarded. Documents come on standard input; when that ends, so does this
process.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import itertools
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import msgspec
import numpy as np

from slugline.base.checks import peak_memory_mb
from slugline.base.wording import nearest, one_line
from slugline.comparison import process
from slugline.corpus.topic_sets import is_multilabel, to_indicator
from slugline.errors import OptionError, SluglineError

# Models of the user -------------------------------------------------------------------------------

_LONGEST = 300  # characters of an error's message


def find_user_model(reference: str, seed: int) -> Callable[[], Any]:
    """Return a function that makes a new, unfitted model.

    Parameters
    ----------
    reference : str
        "module:name", searched in the current folder first: an estimator, which is cloned, or a
        class or function that returns one.
    seed : int
        For each `random_state` of the estimator that is None.

    Raises
    ------
    OptionError : if there is no such module or name, or it is not a classifier.
    """
    module_name, _, name = reference.partition(":")
    model = _find_name(_import(module_name), name)
    has_methods = _is_classifier(model)
    if isinstance(model, type) or (callable(model) and not has_methods):
        make = model
    elif has_methods:
        from sklearn.base import clone

        # What is no estimator of scikit-learn's is copied.
        make = partial(clone, model, safe=False)
    else:
        raise OptionError(
            f"{name} is {_kind(model)}; name a classifier of texts, with `fit` and `predict`, or a "
            "function that returns one."
        )
    return lambda: _seeded(make(), seed)


def estimator_in(job: process.ModelJob) -> Callable[[], Any]:
    """Return a function that makes a new, unfitted copy of the estimator in the file of a job."""
    from sklearn.base import clone

    sys.path += [folder for folder in job.folders if folder not in sys.path]
    content = Path(job.pickle or "").read_bytes()
    model = pickle.loads(content)  # noqa: S301  the process that compares has just written it

    def make() -> Any:
        made = _seeded(clone(model, safe=False), job.seed)
        # Those that come with Slugline have as many threads.
        if type(made).__module__ == "slugline.classifier" and made.n_jobs is None:
            made.set_params(n_jobs=job.n_threads)
        return made

    return make


def describe_user_model(reference: str, seed: int) -> str:
    """Return a text that changes with the settings or the source of a user's model.

    Raises
    ------
    OptionError : if it can't be found, or isn't a classifier.
    """
    make = find_user_model(reference, seed)
    try:
        model = make()
    except Exception as error:
        raise OptionError(f"making one raises {describe_error(error)}.") from error
    if not _is_classifier(model):
        raise OptionError(
            f"it makes {_kind(model)}; it must make a classifier of texts, with `fit` and "
            "`predict`."
        )
    source = getattr(sys.modules[reference.partition(":")[0]], "__file__", None)
    content = Path(source).read_bytes() if source else b""
    # Without parameters, a `repr` says where in memory the model is.
    settings = repr(model) if hasattr(model, "get_params") else type(model).__qualname__
    return f"{hashlib.sha256(content).hexdigest()} {settings}"


def describe_error(error: BaseException) -> str:
    """Return an error's message on one line, and the place in the user's folder where it arose."""
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
        hint = f"leave out .py: {name[:-3]}" if name.endswith(".py") else "check its name"
        raise OptionError(
            f"there is no module {missing} in {Path.cwd()}, nor among the installed packages; "
            f"{hint}."
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


def _seeded(model: Any, seed: int) -> Any:
    if not hasattr(model, "get_params") or not hasattr(model, "set_params"):
        return model
    unset = [name for name, value in model.get_params().items() if value is None]
    names = [name for name in unset if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(names, seed)) if names else model


# The child process --------------------------------------------------------------------------------

_CLEAR_REFS = Path("/proc/self/clear_refs")


def main() -> None:
    """Run the job in the only argument."""
    source, channel = _take_streams()
    job = msgspec.json.decode(sys.argv[1], type=process.ModelJob)
    try:
        documents = process.read_documents(source) if job.folds else None
        threading.Thread(target=_end_with, args=(source,), daemon=True).start()
        for message in _messages(job, documents):
            _send(channel, message)
    # Whatever ends the model, an exit included, is reported.
    except BaseException as error:  # noqa: BLE001
        _send(channel, process.ModelFailure(_failure_message(error)))


def _failure_message(error: BaseException) -> str:
    # Our own errors are sentences for the user already.
    if isinstance(error, SluglineError):
        return str(error)
    reason = f"raised {describe_error(error)}"
    if isinstance(error, ValueError) and "could not convert string" in str(error):
        return f"{reason}; put a vectorizer before a classifier of numbers"
    return reason


def _send(channel: BinaryIO, message: process.Message) -> None:
    channel.write(msgspec.json.encode(message) + b"\n")
    channel.flush()


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return copies of standard input and output, and close them to the model."""
    source, channel = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    return source, channel


def _end_with(source: BinaryIO) -> None:
    """End this process and its children when the stream ends."""
    while source.read(1):
        pass
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _messages(
    job: process.ModelJob, documents: process.FoldedDocuments | None
) -> Iterator[process.Message]:
    make: Callable[[], Any]
    if documents is None:
        yield process.ModelIdentity(describe_user_model(job.model, job.seed))
        return
    if job.pickle is not None:
        make = estimator_in(job)
    elif ":" in job.model:
        make = find_user_model(job.model, job.seed)
    else:
        from slugline.comparison.models import make_model  # a user's model need not wait for it

        multilabel = is_multilabel(documents.topics)
        make = partial(make_model, job.model, job.seed, job.n_threads, multilabel=multilabel)
    last = max(documents.folds)
    gc.collect()
    _forget_peak()
    for fold in job.folds:
        yield _measure(make, documents, fold, job.seed, is_last=fold == last)
        gc.collect()


def _measure(
    make: Callable[[], Any],
    documents: process.FoldedDocuments,
    fold: int,
    seed: int,
    *,
    is_last: bool,
) -> process.FoldResult:
    train = [row for row, document_fold in enumerate(documents.folds) if document_fold != fold]
    test = [row for row, document_fold in enumerate(documents.folds) if document_fold == fold]
    names, y = _labels(documents.topics)
    # A fold has the same result whether or not others were measured before it.
    random.seed(seed)
    np.random.seed(seed)
    # Rows that an encoder has made before would hide the time that they take.
    with tempfile.TemporaryDirectory(prefix="slugline-") as cache:
        os.environ["SLUGLINE_CACHE"] = cache
        model = make()
        started = time.perf_counter()
        topics = y[train] if y.ndim == 2 else y[train].tolist()
        model.fit([documents.texts[row] for row in train], topics)
        fitted = time.perf_counter()
        answers = model.predict([documents.texts[row] for row in test])
        answered = time.perf_counter()
    return process.FoldResult(
        fold,
        _numbered(answers, names, y[test].shape),
        fitted - started,
        answered - fitted,
        peak_memory_mb(),
        _file_bytes(model) if is_last else None,
    )


def _labels(topics: list[Any]) -> tuple[list[str], Any]:
    """Return the sorted topics, and those of each document: one, or several as an indicator."""
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
            f"answers {shape[0]} texts with an array of shape {array.shape}, where "
            f"{expected} is due"
        )
    if multilabel:
        return tuple(tuple(np.flatnonzero(row).tolist()) for row in array)
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(numbers.get(str(answer), -1) for answer in array)


def _forget_peak() -> None:
    """Reset the peak memory, where the system can."""
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5")


def _file_bytes(model: Any) -> int | None:
    """Return the size of the model's file, or of its pickle; None if it can't be saved."""
    if type(model).__module__ == "slugline.classifier":  # not imported for the others
        with tempfile.TemporaryDirectory(prefix="slugline-") as folder:
            path = Path(folder, "model.slug")
            model.save(path)
            return path.stat().st_size
    try:
        with tempfile.TemporaryFile() as file:
            pickle.dump(model, file, pickle.HIGHEST_PROTOCOL)
            return file.tell()
    # A model that can't be pickled may raise anything, and still has its other results.
    except Exception:  # noqa: BLE001
        return None


if __name__ == "__main__":
    main()
