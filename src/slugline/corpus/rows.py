"""Valid and bad rows of a source, and the rows of pandas and polars data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from slugline.corpus.encodings import guess_encoding
from slugline.corpus.header import check_unique
from slugline.errors import DataError, Message, Parameter, join_messages, os_errors_as

#: Maximum size of a line, quoted row, cell or text file in bytes: about ten long books.
MAX_RECORD = 10_000_000
#: Maximum number of columns in a table, or fields in a JSON object.
MAX_COLUMNS = 50_000
# Memory overhead of a cell in bytes.
_CELL_BYTES = 100
# Number of bytes around an invalid byte to examine for the encoding.
_N_AROUND = 40
_SAVE_ALIKE = "save all lines in one encoding (others are UTF-8, as if two files were joined)"


class BadRow(NamedTuple):
    """A row that can't be used.

    Attributes
    ----------
    at : int or str
        See `SourceRow`.
    problem, advice : str
        The error in the row, and how to fix such rows.
    values : mapping of str to object
        Cells by column name, as far as they could be read.
    sample : bytes
        Sample of the row's bytes, if they are not UTF-8 and no encoding was given.
    is_mixed : bool
        True if the sample is not UTF-8 but other rows of the source are.
    n_bytes : int
        Number of bytes read for the values.
    id : object
        Cell in the id column, if there is one.
    """

    at: int | str
    problem: str
    advice: str = "fix them"
    values: Mapping[str, Any] = MappingProxyType({})
    sample: bytes = b""
    is_mixed: bool = False
    n_bytes: int = 0
    id: Any = None


def too_long_row(at: int | str) -> BadRow:
    """Create a bad row for a row that exceeds `MAX_RECORD`."""
    return BadRow(at, f"more than {MAX_RECORD:,} bytes", "split them")


def nul_row(at: int | str) -> BadRow:
    """Create a bad row for a row with a NUL character, which suggests UTF-16."""
    advice = Message("delete NULs (if the file is UTF-16, set ", Parameter("encoding"), ")")
    return BadRow(at, "a NUL character", advice)


def undecodable_row(
    at: int | str, error: UnicodeDecodeError, encoding: str | None = None, *, is_mixed: bool = False
) -> BadRow:
    """Create a bad row for bytes that are invalid in the given encoding, by default UTF-8.

    `is_mixed` means that other rows are UTF-8.
    """
    if encoding is not None:
        advice = Message("check ", Parameter("encoding"))
        return BadRow(at, f"bytes that are not {encoding}", advice)
    around = slice(max(error.start - _N_AROUND, 0), error.start + _N_AROUND)
    return BadRow(
        at,
        "bytes that are not UTF-8",
        _SAVE_ALIKE if is_mixed else _encoding_advice(),
        sample=error.object[around],
        is_mixed=is_mixed,
    )


def _encoding_advice(guess: str | None = None) -> Message:
    """Return advice to specify the encoding, with a guess at it."""
    if guess is None:
        return Message("set its encoding, such as ", Parameter("encoding", "cp1252"))
    return Message(f"if it is {guess}, pass ", Parameter("encoding", guess))


def join_advice(bad: Sequence[BadRow]) -> str:
    """Combine and deduplicate the advice for bad rows, with a guess at their encoding."""
    undecoded = [row for row in bad if row.sample]
    about_encoding = ""
    if any(row.is_mixed for row in undecoded):  # another encoding would garble the other rows
        about_encoding = _SAVE_ALIKE
    elif undecoded:
        about_encoding = _encoding_advice(guess_encoding([row.sample for row in undecoded]))
    advice = dict.fromkeys(about_encoding if row.sample else row.advice for row in bad)
    return join_messages(" and ", advice)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source.

    Attributes
    ----------
    at : int or str
        First physical line of the row, its number in a Parquet file or JSON array, or the path of
        its file in a folder.
    values : mapping of str to object
        Cells by column name. JSON lists and objects stay `msgspec.Raw`, because decoding them would
        take up to fifty times the memory, and the values aren't used.
    note : str
        Decision of the reader, such as which of two topics counts.
    n_bytes : int
        Number of bytes read for the row.
    """

    at: int | str
    values: Mapping[str, Any]
    note: str = ""
    n_bytes: int = field(default=0, compare=False)


def estimate_memory(row: SourceRow | BadRow) -> int:
    """Estimate the memory of a row in bytes, far more than its size in the file.

    >>> estimate_memory(BadRow(1, "no text")), estimate_memory(SourceRow(1, {"a": "b"}, "", 10))
    (100, 210)
    """
    return row.n_bytes + _CELL_BYTES * (len(row.values) + 1)


#: Rows of a source.
RowIterator = Iterator[SourceRow | BadRow]


def translate_os_errors(name: str) -> AbstractContextManager[None]:
    """Convert an OSError about a file to a DataError that names it."""
    return os_errors_as(DataError, f"{name} can't be read", "check the file and its permissions.")


def make_row(
    at: int | str, values: Mapping[str, Any], note: str = "", n_bytes: int = 0
) -> SourceRow | BadRow:
    """Create a row of values, or a bad row if a value contains a NUL character."""
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        return nul_row(at)._replace(values=values, n_bytes=n_bytes)
    return SourceRow(at, values, note, n_bytes)


def compact(value: Any) -> Any:
    """Compact raw JSON, which may contain line breaks, to a single line."""
    is_raw = isinstance(value, msgspec.Raw)
    return msgspec.Raw(msgspec.json.format(value, indent=-1)) if is_raw else value


# Data frames, without importing their libraries ---------------------------------------------------


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


def frame_rows(frame: Frame) -> RowIterator:
    """Yield the rows of a data frame; places come from the index, or else count from 0.

    Raises DataError if two columns have the same name.
    """
    names = [str(name) for name in frame.columns]
    check_unique("the DataFrame", names)
    for at, cells in _enumerate_rows(frame):
        yield make_row(at, dict(zip(names, map(_to_python, cells), strict=True)))


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
