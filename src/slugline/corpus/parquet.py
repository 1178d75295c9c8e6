"""Rows from Parquet files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugline.corpus.rows import (
    MAX_RECORD,
    RowIterator,
    make_row,
    too_long_row,
    translate_os_errors,
)
from slugline.errors import DataError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "column_types",
    "escape_wildcards",
    "open_duckdb",
    "parquet_row_ranges",
    "parquet_rows",
    "parquet_table",
    "quote_identifier",
]

# Nothing is fetched from elsewhere, written to the disk, printed, taken from Python's variables, or
# kept in memory to be read again.
_SETTINGS: dict[str, Any] = {
    "threads": "1",
    "memory_limit": "2GB",
    "temp_directory": "",
    "enable_external_file_cache": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
# It knows these only once it runs.
_LATER_SETTINGS = "SET enable_progress_bar = false; SET disable_parquet_prefetching = true"
#: Rows held as Python objects at a time, so that memory is bounded even if all are at the limit.
_N_FETCHED = 64


def parquet_rows(path: Path, stretch: tuple[int, int] | None = None) -> RowIterator:
    """Return rows of the scalar columns; vectors are never text or topic, and slow to convert.

    Parameters
    ----------
    path : Path
    stretch : (int, int), optional
        The first row wanted, counted from 0, and that after the last; by default all. Row groups
        before and after are not read.
    """
    with _opened(path) as connection:
        columns = _scalar_columns(connection, path)
        found = connection.execute(_query(columns, stretch), [escape_wildcards(path)])
        batches = iter(partial(found.fetchmany, _N_FETCHED), [])
        first = 1 if stretch is None else stretch[0] + 1
        for at, (n_bytes, *values) in enumerate(itertools.chain.from_iterable(batches), first):
            if n_bytes > MAX_RECORD:
                yield too_long_row(at)
            else:
                yield make_row(at, dict(zip(columns, values, strict=True)), n_bytes=n_bytes)


def parquet_row_ranges(path: Path, n_rows: int) -> list[tuple[int, int]]:
    """Return stretches of a file of up to so many rows: row groups, several or a part of one.

    Raises
    ------
    DataError : if it is not a Parquet file.
    """
    with _opened(path) as connection:
        found = connection.execute(
            "SELECT row_group_num_rows FROM parquet_metadata(?) WHERE column_id = 0 "
            "ORDER BY row_group_id",
            [escape_wildcards(path)],
        )
        groups = [int(n) for (n,) in found.fetchall()]
    stretches: list[tuple[int, int]] = []
    first = end = 0
    for n_own in groups:
        if end + n_own - first > n_rows and end > first:
            stretches.append((first, end))
            first = end
        end += n_own
        if end - first > n_rows:  # equal parts of one
            n_parts = -(-n_own // n_rows)
            cuts = [first + n_own * part // n_parts for part in range(n_parts + 1)]
            stretches += itertools.pairwise(cuts)
            first = end
    return [*stretches, (first, end)] if end > first else stretches


@contextmanager
def _opened(path: Path) -> Iterator[DuckDBPyConnection]:
    """Connect to nothing, and turn what is wrong with the file into errors that name it."""
    with open_duckdb() as connection, _errors_named(path):
        # Opened first, so that errors of the system are reported in the usual words.
        path.open("rb").close()
        yield connection


@contextmanager
def open_duckdb() -> Iterator[DuckDBPyConnection]:
    """Open DuckDB, which works on one thread, in bounded memory, with nothing but named files.

    Raises
    ------
    DataError : if it is not installed.
    """
    with _reader().connect(":memory:", config=_SETTINGS) as connection:
        connection.execute(_LATER_SETTINGS)
        yield connection


def parquet_table(path: Path) -> tuple[str, list[Any]]:
    """Return a Parquet file as a table of a query, and the parameters of that."""
    return "read_parquet(?, hive_partitioning=false)", [escape_wildcards(path)]


def column_types(connection: DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Return the columns of a Parquet file, with their types.

    Raises
    ------
    DataError : if it is none.
    """
    table, parameters = parquet_table(path)
    with _errors_named(path):
        described = connection.execute(f"DESCRIBE FROM {table}", parameters).fetchall()
    return {name: str(kind) for name, kind, *_ in described}


def quote_identifier(name: str) -> str:
    """Return the name of a column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _reader() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise DataError(
            "Parquet files need the package duckdb, which is not installed; "
            'pip install "slugline[parquet]".'
        ) from error
    return duckdb


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file into a DataError that names it."""
    import duckdb

    try:
        with translate_os_errors(str(path)):
            yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} is not a complete Parquet file ({reason}); write it again."
        ) from error


def escape_wildcards(path: Path) -> str:
    """Return a path in which no character is a wildcard."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path.absolute()))


def _scalar_columns(connection: DuckDBPyConnection, path: Path) -> dict[str, bool]:
    """Return the scalar columns, and whether each is one of strings."""
    kinds = column_types(connection, path)
    return {
        name: kind == "VARCHAR"
        for name, kind in kinds.items()
        if kind != "BLOB" and not kind.endswith("]") and "(" not in kind.removeprefix("DECIMAL(")
    }


def _query(columns: dict[str, bool], stretch: tuple[int, int] | None) -> str:
    """Return the query for the bytes of a row's texts, and its values if they are not too long."""
    lengths = [
        f"coalesce(strlen({quote_identifier(name)}), 0)"
        for name, is_text in columns.items()
        if is_text
    ]
    n_bytes = " + ".join(lengths) or "0"
    values = [
        f"CASE WHEN {n_bytes} <= {MAX_RECORD} THEN {quote_identifier(name)} END"
        if is_text
        else quote_identifier(name)
        for name, is_text in columns.items()
    ]
    table = "read_parquet(?, hive_partitioning=false)"
    if stretch is not None:
        table = (
            "read_parquet(?, hive_partitioning=false, file_row_number=true) "
            f"WHERE file_row_number >= {stretch[0]:d} AND file_row_number < {stretch[1]:d}"
        )
    return f"SELECT {', '.join([n_bytes, *values])} FROM {table}"  # noqa: S608 (names are quoted)
