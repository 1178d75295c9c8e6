"""Read rows from files, folders, standard input and data frames, in bounded memory.

One function per format yields a `SourceRow` or, for unreadable input, a `BadRow`, with its place.
Faults of the file as a whole (a missing file, a truncated archive) raise `DataError`. The caller
decides which cells are texts and topics, and whether to skip bad rows.

CSV and JSON Lines are read line by line, with the csv module and msgspec, because messages refer to
bad input by physical line: readers of whole tables number rows, not lines, and stop at the first
bad one. Reading 100,000 rows of 500 bytes takes 0.5 to 0.7 s.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import math
import os
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.interruption import check_interruption
from slugline.base.names import check_is_no_address, check_is_no_system_file
from slugline.base.wording import nearest
from slugline.corpus import formats
from slugline.corpus.dialects import (
    ONE_COLUMN,
    TableDialect,
    TableStart,
    decode_head,
    detect_dialect,
    find_start,
    is_header,
    is_tab_header,
    named_delimiter,
)
from slugline.corpus.encodings import detect_encoding, is_utf8
from slugline.corpus.header import NO_HINTS, HeaderHints
from slugline.corpus.layout import Layout, ReadOptions, check_delimiter
from slugline.corpus.line_stream import LineStream, check_encoding
from slugline.corpus.lines import TextLines, check_is_text
from slugline.corpus.rows import Frame, RowIterator, frame_rows, translate_os_errors
from slugline.errors import DataError, Message, OptionError, Parameter, join_messages

# Minimum similarity of a suggested name; a shared ending alone makes names half alike.
_NEAR = 0.8
#: Maximum unpacked size of a .gz file in bytes.
MAX_UNPACKED = 4 * 2**30


@dataclass(frozen=True, eq=False, slots=True)
class RowReader:
    """Single-pass iterator over the rows of a file, folder or stream.

    Attributes
    ----------
    name : str
        Name of the source in messages.
    format : str
        One of the formats of `read_rows`, or "frame".
    stream : LineStream or None
        Source of the rows, for formats based on lines.
    note : str
        Note on assumptions about the format.
    encoding : str or None
        Given or detected encoding; None for UTF-8.
    separator : str or None
        Given or detected delimiter of a table, or `ONE_COLUMN`.
    layout : Layout or None
        Layout of a model's training data, which the source may share.
    header : HeaderHints
        Hints for locating the header of a table.
    header_line : int
        Line of the header in a text file.
    has_selection_bias : bool
        True if many documents were selected for labelling because a model was uncertain about them.
    head : str
        First lines of a table in a file.
    has_mark : bool
        True if a table begins with a UTF-8 byte-order mark.
    """

    name: str
    format: str
    _rows: RowIterator
    stream: LineStream | None = None
    note: str = ""
    encoding: str | None = None
    separator: str | None = None
    layout: Layout | None = None
    header: HeaderHints = NO_HINTS
    header_line: int = 1
    has_selection_bias: bool = False
    head: str = ""
    has_mark: bool = False

    def __iter__(self) -> RowIterator:
        return self._rows

    def close(self) -> None:
        """Close the file and stop reading."""
        if isinstance(self._rows, Generator):
            self._rows.close()

    @property
    def unit(self) -> str:
        """Unit of `SourceRow.at`: "line", "item", "row" or "file"."""
        return _ALL_FORMATS[self.format].unit

    @property
    def is_described(self) -> bool:
        """True if the source itself specifies its text and topic columns, as in `layout`."""
        return self.format == "labels"

    @property
    def has_names(self) -> bool:
        """True if the source names its columns; otherwise they are "text" and "topic"."""
        return _ALL_FORMATS[self.format].has_names

    def must_wait(self) -> bool:
        """Return True if the next row has not been written yet; see `LineStream.must_wait`."""
        return self.stream is not None and self.stream.must_wait()

    def fraction_read(self) -> float | None:
        """Return the fraction of the file that has been read; None if unknown."""
        return None if self.stream is None else self.stream.fraction_read()


# First bytes of SQLite files.
_SQLITE = b"SQLite format 3\0"


def is_database(path: Path) -> bool:
    """Return True for a SQLite file, such as a label database."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def check_format(form: str | None, encoding: str | None) -> str | None:
    """Return Python's name of the encoding; raise OptionError for unknown formats or encodings."""
    if form is not None and form not in _FORMATS:
        raise OptionError(
            f"unknown format {short_repr(form)}; choose one of {', '.join(_FORMATS)}."
        )
    return None if encoding is None else check_encoding(encoding)


