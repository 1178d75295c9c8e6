"""Files of documents, row by row and in bounded memory: the layer under `slugline.corpus`.

One function per format gives `Row`s and, for what can't be read, `BadRow`s, each with the place
where it stands. What stops a whole file (no such file, a cut archive) raises `DataError`. What a
text or a topic is, and whether a bad row may be passed over, is for the caller to say.

CSV and JSONL are read by the standard library's csv module and by msgspec, a line at a time,
because bad input must be named by its physical line: polars numbers rows, not lines, and stops at
the first bad one. 100,000 rows of 500 bytes take 0.5 to 0.7 s so, where polars would take 0.3 s to
the same Python strings.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import itertools
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import msgspec

from slugline.errors import DataError, OptionError
from slugline.json_array import json_items
from slugline.lines import MAX_RECORD, BadRow, Lines, not_utf8, nul, too_long
from slugline.streams import Stream

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BadRow", "Row", "Rows", "folder_rows", "read_rows"]

#: Bytes that one .gz may unpack to.
MAX_UNPACKED = 4 * 2**30
#: Parquet rows held at a time.
PARQUET_BATCH = 10_000

_decode_json = msgspec.json.Decoder().decode
_LABEL = re.compile(r"__label__(\S*)\s*")


class Row(NamedTuple):
    """One document as it stands in its file.

    Attributes
    ----------
    at : int or str
        The physical line on which it begins, its number in a Parquet file or a JSON array, or its
        path in a folder.
    values : mapping of str to object
        Its cells by column name.
    note : str, default ""
        What the reader had to decide, such as which of two topics counts.
    """

    at: int | str
    values: Mapping[str, Any]
    note: str = ""


_Items = Iterator[Row | BadRow]


@dataclass(frozen=True, slots=True)
class Rows:
    """A file, folder or stream about to be read once; iterate over it for its rows.

    Attributes
    ----------
    name : str
        How messages call it.
    format : {"csv", "tsv", "jsonl", "json", "parquet", "txt", "folder"}
    stream : Stream, optional
        What they are read from, where that is lines.
    """

    name: str
    format: str
    _items: _Items
    stream: Stream | None = None

    def __iter__(self) -> _Items:
        return self._items

    @property
    def unit(self) -> str:
        """What `Row.at` counts: "line", "item", "row" or "file"."""
        return _FORMATS[self.format].unit

    @property
    def has_names(self) -> bool:
        """Whether the columns have names of the user's; otherwise they are "text" and "topic"."""
        return _FORMATS[self.format].has_names

    def must_wait(self) -> bool:
        """Tell whether whoever writes the rows makes the reader wait for the next one."""
        return self.stream is not None and self.stream.must_wait()

    def share_read(self) -> float | None:
        """Tell how much of the file has been read, from 0 to 1; None where that can't be told."""
        return None if self.stream is None else self.stream.share_read()


def read_rows(
    source: str | Path,
    *,
    format: str | None = None,  # noqa: A002 (the user's word)
    fallback: str | None = None,
) -> Rows:
    """Open a file, a folder with a sub-folder per topic, or standard input ("-").

    Parameters
    ----------
    source : str or Path
        A path, or "-".
    format : {"csv", "tsv", "jsonl", "json", "parquet", "txt", "folder"}, optional
        By default told from the end of the name (.csv .tsv .jsonl .ndjson .json .txt .ft, each
        also with .gz, and .parquet). Standard input counts as "jsonl" if its first line begins with
        "{".
    fallback : str, optional
        The format to assume where none can be told; by default that is an error.

    Returns
    -------
    Rows, which hold one line, one quoted row, some tens of megabytes of a JSON array or
    `PARQUET_BATCH` Parquet rows in memory at a time.

    Raises
    ------
    DataError : if there is no such file, its format can't be told, or, later on and while rows are
        taken, it can't be read further.
    OptionError : if there is no such format.
    """
    if format is not None and format not in _FORMATS:
        raise OptionError(f"there is no format {format!r}; choose one of {', '.join(_FORMATS)}.")
    if str(source) == "-":
        return _standard_input(format, fallback)
    path = Path(source)
    with _os_errors_named(str(path)):
        _check_exists(path)
        name = format or _format_of(path, fallback)
        if path.is_dir() != (name == "folder"):
            found = "a folder" if path.is_dir() else "no folder"
            raise DataError(f"{path} is {found} and can't be read as {name}; check the path.")
        chosen = _FORMATS[name]
        if chosen.takes_path:
            return Rows(str(path), name, chosen.read(path))
        file = path.open("rb")
    stream = Stream(file, packed=path.suffix.lower() == ".gz")
    return Rows(str(path), name, _file_rows(str(path), file, stream, chosen.read), stream)


