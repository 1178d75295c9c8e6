"""SQLite files that several processes open at once."""

from __future__ import annotations

import sqlite3
import time

#: Error codes that SQLite returns while another connection writes.
SQLITE_LOCKS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# Number of seconds between attempts.
_PAUSE = 0.01


def write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Let readers continue while another process writes (`journal_mode = WAL`).

    SQLite doesn't wait for this lock when two processes open a new file at once. After `patience`
    seconds, its error is raised.
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
        time.sleep(_PAUSE)
