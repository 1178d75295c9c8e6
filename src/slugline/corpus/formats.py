"""Rows from CSV, TSV, JSONL and fastText lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from slugline.corpus.headers import delimiter_of
from slugline.corpus.json_array import json_items
from slugline.corpus.lines import Lines
from slugline.corpus.rows import (
    MAX_RECORD,
    BadRow,
    Items,
    Row,
    advice_on,
    checked_row,
    not_utf8,
    too_long,
)
from slugline.errors import DataError

__all__ = ["array_rows", "json_rows", "table_rows", "text_rows"]

_decode_json = msgspec.json.Decoder().decode
_decode_flat = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_LABEL = re.compile(r"__label__(\S*)\s*")


def table_rows(lines: Lines, delimiter: str | None = None) -> Items:
    """Return rows of CSV with a header; by default its most frequent of , ; and tab separates."""
    if delimiter is None:
        delimiter = delimiter_of(lines.head.decode(errors="replace"))
    records = _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        return
    if isinstance(header, BadRow):
        advice = advice_on([header])
        raise DataError(f"{lines.name}, line {header.at}: {header.problem}; {advice}.")
    names = [name.strip() for name in header.cells]
    counts = Counter(filter(None, names))
    twice = next((name for name, n in counts.items() if n > 1), None)
    if twice is not None:
        raise DataError(f"{lines.name} has two columns named {twice!r}; rename one.")
    for record in records:
        if isinstance(record, BadRow):
            yield record
        elif len(record.cells) == len(names):
            values = dict(zip(names, record.cells, strict=True))
            yield Row(record.at, values, n_bytes=record.n_bytes)
        else:
            yield BadRow(record.at, f"{len(record.cells)} cells instead of {len(names)}")


class _Record(NamedTuple):
    at: int  # the physical line on which it begins
    cells: list[str]
    n_bytes: int


def _records(lines: Lines, delimiter: str) -> Iterator[_Record | BadRow]:
    """Return the records of CSV, with the header and without empty ones."""
    # The limit belongs to the whole process, so it is never lowered.
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
            yield _Record(at, cells, lines.offset - begin)


def json_rows(lines: Lines) -> Items:
    """Return rows of one JSON object per line; blank lines are skipped."""
    for line in lines:
        if fault := lines.take_fault():
            yield fault
        elif not line.isspace():
            yield _json_row(lines.number, line, lines.n_bytes)


def array_rows(lines: Lines) -> Items:
    """Return rows of one JSON array of objects or of texts."""
    for at, item in enumerate(json_items(lines), 1):
        if len(item) > MAX_RECORD:
            yield too_long(at)
            continue
        try:
            data = item.decode()
        except UnicodeDecodeError as error:
            yield not_utf8(at, error, lines.encoding)
        else:
            yield _json_row(at, data, len(item), may_be_text=True)


def _json_row(at: int, data: str, n_bytes: int, may_be_text: bool = False) -> Row | BadRow:
    try:
        values = _json_values(data)
    except (msgspec.DecodeError, RecursionError) as error:
        return BadRow(at, f"not valid JSON ({error})")
    if may_be_text and isinstance(values, str):
        values = {"text": values}
    if isinstance(values, dict):
        return checked_row(at, values, n_bytes=n_bytes)
    return BadRow(at, "JSON, but not an object" + " or text" * may_be_text)


def _json_values(data: str) -> Any:
    """Return what JSON holds, an object as a dict; other lists and objects stay as written."""
    try:
        return _decode_flat(data)
    except msgspec.ValidationError:  # something is nested in it, or it is not an object
        whole = _decode_raw(data)
    if _first(whole) != b"{":
        return _plain(whole)
    return {name: _plain(value) for name, value in _decode_parts(whole).items()}


def _plain(value: msgspec.Raw) -> Any:
    """Return a string, number, boolean or null, and leave a list or object as it was written."""
    return value if _first(value) in (b"[", b"{") else _decode_json(value)


def _first(value: msgspec.Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def text_rows(lines: Lines) -> Items:
    """Return rows of one text per line, after any fastText labels (`__label__sport Late goal`)."""
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
        yield Row(lines.number, values, note, lines.n_bytes)