def _standard_input(name: str | None, fallback: str | None) -> Rows:
    stream = Stream(sys.stdin.buffer)
    lines = Lines(stream.readline, "standard input")
    if name is None:
        name = "jsonl" if lines.head.lstrip().startswith(b"{") else fallback
    if name is None:
        raise DataError("standard input doesn't tell its format; name it with --format.")
    chosen = _FORMATS[name]
    if chosen.takes_path:
        raise DataError(f"standard input can't be read as {name}; save it and give its path.")
    # What holds many rows in a line may have rows left when there is no whole line.
    waits_for_lines = stream if chosen.unit == "line" else None
    return Rows(lines.name, name, chosen.read(lines), waits_for_lines)


# Finding and opening


def _check_exists(path: Path) -> None:
    if path.exists():
        return
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    advice = f"did you mean {path.with_name(near[0])}?" if near else "check the path."
    raise DataError(f"{path} doesn't exist; {advice}")


def _format_of(path: Path, fallback: str | None) -> str:
    if path.is_dir():
        return "folder"
    name = path.name.lower().removesuffix(".gz")
    found = _ENDINGS.get(Path(name).suffix, fallback)
    if found is None:
        raise DataError(
            f"{path} doesn't tell its format; let its name end in one of {', '.join(_ENDINGS)}, "
            "or name the format with --format."
        )
    return found


@contextmanager
def _os_errors_named(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise DataError(
            f"{name} can't be read ({reason}); check the file and its rights."
        ) from error


def _file_rows(
    name: str, file: BinaryIO, stream: Stream, read: Callable[[Lines], _Items]
) -> _Items:
    limit = MAX_UNPACKED if stream.packed else math.inf
    with _os_errors_named(name), file:
        try:
            yield from read(Lines(stream.readline, name, limit))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{name} is not a whole gzip file ({error}); fetch or pack it again."
            ) from error


def _row(at: int | str, values: Mapping[str, Any], note: str = "") -> Row | BadRow:
    """Make a row of values that no line of text has been checked for."""
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        return nul(at)
    return Row(at, values, note)


# Formats


def _table_rows(lines: Lines, delimiter: str | None = None) -> _Items:
    """CSV with a header; unless told, cells are parted by what occurs most in it of , ; and tab."""
    if delimiter is None:
        delimiter = max(",;\t", key=lines.head.decode(errors="replace").count)
    records = _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        return
    if isinstance(header, BadRow):
        raise DataError(f"{lines.name}, line {header.at}: {header.problem}; {header.advice}.")
    names = [name.strip() for name in header.cells]
    counts = Counter(filter(None, names))
    twice = next((name for name, n in counts.items() if n > 1), None)
    if twice is not None:
        raise DataError(f"{lines.name} has two columns named {twice!r}; rename one.")
    for record in records:
        if isinstance(record, BadRow):
            yield record
        elif len(record.cells) == len(names):
            yield Row(record.at, dict(zip(names, record.cells, strict=True)))
        else:
            yield BadRow(record.at, f"{len(record.cells)} cells in place of {len(names)}")


class _Record(NamedTuple):
    at: int  # the physical line on which it begins
    cells: list[str]


def _records(lines: Lines, delimiter: str) -> Iterator[_Record | BadRow]:
    """Give the records of CSV, the header among them; one without anything in it is none."""
    # The limit is the process's, not ours alone, so it is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD))
    at = begin = 0

    def bounded() -> Iterator[str]:
        for line in lines:
            if lines.offset - begin > MAX_RECORD:
                raise DataError(
                    f"{lines.name}, line {at}: the row that begins here has more than "
                    f"{MAX_RECORD:,} bytes; close its quotes, or split it."
                )
            yield line

    reader = csv.reader(bounded(), delimiter=delimiter, strict=True)
    while True:
        at, begin = lines.number + 1, lines.offset
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if lines.exhausted:
                raise DataError(
                    f"{lines.name}, line {at}: the row that begins here has a quote that is never "
                    "closed; close it."
                ) from error
            problem = "text after a closing quote, or a lone carriage return"
            yield lines.take_fault() or BadRow(at, problem)
            continue
        if cells is None:
            return
        if fault := lines.take_fault():
            yield fault
        elif any(map(str.strip, cells)):
            yield _Record(at, cells)


def _json_rows(lines: Lines) -> _Items:
    """One JSON object a line; blank lines are none."""
    for line in lines:
        if fault := lines.take_fault():
            yield fault
        elif not line.isspace():
            yield _json_row(lines.number, line)


