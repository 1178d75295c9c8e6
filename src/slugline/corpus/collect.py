"""Combine one or more sources into a corpus, and check the sources of a stream for consistency."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from slugline.base.checks import short_repr
from slugline.base.progress import SILENT, LongStep, Progress
from slugline.base.wording import counted, join_words, percent
from slugline.corpus.columns import columns_note, format_list, in_columns
from slugline.corpus.corpus import Corpus
from slugline.corpus.dialects import ONE_COLUMN
from slugline.corpus.labelled import (
    MAX_BAD_ROWS,
    MAX_SKIPPED,
    N_PLACES,
    SEVERAL_ADVICE,
    Document,
    LabelledRows,
    NotLabelled,
    RowsReport,
    SourceSchema,
    check_same_kind,
)
from slugline.corpus.layout import Layout, ReadOptions, TopicForm
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import BadRow, join_advice
from slugline.corpus.topic_cells import NOT_LABELLED, separator_warnings
from slugline.errors import DataError, Message, Parameter, join_messages

# Maximum numbers of distinct faults and of sources listed in a message.
_N_FAULTS, _N_SOURCES = 3, 3
#: Number of rows between progress reports.
ROWS_PER_REPORT = 1024


class _Source(NamedTuple):
    name: str
    unit: str
    documents: list[Document]
    example: str  # a topic of the source
    n_skipped: int
    notes: list[str]
    layout: Layout | None  # None without named columns
    n_unlabelled: int = 0
    has_selection_bias: bool = False


def collect(
    sources: Iterable[RowReader], options: ReadOptions, progress: Progress = SILENT
) -> Corpus:
    """Combine all sources into a corpus; see `load_corpus` for the errors."""
    with closing(progress):
        contents = [_read_source(rows, options, progress) for rows in sources]
    first = contents[0]
    for other in contents[1:]:
        check_same_kind((first.name, first.example), (other.name, other.example))
    documents = [document for source in contents for document in source.documents]
    multilabel = any(isinstance(document.topic, tuple) for document in documents)
    places, unit = _places(contents)
    return Corpus(
        [document.text for document in documents],
        [document.topics() if multilabel else document.topic for document in documents],
        join_words([Path(source.name).name or source.name for source in contents], _N_SOURCES),
        notes=tuple(_merge_notes(contents)),
        n_skipped=sum(source.n_skipped for source in contents),
        places=places,
        unit=unit,
        n_unlabelled=sum(source.n_unlabelled for source in contents),
        has_selection_bias=any(source.has_selection_bias for source in contents),
        layout=_common_layout([source.layout for source in contents]),
    )


def _common_layout(layouts: Sequence[Layout | None]) -> Layout | None:
    """Return the common layout; encoding and separator are dropped where sources differ."""
    known = [layout for layout in layouts if layout is not None]
    if len(known) < len(layouts) or len({(each.text, each.topic) for each in known}) > 1:
        return None
    first = known[0]
    is_same_encoding = all(each.encoding == first.encoding for each in known)
    is_same_separator = all(each.separator == first.separator for each in known)
    return replace(
        first,
        encoding=first.encoding if is_same_encoding else None,
        separator=first.separator if is_same_separator else None,
    )


def _places(sources: Sequence[_Source]) -> tuple[Sequence[int | str], str]:
    """Return the place of each document and the unit; with several sources, places name them."""
    if len(sources) == 1:
        return [document.at for document in sources[0].documents], sources[0].unit
    places = [f"{s.name}, {s.unit} {document.at}" for s in sources for document in s.documents]
    return places, "place"


def _read_source(rows: RowReader, options: ReadOptions, progress: Progress) -> _Source:
    lenient = replace(options, skip_bad_rows=True)
    labelled = LabelledRows(rows, lenient, max_bad_rows=sys.maxsize, may_mix=True)
    documents, step = list[Document](), LongStep(progress, f"reading {rows.name}")
    topics: dict[str | tuple[str, ...], str | tuple[str, ...]] = {}
    for document in labelled:
        # Equal topics share one object.
        documents.append(document._replace(topic=topics.setdefault(document.topic, document.topic)))
        if len(documents) % ROWS_PER_REPORT == 0:
            step.update(rows.fraction_read())
    report = labelled.take_report()
    columns, schema = "", report.schema
    named_columns = (options.text, options.topic or options.topic_columns)
    is_guessed = rows.has_names and not rows.is_described and None in named_columns
    if is_guessed and schema is not None:
        layout = schema.layout
        columns = columns_note(layout.text, layout.topic_column, rows.layout, schema.candidates)
    advice = Message(*((" Slugline ", columns, ".") if columns else ()))
    advice += _separator_advice(documents, schema)
    skipped = _skipped_note(report, options, advice)
    unlabelled = _unlabelled_note(report)
    empty = _empty_note(report)
    if schema is None or schema.example is None:
        advice = Message(empty or "check how topics are written")
        if unlabelled:
            another = "; label some, or choose another column with "
            advice = Message(unlabelled, another, Parameter("topic"))
        raise DataError(f"{rows.name} has no document with a topic; ", advice, ".")
    layout = schema.layout
    no_topics = _no_topics_note(
        [d.at for d in documents if not d.topic], rows.unit, layout.topic_form
    )
    remarks = group_remarks(((d.note, d.at) for d in documents if d.note), rows.unit)
    left_out = unlabelled and f"left out: {unlabelled}"
    notes = [*filter(None, (rows.note, columns, no_topics, *remarks, left_out, empty, skipped))]
    notes += _form_notes(layout, documents, options.topic_separator)
    data_layout = None
    if rows.has_names or layout.topic_form is not None:
        data_layout = replace(
            layout,
            encoding=rows.encoding,
            skip_bad_rows=_skips_bad_rows(options),
            separator=_unusual_separator(rows),
        )
    return _Source(
        rows.name,
        rows.unit,
        documents,
        schema.example,
        n_skipped=report.n_bad + report.n_empty,
        notes=notes,
        layout=data_layout,
        n_unlabelled=report.n_unlabelled,
        has_selection_bias=rows.has_selection_bias,
    )


def _skips_bad_rows(options: ReadOptions) -> bool:
    """Return True if the options or a model's layout enable skipping of bad rows."""
    is_in_layout = options.layout is not None and options.layout.skip_bad_rows
    return options.skip_bad_rows or is_in_layout


