"""Read rows from Parquet files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slugline.base.lazy import import_extra
from slugline.corpus import rows
from slugline.corpus.header import TOPIC_NAMES
from slugline.errors import DataError

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
        result = connection.execute(_query(columns), [escape_wildcards(path)])
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


def parquet_table(path: Path) -> tuple[str, list[Any]]:
    """Return an SQL table expression for a Parquet file, and its query parameters."""
    return "read_parquet(?, hive_partitioning=false)", [escape_wildcards(path)]


def column_types(connection: DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Return the type of each column of a Parquet file.

    Raises DataError if it is not a Parquet file.
    """
    table, parameters = parquet_table(path)
    with _translate_errors(path):
        described = connection.execute(f"DESCRIBE FROM {table}", parameters).fetchall()
    return {name: str(kind) for name, kind, *_ in described}


def quote_identifier(name: str) -> str:
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


def escape_wildcards(path: Path) -> str:
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
    max_bytes = connection.execute(
        f"SELECT max(n) FROM (SELECT sum({n_bytes}) FILTER ({n_bytes} <= {rows.MAX_RECORD}) n "  # noqa: S608
        f"FROM {_table(numbered=True)} GROUP BY file_row_number // {_N_DECODED})",
        [escape_wildcards(path)],
    ).fetchall()[0][0]
    if max_bytes is not None and max_bytes > MAX_DECODED:
        raise DataError(
            f"{path} has {max_bytes:,} bytes of text in {_N_DECODED:,} rows; at most "
            f"{MAX_DECODED:,} can be read at a time; write it as JSON lines."
        )


def _n_bytes(columns: dict[str, _Kind]) -> str:
    """Return an SQL expression for the size of a row's texts in bytes."""
    lengths = [
        f"coalesce(strlen({kind.value.format(quote_identifier(name))}), 0)"
        for name, kind in columns.items()
        if kind is not _Kind.OTHER
    ]
    return " + ".join(lengths) or "0"


def _query(columns: dict[str, _Kind]) -> str:
    """Return a query for the size of each row's texts in bytes and, up to a limit, its values."""
    n_bytes = _n_bytes(columns)
    values = [
        quote_identifier(name)
        if kind is _Kind.OTHER
        else f"CASE WHEN {n_bytes} <= {rows.MAX_RECORD} "
        f"THEN {kind.value.format(quote_identifier(name))} END"
        for name, kind in columns.items()
    ]
    return f"SELECT {', '.join([n_bytes, *values])} FROM {_table(numbered=False)}"  # noqa: S608 (names are quoted)


def _table(*, numbered: bool) -> str:
    """Return an SQL table expression for all rows, optionally with file_row_number."""
    return f"read_parquet(?, hive_partitioning=false, file_row_number={numbered})"
