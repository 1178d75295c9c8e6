"""Counting the topics of texts and of groups of them, in one pass and bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from slugline.base.arrays import F64
from slugline.base.files import PathLike
from slugline.base.progress import SILENT, Progress
from slugline.base.wording import counted
from slugline.corpus.label_database.tables import FORMAT
from slugline.corpus.readers import RowReader, is_database
from slugline.corpus.rows import BadRow, SourceRow
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
from slugline.counting.drift import find_drift
from slugline.counting.estimation import (
    ShareEstimate,
    estimate_texts,
    topic_intervals,
    topic_shares,
)
from slugline.counting.groups import sort_groups
from slugline.counting.labelled import (
    MIN_LABELLED,
    LabelledSample,
    MatchedLabels,
    estimate_labelled_share,
    explained_variance,
    text_key,
)
from slugline.counting.results import (
    Counts,
    GroupCount,
    LabelPlan,
    TopicCount,
    check_topics,
    describe_ignored,
)
from slugline.counting.shares import HeldoutSample, heldout_samples
from slugline.counting.tally import AnsweredBatch, CountOptions, GroupTally, Tally
from slugline.errors import DataError, Message, Parameter
from slugline.evaluation.intervals import Z_95
from slugline.model.fitted import Fitted
from slugline.prediction.rows import Columns, PredictOptions, batch_texts, map_batches

# Largest margin of error that needs no more labels: a quarter of a share of 10 %.
_WIDE = 0.025


def count_rows(
    fitted: Fitted,
    rows: RowReader,
    options: CountOptions | None = None,
    progress: Progress = SILENT,
) -> Counts:
    """Count the texts of each topic in a file.

    Parameters
    ----------
    fitted : Fitted
    rows : RowReader
    options : CountOptions, optional
    progress : Progress, optional
        Also receives notes on which columns are read.

    Raises
    ------
    DataError : if the model has no held-out predictions, there are no texts, or the columns are
        ambiguous.
    """
    options = options or CountOptions()

    def announce(note: str) -> None:
        progress.note(Message(f"{rows.name}: ", note))

    if rows.note:
        announce(rows.note)
    samples = model_samples(fitted)
    tally = Tally(fitted, options, announce)
    labelled_texts = options.labelled.labels.keys() if options.labelled else ()

    def count_batch(
        batch: list[SourceRow | BadRow], *, columns: Columns, missing: BadRow
    ) -> AnsweredBatch:
        cells = batch_texts(batch, columns, missing)
        usable = [row for row, text in zip(batch, cells, strict=True) if isinstance(text, str)]
        texts = [text for text in cells if isinstance(text, str)]
        proba, words = fitted.predict_with_words(texts)
        keys = map(text_key, texts) if labelled_texts else ()
        return AnsweredBatch(
            rows=usable,
            texts=texts,
            labelled=[(i, key) for i, key in enumerate(keys) if key in labelled_texts],
            n_bad=len(batch) - len(usable),
            problem=next((row.problem for row in batch if isinstance(row, BadRow)), ""),
            proba=proba,
            words=words,
        )

    predict_options = PredictOptions(text=options.text, n_threads=options.n_threads)
    n_rows = 0
    batches = map_batches(
        count_batch, fitted, rows, predict_options, announce=announce, has_ids=False
    )
    with closing(rows), closing(batches):
        for batch in batches:
            tally.add(batch)
            n_rows += len(batch.rows) + batch.n_bad
            progress.update("counting", rows.fraction_read(), counted(n_rows, rows.unit))
    tally.check_dates()
    if not len(tally.total):
        ignored = describe_ignored(tally.n_bad, tally.n_undated)
        found = f", but {ignored}" if ignored else ""
        if tally.first_problem:
            found += f" (one has {tally.first_problem})"
        raise DataError(f"{rows.name} contains no texts to count{found}.")
    if options.labelled is not None and not tally.labelled:
        raise DataError(
            f"none of the {counted(len(options.labelled), 'labelled text')} of "
            f"{options.labelled.name} is in {rows.name}: label a random sample of the texts to "
            "count. Texts must match exactly, except for whitespace."
        )
    labels = MatchedLabels.from_texts(options.labelled, tally.labelled, len(fitted.topics))
    grouping = tally.grouping
    period = None if grouping is None else grouping.period
    names = sort_groups(tally.groups) if period is None else sorted(tally.groups)
    total, *others = _estimate_groups(
        fitted,
        samples,
        [tally.total, *(tally.groups[name] for name in names)],
        options.seed,
        progress,
    )
    counts = GroupCounter(fitted, samples, options.labelled, labels).count_groups(
        rows.name,
        total,
        dict(zip(names, others, strict=True)),
        column=None if grouping is None else grouping.column,
        period=period,
        topics=options.topics,
    )
    return replace(counts, n_bad=tally.n_bad, n_undated=tally.n_undated)


def _estimate_groups(
    fitted: Fitted,
    samples: Sequence[HeldoutSample],
    groups: Sequence[GroupTally],
    seed: int,
    progress: Progress,
) -> Iterator[CountedTexts]:
    """Yield each group's texts, with estimates if the model has held-out predictions."""
    for number, group in enumerate(groups):
        estimates: Sequence[ShareEstimate] = []
        if samples:
            estimates = estimate_texts(samples, *group.rows(), seed=seed, group=number)
        yield CountedTexts(
            group.sums,
            group.n_likely if fitted.multilabel else group.n_answers,
            group.totals,
            estimates,
            find_drift(fitted.text_profile, group.texts(), estimates),
        )
        progress.update("computing intervals", (number + 1) / len(groups))


