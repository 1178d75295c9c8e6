"""Files of predictions: a row for each document, with its input cells and the prediction."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.files import file_state, fresh_part, whole_file, write_errors
from slugline.corpus import parquet
from slugline.corpus.dialects import TableDialect, decimal_cell, table_cell, table_writer
from slugline.corpus.excel_columns import SheetColumns
from slugline.corpus.excel_table import ExcelTable, sheet_cell
from slugline.corpus.layout import TopicForm
from slugline.corpus.readers import RowReader, read_dialect
from slugline.corpus.rows import BadRow
from slugline.corpus.topic_cells import format_topics
from slugline.errors import DataError, OptionError, Parameter
from slugline.model.decider import Decider
from slugline.model.decision import Decision
from slugline.model.fitted import Fitted
from slugline.prediction.rows import Prediction, compact

# Characters with which formulas of spreadsheets begin; and numbers, which may begin with them, too.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*")
# Columns of a topic and its probability: an answer, or the guess of a multilabel model.
_ONE_TOPIC, _GUESSES = ("topic", "probability"), ("guess", "guess_probability")
#: Maximum number of names of left-out columns that are kept for the message.
MAX_DROPPED_COLUMNS = 100
# Separators between topics in a cell, unless the training data had another separator.
_SEPARATORS = ";|"


class AnswerColumns(NamedTuple):
    """The columns of answers besides "error", and how several topics of a text are written.

    `form` is None if a text has one topic. If each topic has a column, these columns are not in
    `names`. `own` is the topic column of the model's training data, if it is known.
    """

    names: list[str]
    form: TopicForm | None = None
    own: str | None = None


class AnswerFile:
    """Writes rows of CSV, TSV or JSON lines: the input columns in their order, then the answers.

    In a table, an answer that a spreadsheet would read as a formula gets an apostrophe, as OWASP
    advises; input cells stay as they are.

    The input columns are the columns of the first batch that has any.

    Parameters
    ----------
    file : binary file
    dialect : TableDialect or None
        None for JSON lines.
    unit, has_names : of the input rows
        See `slugline.corpus.readers.RowReader`.
    answers : AnswerColumns
        See `answer_columns`.

    Attributes
    ----------
    dropped_columns : list of str
        Columns that came too late for the header, or to rename an answer column.
    """

    def __init__(
        self,
        file: BinaryIO,
        dialect: TableDialect | None,
        unit: str,
        answers: AnswerColumns,
        has_names: bool,
    ) -> None:
        self.dropped_columns: list[str] = []
        self._file = file
        self._table: Any = None if dialect is None else table_writer(file, dialect)
        self._header = () if dialect is None else dialect.columns
        self._delimiter = None if dialect is None else dialect.delimiter
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._unit = unit
        self._answer_names, self._form, self._own = answers
        self._has_names = has_names
        self._cell = table_cell
        self._columns: Container[str] | None = None
        self._names: dict[str, str] = {}
        self._topic_names: dict[str, str] = {}  # topics that have a column each
        self._fields: list[str] = []
        self._buffered: list[Prediction | BadRow] = []

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        """Write a batch of predictions."""
        if self._columns is None:
            self._buffered += answers
            cells = (cell for answer in answers for cell in answer.values.items())
            # Lines of text have the column "topic" only if there are labels.
            columns = {name: None for name, value in cells if self._has_names or value is not None}
            if columns:
                self._begin(columns)
            return
        for answer in answers:
            self._put(self._input_cells(answer.values) | self._answers(answer), answer.at)

    def finish(self) -> None:
        """Write what remains, after the last batch."""
        if self._columns is None:
            self._begin(dict.fromkeys(self._header))

    def close(self) -> None:
        """Close everything that is open, except the file."""

    def _begin(self, columns: dict[str, None]) -> None:
        self._columns = columns
        self._topic_names = free_names(columns, self._form.columns if self._form else ())
        others = [*columns, *self._topic_names.values()]
        self._names = answer_names(others, self._answer_names, self._own)
        self._fields = [*columns, *self._answer_fields()]
        self._put_header()
        buffered, self._buffered = self._buffered, []
        self.write(buffered)

    def _answer_fields(self) -> list[str]:
        return [*self._topic_names.values(), *self._names.values()]

    def _put_header(self) -> None:
        if self._table is not None:
            self._table.writerow(map(self._cell, self._fields))

    def _put(self, row: dict[str, Any], at: int | str) -> None:  # noqa: ARG002 (of the input)
        if self._table is None:
            self._file.write(self._encode(row) + b"\n")
        else:
            self._table.writerow([self._cell(row.get(name)) for name in self._fields])

    def _input_cells(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the input cells that have a column."""
        columns, is_table = self._columns or (), self._table is not None
        cells = {}
        for name, value in values.items():
            if name in columns or not (is_table or name in self._fields):
                cells[name] = compact(value)
            elif value is not None and name not in self.dropped_columns:
                self.dropped_columns = [*self.dropped_columns, name][:MAX_DROPPED_COLUMNS]
        return cells

    def _answers(self, answer: Prediction | BadRow) -> dict[str, Any]:
        if isinstance(answer, BadRow):
            return {self._names["error"]: f"{self._unit} {answer.at}: {answer.problem}"}
        decision = answer.decision
        reason = None if decision.reason is None else str(decision.reason)
        cells: dict[str, Any] = {"reason": reason, "guess": decision.top[0][0]}
        stems = _ONE_TOPIC if self._form is None else _GUESSES
        for number, (topic, probability) in enumerate(decision.top, 1):
            topic_name, probability_name = _numbered(number, stems)
            cells |= {topic_name: topic, probability_name: self._probability_cell(probability)}
        if decision.reason:
            cells["topic"] = None
        topics: dict[str, Any] = {}
        if self._form is not None:
            multilabel_cells = self._multilabel_cells(decision, self._form)
            topics = {
                self._topic_names[name]: multilabel_cells.pop(name) for name in self._topic_names
            }
            cells |= multilabel_cells
        elif decision.conformal_set is not None:
            topic_set = decision.conformal_set
            cells["set"] = topic_set if self._table is None else "; ".join(map(str, topic_set))
        if self._delimiter:
            cells = {name: guard_cell(cell) for name, cell in cells.items()}
        return topics | {self._names[name]: cells.get(name) for name in self._answer_names}

    def _multilabel_cells(self, decision: Decision, form: TopicForm) -> dict[str, Any]:
        """Return the topics given and their probabilities; None if the model is unsure."""
        if decision.reason:
            return dict.fromkeys((*form.columns, "topics", "probabilities"))
        proba_by_topic = dict(zip(decision.topics or (), decision.probabilities, strict=True))
        topics: Any = [*proba_by_topic] if self._table is None else [*map(str, proba_by_topic)]
        cells = format_topics(topics, form)
        probabilities = [
            self._probability_cell(proba_by_topic[name])
            for name in form.columns
            if name in proba_by_topic
        ]
        probabilities = probabilities or [*map(self._probability_cell, proba_by_topic.values())]
        return {
            **(cells if isinstance(cells, dict) else {"topics": cells}),
            "probabilities": probabilities
            if self._table is None
            else (form.separator or " ").join(map(str, probabilities)),
        }

    def _probability_cell(self, probability: float) -> Any:
        rounded = round(probability, 4)
        return decimal_cell(rounded, self._delimiter) if self._delimiter else rounded


