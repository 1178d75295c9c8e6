"""Documents from rows: which cells are texts and topics, and which rows can't be used."""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.progress import SILENT, LongStep, Progress
from slugline.base.wording import counted, join_words, percent
from slugline.corpus.columns import (
    check_exists_column,
    column_names,
    columns_note,
    decimal_comma_columns,
    find_both_columns,
    find_text_beside,
    format_list,
    in_columns,
    known_text_columns,
    peek,
    row_text,
    row_with_cells,
)
from slugline.corpus.corpus import Corpus
from slugline.corpus.formats import ONE_COLUMN
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import (
    NOT_LABELLED,
    BadRow,
    BadTopicsError,
    DataLayout,
    ReadOptions,
    SourceRow,
    TopicForm,
    describe_type,
    join_advice,
    read_topic_columns,
    read_topics,
    separator_warnings,
    topic_name,
)
from slugline.corpus.topic_sets import empty_part
from slugline.errors import DataError, OptionError

# Kinds of faults that a message names, places of each, and sources.
_N_FAULTS, _N_PLACES, _N_SOURCES = 3, 5, 3
# The share of the rows of a source that may be skipped. If more can't be used, something is wrong
# with all of it, and a model of the others would not be what the user expects.
_MAX_SKIPPED = 0.1
# Bad rows that a stream keeps for messages.
_MAX_BAD_ROWS = 1000
_ROWS_PER_REPORT = 1024
# Characters of the names of columns that stand for the name of one; model files hold as many.
_N_TOPIC = 1000
# Topics of a document from which on they are probably not separated as they should be.
_MANY_TOPICS = 100
_NO_TOPIC = "a document of no topic"
_EMPTY_CELL = "a document of no topic, by an empty cell"
_SEVERAL = "several topics, where the first 100 rows of the data have one each"
_SEVERAL_ADVICE = "put a document with several among these"
_MISSING_ADVICE = {"txt": "begin each line with __label__ and its topic", "folder": "fill them"}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_ONE_KIND = "make all topics words or all numbers"


class Document(NamedTuple):
    """A text and its topics, the place in the source, and what the reader decided about them."""

    at: int | str
    text: str
    topic: str | tuple[str, ...]
    note: str

    def topics(self) -> tuple[str, ...]:
        """Return its topics, which may be one."""
        return self.topic if isinstance(self.topic, tuple) else (self.topic,)


class NotLabelled(NamedTuple):
    """A row that has no topic yet."""

    at: int | str


class SourceLayout(NamedTuple):
    """Where the rows of a source have texts and topics, and what kind of topics."""

    text: tuple[str, ...]  # the columns of the text
    topic: str  # the column of the topic
    # A topic of the usual kind, number or word; None if no row at the beginning has a topic.
    example: str | None = None
    candidates: tuple[str, ...] = ()  # the columns that may be text, see `columns_note`
    form: TopicForm | None = None  # that of several topics
    beside: tuple[str, ...] = ()  # the columns beside the text that count
    has_names: bool = True  # whether the source names its columns
    decimals: frozenset[str] = frozenset()  # those of `beside` with a decimal comma
    is_sheet: bool = False  # whether it is one of Excel

    @property
    def topic_column(self) -> str | None:
        """The one column of topics; None if there is one for each topic."""
        return None if self.form is not None and self.form.columns else self.topic


class SourceSchema(NamedTuple):
    """What some consecutive rows show about their source."""

    # see `RowReader`.
    name: str
    unit: str
    layout: SourceLayout | None  # None before any row was read
    has_names: bool  # whether the source names its columns
    # Number of rows, and of those that can't be used.
    n_rows: int
    n_bad: int
    bad: tuple[BadRow, ...]  # the first of these
    # Those that are not labelled yet.
    n_unlabelled: int = 0
    unlabelled: tuple[NotLabelled, ...] = ()  # the first of these
    # Lines of a part of a file whose rows are numbered from its own beginning; 0 for others.
    n_lines: int = 0
    is_last: bool = True  # whether the source ends here


