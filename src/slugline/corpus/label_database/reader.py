"""Reads the labels of each document from a label database, page by page."""

from __future__ import annotations

import functools
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import Database, from_cell, is_time, to_cell
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.codebook import (
    CODEBOOK_CHANGES,
    Codebook,
    CodebookChange,
    CodebookTopic,
)
from slugline.corpus.label_database.records import (
    CODER_KINDS,
    DECISION_KINDS,
    SELECTION_REASONS,
    SKIP_REASONS,
    Assignment,
    Coder,
    CoderKind,
    DecisionKind,
    DocumentLabels,
    LabelDecision,
    ModelGuess,
    Selection,
    SelectionReason,
    Settlement,
    SkipReason,
    StoredDocument,
)
from slugline.corpus.label_database.tables import (
    ASSIGNMENT_COLUMNS,
    DECISION_COLUMNS,
    DOCUMENT_COLUMNS,
    N_ASSIGNMENT_COLUMNS,
    SETTLEMENT_COLUMNS,
    TEXT_COLUMNS,
)
from slugline.errors import DataError

# The largest integer of SQLite, as a bound where none is asked for.
_MAX_NUMBER = (1 << 63) - 1
# The largest number of documents, and of bytes of their texts and columns, that are read together.
_PAGE_ROWS, _PAGE_BYTES = 500, 4 << 20
# Errors of decoding a damaged cell.
CELL_ERRORS = (ValueError, TypeError, KeyError, OverflowError, msgspec.DecodeError, DataError)
_decode_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_strings = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_guess = msgspec.json.Decoder(ModelGuess).decode
_decode_columns = msgspec.json.Decoder(dict[str, Any]).decode


