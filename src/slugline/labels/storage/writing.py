"""Write settings, documents, coders and topics to a label database."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from slugline.base.checks import short_repr
from slugline.base.databases import to_cell, utc_now
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.codebook import CodebookTopic
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import CODER_KINDS, Coder, CoderKind
from slugline.corpus.label_database.tables import MULTILABEL
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels.cells import (
    DocumentCells,
    NewDocument,
    document_cells,
    examples_cell,
    missing_row,
    name_cell,
    note_cell,
)
from slugline.labels.storage.reading import MAX_ROWS, LabelReads

_T = TypeVar("_T")
# Maximum size of the checksums in one row, enough for a million texts.
_MAX_CHECKSUM_BYTES = 4_000_000
# SQL: true if a current label or settlement has a topic.
_HAS_LABEL = (
    "SELECT EXISTS (SELECT 1 FROM decisions, json_each(CAST(topics AS TEXT)) AS each "
    "WHERE kind = 'label' AND each.value = :topic AND decisions.id IN "
    "(SELECT max(id) FROM decisions GROUP BY assignment)) OR EXISTS "
    "(SELECT 1 FROM settlements, json_each(CAST(topics AS TEXT)) AS each "
    "WHERE kind = 'label' AND each.value = :topic AND settlements.id IN "
    "(SELECT max(id) FROM settlements GROUP BY document))"
)


class LabelWrites(LabelReads):
    """Writes settings, documents, coders and topics, each change as a new row."""

    @contextlib.contextmanager
    def _writing(self) -> Iterator[LabelReader]:
        """Yield a reader in a transaction that commits all changes, or none."""
        with self._database.writing() as connection:
            yield LabelReader(self._database, connection)

    def _insert(self, reader: LabelReader, table: str, **cells: Any) -> int:
        """Insert a row, at the current time unless `at` is given; return its number."""
        self._database.check_ids_left(reader.connection, table)
        cells = {"at": utc_now()} | cells
        marks = ", ".join("?" * len(cells))
        cursor = reader.connection.execute(
            f"INSERT INTO {table} ({', '.join(cells)}) VALUES ({marks})",  # noqa: S608
            tuple(cells.values()),
        )
        return cursor.lastrowid or 0

    def _change(
        self,
        request: str | None,
        content: tuple[Any, ...],
        change: Callable[[LabelReader], int],
        read: Callable[[LabelReader, int], _T],
    ) -> _T:
        """Apply a change once per request.

        `change` returns a row number, or 0 if nothing changed; `read` returns the result for it.
        Raises DataError if the request was used for another change.
        """
        key = None if request is None else name_cell("request", request)
        digest = hashlib.sha256(to_cell(repr(content))).digest()
        with self._writing() as reader:
            row = reader.connection.execute(
                "SELECT digest, row FROM requests WHERE key = ?", (key,)
            ).fetchone()
            if row is not None and row[0] != digest:
                raise DataError(
                    Parameter("request"),
                    f" {short_repr(request)} was used for another change; use a new name for "
                    "each change.",
                )
            if row is not None:
                return read(reader, row[1])
            number = change(reader)
            if key is not None and number:
                reader.connection.execute(
                    "INSERT INTO requests VALUES (?, ?, ?)", (key, digest, number)
                )
            # A new reader, because the change may have added coders or topics.
            return read(LabelReader(self._database, reader.connection), number)

    # Settings ---------------------------------------------------------------------------------

    def set_settings(self, settings: Mapping[str, str]) -> None:
        """Store settings by name, either all or none; earlier values stay in the file."""
        with self._writing() as reader:
            for name, value in settings.items():
                cells = {"name": name_cell("name", name), "value": note_cell("value", value)}
                self._insert(reader, "settings", **cells)

    def set_multilabel(self, is_multilabel: bool) -> None:
        """Allow any number of topics per document, or exactly one.

        Raises DataError if exactly one is set but a label has several topics or none. Changed and
        undone labels don't count; labels of a withdrawn coder do, because they may be restored.
        """
        with self._writing() as reader:
            if not is_multilabel:
                self._check_single(reader)
            value = b"yes" if is_multilabel else b"no"
            self._insert(reader, "settings", name=MULTILABEL.encode(), value=value)

    def _check_single(self, reader: LabelReader) -> None:
        for table, subject in (("decisions", "assignment"), ("settlements", "document")):
            row = reader.connection.execute(
                f"SELECT id FROM {table} WHERE kind = 'label' AND "  # noqa: S608
                "(topics = x'5b5d' OR instr(topics, x'2c')) AND "  # [] or a comma
                f"id IN (SELECT max(id) FROM {table} GROUP BY {subject}) LIMIT 1"
            ).fetchone()
            if row is not None:
                raise DataError(
                    f"{self.path} has a label of several topics, or of none ({table[:-1]} "
                    f"{row[0]}), so it can't become single-label."
                )
        row = reader.connection.execute(
            "SELECT id FROM corrections WHERE json_array_length(CAST(topics AS TEXT)) <> 1 "
            "AND NOT EXISTS (SELECT 1 FROM undone WHERE correction = corrections.id) LIMIT 1"
        ).fetchone()
        if row is not None:
            raise DataError(
                f"correction {row[0]} in {self.path} has several topics or none; undo it first."
            )

    # Documents --------------------------------------------------------------------------------

    def add_documents(self, documents: Iterable[NewDocument]) -> list[int]:
        """Store documents that are not stored yet; return the number of each.

        If the text of a key has changed, it is a new document that replaces the earlier one: a
        label belongs to the text that was shown.
        """
        numbers: list[int] = []
        for batch in batches(map(document_cells, documents)):
            with self._writing() as reader:
                numbers += [self._add_document(reader, cells) for cells in batch]
        return numbers

    def _add_document(self, reader: LabelReader, cells: DocumentCells) -> int:
        last = reader.connection.execute(
            "SELECT id, digest FROM documents WHERE key = ? ORDER BY id DESC LIMIT 1", (cells.key,)
        ).fetchone()
        if last is not None and last[1] == cells.digest:
            return int(last[0])
        replaces = 0 if last is None else last[0]
        return self._insert(reader, "documents", replaces=replaces, **cells._asdict())

    def add_arrival(self, checksums: bytes) -> None:
        """Store the checksums of new texts in the user's file."""
        with self._writing() as reader:
            execute = reader.connection.execute
            is_first = execute("SELECT 1 FROM arrivals LIMIT 1").fetchone() is None
            last = execute("SELECT coalesce(max(id), 0) FROM assignments").fetchone()[0]
            for first in range(0, max(len(checksums), 1), _MAX_CHECKSUM_BYTES):
                self._insert(
                    reader,
                    "arrivals",
                    last_assignment=0 if is_first else last,
                    checksums=checksums[first : first + _MAX_CHECKSUM_BYTES],
                )

    # Coders and topics ------------------------------------------------------------------------

    def add_coder(self, name: str, kind: CoderKind = "person") -> Coder:
        """Return the coder with this name, stored if new.

        Raises DataError if a coder of the other kind has this name.
        """
        if kind not in CODER_KINDS:
            raise OptionError(
                Parameter("kind"), f" is {short_repr(kind)}; choose 'person' or 'imported'."
            )
        with self._writing() as reader:
            return self._add_missing_coder(reader, name, kind).coder(name)

    def _add_missing_coder(self, reader: LabelReader, name: str, kind: CoderKind) -> LabelReader:
        """Store a coder unless known; return a reader that includes the coder."""
        cell = name_cell("name", name)
        if not name.strip():
            raise DataError(Parameter("name"), " is blank; pass a coder name.")
        query = "SELECT 1 FROM coders WHERE name = ?"
        if reader.connection.execute(query, (cell,)).fetchone() is None:
            self._insert(reader, "coders", name=cell, kind=kind)
        reader = LabelReader(self._database, reader.connection)
        if reader.coder(name).kind != kind:
            other = "an imported coder" if kind == "person" else "a person"
            raise DataError(f"{short_repr(name)} is already used for {other}; choose another name.")
        return reader

    def add_topic(
        self,
        name: str,
        coder: str,
        *,
        description: str = "",
        examples: Sequence[str] = (),
        request: str | None = None,
    ) -> CodebookTopic:
        """Add a topic, or return the one in use with this name."""
        check_topic_names([name])
        cells = _description_cells(description, examples)

        def change(reader: LabelReader) -> int:
            existing = reader.codebook.find_active(name)
            if existing is not None:
                return existing.id
            return self._change_codebook(reader, coder, "added", 0, name=to_cell(name), **cells)

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

        def change(reader: LabelReader) -> int:
            topic = reader.topic(name).id
            self._change_codebook(reader, coder, "described", topic, **cells)
            return topic

        content = ("describe topic", name, coder, description, *examples)
        return self._change(request, content, change, _read_topic)

    def rename_topic(
        self, name: str, new_name: str, coder: str, *, request: str | None = None
    ) -> CodebookTopic:
        """Rename a topic in the codebook and in all labels."""
        check_topic_names([new_name])

        def change(reader: LabelReader) -> int:
            topic = reader.topic(name).id
            other = reader.codebook.find_active(new_name)
            if other is not None and other.id != topic:
                raise DataError(
                    f"topic {short_repr(new_name)} already exists; merge {short_repr(name)} into "
                    "it, or choose another name."
                )
            if other is None:
                self._change_codebook(reader, coder, "renamed", topic, name=to_cell(new_name))
            return topic

        return self._change(request, ("rename topic", name, new_name, coder), change, _read_topic)

    def merge_topic(
        self, name: str, into: str, coder: str, *, request: str | None = None
    ) -> CodebookTopic:
        """Merge a topic into another one, which replaces it in all labels; return the latter."""

        def change(reader: LabelReader) -> int:
            topic, target = reader.topic(name).id, reader.topic(into).id
            if target == topic:
                raise DataError(
                    f"{short_repr(name)} and {short_repr(into)} are the same topic; choose two "
                    "different ones."
                )
            self._change_codebook(reader, coder, "merged", topic, target=target)
            return target

        return self._change(request, ("merge topic", name, into, coder), change, _read_topic)

    def remove_topic(self, name: str, coder: str, *, request: str | None = None) -> CodebookTopic:
        """Remove a topic that was added by mistake; return it.

        Raises DataError if a label has it, even a withdrawn one, or if another topic was merged
        into it.
        """

        def change(reader: LabelReader) -> int:
            topic = reader.topic(name).id
            has_label = reader.connection.execute(_HAS_LABEL, {"topic": topic}).fetchone()[0]
            if has_label or any(each.merged_into == topic for each in reader.codebook.all_topics()):
                raise DataError(
                    f"topic {short_repr(name)} has labels, or another topic was merged into it; "
                    "merge it into another one."
                )
            self._change_codebook(reader, coder, "removed", topic)
            return topic

        return self._change(request, ("remove topic", name, coder), change, _read_topic)

    def separate_topic(
        self, number: int, coder: str, *, request: str | None = None
    ) -> CodebookTopic:
        """Undo the merge of a topic, given by number; see `Codebook.all_topics`."""

        def change(reader: LabelReader) -> int:
            topics = {topic.id: topic for topic in reader.codebook.all_topics()}
            if number not in topics:
                raise missing_row("topic", number)
            topic = topics[number]
            if topic.merged_into is None:
                return topic.id
            if reader.codebook.find_active(topic.name) is not None:
                raise DataError(
                    f"there is another topic {short_repr(topic.name)} now; rename that one first."
                )
            self._change_codebook(reader, coder, "separated", topic.id)
            return topic.id

        return self._change(request, ("separate topic", number, coder), change, _read_topic)

    def _add_missing_topics(
        self, reader: LabelReader, coder: str, topics: Sequence[str]
    ) -> LabelReader:
        """Add topics to the codebook; return a reader that includes them."""
        missing = [name for name in dict.fromkeys(topics) if reader.codebook.find(name) is None]
        if not missing:
            return reader
        check_topic_names(missing)
        cells = _description_cells("", ())
        for name in missing:
            self._change_codebook(reader, coder, "added", 0, name=to_cell(name), **cells)
        return LabelReader(self._database, reader.connection)

    def _change_codebook(
        self, reader: LabelReader, coder: str, kind: str, topic: int, **cells: Any
    ) -> int:
        by = reader.coder(coder).id
        return self._insert(reader, "codebook", coder=by, kind=kind, topic=topic, **cells)


def _description_cells(description: str, examples: Sequence[str]) -> dict[str, bytes]:
    return {
        "description": note_cell("description", description),
        "examples": examples_cell(examples),
    }


def _read_topic(reader: LabelReader, number: int) -> CodebookTopic:
    return reader.codebook.resolve(number)


def batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield lists of up to `MAX_ROWS` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, MAX_ROWS)):
        yield batch
