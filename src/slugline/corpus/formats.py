"""Read rows from CSV, TSV, JSON, JSON Lines, fastText and Annif files."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from slugline.base.wording import counted
from slugline.corpus import rows
from slugline.corpus.dialects import UNUSED_CHARACTER, TableStart, find_start
from slugline.corpus.header import check_unique
from slugline.corpus.lines import TextLines
from slugline.errors import DataError

_decode_json = msgspec.json.Decoder().decode
_decode_flat = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
# Maximum number of fields in all objects of a row.
_MAX_FIELDS = 4 * rows.MAX_COLUMNS
# Maximum number of delimiters in a row, including quoted ones: splitting millions would take
# hundreds of megabytes.
_MAX_DELIMITERS = 20 * rows.MAX_COLUMNS
#: Maximum number of bytes of a JSON array, and of commas, which bounds the memory for its items.
MAX_ARRAY, _MAX_COMMAS = 1 << 27, 5_000_000
# An object whose first field is an array; captures the field name.
_WRAPPED_ARRAY = re.compile(rb'\s*+\{\s*+"([\w .-]{1,60})"\s*+:\s*+\[')
_LABEL = re.compile(r"__label__(\S*)\s*")


def bounded_rows(
    lines: TextLines, read: Callable[[TextLines], rows.RowIterator]
) -> rows.RowIterator:
    """Yield the rows of lines; `lines` raises an error after too many lines without a row."""
    for row in read(lines):
        lines.take_row()
        yield row


def table_rows(
    lines: TextLines, delimiter: str | None = None, start: TableStart | None = None
) -> rows.RowIterator:
    """Yield the rows of CSV with a header; by default, the first line determines the delimiter.

    `start` contains the delimiter and the header line, if known. Rows that are faulty or differ in
    length from the header are bad. Bad rows keep their cells, with surplus ones joined in the last.
    """
    if start is None:
        head = lines.head.decode(errors="replace")
        # A delimiter can't be guessed from a blank line.
        start = find_start(head, delimiter=delimiter if head.strip() else delimiter or ",")
    delimiter = start.delimiter or UNUSED_CHARACTER
    for _ in itertools.islice(lines, start.header_line - 1):
        lines.take_fault()
    records = _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        return
    if header.fault:
        advice = rows.join_advice([header.fault])
        problem = f"{lines.name}, line {header.at}: {header.fault.problem}; "
        raise DataError(problem, advice, ".")
    names = _distinct_blanks([name.strip() for name in header.cells])
    check_unique(lines.name, filter(str.strip, names))
    for record in records:
        if not record.fault and len(names) > 1 and record.cells == [""]:
            continue
        # A faulty row may lack cells.
        n_cells = len(record.cells)
        cells = [*record.cells[: len(names) - 1], delimiter.join(record.cells[len(names) - 1 :])]
        values = dict(itertools.zip_longest(names, cells, fillvalue=""))
        if record.fault:
            yield record.fault._replace(values=values, n_bytes=record.n_bytes)
        elif n_cells == len(names):
            note = _ROWS_IN_QUOTES if _has_rows_in_quotes(record, delimiter) else ""
            yield rows.SourceRow(record.at, values, note, n_bytes=record.n_bytes)
        else:
            problem = f"{counted(n_cells, 'cell')} instead of {len(names):,}"
            bad = rows.BadRow(record.at, problem, values=values, n_bytes=record.n_bytes)
            if len(record.lines) > 1:
                bad = bad._replace(problem=f"{problem}, {_IN_LINES}", advice=_MEND_QUOTE)
            yield bad


# An unmatched opening quote makes all lines up to the next quote part of its cell.
_LONE_QUOTE = "an opening quote that is closed lines later, which merges rows into one cell"
_IN_LINES = "in a row of several lines, whose opening quote may be closed too late"
_MEND_QUOTE = "close or delete the opening quote"
_ROWS_IN_QUOTES = (
    "a quoted cell of several lines that look like rows of the table; if they are, close or delete "
    "its opening quote"
)
# Minimum number of lines; fewer may look like rows by chance.
_MIN_ROWS_IN_QUOTES = 4


def _has_rows_in_quotes(record: _Record, delimiter: str) -> bool:
    """Return True if each line of a record seems to be a separate row."""
    if len(record.cells) < 2 or len(record.lines) < _MIN_ROWS_IN_QUOTES:
        return False
    return all(line.count(delimiter) == len(record.cells) - 1 for line in record.lines)


def _distinct_blanks(names: list[str]) -> list[str]:
    """Return the column names, with distinct blank names for unnamed columns."""
    n_blank = itertools.count()
    return [name or _blank_name(next(n_blank)) for name in names]


def _blank_name(number: int) -> str:
    """Return a blank name, of tabs and spaces because thousands of spaces would take gigabytes."""
    return "\t" * (number // 200) + " " * (number % 200)


class _Record(NamedTuple):
    at: int  # number of its first physical line
    cells: list[str]
    n_bytes: int
    lines: Sequence[str]
    fault: rows.BadRow | None = None


def _records(lines: TextLines, delimiter: str) -> Iterator[_Record]:
    """Yield the records of CSV, including the header; skip empty ones unless they are quoted."""
    # The limit is process-wide, so never lower it.
    csv.field_size_limit(max(csv.field_size_limit(), rows.MAX_RECORD))
    at = begin = n_delimiters = 0
    pieces: list[str] = []  # the lines of the record

    def bounded() -> Iterator[str]:
        nonlocal n_delimiters
        for line in lines:
            n_delimiters += line.count(delimiter)
            _check_size(lines, at, lines.offset - begin, n_delimiters)
            pieces.append(line)
            yield line

    reader = csv.reader(bounded(), delimiter=delimiter, strict=True)
    while True:
        at, begin, n_delimiters = lines.number + 1, lines.offset, 0
        pieces.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if lines.exhausted:
                raise DataError(
                    f"{lines.name}, line {at}: unclosed quote in the row that starts here; close "
                    "or delete it."
                ) from error
            fault = lines.take_fault() or _quote_fault(at, len(pieces))
            cells = _split_leniently("".join(pieces), delimiter)
            yield _Record(at, cells, lines.offset - begin, pieces.copy(), fault)
            continue
        if cells is None:
            return
        found = lines.take_fault()
        if found is None and len(cells) > rows.MAX_COLUMNS:
            found = rows.BadRow(at, f"more than {rows.MAX_COLUMNS:,} cells")
        if found or any(map(str.strip, cells)) or cells == [""]:
            yield _Record(at, cells, lines.offset - begin, pieces.copy(), found)


def _check_size(lines: TextLines, at: int, n_bytes: int, n_delimiters: int) -> None:
    """Raise DataError for a record that would take too much memory."""
    if n_bytes > rows.MAX_RECORD:
        excess, advice = f"{rows.MAX_RECORD:,} bytes", "close its quotes, or split it"
    elif n_delimiters > _MAX_DELIMITERS:
        excess, advice = f"{_MAX_DELIMITERS:,} cells", "split it"
    else:
        return
    raise DataError(
        f"{lines.name}, line {at}: the row that starts here has more than {excess}; {advice}."
    )


def _quote_fault(at: int, n_lines: int) -> rows.BadRow:
    """Return a bad row for a record that the csv module can't split."""
    if n_lines > 1:
        return rows.BadRow(at, _LONE_QUOTE, _MEND_QUOTE)
    return rows.BadRow(at, "text after a closing quote, or a lone carriage return")


