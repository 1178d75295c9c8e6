"""What each row counts in a loss: the user's weight for it, times that of its topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.errors import DataError, OptionError
from slugline.labels import Topics

__all__ = ["class_weights", "row_weights", "topic_weights"]

Floats = npt.NDArray[np.float32]


def row_weights(
    n_rows: int, sample_weight: npt.ArrayLike | None, topic_weight: Floats | None
) -> Floats | None:
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
    DataError : if there is not one weight per row, or one is negative or not finite, or all are 0.
    """
    if sample_weight is None and topic_weight is None:
        return None
    weight = np.ones(n_rows, dtype=np.float32)
    if sample_weight is not None:
        given = np.asarray(sample_weight, dtype=np.float32)
        if given.shape != weight.shape:
            raise DataError(
                f"sample_weight has shape {given.shape}; give one weight for each of the "
                f"{n_rows} rows."
            )
        weight *= given
    if topic_weight is not None:
        weight *= topic_weight
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise DataError("a weight is negative or not finite; give weights of at least 0.")
    if not weight.any():
        raise DataError("every weight is zero; give some rows a weight over 0.")
    return weight


def topic_weights(
    class_weight: str | Mapping[Any, float] | None, topics: Topics, labels: npt.NDArray[np.int64]
) -> Floats | None:
    """Return the weight of each row's topic, or None if all are 1.

    Parameters
    ----------
    class_weight : {None, "balanced"} or mapping of topic to float
        "balanced" gives every topic the same total; a topic that a mapping doesn't name has 1.
    topics : Topics
    labels : int array, shape (n_rows,)

    Returns
    -------
    float32 array, shape (n_rows,), or None.

    Raises
    ------
    DataError : if a mapping names a topic that there is none of, or a weight is no number.
    OptionError : if it is neither of these.
    """
    if class_weight is None:
        return None
    if class_weight == "balanced":
        counts = np.bincount(labels, minlength=len(topics))
        return (len(labels) / (len(counts) * counts)).astype(np.float32)[labels]
    if not isinstance(class_weight, Mapping):
        raise OptionError(
            f"class_weight is {class_weight!r}; give None, 'balanced' or a mapping of "
            "topic to weight."
        )
    numbers = topics.encode(class_weight)
    return class_weights(dict(zip(numbers, class_weight.values(), strict=True)), len(topics))[
        labels
    ]


def class_weights(class_weight: Mapping[int, float], n_topics: int) -> Floats:
    """Return the weight of each topic by its number, float32, shape (n_topics,).

    Raises
    ------
    DataError : if there is no topic of such a number.
    """
    weights = np.ones(n_topics, dtype=np.float32)
    for topic, value in class_weight.items():
        if not 0 <= topic < n_topics:
            raise DataError(
                f"class_weight names topic {topic}, but topics run from 0 to {n_topics - 1}."
            )
        weights[topic] = value
    return weights