def _array_rows(lines: Lines) -> _Items:
    """One JSON array of objects, or of texts."""
    for at, (offset, item) in enumerate(json_items(lines), 1):
        if len(item) > MAX_RECORD:
            yield too_long(at)
            continue
        try:
            data = item.decode()
        except UnicodeDecodeError as error:
            yield not_utf8(at, error, offset)
        else:
            yield _json_row(at, data, may_be_text=True)


def _json_row(at: int, data: str, may_be_text: bool = False) -> Row | BadRow:
    try:
        values = _decode_json(data)
    except (msgspec.DecodeError, RecursionError) as error:
        return BadRow(at, f"no valid JSON ({error})")
    if may_be_text and isinstance(values, str):
        values = {"text": values}
    if isinstance(values, dict):
        return _row(at, values)
    return BadRow(at, "JSON, but no object" + " or text" * may_be_text)


def _text_rows(lines: Lines) -> _Items:
    """One text a line, after as many fastText labels as there are (`__label__sport Late goal`)."""
    for line in lines:
        if fault := lines.take_fault():
            yield fault
            continue
        text, topics, end = line.rstrip("\r\n"), [], 0
        while label := _LABEL.match(text, end):
            topics.append(label[1])
            end = label.end()
        values = {"text": text[end:], "topic": topics[0] if topics else None}
        note = "several topics on one line; the first counts" if len(topics) > 1 else ""
        yield Row(lines.number, values, note)


def _parquet_rows(path: Path) -> _Items:
    """Give the scalar columns; vectors are neither texts nor topics, and cost much to convert."""
    import polars as pl

    try:
        with _os_errors_named(str(path)):
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


def _batch_rows(batch: pl.DataFrame, first: int) -> _Items:
    import polars as pl
    from polars import selectors as cs

    # The zeros are for a batch without any column of strings.
    sizes = pl.sum_horizontal(pl.repeat(0, batch.height), cs.string().str.len_bytes())
    fits = batch.select(sizes <= MAX_RECORD).to_series()
    # By 64, so that what Python holds is bounded where every row is at the limit.
    rows = batch.filter(fits).iter_rows(named=True, buffer_size=64)
    for at, fit in enumerate(fits, first):
        yield _row(at, next(rows)) if fit else too_long(at)


def folder_rows(folder: Path, fallback_encoding: str | None = None) -> _Items:
    """Give the *.txt files of each sub-folder in order of names; the sub-folder is the topic.

    Parameters
    ----------
    folder : Path
    fallback_encoding : str, optional
        For files that are not UTF-8; by default each such file is a bad row.

    Raises
    ------
    DataError : if there are no sub-folders, one has no *.txt file or holds folders itself, or
        something can't be read.
    """
    with _os_errors_named(str(folder)):
        topics = [path for path in _visible(folder) if path.is_dir()]
        if not topics:
            raise DataError(
                f"{folder} has no sub-folders; make one for each topic, with its texts as *.txt."
            )
        for topic in topics:
            for file in _text_files(topic):
                yield _file_row(file, topic.name, fallback_encoding)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _text_files(topic: Path) -> list[Path]:
    paths = _visible(topic)
    nested = next((path for path in paths if path.is_dir()), None)
    if nested is not None:
        raise DataError(
            f"{nested} is a folder within the topic {topic.name!r}; move its texts up one level."
        )
    files = [path for path in paths if path.suffix.lower() == ".txt"]
    if not files:
        raise DataError(f"{topic} has no *.txt files; add the topic's texts, or remove it.")
    return files


def _file_row(file: Path, topic: str, fallback_encoding: str | None) -> Row | BadRow:
    at, note = f"{topic}/{file.name}", ""
    if file.stat().st_size > MAX_RECORD:
        return too_long(at)
    data = file.read_bytes()
    try:
        text = data.decode().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if fallback_encoding is None:
            return not_utf8(at, error, 0)
        text = data.decode(fallback_encoding)
        note = f"not UTF-8; read as {fallback_encoding}"
    return _row(at, {"text": text, "topic": topic}, note)


@dataclass(frozen=True, slots=True)
class _Format:
    """How one format is read: from lines, or from a path where `takes_path`."""

    read: Callable[[Any], _Items]
    takes_path: bool = False
    unit: str = "line"
    has_names: bool = True


_FORMATS = {
    "csv": _Format(_table_rows),
    "tsv": _Format(partial(_table_rows, delimiter="\t")),
    "jsonl": _Format(_json_rows),
    "json": _Format(_array_rows, unit="item"),
    "parquet": _Format(_parquet_rows, takes_path=True, unit="row"),
    "txt": _Format(_text_rows, has_names=False),
    "folder": _Format(folder_rows, takes_path=True, unit="file", has_names=False),
}
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "txt",
    ".ft": "txt",
}
