"""Texts of all scripts, with whatever may be in them, for what must read them as Python does."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence

__all__ = ["many_texts", "script_words"]

# First and last characters of letters and signs of many scripts.
_SCRIPTS = (
    *("az", "AZ", "09", "\xc0\xff", "\u0100\u024f", "\u0370\u03ff", "\u0400\u04ff", "\u0531\u0587"),
    *("\u05d0\u05ea", "\u0620\u06ff", "\u0900\u097f", "\u0980\u09ff", "\u0b80\u0bff"),
    *("\u0e00\u0e7f", "\u0f00\u0fbc", "\u1000\u109f", "\u10a0\u10ff", "\u1100\u11ff"),
    *("\u13a0\u13ff", "\u1780\u17ff", "\u1e00\u1fff", "\u3040\u30ff", "\u4e00\u9fff"),
    *("\ua640\ua69f", "\uac00\ud7a3", "\uf900\ufaff", "\uff01\uff9f"),
    *("\U00010400\U0001044f", "\U00010a00\U00010a47", "\U0001d400\U0001d7ff"),
    *("\U0001f300\U0001faff", "\U00020000\U000203ff", "\U0002f800\U0002fa1d"),
)
_MARKS = [chr(n) for n in range(0x300, 0x2000) if unicodedata.combining(chr(n))]
_ODD = (
    *("\u03a3", "\u0130", "\u212b", "\u1e9e", "\u01c5", "\u2019", "'", "\xad", "\u200d", "\ufe0f"),
    *("\0", "\x1f", "\x7f", "\x85", "\ufeff", "\ufffd", "\uffff", "\U0010ffff", "\u0340", "\u0344"),
    *("\u0f73", "\u0958", "\u1161", "\u11a8", "\u3007", "\u30fb", "\u2060"),
)
_BETWEEN = (" ", " ", " ", " ", ", ", ". ", "-", "\n", "\t", "\u3000", "\u2014", "\xa0", "; ", "")


def many_texts(n: int, seed: int, words: Sequence[str]) -> list[str]:
    """Return texts: of the words given, of other scripts, of anything, mixed, long and empty.

    Halves of characters stand alone: browsers take two that fit for one.

    Parameters
    ----------
    n : int
    seed : int
    words : sequence of str
        Some that a model knows.
    """
    rng = random.Random(seed)
    kinds: list[Callable[[], str]] = [
        lambda: rng.choice(words),
        lambda: _of_script(rng),
        lambda: _anything(rng),
        lambda: _marked(rng),
        lambda: rng.choice(_ODD) + rng.choice(words) + rng.choice(_ODD),
        lambda: "".join(rng.choices(_ODD, k=3)),
        lambda: rng.choice(words).upper() + rng.choice(("\u03a3", "'s", "\u0301", "\u2019S")),
    ]
    texts = ["", " ", "\u3000\n", "...", "\ud800", "\udc00 wheat", "e" + "\u0301" * 40]
    texts += ["x" * 1200 + "e\u0301\u0327" * 40, "a" * 1200 + "\u0316\u0301" * 20]
    texts += ["\u4e00" * 500, "q" * 250, "\xe9" * 101 + " " + "z" * 99, "\U0001f600" * 120]
    while len(texts) < n:
        length = rng.choice((1, 2, 5, 10, 20, 40))
        weights = rng.choice(((1, 0, 0, 0, 0, 0, 0), (6, 1, 1, 1, 1, 1, 1), (1, 4, 1, 1, 1, 1, 1)))
        parts = (f() for f in rng.choices(kinds, weights, k=length))
        texts.append("".join(part + rng.choice(_BETWEEN) for part in parts))
    return [_apart(text) for text in texts[:n]]


def script_words(rng: random.Random, n: int) -> list[str]:
    """Return words, each of one script."""
    return [_of_script(rng) for _ in range(n)]


def _of_script(rng: random.Random) -> str:
    bounds = rng.choice(_SCRIPTS)
    return "".join(
        chr(rng.randint(ord(bounds[0]), ord(bounds[1]))) for _ in range(rng.randint(1, 8))
    )


def _anything(rng: random.Random) -> str:
    most = rng.choice((0x250, 0x3000, 0xFFFF, 0x1FFFF, 0x10FFFF))
    return "".join(chr(rng.randint(0, most)) for _ in range(rng.randint(1, 4)))


def _marked(rng: random.Random) -> str:
    letters = (rng.choice("aeiouAEO\u0391\u03c9\u0438\u05d1\u0928\u4e00") for _ in range(3))
    return "".join(each + "".join(rng.choices(_MARKS, k=rng.randint(0, 4))) for each in letters)


def _apart(text: str) -> str:
    """Put a letter between two halves that would be one character."""
    halves = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if halves == text or not any("\ud800" <= c <= "\udbff" for c in text):
        return text
    found: list[str] = []
    for character in text:
        if found and "\ud800" <= found[-1] <= "\udbff" and "\udc00" <= character <= "\udfff":
            found.append("x")
        found.append(character)
    return "".join(found)
