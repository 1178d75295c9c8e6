"""Topics for a stream of rows: in order, in bounded memory, with no row lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from slugline.answers import Columns, Prediction, answer_rows
from slugline.corpus.columns import (
    N_PEEKED,
    column_names,
    find_id,
    find_text_columns,
    listed,
    peek,
)
from slugline.corpus.headers import ID_NAME
from slugline.corpus.readers import Rows
from slugline.corpus.rows import BadRow, Row
from slugline.errors import DataError
from slugline.fitted import Fitted
from slugline.routing import Router

__all__ = ["predict_rows"]

# Rows, and bytes that were read for them, that are classified at a time.
_BATCH_ROWS = 1024
_BATCH_BYTES = 1 << 22
# Bytes that were read for all batches that wait for a thread or for their turn.
_PENDING_BYTES = 1 << 25


def predict_rows(
    fitted: Fitted | Router,
    rows: Rows,
    *,
    text: str | None = None,
    id: str | None = None,  # noqa: A002 (the user's word)
    top: int = 1,
    batch_rows: int = _BATCH_ROWS,
    n_threads: int = 1,
    announce: Callable[[str], object] | None = None,
) -> Iterator[list[Prediction | BadRow]]:
    """Classify rows as they come.

    Parameters
    ----------
    fitted : Fitted or Router
        What answers.
    rows : Rows, from `slugline.corpus.readers.read_rows`
    text : str, optional
        The column that holds the text; guessed from the names by default. Several, separated by
        commas, are joined by line breaks, unless one column has exactly that name.
    id : str, optional
        The column that is passed through; by default the one called "id", in any case.
    top : int, default 1
        How many topics to give for each row.
    batch_rows : int, default 1024
        The most rows to classify at a time; a few megabytes of long ones are enough, too.
    n_threads : int, default 1
        Threads to classify batches on. Two or three batches for each are held in memory, up to
        some tens of megabytes.
    announce : callable, optional
        Told which columns were taken for text and id, if they were guessed, unless it is "id".

    Yields
    ------
    list of Prediction and, for a row that has no text or can't be read, BadRow: the answers to a
    batch, in the order of the rows. Before a pause or an error of the source, all rows read so far
    are answered.

    Raises
    ------
    DataError : if there is no such column, or it is unclear which one holds the text.
    """
    head: list[Row | BadRow] = []
    broken = None
    try:
        n_peeked = min(batch_rows, N_PEEKED)
        peek(rows, n_peeked, n_bytes=_BATCH_BYTES, patient=False, head=head)
    except DataError as error:
        if not head:
            raise
        broken = error
    columns = _columns_of(rows, head, text, id)
    if announce and rows.has_names and head:
        _announce_guesses(announce, columns, text, id)
    missing = BadRow("", f"no text in {_named(columns.text)}" if rows.has_names else "no text")
    answer = partial(answer_rows, fitted, columns=columns, missing=missing, top=top)
    if broken is not None:
        yield answer(head)
        raise broken
    yield from _map_in_order(answer, _batches(head, rows, batch_rows), n_threads)


def _columns_of(
    rows: Rows, head: list[Row | BadRow], text: str | None, identity: str | None
) -> Columns:
    identity = find_id(rows.name, head, identity)
    texts = find_text_columns(rows.name, head, text, identity)
    if not texts:
        names = listed(column_names(head))
        raise DataError(
            f"{rows.name} has {names}, and none is known as text; name one with `text`."
        )
    return Columns(texts, identity)


def _announce_guesses(
    announce: Callable[[str], object], columns: Columns, text: str | None, identity: str | None
) -> None:
    if text is None:
        announce(f"read column {columns.text[0]!r} as text; name another with `text`")
    if identity is None and columns.id not in (None, ID_NAME):
        announce(f"read column {columns.id!r} as id; name another with `id`")


def _named(columns: Sequence[str]) -> str:
    plural = "s" if len(columns) > 1 else ""
    return f"column{plural} {' and '.join(map(repr, columns))}"


class _Batch(NamedTuple):
    rows: list[Row | BadRow]
    n_bytes: int
    is_last_for_now: bool  # the next row is not there yet


def _batches(head: list[Row | BadRow], rows: Rows, most: int) -> Iterator[_Batch]:
    items = iter(rows)
    batch = head
    n_bytes = sum(map(_n_bytes, head))
    while True:
        pauses = bool(batch) and rows.must_wait()
        if pauses or len(batch) >= most or n_bytes >= _BATCH_BYTES:
            yield _Batch(batch, n_bytes, pauses)
            batch, n_bytes = [], 0
        try:
            row = next(items, None)
        except DataError:
            # The rest can't be read; answer what has been read before reporting that.
            yield _Batch(batch, n_bytes, is_last_for_now=True)
            raise
        if row is None:
            break
        batch.append(row)
        n_bytes += _n_bytes(row)
    yield _Batch(batch, n_bytes, is_last_for_now=True)


def _n_bytes(row: Row | BadRow) -> int:
    return row.n_bytes if isinstance(row, Row) else 0  # a bad one is not kept


def _map_in_order(
    answer: Callable[[list[Row | BadRow]], list[Prediction | BadRow]],
    batches: Iterable[_Batch],
    n_threads: int,
) -> Iterator[list[Prediction | BadRow]]:
    if n_threads == 1:
        yield from (answer(batch.rows) for batch in batches)
        return
    pending: deque[tuple[Future[list[Prediction | BadRow]], int]] = deque()
    n_bytes = 0
    pool = ThreadPoolExecutor(n_threads)
    try:
        for batch in batches:
            pending.append((pool.submit(answer, batch.rows), batch.n_bytes))
            n_bytes += batch.n_bytes
            n_kept = 0 if batch.is_last_for_now else 2 * n_threads
            while len(pending) > n_kept or n_bytes > _PENDING_BYTES:
                future, n_done = pending.popleft()
                n_bytes -= n_done
                yield future.result()
    finally:
        # After an interrupt, or when the reader has stopped, nobody waits for the other answers.
        pool.shutdown(cancel_futures=True)
