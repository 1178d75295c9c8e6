"""Estimated topic shares in a group of texts, with their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from slugline.base.arrays import F64
from slugline.base.threads import limit_blas
from slugline.counting.samples import SampledRows
from slugline.counting.shares import (
    HeldoutSample,
    binary_proba,
    correct_proba,
    estimate_shares,
    implied_shares,
)
from slugline.counting.simulation import (
    N_SIMULATED,
    SimulatedErrors,
    share_intervals,
    simulate_errors,
)
from slugline.evaluation.intervals import Interval

# Minimum number of simulated sets, maximum number of shares in all of them, and the number of
# topics in one estimate that take as long as one binary estimate.
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
        return share_intervals(self.shares, self.standard_errors)


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
    samples: Sequence[HeldoutSample], texts: SampledRows, *, seed: int, group: int = 0
) -> list[ShareEstimate]:
    """Return the estimate of a single-label model, or one per topic of a multi-label model.

    See `simulate_errors` for `group`.
    """
    rows, weights = texts.rows()
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
