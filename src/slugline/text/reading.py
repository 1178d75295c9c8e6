"""What is read in texts: their rows, and how many words there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import Integers
from slugline.sparse import Rows

__all__ = ["Reading", "WordCounts"]


class WordCounts(NamedTuple):
    """How many words texts have, and how many of these are known.

    Attributes
    ----------
    known, all : int array, shape (n_documents,)
    """

    known: Integers
    all: Integers

    @property
    def unknown(self) -> Integers:
        """How many words are unknown, shape (n_documents,)."""
        return self.all - self.known

    @classmethod
    def joined(cls, parts: Sequence[WordCounts]) -> WordCounts:
        """Return the counts of the texts of all parts, of which there is one at least."""
        if len(parts) == 1:
            return parts[0]
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class Reading(NamedTuple):
    """What learners need to know of texts, and what tells whether they are of the usual kind.

    Attributes
    ----------
    rows : Rows, shape (n_documents, n_columns)
    words : WordCounts
        Where words are no family of terms, all count as known.
    """

    rows: Rows
    words: WordCounts