def read_rows(
    source: str | Path, options: ReadOptions | None = None, *, fallback: str | None = None
) -> RowReader:
    """Open a file, a folder with a sub-folder per topic, or standard input ("-").

    A folder may also contain Parquet files or, if texts need no topics (`fallback` is "txt"), one
    text per *.txt file.

    The reader keeps one line, one quoted row, tens of megabytes of a JSON array or thousands of
    Parquet rows in memory at a time.

    Parameters
    ----------
    source : str or Path
        A path, or "-".
    options : ReadOptions, optional
        How to read the source:

        - `format`: by default, inferred from the file extension (.csv .tsv .jsonl .ndjson .json
          .txt .ft, each also with .gz, and .parquet and .xlsx), unless it is a label database.
          Standard input is read as "jsonl" if its first line begins with "{", and as "csv" if that
          line contains column names and isn't typed at a terminal.
        - `encoding`: any text encoding supported by Python, such as "cp1252" or "utf-16"; by
          default UTF-8 or, for CSV, TSV and text files, detected from the first lines. Not for
          Parquet and Excel files.
        - `separator`: the delimiter between cells of CSV, TSV and text files with columns, such as
          ";" or "tab"; by default a tab for TSV, and for CSV whichever of , ; tab and | fits the
          header and the first rows.
        - `header_row`: the row of the column names; by default, `find_header` locates it, using the
          named columns.
        - `layout`: the likely columns, and the likely encoding of a file that is not UTF-8, used
          if the first lines are valid in it.
    fallback : str, optional
        Format to assume if none is recognized; an error by default. "txt" is not assumed for files
        with an unknown extension; it also means that texts need no topics.

    Raises
    ------
    DataError : if the file doesn't exist, its format is unknown or, while iterating, reading fails.
    OptionError : if the format or encoding is unknown, or a separator or header row is given for a
        format without cells.
    """
    options = options or ReadOptions()
    encoding = check_format(options.format, options.encoding)
    check_format(fallback, None)
    separator = check_delimiter(options.separator)
    hints = options.header_hints()
    if str(source) == "-":
        return _standard_input(options, fallback, encoding, separator)
    path = Path(source)
    with translate_os_errors(str(path)):
        check_exists(path)
        name = options.format or _format_of(path, fallback)
        name = _check_has_header(str(path), name, separator, hints.row)
        _check_kind(path, name)
        if _ALL_FORMATS[name].read is None:
            return _path_reader(path, name, encoding, options, needs_topics=fallback != "txt")
        with contextlib.ExitStack() as opened:
            is_packed = path.suffix.lower() == ".gz"
            if path.is_file():
                check_is_text(path)
            file = opened.enter_context(path.open("rb"))
            opened.enter_context(_gzip_errors(str(path)))
            text_format = _TextFormat(name, encoding, separator)
            if name in _DETECTED and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                text_format = _examine(file, text_format, options, is_packed=is_packed)
            opened.pop_all()  # from here on, iteration closes the file
    stream = LineStream(file, is_packed, text_format.encoding)
    rows = _file_rows(str(path), file, stream, text_format)
    return _text_reader(str(path), rows, stream, text_format, options)


def _text_reader(
    name: str,
    rows: RowIterator,
    stream: LineStream | None,
    text_format: _TextFormat,
    options: ReadOptions,
) -> RowReader:
    return RowReader(
        name,
        _rows=rows,
        stream=stream,
        layout=options.layout,
        header=options.header_hints(),
        **text_format._asdict(),
    )


