"""Counts of a group of texts: by the model, or by labels where there are enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from slugline.base.arrays import F64
from slugline.counting.estimation import ShareEstimate, first_intervals, first_shares
from slugline.counting.labelled import (
    MIN_LABELLED,
    LabelledSample,
    MatchedLabels,
    estimate_labelled_share,
    explained_variance,
    uses_model,
)
from slugline.counting.results import GroupCount, TopicCount
from slugline.counting.rows import SampledRows
from slugline.counting.shares import HeldoutSample
from slugline.model.fitted import Fitted


class GroupCounter:
    """Makes the counts of groups of texts.

    Parameters
    ----------
    fitted : Fitted
    samples : sequence of HeldoutSample
        See `heldout_samples`; empty if the model has no held-out documents.
    sample : LabelledSample, optional
    labels : MatchedLabels
        The labels of texts that are counted.
    """

    def __init__(
        self,
        fitted: Fitted,
        samples: Sequence[HeldoutSample],
        sample: LabelledSample | None,
        labels: MatchedLabels,
    ) -> None:
        self._samples, self._sample, self._labels = samples, sample, labels
        self._topics = [str(topic) for topic in fitted.topics.names]
        self._multilabel = fitted.multilabel

    def count(
        self, name: str, texts: SampledRows, estimates: Sequence[ShareEstimate]
    ) -> GroupCount:
        """Return the counts of a group.

        Parameters
        ----------
        name : str
            Empty for all texts.
        texts : SampledRows
        estimates : sequence of ShareEstimate
            Those by the model, if it has held-out documents. Without, a group with few labels has
            no estimates.
        """
        labels = self._labels.take(self._labels.groups == name) if name else self._labels
        if len(labels) >= MIN_LABELLED:
            counts = self._count_labelled(labels, texts, estimates)
        elif estimates:
            counts = self._count_by_model(texts, estimates)
        else:
            answers = zip(self._topics, self._count_answers(texts), strict=True)
            counts = (TopicCount.unknown(topic, len(texts), n) for topic, n in answers)
        return GroupCount(name, len(texts), tuple(counts))

    def explained_variance(self, estimates: Sequence[ShareEstimate]) -> F64:
        """Return how much of the variance of each topic the model explains, shape (n_topics,)."""
        if not estimates or (self._sample is not None and self._sample.is_training_data):
            return np.zeros(len(self._topics))
        parts = [
            explained_variance(heldout, estimate.shares)
            for heldout, estimate in zip(self._samples, estimates, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.array([part[0] for part in parts])

    def _count_by_model(
        self, texts: SampledRows, estimates: Sequence[ShareEstimate]
    ) -> Iterator[TopicCount]:
        values = zip(
            self._topics,
            first_shares(estimates).tolist(),
            first_intervals(estimates),
            self._count_answers(texts),
            strict=True,
        )
        for topic, share, interval, n_answers in values:
            yield TopicCount(topic, share, interval, len(texts), n_answers)

    def _count_labelled(
        self, labels: MatchedLabels, texts: SampledRows, estimates: Sequence[ShareEstimate]
    ) -> Iterator[TopicCount]:
        """Yield the counts of the model's topics, and of others that labels have."""
        explained = self.explained_variance(estimates).tolist()
        n_texts, n_answers = len(texts), self._count_answers(texts)
        new = labels.new_topics(self._topics)
        for i, topic in enumerate([*self._topics, *new]):
            is_used = topic not in new and uses_model(explained[i])
            estimate = estimate_labelled_share(
                labels.has_topic(topic),
                labels.weights,
                n_texts,
                proba=labels.proba[:, i].astype(np.float64) if is_used else None,
                mean_proba=texts.sums[i] / n_texts if is_used else 0.0,
            )
            yield TopicCount(
                topic,
                estimate.share,
                estimate.interval,
                n_texts,
                None if topic in new else n_answers[i],
                estimate.method,
            )

    def _count_answers(self, texts: SampledRows) -> list[int]:
        """Return how many texts a model of one topic, or of several, would give each topic."""
        counts = texts.n_likely if self._multilabel else texts.n_answers
        return [int(n) for n in counts]
