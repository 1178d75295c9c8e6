"""What each part of a text has in what an encoder, which reads it as a whole, adds to a score."""

from __future__ import annotations

import re

import numpy as np

from slugline.base.arrays import F64, Integers
from slugline.encoders.encoding import encode
from slugline.explain.spreading import Shares
from slugline.learners.dense_head import DenseHead
from slugline.text.places import Places
from slugline.text.words import Words

__all__ = ["split"]


# Parts that are left out one at a time, each of which has to be encoded. Of more, neighbours are
# left out together.
_MOST = 50
_END_OF_SENTENCE = re.compile("[.!?。！？؟।\n]")


def split(text: str, words: Words, dense: DenseHead, weights: F64, total: float) -> Shares:
    """Share out what the encoder adds among the sentences of a text, or the words of a single one.

    Each part gets what is missing without it. What these amounts miss the total by, as parts mean
    something together, is split evenly, so that the sum is exact.

    Parameters
    ----------
    text : str
    words : Words
        Those of the text, of which there must be one at least.
    dense : DenseHead
    weights : float64 array, shape (encoder.width,)
        What each of the encoder's columns counts.
    total : float
        What the encoder adds in all.

    References
    ----------
    Moulin (1985), The separability axiom and equal-sharing methods: equal allocation of what is not
    separable, here of the score.
    """
    starts, ends = Places(text, words).of(words.starts, words.ends)
    firsts, lasts = _parts(text, starts, ends)
    without = [
        text[: starts[first]] + text[ends[last] :]
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    rows = encode(without, dense.encoder, keep=False).astype(np.float64)
    own = total - rows @ weights
    own += (total - own.sum()) / len(own)
    return Shares(words.starts[firsts], words.ends[lasts], own)


def _parts(text: str, starts: list[int], ends: list[int]) -> tuple[Integers, Integers]:
    """Return the first and the last word of each part."""
    begins = [
        word
        for word in range(len(starts))
        if word == 0 or _END_OF_SENTENCE.search(text, ends[word - 1], starts[word])
    ]
    if len(begins) == 1:
        begins = list(range(len(starts)))
    size = -(-len(begins) // _MOST)
    firsts = np.array(begins[::size])
    return firsts, np.append(firsts[1:], len(starts)) - 1
