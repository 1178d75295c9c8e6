"""Stratified splits and folds of documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import I64, Index, Integers, Mask
from slugline.corpus.documents import Topic
from slugline.errors import DataError, OptionError


def hold_out(topics: Sequence[Topic], fraction: float, seed: int) -> Mask:
    """Return which documents to hold out, shape (n_documents,).

    Parameters
    ----------
    topics : sequence of str or int
    fraction : float, over 0 and under 1
        Share of each topic's documents to hold out, rounded up or down so that the sum is right.
        One document of each topic always stays.
    seed : int
        Determines the documents, and for which topics the number is rounded up.

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
    n_test = _apportion(counts, fraction, rng)
    return _rank(codes, rng) < n_test[codes]


def rank_within_topics(topics: Sequence[Topic], seed: int | Sequence[int]) -> Index:
    """Return each document's rank, from 0, in a random order of the documents of its topic.

    Documents of a rank below `n` are a sample of `n` of each topic, or of all where there are
    fewer, and part of every larger sample with the same seed.
    """
    return _rank(_codes(topics), np.random.default_rng(seed))


def make_folds(
    topics: Sequence[Topic], n_folds: int, seed: int, groups: Integers | None = None
) -> I64:
    """Return the fold of each document, from 0, shape (n_documents,).

    Folds have equal size, and each topic is distributed evenly among them.

    Parameters
    ----------
    topics : sequence of str or int
    n_folds : int
    seed : int
    groups : int array, shape (n_documents,), optional
        Documents of a group share a fold. Folds then have equally many groups, and the topic of
        each group's first document is distributed evenly.

    Raises
    ------
    DataError : if there are fewer documents, or groups, than folds, or fewer than two folds.
    """
    if groups is not None:
        first, number = np.unique(groups, return_index=True, return_inverse=True)[1:]
        order = np.argsort(first)  # by occurrence, so that groups of one document change nothing
        fold = np.empty(len(first), dtype=np.int64)
        fold[order] = make_folds([topics[row] for row in first[order].tolist()], n_folds, seed)
        return fold[number]
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


def _rank(codes: Index, rng: np.random.Generator) -> Index:
    counts = np.bincount(codes)
    ranks = np.empty(len(codes), dtype=np.intp)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    ranks[_shuffle_within_topics(codes, rng)] = np.arange(len(codes)) - first
    return ranks


def _shuffle_within_topics(codes: Index, rng: np.random.Generator) -> Index:
    """Return the numbers of all documents by topic, in random order within each."""
    shuffled = rng.permutation(len(codes))
    return shuffled[np.argsort(codes[shuffled], kind="stable")]


def _apportion(counts: Index, fraction: float, rng: np.random.Generator) -> Index:
    """Return how many documents of each topic to hold out, by largest remainders."""
    quotas = np.where(counts > 1, counts * fraction, 0.0)
    sizes = np.floor(quotas).astype(np.intp)
    n_more = max(1, round(quotas.sum())) - sizes.sum()
    remainders = np.where(sizes + 1 < counts, quotas - sizes, -1.0)
    order = np.lexsort((rng.permutation(len(counts)), -remainders))[:n_more]
    sizes[order[remainders[order] > 0]] += 1
    return sizes
