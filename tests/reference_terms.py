"""Words and terms by their definitions, in plain Python that looks at a character at a time."""

from __future__ import annotations

import itertools
import re
import string
import unicodedata

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


def reference_words(document: str) -> list[str]:
    """Return what stands between separators, each stretch of a script without spaces apart."""
    text = unicodedata.normalize("NFC", document.lower()).replace("’", "'")
    stretches = itertools.groupby(text, _side)
    return ["".join(stretch) for side, stretch in stretches if side is not None]


def reference_terms(kind: str, document: str) -> list[str]:
    """Return the terms of a document."""
    words = reference_words(document)
    if kind == "lead":
        return words[:48]
    if kind == "bigrams":
        return [" ".join(pair) for pair in itertools.pairwise(words)]
    if kind.startswith("characters"):
        return [run for word in words for run in _runs(word, kind)]
    return words


def _side(character: str) -> bool | None:
    """Tell scripts without spaces from the others; None for what separates words."""
    if character in string.punctuation:
        return False if character == "'" else None
    in_plane = 0x80 <= ord(character) < 0x10000
    if character.isspace() or (in_plane and unicodedata.category(character)[0] == "P"):
        return None
    return _UNSPACED.match(character) is not None


def _runs(word: str, kind: str) -> list[str]:
    if _UNSPACED.match(word):
        text, sizes = word, [1, 2, 3, 4] if kind == "characters" else []
    else:
        text, sizes = f" {word} "[:102], [int(kind.partition("-")[2] or 4)]
    return [text[first : first + n] for n in sizes for first in range(len(text) - n + 1)]
