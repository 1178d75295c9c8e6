"""What does not change from topic to topic while some of the rows are learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64
from slugline.scale.rows import Rows
from slugline.training.hinge import Aim, cost_of
from slugline.training.linear import MANY_ROWS, topic_rarity
from slugline.training.point import Scales
from slugline.training.row_block import topic_counts
from slugline.training.term_rates import rates_of, relevance_of

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """How to learn from these rows, whatever the topics.

    Attributes
    ----------
    rows : Rows
    n_rows : int
        Those that are learned from.
    others, own : float32 array, shape (n_topics,)
        As for `Aim`.
    scales : Scales
    least_key : int
        Rows with a lower key are held out.
    """

    rows: Rows
    n_rows: int
    others: F32
    own: F32
    scales: Scales
    least_key: int

    @classmethod
    def of(cls, rows: Rows, counts: I64, least_key: int) -> Stage:
        """Return how to learn from rows that topics have so many of."""
        n_rows, weights = int(counts.sum()), rows.topic_weights
        others = cost_of(n_rows) * weights
        own = others if rows.weights is not None else others * topic_rarity(counts)
        scales = Scales.of(_rates(rows, counts, least_key), rows.squares, n_rows)
        return cls(
            rows, n_rows, others.astype(np.float32), own.astype(np.float32), scales, least_key
        )

    def aim(self, topics: slice) -> Aim:
        """Return what a few topics are to learn."""
        numbers = np.arange(topics.start, topics.stop, dtype=np.int32)
        return Aim(numbers, self.others, self.own, self.least_key)


def _rates(rows: Rows, counts: I64, least_key: int) -> F64:
    """Return how freely each term moves; many rows tell soon enough what a term is worth."""
    if counts.sum() > MANY_ROWS:
        return np.ones(rows.n_columns)
    parts = []
    for topics in rows.blocks_of_topics():
        (found,) = rows.engine.sums(topic_counts, topics, least_key)
        parts.append(sp.csc_array(found))
    there = np.flatnonzero(counts)
    found = sp.hstack(parts, format="csc")[:, there]
    return rates_of(relevance_of(found, counts[there]), rows.squares)
