"""Stratified splits and folds of documents."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from slugline.base.arrays import F64, I64, Index, Integers, Mask
from slugline.base.checks import check_number
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.topic_sets import is_multilabel
from slugline.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

#: The topic of each document; or several topics, as tuples or as rows with a 1 for each topic.
Labels: TypeAlias = Union[Sequence[Topic], Sequence[tuple[Topic, ...]], "sp.csr_array"]


def hold_out(topics: Labels, fraction: float, seed: int) -> Mask:
    """Return a mask of the documents to hold out, shape (n_documents,).

    Parameters
    ----------
    topics : sequence of str, int or tuple of them, or sparse array, shape (n_documents, n_topics)
    fraction : float, over 0 and under 1
        Fraction of each topic's documents to hold out, rounded up or down so that the sum is right;
        approximate if documents have several topics. At least one document of each topic stays.
    seed : int
        Determines which documents are held out, and for which topics the number is rounded up.

    Raises
    ------
    OptionError : if `fraction` is out of range.
    DataError : if no topic has two documents, so that none can be held out.
    """
    check_number("fraction", fraction, over=0, under=1)
    rng = np.random.default_rng(seed)
    if _is_multilabel(topics):
        return _hold_out_multilabel(_indicators(topics), fraction, rng)
    codes = _codes(topics)
    counts = np.bincount(codes)
    _check_two_documents(counts > 1)
    n_test = _apportion(counts, fraction, rng)
    return _rank(codes, rng) < n_test[codes]


def _check_two_documents(may_be_heldout: Mask) -> None:
    if not may_be_heldout.any():
        raise DataError(
            "no topic has two documents, so none can be held out; "
            "add documents, or give a separate file for validation."
        )


def rank_within_topics(topics: Labels, seed: int | Sequence[int]) -> Index:
    """Return each document's rank, from 0, in a random order of the documents of its topic.

    Documents with a rank below `n` are a sample of `n` documents of each topic, or all of them if
    it has fewer, and part of every larger sample with the same seed. If documents have several
    topics, some topics have more than `n` documents in the sample, but as few more as a greedy
    selection can reach.
    """
    rng = np.random.default_rng(seed)
    if _is_multilabel(topics):
        return _rank_multilabel(_indicators(topics), rng)
    return _rank(_codes(topics), rng)


def rank_draw(topics: Labels, draw: int, n_draws: int, seed: int) -> Index:
    """Return ranks like `rank_within_topics`, for one of several draws.

    The documents of each topic are divided among the draws: each draw begins with its own part, and
    goes on with the other parts, in random order. So small samples have no documents in common. If
    documents have several topics, draws are independent.
    """
    if _is_multilabel(topics):
        return rank_within_topics(topics, [seed, draw])
    codes = _codes(topics)
    ranks = _rank(codes, np.random.default_rng(seed))
    is_others = ranks * n_draws // np.bincount(codes)[codes] != draw
    later = np.random.default_rng([seed, draw]).permutation(len(codes))
    order = np.lexsort((np.where(is_others, later, ranks), is_others, codes))
    return _ranks_within_topics(codes, order)


def make_folds(topics: Labels, n_folds: int, seed: int, groups: Integers | None = None) -> I64:
    """Return the fold of each document, from 0, shape (n_documents,).

    Folds have equal size, and each topic is distributed evenly among them; approximately so if
    documents have several topics.

    Parameters
    ----------
    topics : sequence of str, int or tuple of them, or sparse array, shape (n_documents, n_topics)
    n_folds : int
    seed : int
    groups : int array, shape (n_documents,), optional
        Documents of a group share a fold. Folds then have equally many groups, and the topics of
        each group's first document are distributed evenly.

    Raises
    ------
    DataError : if there are fewer documents, or groups, than folds, or fewer than two folds.
    """
    if groups is not None:
        first, number = np.unique(groups, return_index=True, return_inverse=True)[1:]
        order = np.argsort(
            first
        )  # in order of occurrence, so that groups of one document change nothing
        fold = np.empty(len(first), dtype=np.int64)
        fold[order] = make_folds(_take(topics, first[order]), n_folds, seed)
        return fold[number]
    n_documents = _n_documents(topics)
    if not 2 <= n_folds <= n_documents:
        raise DataError(
            f"{n_documents} documents can't be split into {n_folds} folds; use two folds or more, "
            "and at most as many as there are documents."
        )
    rng = np.random.default_rng(seed)
    if _is_multilabel(topics):
        indicators = _indicators(topics)
        demand = np.tile(_counts(indicators)[:, np.newaxis] / n_folds, n_folds)
        return _distribute(indicators, demand, np.full(n_folds, n_documents / n_folds), rng)
    by_topic = _shuffle_within_topics(_codes(topics), rng)
    folds = np.empty(n_documents, dtype=np.int64)
    folds[by_topic] = np.arange(n_documents) % n_folds
    return folds


# One topic a document -----------------------------------------------------------------------------


def _codes(topics: Any) -> Index:
    names = {topic: code for code, topic in enumerate(sorted(set(topics)))}
    return np.array([names[topic] for topic in topics], dtype=np.intp)


def _rank(codes: Index, rng: np.random.Generator) -> Index:
    return _ranks_within_topics(codes, _shuffle_within_topics(codes, rng))


def _ranks_within_topics(codes: Index, order: Index) -> Index:
    """Return the rank of each document within its topic, given an order by topic."""
    counts = np.bincount(codes)
    places = np.empty(len(codes), dtype=np.intp)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _shuffle_within_topics(codes: Index, rng: np.random.Generator) -> Index:
    """Return the positions of all documents by topic, in random order within each."""
    shuffled = rng.permutation(len(codes))
    return shuffled[np.argsort(codes[shuffled], kind="stable")]


def _apportion(counts: Index, fraction: float, rng: np.random.Generator) -> Index:
    """Return the number of documents of each topic to hold out, by largest remainders."""
    quotas = np.where(counts > 1, counts * fraction, 0.0)
    sizes = np.floor(quotas).astype(np.intp)
    n_more = max(1, round(quotas.sum())) - sizes.sum()
    remainders = np.where(sizes + 1 < counts, quotas - sizes, -1.0)
    order = np.lexsort((rng.permutation(len(counts)), -remainders))[:n_more]
    sizes[order[remainders[order] > 0]] += 1
    return sizes


# Several topics a document ------------------------------------------------------------------------


def _is_sparse(topics: Any) -> bool:
    return hasattr(topics, "indptr")


def _is_multilabel(topics: Any) -> bool:
    return _is_sparse(topics) or is_multilabel(topics)


def _n_documents(topics: Any) -> int:
    return int(topics.shape[0]) if _is_sparse(topics) else len(topics)


def _take(topics: Any, rows: Index) -> Labels:
    return topics[rows] if _is_sparse(topics) else [topics[row] for row in rows.tolist()]


def _indicators(topics: Any) -> sp.csr_array:
    """Return rows with a 1 for each topic; the last column is for documents without topics."""
    import scipy.sparse as sp

    if not _is_sparse(topics):
        topics = Topics.fit(itertools.chain.from_iterable(topics)).encode_sets(topics)
    is_empty = np.diff(topics.indptr) == 0
    return sp.csr_array(sp.hstack([topics, sp.csr_array(is_empty[:, np.newaxis])], format="csr"))


def _counts(indicators: sp.csr_array) -> Index:
    return np.bincount(indicators.indices, minlength=indicators.shape[1])


def _hold_out_multilabel(
    indicators: sp.csr_array, fraction: float, rng: np.random.Generator
) -> Mask:
    counts, n_documents = _counts(indicators), indicators.shape[0]
    may_be_heldout = indicators @ (counts < 2) == 0
    _check_two_documents(may_be_heldout)
    n_test = _apportion(counts, fraction, rng)
    sizes = n_documents * np.array([1 - fraction, fraction])
    is_test = _distribute(indicators, np.stack([counts - n_test, n_test], axis=1), sizes, rng) == 1
    # A topic may have lost all training documents to the held-out part; one goes back.
    by_topic = indicators.tocsc()
    for topic in np.flatnonzero((indicators.T @ ~is_test == 0) & (counts > 0)).tolist():
        rows = by_topic.indices[by_topic.indptr[topic] : by_topic.indptr[topic + 1]]
        is_test[rng.choice(rows)] = False
    if not is_test.any():
        is_test[rng.choice(np.flatnonzero(may_be_heldout))] = True
    return is_test


def _distribute(indicators: sp.csr_array, demand: F64, sizes: F64, rng: np.random.Generator) -> I64:
    """Return the part of each document by iterative stratification, shape (n_documents,).

    The documents of the rarest topic are distributed first, each to the part with the largest
    remaining demand for the topic, then the remaining documents of the topic that is now the
    rarest, and so on.

    Parameters
    ----------
    indicators : sparse array, shape (n_documents, n_topics)
        Each document has a topic.
    demand : float array, shape (n_topics, n_parts)
        Number of documents of each topic that a part should have.
    sizes : float array, shape (n_parts,)
        Number of documents that a part should have, which decides between equal demands.

    References
    ----------
    Sechidis, Tsoumakas and Vlahavas (2011), On the stratification of multi-label data.
    """
    order = rng.permutation(indicators.shape[0])
    rows, n_topics = indicators[order], indicators.shape[1]
    by_topic = rows.tocsc()
    demand, room = demand.astype(np.float64), sizes.tolist()
    n_left, parts = _counts(rows), np.full(len(order), -1, dtype=np.int64)
    while n_left.any():
        topic = int(np.where(n_left > 0, n_left, len(order) + 1).argmin())
        documents = by_topic.indices[by_topic.indptr[topic] : by_topic.indptr[topic + 1]]
        documents = documents[parts[documents] < 0]
        heap = [(-want, -room[part], part) for part, want in enumerate(demand[topic].tolist())]
        heapq.heapify(heap)
        for document in documents.tolist():
            want, free, part = heap[0]
            parts[document] = part
            heapq.heapreplace(heap, (want + 1, free + 1, part))
        room = [-free for _, free, _ in sorted(heap, key=lambda item: item[2])]
        distributed = rows[documents]
        columns = distributed.indices
        part_of = parts[documents].repeat(np.diff(distributed.indptr))
        np.subtract.at(demand, (columns, part_of), 1)
        n_left -= np.bincount(columns, minlength=n_topics)
    result = np.empty_like(parts)
    result[order] = parts
    return result


def _rank_multilabel(indicators: sp.csr_array, rng: np.random.Generator) -> Index:
    """Return the round in which each document is drawn, shape (n_documents,).

    In round `n`, from 0, each topic that has at most `n` documents so far draws one more, the
    rarest topic first.
    """
    order = rng.permutation(indicators.shape[0])
    rows = indicators[order]
    by_topic = rows.tocsc()
    columns = np.split(rows.indices, rows.indptr[1:-1])
    queues = [iter(part.tolist()) for part in np.split(by_topic.indices, by_topic.indptr[1:-1])]
    n_drawn = np.zeros(rows.shape[1], dtype=np.intp)
    counts = _counts(rows)
    waiting = np.argsort(counts, kind="stable").tolist()
    ranks = np.full(len(order), -1, dtype=np.intp)
    for rank in range(int(counts.max(initial=0))):
        waiting = [topic for topic in waiting if n_drawn[topic] < counts[topic]]
        for topic in waiting:
            if rank < n_drawn[topic] or n_drawn[topic] == counts[topic]:
                continue
            document = next(row for row in queues[topic] if ranks[row] < 0)
            ranks[document] = rank
            n_drawn[columns[document]] += 1
    result = np.empty_like(ranks)
    result[order] = ranks
    return result
