"""Finds the header row of a table, below any title rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from slugline.corpus.column_names import KNOWN_NAMES
from slugline.errors import DataError, Parameter

#: Number of non-empty rows searched for the header.
N_SEARCHED = 20
# A column name is short, is no sentence, and contains a character other than those of numbers,
# dates and amounts.
_NUMBER = re.compile(r"[\d\s.,:;/+%€$£-]+")
_MAX_NAME, _SENTENCE_ENDS = 40, (".", "?", "!", "。", "？", "！")
# A header without known names needs this many rows below it, all as wide as the header.
_MIN_ROWS = 3


class HeaderHints(NamedTuple):
    """Hints at the header of a table.

    Attributes
    ----------
    row : int or None
        1-based row, or line of a text file, given by the user.
    named : tuple of str
        Columns given by the user; a name with commas may stand for several columns.
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
        """Return the cells that aren't blank, as text."""
        texts = (str(cell).strip() for cell in self.cells if cell is not None)
        return [text for text in texts if text]


def empty_header_row(name: str, row: int) -> DataError:
    """Return the error for a header row given by the user that is empty or missing."""
    return DataError(
        f"{name}: row {row:,} is empty; name the row of the column names with ",
        Parameter("header_row"),
        ", or leave it out.",
    )


def find_header(rows: Sequence[HeaderRow], hints: HeaderHints) -> int:
    """Return the index of the header among the first non-empty rows of a table.

    Candidates are the rows with all columns given by the user, or else the rows with the columns
    of a model's training data, or else all rows. The first candidate is the header unless a later
    one fits better: it contains more of the usual names of texts, topics and ids; or it is the
    first row of short names that fills more than half of the columns, below titles that fill at
    most half.
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
    """Return whether cells include all columns; a name with commas may stand for several.

    >>> has_columns(["id", "subject", "body"], ["subject,body", "id"])
    True
    """
    return all(
        column in cells or all(part.strip() in cells for part in column.split(","))
        for column in columns
    )


def usual_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the usual names of columns in a row.

    >>> usual_names(["Nr", "Subject", "Colour"])
    ('Nr', 'Subject')
    """
    return tuple(name for name in names if name.lower() in KNOWN_NAMES)


def _n_known(names: Sequence[str]) -> int:
    """Return the number of distinct usual column names in a row."""
    return len({name.lower() for name in usual_names(names)})


def _find_by_names(rows: Sequence[HeaderRow], names: Sequence[Sequence[str]]) -> int:
    """Return the index of the first row, or of a later row with more usual column names."""
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
    """Return the index of the first row that fills most columns if it is a header; else 0."""
    width = max(map(len, names))
    if 2 * len(names[0]) > width:
        return 0
    index = next(index for index, cells in enumerate(names) if 2 * len(cells) > width)
    below = rows[index + 1 :]
    is_regular = all(row.width == rows[index].width for row in below)
    is_header = len(below) >= _MIN_ROWS and is_regular and _are_names(rows[index].cells)
    return index if is_header else 0


def _are_names(cells: Sequence[Any]) -> bool:
    """Return whether cells look like distinct names, not like texts and numbers.

    A cell that starts with a space follows a comma within a text.
    """
    texts = [str(cell) for cell in cells if cell is not None and str(cell).strip()]
    return len({text.strip().lower() for text in texts}) == len(texts) and not any(
        text.startswith(" ")
        or len(text) > _MAX_NAME
        or text.rstrip().endswith(_SENTENCE_ENDS)
        or _NUMBER.fullmatch(text)
        for text in texts
    )
