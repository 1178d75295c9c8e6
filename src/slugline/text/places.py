"""Where the words of a text stand in the text as it was given.

Words are found in bytes that are in lower case and normal form C, with spaces in place of
punctuation. Here is the way back: from bytes to characters of that form, and from these to the
characters of the original.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from slugline.base.arrays import Integers
from slugline.text.scripts import composed, unspaced_runs
from slugline.text.words import Words

__all__ = ["Places"]


# An ASCII character has nothing to do with what stands before it, but may with what follows.
_BEYOND_ASCII = re.compile("[\0-\x7f]?[^\0-\x7f]+")


class Places:
    """Finds the characters of a text that a span of its bytes came from.

    Parameters
    ----------
    text : str
    words : Words
        What `slugline.text.words.find_words` made of this one text.

    >>> from slugline.text.words import find_words
    >>> text = "E\u0301TE\u0301: Öl, İznik"
    >>> words = find_words([text])
    >>> starts, ends = Places(text, words).of(words.starts, words.ends)
    >>> [text[a:b] for a, b in zip(starts, ends)] == ["E\u0301TE\u0301", "Öl", "İznik"]
    True
    """

    def __init__(self, text: str, words: Words) -> None:
        self._starts: Integers | None = None
        if text.isascii():
            return
        as_read = composed(text)
        starts, ends = _origins(text, as_read)
        runs = unspaced_runs(as_read)
        # There is a space more on either side of each run.
        added = np.array(runs, dtype=np.intp).ravel()
        self._starts, self._ends = np.insert(starts, added, 0), np.insert(ends, added, 0)
        array = np.frombuffer(words.buffer, dtype=np.uint8)
        self._characters = np.flatnonzero((array & 0xC0) != 0x80)

    def of(self, starts: Integers, ends: Integers) -> tuple[list[int], list[int]]:
        """Return where spans begin and end in the text, given where they do in `words.buffer`.

        Parameters
        ----------
        starts, ends : int arrays, shape (n_spans,)
            Of words, or runs of characters that don't begin or end with a space.
        """
        # The buffer begins with a space that the text doesn't have.
        if self._starts is None:
            return (starts - 1).tolist(), (ends - 1).tolist()
        first = np.searchsorted(self._characters, starts) - 1
        last = np.searchsorted(self._characters, ends) - 2
        return self._starts[first].tolist(), self._ends[last].tolist()


def _origins(text: str, as_read: str) -> tuple[Integers, Integers]:
    """Return where each character of the text as it is read, `composed`, begins and ends in it."""
    lowered = text.lower()
    origins = np.arange(len(text))
    if len(lowered) != len(text):  # such as a dotted capital I, which becomes two characters
        origins = origins.repeat([len(character.lower()) for character in text])
    if as_read == lowered:
        return origins, origins + 1
    first: list[Integers] = []
    last: list[Integers] = []
    done = 0
    for start, end, n_after in _changes(lowered):
        # What several characters became came from all of them.
        first += [origins[done:start], origins[start].repeat(n_after)]
        last += [origins[done:start], origins[end - 1].repeat(n_after)]
        done = end
    return np.concatenate([*first, origins[done:]]), np.concatenate([*last, origins[done:]]) + 1


def _changes(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield where characters begin and end that change in form C, and how many they become."""
    for found in _BEYOND_ASCII.finditer(text):
        if unicodedata.is_normalized("NFC", found[0]):
            continue
        start = found.start()
        for cluster in _clusters(found[0]):
            normal = unicodedata.normalize("NFC", cluster)
            kept = _n_kept(cluster, normal)
            if normal != cluster:
                yield start + kept, start + len(cluster), len(normal) - kept
            start += len(cluster)


def _clusters(text: str) -> Iterator[str]:
    """Yield parts of a text that have normal forms of their own, as short as can be."""
    cluster = ""
    for character in text:
        if cluster and _begins(character, cluster):
            yield cluster
            cluster = ""
        cluster += character
    yield cluster


def _begins(character: str, before: str) -> bool:
    """Whether a character is not combined with those before it, nor put before one of them."""
    if unicodedata.combining(character):
        return False
    apart = (unicodedata.normalize("NFC", part) for part in (before, character))
    return unicodedata.normalize("NFC", before + character) == "".join(apart)


def _n_kept(cluster: str, normal: str) -> int:
    """Return 1 if the first character stays as it is, with nothing of the others in it; else 0."""
    rest = unicodedata.normalize("NFC", cluster[1:])
    return int(len(cluster) > 1 and normal == cluster[0] + rest)
