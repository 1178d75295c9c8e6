"""Rows from Parquet files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugline.corpus.rows import MAX_RECORD, Items, checked_row, os_errors_named, too_long
from slugline.errors import DataError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["parquet_rows"]

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


def parquet_rows(path: Path) -> Items:
    """Return rows of the scalar columns; vectors are never text or topic, and slow to convert."""
    duckdb = _reader()
    with _errors_named(path), duckdb.connect(":memory:", config=_SETTINGS) as connection:
        connection.execute(_LATER_SETTINGS)
        # Opened first, so that errors of the system are reported in the usual words.
        path.open("rb").close()
        columns = _scalar_columns(connection, path)
        found = connection.execute(_query(columns), [_literal(path)])
        batches = iter(partial(found.fetchmany, _N_FETCHED), [])
        for at, (n_bytes, *values) in enumerate(itertools.chain.from_iterable(batches), 1):
            if n_bytes > MAX_RECORD:
                yield too_long(at)
            else:
                yield checked_row(at, dict(zip(columns, values, strict=True)), n_bytes=n_bytes)


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
        with os_errors_named(str(path)):
            yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} is not a complete Parquet file ({reason}); write it again."
        ) from error


def _literal(path: Path) -> str:
    """Return a path in which no character is a wildcard."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path.absolute()))


def _scalar_columns(connection: DuckDBPyConnection, path: Path) -> dict[str, bool]:
    """Return the scalar columns, and whether each is one of strings."""
    table = "SELECT * FROM read_parquet(?, hive_partitioning=false)"
    described = connection.execute(f"DESCRIBE {table}", [_literal(path)]).fetchall()
    kinds = {name: str(kind) for name, kind, *_ in described}
    return {
        name: kind == "VARCHAR"
        for name, kind in kinds.items()
        if kind != "BLOB" and not kind.endswith("]") and "(" not in kind.removeprefix("DECIMAL(")
    }


def _query(columns: dict[str, bool]) -> str:
    """Return the query for the bytes of a row's texts, and its values if they are not too long."""
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in columns}
    lengths = [
        f"coalesce(strlen({quoted[name]}), 0)" for name, is_text in columns.items() if is_text
    ]
    n_bytes = " + ".join(lengths) or "0"
    values = [
        f"CASE WHEN {n_bytes} <= {MAX_RECORD} THEN {name} END" if columns[column] else name
        for column, name in quoted.items()
    ]
    table = "read_parquet(?, hive_partitioning=false)"
    return f"SELECT {', '.join([n_bytes, *values])} FROM {table}"  # noqa: S608 (names are quoted)
