"""Which terms count where the user does not say: all chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slugline.text.block import Block

__all__ = ["FAMILIES", "default_blocks", "hashed_blocks", "is_short"]

#: Families of terms for weighted rows, by kind. A run or a pair that occurs once tells nothing.
FAMILIES = {
    block.kind: block
    for block in (
        Block("words"),
        Block("lead", weight=0.6),
        Block("bigrams", min_count=2),
        Block("characters", min_count=2),
    )
}
# For documents that come in batches.
_N_BUCKETS = 1 << 18
# The newswire lesson's rows.
_LESSON = (Block("words", "multi-hot", max_terms=10_000),)
# Words in the middle one of all documents up to which they count as short: a lead of as many words
# would be the whole document.
_SHORT = 48
_N_LOOKED_AT = 1000


def default_blocks(texts: Sequence[str], wants: str) -> tuple[Block, ...]:
    """Return the families of terms that suit the texts and a learner that wants such weights."""
    if wants == "multi-hot":
        return _LESSON
    kinds = ("words", "bigrams", "characters") if is_short(texts) else ("words", "lead")
    return tuple(FAMILIES[kind] for kind in kinds)


def hashed_blocks(texts: Sequence[str], wants: str) -> tuple[Block, ...]:
    """Return the same families in hash buckets, for documents of which these are only the first."""
    return tuple(
        replace(block, n_buckets=_N_BUCKETS, max_terms=None, min_count=1)
        for block in default_blocks(texts, wants)
    )


def is_short(texts: Sequence[str]) -> bool:
    """Tell whether texts are short: by white space, in a thousand of them spread over all."""
    some = texts[:: max(1, len(texts) // _N_LOOKED_AT)]
    return float(np.median([len(text.split()) for text in some])) <= _SHORT
