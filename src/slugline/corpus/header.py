"""Common column names, and the header row of a table, below any title rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.errors import DataError, Parameter

#: Recognized column names, ignoring case, most likely first: English names, then names in other
#: widespread languages. A message's subject is part of its text.
_NAMES = msgspec.json.decode(Path(__file__).with_name("column_names.json").read_bytes())
TEXT_NAMES: list[str] = _NAMES["text"]
TOPIC_NAMES: list[str] = _NAMES["topic"]
ID_NAMES: list[str] = _NAMES["id"]
#: Text, topic and id names together.
KNOWN_NAMES = frozenset((*TEXT_NAMES, *TOPIC_NAMES, *ID_NAMES))


def check_unique(source: str, names: Iterable[str]) -> None:
    """Raise DataError if two columns have the same name."""
    counts = Counter(names)
    duplicate = next((name for name, n in counts.items() if n > 1), None)
    if duplicate is not None:
        raise DataError(f"{source} has two columns named {short_repr(duplicate)}; rename one.")


# Headers ------------------------------------------------------------------------------------------

#: Number of non-empty rows to search for the header.
N_SEARCHED = 20
# A column name is short, isn't a sentence, and isn't just a number, date or amount.
_NUMBER = re.compile(r"[\d\s.,:;/+%€$£-]+")
_MAX_NAME, _SENTENCE_ENDS = 40, (".", "?", "!", "。", "？", "！")
# Minimum number of rows below a header without known names, all as wide as the header.
_MIN_ROWS = 3


class HeaderHints(NamedTuple):
    """Hints for locating the header of a table.

    Attributes
    ----------
    row : int or None
        1-based row, or line in a text file, given by the user.
    named : tuple of str
        Columns given by the user; a name with commas may denote several columns.
    expected : tuple of str
        Text columns of a model's training data.
    """

    row: int | None = None
    named: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()


NO_HINTS = HeaderHints()


class HeaderRow(NamedTuple):
    """A candidate header: its row number, its cells, and its width.

    `width` is 0 in Excel files, which omit empty cells.
    """

    at: int
    cells: Sequence[Any]
    width: int = 0

    def names(self) -> list[str]:
        """Return the non-blank cells as text."""
        texts = (str(cell).strip() for cell in self.cells if cell is not None)
        return [text for text in texts if text]


def empty_header_row(name: str, row: int) -> DataError:
    """Return the error for a user-specified header row that is empty or missing."""
    return DataError(
        f"{name}: row {row:,} is empty; pass the header row with ",
        Parameter("header_row"),
        ", or leave it out.",
    )


def find_header(rows: Sequence[HeaderRow], hints: HeaderHints) -> int:
    """Return the index of the header among the first non-empty rows of a table.

    Candidates are the rows with all columns given by the user, else the rows with the columns of a
    model's training data, else all rows. The first candidate is the header unless a later one fits
    better: it contains more common names for texts, topics and ids; or it is the first row of short
    names that fills more than half of the columns, below titles that fill at most half.
    """
    rows = rows[:N_SEARCHED]
    candidates = [*range(len(rows))]
    for columns in (hints.named, hints.expected):
        having = [index for index in candidates if has_columns(rows[index].names(), columns)]
        if columns and having:
            candidates = having
            break
    if not candidates:
        return 0
    rows = [rows[index] for index in candidates]
    names = [row.names() for row in rows]
    found = _find_by_names(rows, names)
    if not found and not _n_known(names[0]):
        found = _find_by_width(rows, names)
    return candidates[found]


def has_columns(cells: Sequence[str], columns: Sequence[str]) -> bool:
    """Return True if cells include all columns; a name with commas may denote several.

    >>> has_columns(["id", "subject", "body"], ["subject,body", "id"])
    True
    """
    return all(
        column in cells or all(part.strip() in cells for part in column.split(","))
        for column in columns
    )


def usual_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a row that are common column names.

    >>> usual_names(["Nr", "Subject", "Colour"])
    ('Nr', 'Subject')
    """
    return tuple(name for name in names if name.lower() in KNOWN_NAMES)


def _n_known(names: Sequence[str]) -> int:
    """Count the distinct common column names in a row."""
    return len({name.lower() for name in usual_names(names)})


def _find_by_names(rows: Sequence[HeaderRow], names: Sequence[Sequence[str]]) -> int:
    """Return the index of the first row, or of a later row with more common column names."""
    best, most, widest = 0, _n_known(names[0]), len(names[0])
    for index in range(1, len(names)):
        cells = names[index]
        n_known = _n_known(cells)
        if n_known > most and (
            len(cells) > widest or (n_known > 1 and _are_names(rows[index].cells))
        ):
            best, most = index, n_known
        widest = max(widest, len(cells))
    return best


def _find_by_width(rows: Sequence[HeaderRow], names: Sequence[Sequence[str]]) -> int:
    """Return the index of the first row that fills most columns, if it is a header; else 0."""
    width = max(map(len, names))
    if 2 * len(names[0]) > width:
        return 0
    index = next(index for index, cells in enumerate(names) if 2 * len(cells) > width)
    below = rows[index + 1 :]
    is_regular = all(row.width == rows[index].width for row in below)
    is_header = len(below) >= _MIN_ROWS and is_regular and _are_names(rows[index].cells)
    return index if is_header else 0


def _are_names(cells: Sequence[Any]) -> bool:
    """Return True if cells look like distinct names rather than texts and numbers.

    A leading space indicates a text that was split at a comma.
    """
    texts = [str(cell) for cell in cells if cell is not None and str(cell).strip()]
    return len({text.strip().lower() for text in texts}) == len(texts) and not any(
        text.startswith(" ")
        or len(text) > _MAX_NAME
        or text.rstrip().endswith(_SENTENCE_ENDS)
        or _NUMBER.fullmatch(text)
        for text in texts
    )
