"""Dialects of tables: delimiter, header line, encoding and quoting."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from slugline.corpus.header import (
    NO_HINTS,
    TEXT_NAMES,
    HeaderHints,
    HeaderRow,
    empty_header_row,
    find_header,
    has_columns,
)

_DELIMITERS = ",;\t|"
#: Delimiter of a single-column table, whose texts may contain any character.
ONE_COLUMN = ""
#: Delimiter passed to the csv module for a single-column table: a private-use character.
UNUSED_CHARACTER = "\uf8ff"
# Characters of a line without cells.
_BLANKS = ' \t\r,;|"'
# Number of characters and of rows examined to guess the delimiter.
_N_EXAMINED, _N_ROWS = 1 << 16, 50
# If the header has spaces after its commas, commas are the delimiter only if at least this fraction
# of rows is as wide as the header.
_MIN_REGULARITY = 0.5


class TableStart(NamedTuple):
    """The delimiter of a table, or `ONE_COLUMN`, and the 1-based line of its header."""

    delimiter: str
    header_line: int = 1


def find_start(
    table: str,
    hints: HeaderHints = NO_HINTS,
    delimiter: str | None = None,
    likely: str | None = None,
    name: str = "the table",
) -> TableStart:
    r"""Detect the delimiter and the header line of a table from its first lines.

    `find_header` locates the header for each candidate delimiter. If several delimiters split their
    headers, the one that splits most rows into as many cells as its header is chosen.

    Parameters
    ----------
    table : str
        The first lines of the table.
    hints : HeaderHints, optional
        Delimiters whose header has all named columns are preferred.
    delimiter : str, optional
        The delimiter, if known.
    likely : str, optional
        Delimiter of a model's training data.
    name : str
        Name of the source in messages.

    Raises
    ------
    DataError : if the header line given by the user is blank.

    >>> [find_start(table).delimiter for table in ("id;text", "Nachricht", "a,b;c\n1;2")]
    [';', '', ';']
    >>> find_start("Export of March 3\n\nid;text\n1;a\n")
    TableStart(delimiter=';', header_line=3)
    """
    first, _, below = table.partition("\n")
    n_above = 0
    if separator := named_delimiter(first):
        delimiter, table, n_above = delimiter or separator, below, 1
    if hints.row is not None:
        table = table.split("\n", hints.row - 1 - n_above)[-1] if hints.row > n_above else table
        n_above = max(hints.row - 1, n_above)
        if not table.partition("\n")[0].strip(_BLANKS):
            raise empty_header_row(name, hints.row)
    candidates = [delimiter] if delimiter is not None else [*(likely or ()), *_DELIMITERS]
    tables: dict[str, list[HeaderRow]] = {}
    for candidate in dict.fromkeys(candidates):
        records = _first_records(table, candidate or UNUSED_CHARACTER)
        index = 0 if hints.row is not None else find_header(records, hints)
        tables[candidate] = records[index:]
        if index == 0 and records:  # blank lines above the header are not titles
            tables[candidate][0] = records[0]._replace(at=1)
    found = _choose_delimiter(tables, hints) if delimiter is None else delimiter
    records = tables.get(found, [])
    return TableStart(found, n_above + (records[0].at if records else 1))


def _choose_delimiter(tables: Mapping[str, Sequence[HeaderRow]], hints: HeaderHints) -> str:
    """Choose a delimiter, given the records for each candidate, header first."""
    wide = [delimiter for delimiter, rows in tables.items() if rows and rows[0].width > 1]
    for columns in (hints.named, hints.expected):
        for delimiter in wide if columns else ():
            if has_columns(tables[delimiter][0].names(), columns):
                return delimiter
    if not wide:
        return ONE_COLUMN
    fits = {delimiter: _regularity(tables[delimiter]) for delimiter in wide}
    best = max(wide, key=lambda delimiter: (fits[delimiter], tables[delimiter][0].width))
    # A header such as "Title, in full" is probably a single name, not two columns.
    others = tables[best][0].cells[1:]
    is_one_name = best == "," and all(str(cell).startswith(" ") for cell in others)
    return ONE_COLUMN if is_one_name and fits[best] < _MIN_REGULARITY else best


def _first_records(table: str, delimiter: str) -> list[HeaderRow]:
    """Return the first non-empty records, up to one that the csv module can't read."""
    records: list[HeaderRow] = []
    lines = io.StringIO(table[:_N_EXAMINED], newline="\n")
    with contextlib.suppress(csv.Error):
        reader, at = csv.reader(lines, delimiter=delimiter, strict=True), 1
        for cells in reader:
            if any(map(str.strip, cells)):
                records.append(HeaderRow(at, cells, len(cells)))
            at = reader.line_num + 1
            if len(records) > _N_ROWS:
                break
    return records


