"""Default families of terms, for when the user names none; chosen by cross-validation."""

from __future__ import annotations

from slugline.text.block import Block

__all__ = ["FAMILIES", "default_blocks"]

# Hash buckets of each family, and how much a word or a pair of words counts beside a run of
# characters: 2 would be better for short English questions, 1 for few documents in most languages.
_N_BUCKETS, _WORD_WEIGHT = 1 << 20, 1.25
#: Families of terms for weighted rows, by kind.
FAMILIES = {
    kind: Block(kind, weight=1.0 if kind == "characters" else _WORD_WEIGHT, n_buckets=_N_BUCKETS)
    for kind in ("words", "lead", "bigrams", "characters")
}
# What the newswire lesson uses.
_LESSON = (Block("words", "multi-hot", max_terms=10_000),)


def default_blocks(wants: str) -> tuple[Block, ...]:
    """Return the families of terms that suit the weighting that a learner `wants`.

    Words, pairs of neighbours and runs of characters, whatever the texts: in no language and at no
    length did others do better on most of the sets of documents measured.
    """
    if wants == "multi-hot":
        return _LESSON
    return tuple(FAMILIES[kind] for kind in ("words", "bigrams", "characters"))
