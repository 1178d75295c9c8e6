"""The process of a model: starting it, its messages, and ending it."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

# Messages -----------------------------------------------------------------------------------------


class ModelJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """The folds that a process is to measure; without any, it describes the model."""

    model: str
    seed: int = 0
    n_threads: int = 1
    folds: tuple[int, ...] = ()
    # The pickle of an estimator, and the folders that its modules may be imported from.
    pickle: str | None = None
    folders: tuple[str, ...] = ()


class ModelIdentity(msgspec.Struct, frozen=True, tag="described"):
    """A user's model was found; `identity` changes when the model does."""

    identity: str


class ModelFailure(msgspec.Struct, frozen=True, tag="failed"):
    """A model raised an error, or was not found."""

    reason: str


class FoldResult(msgspec.Struct, frozen=True, tag="fold"):
    """Answers of a model for one fold, after learning from the others."""

    fold: int
    # The index of each answer in the sorted topics, -1 if it is not among them; or, where documents
    # have several topics, the indices of all.
    answers: tuple[int | tuple[int, ...], ...]
    fit_seconds: float
    answer_seconds: float
    # Peak memory in 10^6 bytes; None where the system doesn't report it.
    peak_mb: float | None = None
    # Size of the saved model, with the last fold only; None if it can't be saved.
    file_bytes: int | None = None


Message = ModelIdentity | ModelFailure | FoldResult


def is_valid_result(
    result: FoldResult, n_documents: int, n_topics: int, *, multilabel: bool = False
) -> bool:
    """Whether a result from another process is possible for a fold of that many documents."""
    seconds = (result.fit_seconds, result.answer_seconds, result.peak_mb or 0)
    answers: Any = result.answers
    if any(isinstance(answer, tuple) != multilabel for answer in answers):
        return False
    indices = itertools.chain.from_iterable(answers) if multilabel else answers
    lowest = 0 if multilabel else -1  # -1 is a topic that no training document has
    return (
        len(answers) == n_documents
        and all(lowest <= index < n_topics for index in indices)
        and all(math.isfinite(value) and value >= 0 for value in seconds)
        and (result.file_bytes or 0) >= 0
    )


# Documents ----------------------------------------------------------------------------------------


class FoldedDocuments(NamedTuple):
    """Texts, their topics and their folds."""

    texts: list[str]
    topics: list[Any]
    folds: list[int]


def pack_documents(texts: Sequence[str], topics: Sequence[Any], folds: Sequence[int]) -> bytes:
    """Return documents for `read_documents`: a line with their size in bytes, then JSON."""
    data = json.dumps([texts, topics, folds]).encode()  # ASCII, whatever halves of characters
    return b"%d\n%s" % (len(data), data)


def read_documents(stream: BinaryIO) -> FoldedDocuments:
    """Return the documents read from a stream; raise EOFError if it ends too early."""
    wanted = int(stream.readline() or b"0")
    data = stream.read(wanted)
    if not wanted or len(data) < wanted:
        raise EOFError("the process that compares is gone")
    texts, topics, folds = json.loads(data)
    if isinstance(topics[0], list):
        topics = [*map(tuple, topics)]
    return FoldedDocuments(texts, topics, folds)


# Processes ----------------------------------------------------------------------------------------

# Bytes of one message; an answer takes some six bytes, and a process that sends more has gone mad.
_LONGEST = 1 << 28
# What the libraries below NumPy and scikit-learn look at for their number of threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessError(Exception):
    """A process ended, or was ended, without the expected message."""


class ModelProcess(contextlib.AbstractContextManager["ModelProcess"]):
    """A running `slugline.comparison.child`; a context manager that ends it.

    Parameters
    ----------
    job : ModelJob
    folder : Path
        For its temporary files.
    documents : bytes, default b""
        Sent to its standard input, which stays open as long as this process lives.
    """

    def __init__(self, job: ModelJob, folder: Path, documents: bytes = b"") -> None:
        self._overdue = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603 (this very program)
            # -P: files of the current folder must not take the place of installed modules.
            [sys.executable, "-P", "-m", "slugline.comparison.child", msgspec.json.encode(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(job.n_threads, folder),
            # Ctrl-C reaches this process alone, which ends the others.
            start_new_session=True,
        )
        self._documents = documents

    def __exit__(self, *exception: object) -> None:
        self.end()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # What was not yet written is not wanted any more.
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def receive(self, seconds: float) -> Message:
        """Return the next message; ProcessError if it doesn't come in time, or the process ends."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            # Here and not in the constructor, so that the time limit covers a process that doesn't
            # read them.
            self._send_documents()
            line = self._process.stdout.readline(_LONGEST) if self._process.stdout else b""
        finally:
            timer.cancel()
        if self._overdue.is_set():
            raise ProcessError(f"took over {seconds:g} s for a fold, which is the limit")
        if not line:
            raise ProcessError(_ending(self._process.wait()))
        try:
            return msgspec.json.decode(line, type=Message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProcessError("sent something that isn't a result") from error

    def end(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _send_documents(self) -> None:
        documents, self._documents = self._documents, b""
        # If the process is gone, what it left to be read says why.
        with contextlib.suppress(OSError):
            if documents and self._process.stdin is not None:
                self._process.stdin.write(documents)
                self._process.stdin.flush()

    def _expire(self) -> None:
        self._overdue.set()
        self.end()


def _environment(n_threads: int, folder: Path) -> dict[str, str]:
    # Sets of words come in the same order every time; temporary files go where they are removed.
    extra = {"PYTHONHASHSEED": "0", "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    return {**os.environ, **extra, **dict.fromkeys(_THREADS, str(n_threads))}


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended its process with status {status}, without a result"
    names = {int(number): number.name for number in signal.Signals}
    name = names.get(-status, f"signal {-status}")
    if name == "SIGKILL":
        return "was killed (SIGKILL), as systems do when memory is full"
    return f"crashed ({name})"
