"""Answers as a file: a row for each document, with its given cells and the answer."""

from __future__ import annotations

import codecs
import csv
import errno
import gzip
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from slugline.base.files import fresh_part, whole_file
from slugline.corpus.parquet import (
    column_types,
    escape_wildcards,
    open_duckdb,
    parquet_table,
    quote_identifier,
)
from slugline.corpus.rows import BadRow
from slugline.errors import DataError, OptionError, OutputError

if TYPE_CHECKING:
    from slugline.corpus.readers import RowReader
    from slugline.model.routing import Router
    from slugline.prediction.rows import Prediction

__all__ = [
    "ENDINGS",
    "AnswerFile",
    "ParquetAnswers",
    "answer_columns",
    "answer_names",
    "check_ending",
    "compact",
    "open_answer_file",
    "topic_names",
]


# With what a spreadsheet's formulas begin; and numbers, which may begin so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*")
#: Names of left-out columns that are kept for the message.
N_LEFT_OUT = 100


class AnswerFile:
    """Rows of CSV, TSV or JSON lines: the given columns in their order, then the answers.

    The given columns are those of the first batch that has any.

    Parameters
    ----------
    file : binary file
    delimiter : str or None
        What separates cells; None for JSON lines.
    unit, has_names : of the given rows
        See `slugline.corpus.readers.RowReader`.
    names : sequence of str
        Those of the answers, besides "error": some of `topic_names`, "reason", "guess" and "set".
    guards_formulas : bool, default False
        Put an apostrophe before cells of a table that a spreadsheet would read as formulas; by
        default, they stay as given.

    Attributes
    ----------
    left_out : list of str
        Columns that came too late for the header, or to rename an answer column.
    """

    def __init__(
        self,
        file: BinaryIO,
        delimiter: str | None,
        unit: str,
        names: Sequence[str],
        has_names: bool,
        guards_formulas: bool = False,
    ) -> None:
        self.left_out: list[str] = []
        self._file = file
        self._table = None if delimiter is None else _table_writer(file, delimiter)
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._unit = unit
        self._answer_names = names
        self._has_names = has_names
        self._cell = _guarded if guards_formulas else _cell
        self._columns: Container[str] | None = None
        self._names: dict[str, str] = {}
        self._fields: list[str] = []
        self._held: list[Prediction | BadRow] = []

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        """Write the answers to a batch of rows."""
        if self._columns is None:
            self._held += answers
            columns = self._columns_of(answers)
            if columns:
                self._begin(columns)
            return
        for answer in answers:
            self._write_row(answer)

    def finish(self) -> None:
        """Write the rest, after the last answer."""
        if self._columns is None:
            self._begin({})

    def _columns_of(self, answers: Iterable[Prediction | BadRow]) -> dict[str, None]:
        """Return the given columns; of lines of text, "topic" only if there are labels."""
        cells = (cell for answer in answers for cell in answer.values.items())
        return {name: None for name, value in cells if self._has_names or value is not None}

    def _begin(self, columns: dict[str, None]) -> None:
        self._columns = columns
        self._names = answer_names(columns, self._answer_names)
        self._fields = [*columns, *self._names.values()]
        if self._table is not None:
            self._table.writerow(map(self._cell, self._fields))
        held, self._held = self._held, []
        self.write(held)

    def _write_row(self, answer: Prediction | BadRow) -> None:
        self._put(self._given(answer.values) | self._answers(answer))

    def _put(self, row: dict[str, Any]) -> None:
        if self._table is None:
            self._file.write(self._encode(row) + b"\n")
        else:
            self._table.writerow([self._cell(row.get(name)) for name in self._fields])

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given cells that have a column."""
        known, is_table = self._columns or (), self._table is not None
        given = {}
        for name, value in values.items():
            if name in known or not (is_table or name in self._fields):
                given[name] = compact(value)
            elif value is not None and name not in self.left_out:
                self.left_out = [*self.left_out, name][:N_LEFT_OUT]
        return given

    def _answers(self, answer: Prediction | BadRow) -> dict[str, Any]:
        if isinstance(answer, BadRow):
            return {self._names["error"]: f"{self._unit} {answer.at}: {answer.problem}"}
        reason = None if answer.reason is None else str(answer.reason)
        found: dict[str, Any] = {"reason": reason, "guess": answer.topics[0][0]}
        for number, (topic, probability) in enumerate(answer.topics, 1):
            topic_name, probability_name = _numbered(number)
            found |= {topic_name: topic, probability_name: round(probability, 4)}
        if answer.reason:
            found["topic"] = None
        if answer.set is not None:
            found["set"] = answer.set if self._table is None else "; ".join(map(str, answer.set))
        return {self._names[name]: found.get(name) for name in self._answer_names}


def topic_names(n_topics: int) -> list[str]:
    """Return the names of columns for so many topics.

    >>> topic_names(2)
    ['topic', 'probability', 'topic_2', 'probability_2']
    """
    return [name for number in range(1, n_topics + 1) for name in _numbered(number)]


def answer_names(given: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the name of each answer column, which differs from all given columns.

    >>> answer_names(["id", "Topic"], topic_names(1))
    {'topic': 'predicted_topic', 'probability': 'probability', 'error': 'error'}
    """
    taken = {name.lower() for name in given}
    found = {}
    for name in (*names, "error"):
        free = name
        while free in taken:
            free = f"predicted_{free}"
        found[name] = free
        taken.add(free)
    return found


