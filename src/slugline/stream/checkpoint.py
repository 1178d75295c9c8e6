"""A folder that learning goes on from after it was stopped at any moment, to the same bits.

`checkpoint.json` says what was learned from, with which settings and versions, how far that has
come, and which other files belong to it, each with its size and digest. It is replaced whole, after
the files that it names are on the disk; those of the step before go then. What is left over when a
process is killed in between goes when the next one begins.

Rows are not in it: they are several times as large as the texts, and reading these again takes less
time than a few passes.

Two processes can't use one folder at a time: a lock on the file `lock` lives as long as its
process. Where files can't be locked, as on Windows and some shared folders, nothing keeps them
apart.
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
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64
from slugline.base.checks import option_error
from slugline.base.files import lock, write_whole
from slugline.errors import CheckpointError
from slugline.learning.linear.newton import DescentState, Iterate

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "RunningDescent",
    "StreamState",
    "has_checkpoint",
    "open_checkpoint",
    "remove_checkpoint",
]


# How far learning in passes has come: all that it takes to go on to the same bits -----------------

Arrays = Mapping[str, npt.NDArray[Any]]
# Before the names of what comes with a point.
_REST = "rest."


class RunningDescent(NamedTuple):
    """A descent that has not ended, as `minimise` has reported it.

    Attributes
    ----------
    point : Point
        Dense, float32. Changed when the descent goes on.
    rest : Rest
    """

    point: Iterate
    rest: DescentState


@dataclass
class StreamState:
    """How far two descents, a few topics at a time, have come.

    Attributes
    ----------
    n_done : int
        How many have ended, of the first descent from some of the rows, then of that from all.
    n_passes : int
        Passes before what is under way.
    found : dict of int to Point
        What they found, by the first of the topics: weights dense in float16, or CSC in float32.
    firsts : dict of int to float64 array, shape (n_topics,)
        The size of the gradients where the first descent began.
    scores : list of float32 array, shape (n_judged, n_topics)
        Of rows held out, for those of the first descent that have ended.
    under_way : UnderWay or None
    """

    n_done: int = 0
    n_passes: int = 0
    found: dict[int, Any] = field(default_factory=dict)
    firsts: dict[int, F64] = field(default_factory=dict)
    scores: list[F32] = field(default_factory=list)
    under_way: RunningDescent | None = None

    def parts(self, blocks: list[slice]) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
        """Yield all arrays in parts, each with a name; those of one name never change, but "now".

        Parameters
        ----------
        blocks : list of slice
            The topics that are learned at a time.
        """
        n_ended = self.n_done - len(self.scores)  # of the second descent, or the only one
        for number, topics in enumerate(blocks):
            first = topics.start
            if number < len(self.scores):
                yield (
                    f"scores-{first}",
                    {"scores": self.scores[number], "first": self.firsts[first]},
                )
            if first in self.found:
                yield _name(first, number < n_ended), _of_point(self.found[first])
        if self.under_way is not None:
            point, rest = self.under_way
            beside = {_REST + name: array for name, array in rest._asdict().items()}
            first = blocks[self.n_done % len(blocks)].start
            yield "now", {**_of_point(point), **beside, "first": self.firsts[first]}

    @classmethod
    def of_parts(
        cls,
        counts: tuple[int, int],
        parts: Mapping[str, Arrays],
        n_columns: int,
        blocks: list[slice],
    ) -> StreamState:
        """Return the state that has such parts, which may come from anywhere.

        Parameters
        ----------
        counts : (int, int)
            `n_done` and `n_passes`.
        parts : mapping of str to mapping of str to array
        n_columns : int
        blocks : list of slice

        Raises
        ------
        ValueError, KeyError, TypeError : if they don't fit together.
        """
        state = cls(*counts)
        for topics in blocks:
            first, width = topics.start, topics.stop - topics.start
            if (own := parts.get(f"scores-{first}")) is not None:
                state.scores.append(_checked(own["scores"], np.float32, (None, width)))
                state.firsts[first] = _checked(own["first"], np.float64, (width,))
            own = parts.get(_name(first, True), parts.get(_name(first, False)))
            if own is not None:
                state.found[first] = _point_of(own, n_columns, width)
        n_blocks, n_scores = len(blocks), len(state.scores)
        if not 0 <= state.n_done <= n_scores + n_blocks or n_scores not in {
            0,
            min(n_blocks, state.n_done),
        }:
            raise ValueError(f"{state.n_done} of {n_blocks} descents, and {n_scores} judged")
        if (own := parts.get("now")) is not None:
            topics = blocks[state.n_done % n_blocks]
            width = topics.stop - topics.start
            state.firsts[topics.start] = _checked(own["first"], np.float64, (width,))
            beside = {
                name.removeprefix(_REST): array
                for name, array in own.items()
                if name.startswith(_REST)
            }
            rest = DescentState.restore(beside, width)
            state.under_way = RunningDescent(_point_of(own, n_columns, width), rest)
        return state


class CheckpointWriter(Protocol):
    """Who keeps states where they outlive the process."""

    def load(self, n_columns: int, blocks: list[slice]) -> StreamState:
        """Return the state to go on from: a new one, if none was kept.

        Parameters
        ----------
        n_columns : int
        blocks : list of slice
            The topics that are learned at a time.
        """

    def keep(self, state: StreamState, *, is_last: bool = False) -> None:
        """Keep a state, or leave that until later if it isn't the last one."""


