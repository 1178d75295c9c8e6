"""Read the labels of a label database page by page, or its answered documents as rows."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import Database, from_cell, is_time, to_cell
from slugline.base.wording import counted, join_words
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.codebook import Codebook, CodebookChange, CodebookTopic
from slugline.corpus.label_database.records import (
    Assignment,
    Coder,
    DocumentLabels,
    LabelDecision,
    ModelGuess,
    Settlement,
    Status,
    StoredDocument,
)
from slugline.corpus.label_database.tables import (
    ASSIGNMENT_COLUMNS,
    DECISION_COLUMNS,
    DOCUMENT_COLUMNS,
    FORMAT,
    MULTILABEL,
    N_ASSIGNMENT_COLUMNS,
    REVIEWED,
    SETTLEMENT_COLUMNS,
    TEXT_COLUMNS,
    TOPIC_COLUMN,
)
from slugline.corpus.rows import RowIterator, make_row
from slugline.errors import DataError, StoreError

# SQLite's largest integer.
_MAX_NUMBER = (1 << 63) - 1
# Maximum number of documents in a page, and of bytes of their texts and columns.
_PAGE_ROWS, _PAGE_BYTES = 500, 4 << 20
# Errors of decoding a damaged cell.
_CELL_ERRORS = (
    *(ValueError, TypeError, KeyError, OverflowError, RecursionError),
    *(msgspec.MsgspecError, DataError),
)
_decode_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_strings = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_guess = msgspec.json.Decoder(ModelGuess).decode
_decode_columns = msgspec.json.Decoder(dict[str, Any]).decode


class LabelReader:
    """Reads labels through one connection; the codebook and coders are read once.

    Parameters
    ----------
    database : Database
        With `FORMAT`.
    connection : sqlite3.Connection
        From `Database.reading` or `Database.writing`; the reader must not outlive it.
    """

    def __init__(self, database: Database, connection: sqlite3.Connection) -> None:
        self._database, self.connection = database, connection

    @contextlib.contextmanager
    def _reading(self, row: str) -> Iterator[None]:
        """Convert errors about the cells of a row to a StoreError that names it."""
        try:
            yield
        except _CELL_ERRORS as error:
            raise self._database.damaged_row(row, error) from error

    @functools.cached_property
    def coders(self) -> dict[int, Coder]:
        """All coders by number."""
        coders = {}
        for number, at, name, kind in self.connection.execute(
            "SELECT id, at, name, kind FROM coders"
        ):
            with self._reading(f"coder {number}"):
                cells = number, _check_time(at), from_cell(name), kind
                coders[number] = msgspec.convert(cells, Coder)
        return coders

    @functools.cached_property
    def codebook(self) -> Codebook:
        """The codebook."""
        changes, coders = [], self.coders
        with self._reading("the codebook"):
            for (
                number,
                at,
                coder,
                kind,
                topic,
                name,
                description,
                examples,
                target,
            ) in self.connection.execute(
                "SELECT id, at, coder, kind, topic, name, description, examples, target "
                "FROM codebook ORDER BY id"
            ):
                if name is not None:
                    check_topic_names([from_cell(name)])
                cells = (
                    number,
                    _check_time(at),
                    coders[coder].name,
                    kind,
                    number if kind == "added" else topic,
                    _optional_text(name),
                    _optional_text(description),
                    () if examples is None else _decode_strings(examples),
                    target,
                )
                changes.append(msgspec.convert(cells, CodebookChange))
            codebook = Codebook(changes)
            for each in codebook.all_topics():
                codebook.resolve(each.id)
        return codebook

    def coder(self, name: str) -> Coder:
        """Return a coder by name; raise DataError for an unknown one."""
        for coder in self.coders.values():
            if coder.name == name:
                return coder
        raise DataError(f"{self._database.path} has no coder {short_repr(name)}; add it first.")

    def topic(self, name: str) -> CodebookTopic:
        """Return a topic in use by its current or a former name; DataError if unknown."""
        topic = self.codebook.find(name)
        if topic is None:
            raise DataError(
                f"the codebook has no topic {short_repr(name)}; add it first, or choose another."
            )
        return topic

    def setting(self, name: str) -> str | None:
        """Return the latest value of a setting, or None."""
        row = self.connection.execute(
            "SELECT value FROM settings WHERE name = ? ORDER BY id DESC LIMIT 1", (to_cell(name),)
        ).fetchone()
        with self._reading(f"setting {name!r}"):
            return None if row is None else from_cell(row[0])

    @property
    def is_multilabel(self) -> bool:
        """True if a document may have any number of topics."""
        return self.setting(MULTILABEL) == "yes"

    def text_columns(self) -> tuple[str, ...]:
        """Return the text columns of the user's file, by default ("text",)."""
        stored = self.setting(TEXT_COLUMNS)
        with self._reading(f"setting {TEXT_COLUMNS!r}"):
            return (_decode_strings(stored) if stored is not None else ()) or ("text",)

    def assignment(self, cells: Sequence[Any]) -> Assignment:
        """Return the assignment in a row of `ASSIGNMENT_COLUMNS`; StoreError if it is damaged."""
        number, at, coder, document, reason = cells[:5]
        probability, n_candidates, guess, is_shown, original = cells[5:]
        with self._reading(f"assignment {number}"):
            guess = None if guess is None else _decode_guess(guess)
            selection = reason, probability, n_candidates, guess, bool(is_shown), original
            values = number, _check_time(at), self.coders[coder], document, selection
            return msgspec.convert(values, Assignment)

    def decision(self, cells: Sequence[Any]) -> LabelDecision:
        """Return the decision in a row of `ASSIGNMENT_COLUMNS` and `DECISION_COLUMNS`."""
        assignment = self.assignment(cells[:N_ASSIGNMENT_COLUMNS])
        number, at, kind, topics, reason, note, is_shown, supersedes = cells[N_ASSIGNMENT_COLUMNS:]
        with self._reading(f"decision {number}"):
            ids = _decode_numbers(topics)
            values = (
                number,
                _check_time(at),
                assignment,
                kind,
                self.codebook.current_names(ids),
                ids,
                reason,
                _optional_text(note),
                bool(is_shown),
                supersedes or None,
            )
            return msgspec.convert(values, LabelDecision)

    def settlement(self, cells: Sequence[Any]) -> Settlement:
        """Return the settlement in a row of `SETTLEMENT_COLUMNS`."""
        number, at, document, person, kind, topics, note, supersedes = cells
        with self._reading(f"settlement {number}"):
            values = (
                number,
                _check_time(at),
                document,
                self.coders[person],
                kind,
                self.codebook.current_names(_decode_numbers(topics)),
                _optional_text(note),
                supersedes or None,
            )
            return msgspec.convert(values, Settlement)

    def document(self, cells: Sequence[Any]) -> StoredDocument:
        """Return the document in a row of `DOCUMENT_COLUMNS`."""
        number, at, key, replaces, columns, text = cells
        with self._reading(f"document {number}"):
            return StoredDocument(
                number,
                _check_time(at),
                from_cell(key),
                from_cell(text),
                _decode_columns(columns),
                int(replaces) or None,
            )

    def last_withdrawn(self) -> dict[int, int]:
        """Return the number of the last withdrawn decision by coder."""
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
        """Return a page of documents with numbers above `after`, up to `last`.

        A page has up to 500 documents, or 4 MiB of texts and columns. Without `has_texts`, texts
        and columns are left empty.
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
        """Yield all documents in order with their labels, within the connection's transaction."""
        after = 0
        while page := self.page(after, has_texts=has_texts):
            yield from page
            after = page[-1].document.id

    def _current_decisions(self, first: int, last: int) -> dict[int, list[LabelDecision]]:
        """Return the latest decision of each coder by document."""
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
    """Yield documents with numbers above `after`, in order, with their labels, in bounded memory.

    Each page is read in its own transaction; see `LabelReader.page`.
    """
    while True:
        with database.reading() as connection:
            page = LabelReader(database, connection).page(after, has_texts=has_texts)
        if not page:
            return
        yield from page
        after = page[-1].document.id


