"""Rows from the first sheet of an Excel file, and from data frames of pandas and polars."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from slugline.corpus.rows import (
    MAX_RECORD,
    RowIterator,
    check_unique,
    import_reader,
    make_row,
    too_long_row,
    translate_os_errors,
)
from slugline.errors import DataError

# Excel -------------------------------------------------------------------------------------------

#: The most bytes that all parts of a file may unpack to, and the most times their packed size.
MAX_UNPACKED, MAX_RATIO = 2**30, 200
#: Cells of the rectangle that a sheet spans, which is held in memory even if nearly empty.
MAX_CELLS = 20_000_000
# A part below this size may be packed in any ratio.
_SMALL = 10_000_000
_PIECE = 1 << 20
_PLACE = re.compile(rb"""\br=["']([A-Z]{0,3})(\d{1,9})["']""")


def excel_rows(path: Path) -> RowIterator:
    """Yield the rows below the first non-empty one, which names the columns.

    Columns without a name and empty rows are left out.
    """
    calamine = import_reader("Excel", "python_calamine", "python-calamine")
    with translate_os_errors(str(path)):
        _check_sizes(path)
        try:
            with calamine.CalamineWorkbook.from_path(str(path)) as book:
                sheet = book.get_sheet_by_index(0)
        except (calamine.CalamineError, IndexError) as error:
            raise _incomplete_file(path, error) from error
    yield from _table_rows(path, sheet.iter_rows())


def _table_rows(path: Path, rows: Iterable[list[Any]]) -> RowIterator:
    names: list[str] = []
    for at, cells in enumerate(rows, 1):
        if all(isinstance(cell, str) and not cell.strip() for cell in cells):
            continue
        if not names:
            names = [str(cell).strip() for cell in cells]
            check_unique(str(path), filter(None, names))
            continue
        values = {name: cell for name, cell in zip(names, cells, strict=True) if name}
        n_characters = sum(len(value) for value in values.values() if isinstance(value, str))
        yield make_row(at, values) if n_characters <= MAX_RECORD else too_long_row(at)


def _incomplete_file(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    return DataError(f"{path} is not a complete Excel file ({reason}); save it again, or as CSV.")


def _check_sizes(path: Path) -> None:
    """Raise DataError if a file unpacks to, or spans, more than fits into memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            _check_declared_sizes(path, parts)
            # Reading to the end checks that each part has its declared size.
            spans = [_span(archive.open(part)) for part in parts]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _incomplete_file(path, error) from error
    n_rows, n_columns = max(spans, key=lambda span: span[0] * span[1], default=(0, 0))
    if n_rows * n_columns > MAX_CELLS:
        raise DataError(
            f"{path} has cells as far as row {n_rows:,} and column {n_columns:,}; delete what is "
            "beside and below the table, or save it as CSV."
        )


def _check_declared_sizes(path: Path, parts: list[zipfile.ZipInfo]) -> None:
    n_bytes = sum(part.file_size for part in parts)
    is_bomb = any(part.file_size > max(_SMALL, MAX_RATIO * part.compress_size) for part in parts)
    if n_bytes > MAX_UNPACKED or is_bomb:
        raise DataError(
            f"{path} unpacks to {n_bytes:,} bytes, more than is likely or fits into memory; save "
            "it as CSV."
        )


def _span(part: IO[bytes]) -> tuple[int, int]:
    """Return the last row and column that a part of an Excel file names."""
    n_rows = n_columns = 0
    overlap = b""
    with part:
        while piece := part.read(_PIECE):
            for match in _PLACE.finditer(overlap + piece):
                n_rows = max(n_rows, int(match[2]))
                n_columns = max(n_columns, _column_number(match[1]))
            overlap = piece[-32:]
    return n_rows, n_columns


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


# Data frames, without importing their libraries ---------------------------------------------------


@runtime_checkable
class PandasFrame(Protocol):
    """The parts of a `pandas.DataFrame` that are used."""

    columns: Any
    index: Any

    def itertuples(self, index: bool, name: None) -> Iterable[tuple[Any, ...]]:
        """Return the rows, without the index and without names."""

    def notna(self) -> Any:
        """Return which cells are not missing."""


@runtime_checkable
class PolarsFrame(Protocol):
    """The parts of a `polars.DataFrame` that are used."""

    columns: Any

    def iter_rows(self) -> Iterator[tuple[Any, ...]]:
        """Return the rows."""


#: What `load_corpus` accepts instead of a file.
Frame = PandasFrame | PolarsFrame


def frame_rows(frame: Frame) -> RowIterator:
    """Yield the rows of a data frame; their places are its index, or numbers from 0.

    Raises DataError if two columns have the same name.
    """
    names = [str(name) for name in frame.columns]
    check_unique("the DataFrame", names)
    for at, cells in _enumerate_rows(frame):
        yield make_row(at, dict(zip(names, map(_to_python, cells), strict=True)))


def _enumerate_rows(frame: Frame) -> Iterator[tuple[int | str, tuple[Any, ...]]]:
    if isinstance(frame, PandasFrame):
        # Columns of objects can hold None for the missing values of pandas.
        pandas_frame: Any = frame
        objects = pandas_frame.astype(object).where(frame.notna(), None)
        index = (at if isinstance(at, int) else str(at) for at in frame.index)
        yield from zip(index, objects.itertuples(index=False, name=None), strict=True)
    else:
        yield from enumerate(frame.iter_rows())


def _to_python(value: Any) -> Any:
    """Return a NumPy value, or a series in a cell, as a Python value; NaN as None."""
    for convert in ("tolist", "to_list"):
        if hasattr(value, convert):
            value = getattr(value, convert)()
            break
    return None if isinstance(value, float) and value != value else value
