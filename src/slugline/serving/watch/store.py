"""The file of daily sums: a small SQLite database that several servers may share."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.databases import DatabaseFormat, DatabaseStore, from_cell, to_cell
from slugline.base.files import PathLike, file_sha256
from slugline.corpus.documents import Topic
from slugline.counting.concerns import TextTotals
from slugline.model.file.container import DIGEST_LENGTH
from slugline.model.fitted import Fitted
from slugline.serving.watch.day_sums import BinKey, DaySums, ProbabilityBin, SampledText, TextSample

# Maximum size of a row, which may contain many topic names.
_MAX_ROW_BYTES = 16 << 20
# Maximum count to read, so that sums can't overflow.
_MAX_COUNT = 1 << 60
# Maximum integer in SQLite.
_MAX_INTEGER = (1 << 63) - 1
# Numeric columns of `days`.
_NUMBERS = ("n_texts", "n_unsure", "n_corrections", "n_words", "n_unknown", "n_unusual")
_TABLES = (
    "CREATE TABLE models (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, "
    "name BLOB NOT NULL, topics TEXT NOT NULL, multilabel INTEGER NOT NULL)",
    "CREATE TABLE days (model INTEGER NOT NULL, day TEXT NOT NULL, "
    + "".join(f"{name} INTEGER NOT NULL, " for name in _NUMBERS)
    + "answers BLOB NOT NULL, sums BLOB NOT NULL, PRIMARY KEY (model, day)) WITHOUT ROWID",
    "CREATE TABLE bins (model INTEGER NOT NULL, day TEXT NOT NULL, first INTEGER NOT NULL, "
    "second INTEGER NOT NULL, level INTEGER NOT NULL, n INTEGER NOT NULL, sums BLOB NOT NULL, "
    "PRIMARY KEY (model, day, first, second, level)) WITHOUT ROWID",
    "CREATE TABLE samples (model INTEGER NOT NULL, day TEXT NOT NULL, n_texts INTEGER NOT NULL, "
    "capacity INTEGER NOT NULL, PRIMARY KEY (model, day)) WITHOUT ROWID",
    "CREATE TABLE texts (model INTEGER NOT NULL, day TEXT NOT NULL, key INTEGER NOT NULL, "
    "text BLOB NOT NULL, cells TEXT NOT NULL, PRIMARY KEY (model, day, key)) WITHOUT ROWID",
    "CREATE TABLE alerts (model INTEGER NOT NULL, topic BLOB NOT NULL, began TEXT NOT NULL, "
    "raised TEXT NOT NULL, before REAL NOT NULL, after REAL NOT NULL, accepted TEXT, person BLOB, "
    "PRIMARY KEY (model, topic, began)) WITHOUT ROWID",
)
# Ids of all versions of a model, given the digest of one: versions share the file name and the
# topics.
_VERSIONS = (
    "(SELECT other.id FROM models AS other JOIN models AS this ON other.name = this.name AND "
    "other.topics = this.topics AND other.multilabel = this.multilabel WHERE this.digest = ?)"
)
#: File format.
FORMAT = DatabaseFormat(
    content="daily sums",
    tables=_TABLES,
    max_row_bytes=_MAX_ROW_BYTES,
    hint="the file of `slugline serve --watch`",
)


def is_watch_file(path: PathLike) -> bool:
    """True if the file's header identifies a file of daily sums."""
    return FORMAT.is_of(path)


