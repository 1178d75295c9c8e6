"""Texts to topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.corpus.columns import text_of
from slugline.corpus.rows import BadRow, Row
from slugline.fitted import Fitted
from slugline.labels import Topic

__all__ = ["Columns", "Prediction", "answer_rows"]


class Columns(NamedTuple):
    """The columns of a row's text and of its id.

    Attributes
    ----------
    text : tuple of str
        Columns whose cells, joined by line breaks, are the text.
    id : str or None
        Column whose cells are passed through.
    """

    text: tuple[str, ...]
    id: str | None = None


class Prediction(NamedTuple):
    """The classifier's answer for one row.

    Attributes
    ----------
    at : int or str
        Where the row stands; see `slugline.corpus.rows.Row`.
    id : object
        The row's cell in the id column, if there is one; else None.
    topics : list of (topic, probability)
        The most likely first.
    values : mapping of str to object
        All cells of the row by column name.
    text : str
        What was classified.
    """

    at: int | str
    id: Any
    topics: list[tuple[Topic, float]]
    values: Mapping[str, Any]
    text: str = ""


def answer_rows(
    fitted: Fitted,
    batch: list[Row | BadRow],
    *,
    columns: Columns,
    missing: BadRow,
    top: int,
) -> list[Prediction | BadRow]:
    """Return the answer to each row, in their order.

    Parameters
    ----------
    fitted : Fitted
    batch : list of Row or BadRow
        A BadRow is its own answer.
    columns : Columns
    missing : BadRow
        The answer to a row without text.
    top : int
        How many topics to give for each row.
    """
    texts = [_text(row, columns.text, missing) for row in batch]
    proba = fitted.predict_proba([text for text in texts if isinstance(text, str)])
    best = _best(proba, top)
    names = fitted.topics.names
    likeliest = zip(best.tolist(), np.take_along_axis(proba, best, axis=1).tolist(), strict=True)
    answers: list[Prediction | BadRow] = []
    for row, text in zip(batch, texts, strict=True):
        if isinstance(text, BadRow):
            answers.append(text)
            continue
        topics = [(names[i], p) for i, p in zip(*next(likeliest), strict=True)]
        identity = row.values.get(columns.id) if columns.id is not None else None
        answers.append(Prediction(row.at, identity, topics, row.values, text=text))
    return answers


def _text(row: Row | BadRow, columns: Sequence[str], missing: BadRow) -> str | BadRow:
    """Return a row's text, or the answer to a row without one."""
    if isinstance(row, BadRow):
        return row
    text = text_of(row, columns)
    if isinstance(text, str) and text.strip():
        return text
    return missing._replace(at=row.at, values=row.values)


def _best(proba: npt.NDArray[np.float32], top: int) -> npt.NDArray[np.intp]:
    """Return the columns of the `top` most likely topics of each row, the most likely first."""
    if top == 1:  # the usual case needs no sort
        return proba.argmax(axis=1)[:, np.newaxis]
    return np.argsort(-proba, axis=1, kind="stable")[:, :top]
