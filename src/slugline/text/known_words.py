"""How many of a text's words are known: few are, in another language or about other things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.ragged import row_lengths
from slugline.text.features import Features
from slugline.text.terms import KINDS
from slugline.text.words import find_words, map_chunks
from slugline.threads import count_threads

__all__ = ["WordCounts", "count_words", "least_known_share"]

Integers = npt.NDArray[np.integer]

# Of the training documents, this share has fewer known words than what still counts as usual.
_ODD = 0.01
# As many documents say which share of words is usual.
_ENOUGH_DOCUMENTS = 20_000


class WordCounts(NamedTuple):
    """How many words texts have, and how many of these are known.

    Attributes
    ----------
    known, all : int array, shape (n_documents,)
    """

    known: Integers
    all: Integers

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """The share of words that are known, shape (n_documents,); 1 of a text without any."""
        return np.where(self.all > 0, self.known / np.maximum(self.all, 1), 1.0)


def count_words(features: Features, texts: Sequence[str]) -> WordCounts:
    """Return the counts of texts; where words are no family of the features, all are known."""
    n_words, _, indptr = _places(features, texts)
    return WordCounts(n_words if indptr is None else row_lengths(indptr), n_words)


def least_known_share(features: Features, texts: Sequence[str]) -> float:
    """Return the share of known words that 99 of 100 training documents have, at least.

    In each of them, a word counts as known if it occurs in another one, so that the document is as
    good as new.
    """
    texts = texts[:: max(1, -(-len(texts) // _ENOUGH_DOCUMENTS))]
    n_words, columns, indptr = _places(features, texts)
    if indptr is None or not n_words.any():
        return 0.0
    owner = np.arange(len(texts)).repeat(row_lengths(indptr))
    width = int(columns.max(initial=0)) + 1
    several = np.bincount(np.unique(owner * width + columns) % width, minlength=width) > 1
    known = np.bincount(owner[several[columns]], minlength=len(texts))
    shares = WordCounts(known, n_words).share[n_words > 0]
    return float(np.quantile(shares, _ODD, method="lower"))


def _places(
    features: Features, texts: Sequence[str]
) -> tuple[Integers, Integers, npt.NDArray[np.int64] | None]:
    """Return the number of words of each text, the columns of those known, and whose they are."""
    number = next((n for n, block in enumerate(features.blocks) if block.kind == "words"), None)
    vocabulary = None if number is None else features.vocabularies_[number]
    none: Integers = np.zeros(0, dtype=np.int64)
    counts, columns, lengths = [none], [none], [none]
    for words in map_chunks(find_words, texts, count_threads(features.n_jobs)):
        counts.append(row_lengths(words.indptr))
        if vocabulary is not None:
            found, indptr = vocabulary.places(KINDS["words"].find(words))
            columns.append(found)
            lengths.append(row_lengths(indptr))
    n_words = np.concatenate(counts)
    if vocabulary is None:
        return n_words, none, None
    return n_words, np.concatenate(columns), np.cumsum(np.concatenate([[0], *lengths]))
