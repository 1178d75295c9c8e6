"""SQLite files that several processes use at once."""

from __future__ import annotations

import sqlite3
import time

__all__ = ["write_ahead"]

# Seconds between two questions whether the file is free.
_PAUSE = 0.01


def write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Let readers go on while another process writes (`journal_mode = WAL`).

    SQLite waits for locks, but not for this one: two processes that open a new file at once may
    each hold what the other one needs, and one is told at once that the file is locked.

    Parameters
    ----------
    connection : sqlite3.Connection
    patience : float
        Seconds to go on asking.

    Raises
    ------
    sqlite3.Error : if the file is still locked then, or is none of SQLite's.
    """
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorcode & 0xFF in (
                sqlite3.SQLITE_BUSY,
                sqlite3.SQLITE_LOCKED,
            )
            if not is_locked or time.monotonic() > until:
                raise
        time.sleep(_PAUSE)
