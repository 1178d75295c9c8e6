"""Documents from rows: which cells are texts and topics, and which rows can't be used."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
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
    row_with_cells,
)
from slugline.corpus.layout import DataLayout, ReadOptions, TopicForm
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

#: The fraction of the rows of a source that may be skipped. If more can't be used, the source as a
#: whole is wrong, and a model of the other rows would not be what the user expects.
MAX_SKIPPED = 0.1
#: Places of rows that a message names.
N_PLACES = 5
#: Bad rows that a stream keeps for messages.
MAX_BAD_ROWS = 1000
# Characters of joined names of topic columns; model files hold as many.
_N_TOPIC = 1000
# With this number of topics, those of a document are probably separated in the wrong way.
_MANY_TOPICS = 100
NO_TOPIC = "a document of no topic"
EMPTY_CELL = "a document of no topic, by an empty cell"
_SEVERAL = "several topics, where the first 100 rows of the data have one each"
SEVERAL_ADVICE = "put a document with several among these"
_MISSING_ADVICE = {"txt": "begin each line with __label__ and its topic", "folder": "fill them"}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_ONE_KIND = "make all topics words or all numbers"


class Document(NamedTuple):
    """A text and its topics, its place in the source, and a note of the reader."""

    at: int | str
    text: str
    topic: str | tuple[str, ...]
    note: str

    def topics(self) -> tuple[str, ...]:
        """Return the topics as a tuple, even if there is one."""
        return self.topic if isinstance(self.topic, tuple) else (self.topic,)


class NotLabelled(NamedTuple):
    """A row that has no topic yet."""

    at: int | str


class SourceLayout(NamedTuple):
    """Columns of a source, and how its topics are written.

    Attributes
    ----------
    text : tuple of str
        The columns of the text.
    topic : str
        The column of the topic.
    example : str or None
        A topic of the usual kind, number or word; None if no row at the beginning has a topic.
    candidates : tuple of str
        The columns that may be text; see `columns_note`.
    form : TopicForm or None
        How several topics are written.
    extra_columns : tuple of str
        Columns to learn from besides the text.
    has_names : bool
        Whether the source names its columns.
    decimal_commas : frozenset of str
        Those of `extra_columns` whose numbers have a decimal comma.
    is_sheet : bool
        Whether the source is a sheet of Excel.
    """

    text: tuple[str, ...]
    topic: str
    example: str | None = None
    candidates: tuple[str, ...] = ()
    form: TopicForm | None = None
    extra_columns: tuple[str, ...] = ()
    has_names: bool = True
    decimal_commas: frozenset[str] = frozenset()
    is_sheet: bool = False

    @property
    def topic_column(self) -> str | None:
        """The one column of topics; None if there is one for each topic."""
        return None if self.form is not None and self.form.columns else self.topic


class SourceSchema(NamedTuple):
    """Layout of a source as consecutive rows show it, and numbers of these rows.

    Attributes
    ----------
    name, unit : str
        See `RowReader`.
    layout : SourceLayout or None
        The layout; None before any row was read.
    has_names : bool
        Whether the source names its columns.
    n_rows, n_bad, n_unlabelled : int
        Number of rows, of bad rows, and of rows that are not labelled yet.
    bad : tuple of BadRow
        The first bad rows.
    unlabelled : tuple of NotLabelled
        The first rows that are not labelled yet.
    n_lines : int
        Number of lines of a part of a file, which numbers its rows from 1; 0 for other sources.
    is_last : bool
        Whether the source ends here.
    """

    name: str
    unit: str
    layout: SourceLayout | None
    has_names: bool
    n_rows: int
    n_bad: int
    bad: tuple[BadRow, ...]
    n_unlabelled: int = 0
    unlabelled: tuple[NotLabelled, ...] = ()
    n_lines: int = 0
    is_last: bool = True


def read_layout(
    rows: RowReader, options: ReadOptions
) -> tuple[list[SourceRow | BadRow], SourceLayout]:
    """Consume and return the first rows of a source, and return its layout.

    Raises DataError if it has no documents, or the columns can't be determined.
    """
    head = peek(rows)
    # The note of an Excel file says which sheet is read, which may be a cover.
    name = f"{rows.name} ({rows.note})" if rows.format == "xlsx" and rows.note else rows.name
    if not head:
        raise DataError(f"{name} holds no documents, at most a header; check the file.")
    form = options.topic_form() or _form_of_layout(rows, head, options)
    form = form or (_form_of_lists(rows) if options.multilabel else None)
    if form is not None and form.columns:
        topic = ",".join(form.columns)[:_N_TOPIC]
        text = find_text_columns_except(name, head, options.text, form.columns, rows.layout)
    else:
        text, topic = find_both_columns(name, head, options.text, options.topic, rows.layout)
    for column in options.columns:
        check_column_exists(name, column, column_names(head))
        if column in (*text, topic, *(form.columns if form else ())):
            raise OptionError(
                Parameter("columns"),
                f" names {short_repr(column)}, which is read as "
                f"{'text' if column in text else 'topic'}; name columns beside these.",
            )
    candidates = known_text_columns(column_names(head), (topic,)) if options.text is None else ()
    layout = SourceLayout(
        text,
        topic,
        candidates=candidates,
        form=form,
        extra_columns=tuple(options.extra_columns),
        has_names=rows.has_names,
        decimal_commas=decimal_comma_columns(rows, head, options.extra_columns),
        is_sheet=rows.format == "xlsx",
    )
    checked = [_check_row(row, layout) for row in head]
    documents = [document for document in checked if isinstance(document, Document)]
    is_tuple = (isinstance(document.topic, tuple) for document in documents)
    if form is None and options.multilabel is None and any(is_tuple):
        layout = layout._replace(form=_form_of_lists(rows))
    topics = [topic for document in documents for topic in document.topics()]
    numbers = [topic for topic in topics if _is_number(topic)]
    words = [topic for topic in topics if not _is_number(topic)]
    usual = words if len(words) >= len(numbers) else numbers
    return head, layout._replace(example=usual[0] if usual else None)


def _form_of_lists(rows: RowReader) -> TopicForm:
    """Return the form of several topics in a source whose format has them."""
    kinds: dict[str, Literal["label", "uris"]] = {"txt": "label", "uris": "uris"}
    return TopicForm(kinds.get(rows.format, "array"))


def _form_of_layout(
    rows: RowReader, head: Sequence[SourceRow | BadRow], options: ReadOptions
) -> TopicForm | None:
    """Return the form of a layout, if the source can have it and the user named no columns."""
    form = None if rows.layout is None else rows.layout.topic_form
    if form is None or options.topic is not None:
        return None
    if form.kind == "label":
        return form if rows.format == "txt" else None
    fits = form.kind == "separator" or (form.columns and {*form.columns} <= {*column_names(head)})
    return form if fits and rows.has_names else None


class LabelledRows:
    """The documents of a source, or of a part of one, once.

    A row is bad if it has no text, or a topic of another kind than most of the first 100 rows: a
    number among words, or a word among numbers. Iteration ends at the first bad row unless such
    rows are skipped. Rows whose topic has a column, and is missing, are not labelled yet; they are
    counted and left out. Lines without a label are bad.

    If a document of the first 100 rows has several topics, or a form of several topics was named,
    all documents have tuples of topics.

    Parameters
    ----------
    rows : RowReader
    options : ReadOptions
    layout : SourceLayout, optional
        That of the source, if this is a part of one; the part may then be empty.
    is_last : bool, default True
        Whether the source ends where these rows end.
    max_bad_rows : int, default 1000
        Bad rows to return with a schema.
    may_mix : bool, default False
        Whether later documents may have several topics though no earlier one has; if not, they are
        bad rows.

    Attributes
    ----------
    name : str
        That of the source, for messages.
    is_stopped : bool
        Whether iteration ended at a bad row.

    Raises
    ------
    DataError : while iterating, as `read_layout` does.
    """

    def __init__(
        self,
        rows: RowReader,
        options: ReadOptions,
        *,
        layout: SourceLayout | None = None,
        is_last: bool = True,
        max_bad_rows: int = MAX_BAD_ROWS,
        may_mix: bool = False,
    ) -> None:
        self.name, self._rows, self._options = rows.name, rows, options
        self._layout, self._is_last = layout, is_last
        self._max_bad_rows, self._may_mix = max_bad_rows, may_mix
        self._odd_example = ""
        self._ended = self.is_stopped = False
        self._reset()

    def _reset(self) -> None:
        self._bad: list[BadRow] = []
        self._unlabelled: list[NotLabelled] = []
        self._n_rows = self._n_bad = self._n_unlabelled = 0

    def __iter__(self) -> Iterator[Document]:
        head: list[SourceRow | BadRow] = []
        layout = self._layout
        if layout is None:
            head, layout = read_layout(self._rows, self._options)
        self._layout = layout
        advice = _MISSING_ADVICE.get(self._rows.format, "fix them")
        for row in itertools.chain(head, self._rows):
            self._n_rows += 1
            document = _check_row(row, layout, advice)
            if isinstance(document, Document):
                document = self._check_topics(document)
            if isinstance(document, Document):
                yield document
                continue
            if isinstance(document, NotLabelled):
                self._n_unlabelled += 1
                self._unlabelled.append(document)
                del self._unlabelled[N_PLACES:]
                continue
            self._n_bad += 1
            # Its cells are not named, and may be large.
            self._bad.append(document._replace(values={}))
            del self._bad[self._max_bad_rows :]
            if not self._options.skip_bad_rows:
                self.is_stopped = True
                return
        self._ended = True

    def _check_topics(self, document: Document) -> Document | BadRow:
        """Return the document, or a bad row if its topics are unlike those before."""
        layout = self._layout
        if layout is None:
            return document
        if layout.form is None and isinstance(document.topic, tuple):
            if not self._may_mix:
                return BadRow(document.at, _SEVERAL, SEVERAL_ADVICE)
            layout = layout._replace(form=_form_of_lists(self._rows))
        topics, separator = document.topics(), self._options.topic_path
        if separator is not None and (path := empty_part(topics, separator)) is not None:
            return BadRow(document.at, f"an empty part in the path {short_repr(path)}")
        if layout.example is None and topics:
            layout = layout._replace(example=topics[0])
        self._layout = layout
        is_number = _is_number(str(layout.example))
        odd = next((topic for topic in topics if _is_number(topic) != is_number), None)
        if odd is None or layout.topic_column is None:
            return document
        self._odd_example = self._odd_example or odd
        return BadRow(
            document.at,
            f"a {'word' if is_number else 'number'} as topic, such as "
            f"{short_repr(self._odd_example)}, where most are like "
            f"{short_repr(str(layout.example))}",
            _ONE_KIND,
        )

    def take_schema(self) -> SourceSchema:
        """Return the schema of the rows since the last call, and reset the counts."""
        rows = self._rows
        schema = SourceSchema(
            rows.name,
            rows.unit,
            self._layout,
            rows.has_names,
            self._n_rows,
            self._n_bad,
            tuple(self._bad),
            self._n_unlabelled,
            tuple(self._unlabelled),
            rows.n_lines() if self._ended else 0,
            self._ended and self._is_last,
        )
        self._reset()
        return schema


def _check_row(
    row: SourceRow | BadRow, layout: SourceLayout, advice: str = "fix them"
) -> Document | NotLabelled | BadRow:
    """Return the document of a row, or the reason why the row can't be used."""
    if isinstance(row, BadRow):
        return row
    try:
        topic = _read_topic(row, layout)
    except BadTopicsError as error:
        return BadRow(row.at, str(error))
    if topic == "" and layout.has_names:
        return NotLabelled(row.at)
    text = row_text(row, layout.text, is_sheet=layout.is_sheet)
    text = "" if text is None else text
    place = in_columns(layout.text) if layout.has_names else ""
    if not isinstance(text, str):
        return BadRow(row.at, f"{describe_type(text)} for a text{place}")
    missing = [word for word, value in (("text", text.strip()), ("topic", topic)) if value == ""]
    if missing:
        return BadRow(row.at, f"no {' and no '.join(missing)}{place}", advice)
    text = row_with_cells(row, text, layout.extra_columns, layout.decimal_commas)
    if isinstance(topic, str):
        return Document(row.at, text, topic, row.note)
    distinct = tuple(dict.fromkeys(topic))
    note = row.note or _topics_note(topic, len(distinct))
    if note == NO_TOPIC and layout.form is not None and layout.form.kind == "separator":
        note = EMPTY_CELL
    return Document(row.at, text, distinct, note)


