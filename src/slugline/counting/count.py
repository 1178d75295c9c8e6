"""Counts the topics of a file of texts, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F32
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import BadRow, SourceRow
from slugline.counting.changes import find_changes
from slugline.counting.concerns import (
    TextTotals,
    heldout_concerns,
    shift_concerns,
    text_concerns,
    unsure_concerns,
)
from slugline.counting.dates import DateOrder
from slugline.counting.estimation import ShareEstimate, estimate_groups
from slugline.counting.groups import MAX_GROUPS, Grouping
from slugline.counting.results import Counts, GroupCount, TopicCount
from slugline.counting.rows import SampledRows
from slugline.counting.shares import HeldoutSample, heldout_samples
from slugline.errors import DataError, Message, Parameter
from slugline.model.fitted import Fitted
from slugline.prediction.rows import Columns, PredictOptions, batch_texts, map_batches

# The largest number of probabilities that are kept of all texts, and of all groups together; and of
# rows of all texts: more would hardly change the shares.
_MAX_PROBA, _MAX_ROWS = 1 << 23, 20_000
_MIN_ROWS = 200


@dataclass(frozen=True)
class CountOptions:
    """Options for counting.

    Attributes
    ----------
    text, format, encoding, separator, n_threads
        See `PredictOptions`.
    by : str, optional
        A column, or "day", "week", "month", "quarter" or "year".
    date : str, optional
        The column of dates; by default, the only one that holds dates.
    date_order : {"day-first", "month-first"}, optional
        The order of day and month in dates such as 03/04/2026; by default, found in the first rows.
    seed : int, default 0
    """

    text: str | Sequence[str] | None = None
    format: Any = None
    encoding: str | None = None
    separator: str | None = None
    n_threads: int = 1
    by: str | None = None
    date: str | None = None
    date_order: DateOrder | None = None
    seed: int = 0


class _CountedBatch(NamedTuple):
    rows: list[SourceRow | BadRow]  # those with a text
    n_bad: int
    proba: F32
    sums: TextTotals


def count_rows(
    fitted: Fitted,
    rows: RowReader,
    options: CountOptions | None = None,
    *,
    announce: Callable[[str], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
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

    Raises
    ------
    DataError : if the model has no held-out predictions, there are no texts, or it is unclear which
        columns to read.
    """
    options = options or CountOptions()
    samples = _model_samples(fitted)
    tally = _Tally(fitted, options, announce)
    usual = None if fitted.heldout_predictions is None else fitted.heldout_predictions.words

    def count_batch(
        batch: list[SourceRow | BadRow], *, columns: Columns, missing: BadRow
    ) -> _CountedBatch:
        texts = batch_texts(batch, columns, missing)
        counted = [row for row, text in zip(batch, texts, strict=True) if isinstance(text, str)]
        proba, words = fitted.predict_with_words([t for t in texts if isinstance(t, str)])
        sums = TextTotals.from_batch(proba, words, usual)
        return _CountedBatch(counted, len(batch) - len(counted), proba, sums)

    predict_options = PredictOptions(text=options.text, n_threads=options.n_threads)
    n_rows = 0
    batches = map_batches(count_batch, fitted, rows, predict_options, announce=announce)
    with closing(rows), closing(batches):
        for batch in batches:
            tally.add(batch)
            n_rows += len(batch.rows) + batch.n_bad
            if on_progress is not None:
                on_progress(n_rows)
    if not len(tally.total):
        undated = f", or {tally.n_undated:,} without a date" if tally.n_undated else ""
        raise DataError(
            f"{rows.name} has no text to count ({tally.n_bad:,} rows without a text{undated})."
        )
    return _summarize(fitted, samples, tally, rows.name, options)


def check_countable(fitted: Fitted) -> None:
    """Raise DataError if a model has no held-out predictions."""
    heldout = fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        raise DataError(
            "the model has no held-out answers, from which its errors are known; train it again "
            "with ",
            Parameter("min_precision", 0.9),
            ", or count with labels of some of the texts (",
            Parameter("labelled"),
            ").",
        )


