"""What columns are called, and whether a line names columns."""

from __future__ import annotations

import csv

__all__ = ["ID_NAME", "TEXT_NAMES", "TOPIC_NAMES", "delimiter_of", "is_header"]

#: Names that are recognized by default, in upper or lower case, the most likely first.
TEXT_NAMES = (
    *("text", "body", "content", "message", "document", "article", "question", "description"),
    *("sentence", "utterance", "review", "comment", "tweet", "summary", "headline", "title"),
)
TOPIC_NAMES = (
    *("topic", "label", "category", "class", "queue", "intent", "target", "tag"),
    *("section", "department", "genre", "theme", "subject"),
)
ID_NAME = "id"

_DELIMITERS = ",;\t"


def delimiter_of(header: str) -> str:
    """Return what separates the cells of a header: its most frequent of comma, semicolon, tab."""
    return max(_DELIMITERS, key=header.count)


def is_header(line: str) -> bool:
    """Whether a line looks like a table's header rather than a text.

    A header names several columns, no two alike, and one has a usual name for texts. Unlike prose,
    it has no white space after its commas.

    >>> [is_header(line) for line in ("id,text", "Rates rose, text follows", "text")]
    [True, False, False]
    """
    try:
        cells = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter_of(line), strict=True))
    except (csv.Error, StopIteration):
        return False
    names = [cell.lower() for cell in cells]
    is_plain = all(cells) and cells == [cell.strip() for cell in cells]
    return (
        len(names) > 1
        and is_plain
        and len({*names}) == len(names)
        and not ({*names}.isdisjoint(TEXT_NAMES))
    )
