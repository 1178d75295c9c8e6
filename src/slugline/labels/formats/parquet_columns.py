"""Writes a Parquet file with new topics, and all of its columns with their types."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from slugline.base.checks import short_repr
from slugline.base.files import file_state
from slugline.corpus import parquet
from slugline.errors import DataError, Parameter

# Bytes of the longest line of JSON that DuckDB may meet: a row has at most 1000 topics.
_LONGEST_LINE = 1 << 26


def write_parquet(file: BinaryIO, source: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a Parquet file with new cells.

    Parameters
    ----------
    file : file
    source : Path
    cells : sequence of mapping
        The new cells of each row, by column: texts, whole numbers, or lists of texts. Other cells
        of a column stay; a column that the source lacks is added.

    Raises
    ------
    DataError : if the source can't be read or was changed, or a topic doesn't fit into its column.
    """
    import duckdb

    state = file_state(source)
    names = [*dict.fromkeys(itertools.chain.from_iterable(cells))]
    with (
        tempfile.TemporaryDirectory(prefix="slugline-") as folder,
        parquet.open_duckdb() as connection,
    ):
        types = parquet.column_types(connection, source)
        target, lines = Path(folder, "rows.parquet"), Path(folder, "cells.jsonl")
        _write_lines(lines, names, cells)
        try:
            table, parameters = parquet.parquet_table(source)
            query = f"SELECT count(*) FROM {table}"  # noqa: S608
            if connection.execute(query, parameters).fetchall() != [(len(cells),)]:
                raise _changed_error(source)
            connection.execute(*_copy_statement(source, target, lines, types, names, cells))
        except duckdb.ConversionException as error:
            reason = str(error).partition("\n")[0][:200]
            raise DataError(
                f"a topic doesn't fit into its column of {source} ({reason}); name another, ",
                Parameter("topic"),
                ".",
            ) from error
        if file_state(source) != state:
            raise _changed_error(source)
        with target.open("rb") as written:
            shutil.copyfileobj(written, file)


def _changed_error(source: Path) -> DataError:
    return DataError(f"{source} was changed while it was read; try again.")


def _write_lines(path: Path, names: Sequence[str], cells: Sequence[Mapping[str, Any]]) -> None:
    """Write the new cells of each row as a line of JSON, under numbers instead of names."""
    numbers = {name: f"c{number}" for number, name in enumerate(names)}
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for row in cells:
            values = {numbers[name]: value for name, value in row.items()}
            file.write(encode({"is_new": bool(row), **values}) + b"\n")


def _copy_statement(
    source: Path,
    target: Path,
    lines: Path,
    types: Mapping[str, str],
    names: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
) -> tuple[str, list[Any]]:
    """Return the statement that writes the file, and its parameters."""
    existing = {name.lower(): name for name in types}
    fields = ["is_new: 'BOOLEAN'"]
    replaced, added = [], []
    for number, name in enumerate(names):
        kind = _kind(row[name] for row in cells if name in row)
        fields.append(f"c{number}: '{kind}'")
        quoted = parquet.quote_identifier(name)
        if name in types:
            new = f"CAST(a.c{number} AS {types[name]})"
            replaced.append(f"CASE WHEN a.is_new THEN {new} ELSE g.{quoted} END AS {quoted}")
        elif name.lower() in existing:
            raise DataError(
                f"{source} has a column {short_repr(existing[name.lower()])}, which is the same as "
                f"{short_repr(name)} in Parquet; name that one, ",
                Parameter("topic"),
                ".",
            )
        else:
            added.append(f", a.c{number} AS {quoted}")
    table, parameters = parquet.parquet_table(source)
    json_lines = (
        f"read_json('{_escape(parquet.escape_wildcards(lines))}', format = 'newline_delimited', "
        f"columns = {{{', '.join(fields)}}}, maximum_object_size = {_LONGEST_LINE})"
    )
    columns = f"g.* REPLACE ({', '.join(replaced)})" if replaced else "g.*"
    select = f"SELECT {columns}{''.join(added)} FROM {table} AS g POSITIONAL JOIN {json_lines} AS a"  # noqa: S608
    return (
        f"COPY ({select}) TO '{_escape(target)}' (FORMAT parquet, USE_TMP_FILE false)",
        parameters,
    )


def _kind(values: Any) -> str:
    """Return the type of a column of new cells, which have one type."""
    value = next(iter(values))
    if isinstance(value, list):
        return "VARCHAR[]"
    return "VARCHAR" if isinstance(value, str) else "BIGINT"


def _escape(path: object) -> str:
    return str(path).replace("'", "''")
