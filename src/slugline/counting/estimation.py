"""Estimated topic shares in a group of texts, with errors from simulated groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from slugline.base.arrays import F64
from slugline.base.threads import limit_blas
from slugline.counting.shares import (
    HeldoutSample,
    binary_proba,
    correct_proba,
    estimate_shares,
    implied_shares,
)
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
# Minimum number of simulated sets, maximum number of shares in all sets, and the number of topics
# of a single-label estimate that take as long as one binary estimate.
_MIN_SETS, _MAX_SHARES, _BINARY_COST = 50, 20_000, 10


@dataclass(frozen=True, eq=False)
class ShareEstimate:
    """Estimated shares of a `HeldoutSample`'s topics in a group of texts.

    Attributes
    ----------
    sample : HeldoutSample
    shares : float64 array, shape (n_topics,)
    n_texts : int
    simulated : SimulatedErrors
    simulate_near : callable
        Simulates `simulated_near`.
    unseen_errors : float64 array, shape (n_topics,)
        Error of each share if one more held-out document of the topic had been missed, and one
        more of the others assigned to it.
    confidence : float or None
        Mean probability of each text's most likely topic, or None if unknown.
    """

    sample: HeldoutSample
    shares: F64
    n_texts: int
    simulated: SimulatedErrors
    simulate_near: Callable[[], SimulatedErrors]
    unseen_errors: F64
    confidence: float | None

    @cached_property
    def simulated_near(self) -> SimulatedErrors:
        """Errors for sets that all have the estimated shares.

        With the same seed, errors from held-out documents are paired between groups. Used only to
        compare groups.
        """
        with limit_blas():
            return self.simulate_near()

    @cached_property
    def standard_errors(self) -> F64:
        """Standard error of each share, downwards and upwards, shape (2, n_topics)."""
        errors: F64 = np.hypot(self.simulated.standard_errors(self.shares), self.unseen_errors)
        return errors

    def intervals(self) -> list[Interval]:
        """Return the 95 % interval of each share."""
        downwards, upwards = Z_95 * self.standard_errors
        low, high = np.clip(self.shares - downwards, 0, 1), np.clip(self.shares + upwards, 0, 1)
        return [Interval(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)]


def estimate_group(
    sample: HeldoutSample,
    rows: F64,
    weights: F64,
    *,
    seed: int,
    n_copies: F64 | None = None,
    n_sets: int = N_SIMULATED,
    group: int = 0,
) -> ShareEstimate:
    """Return the shares of topics among texts.

    Parameters
    ----------
    sample : HeldoutSample
    rows : float64 array, shape (n_rows, n_topics)
        Probabilities of texts.
    weights : float64 array, shape (n_rows,)
        Number of texts that each row represents.
    seed : int
    n_copies : float64 array, shape (n_rows,), optional
        Number of copies of each row's text, including itself. Repeated texts, such as automatic
        replies, are right or wrong together. By default, 1.
    n_sets : int, default N_SIMULATED
    group : int, default 0
        See `simulate_errors`.
    """
    # The matrices are too small to benefit from threads.
    with limit_blas():
        n_texts = round(weights.sum())
        mean_copies = 1.0 if n_copies is None else float(weights @ n_copies) / max(n_texts, 1)
        shares = estimate_shares(sample, rows, weights[:, np.newaxis], n_copies=mean_copies)[:, 0]
        if n_copies is not None:
            n_copies = _mean_copies(sample, rows, weights, n_copies, shares)
        simulate = partial(
            simulate_errors,
            sample,
            shares,
            n_texts,
            seed=seed,
            n_copies=n_copies,
            n_sets=n_sets,
            group=group,
        )
        simulated = simulate()
        return ShareEstimate(
            sample,
            shares,
            n_texts,
            simulated,
            partial(simulate, is_spread=False),
            unseen_errors(sample, shares),
            confidence=float(weights @ rows.max(axis=1, initial=0)) / max(n_texts, 1),
        )


def limit_sets(samples: Sequence[HeldoutSample]) -> int:
    """Return the number of simulated sets: fewer with many topics, to limit the time.

    Parameters
    ----------
    samples : sequence of HeldoutSample
        One for a single-label model, or one per topic of a multi-label model.
    """
    n_shares = sum(_BINARY_COST if each.is_binary else each.n_topics for each in samples)
    return min(N_SIMULATED, max(_MIN_SETS, _MAX_SHARES // n_shares))


def _mean_copies(sample: HeldoutSample, rows: F64, weights: F64, n_copies: F64, shares: F64) -> F64:
    """Return the mean number of copies of the texts of each topic, shape (n_topics,)."""
    proba = correct_proba(rows, np.maximum(shares, 1e-6), implied_shares(sample)[:, 0])
    mean: F64 = ((weights * n_copies) @ proba + 1) / (weights @ proba + 1)
    return mean


def unseen_errors(sample: HeldoutSample, shares: F64) -> F64:
    """Return the errors from confusions unseen in held-out documents.

    One error is added to each topic, by Laplace's rule of succession.
    """
    sizes = sample.topic_sizes
    others = len(sample) - sizes
    errors: F64 = np.hypot(shares / (sizes + 2), (1 - shares) / (others + 2))
    return errors


def estimate_texts(
    samples: Sequence[HeldoutSample], rows: F64, weights: F64, *, seed: int, group: int = 0
) -> list[ShareEstimate]:
    """Return the estimate of a single-label model, or one per topic of a multi-label model.

    See `estimate_group` for the parameters.
    """
    n_copies = count_copies(rows, weights)
    n_sets = limit_sets(samples)
    return [
        estimate_group(
            sample,
            binary_proba(rows[:, topic], sample.low_proba) if sample.is_binary else rows,
            weights,
            seed=seed,
            n_copies=n_copies,
            n_sets=n_sets,
            group=group,
        )
        for topic, sample in enumerate(samples)
    ]


def count_copies(rows: F64, weights: F64) -> F64:
    """Return the number of texts with the same probabilities as each row, shape (n_rows,).

    If rows are a sample, each other row counts with its weight.
    """
    _, numbers, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    n_others: F64 = (counts - 1)[numbers.ravel()] * weights
    return 1 + n_others


def topic_shares(estimates: Sequence[ShareEstimate]) -> F64:
    """Return the share of each model topic, from one estimate or from binary ones."""
    return np.concatenate([each.shares[: each.sample.n_model_topics] for each in estimates])


def topic_intervals(estimates: Sequence[ShareEstimate]) -> list[Interval]:
    """Return the interval of each model topic; see `topic_shares`."""
    return [
        interval
        for each in estimates
        for interval in each.intervals()[: each.sample.n_model_topics]
    ]


# Simulation ---------------------------------------------------------------------------------------


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
