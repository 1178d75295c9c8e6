"""Texts to topics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.corpus.rows import BadRow, Row
from slugline.fitted import Fitted
from slugline.labels import Topic

__all__ = ["Prediction", "answer_rows"]

_ID = "id"


class Prediction(NamedTuple):
    """What the classifier says of one row.

    Attributes
    ----------
    at : int or str
        Where the row stands; see `slugline.corpus.rows.Row`.
    id : object
        What the row has in a column named "id", if there is one; else None.
    topics : list of (topic, probability)
        The likeliest first.
    """

    at: int | str
    id: Any
    topics: list[tuple[Topic, float]]


def answer_rows(
    fitted: Fitted,
    batch: list[Row | BadRow],
    *,
    column: str,
    missing: BadRow,
    top: int,
) -> list[Prediction | BadRow]:
    """Return the answer to each row, in their order.

    Parameters
    ----------
    fitted : Fitted
    batch : list of Row or BadRow
        A BadRow is its own answer.
    column : str
        The one that holds the text.
    missing : BadRow
        The answer to a row without text.
    top : int
        How many topics to give for each row.
    """
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
    """Return the columns of the `top` likeliest topics of each row, the likeliest first."""
    if top == 1:  # the usual case, and no sort
        return proba.argmax(axis=1)[:, np.newaxis]
    return np.argsort(-proba, axis=1, kind="stable")[:, :top]
