"""Slugline's SQLite files, flushed to disk before a change is acknowledged.

Several threads and processes may share a file. Its content is untrusted; files of other programs
or later versions are left unchanged.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from slugline.base.files import PathLike
from slugline.base.wording import one_line
from slugline.errors import StoreError

#: SQLite error codes while another connection writes.
SQLITE_LOCKS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
#: The largest row number: 18 digits, since SQLite's integers have at most 19.
MAX_ID = 10**18 - 1
# Application ID of each kind of database in SQLite's header: "sllb" and "slwt".
_APPLICATION_IDS = {"labels": 0x736C6C62, "daily sums": 0x736C7774}
# Advice for files opened as the wrong kind.
_USES = {"a database of daily sums": "count its texts with `slugline count`, or "}
_HEADER_BYTES = 100  # of SQLite's header
_PERMISSION_CODES = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_MAX_REASON_LENGTH = 200
_RETRY_SECONDS = 0.01
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


class DatabaseFormat(NamedTuple):
    """Content and tables of one kind of database.

    Attributes
    ----------
    content : {"labels", "daily sums"}
        The content, as named in messages.
    tables : tuple of str
        The statements that create the tables.
    max_row_bytes : int
        The maximum size of a row.
    hint : str
        Where to find such a file, for messages.
    version : int, default 1
        The format version, stored in SQLite's header. Increase it when the tables change.
    """

    content: str
    tables: tuple[str, ...]
    max_row_bytes: int
    hint: str
    version: int = 1

    @property
    def application_id(self) -> int:
        """The application ID in SQLite's header."""
        return _APPLICATION_IDS[self.content]

    def is_of(self, path: PathLike) -> bool:
        """Return True if the header of a file has this format."""
        try:
            with Path(path).open("rb") as file:
                header = file.read(72)
        except (OSError, ValueError):
            return False
        is_database = header.startswith(b"SQLite format 3\0")
        return is_database and header[68:] == self.application_id.to_bytes(4)


