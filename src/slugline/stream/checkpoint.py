"""A folder from which training resumes, to the same bits, after it was stopped at any moment.

`checkpoint.json` names the documents, settings and versions, how far training is, and the other
files that belong to it, each with its size and digest. It is replaced whole, after the files that
it names are on the disk; files of the step before are removed then. Files that a killed process
leaves behind are removed when the next one starts.

Rows are not saved: they are several times as large as the texts, and reading these again takes less
time than a few passes.

Two processes can't use one folder at a time: a lock on the file `lock` lives as long as its
process. Where files can't be locked, as on Windows and some shared folders, nothing prevents it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64
from slugline.base.checks import option_error, short_repr
from slugline.base.files import lock, open_regular, write_whole
from slugline.errors import CheckpointError, os_errors_as
from slugline.learning.linear.newton import DescentState, Iterate

# How far training is -----------------------------------------------------------------------------

ArraysByName = Mapping[str, npt.NDArray[Any]]
# Starts the names of arrays of a `DescentState`.
_STATE = "rest."


class RunningDescent(NamedTuple):
    """A descent that has not ended, where it last reported; its iterate is dense and changes."""

    iterate: Iterate
    state: DescentState


@dataclass
class StreamState:
    """How far training is: a descent from some of the rows, then one from all, by topic batches."""

    n_done: int = 0  # Topic batches that have ended, of both descents
    n_passes: int = 0  # Passes before the running descent
    # Results by the first topic of the batch: weights dense in float16, or CSC in float32.
    iterates: dict[int, Any] = field(default_factory=dict)
    # Gradient norms at the start of the first descent, shape (n_topics,), likewise.
    firsts: dict[int, F64] = field(default_factory=dict)
    # Scores of held-out rows, shape (n_heldout, n_topics), by each batch of the first descent
    # that has ended.
    scores: list[F32] = field(default_factory=list)
    running: RunningDescent | None = None

    def to_parts(self, batches: list[slice]) -> Iterator[tuple[str, ArraysByName]]:
        """Yield named parts of the state; those of one name never change, except "now"."""
        n_ended = self.n_done - len(self.scores)  # of the second descent, or the only one
        for number, topics in enumerate(batches):
            first = topics.start
            if number < len(self.scores):
                scores: ArraysByName = {"scores": self.scores[number], "first": self.firsts[first]}
                yield f"scores-{first}", scores
            if first in self.iterates:
                yield _part_name(first, number < n_ended), _to_arrays(self.iterates[first])
        if self.running is not None:
            iterate, state = self.running
            norms = self.firsts[batches[self.n_done % len(batches)].start]
            arrays = {_STATE + name: array for name, array in state._asdict().items()}
            yield "now", {**_to_arrays(iterate), **arrays, "first": norms}

    @classmethod
    def from_parts(
        cls,
        counts: tuple[int, int],
        parts: Mapping[str, ArraysByName],
        n_columns: int,
        batches: list[slice],
    ) -> StreamState:
        """Rebuild the state from untrusted parts.

        Parameters
        ----------
        counts : (int, int)
            `n_done` and `n_passes`.
        parts : mapping of str to mapping of str to array
        n_columns : int
        batches : list of slice

        Raises
        ------
        ValueError, KeyError, TypeError : if they don't fit together, or hold NaN or infinity.
        """
        for name, array in (item for part in parts.values() for item in part.items()):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"array {short_repr(name)} holds NaN or infinity")
        state = cls(*counts)
        for topics in batches:
            first, width = topics.start, topics.stop - topics.start
            if (part := parts.get(f"scores-{first}")) is not None:
                state.scores.append(_check_array(part["scores"], np.float32, (None, width)))
                state.firsts[first] = _check_array(part["first"], np.float64, (width,))
            part = parts.get(_part_name(first, True), parts.get(_part_name(first, False)))
            if part is not None:
                state.iterates[first] = _to_iterate(part, n_columns, width)
        n_batches, n_scores = len(batches), len(state.scores)
        is_consistent = n_scores in {0, min(n_batches, state.n_done)}
        if not (is_consistent and 0 <= state.n_done <= n_scores + n_batches):
            raise ValueError(f"{state.n_done} of {n_batches} descents, and {n_scores} judged")
        if (part := parts.get("now")) is not None:
            topics = batches[state.n_done % n_batches]
            width = topics.stop - topics.start
            state.firsts[topics.start] = _check_array(part["first"], np.float64, (width,))
            arrays = {
                name.removeprefix(_STATE): array
                for name, array in part.items()
                if name.startswith(_STATE)
            }
            descent_state = DescentState.restore(arrays, width)
            state.running = RunningDescent(_to_iterate(part, n_columns, width), descent_state)
        return state


def _part_name(first: int, is_second: bool) -> str:
    return f"{'all' if is_second else 'some'}-{first}"


def _to_arrays(iterate: Iterate) -> ArraysByName:
    weights: Any = iterate.weights
    if isinstance(weights, np.ndarray):
        return {"weights": weights, "biases": iterate.biases}
    parts = {name: getattr(weights, name) for name in ("data", "indices", "indptr")}
    return {**parts, "biases": iterate.biases}


def _to_iterate(arrays: ArraysByName, n_columns: int, width: int) -> Iterate:
    shape = (n_columns, width)
    biases = _check_array(arrays["biases"], np.float64, (width,))
    if "weights" in arrays:
        dense = arrays["weights"]
        kind = np.float16 if dense.dtype == np.float16 else np.float32
        return Iterate(_check_array(dense, kind, shape), biases)
    data = _check_array(arrays["data"], np.float32, (None,))
    indices = _check_array(arrays["indices"], np.int32, data.shape)
    indptr = _check_array(arrays["indptr"], np.int32, (width + 1,))
    weights = sp.csc_array((data, indices, indptr), shape=shape)
    weights.check_format(full_check=True)
    return Iterate(weights, biases)


def _check_array(array: npt.NDArray[Any], kind: Any, shape: tuple[int | None, ...]) -> Any:
    """Return the array if it has the type and shape."""
    fits = len(array.shape) == len(shape) and all(
        length in (None, size) for size, length in zip(array.shape, shape, strict=True)
    )
    if array.dtype != kind or not fits:
        raise ValueError(f"an array of {array.dtype} and shape {array.shape}")
    return array


# The folder --------------------------------------------------------------------------------------

#: Writing takes at most this share of the time.
MAX_TIME_SHARE = 0.05
_INDEX, _LOCK, _SUFFIX = "checkpoint.json", "lock", ".safetensors"
_FORMAT = 1
_PART = re.compile(r"(now|(scores|some|all)-\d+)\.\d+\.safetensors")
# A file that another process was writing when it died; see `slugline.base.files`.
_UNFINISHED = re.compile(r"\.(checkpoint|now|scores|some|all).*\.part")
_MAX_INDEX_BYTES = 16 << 20
# Bytes that a file may have besides those of weights.
_MAX_EXTRA_BYTES = 1 << 30
# Characters of a fact that a message shows.
_MAX_SHOWN = 80


class _Part(msgspec.Struct, frozen=True):
    """A file of arrays, its size, and its digest."""

    file: str
    n_bytes: int
    sha256: str


class _Content(msgspec.Struct, frozen=True):
    """The content of the index, and the number of files written so far."""

    job: dict[str, str]
    n_done: int
    n_passes: int
    n_written: int
    parts: dict[str, _Part]


class _Index(msgspec.Struct, frozen=True):
    format: int
    sha256: str
    content: msgspec.Raw


@contextlib.contextmanager
def open_checkpoint(folder: Any) -> Iterator[Checkpoint | None]:
    """Open the checkpoint in a folder for this process alone; None if the folder is None.

    Raises
    ------
    CheckpointError : if the folder can't be used, another process uses it, or it is damaged.
    OptionError : if it is no path.
    """
    if folder is None:
        yield None
        return
    if not isinstance(folder, str | Path):
        raise option_error("checkpoint", folder, "the path of a folder")
    with _lock_folder(Path(folder)):
        yield Checkpoint(Path(folder))


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder has a checkpoint."""
    return (folder / _INDEX).exists()


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint that no process uses, and its folder if nothing else is in it."""
    with contextlib.suppress(CheckpointError, OSError), _lock_folder(folder):
        (folder / _INDEX).unlink(missing_ok=True)
        _remove_files(folder, set())
        (folder / _LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


class Checkpoint:
    """The saved state of a job, and a writer of further states.

    Parameters
    ----------
    folder : Path
        Opened by `open_checkpoint`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._job: dict[str, str] = {}
        self._batches: list[slice] = []
        self._next = 0.0
        self._saved = _read_index(folder)
        self._parts = dict(self._saved.parts) if self._saved else {}
        self._n_written = self._saved.n_written if self._saved else 0
        for part in self._parts.values():  # before documents are read for it
            _check_part(folder, part)
        _remove_files(folder, {part.file for part in self._parts.values()})

    @property
    def note(self) -> str:
        """A note for the user if there is a saved state, else empty."""
        if self._saved is None:
            return ""
        return (
            f"{self._folder} holds what was learned before: it goes on from there, once all "
            "documents are read again"
        )

    def tie(self, facts: Mapping[str, str]) -> None:
        """Tie the checkpoint to facts of the job by name, as soon as some are known.

        Raises
        ------
        CheckpointError : if it is of another job.
        """
        self._job |= facts
        if self._saved is None:
            return
        differing = []
        for name, fact in facts.items():
            before = self._saved.job.get(name, "")
            if before and max(len(before), len(fact)) <= _MAX_SHOWN and before != fact:
                differing.append(f"{name}: {before} there, {fact} here")
            elif before != fact:
                differing.append(f"other {name}")
        if differing:
            raise CheckpointError(
                f"{self._folder} is a checkpoint of another job ({'; '.join(differing)}); name "
                "another folder with `checkpoint`, or remove this one."
            )

    def load(self, n_columns: int, batches: list[slice]) -> StreamState:
        """Return the state to resume from, for these topics: a new one if none is saved.

        Raises
        ------
        CheckpointError : if it is damaged or can't be read.
        """
        self._batches = batches
        if self._saved is None:
            return StreamState()
        width = max(topics.stop - topics.start for topics in batches)
        most = _MAX_EXTRA_BYTES + 16 * n_columns * width
        parts = {name: _read_part(self._folder, part, most) for name, part in self._parts.items()}
        counts = (self._saved.n_done, self._saved.n_passes)
        try:
            return StreamState.from_parts(counts, parts, n_columns, batches)
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(self._folder, self._folder / _INDEX, error) from error

    def save(self, state: StreamState, *, is_last: bool = False) -> None:
        """Save a state, unless that would take too much of the time and it isn't the last one.

        Raises
        ------
        CheckpointError : if it can't be written; the state before is still there.
        """
        started = time.monotonic()
        if started < self._next and not is_last:
            return
        advice = "free some space, or name another folder with `checkpoint`."
        if self._parts:
            advice = (
                "what it held before is unchanged. Free some space, and start the same job again: "
                "it goes on from there."
            )
        failure = f"{self._folder}: the checkpoint can't be written"
        with os_errors_as(CheckpointError, failure, advice):
            self._write(state)
        now = time.monotonic()
        self._next = now + (now - started) * (1 / MAX_TIME_SHARE - 1)

    def _write(self, state: StreamState) -> None:
        parts = {}
        for name, arrays in state.to_parts(self._batches):
            part = None if name == "now" else self._parts.get(name)
            parts[name] = part or self._write_part(name, arrays)
        content = _Content(self._job, state.n_done, state.n_passes, self._n_written, parts)
        data = msgspec.json.encode(content)
        index = _Index(_FORMAT, hashlib.sha256(data).hexdigest(), msgspec.Raw(data))
        write_whole(self._folder / _INDEX, msgspec.json.encode(index))
        self._parts = parts
        _remove_files(self._folder, {part.file for part in parts.values()})

    def _write_part(self, name: str, arrays: ArraysByName) -> _Part:
        from safetensors.numpy import save

        self._n_written += 1
        file = f"{name}.{self._n_written}{_SUFFIX}"
        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        write_whole(self._folder / file, data)
        return _Part(file, len(data), hashlib.sha256(data).hexdigest())


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Make the folder if there is none, and lock it."""
    advice = "name another folder with `checkpoint`."
    with os_errors_as(CheckpointError, f"{folder} can't hold a checkpoint", advice):
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if not _belongs(path.name)]
        if others:
            raise CheckpointError(
                f"{folder} holds other files, such as {min(others)}; name a folder of its own with "
                "`checkpoint`. It need not exist."
            )
        file = (folder / _LOCK).open("ab")
    with file:
        if not lock(file):
            raise CheckpointError(
                f"{folder} is in use by another job; wait until that has ended, or name another "
                "folder with `checkpoint`."
            )
        yield


def _belongs(name: str) -> bool:
    """Whether a file belongs to a checkpoint."""
    return name in (_INDEX, _LOCK) or bool(_PART.fullmatch(name) or _UNFINISHED.fullmatch(name))


def _remove_files(folder: Path, wanted: set[str]) -> None:
    """Remove files of earlier steps and of dead processes."""
    with contextlib.suppress(OSError):  # they do no harm
        for path in list(folder.iterdir()):
            if path.name not in {*wanted, _INDEX, _LOCK} and _belongs(path.name):
                path.unlink()


def _read_index(folder: Path) -> _Content | None:
    """Return the content of the index, if there is one."""
    path = folder / _INDEX
    try:
        with open(path, "rb", opener=open_regular) as file:
            data = file.read(_MAX_INDEX_BYTES + 1)
        if len(data) > _MAX_INDEX_BYTES:
            raise ValueError(f"it has more than {_MAX_INDEX_BYTES:,} bytes")
        index = msgspec.json.decode(data, type=_Index)
        if index.format != _FORMAT:
            raise CheckpointError(
                f"{folder} is a checkpoint in format {index.format}, and this Slugline has format "
                f"{_FORMAT}; go on with the one that began it, or name another folder with "
                "`checkpoint`."
            )
        _check_digest(index.sha256, hashlib.sha256(index.content).hexdigest())
        content = msgspec.json.decode(index.content, type=_Content)
        if odd := [part.file for part in content.parts.values() if not _PART.fullmatch(part.file)]:
            raise ValueError(f"it names {short_repr(odd[0])}")
    except CheckpointError:
        raise
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # nested thousands of levels deep
        raise _damaged(folder, path, error) from error
    return content


def _check_part(folder: Path, part: _Part) -> None:
    """Check that a file has the bytes that were written."""
    path = folder / part.file
    try:
        with open(path, "rb", opener=open_regular) as file:
            _check_size(path, part.n_bytes, part.n_bytes)
            _check_digest(part.sha256, hashlib.file_digest(file, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise _damaged(folder, path, error) from error


def _check_size(path: Path, expected: int, most: int) -> None:
    size = path.stat().st_size
    if size != expected or size > most:
        raise ValueError(f"it has {size:,} bytes and not {min(expected, most):,}")


def _check_digest(expected: str, sha256: str) -> None:
    if sha256 != expected:
        raise ValueError("its bytes are not those that were written")


def _read_part(folder: Path, part: _Part, most: int) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / part.file
    try:
        _check_size(path, part.n_bytes, most)
        with open(path, "rb", opener=open_regular) as file:
            data = file.read(part.n_bytes)
        _check_digest(part.sha256, hashlib.sha256(data).hexdigest())
        return load(data)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(folder, path, error) from error


def _damaged(folder: Path, path: Path, error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or textwrap.shorten(str(error)[:2000], 200)
    return CheckpointError(
        f"{path}: damaged ({reason}); remove {folder} to begin anew, or name another folder with "
        "`checkpoint`."
    )