def _model_samples(fitted: Fitted) -> list[HeldoutSample]:
    """Return the held-out documents of a model; see `heldout_samples`."""
    check_countable(fitted)
    heldout = fitted.heldout_predictions
    if heldout is None:
        return []
    return heldout_samples(heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents)


class _Tally:
    """Sums over all texts and over groups of them."""

    def __init__(
        self, fitted: Fitted, options: CountOptions, announce: Callable[[str], object] | None
    ) -> None:
        self._options, self._announce = options, announce
        self._n_topics = len(fitted.topics)
        self._max_rows = max(_MIN_ROWS, min(_MAX_ROWS, _MAX_PROBA // self._n_topics))
        self.total = self._new_sample(self._max_rows)
        self.groups: dict[str, SampledRows] = {}
        self.grouping: Grouping | None = None
        self.sums = TextTotals()
        self.n_bad = self.n_undated = 0

    def add(self, batch: _CountedBatch) -> None:
        self.n_bad += batch.n_bad
        self.sums = self.sums.add(batch.sums)
        if not batch.rows:
            return
        if self._options.by is None:
            self.total.add(batch.proba)
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
        names = [grouping.group_of(row.values.get(grouping.column)) for row in batch.rows]
        is_dated = np.array([name is not None for name in names])
        self.n_undated += int((~is_dated).sum())
        self.total.add(batch.proba[is_dated])
        known = np.array([name or "" for name in names], dtype=object)
        for name in dict.fromkeys(name for name in names if name is not None):
            self._group(name).add(batch.proba[known == name])

    def _group(self, name: str) -> SampledRows:
        if name not in self.groups:
            if len(self.groups) == MAX_GROUPS:
                column = "" if self.grouping is None else self.grouping.column
                raise DataError(
                    Message(
                        f"column {column!r} has more than {MAX_GROUPS:,} different values; choose "
                        "a column with fewer for ",
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


def _summarize(
    fitted: Fitted, samples: list[HeldoutSample], tally: _Tally, name: str, options: CountOptions
) -> Counts:
    topics = [str(topic) for topic in fitted.topics.names]
    total = estimate_groups(samples, tally.total, seed=options.seed)
    is_time = tally.grouping is not None and tally.grouping.period is not None
    names = sorted(tally.groups) if is_time else [*tally.groups]
    estimates = [estimate_groups(samples, tally.groups[n], seed=options.seed) for n in names]
    groups = tuple(
        _group_count(name, tally.groups[name], estimate, topics)
        for name, estimate in zip(names, estimates, strict=True)
    )
    return Counts(
        name=name,
        total=_group_count("", tally.total, total, topics),
        groups=groups,
        column=None if tally.grouping is None else tally.grouping.period or tally.grouping.column,
        is_time=is_time,
        changes=tuple(find_changes(groups, estimates, is_time=is_time)),
        concerns=tuple(_concerns(fitted, samples, tally, total, topics)),
        n_bad=tally.n_bad,
        n_undated=tally.n_undated,
        multilabel=fitted.multilabel,
    )


def _group_count(
    name: str, texts: SampledRows, estimates: Sequence[ShareEstimate], topics: Sequence[str]
) -> GroupCount:
    n_texts, n_answers = len(texts), texts.n_answers.tolist()
    # A multilabel model has a binary estimate for each topic, of which the first share counts.
    n = None if len(estimates) == 1 else 1
    shares = chain.from_iterable(each.shares[:n].tolist() for each in estimates)
    intervals = chain.from_iterable(each.intervals()[:n] for each in estimates)
    return GroupCount(
        name,
        n_texts,
        tuple(
            TopicCount(topic, share, interval, n_texts, answers)
            for topic, share, interval, answers in zip(
                topics, shares, intervals, n_answers, strict=True
            )
        ),
    )


def _concerns(
    fitted: Fitted,
    samples: list[HeldoutSample],
    tally: _Tally,
    total: Sequence[ShareEstimate],
    topics: Sequence[str],
) -> Iterator[str]:
    words = None if fitted.heldout_predictions is None else fitted.heldout_predictions.words
    yield from text_concerns(tally.sums, words)
    if len(samples) == 1:
        yield from unsure_concerns(tally.sums, samples[0], total[0].shares)
    yield from shift_concerns(total, topics)
    yield from heldout_concerns(samples, topics)
