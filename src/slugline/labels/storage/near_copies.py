"""Near copies of a document in a label store, which have its topics."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import LabelDecision, Selection
from slugline.corpus.label_database.tables import ASSIGNMENT_COLUMNS, DECISION_COLUMNS
from slugline.errors import DataError
from slugline.labels.cells import NewDocument, document_cells, selection_cells
from slugline.labels.storage.base import find_row
from slugline.labels.storage.decisions import (
    IS_OPEN,
    DecisionStore,
    NewDecision,
    decided_assignment,
    read_decision,
)
from slugline.labels.storage.documents import DocumentStore


class NearCopyStore(DecisionStore, DocumentStore):
    """Stores labels of near copies, which are given and taken back together."""

    def label_copies(
        self, assignment: int, documents: Sequence[NewDocument], *, request: str | None = None
    ) -> int:
        """Give the topics of a document to near copies that its coder has looked at.

        Return how many of them have got these topics: not those that somebody else has, or that
        their coder decided about in another way, or that have them already. Each is an assignment
        of its own, with the reason "near copy".

        Parameters
        ----------
        assignment : int
            That of the document, which has a label.
        documents : sequence of NewDocument
        request : str, optional
        """
        rows = [document_cells(document) for document in documents]

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            last = self._last_decision(reader, assignment)
            if last is None or last.kind != "label":
                raise DataError(
                    f"assignment {assignment} has no label that near copies could get; label it "
                    "first."
                )
            numbers = [self._add_document(connection, cells) for cells in rows]
            return sum(self._label_copy(reader, last, number) for number in numbers)

        content = ("label copies", assignment, *(document.key for document in documents))
        return self._change(request, content, change, lambda _, n_labels: n_labels)

    def _label_copy(self, reader: LabelReader, label: LabelDecision, document: int) -> bool:
        """Give the topics of a label to a near copy; return whether it has got them."""
        connection, assignment = reader.connection, label.assignment
        is_open = connection.execute(
            f"SELECT 1 FROM assignments WHERE document = ? AND {IS_OPEN}",  # noqa: S608
            (document,),
        ).fetchone()
        # Those of others who leave the text to somebody else don't count.
        decisions = [
            each
            for each in reader.page(document - 1, document, has_texts=False)[0].decisions
            if each.assignment.coder.kind == "person"
            and (each.reason != "not for me" or each.assignment.coder.id == assignment.coder.id)
        ]
        last = decisions[0] if len(decisions) == 1 else None
        if last is not None and last.assignment.selection.original == assignment.id:
            if {*last.topics} == {*label.topics}:
                return False
            new = NewDecision(last.assignment.id, "label", supersedes=last.id)
        elif decisions or is_open is not None:
            return False
        else:
            selection = selection_cells(Selection("near copy", original=assignment.id))
            cells = {"coder": assignment.coder.id, "document": document, **selection}
            new = NewDecision(self._insert(connection, "assignments", **cells), "label")
        self._insert_decision(connection, new, label.topic_ids)
        return True

    def undo_copies(self, assignment: int, *, request: str | None = None) -> int:
        """Take back the labels of the near copies of a document; return how many."""

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            copies = _read_copies(reader, assignment)
            for each in copies:
                undo = NewDecision(each.assignment.id, "undo", supersedes=each.id)
                self._insert_decision(connection, undo, ())
            return len(copies)

        return self._change(request, ("undo copies", assignment), change, lambda _, n: n)

    def copies(self, assignment: int) -> list[LabelDecision]:
        """Return the labels of near copies that were labelled with a document."""
        with self._database.reading() as connection:
            return _read_copies(self._reader(connection), assignment)

    def _last_decision(self, reader: LabelReader, assignment: int) -> LabelDecision | None:
        """Return the last decision about an assignment; None if there is none."""
        find_row(reader.connection, "assignments", "id", assignment)
        row = reader.connection.execute(
            "SELECT max(id) FROM decisions WHERE assignment = ?", (assignment,)
        ).fetchone()
        return None if row[0] is None else read_decision(reader, row[0])


def _read_copies(reader: LabelReader, assignment: int) -> list[LabelDecision]:
    """Return the current labels of near copies that were labelled with a document."""
    withdrawn = reader.last_withdrawn()
    rows = reader.connection.execute(
        f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} FROM assignments "  # noqa: S608
        "JOIN decisions ON decisions.id = "
        "(SELECT max(id) FROM decisions WHERE assignment = assignments.id) "
        "WHERE original = ? ORDER BY assignments.id",
        (assignment,),
    ).fetchall()
    decided = [decided_assignment(reader, withdrawn, cells) for cells in rows]
    return [decision for _, decision in decided if decision is not None]
