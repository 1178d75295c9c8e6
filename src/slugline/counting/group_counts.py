"""Counts of a group of texts: by the model, or by labels where there are enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64
from slugline.base.wording import counted
from slugline.counting.estimation import ShareEstimate, topic_intervals, topic_shares
from slugline.counting.label_plan import PlannedGroup, plan_labels
from slugline.counting.labelled import (
    MIN_LABELLED,
    LabelledSample,
    MatchedLabels,
    estimate_labelled_share,
    explained_variance,
    uses_model,
)
from slugline.counting.model_concerns import ModelConcerns, ModelCount
from slugline.counting.results import GroupCount, LabelPlan, TopicCount
from slugline.counting.rows import SampledRows
from slugline.counting.shares import HeldoutSample
from slugline.errors import DataError
from slugline.model.fitted import Fitted


class CountedTexts(NamedTuple):
    """Sums over the texts of a group.

    Attributes
    ----------
    n_texts : int
    sums : float64 array, shape (n_topics,)
        Sums of probabilities.
    n_answers : int64 array, shape (n_topics,)
        How many of them the model would give each topic.
    """

    n_texts: int
    sums: F64
    n_answers: I64

    @classmethod
    def from_rows(cls, rows: SampledRows, *, multilabel: bool) -> CountedTexts:
        """Return the sums of all texts from which rows were sampled."""
        return cls(len(rows), rows.sums, rows.n_likely if multilabel else rows.n_answers)


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
        self._fitted, self._samples = fitted, samples
        self._sample, self._labels = sample, labels
        self._topics = [str(topic) for topic in fitted.topics.names]
        # Those of all labels: without any label in a group, they may still have some of its texts.
        self._new_topics = labels.new_topics(self._topics)

    def check_labels(self) -> None:
        """Raise DataError if there are too few labels, and the model has no held-out documents."""
        n_labelled = len(self._labels)
        if not self._samples and n_labelled < MIN_LABELLED:
            raise DataError(
                f"{counted(n_labelled, 'text')} {'has' if n_labelled == 1 else 'have'}"
                " a label, and the model has no held-out answers to count without; label at least "
                f"{MIN_LABELLED}."
            )

    def count(
        self, name: str, texts: CountedTexts, estimates: Sequence[ShareEstimate]
    ) -> GroupCount:
        """Return the counts of a group.

        Parameters
        ----------
        name : str
            Empty for all texts.
        texts : CountedTexts
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
            answers = zip(self._topics, texts.n_answers.tolist(), strict=True)
            counts = (TopicCount.unknown(topic, texts.n_texts, n) for topic, n in answers)
        return GroupCount(name, texts.n_texts, tuple(counts))

    def _explained_variance(self, estimates: Sequence[ShareEstimate]) -> F64:
        """Return how much of the variance of each topic the model explains, shape (n_topics,)."""
        if not estimates or (self._sample is not None and self._sample.is_training_data):
            return np.zeros(len(self._topics))
        return np.concatenate(
            [
                explained_variance(sample, estimate.shares)[: sample.n_model_topics]
                for sample, estimate in zip(self._samples, estimates, strict=True)
            ]
        )

    def model_concerns(
        self, total: ModelCount, groups: Mapping[str, ModelCount], counts: Sequence[GroupCount]
    ) -> ModelConcerns:
        """Return reasons why counts by the model may be wrong.

        Parameters
        ----------
        total : ModelCount
            Of all texts.
        groups : mapping of str to ModelCount
        counts : sequence of GroupCount
            The counts of these groups. Those by labels have none of the reasons.
        """
        heldout = self._fitted.heldout_predictions
        return ModelConcerns(
            self._samples,
            self._topics,
            None if heldout is None else heldout.words,
            multilabel=self._fitted.multilabel,
            total=total if len(self._labels) < MIN_LABELLED else None,
            groups={group.name: groups[group.name] for group in counts if group.is_by_model},
        )

    def plan_labels(
        self,
        margin: float,
        total: GroupCount,
        groups: Sequence[GroupCount],
        estimates: Sequence[Sequence[ShareEstimate]],
        *,
        column: str,
    ) -> LabelPlan:
        """Return how many texts to label so that no interval is wider than twice a margin.

        Parameters
        ----------
        margin : float
        total : GroupCount
            Of all texts, with the topics whose shares are to be known; its name is empty.
        groups : sequence of GroupCount
        estimates : sequence of sequences of ShareEstimate
            Those by the model of all texts, then of each group; see `count`.
        column : str
            What these are groups of.
        """
        planned = []
        for group, of_group in zip((total, *groups), estimates, strict=True):
            explained = self._explained_variance(of_group).tolist()
            by_topic = dict(zip(self._topics, explained, strict=True))
            planned.append(PlannedGroup.from_count(group, total, by_topic))
        return plan_labels(
            planned[0],
            [topic.topic for topic in total.topics],
            margin,
            groups=planned[1:],
            column=column,
            n_labelled=len(self._labels),
        )

    def _count_by_model(
        self, texts: CountedTexts, estimates: Sequence[ShareEstimate]
    ) -> Iterator[TopicCount]:
        values = zip(
            self._topics,
            topic_shares(estimates).tolist(),
            topic_intervals(estimates),
            texts.n_answers.tolist(),
            strict=True,
        )
        for topic, share, interval, n_answers in values:
            yield TopicCount(topic, share, interval, texts.n_texts, n_answers)

    def _count_labelled(
        self, labels: MatchedLabels, texts: CountedTexts, estimates: Sequence[ShareEstimate]
    ) -> Iterator[TopicCount]:
        """Yield the counts of the model's topics, and of others that labels have."""
        explained = self._explained_variance(estimates).tolist()
        n_texts, n_answers = texts.n_texts, texts.n_answers.tolist()
        for i, topic in enumerate([*self._topics, *self._new_topics]):
            is_known = i < len(self._topics)
            is_used = is_known and uses_model(explained[i])
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
                n_answers[i] if is_known else None,
                estimate.method,
                len(labels),
            )
