"""Rows from data frames of pandas and polars, neither of which is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from slugline.corpus.rows import Items, checked_row
from slugline.errors import DataError

__all__ = ["Frame", "frame_rows"]


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


def frame_rows(frame: Frame) -> Items:
    """Return the rows of a data frame, each named by its index, or by its number from 0 on.

    Raises
    ------
    DataError : if two columns have the same name.
    """
    names = [str(name) for name in frame.columns]
    twice = next((name for name, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        raise DataError(f"the DataFrame has two columns named {twice!r}; rename one.")
    for at, cells in _numbered(frame):
        yield checked_row(at, dict(zip(names, map(_plain, cells), strict=True)))


def _numbered(frame: Frame) -> Iterator[tuple[int | str, tuple[Any, ...]]]:
    if isinstance(frame, PandasFrame):
        # As objects, so that None can stand for whatever pandas counts as missing.
        whole: Any = frame
        objects = whole.astype(object).where(frame.notna(), None)
        index = (at if isinstance(at, int) else str(at) for at in frame.index)
        yield from zip(index, objects.itertuples(index=False, name=None), strict=True)
    else:
        yield from enumerate(frame.iter_rows())


def _plain(value: Any) -> Any:
    """Return a NumPy value, or a series in a cell, as a Python value; NaN as None."""
    for convert in ("tolist", "to_list"):
        if hasattr(value, convert):
            value = getattr(value, convert)()
            break
    return None if isinstance(value, float) and value != value else value
