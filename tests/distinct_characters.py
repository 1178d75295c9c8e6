"""The characters that tests of the kernel read one by one."""

from __future__ import annotations

import unicodedata
from functools import cache

__all__ = ["distinct_characters"]


@cache
def distinct_characters() -> list[str]:
    """Return characters without their like, and every 16th of those that are like their neighbours.

    Neighbours are alike if they have the same category and no other case or normal form, as most
    ideographs and syllables have.
    """
    characters = [*map(chr, range(0x7F, 0x32001))]
    kinds = [*map(unicodedata.category, characters)]
    return [
        character
        for at, character in enumerate(characters[1:-1], 1)
        if at % 16 == 0
        or not kinds[at - 1] == kinds[at] == kinds[at + 1]
        or character.lower() != character
        or not unicodedata.is_normalized("NFC", character)
    ]
