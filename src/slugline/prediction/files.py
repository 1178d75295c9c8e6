"""Prediction files: one row per document, with its input cells and the prediction."""

from __future__ import annotations

import gzip
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from slugline.base.files import whole_file, write_errors
from slugline.base.names import check_is_no_output_address
from slugline.corpus.dialects import TableDialect
from slugline.corpus.excel_copy import ExcelCopy
from slugline.corpus.parquet import open_parquet_table
from slugline.corpus.readers import RowReader, read_dialect
from slugline.corpus.rows import BadRow
from slugline.corpus.table_writers import TableWriter
from slugline.corpus.tables import DELIMITERS, new_table
from slugline.errors import OptionError, Parameter
from slugline.model.decider import Decider
from slugline.prediction.answers import AnswerCells, AnswerColumns, answer_columns, free_names
from slugline.prediction.rows import Prediction

#: Maximum number of dropped column names kept for the message.
MAX_DROPPED_COLUMNS = 100


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
    answers : mapping of str to AnswerColumns
        The columns of each question; the key of a single question is arbitrary.
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
        answers: Mapping[str, AnswerColumns],
        header: Sequence[str] = (),
    ) -> None:
        self.dropped_columns: list[str] = []
        self._table = table
        self._header = header
        self._unit, self._has_names = rows.unit, rows.has_names
        self._questions = {
            question: AnswerCells(columns, table, question if len(answers) > 1 else None)
            for question, columns in answers.items()
        }
        self._columns: Container[str] | None = None
        self._error = "error"
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
            row = self._input_cells(answer.values) | self._answer_cells(answer)
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
        types: dict[str, str] = {}
        for cells in self._questions.values():
            types |= cells.choose_names([*self._columns, *types])
        [self._error] = free_names([*self._columns, *types], ["error"])
        types[self._error] = "VARCHAR"
        inputs = self._columns if self._table.source_columns is None else ()
        self._fields = [*inputs, *types]
        self._table.begin(self._fields, types)
        buffered, self._buffered = self._buffered, []
        self.write(buffered)

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

    def _answer_cells(self, answer: Prediction | BadRow) -> dict[str, Any]:
        """Return the cells of all questions, or the error of a bad row."""
        if isinstance(answer, BadRow):
            return {self._error: f"{self._unit} {answer.at}: {answer.problem}"}
        cells: dict[str, Any] = {}
        for question, decision in answer.decisions.items():
            cells |= self._questions[question].cells(decision)
        return cells


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


@contextmanager
def open_answer_file(
    path: Path, rows: RowReader, deciders: Mapping[str, Decider], top: int
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
            answers = _all_columns(deciders, top, in_table=False)
            file = stack.enter_context(closing(AnswerFile(table, rows, answers)))
        else:
            if path.suffix.lower() == ".gz":
                # Omit name and time, so the same answers give the same bytes.
                packed = gzip.GzipFile("", "wb", _PACKING, part, mtime=0)
                part = stack.enter_context(packed)  # type: ignore[assignment]
            file = stack.enter_context(closing(make_answer_file(part, ending, rows, deciders, top)))
        yield file
        file.finish()


def make_answer_file(
    file: BinaryIO, ending: str, rows: RowReader, deciders: Mapping[str, Decider], top: int = 1
) -> AnswerFile:
    """Return the answer writer for an extension other than Parquet.

    Raise DataError if the rows are from an Excel file to which no columns can be added.
    """
    if ending == ".xlsx" and rows.format == "xlsx":
        copy = ExcelCopy(file, Path(rows.name), rows.header)
        return AnswerFile(copy, rows, _all_columns(deciders, top, in_table=True))
    delimiter = DELIMITERS.get(ending)
    dialect = None if delimiter is None else answer_dialect(rows, deciders.values(), delimiter)
    table = new_table(file, ending, dialect)
    answers = _all_columns(deciders, top, in_table=not table.has_lists)
    header = () if table.has_lists else (dialect or read_dialect(rows)).columns
    return AnswerFile(table, rows, answers, header)


def _all_columns(
    deciders: Mapping[str, Decider], top: int, *, in_table: bool
) -> dict[str, AnswerColumns]:
    """Return the answer columns of each question."""
    return {
        question: answer_columns(decider, top, in_table=in_table)
        for question, decider in deciders.items()
    }


def answer_dialect(rows: RowReader, deciders: Iterable[Decider], delimiter: str) -> TableDialect:
    """Return the dialect of an answer table, copied from the input if it is a table too.

    `delimiter` is the default for the name of the table.
    """
    topics = [name for decider in deciders for name in decider.fitted.topics.names]
    dialect = read_dialect(rows).with_characters(topics)
    # Excel reads UTF-16 only with tabs.
    is_unicode_text = rows.format == "tsv" and dialect.encoding.startswith("utf-16")
    is_same = (rows.format == "csv" or is_unicode_text) and delimiter == ","
    return dialect if is_same else dialect._replace(delimiter=delimiter)


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix
