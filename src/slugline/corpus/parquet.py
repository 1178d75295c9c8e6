"""Rows from Parquet files."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.corpus.rows import (
    MAX_RECORD,
    Items,
    checked_row,
    os_errors_named,
    too_long,
)
from slugline.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["parquet_rows"]

#: Parquet rows held at a time.
PARQUET_BATCH = 10_000


def parquet_rows(path: Path) -> Items:
    """Return the scalar columns; vectors are neither texts nor topics, and cost much to convert."""
    import polars as pl

    try:
        with os_errors_named(str(path)):
            table = pl.scan_parquet(path, glob=False)
            schema = table.collect_schema().items()
            scalars = [name for name, kind in schema if not kind.is_nested() and kind != pl.Binary]
            table = table.select(scalars)
            # A slice reads no more than it must: half the memory of reading all, be there one row
            # group or many.
            for start in itertools.count(0, PARQUET_BATCH):
                batch = table.slice(start, PARQUET_BATCH).collect()
                if batch.is_empty():
                    return
                yield from _batch_rows(batch, start + 1)
    # Of some damaged files polars doesn't complain but panics.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is no whole Parquet file ({reason}); write it again.") from error


def _batch_rows(batch: pl.DataFrame, first: int) -> Items:
    import polars as pl
    from polars import selectors as cs

    # The zeros are for a batch without any column of strings.
    sizes = pl.sum_horizontal(pl.repeat(0, batch.height), cs.string().str.len_bytes())
    n_bytes = batch.select(sizes).to_series()
    # By 64, so that what Python holds is bounded where every row is at the limit.
    rows = batch.filter(n_bytes <= MAX_RECORD).iter_rows(named=True, buffer_size=64)
    for at, size in enumerate(n_bytes, first):
        yield too_long(at) if size > MAX_RECORD else checked_row(at, next(rows), n_bytes=size)