class Database(contextlib.AbstractContextManager["Database"]):
    """A thread-safe SQLite file with the tables of one format; a context manager.

    All methods raise StoreError if the file can't be read or written, or is damaged.

    Parameters
    ----------
    path : str or Path
    database_format : DatabaseFormat
    patience : float, default 5.0
        Seconds to wait while another process or thread writes.
    create : bool, default True
        Create the file if it is missing.
    is_read_only : bool, default False
        Open the file for reading only, so that its folder may be read-only.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or was written by another program or
        version.
    """

    def __init__(
        self,
        path: PathLike,
        database_format: DatabaseFormat,
        *,
        patience: float = 5.0,
        create: bool = True,
        is_read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self._format = database_format
        self._patience = patience
        self._create = create and not is_read_only
        self._is_read_only = is_read_only
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._is_closed = False
        #: The error of the last operation on the file, or None.
        self.problem: str | None = None
        with self._using("opened"):
            pass

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lock the connection for one reading thread, which sees a consistent snapshot."""
        with self._using("read") as connection, _transaction(connection, "BEGIN"):
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lock the connection for one writing thread.

        All changes are on disk when the context ends; after an error, none are.
        """
        with self._using("written") as connection, _transaction(connection, "BEGIN IMMEDIATE"):
            yield connection

    def query_value(self, query: str, *values: int | str | bytes) -> Any:
        """Return the first cell of the first row."""
        with self.reading() as connection:
            return connection.execute(query, values).fetchone()[0]

    def check_ids_left(self, connection: sqlite3.Connection, table: str) -> None:
        """Raise StoreError if row numbers are exhausted, as in a manipulated file."""
        last = connection.execute(
            f"SELECT max(coalesce((SELECT max(id) FROM {table}), 0), "  # noqa: S608
            "coalesce((SELECT max(CAST(seq AS INTEGER)) FROM sqlite_sequence WHERE name = ?), 0))",
            (table,),
        ).fetchone()[0]
        if last >= MAX_ID:
            raise StoreError(
                f"{self.path} can't be written: it numbers {table} up to {last}, the maximum; "
                "restore it from a copy, or choose another file."
            )

    def damaged_row(self, row: str, error: object) -> StoreError:
        """Return the error for an unreadable row; `row` names it, such as "correction 7"."""
        reason = one_line(f"{error}", _MAX_REASON_LENGTH)
        return StoreError(
            f"{self.path} is damaged: {row} can't be read ({reason}); restore the file from a copy."
        )

    def close(self) -> None:
        """Close the file; later calls raise StoreError."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    # The connection --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _using(self, verb: str) -> Iterator[sqlite3.Connection]:
        """Lock the connection for one thread, and record any file error in `problem`.

        `verb` names the failed operation in errors.
        """
        if not self._lock.acquire(timeout=self._patience):
            raise self._busy(verb)
        problem = None
        try:
            with self._translated(verb):
                yield self._connected()
        except StoreError as error:
            problem = f"{error}"
            raise
        finally:
            self.problem = problem
            self._lock.release()

    @contextlib.contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        """Convert errors of SQLite and the operating system to StoreError."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in (*SQLITE_LOCKS, sqlite3.SQLITE_FULL):
                self._disconnect()  # the next call reconnects
            raise self._failed(verb, code, error) from error
        except UnicodeDecodeError as error:  # a name in one of SQLite's messages
            self._disconnect()
            raise self._not_utf8() from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(
                f"{self.path} can't be {verb} ({error.strerror or error}); check the folder, or "
                "choose another file."
            ) from error

    def _connected(self) -> sqlite3.Connection:
        """Return the connection; raise StoreError if the file was moved.

        Rows written to a moved file would be lost, and a new file at this path could be mixed up
        with the log of the old one.
        """
        if self._is_closed:
            raise StoreError(f"{self.path} was closed; open it again.")
        if self._connection is not None and _identity(self.path) != self._file:
            self._write_back()
            raise StoreError(
                f"{self.path} was moved, removed or replaced while it was in use; move it back, "
                "or restart."
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
        self._write_back()  # closing does this too, but not if the file was moved
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        self._check_path()
        is_cut = _has_incomplete_page(self.path)
        connection = self._connect()
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._format.max_row_bytes)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA synchronous = FULL")
            self._make_tables(connection)
            self._check_tables(connection)
            if not self._is_read_only:
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

    def _check_path(self) -> None:
        """Raise StoreError unless the path is suitable for a database."""
        if self.path.exists() and not self.path.is_file():
            raise self._foreign("a folder" if self.path.is_dir() else "a device or pipe")
        if not self.path.exists() and not self._create:
            raise StoreError(f"{self.path} doesn't exist; name a file of {self._format.content}.")
        if not self.path.parent.is_dir():
            raise StoreError(
                f"there is no folder {self.path.parent} for {self.path.name}; create it, or "
                "choose another file."
            )
        # SQLite treats a file of one byte as empty.
        if self.path.exists() and 0 < self.path.stat().st_size < _HEADER_BYTES:
            raise self._foreign("not an SQLite file")

    def _connect(self) -> sqlite3.Connection:
        """Return a new connection that has not read the file yet."""
        connect = functools.partial(
            sqlite3.connect, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        if not self._is_read_only:
            return connect(self.path)
        # A writable connection deletes its log at the end. In a read-only folder, SQLite can't
        # create a log or share the file with a writing process; if no such process has left a log,
        # the file is complete.
        uri = self.path.absolute().as_uri()
        for mode in ("rw", "ro"):
            connection = connect(f"{uri}?mode={mode}", uri=True)
            try:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.Error as error:
                connection.close()
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
                if code not in _PERMISSION_CODES:
                    raise
                if mode == "ro" and _logs(self.path):
                    raise
            else:
                return connection
        return connect(f"{uri}?mode=ro&immutable=1", uri=True)

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables of a new file in one transaction, before it has a write-ahead log."""
        if self._version(connection):
            return
        if self._is_read_only:
            raise self._foreign("an empty file")
        with _transaction(connection, "BEGIN IMMEDIATE"):
            if self._version(connection):  # again: another process may have made them
                return
            for table in self._format.tables:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {self._format.application_id}")
            connection.execute(f"PRAGMA user_version = {self._format.version}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's format; 0 if the file is empty.

        Raises StoreError if another program or another version wrote it.
        """
        # Use one statement, since another process may create the tables between two.
        application_id, version, n_tables = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) "
            "FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if application_id == version == n_tables == 0:
            return 0
        if application_id != self._format.application_id:
            content = next(
                (name for name, other in _APPLICATION_IDS.items() if other == application_id), None
            )
            raise self._foreign(
                f"a database of {content}" if content else "the file of another program"
            )
        if version < 1:
            raise self._foreign_tables_error()
        if version != self._format.version:
            is_later = version > self._format.version
            age, needed = ("a later", "a newer") if is_later else ("an earlier", "an older")
            raise StoreError(
                f"{self.path} contains {self._format.content} in format {version} of {age} "
                f"Slugline; this one supports format {self._format.version}. Install {needed} "
                "Slugline, or choose another file."
            )
        return int(version)

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        """Check that the file contains only Slugline's tables and SQLite's internal ones.

        A trigger of any name could change or delete rows.
        """
        schema = _schema(self._format.tables)
        longest = max(len(sql or "") for *_, sql in schema)
        entries = connection.execute(
            "SELECT type, name, tbl_name, substr(sql, 1, ?) FROM sqlite_schema LIMIT ?",
            (longest + 1, len(schema) + 1),
        ).fetchall()
        if len(entries) != len(schema) or {*entries} != schema:
            raise self._foreign_tables_error()

    # Messages --------------------------------------------------------------------------------

    def _foreign_tables_error(self) -> StoreError:
        return StoreError(
            f"{self.path} is marked as a file of {self._format.content}, but has unknown tables, "
            "indexes, views or triggers; restore it from a copy, or choose another file."
        )

    def _foreign(self, kind: str) -> StoreError:
        advice = f"{_USES.get(kind, '')}name {self._format.hint}."
        if self._create:
            advice = "choose another file, or one that doesn't exist yet."
        return StoreError(f"{self.path} holds no {self._format.content}: it is {kind}; {advice}")

    def _not_utf8(self) -> StoreError:
        return StoreError(
            f"{self.path} is damaged: one of its texts is not UTF-8; restore it from a copy."
        )

    def _busy(self, verb: str) -> StoreError:
        return StoreError(
            f"{self.path} can't be {verb}: another thread or process has been using it for "
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
                f"{failure} ({error}); allow writing to the file and its folder, or choose another "
                "file."
            )
        if code == sqlite3.SQLITE_TOOBIG:
            limit = self._format.max_row_bytes / 1e6
            return StoreError(f"{failure}: a row has more than {limit:.1f} MB; shorten it.")
        if code == sqlite3.SQLITE_NOTADB:
            return self._foreign("not an SQLite file")
        if isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
            return self._not_utf8()  # raised by Python, not SQLite
        if code == sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"{self.path} is damaged ({error}); restore it from a copy, or save what can be "
                "saved with: sqlite3 FILE .recover"
            )
        return StoreError(f"{failure} ({error}); check the disk and try again.")


