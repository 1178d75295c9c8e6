"""Encode texts, each distinct text once, with a cache of rows."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from slugline.base.arrays import F16, F32, Floats
from slugline.base.checks import count_threads
from slugline.base.databases import write_ahead
from slugline.base.files import cache_folder
from slugline.base.progress import SILENT, Progress, announce
from slugline.base.threads import limit_blas, map_in_order
from slugline.base.wording import counted
from slugline.corpus.documents import check_texts
from slugline.learning.encoder.encoder import CheckedEncoder, get_encoder
from slugline.learning.encoder.registry import Encoder

# Cache --------------------------------------------------------------------------------------------

#: File size in bytes at which a quarter of it is freed, oldest rows first.
MAX_BYTES = 1 << 30
_KEY_BYTES = 16
_TABLE = "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, key BLOB UNIQUE, row BLOB)"


class RowCache:
    """The cached rows of one encoder, in a SQLite file; a context manager.

    If the file can't be used, warn and cache nothing. A damaged file is deleted.

    Parameters
    ----------
    digest : str
        Identifies the encoder.
    path : Path, optional
        Defaults to `encodings-2.sqlite` in the cache folder; the number is the format version.
    max_bytes : int, default MAX_BYTES
        File size at which a quarter of it is freed.
    patience : float, default 5.0
        Seconds to wait for other processes that write.
    """

    def __init__(
        self,
        digest: str,
        path: Path | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        patience: float = 5.0,
    ) -> None:
        self._path = path or cache_folder() / "encodings-2.sqlite"
        self._digest = digest.encode()
        self._max_bytes, self._patience = max_bytes, patience
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> RowCache:
        with self._guarded():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=self._patience)
            write_ahead(self._connection, self._patience)
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_TABLE)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def keys(self, texts: Sequence[str]) -> list[bytes]:
        """Return the key of each text's row."""
        start = hashlib.blake2b(self._digest, digest_size=_KEY_BYTES)
        keys = []
        for text in texts:
            state = start.copy()
            state.update(text.encode("utf-8", "surrogatepass"))
            keys.append(state.digest())
        return keys

    def find(self, keys: Sequence[bytes]) -> dict[bytes, F16]:
        """Return the cached rows by key; all have the same width."""
        cached: dict[bytes, F16] = {}
        connection = self._connection
        if connection is None:
            return cached
        with self._guarded():
            for key in keys:
                query = connection.execute("SELECT row FROM rows WHERE key = ?", (key,))
                for (row,) in query:
                    cached[key] = np.frombuffer(row, dtype="<f2")
        width = len(next(iter(cached.values()), ()))
        return {key: row for key, row in cached.items() if len(row) == width}

    def add(self, keys: Sequence[bytes], rows: F16) -> None:
        """Add a row under each key, or none of them on failure."""
        if self._connection is None:
            return
        blobs = (row.tobytes() for row in rows.astype("<f2", copy=False))
        with self._guarded(), self._connection as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO rows (key, row) VALUES (?, ?)",
                zip(keys, blobs, strict=True),
            )
            _make_room(connection, self._max_bytes)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn file errors into a warning, and stop using the file."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.__exit__()
            is_damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, sqlite3.OperationalError
            )
            if is_damaged:
                with contextlib.suppress(OSError):
                    self._path.unlink()
            problem = "is damaged and is deleted" if is_damaged else "can't be used"
            warnings.warn(
                f"the cache {self._path} {problem}: {error}; encodings are not cached.",
                RuntimeWarning,
                stacklevel=2,
            )


