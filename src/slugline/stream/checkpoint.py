"""A folder from which training resumes, with the same result bit for bit.

`checkpoint.json` records the documents, settings and versions of the job, its progress, and the
size and digest of each file of arrays. It is replaced atomically, once these files are on disk;
then the files of the previous step are removed. Files that a killed process left behind are removed
when the next process starts.

Rows are not saved: they are several times as large as the texts, and it takes less time to read the
texts again than to make a few passes.

A lock on the file `lock`, held as long as the process lives, keeps a second process out. If
files can't be locked, as on Windows and on some shared folders, nothing prevents two processes from
using one folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64
from slugline.base.checks import option_error, short_repr
from slugline.base.files import lock, open_regular, write_whole
from slugline.errors import CheckpointError, Message, Parameter, os_errors_as
from slugline.learning.linear.newton import DescentState, Iterate
from slugline.learning.linear.parts import PartWeights

# Training state ----------------------------------------------------------------------------------

ArraysByName = Mapping[str, npt.NDArray[Any]]

#: The first descent learns from the rows that are not held out, the second from all rows. The first
#: is skipped if no row is held out. Very many rows are learned in parts instead.
Phase = Literal["training rows", "all rows", "parts"]

# Prefix of the names of the arrays of a `DescentState`.
_DESCENT_STATE = "descent."
# Name of the part that every step replaces, or the beginning of the names of several.
_RUNNING = "running"
# Prefixes of the names of the parts with the weights of each phase.
_ITERATES: dict[Phase, str] = {"training rows": "training", "all rows": "all"}


class State(Protocol):
    """The state of training; see `StreamState`."""

    phase: Phase
    n_done: int
    n_passes: int

    def to_parts(self, batches: list[slice]) -> Iterator[tuple[str, ArraysByName]]:
        """Yield the name and arrays of each part of the state."""

    def restore_parts(
        self, parts: Mapping[str, ArraysByName], n_columns: int, batches: list[slice]
    ) -> None:
        """Restore the arrays from untrusted parts; raise ValueError if they don't fit."""


class RunningDescent(NamedTuple):
    """A running descent after its last step; the next step changes its dense iterate."""

    iterate: Iterate
    state: DescentState


@dataclass
class StreamState:
    """Training state: the phase, and the results of each topic batch so far."""

    phase: Phase
    n_done: int = 0  # Topic batches that have ended in this phase
    n_passes: int = 0  # Passes before the running descent
    # Result of each batch by its first topic: weights dense in float16, or CSC in float32.
    iterates: dict[int, Iterate] = field(default_factory=dict)
    # Gradient norms at the start of the first phase, shape (n_topics,), by the batch's first topic.
    initial_norms: dict[int, F64] = field(default_factory=dict)
    # Scores of held-out rows, shape (n_heldout, n_topics), one array for each batch that has ended
    # in the first of two phases.
    heldout_scores: list[F32] = field(default_factory=list)
    running: RunningDescent | None = None

    def begin_all_rows(self) -> None:
        """Move to the phase that learns from all rows."""
        self.phase, self.n_done = "all rows", 0

    def to_parts(self, batches: list[slice]) -> Iterator[tuple[str, ArraysByName]]:
        """Yield the name and arrays of each part of the state; only "running" changes later."""
        for number, topics in enumerate(batches):
            first = topics.start
            if number < len(self.heldout_scores):
                yield (
                    f"scores-{first}",
                    {
                        "scores": self.heldout_scores[number],
                        "initial_norms": self.initial_norms[first],
                    },
                )
            if first in self.iterates:
                has_ended = self.phase == "all rows" and number < self.n_done
                prefix = _ITERATES["all rows" if has_ended else "training rows"]
                yield f"{prefix}-{first}", _to_arrays(self.iterates[first])
        if self.running is not None:
            iterate, state = self.running
            yield (
                _RUNNING,
                {
                    **_to_arrays(iterate),
                    **{_DESCENT_STATE + name: array for name, array in state._asdict().items()},
                    "initial_norms": self.initial_norms[batches[self.n_done].start],
                },
            )

    def restore_parts(
        self, parts: Mapping[str, ArraysByName], n_columns: int, batches: list[slice]
    ) -> None:
        """Restore the arrays of a state with known phase and counts from untrusted parts.

        Raises
        ------
        ValueError, LookupError, TypeError : if parts are inconsistent, or hold NaN or infinity.
        """
        _check_finite(parts)
        for topics in batches:
            first, width = topics.start, topics.stop - topics.start
            if (part := parts.get(f"scores-{first}")) is not None:
                scores = _check_array(part["scores"], np.float32, (None, width))
                self.heldout_scores.append(scores)
                norms = _check_array(part["initial_norms"], np.float64, (width,))
                self.initial_norms[first] = norms
            for prefix in _ITERATES.values():
                if (part := parts.get(f"{prefix}-{first}")) is not None:
                    self.iterates[first] = _to_iterate(part, n_columns, width)
        self._check_counts(len(batches))
        if (part := parts.get(_RUNNING)) is not None:
            topics = batches[self.n_done]
            width = topics.stop - topics.start
            norms = _check_array(part["initial_norms"], np.float64, (width,))
            self.initial_norms[topics.start] = norms
            arrays = {
                name.removeprefix(_DESCENT_STATE): array
                for name, array in part.items()
                if name.startswith(_DESCENT_STATE)
            }
            descent_state = DescentState.restore(arrays, width)
            self.running = RunningDescent(_to_iterate(part, n_columns, width), descent_state)

    def _check_counts(self, n_batches: int) -> None:
        """Check that exactly the batches that have ended have held-out scores."""
        n_scores = len(self.heldout_scores)
        expected = {self.n_done} if self.phase == "training rows" else {0, n_batches}
        if not 0 <= self.n_done <= n_batches or n_scores not in expected:
            raise ValueError(
                f"{self.n_done} of {n_batches} topic batches have ended in the phase "
                f"{self.phase!r}, and {n_scores} have held-out scores"
            )


