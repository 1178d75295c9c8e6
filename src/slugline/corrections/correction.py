"""One answer that was wrong, with the right topic, and how it is held in a file."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from slugline.checks import shown
from slugline.documents import check_names, plain_topics
from slugline.errors import DataError
from slugline.labels import Topic

__all__ = ["MAX_TEXT_BYTES", "Correction", "as_cells", "from_cells"]

#: Bytes that a text may have in UTF-8.
MAX_TEXT_BYTES = 16 << 20
# Characters of a model's name, its digest, and of who corrects.
_LONGEST = 1000
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


class Correction(NamedTuple):
    """An answer of a model to a text, and what the right one would have been.

    Attributes
    ----------
    id : int
        Its number in the file; later ones have larger numbers.
    text : str
    topic : str or int
        The right topic, which the model need not know.
    answer : str or int
        The topic that the model gave.
    probability : float, from 0 to 1
        The model's, of its answer.
    model, digest : str
        Its name, and what tells its file from others.
    who : str or None
        Who said so, if they gave a name.
    at : str
        When it was kept: ISO 8601, UTC, as in "2026-01-31T08:15:00.250Z".
    """

    id: int
    text: str
    topic: Topic
    answer: Topic
    probability: float
    model: str
    digest: str
    who: str | None
    at: str


def as_cells(
    text: str,
    topic: Topic,
    answer: Topic,
    probability: float,
    model: str,
    digest: str,
    who: str | None,
) -> tuple[Any, ...]:
    """Return a correction's cells in the order of `Correction`, without its number and time.

    Words are bytes in them: a column of text would end at a NUL, and has no half characters.

    Raises
    ------
    DataError : if one of them can't be kept; see `Correction` and `MAX_TEXT_BYTES`.
    """
    if not isinstance(text, str):
        raise DataError(f"`text` is {shown(text)}; give a string.")
    # Each character has a byte or more, so that a text with far too many isn't encoded first.
    if len(text) > MAX_TEXT_BYTES or len(data := _as_bytes(text)) > MAX_TEXT_BYTES:
        raise DataError(
            f"`text` has {len(text):,} characters, and the text of a correction may have "
            f"{MAX_TEXT_BYTES:,} bytes; shorten it."
        )
    names = plain_topics([topic], "topic") + plain_topics([answer], "answer")
    check_names(names)
    if isinstance(probability, bool) or not _is_share(probability):
        raise DataError(f"`probability` is {shown(probability)}; give a number from 0 to 1.")
    words = [_word(name, value) for name, value in (("model", model), ("digest", digest))]
    by = None if who is None else _word("who", who)
    cells = [_as_bytes(name) if isinstance(name, str) else name for name in names]
    return (data, *cells, float(probability), *words, by)


def from_cells(cells: tuple[Any, ...]) -> Correction:
    """Return the correction that cells hold; ValueError if they are not what was written."""
    number, text, topic, answer, probability, model, digest, who, at = cells
    if not isinstance(at, str) or not _TIME.fullmatch(at) or not _is_share(probability):
        raise ValueError("a time or probability is none")
    return Correction(
        int(number),
        _from_bytes(text),
        _topic(topic),
        _topic(answer),
        float(probability),
        _from_bytes(model),
        _from_bytes(digest),
        None if who is None else _from_bytes(who),
        at,
    )


def _is_share(value: Any) -> bool:
    try:
        return math.isfinite(value) and 0 <= value <= 1
    except TypeError:
        return False


def _word(name: str, value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise DataError(
            f"`{name}` is {shown(value)}; give a string of at most {_LONGEST:,} characters."
        )
    return _as_bytes(value)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _from_bytes(cell: Any) -> str:
    if not isinstance(cell, bytes):
        raise ValueError("a word is none")
    return cell.decode("utf-8", "surrogatepass")


def _topic(cell: Any) -> Topic:
    name = cell if isinstance(cell, int) else _from_bytes(cell)
    try:
        check_names([name])
    except DataError as error:
        raise ValueError(str(error)) from error
    return name
