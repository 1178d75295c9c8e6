"""Store corrections in a SQLite file, flushed to disk before a correction is acknowledged."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import (
    DatabaseFormat,
    DatabaseStore,
    from_cell,
    is_time,
    to_cell,
    utc_now,
)
from slugline.base.files import PathLike
from slugline.base.wording import counted
from slugline.corpus.documents import Topic, check_topic_names, to_plain_topics
from slugline.corpus.topic_sets import TopicSet, as_sets
from slugline.errors import DataError, Parameter

# Corrections --------------------------------------------------------------------------------------

#: Maximum size of a text in bytes of UTF-8.
MAX_TEXT_BYTES = 16 << 20
# Maximum length of a model's name or digest, and of a person's name, in characters.
_MAX_NAME = 1000
# Maximum size of a tuple of topics in bytes of JSON.
_MAX_TOPICS_BYTES = 1 << 15


class Correction(NamedTuple):
    """A model's answer for a text, and the right answer.

    Attributes
    ----------
    id : int
        Number in the file, ascending.
    text : str
    topic : str or int, or a tuple of them
        The right topic, which may be new to the model; in multi-label data, all right topics.
    answer : str or int, or a tuple of them
        The model's answer or best guess; in multi-label data, the predicted topics.
    probability : float, from 0 to 1
        Probability of the answer; in multi-label data, of the most likely predicted topic.
    model, digest : str
        Name and digest of the model.
    who : str or None
        Name of the person.
    at : str
        Time in ISO 8601, UTC, such as "2026-01-31T08:15:00.250Z".
    is_named : bool
        True if `who` is the name of a token, False if it was typed.
    approved : str or None
        Time of approval, in the format of `at`.
    approver : str or None
        Name of the person who approved it.
    learned : str or None
        Time when a model trained on it was first saved, in the format of `at`.
    learned_by : str or None
        Digest of that model.
    """

    id: int
    text: str
    topic: Topic | TopicSet
    answer: Topic | TopicSet
    probability: float
    model: str
    digest: str
    who: str | None
    at: str
    is_named: bool = False
    approved: str | None = None
    approver: str | None = None
    learned: str | None = None
    learned_by: str | None = None

    @property
    def is_confirmation(self) -> bool:
        """True if the topic is the model's answer or best guess."""
        topic, answer = as_sets([self.topic, self.answer])
        return {*map(str, topic)} == {*map(str, answer)}

    @property
    def is_pending(self) -> bool:
        """True if it was neither approved nor used in training."""
        return self.approved is None and self.learned is None


class UndoneCorrection(NamedTuple):
    """Time when a correction was undone, and name of the person, if known."""

    id: int
    at: str
    who: str | None


def to_cells(correction: Correction) -> tuple[Any, ...]:
    """Return the cells of a new correction in the order of `_COLUMNS`, without its number.

    Names of tokens are stored as text, typed names as bytes.

    Raises
    ------
    DataError : if a value can't be stored; see `Correction` and `MAX_TEXT_BYTES`.
    """
    text, who = correction.text, correction.who
    if not isinstance(text, str):
        raise DataError(Parameter("text"), f" is {short_repr(text)}; give a string.")
    # Don't encode a text with too many characters: each has at least one byte.
    if len(text) > MAX_TEXT_BYTES or len(data := to_cell(text)) > MAX_TEXT_BYTES:
        raise DataError(
            Parameter("text"),
            f" has {len(text):,} characters, but texts of corrections are limited to "
            f"{MAX_TEXT_BYTES:,} bytes; shorten it.",
        )
    topic = _topic_cell("topic", correction.topic)
    answer = _topic_cell("answer", correction.answer)
    probability = correction.probability
    if isinstance(probability, bool) or not _is_probability(probability):
        raise DataError(
            Parameter("probability"), f" is {short_repr(probability)}; give a number from 0 to 1."
        )
    model = _name_cell("model", correction.model)
    digest = _name_cell("digest", correction.digest)
    person: bytes | str | None = None if who is None else _name_cell("who", who)
    if who is not None and correction.is_named:
        if not who.isprintable() or not who.isascii():
            raise DataError(
                Parameter("who"), f" is {short_repr(who)}, which can't be the name of a token."
            )
        person = who
    return data, topic, answer, float(probability), model, digest, person, correction.at


