"""File names and glob patterns."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from slugline.base.addresses import check_is_no_address
from slugline.errors import DataError

#: Characters that turn a name into a glob pattern.
PATTERN_CHARACTERS = frozenset("*?[")
_SYSTEM_FOLDERS = ("/proc/", "/sys/")
#: Folder of markers, not documents, in a folder of answers; see `slugline.prediction.markers`.
MARKERS = "_slugline"


def expand_patterns(names: Iterable[str | Path]) -> list[str]:
    """Return the files that match names and patterns; matches of a pattern are sorted by name.

    Raises DataError if nothing matches.
    """
    import glob

    paths: list[str] = []
    for name in map(str, names):
        if not is_pattern(name):
            paths.append(name)
            continue
        # Path.glob doesn't accept absolute patterns.
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        matches = [path for path in matches if MARKERS not in Path(path).parts]
        if not matches:
            check_is_no_address(name)
            raise DataError(f"no file matches {name}; check the pattern and the folder.")
        for path in matches:
            check_is_stored(path, f"{path}, which matches {name},")
        paths += matches
    if not paths:
        raise DataError("no file is named; give at least one.")
    return paths


def check_is_stored(path: str, subject: str) -> None:
    """Raise DataError for a potentially endless file: a pipe, a device or a system file.

    Parameters
    ----------
    path : str
        A missing file is accepted here; opening it raises an error later.
    subject : str
        Name of the file in messages.
    """
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(
            f"{subject} is a pipe or device; patterns are for files. Remove it, or name it alone."
        )
    check_is_no_system_file(path, subject)


def check_is_no_system_file(path: str | Path, subject: str) -> None:
    """Raise DataError for a file in /proc or /sys, which may block or never end."""
    real = os.path.realpath(path)
    if real.startswith(_SYSTEM_FOLDERS) and Path(real).is_file():
        raise DataError(
            f"{subject} is a file of the operating system, not a file of documents; if it contains "
            "documents, give a copy of it."
        )


def is_pattern(name: str) -> bool:
    """Return True if a name is a glob pattern and not the name of an existing file."""
    return bool(PATTERN_CHARACTERS & set(name)) and not Path(name).exists()
