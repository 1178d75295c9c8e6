"""Count how many texts have each topic."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slugline.api.result import Model, TableResult, check_model, to_classifier
from slugline.base.checks import check_whole
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import counted
from slugline.classifier import TopicClassifier
from slugline.corpus.documents import check_texts
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import RowReader, read_frame, read_rows
from slugline.corpus.rows import Frame, SourceRow
from slugline.counting.count import check_countable, check_no_foreign_database, count_rows
from slugline.counting.dates import DateOrder
from slugline.counting.labelled_file import read_labelled_sample
from slugline.counting.results import Counts, format_share
from slugline.counting.tally import CountOptions
from slugline.errors import OptionError, Parameter
from slugline.model.file.content import load_model
from slugline.model.file.shipped import model_path
from slugline.model.fitted import Fitted
from slugline.serving.watch.counts import (
    DayCountOptions,
    check_no_text_options,
    count_days,
    read_period,
)
from slugline.serving.watch.store import WatchedModel, is_watch_file

# Separators of the input file that are reused in a file of counts.
_SEPARATORS = (",", ";", "\t", "|")


class CountResult(TableResult):
    """Number of texts per topic; `to_records` returns a row per topic, or per group and topic.

    Notebooks display it with a chart.

    Attributes
    ----------
    counts : slugline.counting.results.Counts
        Shares and numbers with intervals, changes, and warnings.

    Parameters
    ----------
    counts : slugline.counting.results.Counts
    separator : str, optional
        The separator of the input file, also used to write the counts as .csv.
    """

    # More digits would be finer than any interval.
    _n_digits = 4

    def __init__(self, counts: Counts, *, separator: str | None = None) -> None:
        self.counts = counts
        self._separator = separator if separator in _SEPARATORS else ","

    @property
    def concerns(self) -> tuple[str, ...]:
        """Reasons why the counts may be wrong, as sentences."""
        return self.counts.concerns

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return self.counts.to_dict()

    def to_records(self) -> list[dict[str, Any]]:
        """Return the share and number of each topic, with 95 % intervals."""
        return self.counts.records()

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [(count.topic, format_share(count)) for count in self.counts.total.by_share()]
        rows += [("changed", change.describe()) for change in self.counts.significant_changes]
        rows += [("caution", concern) for concern in self.counts.concerns]
        return f"Topics of {counted(self.counts.n_texts, 'text')}", rows

    def _charts(self) -> list[str]:
        from slugline.reports.counting import count_charts

        return count_charts(self.counts)

    def _table(self, delimiter: str | None = ",") -> bytes:
        return super()._table(None if delimiter is None else self._separator)

    def _page(self) -> str:
        from slugline.reports.counting import count_page

        return count_page(self.counts)


def count(
    model: Model,
    data: str | Path | Frame | Iterable[str],
    *,
    text: str | Sequence[str] | None = None,
    by: str | None = None,
    date: str | None = None,
    date_order: DateOrder | None = None,
    since: datetime.date | None = None,
    labelled: str | Path | None = None,
    topics: str | Sequence[str] | None = None,
    random_state: int = 0,
    n_jobs: int = 1,
    header_row: int | None = None,
    progress: Progress | None = None,
) -> CountResult:
    """Count how many texts have each topic, with 95 % intervals.

    Counting a model's answers is biased even if most answers are right, because errors on rare and
    common topics don't cancel out. Held-out predictions from training correct the counts.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
    data : path, data frame, or iterable of str
        The texts. Files are read in chunks, so they may be larger than memory. To count the texts
        that a server answered, pass the file written by `slugline serve --watch`.
    text : str or sequence of str, optional
        The text columns; by default the model's training columns, or guessed.
    by : str, optional
        Also count per value of this column, or per "day", "week", "month", "quarter" or "year".
    date : str, optional
        The date column; by default the only column that contains dates.
    date_order : {"day-first", "month-first"}, optional
        The order of day and month in dates such as 03/04/2026; inferred from the first rows by
        default.
    since : date, optional
        Count only texts that a server answered on or after this day.
    labelled : path, optional
        Labels of a random sample of the texts, or a label database of `slugline label`. Makes
        counts valid even if the texts of a topic have changed, not only topic shares.
    topics : str or sequence of str, optional
        The topics to show; by default, all.
    random_state : int, default 0
        The seed of the simulations for intervals.
    n_jobs : int, default 1
        Number of threads. Results don't depend on it.
    header_row : int, optional
        The row of a table that contains the column names, counted from 1. Detected by default,
        even below title rows.
    progress : Progress, optional

    Raises
    ------
    DataError : if there are no texts, columns are ambiguous, or the model has no held-out
        predictions.
    OptionError : if a topic is unknown, or options conflict.

    Examples
    --------
    >>> import slugline
    >>> train, later = slugline.load_corpus("tickets").split(0.3, 0)
    >>> classifier = slugline.train(train, test_fraction=None).classifier
    >>> result = slugline.count(classifier, later.texts)
    >>> billing = result.counts.total.topics[1]
    >>> billing.topic, billing.interval.low < 12 / 63 < billing.interval.high
    ('billing', True)
    """
    check_whole("random_state", random_state, 0)
    check_whole("n_jobs", n_jobs, 1)
    if not isinstance(labelled, str | Path | None):
        raise OptionError(
            Parameter("labelled"),
            f" is a {type(labelled).__name__}; give the path of a file of labelled texts.",
        )
    options = CountOptions(
        by=by,
        date=date,
        date_order=date_order,
        topics=(topics,) if isinstance(topics, str) else tuple(topics or ()),
        n_threads=n_jobs,
        seed=random_state,
    )
    reading = ReadOptions(text=text, header_row=header_row)
    return count_data(
        model,
        data,
        reading,
        options,
        since=since,
        labelled=labelled,
        progress=check_progress(progress),
    )


def count_data(
    model: Model,
    data: str | Path | Frame | Iterable[str],
    reading: ReadOptions,
    options: CountOptions,
    *,
    since: datetime.date | None,
    labelled: str | Path | None,
    progress: Progress,
) -> CountResult:
    """Count texts for both `count` and the command; see `count` for the parameters.

    `reading` sets columns and file format; `options` sets everything else except labels.
    """
    fitted, test_fraction = _load(model)
    sample = None
    if labelled is not None:
        sample = read_labelled_sample(Path(labelled), fitted, test_fraction)
    options = replace(options, text=reading.text, labelled=sample)
    if since is not None or (isinstance(data, str | Path) and is_watch_file(data)):
        check_no_text_options(
            {
                "text": reading.text,
                "date": options.date,
                "date_order": options.date_order,
                "format": reading.format,
                "encoding": reading.encoding,
                "separator": reading.separator,
                "header_row": reading.header_row,
            }
        )
        day_options = DayCountOptions(
            since=since,
            by=None if options.by is None else read_period(options.by),
            labelled=sample,
            topics=options.topics,
            seed=options.seed,
        )
        return CountResult(_count_days(model, fitted, data, day_options))
    check_countable(fitted, options)
    rows = _read(data, replace(reading, columns=options.group_columns, layout=fitted.layout))
    return CountResult(count_rows(fitted, rows, options, progress), separator=rows.separator)


def _load(model: Model) -> tuple[Fitted, float | None]:
    """Return a model and its test fraction, which only model files record."""
    if isinstance(model, TopicClassifier):
        return to_classifier(model).fitted_, None
    check_model(model)
    fitted, file = load_model(model)
    return fitted, file.info.test_fraction


def _count_days(model: Model, fitted: Fitted, data: object, options: DayCountOptions) -> Counts:
    """Count the texts that a server answered."""
    if not isinstance(data, str | Path):
        raise OptionError(
            Parameter("since"), " requires the path of a file written by `slugline serve --watch`."
        )
    if isinstance(model, TopicClassifier):
        raise OptionError(
            Parameter("model"),
            f" is a classifier, but {data} contains daily sums of model files; give the path of "
            "the model file.",
        )
    return count_days(
        data, fitted, WatchedModel.from_file(Path(model_path(model)), fitted), options
    )


def _read(data: str | Path | Frame | Iterable[str], reading: ReadOptions) -> RowReader:
    """Return a reader of the texts."""
    if isinstance(data, str | Path):
        check_no_foreign_database(data)
        return read_rows(data, reading, fallback="txt")
    if isinstance(data, Frame):
        return read_frame(data, reading.layout)
    texts = check_texts(data)
    rows = (SourceRow(at, {"text": text}) for at, text in enumerate(texts))
    return RowReader("the list", "frame", rows)
