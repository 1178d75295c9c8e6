"""Rows from Parquet files."""

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
from slugline.corpus.column_names import TOPIC_NAMES
from slugline.errors import DataError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


# DuckDB fetches nothing from elsewhere, writes nothing to the disk, prints nothing, takes nothing
# from Python's variables, and caches nothing.
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
# Number of rows held as Python objects at a time, so that memory is bounded even if all of them are
# as long as allowed.
_N_FETCHED = 8
#: Maximum number of bytes of texts in the rows that DuckDB decodes at a time. A file with one long
#: text that every row repeats takes a kilobyte, and gigabytes in memory.
MAX_DECODED, _N_DECODED = 1 << 27, 2048
_MAX_REASON = 200
_NUMBER_LIST = re.compile(r"U?(TINY|SMALL|BIG)?INT(EGER)?\[\]")


def parquet_rows(path: Path, row_range: tuple[int, int] | None = None) -> rows.RowIterator:
    """Yield rows with the scalar columns, and lists of topics as JSON, as in `json_rows`.

    Vectors are left out: they are never text or topic, and slow to convert.

    Parameters
    ----------
    path : Path
    row_range : (int, int), optional
        The first row, counted from 0, and the one after the last; all by default. Row groups
        before and after are not read.
    """
    with _connect(path) as connection:
        kinds = ((name, _kind(name, kind)) for name, kind in column_types(connection, path).items())
        columns = {name: kind for name, kind in kinds if kind is not None}
        _check_size(connection, path, columns, row_range)
        result = connection.execute(_query(columns, row_range), [escape_wildcards(path)])
        batches = iter(partial(result.fetchmany, _N_FETCHED), [])
        first = 1 if row_range is None else row_range[0] + 1
        for at, (n_bytes, *values) in enumerate(itertools.chain.from_iterable(batches), first):
            if n_bytes > rows.MAX_RECORD:
                yield rows.too_long_row(at)
            else:
                cells = map(_to_cell, values, columns.values())
                yield rows.make_row(at, dict(zip(columns, cells, strict=True)), n_bytes=n_bytes)


def _to_cell(value: Any, kind: _Kind) -> Any:
    return msgspec.Raw(value.encode()) if kind is _Kind.LIST and value is not None else value


