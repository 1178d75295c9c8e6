"""A folder from which training resumes, with the same result bit for bit.

`checkpoint.json` records the documents, settings and versions of the job, its progress, and the
size and digest of each file of arrays. It is replaced atomically, once these files are on disk;
then the files of the save before are removed. Files that a killed process left behind are removed
when the next process starts.

Rows are not saved: they are several times as large as the texts, which are read again.

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.checks import option_error, short_repr
from slugline.base.files import lock, open_regular, write_whole
from slugline.errors import CheckpointError, Message, Parameter, os_errors_as

ArraysByName = Mapping[str, npt.NDArray[Any]]


class State(Protocol):
    """The state of training; see `slugline.stream.part_state.PartState`.

    Attributes
    ----------
    n_done : int
        How much has been done, in parts.
    """

    n_done: int

    @property
    def max_file_bytes(self) -> int:
        """Maximum number of bytes of a file of arrays."""

    def to_files(self) -> Iterator[tuple[str, ArraysByName]]:
        """Yield the name and arrays of each file: `state`, or `weights-` and a number."""

    def restore(self, files: Mapping[str, ArraysByName]) -> None:
        """Restore the arrays from untrusted files, given `n_done`.

        Raises
        ------
        ValueError, LookupError, TypeError : if files are inconsistent, or hold NaN or infinity.
        """


# The folder --------------------------------------------------------------------------------------

#: Writing checkpoints takes at most this fraction of the time.
MAX_TIME_FRACTION = 0.05
_INDEX, _LOCK, _SUFFIX = "checkpoint.json", "lock", ".safetensors"
_FORMAT = 2
_FILE = re.compile(r"(state|weights-\d+)\.\d+\.safetensors")
# A file that another process was writing when it died; see `slugline.base.files`.
_UNFINISHED = re.compile(r"\.(checkpoint|state|weights).*\.part")
_MAX_INDEX_BYTES = 16 << 20
# Maximum number of characters of a fact in a message.
_MAX_SHOWN = 80


class _File(msgspec.Struct, frozen=True):
    """A file of arrays with its size and digest."""

    name: str
    n_bytes: int
    sha256: str


class _Content(msgspec.Struct, frozen=True):
    """Content of the index, `checkpoint.json`; `n_written` counts the files written so far."""

    job: dict[str, str]
    n_done: int
    n_written: int
    files: dict[str, _File]


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
        self._next_save = 0.0  # Time of the next save at the earliest
        self._saved = _read_index(folder)
        files = self._saved.files.values() if self._saved else ()
        self._n_written = self._saved.n_written if self._saved else 0
        for file in files:  # checked now, since reading documents may take hours
            _check_file(folder, file)
        _remove_files(folder, {file.name for file in files})

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

    def restore(self, state: State) -> None:
        """Replace a new state by the saved one, if there is one.

        Raises
        ------
        CheckpointError : if the saved state is damaged or can't be read.
        """
        if self._saved is None:
            return
        state.n_done = self._saved.n_done
        files = {
            name: _read_file(self._folder, file, state.max_file_bytes)
            for name, file in self._saved.files.items()
        }
        try:
            state.restore(files)
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
        if has_checkpoint(self._folder):
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
        files = {name: self._write_file(name, arrays) for name, arrays in state.to_files()}
        content = _Content(self._job, state.n_done, self._n_written, files)
        data = msgspec.json.encode(content)
        index = _Index(_FORMAT, hashlib.sha256(data).hexdigest(), msgspec.Raw(data))
        write_whole(self._folder / _INDEX, msgspec.json.encode(index))
        _remove_files(self._folder, {file.name for file in files.values()})

    def _write_file(self, name: str, arrays: ArraysByName) -> _File:
        from safetensors.numpy import save

        self._n_written += 1
        file_name = f"{name}.{self._n_written}{_SUFFIX}"
        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        write_whole(self._folder / file_name, data)
        return _File(file_name, len(data), hashlib.sha256(data).hexdigest())


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
    return name in (_INDEX, _LOCK) or bool(_FILE.fullmatch(name) or _UNFINISHED.fullmatch(name))


def _remove_files(folder: Path, used: set[str]) -> None:
    """Remove files of earlier saves and of dead processes."""
    with contextlib.suppress(OSError):  # files that can't be removed do no harm
        for path in list(folder.iterdir()):
            if path.name not in {*used, _INDEX, _LOCK} and _belongs(path.name):
                path.unlink()


def _read_index(folder: Path) -> _Content | None:
    """Return the content of the index; None if there is no index."""
    path = folder / _INDEX
    try:
        with open(path, "rb", opener=open_regular) as index_file:
            data = index_file.read(_MAX_INDEX_BYTES + 1)
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
        for file in content.files.values():
            if not _FILE.fullmatch(file.name):
                raise ValueError(f"it names the file {short_repr(file.name)}")
    except CheckpointError:
        raise
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # nested thousands of levels deep
        raise _damaged(folder, path, error) from error
    return content


def _check_file(folder: Path, file: _File) -> None:
    """Check that a file still has the bytes that were written."""
    path = folder / file.name
    try:
        with open(path, "rb", opener=open_regular) as opened:
            _check_size(path, file.n_bytes, file.n_bytes)
            _check_digest(file.sha256, hashlib.file_digest(opened, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise _damaged(folder, path, error) from error


def _check_size(path: Path, expected: int, max_bytes: int) -> None:
    size = path.stat().st_size
    if size != expected or size > max_bytes:
        raise ValueError(f"it has {size:,} bytes instead of {min(expected, max_bytes):,}")


def _check_digest(expected: str, sha256: str) -> None:
    if sha256 != expected:
        raise ValueError("its bytes are not those that were written")


def _read_file(folder: Path, file: _File, max_bytes: int) -> ArraysByName:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / file.name
    try:
        _check_size(path, file.n_bytes, max_bytes)
        with open(path, "rb", opener=open_regular) as opened:
            data = opened.read(file.n_bytes)
        _check_digest(file.sha256, hashlib.sha256(data).hexdigest())
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
