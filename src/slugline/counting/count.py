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
from slugline.counting.concerns import CountedTexts
from slugline.counting.drift import find_drift
from slugline.counting.estimation import ShareEstimate, estimate_texts
from slugline.counting.group_counts import GroupCounter
from slugline.counting.groups import sort_groups
from slugline.counting.labelled import MatchedLabels, text_key
from slugline.counting.results import Counts, check_topics
from slugline.counting.shares import HeldoutSample, heldout_samples
from slugline.counting.tally import AnsweredBatch, CountOptions, GroupTally, Tally
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
    labels = MatchedLabels.from_texts(options.labelled, tally.labelled, len(fitted.topics))
    grouping = tally.grouping
    period = None if grouping is None else grouping.period
    names = sort_groups(tally.groups) if period is None else sorted(tally.groups)
    total, *others = _estimate_groups(
        fitted,
        samples,
        [tally.total, *(tally.groups[name] for name in names)],
        options.seed,
        on_interval,
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
    on_interval: Callable[[float], object] | None,
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
        if on_interval is not None:
            on_interval((number + 1) / len(groups))


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
        raise no_heldout_error()


def no_heldout_error() -> DataError:
    """Return the error for a model that can count only with labels."""
    return DataError(
        "the model has no held-out predictions to estimate its errors from; retrain it with ",
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
