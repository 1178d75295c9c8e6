"""Counts the topics of a file of texts, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from slugline.base.files import PathLike
from slugline.base.wording import counted, join_words
from slugline.corpus.label_database.tables import FORMAT
from slugline.corpus.readers import RowReader, is_database
from slugline.corpus.rows import BadRow, SourceRow
from slugline.counting.labelled import text_key
from slugline.counting.options import CountOptions
from slugline.counting.results import Counts, check_topics
from slugline.counting.shares import HeldoutSample, heldout_samples
from slugline.counting.summary import Summary
from slugline.counting.tally import AnsweredBatch, Tally
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
        Called with notes on what was decided about columns.
    on_progress : callable, optional
        Called after each batch with the number of rows so far.
    on_interval : callable, optional
        Called after the intervals of each group of texts with the fraction of groups so far.

    Raises
    ------
    DataError : if the model has no held-out predictions, there are no texts, or it is unclear which
        columns to read.
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
            f"{options.labelled.name} is in {rows.name}: label texts that are drawn at random "
            "from those to count. Texts are compared as they are, but for blanks and line breaks."
        )
    return Summary(fitted, samples, tally, options).counts(rows.name, on_interval)


def check_no_foreign_database(file: PathLike) -> None:
    """Raise DataError for a SQLite file of another program, which has no texts to count."""
    path = Path(file)
    if is_database(path) and not FORMAT.is_of(path):
        raise DataError(
            f"{file} is a database that has neither labels of `slugline label` nor daily sums of "
            "`slugline serve --watch`; save its texts as a table, such as CSV."
        )


def check_countable(fitted: Fitted, options: CountOptions) -> None:
    """Check whether a model can count.

    Raises
    ------
    DataError : if it has no held-out predictions, and there are no labels instead.
    OptionError : if a topic to show is unknown.
    """
    _check_topics(fitted, options)
    if not _has_heldout(fitted) and options.labelled is None:
        raise DataError(
            "the model has no held-out answers, from which its errors are known; train it again "
            "with ",
            Parameter("min_precision", 0.9),
            ", or count with labels of some of the texts (",
            Parameter("labelled"),
            ").",
        )


def _check_topics(fitted: Fitted, options: CountOptions) -> None:
    """Raise OptionError for an unknown topic; labels may have some that the model doesn't know."""
    labels = [] if options.labelled is None else [*options.labelled.labels.values()]
    names = {topic for texts in labels for label in texts for topic in label.topics}
    topics = [str(topic) for topic in fitted.topics.names]
    check_topics(options.topics, [*topics, *sorted(names - {*topics})])


def _has_heldout(fitted: Fitted) -> bool:
    heldout = fitted.heldout_predictions
    return heldout is not None and heldout.n_documents > 0


def model_samples(fitted: Fitted) -> list[HeldoutSample]:
    """Return the held-out documents of a model; see `heldout_samples`; empty if there are none."""
    heldout = fitted.heldout_predictions
    if heldout is None or not heldout.n_documents:
        return []
    return heldout_samples(heldout, fitted.topic_counts.astype(np.float64), fitted.n_documents)
