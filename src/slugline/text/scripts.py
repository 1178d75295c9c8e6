"""What texts outside of ASCII need before they are split into words.

Scripts such as Chinese, Japanese and Thai put no spaces between words: each stretch of them becomes
a word of its own, which terms then take to pieces (see `slugline.text.terms.character_grams`).
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

import numpy as np

from slugline.base.arrays import I64, U8, Mask

__all__ = ["composed", "plain", "sides", "unspaced", "unspaced_runs"]

# Unicode blocks of scripts that are written without spaces, in ascending order: Thai and Lao,
# Myanmar, Khmer, Japanese syllables, Chinese characters, those for compatibility, narrow katakana,
# and the rarer Chinese characters.
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
_UNSPACED_RUN = re.compile(f"[{''.join(f'{first}-{last}' for first, last in _UNSPACED)}]+")
# All characters beyond ASCII for which str.isspace() is true.
_WIDE_SPACE = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_APOSTROPHE = "\u2019"
# Characters of the first plane, and planes in all.
_N_PLAIN, _N_PLANES = 0x10000, 17
# As many marks on a character as in Unicode's stream-safe text format, which is far more than any
# language has; and up to so many characters, any number takes no time.
_MOST_MARKS, _MOST_UNSEEN = 30, 1000


def plain(text: str) -> str:
    """Return a text in lower case and normal form C, with nothing but words and ASCII separators.

    Punctuation of any script and wide spaces become spaces, a typographic apostrophe becomes the
    one of ASCII, and spaces set apart each stretch of a script that has none.

    >>> plain("“Öl” aus dem Meer")
    ' öl  aus dem meer'
    >>> plain("iPhone手机，很好")
    'iphone 手机   很好 '
    """
    return _UNSPACED_RUN.sub(r" \g<0> ", _separated(composed(text)))


def unspaced_runs(text: str) -> list[tuple[int, int]]:
    """Return where each stretch of a script without spaces is, in a text that is `composed`.

    >>> unspaced_runs("iphone手机，很好")
    [(6, 8), (9, 11)]
    """
    return [run.span() for run in _UNSPACED_RUN.finditer(_separated(text))]


def _separated(text: str) -> str:
    """Return a text in which punctuation and wide spaces are spaces; no character moves."""
    return _separators().sub(" ", text.replace(_APOSTROPHE, "'"))


def composed(text: str) -> str:
    """Return a text in lower case and normal form C, if it can be brought into that.

    Putting marks in order takes the square of the time of how many follow one another. Where these
    are more than any language has, the text is nobody's, and stays as it is.
    """
    text = text.lower()
    if len(text) > _MOST_UNSEEN and _most_marks(text) > _MOST_MARKS:
        return text
    return unicodedata.normalize("NFC", text)


def _most_marks(text: str) -> int:
    """Return how many combining marks follow one another at most."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    others = np.flatnonzero(~_marks()[points])
    return int(np.diff(others, prepend=-1, append=len(points)).max()) - 1


@functools.cache
def _marks() -> Mask:
    """Return whether each character is a combining mark."""
    return np.array([unicodedata.combining(chr(n)) > 0 for n in range(sys.maxunicode + 1)])


@functools.cache
def sides() -> bytes:
    """Return what `plain` takes each character for, in a table for the compiled kernel.

    Returns
    -------
    bytes, of length 2^16 + 17
        For each character up to U+FFFF, then for each plane: 0 for those of words, 1 for those of
        scripts without spaces, 2 for separators, 3 for the apostrophe.
    """
    found = np.zeros(_N_PLAIN + _N_PLANES, dtype=np.uint8)
    for first, last in _UNSPACED:
        if ord(last) < _N_PLAIN:
            found[ord(first) : ord(last) + 1] = 1
        else:  # these are whole planes
            found[_N_PLAIN + (ord(first) >> 16) : _N_PLAIN + (ord(last) >> 16) + 1] = 1
    found[[ord(character) for character in _separating()]] = 2
    found[ord(_APOSTROPHE)] = 3
    return found.tobytes()


@functools.cache
def _separators() -> re.Pattern[str]:
    """Return a pattern for one wide space or punctuation mark: few texts need it made."""
    return re.compile(f"[{_separating()}]")


def _separating() -> str:
    """Return all wide spaces and punctuation marks."""
    marks = [c for c in map(chr, range(0x80, _N_PLAIN)) if unicodedata.category(c)[0] == "P"]
    return _WIDE_SPACE + "".join(marks)


def unspaced(array: U8, starts: I64) -> Mask:
    """Return whether the character at each start is of a script without spaces.

    Parameters
    ----------
    array : uint8 array
        UTF-8, with at least three more bytes after the last start.
    starts : int64 array, shape (n_words,)
    """
    lead = array[starts].astype(np.int64)
    is_long = np.flatnonzero(lead >= 0xE0)  # two bytes don't reach as far as these scripts
    found = np.zeros(len(starts), dtype=bool)
    first, places = lead[is_long], starts[is_long]
    following = [array[places + n].astype(np.int64) & 0x3F for n in (1, 2, 3)]
    points = (first & 0x0F) << 12 | following[0] << 6 | following[1]
    wide = first >= 0xF0
    points[wide] = ((first & 0x07) << 18 | following[0] << 12 | following[1] << 6 | following[2])[
        wide
    ]
    found[is_long] = np.searchsorted(_BOUNDS, points, side="right") % 2 == 1
    return found
