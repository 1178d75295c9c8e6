"""Atomic file writes, locks, and the cache folder.

A file is written to a temporary file next to its target, `.<name>.<random>.part`, and renamed.
Only a killed process leaves the temporary file behind.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from slugline.base.names import check_is_no_output_address
from slugline.errors import OutputError, SluglineError

#: A path as accepted by the standard library.
PathLike: TypeAlias = str | os.PathLike[str]
_NO_FILE = "it is a device or pipe"

# Locks --------------------------------------------------------------------------------------------

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


# Far beyond the content, since a locked byte can't be read on Windows.
_LOCKED_BYTE = 1 << 40


def lock(file: BinaryIO | int) -> bool:
    """Lock a file or folder descriptor until it is closed; return False if already locked.

    Returns True on a file system without locks.
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
    """Return the cache folder: `SLUGLINE_CACHE`, or a folder in the user's system cache."""
    setting = os.environ.get("SLUGLINE_CACHE")
    if setting:
        # Unlike pathlib, os.path leaves an unknown user's folder unchanged.
        return Path(os.path.expanduser(setting))  # noqa: PTH111
    from platformdirs import user_cache_path

    return user_cache_path("slugline")


# Files to read ------------------------------------------------------------------------------------


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file in hexadecimal."""
    import hashlib

    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: Path) -> tuple[int, int, int]:
    """Return modification time, size and inode, which identify a version of the file."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def open_regular(path: PathLike, flags: int) -> int:
    """Open a regular file: an `opener` for `open` that doesn't block on a pipe.

    Raises
    ------
    OSError : if the file can't be opened, or is a folder, pipe, device, or link to one.
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

# Maximum length of the target's name in its part's name; file systems allow 255 bytes.
_MAX_STEM = 48


def write_whole(path: PathLike, data: bytes) -> None:
    """Write `data` to a file next to `path`, flush it to the disk, and rename it into place.

    An existing file keeps its permissions. An OSError leaves `path` unchanged and no temporary
    file.
    """
    with whole_file(path) as part:
        part.write(data)


def os_advice(error: OSError) -> str:
    """Return advice on a file that can't be written."""
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
def write_errors(subject: PathLike) -> Iterator[None]:
    """Convert an OSError during writing to an OutputError with advice.

    `subject` is the path, or a description of the file.
    """
    try:
        yield
    except SluglineError:
        raise
    except OSError as error:
        raise OutputError(
            f"{subject} can't be written ({error.strerror or error}). {os_advice(error)}, or "
            "choose another place."
        ) from error


def write_result(path: PathLike, data: bytes | str, name: str) -> None:
    """Write a requested result like `write_whole`, creating folders as needed.

    Text is written as UTF-8 with lone surrogates escaped.

    Raises
    ------
    OutputError : if the result can't be written; the message calls it `name`.
    """
    check_is_no_output_address(path)
    with write_errors(f"{path}: the {name}"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        content = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        write_whole(path, content)


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing and put it in place on exit like `write_whole`.

    Raises OptionError for an address such as `s3://...`; the message omits passwords.
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
    """Open a new file next to `target`; remove it on exit unless it was put in place."""
    rights = 0o600 if target.exists() else 0o666
    path = target.with_name(f"{_stem(target)}.{os.urandom(4).hex()}.part")
    try:
        with open(path, "x+b", opener=functools.partial(os.open, mode=rights)) as part:
            yield part
    finally:
        path.unlink(missing_ok=True)


def remove_parts(target: Path) -> None:
    """Remove the parts of `target` left by killed processes. Callers must be its only writer."""
    for part in target.parent.glob(f"{glob.escape(_stem(target))}.????????.part"):
        part.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    return f".{target.name[:_MAX_STEM]}"


def put_in_place(part: BinaryIO, target: Path) -> None:
    """Flush an open part to disk and rename it to `target`, keeping the target's permissions.

    After an OSError, `target` is unchanged.
    """
    part.flush()
    os.fsync(part.fileno())
    path = Path(part.name)
    if target.exists():
        path.chmod(target.stat().st_mode & 0o777)
    if sys.platform == "win32":  # an open file can't be renamed there
        part.close()
    path.replace(target)
