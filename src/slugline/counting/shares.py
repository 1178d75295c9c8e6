"""Topic shares in texts, from probabilities of a model trained with different shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from slugline.base.arrays import F64, Floats, Index
from slugline.model.heldout import HeldOutPredictions

#: Multi-label models assign the topics with at least this probability.
LIKELY = 0.5
# Pseudo-documents added to each topic, and to its held-out documents and their probabilities.
# Without them, a topic with one training document seems to explain every slightly odd text. Of 2, 4
# and 8, and of 5, 20 and 60, these gave the smallest mean error relative to counting answers on
# training splits of 13 sets: 400 texts, one model per set, no cross-validation.
_N_ADDED, _N_ADDED_HELDOUT = 8.0, 20.0
# In a multi-label model, probabilities below this show only that the topic is unlikely.
_LOW = 0.2
# In a multi-label model, the weight of expectation maximization grows with the topic's number of
# held-out documents: with `_N_HALF` of them, it is a quarter. The rest comes from counting answers,
# with `_N_ADDED_ANSWERS` correct pseudo-answers added to the held-out ones. These and `_LOW` were
# chosen on training splits of Reuters (800, 1,500 and 3,885 documents) and of TREC, AG News and
# Banking77 with joined texts, as drawn and with shifted shares. Candidates for `_LOW` were 0.05,
# 0.1, 0.2, 0.35 and 0.5; for `_N_HALF`, 20, 30, 60, 100 and 200; for `_N_ADDED_ANSWERS`, 2, 10, 30
# and 60. The mean error changes little near the chosen values. Without answers, it is 2.5 times
# the error of counting answers.
_N_HALF, _N_ADDED_ANSWERS = 100.0, 30.0
# Tolerance and maximum number of steps: iterations stop when no share changes by more.
_TOLERANCE, _MAX_STEPS = 3e-4, 40


@dataclass(frozen=True, eq=False)
class HeldoutSample:
    """Held-out probabilities of documents with one topic each, and training topic counts.

    Attributes
    ----------
    proba : float64 array, shape (n_documents, n_topics)
    topics : int array, shape (n_documents,)
        True topic of each document.
    topic_counts : float64 array, shape (n_topics,)
        Number of training documents of each topic.
    n_alternatives : int, optional
        Number of topics of the multi-label model, if this is the sample for one of its topics.
    low_proba : float, default 0
        Replacement for all low probabilities of the topic; see `binary_proba`.
    """

    proba: F64
    topics: Index
    topic_counts: F64
    n_alternatives: int | None = None
    low_proba: float = 0.0

    def __len__(self) -> int:
        return len(self.topics)

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.topic_counts)

    @property
    def is_binary(self) -> bool:
        """True if the classes are texts with and without one topic of a multi-label model."""
        return self.n_alternatives is not None

    @property
    def n_model_topics(self) -> int:
        """Number of topics, without the class of texts that lack the topic."""
        return 1 if self.is_binary else self.n_topics

    @property
    def equal_shares(self) -> F64:
        """Shares if all topics of the model were equally common, shape (n_topics,)."""
        if self.n_alternatives is None:
            return np.full(self.n_topics, 1 / self.n_topics)
        share = 1 / max(self.n_alternatives, 2)
        return np.array([share, 1 - share])

    @cached_property
    def is_topic(self) -> F64:
        """One-hot true topics, shape (n_documents, n_topics)."""
        return np.eye(self.n_topics)[self.topics]

    @cached_property
    def topic_sizes(self) -> F64:
        """Number of held-out documents of each topic, shape (n_topics,)."""
        return np.bincount(self.topics, minlength=self.n_topics).astype(np.float64)

    @property
    def em_weight(self) -> float:
        """Weight of expectation maximization in the shares; see `estimate_shares`."""
        if self.n_alternatives is None:
            return 1.0
        size = float(self.topic_sizes[0])
        return (size / (size + _N_HALF)) ** 2

    @cached_property
    def training_shares(self) -> F64:
        """Smoothed share of each topic in training, always positive; shape (n_topics,)."""
        counts = self.topic_counts + 1
        return counts / counts.sum()

    def take(self, documents: Index) -> HeldoutSample:
        """Return the sample with some of the documents."""
        return replace(self, proba=self.proba[documents], topics=self.topics[documents])


def heldout_samples(heldout: HeldOutPredictions, topic_counts: F64, n: int) -> list[HeldoutSample]:
    """Return the held-out documents as one sample, or one per topic of a multi-label model.

    A multi-label sample has two classes: documents with the topic, then documents without it.

    Parameters
    ----------
    heldout : HeldOutPredictions
    topic_counts : float64 array, shape (n_topics,)
    n : int
        Number of training documents.
    """
    proba, labels = heldout.dense_proba().astype(np.float64), heldout.labels
    if not labels.multilabel:
        return [HeldoutSample(proba, labels.topics, topic_counts)]
    is_topic = np.zeros(proba.shape, dtype=bool)
    is_topic[labels.rows, labels.topics] = True
    samples = []
    for topic, (column, mask) in enumerate(zip(proba.T, is_topic.T, strict=True)):
        low = column[column < _LOW]
        low_proba = float(low.mean()) if low.size else _LOW / 2
        samples.append(
            HeldoutSample(
                binary_proba(column, low_proba),
                np.where(mask, 0, 1),
                np.array([topic_counts[topic], n - topic_counts[topic]]),
                n_alternatives=proba.shape[1],
                low_proba=low_proba,
            )
        )
    return samples


def binary_proba(proba: F64, low_proba: float) -> F64:
    """Return the probabilities that texts have a topic and don't have it, as two columns.

    All low probabilities of a topic are replaced by their mean on held-out documents. They are not
    accurate to a thousandth: if most were a little higher than in training, a very rare topic
    would seem common.
    """
    clipped = np.clip(np.where(proba < _LOW, low_proba, proba), 1e-6, 1 - 1e-6)
    return np.stack([clipped, 1 - clipped], axis=1)


def implied_shares(
    sample: HeldoutSample, weights: F64 | None = None, topic_counts: F64 | None = None
) -> F64:
    """Return the shares that the model's probabilities imply, shape (n_topics, n_sets).

    These are the training shares times the ratio of each topic's mean held-out probability to its
    frequency among held-out documents.

    Parameters
    ----------
    sample : HeldoutSample
    weights : float64 array, shape (n_documents, n_sets), optional
        Number of times each document occurs in each set; by default, once in a single set.
    topic_counts : float64 array, shape (n_topics, n_sets), optional
        By default, the counts of `sample`.
    """
    weights = np.ones((len(sample), 1)) if weights is None else weights
    counts = sample.topic_counts[:, np.newaxis] if topic_counts is None else topic_counts
    sums = sample.proba.T @ weights + _N_ADDED_HELDOUT
    sizes = sample.is_topic.T @ weights + _N_ADDED_HELDOUT
    implied = (counts + _N_ADDED) * sums / sizes
    return implied / implied.sum(axis=0)


def estimate_shares(
    sample: HeldoutSample,
    proba: Floats,
    weights: Floats,
    *,
    heldout_weights: F64 | None = None,
    topic_counts: F64 | None = None,
    em_weight: float | None = None,
    n_copies: float = 1.0,
) -> F64:
    """Estimate the shares of topics in sets of texts, shape (n_topics, n_sets).

    Uses expectation maximization. In a multi-label model, it is averaged with the fraction of texts
    assigned to the topic, times the ratio of held-out documents that have the topic to held-out
    documents assigned to it: with few held-out documents of a topic, low probabilities, which most
    texts have, are unreliable.

    Parameters
    ----------
    sample : HeldoutSample
    proba : float array, shape (n_texts, n_topics)
    weights : float array, shape (n_texts, n_sets)
        Number of times each text occurs in each set; same dtype as `proba`.
    heldout_weights, topic_counts : float64 array, optional
        See `implied_shares`.
    em_weight : float, optional
        Weight of expectation maximization; by default, from `sample`.
    n_copies : float, default 1
        Mean number of copies of each text, including itself.
    """
    implied = implied_shares(sample, heldout_weights, topic_counts)
    chance = n_copies + weights.sum(axis=0) / max(len(sample), 1)
    shares = maximize_expectation(proba, weights, implied, sample.training_shares, chance)
    if sample.n_alternatives is None:
        return shares
    em_weight = sample.em_weight if em_weight is None else em_weight
    if heldout_weights is None:
        heldout_weights = np.ones((len(sample), 1))
    n_heldout_answers = (sample.proba[:, 0] >= LIKELY) @ heldout_weights + _N_ADDED_ANSWERS
    ratio = (sample.is_topic[:, 0] @ heldout_weights + _N_ADDED_ANSWERS) / n_heldout_answers
    n_texts = np.maximum(weights.sum(axis=0), 1e-9)
    share = np.clip((proba[:, 0] >= LIKELY) @ weights / n_texts * ratio, 0, 1)
    mixed: F64 = em_weight * shares + (1 - em_weight) * np.stack([share, 1 - share])
    return mixed


def maximize_expectation(
    proba: Floats, weights: Floats, implied: F64, training_shares: F64, chance: F64
) -> F64:
    """Estimate shares by expectation maximization and shrinkage, shape (n_topics, n_sets).

    Expectation maximization alternates two steps: correct the probabilities of each text for the
    current shares, and average the corrected probabilities. The result is then shrunk towards the
    training shares by the fraction of its gain in likelihood that chance explains (empirical
    Bayes). With few texts, or with topics that are hard to tell apart, this gives the mean of the
    model's own probabilities. The final shares average the probabilities corrected for the shrunk
    shares.

    Parameters
    ----------
    proba : float array, shape (n_texts, n_topics)
    weights : float array, shape (n_texts, n_sets)
        Number of times each text occurs in each set; same dtype as `proba`.
    implied : float64 array, shape (n_topics, n_sets) or (n_topics, 1)
        See `implied_shares`.
    training_shares : float64 array, shape (n_topics,)
    chance : float64 array, shape (n_sets,)
        Variance of mean probabilities, relative to the variance from sampling distinct texts. The
        sampling of held-out documents adds to it through `implied`.

    References
    ----------
    Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori
    probabilities. Efron and Morris (1973), Stein's estimation rule and its competitors.
    """
    training = np.repeat(training_shares[:, np.newaxis], weights.shape[1], axis=1)
    shares = training
    for _ in range(_MAX_STEPS):
        new = _mean_corrected(proba, weights, shares / implied)
        change = np.abs(new - shares).max(initial=0)
        shares = new
        if change < _TOLERANCE:
            break
    gains = _log_likelihoods(proba, weights, shares / implied)
    gains -= _log_likelihoods(proba, weights, training / implied)
    # If the true shares equal the training shares, twice the gain of distinct texts is
    # chi-squared, with the number of free shares as its mean.
    by_chance = (len(training_shares) - 1) / 2 * chance
    fraction = np.minimum(1, by_chance / np.maximum(gains, 1e-9))
    shares = fraction * training + (1 - fraction) * shares
    return _mean_corrected(proba, weights, shares / implied)


def _mean_corrected(proba: Floats, weights: Floats, ratios: F64) -> F64:
    """Return each set's mean probabilities, corrected by a factor per topic."""
    factors = ratios.astype(proba.dtype)
    scaled = weights / np.maximum(proba @ factors, 1e-30)
    mean: F64 = factors * (proba.T @ scaled) / np.maximum(weights.sum(axis=0), 1e-9)
    return mean


def _log_likelihoods(proba: Floats, weights: Floats, ratios: F64) -> F64:
    """Return the log likelihood of each set of texts, up to a constant, shape (n_sets,)."""
    totals = np.maximum(proba @ ratios.astype(proba.dtype), 1e-30)
    sums: F64 = (weights * np.log(totals)).sum(axis=0, dtype=np.float64)
    return sums


def correct_proba(proba: F64, shares: F64, implied: F64) -> F64:
    """Return probabilities corrected for given shares of the topics.

    Parameters
    ----------
    proba : float64 array, shape (n_texts, n_topics)
    shares, implied : float64 array, shape (n_topics,)
    """
    corrected = proba * (shares / implied)
    corrected /= corrected.sum(axis=1, keepdims=True)
    return corrected