def read_layout(
    rows: RowReader, options: ReadOptions
) -> tuple[list[SourceRow | BadRow], SourceLayout]:
    """Return the first rows of a source, which are used up, and its layout.

    Raises DataError if it has no documents, or the columns can't be determined.
    """
    head = peek(rows)
    # The note of an Excel file says which sheet is read, which may be a cover.
    name = f"{rows.name} ({rows.note})" if rows.format == "xlsx" and rows.note else rows.name
    if not head:
        raise DataError(f"{name} holds no documents, at most a header; check the file.")
    form = options.topic_form() or _form_of_layout(rows, head, options)
    form = form or (_form_of_lists(rows) if options.several else None)
    if form is not None and form.columns:
        topic = ",".join(form.columns)[:_N_TOPIC]
        text = find_text_beside(name, head, options.text, form.columns, rows.layout)
    else:
        text, topic = find_both_columns(name, head, options.text, options.topic, rows.layout)
    for beside in options.columns:
        check_exists_column(name, beside, column_names(head))
        if beside in (*text, topic, *(form.columns if form else ())):
            raise OptionError(
                f"`columns` names {short_repr(beside)}, which is read as "
                f"{'text' if beside in text else 'topic'}; name columns beside these."
            )
    candidates = known_text_columns(column_names(head), (topic,)) if options.text is None else ()
    layout = SourceLayout(
        *(text, topic, None, candidates, form, tuple(options.beside), rows.has_names),
        decimal_comma_columns(rows, head, options.beside),
        rows.format == "xlsx",
    )
    checked = [_check_row(row, layout) for row in head]
    documents = [document for document in checked if isinstance(document, Document)]
    is_tuple = (isinstance(document.topic, tuple) for document in documents)
    if form is None and options.several is None and any(is_tuple):
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
        max_bad_rows: int = _MAX_BAD_ROWS,
        may_mix: bool = False,
    ) -> None:
        self.name, self._rows, self._options = rows.name, rows, options
        self._layout, self._is_last = layout, is_last
        self._max_bad_rows, self._may_mix = max_bad_rows, may_mix
        self._unusual = ""
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
                del self._unlabelled[_N_PLACES:]
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
        """Return the document, or a bad row if its topics are not like those before."""
        layout = self._layout
        if layout is None:
            return document
        if layout.form is None and isinstance(document.topic, tuple):
            if not self._may_mix:
                return BadRow(document.at, _SEVERAL, _SEVERAL_ADVICE)
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
        self._unusual = self._unusual or odd
        return BadRow(
            document.at,
            f"a {'word' if is_number else 'number'} as topic, such as {short_repr(self._unusual)}, "
            f"where most are like {short_repr(str(layout.example))}",
            _ONE_KIND,
        )

    def take_schema(self) -> SourceSchema:
        """Return what the rows since the last call show, and count from 0 again."""
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
    """Return the document of a row, or why it can't be used."""
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
    text = row_with_cells(row, text, layout.beside, layout.decimals)
    if isinstance(topic, str):
        return Document(row.at, text, topic, row.note)
    distinct = tuple(dict.fromkeys(topic))
    note = row.note or _topics_note(topic, len(distinct))
    if note == _NO_TOPIC and layout.form is not None and layout.form.kind == "separator":
        note = _EMPTY_CELL
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
    return "" if topics else _NO_TOPIC


def _is_number(topic: str) -> bool:
    return _NUMBER.fullmatch(topic) is not None


def _check_same_kind(first: tuple[str, str], other: tuple[str, str]) -> None:
    """Raise DataError if two sources, each with one of its topics, have numbers and words."""
    if _is_number(first[1]) != _is_number(other[1]):
        raise DataError(
            f"{first[0]} has topics like {short_repr(first[1])}, but {other[0]} has some like "
            f"{short_repr(other[1])}; {_ONE_KIND}."
        )


# A corpus of one or more sources -----------------------------------------------------------------


class _Source(NamedTuple):
    name: str
    unit: str
    documents: list[Document]
    example: str  # one of its topics
    n_skipped: int
    notes: list[str]
    layout: DataLayout | None  # None without named columns
    n_unlabelled: int = 0


