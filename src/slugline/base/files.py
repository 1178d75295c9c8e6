"""Files that are written atomically; locks; the cache folder.

While a file is written, it is a part next to its target, `.<name>.<machine>.<random>.part`. If a
process is killed, the next process that writes to the same target removes its part. A part that
is still being written is never removed:

* On Linux and macOS, a process locks its part as long as it lives, and only an unlocked part is
  removed. Processes on one machine see each other's locks.
* Another machine's locks are visible in some shared folders and not in others. So a part from
  another machine must also be a day old. Saving updates its time with each block, and takes
  minutes at most. The age is measured by the clock of the folder, not of this machine.
* On Windows, an open file can't be removed, not even from another machine. A part is closed only
  for an instant before it is renamed, so there, too, each part must be a day old.
* On a file system without locks, nothing is removed.

If a process on another machine, whose locks are not visible, stops for a day in the middle of a
save, its part is gone: its save fails with an error, and the file at the target is whole.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from slugline.base.addresses import check_is_no_output_address
from slugline.errors import OutputError, SluglineError

#: A path, as the standard library's functions take it.
PathLike: TypeAlias = str | os.PathLike[str]
_NO_FILE = "it is a device or pipe"

# Locks --------------------------------------------------------------------------------------------

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


# Far behind the content, since a locked byte can't be read on Windows.
_LOCKED_BYTE = 1 << 40


def lock(file: BinaryIO | int) -> bool:
    """Lock a file, or the descriptor of a folder, until it is closed; False if another has it.

    Return True on a file system without locks.
    """
    try:
        if sys.platform == "win32":
            descriptor = file if isinstance(file, int) else file.fileno()
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Windows reports "permission denied"; a file system without locks reports another error.
        return sys.platform != "win32" or not isinstance(error, PermissionError)
    return True


# Cache --------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the cache folder: `SLUGLINE_CACHE`, or a folder in the system's cache of the user."""
    setting = os.environ.get("SLUGLINE_CACHE")
    if setting:
        # Unlike pathlib, os.path returns an unknown user's folder as it is.
        return Path(os.path.expanduser(setting))  # noqa: PTH111
    from platformdirs import user_cache_path

    return user_cache_path("slugline")


# Files to read ------------------------------------------------------------------------------------


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes, in hexadecimal digits."""
    import hashlib

    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: Path) -> tuple[int, int, int]:
    """Return modification time, size and inode; one of them differs if the file was replaced."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def open_regular(path: PathLike, flags: int) -> int:
    """Return a descriptor of a regular file; an `opener` for `open`, which would wait for a pipe.

    Raises
    ------
    OSError : if it can't be opened, or is a folder, pipe, device, or link to one.
    """
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, _NO_FILE, str(path))


# Atomic writes ------------------------------------------------------------------------------------

_DAY = 24 * 60 * 60.0  # seconds
_MAX_STEM = 48  # characters of the target's name in its part's name; file systems allow 255 bytes
_TAIL = r"(\.(?P<machine>[0-9a-f]{8}))?\.[0-9a-f]{8}\.part"  # once without machine


def write_whole(path: PathLike, data: bytes) -> None:
    """Write `data` to a file next to `path`, flush it to the disk, and rename it into place.

    An existing file keeps its permissions. After an OSError, `path` is unchanged, and nothing is
    left over.
    """
    with whole_file(path) as part:
        part.write(data)


def os_advice(error: OSError) -> str:
    """Return what to do about a file that can't be written."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "Free some space"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "Create the folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EBUSY):
        return (
            "Close it if it is open in another program, such as Excel; check the permissions of "
            "file and folder"
        )
    return "Check the disk, and the permissions of file and folder"


@contextlib.contextmanager
def write_errors(path: PathLike) -> Iterator[None]:
    """Convert an OSError while a file is written to an OutputError with advice."""
    try:
        yield
    except SluglineError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} can't be written ({error.strerror or error}). {os_advice(error)}, or name "
            "another place."
        ) from error


def write_result(path: PathLike, data: bytes | str, name: str) -> None:
    """Write a result that the user asked for, as `write_whole` does; create folders as needed.

    A text is written as UTF-8, and its lone surrogates as escapes.

    Raises
    ------
    SluglineError : if the result can't be written; the message calls it `name`.
    """
    check_is_no_output_address(path)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        content = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        write_whole(path, content)
    except OSError as error:
        raise SluglineError(
            f"{path}: the {name} can't be written ({error.strerror or error}). {os_advice(error)}, "
            "or choose another folder."
        ) from error


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing, which is put in place at the end as by `write_whole`.

    Raises OptionError for an address such as `s3://...`, whose message has no password.
    """
    check_is_no_output_address(path)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, _NO_FILE, str(path))
    with fresh_part(target) as part:
        yield part
        put_in_place(part, target)


@contextlib.contextmanager
def fresh_part(target: Path) -> Iterator[BinaryIO]:
    """Open a new file next to `target`; remove it at the end unless it has been put in place.

    Parts that dead processes left for the same target are removed first.
    """
    part = _new_part(target)
    try:
        with part:
            remove_dead_parts(target, part)
            yield part
    finally:
        Path(part.name).unlink(missing_ok=True)


def put_in_place(part: BinaryIO, target: Path) -> None:
    """Flush an open part to the disk and rename it to `target`, whose permissions are kept.

    After an OSError, `target` is unchanged.
    """
    part.flush()
    os.fsync(part.fileno())
    path = Path(part.name)
    if target.exists():
        path.chmod(target.stat().st_mode & 0o777)
    if sys.platform == "win32":  # an open file can't be renamed there; elsewhere the lock stays
        part.close()
    path.replace(target)


def remove_dead_parts(target: Path, open_part: BinaryIO) -> None:
    """Remove the parts of `target` that dead processes left, but not `open_part`.

    Parts that can't be removed are ignored, as they do no harm.
    """
    with contextlib.suppress(OSError):
        os.utime(open_part.name)
        now = Path(open_part.name).stat().st_mtime  # by the clock of the machine with the folder
        for part in target.parent.iterdir():
            if part.name != Path(open_part.name).name and _may_be_dead(part, target, now):
                _remove_unless_held(part)


def _new_part(target: Path) -> BinaryIO:
    rights = 0o600 if target.exists() else 0o666
    while True:
        name = f"{_stem(target)}.{_machine()}.{os.urandom(4).hex()}.part"
        path = target.with_name(name)
        part = open(path, "x+b", opener=functools.partial(os.open, mode=rights))  # noqa: SIM115
        # Another process may have removed it as dead before it was locked.
        if (sys.platform == "win32" or lock(part)) and path.exists():
            return part
        part.close()
        path.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    return f".{target.name[:_MAX_STEM]}"


@functools.cache
def _machine() -> str:
    """Return eight hexadecimal digits that identify this machine by its name and network card."""
    import hashlib
    import platform
    import uuid

    identity = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(identity.encode(errors="replace")).hexdigest()[:8]


def _may_be_dead(part: Path, target: Path, now: float) -> bool:
    stem = _stem(target)
    tail = re.fullmatch(_TAIL, part.name.removeprefix(stem)) if part.name.startswith(stem) else None
    if tail is None:
        return False
    ours = tail["machine"] == _machine() and sys.platform != "win32"
    return ours or now - part.lstat().st_mtime > _DAY


def _remove_unless_held(part: Path) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            part.unlink()
            return
        handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
        finally:
            os.close(handle)