def compact(value: Any) -> Any:
    """Return a value that fits on one line: JSON as written may have line breaks."""
    return msgspec.Raw(msgspec.json.format(value, indent=-1)) if _is_raw(value) else value


def _numbered(number: int) -> tuple[str, str]:
    suffix = "" if number == 1 else f"_{number}"
    return f"topic{suffix}", f"probability{suffix}"


def _is_raw(value: Any) -> bool:
    return isinstance(value, msgspec.Raw)


def _cell(value: Any) -> Any:
    """Return a value as a cell of a table: null as an empty cell, true as in JSON."""
    if _is_raw(value):
        return bytes(value).decode()
    return str(value).lower() if isinstance(value, bool) else value


def _guarded(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet takes for a formula.

    >>> _guarded("=1+1"), _guarded("-3.5"), _guarded(-3.5), _guarded("a-b")
    ("'=1+1", '-3.5', -3.5, 'a-b')
    """
    cell = _cell(value)
    if not isinstance(cell, str) or not cell.startswith(_FORMULA) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def _table_writer(file: BinaryIO, delimiter: str) -> Any:
    text = codecs.getwriter("utf-8")(file)
    return csv.writer(text, delimiter=delimiter, lineterminator="\n")


# Where answers go: a file of any kind that is written whole or not at all -------------------------

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": None, ".ndjson": None}
#: What the name of a file of answers may end in; all but .parquet also with .gz.
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
# Answers are packed while others wait: the quickest level.
_PACKING = 1


def check_ending(path: Path) -> None:
    """Raise OptionError if the name of a file doesn't say in which format answers are wanted."""
    if not _is_known(path):
        raise OptionError(
            f"`output` is {path}; use a name that ends in one of {_listed()}, or in / for a folder."
        )


def answer_columns(router: Router, top: int) -> list[str]:
    """Return the names of the columns of answers, besides "error"."""
    names = topic_names(min(top, len(router.fitted.topics)))
    if router.precision is not None:
        names += ["reason", "guess"]
    if router.coverage is not None:
        names.append("set")
    return names


@contextmanager
def open_answer_file(path: Path, rows: RowReader, router: Router, top: int) -> Iterator[AnswerFile]:
    """Open a file for answers, which is complete when the block ends, or does not appear at all.

    Parameters
    ----------
    path : Path
        Its ending decides the format; see `ENDINGS`.
    rows : Rows
        What is answered. Answers to a Parquet file, in Parquet, stand beside all of its columns as
        they are, whatever their type.
    router : Router
        What answers.
    top : int
        How many topics each row gets.

    Raises
    ------
    OptionError : if the name ends in something else.
    OutputError : if it can't be written.
    """
    check_ending(path)
    names = answer_columns(router, top)
    try:
        with ExitStack() as stack:
            part = stack.enter_context(whole_file(path))
            if _ending(path) == ".parquet":
                lines = stack.enter_context(fresh_part(path))
                file: AnswerFile = ParquetAnswers(lines, Path(part.name), rows, names, router)
            else:
                if path.suffix.lower() == ".gz":
                    # Without name and time: the same answers give the same bytes.
                    packed = gzip.GzipFile("", "wb", _PACKING, part, mtime=0)
                    part = stack.enter_context(packed)  # type: ignore[assignment]
                delimiter = _DELIMITERS[_ending(path)]
                file = AnswerFile(part, delimiter, rows.unit, names, rows.has_names)
            yield file
            file.finish()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} can't be written ({error.strerror or error}); free space, or name another "
            "place."
        ) from error


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _is_known(path: Path) -> bool:
    if path.suffix.lower() == ".parquet":
        return True
    return _ending(path) in _DELIMITERS


def _listed() -> str:
    return ", ".join(ENDINGS)


# Answers as a Parquet file ------------------------------------------------------------------------

# Bytes of a row group, which is in memory as a whole, and its number of rows.
_GROUP_BYTES = 1 << 26
_FEWEST_ROWS, _MOST_ROWS = 2048, 122_880
# A JSON line that DuckDB reads: at least its own default.
_LEAST_LINE = 1 << 24
_MOST_COLUMNS = 10_000
_MOST_INTEGER = 2**63
# The type of a column whose cells were all of these kinds; of others, text.
_TYPES = {
    frozenset({"bool"}): "BOOLEAN",
    frozenset({"int"}): "BIGINT",
    frozenset({"float"}): "DOUBLE",
    frozenset({"int", "float"}): "DOUBLE",
}


