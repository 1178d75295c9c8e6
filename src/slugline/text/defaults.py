"""Default families of terms, for when the user names none; chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slugline.text.block import Block

__all__ = ["FAMILIES", "default_blocks", "hashed_blocks", "is_short"]

#: Families of terms for weighted rows, by kind. Word pairs and runs of characters that occur only
#: once do not help.
FAMILIES = {
    block.kind: block
    for block in (
        Block("words"),
        Block("lead", weight=0.6),
        Block("bigrams", min_count=2),
        Block("characters", min_count=2),
    )
}
# Hash buckets for each family, when documents come in batches.
_N_BUCKETS = 1 << 18
# What the newswire lesson uses.
_LESSON = (Block("words", "multi-hot", max_terms=10_000),)
# Texts are short if their median number of words is at most this. The lead, which is as long, would
# be the whole document.
_SHORT = 48
_N_LOOKED_AT = 1000


def default_blocks(texts: Sequence[str], wants: str) -> tuple[Block, ...]:
    """Return the families of terms that suit the texts and the weighting that a learner `wants`."""
    if wants == "multi-hot":
        return _LESSON
    kinds = ("words", "bigrams", "characters") if is_short(texts) else ("words", "lead")
    return tuple(FAMILIES[kind] for kind in kinds)


def hashed_blocks(texts: Sequence[str], wants: str) -> tuple[Block, ...]:
    """Return the same families in hash buckets, for when `texts` are only the first batch."""
    return tuple(
        replace(block, n_buckets=_N_BUCKETS, max_terms=None, min_count=1)
        for block in default_blocks(texts, wants)
    )


def is_short(texts: Sequence[str]) -> bool:
    """Whether texts are short, by the median number of words in a sample of 1,000 or more."""
    some = texts[:: max(1, len(texts) // _N_LOOKED_AT)]
    return float(np.median([len(text.split()) for text in some])) <= _SHORT