def _skipped_note(report: RowsReport, options: ReadOptions, advice: str) -> str:
    """Return a note on skipped rows; raise DataError if too many, or skipping is off."""
    bad, n_rows = report.bad, report.n_rows
    if not bad:
        return ""
    count = f"{len(bad)} of {n_rows} {'files' if report.unit == 'file' else 'rows'}"
    faults = "; ".join(group_remarks(((row.problem, row.at) for row in bad), report.unit))
    are_few, skips = len(bad) <= MAX_SKIPPED * n_rows, _skips_bad_rows(options)
    if not (skips and are_few):
        raise DataError(
            f"{report.name}: {count} can't be used: {faults}; ",
            join_advice(bad),
            skip_advice(are_few=are_few, skip_bad_rows=skips),
            ".",
            advice,
        )
    source = "" if options.skip_bad_rows else ", as of the model's training data"
    return f"skipped {count}{source}: {faults}"


def _unusual_separator(rows: RowReader) -> str | None:
    """Return the separator of a table, or None if it is the format's default."""
    usual = "\t" if rows.format == "tsv" else ","
    return None if rows.separator in (usual, ONE_COLUMN) else rows.separator


def _form_notes(layout: Layout, documents: Sequence[Document], separator: str | None) -> list[str]:
    """Return notes on topics without documents, topics of all documents, and unused separators."""
    form = layout.topic_form
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
            f"{separator!r} doesn't separate topics in any cell of {short_repr(layout.topic)}; "
            "check the separator"
        )
    return notes


