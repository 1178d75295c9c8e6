"""Stores labels in a SQLite file, flushed to disk before a label is acknowledged.

The file says who gave which topic to which text, when, why the text was selected, and with which
probability. Nothing is deleted: a change, an undo or a withdrawal is a row of its own that refers
to an earlier one. Several threads and processes may use one file.

- `LabelStore.add_documents` stores documents that are shown or imported, and no others, under keys
  from `document_keys`, which stay the same if the user's file grows, shrinks or is reordered.
- `add_arrival` stores checksums of texts that are new in the user's file, shown or not.
- `add_coder`, and the codebook: `add_topic`, `describe_topic`, `rename_topic`, `merge_topic`,
  `separate_topic`, `codebook`.
- `assign` records that a document was selected for a coder, before it is shown; `open_assignments`
  are what a coder hasn't decided yet. Then `label`, `skip` and `undo`.
- `label_copies` gives the topics of a document to near copies of it, `undo_copies` takes them back.
- `settle` answers for coders who disagree; `withdraw` takes back all labels of a coder.
- `import_labels` stores labels of another tool or model at once.
- `labels` yields documents with the decision of each coder and the answer, `random_draws` what
  became of random draws, `current_decisions` the decision about each assignment, `decisions` the
  history; `counts` counts. `to_records` and `to_frame` return tables.

Records (`Selection`, `LabelDecision`, `DocumentLabels`, ...) are defined in
`slugline.corpus.label_database`, and new documents and labels in `slugline.labels.cells`.

All changes take `request`, a name that the caller makes up for each intended change (such as a
UUID): a change that arrives again with the same name is done once, and returns the same row.

Examples
--------
>>> import tempfile
>>> from pathlib import Path
>>> folder = tempfile.TemporaryDirectory()
>>> store = LabelStore(Path(folder.name, "labels.db"))
>>> kim = store.add_coder("Kim")
>>> for name in ("grain", "earn"):
...     topic = store.add_topic(name, "Kim")
>>> texts = ["Wheat rose", "Net profit fell", "Maize"]
>>> from slugline.labels.cells import NewDocument, document_keys
>>> documents = [NewDocument(key, text) for key, text in zip(document_keys(texts), texts)]
>>> first, second, _ = store.add_documents(documents)
>>> assignment = store.assign("Kim", first, Selection("random", 1 / 3, n_candidates=3))
>>> decision = store.label(assignment.id, ["grain"], request="click 1")
>>> store.label(assignment.id, ["grain"], request="click 1") == decision
True
>>> [(each.document.text, each.answer) for each in store.labels()]
[('Wheat rose', ('grain',)), ('Net profit fell', None), ('Maize', None)]
>>> undone = store.undo(decision.id)
>>> [each.status for each in store.labels()]
['unlabelled', 'unlabelled', 'unlabelled']
>>> store.close(); folder.cleanup()
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import Database, is_time, to_cell, utc_now
from slugline.base.files import PathLike
from slugline.base.frames import to_frame
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database import (
    ASSIGNMENT_COLUMNS,
    CODER_KINDS,
    DECISION_COLUMNS,
    DOCUMENT_COLUMNS,
    FORMAT,
    MULTILABEL,
    N_ASSIGNMENT_COLUMNS,
    SETTLEMENT_COLUMNS,
    SKIP_REASONS,
    Assignment,
    Codebook,
    CodebookTopic,
    Coder,
    CoderKind,
    DocumentLabels,
    LabelDecision,
    LabelReader,
    Selection,
    Settlement,
    SkipReason,
    StoredDocument,
    Withdrawal,
    read_labels,
)
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels.cells import (
    ImportedLabel,
    NewDocument,
    check_number,
    document_cells,
    examples_cell,
    missing_row,
    name_cell,
    note_cell,
    selection_cells,
)
from slugline.labels.label_counts import LabelCounter, LabelCounts
from slugline.labels.label_records import (
    LabelTable,
    check_label_table,
    codebook_records,
    decision_records,
    document_records,
)

_T = TypeVar("_T")
# The largest number of topics of a document.
_MAX_TOPICS = 1000
# The largest number of rows that are written, or read, together.
_MAX_ROWS = 1000
# The largest size of the checksums in one row: those of a million texts.
_MAX_CHECKSUM_BYTES = 4_000_000


class RandomDraw(NamedTuple):
    """A random draw and what became of it.

    Attributes
    ----------
    assignment : Assignment
    decision : LabelDecision or None
        The current decision; None if the document was shown and never decided, or the decision was
        undone or withdrawn.
    """

    assignment: Assignment
    decision: LabelDecision | None


class Arrival(NamedTuple):
    """Texts that were new in the user's file at one time; see `slugline.labels.arrivals`.

    Attributes
    ----------
    last_assignment : int
        The number of the last assignment before they came; 0 for the first texts of a store.
    checksums : bytes
        A checksum of 4 bytes for each text.
    """

    last_assignment: int
    checksums: bytes


class LabelConflictError(DataError):
    """A change of something that was changed in the meantime."""


class LabelStore(contextlib.AbstractContextManager["LabelStore"]):
    """Labels in one file, for several threads; a context manager.

    All methods raise StoreError if the file can't be read or written, or is damaged, and DataError
    if a value can't be stored or refers to something that doesn't exist. Coders and topics are
    given by name.

    Parameters
    ----------
    path : str or Path
    patience : float, default 5.0
        Seconds to wait while another process or thread writes.
    create : bool, default True
        Whether to create a missing file.
    is_read_only : bool, default False
        Whether the file is only read, so that it may be in a folder without write permission.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or is of another program or version.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with LabelStore(f"{folder.name}/labels.db") as store:
    ...     coder = store.add_coder("Kim")
    ...     topic = store.add_topic("billing", "Kim", description="Invoices and payments")
    ...     [(row["name"], row["description"]) for row in store.to_records("codebook")]
    [('billing', 'Invoices and payments')]
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: PathLike,
        *,
        patience: float = 5.0,
        create: bool = True,
        is_read_only: bool = False,
    ) -> None:
        self._database = Database(
            path, FORMAT, patience=patience, create=create, is_read_only=is_read_only
        )

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._database.path

    @property
    def problem(self) -> str | None:
        """The error of the last use of the file; None if there was none."""
        return self._database.problem

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; later calls raise StoreError."""
        self._database.close()

    # Settings --------------------------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """Return the latest value of a setting, such as the user's file; None if there is none."""
        with self._database.reading() as connection:
            return self._reader(connection).setting(name)

    def set_settings(self, settings: Mapping[str, str]) -> None:
        """Store settings by name, either all or none; earlier values stay in the file."""
        with self._database.writing() as connection:
            for name, value in settings.items():
                self._insert(
                    connection,
                    "settings",
                    name=name_cell("name", name),
                    value=note_cell("value", value),
                )

    @property
    def is_multilabel(self) -> bool:
        """Whether documents may have several topics, or none."""
        return self.setting(MULTILABEL) == "yes"

    def set_multilabel(self, is_multilabel: bool) -> None:
        """Let documents have several topics, or one each.

        Raises DataError if they may have one, and some label has several or none. Labels that were
        changed or undone don't count; those of a withdrawn coder do, as they may be restored.
        """
        with self._database.writing() as connection:
            if not is_multilabel:
                self._check_single(connection)
            value = b"yes" if is_multilabel else b"no"
            self._insert(connection, "settings", name=MULTILABEL.encode(), value=value)

    def _check_single(self, connection: sqlite3.Connection) -> None:
        for table, subject in (("decisions", "assignment"), ("settlements", "document")):
            row = connection.execute(
                f"SELECT id FROM {table} WHERE kind = 'label' AND "  # noqa: S608
                "(topics = x'5b5d' OR instr(topics, x'2c')) AND "  # [] or a comma
                f"id IN (SELECT max(id) FROM {table} GROUP BY {subject}) LIMIT 1"
            ).fetchone()
            if row is not None:
                raise DataError(
                    f"{self.path} has a label of several topics, or of none ({table[:-1]} "
                    f"{row[0]}), so documents can't have one topic each; keep several possible."
                )

    # Documents -------------------------------------------------------------------------------

    def add_documents(self, documents: Iterable[NewDocument]) -> list[int]:
        """Store documents; return the number of each.

        A document that is stored already, with the same key and text, is not stored again. If its
        text has changed, it is a new document, which replaces the earlier one: a label belongs to
        the text that was shown.
        """
        numbers: list[int] = []
        for batch in _batches(map(document_cells, documents)):
            with self._database.writing() as connection:
                numbers += [self._add_document(connection, *cells) for cells in batch]
        return numbers

    def _add_document(
        self, connection: sqlite3.Connection, key: bytes, digest: bytes, columns: bytes, text: bytes
    ) -> int:
        last = connection.execute(
            "SELECT id, digest FROM documents WHERE key = ? ORDER BY id DESC LIMIT 1", (key,)
        ).fetchone()
        if last is not None and last[1] == digest:
            return int(last[0])
        return self._insert(
            connection,
            "documents",
            replaces=0 if last is None else last[0],
            key=key,
            digest=digest,
            columns=columns,
            text=text,
        )

    def document(self, number: int) -> StoredDocument:
        """Return a document by number; DataError if there is none."""
        with self._database.reading() as connection:
            cells = _find(connection, "documents", DOCUMENT_COLUMNS, number)
            return self._reader(connection).document(cells)

    def find_document(self, key: str) -> StoredDocument | None:
        """Return the latest document with a key; None if there is none."""
        with self._database.reading() as connection:
            cells = connection.execute(
                f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE key = ? "  # noqa: S608
                "ORDER BY id DESC LIMIT 1",
                (to_cell(key),),
            ).fetchone()
            return None if cells is None else self._reader(connection).document(cells)

    def find_keys(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the number of the latest document with each key that there is."""
        query = "SELECT max(id) FROM documents WHERE key = ?"
        with self._database.reading() as connection:
            found = [(key, connection.execute(query, (to_cell(key),)).fetchone()) for key in keys]
        return {key: int(row[0]) for key, row in found if row[0] is not None}

    def find_texts(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Return the numbers of the documents with each text that there is, in order.

        Documents that others have replaced are left out.
        """
        query = (
            "SELECT id FROM documents WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM documents AS "
            "other WHERE other.key = documents.key AND other.replaces = documents.id) ORDER BY id"
        )
        found: dict[str, list[int]] = {}
        with self._database.reading() as connection:
            for text in dict.fromkeys(texts):
                digest = hashlib.sha256(to_cell(text)).digest()
                numbers = [int(row[0]) for row in connection.execute(query, (digest,))]
                if numbers:
                    found[text] = numbers
        return found

    def document_labels(self, number: int, *, has_texts: bool = True) -> DocumentLabels:
        """Return a document by number with its labels, as `labels` does; DataError if none is."""
        with self._database.reading() as connection:
            _find(connection, "documents", "id", number)
            return self._reader(connection).page(number - 1, number, has_texts=has_texts)[0]

    def add_arrival(self, checksums: bytes) -> None:
        """Store the checksums of texts that are new in the user's file now."""
        with self._database.writing() as connection:
            is_first = connection.execute("SELECT 1 FROM arrivals LIMIT 1").fetchone() is None
            last = connection.execute("SELECT coalesce(max(id), 0) FROM assignments").fetchone()[0]
            for first in range(0, max(len(checksums), 1), _MAX_CHECKSUM_BYTES):
                self._insert(
                    connection,
                    "arrivals",
                    last_assignment=0 if is_first else last,
                    checksums=checksums[first : first + _MAX_CHECKSUM_BYTES],
                )

    def arrivals(self) -> list[Arrival]:
        """Return the checksums of texts by when they came, in order."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM arrivals ORDER BY id").fetchall()
        for number, _, last, checksums in rows:
            is_valid = isinstance(last, int) and last >= 0 and isinstance(checksums, bytes)
            if not is_valid or len(checksums) % 4:
                raise self._database.damaged_row(f"arrival {number}", "invalid checksums")
        return [Arrival(last, checksums) for *_, last, checksums in rows]

    # Coders and topics -----------------------------------------------------------------------

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

    # Assignments and decisions ---------------------------------------------------------------

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
            _find(connection, "documents", "id", document)
            earlier = connection.execute(
                f"SELECT id FROM assignments WHERE coder = ? AND document = ? AND {_IS_OPEN}",  # noqa: S608
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
            return _read_assignment(reader, number) if number else None

        content = ("assign", coder, document, *map(str, cells.values()))
        return self._change(request, content, change, read)

    def assignment(self, number: int) -> Assignment:
        """Return an assignment by number; DataError if there is none."""
        with self._database.reading() as connection:
            return _read_assignment(self._reader(connection), number)

    def open_assignments(self, coder: str) -> list[Assignment]:
        """Return what a coder was asked and has not decided, the earliest first.

        Assignments of a text that the user has changed since are left out.
        """
        with self._database.reading() as connection:
            reader = self._reader(connection)
            rows = connection.execute(
                f"SELECT {ASSIGNMENT_COLUMNS} FROM assignments "  # noqa: S608
                f"WHERE coder = ? AND {_IS_OPEN} AND {_IS_CURRENT} ORDER BY id",
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

    def shown_again(self) -> dict[int, str]:
        """Return when each document was first shown again as its label was contradicted."""
        with self._database.reading() as connection:
            query = "SELECT document, min(at) FROM assignments WHERE reason = 'audit' GROUP BY 1"
            return dict(connection.execute(query).fetchall())

    def assigned_documents(self) -> dict[int, int]:
        """Return the number of coders of each document that has any."""
        with self._database.reading() as connection:
            query = "SELECT document, count(DISTINCT coder) FROM assignments GROUP BY document"
            return dict(connection.execute(query).fetchall())

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
        decision = _NewDecision(
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
        decision = _NewDecision(
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
            [assignment] = _find(connection, "decisions", "assignment", decision)
        return self._decide(_NewDecision(assignment, "undo", supersedes=decision), request)

    def _decide(self, new: _NewDecision, request: str | None) -> LabelDecision:
        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            _find(connection, "assignments", "id", new.assignment)
            topics = self._topic_numbers(reader, new.topics) if new.kind == "label" else []
            last, kind = connection.execute(
                "SELECT id, kind FROM decisions WHERE assignment = ? ORDER BY id DESC LIMIT 1",
                (new.assignment,),
            ).fetchone() or (None, "undo")
            if new.supersedes != last and (new.supersedes is not None or kind != "undo"):
                raise _conflict(f"assignment {new.assignment}", "decision", last, new.supersedes)
            return self._insert_decision(connection, new._replace(supersedes=last), topics)

        return self._change(request, ("decide", *new), change, _read_decision)

    def _insert_decision(
        self, connection: sqlite3.Connection, new: _NewDecision, topics: Sequence[int]
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

    def _topic_numbers(self, reader: LabelReader, topics: Sequence[str]) -> list[int]:
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

    # Near copies -----------------------------------------------------------------------------

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
            numbers = [self._add_document(connection, *cells) for cells in rows]
            return sum(self._label_copy(reader, last, number) for number in numbers)

        content = ("label copies", assignment, *(document.key for document in documents))
        return self._change(request, content, change, lambda _, n_labels: n_labels)

    def _label_copy(self, reader: LabelReader, label: LabelDecision, document: int) -> bool:
        """Give the topics of a label to a near copy; return whether it has got them."""
        connection, assignment = reader.connection, label.assignment
        is_open = connection.execute(
            f"SELECT 1 FROM assignments WHERE document = ? AND {_IS_OPEN}",  # noqa: S608
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
            new = _NewDecision(last.assignment.id, "label", supersedes=last.id)
        elif decisions or is_open is not None:
            return False
        else:
            selection = selection_cells(Selection("near copy", original=assignment.id))
            cells = {"coder": assignment.coder.id, "document": document, **selection}
            new = _NewDecision(self._insert(connection, "assignments", **cells), "label")
        self._insert_decision(connection, new, label.topic_ids)
        return True

    def undo_copies(self, assignment: int, *, request: str | None = None) -> int:
        """Take back the labels of the near copies of a document; return how many."""

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            copies = _copies(reader, assignment)
            for each in copies:
                undo = _NewDecision(each.assignment.id, "undo", supersedes=each.id)
                self._insert_decision(connection, undo, ())
            return len(copies)

        return self._change(request, ("undo copies", assignment), change, lambda _, n: n)

    def copies(self, assignment: int) -> list[LabelDecision]:
        """Return the labels of near copies that were labelled with a document."""
        with self._database.reading() as connection:
            return _copies(self._reader(connection), assignment)

    def _last_decision(self, reader: LabelReader, assignment: int) -> LabelDecision | None:
        """Return the last decision about an assignment; None if there is none."""
        _find(reader.connection, "assignments", "id", assignment)
        row = reader.connection.execute(
            "SELECT max(id) FROM decisions WHERE assignment = ?", (assignment,)
        ).fetchone()
        return None if row[0] is None else _read_decision(reader, row[0])

    # Several coders --------------------------------------------------------------------------

    def settle(
        self,
        document: int,
        topics: Sequence[str] | None,
        person: str,
        *,
        note: str | None = None,
        supersedes: int | None = None,
        request: str | None = None,
    ) -> Settlement:
        """Store what a person decides about a document, in place of the labels of its coders.

        Parameters
        ----------
        document : int
        topics : sequence of str, or None
            None if the document is to have no answer.
        person : str
            The coder who settles it.
        note, request : str, optional
        supersedes : int, optional
            The number of the current settlement, unless there is none or it was undone.
        """
        if isinstance(topics, str):
            raise DataError(Parameter("topics"), f" is {short_repr(topics)}; give a list.")
        kind = "skip" if topics is None else "label"
        new = _NewDecision(
            document, kind, topics=tuple(topics or ()), note=note, supersedes=supersedes
        )
        return self._settle(new, person, request)

    def undo_settlement(
        self, settlement: int, person: str, *, request: str | None = None
    ) -> Settlement:
        """Take a settlement back; the labels of the coders count again."""
        with self._database.reading() as connection:
            [document] = _find(connection, "settlements", "document", settlement)
        return self._settle(_NewDecision(document, "undo", supersedes=settlement), person, request)

    def _settle(self, new: _NewDecision, person: str, request: str | None) -> Settlement:
        """Store a decision about a document, whose number stands for that of an assignment."""
        document = new.assignment

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            by = reader.coder(person)
            if by.kind != "person":
                raise DataError(f"{short_repr(person)} is not a person; let one settle this.")
            _find(connection, "documents", "id", document)
            topics = self._topic_numbers(reader, new.topics) if new.kind == "label" else []
            last, kind = connection.execute(
                "SELECT id, kind FROM settlements WHERE document = ? ORDER BY id DESC LIMIT 1",
                (document,),
            ).fetchone() or (None, "undo")
            if new.supersedes != last and (new.supersedes is not None or kind != "undo"):
                raise _conflict(f"document {document}", "settlement", last, new.supersedes)
            return self._insert(
                connection,
                "settlements",
                document=document,
                supersedes=last or 0,
                person=by.id,
                kind=new.kind,
                topics=msgspec.json.encode(topics),
                note=None if new.note is None else note_cell("note", new.note),
            )

        return self._change(request, ("settle", person, *new), change, _read_settlement)

    def settlements(self, n: int) -> list[Settlement]:
        """Return the latest settlements that were not undone, up to `n`, the latest first."""
        with self._database.reading() as connection:
            reader = self._reader(connection)
            rows = connection.execute(
                f"SELECT {SETTLEMENT_COLUMNS} FROM settlements WHERE kind <> 'undo' AND id IN "  # noqa: S608
                "(SELECT max(id) FROM settlements GROUP BY document) ORDER BY id DESC LIMIT ?",
                (n,),
            ).fetchall()
            return [reader.settlement(cells) for cells in rows]

    def withdraw(self, coder: str, person: str, *, request: str | None = None) -> int:
        """Withdraw all labels that a coder has given so far; return the withdrawal's number.

        Labels that the coder gives later count. Raises DataError if there is nothing to withdraw.
        """

        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            number, by = reader.coder(coder).id, reader.coder(person).id
            last = connection.execute(
                "SELECT coalesce(max(decisions.id), 0) FROM decisions "
                "JOIN assignments ON assignments.id = assignment WHERE coder = ?",
                (number,),
            ).fetchone()[0]
            if last <= reader.withdrawn().get(number, 0):
                raise DataError(f"{short_repr(coder)} has no labels that could be withdrawn.")
            return self._insert(
                connection, "withdrawals", coder=number, person=by, last_decision=last, restores=0
            )

        return self._change(request, ("withdraw", coder, person), change, lambda _, number: number)

    def restore(self, withdrawal: int, person: str) -> None:
        """Undo a withdrawal, unless that was done already; DataError if there is none."""
        with self._database.writing() as connection:
            columns = "coder, last_decision, restores"
            coder, last, restores = _find(connection, "withdrawals", columns, withdrawal)
            if restores:
                raise missing_row("withdrawal", withdrawal)
            by = self._reader(connection).coder(person).id
            done = "SELECT 1 FROM withdrawals WHERE restores = ?"
            if connection.execute(done, (withdrawal,)).fetchone() is None:
                self._insert(
                    connection,
                    "withdrawals",
                    coder=coder,
                    person=by,
                    last_decision=last,
                    restores=withdrawal,
                )

    def withdrawals(self) -> list[Withdrawal]:
        """Return the withdrawals that were not undone, in order."""
        with self._database.reading() as connection:
            coders = self._reader(connection).coders
            rows = connection.execute(
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
        for batch in _batches(labels):
            with self._database.writing() as connection:
                reader = self._reader(connection)
                withdrawn = reader.withdrawn().get(reader.coder(coder).id, 0)
                for label in batch:
                    topics = label.topics or ()
                    if add_topics and any(reader.codebook.find(name) is None for name in topics):
                        reader = self._add_missing_topics(connection, reader, coder, topics)
                    n_new += self._import_label(connection, reader, coder, label, withdrawn)
        return n_new

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
        _find(connection, "documents", "id", label.document)
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
        new = _NewDecision(
            assignment,
            "skip" if is_skip else "label",
            reason=label.reason if is_skip else None,
            note=label.note,
            supersedes=None if last is None else last.id,
            at=label.at,
        )
        topics = [] if label.topics is None else self._topic_numbers(reader, label.topics)
        if last is not None and last.id > last_withdrawn:
            last_topics = {reader.codebook.resolve(topic).id for topic in last.topic_ids}
            earlier = (last.kind, last_topics, last.reason, last.note)
            if earlier == (new.kind, {*topics}, new.reason, new.note):
                return False
        self._insert_decision(connection, new, topics)
        return True

    # Reading ---------------------------------------------------------------------------------

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
                    (after, number, number, _MAX_ROWS),
                ).fetchall()
                page = [reader.decision(cells) for cells in rows]
            if not page:
                return
            yield from page
            after = page[-1].id

    def random_draws(self, after: int = 0) -> Iterator[RandomDraw]:
        """Yield random draws, in order, with what became of them; see `Selection.is_random`.

        Draws of a text that the user has changed since are left out.
        """
        for assignment, decision in self._decided(
            "assignments.reason IN ('random', 'double-coded')", after
        ):
            yield RandomDraw(assignment, decision)

    def current_decisions(self) -> Iterator[LabelDecision]:
        """Yield the current decision about each assignment, in the order of assignments.

        A coder may have several assignments of one document. Decisions that were undone or
        withdrawn are left out, and those about a text that the user has changed since.
        """
        for _, decision in self._decided("1", 0):
            if decision is not None:
                yield decision

    def _decided(
        self, condition: str, after: int
    ) -> Iterator[tuple[Assignment, LabelDecision | None]]:
        """Yield assignments with numbers above `after`, and the current decision about each."""
        while True:
            with self._database.reading() as connection:
                reader = self._reader(connection)
                withdrawn = reader.withdrawn()
                rows = connection.execute(
                    f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
                    "FROM assignments LEFT JOIN decisions ON decisions.id = "
                    "(SELECT max(id) FROM decisions WHERE assignment = assignments.id) "
                    f"WHERE {condition} AND assignments.id > ? AND {_IS_CURRENT} "
                    "ORDER BY assignments.id LIMIT ?",
                    (after, _MAX_ROWS),
                ).fetchall()
                page = [_decided_assignment(reader, withdrawn, cells) for cells in rows]
            if not page:
                return
            yield from page
            after = page[-1][0].id

    def counts(self) -> LabelCounts:
        """Return the numbers of documents by status, and of labels by topic, coder and reason."""
        names, counter = self.codebook().names(), LabelCounter()
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

    def to_records(self, table: LabelTable = "documents") -> Iterator[dict[str, Any]]:
        """Yield the rows of a table.

        Parameters
        ----------
        table : {"documents", "labels", "decisions", "codebook"}, default "documents"
            A row for each document: its id, key, text, status, topics, and the label of each coder;
            for each current label or skip of a coder, with why the document was selected and with
            which probability; for each decision, superseded, undone and withdrawn ones included; or
            for each topic, with its description.
        """
        check_label_table(table)
        if table == "documents":
            return document_records(self.labels(), self.coders())
        if table == "codebook":
            return codebook_records(self.codebook())
        return decision_records(self.current_decisions() if table == "labels" else self.decisions())

    def to_frame(self, table: LabelTable = "documents") -> Any:
        """Return `to_records` as a pandas data frame, or a polars one if pandas is missing.

        Raises OptionError if neither is installed.
        """
        return to_frame(self.to_records(table))

    # Helpers ---------------------------------------------------------------------------------

    def _reader(self, connection: sqlite3.Connection) -> LabelReader:
        return LabelReader(self._database, connection)

    def _insert(self, connection: sqlite3.Connection, table: str, **cells: Any) -> int:
        """Insert a row, of this moment unless `at` is given; return its number."""
        self._database.check_ids_left(connection, table)
        cells = {"at": utc_now()} | cells
        marks = ", ".join("?" * len(cells))
        cursor = connection.execute(
            f"INSERT INTO {table} ({', '.join(cells)}) VALUES ({marks})",  # noqa: S608
            tuple(cells.values()),
        )
        return cursor.lastrowid or 0

    def _change(
        self,
        request: str | None,
        content: tuple[Any, ...],
        change: Callable[[sqlite3.Connection, LabelReader], int],
        read: Callable[[LabelReader, int], _T],
    ) -> _T:
        """Apply a change unless its request was applied before; return the row that it names.

        Raises DataError if the earlier request with this name had another content.
        """
        key = None if request is None else name_cell("request", request)
        digest = hashlib.sha256(to_cell(repr(content))).digest()
        with self._database.writing() as connection:
            row = connection.execute(
                "SELECT digest, row FROM requests WHERE key = ?", (key,)
            ).fetchone()
            if row is not None and row[0] != digest:
                raise DataError(
                    Parameter("request"),
                    f" {short_repr(request)} was used for another change; make up a new name for "
                    "each.",
                )
            if row is not None:
                return read(self._reader(connection), row[1])
            number = change(connection, self._reader(connection))
            if key is not None and number:  # 0 if nothing was changed
                connection.execute("INSERT INTO requests VALUES (?, ?, ?)", (key, digest, number))
            return read(self._reader(connection), number)


class _NewDecision(NamedTuple):
    """A decision to store; see `LabelDecision`."""

    assignment: int
    kind: str
    topics: tuple[str, ...] = ()
    reason: str | None = None
    note: str | None = None
    is_guess_shown: bool = False
    supersedes: int | None = None
    at: str | None = None


# Whether the coder of an assignment has not decided, or took the decision back. Near copies that
# were taken back are texts that nobody has.
_IS_OPEN = (
    "(assignments.reason <> 'near copy' AND coalesce((SELECT kind FROM decisions "
    "WHERE assignment = assignments.id ORDER BY id DESC LIMIT 1), 'undo') = 'undo')"
)

# Whether the document of an assignment is the latest with its key.
_IS_CURRENT = (
    "NOT EXISTS (SELECT 1 FROM documents JOIN documents AS other ON other.key = documents.key "
    "AND other.replaces = documents.id WHERE documents.id = assignments.document)"
)


def _description_cells(description: str, examples: Sequence[str]) -> dict[str, bytes]:
    return {
        "description": note_cell("description", description),
        "examples": examples_cell(examples),
    }


def _conflict(
    owner: str, noun: str, last: int | None, supersedes: int | None
) -> LabelConflictError:
    current = f"no {noun}" if last is None else f"{noun} {last}"
    return LabelConflictError(
        f"{owner} has {current} now, and ",
        Parameter("supersedes"),
        f" is {supersedes}; look at it again, and decide then.",
    )


def _find(connection: sqlite3.Connection, table: str, columns: str, number: int) -> tuple[Any, ...]:
    """Return cells of a row by its number; DataError if there is none."""
    noun = table.removesuffix("s")
    check_number(number, noun)
    cells: tuple[Any, ...] | None = connection.execute(
        f"SELECT {columns} FROM {table} WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    if cells is None:
        raise missing_row(noun, number)
    return cells


def _read_topic(reader: LabelReader, number: int) -> CodebookTopic:
    return reader.codebook.resolve(number)


def _read_assignment(reader: LabelReader, number: int) -> Assignment:
    return reader.assignment(_find(reader.connection, "assignments", ASSIGNMENT_COLUMNS, number))


def _read_decision(reader: LabelReader, number: int) -> LabelDecision:
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


def _read_settlement(reader: LabelReader, number: int) -> Settlement:
    return reader.settlement(_find(reader.connection, "settlements", SETTLEMENT_COLUMNS, number))


def _copies(reader: LabelReader, assignment: int) -> list[LabelDecision]:
    """Return the current labels of near copies that were labelled with a document."""
    withdrawn = reader.withdrawn()
    rows = reader.connection.execute(
        f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} FROM assignments "  # noqa: S608
        "JOIN decisions ON decisions.id = "
        "(SELECT max(id) FROM decisions WHERE assignment = assignments.id) "
        "WHERE original = ? ORDER BY assignments.id",
        (assignment,),
    ).fetchall()
    decided = [_decided_assignment(reader, withdrawn, cells) for cells in rows]
    return [decision for _, decision in decided if decision is not None]


def _decided_assignment(
    reader: LabelReader, withdrawn: Mapping[int, int], cells: Sequence[Any]
) -> tuple[Assignment, LabelDecision | None]:
    assignment = reader.assignment(cells[:N_ASSIGNMENT_COLUMNS])
    if cells[N_ASSIGNMENT_COLUMNS] is None:
        return assignment, None
    decision = reader.decision(cells)
    is_valid = decision.kind != "undo" and decision.id > withdrawn.get(assignment.coder.id, 0)
    return assignment, decision if is_valid else None


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield lists of up to `_MAX_ROWS` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, _MAX_ROWS)):
        yield batch
