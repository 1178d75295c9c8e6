"""Stores corrections in a SQLite file, flushed to disk before a correction is acknowledged.

Several threads and processes may use one file. Its content is not trusted, and a file written by
another program or a later version is left unchanged.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import SQLITE_LOCKS, write_ahead
from slugline.base.files import PathLike
from slugline.base.wording import counted
from slugline.corpus.documents import Topic, check_topic_names, to_plain_topics
from slugline.corpus.topic_sets import TopicSet
from slugline.corrections.doubts import CorrectionHead, Doubt, find_bursts
from slugline.errors import DataError, Parameter, StoreError

# Corrections --------------------------------------------------------------------------------------

#: The largest size of a text, in bytes of UTF-8.
MAX_TEXT_BYTES = 16 << 20
# The largest number of characters of a model's name or digest, and of a person's name.
_MAX_NAME = 1000
# The largest size of a tuple of topics, in bytes of JSON.
_MAX_TOPICS_BYTES = 1 << 15
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


class Correction(NamedTuple):
    """A model's answer for a text, and the right answer.

    Attributes
    ----------
    id : int
        Its number in the file; later corrections have larger numbers.
    text : str
    topic : str or int, or a tuple of them
        The right topic, which may be new to the model; in multilabel data, all right topics.
    answer : str or int, or a tuple of them
        The topic that the model gave, or its best guess; in multilabel data, the topics it gave.
    probability : float, from 0 to 1
        The model's probability of its answer; in multilabel data, of the most likely given topic.
    model, digest : str
        Name and digest of the model.
    who : str or None
        Who made the correction.
    at : str
        ISO 8601, UTC, as in "2026-01-31T08:15:00.250Z".
    is_named : bool
        Whether `who` is the name of a token, and not a name that somebody typed.
    approved : str or None
        When it was approved, in the format of `at`; None if it wasn't.
    approver : str or None
        Who approved it, if known.
    doubts : tuple of Doubt
        The reasons why the last training held it; see `CorrectionStore.hold`.
    learned : str or None
        When a model that learned from it was first saved, in the format of `at`; None if none was.
    learned_by : str or None
        The digest of that model.
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
    doubts: tuple[Doubt, ...] = ()
    learned: str | None = None
    learned_by: str | None = None

    @property
    def head(self) -> CorrectionHead:
        """The head of the correction: who made it, when, and for which model."""
        return CorrectionHead(
            id=self.id,
            at=self.at,
            model=self.model,
            who=self.who,
            is_named=self.is_named,
            approved=self.approved,
            is_learned=self.learned is not None,
        )