class ParquetAnswers(AnswerFile):
    """Rows of a Parquet file: the given columns, then the answers.

    Answers are JSON lines first, in a file of their own, and become columns at the end. Columns of
    a given Parquet file are put beside them as they are; those of other files are numbers, truth
    values or text, depending on what they hold.

    Parameters
    ----------
    lines : binary file
        Where the lines are, until the end.
    target : Path
        A file that is there.
    rows : Rows
        What is answered.
    names : sequence of str
        Those of the answers, besides "error"; see `answer_columns`.
    router : Router
        What answers.
    """

    def __init__(
        self, lines: BinaryIO, target: Path, rows: RowReader, names: Sequence[str], router: Router
    ) -> None:
        super().__init__(lines, None, rows.unit, names, rows.has_names)
        self._target = target
        self._beside = Path(rows.name) if rows.format == "parquet" else None
        is_number = any(isinstance(name, int) for name in router.fitted.topics.names)
        self._topic_type = "BIGINT" if is_number else "VARCHAR"
        self._kinds: dict[str, set[str]] = {}
        self._n_rows = self._n_bytes = self._longest = 0
        if self._beside is not None:
            self._state = _state(self._beside)
            with open_duckdb() as connection:
                columns = column_types(connection, self._beside)
            self._begin(dict.fromkeys(columns))

    def finish(self) -> None:
        """Make the Parquet file of all answers.

        Raises
        ------
        OSError : if it can't be written.
        DataError : if columns can't be told apart, or the given file was changed meanwhile.
        """
        if self._beside is not None and _state(self._beside) != self._state:
            raise DataError(f"{self._beside} was changed while it was read; answer it again.")
        super().finish()
        self._file.flush()
        import duckdb

        try:
            with open_duckdb() as connection:
                connection.execute(*self._query())
        except duckdb.Error as error:
            is_full = os.strerror(errno.ENOSPC) in str(error)
            number = errno.ENOSPC if is_full else errno.EIO
            reason = str(error).partition("\n")[0][:300]
            raise OSError(number, os.strerror(number) if is_full else reason) from error

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {} if self._beside is not None else super()._given(values)

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        """Write the answers to a batch of rows."""
        super().write(answers)
        self._n_rows += len(answers)
        for answer in answers:
            cells = (value for value in answer.values.values() if isinstance(value, str))
            self._n_bytes += sum(map(len, cells))

    def _put(self, row: dict[str, Any]) -> None:
        if self._beside is None:
            for name, value in row.items():
                if value is not None:
                    self._kinds.setdefault(name, set()).add(_kind(value))
                else:
                    self._kinds.setdefault(name, set())
            if len(self._kinds) > _MOST_COLUMNS:
                raise DataError(
                    f"the rows have more than {_MOST_COLUMNS:,} columns; write JSON lines."
                )
        line = self._encode(row) + b"\n"
        self._longest = max(self._longest, len(line))
        self._file.write(line)

    def _query(self) -> tuple[str, list[Any]]:
        """Return the statement that makes the file, and its parameters."""
        types = {} if self._beside is not None else self._given_types()
        types |= {own: self._type_of(name) for name, own in self._names.items()}
        fields = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in types.items())
        lines = (
            f"read_json({_text(escape_wildcards(Path(self._file.name)))}, "
            "format = 'newline_delimited', "
            f"columns = {{{fields}}}, maximum_object_size = {max(self._longest + 1, _LEAST_LINE)})"
        )
        chosen = ", ".join(f"a.{quote_identifier(name)}" for name in types)
        source, parameters = f"{lines} AS a", list[Any]()
        if self._beside is not None:
            beside, parameters = parquet_table(self._beside)
            chosen = f"g.*, {chosen}"
            source = f"{beside} AS g POSITIONAL JOIN {source}"
        bytes_each = self._n_bytes // max(self._n_rows, 1) + 1
        n_rows = min(max(_GROUP_BYTES // bytes_each, _FEWEST_ROWS), _MOST_ROWS)
        options = f"FORMAT parquet, USE_TMP_FILE false, ROW_GROUP_SIZE {n_rows}"
        select = f"SELECT {chosen} FROM {source}"  # noqa: S608 (all names are quoted)
        return f"COPY ({select}) TO {_text(self._target)} ({options})", parameters

    def _given_types(self) -> dict[str, str]:
        """Return the type of each given column."""
        own = set(self._names.values())
        given = [name for name in (*self._fields, *self._kinds) if name not in own]
        types = {
            name: _TYPES.get(frozenset(self._kinds.get(name, ())), "VARCHAR")
            for name in dict.fromkeys(given)
        }
        _check_apart([*types, *own])
        return types

    def _type_of(self, name: str) -> str:
        if name.startswith("probability"):
            return "DOUBLE"
        if name == "set":
            return f"{self._topic_type}[]"
        return self._topic_type if name.startswith(("topic", "guess")) else "VARCHAR"


def _check_apart(names: Iterable[str]) -> None:
    """Raise DataError if names differ in upper and lower case alone."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"columns {other!r} and {name!r} are the same name in Parquet; rename one, or "
                "write CSV or JSON lines."
            )


def _state(path: Path) -> tuple[int, int, int]:
    """Return what tells versions of a file apart."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if -_MOST_INTEGER <= value < _MOST_INTEGER else "number"
    return type(value).__name__


def _text(value: object) -> str:
    """Return a text as SQL writes it."""
    return "'" + str(value).replace("'", "''") + "'"
