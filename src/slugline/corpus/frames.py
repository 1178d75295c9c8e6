"""Read rows from pandas and polars data frames, without importing these libraries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from slugline.corpus import rows
from slugline.corpus.header import check_unique


@runtime_checkable
class PandasFrame(Protocol):
    """The part of the `pandas.DataFrame` interface used here."""

    columns: Any
    index: Any

    def itertuples(self, index: bool, name: None) -> Iterable[tuple[Any, ...]]:
        """Return the rows as plain tuples, without the index."""

    def notna(self) -> Any:
        """Return a mask of non-missing cells."""


@runtime_checkable
class PolarsFrame(Protocol):
    """The part of the `polars.DataFrame` interface used here."""

    columns: Any

    def iter_rows(self) -> Iterator[tuple[Any, ...]]:
        """Return the rows."""


#: Data frames that `load_corpus` accepts.
Frame = PandasFrame | PolarsFrame


def frame_rows(frame: Frame) -> rows.RowIterator:
    """Yield the rows of a data frame; places come from the index, or else count from 0.

    Raises DataError if two columns have the same name.
    """
    names = [str(name) for name in frame.columns]
    check_unique("the DataFrame", names)
    for at, cells in _enumerate_rows(frame):
        yield rows.make_row(at, dict(zip(names, map(_to_python, cells), strict=True)))


def _enumerate_rows(frame: Frame) -> Iterator[tuple[int | str, tuple[Any, ...]]]:
    if isinstance(frame, PandasFrame):
        # Only object columns can contain None in place of pandas' missing values.
        pandas_frame: Any = frame
        objects = pandas_frame.astype(object).where(frame.notna(), None)
        index = (at if isinstance(at, int) else str(at) for at in frame.index)
        yield from zip(index, objects.itertuples(index=False, name=None), strict=True)
    else:
        yield from enumerate(frame.iter_rows())


def _to_python(value: Any) -> Any:
    """Convert a NumPy value, or a series in a cell, to a Python value; NaN becomes None."""
    for convert in ("tolist", "to_list"):
        if hasattr(value, convert):
            value = getattr(value, convert)()
            break
    return None if isinstance(value, float) and value != value else value