def _path_reader(
    path: Path, name: str, encoding: str | None, options: ReadOptions, *, needs_topics: bool
) -> RowReader:
    """Return a reader for a folder, or for a file that isn't read line by line."""
    from slugline.corpus import folders, parquet

    layout, hints, note, has_selection_bias = options.layout, options.header_hints(), "", False
    if name == "xlsx":
        from slugline.corpus.excel import open_excel

        rows, note = open_excel(path, hints)
    elif name == "labels":
        from slugline.corpus.label_database.reader import read_label_database

        database = read_label_database(path, needs_answers=needs_topics)
        rows, note = database.rows, database.note
        has_selection_bias = database.has_selection_bias
        layout = layout or Layout(database.text, database.topic)
        layout = replace(layout, text=database.text, topic=database.topic)
    elif name == "parquet":
        rows = parquet.parquet_rows(path)
    elif name == "parquet files":
        rows = folders.parquet_folder_rows(path)
    elif name == "text files":
        rows = folders.text_file_rows(path, encoding)
    else:
        rows = folders.folder_rows(path, encoding)
    return RowReader(
        str(path),
        name,
        rows,
        note=note,
        layout=layout,
        header=hints,
        has_selection_bias=has_selection_bias,
    )


class _TextFormat(NamedTuple):
    """Fields of `RowReader` that describe a text file."""

    format: str
    encoding: str | None
    separator: str | None
    note: str = ""
    header_line: int = 1
    head: str = ""
    has_mark: bool = False


_TABLES = ("csv", "tsv")


def _line_rows(lines: TextLines, text_format: _TextFormat) -> RowIterator:
    """Yield the rows of lines in a format."""
    form, separator = text_format.format, text_format.separator
    read = _ALL_FORMATS[form].read
    if form in _TABLES and separator is not None:
        start = TableStart(separator, text_format.header_line)
        read = partial(formats.table_rows, start=start)
    if read is None:
        raise DataError(f"{lines.name} can't be read as {form}; save it and give its path.")
    return formats.bounded_rows(lines, read)


#: Advice that refers to parameters; front ends without parameters phrase it differently.
LEAVE_ENCODING_OUT = Parameter("encoding", phrase="leave {} out")
OR_NAME_THE_FORMAT = Parameter("format", phrase=", or name the format with {}")


def _examine(
    file: BinaryIO, text_format: _TextFormat, options: ReadOptions, *, is_packed: bool
) -> _TextFormat:
    """Complete the format of a regular text file by examining its first bytes.

    Raises DataError if the file can't be in the encoding given by the user.
    """
    form, encoding, separator, note, header_line = text_format[:5]
    layout = options.layout
    sample, is_cut = _sample(file, is_packed)
    if options.encoding is not None:
        _check_named_encoding(file.name, sample, encoding, is_cut=is_cut)
    else:
        likely = None if layout is None else layout.encoding
        encoding = detect_encoding(sample, likely, is_cut=is_cut)
        note = _encoding_note(encoding)
    head = _sample(file, is_packed, max_pieces=1)[0]
    table = decode_head(head[:_N_SHOWN], encoding)
    if form == "tsv" and separator is None and formats.begins_with_uris(head):
        form = "uris"
    elif form == "txt" and options.format is None and is_tab_header(table):
        form, note = "tsv", join_messages("; ", filter(None, (note, _read_as("TSV"))))
    if form in _TABLES:
        separator, header_line = _find_start(file.name, form, table, separator, options)
        if header_line > 1 and not named_delimiter(table.partition("\n")[0]):
            header_note = f"read the header in line {header_line:,}"
            note = join_messages("; ", filter(None, (note, header_note)))
    has_mark = head.startswith(codecs.BOM_UTF8)
    return _TextFormat(form, encoding, separator, note, header_line, table, has_mark)


def _read_as(form: str) -> str:
    """Return a note on a text file that is read as a table."""
    texts = Parameter("format", "txt")
    return Message(f"read as {form}because its first line names columns; for plain texts, ", texts)