def collect(
    sources: Iterable[RowReader], options: ReadOptions, progress: Progress = SILENT
) -> Corpus:
    """Return one corpus of all sources; see `load_corpus` for the errors."""
    with closing(progress):
        contents = [_read_source(rows, options, progress) for rows in sources]
    first = contents[0]
    for other in contents[1:]:
        _check_same_kind((first.name, first.example), (other.name, other.example))
    documents = [document for source in contents for document in source.documents]
    several = any(isinstance(document.topic, tuple) for document in documents)
    return Corpus(
        [document.text for document in documents],
        [document.topics() if several else document.topic for document in documents],
        join_words([Path(source.name).name or source.name for source in contents], _N_SOURCES),
        tuple(_merge_notes(contents)),
        sum(source.n_skipped for source in contents),
        *_places(contents),
        n_unlabelled=sum(source.n_unlabelled for source in contents),
        layout=_common_layout([source.layout for source in contents]),
    )


def _common_layout(layouts: Sequence[DataLayout | None]) -> DataLayout | None:
    """Return the layout of all sources, without an encoding or separator of only some of them."""
    first = layouts[0]
    if first is None or any(other is None or other[:2] != first[:2] for other in layouts):
        return None
    known = [layout for layout in layouts if layout is not None]
    if len({other.encoding for other in known}) > 1:
        first = first._replace(encoding=None)
    if len({other.separator for other in known}) > 1:
        first = first._replace(separator=None)
    return first


def _places(sources: Sequence[_Source]) -> tuple[list[int | str], str]:
    """Return the place of each document, and the unit; with the names of several sources."""
    if len(sources) == 1:
        return [document.at for document in sources[0].documents], sources[0].unit
    return [
        f"{s.name}, {s.unit} {document.at}" for s in sources for document in s.documents
    ], "place"


def _read_source(rows: RowReader, options: ReadOptions, progress: Progress) -> _Source:
    lenient = options._replace(skip_bad_rows=True)
    labelled = LabelledRows(rows, lenient, max_bad_rows=sys.maxsize, may_mix=True)
    documents, step = [], LongStep(progress, f"reading {rows.name}")
    for document in labelled:
        documents.append(document)
        if len(documents) % _ROWS_PER_REPORT == 0:
            step.update(rows.fraction_read())
    schema = labelled.take_schema()
    columns, layout = "", schema.layout
    chosen_columns = (options.text, options.topic or options.topic_columns)
    if rows.has_names and None in chosen_columns and layout is not None:
        columns = columns_note(layout.text, layout.topic_column, rows.layout, layout.candidates)
    advice = f"{columns and f' Slugline {columns}.'}{_separator_advice(documents, layout)}"
    skipped = _skipped_note(schema, options, advice)
    unlabelled = _unlabelled_note(schema)
    if layout is None or layout.example is None:
        advice = "check how topics are written"
        if unlabelled:
            advice = f"{unlabelled}; label some, or name another column with `topic`"
        raise DataError(f"{rows.name} has no document with a topic; {advice}.")
    remarks = _group_remarks(((d.note, d.at) for d in documents if d.note), rows.unit)
    left_out = unlabelled and f"left out: {unlabelled}"
    notes = [*filter(None, (rows.note, columns, *remarks, left_out, skipped))]
    notes += _form_notes(layout, documents, options.topic_separator)
    data_layout = None
    if rows.has_names or layout.form is not None:
        skips = _skips_bad_rows(options)
        data_layout = DataLayout(
            *(layout.text, layout.topic, rows.encoding, skips, layout.form, layout.beside),
            separator=_unusual(rows),
        )
    return _Source(
        *(rows.name, rows.unit, documents, layout.example, schema.n_bad, notes, data_layout),
        n_unlabelled=schema.n_unlabelled,
    )


def _skips_bad_rows(options: ReadOptions) -> bool:
    """Whether bad rows are skipped: the user says so, or did of a model's training data."""
    as_before = options.layout is not None and options.layout.skip_bad_rows
    return options.skip_bad_rows or as_before


def _skipped_note(schema: SourceSchema, options: ReadOptions, advice: str) -> str:
    """Return a note on rows that were skipped; DataError if there are too many, or may be none."""
    bad, n_rows = schema.bad, schema.n_rows
    if not bad:
        return ""
    share = f"{len(bad)} of {n_rows} {'files' if schema.unit == 'file' else 'rows'}"
    faults = "; ".join(_group_remarks(((row.problem, row.at) for row in bad), schema.unit))
    are_few, skips = len(bad) <= _MAX_SKIPPED * n_rows, _skips_bad_rows(options)
    if not (skips and are_few):
        raise DataError(
            f"{schema.name}: {share} can't be used: {faults}; {join_advice(bad)}"
            f"{_skip_advice(are_few, skips)}.{advice}"
        )
    source = "" if options.skip_bad_rows else ", as of the model's training data"
    return f"skipped {share}{source}: {faults}"


