"""Files that are named, one by one or by patterns."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from slugline.errors import DataError

__all__ = [
    "PATTERN_CHARACTERS",
    "RECORD",
    "expand_patterns",
    "is_pattern",
]

#: What makes a name a pattern.
PATTERN_CHARACTERS = frozenset("*?[")
#: The record of a folder of answers, which is no data; see `slugline.prediction.record`.
RECORD = "_slugline.jsonl"


def expand_patterns(names: Iterable[str | Path]) -> list[str]:
    """Return the files that are named, those of a pattern in order of their names.

    Raises
    ------
    DataError : if a pattern fits none.
    """
    found: list[str] = []
    for name in map(str, names):
        if not is_pattern(name):
            found.append(name)
            continue
        # Path.glob takes no absolute pattern.
        fitting = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        fitting = [path for path in fitting if Path(path).name != RECORD]
        if not fitting:
            raise DataError(f"no file is named like {name}; check the pattern and the folder.")
        found += fitting
    if not found:
        raise DataError("no file is named; give at least one.")
    return found


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern: it has its marks, and there is no file of that very name."""
    return bool(PATTERN_CHARACTERS & set(name)) and not Path(name).exists()
