"""Read a label database: documents, assignments, decisions, settlements and counts."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from slugline.base.checks import short_repr
from slugline.base.databases import DatabaseStore, to_cell
from slugline.base.lazy import to_frame
from slugline.corpus.label_database.codebook import Codebook
from slugline.corpus.label_database.reader import LabelReader, read_labels
from slugline.corpus.label_database.records import (
    Assignment,
    Coder,
    DocumentLabels,
    LabelDecision,
    Settlement,
    StoredDocument,
    Withdrawal,
)
from slugline.corpus.label_database.tables import (
    ASSIGNMENT_COLUMNS,
    DECISION_COLUMNS,
    DOCUMENT_COLUMNS,
    N_ASSIGNMENT_COLUMNS,
    SETTLEMENT_COLUMNS,
)
from slugline.errors import OptionError, Parameter
from slugline.labels.cells import check_number, missing_row
from slugline.labels.label_counts import LabelCounter, LabelCounts

#: The tables of `LabelReads.to_records`.
LabelTable = Literal["documents", "labels", "decisions", "codebook"]

#: Maximum number of rows that are read or written together.
MAX_ROWS = 1000

#: SQL condition: the coder of an assignment has not decided, or undid the decision. An undone near
#: copy or correction is unassigned.
IS_OPEN = (
    "(assignments.reason NOT IN ('near copy', 'corrected') AND "
    "coalesce((SELECT kind FROM decisions WHERE assignment = assignments.id "
    "ORDER BY id DESC LIMIT 1), 'undo') = 'undo')"
)

# SQL condition: the document of an assignment is the latest with its key.
_IS_CURRENT = (
    "NOT EXISTS (SELECT 1 FROM documents JOIN documents AS other ON other.key = documents.key "
    "AND other.replaces = documents.id WHERE documents.id = assignments.document)"
)


class Arrival(NamedTuple):
    """Batch of texts added to the user's file together; see `slugline.labels.arrivals`.

    Attributes
    ----------
    last_assignment : int
        Number of the last assignment before they arrived; 0 for the first texts of a store.
    checksums : bytes
        A checksum of 4 bytes for each text.
    """

    last_assignment: int
    checksums: bytes


class LabelReads(DatabaseStore):
    """Reads a label database; see `slugline.labels.store.LabelStore`, which also writes."""

    @contextlib.contextmanager
    def _reading(self) -> Iterator[LabelReader]:
        """Yield a reader of a snapshot of the database."""
        with self._database.reading() as connection:
            yield LabelReader(self._database, connection)

    # Settings, coders and topics --------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """Return the latest value of a setting, or None."""
        with self._reading() as reader:
            return reader.setting(name)

    @property
    def is_multilabel(self) -> bool:
        """True if a document may have any number of topics."""
        with self._reading() as reader:
            return reader.is_multilabel

    def coders(self) -> list[Coder]:
        """Return all coders in the order in which they were added."""
        with self._reading() as reader:
            return [*reader.coders.values()]

    def codebook(self) -> Codebook:
        """Return the current codebook, with all changes."""
        with self._reading() as reader:
            return reader.codebook

    # Documents --------------------------------------------------------------------------------

    def document(self, number: int) -> StoredDocument:
        """Return a document by number; DataError if missing."""
        with self._reading() as reader:
            return reader.document(find_row(reader, "documents", DOCUMENT_COLUMNS, number))

    def find_keys(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the number of the latest document with each key; unknown keys are left out."""
        query = "SELECT max(id) FROM documents WHERE key = ?"
        with self._reading() as reader:
            execute = reader.connection.execute
            found = [(key, execute(query, (to_cell(key),)).fetchone()[0]) for key in keys]
        return {key: int(number) for key, number in found if number is not None}

    def find_texts(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Return the numbers of the documents with each text, in order.

        Unknown texts and replaced documents are left out.
        """
        query = (
            "SELECT id FROM documents WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM documents AS "
            "other WHERE other.key = documents.key AND other.replaces = documents.id) ORDER BY id"
        )
        found: dict[str, list[int]] = {}
        with self._reading() as reader:
            for text in dict.fromkeys(texts):
                digest = hashlib.sha256(to_cell(text)).digest()
                numbers = [int(row[0]) for row in reader.connection.execute(query, (digest,))]
                if numbers:
                    found[text] = numbers
        return found

    def arrivals(self) -> list[Arrival]:
        """Return the checksums of the texts of the user's file, in order of arrival."""
        with self._reading() as reader:
            rows = reader.connection.execute("SELECT * FROM arrivals ORDER BY id").fetchall()
        for number, _, last, checksums in rows:
            is_valid = isinstance(last, int) and last >= 0 and isinstance(checksums, bytes)
            if not is_valid or len(checksums) % 4:
                raise self._database.damaged_row(f"arrival {number}", "invalid checksums")
        return [Arrival(last, checksums) for *_, last, checksums in rows]

    # Assignments ------------------------------------------------------------------------------

    def assignment(self, number: int) -> Assignment:
        """Return an assignment by number; DataError if missing."""
        with self._reading() as reader:
            return read_assignment(reader, number)

    def open_assignments(self, coder: str) -> list[Assignment]:
        """Return a coder's undecided assignments, the earliest first.

        Assignments of texts that the user has changed since are left out.
        """
        with self._reading() as reader:
            rows = reader.connection.execute(
                f"SELECT {ASSIGNMENT_COLUMNS} FROM assignments "  # noqa: S608
                f"WHERE coder = ? AND {IS_OPEN} AND {_IS_CURRENT} ORDER BY id",
                (reader.coder(coder).id,),
            ).fetchall()
            return [reader.assignment(cells) for cells in rows]

    def first_assignments(self) -> dict[int, Assignment]:
        """Return the first assignment to a person, by document.

        For a near copy or corrected text that was drawn later, return the draw.
        """
        with self._reading() as reader:
            rows = reader.connection.execute(
                f"SELECT {ASSIGNMENT_COLUMNS} FROM assignments WHERE id IN "  # noqa: S608
                "(SELECT coalesce(min(CASE WHEN reason NOT IN ('near copy', 'corrected') "
                "THEN assignments.id END), min(assignments.id)) FROM assignments "
                "JOIN coders ON coders.id = coder WHERE kind = 'person' GROUP BY document)"
            ).fetchall()
            return {each.document: each for each in map(reader.assignment, rows)}

    def has_assignments(self) -> bool:
        """Return True if any coder was assigned a document, or has an imported label."""
        return bool(self._database.query_value("SELECT EXISTS (SELECT 1 FROM assignments)"))

    def copies(self, assignment: int) -> list[LabelDecision]:
        """Return the labels of near copies that were labelled with a document."""
        with self._reading() as reader:
            return read_copies(reader, assignment)

    # Labels -----------------------------------------------------------------------------------

    def labels(self, after: int = 0, *, has_texts: bool = True) -> Iterator[DocumentLabels]:
        """Yield documents with numbers above `after`, in order, with their labels.

        Memory is bounded. Documents added during the iteration may be included. Without
        `has_texts`, texts and columns are empty.
        """
        return read_labels(self._database, after, has_texts=has_texts)

    def document_labels(self, number: int, *, has_texts: bool = True) -> DocumentLabels:
        """Return a document by number with its labels; DataError if missing. See `labels`."""
        with self._reading() as reader:
            find_row(reader, "documents", "id", number)
            return reader.page(number - 1, number, has_texts=has_texts)[0]

    def decisions(self, after: int = 0, coder: str | None = None) -> Iterator[LabelDecision]:
        """Yield all decisions with numbers above `after`, in order; of one coder or of all.

        Superseded, undone and withdrawn decisions are included.
        """
        while True:
            with self._reading() as reader:
                number = None if coder is None else reader.coder(coder).id
                rows = reader.connection.execute(
                    f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
                    "FROM decisions JOIN assignments ON assignments.id = assignment "
                    "WHERE decisions.id > ? AND (? IS NULL OR assignments.coder = ?) "
                    "ORDER BY decisions.id LIMIT ?",
                    (after, number, number, MAX_ROWS),
                ).fetchall()
                page = [reader.decision(cells) for cells in rows]
            if not page:
                return
            yield from page
            after = page[-1].id

    def current_decisions(self) -> Iterator[LabelDecision]:
        """Yield the current decision about each assignment, in the order of assignments.

        A coder may have several assignments of one document. Undone and withdrawn decisions are
        left out, and decisions about texts that the user has changed since.
        """
        after = 0
        while True:
            with self._reading() as reader:
                withdrawn = reader.last_withdrawn()
                rows = reader.connection.execute(
                    f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
                    "FROM assignments LEFT JOIN decisions ON decisions.id = "
                    "(SELECT max(id) FROM decisions WHERE assignment = assignments.id) "
                    f"WHERE assignments.id > ? AND {_IS_CURRENT} "
                    "ORDER BY assignments.id LIMIT ?",
                    (after, MAX_ROWS),
                ).fetchall()
                page = [_current_decision(reader, withdrawn, cells) for cells in rows]
            if not rows:
                return
            yield from (decision for decision in page if decision is not None)
            after = rows[-1][0]

    def first_decisions(self) -> Iterator[LabelDecision]:
        """Yield the first decision about each assignment that has a current one, in their order.

        Withdrawn decisions don't count. For imported labels, yield the current decision.
        """
        with self._reading() as reader:
            withdrawn = reader.last_withdrawn()
        first: dict[int, LabelDecision] = {}
        for decision in self.decisions():
            is_withdrawn = decision.id <= withdrawn.get(decision.assignment.coder.id, 0)
            if decision.kind != "undo" and not is_withdrawn:
                first.setdefault(decision.assignment.id, decision)
        for current in self.current_decisions():
            is_imported = current.assignment.selection.reason == "imported"
            yield current if is_imported else first[current.assignment.id]

    def settlements(self, n: int) -> list[Settlement]:
        """Return up to `n` settlements that were not undone, the latest first."""
        with self._reading() as reader:
            rows = reader.connection.execute(
                f"SELECT {SETTLEMENT_COLUMNS} FROM settlements WHERE kind <> 'undo' AND id IN "  # noqa: S608
                "(SELECT max(id) FROM settlements GROUP BY document) ORDER BY id DESC LIMIT ?",
                (n,),
            ).fetchall()
            return [reader.settlement(cells) for cells in rows]

    def withdrawals(self) -> list[Withdrawal]:
        """Return the withdrawals that were not undone, in order."""
        with self._reading() as reader:
            coders = reader.coders
            rows = reader.connection.execute(
                "SELECT id, at, coder, person, last_decision FROM withdrawals "
                "WHERE restores = 0 AND id NOT IN (SELECT restores FROM withdrawals) ORDER BY id"
            ).fetchall()
            try:
                return [
                    Withdrawal(number, at, coders[coder], coders[person], int(last))
                    for number, at, coder, person, last in rows
                ]
            except (KeyError, TypeError, ValueError) as error:
                raise self._database.damaged_row("a withdrawal", error) from error

    # Counts and changes -----------------------------------------------------------------------

    def counts(self) -> LabelCounts:
        """Return the numbers of documents by status, and of labels by topic, coder and reason."""
        counter, names = LabelCounter(), self.codebook().names()
        for each in self.labels(has_texts=False):
            counter.count(each)
        return counter.counts(names)

    def last_change(self) -> tuple[int, ...]:
        """Return the latest row number of each table that labels depend on.

        Any change of labels changes one of these numbers.
        """
        tables = "documents", "codebook", "assignments", "decisions", "settlements", "withdrawals"
        columns = ", ".join(f"(SELECT coalesce(max(id), 0) FROM {name})" for name in tables)  # noqa: S608
        with self._reading() as reader:
            row = reader.connection.execute(f"SELECT {columns}").fetchone()
        return tuple(map(int, row))

    def changed_documents(self, since: tuple[int, ...]) -> list[int] | None:
        """Return the numbers of documents whose labels have changed since a `last_change`.

        None if any may have changed: after a withdrawal, or a change of a topic's name.
        """
        documents, codebook, _, decisions, settlements, withdrawals = since
        with self._reading() as reader:
            is_any = reader.connection.execute(
                "SELECT EXISTS (SELECT 1 FROM withdrawals WHERE id > ?) OR EXISTS "
                "(SELECT 1 FROM codebook WHERE id > ? AND kind NOT IN ('added', 'described'))",
                (withdrawals, codebook),
            ).fetchone()[0]
            if is_any:
                return None
            rows = reader.connection.execute(
                "SELECT document FROM decisions JOIN assignments ON assignments.id = assignment "
                "WHERE decisions.id > ? UNION SELECT document FROM settlements WHERE id > ? "
                "UNION SELECT id FROM documents WHERE id > ? "
                "UNION SELECT replaces FROM documents WHERE id > ? AND replaces > 0",
                (decisions, settlements, documents, documents),
            )
            return [int(row[0]) for row in rows]

    # Data frames ------------------------------------------------------------------------------

    def to_records(self, table: LabelTable = "documents") -> Iterator[dict[str, Any]]:
        """Yield the rows of a table.

        Parameters
        ----------
        table : {"documents", "labels", "decisions", "codebook"}, default "documents"
            "documents" has a row for each document: its id, key, text, status, topics, and the
            label of each coder. "labels" has each coder's current labels and skips, with the reason
            and probability of selection; "decisions" also those that were superseded, undone or
            withdrawn. "codebook" has each topic with its description.
        """
        if table not in get_args(LabelTable):
            raise OptionError(
                Parameter("table"),
                f" is {short_repr(table)}; choose one of {', '.join(get_args(LabelTable))}.",
            )
        match table:
            case "documents":
                return self._document_records()
            case "labels":
                return map(_decision_record, self.current_decisions())
            case "decisions":
                return map(_decision_record, self.decisions())
            case "codebook":
                return _codebook_records(self.codebook())

    def to_frame(self, table: LabelTable = "documents") -> Any:
        """Return `to_records` as a pandas data frame, or a polars one if pandas is missing.

        Raises OptionError if neither is installed.
        """
        return to_frame(self.to_records(table))

    def _document_records(self) -> Iterator[dict[str, Any]]:
        deciders = {each.assignment.coder.id for each in self.decisions()}
        names = [coder.name for coder in self.coders() if coder.id in deciders]
        for each in self.labels():
            labels = {
                decision.assignment.coder.name: list(decision.topics)
                for decision in each.decisions
                if decision.kind == "label"
            }
            yield {
                "id": each.document.id,
                "key": each.document.key,
                "text": each.document.text,
                "status": each.status,
                "topics": None if each.answer is None else list(each.answer),
                **{f"topics of {name}": labels.get(name) for name in names},
            }


def _decision_record(decision: LabelDecision) -> dict[str, Any]:
    coder, selection = decision.assignment.coder, decision.assignment.selection
    guess = selection.guess
    return {
        "id": decision.id,
        "at": decision.at,
        "document": decision.assignment.document,
        "coder": coder.name,
        "coder_kind": coder.kind,
        "kind": decision.kind,
        "topics": list(decision.topics) if decision.kind == "label" else None,
        "skip_reason": decision.reason,
        "note": decision.note,
        "selection": selection.reason,
        "probability": selection.probability,
        "n_candidates": selection.n_candidates,
        "guess": None if guess is None else list(guess.topics),
        "guess_probability": None if guess is None else guess.probability,
        "is_guess_shown": decision.is_guess_shown,
        "supersedes": decision.supersedes,
    }


def _codebook_records(codebook: Codebook) -> Iterator[dict[str, Any]]:
    """Yield a row for each topic, merged topics included."""
    for topic in codebook.all_topics():
        is_merged = topic.merged_into is not None
        yield {
            "id": topic.id,
            "name": topic.name,
            "description": topic.description,
            "examples": list(topic.examples),
            "changed": topic.changed,
            "merged_into": codebook.resolve(topic.id).name if is_merged else None,
        }


# Rows ---------------------------------------------------------------------------------------------


def find_row(reader: LabelReader, table: str, columns: str, number: int) -> tuple[Any, ...]:
    """Return cells of a row by its number; DataError if missing."""
    noun = table.removesuffix("s")
    check_number(number, noun)
    cells: tuple[Any, ...] | None = reader.connection.execute(
        f"SELECT {columns} FROM {table} WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    if cells is None:
        raise missing_row(noun, number)
    return cells


def read_assignment(reader: LabelReader, number: int) -> Assignment:
    """Return an assignment by number; DataError if missing."""
    return reader.assignment(find_row(reader, "assignments", ASSIGNMENT_COLUMNS, number))


def read_decision(reader: LabelReader, number: int) -> LabelDecision:
    """Return a decision by number; DataError if missing."""
    [assignment, *cells] = find_row(reader, "decisions", f"assignment, {DECISION_COLUMNS}", number)
    row = find_row(reader, "assignments", ASSIGNMENT_COLUMNS, assignment)
    return reader.decision([*row, *cells])


def read_copies(reader: LabelReader, assignment: int) -> list[LabelDecision]:
    """Return the current labels of near copies labelled along with a document."""
    withdrawn = reader.last_withdrawn()
    rows = reader.connection.execute(
        f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} FROM assignments "  # noqa: S608
        "JOIN decisions ON decisions.id = "
        "(SELECT max(id) FROM decisions WHERE assignment = assignments.id) "
        "WHERE original = ? ORDER BY assignments.id",
        (assignment,),
    ).fetchall()
    decisions = [_current_decision(reader, withdrawn, cells) for cells in rows]
    return [decision for decision in decisions if decision is not None]


def _current_decision(
    reader: LabelReader, withdrawn: Mapping[int, int], cells: Sequence[Any]
) -> LabelDecision | None:
    """Return the last decision about an assignment, or None if missing, undone or withdrawn.

    Parameters
    ----------
    reader : LabelReader
    withdrawn : mapping of int to int
        See `LabelReader.last_withdrawn`.
    cells : sequence
        A row of `ASSIGNMENT_COLUMNS`, and `DECISION_COLUMNS` of the last decision.
    """
    if cells[N_ASSIGNMENT_COLUMNS] is None:
        return None
    decision = reader.decision(cells)
    is_valid = decision.kind != "undo" and decision.id > withdrawn.get(
        decision.assignment.coder.id, 0
    )
    return decision if is_valid else None
