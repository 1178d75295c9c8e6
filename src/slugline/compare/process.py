"""A model's process as seen from outside: started, listened to, and ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

__all__ = [
    "FoldResult",
    "FoldedDocuments",
    "Message",
    "ModelFailure",
    "ModelIdentity",
    "ModelJob",
    "ModelProcess",
    "ProcessError",
    "is_valid_result",
    "pack_documents",
    "read_documents",
]


# What a comparison and the processes of its models tell each other, as lines of JSON --------------


class ModelJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process is to do: measure a model on folds, in their order; without any, describe it.

    If there are folds, the documents come on its standard input; see `slugline.compare.process`.
    """

    model: str
    seed: int = 0
    n_threads: int = 1
    folds: tuple[int, ...] = ()


class ModelIdentity(msgspec.Struct, frozen=True, tag="described"):
    """A user's model was found; `identity` changes when the model does."""

    identity: str


class ModelFailure(msgspec.Struct, frozen=True, tag="failed"):
    """A model raised an error, or was not found."""

    reason: str


class FoldResult(msgspec.Struct, frozen=True, tag="fold"):
    """What a model answered for the documents of one fold, having learned from all others.

    Attributes
    ----------
    fold : int
        Counted from 0.
    answers : tuple of int
        For each document of the fold, the number of its topic in the sorted list of all; -1 for an
        answer that is none of them.
    fit_seconds, answer_seconds : float
    peak_mb : float or None
        The most memory that the process had so far, in 10^6 bytes; None where the system doesn't
        say.
    file_bytes : int or None
        The size of the saved model; None if it can't be saved, and but for the last fold.
    """

    fold: int
    answers: tuple[int, ...]
    fit_seconds: float
    answer_seconds: float
    peak_mb: float | None = None
    file_bytes: int | None = None


Message = ModelIdentity | ModelFailure | FoldResult


def is_valid_result(result: FoldResult, n_documents: int, n_topics: int) -> bool:
    """Whether a result, which was read from outside, can be one of a fold of so many documents."""
    seconds = (result.fit_seconds, result.answer_seconds, result.peak_mb or 0)
    return (
        len(result.answers) == n_documents
        and all(-1 <= answer < n_topics for answer in result.answers)
        and all(math.isfinite(value) and value >= 0 for value in seconds)
        and (result.file_bytes or 0) >= 0
    )


# The documents of a comparison, as its processes get them: on standard input, never in a file -----


class FoldedDocuments(NamedTuple):
    """Texts, their topics and their folds."""

    texts: list[str]
    topics: list[str]
    folds: list[int]


def pack_documents(texts: Sequence[str], topics: Sequence[str], folds: Sequence[int]) -> bytes:
    """Return documents for `read_documents`: a line with their size in bytes, then JSON."""
    data = json.dumps([texts, topics, folds]).encode()  # ASCII, whatever halves of characters
    return b"%d\n%s" % (len(data), data)


def read_documents(stream: BinaryIO) -> FoldedDocuments:
    """Return the documents that come on a stream; EOFError if it ends before them."""
    wanted = int(stream.readline() or b"0")
    data = stream.read(wanted)
    if not wanted or len(data) < wanted:
        raise EOFError("the process that compares is gone")
    return FoldedDocuments(*json.loads(data))


# A model's process as seen from outside: started, listened to, and ended --------------------------

# Bytes of one message; an answer takes some six bytes, and a process that sends more has gone mad.
_LONGEST = 1 << 28
# What the libraries below NumPy and scikit-learn look at for their number of threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessError(Exception):
    """A process that ended, or was ended, without the message that was due; says why."""


class ModelProcess:
    """A process of `slugline.compare.child`; a context manager that leaves none behind.

    Parameters
    ----------
    job : Job
    folder : Path
        For its temporary files.
    documents : bytes, default b""
        What it reads from standard input, which stays open as long as this process lives.
    """

    def __init__(self, job: ModelJob, folder: Path, documents: bytes = b"") -> None:
        self._overdue = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603 (this very program)
            # -P: files of the current folder must not take the place of installed modules.
            [sys.executable, "-P", "-m", "slugline.compare.child", msgspec.json.encode(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(job.n_threads, folder),
            # Ctrl-C reaches this process alone, which ends the others.
            start_new_session=True,
        )
        self._documents = documents

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # What was not yet written is not wanted any more.
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def receive(self, seconds: float) -> Message:
        """Return the next message.

        Raises
        ------
        ProcessError : if there is none within so many seconds, or the process ends before it.
        """
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            self._send_documents()
            line = self._process.stdout.readline(_LONGEST) if self._process.stdout else b""
        finally:
            timer.cancel()
        if self._overdue.is_set():
            raise ProcessError(f"took over {seconds:g} s for a fold, which is all that it may")
        if not line:
            raise ProcessError(_ending(self._process.wait()))
        try:
            return msgspec.json.decode(line, type=Message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProcessError("sent something that is no result") from error

    def end(self) -> None:
        """Kill the process and what it has started."""
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
    own = {"PYTHONHASHSEED": "0", "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    return {**os.environ, **own, **dict.fromkeys(_THREADS, str(n_threads))}


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended its process with status {status}, without a result"
    known = {int(number): number.name for number in signal.Signals}
    name = known.get(-status, f"signal {-status}")
    if name == "SIGKILL":
        return "was killed (SIGKILL), as systems do when memory is full"
    return f"crashed ({name})"
