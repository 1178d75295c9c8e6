"""Assignments of a label store, and the decisions of coders about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import utc_now
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import (
    SKIP_REASONS,
    Assignment,
    LabelDecision,
    Selection,
    SkipReason,
)
from slugline.corpus.label_database.tables import (
    ASSIGNMENT_COLUMNS,
    DECISION_COLUMNS,
    MULTILABEL,
    N_ASSIGNMENT_COLUMNS,
)
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels.cells import check_number, missing_row, note_cell, selection_cells
from slugline.labels.storage.base import LabelRows, check_supersedes, find_row

# The largest number of topics of a document.
_MAX_TOPICS = 1000

# Whether the coder of an assignment has not decided, or took the decision back. Near copies that
# were taken back are texts that nobody has.
IS_OPEN = (
    "(assignments.reason <> 'near copy' AND coalesce((SELECT kind FROM decisions "
    "WHERE assignment = assignments.id ORDER BY id DESC LIMIT 1), 'undo') = 'undo')"
)

# Whether the document of an assignment is the latest with its key.
IS_CURRENT = (
    "NOT EXISTS (SELECT 1 FROM documents JOIN documents AS other ON other.key = documents.key "
    "AND other.replaces = documents.id WHERE documents.id = assignments.document)"
)


class NewDecision(NamedTuple):
    """A decision to store; see `LabelDecision`."""

    assignment: int
    kind: str
    topics: tuple[str, ...] = ()
    reason: str | None = None
    note: str | None = None
    is_guess_shown: bool = False
    supersedes: int | None = None
    at: str | None = None


class DecisionStore(LabelRows):
    """Stores which documents coders get, and what they decide about them."""

    def assign(
        self,
        coder: str,
        document: int,
        selection: Selection,
        *,
        max_others: int | None = None,
        request: str | None = None,
    ) -> Assignment | None:
        """Record that a document was selected for a coder, before it is shown; return that.

        If the coder has an open assignment of this document, return that one.

        Parameters
        ----------
        coder : str
        document : int
        selection : Selection
        max_others : int, optional
            Return None if more other persons than this have the document; by default, any number
            may.
        request : str, optional
        """
        cells = selection_cells(selection)

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            by = reader.coder(coder).id
            find_row(connection, "documents", "id", document)
            earlier = connection.execute(
                f"SELECT id FROM assignments WHERE coder = ? AND document = ? AND {IS_OPEN}",  # noqa: S608
                (by, document),
            ).fetchone()
            if earlier is not None:
                return int(earlier[0])
            n_others = connection.execute(
                "SELECT count(DISTINCT coder) FROM assignments JOIN coders ON coders.id = coder "
                "WHERE document = ? AND coder <> ? AND coders.kind = 'person'",
                (document, by),
            ).fetchone()[0]
            if max_others is not None and n_others > max_others:
                return 0
            return self._insert(connection, "assignments", coder=by, document=document, **cells)

        def read(reader: LabelReader, number: int) -> Assignment | None:
            return read_assignment(reader, number) if number else None

        content = ("assign", coder, document, *map(str, cells.values()))
        return self._change(request, content, change, read)

    def assignment(self, number: int) -> Assignment:
        """Return an assignment by number; DataError if there is none."""
        with self._database.reading() as connection:
            return read_assignment(self._reader(connection), number)

    def open_assignments(self, coder: str) -> list[Assignment]:
        """Return what a coder was asked and has not decided, the earliest first.

        Assignments of a text that the user has changed since are left out.
        """
        with self._database.reading() as connection:
            reader = self._reader(connection)
            rows = connection.execute(
                f"SELECT {ASSIGNMENT_COLUMNS} FROM assignments "  # noqa: S608
                f"WHERE coder = ? AND {IS_OPEN} AND {IS_CURRENT} ORDER BY id",
                (reader.coder(coder).id,),
            ).fetchall()
            return [reader.assignment(cells) for cells in rows]

    def first_assignments(self) -> dict[int, Assignment]:
        """Return the first assignment to a person of each document that has one.

        A near copy whose label was taken back may have been drawn later; it is that draw then.
        """
        with self._database.reading() as connection:
            reader = self._reader(connection)
            rows = connection.execute(
                f"SELECT {ASSIGNMENT_COLUMNS} FROM assignments WHERE id IN "  # noqa: S608
                "(SELECT coalesce(min(CASE WHEN reason <> 'near copy' THEN assignments.id END), "
                "min(assignments.id)) FROM assignments JOIN coders ON coders.id = coder "
                "WHERE kind = 'person' GROUP BY document)"
            ).fetchall()
            return {each.document: each for each in map(reader.assignment, rows)}

    def has_assignments(self) -> bool:
        """Return whether any coder got a document, or has an imported label."""
        return bool(self._database.query_value("SELECT EXISTS (SELECT 1 FROM assignments)"))

    def label(
        self,
        assignment: int,
        topics: Sequence[str],
        *,
        note: str | None = None,
        is_guess_shown: bool = False,
        supersedes: int | None = None,
        request: str | None = None,
    ) -> LabelDecision:
        """Store the topics that a coder gives to a document; return the decision.

        Parameters
        ----------
        assignment : int
        topics : sequence of str
            One topic; several or none in a store that is multilabel.
        note : str, optional
        is_guess_shown : bool, default False
            Whether the coder saw the model's guess.
        supersedes : int, optional
            Number of the decision that this one replaces; needed if the coder has one about this
            assignment that was not undone.
        request : str, optional

        Raises
        ------
        DataError : if the assignment has a decision that `supersedes` doesn't name, as when
            somebody else has changed it; also if there is no such assignment or topic.
        """
        if isinstance(topics, str):
            raise DataError(Parameter("topics"), f" is {short_repr(topics)}; give a list.")
        decision = NewDecision(
            assignment,
            "label",
            topics=tuple(topics),
            note=note,
            is_guess_shown=is_guess_shown,
            supersedes=supersedes,
        )
        return self._decide(decision, request)

    def skip(
        self,
        assignment: int,
        reason: SkipReason,
        *,
        note: str | None = None,
        is_guess_shown: bool = False,
        supersedes: int | None = None,
        request: str | None = None,
    ) -> LabelDecision:
        """Store that a coder skips a document; see `label`."""
        if reason not in SKIP_REASONS:
            raise OptionError(
                Parameter("reason"),
                f" is {short_repr(reason)}; choose one of {', '.join(SKIP_REASONS)}.",
            )
        decision = NewDecision(
            assignment,
            "skip",
            reason=reason,
            note=note,
            is_guess_shown=is_guess_shown,
            supersedes=supersedes,
        )
        return self._decide(decision, request)

    def undo(self, decision: int, *, request: str | None = None) -> LabelDecision:
        """Undo a decision, so that its assignment is open again; return the undo, a decision too.

        Raises DataError if it is not the current decision about its assignment.
        """
        with self._database.reading() as connection:
            [assignment] = find_row(connection, "decisions", "assignment", decision)
        return self._decide(NewDecision(assignment, "undo", supersedes=decision), request)

    def _decide(self, new: NewDecision, request: str | None) -> LabelDecision:
        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            find_row(connection, "assignments", "id", new.assignment)
            topics = topic_numbers(reader, new.topics) if new.kind == "label" else []
            last, kind = connection.execute(
                "SELECT id, kind FROM decisions WHERE assignment = ? ORDER BY id DESC LIMIT 1",
                (new.assignment,),
            ).fetchone() or (None, "undo")
            owner = f"assignment {new.assignment}"
            check_supersedes(owner, "decision", last, kind, new.supersedes)
            return self._insert_decision(connection, new._replace(supersedes=last), topics)

        return self._change(request, ("decide", *new), change, read_decision)

    def _insert_decision(
        self, connection: sqlite3.Connection, new: NewDecision, topics: Sequence[int]
    ) -> int:
        return self._insert(
            connection,
            "decisions",
            at=new.at or utc_now(),
            assignment=new.assignment,
            supersedes=new.supersedes or 0,
            kind=new.kind,
            topics=msgspec.json.encode([*topics]),
            reason=new.reason,
            note=None if new.note is None else note_cell("note", new.note),
            is_guess_shown=int(new.is_guess_shown),
        )


def topic_numbers(reader: LabelReader, topics: Sequence[str]) -> list[int]:
    """Return the number of each topic; DataError if there are too many, or too few."""
    numbers = list(dict.fromkeys(reader.topic(topic).id for topic in topics))
    if len(numbers) > _MAX_TOPICS:
        raise DataError(
            Parameter("topics"), f" has {len(numbers):,} topics; give at most {_MAX_TOPICS:,}."
        )
    if len(numbers) != 1 and reader.setting(MULTILABEL) != "yes":
        raise DataError(
            Parameter("topics"),
            f" has {len(numbers)} topics, and documents have one each here; give one.",
        )
    return numbers


def read_assignment(reader: LabelReader, number: int) -> Assignment:
    """Return an assignment by number; DataError if there is none."""
    return reader.assignment(find_row(reader.connection, "assignments", ASSIGNMENT_COLUMNS, number))


def read_decision(reader: LabelReader, number: int) -> LabelDecision:
    """Return a decision by number; DataError if there is none."""
    columns = f"{ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS}"
    check_number(number, "decision")
    cells = reader.connection.execute(
        f"SELECT {columns} FROM decisions "  # noqa: S608
        "JOIN assignments ON assignments.id = assignment WHERE decisions.id = ?",
        (number,),
    ).fetchone()
    if cells is None:
        raise missing_row("decision", number)
    return reader.decision(cells)


def decided_assignment(
    reader: LabelReader, withdrawn: Mapping[int, int], cells: Sequence[Any]
) -> tuple[Assignment, LabelDecision | None]:
    """Return an assignment and the current decision about it; None if there is none.

    Parameters
    ----------
    reader : LabelReader
    withdrawn : mapping of int to int
        See `LabelReader.withdrawn`.
    cells : sequence
        A row of `ASSIGNMENT_COLUMNS` and, of the last decision, `DECISION_COLUMNS`.
    """
    assignment = reader.assignment(cells[:N_ASSIGNMENT_COLUMNS])
    if cells[N_ASSIGNMENT_COLUMNS] is None:
        return assignment, None
    decision = reader.decision(cells)
    is_valid = decision.kind != "undo" and decision.id > withdrawn.get(assignment.coder.id, 0)
    return assignment, decision if is_valid else None
