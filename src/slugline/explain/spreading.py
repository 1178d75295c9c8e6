"""From columns to words: where in a text the terms of each column stand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, Integers
from slugline.ragged import ranges, row_lengths
from slugline.text.features import Features
from slugline.text.scripts import unspaced
from slugline.text.terms import KINDS, Terms
from slugline.text.words import Words

__all__ = ["Shares", "joined", "spread"]


class Shares(NamedTuple):
    """What each word and phrase of a text counts.

    Attributes
    ----------
    starts, ends : int arrays, shape (n_places,)
        Where it is in the buffer of the text's `Words`.
    values : float64 array, shape (n_places,)
        None is 0.
    """

    starts: Integers
    ends: Integers
    values: F64


def spread(words: Words, features: Features, columns: Integers, shares: F64) -> Shares:
    """Share out what columns count among the places in a text that they were counted at.

    A column's share is split evenly over all places of its terms. What runs of characters count
    goes to their word. In scripts without spaces, where a "word" is a whole stretch, each run stays
    a phrase of its own, and so does each pair of neighbouring words everywhere.

    Parameters
    ----------
    words : Words
        Those of the text.
    features : Features
    columns : int array, shape (n_values,)
        The row's columns in ascending order.
    shares : float64 array, shape (n_values,)
        What each of them counts.

    Returns
    -------
    Shares, whose sum is that of `shares`.
    """
    on_words = np.zeros(len(words))
    parts = [Shares(words.starts, words.ends, on_words)]
    first = 0
    for block, vocabulary in zip(features.blocks, features.vocabularies_, strict=True):
        terms = KINDS[block.kind].find(words)
        values = _on_spans(terms, vocabulary.of_spans(terms), first, columns, shares)
        first += vocabulary.n_columns
        if block.kind == "characters":
            folded, runs = _fold(words, terms, values)
            on_words += folded
            parts.append(runs)
        elif block.kind == "bigrams":
            parts.append(Shares(words.starts[:-1], words.ends[1:], values[terms.groups]))
        else:  # the lead is the first words
            on_words[: len(terms.groups)] += values[terms.groups]
    return joined(parts)


def _on_spans(
    terms: Terms, found: npt.NDArray[np.int32], first: int, columns: Integers, shares: F64
) -> F64:
    """Return what each span counts at each place where it stands, shape (n_spans,)."""
    known = np.flatnonzero(found >= 0)
    # Every known term of the text has an entry in its row.
    entries = np.searchsorted(columns, found[known] + first)
    n_places = np.bincount(entries, weights=terms.counts()[known], minlength=len(columns))
    each = shares / np.maximum(n_places, 1)
    values = np.zeros(len(found))
    values[known] = each[entries]
    return values


def _fold(words: Words, terms: Terms, values: F64) -> tuple[F64, Shares]:
    """Return what runs count for each word, and those of scripts without spaces on their own."""
    distinct, _ = words.distinct
    n_runs = row_lengths(terms.spans.indptr)
    owner = np.arange(len(distinct)).repeat(n_runs)
    is_phrase = unspaced(np.frombuffer(words.buffer, dtype=np.uint8), distinct.starts)
    word_values = values * ~is_phrase[owner]
    folded = np.bincount(owner, word_values, len(distinct)).astype(np.float64, copy=False)
    places = np.flatnonzero(is_phrase[terms.groups])
    groups = terms.groups[places]
    runs = ranges(terms.spans.indptr[groups], n_runs[groups])
    # From where the run was first seen to where it stands now.
    moved = (words.starts[places] - distinct.starts[groups]).repeat(n_runs[groups])
    phrases = Shares(terms.spans.starts[runs] + moved, terms.spans.ends[runs] + moved, values[runs])
    return folded[terms.groups], phrases


def joined(parts: list[Shares]) -> Shares:
    """Return all shares that are not 0 as one, each place once."""
    starts, ends, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    kept = values != 0
    starts, ends, values = starts[kept], ends[kept], values[kept]
    # A word of one character is a run as well.
    order = np.lexsort((ends, starts))
    starts, ends, values = starts[order], ends[order], values[order]
    is_new = np.ones(len(starts), dtype=bool)
    is_new[1:] = (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    places = np.flatnonzero(is_new)
    if len(places) < len(values):
        values = np.add.reduceat(values, places)
    return Shares(starts[places], ends[places], values)
