"""One family of terms, and how much it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slugline.errors import OptionError
from slugline.text.terms import KINDS
from slugline.text.weighting import WEIGHTINGS

__all__ = ["MAX_BUCKETS", "Block"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]

#: The most hash buckets of a block: more would cost learners more memory than they could be worth.
MAX_BUCKETS = 1 << 24


@dataclass(frozen=True, slots=True)
class Block:
    """One family of terms, side by side with others in a row.

    Parameters
    ----------
    kind : {"words", "lead", "bigrams", "characters"}, default "words"
        Words; the first words of a document; pairs of neighbours; runs of characters in words.
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}, default "log-tf-idf"
    weight : float, default 1.0
        What the whole block counts beside others. With idf, a row that has terms of all blocks
        gets length 1.
    max_terms : int, optional
        Keep the most frequent terms, at most so many; all by default.
    min_count : int, default 1
        Drop terms that occur less often in all documents together.
    n_buckets : int, optional
        A power of two up to `MAX_BUCKETS`: learn no vocabulary, but count each term in the column
        that its hash names. Columns then have no names, and rows of counts agree between processes
        that share nothing. What idf weighs terms by is learned all the same.
    """

    kind: str = "words"
    weighting: str = "log-tf-idf"
    weight: float = 1.0
    max_terms: int | None = None
    min_count: int = 1
    n_buckets: int | None = None

    def __post_init__(self) -> None:
        for name, value, legal in (
            ("kind", self.kind, KINDS),
            ("weighting", self.weighting, WEIGHTINGS),
        ):
            if value not in legal:
                raise OptionError(f"unknown {name} {value!r}; choose one of {', '.join(legal)}.")
        if not 0 < self.weight < math.inf:
            raise OptionError(f"weight is {self.weight}; give a number over 0.")
        if self.n_buckets is not None:
            self._check_buckets(self.n_buckets)

    @property
    def has_idf(self) -> bool:
        """Whether terms weigh less the more documents have them."""
        return self.weighting.endswith("idf")

    def _check_buckets(self, n_buckets: int) -> None:
        is_power = isinstance(n_buckets, int) and n_buckets > 0 and n_buckets.bit_count() == 1
        if not is_power or n_buckets > MAX_BUCKETS:
            raise OptionError(
                f"n_buckets is {n_buckets!r}; give a power of two up to {MAX_BUCKETS}, or None to "
                "learn a vocabulary."
            )
        if self.max_terms is not None or self.min_count != 1:
            raise OptionError(
                "max_terms and min_count choose the terms of a vocabulary, and with n_buckets "
                "there is none; leave them out."
            )
