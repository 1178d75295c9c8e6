"""Convert rows to labelled documents, and report unusable rows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from slugline.base.checks import short_repr
from slugline.corpus.columns import (
    check_column_exists,
    column_names,
    decimal_comma_columns,
    find_both_columns,
    find_text_columns_except,
    in_columns,
    known_text_columns,
    peek,
    row_text,
    text_with_cells,
)
from slugline.corpus.layout import Layout, ReadOptions, TopicForm
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import BadRow, SourceRow
from slugline.corpus.topic_cells import (
    NOT_LABELLED,
    BadTopicsError,
    describe_type,
    read_topic_columns,
    read_topics,
    topic_name,
)
from slugline.corpus.topic_sets import empty_part
from slugline.errors import DataError, OptionError, Parameter

#: Maximum fraction of rows to skip. If more are bad, the source as a whole is probably wrong, and
#: users would not expect a model trained on the rest.
MAX_SKIPPED = 0.1
#: Maximum number of row places listed in a message.
N_PLACES = 5
#: Maximum number of bad rows that a stream keeps for messages.
MAX_BAD_ROWS = 1000
# Maximum length of the joined names of topic columns, as in model files.
_MAX_TOPIC_CHARACTERS = 1000
# Maximum plausible number of topics per document; more suggest a wrong separator.
_MANY_TOPICS = 100
_SEVERAL = "several topics, but the first 100 rows have one each"
SEVERAL_ADVICE = "put a document with several topics among the first 100 rows"
_MISSING_ADVICE = {"txt": "begin each line with __label__ and its topic", "folder": "fill them"}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_ONE_KIND = "make all topics strings or all numbers"


class Document(NamedTuple):
    """A text and its topics, its place in the source, and a note from the reader."""

    at: int | str  # place in the source, as in `SourceRow`
    text: str
    topic: str | tuple[str, ...]
    note: str

    def topics(self) -> tuple[str, ...]:
        """Return the topics as a tuple, even for a single topic."""
        return self.topic if isinstance(self.topic, tuple) else (self.topic,)


class NotLabelled(NamedTuple):
    """A row without a topic or, if `has_topic`, with a topic but no text."""

    at: int | str  # place in the source, as in `SourceRow`
    has_topic: bool = False


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """The layout of a source, and properties inferred from its first rows.

    Attributes
    ----------
    layout : Layout
    example : str or None
        A topic of the kind (number or word) most common in the first rows; later topics must be of
        the same kind. None if no row has a topic yet.
    candidates : tuple of str
        Columns that may be text; see `columns_note`.
    decimal_commas : frozenset of str
        Extra columns whose numbers have a decimal comma.
    """

    layout: Layout
    example: str | None = None
    candidates: tuple[str, ...] = ()
    decimal_commas: frozenset[str] = frozenset()


class RowsReport(NamedTuple):
    """A report on consecutive rows: their schema, and the bad, unlabelled and empty rows.

    Attributes
    ----------
    name, unit : str
        See `RowReader`.
    schema : SourceSchema or None
        Schema of the source; None before the first row.
    has_names : bool
        True if the source names its columns.
    n_rows, n_bad, n_unlabelled, n_empty : int
        Number of rows in total, bad, unlabelled, and labelled with an empty text.
    bad : tuple of BadRow
        The first bad rows.
    unlabelled, empty : tuple of NotLabelled
        The first unlabelled rows, and the first labelled rows with an empty text.
    is_last : bool
        True if the source ends with these rows.
    """

    name: str
    unit: str
    schema: SourceSchema | None
    has_names: bool
    n_rows: int
    n_bad: int
    bad: tuple[BadRow, ...]
    n_unlabelled: int = 0
    unlabelled: tuple[NotLabelled, ...] = ()
    n_empty: int = 0
    empty: tuple[NotLabelled, ...] = ()
    is_last: bool = True


def read_schema(
    rows: RowReader, options: ReadOptions
) -> tuple[list[SourceRow | BadRow], SourceSchema]:
    """Consume and return the first rows of a source, and infer its schema.

    Raises DataError if the source has no documents or its columns can't be determined.
    """
    head = peek(rows)
    # For Excel, the note names the sheet, which may be a cover sheet.
    name = f"{rows.name} ({rows.note})" if rows.format == "xlsx" and rows.note else rows.name
    if not head:
        raise DataError(f"{name} contains no documents, at most a header; check the file.")
    schema = _find_schema(name, rows, head, options)
    checked = [_check_row(row, rows, schema) for row in head]
    documents = [document for document in checked if isinstance(document, Document)]
    has_lists = any(isinstance(document.topic, tuple) for document in documents)
    may_be_multilabel = options.multilabel is not False
    if schema.layout.topic_form is None and has_lists and may_be_multilabel:
        schema = _with_lists(schema, rows)
    return head, replace(schema, example=_usual_topic(documents))


def _with_lists(schema: SourceSchema, rows: RowReader) -> SourceSchema:
    """Return the schema with a topic form for lists of topics."""
    return replace(schema, layout=replace(schema.layout, topic_form=_list_form(rows)))


def _complete_schema(schema: SourceSchema, document: Document, rows: RowReader) -> SourceSchema:
    """Complete the schema if the first rows had no topics or no lists of topics."""
    if schema.layout.topic_form is None and isinstance(document.topic, tuple):
        schema = _with_lists(schema, rows)
    if schema.example is None and document.topics():
        schema = replace(schema, example=document.topics()[0])
    return schema


def _find_schema(
    name: str, rows: RowReader, head: Sequence[SourceRow | BadRow], options: ReadOptions
) -> SourceSchema:
    """Determine the schema from the options, a model's layout and the column names."""
    form = options.topic_form() or _model_form(rows, head, options)
    if form is None and options.multilabel:
        form = _list_form(rows)
    if form is not None and form.columns:
        topic = ",".join(form.columns)[:_MAX_TOPIC_CHARACTERS]
        text = find_text_columns_except(name, head, options.text, form.columns, rows.layout)
    else:
        text, topic = find_both_columns(name, head, options.text, options.topic, rows.layout)
    columns = column_names(head)
    for column in options.columns:
        check_column_exists(name, column, columns)
        if column in (*text, topic, *(form.columns if form else ())):
            raise OptionError(
                Parameter("columns"),
                f" names {short_repr(column)}, which is read as "
                f"{'text' if column in text else 'topic'}; choose other columns.",
            )
    return SourceSchema(
        Layout(text, topic, topic_form=form, columns=tuple(options.extra_columns)),
        candidates=known_text_columns(columns, (topic,)) if options.text is None else (),
        decimal_commas=decimal_comma_columns(rows, head, options.extra_columns),
    )