def _split_leniently(record: str, delimiter: str) -> list[str]:
    """Split a faulty record into cells, keeping misplaced quotes."""
    end = re.escape(delimiter)
    pattern = rf'(?:"([^"]*(?:""[^"]*)*)"|([^{end}]*))({end}|\Z)'
    cells = []
    for match in re.finditer(pattern, record.rstrip("\r\n")):
        cells.append((match[2] or "") if match[1] is None else match[1].replace('""', '"'))
        if not match[3]:
            break
    return cells


def json_rows(lines: TextLines) -> rows.RowIterator:
    """Yield the rows of JSON Lines, one object per line; blank lines are skipped."""
    for line in lines:
        fault = lines.take_fault()
        if fault or not line.isspace():
            row = _json_row(lines.number, line, lines.n_bytes)
            yield fault._replace(values=row.values, n_bytes=lines.n_bytes) if fault else row


def array_rows(lines: TextLines) -> rows.RowIterator:
    """Yield the rows of a JSON array of objects or of texts, which is loaded as a whole.

    Raises DataError if the stream is not a valid array, or is too large.
    """
    for at, item in enumerate(_array_items(lines), 1):
        if len(memoryview(item)) > rows.MAX_RECORD:
            yield rows.too_long_row(at)
            continue
        data = bytes(item)
        try:
            yield _json_row(at, data.decode(), len(data), may_be_text=True)
        except UnicodeDecodeError as error:
            yield rows.undecodable_row(at, error, lines.encoding)