class LabelReader:
    """Reads labels through one connection, with the codebook and coders of one moment.

    Parameters
    ----------
    database : Database
        With `FORMAT`.
    connection : sqlite3.Connection
        From `Database.reading` or `Database.writing`, and used no longer than that.
    """

    def __init__(self, database: Database, connection: sqlite3.Connection) -> None:
        self._database, self.connection = database, connection

    @functools.cached_property
    def coders(self) -> dict[int, Coder]:
        """All coders by number."""
        return read_coders(self._database, self.connection)

    @functools.cached_property
    def codebook(self) -> Codebook:
        """The codebook."""
        return read_codebook(self._database, self.connection, self.coders)

    def coder(self, name: str) -> Coder:
        """Return a coder by name; DataError if there is none."""
        for coder in self.coders.values():
            if coder.name == name:
                return coder
        raise DataError(f"{self._database.path} has no coder {short_repr(name)}; add it first.")

    def topic(self, name: str) -> CodebookTopic:
        """Return a topic in use by its name, or a former name; DataError if there is none."""
        topic = self.codebook.find(name)
        if topic is None:
            raise DataError(
                f"the codebook has no topic {short_repr(name)}; add it first, or choose another."
            )
        return topic

    def setting(self, name: str) -> str | None:
        """Return the latest value of a setting; None if there is none."""
        row = self.connection.execute(
            "SELECT value FROM settings WHERE name = ? ORDER BY id DESC LIMIT 1", (to_cell(name),)
        ).fetchone()
        try:
            return None if row is None else from_cell(row[0])
        except ValueError as error:
            raise self._database.damaged_row(f"setting {name!r}", error) from error

    def text_columns(self) -> tuple[str, ...]:
        """Return the columns of the text in the user's file; ("text",) if none is named."""
        stored = self.setting(TEXT_COLUMNS)
        try:
            return (_decode_strings(stored) if stored is not None else ()) or ("text",)
        except msgspec.DecodeError as error:
            raise self._database.damaged_row(f"setting {TEXT_COLUMNS!r}", error) from error

    def assignment(self, cells: Sequence[Any]) -> Assignment:
        """Return the assignment in a row of `ASSIGNMENT_COLUMNS`; StoreError if it is damaged."""
        # In the order of `ASSIGNMENT_COLUMNS`.
        number, at, coder, document, reason = cells[:5]
        probability, n_candidates, guess, is_shown, original = cells[5:]
        try:
            if probability is not None and not (
                isinstance(probability, float) and 0 < probability <= 1
            ):
                raise ValueError(f"{short_repr(probability)} is not a probability")
            if n_candidates is not None and not (
                isinstance(n_candidates, int) and n_candidates > 0
            ):
                raise ValueError(f"{short_repr(n_candidates)} is not a number of candidates")
            if original is not None and not isinstance(original, int):
                raise ValueError("the number of another assignment is invalid")
            return Assignment(
                number,
                _check_time(at),
                self.coders[coder],
                int(document),
                Selection(
                    cast("SelectionReason", _check_choice(reason, SELECTION_REASONS)),
                    probability,
                    n_candidates,
                    None if guess is None else _decode_guess(guess),
                    bool(is_shown),
                    original,
                ),
            )
        except CELL_ERRORS as error:
            raise self._database.damaged_row(f"assignment {number}", error) from error

    def decision(self, cells: Sequence[Any]) -> LabelDecision:
        """Return the decision in a row of `ASSIGNMENT_COLUMNS` and `DECISION_COLUMNS`."""
        assignment = self.assignment(cells[:N_ASSIGNMENT_COLUMNS])
        number, at, kind, topics, reason, note, is_shown, supersedes = cells[N_ASSIGNMENT_COLUMNS:]
        try:
            ids = _decode_numbers(topics)
            return LabelDecision(
                number,
                _check_time(at),
                assignment,
                cast("DecisionKind", _check_choice(kind, DECISION_KINDS)),
                self.codebook.current_names(ids),
                ids,
                None if reason is None else cast("SkipReason", _check_choice(reason, SKIP_REASONS)),
                None if note is None else from_cell(note),
                bool(is_shown),
                int(supersedes) or None,
            )
        except CELL_ERRORS as error:
            raise self._database.damaged_row(f"decision {number}", error) from error

    def settlement(self, cells: Sequence[Any]) -> Settlement:
        """Return the settlement in a row of `SETTLEMENT_COLUMNS`."""
        number, at, document, person, kind, topics, note, supersedes = cells
        try:
            return Settlement(
                number,
                _check_time(at),
                int(document),
                self.coders[person],
                cast("DecisionKind", _check_choice(kind, DECISION_KINDS)),
                self.codebook.current_names(_decode_numbers(topics)),
                None if note is None else from_cell(note),
                int(supersedes) or None,
            )
        except CELL_ERRORS as error:
            raise self._database.damaged_row(f"settlement {number}", error) from error

    def document(self, cells: Sequence[Any]) -> StoredDocument:
        """Return the document in a row of `DOCUMENT_COLUMNS`."""
        number, at, key, replaces, columns, text = cells
        try:
            return StoredDocument(
                number,
                _check_time(at),
                from_cell(key),
                from_cell(text),
                _decode_columns(columns),
                int(replaces) or None,
            )
        except (*CELL_ERRORS, RecursionError) as error:
            raise self._database.damaged_row(f"document {number}", error) from error

    def last_withdrawn(self) -> dict[int, int]:
        """Return, by coder, the number of the last decision that a withdrawal covers."""
        last: dict[int, int] = {}
        for coder, decision in self.connection.execute(
            "SELECT coder, last_decision FROM withdrawals WHERE restores = 0 AND id NOT IN "
            "(SELECT restores FROM withdrawals)"
        ):
            if not isinstance(decision, int):
                raise self._database.damaged_row("a withdrawal", "a number is invalid")
            last[coder] = max(decision, last.get(coder, 0))
        return last

    def page(
        self, after: int, last: int | None = None, *, has_texts: bool = True
    ) -> list[DocumentLabels]:
        """Return documents with numbers above `after`, up to `last`.

        A page has up to 500 documents, or 4 MiB of texts and columns.

        Without `has_texts`, texts and columns are left empty.
        """
        documents, replaced, n_bytes = list[StoredDocument](), set[int](), 0
        columns = DOCUMENT_COLUMNS if has_texts else "id, at, key, replaces, x'7b7d', x''"
        cursor = self.connection.execute(
            f"SELECT {columns}, EXISTS (SELECT 1 FROM documents AS other "  # noqa: S608
            "WHERE other.key = documents.key AND other.replaces = documents.id) "
            "FROM documents WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (after, _MAX_NUMBER if last is None else last, _PAGE_ROWS),
        )
        for cells in cursor:
            documents.append(self.document(cells[:-1]))
            if cells[-1]:
                replaced.add(documents[-1].id)
            n_bytes += len(cells[-2]) + len(cells[-3])
            if n_bytes > _PAGE_BYTES:
                break
        cursor.close()  # an open reader would prevent a checkpoint of the write-ahead log
        if not documents:
            return []
        first, final = documents[0].id, documents[-1].id
        decisions = self._current_decisions(first, final)
        settlements = self._current_settlements(first, final)
        return [
            DocumentLabels(
                document,
                tuple(decisions.get(document.id, ())),
                settlements.get(document.id),
                document.id in replaced,
            )
            for document in documents
        ]

    def documents(self, *, has_texts: bool = True) -> Iterator[DocumentLabels]:
        """Yield all documents in order with their labels, all as they are at one moment.

        Unlike `read_labels`, which needs no transaction that stays open.
        """
        after = 0
        while page := self.page(after, has_texts=has_texts):
            yield from page
            after = page[-1].document.id

    def _current_decisions(self, first: int, last: int) -> dict[int, list[LabelDecision]]:
        """Return the latest decision of each coder about each document that has one."""
        rows = self.connection.execute(
            f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
            "FROM assignments JOIN decisions ON decisions.assignment = assignments.id "
            "WHERE document >= ? AND document <= ? AND assignments.reason <> 'repeated' "
            "ORDER BY decisions.id",
            (first, last),
        )
        last_withdrawn = self.last_withdrawn()
        latest = {cells[0]: cells for cells in rows}  # by assignment
        found: dict[int, dict[int, LabelDecision]] = defaultdict(dict)
        for cells in sorted(latest.values(), key=lambda cells: cells[N_ASSIGNMENT_COLUMNS]):
            decision = self.decision(cells)
            coder = decision.assignment.coder.id
            if decision.kind != "undo" and decision.id > last_withdrawn.get(coder, 0):
                found[decision.assignment.document][coder] = decision
        return {
            document: sorted(by_coder.values(), key=lambda decision: decision.id)
            for document, by_coder in found.items()
        }

    def _current_settlements(self, first: int, last: int) -> dict[int, Settlement]:
        rows = self.connection.execute(
            f"SELECT {SETTLEMENT_COLUMNS} FROM settlements "  # noqa: S608
            "WHERE document >= ? AND document <= ? ORDER BY id",
            (first, last),
        )
        latest = {cells[2]: self.settlement(cells) for cells in rows}
        return {number: each for number, each in latest.items() if each.kind != "undo"}


