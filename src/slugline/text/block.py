"""One family of terms, and how much it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slugline.checks import check_choice, check_number, check_whole, illegal
from slugline.displays import as_call
from slugline.errors import OptionError
from slugline.text.terms import KINDS
from slugline.text.weighting import WEIGHTINGS

__all__ = ["MAX_BUCKETS", "Block", "check_blocks"]


#: The most hash buckets of a block: more would cost learners more memory than they are worth.
MAX_BUCKETS = 1 << 24
# Squares of what is so many times as large still fit into float32.
_MOST_WEIGHT = 1_000_000


@dataclass(frozen=True, slots=True, repr=False)
class Block:
    """One family of terms, side by side with others in a row.

    Parameters
    ----------
    kind : {"words", "lead", "bigrams", "characters"}, default "words"
        Words; the first words of a document; pairs of neighbours; runs of characters in words.
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}, default "log-tf-idf"
    weight : float over 0, and under a million; default 1.0
        How much the block counts beside others. With idf, a row that has terms of all blocks
        gets length 1.
    max_terms : int, optional
        Keep the most frequent terms, at most so many; all by default.
    min_count : int, default 1
        Drop terms that occur less often in all documents together.
    n_buckets : int, optional
        A power of two up to `MAX_BUCKETS`: learn no vocabulary, but count each term in the column
        that its hash names. Columns then have no names, and rows of counts agree between processes
        that share nothing. The idf of terms is still learned.
    """

    kind: str = "words"
    weighting: str = "log-tf-idf"
    weight: float = 1.0
    max_terms: int | None = None
    min_count: int = 1
    n_buckets: int | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, tuple(KINDS))
        check_choice("weighting", self.weighting, tuple(WEIGHTINGS))
        check_number("weight", self.weight, over=0, under=_MOST_WEIGHT)
        check_whole("min_count", self.min_count, 0)
        if self.max_terms is not None:
            check_whole("max_terms", self.max_terms, 1)
        if self.n_buckets is not None:
            self._check_buckets(self.n_buckets)

    def __repr__(self) -> str:
        return as_call(self)

    @property
    def has_idf(self) -> bool:
        """Whether terms weigh less the more documents have them."""
        return self.weighting.endswith("idf")

    def _check_buckets(self, n_buckets: int) -> None:
        is_whole = isinstance(n_buckets, int) and not isinstance(n_buckets, bool)
        if not is_whole or not 0 < n_buckets <= MAX_BUCKETS or n_buckets.bit_count() != 1:
            raise illegal(
                "n_buckets",
                n_buckets,
                f"a power of two up to {MAX_BUCKETS}, or None to learn a vocabulary",
            )
        if self.max_terms is not None or self.min_count != 1:
            raise OptionError(
                "`max_terms` and `min_count` choose the terms of a vocabulary, and with "
                "`n_buckets` there is none; leave them out."
            )


def check_blocks(blocks: Any) -> tuple[Block, ...]:
    """Return the blocks as a tuple; OptionError unless they are a sequence of one or more."""
    is_list = isinstance(blocks, Sequence) and not isinstance(blocks, str)
    if not is_list or not blocks or not all(isinstance(block, Block) for block in blocks):
        raise illegal("blocks", blocks, "a list of one or more `Block` objects")
    return tuple(blocks)
