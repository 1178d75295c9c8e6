"""Labels of rows: one topic number each, or any number of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index, Integers, Mask

if TYPE_CHECKING:
    import scipy.sparse as sp

    from slugline.corpus.documents import Topics


@dataclass(frozen=True, eq=False)
class Labels:
    """The topic numbers of all rows, concatenated.

    Attributes
    ----------
    topics : int64 array, shape (n_labels,)
    starts : int64 array, shape (n_rows + 1,)
        The start of each row in `topics`, and the end of the last row.
    multilabel : bool
        True if rows may have any number of topics, False if each has one.
    """

    topics: I64
    starts: I64
    multilabel: bool

    @classmethod
    def from_topics(cls, topics: Integers) -> Labels:
        """Return single-label rows with these topic numbers."""
        return cls(topics.astype(np.int64, copy=False), np.arange(len(topics) + 1), False)

    @classmethod
    def from_indicator(cls, indicator: sp.csr_array) -> Labels:
        """Return multilabel rows whose topics are the columns with nonzero entries."""
        topics, starts = indicator.indices, indicator.indptr
        return cls(topics.astype(np.int64), starts.astype(np.int64), multilabel=True)

    @classmethod
    def encode(cls, topics: Topics, names: Sequence[Any], *, multilabel: bool) -> Labels:
        """Return the labels of documents, given each one's name or tuple of names.

        Raises DataError if a name isn't among `topics`.
        """
        if multilabel:
            return cls.from_indicator(topics.encode_sets(names))
        return cls.from_topics(topics.encode(names))

    @classmethod
    def empty(cls, *, multilabel: bool) -> Labels:
        """Return labels without rows."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64), multilabel)

    @classmethod
    def concatenate(cls, first: Labels, second: Labels) -> Labels:
        """Return the rows of `first` followed by the rows of `second`."""
        topics = np.concatenate([first.topics, second.topics])
        starts = np.concatenate([first.starts, second.starts[1:] + first.starts[-1]])
        return cls(topics, starts, first.multilabel)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def n_each(self) -> I64:
        """The number of topics of each row."""
        return np.diff(self.starts)

    @cached_property
    def rows(self) -> Index:
        """The row of each label, shape (n_labels,)."""
        return np.arange(len(self)).repeat(self.n_each)

    def places(self, rows: Integers) -> Integers:
        """Return the concatenated positions in `topics` of the labels of some rows."""
        if not self.multilabel:
            return rows
        n_each = self.starts[rows + 1] - self.starts[rows]
        ends = n_each.cumsum()
        return np.arange(n_each.sum()) + (self.starts[rows] - ends + n_each).repeat(n_each)

    def take(self, rows: Integers | Mask) -> Labels:
        """Return some rows, given their numbers or a mask of shape (n_rows,)."""
        numbers: Any = np.flatnonzero(rows) if rows.dtype == bool else rows
        starts = np.concatenate([[0], (self.starts[numbers + 1] - self.starts[numbers]).cumsum()])
        return Labels(self.topics[self.places(numbers)], starts, self.multilabel)

    def totals(self, n_topics: int, weights: F32 | None = None) -> F64:
        """Return the total weight of each topic's rows; by default, their number."""
        of_labels = None if weights is None else weights[self.rows].astype(np.float64)
        return np.bincount(self.topics, of_labels, minlength=n_topics).astype(np.float64)

    def row_means(self, values: F32) -> F32:
        """Return the mean value of each row's labels, 1 without labels; shape (n_rows,)."""
        if not self.multilabel:
            return values
        sums = np.bincount(self.rows, values, minlength=len(self))
        means = np.divide(sums, self.n_each, out=np.ones(len(self)), where=self.n_each > 0)
        return means.astype(np.float32)

    def indicator(self, n_topics: int) -> F32:
        """Return multi-hot rows, shape (n_rows, n_topics)."""
        rows = np.zeros((len(self), n_topics), dtype=np.float32)
        rows[self.rows, self.topics] = 1
        return rows

    def to_csr(self, n_topics: int) -> sp.csr_array:
        """Return `indicator` as a sparse array."""
        import scipy.sparse as sp

        ones = np.ones(len(self.topics), dtype=np.float32)
        return sp.csr_array((ones, self.topics, self.starts), shape=(len(self), n_topics))

    def to_topics(self) -> list[int] | list[tuple[int, ...]]:
        """Return the topic number or the tuple of topic numbers of each row."""
        topics: list[int] = self.topics.tolist()
        if not self.multilabel:
            return topics
        starts = self.starts.tolist()
        return [tuple(topics[i:j]) for i, j in itertools.pairwise(starts)]