def _check_time(cell: Any) -> str:
    if not is_time(cell):
        raise ValueError(f"{short_repr(cell)} is not a time")
    return str(cell)


def _optional_text(cell: Any) -> str | None:
    return None if cell is None else from_cell(cell)


# Rows of labelled documents -----------------------------------------------------------------------

# Minimum number and fraction of labels on uncertain texts that noticeably bias measured accuracy.
_MIN_DOUBTED, _MIN_DOUBTED_FRACTION = 5, 0.1
# Reasons of selection because a model was unsure or wrong.
_DOUBTED = ("suggested", "corrected")
# Descriptions of omitted documents by status.
_LEFT_OUT: dict[Status, Callable[[int], str]] = {
    "open": lambda n: f"{counted(n, 'document')} on which coders disagree",
    "skipped": lambda n: counted(n, "skipped document"),
    "unlabelled": lambda n: f"{counted(n, 'document')} without a label",
    "replaced": lambda n: f"{counted(n, 'document')} with text changed since",
}


class LabelledDatabase(NamedTuple):
    """The answered documents of a label database.

    Attributes
    ----------
    rows : iterator of SourceRow
        Columns of each document, in the order stored; the place is the document's number. The topic
        cell is a list for multi-label data.
    text : tuple of str
        Text columns.
    topic : str
        Topic column.
    note : str
        Note on omitted documents and on selection bias, or "".
    has_selection_bias : bool
        True if many documents were selected because a model doubted them, which lowers accuracy
        measured on them.
    """

    rows: RowIterator
    text: tuple[str, ...]
    topic: str
    note: str
    has_selection_bias: bool


