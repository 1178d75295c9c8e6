"""Locks on open files, which keep other processes out and end with the process."""

from __future__ import annotations

import sys
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["lock"]

# Far behind the content, as a lock on Windows keeps others from reading what is locked.
_LOCKED_BYTE = 1 << 40


def lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; return whether no other process has it.

    Where the file system knows no locks, nobody is kept out.
    """
    try:
        if sys.platform == "win32":
            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Windows says "permission denied"; a file system without locks says something else.
        return sys.platform != "win32" or not isinstance(error, PermissionError)
    return True