@dataclass
class PartState:
    """State of training in parts: the weights after some of them."""

    weights: PartWeights
    n_all: int  # Number of all parts
    n_heldout: int  # Number of held-out rows
    phase: Phase = "parts"
    n_done: int = 0  # Parts that have been learned from
    n_passes: int = 1
    # shape (n_heldout, n_topics); None before held-out rows are scored
    heldout_scores: F32 | None = None

    def to_parts(self, batches: list[slice]) -> Iterator[tuple[str, ArraysByName]]:
        """Yield the name and arrays of each part of the state, all of which change later."""
        arrays: dict[str, npt.NDArray[Any]] = {"biases": self.weights.biases}
        if self.heldout_scores is not None:
            arrays["scores"] = self.heldout_scores
        yield _RUNNING, arrays
        batch_arrays = zip(batches, self.weights.weights, self.weights.sums, strict=True)
        for topics, weights, sums in batch_arrays:
            masks, halves = weights.arrays()
            yield f"{_RUNNING}-{topics.start}", {"masks": masks, "halves": halves, "sums": sums}

    def restore_parts(
        self, parts: Mapping[str, ArraysByName], n_columns: int, batches: list[slice]
    ) -> None:
        """Restore the arrays; see `StreamState.restore_parts`."""
        _check_finite(parts)
        part, n_topics = parts[_RUNNING], batches[-1].stop
        self.weights.biases[:] = _check_array(part["biases"], np.float32, (n_topics,))
        if "scores" in part:
            self.heldout_scores = _check_array(
                part["scores"], np.float32, (self.n_heldout, n_topics)
            )
        if not 0 <= self.n_done <= self.n_all:
            raise ValueError(f"{self.n_done} of {self.n_all} parts have been learned from")
        for number, topics in enumerate(batches):
            part = parts[f"{_RUNNING}-{topics.start}"]
            masks = _check_array(part["masks"], np.uint32, (n_columns,))
            self.weights.weights[number].restore(
                masks, _check_array(part["halves"], np.uint16, (None,))
            )
            self.weights.sums[number] = _check_array(part["sums"], np.float32, (n_columns + 1,))


def _check_finite(parts: Mapping[str, ArraysByName]) -> None:
    for name, array in (item for part in parts.values() for item in part.items()):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"array {short_repr(name)} holds NaN or infinity")


def _to_arrays(iterate: Iterate) -> ArraysByName:
    weights: Any = iterate.weights
    if isinstance(weights, np.ndarray):
        return {"weights": weights, "biases": iterate.biases}
    return {
        "data": weights.data,
        "indices": weights.indices,
        "indptr": weights.indptr,
        "biases": iterate.biases,
    }


def _to_iterate(arrays: ArraysByName, n_columns: int, width: int) -> Iterate:
    shape = (n_columns, width)
    biases = _check_array(arrays["biases"], np.float64, (width,))
    if "weights" in arrays:
        dense = arrays["weights"]
        dtype = np.float16 if dense.dtype == np.float16 else np.float32
        return Iterate(_check_array(dense, dtype, shape), biases)
    data = _check_array(arrays["data"], np.float32, (None,))
    indices = _check_array(arrays["indices"], np.int32, data.shape)
    indptr = _check_array(arrays["indptr"], np.int32, (width + 1,))
    weights = sp.csc_array((data, indices, indptr), shape=shape)
    weights.check_format(full_check=True)
    return Iterate(weights, biases)


