"""Tables: read labels from a column, and write them back with all columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slugline.base.files import PathLike, whole_file, write_errors
from slugline.base.names import check_is_no_output_address
from slugline.corpus.columns import (
    column_names,
    find_columns,
    find_id_column,
    find_text_columns,
    known_text_columns,
    known_topic_column,
    peek,
    row_text,
)
from slugline.corpus.excel_copy import ExcelCopy
from slugline.corpus.label_database.records import CoderKind
from slugline.corpus.label_database.tables import TOPIC_COLUMN
from slugline.corpus.layout import ReadOptions, TopicForm
from slugline.corpus.parquet import open_parquet_table
from slugline.corpus.readers import RowReader, read_dialect, read_rows
from slugline.corpus.rows import BadRow, SourceRow, join_advice
from slugline.corpus.table_writers import TableWriter, guard_cell
from slugline.corpus.tables import new_table, table_file
from slugline.corpus.topic_cells import BadTopicsError, format_topics, read_topics, topic_name
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels.cells import KeyBuilder
from slugline.labels.formats.importing import (
    ExchangedDocument,
    ExchangedLabel,
    ImportReport,
    import_documents,
)
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SourceColumns, TextTable

#: Supported extensions of exported tables.
ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".parquet")
# Default separator of several topics in a cell.
_SEPARATOR = ";"


class TableExportReport(NamedTuple):
    """Counts of an exported table.

    Attributes
    ----------
    n_rows : int
    n_labelled : int
        Number of rows with an answer in the store.
    topic : str
        The topic column.
    """

    n_rows: int
    n_labelled: int
    topic: str


# Reading ------------------------------------------------------------------------------------------


def import_table(
    store: LabelStore,
    path: PathLike,
    coder: str,
    *,
    kind: CoderKind = "imported",
    options: ReadOptions | None = None,
    user_file: TextTable | None = None,
) -> ImportReport:
    """Store the labels in a column of a table, such as predictions of a language model.

    Rows are matched to documents by id or, if the table has no ids, by text. A table with ids needs
    no texts. Rows without a topic are skipped, and missing documents are added.

    Parameters
    ----------
    store : LabelStore
    path : str or Path
    coder : str
    kind : {"person", "imported"}
    options : ReadOptions, optional
        Columns, format and encoding, as for data. The id column defaults to one with a common name.
    user_file : TextTable, optional
        The labelled file; its documents are stored if they have a label.

    Raises
    ------
    DataError : if a row can't be read, or if no id or, for imported labels, no text is in the store
        or the user's file.
    OptionError : if a named column doesn't exist.
    """
    options = options or ReadOptions()
    return import_documents(
        store,
        lambda: _read_table(Path(path), options, user_file),
        coder,
        coder=coder,
        kind=kind,
        user_file=user_file,
    )


class _Columns(NamedTuple):
    """The text, topic and id columns of a table, and the format of several topics."""

    text: tuple[str, ...]
    topic: str | None
    id: str | None
    form: TopicForm | None
    is_sheet: bool

    def text_of(self, row: SourceRow) -> str | None:
        """Return the text of a row, or None."""
        text = row_text(row, self.text, is_sheet=self.is_sheet) if self.text else None
        return text if isinstance(text, str) else None

    def id_of(self, row: SourceRow) -> str:
        """Return the id of a row, or an empty string."""
        return "" if self.id is None else topic_name(row.values.get(self.id))


def _read_table(
    path: Path, options: ReadOptions, user_file: TextTable | None
) -> Iterator[ExchangedDocument]:
    """Yield the labelled rows of a table."""
    rows, head = _open(path, options)
    is_of_user_file = user_file is not None and options.id not in column_names(head)
    name = find_id_column(rows.name, head, None if is_of_user_file else options.id)
    columns = _find_columns(rows, head, options, name)
    is_left_over = len(columns.text) == 1 and not known_text_columns(columns.text, ())
    if name is not None and columns.topic is None and is_left_over:
        columns = columns._replace(text=(), topic=columns.text[0])
    if columns.topic is None:
        raise DataError(
            f"{path}: cannot tell which column contains the topic; name it with ",
            Parameter("topic"),
            ".",
        )
    for row in itertools.chain(head, rows):
        place = f"{rows.name}, {rows.unit} {row.at}"
        if isinstance(row, BadRow):
            raise DataError(f"{place}: {row.problem}; ", join_advice([row]), ".")
        try:
            topics = read_topics(row.values.get(columns.topic), columns.form)
        except BadTopicsError as error:
            raise DataError(f"{place}: {error}; correct the file.") from error
        if not topics:
            continue
        text, name = columns.text_of(row), columns.id_of(row)
        if text is None and not name:
            raise DataError(f"{place}: neither a text nor an id; correct the file.")
        label = ExchangedLabel(topics=(topics,) if isinstance(topics, str) else topics)
        others = {
            name: _decode_cell(value)
            for name, value in row.values.items()
            if name not in (*columns.text, columns.topic)
        }
        key = f"id {name}" if name else None
        own = None if key is None or user_file is None else user_file.find_key(key)
        if own is not None and text is not None and text.strip() in own.text:
            text = None  # for example, one of several text columns
        yield ExchangedDocument(place, "", text, others, (label,), key)


def _open(path: Path, options: ReadOptions) -> tuple[RowReader, list[SourceRow | BadRow]]:
    """Return a reader of a table and its first rows."""
    rows = read_rows(path, options)
    return rows, peek(rows)


def _find_columns(
    rows: RowReader, head: Sequence[SourceRow | BadRow], options: ReadOptions, name: str | None
) -> _Columns:
    texts, topic = find_columns(
        rows.name, head, options.text, options.topic, name, layout=rows.layout
    )
    if not texts and name is None:
        find_text_columns(rows.name, head, options.text, layout=rows.layout)  # raises the error
    return _Columns(texts, topic, name, options.topic_form(), rows.format == "xlsx")


def _decode_cell(value: Any) -> Any:
    """Return a cell decoded from JSON, or its JSON if nested too deeply."""
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return msgspec.json.decode(value)
    except RecursionError:
        return bytes(value).decode()


# Writing ------------------------------------------------------------------------------------------


def export_table(
    store: LabelStore, source: PathLike, output: PathLike, *, options: ReadOptions | None = None
) -> TableExportReport:
    """Write the rows of the user's file with all columns, and the answers as topics.

    A table keeps its encoding, separator, quotes and line ends; a Parquet file, its column types;
    an Excel file, everything except the topic cells. Rows without an answer stay unchanged.

    Parameters
    ----------
    store : LabelStore
    source : str or Path
    output : str or Path
        Its extension selects the format; see `ENDINGS`. The file appears when complete.
    options : ReadOptions, optional
        Columns, format and encoding of the source, as for data. The topic column defaults to the
        one in the source, else the stored one, else "topic"; the id column defaults to the stored
        one.

    Raises
    ------
    DataError : if the source can't be read, or the format can't hold a topic.
    OptionError : if the extension is unsupported, or a named column doesn't exist.
    OutputError : if the file can't be written.
    """
    source, output, options = Path(source), Path(output), options or ReadOptions()
    ending = output.suffix.lower()
    check_is_no_output_address(output)
    if ending not in ENDINGS:
        raise OptionError(
            Parameter("output"),
            f" is {output}; use a name that ends in one of {', '.join(ENDINGS)}.",
        )
    topics = _answers_by_key(store)
    rows, head = _open(source, options)
    ids = options.id or SourceColumns.from_store(store).id_among(rows.name, head)
    columns = _find_columns(rows, head, replace(options, topic=None), ids)
    # Overwrite only a column with a common name for topics: find_columns also accepts any left-over
    # column.
    known = known_topic_column(column_names(head), columns.text)
    topic = options.topic or known or store.setting(TOPIC_COLUMN) or "topic"
    keys = _row_keys(itertools.chain(head, rows), columns)
    form = columns.form
    if form is None and store.is_multilabel:
        has_lists = ending in (".parquet", ".json", ".jsonl")
        form = TopicForm("array") if has_lists else TopicForm("separator", _SEPARATOR)
    answers = [topics.get(key) for key in keys]
    cells = [{} if answer is None else _cells(answer, topic, form) for answer in answers]
    _write(output, source, options, topic, cells)
    return TableExportReport(len(cells), sum(answer is not None for answer in answers), topic)


def export_codebook(store: LabelStore, path: PathLike) -> int:
    """Write the topics in use to a table with the columns "name" and "description".

    Returns the number of topics. Raises OutputError if the file can't be written.
    """
    topics = store.codebook().topics()
    rows = [("name", "description"), *((each.name, each.description) for each in topics)]
    with write_errors(path), whole_file(path) as file:
        file.write(table_file(rows, ","))
    return len(topics)


def _answers_by_key(store: LabelStore) -> dict[str, tuple[str, ...]]:
    return {each.document.key: each.answer for each in store.labels() if each.answer is not None}


def _row_keys(rows: Iterable[SourceRow | BadRow], columns: _Columns) -> list[str]:
    """Return the key of each row, or an empty string if it has no text."""
    builder, has_text = KeyBuilder(), list[bool]()
    for row in rows:
        text = columns.text_of(row) if isinstance(row, SourceRow) else None
        has_text.append(text is not None and bool(text.strip()))
        if isinstance(row, SourceRow) and text is not None and has_text[-1]:
            builder.add(text, columns.id_of(row))
    keys = iter(builder.keys())
    return [next(keys) if is_valid else "" for is_valid in has_text]


def _cells(answer: tuple[str, ...], topic: str, form: TopicForm | None) -> dict[str, Any]:
    """Return the cells of an answer by column."""
    if form is None:
        return {topic: answer[0]}
    written = format_topics(answer, form)
    return dict(written) if isinstance(written, dict) else {topic: written}


def _write(
    path: Path, source: Path, options: ReadOptions, topic: str, cells: Sequence[Mapping[str, Any]]
) -> None:
    """Read the source again and write its rows with new cells by column.

    In CSV, topics that a spreadsheet would read as formulas are prefixed with an apostrophe.
    """
    rows, head = _open(source, options)
    names = [*dict.fromkeys(itertools.chain.from_iterable(cells))] or [topic]
    with write_errors(path), _open_table(path, rows, cells) as table:
        is_copy = table.source_columns is not None
        table.begin(names if is_copy else [*dict.fromkeys([*column_names(head), *names])])
        for row, new in itertools.zip_longest(itertools.chain(head, rows), cells):
            if row is None or new is None:
                raise DataError(f"{rows.name} was changed while it was read; try again.")
            guarded = {name: guard_cell(cell) for name, cell in new.items()}
            written = guarded if table.delimiter else new
            table.write_row(written if is_copy else {**row.values, **written}, row.at)
        table.finish()


@contextmanager
def _open_table(
    path: Path, rows: RowReader, cells: Sequence[Mapping[str, Any]]
) -> Iterator[TableWriter]:
    """Open a table like the source; it appears at its path when the block ends."""
    ending, source = path.suffix.lower(), Path(rows.name)
    with whole_file(path) as file, ExitStack() as stack:
        if ending == ".parquet":
            copied = source if rows.format == "parquet" else None
            table: TableWriter = stack.enter_context(open_parquet_table(path, file, copied))
        elif ending == ".xlsx" and rows.format == "xlsx":
            table = ExcelCopy(file, source, rows.header)
        else:
            dialect = None
            if rows.format in ("csv", "tsv"):
                topics = (str(cell) for row in cells for cell in row.values())
                dialect = read_dialect(rows).with_characters(topics)
            table = new_table(file, ending, dialect)
        stack.enter_context(closing(table))
        yield table