def _usual_topic(documents: Sequence[Document]) -> str | None:
    """Return the first topic of the more common kind, words or numbers; None without topics."""
    topics = [topic for document in documents for topic in document.topics()]
    numbers = [topic for topic in topics if _is_number(topic)]
    words = [topic for topic in topics if not _is_number(topic)]
    usual = words if len(words) >= len(numbers) else numbers
    return usual[0] if usual else None


def _list_form(rows: RowReader) -> TopicForm:
    """Return how the source's format represents lists of topics."""
    kinds: dict[str, Literal["label", "uris"]] = {"txt": "label", "uris": "uris"}
    return TopicForm(kinds.get(rows.format, "array"))


def _model_form(
    rows: RowReader, head: Sequence[SourceRow | BadRow], options: ReadOptions
) -> TopicForm | None:
    """Return a layout's topic form if it fits the source and no topic column is named."""
    form = None if rows.layout is None else rows.layout.topic_form
    if form is None or options.topic is not None:
        return None
    if form.kind == "label":
        return form if rows.format == "txt" else None
    fits = form.kind == "separator" or (form.columns and {*form.columns} <= {*column_names(head)})
    return form if fits and rows.has_names else None


class LabelledRows:
    """Single-pass iterator over the documents of a source or a part of one.

    A row is bad if its topic differs in kind from most of the first 100 rows: a number among words,
    or a word among numbers. Iteration stops at the first bad row unless bad rows are skipped. Rows
    with an empty topic cell count as unlabelled, and rows with an empty text as empty; both are
    left out. Lines of text without a label are bad.

    All documents have tuples of topics if any of the first 100 rows has several topics or a
    multi-label form was named.

    Parameters
    ----------
    rows : RowReader
    options : ReadOptions
    schema : SourceSchema, optional
        Schema of the source, if the rows are only a part of it; the part may be empty.
    max_bad_rows : int, default 1000
        Maximum number of bad rows in a report.
    may_mix : bool, default False
        If True, later documents may have several topics even if no earlier one does; if False, such
        rows are bad.

    Attributes
    ----------
    name : str
        Name of the source in messages.
    is_stopped : bool
        True if iteration stopped at a bad row.

    Raises
    ------
    DataError : during iteration, as in `read_schema`.
    """

    def __init__(
        self,
        rows: RowReader,
        options: ReadOptions,
        *,
        schema: SourceSchema | None = None,
        max_bad_rows: int = MAX_BAD_ROWS,
        may_mix: bool = False,
    ) -> None:
        self.name, self._rows, self._options = rows.name, rows, options
        self._schema = schema
        self._max_bad_rows, self._may_mix = max_bad_rows, may_mix
        self._odd_example = ""
        self._is_complete = self.is_stopped = False
        self._reset()

    def _reset(self) -> None:
        self._bad: list[BadRow] = []
        self._unlabelled: list[NotLabelled] = []
        self._empty: list[NotLabelled] = []
        self._n_rows = self._n_bad = self._n_unlabelled = self._n_empty = 0

    def __iter__(self) -> Iterator[Document]:
        head: list[SourceRow | BadRow] = []
        schema = self._schema
        if schema is None:
            head, schema = read_schema(self._rows, self._options)
        self._schema = schema
        for row in itertools.chain(head, self._rows):
            self._n_rows += 1
            document = _check_row(row, self._rows, schema)
            if isinstance(document, Document):
                document = self._check_topics(document, schema)
            if isinstance(document, Document):
                self._schema = schema = _complete_schema(schema, document, self._rows)
                yield document
                continue
            if isinstance(document, NotLabelled):
                places = self._empty if document.has_topic else self._unlabelled
                self._n_empty += document.has_topic
                self._n_unlabelled += not document.has_topic
                places.append(document)
                del places[N_PLACES:]
                continue
            self._n_bad += 1
            # Drop its cells, which may be large and appear in no message.
            self._bad.append(document._replace(values={}))
            del self._bad[self._max_bad_rows :]
            if not self._options.skip_bad_rows:
                self.is_stopped = True
                return
        self._is_complete = True

    def _check_topics(self, document: Document, schema: SourceSchema) -> Document | BadRow:
        """Return the document, or a bad row if its topics differ in kind from earlier ones."""
        if (
            schema.layout.topic_form is None
            and isinstance(document.topic, tuple)
            and not self._may_mix
        ):
            return BadRow(document.at, _SEVERAL, SEVERAL_ADVICE)
        topics, separator = document.topics(), self._options.topic_path
        if separator is not None and (path := empty_part(topics, separator)) is not None:
            return BadRow(document.at, f"an empty part in the path {short_repr(path)}")
        if not topics or schema.layout.topic_column is None:
            return document
        usual = schema.example or topics[0]
        is_number = _is_number(usual)
        odd = next((topic for topic in topics if _is_number(topic) != is_number), None)
        if odd is None:
            return document
        self._odd_example = self._odd_example or odd
        return BadRow(
            document.at,
            f"a {'string' if is_number else 'number'} as topic, such as "
            f"{short_repr(self._odd_example)}, unlike most topics, such as {short_repr(usual)}",
            _ONE_KIND,
        )

    def take_report(self) -> RowsReport:
        """Report on the rows since the last call, and reset the counts."""
        rows = self._rows
        report = RowsReport(
            name=rows.name,
            unit=rows.unit,
            schema=self._schema,
            has_names=rows.has_names,
            n_rows=self._n_rows,
            n_bad=self._n_bad,
            bad=tuple(self._bad),
            n_unlabelled=self._n_unlabelled,
            unlabelled=tuple(self._unlabelled),
            n_empty=self._n_empty,
            empty=tuple(self._empty),
            is_last=self._is_complete,
        )
        self._reset()
        return report


