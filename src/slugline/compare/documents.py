"""The documents of a comparison, as its processes get them: on standard input, never in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

__all__ = ["Documents", "packed", "receive"]


class Documents(NamedTuple):
    """Texts, their topics and their folds."""

    texts: list[str]
    topics: list[str]
    folds: list[int]


def packed(texts: Sequence[str], topics: Sequence[str], folds: Sequence[int]) -> bytes:
    """Return documents as `receive` reads them: a line with the number of bytes, and as many."""
    data = json.dumps([texts, topics, folds]).encode()  # ASCII, whatever halves of characters
    return b"%d\n%s" % (len(data), data)


def receive(stream: BinaryIO) -> Documents:
    """Return the documents that come on a stream; EOFError if it ends before them."""
    wanted = int(stream.readline() or b"0")
    data = stream.read(wanted)
    if not wanted or len(data) < wanted:
        raise EOFError("the process that compares is gone")
    return Documents(*json.loads(data))
