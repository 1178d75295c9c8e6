"""Rows to a corpus: which cells are texts and topics, and what becomes of the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from slugline.corpus.columns import (
    column_names,
    columns_note,
    find_both_columns,
    find_text_columns,
    format_list,
    peek,
    row_text,
)
from slugline.corpus.corpus import Corpus
from slugline.corpus.readers import BadRow, RowReader
from slugline.corpus.rows import SourceRow, join_advice
from slugline.errors import DataError

__all__ = [
    "IS_NUMBER",
    "MAX_SKIPPED",
    "MISSING_ADVICE",
    "Columns",
    "Document",
    "LabelledRows",
    "SchemaCheck",
    "SourceSchema",
    "Texts",
    "check_row",
    "collect",
    "read_columns",
    "read_texts",
]


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
    sources: Iterable[RowReader],
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
    rows: RowReader, text: str | Sequence[str] | None, topic: str | None, skip_bad_rows: bool
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
            f"{rows.name}: {found} can't be used: {faults}; {join_advice(bad)}"
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
    row: SourceRow | BadRow, text_columns: Sequence[str], topic_column: str, missing: BadRow
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
    text, topic = row_text(row, text_columns), row.values.get(topic_column)
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


# Texts without topics, from a file of any known kind ----------------------------------------------


@dataclass(frozen=True)
class Texts:
    """Texts in the order of their source.

    Attributes
    ----------
    texts : list of str
    places : list of int or str
        Where each stands; see `slugline.corpus.rows.SourceRow`.
    n_skipped : int
        Rows without a text, or that could not be read.
    note : str
        Which column was guessed; empty if none was.
    """

    texts: list[str]
    places: list[int | str]
    n_skipped: int = 0
    note: str = ""


def read_texts(rows: RowReader, text: str | None = None) -> Texts:
    """Return the texts of rows; topics among their columns are ignored.

    Parameters
    ----------
    rows : Rows, from `slugline.corpus.readers.read_rows`
    text : str, optional
        The column that holds the text, or several with commas between them; guessed by default.

    Raises
    ------
    DataError : if there is no such column, it is unclear which one holds the text, or there is no
        text at all.
    """
    head = peek(rows)
    columns = find_text_columns(rows.name, head, text)
    if not columns:
        raise DataError(
            f"{rows.name} has {format_list(column_names(head))}, and none is known as text; name "
            "one with `text`."
        )
    texts: list[str] = []
    places: list[int | str] = []
    n_skipped = 0
    for row in itertools.chain(head, rows):
        found = row_text(row, columns) if isinstance(row, SourceRow) else None
        if isinstance(found, str) and found.strip():
            texts.append(found)
            places.append(row.at)
        else:
            n_skipped += 1
    if not texts:
        raise DataError(f"{rows.name} holds no texts; check the file, or name the column, `text`.")
    guessed = rows.has_names and text is None
    note = f"read column {columns[0]!r} as text; name another with `text`" if guessed else ""
    return Texts(texts, places, n_skipped, note)


# Labelled texts a few at a time, and what all files must have in common: for much data ------------

# Bad rows that a message can name; of more, the first ones.
_MOST_NAMED = 1000

#: Those of the text, and that of the topic.
Columns = tuple[tuple[str, ...], str]


class SourceSchema(NamedTuple):
    """What some consecutive rows say of their file.

    Attributes
    ----------
    name, unit : str
        Of the file, and what its rows are counted in; see `RowReader`.
    columns : Columns or None
        Where text and topic are, if the file names its columns.
    kinds : dict of bool to (str, int or str)
        A topic that is a number (True) or a word (False), and where it stands.
    n_rows, n_bad : int
        How many rows there were, and how many of them can't be used.
    bad : tuple of BadRow
        The first of these.
    n_lines : int
        How many lines a part of a file had that counts them from its own beginning; 0 for others.
    is_last : bool
        Whether the file ends here.
    """

    name: str
    unit: str
    columns: Columns | None
    kinds: dict[bool, tuple[str, int | str]]
    n_rows: int
    n_bad: int
    bad: tuple[BadRow, ...]
    n_lines: int = 0
    is_last: bool = True


def read_columns(
    rows: RowReader, text: str | Sequence[str] | None = None, topic: str | None = None
) -> Columns:
    """Return the columns of a file of which nothing has been read; it can't be read on.

    Raises
    ------
    DataError : if it has no documents, or columns can't be told.
    """
    return _head_of(rows, text, topic)[1]


def _head_of(
    rows: RowReader, text: str | Sequence[str] | None, topic: str | None
) -> tuple[list[SourceRow | BadRow], Columns]:
    head = peek(rows)
    if not head:
        raise DataError(f"{rows.name} holds no documents, at most a header; check the file.")
    return head, find_both_columns(rows.name, head, text, topic)


class LabelledRows:
    """The text and the topic of each row of a file, or of a part of one, once.

    Iterating ends at the first row that can't be used, unless such rows are skipped.

    Parameters
    ----------
    rows : Rows
    text, topic, skip_bad_rows
        As for `load_corpus`.
    columns : Columns, optional
        Those of the file, if this is a part of one; it may then be empty.
    is_last : bool, default True
        Whether the file ends where these rows end.

    Raises
    ------
    DataError : while iterating, if there are no documents, or columns can't be told.
    """

    def __init__(
        self,
        rows: RowReader,
        text: str | Sequence[str] | None = None,
        topic: str | None = None,
        *,
        skip_bad_rows: bool = False,
        columns: Columns | None = None,
        is_last: bool = True,
    ) -> None:
        self._rows, self._text, self._topic = rows, text, topic
        self._skip, self._columns, self._is_last = skip_bad_rows, columns, is_last
        self._ended = self.is_stopped = False
        self._forget()

    def _forget(self) -> None:
        self._kinds: dict[bool, tuple[str, int | str]] = {}
        self._bad: list[BadRow] = []
        self._n_rows = self._n_bad = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        rows = self._rows
        head: list[SourceRow | BadRow] = []
        if self._columns is None:
            head, self._columns = _head_of(rows, self._text, self._topic)
        missing = BadRow("", "no text or no topic", MISSING_ADVICE.get(rows.format, "mend them"))
        for row in itertools.chain(head, rows):
            self._n_rows += 1
            document = check_row(row, *self._columns, missing)
            if isinstance(document, Document):
                is_number = bool(IS_NUMBER.fullmatch(document.topic))
                if is_number not in self._kinds:
                    self._kinds[is_number] = document.topic, document.at
                yield document.text, document.topic
                continue
            self._n_bad += 1
            # Its cells are not named, and may be large.
            self._bad.append(document._replace(values={}))
            del self._bad[_MOST_NAMED:]
            if not self._skip:
                self.is_stopped = True
                return
        self._ended = True

    def facts(self) -> SourceSchema:
        """Return what the rows since the last call say."""
        rows = self._rows
        found = SourceSchema(
            rows.name,
            rows.unit,
            self._columns if rows.has_names else None,
            self._kinds,
            self._n_rows,
            self._n_bad,
            tuple(self._bad),
            rows.n_lines() if self._ended else 0,
            self._ended and self._is_last,
        )
        self._forget()
        return found


class SchemaCheck:
    """Holds what is found about files against what was found before, in order.

    What `load_corpus` finds out about a whole file is found out as it is read: without
    `skip_bad_rows`, the first bad row is an error; with it, too many are one at the end of the
    file.

    Parameters
    ----------
    skip_bad_rows : bool

    Attributes
    ----------
    n_skipped : int
        How many rows were left out so far.
    """

    def __init__(self, skip_bad_rows: bool = False) -> None:
        self.n_skipped = 0
        self._skip = skip_bad_rows
        self._columns: tuple[str, Columns] | None = None
        self._kinds: dict[bool, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._n_rows = self._n_bad = self._n_lines = 0
        self._bad: list[BadRow] = []

    def add(self, facts: SourceSchema) -> None:
        """Take what the next rows say.

        Raises
        ------
        DataError : if they have other columns than those before, topics of another kind, or are
            bad and not to be skipped, or if too many of the file are.
        """
        self._check_same(facts)
        for is_number, (topic, at) in facts.kinds.items():
            self._check_kind(is_number, f"{topic!r} in {facts.name}, {facts.unit} {self._at(at)}")
        self._n_rows += facts.n_rows
        self._n_bad += facts.n_bad
        self._bad += [row._replace(at=self._at(row.at)) for row in facts.bad]
        del self._bad[_MOST_NAMED:]
        if self._bad and not self._skip:
            self._refuse(facts, f"{facts.unit} {self._bad[0].at}")
        self._n_lines += facts.n_lines
        if facts.is_last:
            if self._n_bad > MAX_SKIPPED * self._n_rows:
                self._refuse(facts, f"{self._n_bad} of {self._n_rows} {facts.unit}s")
            self.n_skipped += self._n_bad
            self._begin()

    def _at(self, at: int | str) -> int | str:
        """Return where in its file something is, of which a part has told where in it."""
        return at + self._n_lines if isinstance(at, int) else at

    def _refuse(self, facts: SourceSchema, where: str) -> None:
        bad = self._bad
        if self._skip:
            way = f". `skip_bad_rows` leaves out at most {MAX_SKIPPED:.0%} of the rows"
        else:
            way = ", or go on without such rows with `skip_bad_rows`"
        first = f" at {facts.unit} {bad[0].at}" if self._skip else ""
        raise DataError(
            f"{facts.name}: {where} can't be used: {bad[0].problem}{first}; "
            f"{join_advice(bad)}{way}."
        )

    @property
    def columns(self) -> Columns | None:
        """Where texts and topics are, if that is known."""
        return None if self._columns is None else self._columns[1]

    def _check_same(self, facts: SourceSchema) -> None:
        if facts.columns is None:
            return
        if self._columns is None:
            self._columns = facts.name, facts.columns
        first, known = self._columns
        if facts.columns != known:
            raise DataError(
                f"{facts.name} has its texts and topics in "
                f"{format_list([*facts.columns[0], facts.columns[1]])}, but "
                f"{first} in {format_list([*known[0], known[1]])}; give files of the same columns, "
                "or name them with `text` and `topic`."
            )

    def _check_kind(self, is_number: bool, where: str) -> None:
        if is_number in self._kinds:
            return
        self._kinds[is_number] = where
        if len(self._kinds) > 1:
            raise DataError(
                f"topics are words and numbers, such as {self._kinds[False]} and "
                f"{self._kinds[True]}; make them all words or all numbers."
            )