def check_no_foreign_database(file: PathLike) -> None:
    """Raise DataError for a SQLite file of another program."""
    path = Path(file)
    if is_database(path) and not FORMAT.is_of(path):
        raise DataError(
            f"{file}: the database contains neither labels from `slugline label` nor daily "
            "sums from `slugline serve --watch`; export its texts as a table, such as CSV."
        )


def check_countable(fitted: Fitted, options: CountOptions) -> None:
    """Check that a model can count, before a file is opened.

    Raises
    ------
    DataError : if there are neither held-out predictions nor labels.
    OptionError : if options conflict, or neither the model nor the labels contain a topic to show.
    """
    options.check()
    labels = [] if options.labelled is None else [*options.labelled.labels.values()]
    names = {topic for texts in labels for label in texts for topic in label.topics}
    topics = [str(topic) for topic in fitted.topics.names]
    check_topics(options.topics, [*topics, *sorted(names - {*topics})])
    if options.labelled is None and not model_samples(fitted):
        raise no_heldout_error()


def no_heldout_error() -> DataError:
    """Return the error for a model that requires labels to count."""
    return DataError(
        "the model has no held-out predictions to estimate its errors from; retrain it with ",
        Parameter("min_precision", 0.9),
        ", or label some of the texts (",
        Parameter("labelled"),
        ").",
    )


def model_samples(fitted: Fitted) -> list[HeldoutSample]:
    """Return the held-out documents of a model, or an empty list; see `heldout_samples`."""
    heldout = fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        return []
    return heldout_samples(heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents)


# Groups -------------------------------------------------------------------------------------------


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
        n_labelled = len(self._labels)
        if not self._samples and n_labelled < MIN_LABELLED:
            raise DataError(
                f"only {counted(n_labelled, 'text')} {'has' if n_labelled == 1 else 'have'}"
                " a label, and the model can't count without labels because it has no held-out "
                f"predictions; label at least {MIN_LABELLED}."
            )
        counts = Counts(
            name=name,
            total=self.count("", total),
            groups=tuple(self.count(name, texts) for name, texts in groups.items()),
            column=period or column,
            is_time=period is not None,
            n_labelled=n_labelled,
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
