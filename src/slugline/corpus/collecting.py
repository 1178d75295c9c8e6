"""Rows to a corpus: which cells are texts and topics, and what becomes of the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from slugline.corpus.columns import columns_note, find_both_columns, peek, text_of
from slugline.corpus.corpus import Corpus
from slugline.corpus.readers import BadRow, Rows
from slugline.corpus.rows import Row, advice_on
from slugline.errors import DataError

__all__ = ["IS_NUMBER", "MAX_SKIPPED", "MISSING_ADVICE", "Document", "check_row", "collect"]

#: How many kinds of faults a message names, how many places of each, and how many sources.
N_FAULTS, N_PLACES, N_SOURCES = 3, 5, 3
#: The share of the rows of a source that may be skipped. If more can't be used, something is wrong
#: with all of it, and a model of the rest would not be what the user expects.
MAX_SKIPPED = 0.1
MISSING_ADVICE = {
    "txt": "begin each line with __label__ and its topic",
    "folder": "fill them",
}
IS_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class Document(NamedTuple):
    """A text and its topic, where they stand, and what the reader decided about them."""

    at: int | str
    text: str
    topic: str
    note: str


class _Source(NamedTuple):
    """What one file, folder or stream holds."""

    name: str
    unit: str
    documents: list[Document]
    n_skipped: int
    notes: list[str]


def collect(
    sources: Iterable[Rows],
    text: str | Sequence[str] | None,
    topic: str | None,
    skip_bad_rows: bool,
) -> Corpus:
    """Return one corpus of all sources; see `load_corpus` for the errors."""
    found = [_collect_one(rows, text, topic, skip_bad_rows) for rows in sources]
    _check_alike(found)
    documents = [document for source in found for document in source.documents]
    return Corpus(
        [document.text for document in documents],
        [document.topic for document in documents],
        _joined_names([Path(source.name).name or source.name for source in found]),
        tuple(_joined_notes(found)),
        sum(source.n_skipped for source in found),
        *_places(found),
    )


def _places(sources: Sequence[_Source]) -> tuple[list[int | str], str]:
    """Return where each document stands, and the unit; with the names of several sources."""
    if len(sources) == 1:
        return [document.at for document in sources[0].documents], sources[0].unit
    return [
        f"{s.name}, {s.unit} {document.at}" for s in sources for document in s.documents
    ], "place"


def _collect_one(
    rows: Rows, text: str | Sequence[str] | None, topic: str | None, skip_bad_rows: bool
) -> _Source:
    head = peek(rows)
    if not head:
        raise DataError(f"{rows.name} holds no documents, at most a header; check the file.")
    columns = find_both_columns(rows.name, head, text, topic)
    missing = BadRow("", "no text or no topic", MISSING_ADVICE.get(rows.format, "mend them"))
    checked = [check_row(row, *columns, missing) for row in itertools.chain(head, rows)]
    documents, odd = _part_odd_topics([item for item in checked if isinstance(item, Document)])
    bad = [item for item in checked if isinstance(item, BadRow)] + odd
    found = f"{len(bad)} of {len(checked)} {'files' if rows.unit == 'file' else 'rows'}"
    faults = "; ".join(_grouped(((row.problem, row.at) for row in bad), rows.unit))
    few = len(bad) <= MAX_SKIPPED * len(checked)
    if bad and not (skip_bad_rows and few):
        raise DataError(
            f"{rows.name}: {found} can't be used: {faults}; {advice_on(bad)}"
            f"{_way_on(few, skip_bad_rows)}."
        )
    notes = _grouped(((d.note, d.at) for d in documents if d.note), rows.unit)
    if rows.has_names and None in (text, topic):
        notes.insert(0, columns_note(*columns))
    if rows.note:
        notes.insert(0, rows.note)
    if bad:
        notes.append(f"skipped {found}: {faults}")
    return _Source(rows.name, rows.unit, documents, len(bad), notes)


def _way_on(few: bool, skip_bad_rows: bool) -> str:
    """Return how to go on without bad rows, or why that is not possible."""
    if few:
        return ", or go on without them with `skip_bad_rows`"
    if skip_bad_rows:
        return f". `skip_bad_rows` leaves out at most {MAX_SKIPPED:.0%} of the rows"
    return ""


def _check_alike(sources: Sequence[_Source]) -> None:
    """Make sure that topics are numbers in all sources or in none."""
    first, *others = [(source.name, source.documents[0].topic) for source in sources]
    is_number = bool(IS_NUMBER.fullmatch(first[1]))
    other = next((o for o in others if bool(IS_NUMBER.fullmatch(o[1])) != is_number), None)
    if other is not None:
        raise DataError(
            f"{first[0]} has topics like {first[1]!r}, but {other[0]} has some like {other[1]!r}; "
            "make all topics words or all numbers."
        )


def _joined_names(names: Sequence[str]) -> str:
    n_more = len(names) - N_SOURCES
    if n_more > 0:
        return f"{', '.join(names[:N_SOURCES])} and {n_more} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _joined_notes(sources: Sequence[_Source]) -> list[str]:
    """Return the notes, each once, with the names of the sources if it is about some of them."""
    named: dict[str, list[str]] = {}
    for source in sources:
        for note in source.notes:
            named.setdefault(note, []).append(source.name)
    return [
        note if len(names) == len(sources) else f"{_joined_names(names)}: {note}"
        for note, names in named.items()
    ]


def check_row(
    row: Row | BadRow, text_columns: Sequence[str], topic_column: str, missing: BadRow
) -> Document | BadRow:
    """Return the document of a row, or why it can't be used.

    Parameters
    ----------
    text_columns, topic_column
        See `slugline.corpus.columns.find_both_columns`.
    missing : BadRow
        What a row without text or topic is, but for its place.
    """
    if isinstance(row, BadRow):
        return row
    text, topic = text_of(row, text_columns), row.values.get(topic_column)
    if text is not None and not isinstance(text, str):
        return BadRow(row.at, f"{_kind(text)} for a text")
    if isinstance(topic, msgspec.Raw | list | dict):
        return BadRow(row.at, f"{_kind(topic)} for a topic")
    name = _topic_name(topic)
    if not text or text.isspace() or not name:
        return missing._replace(at=row.at)
    return Document(row.at, text, name, row.note)


def _kind(value: object) -> str:
    if isinstance(value, msgspec.Raw):
        return "an object" if bytes(memoryview(value)[:1]) == b"{" else "a list"
    kinds = {int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def _topic_name(value: object) -> str:
    """Return the same name for 3 and 3.0, the JSON name of true, and none for null and NaN."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _part_odd_topics(documents: list[Document]) -> tuple[list[Document], list[BadRow]]:
    """Separate the rarer kind from the rest, where some topics are numbers and some are words."""
    numbers = {topic for topic in {d.topic for d in documents} if IS_NUMBER.fullmatch(topic)}
    kinds = {
        "number": [d for d in documents if d.topic in numbers],
        "word": [d for d in documents if d.topic not in numbers],
    }
    rare, common = sorted(kinds, key=lambda kind: len(kinds[kind]))
    if not kinds[rare]:
        return documents, []
    odd, rest = kinds[rare], kinds[common]
    problem = f"a {rare} as topic, such as {odd[0].topic!r}, where most are like {rest[0].topic!r}"
    advice = "make all topics words or all numbers"
    return rest, [BadRow(d.at, problem, advice) for d in odd]


def _grouped(remarks: Iterable[tuple[str, int | str]], unit: str) -> list[str]:
    """Write each remark once, with the first places where it applies, such as (lines 4, 17)."""
    places: dict[str, list[int | str]] = {}
    for remark, at in remarks:
        places.setdefault(remark, []).append(at)
    said = [f"{remark} ({_named(ats, unit)})" for remark, ats in places.items()]
    n_more = len(said) - N_FAULTS
    return said if n_more <= 0 else [*said[:N_FAULTS], f"{n_more} more of other kinds"]


def _named(places: Sequence[int | str], unit: str) -> str:
    shown = ", ".join(map(str, places[:N_PLACES]))
    n_more = len(places) - N_PLACES
    more = f" and {n_more} more" if n_more > 0 else ""
    return f"{unit}{'s' if len(places) > 1 else ''} {shown}{more}"
