"""SQLite files that several processes open at once."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from slugline.base.databases import Database, DatabaseFormat, write_ahead
from slugline.errors import DataError, StoreError


def mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def locked(path: Path) -> sqlite3.Connection:
    """Return a connection that holds a new file."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_write_ahead_waits_for_another_connection(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with closing(locked(path)) as other, closing(sqlite3.connect(path, timeout=0)) as connection:
        timer = threading.Timer(0.1, lambda: other.execute("COMMIT"))
        timer.start()
        write_ahead(connection, 30)
        timer.join()
        assert mode(connection) == "wal"


def test_write_ahead_raises_once_its_patience_ends(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with (
        closing(locked(path)),
        closing(sqlite3.connect(path, timeout=0)) as connection,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        write_ahead(connection, 0.05)


def test_write_ahead_raises_at_once_for_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with (
        closing(sqlite3.connect(tmp_path / "text")) as connection,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        write_ahead(connection, 600)


# Databases ----------------------------------------------------------------------------------------

FORM = DatabaseFormat(
    content="labels",
    tables=("CREATE TABLE names (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)",),
    max_row_bytes=1000,
    hint="the file of labels",
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Yield the path of a database with one row, in a folder of its own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with Database(folder / "names.db", FORM) as database, database.writing() as connection:
        connection.execute("INSERT INTO names (name) VALUES ('Kim')")
    yield folder / "names.db"
    folder.chmod(0o700)


def test_database_writes_nothing_if_a_statement_fails(path: Path) -> None:
    with Database(path, FORM) as database:
        with pytest.raises(StoreError, match="UNIQUE"), database.writing() as connection:
            connection.executemany("INSERT INTO names VALUES (?, 'Lee')", [(2,), (1,)])
        assert database.query_value("SELECT count(*) FROM names") == 1


def test_database_names_the_content_of_another_database(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Database(path, FORM._replace(content="daily sums"))
    assert str(caught.value) == (
        f"{path} holds no daily sums: it is a database of labels; choose another file, or one that "
        "doesn't exist yet."
    )
    assert path.read_bytes() == before


def test_database_that_is_read_only_rejects_changes(path: Path) -> None:
    with Database(path, FORM, is_read_only=True) as database:
        with (
            pytest.raises(StoreError, match="allow writing to the file"),
            database.writing() as rows,
        ):
            rows.execute("DELETE FROM names")
        assert database.query_value("SELECT name FROM names") == "Kim"


def test_database_that_is_read_only_sees_what_another_process_writes(path: Path) -> None:
    with Database(path, FORM) as writer, Database(path, FORM, is_read_only=True) as reader:
        with writer.writing() as connection:
            connection.execute("INSERT INTO names (name) VALUES ('Lee')")
        assert reader.query_value("SELECT count(*) FROM names") == 2


def test_database_reads_rows_of_one_moment(path: Path) -> None:
    with Database(path, FORM) as writer, Database(path, FORM) as reader:
        with reader.reading() as rows:
            n_before = rows.execute("SELECT count(*) FROM names").fetchone()
            with writer.writing() as connection:
                connection.execute("INSERT INTO names (name) VALUES ('Lee')")
            assert rows.execute("SELECT count(*) FROM names").fetchone() == n_before
        assert reader.query_value("SELECT count(*) FROM names") == n_before[0] + 1


def test_database_forgets_an_error_once_the_file_is_used_again(path: Path) -> None:
    with Database(path, FORM) as database:
        with pytest.raises(StoreError), database.reading() as rows:
            rows.execute("SELECT nothing")
        assert database.problem is not None
        with pytest.raises(DataError), database.reading():
            raise DataError("of the caller")
        assert database.problem is None


def test_database_that_is_read_only_rejects_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreError) as caught:
        Database(path, FORM, is_read_only=True)
    assert str(caught.value) == f"{path} holds no labels: it is an empty file; name {FORM.hint}."
    assert not path.stat().st_size


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="there are other permissions")
def test_database_is_read_from_a_folder_without_write_permission(path: Path) -> None:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    temporary = Path(tempfile.gettempdir())
    for parent in path.parent.parents:
        if parent.is_relative_to(temporary) and parent != temporary:
            parent.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        with Database(path, FORM, is_read_only=True) as database:
            assert database.query_value("SELECT name FROM names") == "Kim"
    finally:
        if is_root:
            os.seteuid(0)
