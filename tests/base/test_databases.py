"""SQLite files that several processes open at once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from slugline.base.databases import write_ahead


def mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_write_ahead_switches_a_new_file_to_wal(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "new")) as connection:
        write_ahead(connection, 0)
        assert mode(connection) == "wal"


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
