"""Column names of Excel sheets whose header contains merged cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_PLACES = rb'"([A-Z]{1,3})([1-9]\d{0,6}):([A-Z]{1,3})([1-9]\d{0,6})"'
_MERGED = re.compile(rb"<(?:\w{1,20}:)?mergeCell ref=" + _PLACES)
# Maximum size in bytes of an XML element for merged cells, and maximum number of merged cells used.
_MAX_ELEMENT, _MAX_MERGED = 100, 1000


class MergedCells(NamedTuple):
    """1-based row and column range of merged cells; the top left cell contains their text."""

    first_row: int
    last_row: int
    first: int
    last: int


def find_merged(pieces: Iterable[bytes], row: int) -> list[MergedCells]:
    """Parse the XML of a sheet for merged cells that begin in or above a row."""
    found, rest = dict[MergedCells, None](), b""
    for piece in pieces:
        data = rest + piece
        for match in _MERGED.finditer(data):
            first_row, last_row = int(match[2]), int(match[4])
            if first_row <= row and len(found) < _MAX_MERGED:
                found[MergedCells(first_row, last_row, _number(match[1]), _number(match[3]))] = None
        rest = data[max(data.rfind(b"<"), len(data) - _MAX_ELEMENT) :]
    return [*found]


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def has_gaps(header: Mapping[int, str], below: Iterable[int]) -> bool:
    """Return True if any column name is blank or a duplicate."""
    n_columns = max([*header, *below], default=0)
    return len({*header.values()}) < n_columns


def name_columns(
    header: Mapping[int, str],
    at: int,
    above: Mapping[int, Mapping[int, Any]],
    below: Iterable[int],
    merged: Iterable[MergedCells],
) -> dict[int, str]:
    """Return the column names, with unnamed columns named after merged cells.

    Duplicate names are extended by the name of their group: the text of merged cells above some of
    the columns.

    Parameters
    ----------
    header : mapping of int to str
        Names by column.
    at : int
        Header row.
    above : mapping of int to mapping of int to object
        Cells by column, of the header and the rows above it.
    below : iterable of int
        Columns with a cell in the row below. A cell merged across several columns names only these,
        with numbers added; the others have no cells of their own.
    merged : iterable of MergedCells
    """
    names, below = dict(header), {*below}
    texts = {
        each: str(above.get(each.first_row, {}).get(each.first, "")).strip() for each in merged
    }
    texts = {each: text for each, text in texts.items() if text}
    for each, text in texts.items():
        if each.last_row >= at:
            names.setdefault(each.first, text)
            for column in below.intersection(range(each.first + 1, each.last + 1)):
                names.setdefault(column, f"{text} {column - each.first + 1}")
    counts = Counter(names.values())
    for each, text in texts.items():
        is_title = each.first <= min(names) and each.last >= max(names)
        if each.last_row == at - 1 and not is_title:
            columns = (column for column in names if each.first <= column <= each.last)
            names |= {n: f"{text} {names[n]}" for n in columns if counts[names[n]] > 1}
    return names