def _check_array(array: npt.NDArray[Any], dtype: type, shape: tuple[int | None, ...]) -> Any:
    """Return the array if it has the type and shape, in which None is any length."""
    fits = len(array.shape) == len(shape) and all(
        expected in (None, length) for length, expected in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(f"an array has type {array.dtype} and shape {array.shape}")
    return array


# The folder --------------------------------------------------------------------------------------

#: Writing checkpoints takes at most this fraction of the time.
MAX_TIME_FRACTION = 0.05
_INDEX, _LOCK, _SUFFIX = "checkpoint.json", "lock", ".safetensors"
_FORMAT = 1
_PART = re.compile(r"(running(-\d+)?|(scores|training|all)-\d+)\.\d+\.safetensors")
# A file that another process was writing when it died; see `slugline.base.files`.
_UNFINISHED = re.compile(r"\.(checkpoint|running|scores|training|all).*\.part")
_MAX_INDEX_BYTES = 16 << 20
# Maximum number of bytes of a file in addition to those of weights.
_MAX_EXTRA_BYTES = 1 << 30
# Maximum number of characters of a fact in a message.
_MAX_SHOWN = 80


class _Part(msgspec.Struct, frozen=True):
    """A file of arrays with its size and digest."""

    file: str
    n_bytes: int
    sha256: str


class _Content(msgspec.Struct, frozen=True):
    """Content of the index, `checkpoint.json`; `n_written` counts the files written so far."""

    job: dict[str, str]
    phase: Phase
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
    OptionError : if it is not a path.
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
    """Remove a checkpoint that no process uses, and its folder if that is otherwise empty."""
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
        self._next_save = 0.0  # Time of the next save at the earliest
        self._saved = _read_index(folder)
        self._parts = dict(self._saved.parts) if self._saved else {}
        self._n_written = self._saved.n_written if self._saved else 0
        for part in self._parts.values():  # saved now, since reading documents may take hours
            _check_part(folder, part)
        _remove_files(folder, {part.file for part in self._parts.values()})

    @property
    def note(self) -> str:
        """A note for the user on a saved state; empty without one."""
        if self._saved is None:
            return ""
        return (
            f"{self._folder} holds a checkpoint: training resumes from it once all documents have "
            "been read again"
        )

    def require_same_job(self, facts: Mapping[str, str]) -> None:
        """Check facts about the job against those of the saved job; save them with the next state.

        This is called as soon as facts are known; for the settings, that is before the documents
        are read.

        Raises
        ------
        CheckpointError : if a fact differs.
        """
        self._job |= facts
        if self._saved is None:
            return
        differences = []
        for name, fact in facts.items():
            saved = self._saved.job.get(name, "")
            if saved and max(len(saved), len(fact)) <= _MAX_SHOWN and saved != fact:
                differences.append(f"{name}: {saved} there, {fact} in this job")
            elif saved != fact:
                differences.append(f"other {name}")
        if differences:
            raise CheckpointError(
                f"{self._folder} is a checkpoint of another job ({'; '.join(differences)}); name "
                "another folder with ",
                Parameter("checkpoint"),
                ", or remove this one.",
            )

    def load(self, n_columns: int, batches: list[slice], phases: Sequence[Phase]) -> StreamState:
        """Return the state from which to resume; a new state if none is saved; see `restore`."""
        state = StreamState(phases[0])
        self.restore(state, n_columns, batches, phases)
        return state

    def restore(
        self, state: State, n_columns: int, batches: list[slice], phases: Sequence[Phase]
    ) -> None:
        """Replace a new state by the saved one, if there is one.

        Raises
        ------
        CheckpointError : if the saved state is damaged or can't be read.
        """
        self._batches = batches
        if self._saved is None:
            return
        width = max(topics.stop - topics.start for topics in batches)
        max_bytes = _MAX_EXTRA_BYTES + 16 * n_columns * width
        parts = {
            name: _read_part(self._folder, part, max_bytes) for name, part in self._parts.items()
        }
        saved = self._saved
        state.phase, state.n_done, state.n_passes = saved.phase, saved.n_done, saved.n_passes
        try:
            if state.phase not in phases:
                raise ValueError(f"the phase is {state.phase!r}, not {' or '.join(phases)}")
            state.restore_parts(parts, n_columns, batches)
        except (LookupError, ValueError, TypeError) as error:
            raise _damaged(self._folder, self._folder / _INDEX, error) from error

    def save(self, state: State, *, is_last: bool = False) -> None:
        """Save a state, unless another follows and saving would take too much of the time.

        Raises
        ------
        CheckpointError : if the state can't be written; the previous one is unchanged.
        """
        start = time.monotonic()
        if start < self._next_save and not is_last:
            return
        advice = Message(
            "free some space, or name another folder with ", Parameter("checkpoint"), "."
        )
        if self._parts:
            advice = Message(
                "the previous checkpoint is unchanged. Free some space, and start the same job "
                "again: it resumes from there."
            )
        failure = f"{self._folder}: the checkpoint can't be written"
        with os_errors_as(CheckpointError, failure, advice):
            self._write(state)
        end = time.monotonic()
        self._next_save = end + (end - start) * (1 / MAX_TIME_FRACTION - 1)

    def _write(self, state: State) -> None:
        parts = {}
        for name, arrays in state.to_parts(self._batches):
            part = None if name.startswith(_RUNNING) else self._parts.get(name)
            parts[name] = part or self._write_part(name, arrays)
        content = _Content(
            job=self._job,
            phase=state.phase,
            n_done=state.n_done,
            n_passes=state.n_passes,
            n_written=self._n_written,
            parts=parts,
        )
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
    """Create the folder if it doesn't exist, and lock it."""
    advice = Message("name another folder with ", Parameter("checkpoint"), ".")
    with os_errors_as(CheckpointError, f"{folder} can't hold a checkpoint", advice):
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if not _belongs(path.name)]
        if others:
            raise CheckpointError(
                f"{folder} holds other files, such as {min(others)}; name an empty folder, or one "
                "that doesn't exist, with ",
                Parameter("checkpoint"),
                ".",
            )
        file = (folder / _LOCK).open("ab")
    with file:
        if not lock(file):
            raise CheckpointError(
                f"{folder} is in use by another job; wait for it to finish, or name another folder "
                "with ",
                Parameter("checkpoint"),
                ".",
            )
        yield