def _name(first: int, is_second: bool) -> str:
    return f"{'all' if is_second else 'some'}-{first}"


def _of_point(point: Iterate) -> dict[str, npt.NDArray[Any]]:
    weights: Any = point.weights
    if isinstance(weights, np.ndarray):
        return {"weights": weights, "biases": point.biases}
    parts = {name: getattr(weights, name) for name in ("data", "indices", "indptr")}
    return {**parts, "biases": point.biases}


def _point_of(arrays: Arrays, n_columns: int, width: int) -> Iterate:
    shape = (n_columns, width)
    biases = _checked(arrays["biases"], np.float64, (width,))
    if "weights" in arrays:
        dense = arrays["weights"]
        kind = np.float16 if dense.dtype == np.float16 else np.float32
        return Iterate(_checked(dense, kind, shape), biases)
    data = _checked(arrays["data"], np.float32, (None,))
    indices = _checked(arrays["indices"], np.int32, data.shape)
    indptr = _checked(arrays["indptr"], np.int32, (width + 1,))
    weights = sp.csc_array((data, indices, indptr), shape=shape)
    weights.check_format(full_check=True)
    return Iterate(weights, biases)


def _checked(array: npt.NDArray[Any], kind: Any, shape: tuple[int | None, ...]) -> Any:
    """Return an array that can be changed, if it is one of a type and shape."""
    fits = len(array.shape) == len(shape) and all(
        want is None or own == want for own, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != kind or not fits:
        raise ValueError(f"an array of {array.dtype} and shape {array.shape}")
    return array


# A folder that learning goes on from after it was stopped at any moment, to the same bits ---------

#: At most this share of the time goes into writing.
MAX_TIME_SHARE = 0.05
_INDEX, _LOCK, _SUFFIX = "checkpoint.json", "lock", ".safetensors"
_FORMAT = 1
_PART = re.compile(r"(now|(scores|some|all)-\d+)\.\d+\.safetensors")
# A file that another process was writing when it died; see `slugline.base.files`.
_LEFT_OVER = re.compile(r"\.(checkpoint|now|scores|some|all).*\.part")
_MOST_INDEX = 16 << 20
# Bytes that a file may have besides those of weights.
_MAX_EXTRA_BYTES = 1 << 30
# Characters of a fact that a message shows.
_SHOWN = 80


class _Part(msgspec.Struct, frozen=True):
    """A file of arrays, its size, and its digest."""

    file: str
    n_bytes: int
    sha256: str


class _Content(msgspec.Struct, frozen=True):
    """What the index says, and how many files have been written up to there."""

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
    """Open a checkpoint, if there is to be one, for this process alone.

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
    with _alone(Path(folder)):
        yield Checkpoint(Path(folder))


def has_checkpoint(folder: Path) -> bool:
    """Whether something was kept in a folder."""
    return (folder / _INDEX).exists()


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint that is of no more use, and its folder if nothing else is in it.

    One that another process uses stays.
    """
    with contextlib.suppress(CheckpointError, OSError), _alone(folder):
        (folder / _INDEX).unlink(missing_ok=True)
        _tidy(folder, set())
        (folder / _LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


class Checkpoint:
    """What was kept of a job, and keeps more; see `slugline.stream.checkpoint.CheckpointWriter`.

    Parameters
    ----------
    folder : Path
        Opened by `open_checkpoint`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._job: dict[str, str] = {}
        self._blocks: list[slice] = []
        self._next = 0.0
        self._kept = _read_index(folder)
        self._parts = dict(self._kept.parts) if self._kept else {}
        self._n_written = self._kept.n_written if self._kept else 0
        for part in self._parts.values():  # before documents are read for it
            _check_part(folder, part)
        _tidy(folder, {part.file for part in self._parts.values()})

    @property
    def note(self) -> str:
        """Words for what was kept before, if anything was."""
        if self._kept is None:
            return ""
        return (
            f"{self._folder} holds what was learned before: it goes on from there, once all "
            "documents are read again"
        )

    def tie(self, facts: Mapping[str, str]) -> None:
        """Tie what is kept to facts of the job, by name; call it as soon as some are known.

        Raises
        ------
        CheckpointError : if what is there is of another job.
        """
        self._job |= facts
        if self._kept is None:
            return
        differing = [
            _difference(name, self._kept.job.get(name, ""), now)
            for name, now in facts.items()
            if self._kept.job.get(name, "") != now
        ]
        if differing:
            raise CheckpointError(
                f"{self._folder} is a checkpoint of another job ({'; '.join(differing)}); name "
                "another folder with `checkpoint`, or remove this one."
            )

    def load(self, n_columns: int, blocks: list[slice]) -> StreamState:
        """Return the state to go on from.

        Raises
        ------
        CheckpointError : if it is damaged or can't be read.
        """
        self._blocks = blocks
        if self._kept is None:
            return StreamState()
        width = max(topics.stop - topics.start for topics in blocks)
        most = _MAX_EXTRA_BYTES + 16 * n_columns * width
        parts = {name: _read_part(self._folder, part, most) for name, part in self._parts.items()}
        counts = (self._kept.n_done, self._kept.n_passes)
        try:
            return StreamState.of_parts(counts, parts, n_columns, blocks)
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(self._folder, self._folder / _INDEX, error) from error

    def keep(self, state: StreamState, *, is_last: bool = False) -> None:
        """Keep a state, unless that would take too much of the time, or it is the last one.

        Raises
        ------
        CheckpointError : if it can't be written; what was kept before is still there.
        """
        began = time.monotonic()
        if began < self._next and not is_last:
            return
        try:
            self._write(state)
        except OSError as error:
            advice = "free some space, or name another folder with `checkpoint`."
            if self._parts:
                advice = (
                    "what it held before is unchanged. Free some space, and start the same job "
                    "again: it goes on from there."
                )
            raise CheckpointError(
                f"{self._folder}: the checkpoint can't be written ({error.strerror or error}); "
                f"{advice}"
            ) from error
        now = time.monotonic()
        self._next = now + (now - began) * (1 / MAX_TIME_SHARE - 1)

    def _write(self, state: StreamState) -> None:
        parts = {}
        for name, arrays in state.parts(self._blocks):
            known = None if name == "now" else self._parts.get(name)
            parts[name] = known or self._write_part(name, arrays)
        content = _Content(self._job, state.n_done, state.n_passes, self._n_written, parts)
        data = msgspec.json.encode(content)
        index = _Index(_FORMAT, hashlib.sha256(data).hexdigest(), msgspec.Raw(data))
        write_whole(self._folder / _INDEX, msgspec.json.encode(index))
        self._parts = parts
        _tidy(self._folder, {part.file for part in parts.values()})

    def _write_part(self, name: str, arrays: Mapping[str, Any]) -> _Part:
        from safetensors.numpy import save

        self._n_written += 1
        file = f"{name}.{self._n_written}{_SUFFIX}"
        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        write_whole(self._folder / file, data)
        return _Part(file, len(data), hashlib.sha256(data).hexdigest())


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, and keep others out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if not _is_own(path.name)]
        if others:
            raise CheckpointError(
                f"{folder} holds other files, such as {min(others)}; name a folder of its own with "
                "`checkpoint`. It need not exist."
            )
        file = (folder / _LOCK).open("ab")
    except OSError as error:
        raise CheckpointError(
            f"{folder} can't hold a checkpoint ({error.strerror or error}); name another folder "
            "with `checkpoint`."
        ) from error
    with file:
        if not lock(file):
            raise CheckpointError(
                f"{folder} is in use by another job; wait until that has ended, or name another "
                "folder with `checkpoint`."
            )
        yield


def _is_own(name: str) -> bool:
    is_fixed = name in (_INDEX, _LOCK)
    return is_fixed or _PART.fullmatch(name) is not None or _LEFT_OVER.fullmatch(name) is not None


def _tidy(folder: Path, wanted: set[str]) -> None:
    """Remove files of steps before, and those that a dead process left."""
    with contextlib.suppress(OSError):  # they do no harm
        for path in list(folder.iterdir()):
            if path.name not in {*wanted, _INDEX, _LOCK} and _is_own(path.name):
                path.unlink()


def _read_index(folder: Path) -> _Content | None:
    """Return what was kept, if anything was."""
    path = folder / _INDEX
    try:
        if not path.exists():
            return None
        if path.stat().st_size > _MOST_INDEX:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
        if index.format != _FORMAT:
            raise CheckpointError(
                f"{folder} is a checkpoint in format {index.format}, and this Slugline has format "
                f"{_FORMAT}; go on with the one that began it, or name another folder with "
                "`checkpoint`."
            )
        if hashlib.sha256(index.content).hexdigest() != index.sha256:
            raise ValueError("its bytes are not those that were written")
        content = msgspec.json.decode(index.content, type=_Content)
        if odd := [part.file for part in content.parts.values() if not _PART.fullmatch(part.file)]:
            raise ValueError(f"it names {odd[0]!r}")
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise _damaged(folder, path, error) from error
    return content


def _check_part(folder: Path, part: _Part) -> None:
    """Check that a part has the bytes that were written."""
    path = folder / part.file
    try:
        with path.open("rb") as file:
            _check_size(path, part.n_bytes, part.n_bytes)
            _check_bytes(part, hashlib.file_digest(file, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise _damaged(folder, path, error) from error


def _check_size(path: Path, wanted: int, most: int) -> None:
    size = path.stat().st_size
    if size != wanted or size > most:
        raise ValueError(f"it has {size:,} bytes and not {min(wanted, most):,}")


def _check_bytes(part: _Part, sha256: str) -> None:
    if sha256 != part.sha256:
        raise ValueError("its bytes are not those that were written")


def _read_part(folder: Path, part: _Part, most: int) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / part.file
    try:
        _check_size(path, part.n_bytes, most)
        data = path.read_bytes()
        _check_bytes(part, hashlib.sha256(data).hexdigest())
        return load(data)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(folder, path, error) from error


def _damaged(folder: Path, path: Path, error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or textwrap.shorten(str(error)[:2000], 200)
    return CheckpointError(
        f"{path}: damaged ({reason}); remove {folder} to begin anew, or name another folder with "
        "`checkpoint`."
    )


def _difference(name: str, there: str, here: str) -> str:
    if max(len(there), len(here)) > _SHOWN or not there:
        return f"other {name}"
    return f"{name}: {there} there, {here} here"
