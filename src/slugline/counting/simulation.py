"""Errors of estimated shares, simulated by counting held-out documents with known topics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slugline.base.arrays import F64
from slugline.counting.shares import HeldoutSample, estimate_shares
from slugline.evaluation.intervals import Z_95, Interval

#: Number of simulated sets of texts.
N_SIMULATED = 200
# Maximum number of held-out documents used in simulations.
_MAX_HELDOUT = 2000
# Number of pseudo-documents, from all topics, that smooth each topic's held-out documents.
_N_SMOOTHING = 2.0
# Dirichlet concentration of simulated shares, and the weight of equal shares in their mean; the
# estimate has the remaining weight. Without equal shares, a topic whose texts are mostly missed
# would be simulated only with its small estimated share. The concentration was chosen on simulated
# texts with known probabilities, the weight on training splits of up to 11 sets.
_N_DRAWN, _UNIFORM_WEIGHT = 8.0, 0.5
# Simulated sets are weighted by the distance of their estimates, relative to this quantile of
# distances; chosen on the same simulated texts.
_NEAR = 0.4


@dataclass(frozen=True, eq=False)
class SimulatedErrors:
    """Estimates for simulated sets of texts, and their true shares.

    Attributes
    ----------
    estimates, shares : float64 array, shape (n_topics, n_sets)
    """

    estimates: F64
    shares: F64

    @property
    def errors(self) -> F64:
        """Errors of the estimates, shape (n_topics, n_sets)."""
        return self.estimates - self.shares

    def standard_errors(self, shares: F64) -> F64:
        """Return the standard error of each estimated share, downwards and upwards.

        Shape (2, n_topics). Errors of one sign may be larger: a common topic whose texts are often
        mistaken for others tends to be underestimated. The typical error of each sign is averaged
        with the typical error of both signs because there are few simulated sets.
        """
        distances = np.abs(self.estimates - shares[:, np.newaxis])
        width = np.quantile(distances, _NEAR, axis=1, keepdims=True) + 1e-4
        weights = np.exp(-((distances / width) ** 2) / 2)
        weights /= weights.sum(axis=1, keepdims=True)
        squares = weights * self.errors**2
        # If the estimate is too high, the true share lies below it.
        above = np.where(self.errors > 0, squares, 0).sum(axis=1)
        both = squares.sum(axis=1)
        sides = np.sqrt(2 * np.stack([above, both - above]).clip(0))
        errors: F64 = (sides + np.sqrt(both)) / 2
        return errors


def simulate_errors(
    sample: HeldoutSample,
    shares: F64,
    n_texts: int,
    *,
    seed: int,
    n_copies: F64 | None = None,
    n_sets: int = N_SIMULATED,
    group: int = 0,
    is_spread: bool = True,
) -> SimulatedErrors:
    """Count simulated sets of held-out documents with shares close to the estimated ones.

    This is a bootstrap: each set resamples the held-out documents, fits the estimator to the
    resample, and draws texts from all held-out documents. Errors come from the drawn texts, from
    the held-out documents, and from miscalibrated probabilities. The resamples depend only on the
    seed, not on the shares or the group.

    Parameters
    ----------
    sample : HeldoutSample
    shares : float64 array, shape (n_topics,)
    n_texts : int
    seed : int
    n_copies : float64 array, shape (n_topics,), optional
        Number of copies of each text of a topic, including itself; by default, 1.
    n_sets : int, default N_SIMULATED
    group : int, default 0
        Seed of the drawn texts if `is_spread` is False, to draw groups independently.
    is_spread : bool, default True
        Draw new shares for each set; otherwise, all sets have the given shares.

    References
    ----------
    Efron and Tibshirani (1993), An introduction to the bootstrap.
    """
    rng = np.random.default_rng(seed)
    em_weight = sample.em_weight
    n_copies = np.ones(len(shares)) if n_copies is None else n_copies
    # The other training documents are a random sample as well.
    n_others = np.maximum(sample.topic_counts - sample.topic_sizes, 0)
    n_heldout = len(sample)
    if n_heldout > _MAX_HELDOUT:
        sample = sample.take(np.sort(rng.choice(n_heldout, _MAX_HELDOUT, replace=False)))
    n = len(sample)
    drawn = rng.multinomial(n, np.full(n, 1 / n), n_sets).T.astype(np.float64)
    counts = sample.is_topic.T @ drawn * (n_heldout / max(n, 1))
    counts += rng.gamma(np.repeat(n_others[:, np.newaxis], n_sets, axis=1))
    if is_spread:
        centre = (1 - _UNIFORM_WEIGHT) * shares + _UNIFORM_WEIGHT * sample.equal_shares
        drawn_shares = rng.dirichlet(_N_DRAWN * np.maximum(centre, 1e-4), n_sets)
    else:
        drawn_shares = np.repeat((shares / shares.sum())[np.newaxis], n_sets, axis=0)
        rng = np.random.default_rng([seed, group])
    texts, true_shares = np.empty((n, n_sets)), np.empty((len(shares), n_sets))
    by_proba = sample.proba / np.maximum(sample.proba.sum(axis=0), 1e-12)
    for i in range(n_sets):
        rates = rng.multinomial(n_texts, drawn_shares[i]) / (sample.topic_sizes + _N_SMOOTHING)
        texts[:, i], true_shares[:, i] = _draw_texts(sample, by_proba, rates, n_copies, rng)
    # Single precision halves the time.
    estimates = estimate_shares(
        sample,
        sample.proba.astype(np.float32),
        texts.astype(np.float32),
        heldout_weights=drawn,
        topic_counts=counts,
        em_weight=em_weight,
        n_copies=float(n_copies @ shares),
    )
    return SimulatedErrors(estimates, true_shares)


def _draw_texts(
    sample: HeldoutSample, by_proba: F64, rates: F64, n_copies: F64, rng: np.random.Generator
) -> tuple[F64, F64]:
    """Return the number of times each document is drawn, and the shares of topics.

    A topic with few documents is smoothed with documents that the model assigns to it.
    """
    copies = n_copies[sample.topics]
    by_topic = rng.poisson(rates[sample.topics] / copies) * copies
    # A drawn document counts fractionally for all topics that it is drawn for.
    distinct = _N_SMOOTHING * by_proba * (rates / n_copies)
    totals = distinct.sum(axis=1)
    distinct *= (rng.poisson(totals) / np.maximum(totals, 1e-12))[:, np.newaxis]
    others = distinct * n_copies
    topics = by_topic @ sample.is_topic + others.sum(axis=0)
    return by_topic + others.sum(axis=1), topics / max(topics.sum(), 1)


def share_intervals(shares: F64, standard_errors: F64) -> list[Interval]:
    """Return the 95 % interval of each share.

    Parameters
    ----------
    shares : float64 array, shape (n_topics,)
    standard_errors : float64 array, shape (2, n_topics)
        Downwards and upwards.
    """
    downwards, upwards = Z_95 * standard_errors
    low, high = np.clip(shares - downwards, 0, 1), np.clip(shares + upwards, 0, 1)
    return [Interval(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)]
