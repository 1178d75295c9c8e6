"""What Python does with each character, in tables for a script whose browser may do otherwise.

Browsers and Python know Unicode in different versions. So a page brings along how Python puts
letters in lower case and marks in normal form C, and which characters separate words.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import I64, U8
from slugline.text.scripts import sides
from slugline.text.words import TRANSLATION

__all__ = ["Characters", "characters"]


_N_ALL = sys.maxunicode + 1
_N_ASCII = 128
_SPACE, _SEPARATES = ord(" "), 2
_SIGMA = "\u03a3"
# Categories of code points that stand for nothing, or nothing agreed on, and of halves of
# characters: nothing becomes of them.
_INERT = {"Cn", "Co", "Cs"}
# Ideographs and syllables are neither cased nor passed over; they are most of all characters.
_CASELESS = range(0x3400, 0xA000), range(0xAC00, 0xD7B0), range(0x20000, 0x40000)


class Characters(NamedTuple):
    """Tables of characters.

    Attributes
    ----------
    sides : uint8 array, shape (2^16 + 17,)
        As `slugline.text.scripts.sides`, with the separators of ASCII too.
    blank : int array
        The characters that are white space.
    lower : int array, shape (n, 2)
        Characters and their lower case, where that is one character; in ascending order.
    lower_many : dict of int to list of int
        Where it is several.
    casing : uint8 array, shape (n_characters,)
        How a character counts for the form of a sigma beside it: 1 if it is cased, 2 if it is
        passed over, else 0.
    combining : uint8 array, shape (n_characters,)
        Canonical combining classes.
    parts : int array, shape (n, 3)
        Characters and the one or two that they are made of; 0 in place of a second one. In
        ascending order.
    composes : uint8 array, shape (n,)
        Whether normal form C puts such parts together.
    """

    sides: U8
    blank: I64
    lower: I64
    lower_many: dict[int, list[int]]
    casing: U8
    combining: U8
    parts: I64
    composes: U8


@functools.cache
def characters() -> Characters:
    """Return the tables of this Python."""
    found = [c for c in map(chr, range(_N_ALL)) if unicodedata.category(c) not in _INERT]
    lower = {ord(c): c.lower() for c in found if c.lower() != c}
    single = [(number, ord(low)) for number, low in lower.items() if len(low) == 1]
    parts = [(ord(c), *_parts(c)) for c in found if _is_made_of_others(c)]
    return Characters(
        sides=_sides(),
        blank=np.array([ord(c) for c in found if c.isspace()]),
        lower=np.array(single),
        lower_many={number: [*map(ord, low)] for number, low in lower.items() if len(low) > 1},
        casing=_table(found, _casing),
        combining=_table(found, unicodedata.combining),
        parts=np.array(parts),
        composes=np.array([_composes(*map(chr, each)) for each in parts], dtype=np.uint8),
    )


def _table(found: list[str], function: Callable[[str], int]) -> U8:
    table = np.zeros(_N_ALL, dtype=np.uint8)
    table[[*map(ord, found)]] = [*map(function, found)]
    return table


def _sides() -> U8:
    found = np.frombuffer(sides(), dtype=np.uint8).copy()
    ascii_ = np.frombuffer(TRANSLATION, dtype=np.uint8)[:_N_ASCII]
    found[:_N_ASCII][ascii_ == _SPACE] = _SEPARATES
    return found


def _casing(character: str) -> int:
    """Return what a character says of a sigma before it, by looking at what Python makes of it."""
    if any(ord(character) in block for block in _CASELESS):
        return 0
    if f"a{_SIGMA}{character}".lower()[1] == "\u03c3":
        return 1
    return 2 if f"a{_SIGMA}{character}a".lower()[1] == "\u03c3" else 0


def _is_made_of_others(character: str) -> bool:
    found = unicodedata.decomposition(character)
    return bool(found) and not found.startswith("<")


def _parts(character: str) -> tuple[int, int]:
    first, *rest = (int(part, 16) for part in unicodedata.decomposition(character).split())
    return first, rest[0] if rest else 0


def _composes(character: str, first: str, second: str) -> bool:
    return second != "\0" and unicodedata.normalize("NFC", first + second) == character
