"""How many of a text's words are known: few are, in another language or about other things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Integers, Mask
from slugline.ragged import row_lengths
from slugline.text.features import Features
from slugline.text.reading import WordCounts
from slugline.text.terms import KINDS
from slugline.text.words import find_words, map_chunks
from slugline.threads import count_threads

__all__ = ["UsualWords", "usual_words"]


# Of the training documents, this share has more unknown words than what still counts as usual.
_ODD = 0.01
# A smaller share of unknown words makes no text a foreign one, where documents to learn from have
# hardly any, such as those that were cut to a vocabulary. With this, texts in other languages are
# found as before.
_MANY = 0.25
# As many documents say what is usual.
_ENOUGH_DOCUMENTS = 20_000
# By how much the same arithmetic may differ.
_ROUNDED = 1e-6


class UsualWords(NamedTuple):
    """How many unknown words a new document usually has.

    Attributes
    ----------
    unknown : float, over 0 and under 1
        The share of words that are unknown.
    highest : float, at least 0
        By how many standard errors a document may have more of them, at most. Short texts may thus
        have a larger share than long ones.
    """

    unknown: float
    highest: float

    @classmethod
    def of(cls, counts: WordCounts) -> UsualWords:
        """Return what is usual in documents that are as good as new, but for one in a hundred."""
        n_words, n_unknown = int(counts.all.sum()), int(counts.unknown.sum())
        share = (n_unknown + 1) / (n_words + 2)  # Laplace's: under 1, and never 0
        if not n_words:
            return cls(share, 0.0)
        excess = _excess(counts, share)[counts.all > 0]
        return cls(share, max(0.0, float(np.quantile(excess, 1 - _ODD, method="higher"))))

    def are_odd(self, counts: WordCounts) -> Mask:
        """Return which texts have more unknown words than usual, shape (n_documents,)."""
        are_many = counts.unknown >= _MANY * np.maximum(counts.all, 1)
        if not are_many.any():
            return are_many
        return are_many & (_excess(counts, self.unknown) > self.highest + _ROUNDED)


def _excess(counts: WordCounts, share: float) -> F64:
    """Return by how many standard errors texts have more unknown words than a share of all."""
    error = np.sqrt(np.maximum(counts.all, 1) * share * (1 - share))
    found: F64 = (counts.unknown - counts.all * share) / error
    return found


def usual_words(features: Features, texts: Sequence[str]) -> UsualWords | None:
    """Return what is usual in training documents; None where words are no family of the features.

    In each of them, a word counts as known if it occurs in another one, so that the document is as
    good as new.
    """
    number = features.words_block
    if number is None:
        return None
    vocabulary = features.vocabularies_[number]
    texts = texts[:: max(1, -(-len(texts) // _ENOUGH_DOCUMENTS))]
    none: Integers = np.zeros(0, dtype=np.int64)
    n_words, columns, n_known = [none], [none], [none]
    for words in map_chunks(find_words, texts, count_threads(features.n_jobs)):
        found, indptr = vocabulary.places(KINDS["words"].find(words))
        n_words.append(row_lengths(words.indptr))
        columns.append(found)
        n_known.append(row_lengths(indptr))
    known = _known_elsewhere(np.concatenate(columns), np.concatenate(n_known))
    return UsualWords.of(WordCounts(known, np.concatenate(n_words)))


def _known_elsewhere(columns: Integers, lengths: Integers) -> Integers:
    """Return how many words of each document occur in another one, given their columns."""
    owner = np.arange(len(lengths)).repeat(lengths)
    width = int(columns.max(initial=0)) + 1
    several = np.bincount(np.unique(owner * width + columns) % width, minlength=width) > 1
    return np.bincount(owner[several[columns]], minlength=len(lengths))