def read_labels(
    database: Database, after: int = 0, *, has_texts: bool = True
) -> Iterator[DocumentLabels]:
    """Yield documents with numbers above `after`, in order, with their labels; in bounded memory.

    Each page of documents is read as it is at one moment; see `LabelReader.page`.
    """
    while True:
        with database.reading() as connection:
            page = LabelReader(database, connection).page(after, has_texts=has_texts)
        if not page:
            return
        yield from page
        after = page[-1].document.id


def read_coders(database: Database, connection: sqlite3.Connection) -> dict[int, Coder]:
    """Return all coders by number."""
    coders = {}
    for number, at, name, kind in connection.execute("SELECT id, at, name, kind FROM coders"):
        try:
            coders[number] = Coder(
                number,
                _check_time(at),
                from_cell(name),
                cast("CoderKind", _check_choice(kind, CODER_KINDS)),
            )
        except CELL_ERRORS as error:
            raise database.damaged_row(f"coder {number}", error) from error
    return coders


def read_codebook(
    database: Database, connection: sqlite3.Connection, coders: Mapping[int, Coder]
) -> Codebook:
    """Return the codebook."""
    changes = []
    cells: tuple[Any, ...] = ("",)
    try:
        for cells in connection.execute(
            "SELECT id, at, coder, kind, topic, name, description, examples, target "
            "FROM codebook ORDER BY id"
        ):
            number, at, coder, kind, topic, name, description, examples, target = cells
            name = None if name is None else from_cell(name)
            if name is not None:
                check_topic_names([name])
            changes.append(
                CodebookChange(
                    number,
                    _check_time(at),
                    coders[coder].name,
                    _check_choice(kind, CODEBOOK_CHANGES),
                    number if kind == "added" else topic,
                    name,
                    None if description is None else from_cell(description),
                    () if examples is None else _decode_strings(examples),
                    target,
                )
            )
        codebook = Codebook(changes)
        for topic in codebook.all_topics():
            codebook.resolve(topic.id)
    except CELL_ERRORS as error:
        raise database.damaged_row(f"change {cells[0]} of the codebook", error) from error
    return codebook


def _check_time(cell: Any) -> str:
    if not is_time(cell):
        raise ValueError(f"{short_repr(cell)} is not a time")
    return str(cell)


def _check_choice(cell: Any, choices: Sequence[str]) -> str:
    if cell not in choices:
        raise ValueError(f"{short_repr(cell)} is not one of {', '.join(choices)}")
    return str(cell)
