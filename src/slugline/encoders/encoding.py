"""Encoding many texts: each distinct one once, those that are kept not at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slugline.base.arrays import F16, F32
from slugline.displays import counted
from slugline.documents import as_texts
from slugline.encoders.checked import CheckedEncoder, Encoder, get_encoder
from slugline.encoders.kept import KeptRows
from slugline.threads import count_threads

if TYPE_CHECKING:
    from slugline.progress import Progress

__all__ = ["encode"]


# Texts that an encoder gets at once. It is interrupted, and what it has made is kept, in between.
_AT_ONCE = 256


def encode(
    texts: Iterable[str],
    encoder: str | Encoder,
    *,
    n_jobs: int | None = None,
    keep: bool = True,
    progress: Progress | None = None,
) -> F32:
    """Return a row of unit length for each text, shape (n_texts, n_columns).

    What was encoded before is taken from the cache, and what is encoded now is kept there as it is
    made: after Ctrl-C or an error, the next call goes on where this one stopped.

    Parameters
    ----------
    texts : iterable of str
    encoder : "use" or an object with `encode`
        See `get_encoder`.
    n_jobs : int, optional
        Threads, if the encoder allows several.
    keep : bool, default True
        Whether to use the cache.
    progress : Progress, optional
        Told of each 256 texts that are encoded, but not of those from the cache.

    Raises
    ------
    DataError : if the texts are not texts.
    EncoderError : if the encoder fails or returns what can't be used.
    """
    documents = as_texts(texts)
    checked = get_encoder(encoder)
    # In the order of the texts, so that the calls of an encoder don't depend on hashes.
    distinct = list(dict.fromkeys(documents)) or [""]
    work = _Work(checked, count_threads(n_jobs), progress)
    if keep:
        with KeptRows(checked.digest) as kept:
            rows = _through_cache(distinct, work, kept)
    else:
        rows = np.concatenate([rows for _, rows in work.chunks(distinct)])
    numbers = {text: row for row, text in enumerate(distinct)}
    order = [numbers[text] for text in documents]
    return rows[np.array(order, dtype=np.intp)].astype(np.float32)


def _through_cache(texts: Sequence[str], work: _Work, kept: KeptRows) -> F16:
    keys = kept.keys(texts)
    found = kept.find(keys)
    if found:
        work.encoder.check_width(len(next(iter(found.values()))))
    missing = [row for row, key in enumerate(keys) if key not in found]
    with closing(work.chunks([texts[row] for row in missing])) as chunks:
        for start, rows in chunks:
            own = [keys[row] for row in missing[start : start + len(rows)]]
            kept.keep(own, rows)
            found.update(zip(own, rows, strict=True))
    return np.stack([found[key] for key in keys])


@dataclass(frozen=True)
class _Work:
    """Who encodes, on how many threads, and who is told."""

    encoder: CheckedEncoder
    n_jobs: int
    progress: Progress | None

    def chunks(self, texts: list[str]) -> Generator[tuple[int, F16], None, None]:
        """Yield the number of the first text, and the rows, of each chunk of texts in order."""
        starts = range(0, len(texts), _AT_ONCE)
        if starts and self.progress is not None:
            self.progress.note(f"encoding {counted(len(texts), 'text')} with {self.encoder.name}")
            self.progress.begin(1, len(starts))
        n_threads = self.n_jobs if self.encoder.is_thread_safe else 1
        pool = ThreadPoolExecutor(n_threads)
        jobs: deque[tuple[int, Future[F16]]] = deque()
        try:
            for start in starts:
                job = pool.submit(self.encoder.encode, texts[start : start + _AT_ONCE])
                jobs.append((start, job))
                if len(jobs) > n_threads:  # one waits, so that no thread does
                    yield self._finished(*jobs.popleft())
            while jobs:
                yield self._finished(*jobs.popleft())
        finally:
            pool.shutdown(cancel_futures=True)
            if starts and self.progress is not None:
                self.progress.end()

    def _finished(self, start: int, job: Future[F16]) -> tuple[int, F16]:
        rows = job.result()
        if self.progress is not None:
            self.progress.step()
        return start, rows
