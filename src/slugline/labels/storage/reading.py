"""Labels of a label store as they are now, their history, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator

from slugline.corpus.label_database.reader import read_labels
from slugline.corpus.label_database.records import DocumentLabels, LabelDecision
from slugline.corpus.label_database.tables import ASSIGNMENT_COLUMNS, DECISION_COLUMNS
from slugline.labels.label_counts import LabelCounter, LabelCounts
from slugline.labels.storage.base import MAX_ROWS, LabelRows
from slugline.labels.storage.decisions import IS_CURRENT, decided_assignment


class LabelHistory(LabelRows):
    """Reads labels, in bounded memory, and says what has changed."""

    def labels(self, after: int = 0, *, has_texts: bool = True) -> Iterator[DocumentLabels]:
        """Yield documents with numbers above `after`, in order, with their labels.

        Memory is bounded. Documents that are added during the iteration may be included. Unless
        `has_texts`, the texts are empty and there are no columns.
        """
        return read_labels(self._database, after, has_texts=has_texts)

    def decisions(self, after: int = 0, coder: str | None = None) -> Iterator[LabelDecision]:
        """Yield all decisions with numbers above `after`, in order; of one coder or of all.

        Superseded, undone and withdrawn decisions are included.
        """
        while True:
            with self._database.reading() as connection:
                reader = self._reader(connection)
                number = None if coder is None else reader.coder(coder).id
                rows = connection.execute(
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

        A coder may have several assignments of one document. Decisions that were undone or
        withdrawn are left out, and those about a text that the user has changed since.
        """
        after = 0
        while True:
            with self._database.reading() as connection:
                reader = self._reader(connection)
                withdrawn = reader.last_withdrawn()
                rows = connection.execute(
                    f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
                    "FROM assignments LEFT JOIN decisions ON decisions.id = "
                    "(SELECT max(id) FROM decisions WHERE assignment = assignments.id) "
                    f"WHERE assignments.id > ? AND {IS_CURRENT} "
                    "ORDER BY assignments.id LIMIT ?",
                    (after, MAX_ROWS),
                ).fetchall()
                page = [decided_assignment(reader, withdrawn, cells) for cells in rows]
            if not page:
                return
            yield from (decision for _, decision in page if decision is not None)
            after = page[-1][0].id

    def first_decisions(self) -> Iterator[LabelDecision]:
        """Yield the first decision about each assignment that has a current one, in their order.

        Withdrawn decisions don't count. Of imported labels, the current ones are yielded.
        """
        with self._database.reading() as connection:
            withdrawn = self._reader(connection).last_withdrawn()
        first: dict[int, LabelDecision] = {}
        for decision in self.decisions():
            is_withdrawn = decision.id <= withdrawn.get(decision.assignment.coder.id, 0)
            if decision.kind != "undo" and not is_withdrawn:
                first.setdefault(decision.assignment.id, decision)
        for current in self.current_decisions():
            is_imported = current.assignment.selection.reason == "imported"
            yield current if is_imported else first[current.assignment.id]

    def counts(self) -> LabelCounts:
        """Return the numbers of documents by status, and of labels by topic, coder and reason."""
        counter = LabelCounter()
        with self._database.reading() as connection:
            names = self._reader(connection).codebook.names()
        for each in self.labels(has_texts=False):
            counter.count(each)
        return counter.counts(names)

    def changed_documents(self, since: tuple[int, ...]) -> list[int] | None:
        """Return the numbers of documents whose labels have changed since a `last_change`.

        None if any may have changed, as after a withdrawal, or a change of a topic's name.
        """
        documents, codebook, _, decisions, settlements, withdrawals = since
        with self._database.reading() as connection:
            is_any = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM withdrawals WHERE id > ?) OR EXISTS "
                "(SELECT 1 FROM codebook WHERE id > ? AND kind NOT IN ('added', 'described'))",
                (withdrawals, codebook),
            ).fetchone()[0]
            if is_any:
                return None
            rows = connection.execute(
                "SELECT document FROM decisions JOIN assignments ON assignments.id = assignment "
                "WHERE decisions.id > ? UNION SELECT document FROM settlements WHERE id > ? "
                "UNION SELECT id FROM documents WHERE id > ? "
                "UNION SELECT replaces FROM documents WHERE id > ? AND replaces > 0",
                (decisions, settlements, documents, documents),
            )
            return [int(row[0]) for row in rows]

    def last_change(self) -> tuple[int, ...]:
        """Return the number of the latest row of each table that labels depend on.

        Any change of labels changes one of them.
        """
        tables = "documents", "codebook", "assignments", "decisions", "settlements", "withdrawals"
        with self._database.reading() as connection:
            last = [
                connection.execute(f"SELECT coalesce(max(id), 0) FROM {name}")  # noqa: S608
                for name in tables
            ]
            return tuple(int(cursor.fetchone()[0]) for cursor in last)
