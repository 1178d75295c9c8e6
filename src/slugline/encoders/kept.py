"""Rows that encoders have made, kept in one SQLite file for the next time.

Several processes may use the file at once. Nothing in it is trusted: each row has a checksum, a
row's size is checked before it is read, and a file that is damaged is thrown away. Failing to keep
rows only costs time, so it is a warning, never an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from slugline.base.arrays import F16
from slugline.cache import cache_folder
from slugline.databases import write_ahead
from slugline.encoders.checked import MAX_WIDTH

__all__ = ["KeptRows"]


#: Bytes that the file may have; beyond, a quarter of it is freed, oldest rows first.
MAX_BYTES = 1 << 30
_FORMAT = 1
_KEY_BYTES = 16
_CHECKSUM_BYTES = 4
_AT_ONCE = 500  # keys in a question; SQLite allows 999 everywhere
_PATIENCE = 5.0  # seconds to wait while another process writes
_TABLE = "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, key BLOB UNIQUE, row BLOB)"


class KeptRows:
    """The rows of one encoder in the cache; a context manager.

    Parameters
    ----------
    digest : str
        The encoder's.
    path : Path, optional
        The file; by default `encodings.sqlite` in the cache's folder.
    """

    def __init__(self, digest: str, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "encodings.sqlite"
        self._digest = digest.encode()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> KeptRows:
        with self._guarded():
            self._open()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._guarded():
            if self._connection is not None:
                self._connection.close()
        self._connection = None

    def keys(self, texts: Sequence[str]) -> list[bytes]:
        """Return what the row of each text is kept under."""
        start = hashlib.blake2b(self._digest, digest_size=_KEY_BYTES)
        keys = []
        for text in texts:
            state = start.copy()
            state.update(text.encode("utf-8", "surrogatepass"))
            keys.append(state.digest())
        return keys

    def find(self, keys: Sequence[bytes]) -> dict[bytes, F16]:
        """Return the rows that are kept under some of the keys; all have one width."""
        found: dict[bytes, F16] = {}
        with self._guarded():
            for start in range(0, len(keys), _AT_ONCE):
                found.update(self._ask(keys[start : start + _AT_ONCE]))
        width = len(next(iter(found.values()), ()))
        return {key: row for key, row in found.items() if len(row) == width}

    def keep(self, keys: Sequence[bytes], rows: F16) -> None:
        """Keep a row under each key; all of them or, if that fails, none."""
        if self._connection is None:
            return
        blobs = (_sealed(row.tobytes()) for row in rows.astype("<f2", copy=False))
        with self._guarded(), self._connection as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO rows (key, row) VALUES (?, ?)",
                zip(keys, blobs, strict=True),
            )
            _make_room(connection)

    def _ask(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, F16]]:
        if self._connection is None:
            return
        places = ",".join("?" * len(keys))
        answers = self._connection.execute(
            f"SELECT key, row FROM rows WHERE key IN ({places}) "  # noqa: S608 - question marks
            "AND typeof(row) = 'blob' AND length(row) <= ?",
            [*keys, 2 * MAX_WIDTH + _CHECKSUM_BYTES],
        )
        for key, blob in answers:
            yield key, _opened(blob)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn whatever goes wrong with the file into a warning."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                self._begin_again(error)
            else:
                self._give_up(f"can't be used: {error}; encodings are not kept")
        except OSError as error:
            self._give_up(f"can't be used: {error.strerror}; encodings are not kept")

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size > 2 * MAX_BYTES:
            raise sqlite3.DatabaseError("it is too large")
        connection = sqlite3.connect(self._path, _PATIENCE)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _begin_again(self, error: sqlite3.DatabaseError) -> None:
        self._give_up(f"is damaged ({error}) and is thrown away; texts are encoded again")
        self._throw_away()
        with contextlib.suppress(sqlite3.Error, OSError):
            self._open()

    def _give_up(self, what: str) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        warnings.warn(f"the cache {self._path} {what}.", RuntimeWarning, stacklevel=2)

    def _throw_away(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table in a new file; DatabaseError if an old one is none of ours."""
    ask = connection.execute
    ask("PRAGMA trusted_schema = OFF")
    ask("PRAGMA page_size = 8192")
    write_ahead(connection, _PATIENCE)
    ask("PRAGMA synchronous = NORMAL")
    version = ask("PRAGMA user_version").fetchone()[0]
    if version not in (0, _FORMAT):
        raise sqlite3.DatabaseError(f"its format is {version}")
    if version == 0:
        with connection:
            ask(_TABLE)
            ask(f"PRAGMA user_version = {_FORMAT}")
    ask("SELECT id, key, row FROM rows LIMIT 0")


def _make_room(connection: sqlite3.Connection) -> None:
    """Remove the oldest rows if the file is too large."""

    def pragma(name: str) -> int:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])

    used = (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")
    if used > MAX_BYTES:
        connection.execute(
            "DELETE FROM rows WHERE id <= (SELECT min(id) + (max(id) - min(id)) / 4 FROM rows)"
        )


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is to blame, and not a lock, the disk, or the right to write."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # ours have none
    return not isinstance(error, sqlite3.OperationalError) or code == sqlite3.SQLITE_ERROR


def _sealed(row: bytes) -> bytes:
    return zlib.crc32(row).to_bytes(_CHECKSUM_BYTES, "little") + row


def _opened(blob: bytes) -> F16:
    """Return the row in a blob; DatabaseError if it isn't what was written."""
    row = blob[_CHECKSUM_BYTES:]
    if not row or len(row) % 2 or _sealed(row) != blob:
        raise sqlite3.DatabaseError("a checksum differs")
    return np.frombuffer(row, dtype="<f2")