def _check_row(
    row: SourceRow | BadRow, rows: RowReader, schema: SourceSchema
) -> Document | NotLabelled | BadRow:
    """Convert a row to a document, or classify it as unlabelled or bad."""
    if isinstance(row, BadRow):
        return row
    layout = schema.layout
    try:
        topic = _read_topic(row, layout)
    except BadTopicsError as error:
        return BadRow(row.at, str(error))
    if topic == "" and rows.has_names:
        return NotLabelled(row.at)
    text = row_text(row, layout.text, is_sheet=rows.format == "xlsx")
    if not isinstance(text, str | None):
        place = in_columns(layout.text) if rows.has_names else ""
        return BadRow(row.at, f"{describe_type(text)} for a text{place}")
    if topic == "":
        problem = "no topic" if text and text.strip() else "no text and no topic"
        return BadRow(row.at, problem, _MISSING_ADVICE.get(rows.format, "fix them"))
    if not text or not text.strip():
        return NotLabelled(row.at, has_topic=True)
    text = text_with_cells(row, text, layout.columns, schema.decimal_commas)
    if isinstance(topic, str):
        return Document(row.at, text, topic, row.note)
    distinct = tuple(dict.fromkeys(topic))
    return Document(row.at, text, distinct, row.note or _topics_note(topic, len(distinct)))


