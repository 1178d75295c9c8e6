"""Rows from CSV, TSV, JSONL and fastText lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from slugline.corpus.lines import Lines
from slugline.corpus.rows import (
    MAX_RECORD,
    BadRow,
    Items,
    Row,
    checked_row,
)
from slugline.errors import DataError

__all__ = ["json_rows", "table_rows", "text_rows"]

_LABEL = "__label__"


# Formats


def table_rows(lines: Lines, delimiter: str | None = None) -> Items:
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
    twice = next((name for name in names if name and names.count(name) > 1), None)
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
    """Give the records of CSV, the header among them; blank lines are none."""
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
        elif cells:
            yield _Record(at, cells)


def json_rows(lines: Lines) -> Items:
    """One JSON object a line; blank lines are none."""
    decode = msgspec.json.Decoder().decode
    for line in lines:
        if fault := lines.take_fault():
            yield fault
            continue
        if line.isspace():
            continue
        try:
            values = decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield BadRow(lines.number, f"no valid JSON ({error})")
            continue
        if isinstance(values, dict):
            yield checked_row(lines.number, values)
        else:
            yield BadRow(lines.number, "JSON, but no object")


def text_rows(lines: Lines) -> Items:
    """One text a line, after as many fastText labels as there are (`__label__sport Late goal`)."""
    for line in lines:
        if fault := lines.take_fault():
            yield fault
            continue
        text, topics = line.rstrip("\r\n"), []
        while text.startswith(_LABEL):
            label, *rest = text.split(maxsplit=1)
            topics.append(label.removeprefix(_LABEL))
            text = rest[0] if rest else ""
        note = "several topics on one line; the first counts" if len(topics) > 1 else ""
        yield Row(lines.number, {"text": text, "topic": topics[0] if topics else None}, note)