def read_label_database(path: Path, *, needs_answers: bool = True) -> LabelledDatabase:
    """Return the answered documents of a label database; see `DocumentLabels.answer`.

    Parameters
    ----------
    path : Path
    needs_answers : bool, default True
        If False, include unanswered documents without a topic. Documents whose text has changed
        since are always left out.

    Raises
    ------
    DataError : if the file is damaged, from another program or version, or lacks required answers.
    """
    try:
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(Database(path, FORMAT, is_read_only=True))
            # One transaction for the counts and the rows.
            reader = LabelReader(database, stack.enter_context(database.reading()))
            reviewed = reader.setting(REVIEWED)
            if reviewed is not None:
                raise DataError(
                    f"{path} contains audit decisions for {reviewed}, not a complete set of "
                    "labels. "
                    f"Apply them: slugline audit {reviewed} --decisions {path} -o repaired.csv"
                )
            text, topic = reader.text_columns(), reader.setting(TOPIC_COLUMN) or "topic"
            counts, n_doubted, n_imported = Counter[Status](), 0, 0
            for each in reader.documents(has_texts=False):
                counts[each.status] += 1
                reasons = {one.assignment.selection.reason for one in each.decisions}
                n_doubted += each.answer is not None and not reasons.isdisjoint(_DOUBTED)
                n_imported += "imported" in [one.assignment.coder.kind for one in each.decisions]
            n_answers = counts["settled"] + counts["agreed"]
            if needs_answers and not n_answers:
                raise _no_answers(path, counts, n_imported)
            left_out = _left_out(counts, needs_answers=needs_answers)
            notes = [left_out and f"left out: {left_out}"]
            min_doubted = max(_MIN_DOUBTED, _MIN_DOUBTED_FRACTION * n_answers)
            has_selection_bias = needs_answers and n_doubted >= min_doubted
            if has_selection_bias:
                notes.append(
                    f"{n_doubted:,} of {counted(n_answers, 'label')} are for texts that a model "
                    "doubted, so accuracy on these labels is usually lower than on all texts"
                )
            note = "; ".join(filter(None, notes))
            rows = _label_rows(
                stack.pop_all(), database, reader, text, topic, needs_answers=needs_answers
            )
    except StoreError as error:
        raise DataError(*error.parts) from error
    return LabelledDatabase(rows, text, topic, note, has_selection_bias)


def _no_answers(path: Path, counts: Counter[Status], n_imported: int) -> DataError:
    """Return the error for a database without any person's answer."""
    if n_imported and not counts["open"]:
        return DataError(
            f"{path} contains only labels by imported coders "
            f"({counted(n_imported, 'document')}), which don't count as answers. Label some "
            f"documents, or import FILE as answers: slugline labels import {path} FILE"
        )
    left_out = _left_out(counts, needs_answers=True)
    found = f" ({left_out})" if left_out else ""
    return DataError(f"{path} contains no labelled documents yet{found}; label some.")


def _left_out(counts: Counter[Status], *, needs_answers: bool) -> str:
    """Count the omitted documents by reason, or return ""."""
    left_out = [
        word(counts[status])
        for status, word in _LEFT_OUT.items()
        if counts[status] and (needs_answers or status == "replaced")
    ]
    return join_words(left_out) if left_out else ""


def _label_rows(
    opened: contextlib.ExitStack,
    database: Database,
    reader: LabelReader,
    text: tuple[str, ...],
    topic: str,
    *,
    needs_answers: bool,
) -> RowIterator:
    """Yield the row of each document, and close the database at the end."""
    try:
        with opened:
            is_multilabel = reader.is_multilabel
            for each in reader.documents():
                if each.status == "replaced" or (needs_answers and each.answer is None):
                    continue
                values = dict(each.document.columns)
                if len(text) == 1:
                    values[text[0]] = each.document.text
                answer = each.answer
                if answer is not None and not is_multilabel and len(answer) != 1:
                    raise database.damaged_row(
                        f"the label of document {each.document.id}",
                        f"it has {len(answer)} topics instead of one",
                    )
                values[topic] = None
                if answer is not None:
                    values[topic] = list(answer) if is_multilabel else answer[0]
                yield make_row(each.document.id, values, n_bytes=len(each.document.text))
    except StoreError as error:
        raise DataError(*error.parts) from error