def _read_topic(row: SourceRow, layout: Layout) -> str | tuple[str, ...]:
    """Return the topic of a row, a tuple of topics, or "" if the row is unlabelled."""
    form = layout.topic_form
    if form is not None and form.columns:
        is_labelled = any(topic_name(row.values.get(column)) for column in form.columns)
        return read_topic_columns(row.values, form.columns) if is_labelled else ""
    topic = read_topics(row.values.get(layout.topic), form)
    has_separator = form is not None and form.kind == "separator"
    is_unlabelled_marker = has_separator and topic == (NOT_LABELLED,)
    return "" if is_unlabelled_marker else topic


def has_topic(row: SourceRow, layout: Layout) -> bool:
    """Return True if a row has a topic in the topic columns of a layout."""
    try:
        return bool(_read_topic(row, layout))
    except BadTopicsError:
        return True


def _topics_note(topics: Sequence[str], n_distinct: int) -> str:
    """Return a remark on unusual topics of a document, or an empty string."""
    if n_distinct < len(topics):
        return "a duplicate topic, counted once"
    if n_distinct > _MANY_TOPICS:
        return f"more than {_MANY_TOPICS} topics for one document; check the separator"
    return ""


def _is_number(topic: str) -> bool:
    return _NUMBER.fullmatch(topic) is not None


def check_same_kind(first: tuple[str, str], other: tuple[str, str]) -> None:
    """Raise DataError if topics are numbers in one source and words in the other.

    Each argument consists of a source name and a topic of that source.
    """
    if _is_number(first[1]) != _is_number(other[1]):
        raise DataError(
            f"topics mix strings and numbers: {short_repr(first[1])} in {first[0]}, "
            f"{short_repr(other[1])} in {other[0]}; {_ONE_KIND}."
        )
