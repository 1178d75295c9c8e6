"""Topics for a stream of rows: in order, in bounded memory, with no row lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.columns import N_PEEKED, column_names, find_columns, peek
from slugline.errors import DataError
from slugline.fitted import Fitted
from slugline.labels import Topic
from slugline.lines import BadRow
from slugline.readers import Row, Rows

__all__ = ["Prediction", "predict_rows"]

# Rows, and characters in them, that are classified at a time.
_BATCH_ROWS = 1024
_BATCH_CHARACTERS = 1 << 22

_ID = "id"


class Prediction(NamedTuple):
    """What the classifier says of one row.

    Attributes
    ----------
    at : int or str
        Where the row stands; see `slugline.readers.Row`.
    id : object
        What the row has in a column named "id", if there is one; else None.
    topics : list of (topic, probability)
        The likeliest first.
    """

    at: int | str
    id: Any
    topics: list[tuple[Topic, float]]


def predict_rows(
    fitted: Fitted,
    rows: Rows,
    *,
    text: str | None = None,
    top: int = 1,
    batch_rows: int = _BATCH_ROWS,
    n_threads: int = 1,
    announce: Callable[[str], object] | None = None,
) -> Iterator[list[Prediction | BadRow]]:
    """Classify rows as they come.

    Parameters
    ----------
    fitted : Fitted
        What answers.
    rows : Rows, from `slugline.readers.read_rows`
    text : str, optional
        The column that holds the text; told from the names by default.
    top : int, default 1
        How many topics to give for each row.
    batch_rows : int, default 1024
        The most rows to classify at a time.
    n_threads : int, default 1
        Threads to classify batches on. Two or three batches for each are held in memory.
    announce : callable, optional
        Told which column was taken for the text, if that was a guess.

    Yields
    ------
    list of Prediction and, for a row that has no text or can't be read, BadRow: the answers to a
    batch, in the order of the rows. Before a pause of whoever writes the rows, and before an error
    of theirs, all that were read are answered.

    Raises
    ------
    DataError : if there is no such column, or it can't be told which one holds the text.
    """
    head: list[Row | BadRow] = []
    broken = None
    try:
        peek(rows, min(batch_rows, N_PEEKED), patient=False, head=head)
    except DataError as error:
        if not head:
            raise
        broken = error
    column, _ = find_columns(rows.name, head, text)
    if column is None:
        columns = ", ".join(column_names(head))
        raise DataError(
            f"{rows.name} has the columns {columns}, none of them known as text; "
            "name one with --text."
        )
    if announce and text is None and rows.has_names and head:
        announce(f"read column {column!r} as text; name another with --text")
    missing = BadRow("", f"no text in column {column!r}" if rows.has_names else "no text")
    answer = partial(_answer, fitted, column=column, missing=missing, top=top)
    if broken is not None:
        yield answer(head)
        raise broken
    yield from _map_in_order(answer, _batches(head, rows, batch_rows), n_threads)


class _Batch(NamedTuple):
    rows: list[Row | BadRow]
    is_last_for_now: bool  # what follows is not there yet


def _batches(head: list[Row | BadRow], rows: Rows, most: int) -> Iterator[_Batch]:
    items = iter(rows)
    batch = head
    n_characters = sum(map(_n_characters, head))
    while True:
        pauses = bool(batch) and rows.must_wait()
        if pauses or len(batch) >= most or n_characters >= _BATCH_CHARACTERS:
            yield _Batch(batch, pauses)
            batch, n_characters = [], 0
        try:
            row = next(items, None)
        except DataError:
            # Further on it can't be read; what has been is answered before that is said.
            yield _Batch(batch, is_last_for_now=True)
            raise
        if row is None:
            break
        batch.append(row)
        n_characters += _n_characters(row)
    yield _Batch(batch, is_last_for_now=True)


def _n_characters(row: Row | BadRow) -> int:
    if isinstance(row, BadRow):
        return 0
    return sum(len(value) for value in row.values.values() if isinstance(value, str))


def _map_in_order(
    answer: Callable[[list[Row | BadRow]], list[Prediction | BadRow]],
    batches: Iterable[_Batch],
    n_threads: int,
) -> Iterator[list[Prediction | BadRow]]:
    if n_threads == 1:
        yield from (answer(batch.rows) for batch in batches)
        return
    pending: deque[Future[list[Prediction | BadRow]]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for batch in batches:
            pending.append(pool.submit(answer, batch.rows))
            n_kept = 0 if batch.is_last_for_now else 2 * n_threads
            while len(pending) > n_kept:
                yield pending.popleft().result()
    finally:
        # An interrupt, or a reader that has had enough, need not wait for what nobody will read.
        pool.shutdown(cancel_futures=True)


def _answer(
    fitted: Fitted,
    batch: list[Row | BadRow],
    *,
    column: str,
    missing: BadRow,
    top: int,
) -> list[Prediction | BadRow]:
    checked = [_check(row, column, missing) for row in batch]
    proba = fitted.predict_proba([r.values[column] for r in checked if isinstance(r, Row)])
    best = _best(proba, top)
    names = fitted.topics.names
    likeliest = zip(best.tolist(), np.take_along_axis(proba, best, axis=1).tolist(), strict=True)
    answers: list[Prediction | BadRow] = []
    for row in checked:
        if isinstance(row, BadRow):
            answers.append(row)
            continue
        topics = [(names[i], p) for i, p in zip(*next(likeliest), strict=True)]
        answers.append(Prediction(row.at, row.values.get(_ID), topics))
    return answers


def _check(row: Row | BadRow, column: str, missing: BadRow) -> Row | BadRow:
    if isinstance(row, BadRow):
        return row
    value = row.values.get(column)
    return row if isinstance(value, str) and value.strip() else missing._replace(at=row.at)


def _best(proba: npt.NDArray[np.float32], top: int) -> npt.NDArray[np.intp]:
    """Give the columns of the `top` likeliest topics of each row, the likeliest first."""
    if top == 1:  # the usual case, and no sort
        return proba.argmax(axis=1)[:, np.newaxis]
    return np.argsort(-proba, axis=1, kind="stable")[:, :top]
