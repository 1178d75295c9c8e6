"""Texts without topics, from a file of any known kind."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from slugline.corpus.columns import column_names, find_text_columns, listed, peek, text_of
from slugline.corpus.readers import Rows
from slugline.corpus.rows import Row
from slugline.errors import DataError

__all__ = ["Texts", "read_texts"]


@dataclass(frozen=True)
class Texts:
    """Texts in the order of their source.

    Attributes
    ----------
    texts : list of str
    places : list of int or str
        Where each stands; see `slugline.corpus.rows.Row`.
    n_skipped : int
        Rows without a text, or that could not be read.
    note : str
        Which column was guessed; empty if none was.
    """

    texts: list[str]
    places: list[int | str]
    n_skipped: int = 0
    note: str = ""


def read_texts(rows: Rows, text: str | None = None) -> Texts:
    """Return the texts of rows; topics among their columns are ignored.

    Parameters
    ----------
    rows : Rows, from `slugline.corpus.readers.read_rows`
    text : str, optional
        The column that holds the text, or several with commas between them; guessed by default.

    Raises
    ------
    DataError : if there is no such column, it is unclear which one holds the text, or there is no
        text at all.
    """
    head = peek(rows)
    columns = find_text_columns(rows.name, head, text)
    if not columns:
        raise DataError(
            f"{rows.name} has {listed(column_names(head))}, and none is known as text; name one "
            "with `text`."
        )
    texts: list[str] = []
    places: list[int | str] = []
    n_skipped = 0
    for row in itertools.chain(head, rows):
        found = text_of(row, columns) if isinstance(row, Row) else None
        if isinstance(found, str) and found.strip():
            texts.append(found)
            places.append(row.at)
        else:
            n_skipped += 1
    if not texts:
        raise DataError(f"{rows.name} holds no texts; check the file, or name the column, `text`.")
    guessed = rows.has_names and text is None
    note = f"read column {columns[0]!r} as text; name another with `text`" if guessed else ""
    return Texts(texts, places, n_skipped, note)
