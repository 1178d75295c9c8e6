"""Texts to topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slugline.corpus.columns import text_of
from slugline.corpus.rows import BadRow, Row
from slugline.fitted import Fitted
from slugline.labels import Topic
from slugline.routing import Router, likeliest

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
        The most likely first: guesses, if there is a reason not to answer.
    values : mapping of str to object
        All cells of the row by column name.
    reason : str or None
        Why the classifier is unsure; None if it is not.
    set : list of topics, or None
        The topics among which the right one is as often as asked.
    text : str
        What was classified.
    """

    at: int | str
    id: Any
    topics: list[tuple[Topic, float]]
    values: Mapping[str, Any]
    reason: str | None = None
    set: list[Topic] | None = None
    text: str = ""


def answer_rows(
    fitted: Fitted | Router,
    batch: list[Row | BadRow],
    *,
    columns: Columns,
    missing: BadRow,
    top: int,
) -> list[Prediction | BadRow]:
    """Return the answer to each row, in their order.

    Parameters
    ----------
    fitted : Fitted or Router
        A Router may be unsure, and is so of a row whose text is blank.
    batch : list of Row or BadRow
        A BadRow is its own answer.
    columns : Columns
    missing : BadRow
        The answer to a row without text.
    top : int
        How many topics to give for each row.
    """
    may_be_blank = isinstance(fitted, Router) and fitted.precision is not None
    texts = [_text(row, columns.text, missing, may_be_blank) for row in batch]
    answered = iter(_answer(fitted, [text for text in texts if isinstance(text, str)], top))
    answers: list[Prediction | BadRow] = []
    for row, text in zip(batch, texts, strict=True):
        if isinstance(text, BadRow):
            answers.append(text)
            continue
        identity = row.values.get(columns.id) if columns.id is not None else None
        topics, reason, chosen = next(answered)
        prediction = Prediction(row.at, identity, topics, row.values, reason, chosen, text)
        answers.append(prediction)
    return answers


class _Answer(NamedTuple):
    """What there is to say of a text."""

    topics: list[tuple[Topic, float]]
    reason: str | None = None
    set: list[Topic] | None = None


def _answer(fitted: Fitted | Router, texts: list[str], top: int) -> list[_Answer]:
    model = fitted.fitted if isinstance(fitted, Router) else fitted
    proba, counts = model.predict_with_words(texts)
    topics = likeliest(proba, top, model.topics.names)
    if not isinstance(fitted, Router):
        return list(map(_Answer, topics))
    reasons, sets = fitted.judge(texts, proba, counts)
    chosen: Sequence[list[Topic] | None] = sets or [None] * len(texts)
    return list(map(_Answer, topics, reasons, chosen))


def _text(
    row: Row | BadRow, columns: Sequence[str], missing: BadRow, may_be_blank: bool
) -> str | BadRow:
    """Return a row's text, or the answer to a row without one."""
    if isinstance(row, BadRow):
        return row
    text = text_of(row, columns)
    if isinstance(text, str) and (text.strip() or may_be_blank):
        return text
    return missing._replace(at=row.at, values=row.values)
