"""Normalization of characters: case, normal form, separators, and scripts without spaces."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from enum import IntFlag

import numpy as np

from slugline.base.arrays import I64, U8, U32, Mask

_SPACE = ord(" ")
#: Word separators, in addition to white space. Excludes the apostrophe: "don't" is one word.
PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'
_NO_PUNCTUATION = str.maketrans(PUNCTUATION, " " * len(PUNCTUATION))
_ASCII_SPACE = "\t\n\v\f\r\x1c\x1d\x1e\x1f"
_SEPARATORS = (PUNCTUATION + _ASCII_SPACE).encode()
#: Lower-cases ASCII and turns separators into spaces. Bytes from 128 up belong to multi-byte UTF-8
#: characters and stay as they are.
TRANSLATION = bytes(_SPACE if byte in _SEPARATORS else byte for byte in bytes(range(256)).lower())
# Script names by the first word of their letters' Unicode names, if they differ. The scripts of
# Chinese and Japanese count as one, because many words mix them.
_SCRIPTS = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC"), "Han and kana")
# Unicode blocks of scripts written without spaces, in ascending order: Thai and Lao, Myanmar,
# Khmer, Japanese syllables, Chinese characters, compatibility ideographs, halfwidth katakana, and
# rarer Chinese characters.
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3005", "\u3007"),
    ("\u3040", "\u30ff"),
    ("\u31f0", "\u31ff"),
    ("\u3400", "\u4dbf"),
    ("\u4e00", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\uff66", "\uff9f"),
    ("\U00020000", "\U0003ffff"),
)
_BOUNDS = np.array([(ord(first), ord(last) + 1) for first, last in _UNSPACED]).ravel()
# All non-ASCII characters for which str.isspace() is true.
_WIDE_SPACE = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_APOSTROPHE = "\u2019"
# Number of characters in the first plane and in the planes with case and combining marks, and
# number of planes.
_N_PLAIN, _N_TABLED, _N_PLANES = 0x10000, 0x20000, 17
# Syllables, which Unicode's decomposition tables lack.
_HANGUL = range(0xAC00, 0xD7A4)
# The Greek capital sigma, whose lower case depends on the letters around it.
_SIGMA = "\u03a3"
# Bit offsets of the character class and the combining class in an entry of `character_table`. The
# lowest 17 bits are the lower-case character; see `CharacterFlag` for the others.
_CLASS_SHIFT, _COMBINING_SHIFT = 17, 24
# Maximum number of marks on a character in Unicode's stream-safe text format, far more than any
# language uses; and the length up to which marks are sorted fast, however many there are.
_MAX_MARKS, _SHORT_TEXT = 30, 1000


def normalize_text(text: str) -> str:
    """Return a text in lower case and normal form C, with ASCII separators only.

    Punctuation of any script and wide spaces become spaces; a typographic apostrophe becomes ASCII;
    spaces are added around each span of a script without spaces.

    >>> normalize_text("“Öl” aus dem Meer")
    ' öl  aus dem meer'
    >>> normalize_text("iPhone手机，很好")
    'iphone 手机   很好 '
    """
    return _unspaced_pattern().sub(r" \g<0> ", _mask_separators(normalize_nfc(text)))


def count_spaced_characters(texts: Iterable[str]) -> dict[str, int]:
    """Count the word characters of texts, except in scripts without spaces.

    >>> count_spaced_characters(["ABBA 手机!"])
    {'a': 2, 'b': 2}
    """
    joined = "".join(map(normalize_nfc, texts)).replace(_APOSTROPHE, "'")
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    points, counts = np.unique(codes, return_counts=True)
    characters = "".join(map(chr, points.tolist()))
    # Counting doesn't depend on neighbouring characters, so each character is examined once.
    spaced = _unspaced_pattern().sub("", _mask_separators(characters)).translate(_NO_PUNCTUATION)
    is_spaced = set("".join(spaced.split())).__contains__
    counted = zip(characters, counts.tolist(), strict=True)
    return {character: count for character, count in counted if is_spaced(character)}


def find_unspaced(text: str) -> list[tuple[int, int]]:
    """Return the spans of a text in scripts written without spaces.

    The text must be normalized by `normalize_nfc`.

    >>> find_unspaced("iphone手机，很好")
    [(6, 8), (9, 11)]
    """
    return [run.span() for run in _unspaced_pattern().finditer(_mask_separators(text))]


def _mask_separators(text: str) -> str:
    """Replace punctuation and wide spaces with spaces; the length stays the same."""
    return _separator_pattern().sub(" ", text.replace(_APOSTROPHE, "'"))


def normalize_nfc(text: str) -> str:
    """Return a text in lower case and normal form C.

    Sorting combining marks takes quadratic time, so a text with implausibly many marks in a row is
    not normalized.
    """
    text = text.lower()
    if len(text) > _SHORT_TEXT and _longest_mark_run(text) > _MAX_MARKS:
        return text
    return unicodedata.normalize("NFC", text)


def _longest_mark_run(text: str) -> int:
    """Return the largest number of combining marks in a row."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    others = np.flatnonzero(~_is_combining()[np.minimum(points, _N_TABLED - 1)])
    return int(np.diff(others, prepend=-1, append=len(points)).max()) - 1


@functools.cache
def _is_combining() -> Mask:
    return np.fromiter(map(unicodedata.combining, map(chr, range(_N_TABLED))), dtype=bool)


class CharacterFlag(IntFlag):
    """Flags in an entry of `character_table`; `_kernel.c` has the same."""

    CHANGES = 1 << 19  # its lower case is another character
    STARTS = 1 << 20  # it may combine with a character after it
    FOLLOWS = 1 << 21  # it may combine with a character before it
    IS_HARD = 1 << 22  # only Python can lower-case or normalise a text with it


