"""Read Parquet files, and write them: new tables, and copies of a file with new cells."""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from slugline.base.checks import short_repr
from slugline.base.files import file_state, fresh_part
from slugline.base.lazy import import_extra
from slugline.corpus import rows
from slugline.corpus.header import TOPIC_NAMES
from slugline.corpus.table_writers import TableWriter
from slugline.errors import DataError, Parameter

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


# Keep DuckDB from accessing the network, writing to disk, printing, reading Python variables and
# caching.
_SETTINGS: dict[str, Any] = {
    "threads": "1",
    "memory_limit": "2GB",
    "temp_directory": "",
    "enable_external_file_cache": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
# These settings can be changed only on an open connection.
_LATER_SETTINGS = "SET enable_progress_bar = false; SET disable_parquet_prefetching = true"
# Number of rows to convert to Python objects at a time; bounds memory even if all have maximum
# length.
_N_FETCHED = 8
#: Maximum number of bytes of text that DuckDB decodes at a time. A file that repeats a long text in
#: every row may take a kilobyte on disk but gigabytes in memory.
MAX_DECODED, _N_DECODED = 1 << 27, 2048
_MAX_REASON = 200
_NUMBER_LIST = re.compile(r"U?(TINY|SMALL|BIG)?INT(EGER)?\[\]")


def parquet_rows(path: Path) -> rows.RowIterator:
    """Yield rows of the scalar columns, and of lists of topics as JSON, as in `json_rows`.

    Vectors are left out because they are slow to convert and never text or topic.
    """
    with _connect(path) as connection:
        kinds = ((name, _kind(name, kind)) for name, kind in column_types(connection, path).items())
        columns = {name: kind for name, kind in kinds if kind is not None}
        _check_size(connection, path, columns)
        result = connection.execute(*_query(path, columns))
        batches = iter(partial(result.fetchmany, _N_FETCHED), [])
        for at, (n_bytes, *values) in enumerate(itertools.chain.from_iterable(batches), 1):
            if n_bytes > rows.MAX_RECORD:
                yield rows.too_long_row(at)
            else:
                cells = map(_to_cell, values, columns.values())
                yield rows.make_row(at, dict(zip(columns, cells, strict=True)), n_bytes=n_bytes)


def _to_cell(value: Any, kind: _Kind) -> Any:
    return msgspec.Raw(value.encode()) if kind is _Kind.LIST and value is not None else value


@contextmanager
def _connect(path: Path) -> Iterator[DuckDBPyConnection]:
    """Open DuckDB, converting errors about the file to DataErrors that name it."""
    with open_duckdb() as connection, _translate_errors(path):
        # Opening the file first raises the usual operating-system errors.
        path.open("rb").close()
        yield connection


@contextmanager
def open_duckdb() -> Iterator[DuckDBPyConnection]:
    """Open DuckDB with one thread, limited memory, and access to the named files only.

    Raises DataError if DuckDB is not installed.
    """
    duckdb = import_extra("duckdb", "Parquet files", "parquet", DataError)
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        connection.execute(_LATER_SETTINGS)
        yield connection


def _table(path: Path, *, numbered: bool = False) -> tuple[str, list[Any]]:
    """Return an SQL table expression for a Parquet file, and its query parameters.

    With `numbered`, the table has the column file_row_number.
    """
    table = f"read_parquet(?, hive_partitioning=false, file_row_number={numbered})"
    return table, [_escape_wildcards(path)]


def column_types(connection: DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Return the type of each column of a Parquet file.

    Raises DataError if it is not a Parquet file.
    """
    table, parameters = _table(path)
    with _translate_errors(path):
        described = connection.execute(f"DESCRIBE FROM {table}", parameters).fetchall()
    return {name: str(kind) for name, kind, *_ in described}


def _quote_identifier(name: str) -> str:
    """Quote a column name for SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Convert system and DuckDB errors to a DataError that names the file."""
    import duckdb

    try:
        with rows.translate_os_errors(str(path)):
            yield
    except duckdb.Error as error:
        # The message may quote megabytes of a damaged file.
        reason = str(error)[:_MAX_REASON].partition("\n")[0]
        raise DataError(
            f"{path} is not a complete Parquet file ({reason}); write it again."
        ) from error


def _escape_wildcards(path: Path) -> str:
    """Return the absolute path with wildcards escaped."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path.absolute()))


class _Kind(Enum):
    TEXT = "{}"
    LIST = "CAST(to_json({}) AS VARCHAR)"
    OTHER = ""


def _kind(name: str, kind: str) -> _Kind | None:
    if kind in ("VARCHAR", "JSON"):
        return _Kind.TEXT
    # Lists of whole numbers are either numeric topics or word indices.
    if kind == "VARCHAR[]" or (_NUMBER_LIST.fullmatch(kind) and name.lower() in TOPIC_NAMES):
        return _Kind.LIST
    if kind.endswith("]") or kind in ("BLOB", "GEOMETRY", "VARIANT"):
        return None
    return None if "(" in kind.removeprefix("DECIMAL(") else _Kind.OTHER


def _check_size(connection: DuckDBPyConnection, path: Path, columns: dict[str, _Kind]) -> None:
    """Raise DataError if the texts of rows decoded together exceed the memory limit."""
    n_bytes = _n_bytes(columns)
    table, parameters = _table(path, numbered=True)
    max_bytes = connection.execute(
        f"SELECT max(n) FROM (SELECT sum({n_bytes}) FILTER ({n_bytes} <= {rows.MAX_RECORD}) n "  # noqa: S608
        f"FROM {table} GROUP BY file_row_number // {_N_DECODED})",
        parameters,
    ).fetchall()[0][0]
    if max_bytes is not None and max_bytes > MAX_DECODED:
        raise DataError(
            f"{path} has {max_bytes:,} bytes of text in {_N_DECODED:,} rows; the "
            f"maximum is {MAX_DECODED:,}. Write it as JSON lines."
        )


def _n_bytes(columns: dict[str, _Kind]) -> str:
    """Return an SQL expression for the size of a row's texts in bytes."""
    lengths = [
        f"coalesce(strlen({kind.value.format(_quote_identifier(name))}), 0)"
        for name, kind in columns.items()
        if kind is not _Kind.OTHER
    ]
    return " + ".join(lengths) or "0"


def _query(path: Path, columns: dict[str, _Kind]) -> tuple[str, list[Any]]:
    """Return a query for the size of each row's texts in bytes and, up to a limit, its values."""
    table, parameters = _table(path)
    n_bytes = _n_bytes(columns)
    values = [
        _quote_identifier(name)
        if kind is _Kind.OTHER
        else f"CASE WHEN {n_bytes} <= {rows.MAX_RECORD} "
        f"THEN {kind.value.format(_quote_identifier(name))} END"
        for name, kind in columns.items()
    ]
    return f"SELECT {', '.join([n_bytes, *values])} FROM {table}", parameters  # noqa: S608 (names are quoted)


# Writing ------------------------------------------------------------------------------------------

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
            with open_duckdb() as connection:
                self._source_types = column_types(connection, source)
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
            line[f"c{number}"] = rows.compact(value)
            if value is not None and name not in self._types:
                self._kinds.setdefault(name, set()).add(_cell_kind(value))
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
            with open_duckdb() as connection:
                connection.execute(*self._query())
        except duckdb.ConversionException as error:
            reason = str(error).partition("\n")[0][:200]
            raise DataError(
                f"a topic doesn't fit into its column of {self._source} ({reason}); choose "
                "another with ",
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
            f"read_json({_text(_escape_wildcards(Path(self._lines.name)))}, "
            "format = 'newline_delimited', "
            f"columns = {{{', '.join(f'{name}: {_text(fields[name])}' for name in fields)}}}, "
            f"maximum_object_size = {max(self._longest + 1, _LEAST_LINE)}) AS a"
        )
        added = [name for name in types if name not in self._source_types]
        select = [f"a.c{self._numbers[name]} AS {_quote_identifier(name)}" for name in added]
        parameters: list[Any] = []
        if self._source is not None:
            table, parameters = _table(self._source)
            select = [f"g.*{self._replaced(types)}", *select]
            lines = f"{table} AS g POSITIONAL JOIN {lines}"
        options = f"FORMAT parquet, USE_TMP_FILE false, ROW_GROUP_SIZE {_GROUP_ROWS}"
        query = f"SELECT {', '.join(select)} FROM {lines}"  # noqa: S608 (all names are quoted)
        return f"COPY ({query}) TO {_text(self._target)} ({options})", parameters

    def _replaced(self, types: Mapping[str, str]) -> str:
        """Return an SQL clause that puts new cells into columns of the source."""
        replaced = []
        for name in (name for name in types if name in self._source_types):
            quoted = _quote_identifier(name)
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


def _cell_kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if -_MAX_INTEGER <= value < _MAX_INTEGER else "number"
    return type(value).__name__


def _text(value: object) -> str:
    """Quote a value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
