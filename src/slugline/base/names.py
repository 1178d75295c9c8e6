"""File names and patterns of names."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from slugline.errors import DataError

#: Characters that make a name a pattern.
PATTERN_CHARACTERS = frozenset("*?[")
#: The record in a folder of answers, which holds no data; see `slugline.prediction.record`.
RECORD = "_slugline.jsonl"


def expand_patterns(names: Iterable[str | Path]) -> list[str]:
    """Return the files of names and patterns, those of a pattern in order of their names.

    Raises DataError if nothing matches.
    """
    paths: list[str] = []
    for name in map(str, names):
        if not is_pattern(name):
            paths.append(name)
            continue
        # Path.glob takes no absolute pattern.
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        matches = [path for path in matches if Path(path).name != RECORD]
        if not matches:
            raise DataError(f"no file matches {name}; check the pattern and the folder.")
        paths += matches
    if not paths:
        raise DataError("no file is named; give at least one.")
    return paths


def is_pattern(name: str) -> bool:
    """Whether a name has a character of patterns, and no file has this name."""
    return bool(PATTERN_CHARACTERS & set(name)) and not Path(name).exists()