def from_cells(cells: tuple[Any, ...]) -> Correction:
    """Return the correction in a row of `_ALL_COLUMNS`, or of `_COLUMNS` alone.

    Raises
    ------
    ValueError, TypeError, OverflowError : if the cells don't represent a correction.
    """
    number, text, topic, answer, probability, model, digest, who, at = cells[:9]
    approved, approver, learned, learned_by = cells[9:] or (None,) * 4
    times = [at, *(time for time in (approved, learned) if time is not None)]
    if not all(map(is_time, times)):
        raise ValueError("a time is invalid")
    if not _is_probability(probability):
        raise ValueError("a probability is invalid")
    return Correction(
        id=int(number),
        text=from_cell(text),
        topic=_topic(topic),
        answer=_topic(answer),
        probability=float(probability),
        model=from_cell(model),
        digest=from_cell(digest),
        who=who if who is None or isinstance(who, str) else from_cell(who),
        at=at,
        is_named=isinstance(who, str),
        approved=approved,
        approver=None if approver is None else from_cell(approver),
        learned=learned,
        learned_by=None if learned_by is None else from_cell(learned_by),
    )


def _is_probability(value: Any) -> bool:
    try:
        return math.isfinite(value) and 0 <= value <= 1
    except TypeError:
        return False


def _name_cell(parameter: str, value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        raise DataError(
            Parameter(parameter),
            f" is {short_repr(value)}; give a string of at most {_MAX_NAME:,} characters.",
        )
    return to_cell(value)


_decode_list = msgspec.json.Decoder(tuple[str | int | bool, ...]).decode


def _topic_cell(name: str, value: Topic | TopicSet) -> bytes | int | str:
    """Return a topic as bytes or a number, or a tuple of topics as a JSON list."""
    topics = to_plain_topics(value if isinstance(value, tuple) else [value], name)
    check_topic_names(topics)
    if not isinstance(value, tuple):
        return to_cell(topics[0]) if isinstance(topics[0], str) else topics[0]
    cell = msgspec.json.encode(topics)
    if len(cell) > _MAX_TOPICS_BYTES:
        raise DataError(
            Parameter(name),
            f" has {counted(len(topics), 'topic')} of {len(cell):,} bytes in JSON, but the maximum "
            f"is {_MAX_TOPICS_BYTES:,}; name fewer topics.",
        )
    return cell.decode()


def _topic(cell: Any) -> Topic | TopicSet:
    topic: Topic | TopicSet
    try:
        if isinstance(cell, str):
            topic = _decode_list(cell)
        else:
            topic = cell if isinstance(cell, int) else from_cell(cell)
        check_topic_names(topic if isinstance(topic, tuple) else [topic])
    except (DataError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    return topic


# The store ----------------------------------------------------------------------------------------

_COLUMNS = "id, text, topic, answer, probability, model, digest, who, at"
_TABLES = (
    # The text comes last so that queries of other columns can skip its pages.
    "CREATE TABLE corrections (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
    "undone TEXT, topic NOT NULL, answer NOT NULL, probability REAL NOT NULL, "
    "model BLOB NOT NULL, digest BLOB NOT NULL, who BLOB, text BLOB NOT NULL)",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE approvals (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "correction INTEGER NOT NULL UNIQUE, at TEXT NOT NULL, who BLOB)",
    "CREATE TABLE learned (correction INTEGER PRIMARY KEY, at TEXT NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE undone (correction INTEGER PRIMARY KEY, at TEXT NOT NULL, who BLOB)",
)
#: The format of the file.
FORMAT = DatabaseFormat(
    content="corrections",
    tables=_TABLES,
    version=4,
    max_row_bytes=MAX_TEXT_BYTES + (1 << 17),
    hint="the file that `slugline serve --corrections` keeps; labelled texts are DATA",
)
_JOINED = (
    "FROM corrections LEFT JOIN approvals ON approvals.correction = corrections.id "
    "LEFT JOIN learned ON learned.correction = corrections.id"
)
_ALL_COLUMNS = ", ".join(f"corrections.{name}" for name in _COLUMNS.split(", "))
_ALL_COLUMNS += ", approvals.at, approvals.who, learned.at, learned.digest"
# Pending corrections; see `Correction.is_pending`.
_PENDING = "corrections.undone IS NULL AND approvals.at IS NULL AND learned.at IS NULL"
# Maximum rows, and bytes of text, to read in one transaction.
_PAGE_ROWS, _PAGE_BYTES = 500, 4 << 20


class CorrectionStore(DatabaseStore):
    """Corrections in one file, for several threads; a context manager.

    All methods raise StoreError if the file can't be read or written, or is damaged.

    Parameters
    ----------
    path : str or Path
    patience : float, default 5.0
        Seconds to wait while another process or thread writes.
    create : bool, default True
        Create the file if it is missing.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or belongs to another program or version.
    """

    def __init__(self, path: PathLike, *, patience: float = 5.0, create: bool = True) -> None:
        super().__init__(path, FORMAT, patience=patience, create=create)

    def add(
        self,
        *,
        text: str,
        topic: Topic | TopicSet,
        answer: Topic | TopicSet,
        probability: float,
        model: str,
        digest: str,
        who: str | None = None,
        is_named: bool = False,
        is_approved: bool = False,
    ) -> Correction:
        """Store a correction, optionally approved; return it once it is on disk.

        Raises
        ------
        DataError : if a value can't be stored; see `Correction`.
        """
        correction = Correction(
            id=0,
            text=text,
            topic=topic,
            answer=answer,
            probability=probability,
            model=model,
            digest=digest,
            who=who,
            at=utc_now(),
            is_named=is_named,
        )
        cells = to_cells(correction)
        approver = None if who is None else _name_cell("who", who)
        with self._database.writing() as connection:
            self._database.check_ids_left(connection, "corrections")
            cursor = connection.execute(
                f"INSERT INTO corrections ({_COLUMNS}) VALUES (NULL,?,?,?,?,?,?,?,?)",  # noqa: S608
                cells,
            )
            if is_approved:
                self._approve(connection, cursor.lastrowid, approver, correction.at)
        stored = from_cells((cursor.lastrowid, *cells))
        return stored._replace(approved=stored.at, approver=who) if is_approved else stored

    def undo(self, id: int, who: str | None = None) -> bool:  # noqa: A002 (the field's name)
        """Mark a correction as undone; return False if it is missing or already undone."""
        if id.bit_length() > 63:  # too large for SQLite
            return False
        person, at = None if who is None else _name_cell("who", who), utc_now()
        with self._database.writing() as connection:
            cursor = connection.execute(
                "UPDATE corrections SET undone = ? WHERE id = ? AND undone IS NULL", (at, id)
            )
            is_undone = cursor.rowcount == 1
            if is_undone:
                connection.execute("INSERT INTO undone VALUES (?, ?, ?)", (id, at, person))
        return is_undone

    def undone(self) -> list[UndoneCorrection]:
        """Return undone corrections."""
        with self._database.reading() as connection:
            cells = connection.execute(
                "SELECT id, undone.at, undone.who FROM corrections JOIN undone ON correction = id "
                "ORDER BY id"
            ).fetchall()
        try:
            return [
                UndoneCorrection(number, at, None if who is None else from_cell(who))
                for number, at, who in cells
            ]
        except ValueError as error:
            raise self._database.damaged_row("a name in the table undone", error) from error

    def topics(self, model: str) -> set[str]:
        """Return the topics of a model's corrections, without undone ones."""
        query = "SELECT DISTINCT topic FROM corrections WHERE undone IS NULL AND model = ?"
        with self._database.reading() as connection:
            cells = connection.execute(query, (_name_cell("model", model),)).fetchall()
        try:
            topics = [_topic(cell) for [cell] in cells]
        except ValueError as error:
            raise self._database.damaged_row("the topic of a correction", error) from error
        sets = [topic if isinstance(topic, tuple) else (topic,) for topic in topics]
        return {str(name) for names in sets for name in names}

    def approve(self, id: int, who: str | None = None) -> bool:  # noqa: A002 (the field's name)
        """Approve a correction; return False if it is missing, undone or already approved."""
        if id.bit_length() > 63:
            return False
        approver = None if who is None else _name_cell("who", who)
        with self._database.writing() as connection:
            return self._approve(connection, id, approver, utc_now())

    def _approve(
        self, connection: sqlite3.Connection, number: int | None, approver: bytes | None, at: str
    ) -> bool:
        self._database.check_ids_left(connection, "approvals")
        cursor = connection.execute(
            "INSERT OR IGNORE INTO approvals (correction, at, who) "
            "SELECT id, ?, ? FROM corrections WHERE id = ? AND undone IS NULL",
            (at, approver, number),
        )
        return cursor.rowcount == 1

    def mark_learned(self, numbers: Iterable[int], digest: str) -> None:
        """Record the digest of a model file trained on these corrections.

        Keeps the record of the first model trained on a correction.
        """
        cells = [(number, utc_now(), _name_cell("digest", digest)) for number in numbers]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO learned VALUES (?, ?, ?)", cells)

    def pending(self) -> list[int]:
        """Return the numbers of pending corrections, in ascending order."""
        query = f"SELECT corrections.id {_JOINED} WHERE {_PENDING} ORDER BY corrections.id"
        with self._database.reading() as connection:
            return [number for (number,) in connection.execute(query)]

    def of_texts(self, texts: Sequence[str]) -> list[Correction]:
        """Return all corrections of at most 1,000 texts, without undone ones."""
        marks = ", ".join("?" * len(texts))
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_ALL_COLUMNS} {_JOINED} "
                f"WHERE corrections.undone IS NULL AND corrections.text IN ({marks})",
                [to_cell(text) for text in texts],
            ).fetchall()
        return [self._correction(row) for row in rows]

    def get(self, numbers: Iterable[int]) -> list[Correction]:
        """Return corrections by number, in that order, without undone or missing ones."""
        found = []
        for number in numbers:
            with self._database.reading() as connection:
                row = connection.execute(
                    f"SELECT {_ALL_COLUMNS} {_JOINED} "
                    "WHERE corrections.id = ? AND corrections.undone IS NULL",
                    (number,),
                ).fetchone()
            if row is not None:
                found.append(self._correction(row))
        return found

    def rows(self, after: int = 0, max_rows: int | None = None) -> Iterator[Correction]:
        """Yield corrections with numbers above `after`, in order and without undone ones.

        Memory is bounded. Corrections added during the iteration may be included.
        """
        n_remaining = _PAGE_ROWS if max_rows is None else max_rows
        while n_remaining > 0:
            page = self._page(after, min(n_remaining, _PAGE_ROWS))
            if not page:
                return
            yield from page
            after = page[-1].id
            n_remaining -= 0 if max_rows is None else len(page)

    def count(self, after: int = 0, model: str | None = None) -> int:
        """Return the number of corrections with numbers above `after`, without undone ones.

        By default, corrections of all models are counted.
        """
        query = "SELECT count(*) FROM corrections WHERE id > ? AND undone IS NULL"
        if model is None:
            return int(self._database.query_value(query, after))
        return int(self._database.query_value(f"{query} AND model = ?", after, model.encode()))

    def count_approvals(self, after: int, model: str, last: int) -> int:
        """Return the number of approvals with numbers above `after`.

        Counts only corrections to `model`, up to number `last`.
        """
        return int(
            self._database.query_value(
                "SELECT count(*) FROM approvals JOIN corrections ON corrections.id = "
                "approvals.correction WHERE approvals.id > ? AND corrections.id <= ? AND "
                "undone IS NULL AND model = ?",
                after,
                last,
                model.encode(),
            )
        )

    def last_approval(self) -> int:
        """Return the largest approval number so far, or 0."""
        return int(self._database.query_value("SELECT coalesce(max(id), 0) FROM approvals"))

    def last(self) -> int:
        """Return the largest correction number so far, or 0."""
        return int(self._database.query_value("SELECT coalesce(max(id), 0) FROM corrections"))

    def note(self, name: str) -> str | None:
        """Return the note with this name, such as the last correction that a model learned from."""
        value = self._database.query_value("SELECT (SELECT value FROM notes WHERE name = ?)", name)
        return None if value is None else str(value)

    def set_notes(self, notes: Mapping[str, str]) -> None:
        """Store all notes by name, or none after an error."""
        with self._database.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", notes.items())

    def _page(self, after: int, max_rows: int) -> list[Correction]:
        page: list[Correction] = []
        n_bytes = 0
        with self._database.reading() as connection:
            cursor = connection.execute(
                f"SELECT {_ALL_COLUMNS} {_JOINED} "
                "WHERE corrections.id > ? AND corrections.undone IS NULL "
                "ORDER BY corrections.id LIMIT ?",
                (after, max_rows),
            )
            for cells in cursor:
                page.append(self._correction(cells))
                n_bytes += len(cells[1])
                if n_bytes > _PAGE_BYTES:
                    break
            cursor.close()  # an open reader would prevent a checkpoint of the write-ahead log
        return page

    def _correction(self, cells: tuple[Any, ...]) -> Correction:
        try:
            return from_cells(cells)
        except (ValueError, TypeError, OverflowError) as error:
            raise self._database.damaged_row(f"correction {cells[0]}", error) from error
