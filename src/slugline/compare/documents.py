"""The documents of a comparison, as its processes get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

__all__ = ["Documents", "read_documents", "write_documents"]


class Documents(NamedTuple):
    """Texts, their topics and their folds."""

    texts: list[str]
    topics: list[str]
    folds: list[int]


def write_documents(path: Path, texts: list[str], topics: list[str], folds: list[int]) -> None:
    """Write the documents of a comparison for its processes."""
    with path.open("w", encoding="ascii") as file:
        json.dump([texts, topics, folds], file)


def read_documents(path: Path) -> Documents:
    """Return what `write_documents` wrote."""
    return Documents(*json.loads(path.read_bytes()))
