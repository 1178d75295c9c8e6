"""Which column of a table holds the texts, which the topics, and which names its rows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from slugline.corpus.readers import RowReader
from slugline.corpus.rows import ID_NAME, TEXT_NAMES, TOPIC_NAMES, BadRow, SourceRow
from slugline.errors import DataError, OptionError

__all__ = [
    "column_names",
    "columns_note",
    "find_both_columns",
    "find_columns",
    "find_id",
    "find_text_columns",
    "format_list",
    "peek",
    "row_text",
]

#: How many good rows to look at.
N_PEEKED = 100
#: Columns named in a message.
N_LISTED = 20


def peek(
    rows: RowReader,
    n: int = N_PEEKED,
    *,
    n_bytes: float = math.inf,
    patient: bool = True,
    head: list[SourceRow | BadRow] | None = None,
) -> list[SourceRow | BadRow]:
    """Take rows from `rows` until there are `n` good ones, or until the end.

    It also stops after reading `n_bytes` for them and, unless `patient`, when the next row has not
    been written yet. A list passed in to collect them keeps those that came before an error.
    """
    head = [] if head is None else head
    n_good = n_read = 0
    for row in rows:
        head.append(row)
        if isinstance(row, SourceRow):
            n_good += 1
            n_read += row.n_bytes
        if n_good == n or n_read >= n_bytes or (not patient and rows.must_wait()):
            break
    return head


def find_columns(
    name: str, head: Sequence[SourceRow | BadRow], text: str | None = None, topic: str | None = None
) -> tuple[str | None, str | None]:
    """Return the columns of text and topic by their names; of two, the longer is the text.

    Parameters
    ----------
    name : str
        Of the source, for messages.
    head : sequence of Row or BadRow
        Its first rows, from `peek`. If none of them is good, no column is ever looked up, so any
        name is accepted.
    text, topic : str, optional
        Columns that the user named, which must be there.

    Returns
    -------
    The two names, each None if the column can't be determined.

    Raises
    ------
    DataError : if a named column doesn't exist, or a table seems to have no header.
    OptionError : if text and topic name the same column.
    """
    texts, topic = _find(name, head, () if text is None else (text,), topic)
    return next(iter(texts), None), topic


def find_text_columns(
    name: str,
    head: Sequence[SourceRow | BadRow],
    text: str | Sequence[str] | None = None,
    identity: str | None = None,
) -> tuple[str, ...]:
    """Return the columns of the text, found as `find_columns` does; none if none can be found.

    Parameters
    ----------
    name, head : as in `find_columns`
    text : str or sequence of str, optional
        The columns that the user named: a sequence of them, or one string with commas between
        them. A column with exactly that name comes first.
    identity : str, optional
        The column that names the rows and is not part of the text.
    """
    return _find(name, head, _named(head, text), None, identity)[0]


def find_id(
    name: str, head: Sequence[SourceRow | BadRow], identity: str | None = None
) -> str | None:
    """Return the column that names the rows: the one that the user named, or "id" in any case.

    Raises
    ------
    DataError : if a named column doesn't exist.
    """
    columns = column_names(head)
    if identity is None:
        return ID_NAME if ID_NAME in columns else next(iter(_known(columns, (ID_NAME,), ())), None)
    if columns:
        _check_there(name, identity, columns)
    return identity


def find_both_columns(
    name: str,
    head: Sequence[SourceRow | BadRow],
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
) -> tuple[tuple[str, ...], str]:
    """Return the columns of the text, found as `find_text_columns` does, and that of the topic.

    Raises
    ------
    DataError : as in `find_columns`, and if a column can't be determined.
    """
    texts, topic = _find(name, head, _named(head, text), topic)
    if texts and topic is not None:
        return texts, topic
    missing = [what for what, column in (("text", texts), ("topic", topic)) if not column]
    raise DataError(
        f"{name} has {format_list(column_names(head))}, and none is known as "
        f"{' or '.join(missing)}; "
        f"name columns with {' and '.join(f'`{what}`' for what in missing)}, "
        "or add a header if these are not names."
    )


def columns_note(text: Sequence[str], topic: str) -> str:
    """Return words for columns that nobody has named."""
    used = f"read column {' with '.join(map(repr, text))} as text and {topic!r} as topic"
    return f"{used}; name others with `text` and `topic`"


def row_text(row: SourceRow, columns: Sequence[str]) -> Any:
    """Return the text of a row, which may be in several columns; None if there is none.

    The texts of several columns are joined by line breaks. Missing and blank ones are left out, so
    a document without a subject is just its body. A value that is not text, such as a number, is
    returned in place of the text.
    """
    values = [row.values.get(column) for column in columns]
    if len(values) == 1:
        return values[0]
    odd = next((value for value in values if not isinstance(value, str | None)), None)
    if odd is not None:
        return odd
    return "\n".join(value for value in values if value and not value.isspace()) or None


def _named(head: Sequence[SourceRow | BadRow], text: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that the user named for the text."""
    if text is None:
        return ()
    if not isinstance(text, str):
        wanted = tuple(text)
    elif text in column_names(head):
        wanted = (text,)
    else:
        wanted = tuple(part.strip() for part in text.split(","))
    if not all(wanted) or len(set(wanted)) < max(len(wanted), 1):
        raise OptionError(f"`text` is {text!r}; name each column of the text once.")
    return wanted