def _belongs(name: str) -> bool:
    """Whether a file belongs to a checkpoint."""
    return name in (_INDEX, _LOCK) or bool(_PART.fullmatch(name) or _UNFINISHED.fullmatch(name))


def _remove_files(folder: Path, used: set[str]) -> None:
    """Remove files of earlier steps and of dead processes."""
    with contextlib.suppress(OSError):  # files that can't be removed do no harm
        for path in list(folder.iterdir()):
            if path.name not in {*used, _INDEX, _LOCK} and _belongs(path.name):
                path.unlink()


def _read_index(folder: Path) -> _Content | None:
    """Return the content of the index; None if there is no index."""
    path = folder / _INDEX
    try:
        with open(path, "rb", opener=open_regular) as file:
            data = file.read(_MAX_INDEX_BYTES + 1)
        if len(data) > _MAX_INDEX_BYTES:
            raise ValueError(f"it has more than {_MAX_INDEX_BYTES:,} bytes")
        index = msgspec.json.decode(data, type=_Index)
        if index.format != _FORMAT:
            raise CheckpointError(
                f"{folder} is a checkpoint in format {index.format}, and this version of Slugline "
                f"reads format {_FORMAT}; resume with the version that wrote it, or name another "
                "folder with ",
                Parameter("checkpoint"),
                ".",
            )
        _check_digest(index.sha256, hashlib.sha256(index.content).hexdigest())
        content = msgspec.json.decode(index.content, type=_Content)
        for part in content.parts.values():
            if not _PART.fullmatch(part.file):
                raise ValueError(f"it names the file {short_repr(part.file)}")
    except CheckpointError:
        raise
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # nested thousands of levels deep
        raise _damaged(folder, path, error) from error
    return content


def _check_part(folder: Path, part: _Part) -> None:
    """Check that a file still has the bytes that were written."""
    path = folder / part.file
    try:
        with open(path, "rb", opener=open_regular) as file:
            _check_size(path, part.n_bytes, part.n_bytes)
            _check_digest(part.sha256, hashlib.file_digest(file, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise _damaged(folder, path, error) from error


def _check_size(path: Path, expected: int, max_bytes: int) -> None:
    size = path.stat().st_size
    if size != expected or size > max_bytes:
        raise ValueError(f"it has {size:,} bytes instead of {min(expected, max_bytes):,}")


def _check_digest(expected: str, sha256: str) -> None:
    if sha256 != expected:
        raise ValueError("its bytes are not those that were written")


def _read_part(folder: Path, part: _Part, max_bytes: int) -> ArraysByName:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / part.file
    try:
        _check_size(path, part.n_bytes, max_bytes)
        with open(path, "rb", opener=open_regular) as file:
            data = file.read(part.n_bytes)
        _check_digest(part.sha256, hashlib.sha256(data).hexdigest())
        return load(data)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(folder, path, error) from error


def _damaged(folder: Path, path: Path, error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or textwrap.shorten(str(error)[:2000], 200)
    return CheckpointError(
        f"{path}: damaged ({reason}); remove {folder} to start over, or name another folder with ",
        Parameter("checkpoint"),
        ".",
    )
