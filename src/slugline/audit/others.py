"""What other documents say of a document's topic: scores, and the nearest ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.ragged import row_lengths
from slugline.splits import make_folds
from slugline.training.context import FitContext
from slugline.training.linear_fit import scores_in_folds

__all__ = [
    "N_FOLDS",
    "N_ROUNDS",
    "Neighbours",
    "folds_of",
    "frequency_scores",
    "neighbours",
    "scores",
]


#: All settings were chosen on training splits of twelve sets with 8 % of the topics changed at
#: random, in nine languages, and on the newswires, a part of which have another wire's text.
N_FOLDS, N_ROUNDS = 5, 3
# A term's weight for a topic is the logarithm of how often it occurs there, this being added.
_SMOOTHING = 0.01
# How much these weights count beside the classifier's.
_FREQUENCY_SHARE = 0.1
# Neighbours of a document, by terms that occur in at most so many documents.
_N_NEAREST, _MOST_DOCUMENTS = 10, 50
_ROWS_AT_ONCE = 1000


class Neighbours(NamedTuple):
    """The documents nearest to each, without copies of it.

    Attributes
    ----------
    rows : int array, shape (n_rows, 10)
        The nearest first; -1 where there are fewer.
    likeness : float32 array, shape (n_rows, 10)
        Cosine, as far as rare terms make it up; 0 where there is no document.
    """

    rows: Index
    likeness: F32

    def shares(self, y: I64, n_topics: int) -> F32:
        """Return each topic's share of the likeness, shape (n_rows, n_topics)."""
        shares = np.zeros((len(self.rows), n_topics), dtype=np.float32)
        owner = np.arange(len(self.rows)).repeat(self.rows.shape[1])
        np.add.at(shares, (owner, y[self.rows].ravel()), self.likeness.ravel())
        total = shares.sum(axis=1, keepdims=True)
        return np.divide(shares, total, out=shares, where=total > 0)


def folds_of(y: I64, groups: Index, seed: int) -> I64:
    """Return the fold of each row; those of one group share it."""
    return make_folds(y.tolist(), min(N_FOLDS, len(np.unique(groups))), seed, groups)


def scores(
    X: sp.csr_array,
    leads: sp.csr_array,
    y: I64,
    context: FitContext,
    groups: Index,
    suspects: Callable[[F32], Mask],
    tell: Callable[[int], None] = lambda _: None,
) -> F32:
    """Return scores of each row by what was learned from others, shape (n_rows, n_topics).

    In each of three rounds, with other folds, a classifier goes through the rows of four folds once
    and judges those of the fifth: by the rows, by how the texts begin, and by the rows again. From
    the second round on, it doesn't learn from rows that look wrong so far. The mean counts.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    leads : float32 CSR array, shape (n_rows, n_other_columns)
        Rows of how the texts begin; of a long one, that often tells the topic best.
    y : int array, shape (n_rows,)
    context : FitContext
    groups : int array, shape (n_rows,)
        Rows of one group don't judge each other.
    suspects : callable
        Given scores, says which rows not to learn from in the next round.
    tell : callable, optional
        Told the number of each round, from 0, before it begins.
    """
    learned = np.ones(len(y), dtype=bool)
    by_frequency = frequency_scores(X, y, context.n_topics, folds_of(y, groups, context.seed))
    total = np.zeros_like(by_frequency)
    for number, rows in enumerate((X, leads, X)):
        tell(number)
        if number:
            learned = ~suspects(total / np.float32(number) + by_frequency)
        folds = folds_of(y, groups, context.seed + number)
        total += scores_in_folds(rows, y, context, folds, learned, passes=1)
    total /= N_ROUNDS
    total += by_frequency
    return total


def frequency_scores(X: sp.csr_array, y: I64, n_topics: int, folds: I64) -> F32:
    """Return scores by how often each topic of the other folds has the terms of a row.

    Parameters
    ----------
    X, y, folds : see `scores`

    Returns
    -------
    float32 array, shape (n_rows, n_topics); 0 on average of each row, and 0.1 apart on the whole.

    References
    ----------
    Multinomial naive Bayes: Manning, Raghavan, Schuetze (2008), Introduction to IR, 13.2;
    with equal priors.
    """
    found = np.zeros((len(y), n_topics), dtype=np.float32)
    for fold in range(N_FOLDS):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(held) and len(rest):
            found[held] = (X[held] @ _log_odds(X[rest], y[rest], n_topics)).toarray()
            totals = _log_totals(X[rest], y[rest], n_topics)
            found[held] -= X[held].sum(axis=1)[:, np.newaxis] * totals
    found -= found.mean(axis=1, keepdims=True)
    spread = found.std()
    return found * np.float32(_FREQUENCY_SHARE / spread) if spread > 0 else found


def _of_topics(y: I64, n_topics: int) -> sp.csr_array:
    ones = np.ones(len(y), dtype=np.float32)
    return sp.csr_array((ones, y, np.arange(len(y) + 1)), shape=(len(y), n_topics))


def _log_odds(X: sp.csr_array, y: I64, n_topics: int) -> sp.csr_array:
    """Return the weights of terms over those of a term that the topic doesn't have."""
    weights = (X.T.tocsr() @ _of_topics(y, n_topics)).tocsr()
    weights.data = np.log1p(weights.data / np.float32(_SMOOTHING))
    return weights


def _log_totals(X: sp.csr_array, y: I64, n_topics: int) -> F32:
    totals = np.bincount(y, X.sum(axis=1), minlength=n_topics) / _SMOOTHING
    return np.log(totals + X.shape[1]).astype(np.float32)


def neighbours(X: sp.csr_array, groups: Index) -> Neighbours:
    """Return the documents nearest to each by the cosine of their rarer terms.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows of length 1. Terms of more than 50 rows are left out: they tell less of which
        documents are alike, and would take nearly all of the time.
    groups : int array, shape (n_rows,)
        Copies of a document have its group, and are none of its neighbours.
    """
    n_rows = X.shape[0]
    frequency = np.bincount(X.indices, minlength=X.shape[1])
    rare = X[:, np.flatnonzero((frequency > 1) & (frequency <= _MOST_DOCUMENTS))]
    by_term = rare.T.tocsr()
    rows = np.full((n_rows, _N_NEAREST), -1, dtype=np.intp)
    likeness = np.zeros((n_rows, _N_NEAREST), dtype=np.float32)
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        found = (rare[start : start + _ROWS_AT_ONCE] @ by_term).tocsr()
        owner = np.repeat(np.arange(found.shape[0]), row_lengths(found.indptr))
        other = groups[start + owner] != groups[found.indices]
        owner, near, cosine = owner[other], found.indices[other], found.data[other]
        order = np.lexsort((near, -cosine, owner))
        owner, near, cosine = owner[order], near[order], cosine[order]
        place = np.arange(len(owner)) - np.searchsorted(owner, np.arange(found.shape[0]))[owner]
        best = place < _N_NEAREST
        rows[start + owner[best], place[best]] = near[best]
        likeness[start + owner[best], place[best]] = cosine[best]
    return Neighbours(rows, likeness)
