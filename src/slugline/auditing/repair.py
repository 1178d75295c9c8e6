"""Apply a reviewer's decisions to documents and measure the gain in accuracy."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from slugline.auditing.findings import DECISIONS, column_name, parse_document_key, text_digest
from slugline.base.checks import short_repr
from slugline.base.databases import Database
from slugline.base.wording import counted, join_words
from slugline.corpus.columns import find_both_columns, format_list, peek
from slugline.corpus.corpus import Corpus
from slugline.corpus.dialects import TableDialect
from slugline.corpus.documents import Topic, check_topic_names
from slugline.corpus.excel_copy import ExcelCopy
from slugline.corpus.label_database.reader import LabelReader, read_labels
from slugline.corpus.label_database.records import DocumentLabels
from slugline.corpus.label_database.tables import FORMAT, REVIEWED
from slugline.corpus.layout import Layout, ReadOptions, TopicForm
from slugline.corpus.line_stream import check_encoding
from slugline.corpus.readers import RowReader, detect_format, is_database, read_dialect, read_rows
from slugline.corpus.rows import BadRow, SourceRow, join_advice
from slugline.corpus.tables import rows_file
from slugline.corpus.topic_cells import format_topics, read_topics
from slugline.corpus.topic_sets import TopicSet, is_same_answer
from slugline.errors import DataError, Parameter, StoreError

# Decisions ----------------------------------------------------------------------------------------

_REQUIRED_COLUMNS = ("decision", "new_topic", "at", "digest")
_PARTS = ("train", "test")
# Number of bytes to decode at a time.
_PIECE = 1 << 20


class ReviewDecision(NamedTuple):
    """A decision about one document."""

    place: str  # place of the decision in its table, such as "line 2"
    action: str  # "keep", "relabel" or "drop"
    new_topic: Topic | TopicSet  # for "relabel"
    part: str  # "train" or "test"
    at: str  # place of the document in its source
    digest: str  # see `slugline.auditing.findings.text_digest`


@dataclass(frozen=True)
class ReviewDecisions:
    """The decisions in a table or label database, with its name for messages."""

    table: str
    items: tuple[ReviewDecision, ...]
    note: str = ""  # see `RowReader`
    # Advice for a decision that can't be applied.
    remedy: str = "delete the line"

    def for_part(self, part: str) -> list[ReviewDecision]:
        """Return the decisions about training or test documents."""
        return [decision for decision in self.items if decision.part == part]


@dataclass(frozen=True)
class Repair:
    """The documents after decisions were applied."""

    corpus: Corpus  # the documents that were not dropped
    # The new topic of each original document; None for documents that were dropped.
    topics: list[Any]
    new_topics: list[str]  # topics that no document had before
    # Number of decisions.
    n_relabelled: int
    n_dropped: int
    n_kept: int


def read_decisions(
    path: str | Path, likely: str | None = None, form: TopicForm | None = None
) -> ReviewDecisions:
    """Read the decisions in a reviewed table (CSV or Excel) or in the database of the page.

    Parameters
    ----------
    path : str or Path
    likely : str, optional
        The encoding of the documents; the table's own encoding is detected.
    form : TopicForm, optional
        The result of `review_form` for multi-label data.

    Raises
    ------
    DataError : if the table can't be read, lacks a column, or contains an unknown decision, or a
        database contains other labels or is damaged.
    OptionError : if the encoding is unknown.
    """
    if is_database(Path(path)):
        return _read_database(Path(path), form)
    kind = "xlsx" if Path(path).suffix.lower() == ".xlsx" else "csv"
    encoding = None if likely is None else check_encoding(likely)
    layout = Layout(("decision",), "new_topic", encoding)
    rows = read_rows(path, ReadOptions(format=kind, layout=layout))
    decisions = (_parse_decision(rows, row, form) for row in _check_rows(rows))
    return ReviewDecisions(str(path), tuple(d for d in decisions if d is not None), rows.note)


def _read_database(path: Path, form: TopicForm | None) -> ReviewDecisions:
    """Return the decisions made on the page of `slugline audit --page`."""
    decisions, n_open = list[ReviewDecision](), 0
    try:
        with Database(path, FORMAT, is_read_only=True) as database:
            with database.reading() as connection:
                reviewed = LabelReader(database, connection).setting(REVIEWED)
            if reviewed is None:
                raise DataError(
                    f"{path} contains labels, not audit decisions; pass the file written by "
                    "`slugline audit --page`, or a reviewed table."
                )
            for each in read_labels(database):
                decision = _stored_decision(each, form)
                decisions += [] if decision is None else [decision]
                n_open += each.status == "open"
    except StoreError as error:
        raise DataError(*error.parts) from error
    note = f"left out: {counted(n_open, 'document')} with conflicting decisions" if n_open else ""
    return ReviewDecisions(str(path), tuple(decisions), note, "undo the decision on the page")


def _stored_decision(each: DocumentLabels, form: TopicForm | None) -> ReviewDecision | None:
    """Return the decision about a document; None if it is missing or unclear.

    The answer "none of these" drops the document. A document with unchanged topics is kept; see
    `apply_decisions`.
    """
    key = parse_document_key(each.document.key)
    if key is None:
        return None
    place, answer = f"decision about document {each.document.id}", each.answer
    if answer is not None:
        topics = answer if form else answer[0]
        return ReviewDecision(place, "relabel", topics, key.part, key.at, key.digest)
    reasons = {decision.reason for decision in each.decisions}
    if each.status == "skipped" and reasons == {"none of these"}:
        return ReviewDecision(place, "drop", "", key.part, key.at, key.digest)
    return None


def _check_rows(rows: RowReader) -> list[SourceRow]:
    """Return the rows of a table; raise DataError if a column is missing or a row is bad."""
    items = list(rows)
    good = [
        replace(item, values={column_name(head): item.values[head] for head in item.values})
        for item in items
        if isinstance(item, SourceRow)
    ]
    bad = [item for item in items if isinstance(item, BadRow)]
    missing = [column for column in _REQUIRED_COLUMNS if good and column not in good[0].values]
    if missing:
        raise DataError(
            f"{rows.name} has no column {short_repr(missing[0])} (found "
            f"{format_list([*good[0].values])}); pass the table written by the audit."
        )
    if bad:
        # More samples improve the guess of the encoding.
        advice = join_advice([row for row in bad if row.problem == bad[0].problem])
        place = f"{rows.name}, {rows.unit} {bad[0].at}"
        raise DataError(f"{place}: {bad[0].problem}; ", advice, ".")
    if not good:
        raise DataError(f"{rows.name} contains no rows; pass the reviewed table.")
    return good


def _parse_decision(
    rows: RowReader, row: SourceRow, form: TopicForm | None
) -> ReviewDecision | None:
    values, place = row.values, f"{rows.unit} {row.at}"
    where = f"{rows.name}, {place}"
    action = _cell(values, "decision").casefold()
    if not action:
        return None
    if action not in DECISIONS:
        raise DataError(
            f"{where}: unknown decision {short_repr(action)}; write keep, relabel or drop, or "
            "leave it empty."
        )
    new_topic = _cell(values, "new_topic")
    if action == "relabel":
        if not new_topic:
            none = f", or {form.separator!r} alone for no topic" if form else ""
            raise DataError(
                f"{where}: relabel requires a topic in the column new_topic; write "
                f"one{none}, or change the decision."
            )
        check_topic_names([new_topic])
    part = _cell(values, "part") or _PARTS[0]
    if part not in _PARTS:
        raise DataError(f"{where}: unknown part {short_repr(part)}; write train or test.")
    topics = read_topics(new_topic, form) if action == "relabel" else ""
    return ReviewDecision(place, action, topics, part, _cell(values, "at"), _cell(values, "digest"))


def _cell(values: Mapping[str, Any], column: str) -> str:
    """Return a cell as text; Excel stores 3 as 3.0."""
    value = values.get(column)
    if value is None or value != value:
        return ""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value).strip()


def apply_decisions(corpus: Corpus, decisions: ReviewDecisions) -> Repair:
    """Apply the decisions about the training part and return the documents.

    Raises DataError if the document of a decision is missing, has changed or has another decision,
    or if all documents would be dropped.
    """
    rows: dict[str, list[int]] = {}  # several files may have a line 2
    for row, place in enumerate(corpus.numbered_places()):
        rows.setdefault(str(place), []).append(row)
    topics: list[Any] = list(corpus.topics)
    places: dict[int, str] = {}
    counts = Counter[str]()
    for decision in decisions.for_part("train"):
        where = f"{decisions.table}, {decision.place}"
        row = _find_row(corpus, rows, decision, where, decisions.remedy)
        if row in places:
            raise DataError(
                f"{where}: {corpus.unit} {decision.at} already has a decision in {places[row]}; "
                "keep only one."
            )
        places[row] = decision.place
        action = decision.action
        if action == "relabel":
            action = "keep" if is_same_answer(decision.new_topic, topics[row]) else action
        if action != "keep":
            topics[row] = decision.new_topic if action == "relabel" else None
        counts[action] += 1
    is_left = [topic is not None for topic in topics]
    if not any(is_left):
        raise DataError(f"{decisions.table} drops all documents of {corpus.name}; keep some.")
    repaired = replace(
        corpus,
        texts=list(itertools.compress(corpus.texts, is_left)),
        topics=[topic for topic in topics if topic is not None],
        places=list(itertools.compress(corpus.numbered_places(), is_left)),
    )
    new = sorted(set(repaired.all_topics()) - set(corpus.all_topics()))
    return Repair(repaired, topics, new, counts["relabel"], counts["drop"], counts["keep"])


def _find_row(
    corpus: Corpus, rows: Mapping[str, list[int]], decision: ReviewDecision, where: str, remedy: str
) -> int:
    if decision.at not in rows:
        raise DataError(
            f"{where}: there is no {corpus.unit} {decision.at[:40]} in {corpus.name}; pass the "
            f"reviewed documents, or {remedy}."
        )
    for row in rows[decision.at]:
        if text_digest(corpus.texts[row], corpus.topics[row]) == decision.digest:
            return row
    raise DataError(
        f"{where}: {corpus.unit} {decision.at} of {corpus.name} has changed since the review, or "
        "is read differently; pass the options of the audit, such as ",
        Parameter("text"),
        ", ",
        Parameter("topic"),
        ", ",
        Parameter("fold_topics"),
        " and ",
        Parameter("topic_map"),
        f", audit the documents again, or {remedy}.",
    )


# Repaired documents with all columns --------------------------------------------------------------

Values = dict[str, Any]


def repaired_file(
    suffix: str, corpus: Corpus, repair: Repair, sources: Sequence[str], options: ReadOptions
) -> tuple[bytes, str]:
    """Return a file of the repaired documents, and a phrase on included or missing rows.

    An Excel file keeps everything but the topics. If the source can't be read again, the file
    contains only texts and topics.

    Parameters
    ----------
    suffix : str
        ".csv", ".xlsx" or ".jsonl".
    corpus : Corpus
        The documents before the repair.
    repair : Repair
    sources : sequence of str
        The sources of the corpus.
    options : ReadOptions
        The options with which the corpus was read.

    Raises
    ------
    DataError : if a source can't be read, or was changed since the corpus was read.
    """
    whole = whole_rows(sources, corpus, repair.topics, options)
    if whole is None:
        pairs = zip(repair.corpus.texts, repair.corpus.topics, strict=True)
        rows: list[Values] = [{"text": text, "topic": topic} for text, topic in pairs]
        dialect, note = TableDialect(), ", with only text and topic"
    else:
        rows, dialect = whole
        note = _describe_other_rows(corpus, len(rows) - len(repair.corpus))
    changed = None
    if suffix == ".xlsx" and len(sources) == 1:
        changed = changed_excel(sources[0], corpus, repair.topics, options)
    return changed or rows_file(rows, suffix, dialect), note


def _describe_other_rows(corpus: Corpus, n_others: int) -> str:
    """Report the number of written rows without a topic, and of lost rows."""
    n_unlabelled = corpus.n_unlabelled
    n_skipped = n_others - n_unlabelled
    n_lost = corpus.n_skipped - n_skipped
    others = []
    if n_unlabelled > 0:
        others.append(f"{counted(n_unlabelled, 'unlabelled row')}")
    if n_skipped > 0:
        others.append(counted(n_skipped, "skipped row"))
    text = f"{', ' if len(others) > 1 else ' and '}{join_words(others)}" if others else ""
    return text + (f", without {counted(n_lost, 'unreadable row')}" if n_lost else "")


def whole_rows(
    sources: Sequence[str], corpus: Corpus, topics: Sequence[Any], options: ReadOptions
) -> tuple[list[Values], TableDialect] | None:
    """Return rows with all columns and new topics, and the dialect of the first file.

    Rows skipped as bad are unchanged, except for rows without readable cells. Returns None if a
    source is not a file or folder, because it can't be read again.

    Parameters
    ----------
    sources : sequence of str
        The sources of the corpus.
    corpus : Corpus
    topics : sequence of str, tuple of str, or None
        The new topic or topics of each document; None for documents to drop.
    options : ReadOptions
        The options with which the corpus was read.

    Raises
    ------
    DataError : if a file can't be read, or was changed since the corpus was read.
    """
    if not _can_read_again(sources):
        return None
    dialect, relabelled = None, list[Values]()
    for rows, row, cells in _changed_rows(sources, corpus, topics, options):
        dialect = dialect or read_dialect(rows)
        if cells is not None and row.values:
            relabelled.append({**row.values, **cells})
    return relabelled, dialect or TableDialect()


def changed_excel(
    source: str, corpus: Corpus, topics: Sequence[Any], options: ReadOptions
) -> bytes | None:
    """Return an Excel file with new topics and no other changes; None if `source` is not Excel.

    Rows of dropped documents become empty. See `whole_rows` for parameters and errors.
    """
    if not Path(source).is_file() or detect_format(source, options.format) != "xlsx":
        return None
    changes = [
        (row.at, cells)
        for _, row, cells in _changed_rows([source], corpus, topics, options)
        if cells != {}
    ]
    file = io.BytesIO()
    with closing(ExcelCopy(file, Path(source), options.header_hints())) as copy:
        copy.begin([*dict.fromkeys(name for _, cells in changes for name in cells or ())])
        for at, cells in changes:
            copy.write_row(cells, at)
        copy.finish()
    return file.getvalue()


def _changed_rows(
    sources: Sequence[str], corpus: Corpus, topics: Sequence[Any], options: ReadOptions
) -> Iterator[tuple[RowReader, SourceRow | BadRow, Values | None]]:
    """Yield the rows of sources with their changed cells; None for rows to drop."""
    layout = corpus.layout if corpus.multilabel else options.layout
    form = None if layout is None else layout.topic_form
    for each in _document_rows(sources, corpus, options):
        if each.number is None:
            yield each.rows, each.row, {}
            continue
        new, row = topics[each.number], each.row
        is_left = new is not None and isinstance(row, SourceRow)
        cells = _topic_cells(row.values, each.topic, new, form) if is_left else None
        yield each.rows, row, cells


def other_columns(
    sources: Sequence[str], corpus: Corpus, numbers: Iterable[int], options: ReadOptions
) -> dict[int, Values]:
    """Return the cells of documents other than text and topics, by document number.

    Empty if a source is not a file or folder. See `whole_rows` for parameters and errors.
    """
    if not _can_read_again(sources):
        return {}
    wanted, cells = {*numbers}, dict[int, Values]()
    form = None if corpus.layout is None else corpus.layout.topic_form
    indicators = form.columns if form is not None and form.columns else ()
    for each in _document_rows(sources, corpus, options):
        if each.number is not None and each.number in wanted and isinstance(each.row, SourceRow):
            hidden = {*each.text, each.topic, *indicators}
            values = each.row.values.items()
            cells[each.number] = {name: cell for name, cell in values if name not in hidden}
    return cells


def _can_read_again(sources: Sequence[str]) -> bool:
    """Return True if all sources are files or folders."""
    return all(Path(source).is_file() or Path(source).is_dir() for source in sources)


class _DocumentRow(NamedTuple):
    """A row of a source of documents."""

    rows: RowReader
    row: SourceRow | BadRow
    text: tuple[str, ...]  # text columns
    topic: str  # topic column; empty if there are several
    number: int | None  # document number; None for a skipped bad row


def _document_rows(
    sources: Sequence[str], corpus: Corpus, options: ReadOptions
) -> Iterator[_DocumentRow]:
    """Yield the rows of sources; DataError if they were changed since the corpus was read."""
    row_number, places = 0, corpus.numbered_places()
    layout = corpus.layout if corpus.multilabel else options.layout
    form = None if layout is None else layout.topic_form
    for source in sources:
        rows = read_rows(source, options)
        head = peek(rows)
        text: tuple[str, ...] = ("text",)
        topic = ""
        if form is None or form.kind != "columns":
            text, topic = find_both_columns(rows.name, head, options.text, options.topic, layout)
        elif layout is not None:
            text = layout.text
        for row in itertools.chain(head, rows):
            place = row.at if len(sources) == 1 else f"{rows.name}, {rows.unit} {row.at}"
            if row_number == len(places) or place != places[row_number]:
                yield _DocumentRow(rows, row, text, topic, None)
                continue
            yield _DocumentRow(rows, row, text, topic, row_number)
            row_number += 1
    if row_number < len(places):
        raise DataError(f"{corpus.name} was changed while it was read; try again.")


def _topic_cells(
    values: Mapping[str, Any], column: str, new: Any, form: TopicForm | None
) -> Values:
    """Return the cells of a row that are changed by its new topics."""
    if isinstance(new, str):
        return {} if str(values.get(column)).strip() == new else {column: new}
    written = format_topics(new, form)
    return written if isinstance(written, dict) else {column: written}