def topic_names(n_topics: int) -> list[str]:
    """Return the names of the columns of `n` topics and their probabilities.

    >>> topic_names(2)
    ['topic', 'probability', 'topic_2', 'probability_2']
    """
    numbers = range(1, n_topics + 1)
    return [name for number in numbers for name in _numbered(number, _ONE_TOPIC)]


def answer_names(
    input_names: Iterable[str], names: Iterable[str], own: str | None = None
) -> dict[str, str]:
    """Return the name of each answer column, different from all input columns.

    The column of topics is called `own`, as in the training data, unless an input column is.

    >>> answer_names(["id", "Topic"], topic_names(1))
    {'topic': 'predicted_topic', 'probability': 'probability', 'error': 'error'}
    >>> answer_names(["id"], ["topic", "topic_2"], "queue")
    {'topic': 'queue', 'topic_2': 'queue_2', 'error': 'error'}
    >>> answer_names(["id", "Queue"], ["topic", "topic_2"], "queue")
    {'topic': 'topic', 'topic_2': 'topic_2', 'error': 'error'}
    """
    input_names, names = [*input_names], (*names, "error")
    if own is None or own.lower() in map(str.lower, input_names):
        return free_names(input_names, names)
    own_names = [_TOPIC_NAME.sub(lambda match: f"{own}{match[1] or ''}", name) for name in names]
    new_names: list[str] = []
    for name in own_names:
        new_names += free_names([*input_names, *new_names], [name]).values()
    return dict(zip(names, new_names, strict=True))


