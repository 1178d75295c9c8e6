"""Topics for a stream of rows: in order, in bounded memory, with no row lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.classifier import TopicClassifier
from slugline.columns import N_PEEKED, column_names, find_columns, peek
from slugline.errors import DataError
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
    classifier: TopicClassifier,
    rows: Rows,
    *,
    text: str | None = None,
    top: int = 1,
    batch_rows: int = _BATCH_ROWS,
    announce: Callable[[str], object] | None = None,
) -> Iterator[Prediction | BadRow]:
    """Classify rows as they come.

    Parameters
    ----------
    classifier : TopicClassifier
    rows : Rows, from `slugline.readers.read_rows`
    text : str, optional
        The column that holds the text; told from the names by default.
    top : int, default 1
        How many topics to give for each row.
    batch_rows : int, default 1024
        Rows to wait for before the first answer.
    announce : callable, optional
        Told which column was taken for the text, if that was a guess.

    Yields
    ------
    Prediction, or BadRow for a row that has no text or can't be read, in the order of the rows.

    Raises
    ------
    DataError : if there is no such column, or it can't be told which one holds the text.
    """
    head = peek(rows, min(batch_rows, N_PEEKED))
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
    checked = (_check(row, column, missing) for row in itertools.chain(head, rows))
    for batch in _batches(checked, batch_rows):
        yield from _predict(classifier, batch, column, top)


def _check(row: Row | BadRow, column: str, missing: BadRow) -> Row | BadRow:
    if isinstance(row, BadRow):
        return row
    value = row.values.get(column)
    return row if isinstance(value, str) and value.strip() else missing._replace(at=row.at)


def _batches(rows: Iterable[Row | BadRow], most: int) -> Iterator[list[Row | BadRow]]:
    batch: list[Row | BadRow] = []
    n_characters = 0
    for row in rows:
        batch.append(row)
        if isinstance(row, Row):
            n_characters += sum(len(v) for v in row.values.values() if isinstance(v, str))
        if len(batch) >= most or n_characters >= _BATCH_CHARACTERS:
            yield batch
            batch, n_characters = [], 0
    if batch:
        yield batch


def _predict(
    classifier: TopicClassifier, batch: list[Row | BadRow], column: str, top: int
) -> Iterator[Prediction | BadRow]:
    good = [row for row in batch if isinstance(row, Row)]
    proba = iter(classifier.predict_proba([row.values[column] for row in good]))
    names = classifier.topics_.names
    for row in batch:
        if isinstance(row, BadRow):
            yield row
            continue
        values = next(proba)
        topics = [(names[i], float(values[i])) for i in _best(values, top)]
        yield Prediction(row.at, row.values.get(_ID), topics)


def _best(values: npt.NDArray[np.float32], top: int) -> npt.NDArray[np.intp]:
    return np.argsort(-values, kind="stable")[:top]
