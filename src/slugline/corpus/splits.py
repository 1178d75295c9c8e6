"""Stratified splits and cross-validation folds."""

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

#: One topic per document; or multi-label topics, as tuples or as rows of an indicator array.
Labels: TypeAlias = Union[Sequence[Topic], Sequence[tuple[Topic, ...]], "sp.csr_array"]


def hold_out(topics: Labels, fraction: float, seed: int) -> Mask:
    """Return a mask of the documents to hold out, shape (n_documents,).

    Parameters
    ----------
    topics : sequence of str, int or tuple of them, or sparse array, shape (n_documents, n_topics)
    fraction : float, over 0 and under 1
        Fraction of each topic's documents to hold out, rounded up or down to match the total;
        approximate for multi-label data. At least one document per topic remains.
    seed : int
        Random seed, for choosing documents and the topics to round up.

    Raises
    ------
    OptionError : if `fraction` is out of range.
    DataError : if no topic has two documents.
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


def rank_draw(topics: Labels, draw: int, n_draws: int, seed: int) -> Index:
    """Return each document's 0-based rank in a random order of the documents of its topic.

    Documents with a rank below `n` form a sample of up to `n` documents per topic, nested in every
    larger sample of the same draw and seed.

    The documents of each topic are divided among the draws: each draw begins with its own part, and
    continues with the other parts in random order. Small samples are therefore disjoint. For
    multi-label data, draws are independent, and some topics exceed `n` documents in a sample; a
    greedy selection keeps the excess small.
    """
    if _is_multilabel(topics):
        return _rank_multilabel(_indicators(topics), np.random.default_rng([seed, draw]))
    codes = _codes(topics)
    ranks = _rank(codes, np.random.default_rng(seed))
    is_others = ranks * n_draws // np.bincount(codes)[codes] != draw
    later = np.random.default_rng([seed, draw]).permutation(len(codes))
    order = np.lexsort((np.where(is_others, later, ranks), is_others, codes))
    return _ranks_within_topics(codes, order)


def make_folds(topics: Labels, n_folds: int, seed: int, groups: Integers | None = None) -> I64:
    """Assign documents to folds; return 0-based fold numbers, shape (n_documents,).

    Folds have equal size, and each topic is distributed evenly among them; approximately so for
    multi-label data.

    Parameters
    ----------
    topics : sequence of str, int or tuple of them, or sparse array, shape (n_documents, n_topics)
    n_folds : int
    seed : int
    groups : int array, shape (n_documents,), optional
        Documents of a group share a fold. Folds then have an equal number of groups, and the topics
        of each group's first document are distributed evenly.

    Raises
    ------
    DataError : if there are fewer documents or groups than folds, or fewer than two folds.
    """
    if groups is not None:
        first, number = np.unique(groups, return_index=True, return_inverse=True)[1:]
        order = np.argsort(first)  # by occurrence, so that single-document groups have no effect
        fold = np.empty(len(first), dtype=np.int64)
        fold[order] = make_folds(_take(topics, first[order]), n_folds, seed)
        return fold[number]
    n_documents = _n_documents(topics)
    if not 2 <= n_folds <= n_documents:
        raise DataError(
            f"{n_documents} documents can't be split into {n_folds} folds; use at least two, and "
            "at most one per document."
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


# Single-label -------------------------------------------------------------------------------------


def _codes(topics: Any) -> Index:
    names = {topic: code for code, topic in enumerate(sorted(set(topics)))}
    return np.array([names[topic] for topic in topics], dtype=np.intp)


def _rank(codes: Index, rng: np.random.Generator) -> Index:
    return _ranks_within_topics(codes, _shuffle_within_topics(codes, rng))


def _ranks_within_topics(codes: Index, order: Index) -> Index:
    """Return the rank of each document within its topic, given an ordering by topic."""
    counts = np.bincount(codes)
    places = np.empty(len(codes), dtype=np.intp)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _shuffle_within_topics(codes: Index, rng: np.random.Generator) -> Index:
    """Return the indices of all documents by topic, in random order within each."""
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


# Multi-label --------------------------------------------------------------------------------------


def _is_sparse(topics: Any) -> bool:
    return hasattr(topics, "indptr")


def _is_multilabel(topics: Any) -> bool:
    return _is_sparse(topics) or is_multilabel(topics)


def _n_documents(topics: Any) -> int:
    return int(topics.shape[0]) if _is_sparse(topics) else len(topics)


def _take(topics: Any, rows: Index) -> Labels:
    return topics[rows] if _is_sparse(topics) else [topics[row] for row in rows.tolist()]


def _indicators(topics: Any) -> sp.csr_array:
    """Return an indicator array whose last column marks documents without topics."""
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
    # If all documents of a topic are held out, return one to the training part.
    by_topic = indicators.tocsc()
    for topic in np.flatnonzero((indicators.T @ ~is_test == 0) & (counts > 0)).tolist():
        rows = by_topic.indices[by_topic.indptr[topic] : by_topic.indptr[topic + 1]]
        is_test[rng.choice(rows)] = False
    if not is_test.any():
        is_test[rng.choice(np.flatnonzero(may_be_heldout))] = True
    return is_test


def _distribute(indicators: sp.csr_array, demand: F64, sizes: F64, rng: np.random.Generator) -> I64:
    """Assign documents to parts by iterative stratification, shape (n_documents,).

    The documents of the rarest topic are distributed first, each to the part with the largest
    remaining demand for the topic, then the remaining documents of the next rarest topic, and so
    on.

    Parameters
    ----------
    indicators : sparse array, shape (n_documents, n_topics)
        Each document must have a topic.
    demand : float array, shape (n_topics, n_parts)
        Target number of documents per topic and part.
    sizes : float array, shape (n_parts,)
        Target number of documents per part, used to break ties.

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
    """Return the 0-based round in which each document is drawn, shape (n_documents,).

    In round `n`, each topic with at most `n` documents so far draws one more, rarest topic first.
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