def _array_items(lines: TextLines) -> list[msgspec.Raw]:
    data = bytearray()
    n_commas = 0
    for piece in lines.pieces():
        data += piece
        n_commas += piece.count(b",")
        if len(data) > MAX_ARRAY or n_commas > _MAX_COMMAS:
            raise DataError(
                f"{lines.name} has more than {MAX_ARRAY:,} bytes or {_MAX_COMMAS:,} commas, too "
                "many for a JSON array; write one object on each line, for example with "
                "jq -c .[], to a file that ends in .jsonl."
            )
    if field := _WRAPPED_ARRAY.match(data):
        name = field[1].decode(errors="replace")
        raise DataError(
            f"{lines.name} is a JSON object with an array in its field {name!r}; save that "
            f"array alone, for example with jq '.[\"{name}\"]'."
        )
    if re.match(rb"\s*+\[", data) is None:
        raise DataError(
            f"{lines.name} is not a JSON array; put [ and ] around its objects and commas between "
            "them. If each line is one object, use a name that ends in .jsonl."
        )
    try:
        return _decode_array(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"{lines.name} is not valid JSON ({error}); fix it.") from error


def _json_row(
    at: int, data: str, n_bytes: int, may_be_text: bool = False
) -> rows.SourceRow | rows.BadRow:
    # A quote that belongs to a text is escaped.
    if data.count('":') - data.count('\\":') > _MAX_FIELDS:
        return rows.BadRow(at, f"objects of more than {_MAX_FIELDS:,} fields")
    try:
        values = _json_values(data)
    except msgspec.DecodeError as error:
        return rows.BadRow(at, f"not valid JSON ({error})")
    except UnicodeEncodeError:
        return rows.BadRow(at, "not valid JSON (an unpaired surrogate)")
    except RecursionError:
        return rows.BadRow(at, "not valid JSON (nested too deeply)")
    if may_be_text and isinstance(values, str):
        values = {"text": values}
    if isinstance(values, dict) and len(values) > rows.MAX_COLUMNS:
        return rows.BadRow(at, f"an object of more than {rows.MAX_COLUMNS:,} fields")
    if isinstance(values, dict):
        return rows.make_row(at, values, n_bytes=n_bytes)
    return rows.BadRow(at, "JSON, but not an object" + " or text" * may_be_text)


def _json_values(data: str) -> Any:
    """Decode a JSON object as a dict, or another value as is; nested values stay JSON."""
    try:
        return _decode_flat(data)
    except msgspec.ValidationError:  # nested, or not an object
        whole = _decode_raw(data)
    if _first(whole) != b"{":
        return _plain(whole)
    return {name: _plain(value) for name, value in _decode_parts(whole).items()}


def _plain(value: msgspec.Raw) -> Any:
    """Decode a string, number, boolean or null; lists and objects stay JSON."""
    return value if _first(value) in (b"[", b"{") else _decode_json(value)


def _first(value: msgspec.Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def read_labels(line: str) -> tuple[str, Any]:
    """Parse a text after any fastText labels, such as `__label__sport Late goal`."""
    topics, end = [], 0
    while label := _LABEL.match(line, end):
        topics.append(label[1])
        end = label.end()
    return line[end:], topics if len(topics) > 1 else next(iter(topics), None)


_URIS = rb"[^\t\n]+\t\s*(<[a-zA-Z][\w+.-]*:[^<>\s]*>\s*)+"


def begins_with_uris(head: bytes) -> bool:
    """Return True if the first line is in Annif's format: a text, a tab, URIs in angle brackets."""
    return re.fullmatch(_URIS, head.partition(b"\n")[0]) is not None


def read_uris(line: str) -> tuple[str, Any]:
    """Parse a text, a tab and the URIs of its topics in angle brackets."""
    text, tab, uris = line.partition("\t")
    topics = [uri.removeprefix("<").removesuffix(">") for uri in uris.split()]
    return text, topics if tab else None


def line_rows(lines: TextLines, read: Callable[[str], tuple[str, Any]]) -> rows.RowIterator:
    """Yield a row for each line: the text and topics that `read` returns.

    A line with several labels has a list as its topic.
    """
    for line in lines:
        fault = lines.take_fault()
        values = dict(zip(("text", "topic"), read(line.rstrip("\r\n")), strict=True))
        if fault:
            yield fault._replace(values=values, n_bytes=lines.n_bytes)
        else:
            yield rows.SourceRow(lines.number, values, n_bytes=lines.n_bytes)
