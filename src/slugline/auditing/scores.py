"""Score the topics of held-out documents by classifiers of words and of vectors."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.base.threads import limit_blas
from slugline.corpus.splits import make_folds
from slugline.learning.calibration import spread
from slugline.learning.encoder.class_sums import ClassSums
from slugline.learning.encoder.fit import centre
from slugline.learning.encoder.fusion import fit_score_factors
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.folds import scores_in_folds

#: All settings were tuned on training splits of twelve data sets in nine languages, with 8 % of
#: the topics changed at random, and on newswires, some with another wire's text.
N_FOLDS, N_ROUNDS = 5, 3
# Added to the frequencies of terms in a topic before their logarithm.
_SMOOTHING = 0.01
# Standard deviation of frequency scores, relative to the classifier's scores.
_FREQUENCY_WEIGHT = 0.1
# Penalty of the discriminant analysis of vectors; maximum spread of its scores over topics,
# relative to the spread of word scores; and number of documents for choosing the factor on
# scores. Tuned on training splits with 4 to 20 % of the topics changed, at random or to similar
# ones. With a maximum spread of 2, a set with eight documents per topic loses more than others
# gain.
_PENALTY, _MAX_SPREAD, _N_FUSED = 3.0, 1.0, 1000


@dataclass(frozen=True, eq=False)
class DocumentRows:
    """Documents as rows for classifiers.

    Attributes
    ----------
    terms : float32 CSR array, shape (n_rows, n_columns)
    leads : float32 CSR array, shape (n_rows, n_lead_columns)
        Rows of the beginnings of the texts, often the best evidence for a long text's topic.
    vectors : float32 array, shape (n_rows, n_vector_columns), or None
        Sums of word vectors, scaled to unit length, or 0 if all words of a text are unknown.
    """

    terms: sp.csr_array
    leads: sp.csr_array
    vectors: F32 | None = None


def assign_folds(labels: Labels, groups: Index, seed: int) -> I64:
    """Return the fold of each row; rows of a group share it."""
    n_folds = min(N_FOLDS, len(np.unique(groups)))
    return make_folds(labels.to_topics(), n_folds, seed, groups)


def heldout_scores(
    rows: DocumentRows,
    labels: Labels,
    context: FitContext,
    groups: Index,
    is_judged: Mask,
    suspects: Callable[[F32], Mask],
    on_round: Callable[[int], None] = lambda _: None,
) -> F32:
    """Return held-out scores of each row, shape (n_rows, n_topics).

    The scores are averaged over three rounds of cross-validation with different folds. In each
    round, a classifier of words is trained in one pass on the terms, then on the beginnings of the
    texts, then on the terms again. The scores of a classifier of vectors are added if they help.
    From the second round on, suspect rows are excluded from training.

    Parameters
    ----------
    rows : DocumentRows
        With vectors for single-label data only.
    labels : Labels
    context : FitContext
    groups : int array, shape (n_rows,)
        Rows of a group are held out together.
    is_judged : bool array, shape (n_rows,)
        Mask of the rows whose topic also occurs in other groups. These rows are used to choose the
        weight of vectors.
    suspects : callable
        Returns the suspect rows from the scores so far.
    on_round : callable, optional
        Called with the number of each round, from 0, before it begins.
    """
    n_rows, n_topics = len(labels), context.n_topics
    is_used = np.ones(n_rows, dtype=bool)
    folds = assign_folds(labels, groups, context.seed)
    by_frequency = frequency_scores(rows.terms, labels, n_topics, folds)
    by_terms, by_vectors = np.zeros_like(by_frequency), np.zeros_like(by_frequency)
    scores = by_frequency
    for number, X in enumerate((rows.terms, rows.leads, rows.terms)):
        on_round(number)
        if number:
            is_used = ~suspects(scores)
        folds = assign_folds(labels, groups, context.seed + number)
        by_terms += scores_in_folds(X, labels, context, folds, is_used, passes=1)
        scores = by_terms / np.float32(number + 1) + by_frequency
        if rows.vectors is not None:
            by_vectors += vector_scores(rows.vectors, labels.topics, n_topics, folds, is_used)
            factor = vector_factor(by_terms, by_vectors, labels.topics, np.flatnonzero(is_judged))
            scores += factor * by_vectors / np.float32(number + 1)
    return scores


def vector_scores(vectors: F32, y: I64, n_topics: int, folds: I64, is_used: Mask) -> F32:
    """Return each row's scores from vectors of the other folds, shape (n_rows, n_topics).

    The classifier is a linear discriminant analysis. Each row's scores have mean 0; rows of zeros
    have scores of 0.

    Parameters
    ----------
    vectors : float32 array, shape (n_rows, n_columns)
    y : int array, shape (n_rows,)
    n_topics : int
    folds : int array, shape (n_rows,)
        The fold of each row, from 0.
    is_used : bool array, shape (n_rows,)
        Mask of the rows to train on; other rows are only scored.
    """
    scores = np.zeros((len(y), n_topics), dtype=np.float32)
    is_known = vectors.any(axis=1)
    # Use a single thread, because the last bits depend on the number of threads.
    with limit_blas():
        sums = []
        for fold in range(int(folds.max()) + 1):
            rows = np.flatnonzero((folds == fold) & is_used & is_known)
            sums.append(ClassSums.from_rows(vectors[rows], y[rows], n_topics))
        for fold in range(len(sums)):
            others = functools.reduce(operator.add, sums[:fold] + sums[fold + 1 :])
            if others.n_rows:
                weights, biases = others.solve(_PENALTY)
                rows = np.flatnonzero((folds == fold) & is_known)
                scores[rows] = centre(vectors[rows] @ weights + biases)
    return scores


def vector_factor(by_terms: F32, by_vectors: F32, y: I64, rows: Index) -> np.float32:
    """Return the factor for adding vector scores to word scores.

    As in a fit with both, it minimizes the log loss of some rows; 0 if vectors don't help.

    Parameters
    ----------
    by_terms, by_vectors : float32 arrays, shape (n_rows, n_topics)
    y : int array, shape (n_rows,)
    rows : int array
        The rows used to choose the factor.
    """
    rows = rows[:: -(-len(rows) // _N_FUSED) or 1]
    scores = [centre(by_terms[rows]), by_vectors[rows]]
    spreads = [spread(part) for part in scores] if len(rows) else [0.0, 0.0]
    if not all(spreads):
        return np.float32(0)
    factor_of_terms, factor_of_vectors = fit_score_factors(scores, y[rows])
    factor = _MAX_SPREAD * spreads[0] / spreads[1]
    if factor_of_vectors < factor * factor_of_terms:
        factor = factor_of_vectors / factor_of_terms
    return np.float32(factor)


def frequency_scores(X: sp.csr_array, labels: Labels, n_topics: int, folds: I64) -> F32:
    """Return held-out scores from the frequency of terms in each topic, shape (n_rows, n_topics).

    The mean of each row is 0, and the standard deviation of all scores 0.1.

    References
    ----------
    Multinomial naive Bayes: Manning, Raghavan, Schuetze (2008), Introduction to IR, 13.2;
    with equal priors.
    """
    scores = np.zeros((X.shape[0], n_topics), dtype=np.float32)
    for fold in range(N_FOLDS):
        test, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        terms, known = X[train], labels.take(train)
        # Log odds relative to a term that is absent from the topic, so that rows stay sparse.
        weights = (terms.T.tocsr() @ known.to_csr(n_topics)).tocsr()
        weights.data = np.log1p(weights.data / np.float32(_SMOOTHING))
        totals = np.bincount(known.topics, terms.sum(axis=1)[known.rows], n_topics) / _SMOOTHING
        log_totals = np.log(totals + X.shape[1]).astype(np.float32)
        scores[test] = (X[test] @ weights).toarray()
        scores[test] -= X[test].sum(axis=1)[:, np.newaxis] * log_totals
    scores -= scores.mean(axis=1, keepdims=True)
    deviation = scores.std()
    return scores * np.float32(_FREQUENCY_WEIGHT / deviation) if deviation > 0 else scores
