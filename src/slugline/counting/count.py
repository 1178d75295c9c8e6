"""Counts the topics of a file of texts, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32
from slugline.base.checks import check_fraction, short_repr
from slugline.base.wording import counted, join_words
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import BadRow, SourceRow
from slugline.counting.changes import find_changes
from slugline.counting.concerns import (
    TextTotals,
    find_unknown_groups,
    group_concerns,
    heldout_concerns,
    shift_concerns,
    text_concerns,
    unsure_concerns,
)
from slugline.counting.dates import DATE_ORDERS, DateOrder
from slugline.counting.estimation import (
    ShareEstimate,
    estimate_groups,
    first_intervals,
    first_shares,
)
from slugline.counting.groups import MAX_GROUPS, Grouping, sort_groups
from slugline.counting.labelled import (
    MIN_LABELLED,
    FoundText,
    LabelledSample,
    MatchedLabels,
    estimate_labelled_share,
    explained_variance,
    plan_labels,
    sample_concern,
    uses_model,
)
from slugline.counting.results import Change, Counts, GroupCount, LabelPlan, TopicCount
from slugline.counting.rows import SampledRows
from slugline.counting.shares import HeldoutSample, heldout_samples
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.model.fitted import Fitted
from slugline.prediction.rows import Columns, PredictOptions, batch_texts, map_batches
from slugline.text.features import WordCounts

# The largest number of probabilities that are kept of all texts, and of all groups together; and of
# rows of all texts: more would hardly change the shares.
_MAX_PROBA, _MAX_ROWS = 1 << 23, 20_000
_MIN_ROWS = 200
# A larger fraction of cells that are no dates is an error.
_MAX_UNREADABLE = 0.1
# Topics that a sentence names.
_MAX_NAMED = 5


@dataclass(frozen=True)
class CountOptions:
    """Options for counting.

    Attributes
    ----------
    text, n_threads
        See `PredictOptions`.
    by : str, optional
        A column, or "day", "week", "month", "quarter" or "year".
    date : str, optional
        The column of dates; by default, the only one that holds dates.
    date_order : {"day-first", "month-first"}, optional
        The order of day and month in dates such as 03/04/2026; by default, found in the first rows.
    labelled : LabelledSample, optional
        Labels of some of the texts.
    plan : float, optional
        Half the width of intervals for which to say how many texts to label.
    seed : int, default 0
    """

    text: str | Sequence[str] | None = None
    n_threads: int = 1
    by: str | None = None
    date: str | None = None
    date_order: DateOrder | None = None
    labelled: LabelledSample | None = None
    plan: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.plan is not None:
            check_fraction("plan", self.plan)
        for name in ("date", "date_order"):
            if getattr(self, name) is not None and self.by is None:
                raise OptionError(
                    Parameter(name),
                    " is about dates to count by; give ",
                    Parameter("by", "month"),
                    ", too.",
                )
        if self.date_order not in (None, *DATE_ORDERS):
            raise OptionError(
                Parameter("date_order"),
                f" is {short_repr(self.date_order)}; choose {' or '.join(DATE_ORDERS)}.",
            )


class _CountedBatch(NamedTuple):
    rows: list[SourceRow | BadRow]  # those with a text
    labelled: list[tuple[int, str]]  # which of these have a label, and their texts
    n_bad: int
    proba: F32
    words: WordCounts


def count_rows(
    fitted: Fitted,
    rows: RowReader,
    options: CountOptions | None = None,
    *,
    announce: Callable[[str], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
    on_interval: Callable[[float], object] | None = None,
) -> Counts:
    """Return how many of the texts in a file have each topic.

    Parameters
    ----------
    fitted : Fitted
    rows : RowReader
    options : CountOptions, optional
    announce : callable, optional
        Called with notes on what was decided about columns.
    on_progress : callable, optional
        Called after each batch with the number of rows so far.
    on_interval : callable, optional
        Called after the intervals of each group of texts with the fraction of groups so far.

    Raises
    ------
    DataError : if the model has no held-out predictions, there are no texts, or it is unclear which
        columns to read.
    """
    options = options or CountOptions()
    check_countable(fitted, options.labelled)
    samples = model_samples(fitted)
    tally = _Tally(fitted, options, announce)
    labelled_texts = options.labelled.labels.keys() if options.labelled else ()

    def count_batch(
        batch: list[SourceRow | BadRow], *, columns: Columns, missing: BadRow
    ) -> _CountedBatch:
        cells = batch_texts(batch, columns, missing)
        usable = [row for row, text in zip(batch, cells, strict=True) if isinstance(text, str)]
        texts = [text for text in cells if isinstance(text, str)]
        proba, words = fitted.predict_with_words(texts)
        return _CountedBatch(
            rows=usable,
            labelled=[
                (i, text.strip()) for i, text in enumerate(texts) if text.strip() in labelled_texts
            ],
            n_bad=len(batch) - len(usable),
            proba=proba,
            words=words,
        )

    predict_options = PredictOptions(text=options.text, n_threads=options.n_threads)
    n_rows = 0
    batches = map_batches(count_batch, fitted, rows, predict_options, announce=announce)
    with closing(rows), closing(batches):
        for batch in batches:
            tally.add(batch)
            n_rows += len(batch.rows) + batch.n_bad
            if on_progress is not None:
                on_progress(n_rows)
    tally.check_dates()
    if not len(tally.total):
        reasons = [
            f"{counted(n, 'row')} without a {what}"
            for n, what in ((tally.n_bad, "text"), (tally.n_undated, "date"))
            if n
        ]
        found = f", but {join_words(reasons)}" if reasons else ""
        raise DataError(f"{rows.name} has no text to count{found}.")
    if options.labelled is not None and not tally.labelled:
        raise DataError(
            f"none of the {counted(len(options.labelled), 'labelled text')} of "
            f"{options.labelled.name} is in {rows.name}: label texts that are drawn at random "
            "from those to count. Texts are compared as they are, but for blanks at both ends."
        )
    return _Summary(fitted, samples, tally, options).counts(rows.name, on_interval)


def check_countable(fitted: Fitted, labelled: LabelledSample | None = None) -> None:
    """Raise DataError if a model has no held-out predictions, and there are no labels instead."""
    if not _has_heldout(fitted) and labelled is None:
        raise DataError(
            "the model has no held-out answers, from which its errors are known; train it again "
            "with ",
            Parameter("min_precision", 0.9),
            ", or count with labels of some of the texts (",
            Parameter("labelled"),
            ").",
        )


def _has_heldout(fitted: Fitted) -> bool:
    heldout = fitted.heldout_predictions
    return heldout is not None and heldout.n_documents > 0


def model_samples(fitted: Fitted) -> list[HeldoutSample]:
    """Return the held-out documents of a model; see `heldout_samples`; empty if there are none."""
    heldout = fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        return []
    return heldout_samples(heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents)


class _Tally:
    """Sums over all texts and over groups of them."""

    def __init__(
        self, fitted: Fitted, options: CountOptions, announce: Callable[[str], object] | None
    ) -> None:
        self._options, self._announce = options, announce
        self._n_topics = len(fitted.topics)
        self.usual = (
            None if fitted.heldout_predictions is None else fitted.heldout_predictions.words
        )
        self._max_rows = max(_MIN_ROWS, min(_MAX_ROWS, _MAX_PROBA // self._n_topics))
        self.total = self._new_sample(self._max_rows)
        self.groups: dict[str, SampledRows] = {}
        self.grouping: Grouping | None = None
        self.sums = TextTotals()
        self.group_sums: dict[str, TextTotals] = {}
        self.n_bad = self.n_undated = self.n_unreadable = 0
        self.unreadable_date = ""  # the first one
        self.labelled: dict[str, FoundText] = {}

    def add(self, batch: _CountedBatch) -> None:
        self.n_bad += batch.n_bad
        self.sums = self.sums.add(TextTotals.from_batch(batch.proba, batch.words, self.usual))
        if not batch.rows:
            return
        if self._options.by is None:
            self.total.add(batch.proba)
            self._add_labelled(batch, [None] * len(batch.rows))
            return
        if self.grouping is None:
            self.grouping = Grouping.from_rows(
                [row.values for row in batch.rows],
                self._options.by,
                self._options.date,
                self._options.date_order,
            )
            if self.grouping.note and self._announce is not None:
                self._announce(self.grouping.note)
        grouping = self.grouping
        cells = [row.values.get(grouping.column) for row in batch.rows]
        names = [grouping.group_of(cell) for cell in cells]
        for cell, name in zip(cells, names, strict=True):
            if name is None and (date := "" if cell is None else str(cell).strip()):
                self.unreadable_date = self.unreadable_date or date
                self.n_unreadable += 1
        is_dated = np.array([name is not None for name in names])
        self.n_undated += int((~is_dated).sum())
        self.total.add(batch.proba[is_dated])
        self._add_labelled(batch, names)
        known = np.array([name or "" for name in names], dtype=object)
        for name in dict.fromkeys(name for name in names if name is not None):
            is_in = known == name
            proba = batch.proba[is_in]
            self._group(name).add(proba)
            words = WordCounts(batch.words.n_known[is_in], batch.words.n_words[is_in])
            sums = TextTotals.from_batch(proba, words, self.usual)
            self.group_sums[name] = self.group_sums.get(name, TextTotals()).add(sums)

    def check_dates(self) -> None:
        """Raise DataError if many cells of the column of dates have something else."""
        n_rows = len(self.total) + self.n_undated
        if self.grouping is not None and self.n_unreadable > _MAX_UNREADABLE * n_rows:
            raise self.grouping.unreadable_error(self.unreadable_date, self.n_unreadable, n_rows)

    def _add_labelled(self, batch: _CountedBatch, names: Sequence[str | None]) -> None:
        for i, text in batch.labelled:
            if self.grouping is not None and names[i] is None:
                continue  # a text without a date
            if text not in self.labelled:
                self.labelled[text] = FoundText(batch.proba[i].copy())
            self.labelled[text].n_by_group[names[i]] += 1

    def _group(self, name: str) -> SampledRows:
        if name not in self.groups:
            if len(self.groups) == MAX_GROUPS:
                column = "" if self.grouping is None else self.grouping.column
                raise DataError(
                    Message(
                        f"column {short_repr(column)} has more than {MAX_GROUPS:,} different "
                        "values; choose a column with fewer for ",
                        Parameter("by"),
                        ", or a longer period.",
                    )
                )
            self.groups[name] = self._new_sample(self._capacity(len(self.groups) + 1))
            for sample in self.groups.values():
                sample.limit(self._capacity(len(self.groups)))
        return self.groups[name]

    def _capacity(self, n_groups: int) -> int:
        return max(_MIN_ROWS, min(self._max_rows, _MAX_PROBA // self._n_topics // n_groups))

    def _new_sample(self, capacity: int) -> SampledRows:
        return SampledRows(self._n_topics, capacity, self._options.seed)


class _Summary:
    """Makes the results from what was summed."""

    def __init__(
        self, fitted: Fitted, samples: list[HeldoutSample], tally: _Tally, options: CountOptions
    ) -> None:
        self._fitted, self._samples, self._tally = fitted, samples, tally
        self._options = options
        self._topics = [str(topic) for topic in fitted.topics.names]
        self._labelled = MatchedLabels.from_texts(
            options.labelled, tally.labelled, len(self._topics)
        )

    def counts(self, name: str, on_interval: Callable[[float], object] | None) -> Counts:
        tally, grouping = self._tally, self._tally.grouping
        is_time = grouping is not None and grouping.period is not None
        names = sorted(tally.groups) if is_time else sort_groups(tally.groups)
        total, *estimates = self._estimates(
            [tally.total, *(tally.groups[name] for name in names)], on_interval
        )
        groups = tuple(
            self._group_count(name, tally.groups[name], estimate)
            for name, estimate in zip(names, estimates, strict=True)
        )
        return Counts(
            name=name,
            total=self._group_count("", tally.total, total),
            groups=groups,
            column=None if grouping is None else grouping.period or grouping.column,
            is_time=is_time,
            changes=tuple(self._changes(groups, estimates, is_time=is_time)),
            concerns=tuple(self._concerns(total, groups)),
            n_bad=tally.n_bad,
            n_undated=tally.n_undated,
            n_labelled=len(self._labelled),
            plan=self._plan(total),
            multilabel=self._fitted.multilabel,
        )

    def _changes(
        self,
        groups: Sequence[GroupCount],
        estimates: Sequence[Sequence[ShareEstimate]],
        *,
        is_time: bool,
    ) -> list[Change]:
        """Test changes between groups, except for those whose counts mean nothing."""
        unknown = find_unknown_groups(self._tally.group_sums, self._tally.usual)
        known = [i for i, group in enumerate(groups) if group.name not in unknown]
        return find_changes(
            [groups[i] for i in known],
            [estimates[i] for i in known],
            is_time=is_time,
            has_labels=self._options.labelled is not None,
        )

    def _estimates(
        self, groups: Sequence[SampledRows], on_interval: Callable[[float], object] | None
    ) -> Iterator[list[ShareEstimate]]:
        """Yield the estimates of groups by the model; none if it has no held-out predictions."""
        for i, texts in enumerate(groups, 1):
            if self._samples:
                yield estimate_groups(self._samples, texts, seed=self._options.seed)
            else:
                yield []
            if on_interval is not None:
                on_interval(i / len(groups))

    def _labelled_in(self, group: str) -> MatchedLabels:
        """Return the labelled texts of a group; all for the total."""
        return self._labelled.take(self._labelled.groups == group) if group else self._labelled

    def _group_count(
        self, name: str, texts: SampledRows, estimates: Sequence[ShareEstimate]
    ) -> GroupCount:
        labelled = self._labelled_in(name)
        if len(labelled) >= MIN_LABELLED:
            counts = self._count_labelled(labelled, texts, estimates)
        elif estimates:
            counts = self._count_by_model(texts, estimates)
        else:
            where = f" in {name}" if name else ""
            raise DataError(
                f"{counted(len(labelled), 'text')}{where} {'has' if len(labelled) == 1 else 'have'}"
                " a label, and the model has no held-out answers to count without; label at least "
                f"{MIN_LABELLED}."
            )
        return GroupCount(name, len(texts), tuple(counts))

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
        self, labelled: MatchedLabels, texts: SampledRows, estimates: Sequence[ShareEstimate]
    ) -> Iterator[TopicCount]:
        """Yield the counts of the model's topics, and of others that labels have."""
        explained = self._explained(estimates)
        n_texts, n_answers = len(texts), self._count_answers(texts)
        new = {topic for topics in labelled.topics for topic in topics} - {*self._topics}
        for i, topic in enumerate([*self._topics, *sorted(new)]):
            is_used = topic not in new and uses_model(explained[i])
            estimate = estimate_labelled_share(
                labelled.has_topic(topic),
                labelled.weights,
                n_texts,
                proba=labelled.proba[:, i].astype(np.float64) if is_used else None,
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
        counts = texts.n_likely if self._fitted.multilabel else texts.n_answers
        return [int(n) for n in counts]

    def _explained(self, estimates: Sequence[ShareEstimate]) -> list[float]:
        """Return how much of the variance of each topic the model explains."""
        sample = self._options.labelled
        if not estimates or (sample is not None and sample.is_known):
            return [0.0] * len(self._topics)
        parts = [
            explained_variance(heldout, estimate.shares)
            for heldout, estimate in zip(self._samples, estimates, strict=True)
        ]
        first = parts[0] if len(parts) == 1 else [part[0] for part in parts]
        return [float(value) for value in first]

    def _plan(self, total: Sequence[ShareEstimate]) -> LabelPlan | None:
        margin = self._options.plan
        if margin is None:
            return None
        shares = (
            first_shares(total) if total else np.full(len(self._topics), 0.5)  # the worst case
        )
        return plan_labels(
            shares, np.array(self._explained(total)), self._topics, len(self._tally.total), margin
        )

    def _concerns(
        self, total: Sequence[ShareEstimate], groups: Sequence[GroupCount]
    ) -> Iterator[str]:
        usual = self._tally.usual
        yield from text_concerns(self._tally.sums, usual)
        if usual is not None:
            unknown = find_unknown_groups(self._tally.group_sums, usual)
            yield from group_concerns(unknown, usual)
        yield from self._labelled_concerns()
        n_by_model = sum(group.is_by_model for group in groups)
        if n_by_model and self._options.labelled is not None:
            have, are = ("has", "is") if n_by_model == 1 else ("have", "are")
            yield (
                f"{n_by_model:,} of {counted(len(groups), 'group')} of texts {have} fewer than "
                f"{MIN_LABELLED} labels, and {are} counted by the model: label more texts, or "
                "count by a longer period."
            )
        if len(self._labelled) >= MIN_LABELLED:
            return  # which is right, whatever else has changed
        if len(self._samples) == 1:
            yield from unsure_concerns(self._tally.sums, self._samples[0], total[0].shares)
        yield from shift_concerns(total, self._topics)
        yield from heldout_concerns(self._samples, self._topics)

    def _labelled_concerns(self) -> Iterator[str]:
        sample, n_found = self._options.labelled, len(self._labelled)
        if sample is None:
            return
        texts = self._tally.total
        if n_found >= MIN_LABELLED:
            mean_proba = texts.sums / len(texts)
            concern = sample_concern(self._labelled, mean_proba, self._topics)
            if concern is not None:
                yield concern
        yield from sample.concerns
        n_missing = len(sample) - sum(
            min(len(sample.labels[key]), text.n_by_group.total())
            for key, text in self._tally.labelled.items()
        )
        if n_missing:
            are, were = ("is", "was") if n_missing == 1 else ("are", "were")
            yield (
                f"{n_missing:,} of {counted(len(sample), 'labelled text')} {are} not among the "
                f"texts to count, and {were} left out."
            )
        if n_found < MIN_LABELLED:
            yield (
                f"{counted(n_found, 'labelled text')} {'is' if n_found == 1 else 'are'} too few to "
                f"count by; these counts are the model's. Label at least {MIN_LABELLED}."
            )
            return
        known = {*self._topics}
        new = sorted({t for topics in self._labelled.topics for t in topics if t not in known})
        if new:
            yield (
                f"The labels have {counted(len(new), 'topic')} that the model doesn't know: "
                f"{join_words(new, _MAX_NAMED)}. Their counts are by labels alone; train a new "
                "model to count them without."
            )
