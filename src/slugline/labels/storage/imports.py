"""Labels of other tools and models that a label store imports."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from slugline.base.checks import short_repr
from slugline.base.databases import is_time
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import Selection
from slugline.corpus.label_database.tables import (
    ASSIGNMENT_COLUMNS,
    DECISION_COLUMNS,
    N_ASSIGNMENT_COLUMNS,
)
from slugline.errors import DataError, Parameter
from slugline.labels.cells import ImportedLabel, selection_cells
from slugline.labels.storage.base import batches, find_row
from slugline.labels.storage.codebook import CodebookStore
from slugline.labels.storage.decisions import DecisionStore, NewDecision, topic_numbers


class ImportStore(CodebookStore, DecisionStore):
    """Stores labels that were given elsewhere."""

    def import_labels(
        self, coder: str, labels: Iterable[ImportedLabel], *, add_topics: bool = True
    ) -> int:
        """Store labels of another tool or model; return how many are new.

        A label equal to the coder's current imported label of the document is not stored again, so
        that an interrupted import can be repeated. A label with other topics supersedes the earlier
        one.

        Parameters
        ----------
        coder : str
        labels : iterable of ImportedLabel
        add_topics : bool, default True
            Whether to add topics that the codebook lacks; if False, they raise DataError.
        """
        n_new = 0
        for batch in batches(labels):
            with self._database.writing() as connection:
                reader = self._reader(connection)
                withdrawn = reader.last_withdrawn().get(reader.coder(coder).id, 0)
                for label in batch:
                    topics = label.topics or ()
                    if add_topics and any(reader.codebook.find(name) is None for name in topics):
                        reader = self._add_missing_topics(connection, reader, coder, topics)
                    n_new += self._import_label(connection, reader, coder, label, withdrawn)
        return n_new

    def _import_label(
        self,
        connection: sqlite3.Connection,
        reader: LabelReader,
        coder: str,
        label: ImportedLabel,
        last_withdrawn: int,
    ) -> bool:
        """Store one label unless it is stored already; return whether it is new.

        Decisions up to the number `last_withdrawn` were withdrawn.
        """
        if label.at is not None and not is_time(label.at):
            raise DataError(Parameter("at"), f" is {short_repr(label.at)}; give a time in UTC.")
        find_row(connection, "documents", "id", label.document)
        by = reader.coder(coder).id
        cells = connection.execute(
            f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
            "FROM assignments LEFT JOIN decisions ON decisions.assignment = assignments.id "
            "WHERE document = ? AND coder = ? AND assignments.reason = 'imported' "
            "ORDER BY decisions.id DESC LIMIT 1",
            (label.document, by),
        ).fetchone()
        if cells is None:
            selection = selection_cells(Selection("imported"))
            row = {"coder": by, "document": label.document, **selection}
            assignment = self._insert(connection, "assignments", **row)
            last = None
        else:
            assignment = cells[0]
            last = None if cells[N_ASSIGNMENT_COLUMNS] is None else reader.decision(cells)
        is_skip = label.topics is None
        new = NewDecision(
            assignment,
            "skip" if is_skip else "label",
            reason=label.reason if is_skip else None,
            note=label.note,
            supersedes=None if last is None else last.id,
            at=label.at,
        )
        topics = [] if label.topics is None else topic_numbers(reader, label.topics)
        if last is not None and last.id > last_withdrawn:
            last_topics = {reader.codebook.resolve(topic).id for topic in last.topic_ids}
            earlier = (last.kind, last_topics, last.reason, last.note)
            if earlier == (new.kind, {*topics}, new.reason, new.note):
                return False
        self._insert_decision(connection, new, topics)
        return True
