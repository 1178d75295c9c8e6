"""Memory of this process."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process in 10^6 bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    # On Linux, the peak from `resource` includes the parent process's peak.
    if _STATUS.exists():
        peak = re.search(r"^VmHWM:\s+(\d+)", _STATUS.read_text("ascii", "replace"), re.MULTILINE)
        if peak is not None:
            return int(peak[1]) * 1024 / 1e6
    import resource

    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def release_memory() -> None:
    """Release memory cached by glibc to the system."""
    trim = _find_trim()
    if trim is not None:
        trim(0)


@cache
def _find_trim() -> Callable[[int], int] | None:
    import ctypes

    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # not glibc, such as on macOS and Windows
        return None
    return trim