def _regularity(rows: Sequence[HeaderRow]) -> float:
    """Return the fraction of rows that have as many cells as the header; 1 without rows."""
    header, *others = rows
    return sum(row.width == header.width for row in others) / len(others) if others else 1.0


def named_delimiter(line: str) -> str | None:
    r"""Return the delimiter declared by a line such as sep=; before the header, or None.

    Excel reads and writes such lines.

    >>> [named_delimiter(line) for line in ("sep=;\r\n", "id;text")]
    [';', None]
    """
    match = re.fullmatch(r'"?sep=([,;|\t])"?\r?\n?', line, re.IGNORECASE)
    return match[1] if match else None


def decode_head(head: bytes, encoding: str | None) -> str:
    """Decode the first characters of a table, without byte-order marks."""
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")("replace")
    try:
        return decoder.decode(head).lstrip("\ufeff")
    except UnicodeError:  # for example UTF-16 without a mark; reported when the rows are read
        return ""


def is_tab_header(table: str) -> bool:
    """Return True if the first line is a header with tabs, as in Excel's "Unicode text"."""
    line = table.partition("\n")[0]
    return "\t" in line and find_start(line).delimiter == "\t" and is_header(line)


def is_header(line: str) -> bool:
    """Return True if a line looks like a table's header rather than a text.

    A header has several distinct names, including a common one for texts, and no spaces after
    commas.

    >>> [is_header(line) for line in ("id,text", "Rates rose, text follows", "text")]
    [True, False, False]
    """
    try:
        delimiter = find_start(line).delimiter or ","
        cells = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return False
    names = [cell.lower() for cell in cells]
    is_plain = all(cells) and cells == [cell.strip() for cell in cells]
    are_distinct = len({*names}) == len(names) > 1
    return is_plain and are_distinct and not ({*names}.isdisjoint(TEXT_NAMES))


class TableDialect(NamedTuple):
    """The dialect of a CSV file.

    Attributes
    ----------
    delimiter : str
    encoding : str
    has_mark : bool
        True to write a byte-order mark; UTF-16 always has one.
    newline : str
    is_quoted : bool
        True if every cell is quoted, even where not required.
    columns : tuple of str
        Columns of the header, if detected from a file.
    preamble : str
        Lines above the header, including line ends.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    has_mark: bool = False
    newline: str = "\n"
    is_quoted: bool = False
    columns: tuple[str, ...] = ()
    preamble: str = ""

    def with_characters(self, names: Iterable[object]) -> TableDialect:
        """Return the dialect, changed to UTF-8 with a mark if it can't encode all names."""
        try:
            "".join(map(str, names)).encode(self.encoding)
        except UnicodeEncodeError:
            return self._replace(encoding="utf-8", has_mark=True)
        return self


def detect_dialect(
    head: str, start: TableStart, encoding: str, likely: str | None = None
) -> TableDialect:
    """Detect the dialect of a table, except for a byte-order mark.

    Parameters
    ----------
    head : str
        First lines of the table.
    start : TableStart
    encoding : str
        Encoding of the original file.
    likely : str, optional
        Delimiter of another table. If this table has a single column, it separates columns added
        later; a comma by default.
    """
    first = [*io.StringIO(head, newline="\n")]
    above, below = first[: start.header_line - 1], first[start.header_line - 1 :]
    if above and named_delimiter(above[0]):
        above = above[1:]
    table = "".join(below)
    records = _first_records(table, start.delimiter or UNUSED_CHARACTER)[:2]
    header = records[0].names() if records else []
    return TableDialect(
        delimiter=start.delimiter or likely or ",",
        encoding=encoding,
        newline="\r\n" if (below or first)[0].endswith("\r\n") else "\n",
        is_quoted=_is_quoted(table, records, start.delimiter or ","),
        columns=tuple(header),
        preamble="".join(above),
    )


def _is_quoted(table: str, records: Sequence[HeaderRow], delimiter: str) -> bool:
    """Return True if all cells of the first records are quoted, even where not required."""
    quoted = io.StringIO()
    csv.writer(quoted, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        row.cells for row in records
    )
    start = quoted.getvalue().replace("\r\n", "\n").rstrip("\n")
    return bool(start) and table.replace("\r\n", "\n").startswith(start)
