"""Estimates shares of topics from daily sums."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.counting.estimation import unseen_errors
from slugline.counting.shares import HeldoutSample, binary_proba, estimate_shares, heldout_samples
from slugline.counting.simulation import SimulatedErrors, share_intervals, simulate_errors
from slugline.evaluation.intervals import Interval, wilson
from slugline.model.fitted import Fitted
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import DaySums

# Numbers of texts for which errors are simulated: their variance is one part that doesn't depend on
# the number, and one in inverse proportion to it.
_FEW_TEXTS, _MANY_TEXTS = 50, 5000


class Share(NamedTuple):
    """A share of the texts, with its 95 % interval."""

    value: float
    interval: Interval


class ShareEstimator:
    """Estimates shares of topics from daily sums, as `slugline count` does from texts.

    Without held-out predictions, shares are mean probabilities.

    Parameters
    ----------
    fitted : Fitted
    """

    def __init__(self, fitted: Fitted) -> None:
        heldout = fitted.heldout_predictions
        self._n_topics = len(fitted.topics)
        self._samples: list[HeldoutSample] = []
        if heldout is not None and heldout.n_documents:
            self._samples = heldout_samples(
                heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents
            )
        self.is_corrected = bool(self._samples)
        #: Whether the shares of all topics are estimated together.
        self.is_joint = not fitted.multilabel or not self.is_corrected
        self._simulate = functools.cache(self._simulate_errors)

    def shares(self, sums: DaySums | None, topics: Sequence[int] | None = None) -> dict[int, Share]:
        """Return the shares of some topics, by default of all; empty without texts."""
        if sums is None or not sums.n_texts:
            return {}
        topics = range(self._n_topics) if topics is None else topics
        if not self.is_corrected:
            means = np.clip(sums.sums / sums.n_texts, 0, 1).tolist()
            return {
                t: Share(means[t], wilson(means[t] * sums.n_texts, sums.n_texts)) for t in topics
            }
        if self.is_joint:
            values, intervals = self._estimate(0, *sums.rows())
            return {topic: Share(values[topic], intervals[topic]) for topic in topics}
        shares = {}
        for topic in topics:
            rows, weights = sums.rows(topic)
            proba = binary_proba(rows[:, 0], self._samples[topic].low_proba)
            values, intervals = self._estimate(topic, proba, weights)
            shares[topic] = Share(values[0], intervals[0])
        return shares

    def _estimate(self, number: int, rows: F64, weights: F64) -> tuple[list[float], list[Interval]]:
        """Return the shares of the topics of a sample, and their intervals."""
        sample = self._samples[number]
        shares = estimate_shares(sample, rows, weights[:, np.newaxis])[:, 0]
        few, many = (errors.standard_errors(shares) ** 2 for errors in self._simulate(number))
        by_texts = np.maximum(few - many, 0) / (1 / _FEW_TEXTS - 1 / _MANY_TEXTS)
        constant = np.maximum(many - by_texts / _MANY_TEXTS, 0)
        simulated = np.sqrt(constant + by_texts / max(weights.sum(), 1.0))
        errors = np.hypot(simulated, unseen_errors(sample, shares))
        return shares.tolist(), share_intervals(shares, errors)

    def _simulate_errors(self, number: int) -> tuple[SimulatedErrors, SimulatedErrors]:
        """Return simulated errors for few and for many texts."""
        sample = self._samples[number]
        few, many = (
            simulate_errors(sample, sample.training_shares, n, seed=0)
            for n in (_FEW_TEXTS, _MANY_TEXTS)
        )
        return few, many


# Versions of models that are no longer served drop out.
_estimators = weakref.WeakKeyDictionary[ServedModel, ShareEstimator]()


def estimator_of(model: ServedModel) -> ShareEstimator:
    """Return the estimator of a model, which is cached as long as the model is served."""
    estimator = _estimators.get(model)
    if estimator is None:
        estimator = _estimators[model] = ShareEstimator(model.fitted)
    return estimator