def _encoding_note(encoding: str | None) -> str:
    """Return a note on the detected encoding; empty for UTF-8."""
    if encoding is None:
        return ""
    return Message(
        f"not UTF-8; reading it as {encoding}; choose another with ", Parameter("encoding")
    )


def _check_named_encoding(name: str, sample: bytes, encoding: str | None, *, is_cut: bool) -> None:
    """Raise DataError if a file is in a Unicode encoding other than the one given."""
    named = (encoding or "utf-8").replace("_", "-")
    actual = detect_encoding(sample, is_cut=is_cut)
    if actual is None and is_utf8(sample, is_cut=is_cut):
        actual = "utf-8"
    if actual in ("utf-8", "utf-16", "utf-32") and not named.startswith(actual):
        raise DataError(
            f"{name} is {actual.upper()}, but ",
            Parameter("encoding"),
            f" is {named}; ",
            LEAVE_ENCODING_OUT,
            ".",
        )


def _check_has_header(source: str, form: str, separator: str | None, header_row: int | None) -> str:
    """Return the format, or CSV for text with a separator or a header row.

    Raises OptionError if the format doesn't support them.
    """
    if form in _TABLES or (separator is None and header_row is None):
        return form
    if form == "txt":
        return "csv"
    if form == "xlsx" and separator is None:
        return form
    name, value, noun = "header_row", str(header_row), "header row"
    if separator is not None:
        name, value, noun = "separator", repr(separator), "separators"
    raise OptionError(
        Parameter(name),
        f" is {value}, but {source} is read as {form}, which has no {noun}; "
        "leave it out, or choose another ",
        Parameter("format"),
        ".",
    )


def _find_start(
    name: str, form: str, table: str, separator: str | None, options: ReadOptions
) -> TableStart:
    """Return the separator and the header line of a table, given its beginning."""
    layout = options.layout
    likely = None if layout is None else layout.separator
    if form == "tsv" and separator is None:
        delimiter = named_delimiter(table.partition("\n")[0]) or "\t"
        start = find_start(table, options.header_hints(), delimiter, name=name)
        if delimiter != "\t":
            return start
        header = table.split("\n")[start.header_line - 1 :]
        return start if "\t" in header[0] else start._replace(delimiter=ONE_COLUMN)
    return find_start(table, options.header_hints(), separator, likely, name)


# Formats whose encoding is detected (JSON is UTF-8), sample size in bytes, and maximum number of
# samples to read while all are ASCII, a subset of many encodings.
_DETECTED, _N_DETECTED, _MAX_PIECES = ("csv", "tsv", "txt"), 1 << 20, 64


def _sample(file: BinaryIO, is_packed: bool, max_pieces: int = _MAX_PIECES) -> tuple[bytes, bool]:
    """Return a sample of a file for detecting its encoding, and True if the sample is cut off.

    The sample is the beginning of the file, or the first piece that is not ASCII. Rewinds the file.
    """
    unpacked, piece = gzip.GzipFile(fileobj=file) if is_packed else file, b""
    for _ in range(max_pieces):
        check_interruption()
        piece = unpacked.read(_N_DETECTED) or piece
        if len(piece) < _N_DETECTED or not piece.isascii() or b"\0" in piece:
            break
    file.seek(0)
    return piece, len(piece) == _N_DETECTED


# Number of bytes, in whole lines, to examine for the dialect of a table.
_N_SHOWN = 1 << 16


def read_dialect(rows: RowReader) -> TableDialect:
    """Detect the dialect of a CSV or TSV file; return the default dialect for other sources.

    Answers for an Excel file get a byte-order mark, which Excel needs to recognize UTF-8.
    """
    if rows.format not in _TABLES or not rows.head:
        return TableDialect(has_mark=rows.format == "xlsx")
    start = TableStart(rows.separator or ONE_COLUMN, rows.header_line)
    likely = None if rows.layout is None else rows.layout.separator
    dialect = detect_dialect(rows.head, start, rows.encoding or "utf-8", likely)
    return dialect._replace(has_mark=rows.has_mark)


