"""The topics of rows: one each, or several."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index, Integers


@dataclass(frozen=True, eq=False)
class Labels:
    """Topic numbers of rows, row after row.

    Attributes
    ----------
    topics : int64 array, shape (n_labels,)
    starts : int64 array, shape (n_rows + 1,)
        Where the topics of each row start.
    multilabel : bool
        Whether rows may have several topics, or none; else each has one.
    """

    topics: I64
    starts: I64
    multilabel: bool

    @classmethod
    def from_y(cls, y: Any) -> Labels:
        """Return the labels of topic numbers, shape (n_rows,), or of rows with a 1 per topic."""
        if isinstance(y, np.ndarray):
            return cls(y, np.arange(len(y) + 1), multilabel=False)
        return cls(y.indices.astype(np.int64), y.indptr.astype(np.int64), multilabel=True)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def n_each(self) -> I64:
        """Number of topics of each row."""
        return np.diff(self.starts)

    @cached_property
    def rows(self) -> Index:
        """The row of each label, shape (n_labels,)."""
        return np.arange(len(self)).repeat(self.n_each)

    def places(self, rows: Integers) -> Integers:
        """Return where the labels of some rows are, one row after the other."""
        if not self.multilabel:
            return rows
        n_each = self.starts[rows + 1] - self.starts[rows]
        ends = n_each.cumsum()
        return np.arange(n_each.sum()) + (self.starts[rows] - ends + n_each).repeat(n_each)

    def take(self, rows: Integers) -> Labels:
        """Return the labels of some rows."""
        starts = np.concatenate([[0], (self.starts[rows + 1] - self.starts[rows]).cumsum()])
        return Labels(self.topics[self.places(rows)], starts, self.multilabel)

    def totals(self, n_topics: int, weights: F32 | None = None) -> F64:
        """Return the sum of the weights of each topic's rows; by default, their number."""
        of_labels = None if weights is None else weights[self.rows].astype(np.float64)
        return np.bincount(self.topics, of_labels, minlength=n_topics).astype(np.float64)

    def row_means(self, values: F32) -> F32:
        """Return the mean of the values of each row's labels, 1 for a row without, (n_rows,)."""
        if not self.multilabel:
            return values
        sums = np.bincount(self.rows, values, minlength=len(self))
        means = np.divide(sums, self.n_each, out=np.ones(len(self)), where=self.n_each > 0)
        return means.astype(np.float32)

    def indicator(self, n_topics: int) -> F32:
        """Return rows with a 1 for each topic, shape (n_rows, n_topics)."""
        rows = np.zeros((len(self), n_topics), dtype=np.float32)
        rows[self.rows, self.topics] = 1
        return rows

    def to_topics(self) -> list[int] | list[tuple[int, ...]]:
        """Return the topic numbers of each row, as splits take them."""
        topics: list[int] = self.topics.tolist()
        if not self.multilabel:
            return topics
        starts = self.starts.tolist()
        return [tuple(topics[i:j]) for i, j in itertools.pairwise(starts)]
