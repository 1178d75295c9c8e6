"""Write Parquet files: new tables, and copies of a file with new cells."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from slugline.base.checks import short_repr
from slugline.base.files import file_state, fresh_part
from slugline.corpus import parquet
from slugline.corpus.rows import compact
from slugline.corpus.table_writers import TableWriter
from slugline.errors import DataError, Parameter

# Number of rows in a row group, which DuckDB keeps in memory.
_GROUP_ROWS = 20_480
# Lower bound for DuckDB's maximum JSON line length: its own default.
_LEAST_LINE = 1 << 24
_MAX_COLUMNS = 10_000
_MAX_INTEGER = 2**63
# Column types by the kinds of cells; other columns are text.
_TYPES = {
    frozenset({"bool"}): "BOOLEAN",
    frozenset({"int"}): "BIGINT",
    frozenset({"float"}): "DOUBLE",
    frozenset({"int", "float"}): "DOUBLE",
    frozenset({"list"}): "VARCHAR[]",
}


class ParquetTable(TableWriter):
    """Writer of a Parquet file; columns copied from a source keep their types.

    Cells are first written to a temporary JSON Lines file. At the end, DuckDB converts them to new
    columns after those of the source, or to new cells in existing columns.

    Parameters
    ----------
    target : Path
        File that DuckDB writes.
    lines : file
        Named temporary file.
    source : Path, optional
        Parquet file to copy, which must not change until `finish` returns. All of its rows must be
        written, in order.

    Raises
    ------
    DataError : if the source is not a Parquet file, or DuckDB is not installed.
    """

    has_lists = True

    def __init__(self, target: Path, lines: BinaryIO, source: Path | None = None) -> None:
        self._target, self._lines, self._source = target, lines, source
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._types: dict[str, str] = {}  # types given by the caller
        self._kinds: dict[str, set[str]] = {}  # kinds of cells by column
        self._numbers: dict[str, int] = {}  # column numbers
        self._longest = 0
        self._source_types: dict[str, str] = {}
        if source is not None:
            self._state = file_state(source)
            with parquet.open_duckdb() as connection:
                self._source_types = parquet.column_types(connection, source)
            self.source_columns = [*self._source_types]

    def begin(self, columns: Sequence[str], types: Mapping[str, str] | None = None) -> None:
        """Set the columns of new cells, and the types of columns whose cells don't determine them.

        Rows may have further columns.
        """
        self._types = dict(types or {})
        self._numbers = {name: number for number, name in enumerate(columns)}

    def write_row(self, row: Mapping[str, Any], at: int | str = 0) -> None:  # noqa: ARG002
        """Write the new cells of a row by column; raise DataError if there are too many columns."""
        line: dict[str, Any] = {"is_new": bool(row)}
        for name, value in row.items():
            number = self._numbers.setdefault(name, len(self._numbers))
            line[f"c{number}"] = compact(value)
            if value is not None and name not in self._types:
                self._kinds.setdefault(name, set()).add(_kind(value))
        if len(self._numbers) > _MAX_COLUMNS:
            raise DataError(f"the rows have more than {_MAX_COLUMNS:,} columns; write JSON lines.")
        encoded = self._encode(line) + b"\n"
        self._lines.write(encoded)
        self._longest = max(self._longest, len(encoded))

    def finish(self) -> None:
        """Write the file.

        Raises
        ------
        DataError : if column names differ only in case, a cell doesn't fit the type of its column
            in the source, or the source has changed.
        """
        if self._source is not None and file_state(self._source) != self._state:
            raise DataError(f"{self._source} was changed while it was read; try again.")
        _check_distinct([*self._source_types, *self._numbers])
        self._lines.flush()
        import duckdb

        try:
            with parquet.open_duckdb() as connection:
                connection.execute(*self._query())
        except duckdb.ConversionException as error:
            reason = str(error).partition("\n")[0][:200]
            raise DataError(
                f"a topic doesn't fit into its column of {self._source} ({reason}); name another, ",
                Parameter("topic"),
                ".",
            ) from error
        except duckdb.Error as error:
            is_full = os.strerror(errno.ENOSPC) in str(error)
            number = errno.ENOSPC if is_full else errno.EIO
            reason = str(error).partition("\n")[0][:300]
            raise OSError(number, os.strerror(number) if is_full else reason) from error

    def _query(self) -> tuple[str, list[Any]]:
        """Return the statement that writes the file, and its parameters."""
        types = {name: self._type_of(name) for name in self._numbers}
        fields = {"is_new": "BOOLEAN"} | {f"c{self._numbers[n]}": types[n] for n in types}
        lines = (
            f"read_json({_text(parquet.escape_wildcards(Path(self._lines.name)))}, "
            "format = 'newline_delimited', "
            f"columns = {{{', '.join(f'{name}: {_text(fields[name])}' for name in fields)}}}, "
            f"maximum_object_size = {max(self._longest + 1, _LEAST_LINE)}) AS a"
        )
        added = [name for name in types if name not in self._source_types]
        select = [f"a.c{self._numbers[name]} AS {parquet.quote_identifier(name)}" for name in added]
        parameters: list[Any] = []
        if self._source is not None:
            table, parameters = parquet.parquet_table(self._source)
            select = [f"g.*{self._replaced(types)}", *select]
            lines = f"{table} AS g POSITIONAL JOIN {lines}"
        options = f"FORMAT parquet, USE_TMP_FILE false, ROW_GROUP_SIZE {_GROUP_ROWS}"
        query = f"SELECT {', '.join(select)} FROM {lines}"  # noqa: S608 (all names are quoted)
        return f"COPY ({query}) TO {_text(self._target)} ({options})", parameters

    def _replaced(self, types: Mapping[str, str]) -> str:
        """Return an SQL clause that puts new cells into columns of the source."""
        replaced = []
        for name in (name for name in types if name in self._source_types):
            quoted = parquet.quote_identifier(name)
            new = f"CAST(a.c{self._numbers[name]} AS {self._source_types[name]})"
            replaced.append(f"CASE WHEN a.is_new THEN {new} ELSE g.{quoted} END AS {quoted}")
        return f" REPLACE ({', '.join(replaced)})" if replaced else ""

    def _type_of(self, name: str) -> str:
        kinds = frozenset(self._kinds.get(name, ()))
        return self._types.get(name) or _TYPES.get(kinds, "VARCHAR")


@contextmanager
def open_parquet_table(
    path: Path, part: BinaryIO, source: Path | None = None
) -> Iterator[ParquetTable]:
    """Open a Parquet table with its temporary file next to `path`.

    `part` is the file that will be moved to `path`, as by `whole_file`.
    """
    with fresh_part(path) as lines:
        yield ParquetTable(Path(part.name), lines, source)


def _check_distinct(names: Iterable[str]) -> None:
    """Raise DataError if two names differ only in case."""
    names_by_lower: dict[str, str] = {}
    for name in names:
        other = names_by_lower.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"columns {short_repr(other)} and {short_repr(name)} are the same name in "
                "Parquet; rename one, or write CSV or JSON lines."
            )


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if -_MAX_INTEGER <= value < _MAX_INTEGER else "number"
    return type(value).__name__


def _text(value: object) -> str:
    """Quote a value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