class DatabaseStore:
    """Base class of stores in a database; a context manager that closes the file.

    Parameters
    ----------
    path, database_format, **options : see `Database`
    """

    def __init__(self, path: PathLike, database_format: DatabaseFormat, **options: Any) -> None:
        self._database = Database(path, database_format, **options)

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._database.path

    @property
    def problem(self) -> str | None:
        """The error of the last operation on the file, or None."""
        return self._database.problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; later calls raise StoreError."""
        self._database.close()


@functools.cache
def _schema(tables: tuple[str, ...]) -> set[tuple[str, str, str, str | None]]:
    """Return the expected rows of `sqlite_schema`: type, name, table and SQL."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in tables:
            connection.execute(statement)
        return {*connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")}


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Commit all changes to disk, or none."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Let readers continue while another process writes (`journal_mode = WAL`).

    SQLite doesn't wait for this lock when two processes open a new file simultaneously, so this
    function retries for `patience` seconds and then raises SQLite's error.
    """
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorcode & 0xFF in SQLITE_LOCKS
            if not is_locked or time.monotonic() > until:
                raise
        time.sleep(_RETRY_SECONDS)


def _logs(path: Path) -> list[Path]:
    """Return the existing logs of a SQLite file."""
    logs = (path.with_name(f"{path.name}-{log}") for log in ("wal", "journal"))
    return [log for log in logs if log.exists()]


def _has_incomplete_page(path: Path) -> bool:
    """Return True if the last page of a file is incomplete; SQLite would zero-fill it.

    An incomplete page is valid while a log also contains it.
    """
    if not path.exists() or _logs(path):
        return False
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:  # SQLite reports the reason
        return False
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 1 << 16 if page_bytes == 1 else page_bytes  # too large for two bytes
    return page_bytes > 0 and path.stat().st_size % page_bytes != 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


# Cells --------------------------------------------------------------------------------------------


def to_cell(text: str) -> bytes:
    """Encode a string as bytes, since TEXT ends at NUL and can't contain lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def from_cell(cell: Any) -> str:
    """Decode a cell; raise ValueError unless it contains UTF-8 bytes."""
    if not isinstance(cell, bytes):
        raise ValueError("a text is invalid")
    return cell.decode("utf-8", "surrogatepass")


def is_time(cell: Any) -> bool:
    """Return True if a cell is a time in the format of `utc_now`."""
    if not isinstance(cell, str) or _TIME.fullmatch(cell) is None:
        return False
    try:
        datetime.datetime.fromisoformat(cell)
    except ValueError:  # such as 31 February
        return False
    return True


def utc_now() -> str:
    """Return the current UTC time in ISO 8601, such as "2026-01-31T08:15:00.250Z"."""
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
