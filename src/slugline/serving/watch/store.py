"""The file of daily sums: a small SQLite database, to which several servers may add."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.databases import DatabaseFormat, DatabaseStore, from_cell, to_cell
from slugline.base.files import PathLike
from slugline.corpus.documents import Topic
from slugline.serving.watch.day_sums import DaySums, GroupKey, TextGroup, WordSums

# The largest size of a row: the names of very many topics.
_MAX_ROW_BYTES = 16 << 20
# The largest count that is read: sums of several can't overflow.
_MAX_COUNT = 1 << 60
_COUNTS = "n_texts, n_unsure, n_corrections"
_WORDS = ", ".join(WordSums._fields)
_TABLES = (
    "CREATE TABLE models (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, "
    "name BLOB NOT NULL, topics TEXT NOT NULL, multilabel INTEGER NOT NULL)",
    "CREATE TABLE days (model INTEGER NOT NULL, day TEXT NOT NULL, n_texts INTEGER NOT NULL, "
    "n_unsure INTEGER NOT NULL, n_corrections INTEGER NOT NULL, "
    + "".join(f"{name} INTEGER NOT NULL, " for name in WordSums._fields)
    + "answers BLOB NOT NULL, sums BLOB NOT NULL, PRIMARY KEY (model, day)) WITHOUT ROWID",
    "CREATE TABLE text_groups (model INTEGER NOT NULL, day TEXT NOT NULL, first INTEGER NOT NULL, "
    "second INTEGER NOT NULL, level INTEGER NOT NULL, n INTEGER NOT NULL, sums BLOB NOT NULL, "
    "PRIMARY KEY (model, day, first, second, level)) WITHOUT ROWID",
    "CREATE TABLE alerts (model INTEGER NOT NULL, series TEXT NOT NULL, began TEXT NOT NULL, "
    "raised TEXT NOT NULL, accepted TEXT, person BLOB, PRIMARY KEY (model, series, began)) "
    "WITHOUT ROWID",
)
#: The format of the file.
FORMAT = DatabaseFormat(
    content="daily sums",
    tables=(_TABLES,),
    max_row_bytes=_MAX_ROW_BYTES,
    hint="the file that `slugline serve --watch` keeps",
)


def is_watch_file(path: PathLike) -> bool:
    """Whether a file is one of daily sums, by its header."""
    try:
        with Path(path).open("rb") as file:
            header = file.read(72)
    except (OSError, ValueError):
        return False
    return header.startswith(b"SQLite format 3\0") and header[
        68:
    ] == FORMAT.application_id.to_bytes(4)


class WatchedModel(NamedTuple):
    """A version of a model whose answers are summed.

    Attributes
    ----------
    name, digest : str
    topics : tuple of topics
    multilabel : bool
    """

    name: str
    digest: str
    topics: tuple[Topic, ...]
    multilabel: bool


class StoredAlert(NamedTuple):
    """An alert about a series of a model.

    Attributes
    ----------
    series : str
        The key of the series; see `slugline.serving.watch.series`.
    began, raised : date
        When the change began, by the best guess, and the first day on which it was certain.
    accepted : date or None
        When somebody said that it is the new normal; None if nobody did.
    person : str or None
        Who that was, if known.
    """

    series: str
    began: datetime.date
    raised: datetime.date
    accepted: datetime.date | None = None
    person: str | None = None


class WatchStore(DatabaseStore):
    """Daily sums in one file, for several threads and processes; a context manager.

    All methods raise StoreError if the file can't be read or written, or is damaged.

    Parameters
    ----------
    path : str or Path
    patience : float, default 5.0
        Seconds to wait while another process or thread writes.
    is_read_only : bool, default False
        Whether the file is only read; it must exist then.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or is of another program or version.
    """

    def __init__(
        self, path: PathLike, *, patience: float = 5.0, is_read_only: bool = False
    ) -> None:
        super().__init__(path, FORMAT, patience=patience, is_read_only=is_read_only)

    # Sums -----------------------------------------------------------------------------------------

    def add(self, sums: Mapping[tuple[WatchedModel, datetime.date], DaySums]) -> None:
        """Add sums to those of the same model and day: all of them, or none."""
        if not sums:
            return
        with self._database.writing() as connection:
            for (model, day), more in sums.items():
                number = self._number(connection, model)
                before = self._read_day(connection, number, model, day)
                before.add(more)
                self._write_day(connection, number, day, before)

    def models(self) -> list[WatchedModel]:
        """Return the models, in the order in which they were first used."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, digest, topics, multilabel FROM models ORDER BY id"
            ).fetchall()
        return [self._to_model(row) for row in rows]

    def days(
        self,
        digest: str,
        since: datetime.date = datetime.date.min,
        until: datetime.date = datetime.date.max,
        *,
        with_groups: bool = True,
    ) -> dict[datetime.date, DaySums]:
        """Return the sums of a model from one day to another, in order; days without texts lack.

        Empty if the file has no such model. Without groups, they take far less memory.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT name, digest, topics, multilabel, id FROM models WHERE digest = ?",
                (digest,),
            ).fetchone()
            if row is None:
                return {}
            model, number = self._to_model(row[:4]), row[4]
            where = "WHERE model = ? AND day BETWEEN ? AND ?"
            span = (number, since.isoformat(), until.isoformat())
            days: dict[datetime.date, DaySums] = {}
            for day, *cells in connection.execute(
                f"SELECT day, {_COUNTS}, {_WORDS}, answers, sums FROM days {where} ORDER BY day",  # noqa: S608
                span,
            ):
                with self._reading_row(f"the day {day!r}"):
                    days[datetime.date.fromisoformat(day)] = _to_sums(model, cells)
            for day, *cells in (
                ()
                if not with_groups
                else connection.execute(
                    f"SELECT day, first, second, level, n, sums FROM text_groups {where}",  # noqa: S608
                    span,
                )
            ):
                with self._reading_row(f"a group of the day {day!r}"):
                    _add_group(days[datetime.date.fromisoformat(day)], cells)
        return days

    def _number(self, connection: sqlite3.Connection, model: WatchedModel) -> int:
        """Return the number of a model, which is stored if it is new."""
        row = connection.execute(
            "SELECT id, name, digest, topics, multilabel FROM models WHERE digest = ?",
            (model.digest,),
        ).fetchone()
        if row is not None:
            if self._to_model(row[1:])[1:] != model[1:]:  # the file may have been renamed
                raise self._database.damaged_row(f"model {model.digest}", "it has other topics")
            return int(row[0])
        self._database.check_ids_left(connection, "models")
        cells = (model.digest, to_cell(model.name), json.dumps(model.topics), int(model.multilabel))
        number = connection.execute(
            "INSERT INTO models (digest, name, topics, multilabel) VALUES (?, ?, ?, ?)", cells
        ).lastrowid
        return int(number or 0)

    def _read_day(
        self, connection: sqlite3.Connection, number: int, model: WatchedModel, day: datetime.date
    ) -> DaySums:
        key = (number, day.isoformat())
        row = connection.execute(
            f"SELECT {_COUNTS}, {_WORDS}, answers, sums FROM days WHERE model = ? AND day = ?",  # noqa: S608
            key,
        ).fetchone()
        with self._reading_row(f"the day {key[1]!r}"):
            if row is None:
                return DaySums(len(model.topics), model.multilabel)
            sums = _to_sums(model, row)
            for cells in connection.execute(
                "SELECT first, second, level, n, sums FROM text_groups WHERE model = ? AND day = ?",
                key,
            ):
                _add_group(sums, cells)
        return sums

    def _write_day(
        self, connection: sqlite3.Connection, number: int, day: datetime.date, sums: DaySums
    ) -> None:
        key = (number, day.isoformat())
        counts = (sums.n_texts, sums.n_unsure, sums.n_corrections, *sums.words)
        arrays = (sums.answers.astype("<i8").tobytes(), sums.sums.astype("<f8").tobytes())
        cells = (*key, *(min(count, _MAX_COUNT) for count in counts), *arrays)
        marks = ", ".join("?" * len(cells))
        connection.execute(f"INSERT OR REPLACE INTO days VALUES ({marks})", cells)  # noqa: S608
        connection.executemany(
            "INSERT OR REPLACE INTO text_groups VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (*key, *group_key, group.n, group.sums.astype("<f8").tobytes())
                for group_key, group in sums.groups.items()
            ],
        )

    def _to_model(self, row: Sequence[Any]) -> WatchedModel:
        name, digest, topics, multilabel = row
        with self._reading_row(f"model {digest!r}"):
            names = json.loads(topics)
            if not isinstance(names, list) or not names or not isinstance(digest, str):
                raise ValueError("it has no topics")
            if not all(isinstance(each, str | int) for each in names):
                raise ValueError("a topic is neither a string nor a number")
            return WatchedModel(from_cell(name), digest, tuple(names), bool(multilabel))

    # Alerts ---------------------------------------------------------------------------------------

    def add_alert(self, digest: str, alert: StoredAlert) -> bool:
        """Store an alert unless there is one about the series that nobody has accepted.

        Returns whether it was stored, so that of several processes one says so.
        """
        with self._database.writing() as connection:
            cells = (alert.series, alert.began.isoformat(), alert.raised.isoformat(), digest)
            return bool(
                connection.execute(
                    "INSERT OR IGNORE INTO alerts (model, series, began, raised) "
                    "SELECT id, ?, ?, ? FROM models WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM "
                    "alerts WHERE model = models.id AND series = ? AND accepted IS NULL)",
                    (*cells, alert.series),
                ).rowcount
            )

    def accept(
        self, digest: str, series: str, day: datetime.date, person: str | None = None
    ) -> bool:
        """Note that a change is the new normal; return whether there was such an alert."""
        with self._database.writing() as connection:
            cells = (day.isoformat(), None if person is None else to_cell(person), series, digest)
            return bool(
                connection.execute(
                    "UPDATE alerts SET accepted = ?, person = ? WHERE accepted IS NULL AND "
                    "series = ? AND model = (SELECT id FROM models WHERE digest = ?)",
                    cells,
                ).rowcount
            )

    def alerts(self, digest: str) -> list[StoredAlert]:
        """Return the alerts about a model, in the order in which the changes began."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT series, began, raised, accepted, person FROM alerts "
                "WHERE model = (SELECT id FROM models WHERE digest = ?) ORDER BY began, raised",
                (digest,),
            ).fetchall()
        alerts = []
        for series, began, raised, accepted, person in rows:
            with self._reading_row(f"an alert about {series!r}"):
                alerts.append(
                    StoredAlert(
                        str(series),
                        datetime.date.fromisoformat(began),
                        datetime.date.fromisoformat(raised),
                        None if accepted is None else datetime.date.fromisoformat(accepted),
                        None if person is None else from_cell(person),
                    )
                )
        return alerts

    @contextlib.contextmanager
    def _reading_row(self, row: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise self._database.damaged_row(row, error) from error


# Cells --------------------------------------------------------------------------------------------


def _to_sums(model: WatchedModel, cells: Sequence[Any]) -> DaySums:
    """Return the sums in a row of `days`; ValueError or TypeError if they are not sums."""
    n_texts, n_unsure, n_corrections, *words, answers, values = cells
    sums = DaySums(len(model.topics), model.multilabel)
    sums.n_texts, sums.n_unsure, sums.n_corrections = _to_counts([n_texts, n_unsure, n_corrections])
    sums.words = WordSums._make(_to_counts(words))
    sums.answers = _to_array(answers, "<i8", sums.n_topics)
    sums.sums = _to_array(values, "<f8", sums.n_topics)
    return sums


def _add_group(sums: DaySums, cells: Sequence[Any]) -> None:
    first, second, level, n, values = cells
    key = GroupKey._make(int(each) for each in (first, second, level))
    if not -1 <= key.first < sums.n_topics:
        raise ValueError("there is no such topic")
    [n] = _to_counts([n])
    if not n:
        raise ValueError("it has no texts")
    n_values = 1 if sums.multilabel else sums.n_topics
    sums.groups[key] = TextGroup(n, _to_array(values, "<f8", n_values))
    if len(sums.groups) > sums.max_groups + 1:
        raise ValueError("there are too many groups")


def _to_counts(cells: Iterable[Any]) -> Iterator[int]:
    for cell in cells:
        if not isinstance(cell, int) or not 0 <= cell <= _MAX_COUNT:
            raise ValueError("a count is invalid")
        yield cell


def _to_array(cell: Any, dtype: str, length: int) -> Any:
    """Return an array of numbers that are finite and not negative."""
    array = np.frombuffer(cell, dtype=dtype)
    if len(array) != length:
        raise ValueError(f"it has {len(array)} numbers instead of {length}")
    if length and not (math.isfinite(total := float(array.sum())) and array.min() >= 0):
        raise ValueError(f"a sum is invalid ({total})")
    return array.copy()