def parquet_row_ranges(path: Path, n_rows: int) -> list[tuple[int, int]]:
    """Return ranges of up to `n_rows` rows, which consist of row groups or of parts of a large one.

    Raises DataError if it is not a Parquet file.
    """
    with _connect(path) as connection:
        result = connection.execute(
            "SELECT row_group_num_rows FROM parquet_metadata(?) WHERE column_id = 0 "
            "ORDER BY row_group_id",
            [escape_wildcards(path)],
        )
        groups = [int(n) for (n,) in result.fetchall()]
    row_ranges: list[tuple[int, int]] = []
    first = end = 0
    for n_group in groups:
        if end + n_group - first > n_rows and end > first:
            row_ranges.append((first, end))
            first = end
        end += n_group
        if end - first > n_rows:  # equal parts of one group
            n_parts = -(-n_group // n_rows)
            cuts = [first + n_group * part // n_parts for part in range(n_parts + 1)]
            row_ranges += itertools.pairwise(cuts)
            first = end
    return [*row_ranges, (first, end)] if end > first else row_ranges


@contextmanager
def _connect(path: Path) -> Iterator[DuckDBPyConnection]:
    """Open DuckDB; errors of the file become DataErrors that name it."""
    with open_duckdb() as connection, _translate_errors(path):
        # Opening the file first raises the usual errors of the system.
        path.open("rb").close()
        yield connection


@contextmanager
def open_duckdb() -> Iterator[DuckDBPyConnection]:
    """Open DuckDB on one thread, with limited memory and access to the named files only.

    Raises DataError if DuckDB is not installed.
    """
    duckdb = import_extra("duckdb", "Parquet files", "parquet", DataError)
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        connection.execute(_LATER_SETTINGS)
        yield connection


def parquet_table(path: Path) -> tuple[str, list[Any]]:
    """Return an SQL expression for a Parquet file as a table, and the parameters of the query."""
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
    """Return the name of a column in quotation marks, for SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Convert errors from the system and from DuckDB to a DataError that names the file."""
    import duckdb

    try:
        with rows.translate_os_errors(str(path)):
            yield
    except duckdb.Error as error:
        # It can quote megabytes of a damaged file.
        reason = str(error)[:_MAX_REASON].partition("\n")[0]
        raise DataError(
            f"{path} is not a complete Parquet file ({reason}); write it again."
        ) from error


def escape_wildcards(path: Path) -> str:
    """Return an absolute path in which no character is a wildcard."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path.absolute()))


class _Kind(Enum):
    TEXT = "{}"
    LIST = "CAST(to_json({}) AS VARCHAR)"
    OTHER = ""


def _kind(name: str, kind: str) -> _Kind | None:
    if kind in ("VARCHAR", "JSON"):
        return _Kind.TEXT
    # Lists of whole numbers are topics that are numbers, or word numbers.
    if kind == "VARCHAR[]" or (_NUMBER_LIST.fullmatch(kind) and name.lower() in TOPIC_NAMES):
        return _Kind.LIST
    if kind.endswith("]") or kind in ("BLOB", "GEOMETRY", "VARIANT"):
        return None
    return None if "(" in kind.removeprefix("DECIMAL(") else _Kind.OTHER


def _check_size(
    connection: DuckDBPyConnection,
    path: Path,
    columns: dict[str, _Kind],
    row_range: tuple[int, int] | None,
) -> None:
    """Raise DataError if the texts of rows that are decoded together don't fit into memory."""
    n_bytes = _n_bytes(columns)
    max_bytes = connection.execute(
        f"SELECT max(n) FROM (SELECT sum({n_bytes}) FILTER ({n_bytes} <= {rows.MAX_RECORD}) n "  # noqa: S608
        f"FROM {_table(row_range, numbered=True)} GROUP BY file_row_number // {_N_DECODED})",
        [escape_wildcards(path)],
    ).fetchall()[0][0]
    if max_bytes is not None and max_bytes > MAX_DECODED:
        raise DataError(
            f"{path} has {max_bytes:,} bytes of text in {_N_DECODED:,} rows; at most "
            f"{MAX_DECODED:,} can be read at a time; write it as JSON lines."
        )


def _n_bytes(columns: dict[str, _Kind]) -> str:
    """Return an SQL expression for the number of bytes of a row's texts."""
    lengths = [
        f"coalesce(strlen({kind.value.format(quote_identifier(name))}), 0)"
        for name, kind in columns.items()
        if kind is not _Kind.OTHER
    ]
    return " + ".join(lengths) or "0"


def _query(columns: dict[str, _Kind], row_range: tuple[int, int] | None) -> str:
    """Return a query for the number of bytes of each row's texts and, up to a limit, its values."""
    n_bytes = _n_bytes(columns)
    values = [
        quote_identifier(name)
        if kind is _Kind.OTHER
        else f"CASE WHEN {n_bytes} <= {rows.MAX_RECORD} "
        f"THEN {kind.value.format(quote_identifier(name))} END"
        for name, kind in columns.items()
    ]
    table = _table(row_range, numbered=row_range is not None)
    return f"SELECT {', '.join([n_bytes, *values])} FROM {table}"  # noqa: S608 (names are quoted)


def _table(row_range: tuple[int, int] | None, *, numbered: bool) -> str:
    """Return an SQL table of the rows in a range, optionally with file_row_number."""
    table = f"read_parquet(?, hive_partitioning=false, file_row_number={numbered})"
    if row_range is None:
        return table
    first, end = row_range
    return f"{table} WHERE file_row_number >= {first:d} AND file_row_number < {end:d}"
