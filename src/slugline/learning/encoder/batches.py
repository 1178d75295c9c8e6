"""Train an encoder head batch by batch, from sums over rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slugline.base.arrays import F32, I64, Index
from slugline.base.threads import limit_blas
from slugline.errors import DataError
from slugline.learning.calibration import Calibration
from slugline.learning.encoder.class_sums import ClassSums
from slugline.learning.encoder.fit import Names, centre, fused_head, mean_head
from slugline.learning.encoder.fusion import ScoreFusion, fit_score_factors, fuse_scores
from slugline.learning.encoder.head import DenseHead
from slugline.learning.encoder.head_state import HeadState, RecentRows
from slugline.learning.heldout import HeldOutScores

# Number of recent rows used to fit factors on scores, and the allowed log loss of the sum, in
# standard errors above the lowest. Chosen on training splits, from 10 documents per topic to 5,000
# documents.
_MAX_RECENT, _MAX_ERRORS = 1000, 0.0
# With this many recent rows, new factors fully replace the previous ones.
_ENOUGH_ROWS = 50
# Refit factors only when new rows exceed these fractions of the recent rows and of all rows:
# fitting takes longer than training on a few rows, and factors fitted to many rows hardly change.
_NEW_FRACTION, _NEW_FRACTION_OF_ALL = 0.2, 0.05
# Penalty, chosen the same way.
_PENALTY = 3.0
# Maximum number of folds of the first batch.
_MAX_FOLDS = 20


def learn_batch(
    state: HeadState,
    rows: F32,
    y: I64,
    sample_weight: F32 | None,
    heldout: HeldOutScores,
    names: Names | None,
) -> HeadState:
    """Return the state after another batch.

    Parameters
    ----------
    state : HeadState
    rows : float32 array, shape (n_rows, n_columns)
    y : int array, shape (n_rows,)
    sample_weight : float32 array, shape (n_rows,), optional
    heldout : HeldOutScores
        Word scores of some of the rows, computed before training on them.
    names : Names, optional
        Names of topics with documents are used as documents.
    """
    n_topics = len(state.sums.totals)
    # With one thread, since the last bits depend on the number of threads.
    with limit_blas():
        if len(rows) <= state.n_learned:
            encoded = score_rows(state.sums, names, rows[heldout.rows])
        else:
            encoded = score_in_folds(state.sums, rows, y, sample_weight, heldout, names)
        weights = np.ones(len(rows), dtype=np.float32) if sample_weight is None else sample_weight
        recent = state.recent.append(
            heldout.scores, encoded, y[heldout.rows], weights[heldout.rows], max_rows=_MAX_RECENT
        )
        fusion = _fusion_before(state)
        n_enough = max(_NEW_FRACTION * len(recent.y), _NEW_FRACTION_OF_ALL * state.sums.n_rows)
        if len(np.unique(recent.y)) > 1 and (fusion is None or recent.n_new > n_enough):
            fusion, recent = _fuse(recent, fusion), replace(recent, n_new=0)
        sums = state.sums + ClassSums.from_rows(rows, y, n_topics, sample_weight)
    n_learned = state.n_learned + len(rows)
    return replace(state, sums=sums, recent=recent, fusion=fusion, n_learned=n_learned)


def make_head(state: HeadState, names: Names | None, n_documents: int) -> DenseHead | None:
    """Return the head, or None if the encoder doesn't help or knows too few documents.

    Until a document has been scored, texts are compared with the mean of each topic's documents.
    For the parameters, see `learn_batch`.
    """
    fusion = state.fusion
    if fusion is None:
        is_first = state.sums.n_rows == n_documents and not len(state.recent.y)
        mean = mean_head(state.sums.sums)
        return DenseHead.from_head(state.encoder, mean) if is_first else None
    if not fusion.encoder_weight:
        return None
    with limit_blas():
        weights, biases = _solve(state.sums, names)
    return DenseHead.from_head(state.encoder, fused_head(weights, biases, fusion))


def sum_fitted_rows(
    head: DenseHead, rows: F32, y: I64, sample_weight: F32 | None
) -> HeadState | None:
    """Return the state after fitting a head to rows, or None if all have weight 0.

    For the parameters, see `learn_batch`.
    """
    # With one thread, since the last bits of weighted sums depend on the number of threads.
    with limit_blas():
        sums = ClassSums.from_rows(rows, y, head.weights.shape[1], sample_weight)
    return HeadState.after_fit(head, sums) if sums.n_rows else None


def _solve(sums: ClassSums, names: Names | None) -> tuple[F32, F32]:
    """Return the weights and biases of a discriminant analysis, scaled to a constant spread.

    Without scaling, the penalty would shrink scores when rows are few, and factors fitted to the
    scores of earlier heads would be too large for later ones.
    """
    if names is not None:
        is_present = sums.totals[names.y] > 0
        rows, y = names.rows[is_present], names.y[is_present]
        sums += ClassSums.from_rows(rows, y, len(sums.totals))
    try:
        weights, biases = sums.solve(_PENALTY)
    except np.linalg.LinAlgError:  # sums come from an untrusted file
        raise DataError(
            "the model's sums of word vectors are inconsistent; train it again."
        ) from None
    total = sums.totals.sum()
    squares = (sums.sums**2).sum(axis=1) / np.where(sums.totals > 0, sums.totals, 1)
    variance = (total - squares.sum()) / total / len(weights)  # of rows of length 1
    scale = np.float32(variance + _PENALTY / sums.n_rows)
    return scale * weights, scale * biases


def score_rows(sums: ClassSums, names: Names | None, rows: F32) -> F32:
    """Return a head's scores of rows, centred over topics, before applying its factor.

    Parameters
    ----------
    sums : ClassSums
        Sums of the training documents.
    names : Names, optional
    rows : float32 array, shape (n_rows, n_columns)
    """
    if not sums.n_rows:
        return np.zeros((len(rows), len(sums.totals)), dtype=np.float32)
    weights, biases = _solve(sums, names)
    # In double precision: in single precision, more digits depend on the processor.
    return centre((rows @ weights.astype(np.float64) + biases).astype(np.float32))


def score_in_folds(
    before: ClassSums,
    rows: F32,
    y: I64,
    sample_weight: F32 | None,
    heldout: HeldOutScores,
    names: Names | None,
) -> F32:
    """Return the scores of held-out rows from heads not trained on them.

    For the parameters, see `learn_batch`; `before` are the sums of earlier rows.
    """
    n_topics = len(before.totals)

    def sums(part: Index) -> ClassSums:
        weight = None if sample_weight is None else sample_weight[part]
        return ClassSums.from_rows(rows[part], y[part], n_topics, weight)

    if heldout.training is not None:  # as in `HeadTask.fit`
        return score_rows(before + sums(heldout.training[::2]), names, rows[heldout.rows])
    total = before + sums(np.arange(len(rows)))
    folds = _make_folds(rows, y)
    scores = np.empty((len(rows), n_topics), dtype=np.float32)
    for fold in np.unique(folds[heldout.rows]):
        part = np.flatnonzero(folds == fold)
        scores[part] = score_rows(total - sums(part), names, rows[part])
    return scores[heldout.rows]


def _make_folds(rows: F32, y: I64) -> I64:
    """Return the fold of each row; only equal rows of a topic share one, up to `_MAX_FOLDS`."""
    _, first, copy_of = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    topics = y[first]
    order = np.argsort(topics, kind="stable")
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first)) - np.searchsorted(topics[order], topics[order])
    return rank[copy_of.ravel()] % _MAX_FOLDS


# Factors on scores --------------------------------------------------------------------------------


def _fuse(recent: RecentRows, before: ScoreFusion | None) -> ScoreFusion:
    """Return the best fusion of scores; with few recent rows, it stays close to `before`."""
    sparse, dense = recent.word_scores, recent.encoder_scores
    factors = fit_score_factors([sparse, dense], recent.y, recent.weights, _MAX_ERRORS)
    fusion = fuse_scores(sparse, dense, factors, recent.y, recent.weights)
    if before is None:
        return fusion
    weight = min(1.0, len(recent.y) / _ENOUGH_ROWS)
    return ScoreFusion(
        weight * fusion.sparse_factor + (1 - weight) * before.sparse_factor,
        weight * fusion.dense_factor + (1 - weight) * before.dense_factor,
        fusion.calibration.blend(before.calibration, weight),
        weight * fusion.encoder_weight + (1 - weight) * before.encoder_weight,
    )


def _fusion_before(state: HeadState) -> ScoreFusion | None:
    """Return the fusion before a batch; after a fit, the fusion that reproduces its head."""
    head = state.fitted
    if state.fusion is not None or head is None or not isinstance(head.calibration, Calibration):
        return state.fusion
    weights = centre(_solve(state.sums, None)[0]).ravel()
    factor = float(weights @ head.weights.ravel() / ((weights @ weights) or 1.0))
    return ScoreFusion(head.sparse_factor, max(0.0, factor), head.calibration, head.encoder_weight)
