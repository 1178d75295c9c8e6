"""Counting the topics of a file of texts, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from slugline.base.files import PathLike
from slugline.base.wording import counted, join_words
from slugline.corpus.label_database.tables import FORMAT
from slugline.corpus.readers import RowReader, is_database
from slugline.corpus.rows import BadRow, SourceRow
from slugline.counting.concerns import (
    ModelCount,
    few_label_concerns,
    few_text_concerns,
    labelled_concerns,
)
from slugline.counting.drift import find_drift
from slugline.counting.estimation import ShareEstimate, estimate_texts
from slugline.counting.group_counts import CountedTexts, GroupCounter
from slugline.counting.groups import sort_groups
from slugline.counting.labelled import MatchedLabels, text_key
from slugline.counting.options import CountOptions
from slugline.counting.results import Counts, check_topics
from slugline.counting.shares import HeldoutSample, heldout_samples
from slugline.counting.tally import AnsweredBatch, GroupTally, Tally
from slugline.errors import DataError, Parameter
from slugline.model.fitted import Fitted
from slugline.prediction.rows import Columns, PredictOptions, batch_texts, map_batches


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
        Called with notes on which columns are read.
    on_progress : callable, optional
        Called after each batch with the number of rows read so far.
    on_interval : callable, optional
        Called after each group's intervals with the fraction of groups done.

    Raises
    ------
    DataError : if the model has no held-out predictions, there are no texts, or the columns are
        ambiguous.
    OptionError : if a topic to show is unknown.
    """
    options = options or CountOptions()
    check_countable(fitted, options)
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
        if tally.first_problem:
            found += f" (one has {tally.first_problem})"
        raise DataError(f"{rows.name} has no text to count{found}.")
    if options.labelled is not None and not tally.labelled:
        raise DataError(
            f"none of the {counted(len(options.labelled), 'labelled text')} of "
            f"{options.labelled.name} is in {rows.name}: label a random sample of the texts to "
            "count. Texts must match exactly, except for whitespace."
        )
    return _Summary(fitted, samples, tally, options).counts(rows.name, on_interval)


def check_no_foreign_database(file: PathLike) -> None:
    """Raise DataError for a SQLite file of another program."""
    path = Path(file)
    if is_database(path) and not FORMAT.is_of(path):
        raise DataError(
            f"{file} is a database without labels from `slugline label` or daily sums from "
            "`slugline serve --watch`; export its texts as a table, such as CSV."
        )


def check_countable(fitted: Fitted, options: CountOptions) -> None:
    """Check whether a model can count.

    Raises
    ------
    DataError : if there are neither held-out predictions nor labels.
    OptionError : if a topic to show is unknown.
    """
    _check_topics(fitted, options)
    if not _has_heldout(fitted) and options.labelled is None:
        raise DataError(
            "the model has no held-out answers to estimate its errors from; retrain it with ",
            Parameter("min_precision", 0.9),
            ", or label some of the texts (",
            Parameter("labelled"),
            ").",
        )


def _check_topics(fitted: Fitted, options: CountOptions) -> None:
    """Raise OptionError for a topic that neither the model nor the labels contain."""
    labels = [] if options.labelled is None else [*options.labelled.labels.values()]
    names = {topic for texts in labels for label in texts for topic in label.topics}
    topics = [str(topic) for topic in fitted.topics.names]
    check_topics(options.topics, [*topics, *sorted(names - {*topics})])


def _has_heldout(fitted: Fitted) -> bool:
    heldout = fitted.heldout_predictions
    return heldout is not None and heldout.n_documents > 0


def model_samples(fitted: Fitted) -> list[HeldoutSample]:
    """Return the held-out documents of a model, or an empty list; see `heldout_samples`."""
    heldout = fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        return []
    return heldout_samples(heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents)


class _Summary:
    """Computes the results from the sums over texts.

    Parameters
    ----------
    fitted : Fitted
    samples : list of HeldoutSample
        See `heldout_samples`; empty if the model has no held-out documents.
    tally : Tally
        Contains at least one text.
    options : CountOptions
    """

    def __init__(
        self, fitted: Fitted, samples: list[HeldoutSample], tally: Tally, options: CountOptions
    ) -> None:
        self._fitted, self._samples, self._tally = fitted, samples, tally
        self._options = options
        self._topics = [str(topic) for topic in fitted.topics.names]
        self._labels = MatchedLabels.from_texts(options.labelled, tally.labelled, len(self._topics))
        self._counter = GroupCounter(fitted, samples, options.labelled, self._labels)

    def counts(self, name: str, on_interval: Callable[[float], object] | None = None) -> Counts:
        """Return the results.

        Parameters
        ----------
        name : str
            Name of the source.
        on_interval : callable, optional
            Called after each group's intervals with the fraction of groups done.

        Raises
        ------
        DataError : if there are too few labels and the model has no held-out documents.
        """
        tally, grouping, options = self._tally, self._tally.grouping, self._options
        is_time = grouping is not None and grouping.period is not None
        names = sorted(tally.groups) if is_time else sort_groups(tally.groups)
        column = None if grouping is None else grouping.period or grouping.column
        total, *others = self._estimated(
            [tally.total, *(tally.groups[name] for name in names)], on_interval
        )
        counts = self._counter.count_groups(
            name,
            total,
            dict(zip(names, others, strict=True)),
            column=column,
            is_time=is_time,
            topics=options.topics,
        )
        return replace(
            counts,
            concerns=tuple(self._concerns(counts)),
            n_bad=tally.n_bad,
            n_undated=tally.n_undated,
        ).restrict(options.topics)

    def _estimated(
        self, groups: Sequence[GroupTally], on_interval: Callable[[float], object] | None
    ) -> Iterator[CountedTexts]:
        """Yield each group's texts, with estimates if the model has held-out predictions."""
        for number, group in enumerate(groups):
            estimates: Sequence[ShareEstimate] = []
            if self._samples:
                estimates = estimate_texts(
                    self._samples, group.rows, seed=self._options.seed, group=number
                )
            yield CountedTexts.from_rows(
                group.rows,
                ModelCount(
                    group.totals,
                    estimates,
                    find_drift(self._fitted.text_profile, group.texts.texts(), estimates),
                ),
                multilabel=self._fitted.multilabel,
            )
            if on_interval is not None:
                on_interval((number + 1) / len(groups))

    def _concerns(self, counts: Counts) -> Iterator[str]:
        """Yield warnings, including the ones about model-based counts in `counts`."""
        tally = self._tally
        period = None if tally.grouping is None else tally.grouping.period
        n_by_group = [group.n_texts for group in counts.groups]
        yield from few_text_concerns(len(tally.total), n_by_group, period or "group")
        yield from counts.concerns
        if self._options.labelled is not None:
            yield from labelled_concerns(
                self._options.labelled,
                self._labels,
                tally.labelled,
                tally.total.rows.sums / len(tally.total),
                self._topics,
                self._options.topics,
            )
            yield from few_label_concerns(counts.groups, period)
