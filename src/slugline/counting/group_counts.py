"""Counts of groups of texts: from labels if there are enough, else by the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from slugline.base.arrays import F64
from slugline.base.wording import counted
from slugline.counting.changes import find_changes
from slugline.counting.concerns import (
    CountedTexts,
    few_label_concerns,
    find_unknown,
    heldout_concerns,
    labelled_concerns,
    model_concerns,
)
from slugline.counting.dates import Period
from slugline.counting.estimation import topic_intervals, topic_shares
from slugline.counting.labelled import (
    MIN_LABELLED,
    LabelledSample,
    MatchedLabels,
    estimate_labelled_share,
    explained_variance,
)
from slugline.counting.results import Counts, GroupCount, LabelPlan, TopicCount
from slugline.counting.shares import HeldoutSample
from slugline.errors import DataError
from slugline.evaluation.intervals import Z_95
from slugline.model.fitted import Fitted

# Largest margin of error that needs no more labels: a quarter of a share of 10 %.
_WIDE = 0.025


class GroupCounter:
    """Counts groups of texts.

    Parameters
    ----------
    fitted : Fitted
    samples : sequence of HeldoutSample
        See `heldout_samples`; empty if the model has no held-out documents.
    sample : LabelledSample, optional
    labels : MatchedLabels
        Labels of the counted texts.
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
        # From all labels, because a group without labels may contain texts with these topics.
        self._new_topics = labels.new_topics(self._topics)

    def _check_labels(self) -> None:
        """Raise DataError if there are too few labels and the model has no held-out documents."""
        n_labelled = len(self._labels)
        if not self._samples and n_labelled < MIN_LABELLED:
            raise DataError(
                f"only {counted(n_labelled, 'text')} {'has' if n_labelled == 1 else 'have'}"
                " a label, and the model can't count without labels because it has no held-out "
                f"predictions; label at least {MIN_LABELLED}."
            )

    def count_groups(
        self,
        name: str,
        total: CountedTexts,
        groups: Mapping[str, CountedTexts],
        *,
        column: str | None = None,
        period: Period | None = None,
        topics: Sequence[str] = (),
    ) -> Counts:
        """Return the counts of all texts and of each group.

        Parameters
        ----------
        name : str
            Name of the source.
        total : CountedTexts
            At least one text.
        groups : mapping of str to CountedTexts
            In order.
        column : str, optional
            Grouping column.
        period : Period, optional
            If the groups are periods.
        topics : sequence of str, optional
            Topics to show; by default, all.

        Raises
        ------
        DataError : if there are too few labels and the model has no held-out documents.
        OptionError : if a topic to show is unknown.
        """
        self._check_labels()
        counts = Counts(
            name=name,
            total=self.count("", total),
            groups=tuple(self.count(name, texts) for name, texts in groups.items()),
            column=period or column,
            is_time=period is not None,
            n_labelled=len(self._labels),
            multilabel=self._fitted.multilabel,
        )
        by_model = {group.name: groups[group.name] for group in counts.groups if group.is_by_model}
        unknown = find_unknown(by_model)
        tested = [
            group for group in counts.groups if group.is_estimated and group.name not in unknown
        ]
        changes = find_changes(
            tested,
            [groups[group.name].estimates for group in tested],
            is_time=counts.is_time,
            has_labels=self._sample is not None,
        )
        counts = replace(counts, changes=tuple(changes)).restrict(topics)
        return replace(
            counts,
            concerns=tuple(self._concerns(counts, total, by_model, topics)),
            plan=self._plan_labels(counts, total, groups),
        )

    def _concerns(
        self,
        counts: Counts,
        total: CountedTexts,
        by_model: Mapping[str, CountedTexts],
        topics: Sequence[str],
    ) -> Iterator[str]:
        """Yield warnings about the texts and labels; `by_model` are groups without labels."""
        period = counts.column if counts.is_time else None
        heldout = self._fitted.heldout_predictions
        usual = None if heldout is None else heldout.words
        is_total_by_model = len(self._labels) < MIN_LABELLED
        yield from model_concerns(usual, total if is_total_by_model else None, by_model)
        if self._samples and (is_total_by_model or by_model):
            yield from heldout_concerns(self._samples, self._topics, topics)
        if self._sample is not None:
            mean_proba = total.sums / counts.n_texts
            yield from labelled_concerns(
                self._sample, self._labels, mean_proba, self._topics, topics
            )
            yield from few_label_concerns(counts.groups, period)

    def count(self, name: str, texts: CountedTexts) -> GroupCount:
        """Return the counts of a group, or of all texts if `name` is empty.

        If the model has no held-out documents, groups with few labels get no estimates.
        """
        labels = self._labels.take(self._labels.groups == name) if name else self._labels
        if len(labels) >= MIN_LABELLED:
            counts = self._count_labelled(labels, texts)
        elif texts.estimates:
            counts = self._count_by_model(texts)
        else:
            answers = zip(self._topics, texts.n_answers.tolist(), strict=True)
            counts = (TopicCount.unknown(topic, texts.n_texts, n) for topic, n in answers)
        return GroupCount(name, texts.n_texts, tuple(counts))

    def _explained_variance(self, texts: CountedTexts) -> F64:
        """Return the fraction of each topic's variance that the model explains, (n_topics,)."""
        if not texts.estimates or (self._sample is not None and self._sample.is_training_data):
            return np.zeros(len(self._topics))
        return np.concatenate(
            [
                explained_variance(sample, estimate.shares)[: sample.n_model_topics]
                for sample, estimate in zip(self._samples, texts.estimates, strict=True)
            ]
        )

    def _plan_labels(
        self, counts: Counts, total: CountedTexts, groups: Mapping[str, CountedTexts]
    ) -> LabelPlan | None:
        """Return a plan to halve the widest interval, or None if the intervals are narrow.

        Wide intervals of groups don't matter if a change between groups is significant.
        """
        widest_group = max((group.widest_margin for group in counts.groups), default=0.0)
        widest = counts.total.widest_margin
        if widest <= _WIDE and (counts.significant_changes or widest_group <= _WIDE):
            return None
        by_group = (
            self._count_labels(group, groups[group.name], widest_group / 2)
            for group in counts.groups
        )
        return LabelPlan(
            n_texts=self._count_labels(counts.total, total, widest / 2),
            n_labelled=counts.n_labelled,
            n_by_group=max(by_group, default=0),
            column=counts.column if counts.is_time and counts.column else "group",
        )

    def _count_labels(self, group: GroupCount, texts: CountedTexts, margin: float) -> int:
        """Return the number of random texts to label for margins of error up to `margin`."""
        explained = dict(zip(self._topics, self._explained_variance(texts), strict=True))
        variances = [
            topic.share * (1 - topic.share) * (1 - explained.get(topic.topic, 0.0))
            for topic in group.topics
            if topic.is_estimated
        ]
        if not variances:
            return 0
        n = max(variances) * (Z_95 / max(margin, 1e-9)) ** 2
        n /= 1 + n / group.n_texts  # finite population correction
        return min(max(math.ceil(n), MIN_LABELLED), group.n_texts)

    def _count_by_model(self, texts: CountedTexts) -> Iterator[TopicCount]:
        values = zip(
            self._topics,
            topic_shares(texts.estimates).tolist(),
            topic_intervals(texts.estimates),
            texts.n_answers.tolist(),
            strict=True,
        )
        for topic, share, interval, n_answers in values:
            yield TopicCount(topic, share, interval, texts.n_texts, n_answers)

    def _count_labelled(self, labels: MatchedLabels, texts: CountedTexts) -> Iterator[TopicCount]:
        """Yield the counts of the model's topics and of new topics in the labels."""
        explained = self._explained_variance(texts).tolist()
        n_texts, n_answers = texts.n_texts, texts.n_answers.tolist()
        for i, topic in enumerate([*self._topics, *self._new_topics]):
            is_known = i < len(self._topics)
            is_used = is_known and explained[i] > 0
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
