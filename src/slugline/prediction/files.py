"""Prediction files: one row per document, with its input cells and the prediction."""

from __future__ import annotations

import gzip
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from slugline.base.files import whole_file, write_errors
from slugline.base.names import check_is_no_output_address
from slugline.corpus.dialects import TableDialect
from slugline.corpus.excel_copy import ExcelCopy
from slugline.corpus.layout import TopicForm
from slugline.corpus.parquet import open_parquet_table
from slugline.corpus.readers import RowReader, read_dialect
from slugline.corpus.rows import BadRow
from slugline.corpus.table_writers import TableWriter, decimal_cell, guard_cell
from slugline.corpus.tables import DELIMITERS, new_table
from slugline.corpus.topic_cells import format_topics
from slugline.errors import OptionError, Parameter
from slugline.model.decider import Decider
from slugline.model.decision import Decision
from slugline.model.fitted import Fitted
from slugline.prediction.rows import Prediction

# Columns of a topic and its probability: an answer, or the guess of a multilabel model.
_ONE_TOPIC, _GUESSES = ("topic", "probability"), ("guess", "guess_probability")
#: Maximum number of dropped column names kept for the message.
MAX_DROPPED_COLUMNS = 100
# Separators between topics in a cell, unless the training data had another separator.
_SEPARATORS = ";|"


class AnswerColumns(NamedTuple):
    """Columns of answers except "error", and the form of multi-label topics.

    `form` is None for single-label models. If each topic has a column, these columns are not in
    `names`. `own` is the topic column of the model's training data, if known. `topic_type` is the
    SQL type of a topic.
    """

    names: list[str]
    form: TopicForm | None = None
    own: str | None = None
    topic_type: str = "VARCHAR"


