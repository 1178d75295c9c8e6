"""Predictions for rows, in order and in bounded memory, without skipping rows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from slugline.base.checks import check_whole, short_repr
from slugline.base.threads import map_in_order
from slugline.corpus.columns import (
    N_PEEKED,
    column_names,
    columns_note,
    decimal_comma_columns,
    find_id_column,
    find_text_columns,
    in_columns,
    known_text_columns,
    peek,
    row_text,
    text_with_cells,
)
from slugline.corpus.header import ID_NAMES
from slugline.corpus.layout import (
    FileOptions,
    Layout,
    ReadOptions,
    check_delimiter,
    convert_options,
)
from slugline.corpus.readers import RowReader, check_format
from slugline.corpus.rows import BadRow, SourceRow, estimate_memory
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.model.decider import Decider
from slugline.model.decision import N_GUESSES, Decision
from slugline.model.fitted import Fitted
from slugline.text.table_columns import TableColumn, describe_odd_cells, odd_cells_note

Answer = TypeVar("Answer")


class Columns(NamedTuple):
    """Columns to read from a source.

    Attributes
    ----------
    text : tuple of str
        Columns whose cells, joined by line breaks, form the text.
    id : str or None
    extra : tuple of str
        Additional input columns of the model.
    decimals : frozenset of str
        Extra columns with decimal commas.
    is_sheet : bool
        True if the source is an Excel sheet.
    """

    text: tuple[str, ...]
    id: str | None = None
    extra: tuple[str, ...] = ()
    decimals: frozenset[str] = frozenset()
    is_sheet: bool = False


class Prediction(NamedTuple):
    """The prediction for a row.

    Attributes
    ----------
    at : int or str
        Position of the row; see `slugline.corpus.rows.SourceRow`.
    id : object
        The row's cell in the id column; None without such a column.
    values : mapping of str to object
        All cells of the row by column name.
    text : str
    decisions : mapping of str to Decision
        The decision on each question; see `Deciders`.
    """

    at: int | str
    id: Any
    values: Mapping[str, Any]
    text: str
    decisions: Mapping[str, Decision]

    @property
    def decision(self) -> Decision:
        """The decision on the only question."""
        [decision] = self.decisions.values()
        return decision


#: The deciders of a model by question. The key of a single question is arbitrary.
Deciders: TypeAlias = Mapping[str, Decider]


def predict_batch(
    deciders: Deciders,
    batch: list[SourceRow | BadRow],
    *,
    columns: Columns,
    missing: BadRow,
    top: int,
) -> list[Prediction | BadRow]:
    """Return a prediction for each row, in order; a BadRow for bad rows and rows without text."""
    texts = batch_texts(batch, columns, missing)
    documents = [text for text in texts if isinstance(text, str)]
    answers = [decider.decide(documents, top) for decider in deciders.values()]
    decisions = iter(zip(*answers, strict=True))
    predictions: list[Prediction | BadRow] = []
    for row, text in zip(batch, texts, strict=True):
        row_id = row.values.get(columns.id) if columns.id is not None else None
        if isinstance(text, BadRow):
            predictions.append(text._replace(id=row_id))
        else:
            by_question = dict(zip(deciders, next(decisions), strict=True))
            predictions.append(Prediction(row.at, row_id, row.values, text, by_question))
    return predictions


def batch_texts(
    batch: Sequence[SourceRow | BadRow], columns: Columns, missing: BadRow
) -> list[str | BadRow]:
    """Return the text of each row, or `missing` in place of absent text."""
    texts: list[str | BadRow] = []
    for row in batch:
        if isinstance(row, BadRow):
            texts.append(row)
            continue
        text = row_text(row, columns.text, is_sheet=columns.is_sheet)
        if isinstance(text, str) and text.strip():
            texts.append(text_with_cells(row, text, columns.extra, columns.decimals))
        else:
            texts.append(missing._replace(at=row.at, values=row.values))
    return texts


# Rows as they arrive ------------------------------------------------------------------------------


class BatchLimits(NamedTuple):
    """Maximum numbers of rows and bytes of a batch, and of bytes of all pending batches."""

    rows: int = 1024
    n_bytes: int = 1 << 22
    pending_bytes: int = 1 << 25


def predict_rows(
    deciders: Deciders,
    rows: RowReader,
    options: PredictOptions | None = None,
    *,
    limits: BatchLimits | None = None,
    announce: Callable[[str], object] | None = None,
) -> Iterator[list[Prediction | BadRow]]:
    """Predict the topics of rows as they arrive.

    Parameters
    ----------
    deciders : mapping of str to Decider
    rows : RowReader, from `slugline.corpus.readers.read_rows`
    options : PredictOptions, optional
        Uses `text`, `id`, `top` and `n_threads`. Two or three batches per thread are in memory.
    limits : BatchLimits, optional
    announce : callable, optional
        Called with a note on each guessed column other than "id".

    Yields
    ------
    list of Prediction, or BadRow for rows without text and unreadable rows: one batch, in the order
    of the rows. All rows read so far are yielded before a pause or an error of the source.

    Raises
    ------
    DataError : if it is unclear which column contains the text.
    OptionError : if there is no such column.
    """
    options = options or PredictOptions()
    # If the model may be unsure, reasons are reported with guesses.
    may_be_unsure = any(decider.may_be_unsure for decider in deciders.values())
    top = max(options.top, N_GUESSES) if may_be_unsure else options.top
    # All questions are trained on the same columns.
    fitted = next(iter(deciders.values())).fitted
    answers = map_batches(
        partial(predict_batch, deciders, top=top),
        fitted,
        rows,
        options,
        limits=limits,
        announce=announce,
    )
    yield from _note_odd_cells(answers, fitted.columns, announce)


def map_batches(
    function: Callable[..., Answer],
    fitted: Fitted,
    rows: RowReader,
    options: PredictOptions,
    *,
    limits: BatchLimits | None = None,
    announce: Callable[[str], object] | None = None,
    has_ids: bool = True,
) -> Generator[Answer, None, None]:
    """Apply a function to batches of rows as they arrive, and yield the results.

    See `predict_rows`. `function` is called from several threads, with the arguments of
    `predict_batch`. Pass `has_ids` if the results include ids: their column is then announced.
    """
    limits = limits or BatchLimits()
    head: list[SourceRow | BadRow] = []
    head_error = None
    try:
        n_peeked = min(limits.rows, N_PEEKED)
        peek(rows, n_peeked, n_bytes=limits.n_bytes, wait=False, head=head)
    except DataError as error:
        if not head:
            raise
        head_error = error
    id_column = find_id_column(rows.name, head, options.id)
    extra = tuple(column.name for column in fitted.columns)
    columns = Columns(
        text=find_text_columns(rows.name, head, options.text, id_column, rows.layout),
        id=id_column,
        extra=extra,
        decimals=decimal_comma_columns(rows, head, extra),
        is_sheet=rows.format == "xlsx",
    )
    if announce and rows.has_names and column_names(head):
        shown = columns if has_ids else columns._replace(id=None)
        _announce_columns(shown, rows, head, options, announce)
    missing = BadRow("", f"no text{in_columns(columns.text) if rows.has_names else ''}")
    answer = partial(function, columns=columns, missing=missing)
    if head_error is not None:
        yield answer(head)
        raise head_error

    def is_full(pending: Sequence[_Batch]) -> bool:
        max_pending = 0 if pending[-1].is_last_for_now else 2 * options.n_threads
        n_bytes = sum(batch.n_bytes for batch in pending)
        return len(pending) > max_pending or n_bytes > limits.pending_bytes

    yield from map_in_order(
        lambda batch: answer(batch.rows),
        _batches(head, rows, limits),
        options.n_threads,
        is_full=is_full,
    )


def _announce_columns(
    columns: Columns,
    rows: RowReader,
    head: list[SourceRow | BadRow],
    options: PredictOptions,
    announce: Callable[[str], object],
) -> None:
    """Announce the columns that were guessed."""
    if options.text is None:
        candidates = known_text_columns(column_names(head), (columns.id,))
        announce(columns_note(columns.text, layout=rows.layout, candidates=candidates))
    if options.id is None and columns.id not in (None, ID_NAMES[0]):
        note = f"read column {short_repr(columns.id)} as id; choose another with "
        announce(Message(note, Parameter("id")))


def _note_odd_cells(
    batches: Iterable[list[Prediction | BadRow]],
    columns: Sequence[TableColumn],
    announce: Callable[[str], object] | None,
) -> Iterator[list[Prediction | BadRow]]:
    """Yield batches; announce each extra column once if it is missing or has odd cells."""
    announced: set[str] = set()
    for batch in batches:
        if columns and announce:
            texts = [row.text for row in batch if isinstance(row, Prediction)]
            remarks = describe_odd_cells(texts, [c for c in columns if c.name not in announced])
            announced |= remarks.keys()
            if remarks:
                announce(odd_cells_note(remarks.values()))
        yield batch


class _Batch(NamedTuple):
    rows: list[SourceRow | BadRow]
    n_bytes: int
    is_last_for_now: bool  # The next row hasn't arrived yet


def _batches(
    head: list[SourceRow | BadRow], rows: RowReader, limits: BatchLimits
) -> Iterator[_Batch]:
    items = iter(rows)
    batch = head
    n_bytes = sum(map(estimate_memory, head))
    while True:
        pauses = bool(batch) and rows.must_wait()
        if pauses or len(batch) >= limits.rows or n_bytes >= limits.n_bytes:
            yield _Batch(batch, n_bytes, pauses)
            batch, n_bytes = [], 0
        try:
            row = next(items, None)
        except DataError:
            # The rest is unreadable; answer the rows read so far before raising the error.
            yield _Batch(batch, n_bytes, is_last_for_now=True)
            raise
        if row is None:
            break
        batch.append(row)
        n_bytes += estimate_memory(row)
    yield _Batch(batch, n_bytes, is_last_for_now=True)


# Writing ------------------------------------------------------------------------------------------

# Maximum number of bad rows kept for messages.
_MAX_BAD_ROWS = 100


@dataclass
class RowCounts:
    """Numbers of rows, and of rows with an error instead of an answer.

    `bad_rows` are the first bad rows; `undecoded` is the first whose bytes could not be decoded.
    """

    n_rows: int = 0
    n_bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    undecoded: list[BadRow] = field(default_factory=list)


def write_predictions(
    batches: Iterable[list[Prediction | BadRow]],
    rows: RowReader,
    write: Callable[[Sequence[Prediction | BadRow]], object],
    *,
    strict: bool,
    on_progress: Callable[[int], object],
) -> RowCounts:
    """Write the batches of `predict_rows`, and return the row counts.

    `on_progress` is called after each batch with the number of rows so far.

    Raises
    ------
    DataError : with `strict`, at the first bad row, after the rows before it have been written.
    """
    counts = RowCounts()
    for batch in batches:
        bad = [row for row in batch if isinstance(row, BadRow)]
        if strict and bad:
            write(batch[: batch.index(bad[0])])
            raise DataError(
                f"{rows.name}, {rows.unit} {bad[0].at}: {bad[0].problem}; {bad[0].advice}, or "
                "continue past bad rows without ",
                Parameter("strict"),
                ".",
            )
        write(batch)
        counts.n_rows += len(batch)
        counts.n_bad += len(bad)
        counts.bad_rows += bad[: _MAX_BAD_ROWS - len(counts.bad_rows)]
        undecoded = [row for row in bad if row.sample]
        counts.undecoded += undecoded[: _MAX_BAD_ROWS - len(counts.undecoded)]
        on_progress(counts.n_rows)
    return counts


# Options ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PredictOptions(FileOptions):
    """Options for reading and predicting files.

    Attributes
    ----------
    text : str or sequence of str, optional
        Text column; by default, as in the model's training data, or guessed from the names. Several
        comma-separated columns are joined by line breaks, unless a single column has exactly that
        name.
    id : str, optional
        Id column to pass through; by default, a column with a common name such as "id".
    format, encoding, separator, header_row
        See `slugline.corpus.readers.read_rows`.
    to : {"csv", "tsv", "jsonl", "parquet", "xlsx"}, optional
        Format of the answers; by default, the format of each file, but JSON lines for text files
        and JSON arrays.
    top : int, default 1
        Number of topics to return for each row.
    min_precision, per_topic
        See `Decider.from_fitted`.
    strict : bool, default False
        Reject files with bad rows. By default, a bad row gets an error instead of an answer.
    n_threads : int, default 1
        Number of threads for each file.

    Raises
    ------
    OptionError : if a format, encoding or number is invalid.
    """

    id: str | None = None
    to: Literal["csv", "tsv", "jsonl", "parquet", "xlsx"] | None = None
    top: int = 1
    min_precision: float | None = None
    per_topic: bool = False
    strict: bool = False
    n_threads: int = 1

    def __post_init__(self) -> None:
        check_whole("top", self.top, 1)
        check_whole("n_threads", self.n_threads, 1)
        check_format(self.format, self.encoding)
        check_delimiter(self.separator)
        self.reading(None).header_hints()

    def reading(self, layout: Layout | None) -> ReadOptions:
        """Return the read options for a file, given the layout of a model's training data."""
        return convert_options(self, ReadOptions, layout=layout)


def make_decider(fitted: Fitted, options: PredictOptions) -> Decider:
    """Return the decider for some options.

    Raises
    ------
    OptionError : see `Decider.from_fitted`; also for `per_topic` without a precision.
    """
    decider = Decider.from_fitted(fitted, options.min_precision, per_topic=options.per_topic)
    if options.per_topic and decider.precision is None:
        raise OptionError(
            Parameter("per_topic"), " requires a ", Parameter("min_precision"), " over 0; add it."
        )
    return decider


def decider_notes(model: str, deciders: Deciders) -> Iterator[tuple[str, str]]:
    """Yield each question of a model, as in desk.slug:queue, whose decider has a note."""
    for question, decider in deciders.items():
        if decider.note:
            yield (f"{model}:{question}" if len(deciders) > 1 else model), decider.note


def make_deciders(models: Mapping[str, Fitted], options: PredictOptions) -> dict[str, Decider]:
    """Return the deciders of all questions; errors of one of several questions name it."""
    deciders = {}
    for question, fitted in models.items():
        try:
            deciders[question] = make_decider(fitted, options)
        except OptionError as error:
            if len(models) == 1:
                raise
            raise OptionError(f"{question}: ", *error.parts) from error
    return deciders