def _find(
    name: str,
    head: Sequence[SourceRow | BadRow],
    texts: tuple[str, ...],
    topic: str | None,
    identity: str | None = None,
) -> tuple[tuple[str, ...], str | None]:
    if topic is not None and topic in texts:
        raise OptionError(f"`text` and `topic` both name column {topic!r}; name two columns.")
    rows = [row for row in head if isinstance(row, SourceRow)]
    columns = column_names(rows)
    if not rows:
        return texts or ("text",), topic or "topic"
    for wanted in (*texts, topic):
        if wanted is not None:
            _check_there(name, wanted, columns)
    texts = texts or _known(columns, TEXT_NAMES, taken=(topic,))
    topic = topic or next(iter(_known(columns, TOPIC_NAMES, taken=texts)), None)
    # What names a row is never its topic or text.
    taken = (*texts, topic, identity)
    left = [c for c in columns if c not in taken and c.lower() != ID_NAME]
    if len(left) == 2 == len(columns):
        topic, text = sorted(left, key=partial(_n_characters, rows))
        _check_header(name, rows, topic)
        return (text,), topic
    if len(left) == 1:
        return texts or (left[0],), topic or (left[0] if texts else None)
    return texts, topic


def column_names(head: Iterable[SourceRow | BadRow]) -> list[str]:
    """Return all columns of the good rows, in the order in which they first occur."""
    return list(dict.fromkeys(c for row in head if isinstance(row, SourceRow) for c in row.values))


def format_list(columns: Sequence[str]) -> str:
    """Return up to `N_LISTED` column names in words, and the number of the others."""
    shown = ", ".join(map(repr, columns[:N_LISTED]))
    n_more = len(columns) - N_LISTED
    return shown if n_more <= 0 else f"{shown} and {n_more} more"


def _known(
    columns: Sequence[str], names: Sequence[str], taken: Sequence[str | None]
) -> tuple[str, ...]:
    """Return the column with the most likely name in a tuple, which is empty if there is none."""
    by_lower = {column.lower(): column for column in reversed(columns) if column not in taken}
    return next(((by_lower[name],) for name in names if name in by_lower), ())


def _n_characters(rows: Sequence[SourceRow], column: str) -> int:
    return sum(len(str(row.values.get(column, ""))) for row in rows)


def _check_there(name: str, wanted: str, columns: Sequence[str]) -> None:
    if wanted not in columns:
        raise DataError(f"{name} has no column {wanted!r}; {_nearest(wanted, columns)}")


def _nearest(wanted: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, columns, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "name one of them."
    return f"there are {format_list(columns)}; {advice}"


def _check_header(name: str, rows: Sequence[SourceRow], topic: str) -> None:
    """Refuse a table whose topic column is named like a topic: it probably has no header."""
    if any(row.values.get(topic) == topic for row in rows):
        raise DataError(
            f"{name} seems to have no header, as {topic!r} stands in its first line and below; "
            "put a line such as text,topic in front."
        )
