"""Counts of a group of texts: from labels if there are enough, else by the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64
from slugline.base.wording import counted
from slugline.counting.changes import find_changes
from slugline.counting.concerns import ModelConcerns, ModelCount
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
from slugline.counting.results import Counts, GroupCount, LabelPlan, TopicCount
from slugline.counting.samples import SampledRows
from slugline.counting.shares import HeldoutSample
from slugline.errors import DataError
from slugline.model.fitted import Fitted


class CountedTexts(NamedTuple):
    """Data for counting a group of texts.

    Attributes
    ----------
    n_texts : int
    sums : float64 array, shape (n_topics,)
        Sums of probabilities.
    n_answers : int64 array, shape (n_topics,)
        Number of texts that the model assigns to each topic.
    by_model : ModelCount
        Its estimates are empty if the model has no held-out documents.
    """

    n_texts: int
    sums: F64
    n_answers: I64
    by_model: ModelCount = ModelCount()

    @classmethod
    def from_rows(
        cls, rows: SampledRows, by_model: ModelCount, *, multilabel: bool
    ) -> CountedTexts:
        """Return the data for all texts that the rows were sampled from."""
        n_answers = rows.n_likely if multilabel else rows.n_answers
        return cls(len(rows), rows.sums, n_answers, by_model)


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
                f"answers; label at least {MIN_LABELLED}."
            )

    def count_groups(
        self,
        name: str,
        total: CountedTexts,
        groups: Mapping[str, CountedTexts],
        *,
        column: str | None,
        is_time: bool,
        topics: Sequence[str],
    ) -> Counts:
        """Return the counts of all texts and of each group, for all topics.

        Parameters
        ----------
        name : str
            Name of the source.
        total : CountedTexts
        groups : mapping of str to CountedTexts
            In order.
        column : str or None
            Grouping column, or the name of the period.
        is_time : bool
            True if the groups are periods.
        topics : sequence of str
            Topics that the plan and the warnings cover; empty for all.

        Returns
        -------
        Counts
            Its `concerns` contain only warnings about model-based counts.

        Raises
        ------
        DataError : if there are too few labels and the model has no held-out documents.
        """
        self._check_labels()
        all_texts = self.count("", total)
        counts = tuple(self.count(name, texts) for name, texts in groups.items())
        concerns = self._model_concerns(total, groups, counts, topics)
        tested = concerns.choose_tested(counts)
        changes = find_changes(
            tested,
            [groups[group.name].by_model.estimates for group in tested],
            is_time=is_time,
            has_labels=self._sample is not None,
        )
        counted_texts = Counts(
            name=name,
            total=all_texts,
            groups=counts,
            column=column,
            is_time=is_time,
            changes=tuple(changes),
            concerns=tuple(concerns),
            n_labelled=len(self._labels),
            multilabel=self._fitted.multilabel,
        )
        plan = self._plan_labels(counted_texts.restrict(topics), total, groups)
        return replace(counted_texts, plan=plan)

    def count(self, name: str, texts: CountedTexts) -> GroupCount:
        """Return the counts of a group, or of all texts if `name` is empty.

        If the model has no held-out documents, groups with few labels get no estimates.
        """
        labels = self._labels.take(self._labels.groups == name) if name else self._labels
        if len(labels) >= MIN_LABELLED:
            counts = self._count_labelled(labels, texts)
        elif texts.by_model.estimates:
            counts = self._count_by_model(texts)
        else:
            answers = zip(self._topics, texts.n_answers.tolist(), strict=True)
            counts = (TopicCount.unknown(topic, texts.n_texts, n) for topic, n in answers)
        return GroupCount(name, texts.n_texts, tuple(counts))

    def _explained_variance(self, estimates: Sequence[ShareEstimate]) -> F64:
        """Return the fraction of each topic's variance that the model explains, (n_topics,)."""
        if not estimates or (self._sample is not None and self._sample.is_training_data):
            return np.zeros(len(self._topics))
        return np.concatenate(
            [
                explained_variance(sample, estimate.shares)[: sample.n_model_topics]
                for sample, estimate in zip(self._samples, estimates, strict=True)
            ]
        )

    def _model_concerns(
        self,
        total: CountedTexts,
        groups: Mapping[str, CountedTexts],
        counts: Sequence[GroupCount],
        shown: Sequence[str],
    ) -> ModelConcerns:
        """Return the warnings about model-based counts."""
        heldout = self._fitted.heldout_predictions
        return ModelConcerns(
            self._samples,
            self._topics,
            None if heldout is None else heldout.words,
            total=total.by_model if len(self._labels) < MIN_LABELLED else None,
            groups={
                group.name: groups[group.name].by_model for group in counts if group.is_by_model
            },
            shown=shown,
        )

    def _plan_labels(
        self, counts: Counts, total: CountedTexts, groups: Mapping[str, CountedTexts]
    ) -> LabelPlan | None:
        """Return a plan to halve the widest interval, or None if the intervals are narrow."""
        planned = []
        for group in (counts.total, *counts.groups):
            estimates = (groups[group.name] if group.name else total).by_model.estimates
            explained = self._explained_variance(estimates).tolist()
            by_topic = dict(zip(self._topics, explained, strict=True))
            planned.append(PlannedGroup.from_count(group, by_topic))
        return plan_labels(
            planned[0],
            planned[1:],
            has_changes=bool(counts.significant_changes),
            column=counts.column if counts.is_time and counts.column else "group",
            n_labelled=counts.n_labelled,
        )

    def _count_by_model(self, texts: CountedTexts) -> Iterator[TopicCount]:
        values = zip(
            self._topics,
            topic_shares(texts.by_model.estimates).tolist(),
            topic_intervals(texts.by_model.estimates),
            texts.n_answers.tolist(),
            strict=True,
        )
        for topic, share, interval, n_answers in values:
            yield TopicCount(topic, share, interval, texts.n_texts, n_answers)

    def _count_labelled(self, labels: MatchedLabels, texts: CountedTexts) -> Iterator[TopicCount]:
        """Yield the counts of the model's topics and of new topics in the labels."""
        explained = self._explained_variance(texts.by_model.estimates).tolist()
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