def _unusual(rows: RowReader) -> str | None:
    """Return what separates the cells of a table, unless it is usual for its format."""
    usual = "\t" if rows.format == "tsv" else ","
    return None if rows.separator in (usual, ONE_COLUMN) else rows.separator


def _form_notes(
    layout: SourceLayout, documents: Sequence[Document], separator: str | None
) -> list[str]:
    """Return notes on topics that no document has, or each has, and a separator of none."""
    form = layout.form
    if form is None:
        return []
    counts = Counter(topic for document in documents for topic in document.topics())
    absent = [topic for topic in form.columns if topic not in counts]
    shared = [topic for topic, n in counts.items() if n == len(documents)]
    notes = []
    if absent:
        notes.append(f"no document has these topics, which are left out: {format_list(absent)}")
    if shared:
        notes.append(f"every document has these topics: {format_list(shared)}; check the data")
    if separator is not None and all(len(document.topics()) < 2 for document in documents):
        notes.append(
            f"{separator!r} separates topics in no cell of {short_repr(layout.topic)}; check the "
            "separator"
        )
    return notes


def _separator_advice(documents: Sequence[Document], layout: SourceLayout | None) -> str:
    """Return the warning that topics seem to be several: an empty cell may then be no topic."""
    if layout is None or layout.form is not None:
        return ""
    warnings = separator_warnings(Counter(t for document in documents for t in document.topics()))
    return "".join(f" Note: {warning}" for warning in warnings)


def _skip_advice(are_few: bool, skip_bad_rows: bool) -> str:
    """Return how to go on without bad rows, or why that is not possible."""
    if are_few:
        return ", or go on without them with `skip_bad_rows`"
    if skip_bad_rows:
        return f". `skip_bad_rows` leaves out at most {percent(_MAX_SKIPPED, 0)} of the rows"
    return ""


def _merge_notes(sources: Sequence[_Source]) -> list[str]:
    """Return the notes, each once, with the names of the sources if only some have it."""
    names_by_note: dict[str, list[str]] = {}
    for source in sources:
        for note in source.notes:
            names_by_note.setdefault(note, []).append(source.name)
    return [
        note if len(names) == len(sources) else f"{join_words(names, _N_SOURCES)}: {note}"
        for note, names in names_by_note.items()
    ]


def _group_remarks(remarks: Iterable[tuple[str, int | str]], unit: str) -> list[str]:
    """Return each remark once, with its first places, such as (lines 4, 17)."""
    places: dict[str, list[int | str]] = {}
    for remark, at in remarks:
        places.setdefault(remark, []).append(at)
    lines = [
        f"{_count_remark(remark, len(ats))} ({unit}{'s' if len(ats) > 1 else ''} "
        f"{join_words([*map(str, ats)], _N_PLACES, last=None)})"
        for remark, ats in places.items()
    ]
    n_more = len(lines) - _N_FAULTS
    return lines if n_more <= 0 else [*lines[:_N_FAULTS], f"{n_more} more of other kinds"]


def _count_remark(remark: str, n: int) -> str:
    """Return a remark on `n` documents; of documents without topics, with their number."""
    if remark not in (_NO_TOPIC, _EMPTY_CELL):
        return remark
    have, they = ("has", "it counts") if n == 1 else ("have", "they count")
    advice = f"; mark cells that are not labelled yet with {NOT_LABELLED}"
    return (
        f"{counted(n, 'document')} {have} no topic; {they}, too{advice * (remark == _EMPTY_CELL)}"
    )


def _unlabelled_note(schema: SourceSchema) -> str:
    """Return how many rows of a source are not labelled yet, and where; empty if all are."""
    n, layout = schema.n_unlabelled, schema.layout
    if not n or layout is None:
        return ""
    be = "is" if n == 1 else "are"
    places = [str(row.at) for row in schema.unlabelled[:_N_PLACES]]
    if n > len(places):
        places.append(f"{n - len(places):,} more")
    return (
        f"{n:,} of {counted(schema.n_rows, 'row')} {be} not labelled yet, with "
        f"{_no_topic(layout)} ({schema.unit}{'s' * (n > 1)} {join_words(places)})"
    )