class WatchedModel(NamedTuple):
    """A model version whose answers are added up.

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

    @classmethod
    def from_file(cls, path: Path, fitted: Fitted) -> WatchedModel:
        """Describe a model file, with its checksum as the version."""
        name, digest = path.name.removesuffix(".slug"), file_sha256(path)[:DIGEST_LENGTH]
        return cls(name, digest, tuple(fitted.topics.names), fitted.multilabel)


class StoredAlert(NamedTuple):
    """An alert about a changed topic share.

    Attributes
    ----------
    topic : str
    began : date
        First day of the first week after the change.
    raised : date
        Day of the check that found it.
    before, after : float
        Shares before and since, at the time of the check.
    accepted : date or None
        Day on which the change was accepted as the new normal, or None.
    person : str or None
        Name of the person who accepted it, if known.
    """

    topic: str
    began: datetime.date
    raised: datetime.date
    before: float
    after: float
    accepted: datetime.date | None = None
    person: str | None = None


class WatchStore(DatabaseStore):
    """A file of daily sums, for several threads and processes; a context manager.

    All methods raise StoreError if the file can't be read or written, or is damaged.

    Parameters
    ----------
    path : str or Path
    patience : float, default 5.0
        Seconds to wait for another writer.
    create : bool, default True
        Create the file if it is missing.
    is_read_only : bool, default False
        Open an existing file for reading only.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or belongs to another program or version.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        patience: float = 5.0,
        create: bool = True,
        is_read_only: bool = False,
    ) -> None:
        super().__init__(path, FORMAT, patience=patience, create=create, is_read_only=is_read_only)

    # Sums -----------------------------------------------------------------------------------------

    def add(self, sums: Mapping[tuple[WatchedModel, datetime.date], DaySums]) -> None:
        """Add totals by model and day to the existing ones, in one transaction."""
        if not sums:
            return
        with self._database.writing() as connection:
            for (model, day), more in sums.items():
                number = self._number(connection, model)
                before = self._read_day(connection, number, model, day)
                before.add(more)
                self._write_day(connection, number, day, before)
                if more.sample is not None:
                    _write_sample(connection, number, day, more.sample)

    def models(self) -> list[WatchedModel]:
        """Return the models in order of first use."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, digest, topics, multilabel FROM models ORDER BY id"
            ).fetchall()
        return [self._to_model(row) for row in rows]

    def find_version(self, model: WatchedModel) -> str | None:
        """Return the digest of this version, or else of the latest other version in the file.

        None if the file contains no version of the model.
        """
        models = self.models()
        if any(each.digest == model.digest for each in models):
            return model.digest
        versions = [each.digest for each in models if each._replace(digest=model.digest) == model]
        return versions[-1] if versions else None

    def days(
        self,
        digest: str,
        since: datetime.date = datetime.date.min,
        until: datetime.date = datetime.date.max,
    ) -> dict[datetime.date, DaySums]:
        """Return the totals of a model by day; see `iter_days`."""
        return dict(self.iter_days(digest, since, until))

    def iter_days(
        self,
        digest: str,
        since: datetime.date = datetime.date.min,
        until: datetime.date = datetime.date.max,
    ) -> Iterator[tuple[datetime.date, DaySums]]:
        """Yield the days with texts, in order, and the totals of a model.

        Includes all versions of the model with this digest; empty if the file doesn't contain it.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT name, digest, topics, multilabel FROM models WHERE digest = ?", (digest,)
            ).fetchone()
            keys = connection.execute(
                f"SELECT day, model FROM days WHERE model IN {_VERSIONS} "  # noqa: S608
                "AND day BETWEEN ? AND ? ORDER BY day",
                (digest, since.isoformat(), until.isoformat()),
            ).fetchall()
        if row is None:
            return
        model = self._to_model(row)
        for text, versions in itertools.groupby(keys, key=lambda key: key[0]):
            with self._reading_row(f"the day {text!r}"):
                day = datetime.date.fromisoformat(text)
            with self._database.reading() as connection:
                first, *others = (
                    self._read_day(connection, number, model, day) for _, number in versions
                )
            for other in others:
                first.add(other)
            yield day, first

    def count_texts(self, digest: str, since: datetime.date, until: datetime.date) -> int:
        """Return the number of texts that one model version answered in a range of days."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT n_texts FROM days JOIN models ON models.id = days.model "
                "WHERE digest = ? AND day BETWEEN ? AND ?",
                (digest, since.isoformat(), until.isoformat()),
            ).fetchall()
        with self._reading_row(f"the days of model {digest!r}"):
            return sum(_to_counts(n for [n] in rows))

    def _number(self, connection: sqlite3.Connection, model: WatchedModel) -> int:
        """Return the id of a model, storing it if it is new."""
        row = connection.execute(
            "SELECT id, name, digest, topics, multilabel FROM models WHERE digest = ?",
            (model.digest,),
        ).fetchone()
        if row is not None:
            if self._to_model(row[1:])[1:] != model[1:]:  # the model file may be renamed
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
            f"SELECT {', '.join(_NUMBERS)}, answers, sums FROM days WHERE model = ? AND day = ?",  # noqa: S608
            key,
        ).fetchone()
        with self._reading_row(f"the day {key[1]!r}"):
            if row is None:
                return DaySums(len(model.topics), model.multilabel)
            sums = _to_sums(model, row)
            for cells in connection.execute(
                "SELECT first, second, level, n, sums FROM bins WHERE model = ? AND day = ?", key
            ):
                _add_bin(sums, cells)
        return sums

    def _write_day(
        self, connection: sqlite3.Connection, number: int, day: datetime.date, sums: DaySums
    ) -> None:
        key = (number, day.isoformat())
        numbers = {**vars(sums), **sums.totals._asdict()}
        counts = [numbers[name] for name in _NUMBERS]
        arrays = (sums.answers.astype("<i8").tobytes(), sums.sums.astype("<f8").tobytes())
        cells = (*key, *(min(count, _MAX_COUNT) for count in counts), *arrays)
        marks = ", ".join("?" * len(cells))
        connection.execute(f"INSERT OR REPLACE INTO days VALUES ({marks})", cells)  # noqa: S608
        connection.executemany(
            "INSERT OR REPLACE INTO bins VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (*key, *bin_key, part.n, part.sums.astype("<f8").tobytes())
                for bin_key, part in sums.bins.items()
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

    # Texts ----------------------------------------------------------------------------------------

    def samples(
        self,
        digest: str,
        since: datetime.date = datetime.date.min,
        until: datetime.date = datetime.date.max,
    ) -> dict[datetime.date, TextSample]:
        """Return the kept texts of all versions of a model, in order of day."""
        samples: dict[datetime.date, TextSample] = {}
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT model, day, n_texts, capacity FROM samples "  # noqa: S608
                f"WHERE model IN {_VERSIONS} AND day BETWEEN ? AND ? ORDER BY day",
                (digest, since.isoformat(), until.isoformat()),
            ).fetchall()
            for number, day, *cells in rows:
                with self._reading_row(f"the texts of the day {day!r}"):
                    n_texts, capacity = _to_counts(cells)
                    sample = TextSample(capacity, n_texts)
                    for row in connection.execute(
                        "SELECT key, text, cells FROM texts WHERE model = ? AND day = ? "
                        "ORDER BY key",
                        (number, day),
                    ):
                        sample.texts.append(_to_text(row))
                    before = samples.setdefault(datetime.date.fromisoformat(day), sample)
                if before is not sample:
                    before.add(sample)
        return samples

    def delete_texts(self, before: datetime.date = datetime.date.max) -> int:
        """Delete the kept texts from before a day, or all; return the number deleted.

        Their space in the file is overwritten. The totals stay.
        """
        with self._database.writing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            cells = (before.isoformat(),)
            n_deleted = connection.execute("DELETE FROM texts WHERE day < ?", cells).rowcount
            connection.execute("DELETE FROM samples WHERE day < ?", cells)
        return n_deleted

    # Alerts ---------------------------------------------------------------------------------------

    def add_alert(self, digest: str, alert: StoredAlert) -> bool:
        """Store an alert unless the topic has an open one.

        Returns True if it was stored, so that only one of several processes reports it.
        """
        topic = to_cell(alert.topic)
        with self._database.writing() as connection:
            cells = (topic, alert.began.isoformat(), alert.raised.isoformat())
            return bool(
                connection.execute(
                    "INSERT OR IGNORE INTO alerts (model, topic, began, raised, before, after) "  # noqa: S608
                    "SELECT id, ?, ?, ?, ?, ? FROM models WHERE digest = ? AND NOT EXISTS (SELECT "
                    f"1 FROM alerts WHERE model IN {_VERSIONS} AND topic = ? AND accepted IS NULL)",
                    (*cells, alert.before, alert.after, digest, digest, topic),
                ).rowcount
            )

    def accept(self, digest: str, day: datetime.date, person: str | None = None) -> int:
        """Accept all changes so far as the new normal; return their number."""
        with self._database.writing() as connection:
            cells = (day.isoformat(), None if person is None else to_cell(person), digest)
            return connection.execute(
                "UPDATE alerts SET accepted = ?, person = ? WHERE accepted IS NULL "  # noqa: S608
                f"AND model IN {_VERSIONS}",
                cells,
            ).rowcount

    def alerts(self, digest: str) -> list[StoredAlert]:
        """Return the alerts of all versions of a model, in order of the changes."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT topic, began, raised, before, after, accepted, person FROM alerts "  # noqa: S608
                f"WHERE model IN {_VERSIONS} ORDER BY began, raised, topic",
                (digest,),
            ).fetchall()
        alerts = []
        for topic, began, raised, before, after, accepted, person in rows:
            with self._reading_row(f"the alert of {began!r}"):
                alerts.append(
                    StoredAlert(
                        from_cell(topic),
                        datetime.date.fromisoformat(began),
                        datetime.date.fromisoformat(raised),
                        _to_fraction(before),
                        _to_fraction(after),
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


# Samples ------------------------------------------------------------------------------------------


def _write_sample(
    connection: sqlite3.Connection, number: int, day: datetime.date, sample: TextSample
) -> None:
    """Merge a sample into the stored one of the same model and day."""
    key = (number, day.isoformat())
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "INSERT INTO samples VALUES (?, ?, ?, ?) ON CONFLICT (model, day) DO UPDATE SET "
        "n_texts = min(n_texts + excluded.n_texts, ?), capacity = min(capacity, excluded.capacity)",
        (*key, sample.n_texts, sample.capacity, _MAX_COUNT),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO texts VALUES (?, ?, ?, ?, ?)",
        [(*key, each.key, to_cell(each.text), each.cells) for each in sample.texts],
    )
    connection.execute(
        "DELETE FROM texts WHERE model = ? AND day = ? AND key NOT IN (SELECT key FROM texts "
        "WHERE model = ? AND day = ? ORDER BY key LIMIT (SELECT capacity FROM samples "
        "WHERE model = ? AND day = ?))",
        key * 3,
    )


# Cells --------------------------------------------------------------------------------------------


def _to_sums(model: WatchedModel, cells: Sequence[Any]) -> DaySums:
    """Read the totals in a row of `days`; ValueError or TypeError if invalid."""
    *numbers, answers, values = cells
    sums = DaySums(len(model.topics), model.multilabel)
    counts = dict(zip(_NUMBERS, _to_counts(numbers), strict=True))
    sums.n_unsure, sums.n_corrections = counts.pop("n_unsure"), counts.pop("n_corrections")
    sums.totals = TextTotals(**counts)
    sums.answers = _to_array(answers, "<i8", sums.n_topics)
    sums.sums = _to_array(values, "<f8", sums.n_topics)
    return sums


def _add_bin(sums: DaySums, cells: Sequence[Any]) -> None:
    first, second, level, n, values = cells
    key = BinKey._make(int(each) for each in (first, second, level))
    if not -1 <= key.first < sums.n_topics:
        raise ValueError("there is no such topic")
    [n] = _to_counts([n])
    if not n:
        raise ValueError("it has no texts")
    n_values = 1 if sums.multilabel else sums.n_topics
    sums.bins[key] = ProbabilityBin(n, _to_array(values, "<f8", n_values))
    if len(sums.bins) > sums.max_bins + 1:
        raise ValueError("there are too many bins")


def _to_text(cells: Sequence[Any]) -> SampledText:
    key, text, columns = cells
    [key] = _to_counts([key], _MAX_INTEGER)
    return SampledText(key, from_cell(text), str(columns))


def _to_counts(cells: Iterable[Any], largest: int = _MAX_COUNT) -> Iterator[int]:
    for cell in cells:
        if not isinstance(cell, int) or not 0 <= cell <= largest:
            raise ValueError("a count is invalid")
        yield cell


def _to_fraction(cell: Any) -> float:
    if not isinstance(cell, float) or not 0 <= cell <= 1:
        raise ValueError("a share is invalid")
    return cell


def _to_array(cell: Any, dtype: str, length: int) -> Any:
    """Read an array of finite, non-negative numbers."""
    array = np.frombuffer(cell, dtype=dtype)
    if len(array) != length:
        raise ValueError(f"it has {len(array)} numbers instead of {length}")
    if length and not (math.isfinite(total := float(array.sum())) and array.min() >= 0):
        raise ValueError(f"a sum is invalid ({total})")
    return array.copy()
