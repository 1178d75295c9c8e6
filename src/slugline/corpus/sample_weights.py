"""Weights of rows in a loss: the user's sample weight times the topic weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, I64, Index
from slugline.base.checks import MAX_WEIGHT, is_number, option_error, short_repr
from slugline.corpus.documents import Topics, to_plain_topics
from slugline.errors import DataError, OptionError, Parameter

#: Topic weights: equal, balanced, or given by topic.
ClassWeight = Literal["balanced"] | Mapping[Any, float] | None


def row_weights(
    n_rows: int, sample_weight: npt.ArrayLike | None, topic_weight: F32 | None
) -> F32 | None:
    """Multiply the sample and topic weights of each row, float32; None if both are None.

    Parameters
    ----------
    n_rows : int
    sample_weight : float array, shape (n_rows,), or None
    topic_weight : float32 array, shape (n_rows,), or None
        Weight of each row's topic.

    Raises
    ------
    DataError : unless there is one number per row, all are finite and nonnegative, and one is
        positive.
    """
    if sample_weight is None and topic_weight is None:
        return None
    weight = np.ones(n_rows, dtype=np.float32)
    if sample_weight is not None:
        weight *= _check_sample_weight(sample_weight, n_rows).astype(np.float32)
    if topic_weight is not None:
        with np.errstate(over="ignore"):
            weight *= topic_weight
    if not np.isfinite(weight).all():
        raise DataError(
            Parameter("sample_weight"),
            " times ",
            Parameter("class_weight"),
            " is too large for a 32-bit number; make the weights smaller.",
        )
    if not weight.any():
        raise DataError(
            "every row has zero weight from ",
            Parameter("sample_weight"),
            " and ",
            Parameter("class_weight"),
            "; give some rows a weight over 0.",
        )
    return weight


def counted_rows(
    n_rows: int, sample_weight: npt.ArrayLike | None, max_rows: int = 0
) -> tuple[Index, F64 | None]:
    """Return the rows to train on, repeated if weights are whole, and their weights.

    Rows of weight 0 are left out. If all weights are whole numbers with a sum of at most
    `max_rows`, a row of weight 2 occurs twice, and the returned weights are None.

    Parameters
    ----------
    n_rows : int
    sample_weight : float array, shape (n_rows,), or None
    max_rows : int, default 0
        Maximum number of rows, including repetitions.

    Returns
    -------
    (int array, shape (n_counted,), float array, shape (n_counted,), or None)
        If all weights are 0, which is an error elsewhere, all rows and their weights.

    Raises
    ------
    DataError : unless there is one number per row, and all are finite and nonnegative.
    """
    rows = np.arange(n_rows)
    if sample_weight is None:
        return rows, None
    weights = _check_sample_weight(sample_weight, n_rows)
    has_weight = weights.astype(np.float32) > 0  # as in `row_weights`
    if not has_weight.any():
        return rows, weights
    if weights.sum() <= max_rows and (weights == np.rint(weights)).all():
        return rows.repeat(weights.astype(np.int64)), None
    return rows[has_weight], weights[has_weight]


def _check_sample_weight(sample_weight: npt.ArrayLike, n_rows: int) -> F64:
    try:
        weights = np.asarray(sample_weight)
        if weights.dtype.kind not in "biufO":
            raise TypeError(weights.dtype)
        numbers = weights.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            Parameter("sample_weight"),
            f" is {short_repr(sample_weight)}; give an array or list of one number for each row.",
        ) from error
    if numbers.shape != (n_rows,):
        raise DataError(
            Parameter("sample_weight"),
            f" has shape {numbers.shape}; give one weight for each of the {n_rows} rows.",
        )
    bad_rows = np.flatnonzero(~((numbers >= 0) & (numbers <= MAX_WEIGHT)))
    if len(bad_rows):
        raise DataError(
            Parameter("sample_weight"),
            f" is {numbers[bad_rows[0]]:g} in row {bad_rows[0]}, counted from 0; give numbers "
            f"from 0 to {MAX_WEIGHT:g}.",
        )
    return numbers


def topic_weight_of_rows(class_weight: ClassWeight, topics: Topics, labels: I64) -> F32 | None:
    """Return the weight of each row's topic, float32, shape (n_rows,); None if all are 1.

    Parameters
    ----------
    class_weight : {None, "balanced"} or mapping of topic to float
        "balanced" gives every topic that occurs the same total weight. Topics missing from a
        mapping have weight 1.
    topics : Topics
    labels : int array, shape (n_rows,)

    Raises
    ------
    DataError : if a mapping names an unknown topic.
    OptionError : if `class_weight` or a weight is invalid, or there are no rows.
    """
    check_class_weight(class_weight)
    if class_weight is None:
        return None
    if not len(labels):
        raise OptionError(
            Parameter("class_weight"),
            " weights the documents of each topic, but there are none; leave it "
            "out, or add documents.",
        )
    if isinstance(class_weight, str):
        counts = np.bincount(labels)[labels]
        # Ignore topics with a description but no document.
        return (len(labels) / (len(np.unique(labels)) * counts)).astype(np.float32)
    try:
        numbers = topics.encode(class_weight)
    except DataError as error:
        raise DataError(Parameter("class_weight"), f" names an {error}") from None
    by_number = dict(zip(numbers, class_weight.values(), strict=True))
    return weight_by_topic(by_number, len(topics))[labels]


def check_class_weight(class_weight: Any) -> None:
    """Raise OptionError unless it is None, "balanced", or a mapping of topics to weights."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping):
        raise option_error(
            "class_weight", class_weight, "None, 'balanced' or a mapping of topic to weight"
        )
    for topic, weight in class_weight.items():
        if not is_number(weight) or not 0 <= weight <= MAX_WEIGHT:
            raise OptionError(
                Parameter("class_weight"),
                f" gives topic {short_repr(topic)} the weight {short_repr(weight)}; "
                f"give a number from 0 to {MAX_WEIGHT:g}.",
            )


def weight_by_topic(class_weight: Mapping[int, float], n_topics: int) -> F32:
    """Convert weights by topic index to an array, float32, shape (n_topics,).

    Raises DataError for an unknown index, and OptionError if a weight is not a number, negative or
    too large.
    """
    check_class_weight(class_weight)
    weights = np.ones(n_topics, dtype=np.float32)
    for topic, value in class_weight.items():
        if not 0 <= topic < n_topics:
            raise DataError(
                Parameter("class_weight"),
                f" names topic {topic}, but topics run from 0 to {n_topics - 1}.",
            )
        weights[topic] = value
    return weights


def to_plain_class_weight(class_weight: ClassWeight) -> ClassWeight:
    """Return `class_weight` with plain topics, for model files; see `to_plain_topics`."""
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    names = to_plain_topics(class_weight, "class_weight")
    return dict(zip(names, class_weight.values(), strict=True))