@functools.cache
def character_table(n_planes: int) -> U32:
    """Return the kernel's table: an entry for each character up to U+1FFFF, then for each plane.

    The bits of an entry, from the lowest: 17 for the lower-case character, 2 for its class (see
    `character_classes`), the bits of `CharacterFlag`, and from bit 24 on its canonical combining
    class. Characters beyond the first `n_planes` planes, 1 or 2, are marked as hard because
    computing their entries is slow.
    """
    stop = n_planes * _N_PLAIN
    low, flags = np.arange(_N_TABLED), np.zeros(_N_TABLED, dtype=np.int64)
    # These syllables contain every Hangul jamo; `unicodedata` has no table of them.
    jamo = _decompose("".join(map(chr, [*_HANGUL[:28], *_HANGUL[::28]])))
    hard, starts, follows = [ord(_SIGMA)], [*_HANGUL, *jamo], [*jamo]
    for point in _examined_points(stop):
        character, lower = chr(point), chr(point).lower()
        if mark := unicodedata.combining(character):
            flags[point] = mark << _COMBINING_SHIFT
        if lower == character and unicodedata.is_normalized("NFD", character):
            continue
        low[point] = ord(lower[0])
        if len(lower) > 1 or not unicodedata.is_normalized("NFC", lower):
            hard.append(point)
        first, *others = _decompose(character)
        if others and unicodedata.is_normalized("NFC", character):
            starts += first, point
            follows += others
    flags[starts] |= CharacterFlag.STARTS
    flags[follows] |= CharacterFlag.FOLLOWS
    table = np.full(_N_TABLED + _N_PLANES, int(CharacterFlag.IS_HARD))
    table[:stop] = (
        low | flags[low] | np.where(low == np.arange(_N_TABLED), 0, int(CharacterFlag.CHANGES))
    )[:stop]
    table[hard] |= CharacterFlag.IS_HARD
    classes = np.frombuffer(character_classes(), dtype=np.uint8).astype(np.int64) << _CLASS_SHIFT
    table[:_N_PLAIN] |= classes[:_N_PLAIN]
    table[_N_PLAIN:_N_TABLED] |= classes[_N_PLAIN + 1]
    table[_N_TABLED:] |= classes[_N_PLAIN:]
    return table.astype(np.uint32)


def _examined_points(stop: int) -> Iterator[int]:
    """Return the non-ASCII characters except ideographs, Hangul and private-use characters."""
    return itertools.chain(range(0x80, 0x3400), range(0xA000, 0xAC00), range(0xF900, stop))


def _decompose(text: str) -> list[int]:
    return [*map(ord, unicodedata.normalize("NFD", text))]


@functools.cache
def character_classes() -> bytes:
    """Return the class of each character for `normalize_text`.

    For each character up to U+FFFF, then for each of 17 planes: 0 for word characters, 1 for
    scripts without spaces, 2 for separators, 3 for the apostrophe.
    """
    classes = np.zeros(_N_PLAIN + _N_PLANES, dtype=np.uint8)
    for first, last in _UNSPACED:
        if ord(last) < _N_PLAIN:
            classes[ord(first) : ord(last) + 1] = 1
        else:  # whole planes
            classes[_N_PLAIN + (ord(first) >> 16) : _N_PLAIN + (ord(last) >> 16) + 1] = 1
    classes[[ord(character) for character in _separator_characters()]] = 2
    classes[ord(_APOSTROPHE)] = 3
    return classes.tobytes()


@functools.cache
def _unspaced_pattern() -> re.Pattern[str]:
    """Return the pattern of a span in scripts without spaces, compiled on first use."""
    return re.compile(f"[{''.join(f'{first}-{last}' for first, last in _UNSPACED)}]+")


@functools.cache
def _separator_pattern() -> re.Pattern[str]:
    """Return the pattern of a wide space or punctuation mark, compiled on first use."""
    return re.compile(f"[{_separator_characters()}]")


@functools.cache
def _separator_characters() -> str:
    examined = map(chr, _examined_points(_N_PLAIN))
    marks = [c for c in examined if unicodedata.category(c)[0] == "P"]
    return _WIDE_SPACE + "".join(marks)


def is_unspaced(array: U8, starts: I64) -> Mask:
    """Return a mask of the starts of characters in scripts without spaces.

    `array` is UTF-8 with at least three more bytes after the last start.
    """
    lead = array[starts].astype(np.int64)
    is_long = np.flatnonzero(lead >= 0xE0)  # of three bytes or four
    result = np.zeros(len(starts), dtype=bool)
    first, places = lead[is_long], starts[is_long]
    following = [array[places + n].astype(np.int64) & 0x3F for n in (1, 2, 3)]
    points = (first & 0x0F) << 12 | following[0] << 6 | following[1]
    wide = first >= 0xF0
    long_points = (first & 0x07) << 18 | following[0] << 12 | following[1] << 6 | following[2]
    points[wide] = long_points[wide]
    result[is_long] = np.searchsorted(_BOUNDS, points, side="right") % 2 == 1
    return result


def find_scripts(word: str) -> frozenset[str]:
    """Return the names of the scripts of a word's letters.

    >>> sorted(find_scripts("iphone手机")), find_scripts("1987")
    (['Han and kana', 'Latin'], frozenset())
    """
    return frozenset(filter(None, map(_find_script, word)))


@functools.cache
def _find_script(character: str) -> str:
    """Return the name of a letter's script; an empty string for other characters."""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _SCRIPTS.get(name, name.capitalize())