def _read_topic(row: SourceRow, layout: SourceLayout) -> str | tuple[str, ...]:
    """Return the topic of a row, several, or an empty string if it is not labelled yet."""
    form = layout.form
    if form is not None and form.columns:
        is_labelled = any(topic_name(row.values.get(column)) for column in form.columns)
        return read_topic_columns(row.values, form.columns) if is_labelled else ""
    topic = read_topics(row.values.get(layout.topic), form)
    is_mark = form is not None and form.kind == "separator" and topic == (NOT_LABELLED,)
    return "" if is_mark else topic


def has_topic(row: SourceRow, layout: DataLayout) -> bool:
    """Whether a row has a topic already, in the column, or columns, of a layout."""
    try:
        source = SourceLayout(layout.text, layout.topic, form=layout.topic_form)
        return bool(_read_topic(row, source))
    except BadTopicsError:
        return True


def _topics_note(topics: Sequence[str], n_distinct: int) -> str:
    """Return what is unusual about the topics of a document, or an empty string."""
    if n_distinct < len(topics):
        return "a topic twice in one document, where it counts once"
    if n_distinct > _MANY_TOPICS:
        return f"more than {_MANY_TOPICS} topics for one document; check what separates them"
    return "" if topics else NO_TOPIC


def _is_number(topic: str) -> bool:
    return _NUMBER.fullmatch(topic) is not None


def check_same_kind(first: tuple[str, str], other: tuple[str, str]) -> None:
    """Raise DataError if two sources, each with one of its topics, have numbers and words."""
    if _is_number(first[1]) != _is_number(other[1]):
        raise DataError(
            f"{first[0]} has topics like {short_repr(first[1])}, but {other[0]} has some like "
            f"{short_repr(other[1])}; {_ONE_KIND}."
        )