def _no_topic(layout: SourceLayout) -> str:
    """Return what is in the columns of topics of a row that is not labelled yet."""
    if layout.topic_column is None:
        return "nothing in the columns of topics"
    is_marked = layout.form is not None and layout.form.kind == "separator"
    content = NOT_LABELLED if is_marked else "nothing"
    return f"{content}{in_columns([layout.topic_column])}"


# Streams ------------------------------------------------------------------------------------------


class SchemaCheck:
    """Checks that the rows of a stream agree: columns, kind of topics, share of bad rows.

    `load_corpus` knows all rows of a file before it raises an error. Here, the first bad row is
    one unless `skip_bad_rows` is set; if it is, too many bad rows are one at the end of the file.

    Parameters
    ----------
    skip_bad_rows : bool

    Attributes
    ----------
    n_skipped, n_unlabelled : int
        Rows left out so far because they can't be used, and because they are not labelled yet.
    """

    def __init__(self, skip_bad_rows: bool = False) -> None:
        self.n_skipped = self.n_unlabelled = 0
        self._skip = skip_bad_rows
        self._columns: tuple[str, SourceLayout] | None = None
        self._topic: tuple[str, str] | None = None
        self._form: tuple[str, TopicForm | None] | None = None
        self._begin_file()

    def _begin_file(self) -> None:
        self._n_rows = self._n_bad = self._n_lines = 0
        self._bad: list[BadRow] = []

    @property
    def layout(self) -> SourceLayout | None:
        """The columns; None before a source that names them."""
        return None if self._columns is None else self._columns[1]

    def add(self, schema: SourceSchema) -> None:
        """Add the next rows, in the order of the source.

        Raises DataError if columns or kind of topics differ from those before, a row is bad and bad
        rows are not skipped, or too many rows of the file are bad.
        """
        if schema.layout is not None:
            self._check_layout(schema, schema.layout)
        self._n_rows += schema.n_rows
        self._n_bad += schema.n_bad
        self.n_unlabelled += schema.n_unlabelled
        self._bad += [
            # A part of a file numbers its lines from 1.
            row._replace(at=row.at + self._n_lines if isinstance(row.at, int) else row.at)
            for row in schema.bad
        ]
        del self._bad[_MAX_BAD_ROWS:]
        if self._bad and not self._skip:
            raise DataError(
                f"{schema.name}: {schema.unit} {self._bad[0].at} can't be used: "
                f"{self._bad[0].problem}; {join_advice(self._bad)}, or go on without such rows "
                "with `skip_bad_rows`."
            )
        self._n_lines += schema.n_lines
        if schema.is_last:
            if self._n_bad > _MAX_SKIPPED * self._n_rows:
                raise DataError(
                    f"{schema.name}: {self._n_bad} of {self._n_rows} {schema.unit}s can't be used: "
                    f"{self._bad[0].problem} at {schema.unit} {self._bad[0].at}; "
                    f"{join_advice(self._bad)}{_skip_advice(False, True)}."
                )
            self.n_skipped += self._n_bad
            self._begin_file()

    def _check_layout(self, schema: SourceSchema, layout: SourceLayout) -> None:
        self._form = self._form or (schema.name, layout.form)
        if (self._form[1] is None) != (layout.form is None):
            one, several = schema.name, self._form[0]
            if self._form[1] is None:
                one, several = several, one
            raise DataError(
                f"{one} has one topic for each of its first 100 documents, but {several} has "
                f"several; {_SEVERAL_ADVICE}."
            )
        if schema.has_names:
            self._columns = self._columns or (schema.name, layout)
            first, expected = self._columns
            if layout[:2] != expected[:2]:
                raise DataError(
                    f"{schema.name} has its texts and topics in "
                    f"{format_list([*layout.text, layout.topic])}, but {first} in "
                    f"{format_list([*expected.text, expected.topic])}; give files of the same "
                    "columns, or name them with `text` and `topic`."
                )
        if layout.example is not None:
            self._topic = self._topic or (schema.name, layout.example)
            _check_same_kind(self._topic, (schema.name, layout.example))
