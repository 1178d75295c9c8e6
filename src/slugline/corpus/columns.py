"""Which column of a table holds the texts, which the topics, and which names its rows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from slugline.corpus.headers import ID_NAME, TEXT_NAMES, TOPIC_NAMES
from slugline.corpus.readers import Rows
from slugline.corpus.rows import BadRow, Row
from slugline.errors import DataError, OptionError

__all__ = [
    "column_names",
    "find_both_columns",
    "find_columns",
    "find_id",
    "listed",
    "peek",
    "text_columns",
    "text_of",
]

#: Good rows looked at.
N_PEEKED = 100
#: Columns named in a message.
N_LISTED = 20


def peek(
    rows: Rows,
    n: int = N_PEEKED,
    *,
    n_bytes: float = math.inf,
    patient: bool = True,
    head: list[Row | BadRow] | None = None,
) -> list[Row | BadRow]:
    """Take rows until `n` good ones are there, or the end; they are gone from `rows`.

    `n_bytes` that were read for them end it, too, and so does, unless `patient`, a pause of whoever
    writes the rows. An empty list to take them in has what was there before an error.
    """
    head = [] if head is None else head
    n_good = n_read = 0
    for row in rows:
        head.append(row)
        if isinstance(row, Row):
            n_good += 1
            n_read += row.n_bytes
        if n_good == n or n_read >= n_bytes or (not patient and rows.must_wait()):
            break
    return head


def find_columns(
    name: str,
    head: Sequence[Row | BadRow],
    text: str | None = None,
    topic: str | None = None,
    identity: str | None = None,
) -> tuple[str | None, str | None]:
    """Find the columns of text and topic by their names; of two columns, the longer is the text.

    Parameters
    ----------
    name : str
        Of the source, for messages.
    head : sequence of Row or BadRow
        Its first rows, from `peek`. If none of them is good, no column is ever looked up, and any
        name will do.
    text, topic : str, optional
        Columns that the user named, which must be there. `text` may be several, parted by commas.
    identity : str, optional
        The column that names the rows, and is neither.

    Returns
    -------
    The two names, each None where the column can't be told.

    Raises
    ------
    DataError : if a column that was named isn't there, or a table seems to have no header.
    OptionError : if text and topic are to be the same column.
    """
    if text is not None and text == topic:
        raise OptionError(f"--text and --topic both name column {text!r}; name two columns.")
    rows = [row for row in head if isinstance(row, Row)]
    columns = column_names(rows)
    if not rows:
        return text or "text", topic or "topic"
    texts = () if text is None else text_columns(text, columns)
    _check_there(name, [*texts, *([] if topic is None else [topic])], columns)
    text = text or _known(columns, TEXT_NAMES, taken=topic)
    topic = topic or _known(columns, TOPIC_NAMES, taken=text)
    # What names a row is never its topic or text.
    taken = {text, topic, identity, *texts}
    left = [c for c in columns if c not in taken and c.lower() != ID_NAME]
    if len(left) == 2 == len(columns):
        topic, text = sorted(left, key=partial(_n_characters, rows))
        _check_header(name, rows, topic)
    elif len(left) == 1:
        text, topic = text or left[0], topic or (left[0] if text else None)
    return text, topic


def find_both_columns(
    name: str, head: Sequence[Row | BadRow], text: str | None = None, topic: str | None = None
) -> tuple[str, str]:
    """Find the columns as `find_columns` does; that one can't be told is a DataError, too."""
    text, topic = find_columns(name, head, text, topic)
    if text is not None and topic is not None:
        return text, topic
    missing = [what for what, column in (("text", text), ("topic", topic)) if column is None]
    raise DataError(
        f"{name} has {listed(column_names(head))}, none of them known as {' or '.join(missing)}; "
        f"name columns with {' and '.join('--' + what for what in missing)}, "
        "or add a header if these are no names."
    )


def column_names(head: Iterable[Row | BadRow]) -> list[str]:
    """Name all columns that the good rows have, in the order in which they first occur."""
    return list(dict.fromkeys(c for row in head if isinstance(row, Row) for c in row.values))


def find_id(name: str, head: Sequence[Row | BadRow], identity: str | None = None) -> str | None:
    """Return the column that names the rows: the one that the user named, or "id" in any case.

    Raises
    ------
    DataError : if a column that was named isn't there.
    """
    columns = column_names(head)
    if identity is None:
        return ID_NAME if ID_NAME in columns else _known(columns, (ID_NAME,), taken=None)
    if columns:
        _check_there(name, [identity], columns)
    return identity


def text_columns(text: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns named by `text`: the one so called, or else those between its commas.

    >>> text_columns("subject,body", ["subject", "body"]), text_columns("a,b", ["a,b", "a", "b"])
    (('subject', 'body'), ('a,b',))
    """
    return (text,) if text in columns else tuple(part.strip() for part in text.split(","))


def text_of(row: Row, columns: Sequence[str]) -> Any:
    """Return what a row has for a text; of several columns, a string of all that are not blank.

    They are joined by line breaks. What is neither a string nor None is returned instead.
    """
    if len(columns) == 1:
        return row.values.get(columns[0])
    cells = [cell for cell in map(row.values.get, columns) if cell is not None]
    if odd := [cell for cell in cells if not isinstance(cell, str)]:
        return odd[0]
    return "\n".join(cell for cell in cells if cell and not cell.isspace())


def listed(columns: Sequence[str]) -> str:
    """Name up to `N_LISTED` columns, and count the others."""
    shown = ", ".join(map(repr, columns[:N_LISTED]))
    n_more = len(columns) - N_LISTED
    return shown if n_more <= 0 else f"{shown} and {n_more} more"


def _known(columns: Sequence[str], names: Sequence[str], taken: str | None) -> str | None:
    by_lower = {column.lower(): column for column in reversed(columns) if column != taken}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _n_characters(rows: Sequence[Row], column: str) -> int:
    return sum(len(str(row.values.get(column, ""))) for row in rows)


def _check_there(name: str, wanted: Iterable[str], columns: Sequence[str]) -> None:
    missing = next((column for column in wanted if column not in columns), None)
    if missing is not None:
        raise DataError(f"{name} has no column {missing!r}; {_nearest(missing, columns)}")


def _nearest(wanted: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, columns, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "name one of them."
    return f"there are {listed(columns)}; {advice}"


def _check_header(name: str, rows: Sequence[Row], topic: str) -> None:
    """Without a header, a topic takes the place of a column's name, and likely comes again."""
    if any(row.values.get(topic) == topic for row in rows):
        raise DataError(
            f"{name} seems to have no header, as {topic!r} stands in its first line and below; "
            "put a line such as text,topic in front."
        )
