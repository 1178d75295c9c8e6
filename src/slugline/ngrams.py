"""Terms made of words: the first ones of a document, pairs of neighbours, runs of characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.text import Words, find_words, hash_spans, mix

__all__ = ["KINDS", "TermKind", "bigrams", "character_grams", "lead_words"]

#: How many of a document's words are its lead, the part where news says what it is about.
N_LEAD = 48
#: Characters in a run.
GRAM_SIZES = (4,)

_SECOND = np.uint64(0x9E3779B97F4A7C15)


def lead_words(words: Words) -> Words:
    """Give the first `N_LEAD` words of each document.

    >>> lead_words(find_words(["rise " * 50, "fall"])).indptr.tolist()
    [0, 48, 49]
    """
    lengths = np.minimum(np.diff(words.indptr), N_LEAD)
    return _select(words, _ranges(words.indptr[:-1], lengths), lengths)


def bigrams(words: Words) -> Words:
    """Give each pair of neighbouring words as one term.

    >>> pairs = bigrams(find_words(["oil, gas and tin", "tin"]))
    >>> [pairs.word(i) for i in range(len(pairs))]
    ['oil gas', 'gas and', 'and tin']
    """
    lengths = np.maximum(np.diff(words.indptr) - 1, 0)
    first = _ranges(words.indptr[:-1], lengths)
    # Not symmetric: "gas oil" is another term than "oil gas".
    hashes = mix(words.hashes[first] * _SECOND + words.hashes[first + 1])
    return Words(
        words.buffer,
        words.starts[first],
        words.ends[first + 1],
        _indptr(lengths),
        np.maximum(hashes, 1),
    )


def character_grams(words: Words) -> Words:
    """Give each run of 4 characters within a word, the space on either side included.

    >>> grams = character_grams(find_words(["is rice"]))
    >>> [grams.word(i) for i in range(len(grams))]
    [' is ', ' ric', 'rice', 'ice ']
    """
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    characters = np.flatnonzero((array & 0xC0) != 0x80)  # other bytes go on with a UTF-8 character
    # A word has a space before and after it in the buffer, and these count as its edges.
    first = np.searchsorted(characters, words.starts) - 1
    n_characters = np.searchsorted(characters, words.ends) + 1 - first
    sizes = np.array(GRAM_SIZES)
    lengths = np.maximum(n_characters[:, np.newaxis] - sizes + 1, 0)
    start = _ranges(np.repeat(first, len(sizes)), lengths.ravel())
    end = start + np.repeat(np.tile(sizes, len(words)), lengths.ravel())
    starts, ends = characters[start], characters[end]
    n_before = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
    hashes = hash_spans(array, starts, ends - starts)
    return Words(words.buffer, starts, ends, n_before[words.indptr], hashes)


class TermKind(NamedTuple):
    """A kind of term: how to find its terms in documents, and in their own text."""

    find: Callable[[Words], Words]
    hash: Callable[[Sequence[str]], npt.NDArray[np.uint64]]


def _hash_as_is(terms: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Hash each string's own bytes, whatever separators are in it."""
    data = [term.encode("utf-8", "surrogatepass") for term in terms]
    lengths = np.fromiter(map(len, data), dtype=np.int64, count=len(data))
    array = np.frombuffer(b"".join([*data, b" " * 9]), dtype=np.uint8)
    return hash_spans(array, np.cumsum(lengths) - lengths, lengths)


def _hash_pairs(terms: Sequence[str]) -> npt.NDArray[np.uint64]:
    return bigrams(find_words(terms)).hashes


KINDS = {
    "words": TermKind(lambda words: words, _hash_as_is),
    "lead": TermKind(lead_words, _hash_as_is),
    "bigrams": TermKind(bigrams, _hash_pairs),
    "characters": TermKind(character_grams, _hash_as_is),
}


def _select(words: Words, chosen: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Words:
    return Words(
        words.buffer,
        words.starts[chosen],
        words.ends[chosen],
        _indptr(lengths),
        words.hashes[chosen],
    )


def _indptr(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)])


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give start, start + 1, ... for `length` numbers from each start, one after another."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())
