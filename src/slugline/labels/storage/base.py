"""What the parts of a label store share: transactions, new rows, and requests that come again."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from slugline.base.checks import short_repr
from slugline.base.databases import DatabaseStore, to_cell, utc_now
from slugline.corpus.label_database.reader import LabelReader
from slugline.errors import DataError, Parameter
from slugline.labels.cells import check_number, missing_row, name_cell

_T = TypeVar("_T")
#: The largest number of rows that are written, or read, together.
MAX_ROWS = 1000


class LabelConflictError(DataError):
    """A change of something that was changed in the meantime."""


class LabelRows(DatabaseStore):
    """Rows of a label database; what the parts of `LabelStore` have in common."""

    def _reader(self, connection: sqlite3.Connection) -> LabelReader:
        return LabelReader(self._database, connection)

    def _insert(self, connection: sqlite3.Connection, table: str, **cells: Any) -> int:
        """Insert a row, of this moment unless `at` is given; return its number."""
        self._database.check_ids_left(connection, table)
        cells = {"at": utc_now()} | cells
        marks = ", ".join("?" * len(cells))
        cursor = connection.execute(
            f"INSERT INTO {table} ({', '.join(cells)}) VALUES ({marks})",  # noqa: S608
            tuple(cells.values()),
        )
        return cursor.lastrowid or 0

    def _change(
        self,
        request: str | None,
        content: tuple[Any, ...],
        change: Callable[[sqlite3.Connection, LabelReader], int],
        read: Callable[[LabelReader, int], _T],
    ) -> _T:
        """Apply a change unless its request was applied before; return the row that it names.

        Raises DataError if the earlier request with this name had another content.
        """
        key = None if request is None else name_cell("request", request)
        digest = hashlib.sha256(to_cell(repr(content))).digest()
        with self._database.writing() as connection:
            row = connection.execute(
                "SELECT digest, row FROM requests WHERE key = ?", (key,)
            ).fetchone()
            if row is not None and row[0] != digest:
                raise DataError(
                    Parameter("request"),
                    f" {short_repr(request)} was used for another change; make up a new name for "
                    "each.",
                )
            if row is not None:
                return read(self._reader(connection), row[1])
            number = change(connection, self._reader(connection))
            if key is not None and number:  # 0 if nothing was changed
                connection.execute("INSERT INTO requests VALUES (?, ?, ?)", (key, digest, number))
            return read(self._reader(connection), number)


def find_row(
    connection: sqlite3.Connection, table: str, columns: str, number: int
) -> tuple[Any, ...]:
    """Return cells of a row by its number; DataError if there is none."""
    noun = table.removesuffix("s")
    check_number(number, noun)
    cells: tuple[Any, ...] | None = connection.execute(
        f"SELECT {columns} FROM {table} WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    if cells is None:
        raise missing_row(noun, number)
    return cells


def batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield lists of up to `MAX_ROWS` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, MAX_ROWS)):
        yield batch


def check_supersedes(
    owner: str, noun: str, last: int | None, kind: str, supersedes: int | None
) -> None:
    """Raise LabelConflictError unless a change replaces the last one, or the last one is an undo.

    Parameters
    ----------
    owner, noun : str
        What is changed, such as "assignment 7", and what a change is.
    last : int or None
        The number of the last change; None if there is none.
    kind : str
        Its kind; "undo" if there is none.
    supersedes : int or None
        The number of the change that the new one replaces.
    """
    if supersedes == last or (supersedes is None and kind == "undo"):
        return
    current = f"no {noun}" if last is None else f"{noun} {last}"
    raise LabelConflictError(
        f"{owner} has {current} now, and ",
        Parameter("supersedes"),
        f" is {supersedes}; look at it again, and decide then.",
    )
