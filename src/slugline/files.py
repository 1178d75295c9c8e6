"""Files that appear whole or not at all.

What is being written grows in a part beside its target, `.<name>.<machine>.<random>.part`. A
process that is killed leaves its part behind, and the next one that writes to the same target
removes it. A part that somebody still writes is never removed:

* On Linux and macOS, a process locks its part as long as it lives, and only a part whose lock is
  free is removed. Processes of one machine see each other's locks.
* Another machine's locks are seen on some shared folders and not on others. So a part that
  another machine has made must be a day old as well. Saving touches it with each block, and is
  over in minutes. The age is reckoned on the clock of the folder and not of this machine.
* On Windows, what is open can't be removed, from other machines neither. Only for an instant
  before it is renamed is a part closed, so that there, too, each part must be a day old.
* Where a file system knows no locks, nobody gets one, and nothing is removed.

Should a process stand still in mid-save for a day, on another machine whose locks aren't seen, it
will find its part gone: its save fails with an error, and the file under the name is whole.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["fresh_part", "put_in_place", "remove_dead_parts", "whole_file", "write_whole"]

_DAY = 24 * 60 * 60.0  # seconds
_SHOWN = 48  # characters of the target's name in that of its part; file systems take 255 bytes
_TAIL = re.compile(r"(\.(?P<machine>[0-9a-f]{8}))?\.[0-9a-f]{8}\.part")  # earlier: no machine


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` beside `path`, flush it to the disk, and rename it into place.

    A file that is there already keeps its rights, and nobody else may read the new one earlier.

    Raises
    ------
    OSError : if that fails; what was at `path` before is then unchanged, and nothing is left over.
    """
    with whole_file(path) as part:
        part.write(data)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write bit by bit, which is put in place as `write_whole` does at the end.

    Raises
    ------
    OSError : as `write_whole`. After any error, what was at `path` before is unchanged.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is a device or pipe", str(path))
    with fresh_part(target) as part:
        yield part
        put_in_place(part, target)


@contextlib.contextmanager
def fresh_part(target: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `target`, which goes in the end unless it has been put in place.

    Parts of the same target that dead processes left are removed first.

    Raises
    ------
    OSError : if no file can be made there.
    """
    part = _new_part(target)
    try:
        with part:
            remove_dead_parts(target, part)
            yield part
    finally:
        Path(part.name).unlink(missing_ok=True)


def put_in_place(part: BinaryIO, target: Path) -> None:
    """Flush an open part to the disk and rename it to `target`, whose rights it takes over.

    Raises
    ------
    OSError : if that fails; `target` is then unchanged.
    """
    part.flush()
    os.fsync(part.fileno())
    path = Path(part.name)
    if target.exists():
        path.chmod(target.stat().st_mode & 0o777)
    if sys.platform == "win32":  # where an open file can't be renamed; elsewhere the lock stays
        part.close()
    path.replace(target)


def remove_dead_parts(target: Path, own: BinaryIO) -> None:
    """Remove the parts of `target` that dead processes left; `own` is our open file beside it.

    Nothing is said of those that can't be removed: they are in nobody's way.
    """
    with contextlib.suppress(OSError):
        os.utime(own.name)
        now = Path(own.name).stat().st_mtime  # by the clock of the folder's machine
        for part in target.parent.iterdir():
            if part.name != Path(own.name).name and _may_be_dead(part, target, now):
                _remove_unless_held(part)


def _new_part(target: Path) -> BinaryIO:
    rights = 0o600 if target.exists() else 0o666
    while True:
        name = f"{_stem(target)}.{_machine()}.{secrets.token_hex(4)}.part"
        path = target.with_name(name)
        part = open(path, "x+b", opener=functools.partial(os.open, mode=rights))  # noqa: SIM115
        if _claim(part):
            return part
        part.close()
        path.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    return f".{target.name[:_SHOWN]}"


@functools.cache
def _machine() -> str:
    """Return eight hexadecimal digits that stand for this machine: its name and network card."""
    import platform
    import uuid

    known = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(known.encode(errors="replace")).hexdigest()[:8]


def _claim(part: BinaryIO) -> bool:
    """Lock a new part; tell whether it is ours, and wasn't taken for a dead one before that."""
    if sys.platform != "win32":
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks here
            return True
    return Path(part.name).exists()


def _may_be_dead(part: Path, target: Path, now: float) -> bool:
    stem = _stem(target)
    tail = _TAIL.fullmatch(part.name.removeprefix(stem)) if part.name.startswith(stem) else None
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
