"""Topic names, integers and one-hot rows, back and forth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64
from slugline.errors import DataError

__all__ = ["Topic", "Topics", "one_hot"]

#: What a topic is called: a word or a number.
Topic: TypeAlias = str | int


class Topics:
    """The topics of a classifier, in the order of its columns.

    Parameters
    ----------
    names : sequence of str or int
        Distinct, all of one kind.

    >>> topics = Topics.fit(["grain", "earn", "grain"])
    >>> topics.names
    ['earn', 'grain']
    >>> topics.encode(["grain", "earn"])
    array([1, 0])
    >>> topics.decode([1])
    ['grain']
    """

    def __init__(self, names: Sequence[Topic]) -> None:
        self.names: list[Topic] = list(names)
        self._number = {name: number for number, name in enumerate(self.names)}
        if len(self._number) != len(self.names):
            raise DataError("a topic is named twice; each name needs one column.")

    @classmethod
    def fit(cls, topics: Iterable[Topic]) -> Topics:
        """Return the distinct topics, sorted."""
        distinct = set(topics)
        if len({isinstance(topic, str) for topic in distinct}) > 1:
            word = next(topic for topic in distinct if isinstance(topic, str))
            number = next(topic for topic in distinct if not isinstance(topic, str))
            raise DataError(
                f"topics are words and numbers, such as {word!r} and {number!r}; "
                "make them all words or all numbers."
            )
        return cls(sorted(distinct))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, topics: Iterable[Topic]) -> I64:
        """Return the number of each topic, shape (n_documents,).

        Raises
        ------
        DataError : if there is a topic that isn't among the names.
        """
        try:
            return np.fromiter((self._number[topic] for topic in topics), dtype=np.int64)
        except KeyError as error:
            raise DataError(
                f"unknown topic {error.args[0]!r}; the known ones are {_list(self.names)}."
            ) from None

    def decode(self, numbers: Iterable[int]) -> list[Topic]:
        """Return the name behind each number."""
        return [self.names[number] for number in numbers]


def one_hot(y: npt.ArrayLike, n_topics: int | None = None) -> F32:
    """Return rows with a 1 in the column of the topic and 0 elsewhere.

    Parameters
    ----------
    y : integer array, shape (n_rows,)
    n_topics : int, optional
        How many columns; one more than the largest number by default.

    Returns
    -------
    float32 array, shape (n_rows, n_topics).

    Raises
    ------
    DataError : if a number is negative or too large, or `y` holds no integers.

    >>> one_hot([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    numbers = np.asarray(y)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise DataError(
            f"y has shape {numbers.shape} and type {numbers.dtype}; give one integer per row."
        )
    if n_topics is None:
        n_topics = int(numbers.max(initial=-1)) + 1
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < n_topics:
        raise DataError(
            f"y runs from {numbers.min()} to {numbers.max()}, but topics run from 0 to "
            f"{n_topics - 1}; give a larger n_topics."
        )
    rows = np.zeros((len(numbers), n_topics), dtype=np.float32)
    rows[np.arange(len(numbers)), numbers.astype(np.int64)] = 1
    return rows


def _list(names: Sequence[Topic], most: int = 8) -> str:
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