# The ending of a further topic, such as _2.
_TOPIC_NAME = re.compile(r"^topics?(_\d+)?$")


def free_names(input_names: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return a new name for each name, different from all input columns."""
    used_names = {name.lower() for name in input_names}
    renamed = {}
    for name in names:
        free = name
        while free in used_names:
            free = f"predicted_{free}"
        renamed[name] = free
        used_names.add(free)
    return renamed


def _numbered(number: int, stems: tuple[str, str]) -> list[str]:
    return [stem if number == 1 else f"{stem}_{number}" for stem in stems]


def guard_cell(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet reads as a formula.

    >>> [guard_cell(value) for value in ("=1+1", "＝1+1", "-3.5", -3.5, "a-b")]
    ["'=1+1", "'＝1+1", '-3.5', -3.5, 'a-b']
    """
    cell = table_cell(value)
    if not isinstance(cell, str) or not cell.startswith(_FORMULA) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


# Excel --------------------------------------------------------------------------------------------


class SheetAnswers(AnswerFile):
    """Writes a copy of an Excel file with columns for the answers added to its first sheet."""

    def __init__(self, file: BinaryIO, rows: RowReader, answers: AnswerColumns) -> None:
        super().__init__(file, None, rows.unit, answers, rows.has_names)
        self._table = SheetColumns(Path(rows.name), rows.header)
        self._begin(dict.fromkeys(self._table.columns))

    def finish(self) -> None:
        """Write the file; raise DataError if the input was changed."""
        self._table.write(self._file)

    def close(self) -> None:
        """Delete the file if it hasn't been completed."""
        self._table.close()

    def _input_cells(self, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {}  # input cells stay in place

    def _put_header(self) -> None:
        self._table.begin(self._answer_fields())

    def _put(self, row: dict[str, Any], at: int | str) -> None:
        cells = (table_cell(row.get(name)) for name in self._answer_fields())
        self._table.add_row(int(at), cells)


class ExcelAnswers(AnswerFile):
    """Writes an Excel file of answers to an input file of another format."""

    def __init__(self, file: BinaryIO, rows: RowReader, answers: AnswerColumns) -> None:
        super().__init__(file, None, rows.unit, answers, rows.has_names)
        self._table = ExcelTable(file)
        self._cell = sheet_cell
        self._header = read_dialect(rows).columns

    def finish(self) -> None:
        """Write the file."""
        super().finish()
        self._table.save()

    def close(self) -> None:
        """End the sheet, if it has not been written."""
        self._table.close()


def excel_file(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return rows of values as an Excel file, in which the first row stays in view."""
    file = io.BytesIO()
    with closing(ExcelTable(file, freeze_first_row=True)) as table:
        for row in rows:
            table.writerow(row)
        table.save()
    return file.getvalue()


def table_file(rows: Iterable[Iterable[Any]], delimiter: str | None) -> bytes:
    """Return rows of values as CSV, or as an Excel file if there is no delimiter.

    CSV is UTF-8 with a byte-order mark, which spreadsheets need.
    """
    if delimiter is None:
        return excel_file(rows)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n", delimiter=delimiter).writerows(rows)
    return table.getvalue().encode("utf-8-sig", "backslashreplace")


# Formats of answers -------------------------------------------------------------------------------

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": None, ".ndjson": None}
#: Endings that the name of a file of answers may have; all but .parquet and .xlsx also with .gz.
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx")
# The fastest level of compression, since other work waits for it.
_PACKING = 1


def check_ending(path: Path) -> None:
    """Raise OptionError unless a file name has the extension of an answer format."""
    if path.suffix.lower() not in (".parquet", ".xlsx") and _ending(path) not in _DELIMITERS:
        raise OptionError(
            Parameter("output"),
            f" is {path}; use a name that ends in one of {', '.join(ENDINGS)}, "
            "or in / for a folder.",
        )


def answer_columns(decider: Decider, top: int, *, in_table: bool = True) -> AnswerColumns:
    """Return the columns of answers in a table, or else in JSON or Parquet."""
    fitted, n_topics = decider.fitted, min(top, len(decider.fitted.topics))
    if fitted.multilabel:
        form = _answer_form(fitted, in_table)
        guesses = [name for i in range(n_topics) for name in _numbered(i + 1, _GUESSES)]
        topics = [] if form.columns else ["topics"]
        names = [*topics, "probabilities", "reason", *guesses]
        return AnswerColumns(names, form, _own_column(fitted))
    names = topic_names(n_topics)
    if decider.precision is not None:
        names += ["reason", "guess"]
    if decider.coverage is not None:
        names.append("set")
    return AnswerColumns(names, own=_own_column(fitted))


def _own_column(fitted: Fitted) -> str | None:
    """Return the topic column of the training data; None if unknown or unnamed."""
    layout = fitted.layout
    form = None if layout is None else layout.topic_form
    is_named = form is None or form.kind in ("array", "separator")
    return layout.topic if layout is not None and is_named else None


def _answer_form(fitted: Fitted, in_table: bool) -> TopicForm:
    """Return the form of several topics: that of the training data, if the file allows it."""
    form = None if fitted.layout is None else fitted.layout.topic_form
    names = [*map(str, fitted.topics.names)]
    if form is not None and form.columns:  # corrections may have added topics
        return replace(form, columns=tuple(dict.fromkeys([*form.columns, *names])))
    if form is not None and in_table and form.kind != "array":
        return form
    separator = next((s for s in _SEPARATORS if s not in "".join(names)), _SEPARATORS[0])
    return TopicForm("separator", separator) if in_table else TopicForm("array")


@contextmanager
def open_answer_file(
    path: Path, rows: RowReader, decider: Decider, top: int
) -> Iterator[AnswerFile]:
    """Open a file of predictions, which appears complete when the block ends, or not at all.

    Its ending decides the format; see `ENDINGS`. Answers to a table are written like it: encoding,
    separator, quotes and line ends. In Parquet, answers to a Parquet file are added to all of its
    columns, which keep their types.

    Raises
    ------
    OptionError : if the name has another ending.
    OutputError : if the file can't be written.
    """
    check_ending(path)
    ending = _ending(path)
    with write_errors(path), ExitStack() as stack:
        part = stack.enter_context(whole_file(path))
        if ending == ".parquet":
            answers = answer_columns(decider, top, in_table=False)
            lines = stack.enter_context(fresh_part(path))
            file: AnswerFile = ParquetAnswers(lines, Path(part.name), rows, answers, decider)
        else:
            if path.suffix.lower() == ".gz":
                # Without name and time, so that the same answers give the same bytes.
                packed = gzip.GzipFile("", "wb", _PACKING, part, mtime=0)
                part = stack.enter_context(packed)  # type: ignore[assignment]
            file = stack.enter_context(closing(make_answer_file(part, ending, rows, decider, top)))
        yield file
        file.finish()


def make_answer_file(
    file: BinaryIO, ending: str, rows: RowReader, decider: Decider, top: int = 1
) -> AnswerFile:
    """Return the writer of answers in the format of an ending, except Parquet.

    Raises DataError if the rows are from an Excel file to which no columns can be added.
    """
    if ending == ".xlsx":
        kind = SheetAnswers if rows.format == "xlsx" else ExcelAnswers
        return kind(file, rows, answer_columns(decider, top))
    delimiter = _DELIMITERS[ending]
    answers = answer_columns(decider, top, in_table=delimiter is not None)
    dialect = None if delimiter is None else answer_dialect(rows, decider, delimiter)
    return AnswerFile(file, dialect, rows.unit, answers, rows.has_names)


def answer_dialect(rows: RowReader, decider: Decider, delimiter: str) -> TableDialect:
    """Return the dialect of a table of answers: the dialect of the input, if that is a table.

    `delimiter` is the usual delimiter for the name of the table.
    """
    dialect = read_dialect(rows).with_characters(decider.fitted.topics.names)
    # Excel reads UTF-16 only with tabs.
    is_unicode_text = rows.format == "tsv" and dialect.encoding.startswith("utf-16")
    is_same = (rows.format == "csv" or is_unicode_text) and delimiter == ","
    return dialect if is_same else dialect._replace(delimiter=delimiter)


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


# Parquet ------------------------------------------------------------------------------------------

# Maximum numbers of bytes and of rows of a row group, which is in memory as a whole.
_GROUP_BYTES = 1 << 26
_FEWEST_ROWS, _MAX_ROWS = 2048, 122_880
# Minimum for the longest JSON line that DuckDB reads: its own default.
_LEAST_LINE = 1 << 24
_MAX_COLUMNS = 10_000
_MAX_INTEGER = 2**63
# The type of a column by the kinds of its cells; other columns are text.
_TYPES = {
    frozenset({"bool"}): "BOOLEAN",
    frozenset({"int"}): "BIGINT",
    frozenset({"float"}): "DOUBLE",
    frozenset({"int", "float"}): "DOUBLE",
}


class ParquetAnswers(AnswerFile):
    """Writes rows of a Parquet file to `target`: the input columns, then the answers.

    Answers are first written as JSON lines to a temporary file, and at the end become columns after
    the unchanged columns of a Parquet input. Columns of other inputs become numbers, booleans or
    text, depending on their values.
    """

    def __init__(
        self,
        lines: BinaryIO,
        target: Path,
        rows: RowReader,
        answers: AnswerColumns,
        decider: Decider,
    ) -> None:
        super().__init__(lines, None, rows.unit, answers, rows.has_names)
        self._target = target
        self._input_path = Path(rows.name) if rows.format == "parquet" else None
        is_number = any(isinstance(name, int) for name in decider.fitted.topics.names)
        self._topic_type = "BIGINT" if is_number else "VARCHAR"
        self._kinds: dict[str, set[str]] = {}
        self._n_rows = self._n_bytes = self._longest = 0
        if self._input_path is not None:
            self._state = file_state(self._input_path)
            with parquet.open_duckdb() as connection:
                columns = parquet.column_types(connection, self._input_path)
            self._begin(dict.fromkeys(columns))

    def finish(self) -> None:
        """Write the file; DataError if column names differ only in case, or the input changed."""
        if self._input_path is not None and file_state(self._input_path) != self._state:
            raise DataError(f"{self._input_path} was changed while it was read; answer it again.")
        super().finish()
        self._file.flush()
        import duckdb

        try:
            with parquet.open_duckdb() as connection:
                connection.execute(*self._query())
        except duckdb.Error as error:
            is_full = os.strerror(errno.ENOSPC) in str(error)
            number = errno.ENOSPC if is_full else errno.EIO
            reason = str(error).partition("\n")[0][:300]
            raise OSError(number, os.strerror(number) if is_full else reason) from error

    def _input_cells(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {} if self._input_path is not None else super()._input_cells(values)

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        """Write a batch of predictions."""
        super().write(answers)
        self._n_rows += len(answers)
        for answer in answers:
            cells = (value for value in answer.values.values() if isinstance(value, str))
            self._n_bytes += sum(map(len, cells))

    def _put(self, row: dict[str, Any], at: int | str) -> None:  # noqa: ARG002 (of the input)
        if self._input_path is None:
            for name, value in row.items():
                kinds = self._kinds.setdefault(name, set())
                if value is not None:
                    kinds.add(_kind(value))
            if len(self._kinds) > _MAX_COLUMNS:
                raise DataError(
                    f"the rows have more than {_MAX_COLUMNS:,} columns; write JSON lines."
                )
        line = self._encode(row) + b"\n"
        self._longest = max(self._longest, len(line))
        self._file.write(line)

    def _query(self) -> tuple[str, list[Any]]:
        """Return the statement that writes the file, and its parameters."""
        types = {} if self._input_path is not None else self._input_types()
        types |= dict.fromkeys(self._topic_names.values(), "BIGINT")
        types |= {column: self._type_of(name) for name, column in self._names.items()}
        fields = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in types.items())
        lines = (
            f"read_json({_text(parquet.escape_wildcards(Path(self._file.name)))}, "
            "format = 'newline_delimited', "
            f"columns = {{{fields}}}, maximum_object_size = {max(self._longest + 1, _LEAST_LINE)})"
        )
        select_list = ", ".join(f"a.{parquet.quote_identifier(name)}" for name in types)
        source, parameters = f"{lines} AS a", list[Any]()
        if self._input_path is not None:
            input_table, parameters = parquet.parquet_table(self._input_path)
            select_list = f"g.*, {select_list}"
            source = f"{input_table} AS g POSITIONAL JOIN {source}"
        bytes_each = self._n_bytes // max(self._n_rows, 1) + 1
        n_rows = min(max(_GROUP_BYTES // bytes_each, _FEWEST_ROWS), _MAX_ROWS)
        options = f"FORMAT parquet, USE_TMP_FILE false, ROW_GROUP_SIZE {n_rows}"
        select = f"SELECT {select_list} FROM {source}"  # noqa: S608 (all names are quoted)
        return f"COPY ({select}) TO {_text(self._target)} ({options})", parameters

    def _input_types(self) -> dict[str, str]:
        """Return the type of each input column."""
        answers = set(self._answer_fields())
        inputs = [name for name in (*self._fields, *self._kinds) if name not in answers]
        types = {
            name: _TYPES.get(frozenset(self._kinds.get(name, ())), "VARCHAR")
            for name in dict.fromkeys(inputs)
        }
        _check_distinct([*types, *answers])
        return types

    def _type_of(self, name: str) -> str:
        if name == "probabilities":
            return "DOUBLE[]"
        if name.startswith(("probability", "guess_probability")):
            return "DOUBLE"
        if name in ("set", "topics"):
            return f"{self._topic_type}[]"
        return self._topic_type if name.startswith(("topic", "guess")) else "VARCHAR"


def _check_distinct(names: Iterable[str]) -> None:
    """Raise DataError if two names differ only in case."""
    names_by_lower: dict[str, str] = {}
    for name in names:
        other = names_by_lower.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"columns {short_repr(other)} and {short_repr(name)} are the same name in "
                f"Parquet; rename one, or "
                "write CSV or JSON lines."
            )


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if -_MAX_INTEGER <= value < _MAX_INTEGER else "number"
    return type(value).__name__


def _text(value: object) -> str:
    """Return a text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"