def _make_room(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Remove the oldest rows if the file is too large."""
    (used,) = connection.execute(
        "SELECT (page_count - freelist_count) * page_size "
        "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchone()
    if used > max_bytes:
        connection.execute(
            "DELETE FROM rows WHERE id <= (SELECT min(id) + (max(id) - min(id)) / 4 FROM rows)"
        )


# Encoding -----------------------------------------------------------------------------------------

# Number of texts whose encoding is timed.
_N_SAMPLED = 32


def encode(
    texts: Iterable[str],
    encoder: str | Encoder,
    *,
    n_jobs: int | None = None,
    cache_rows: bool = True,
    progress: Progress | None = None,
) -> F32:
    """Return a float32 row of unit length for each text, shape (n_texts, n_columns).

    Rows are cached batch by batch, so after Ctrl-C or an error, the next call continues. Rows of a
    fast encoder are not cached, since looking them up would take longer.

    Parameters
    ----------
    texts : iterable of str
    encoder : str or an object with `encode`; see `get_encoder`
    n_jobs : int, optional
        Number of threads, if the encoder is thread-safe.
    cache_rows : bool, default True
    progress : Progress, optional

    Raises
    ------
    DataError, EncoderError : if a text is not a string, or the encoder fails.
    """
    documents = check_texts(texts)
    checked, n_threads = get_encoder(encoder), count_threads(n_jobs)
    # In the order of the texts, so that batches don't depend on hashes.
    distinct = list(dict.fromkeys(documents)) or [""]
    parts = [
        _encode_distinct(part, distinct, n_threads, progress or SILENT, cache_rows=cache_rows)
        for part in checked.parts or (checked,)
    ]
    rows = checked.unit_rows(np.hstack(parts), len(distinct)) if checked.parts else parts[0]
    if len(distinct) < len(documents):
        numbers = {text: row for row, text in enumerate(distinct)}
        rows = rows[[numbers[text] for text in documents]]
    return rows[: len(documents)].astype(np.float32, copy=False)


def _encode_distinct(
    encoder: CheckedEncoder, texts: list[str], n_jobs: int, progress: Progress, *, cache_rows: bool
) -> Floats:
    """Return the rows of texts, from the cache if possible, unless the encoder is fast."""
    if encoder.is_fast or not cache_rows:
        shown = SILENT if encoder.is_fast else progress
        all_chunks = _encode_chunks(encoder, texts, n_jobs, shown)
        return np.concatenate([rows for _, rows in all_chunks])
    with RowCache(encoder.digest) as cache:
        keys = cache.keys(texts)
        cached = cache.find(keys)
        if cached:
            encoder.check_width(len(next(iter(cached.values()))))
        missing = [row for row, key in enumerate(keys) if key not in cached]
        missing_texts = [texts[row] for row in missing]
        with closing(_encode_chunks(encoder, missing_texts, n_jobs, progress)) as chunks:
            for start, rows in chunks:
                chunk_keys = [keys[row] for row in missing[start : start + len(rows)]]
                cache.add(chunk_keys, rows)
                cached.update(zip(chunk_keys, rows, strict=True))
    return np.stack([cached[key] for key in keys])


def _encode_chunks(
    encoder: CheckedEncoder, texts: list[str], n_jobs: int, progress: Progress
) -> Generator[tuple[int, Floats], None, None]:
    """Yield the position of the first text and the rows of each chunk of texts, in order."""
    step = f"encoding {counted(len(texts), 'text')} with {encoder.name}"
    # Between batches, rows are cached, and encoding can be interrupted.
    starts = range(0, len(texts), encoder.batch_texts)
    n_threads = min(n_jobs, len(starts)) if encoder.is_thread_safe else 1
    batches = (texts[start : start + starts.step] for start in starts)
    if starts:
        progress.update(step, 0.0)
    results = map_in_order(encoder.encode, batches, n_threads)
    timed_from: tuple[float, int] | None = None
    with closing(progress), closing(results), _one_blas_thread(encoder):
        for start, rows in zip(starts, results, strict=True):
            n_done, now = start + len(rows), time.perf_counter()
            if start == 0:  # includes loading the encoder
                timed_from = now, n_done
            elif timed_from and n_done >= timed_from[1] + _N_SAMPLED:
                seconds = (now - timed_from[0]) / (n_done - timed_from[1])
                announce(progress, step, seconds * len(texts))
                timed_from = None
            progress.update(step, n_done / len(texts))
            yield start, rows


@contextlib.contextmanager
def _one_blas_thread(encoder: CheckedEncoder) -> Iterator[None]:
    """Limit BLAS to one thread if the encoder is called on several threads.

    Batches are small: on a busy machine, BLAS threads would mostly wait for each other. Fast
    encoders don't use BLAS.
    """
    if encoder.is_thread_safe and not encoder.is_fast:
        with limit_blas():
            yield
    else:
        yield
