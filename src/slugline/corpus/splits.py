"""Chooses documents to hold out, so that each topic has its share on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import I64, Index, Integers, Mask
from slugline.corpus.documents import Topic
from slugline.errors import DataError, OptionError

__all__ = [
    "hold_out",
    "make_folds",
    "rank_within_topics",
]


def hold_out(topics: Sequence[Topic], fraction: float, seed: int) -> Mask:
    """Return which documents to hold out.

    Parameters
    ----------
    topics : sequence of str or int
        The topic of each document.
    fraction : float, over 0 and under 1
        Share of the documents to hold out.
    seed : int
        Determines which documents are held out, and for which topics the number is rounded up.

    Returns
    -------
    bool array, shape (n_documents,), True where a document is held out. From each topic, `fraction`
    of the documents are held out, rounded up or down so that the sum is right. At least one always
    stays, so none is held out from a topic with a single document.

    Raises
    ------
    OptionError : if `fraction` is out of range.
    DataError : if no topic has two documents, so that none can be held out.
    """
    if not 0 < fraction < 1:
        raise OptionError(f"`fraction` is {fraction}; give a number over 0 and under 1.")
    codes = _codes(topics)
    counts = np.bincount(codes)
    if not np.any(counts > 1):
        raise DataError(
            "no topic has two documents, so none can be held out; "
            "add documents, or give a separate file for validation."
        )
    rng = np.random.default_rng(seed)
    n_held = _shares(counts, fraction, rng)
    return _places(codes, rng) < n_held[codes]


def rank_within_topics(topics: Sequence[Topic], seed: int | Sequence[int]) -> Index:
    """Return each document's place, from 0, in a random order of the documents of its topic.

    The documents in a place below `n` are a draw of `n` from each topic, or of all where there are
    fewer, and part of every larger draw with the same seed.
    """
    return _places(_codes(topics), np.random.default_rng(seed))


def make_folds(
    topics: Sequence[Topic],
    n_folds: int,
    seed: int,
    groups: Integers | None = None,
) -> I64:
    """Return a fold for each document: folds have equal size, and topics are spread evenly.

    Parameters
    ----------
    topics : sequence of str or int
    n_folds : int
    seed : int
    groups : int array, shape (n_documents,), optional
        Documents of one group share a fold. Folds then have equally many groups, and the topic of
        each group's first document is spread evenly.

    Returns
    -------
    int array, shape (n_documents,): the fold of each document, from 0.

    Raises
    ------
    DataError : if there are fewer documents, or groups, than folds, or fewer than two folds.
    """
    if groups is not None:
        first, number = np.unique(groups, return_index=True, return_inverse=True)[1:]
        order = np.argsort(first)  # as they come, so that groups of one document change nothing
        of_group = np.empty(len(first), dtype=np.int64)
        of_group[order] = make_folds([topics[row] for row in first[order].tolist()], n_folds, seed)
        return of_group[number]
    if not 2 <= n_folds <= len(topics):
        raise DataError(
            f"{len(topics)} documents can't be split into {n_folds} folds; use two folds or more, "
            "and at most as many as there are documents."
        )
    rng = np.random.default_rng(seed)
    by_topic = _shuffle_within_topics(_codes(topics), rng)
    folds = np.empty(len(topics), dtype=np.int64)
    folds[by_topic] = np.arange(len(topics)) % n_folds
    return folds


def _codes(topics: Sequence[Topic]) -> Index:
    names = {topic: code for code, topic in enumerate(sorted(set(topics)))}
    return np.array([names[topic] for topic in topics], dtype=np.intp)


def _places(codes: Index, rng: np.random.Generator) -> Index:
    counts = np.bincount(codes)
    places = np.empty(len(codes), dtype=np.intp)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    places[_shuffle_within_topics(codes, rng)] = np.arange(len(codes)) - first
    return places


def _shuffle_within_topics(codes: Index, rng: np.random.Generator) -> Index:
    """Return the numbers of all documents, topic after topic, in random order within each."""
    shuffled = rng.permutation(len(codes))
    return shuffled[np.argsort(codes[shuffled], kind="stable")]


def _shares(counts: Index, fraction: float, rng: np.random.Generator) -> Index:
    """Return each topic's share, rounded by largest remainders, ties by chance; leave one each."""
    quotas = np.where(counts > 1, counts * fraction, 0.0)
    shares = np.floor(quotas).astype(np.intp)
    n_odd = max(1, round(quotas.sum())) - shares.sum()
    remainders = np.where(shares + 1 < counts, quotas - shares, -1.0)
    order = np.lexsort((rng.permutation(len(counts)), -remainders))[:n_odd]
    shares[order[remainders[order] > 0]] += 1
    return shares
