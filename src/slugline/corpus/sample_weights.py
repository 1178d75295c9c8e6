"""What each row counts in a loss: the user's weight for it, times that of its topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, I64
from slugline.base.checks import illegal, is_number, shown
from slugline.corpus.documents import Topics, to_plain_topics
from slugline.errors import DataError, OptionError

__all__ = [
    "check_class_weight",
    "class_weights",
    "row_weights",
    "to_plain_class_weight",
    "topic_weights",
]

#: What a weight may be at most: 32 bits hold no more.
_MOST = 3e38


def row_weights(
    n_rows: int, sample_weight: npt.ArrayLike | None, topic_weight: F32 | None
) -> F32 | None:
    """Multiply two weights per row into one.

    Parameters
    ----------
    n_rows : int
    sample_weight : float array, shape (n_rows,), or None if all are 1
    topic_weight : float32 array, shape (n_rows,), or None if all are 1
        The weight of each row's topic.

    Returns
    -------
    float32 array, shape (n_rows,), or None if all are 1.

    Raises
    ------
    DataError : if there is not one number per row, or one is negative or not finite, or all are 0.
    """
    if sample_weight is None and topic_weight is None:
        return None
    weight = np.ones(n_rows, dtype=np.float32)
    if sample_weight is not None:
        given = _as_numbers(sample_weight)
        if given.shape != weight.shape:
            raise DataError(
                f"`sample_weight` has shape {given.shape}; give one weight for each of the "
                f"{n_rows} rows."
            )
        _check_each(given)
        weight *= given.astype(np.float32)
    if topic_weight is not None:
        with np.errstate(over="ignore"):
            weight *= topic_weight
    if not np.isfinite(weight).all():
        raise DataError(
            "`sample_weight` times `class_weight` is too large for a 32-bit number; make the "
            "weights smaller."
        )
    if not weight.any():
        raise DataError(
            "every row has weight zero by `sample_weight` and `class_weight`; give some rows a "
            "weight over 0."
        )
    return weight


def _as_numbers(sample_weight: npt.ArrayLike) -> F64:
    try:
        given = np.asarray(sample_weight)
    except ValueError:  # lists of several lengths
        given = np.asarray(None)
    if given.dtype.kind == "O" and given.ndim:
        odd = (value for value in given.flat if not isinstance(value, int | float | np.number))
        if next(odd, given) is given:
            return given.astype(np.float64)
    elif given.dtype.kind in "biuf":
        return given.astype(np.float64)
    raise DataError(
        f"`sample_weight` is {shown(sample_weight)}; give an array or list of one number for each "
        "row."
    )


def _check_each(given: F64) -> None:
    odd = np.flatnonzero(~((given >= 0) & (given <= _MOST)))
    if len(odd):
        raise DataError(
            f"`sample_weight` is {given[odd[0]]:g} in row {odd[0]}, counted from 0; give numbers "
            f"from 0 to {_MOST:g}."
        )


def topic_weights(
    class_weight: str | Mapping[Any, float] | None, topics: Topics, labels: I64
) -> F32 | None:
    """Return the weight of each row's topic, or None if all are 1.

    Parameters
    ----------
    class_weight : {None, "balanced"} or mapping of topic to float
        "balanced" gives every topic that occurs the same total; one that a mapping doesn't name has
        1.
    topics : Topics
    labels : int array, shape (n_rows,)

    Returns
    -------
    float32 array, shape (n_rows,), or None.

    Raises
    ------
    DataError : if a mapping names a topic that there is none of.
    OptionError : if it is neither of these, a weight is no number, negative or too large, or there
        are no rows.
    """
    check_class_weight(class_weight)
    if class_weight is None:
        return None
    if not len(labels):
        raise OptionError(
            "`class_weight` says how much a topic's documents count, and there are none; leave it "
            "out, or learn from documents as well."
        )
    if isinstance(class_weight, str):
        counts = np.bincount(labels)[labels]
        # A topic may be described without having a document: it takes no part.
        return (len(labels) / (len(np.unique(labels)) * counts)).astype(np.float32)
    try:
        numbers = topics.encode(class_weight)
    except DataError as error:
        raise DataError(f"`class_weight` names an {error}") from None
    by_number = dict(zip(numbers, class_weight.values(), strict=True))
    return class_weights(by_number, len(topics))[labels]


def check_class_weight(class_weight: Any) -> None:
    """Raise OptionError unless it is None, "balanced", or a mapping of topic to weight."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping):
        raise illegal(
            "class_weight", class_weight, "None, 'balanced' or a mapping of topic to weight"
        )
    for topic, weight in class_weight.items():
        if not is_number(weight) or not 0 <= weight <= _MOST:
            raise OptionError(
                f"`class_weight` gives topic {topic!r} the weight {shown(weight)}; give a number "
                f"from 0 to {_MOST:g}."
            )


def class_weights(class_weight: Mapping[int, float], n_topics: int) -> F32:
    """Return the weight of each topic by its number, float32, shape (n_topics,).

    Raises
    ------
    DataError : if there is no topic of such a number.
    OptionError : if a weight is no number, negative or too large.
    """
    check_class_weight(class_weight)
    weights = np.ones(n_topics, dtype=np.float32)
    for topic, value in class_weight.items():
        if not 0 <= topic < n_topics:
            raise DataError(
                f"`class_weight` names topic {topic}, but topics run from 0 to {n_topics - 1}."
            )
        weights[topic] = value
    return weights


def to_plain_class_weight(
    class_weight: str | Mapping[Any, float] | None,
) -> str | Mapping[Any, float] | None:
    """Return weights of topics by names that a file can hold."""
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    names = to_plain_topics(class_weight, "class_weight")
    return dict(zip(names, class_weight.values(), strict=True))
