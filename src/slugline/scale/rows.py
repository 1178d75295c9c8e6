"""Blocks of rows on an engine, and what is known of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slugline.base.arrays import F64, I64, Mask
from slugline.training.linear_fit import MOST_SCORES, topic_blocks
from slugline.training.row_block import column_squares, counts_of_learned

__all__ = ["MOST_TOPICS", "MOST_WEIGHTS", "Rows", "rows_of"]


# There are so many keys.
_ALL_KEYS = 1 << 64
# One in so many rows is held out at first, to tell how sure probabilities may be; if topics are
# very many, so many rows and no more.
_HELD_OUT, _FEWEST_JUDGED = 5, 500
#: Weights that are dense at a time, of all columns and a few topics; and the most topics.
MOST_WEIGHTS, MOST_TOPICS = 3 << 24, 128


@dataclass(frozen=True)
class Rows:
    """Blocks of rows, and what is known of all of them.

    Attributes
    ----------
    engine : object
        It holds `RowBlock`s; see `slugline.scale.local.LocalEngine`.
    n_columns : int
    n_all, n_learned : int array, shape (n_topics,)
        How many rows each topic has, and how many of those that are not held out.
    known : bool array, shape (n_columns,)
        Which columns those have.
    least_key : int
        Rows with a lower key are held out.
    weights : float64 array, shape (n_topics,), or None
        What the user says that the rows of each topic count.
    """

    engine: Any
    n_columns: int
    n_all: I64
    n_learned: I64
    known: Mask
    least_key: int
    weights: F64 | None = None

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.n_all)

    @cached_property
    def squares(self) -> F64:
        """The sum of squares of each column, shape (n_columns,), for which all rows are read."""
        squares: F64 = self.engine.sums(column_squares)[0]
        return squares

    @property
    def topic_weights(self) -> F64:
        """What the rows of each topic count."""
        return np.ones(self.n_topics) if self.weights is None else self.weights

    def blocks_of_topics(self) -> list[slice]:
        """Return the topics that are learned at a time, in an even number of runs of one length.

        So the runs are shared out evenly by two workers. Each passes over all entries of rows, so
        that few and wide runs are faster.
        """
        width = min(MOST_TOPICS, max(1, MOST_WEIGHTS // max(1, self.n_columns)))
        n_blocks = -(-self.n_topics // width)
        n_blocks += n_blocks % 2 if n_blocks > 1 else 0
        return topic_blocks(self.n_topics, -(-self.n_topics // n_blocks))


def rows_of(engine: Any, n_columns: int, n_all: I64) -> Rows:
    """Return what is known of rows, of which some are held out: a share that calibration needs.

    Parameters
    ----------
    engine : object
    n_columns : int
    n_all : int array, shape (n_topics,)
    """
    n_rows, n_topics = int(n_all.sum()), len(n_all)
    most = max(_FEWEST_JUDGED, MOST_SCORES // n_topics)
    least_key = _ALL_KEYS * min(most, n_rows // _HELD_OUT) // n_rows
    counts, n_learned = engine.sums(counts_of_learned, n_topics, least_key)
    known = counts > 0
    if not known.any() or (n_learned == n_all).all():  # too few to hold any out
        return Rows(engine, n_columns, n_all, n_all, np.ones(n_columns, dtype=np.bool_), 0)
    return Rows(engine, n_columns, n_all, n_learned, known, least_key)