def _separator_advice(documents: Sequence[Document], schema: SourceSchema | None) -> str:
    """Return a warning if cells seem to contain several topics; empty cells may mean no topic."""
    if schema is None or schema.layout.topic_form is not None:
        return ""
    warnings = separator_warnings(Counter(topic for d in documents for topic in d.topics()))
    return join_messages("", (Message(" Note: ", warning) for warning in warnings))


def skip_advice(*, are_few: bool, skip_bad_rows: bool) -> str:
    """Return advice on skipping bad rows, or explain why they can't be skipped."""
    if are_few:
        return Message(", or continue without them with ", Parameter("skip_bad_rows"))
    if skip_bad_rows:
        limit = f" leaves out at most {percent(MAX_SKIPPED, 0)} of the rows"
        return Message(". ", Parameter("skip_bad_rows"), limit)
    return ""


def _merge_notes(sources: Sequence[_Source]) -> list[str]:
    """Deduplicate notes, prefixing those that don't apply to all sources with source names."""
    names_by_note: dict[str, list[str]] = {}
    for source in sources:
        for note in source.notes:
            names_by_note.setdefault(note, []).append(source.name)
    return [
        note if len(names) == len(sources) else Message(f"{join_words(names, _N_SOURCES)}: ", note)
        for note, names in names_by_note.items()
    ]


def group_remarks(remarks: Iterable[tuple[str, int | str]], unit: str) -> list[str]:
    """Deduplicate remarks, appending their first places, such as (lines 4, 17)."""
    places: dict[str, list[int | str]] = {}
    for remark, at in remarks:
        places.setdefault(remark, []).append(at)
    lines = [f"{remark} ({_format_places(ats, unit)})" for remark, ats in places.items()]
    n_more = len(lines) - _N_FAULTS
    return lines if n_more <= 0 else [*lines[:_N_FAULTS], f"{n_more} more of other kinds"]


def _format_places(places: Sequence[int | str], unit: str) -> str:
    """Format the first few places, such as "lines 4, 17"."""
    plural = "s" if len(places) > 1 else ""
    return f"{unit}{plural} {join_words([*map(str, places)], N_PLACES, last=None)}"


def _no_topics_note(places: Sequence[int | str], unit: str, form: TopicForm | None) -> str:
    """Return a note on multi-label documents without topics, or ""."""
    if not places:
        return ""
    have, they = ("has", "it counts") if len(places) == 1 else ("have", "they count")
    advice = ""
    if form is not None and form.kind == "separator":
        advice = f"; mark cells that are not labelled yet with {NOT_LABELLED}"
    documents = counted(len(places), "document")
    return f"{documents} {have} no topic; {they}, too{advice} ({_format_places(places, unit)})"


def _unlabelled_note(report: RowsReport) -> str:
    """Return a note on unlabelled rows and their places, or ""."""
    n, schema = report.n_unlabelled, report.schema
    if not n or schema is None:
        return ""
    return (
        f"{n:,} of {counted(report.n_rows, 'row')} {'is' if n == 1 else 'are'} not labelled yet, "
        f"with {_no_topic(schema.layout)} ({_first_places(report.unlabelled, n, report.unit)})"
    )


def _empty_note(report: RowsReport) -> str:
    """Return a note on labelled rows without a text, or ""."""
    n, schema = report.n_empty, report.schema
    if not n or schema is None:
        return ""
    place = in_columns(schema.layout.text) if report.has_names else ""
    return (
        f"skipped {n:,} of {counted(report.n_rows, 'row')} without a text{place} "
        f"({_first_places(report.empty, n, report.unit)})"
    )


def _first_places(rows: Sequence[NotLabelled], n: int, unit: str) -> str:
    """Format the places of the first of `n` rows, such as "lines 4, 5 and 3 more"."""
    places = [str(row.at) for row in rows]
    if n > len(places):
        places.append(f"{n - len(places):,} more")
    return f"{unit}{'s' * (n > 1)} {join_words(places)}"


