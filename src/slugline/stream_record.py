"""What there is to say of learning from a stream, besides what was learned."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["StreamRecord"]


class StreamRecord(NamedTuple):
    """How documents of a stream were learned from.

    Attributes
    ----------
    n_passes : int
        Passes over all documents, for a few topics each.
    n_skipped : int
        Rows of files that could not be used.
    topic_counts : tuple of int, one for each topic
        How many documents they have.
    n_judged, n_right : int
        How many documents were held out at first and judged by what was learned from the others,
        and how many of those got their topic. Without those of topics that the others don't have.
    """

    n_passes: int
    n_skipped: int
    topic_counts: tuple[int, ...]
    n_judged: int
    n_right: int

    @property
    def accuracy(self) -> float:
        """The share of those that got their topic; NaN if there are none."""
        return self.n_right / self.n_judged if self.n_judged else math.nan
