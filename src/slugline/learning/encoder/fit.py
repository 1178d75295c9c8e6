"""Fit an encoder head, whose scores are added to word scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.base.threads import limit_blas
from slugline.learning.calibration import (
    AnyCalibration,
    Calibration,
    log_losses,
    round_digits,
    spread,
)
from slugline.learning.encoder.class_sums import ClassSums, log_prior
from slugline.learning.encoder.fusion import MAX_ERRORS, ScoreFusion, fit_score_factors, fuse_scores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext

# Linear discriminant analysis ---------------------------------------------------------------------

#: Candidate penalties, for rows of unit length with a mean weight of 1.
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# Candidate penalties for a fast encoder. Trying all would take as long as training on a few hundred
# texts, and the others are hardly ever better.
_FEW_PENALTIES = (0.3, 1.0, 3.0, 10.0)
# Default penalty if there are no rows to choose it on, and if there are hundreds or more.
_DEFAULT_PENALTY, _PENALTY_OF_MANY = 1.0, 3.0
# Maximum number of rows held out together; a linear system of this size is solved per group.
_MAX_GROUP = 128
# Limits on the rows used to choose the penalty: more rows hardly change it, and thousands of topics
# make even these too expensive.
_MAX_HELD_OUT, _MIN_HELD_OUT, _MAX_SCORES = 10_000, 500, 2_000_000
# Number of rows converted to double precision at a time, and of values computed at a time for
# groups of rows.
_ROWS_AT_A_TIME, _MAX_NUMBERS = 4096, 1 << 17


@dataclass(frozen=True, eq=False)
class DenseFit:
    """A fitted linear discriminant analysis.

    Attributes
    ----------
    weights : float32 array, shape (n_columns, n_topics)
    biases : float32 array, shape (n_topics,)
        The softmax of `X @ weights + biases` is calibrated.
    scores : float32 array, shape (n_rows, n_topics)
        Cross-validated scores, leaving out each row's group.
    penalty : float
        The chosen penalty.
    """

    weights: F32
    biases: F32
    scores: F32
    penalty: float


def fit_dense_head(
    X: F32,
    y: I64,
    n_topics: int,
    sample_weight: F32 | None = None,
    *,
    penalties: Sequence[float] = PENALTIES,
    max_heldout: int = _MAX_HELD_OUT,
) -> DenseFit:
    """Fit weights and biases with the penalty that has the lowest log loss on held-out rows.

    Rows are held out in groups with at most one row per topic. With a single row held out, its
    topic would have one row fewer than the others and thus lower scores, which misleads with, say,
    five rows per topic.

    Parameters
    ----------
    X : float array, shape (n_rows, n_columns)
        Rows of unit length.
    y : int array, shape (n_rows,)
    sample_weight : float array, shape (n_rows,), optional
        Rows of weight 0 are excluded from training.
    penalties : sequence of float
        Positive penalties to try, in ascending order.
    max_heldout : int
        Maximum number of rows on which to choose the penalty.
    """
    costs = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
    learned = np.flatnonzero(costs)
    shape = _DiscriminantAnalysis(X, y, costs / costs[learned].mean(), n_topics)
    groups = _groups(y, learned)
    penalty, factor, scores_by_group = _best_penalty(shape, groups, penalties, max_heldout)
    weights, biases = (factor * part for part in shape.solution(penalty))
    absent = np.bincount(y[learned], minlength=n_topics) == 0
    # Topics without rows score below all others for any row of unit length.
    least = (biases - np.linalg.norm(weights, axis=0))[~absent].max() - 1
    weights[:, absent], biases[absent] = 0, least
    scores = np.empty((len(y), n_topics), dtype=np.float32)
    others = np.flatnonzero(costs == 0)
    scores[others] = X[others] @ weights + biases
    if scores_by_group is not None:
        scores[np.concatenate(groups)] = factor * scores_by_group
    else:
        for stack in shape.stack_groups(groups):
            scores[stack.ravel()] = factor * shape.heldout_scores(stack, [penalty])[0]
    least_known = scores.min(axis=1, keepdims=True, where=~absent, initial=np.inf)
    scores[:, absent] = np.minimum(least_known - 1, least)
    return DenseFit(weights.astype(np.float32), biases.astype(np.float32), scores, float(penalty))


def _groups(y: I64, rows: Index) -> list[Index]:
    by_topic = rows[np.argsort(y[rows], kind="stable")]
    topics = y[by_topic]
    rank = np.arange(len(rows)) - np.searchsorted(topics, topics)
    order = by_topic[np.argsort(rank, kind="stable")]
    groups: list[Index] = []
    for same_rank in np.split(order, np.cumsum(np.bincount(rank))[:-1]):
        groups += np.array_split(same_rank, -(-len(same_rank) // _MAX_GROUP))
    return groups


def _best_penalty(
    shape: _DiscriminantAnalysis, groups: list[Index], penalties: Sequence[float], max_heldout: int
) -> tuple[float, float, F32 | None]:
    """Return the penalty with the lowest held-out log loss, the factor on scores, and the scores.

    The scores cover the rows of all groups; None if only a sample was scored.
    """
    n_wanted = min(max_heldout, max(_MIN_HELD_OUT, _MAX_SCORES // shape.n_topics))
    sampled_groups = groups[:: -(-sum(map(len, groups)) // n_wanted)]
    rows = np.concatenate(sampled_groups)
    # The only row of a topic can't be predicted without it.
    has_others = ~shape.is_alone(rows)
    y, costs = shape.y[rows][has_others], shape.costs[rows][has_others].astype(np.float32)
    if not len(y) or (y == y[0]).all():
        return _DEFAULT_PENALTY, 1.0, None
    n_at_once = max(1, _MAX_NUMBERS // (len(rows) * shape.n_topics))
    stacks = [(stack, shape.project(stack)) for stack in shape.stack_groups(sampled_groups)]
    best: tuple[float, float, float, F32 | None] = np.inf, _DEFAULT_PENALTY, 1.0, None
    for start in range(0, len(penalties), n_at_once):
        some = penalties[start : start + n_at_once]
        parts = [shape.heldout_scores(stack, some, projected) for stack, projected in stacks]
        for penalty, scores in zip(some, np.concatenate(parts, axis=1), strict=True):
            factor = fit_score_factors([scores[has_others]], y, costs)[0]
            losses = log_losses(scores[has_others] * np.float32(factor), y)
            loss = float(np.average(losses, weights=costs))
            if loss < best[0]:
                best = loss, penalty, factor, scores
    _, penalty, factor, scores_by_group = best
    return penalty, factor, scores_by_group if len(sampled_groups) == len(groups) else None


class CentredRows:
    """Weighted rows, centred at their mean so that numbers stay small."""

    def __init__(self, X: F32, costs: F64) -> None:
        self.X, self.costs = X, costs
        self.centre = costs @ X / costs.sum()

    def centred(self, rows: Index) -> F64:
        """Return rows minus the mean of all rows."""
        return self.X[rows] - self.centre

    def decompose(self, rows: Index, deviations: Callable[[Index], F64]) -> tuple[F64, F64]:
        """Return eigenvalues and eigenvectors of the weighted scatter matrix of `deviations`."""
        span: F64 | None = None
        if len(rows) < self.X.shape[1]:  # directions outside the span of the rows have no weight
            span = np.linalg.qr(self.centred(rows).T)[0]
        n_columns = self.X.shape[1] if span is None else span.shape[1]
        products = np.zeros((n_columns, n_columns))
        for piece in pieces(rows):
            part = deviations(piece) if span is None else deviations(piece) @ span
            products += part.T @ (self.costs[piece, None] * part)
        values, basis = np.linalg.eigh(products)
        return np.maximum(values, 0), basis if span is None else span @ basis


class _DiscriminantAnalysis(CentredRows):
    """Linear discriminant analysis: topic means and a common covariance."""

    def __init__(self, X: F32, y: I64, costs: F64, n_topics: int) -> None:
        super().__init__(X, costs)
        self.y, self.n_topics = y, n_topics
        rows = np.flatnonzero(costs)
        self._totals = np.bincount(y, costs, n_topics).astype(np.float64)
        # Centring changes the scores of all topics by the same amount.
        means = np.zeros((n_topics, X.shape[1]))
        for piece in pieces(rows):
            np.add.at(means, y[piece], self.costs[piece, None] * self.centred(piece))
        means /= np.where(self._totals > 0, self._totals, 1)[:, None]
        self._values, self._basis = self.decompose(rows, lambda p: self.centred(p) - means[y[p]])
        self._means = means @ self._basis

    def is_alone(self, rows: Index) -> Mask:
        """Return a mask of rows that are the only ones of their topics."""
        return self._weight_of_others(rows) <= 0

    def _weight_of_others(self, rows: Index) -> F64:
        """Return the total weight of the other rows of each row's topic."""
        others = self._totals[self.y[rows]] - self.costs[rows]
        return np.where(others > 1e-9 * self._totals[self.y[rows]], others, 0)

    def solution(self, penalty: float) -> tuple[F64, F64]:
        scaled = self._means * (self._totals.sum() / (self._values + penalty))
        weights = self._basis @ scaled.T
        biases = -(self._means * scaled).sum(axis=1) / 2 - self.centre @ weights
        return weights, biases + log_prior(self._totals)

    def stack_groups(self, groups: Sequence[Index]) -> Iterator[Index]:
        """Yield stacks of neighbouring groups of equal size, shape (n_groups, group_size)."""
        for size, equal in itertools.groupby(groups, len):
            same_size = list(equal)
            n_numbers = size * (self.n_topics + 2 * self._basis.shape[1])
            n_together = max(1, _MAX_NUMBERS // n_numbers)
            for start in range(0, len(same_size), n_together):
                yield np.stack(same_size[start : start + n_together])

    def project(self, stack: Index) -> F64:
        """Return the centred rows of a stack of groups in eigenvector coordinates."""
        return self.centred(stack.ravel()) @ self._basis

    def heldout_scores(
        self, stack: Index, penalties: Sequence[float], rows: F64 | None = None
    ) -> F32:
        """Return leave-group-out scores; the rows of a group have different topics.

        Arrays have an axis of penalties, because separate calls would be slower for few rows.

        Parameters
        ----------
        stack : int array, shape (n_groups, group_size)
        penalties : sequence of float
        rows : float64 array, shape (n_groups * group_size, n_components), optional
            Result of `project`.

        Returns
        -------
        float32 array, shape (n_penalties, n_groups * group_size, n_topics)
        """
        shape, y = stack.shape, self.y[stack]
        costs, others = self.costs[stack], self._weight_of_others(stack)
        ratio = np.divide(costs, others, out=np.zeros(shape), where=others > 0)
        # In these coordinates, the penalized covariance is the identity.
        roots = np.sqrt(self._values + np.array(penalties)[:, np.newaxis])
        rows = self.project(stack) if rows is None else rows
        row = rows.reshape(*shape, -1) / roots[:, np.newaxis, np.newaxis]
        means = self._means / roots[:, np.newaxis]
        deviations = row - means[:, y]
        # Without the group, the covariance differs from the identity in a few directions.
        stretched = deviations * np.sqrt(ratio * self._totals[y])[..., np.newaxis]
        transposed = stretched.swapaxes(2, 3)
        inverse = np.linalg.inv(np.eye(shape[1]) - stretched @ transposed)
        # The means of the group's own topics change, by a multiple of its rows' deviations.
        change = ratio[..., np.newaxis] * deviations
        by_means = means.swapaxes(1, 2)[:, np.newaxis]
        products, of_means = row @ by_means, stretched @ by_means
        group = np.arange(shape[0])[:, np.newaxis]
        own = slice(None), group, slice(None), y
        products[own] -= (row @ change.swapaxes(2, 3)).transpose(1, 3, 0, 2)
        of_means[own] -= (stretched @ change.swapaxes(2, 3)).transpose(1, 3, 0, 2)
        squares = (means * means).sum(axis=2)[:, np.newaxis].repeat(shape[0], axis=1)
        squares[:, group, y] = ((means[:, y] - change) ** 2).sum(axis=3)
        scaled = inverse @ of_means
        products += (row @ transposed) @ scaled
        squares += (of_means * scaled).sum(axis=2)
        totals = np.tile(self._totals, (shape[0], 1))
        totals[group, y] = others
        scores = products - (squares / 2)[:, :, np.newaxis]
        scores *= totals.sum(axis=1)[:, np.newaxis, np.newaxis]
        scores += log_prior(totals)[:, np.newaxis]
        single, place = np.nonzero(others == 0)
        scores[:, single, place, y[single, place]] = scores[:, single, place].min(axis=2)
        return scores.reshape(len(penalties), stack.size, -1).astype(np.float32)


def pieces(rows: Index) -> Iterator[Index]:
    """Yield a few thousand rows at a time."""
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        yield rows[start : start + _ROWS_AT_A_TIME]


# The head of an encoder ---------------------------------------------------------------------------

#: Factor on cosines if there are no held-out rows. Of the factors tried, it has the lowest log loss
#: on a few data sets with one document per topic, or only its name.
SHARPNESS = 15.0
# Share of a row's squared length given to the main one of several encoders.
_MAIN_WEIGHT = 0.8
# Number of rows on which the weights of encoders are chosen; more rows hardly change them.
_MAX_SHARED = 2_000
# Number of rows on which a fast encoder's penalty and factor are chosen; more would take as long as
# training.
_MAX_FUSED = 500
# Rounds of self-training, and the weight of an unlabelled row whose topic is certain, as a multiple
# of the mean weight of labelled rows. Chosen by cross-validation on training splits, with 5 to 40
# labels per topic.
_N_ROUNDS, _PSEUDO_WEIGHT = 3, 0.3


class EncoderHead(NamedTuple):
    """The arrays and numbers of a `slugline.learning.encoder.head.DenseHead`."""

    weights: F32
    biases: F32
    sparse_factor: float
    calibration: AnyCalibration
    encoder_weight: float


class Names(NamedTuple):
    """The encoder's rows of topic names, and the topic numbers."""

    rows: F32
    y: I64


class UnlabelledRows(NamedTuple):
    """The encoder's rows of unlabelled texts, and the texts' scores by words."""

    rows: F32
    sparse_scores: F32


def fit_encoder_head(
    rows: F32,
    labels: Labels,
    context: FitContext,
    heldout: tuple[Index, F32],
    *,
    training: Index | None = None,
    max_errors: float = MAX_ERRORS,
    names: Names | None = None,
    widths: Sequence[int] = (),
    unlabelled: UnlabelledRows | None = None,
    is_fast: bool = False,
) -> tuple[EncoderHead | None, F32 | None]:
    """Return the encoder head that best improves word scores, and held-out summed scores.

    The head is None if the encoder doesn't help; the scores are None if held-out rows are too few.

    Parameters
    ----------
    rows : float32 array, shape (n_documents, n_columns)
        Rows of unit length.
    labels : Labels
        One topic for each document.
    context : FitContext
    heldout : (int array, shape (n_heldout,), float32 array, shape (n_heldout, n_topics))
        Indices of some documents, and their cross-validated word scores.
    training : int array, shape (n_training,), optional
        Training documents of the word scores. If given, the encoder's held-out scores also come
        from a fit to these documents, which is much faster than leaving out each row in turn.
    max_errors : float, default MAX_ERRORS
        See `slugline.learning.encoder.fusion.fit_score_factors`.
    names : Names, optional
        Names are used as documents if that lowers the log loss on held-out documents.
    widths : sequence of int, optional
        The number of columns of each of several encoders. Fits with different weights of the
        encoders, with and without names, are then averaged.
    unlabelled : UnlabelledRows, optional
        Rows for self-training; they don't affect factors, calibration or held-out scores.
    is_fast : bool, default False
        Save time relative to training on words: try fewer penalties, and always use names.
    """
    (heldout_rows, words), y = heldout, labels.topics
    if len(np.unique(y[heldout_rows])) < 2:
        return fit_nearest_means(rows, labels, context), None
    task = HeadTask(
        rows=rows,
        y=y,
        n_topics=context.n_topics,
        weight=context.sample_weight,
        heldout_rows=heldout_rows,
        words=words,
        training=training,
        max_errors=max_errors,
        is_fast=is_fast,
    )
    # With one thread, since the last bits depend on the number of threads.
    with limit_blas():
        tasks = [task]
        if names is not None:
            with_names = task.with_rows(names.rows, names.y)
            tasks = [with_names] if is_fast else [task, with_names]
        scales = task.scales(widths)
        fits = [variant.fit(scale) for variant in tasks for scale in scales]
        best = min(fits, key=lambda fit: fit.loss) if len(scales) == 1 else average(fits)
        combined = best.fusion
        if unlabelled is not None and combined.encoder_weight:
            best = best.task.self_train(best, unlabelled)
        sparse, dense = np.float32(combined.sparse_factor), np.float32(combined.dense_factor)
        sums = sparse * words + dense * best.scores
        head = fused_head(best.weights, best.biases, combined)
        return head if combined.encoder_weight else None, sums


def fused_head(weights: F32, biases: F32, fusion: ScoreFusion) -> EncoderHead:
    """Return a head with these weights and biases, times their factor in the fusion."""
    factor = np.float32(fusion.dense_factor)
    return EncoderHead(
        np.ascontiguousarray(factor * centre(weights)),
        factor * centre(biases),
        fusion.sparse_factor,
        fusion.calibration,
        fusion.encoder_weight,
    )


class HeadFit(NamedTuple):
    """A discriminant analysis to add to word scores, with its column factors and log loss."""

    task: HeadTask
    scale: F32
    weights: F32
    biases: F32
    scores: F32
    fusion: ScoreFusion
    loss: float


@dataclass(frozen=True, eq=False)
class HeadTask:
    """Labelled rows, and word scores of the held-out documents."""

    rows: F32
    y: I64
    n_topics: int
    weight: F32 | None
    heldout_rows: Index
    words: F32
    training: Index | None = None
    max_errors: float = MAX_ERRORS
    is_fast: bool = False

    @property
    def costs(self) -> F32 | None:
        """The weights of the held-out rows."""
        return None if self.weight is None else self.weight[self.heldout_rows]

    def with_rows(self, rows: F32, y: I64) -> HeadTask:
        """Return the task with additional rows of weight 1."""
        weight, training = self.weight, self.training
        if training is not None:
            training = np.append(training, len(self.y) + np.arange(len(y)))
        if weight is not None:
            weight = np.concatenate([weight, np.ones(len(y), dtype=np.float32)])
        y = np.concatenate([self.y, y])
        rows = np.concatenate([self.rows, rows])
        return replace(self, rows=rows, y=y, weight=weight, training=training)

    def fit(self, scale: F32) -> HeadFit:
        """Fit to columns multiplied by `scale`, and evaluate on the held-out rows."""
        if self.training is not None:
            return self._fit_training(self.training, scale)
        dense = fit_dense_head(
            self.rows * scale,
            self.y,
            self.n_topics,
            self.weight,
            penalties=_FEW_PENALTIES if self.is_fast else PENALTIES,
            max_heldout=_MAX_FUSED if self.is_fast else _MAX_HELD_OUT,
        )
        # Centre scores over topics: a constant doesn't matter among known topics, but would for a
        # new one.
        scores = centre(dense.scores[self.heldout_rows])
        weights = dense.weights * scale[:, np.newaxis]
        return self.fuse(scale, weights, dense.biases, scores)

    def _fit_training(self, training: Index, scale: F32) -> HeadFit:
        """Fit to the training rows, evaluate on the held-out rows, and fit to all rows."""
        # Words gain more from additional documents than an encoder does. Training the encoder on
        # half of the training rows gives words the same lead as with all documents, which are
        # three times as many.
        heldout, first = self.heldout_rows, training[::2]
        first_sums = self._class_sums(first, scale)
        scores = self._score(first_sums, heldout, scale)
        # The spread of scores grows with the number of training rows, so scores from a fit to all
        # rows would be overconfident. Scale them to the spread of the calibrated scores, estimated
        # by a fit to two thirds of the rows.
        second = np.concatenate([training[1::2], heldout[::2]])
        sums = first_sums + self._class_sums(second, scale)
        larger_spread = spread(self._score(sums, heldout[1::2], scale)) or 1.0
        ratio = spread(scores[1::2]) / larger_spread
        shrinkage = np.float32(round_digits(ratio))
        learned = np.concatenate([first, second])
        others = np.setdiff1d(np.arange(len(self.y)), learned, assume_unique=True)
        weights, biases = (sums + self._class_sums(others, scale)).solve(_PENALTY_OF_MANY)
        weights, biases = shrinkage * scale[:, np.newaxis] * weights, shrinkage * biases
        return self.fuse(scale, weights, biases, scores)

    def _score(self, sums: ClassSums, rows: Index, scale: F32) -> F32:
        """Return the scores of rows, given the sums of other rows."""
        weights, biases = sums.solve(_PENALTY_OF_MANY)
        # In double precision: in single precision, more digits depend on the processor.
        scaled = scale[:, np.newaxis] * weights.astype(np.float64)
        return centre((self.rows[rows] @ scaled + biases).astype(np.float32))

    def _class_sums(self, rows: Index, scale: F32) -> ClassSums:
        weight = None if self.weight is None else self.weight[rows]
        X = self.rows[rows] if len(scale) == 1 else self.rows[rows] * scale
        return ClassSums.from_rows(X, self.y[rows], self.n_topics, weight)

    def fuse(self, scale: F32, weights: F32, biases: F32, scores: F32) -> HeadFit:
        """Add the held-out scores to the word scores, and evaluate the sum."""
        y, costs = self.y[self.heldout_rows], self.costs
        sample = self._sample_heldout(_MAX_FUSED) if self.is_fast else slice(None)
        factors = fit_score_factors(
            [self.words[sample], scores[sample]],
            y[sample],
            None if costs is None else costs[sample],
            self.max_errors,
        )
        fusion = fuse_scores(self.words, scores, factors, y, costs)
        sparse, dense = np.float32(fusion.sparse_factor), np.float32(fusion.dense_factor)
        proba = fusion.calibration.proba(sparse * self.words + dense * scores)
        log_proba = np.log(proba[np.arange(len(y)), y].astype(np.float64))
        loss = -float(np.average(log_proba, weights=costs))
        return HeadFit(self, scale, weights, biases, scores, fusion, loss)

    def _sample_heldout(self, max_rows: int) -> Index:
        """Return evenly spaced indices of held-out rows among those with a weight."""
        n_rows = len(self.heldout_rows)
        weighted = np.arange(n_rows) if self.costs is None else np.flatnonzero(self.costs)
        return weighted[:: -(-len(weighted) // max_rows) or 1]

    def scales(self, widths: Sequence[int]) -> list[F32]:
        """Return the factors on columns to try; with many rows, only the best on a sample."""
        scales = _column_scales(widths)
        if len(self.heldout_rows) <= _MAX_SHARED or len(scales) == 1:
            return scales
        sampled = self._sample_heldout(_MAX_SHARED)
        rows = self.heldout_rows[sampled]
        sample = replace(
            self,
            rows=self.rows[rows],
            y=self.y[rows],
            weight=None if self.weight is None else self.weight[rows],
            heldout_rows=np.arange(len(rows)),
            words=self.words[sampled],
        )
        return [min(map(sample.fit, scales), key=lambda fit: fit.loss).scale]

    def self_train(self, fit: HeadFit, unlabelled: UnlabelledRows) -> HeadFit:
        """Refit with unlabelled rows, weighted by the squared probabilities of their topics.

        Topics are predicted in rounds. Scores of unlabelled rows keep their spread, so that factors
        and calibration remain valid. If `fit` is an average, only its likeliest fit is refitted.

        References
        ----------
        Yarowsky (1995), Unsupervised word sense disambiguation rivaling supervised methods. Lee
        (2013), Pseudo-label.
        """
        labelled = np.ones(len(self.y), dtype=np.float32) if self.weight is None else self.weight
        max_weight = _PSEUDO_WEIGHT * labelled[labelled > 0].mean()
        penalties: Sequence[float] = PENALTIES
        rows = np.concatenate([self.rows, unlabelled.rows]) * fit.scale
        by_words = np.float32(fit.fusion.sparse_factor) * unlabelled.sparse_scores
        weights, biases = fit.weights, fit.biases
        scores = centre(unlabelled.rows @ weights + biases)
        first_spread = spread(scores)
        for _ in range(_N_ROUNDS):
            sums = by_words + np.float32(fit.fusion.dense_factor) * scores
            proba = fit.fusion.calibration.proba(sums)
            sample_weight = np.concatenate([labelled, max_weight * proba.max(axis=1) ** 2])
            pseudo_labels = np.concatenate([self.y, proba.argmax(axis=1)])
            dense = fit_dense_head(
                rows, pseudo_labels, self.n_topics, sample_weight, penalties=penalties
            )
            penalties = (dense.penalty,)
            weights, biases = dense.weights * fit.scale[:, np.newaxis], dense.biases
            scores = centre(unlabelled.rows @ weights + biases)
            scale = np.float32(first_spread / (spread(scores) or 1.0))
            weights, biases, scores = scale * weights, scale * biases, scale * scores
        return fit._replace(weights=weights, biases=biases)


def average(fits: Sequence[HeadFit]) -> HeadFit:
    """Return the mean of fits, scaled to equal spread and weighted by likelihood.

    On training splits with 5 and 10 labels per topic, averaging over weights of encoders was better
    than the likeliest fit; averaging fits of one encoder with and without names was not.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), Using stacking to average Bayesian predictive
    distributions: pseudo-BMA.
    """
    losses = np.array([fit.loss for fit in fits])
    best = fits[int(losses.argmin())]
    likelihoods = np.exp(len(best.scores) * (best.loss - losses))
    factors = likelihoods / likelihoods.sum() / [spread(fit.scores) or 1.0 for fit in fits]
    parts = zip(*((fit.weights, fit.biases, fit.scores) for fit in fits), strict=True)
    means = (np.tensordot(factors.astype(np.float32), arrays, axes=1) for arrays in parts)
    return best.task.fuse(best.scale, *means)


def _column_scales(widths: Sequence[int]) -> list[F32]:
    """Return factors on columns for each division of a row's squared length among encoders.

    Divisions are equal, or give one encoder all or most of it.
    """
    n = len(widths)
    if n < 2:
        return [np.ones(1, dtype=np.float32)]
    alone = np.eye(n)
    even = np.full((1, n), 1 / n)
    mostly = _MAIN_WEIGHT * alone + (1 - _MAIN_WEIGHT) / (n - 1) * (1 - alone)
    weights = [*even.tolist(), *sorted(np.concatenate([alone, mostly]).tolist(), reverse=True)]
    return [np.repeat(np.sqrt(n * np.array(w)).astype(np.float32), widths) for w in weights]


def centre(scores: F32) -> F32:
    """Return scores minus their mean over topics."""
    return scores - scores.mean(axis=-1, keepdims=True)


def fit_nearest_means(rows: F32, labels: Labels, context: FitContext) -> EncoderHead:
    """Return a head whose scores are scaled cosines with each topic's mean row.

    It needs only one row per topic, but its probabilities are not calibrated. For the parameters,
    see `fit_encoder_head`.
    """
    weight = context.sample_weight
    sums = np.zeros((context.n_topics, rows.shape[1]))
    np.add.at(sums, labels.topics, rows if weight is None else rows * weight[:, np.newaxis])
    return mean_head(sums)


def mean_head(sums: F64) -> EncoderHead:
    """Return a nearest-means head, given each topic's sum of rows, shape (n_topics, n_columns)."""
    lengths = np.linalg.norm(sums, axis=1)
    weights = SHARPNESS * (sums / np.where(lengths > 0, lengths, 1)[:, np.newaxis]).T
    # Topics without rows score below any cosine.
    biases = np.where(lengths > 0, 0, -2 * SHARPNESS)
    return EncoderHead(
        np.ascontiguousarray(weights, dtype=np.float32),
        biases.astype(np.float32),
        sparse_factor=0.0,
        calibration=Calibration(1.0),
        encoder_weight=1.0,
    )