def to_cells(correction: Correction) -> tuple[Any, ...]:
    """Return the cells of a new correction in the order of `_COLUMNS`, without its number.

    Strings are stored as bytes, as a TEXT value ends at a NUL and can't contain unpaired
    surrogates. Names of tokens are stored as text, which distinguishes them from names that
    somebody typed.

    Raises
    ------
    DataError : if a value can't be stored; see `Correction` and `MAX_TEXT_BYTES`.
    """
    text, who = correction.text, correction.who
    if not isinstance(text, str):
        raise DataError(Parameter("text"), f" is {short_repr(text)}; give a string.")
    # A character has at least one byte, so a text with too many characters needn't be encoded.
    if len(text) > MAX_TEXT_BYTES or len(data := _to_bytes(text)) > MAX_TEXT_BYTES:
        raise DataError(
            Parameter("text"),
            f" has {len(text):,} characters, and the text of a correction may have "
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
    ValueError, TypeError, OverflowError : if the cells are not those of a correction.
    """
    number, text, topic, answer, probability, model, digest, who, at = cells[:9]
    approved, approver, doubts, learned, learned_by = cells[9:] or (None,) * 5
    times = [at, *(time for time in (approved, learned) if time is not None)]
    if not all(isinstance(time, str) and _TIME.fullmatch(time) for time in times):
        raise ValueError("a time is invalid")
    if not _is_probability(probability):
        raise ValueError("a probability is invalid")
    return Correction(
        id=int(number),
        text=_from_bytes(text),
        topic=_topic(topic),
        answer=_topic(answer),
        probability=float(probability),
        model=_from_bytes(model),
        digest=_from_bytes(digest),
        who=who if who is None or isinstance(who, str) else _from_bytes(who),
        at=at,
        is_named=isinstance(who, str),
        approved=approved,
        approver=None if approver is None else _from_bytes(approver),
        doubts=() if doubts is None else _decode_doubts(doubts),
        learned=learned,
        learned_by=None if learned_by is None else _from_bytes(learned_by),
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
    return _to_bytes(value)


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _from_bytes(cell: Any) -> str:
    if not isinstance(cell, bytes):
        raise ValueError("a text is invalid")
    return cell.decode("utf-8", "surrogatepass")


_decode_doubts = msgspec.json.Decoder(tuple[Doubt, ...]).decode
_decode_list = msgspec.json.Decoder(tuple[str | int | bool, ...]).decode


def _topic_cell(name: str, value: Topic | TopicSet) -> bytes | int | str:
    """Return a topic as bytes or a number, or a tuple of topics as text: a list in JSON."""
    topics = to_plain_topics(value if isinstance(value, tuple) else [value], name)
    check_topic_names(topics)
    if not isinstance(value, tuple):
        return _to_bytes(topics[0]) if isinstance(topics[0], str) else topics[0]
    cell = msgspec.json.encode(topics)
    if len(cell) > _MAX_TOPICS_BYTES:
        raise DataError(
            Parameter(name),
            f" has {counted(len(topics), 'topic')} of {len(cell):,} bytes in JSON, and may "
            f"have {_MAX_TOPICS_BYTES:,}; name fewer topics.",
        )
    return cell.decode()


def _topic(cell: Any) -> Topic | TopicSet:
    topic: Topic | TopicSet
    try:
        if isinstance(cell, str):
            topic = _decode_list(cell)
        else:
            topic = cell if isinstance(cell, int) else _from_bytes(cell)
        check_topic_names(topic if isinstance(topic, tuple) else [topic])
    except (DataError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    return topic


# The store ----------------------------------------------------------------------------------------

#: The application ID in SQLite's header, which marks a file as one of Slugline's: "slug".
APPLICATION = 0x736C7567
#: The version of the tables, in SQLite's header.
FORMAT = 2
_COLUMNS = "id, text, topic, answer, probability, model, digest, who, at"
# The text comes last, so that a query of other columns can skip its pages.
_FIRST_TABLES = (
    "CREATE TABLE corrections (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
    "undone TEXT, topic NOT NULL, answer NOT NULL, probability REAL NOT NULL, "
    "model BLOB NOT NULL, digest BLOB NOT NULL, who BLOB, text BLOB NOT NULL)",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)
# Added in format 2: approvals in order, why the last training held a correction (in JSON), and
# which corrections a saved model has learned from.
_MORE_TABLES = (
    "CREATE TABLE approvals (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "correction INTEGER NOT NULL UNIQUE, at TEXT NOT NULL, who BLOB)",
    "CREATE TABLE holds (correction INTEGER PRIMARY KEY, doubts TEXT NOT NULL)",
    "CREATE TABLE learned (correction INTEGER PRIMARY KEY, at TEXT NOT NULL, digest BLOB NOT NULL)",
)


def _schema(tables: Iterable[str], *unique: str) -> set[tuple[str, str, str, str | None]]:
    """Return the rows of `sqlite_schema`: type, name, table and SQL.

    SQLite adds an index to each table with a `unique` column, and the table `sqlite_sequence`.
    """
    schema: set[tuple[str, str, str, str | None]] = {
        ("table", "sqlite_sequence", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)")
    }
    for sql in tables:
        name = sql.split()[2]
        schema.add(("table", name, name, sql))
    schema |= {("index", f"sqlite_autoindex_{name}_1", name, None) for name in unique}
    return schema


_SCHEMAS = {
    1: _schema(_FIRST_TABLES, "notes"),
    FORMAT: _schema(_FIRST_TABLES + _MORE_TABLES, "notes", "approvals"),
}
_JOINED = (
    "FROM corrections LEFT JOIN approvals ON approvals.correction = corrections.id "
    "LEFT JOIN holds ON holds.correction = corrections.id "
    "LEFT JOIN learned ON learned.correction = corrections.id"
)
_ALL_COLUMNS = ", ".join(f"corrections.{name}" for name in _COLUMNS.split(", "))
_ALL_COLUMNS += ", approvals.at, approvals.who, holds.doubts, learned.at, learned.digest"
#: The largest number of a correction: 18 digits, as SQLite's integers have at most 19.
MAX_ID = 10**18 - 1
# The size of SQLite's header.
_HEADER_BYTES = 100
# A row's text and all other cells.
_MAX_ROW_BYTES = MAX_TEXT_BYTES + (1 << 17)
# The largest number of rows, and of bytes of text, that are read together.
_PAGE_ROWS, _PAGE_BYTES = 500, 4 << 20
_PERMISSION_CODES = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


class CorrectionStore(contextlib.AbstractContextManager["CorrectionStore"]):
    """Corrections in one file, for several threads; a context manager.

    All methods raise StoreError if the file can't be read or written, or is damaged.

    Parameters
    ----------
    path : str or Path
    patience : float, default 5.0
        Seconds to wait while another process or thread writes.
    create : bool, default True
        Whether to create a missing file.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or is of another program or version.
    """

    def __init__(self, path: PathLike, *, patience: float = 5.0, create: bool = True) -> None:
        self.path = Path(path)
        self._patience = patience
        self._create = create
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._is_closed = False
        #: The error of the last use of the file; None if there was none.
        self.problem: str | None = None
        with self._using("opened"):
            pass

    def __exit__(self, *exception: object) -> None:
        self.close()

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
    ) -> Correction:
        """Store a correction; return it once it is on disk.

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
        with self._using("written") as connection, _transaction(connection):
            self._check_has_numbers(connection, "corrections")
            cursor = connection.execute(
                f"INSERT INTO corrections ({_COLUMNS}) VALUES (NULL,?,?,?,?,?,?,?,?)",  # noqa: S608
                cells,
            )
        return from_cells((cursor.lastrowid, *cells))

    def undo(self, id: int) -> bool:  # noqa: A002 (the field's name)
        """Mark a correction as undone; return whether it existed and was not undone yet."""
        if id.bit_length() > 63:  # too large for SQLite
            return False
        with self._using("written") as connection, _transaction(connection):
            cursor = connection.execute(
                "UPDATE corrections SET undone = ? WHERE id = ? AND undone IS NULL", (utc_now(), id)
            )
        return cursor.rowcount == 1

    def approve(self, id: int, who: str | None = None) -> bool:  # noqa: A002 (the field's name)
        """Approve a correction; return whether it existed and was neither undone nor approved."""
        if id.bit_length() > 63:
            return False
        approver = None if who is None else _name_cell("who", who)
        with self._using("written") as connection, _transaction(connection):
            self._check_has_numbers(connection, "approvals")
            cursor = connection.execute(
                "INSERT OR IGNORE INTO approvals (correction, at, who) "
                "SELECT id, ?, ? FROM corrections WHERE id = ? AND undone IS NULL",
                (utc_now(), approver, id),
            )
        return cursor.rowcount == 1

    def hold(self, doubts: Mapping[int, Sequence[Doubt]]) -> None:
        """Record the doubts about corrections; corrections without doubts are not held."""
        cells = [
            (number, msgspec.json.encode([*reasons]).decode()) for number, reasons in doubts.items()
        ]
        with self._using("written") as connection, _transaction(connection):
            connection.executemany("INSERT OR REPLACE INTO holds VALUES (?, ?)", cells)

    def mark_learned(self, numbers: Iterable[int], digest: str) -> None:
        """Record that a model file with this digest has learned from some corrections.

        If a correction already has such a record, that of the first model is kept.
        """
        cells = [(number, utc_now(), _name_cell("digest", digest)) for number in numbers]
        with self._using("written") as connection, _transaction(connection):
            connection.executemany("INSERT OR IGNORE INTO learned VALUES (?, ?, ?)", cells)

    def heads(self) -> list[CorrectionHead]:
        """Return the heads of all corrections that weren't undone."""
        with self._using("read") as connection:
            cells = connection.execute(
                "SELECT corrections.id, corrections.at, model, corrections.who, approvals.at, "
                f"learned.at IS NOT NULL {_JOINED} WHERE undone IS NULL"
            ).fetchall()
        heads = []
        for number, at, model, who, approved, is_learned in cells:
            times = (at,) if approved is None else (at, approved)
            if not all(isinstance(time, str) and _TIME.fullmatch(time) for time in times):
                raise self._damaged(number, "a time is invalid")
            is_named = isinstance(who, str)
            try:
                name = _from_bytes(model)
                person = who if who is None or is_named else _from_bytes(who)
            except ValueError as error:
                raise self._damaged(number, error) from error
            heads.append(
                CorrectionHead(
                    id=number,
                    at=at,
                    model=name,
                    who=person,
                    is_named=is_named,
                    approved=approved,
                    is_learned=bool(is_learned),
                )
            )
        return heads

    def held(self) -> dict[int, tuple[Doubt, ...]]:
        """Return the doubts about corrections that wait for approval.

        They are those of the last training, and bursts since then.
        """
        heads = self.heads()
        with self._using("read") as connection:
            recorded = dict(connection.execute("SELECT correction, doubts FROM holds").fetchall())
        bursts, held = find_bursts(heads), dict[int, tuple[Doubt, ...]]()
        for head in heads:
            if head.approved is not None:
                continue
            try:
                doubts = _decode_doubts(recorded[head.id]) if head.id in recorded else ()
            except (msgspec.DecodeError, TypeError) as error:
                raise self._damaged(head.id, error) from error
            # Training has already searched for support of a burst.
            if head.id in bursts and head.id not in recorded:
                doubts = (bursts[head.id],)
            if doubts:
                held[head.id] = doubts
        return held

    def get(self, numbers: Iterable[int]) -> list[Correction]:
        """Return corrections by number, in that order, without undone or missing ones."""
        found = []
        for number in numbers:
            with self._using("read") as connection:
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

        Memory is bounded. Corrections that are added during the iteration may be included.
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

        Count those of one model or, by default, of all models.
        """
        query = "SELECT count(*) FROM corrections WHERE id > ? AND undone IS NULL"
        if model is None:
            return int(self._query_value(query, after))
        return int(self._query_value(f"{query} AND model = ?", after, model.encode()))

    def count_approvals(self, after: int, model: str, last: int) -> int:
        """Return the number of approvals with numbers above `after`.

        Only approvals of corrections to one model, up to number `last`, are counted.
        """
        return int(
            self._query_value(
                "SELECT count(*) FROM approvals JOIN corrections ON corrections.id = "
                "approvals.correction WHERE approvals.id > ? AND corrections.id <= ? AND "
                "undone IS NULL AND model = ?",
                after,
                last,
                model.encode(),
            )
        )

    def last_approval(self) -> int:
        """Return the largest number of an approval so far; 0 if there are none."""
        return int(self._query_value("SELECT coalesce(max(id), 0) FROM approvals"))

    def last(self) -> int:
        """Return the largest number of a correction so far; 0 if there are none."""
        return int(self._query_value("SELECT coalesce(max(id), 0) FROM corrections"))

    def note(self, name: str) -> str | None:
        """Return the note with this name, such as the last correction that a model learned from."""
        value = self._query_value("SELECT (SELECT value FROM notes WHERE name = ?)", name)
        return None if value is None else str(value)

    def set_notes(self, notes: Mapping[str, str]) -> None:
        """Store notes by name, either all or none of them."""
        with self._using("written") as connection, _transaction(connection):
            connection.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", notes.items())

    def close(self) -> None:
        """Close the file; later calls raise StoreError."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def _page(self, after: int, max_rows: int) -> list[Correction]:
        page: list[Correction] = []
        n_bytes = 0
        with self._using("read") as connection:
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
            raise self._damaged(cells[0], error) from error

    def _damaged(self, number: object, error: object) -> StoreError:
        return StoreError(
            f"{self.path} is damaged: correction {number} can't be read ({error}); restore the "
            "file from a copy."
        )

    def _query_value(self, query: str, *values: int | str | bytes) -> Any:
        """Return the first cell of the first row."""
        with self._using("read") as connection:
            return connection.execute(query, values).fetchone()[0]

    # The connection --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _using(self, verb: str) -> Iterator[sqlite3.Connection]:
        """Lock the connection for one thread, and record an error of the file in `problem`."""
        try:
            with self._locked(verb) as connection:
                yield connection
        except StoreError as error:
            self.problem = f"{error}"
            raise
        self.problem = None

    @contextlib.contextmanager
    def _locked(self, verb: str) -> Iterator[sqlite3.Connection]:
        """Lock the connection for one thread; `verb` says in errors what can't be done."""
        if not self._lock.acquire(timeout=self._patience):
            raise self._busy(verb)
        try:
            yield self._connected()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in (*SQLITE_LOCKS, sqlite3.SQLITE_FULL):
                self._disconnect()  # so that the next call connects again
            raise self._failed(verb, code, error) from error
        except UnicodeDecodeError as error:  # of a name in a message of SQLite
            self._disconnect()
            raise self._not_utf8() from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(
                f"{self.path} can't be {verb} ({error.strerror or error}); check the folder, or "
                "name another file."
            ) from error
        finally:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        """Return the connection; raise StoreError if the file was moved.

        Nobody would search a moved file for corrections, and a new file in its place could clash
        with processes that still use the log of the old one.
        """
        if self._is_closed:
            raise StoreError(f"{self.path} was closed; open it again.")
        if self._connection is not None and _identity(self.path) != self._file:
            self._write_back()
            raise StoreError(
                f"{self.path} was moved, removed or replaced while it was in use; put it back, or "
                "start again."
            )
        if self._connection is None:
            self._connection = self._open()
            self._file = _identity(self.path)
        return self._connection

    def _write_back(self) -> None:
        """Copy the write-ahead log into the file, even if the file was moved."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _disconnect(self) -> None:
        self._write_back()  # closing does the same, but not if the file was moved
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self.path.exists() and not self.path.is_file():
            raise self._foreign("a folder" if self.path.is_dir() else "a device or pipe")
        if not self.path.exists() and not self._create:
            raise StoreError(f"{self.path} doesn't exist; name a file that holds corrections.")
        if not self.path.parent.is_dir():
            raise StoreError(
                f"there is no folder {self.path.parent} for {self.path.name}; create it, or name "
                "another file."
            )
        # SQLite takes a file of one byte for an empty one.
        if self.path.exists() and 0 < self.path.stat().st_size < _HEADER_BYTES:
            raise self._foreign("not an SQLite file")
        is_cut = _has_cut_page(self.path)
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_ROW_BYTES)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA synchronous = FULL")
            self._make_tables(connection)
            self._check_tables(connection)
            write_ahead(connection, self._patience)
            [state] = connection.execute("PRAGMA quick_check(1)").fetchone()
            if is_cut and state == "ok":
                state = "its last page is incomplete"
            if state != "ok":
                found = " ".join(str(state).split())  # SQLite's message has several lines
                raise StoreError(f"{self.path} is damaged ({found}); restore it from a copy.")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables of a new file, or those that a file of format 1 lacks.

        They are created in one transaction, before a new file has a write-ahead log.
        """
        if self._version(connection) == FORMAT:
            return
        with _transaction(connection):
            version = self._version(connection)  # again, as another process may have made them
            if version == 1:
                self._check_tables(connection, version)
            if version == FORMAT:
                return
            tables = _FIRST_TABLES + _MORE_TABLES if version == 0 else _MORE_TABLES
            for table in tables:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the format of the file; 0 if the file is empty.

        Raises StoreError if another program or a later version wrote it.
        """
        queries = (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_schema",
        )
        application, version, n_tables = (
            int(connection.execute(query).fetchone()[0]) for query in queries
        )
        if application == version == n_tables == 0:
            return 0
        if application != APPLICATION:
            raise self._foreign("the file of another program")
        if version > FORMAT:
            raise StoreError(
                f"{self.path} holds corrections in format {version}, which a later Slugline wrote, "
                f"and this one knows format {FORMAT}; install a newer Slugline, or name another "
                "file."
            )
        if version not in _SCHEMAS:
            raise self._foreign_tables_error()
        return version

    def _check_tables(self, connection: sqlite3.Connection, version: int = FORMAT) -> None:
        """Check that the file has only Slugline's tables, with what SQLite adds to them.

        A trigger, whatever its name, could change rows or delete them.
        """
        schema = _SCHEMAS[version]
        entries = connection.execute(
            "SELECT type, name, tbl_name, substr(sql, 1, 1000) FROM sqlite_schema LIMIT ?",
            (len(schema) + 1,),
        ).fetchall()
        if len(entries) != len(schema) or {*entries} != schema:
            raise self._foreign_tables_error()

    def _check_has_numbers(
        self, connection: sqlite3.Connection, table: Literal["corrections", "approvals"]
    ) -> None:
        """Raise StoreError if no number is left for a new row, as in a manipulated file."""
        last = connection.execute(
            f"SELECT max(coalesce((SELECT max(id) FROM {table}), 0), "  # noqa: S608
            "coalesce((SELECT max(CAST(seq AS INTEGER)) FROM sqlite_sequence WHERE name = ?), 0))",
            (table,),
        ).fetchone()[0]
        if last >= MAX_ID:
            raise StoreError(
                f"{self.path} can't be written: it numbers {table} up to {last}, the largest "
                "number possible; restore it from a copy, or name another file."
            )

    # Messages --------------------------------------------------------------------------------

    def _foreign_tables_error(self) -> StoreError:
        return StoreError(
            f"{self.path} is marked as a file of corrections, but has other tables, indices, views "
            "or triggers than Slugline makes; restore it from a copy, or name another file."
        )

    def _foreign(self, kind: str) -> StoreError:
        return StoreError(
            f"{self.path} holds no corrections: it is {kind}; name "
            + (
                "another file, or one that doesn't exist yet."
                if self._create
                else "the file that `slugline serve --corrections` keeps; labelled texts are DATA."
            )
        )

    def _not_utf8(self) -> StoreError:
        return StoreError(
            f"{self.path} is damaged: one of its texts is not UTF-8; restore it from a copy."
        )

    def _busy(self, verb: str) -> StoreError:
        return StoreError(
            f"{self.path} can't be {verb}: another process has been writing to it for "
            f"{self._patience:g} s; try again."
        )

    def _failed(self, verb: str, code: int, error: sqlite3.Error) -> StoreError:
        failure = f"{self.path} can't be {verb}"
        if code in SQLITE_LOCKS:
            return self._busy(verb)
        if code == sqlite3.SQLITE_FULL:
            return StoreError(f"{failure}: the disk is full; free some space and try again.")
        if code in _PERMISSION_CODES:
            return StoreError(
                f"{failure} ({error}); Slugline must be able to write to this file and its folder, "
                "so fix the permissions, or name another file."
            )
        if code == sqlite3.SQLITE_NOTADB:
            return self._foreign("not an SQLite file")
        if isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
            return self._not_utf8()  # an error of Python, where SQLite has none
        if code == sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"{self.path} is damaged ({error}); restore it from a copy, or save what can be "
                "saved with: sqlite3 FILE .recover"
            )
        return StoreError(f"{failure} ({error}); check the disk and try again.")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all changes to disk, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _has_cut_page(path: Path) -> bool:
    """Whether the last page of a SQLite file is incomplete; SQLite would fill it with zeros.

    A page may be incomplete as long as it is also in a log.
    """
    logs = (path.with_name(f"{path.name}-{log}") for log in ("wal", "journal"))
    if not path.exists() or any(log.exists() for log in logs):
        return False
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:  # SQLite says why
        return False
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 1 << 16 if page_bytes == 1 else page_bytes  # which needs a third byte
    return page_bytes > 0 and path.stat().st_size % page_bytes != 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def utc_now() -> str:
    """Return the current time in the format of `Correction.at`."""
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