def detect_format(path: str, format: str | None = None) -> str:  # noqa: A002 (the user's word)
    """Return the format of a file; see `read_rows` for the errors."""
    with translate_os_errors(path):
        check_exists(Path(path))
        return format or _format_of(Path(path), None)


def read_frame(frame: Frame, layout: Layout | None = None) -> RowReader:
    """Return a reader for a pandas or polars data frame; see `read_rows` for the layout."""
    return RowReader("the DataFrame", "frame", frame_rows(frame), layout=layout)


def _standard_input(
    options: ReadOptions, fallback: str | None, encoding: str | None, separator: str | None
) -> RowReader:
    name, layout, hints = options.format, options.layout, options.header_hints()
    if options.encoding is not None or name not in (None, *_DETECTED):
        stream = LineStream(sys.stdin.buffer, encoding=encoding)
    else:
        likely = None if layout is None else layout.encoding
        stream = LineStream(sys.stdin.buffer, detect=True, likely=likely)
    lines = TextLines(stream.readline, "standard input", encoding=encoding)
    lines.encoding = encoding = encoding or stream.detected
    note = _encoding_note(stream.detected)
    if name is None:
        name, table_note = _format_of_lines(lines, fallback)
        note = join_messages("; ", filter(None, (note, table_note)))
    if name is None:
        raise DataError(
            "cannot tell the format of standard input; pass it with ", Parameter("format"), "."
        )
    name = _check_has_header("standard input", name, separator, hints.row)
    if name == "tsv" and separator is None and formats.begins_with_uris(lines.head):
        name = "uris"
    # In a format with many rows per line, rows may remain even when no line is complete.
    line_stream = stream if _ALL_FORMATS[name].unit == "line" else None
    header_line = 1
    if name in _TABLES:
        table = (lines.head + stream.preview()).decode(errors="replace")
        separator, header_line = _find_start(lines.name, name, table, separator, options)
    text_format = _TextFormat(name, encoding, separator, note, header_line)
    return _text_reader(
        lines.name, _line_rows(lines, text_format), line_stream, text_format, options
    )


def _format_of_lines(lines: TextLines, fallback: str | None) -> tuple[str | None, str]:
    """Infer the format of standard input from its first line; also return a note on it."""
    if lines.head.lstrip().startswith(b"{"):
        return "jsonl", ""
    head = lines.head.decode(errors="replace")
    if not sys.stdin.isatty() and (named_delimiter(head) or is_header(head)):
        return "csv", _read_as("CSV")
    return fallback, ""


def check_exists(path: Path) -> None:
    """Raise DataError if a path doesn't exist; the message suggests a similar name."""
    if path.is_symlink() and not path.exists():
        raise DataError(
            f"{path} is a link to {path.readlink()}, which doesn't exist; check the link."
        )
    if not path.exists():
        check_is_no_address(str(path))
        raise DataError(f"{path} doesn't exist; {similar_path(path)}")


def similar_path(path: Path) -> str:
    """Return advice on a missing path, with a similar name if there is one."""
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, siblings, _NEAR)
    # Compare stems only: a shared ending makes nofile.csv and noise5.csv similar, for example.
    if near is not None and nearest(path.stem, [Path(near).stem], _NEAR) is None:
        near = None
    return f"did you mean {path.with_name(near)}?" if near else "check the path."


def _check_kind(path: Path, name: str) -> None:
    """Raise DataError unless a path is a file, a folder, or a pipe in a line-based format."""
    if path.is_dir() != (name in _FOLDERS):
        kind = "a folder" if path.is_dir() else "not a folder"
        raise DataError(f"{path} is {kind} and can't be read as {name}; check the path.")
    check_is_no_system_file(path, str(path))
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise DataError(f"{path} is a device; pass a file, or - for a terminal.")
    if _ALL_FORMATS[name].read is None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{path} is a pipe, which can't be read as {name}; save it as a file.")


