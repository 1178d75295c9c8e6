"""Fit an encoder head to topic descriptions and documents.

The descriptions are the prior: as documents accumulate, topic means move away from them. Scores of
a discriminant analysis and word scores are added with weights fitted to held-out documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Index
from slugline.base.threads import limit_blas
from slugline.learning.calibration import (
    DEFAULT_CALIBRATION,
    Calibration,
    fit_calibration,
    round_digits,
    spread,
)
from slugline.learning.encoder.fit import (
    SHARPNESS,
    EncoderHead,
    HeadTask,
    Names,
    UnlabelledRows,
    average,
    centre,
    fit_nearest_means,
    pieces,
)
from slugline.learning.encoder.fusion import ScoreFusion
from slugline.learning.heldout import log_proba_gains
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.problem import ABSENT_SCORE, INITIAL_BIAS
from slugline.learning.minimize import Evaluation, minimize_bounded

# All constants were chosen by cross-validation on training splits, with 5 to 800 labels in all.
# Candidate weights of a description, in documents. A weight other than the default must lower the
# summed log loss by the log of its ratio to the default. A name weighs no more than a document.
_WEIGHTS, _DEFAULT_WEIGHT, _NAME_WEIGHT = (1.0, 3.0, 5.0, 10.0, 30.0, 100.0), 5.0, 1.0
# Power of a topic's fraction of documents in its prior.
_PRIOR_POWER = 0.5
# For factors on scores: the penalty per topic on a small squared distance from the prior, and the
# total penalty at which it levels off for larger distances.
_DISTANCE_PENALTY, _PENALTY_SATURATION = 16.0, 3.0
# Maximum factor on scores with standard deviation 1.
_MAX_FACTOR = 50.0
# Lower bound of denominators.
_LEAST = 1e-12
_NO_FACTORS = np.ones(1, dtype=np.float32)


class DescribedWords(NamedTuple):
    """Held-out word scores of documents.

    Attributes
    ----------
    rows : int array, shape (n_heldout,)
    scores : float32 array, shape (n_heldout, n_topics)
        `ABSENT_SCORE` for topics missing from the training documents.
    absent_scores : float32 array, shape (n_topics,)
        Mean score of each topic without documents; NaN for other topics.
    """

    rows: Index
    scores: F32
    absent_scores: F32

    def beat_encoder(self, proba: F32, y: I64, costs: F32 | None) -> bool:
        """Return True if words cover all topics and have a lower log loss than `proba`.

        Parameters
        ----------
        proba : float32 array, shape (n_heldout, n_topics)
        y : int array, shape (n_heldout,)
        costs : float32 array, shape (n_heldout,), optional
        """
        places = np.arange(len(y))
        if np.isfinite(self.absent_scores).any() or (self.scores[places, y] <= ABSENT_SCORE).any():
            return False
        usual = DEFAULT_CALIBRATION.inverse_temperature
        by_words = fit_calibration(self.scores, y, costs, usual).proba(self.scores)
        return bool(np.average(log_proba_gains(by_words, proba, y), weights=costs) > 0)


class ShrunkMeans:
    """Mean rows of topics, shrunk toward the rows of their descriptions.

    Documents differ from descriptions in ways unrelated to topics. The mean difference is
    subtracted from documents, so that topics with documents have no advantage.

    Parameters
    ----------
    rows : float32 array, shape (n_documents, n_columns)
    y : int array, shape (n_documents,)
    costs : float array, shape (n_documents,)
    described : float array, shape (n_topics, n_columns)
        0 for topics without a description.
    max_weights : float array, shape (n_topics,)
        Maximum weight of each description, in documents.

    References
    ----------
    Efron and Morris (1973), Stein's estimation rule and its competitors.
    """

    def __init__(self, rows: F32, y: I64, costs: F64, described: F64, max_weights: F64) -> None:
        self._rows, self._y, self._costs = rows, y, costs
        self._described = described
        self._max_weights = np.where(described.any(axis=1), max_weights, 0)
        self._counts = np.bincount(y, costs, len(described)).astype(np.float64)
        self._sums = np.zeros_like(described)
        for piece in pieces(np.arange(len(y))):
            np.add.at(self._sums, y[piece], costs[piece, np.newaxis] * rows[piece])
        compared = self._counts * (self._max_weights > 0)
        self._n_compared = float(compared.sum())
        self._differences = (self._sums - self._counts[:, np.newaxis] * described)[compared > 0]
        self._difference = self._differences.sum(axis=0)

    @property
    def offset(self) -> F64:
        """The mean of documents minus the descriptions of their topics."""
        return self._difference / max(self._n_compared, _LEAST)

    def solution(self, weight: float) -> tuple[F64, F64]:
        """Return weights and biases, given the weight of a description in documents."""
        sums, _ = self._weighted(weight)
        means = sums - self._counts[:, np.newaxis] * self.offset
        lengths = np.sqrt(np.maximum((means * means).sum(axis=1), _LEAST))
        is_known = (self._counts > 0) | (self._max_weights > 0)
        # Topics with neither documents nor a description score below any cosine.
        biases = np.where(is_known, self._prior(self._counts, weight), -2 * SHARPNESS)
        return SHARPNESS * (means / lengths[:, np.newaxis]).T, biases

    def heldout_scores(self, rows: Index, weight: float) -> F64:
        """Return leave-one-out scores of rows."""
        return np.concatenate([self._heldout_scores(piece, weight) for piece in pieces(rows)])

    def _heldout_scores(self, rows: Index, weight: float) -> F64:
        y, costs, row = self._y[rows], self._costs[rows], self._rows[rows].astype(np.float64)
        sums, strengths = self._weighted(weight)
        compared = np.where(self._max_weights[y] > 0, costs, 0)[:, np.newaxis]
        n_others = self._n_compared - compared
        difference = self._difference - compared * (row - self._described[y])
        offsets = np.where(n_others > 1e-9, difference / np.maximum(n_others, _LEAST), 0)
        products = row @ sums.T - (row * offsets).sum(axis=1)[:, np.newaxis] * self._counts
        squares = (sums * sums).sum(axis=1) - 2 * self._counts * (offsets @ sums.T)
        squares += (offsets * offsets).sum(axis=1)[:, np.newaxis] * self._counts**2
        # Leaving out a row changes only its own topic's mean.
        places, others = np.arange(len(rows)), np.maximum(self._counts[y] - costs, 0)
        own = sums[y] - costs[:, np.newaxis] * row - others[:, np.newaxis] * offsets
        products[places, y], squares[places, y] = (row * own).sum(axis=1), (own * own).sum(axis=1)
        scores = SHARPNESS * products / np.sqrt(np.maximum(squares, _LEAST))
        scores += self._prior(self._counts, weight)
        scores[places, y] += self._prior(others, weight) - self._prior(self._counts[y], weight)
        unknown = np.flatnonzero((strengths[y] == 0) & (others < 1e-9))
        scores[unknown, y[unknown]] = scores[unknown].min(axis=1)
        return scores

    def choose_weight(self, rows: Index) -> float:
        """Return the description weight with the lowest log loss on held-out rows."""

        def loss(weight: float) -> float:
            losses = _losses(self.heldout_scores(rows, weight), self._y[rows])
            return float(self._costs[rows] @ losses) + abs(np.log(weight / _DEFAULT_WEIGHT))

        return min(_WEIGHTS, key=loss)

    def _weighted(self, weight: float) -> tuple[F64, F64]:
        """Return topics' weighted sums of rows and description, and the descriptions' weights."""
        strengths = np.minimum(self._max_weights, weight)
        return self._sums + strengths[:, np.newaxis] * self._described, strengths

    @staticmethod
    def _prior(counts: F64, weight: float) -> F64:
        return _PRIOR_POWER * np.log1p(counts / weight)


def fit_described_head(
    rows: F32,
    labels: Labels,
    n_documents: int,
    context: FitContext,
    words: DescribedWords,
    *,
    names: Names | None = None,
    widths: Sequence[int] = (),
    factors: F32 = _NO_FACTORS,
    unlabelled: UnlabelledRows | None = None,
) -> tuple[EncoderHead | None, F32 | None]:
    """Return the head to add to word scores, and held-out summed scores of `words.rows`.

    The head is None if words alone have a lower log loss. The scores are None with a single topic.

    Parameters
    ----------
    rows : float32 array, shape (n_rows, n_columns)
        Rows of unit length: documents, then descriptions.
    labels : Labels
        One topic per row.
    n_documents : int
    context : FitContext
        Contains a weight for each row.
    words : DescribedWords
    names : Names, optional
        Names of topics without descriptions; they have less weight than descriptions.
    factors : float32 array, shape (n_columns,) or (1,)
        Factors on columns, used in distances from descriptions.
    widths, unlabelled
        See `slugline.learning.encoder.fit.fit_encoder_head`.
    """
    if context.n_topics < 2:
        return fit_nearest_means(rows, labels, context), None
    y = labels.topics
    heldout_rows, weight = words.rows, context.sample_weight
    costs = np.ones(len(rows)) if weight is None else weight.astype(np.float64)
    # With one thread, since the last bits depend on the number of threads.
    with limit_blas():
        scaled_names = None if names is None else names._replace(rows=names.rows * factors)
        means = _fit_means(rows * factors, y, n_documents, costs, context.n_topics, scaled_names)
        strength = means.choose_weight(heldout_rows)
        # Move descriptions to where documents with the same meaning are.
        moved = rows[n_documents:] + means.offset / factors
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _LEAST)
        task = HeadTask(
            rows=np.concatenate([rows[:n_documents], moved.astype(np.float32)]),
            y=y,
            n_topics=context.n_topics,
            weight=weight,
            heldout_rows=heldout_rows,
            words=np.where(words.scores <= ABSENT_SCORE, np.float32(INITIAL_BIAS), words.scores),
        )
        fits = [task.fit(scale) for scale in task.scales(widths)]
        dense = fits[0] if len(fits) == 1 else average(fits)
        by_means = centre(means.heldout_scores(heldout_rows, strength).astype(np.float32))
        parts = [by_means, dense.scores, centre(task.words)]
        combined = _combine(parts, y[heldout_rows], costs[heldout_rows], task.costs)
        if words.beat_encoder(
            combined.calibration.proba(combined.sums), y[heldout_rows], task.costs
        ):
            return None, None
        of_means, biases_of_means = means.solution(strength)
        of_means *= factors[:, np.newaxis]
        factors_of = np.float32(combined.factors[0]), np.float32(combined.factors[1])
        weights, biases = (
            factors_of[0] * centre(part_of_means.astype(np.float32)) + factors_of[1] * centre(part)
            for part_of_means, part in ((of_means, dense.weights), (biases_of_means, dense.biases))
        )
        if unlabelled is not None:
            # The encoder's scores are already weighted.
            fusion = ScoreFusion(
                combined.factors[2], 1.0, combined.calibration, combined.encoder_weight
            )
            before = dense._replace(weights=weights, biases=biases, fusion=fusion)
            after = task.self_train(before, unlabelled)
            weights, biases = centre(after.weights), centre(after.biases)
        of_words = combined.factors[2]
        absent = np.isfinite(words.absent_scores)
        biases[absent] += of_words * (INITIAL_BIAS - words.absent_scores[absent])
        weights = np.ascontiguousarray(weights)
        head = EncoderHead(weights, biases, of_words, combined.calibration, combined.encoder_weight)
        return head, combined.sums


def _fit_means(
    rows: F32, y: I64, n_documents: int, costs: F64, n_topics: int, names: Names | None
) -> ShrunkMeans:
    """Return the means of documents, shrunk toward descriptions, else names."""
    described = np.zeros((n_topics, rows.shape[1]))
    max_weights = np.full(n_topics, np.inf)
    if names is not None:
        described[names.y], max_weights[names.y] = names.rows, _NAME_WEIGHT
    described[y[n_documents:]] = rows[n_documents:]
    return ShrunkMeans(
        rows[:n_documents], y[:n_documents], costs[:n_documents], described, max_weights
    )


class _Combination(NamedTuple):
    """A weighted sum of the scores of means, of a discriminant analysis and of words."""

    factors: Sequence[float]
    sums: F32  # held-out scores for `calibration`
    calibration: Calibration
    encoder_weight: float  # the first two parts' fraction of the spread of the sum


def _combine(parts: Sequence[F32], y: I64, costs: F64, given_costs: F32 | None) -> _Combination:
    """Return the best weighted sum of held-out scores; the factors include the temperature."""
    factors = _fit_factors(parts, y, costs)
    sums: F32 = np.tensordot(np.array(factors, dtype=np.float32), np.stack(parts), axes=1)
    fitted = fit_calibration(sums, y, given_costs, usual=1.0)
    temperature = fitted.inverse_temperature
    factors, sums = [temperature * f for f in factors], sums * np.float32(temperature)
    spreads = [spread(f * part) for f, part in zip(factors, parts, strict=True)]
    encoder_weight = 1 - spreads[2] / (sum(spreads) or 1.0)
    return _Combination(factors, sums, replace(fitted, inverse_temperature=1.0), encoder_weight)


def _losses(scores: F64, y: I64) -> F64:
    """Return the log loss of each row."""
    from scipy.special import log_softmax  # in double precision, unlike our own `log_losses`

    return np.asarray(-log_softmax(scores, axis=1)[np.arange(len(y)), y])


def _fit_factors(parts: Sequence[F32], y: I64, costs: F64) -> list[float]:
    """Return the factors on scores with the highest posterior density.

    For scores scaled to equal spread, the prior is Student's t-distribution, around 1 for the
    unscaled first scores and around 0 for the others, so that a few rows hardly move the factors
    and many rows determine them.

    Parameters
    ----------
    parts : sequence of float32 arrays, shape (n_rows, n_topics)
        Held-out scores of several models, descriptions first.
    y : int array, shape (n_rows,)
    costs : float array, shape (n_rows,)
    """
    from scipy.special import log_softmax

    spreads = np.array([spread(part) or 1.0 for part in parts])
    scaled = np.stack([part / size for part, size in zip(parts, spreads, strict=True)])
    scaled = scaled.astype(np.float64)
    penalty = _DISTANCE_PENALTY * scaled.shape[2]
    rows, prior = np.arange(len(y)), np.eye(len(parts))[0] * spreads[0]

    def loss(factors: F64) -> Evaluation:
        log_proba = log_softmax(np.tensordot(factors, scaled, 1), axis=1)
        proba = np.exp(log_proba)
        weighted = scaled * (costs[:, np.newaxis] * proba)
        hessian = np.einsum("pnt,qnt->pq", weighted, scaled)
        means = np.einsum("pnt,nt->pn", scaled, proba)
        hessian -= (means * costs) @ means.T
        away = factors - prior
        ratio = 1 + penalty * (away @ away) / _PENALTY_SATURATION
        total = -costs @ log_proba[rows, y] + _PENALTY_SATURATION * np.log(ratio)
        gradient = (means - scaled[:, rows, y]) @ costs + 2 * penalty * away / ratio
        hessian += 2 * penalty / ratio * np.eye(len(parts))
        hessian -= (2 * penalty / ratio) ** 2 / _PENALTY_SATURATION * np.outer(away, away)
        return float(total), gradient, hessian

    best, _ = minimize_bounded(loss, prior, [(0.0, _MAX_FACTOR)] * len(parts))
    return [round_digits(factor) for factor in best / spreads]
