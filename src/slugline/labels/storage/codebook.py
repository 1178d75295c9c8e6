"""Coders and topics of a label store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from slugline.base.checks import short_repr
from slugline.base.databases import to_cell
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.codebook import Codebook, CodebookTopic
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import CODER_KINDS, Coder, CoderKind
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels.cells import examples_cell, missing_row, name_cell, note_cell
from slugline.labels.storage.base import LabelRows

# Whether a current label, or a settlement, has a topic.
_HAS_LABEL = (
    "SELECT EXISTS (SELECT 1 FROM decisions, json_each(CAST(topics AS TEXT)) AS each "
    "WHERE kind = 'label' AND each.value = :topic AND decisions.id IN "
    "(SELECT max(id) FROM decisions GROUP BY assignment)) OR EXISTS "
    "(SELECT 1 FROM settlements, json_each(CAST(topics AS TEXT)) AS each "
    "WHERE kind = 'label' AND each.value = :topic AND settlements.id IN "
    "(SELECT max(id) FROM settlements GROUP BY document))"
)


class CodebookStore(LabelRows):
    """Stores coders, and topics with their descriptions; nothing of a topic is overwritten."""

    def add_coder(self, name: str, kind: CoderKind = "person") -> Coder:
        """Return the coder with this name, who is stored if there is none.

        Raises DataError if a coder of the other kind has this name.
        """
        if kind not in CODER_KINDS:
            raise OptionError(
                Parameter("kind"), f" is {short_repr(kind)}; choose 'person' or 'imported'."
            )
        cell = name_cell("name", name)
        if not name.strip():
            raise DataError(Parameter("name"), " is blank; name the coder.")
        with self._database.writing() as connection:
            if not connection.execute("SELECT 1 FROM coders WHERE name = ?", (cell,)).fetchone():
                self._insert(connection, "coders", name=cell, kind=kind)
            coder = self._reader(connection).coder(name)
        if coder.kind != kind:
            other = "a person" if coder.kind == "person" else "imported"
            raise DataError(f"coder {short_repr(name)} is {other} already; choose another name.")
        return coder

    def coders(self) -> list[Coder]:
        """Return all coders in the order in which they were added."""
        with self._database.reading() as connection:
            return [*self._reader(connection).coders.values()]

    def codebook(self) -> Codebook:
        """Return the codebook as it is now, with all changes."""
        with self._database.reading() as connection:
            return self._reader(connection).codebook

    def add_topic(
        self,
        name: str,
        coder: str,
        *,
        description: str = "",
        examples: Sequence[str] = (),
        request: str | None = None,
    ) -> CodebookTopic:
        """Add a topic; return the one in use with this name if there is one."""
        check_topic_names([name])
        cells = _description_cells(description, examples)

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            existing = reader.codebook.find_active(name)
            if existing is not None:
                return existing.id
            by = reader.coder(coder).id
            return self._insert(
                connection, "codebook", coder=by, kind="added", topic=0, name=to_cell(name), **cells
            )

        content = ("add topic", name, coder, description, *examples)
        return self._change(request, content, change, _read_topic)

    def describe_topic(
        self,
        name: str,
        coder: str,
        *,
        description: str,
        examples: Sequence[str] = (),
        request: str | None = None,
    ) -> CodebookTopic:
        """Give a topic a new description and new examples."""
        cells = _description_cells(description, examples)

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            topic, by = reader.topic(name).id, reader.coder(coder).id
            self._insert(connection, "codebook", coder=by, kind="described", topic=topic, **cells)
            return topic

        content = ("describe topic", name, coder, description, *examples)
        return self._change(request, content, change, _read_topic)

    def rename_topic(
        self, name: str, new_name: str, coder: str, *, request: str | None = None
    ) -> CodebookTopic:
        """Rename a topic; all its labels have the new name from now on."""
        check_topic_names([new_name])

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            topic, by = reader.topic(name).id, reader.coder(coder).id
            other = reader.codebook.find_active(new_name)
            if other is not None and other.id != topic:
                raise DataError(
                    f"there is a topic {short_repr(new_name)} already; merge {short_repr(name)} "
                    "into it, or choose another name."
                )
            if other is None:
                cell = to_cell(new_name)
                self._insert(
                    connection, "codebook", coder=by, kind="renamed", topic=topic, name=cell
                )
            return topic

        return self._change(request, ("rename topic", name, new_name, coder), change, _read_topic)

    def merge_topic(
        self, name: str, into: str, coder: str, *, request: str | None = None
    ) -> CodebookTopic:
        """Merge a topic into another one, whose name its labels have from now on; return that."""

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            topic, target = reader.topic(name).id, reader.topic(into).id
            by = reader.coder(coder).id
            if target == topic:
                raise DataError(
                    f"{short_repr(name)} and {short_repr(into)} are one topic; name two topics."
                )
            self._insert(
                connection, "codebook", coder=by, kind="merged", topic=topic, target=target
            )
            return target

        return self._change(request, ("merge topic", name, into, coder), change, _read_topic)

    def remove_topic(self, name: str, coder: str, *, request: str | None = None) -> CodebookTopic:
        """Remove a topic that was added by mistake; return it.

        Raises DataError if a label has it, or one that was withdrawn, or if another topic was
        merged into it.
        """

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            topic, by = reader.topic(name).id, reader.coder(coder).id
            has_label = connection.execute(_HAS_LABEL, {"topic": topic}).fetchone()[0]
            if has_label or any(each.merged_into == topic for each in reader.codebook.all_topics()):
                raise DataError(
                    f"topic {short_repr(name)} has labels, or another topic was merged into it; "
                    "merge it into another one."
                )
            self._insert(connection, "codebook", coder=by, kind="removed", topic=topic)
            return topic

        return self._change(request, ("remove topic", name, coder), change, _read_topic)

    def separate_topic(
        self, number: int, coder: str, *, request: str | None = None
    ) -> CodebookTopic:
        """Undo the merge of a topic, given by number; see `Codebook.all_topics`."""

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            topics = {topic.id: topic for topic in reader.codebook.all_topics()}
            if number not in topics:
                raise missing_row("topic", number)
            topic, by = topics[number], reader.coder(coder).id
            if topic.merged_into is None:
                return topic.id
            if reader.codebook.find_active(topic.name) is not None:
                raise DataError(
                    f"there is another topic {short_repr(topic.name)} now; rename that one first."
                )
            self._insert(connection, "codebook", coder=by, kind="separated", topic=topic.id)
            return topic.id

        return self._change(request, ("separate topic", number, coder), change, _read_topic)

    def _add_missing_topics(
        self, connection: sqlite3.Connection, reader: LabelReader, coder: str, topics: Sequence[str]
    ) -> LabelReader:
        """Add topics to the codebook; return a reader that knows them."""
        missing = [name for name in dict.fromkeys(topics) if reader.codebook.find(name) is None]
        check_topic_names(missing)
        by, cells = reader.coder(coder).id, _description_cells("", ())
        for name in missing:
            self._insert(
                connection, "codebook", coder=by, kind="added", topic=0, name=to_cell(name), **cells
            )
        return self._reader(connection)


def _description_cells(description: str, examples: Sequence[str]) -> dict[str, bytes]:
    return {
        "description": note_cell("description", description),
        "examples": examples_cell(examples),
    }


def _read_topic(reader: LabelReader, number: int) -> CodebookTopic:
    return reader.codebook.resolve(number)