def names_documents(name: str) -> bool:
    """Return True if a file name has the extension of a document format."""
    return Path(name.lower().removesuffix(".gz")).suffix in ENDINGS


def _format_of(path: Path, fallback: str | None) -> str:
    if path.name.startswith("~$"):
        raise DataError(
            f"{path} is Excel's lock file of an open document; pass the document: "
            f"{path.with_name(path.name[2:])}."
        )
    if path.is_dir():
        return _format_of_folder(path, fallback)
    if is_database(path):
        return "labels"
    if path.suffix == ".slug":
        raise DataError(
            f"{path} is a model, not documents; pass documents, or classify some with it: "
            f"slugline predict {path} FILE"
        )
    name = path.name.lower().removesuffix(".gz")
    if Path(name).suffix in _OTHER_SPREADSHEETS:
        raise DataError(
            f"{path} is a spreadsheet in an unsupported format; open it in Excel or "
            "LibreOffice, and save it as .xlsx."
        )
    # A text file may lack an extension; unknown extensions may belong to programs or pictures.
    is_odd = fallback == "txt" and Path(name).suffix
    form = ENDINGS.get(Path(name).suffix, None if is_odd else fallback)
    if form is None:
        if path.is_file():
            check_is_text(path)
        raise DataError(
            f"{path} is in an unknown format; use a name that ends in one of {', '.join(ENDINGS)}",
            OR_NAME_THE_FORMAT,
            ".",
        )
    return form


def _format_of_folder(path: Path, fallback: str | None) -> str:
    from slugline.corpus.folders import files_ending, visible_paths

    if any(child.is_dir() for child in visible_paths(path)):
        return "folder"
    if fallback == "txt" and files_ending(path, ".txt"):
        return "text files"
    if files_ending(path, ".parquet"):
        return "parquet files"
    if fallback == "txt":
        raise DataError(f"{path} contains no .txt or Parquet files; pass other files individually.")
    return "folder"


def _file_rows(
    name: str, file: BinaryIO, stream: LineStream, text_format: _TextFormat
) -> RowIterator:
    limit = MAX_UNPACKED if stream.packed else math.inf
    with translate_os_errors(name), file, _gzip_errors(name):
        lines = TextLines(stream.readline, name, limit, text_format.encoding)
        yield from _line_rows(lines, text_format)


@contextlib.contextmanager
def _gzip_errors(name: str) -> Iterator[None]:
    """Convert errors about compressed data to DataError."""
    try:
        yield
    except EOFError as error:
        raise DataError(f"{name} is truncated; download or compress it again.") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{name}: damaged compressed data or trailing data ({error}); "
            "download or compress it again."
        ) from error


class _Format(NamedTuple):
    """A format; `read` takes lines, and is None if the format isn't read from lines."""

    read: Callable[[TextLines], RowIterator] | None = None
    unit: str = "line"
    has_names: bool = True


_FORMATS = {
    "csv": _Format(formats.table_rows),
    "tsv": _Format(partial(formats.table_rows, delimiter="\t")),
    "jsonl": _Format(formats.json_rows),
    "json": _Format(formats.array_rows, "item"),
    "parquet": _Format(unit="row"),
    "xlsx": _Format(unit="row"),
    "txt": _Format(partial(formats.line_rows, read=formats.read_labels), has_names=False),
    "folder": _Format(unit="file", has_names=False),
}
_FOLDERS = ("folder", "text files", "parquet files")
# Includes formats that users can't specify.
_ALL_FORMATS = {
    **_FORMATS,
    "uris": _Format(partial(formats.line_rows, read=formats.read_uris), has_names=False),
    "frame": _Format(unit="row"),
    "text files": _Format(unit="file", has_names=False),
    "labels": _Format(unit="document"),
    "parquet files": _Format(unit="row"),
}
# Spreadsheets with macros, from older Excel versions, or from other programs.
_OTHER_SPREADSHEETS = (".xls", ".xlsb", ".xlsm", ".xlt", ".xltx", ".ods", ".numbers")
#: Format by file extension.
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".txt": "txt",
    ".ft": "txt",
}
