"""Answers as a Parquet file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slugline.answer_file import AnswerFile
from slugline.corpus.parquet import column_types, literal, open_duckdb, quoted, table_of
from slugline.corpus.rows import BadRow
from slugline.errors import DataError

if TYPE_CHECKING:
    from slugline.answers import Prediction
    from slugline.corpus.readers import Rows
    from slugline.routing import Router

__all__ = ["ParquetAnswers"]

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
        self, lines: BinaryIO, target: Path, rows: Rows, names: Sequence[str], router: Router
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
            f"read_json({_text(literal(Path(self._file.name)))}, format = 'newline_delimited', "
            f"columns = {{{fields}}}, maximum_object_size = {max(self._longest + 1, _LEAST_LINE)})"
        )
        chosen = ", ".join(f"a.{quoted(name)}" for name in types)
        source, parameters = f"{lines} AS a", list[Any]()
        if self._beside is not None:
            beside, parameters = table_of(self._beside)
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