def _no_topic(layout: Layout) -> str:
    """Describe the topic columns of an unlabelled row."""
    if layout.topic_column is None:
        return "empty topic columns"
    is_marked = layout.topic_form is not None and layout.topic_form.kind == "separator"
    content = NOT_LABELLED if is_marked else "nothing"
    return f"{content}{in_columns([layout.topic_column])}"


# Streams ------------------------------------------------------------------------------------------


class SchemaCheck:
    """Checks a stream of rows for consistent columns and kinds of topics, and for bad rows.

    Unlike `load_corpus`, which reads a whole file before raising an error, this raises one at the
    first bad row or, with `skip_bad_rows`, at the end of a file with too many bad rows.

    Parameters
    ----------
    skip_bad_rows : bool

    Attributes
    ----------
    n_skipped, n_unlabelled : int
        Number of rows left out so far: empty or bad rows, and unlabelled rows.
    """

    def __init__(self, skip_bad_rows: bool = False) -> None:
        self.n_skipped = self.n_unlabelled = 0
        self._skip = skip_bad_rows
        self._columns: tuple[str, SourceSchema] | None = None
        self._topic: tuple[str, str] | None = None
        self._form: tuple[str, TopicForm | None] | None = None
        self._begin_file()

    def _begin_file(self) -> None:
        self._n_rows = self._n_bad = 0
        self._bad: list[BadRow] = []

    @property
    def schema(self) -> SourceSchema | None:
        """Schema of the first source with column names, or None if there was none yet."""
        return None if self._columns is None else self._columns[1]

    def add(self, report: RowsReport) -> None:
        """Add the next rows, in the order of the source.

        Raises DataError if the columns or the kind of topics differ from those of earlier rows, if
        a row is bad and bad rows are not skipped, or if too many rows of the file are bad.
        """
        if report.schema is not None:
            self._check_schema(report, report.schema)
        self._n_rows += report.n_rows
        self._n_bad += report.n_bad
        self.n_unlabelled += report.n_unlabelled
        self.n_skipped += report.n_empty
        self._bad += report.bad
        del self._bad[MAX_BAD_ROWS:]
        if self._bad and not self._skip:
            raise DataError(
                f"{report.name}: {report.unit} {self._bad[0].at} can't be used: "
                f"{self._bad[0].problem}; ",
                join_advice(self._bad),
                ", or continue without such rows with ",
                Parameter("skip_bad_rows"),
                ".",
            )
        if report.is_last:
            if self._n_bad > MAX_SKIPPED * self._n_rows:
                raise DataError(
                    f"{report.name}: {self._n_bad} of {self._n_rows} {report.unit}s can't be used: "
                    f"{self._bad[0].problem} at {report.unit} {self._bad[0].at}; ",
                    join_advice(self._bad),
                    skip_advice(are_few=False, skip_bad_rows=True),
                    ".",
                )
            self.n_skipped += self._n_bad
            self._begin_file()

    def _check_schema(self, report: RowsReport, schema: SourceSchema) -> None:
        layout = schema.layout
        self._form = self._form or (report.name, layout.topic_form)
        if (self._form[1] is None) != (layout.topic_form is None):
            single, multiple = report.name, self._form[0]
            if self._form[1] is None:
                single, multiple = multiple, single
            raise DataError(
                f"the first 100 documents of {single} are single-label, but {multiple} is "
                f"multi-label; {SEVERAL_ADVICE}."
            )
        if report.has_names:
            self._columns = self._columns or (report.name, schema)
            first, expected = self._columns[0], self._columns[1].layout
            if (layout.text, layout.topic) != (expected.text, expected.topic):
                raise DataError(
                    f"{report.name} has texts and topics in columns "
                    f"{format_list([*layout.text, layout.topic])}, but {first} in "
                    f"{format_list([*expected.text, expected.topic])}; pass files with the same "
                    "columns, or choose columns with ",
                    Parameter("text"),
                    " and ",
                    Parameter("topic"),
                    ".",
                )
        if schema.example is not None:
            self._topic = self._topic or (report.name, schema.example)
            check_same_kind(self._topic, (report.name, schema.example))