class AnswerFile:
    """Writes table rows: input columns in their original order, then the answers.

    In CSV, answers that a spreadsheet would read as formulas get an apostrophe; input cells are
    unchanged. The input columns come from the first batch with columns, or from the file that the
    table copies.

    Parameters
    ----------
    table : TableWriter
    rows : RowReader
        The reader of the input.
    answers : AnswerColumns
        See `answer_columns`.
    header : sequence of str, default ()
        Input columns if there are no rows.

    Attributes
    ----------
    dropped_columns : list of str
        Input columns first seen after the header was written.
    """

    def __init__(
        self,
        table: TableWriter,
        rows: RowReader,
        answers: AnswerColumns,
        header: Sequence[str] = (),
    ) -> None:
        self.dropped_columns: list[str] = []
        self._table = table
        self._header = header
        self._unit, self._has_names = rows.unit, rows.has_names
        self._answers_of = answers
        self._form = answers.form
        self._columns: Container[str] | None = None
        self._names: dict[str, str] = {}
        self._topic_names: dict[str, str] = {}  # topics with a separate column
        self._fields: list[str] = []
        self._buffered: list[Prediction | BadRow] = []
        if table.source_columns is not None:
            self._begin(table.source_columns)

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        """Write a batch of predictions."""
        if self._columns is None:
            self._buffered += answers
            cells = (cell for answer in answers for cell in answer.values.items())
            # Text lines have a "topic" column only if labelled.
            columns = {name: None for name, value in cells if self._has_names or value is not None}
            if columns:
                self._begin(columns)
            return
        for answer in answers:
            row = self._input_cells(answer.values) | self._answers(answer)
            self._table.write_row(row, answer.at)

    def finish(self) -> None:
        """Write the remaining rows after the last batch."""
        if self._columns is None:
            self._begin(self._header)
        self._table.finish()

    def close(self) -> None:
        """Close all resources except the file."""
        self._table.close()

    def _begin(self, columns: Iterable[str]) -> None:
        self._columns = dict.fromkeys(columns)
        self._topic_names = free_names(self._columns, self._form.columns if self._form else ())
        others = [*self._columns, *self._topic_names.values()]
        self._names = answer_names(others, self._answers_of.names, self._answers_of.own)
        types = dict.fromkeys(self._topic_names.values(), "BIGINT")
        types |= {column: self._type_of(name) for name, column in self._names.items()}
        inputs = self._columns if self._table.source_columns is None else ()
        self._fields = [*inputs, *types]
        self._table.begin(self._fields, types)
        buffered, self._buffered = self._buffered, []
        self.write(buffered)

    def _type_of(self, name: str) -> str:
        """Return the SQL type of an answer column."""
        if name == "probabilities":
            return "DOUBLE[]"
        if name.startswith(("probability", "guess_probability")):
            return "DOUBLE"
        topic_type = self._answers_of.topic_type
        if name == "topics":
            return f"{topic_type}[]"
        return topic_type if name.startswith(("topic", "guess")) else "VARCHAR"

    def _input_cells(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the input cells to write."""
        if self._table.source_columns is not None:
            return {}
        columns, has_any_column = self._columns or (), self._table.has_lists
        cells = {}
        for name, value in values.items():
            if name in columns or (has_any_column and name not in self._fields):
                cells[name] = value
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
        if self._table.delimiter:
            cells = {name: guard_cell(cell) for name, cell in cells.items()}
        return topics | {self._names[name]: cells.get(name) for name in self._answers_of.names}

    def _multilabel_cells(self, decision: Decision, form: TopicForm) -> dict[str, Any]:
        """Return the topics given and their probabilities, or None if the model is unsure."""
        if decision.reason:
            return dict.fromkeys((*form.columns, "topics", "probabilities"))
        proba_by_topic = dict(zip(decision.topics or (), decision.probabilities, strict=True))
        topics: Any = [*proba_by_topic] if self._table.has_lists else [*map(str, proba_by_topic)]
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
            if self._table.has_lists
            else (form.separator or " ").join(map(str, probabilities)),
        }

    def _probability_cell(self, probability: float) -> Any:
        rounded = round(probability, 4)
        delimiter = self._table.delimiter
        return decimal_cell(rounded, delimiter) if delimiter else rounded


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
    """Return the name of each answer column, distinct from all input columns.

    The topic column is named `own`, as in the training data, unless an input column has this name.

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


# Suffix of an additional topic, such as _2.
_TOPIC_NAME = re.compile(r"^topics?(_\d+)?$")


def free_names(input_names: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return a new name for each name, distinct from all input columns."""
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


# Formats of answers -------------------------------------------------------------------------------

#: File extensions for answers; all but .parquet and .xlsx also with .gz.
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx")
_PACKABLE = (".csv", ".tsv", ".jsonl", ".ndjson")
# Fastest compression level, because compression blocks other work.
_PACKING = 1


def check_ending(path: Path) -> None:
    """Raise OptionError unless a file name has the extension of an answer format."""
    check_is_no_output_address(path)
    is_packed = path.suffix.lower() == ".gz"
    if _ending(path) not in _PACKABLE and (is_packed or _ending(path) not in ENDINGS):
        raise OptionError(
            Parameter("output"),
            f" is {path}; use a name that ends in one of {', '.join(ENDINGS)}, "
            "or in / for a folder.",
        )


def answer_columns(decider: Decider, top: int, *, in_table: bool = True) -> AnswerColumns:
    """Return the answer columns of a table, or of JSON or Parquet."""
    fitted, n_topics = decider.fitted, min(top, len(decider.fitted.topics))
    is_number = any(isinstance(name, int) for name in fitted.topics.names)
    topic_type = "BIGINT" if is_number else "VARCHAR"
    if fitted.multilabel:
        form = _answer_form(fitted, in_table)
        guesses = [name for i in range(n_topics) for name in _numbered(i + 1, _GUESSES)]
        topics = [] if form.columns else ["topics"]
        names = [*topics, "probabilities", "reason", *guesses]
        return AnswerColumns(names, form, _own_column(fitted), topic_type)
    names = topic_names(n_topics)
    if decider.precision is not None:
        names += ["reason", "guess"]
    return AnswerColumns(names, own=_own_column(fitted), topic_type=topic_type)


def _own_column(fitted: Fitted) -> str | None:
    """Return the topic column of the training data; None if unknown or unnamed."""
    layout = fitted.layout
    form = None if layout is None else layout.topic_form
    is_named = form is None or form.kind in ("array", "separator")
    return layout.topic if layout is not None and is_named else None


def _answer_form(fitted: Fitted, in_table: bool) -> TopicForm:
    """Return the form of multi-label topics: as in the training data, if the format allows it."""
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
    """Open a prediction file, written atomically when the block ends.

    The extension determines the format; see `ENDINGS`. Answers to a table keep its encoding,
    separator, quotes and line ends. Parquet answers to a Parquet file include all of its columns
    with their types.

    Raises
    ------
    OptionError : if the extension is not supported.
    OutputError : if the file can't be written.
    """
    check_ending(path)
    ending = _ending(path)
    with write_errors(path), ExitStack() as stack:
        part = stack.enter_context(whole_file(path))
        if ending == ".parquet":
            source = Path(rows.name) if rows.format == "parquet" else None
            table = stack.enter_context(open_parquet_table(path, part, source))
            answers = answer_columns(decider, top, in_table=False)
            file = stack.enter_context(closing(AnswerFile(table, rows, answers)))
        else:
            if path.suffix.lower() == ".gz":
                # Omit name and time, so the same answers give the same bytes.
                packed = gzip.GzipFile("", "wb", _PACKING, part, mtime=0)
                part = stack.enter_context(packed)  # type: ignore[assignment]
            file = stack.enter_context(closing(make_answer_file(part, ending, rows, decider, top)))
        yield file
        file.finish()


def make_answer_file(
    file: BinaryIO, ending: str, rows: RowReader, decider: Decider, top: int = 1
) -> AnswerFile:
    """Return the answer writer for an extension other than Parquet.

    Raise DataError if the rows are from an Excel file to which no columns can be added.
    """
    if ending == ".xlsx" and rows.format == "xlsx":
        copy = ExcelCopy(file, Path(rows.name), rows.header)
        return AnswerFile(copy, rows, answer_columns(decider, top))
    delimiter = DELIMITERS.get(ending)
    dialect = None if delimiter is None else answer_dialect(rows, decider, delimiter)
    table = new_table(file, ending, dialect)
    answers = answer_columns(decider, top, in_table=not table.has_lists)
    header = () if table.has_lists else (dialect or read_dialect(rows)).columns
    return AnswerFile(table, rows, answers, header)


def answer_dialect(rows: RowReader, decider: Decider, delimiter: str) -> TableDialect:
    """Return the dialect of an answer table, copied from the input if it is a table too.

    `delimiter` is the default for the name of the table.
    """
    dialect = read_dialect(rows).with_characters(decider.fitted.topics.names)
    # Excel reads UTF-16 only with tabs.
    is_unicode_text = rows.format == "tsv" and dialect.encoding.startswith("utf-16")
    is_same = (rows.format == "csv" or is_unicode_text) and delimiter == ","
    return dialect if is_same else dialect._replace(delimiter=delimiter)


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix
