"""The tables of a label database, and the labels of each document, read page by page.

`slugline.labels.store` writes these tables. Rows are added and never changed: a change, an undo or
a withdrawal is a row of its own that refers to an earlier one, and is applied on reading.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import Database, DatabaseFormat, from_cell, is_time, to_cell
from slugline.base.wording import counted, join_words, percent
from slugline.corpus.documents import check_topic_names
from slugline.corpus.rows import RowIterator, make_row
from slugline.errors import DataError, StoreError

#: The largest size of a text, and of the other columns of a document in JSON, in bytes of UTF-8.
MAX_TEXT_BYTES = 16 << 20
#: The tables; in each, rows with larger numbers are later.
FORMAT = DatabaseFormat(
    content="labels",
    tables=(
        (
            "CREATE TABLE requests (key BLOB PRIMARY KEY, digest BLOB NOT NULL, "
            "row INTEGER NOT NULL)",
            "CREATE TABLE settings (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "name BLOB NOT NULL, value BLOB NOT NULL)",
            "CREATE TABLE coders (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "name BLOB NOT NULL UNIQUE, kind TEXT NOT NULL)",
            "CREATE TABLE codebook (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "coder INTEGER NOT NULL, kind TEXT NOT NULL, topic INTEGER NOT NULL, name BLOB, "
            "description BLOB, examples BLOB, target INTEGER)",
            # The text comes last, so that a query of other columns can skip its pages.
            "CREATE TABLE documents (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "replaces INTEGER NOT NULL, key BLOB NOT NULL, digest BLOB NOT NULL, "
            "columns BLOB NOT NULL, text BLOB NOT NULL, UNIQUE (key, replaces))",
            "CREATE TABLE arrivals (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "last_assignment INTEGER NOT NULL, checksums BLOB NOT NULL)",
            "CREATE INDEX documents_by_text ON documents (digest)",
            "CREATE TABLE assignments (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "coder INTEGER NOT NULL, document INTEGER NOT NULL, reason TEXT NOT NULL, "
            "probability REAL, n_candidates INTEGER, guess BLOB, is_guess_shown INTEGER NOT NULL, "
            "original INTEGER)",
            "CREATE INDEX assignments_by_document ON assignments (document, coder)",
            "CREATE INDEX assignments_by_coder ON assignments (coder)",
            "CREATE INDEX assignments_by_original ON assignments (original)",
            "CREATE TABLE decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "assignment INTEGER NOT NULL, supersedes INTEGER NOT NULL, kind TEXT NOT NULL, "
            "topics BLOB NOT NULL, reason TEXT, note BLOB, is_guess_shown INTEGER NOT NULL, "
            "UNIQUE (assignment, supersedes))",
            "CREATE TABLE withdrawals (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "coder INTEGER NOT NULL, person INTEGER NOT NULL, last_decision INTEGER NOT NULL, "
            "restores INTEGER NOT NULL)",
            "CREATE TABLE settlements (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "document INTEGER NOT NULL, supersedes INTEGER NOT NULL, person INTEGER NOT NULL, "
            "kind TEXT NOT NULL, topics BLOB NOT NULL, note BLOB, UNIQUE (document, supersedes))",
        ),
    ),
    max_row_bytes=2 * MAX_TEXT_BYTES + (1 << 17),
    hint="the file of labels that `slugline label -o` makes",
)
# The largest integer of SQLite, as a bound where none is asked for.
_MAX_NUMBER = (1 << 63) - 1
# The largest number of documents, and of bytes of their texts and columns, that are read together.
_PAGE_ROWS, _PAGE_BYTES = 500, 4 << 20

# Records ------------------------------------------------------------------------------------------

CoderKind = Literal["person", "imported"]
SelectionReason = Literal[
    "random", "spread", "suggested", "double-coded", "repeated", "audit", "near copy", "imported"
]
DecisionKind = Literal["label", "skip", "undo"]
SkipReason = Literal["unclear", "none of these", "not for me"]
CODER_KINDS: tuple[str, ...] = get_args(CoderKind)
SELECTION_REASONS: tuple[str, ...] = get_args(SelectionReason)
DECISION_KINDS: tuple[str, ...] = get_args(DecisionKind)
SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)
CODEBOOK_CHANGES = ("added", "described", "renamed", "merged", "separated", "removed")


class Coder(NamedTuple):
    """Somebody, or something, that gives topics to documents.

    Attributes
    ----------
    id : int
    at : str
        When the coder was added: ISO 8601, UTC, as in "2026-01-31T08:15:00.250Z".
    name : str
    kind : {"person", "imported"}
        The labels of an imported coder, such as a language model, don't count as answers.
    """

    id: int
    at: str
    name: str
    kind: CoderKind


class CodebookChange(NamedTuple):
    """A change of the codebook.

    Attributes
    ----------
    id : int
    at : str
    coder : str
        The name of the coder who made it.
    kind : {"added", "described", "renamed", "merged", "separated", "removed"}
        A topic that is separated is no longer merged into another one.
    topic : int
        The number of the topic: the `id` of the change that added it.
    name : str or None
        The new name of a topic that was added or renamed.
    description : str or None
    examples : tuple of str
    target : int or None
        The number of the topic that this one was merged into.
    """

    id: int
    at: str
    coder: str
    kind: str
    topic: int
    name: str | None = None
    description: str | None = None
    examples: tuple[str, ...] = ()
    target: int | None = None


class CodebookTopic(NamedTuple):
    """A topic as it is today.

    Attributes
    ----------
    id : int
    name : str
    description : str
        Empty if there is none.
    examples : tuple of str
    changed : str
        When it was last changed.
    merged_into : int or None
        The number of the topic whose name its labels have now.
    is_removed : bool
        Whether it was removed, as no label has it.
    """

    id: int
    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    changed: str = ""
    merged_into: int | None = None
    is_removed: bool = False


class Codebook:
    """Topics with descriptions, as they are after all changes.

    Attributes
    ----------
    changes : tuple of CodebookChange
        All changes in order.
    """

    def __init__(self, changes: Sequence[CodebookChange]) -> None:
        self.changes = tuple(changes)
        self._topics: dict[int, CodebookTopic] = {}
        self._former: dict[str, int] = {}  # former names, and names of merged topics
        for change in changes:
            self._apply(change)
        self._active = {topic.name: topic for topic in self.topics()}

    def _apply(self, change: CodebookChange) -> None:
        if change.kind == "added" and change.name is not None:
            topic = CodebookTopic(change.topic, change.name)
        else:
            topic = self._topics[change.topic]
        if change.kind in ("added", "renamed") and change.name is not None:
            topic = topic._replace(name=change.name)
            self._former[change.name] = topic.id
        if change.kind in ("added", "described"):
            description = change.description or ""
            topic = topic._replace(description=description, examples=change.examples)
        if change.kind == "merged" and change.target in self._topics:
            topic = topic._replace(merged_into=change.target)
        if change.kind == "separated":
            topic = topic._replace(merged_into=None)
        if change.kind == "removed":
            topic = topic._replace(is_removed=True)
        self._topics[topic.id] = topic._replace(changed=change.at)

    @property
    def version(self) -> int:
        """The number of the last change; 0 if there is none."""
        return self.changes[-1].id if self.changes else 0

    def topics(self) -> list[CodebookTopic]:
        """Return the topics in use, in the order in which they were added."""
        return [topic for topic in self.all_topics() if topic.merged_into is None]

    def names(self) -> list[str]:
        """Return the names of the topics in use."""
        return [topic.name for topic in self.topics()]

    def all_topics(self) -> list[CodebookTopic]:
        """Return all topics that were not removed, merged ones included."""
        return [topic for topic in self._topics.values() if not topic.is_removed]

    def resolve(self, number: int) -> CodebookTopic:
        """Return the topic in use that a topic is, or was merged into.

        Raises KeyError if there is no such topic, and ValueError if merges go in a circle.
        """
        topic = self._topics[number]
        for _ in range(len(self._topics)):
            if topic.merged_into is None:
                return topic
            topic = self._topics[topic.merged_into]
        raise ValueError(f"topic {number} is merged in a circle")  # as in a manipulated file

    def find(self, name: str) -> CodebookTopic | None:
        """Return the topic in use with this name, or with this former name; None if none has it."""
        if name in self._active:
            return self._active[name]
        topic = self.resolve(self._former[name]) if name in self._former else None
        return None if topic is None or topic.is_removed else topic

    def find_active(self, name: str) -> CodebookTopic | None:
        """Return the topic in use that has this name today; None if none has it."""
        return self._active.get(name)

    def current_names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Return the names of topics as they are today, each once."""
        return tuple(dict.fromkeys(self.resolve(number).name for number in numbers))


class ModelGuess(NamedTuple):
    """What a model said about a document when it was assigned.

    Attributes
    ----------
    topics : tuple of str
    probability : float, from 0 to 1
    """

    topics: tuple[str, ...]
    probability: float


class Selection(NamedTuple):
    """Why, and with which probability, a document was selected for a coder.

    Attributes
    ----------
    reason : {"random", "spread", "suggested", "double-coded", "repeated", "audit", "near copy", \
"imported"}
        Double-coded documents are random draws as well.
    probability : float or None
        The probability, above 0, with which this document was selected at this moment; None if it
        is unknown, as for imported labels.
    n_candidates : int or None
        The number of documents among which it was selected.
    guess : ModelGuess or None
        What the model said at this moment, whether or not it was shown.
    is_guess_shown : bool
        Whether the coder was to see the guess.
    original : int or None
        The number of the assignment whose document a near copy was labelled with.
    """

    reason: SelectionReason
    probability: float | None = None
    n_candidates: int | None = None
    guess: ModelGuess | None = None
    is_guess_shown: bool = False
    original: int | None = None

    @property
    def is_random(self) -> bool:
        """Whether the document is a random draw."""
        return self.reason in ("random", "double-coded")


class Assignment(NamedTuple):
    """A document that a coder was asked about.

    Attributes
    ----------
    id : int
    at : str
    coder : Coder
    document : int
        The number of the document.
    selection : Selection
    """

    id: int
    at: str
    coder: Coder
    document: int
    selection: Selection


class LabelDecision(NamedTuple):
    """What a coder decided about a document.

    Attributes
    ----------
    id : int
    at : str
    assignment : Assignment
    kind : {"label", "skip", "undo"}
    topics : tuple of str
        The topics by their names of today.
    topic_ids : tuple of int
        The numbers of the topics that were chosen, before any merges.
    reason : {"unclear", "none of these", "not for me"} or None
        Why the document was skipped.
    note : str or None
    is_guess_shown : bool
        Whether the coder saw the model's guess.
    supersedes : int or None
        The number of the decision that this one replaces.
    """

    id: int
    at: str
    assignment: Assignment
    kind: DecisionKind
    topics: tuple[str, ...] = ()
    topic_ids: tuple[int, ...] = ()
    reason: SkipReason | None = None
    note: str | None = None
    is_guess_shown: bool = False
    supersedes: int | None = None


class Settlement(NamedTuple):
    """What a person decided about a document on which coders disagree.

    Attributes
    ----------
    id : int
    at : str
    document : int
    person : Coder
    kind : {"label", "skip", "undo"}
    topics : tuple of str
        The topics by their names of today.
    note : str or None
    supersedes : int or None
        The number of the settlement that this one replaces.
    """

    id: int
    at: str
    document: int
    person: Coder
    kind: DecisionKind
    topics: tuple[str, ...] = ()
    note: str | None = None
    supersedes: int | None = None


class Withdrawal(NamedTuple):
    """All labels that a coder had given at a moment, taken back.

    Attributes
    ----------
    id : int
    at : str
    coder : Coder
    person : Coder
        Who withdrew them.
    last_decision : int
        The number of the last decision that was withdrawn.
    """

    id: int
    at: str
    coder: Coder
    person: Coder
    last_decision: int


class StoredDocument(NamedTuple):
    """A document of a label database.

    Attributes
    ----------
    id : int
    at : str
        When it was stored.
    key : str
        What identifies it in the user's file; see `slugline.labels.cells.document_keys`.
    text : str
    columns : dict
        Its other columns.
    replaces : int or None
        The number of the document that had this key before the user changed its text.
    """

    id: int
    at: str
    key: str
    text: str
    columns: dict[str, Any]
    replaces: int | None = None


Status = Literal["settled", "agreed", "open", "skipped", "unlabelled", "replaced"]


class DocumentLabels(NamedTuple):
    """A document with the current decision of each coder about it.

    Attributes
    ----------
    document : StoredDocument
    decisions : tuple of LabelDecision
        The latest decision of each coder, in order; without undone and withdrawn ones, and without
        those about texts that came again, which show how steady a coder is and change no label.
    settlement : Settlement or None
        The latest settlement that was not undone.
    is_replaced : bool
        Whether the user has changed the text since; the labels are of the old one.
    """

    document: StoredDocument
    decisions: tuple[LabelDecision, ...]
    settlement: Settlement | None
    is_replaced: bool

    @property
    def status(self) -> Status:
        """How far the document is labelled.

        "settled" or "agreed" if there is one, "open" if persons disagree, "skipped" if no person
        labelled it and one skipped it (or it was settled so), "replaced" if the text was changed.
        Labels of imported coders don't count.
        """
        if self.is_replaced:
            return "replaced"
        if self.settlement is not None:
            return "settled" if self.settlement.kind == "label" else "skipped"
        labels = self._labels()
        if labels:
            return "agreed" if len({frozenset(label) for label in labels}) == 1 else "open"
        return "skipped" if self._by_persons() else "unlabelled"

    @property
    def answer(self) -> tuple[str, ...] | None:
        """The topics that a person settled on, or that all persons gave; None if there are none."""
        status = self.status
        if status == "settled" and self.settlement is not None:
            return self.settlement.topics
        return self._labels()[0] if status == "agreed" else None

    def _by_persons(self) -> list[LabelDecision]:
        return [each for each in self.decisions if each.assignment.coder.kind == "person"]

    def _labels(self) -> list[tuple[str, ...]]:
        return [each.topics for each in self._by_persons() if each.kind == "label"]


# Reading ------------------------------------------------------------------------------------------

_decode_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_strings = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_guess = msgspec.json.Decoder(ModelGuess).decode
_decode_columns = msgspec.json.Decoder(dict[str, Any]).decode
#: The setting that says whether documents may have several topics: "yes" or "no".
MULTILABEL = "multilabel"
#: The setting that names the data whose suspects are reviewed, if that is what decisions are about.
REVIEWED = "reviewed data"
#: The columns of an assignment in a query, without its coder's.
ASSIGNMENT_COLUMNS = (
    "assignments.id, assignments.at, assignments.coder, assignments.document, "
    "assignments.reason, probability, n_candidates, guess, assignments.is_guess_shown, original"
)
#: How many these are.
N_ASSIGNMENT_COLUMNS = 10
#: The columns of a decision, after those of its assignment.
DECISION_COLUMNS = (
    "decisions.id, decisions.at, decisions.kind, topics, decisions.reason, note, "
    "decisions.is_guess_shown, supersedes"
)
SETTLEMENT_COLUMNS = "id, at, document, person, kind, topics, note, supersedes"
DOCUMENT_COLUMNS = "id, at, key, replaces, columns, text"
# Errors of decoding a damaged cell.
CELL_ERRORS = (ValueError, TypeError, KeyError, OverflowError, msgspec.DecodeError, DataError)


def read_coders(database: Database, connection: sqlite3.Connection) -> dict[int, Coder]:
    """Return all coders by number."""
    coders = {}
    for number, at, name, kind in connection.execute("SELECT id, at, name, kind FROM coders"):
        try:
            coders[number] = Coder(
                number, _time(at), from_cell(name), cast(CoderKind, _choice(kind, CODER_KINDS))
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
                    _time(at),
                    coders[coder].name,
                    _choice(kind, CODEBOOK_CHANGES),
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

    def assignment(self, cells: Sequence[Any]) -> Assignment:
        """Return the assignment in a row of `ASSIGNMENT_COLUMNS`; StoreError if it is damaged."""
        number, at, coder, document, reason, *draw, guess, is_shown, original = cells
        probability, n_candidates = draw
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
                _time(at),
                self.coders[coder],
                int(document),
                Selection(
                    cast(SelectionReason, _choice(reason, SELECTION_REASONS)),
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
                _time(at),
                assignment,
                cast(DecisionKind, _choice(kind, DECISION_KINDS)),
                self.codebook.current_names(ids),
                ids,
                None if reason is None else cast(SkipReason, _choice(reason, SKIP_REASONS)),
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
                _time(at),
                int(document),
                self.coders[person],
                cast(DecisionKind, _choice(kind, DECISION_KINDS)),
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
                _time(at),
                from_cell(key),
                from_cell(text),
                _decode_columns(columns),
                int(replaces) or None,
            )
        except (*CELL_ERRORS, RecursionError) as error:
            raise self._database.damaged_row(f"document {number}", error) from error

    def withdrawn(self) -> dict[int, int]:
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

        Unless the page `has_texts`, the texts are empty, and there are no columns.
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
        """Yield all documents in order with their labels, read page by page."""
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
        withdrawn = self.withdrawn()
        latest = {cells[0]: cells for cells in rows}  # by assignment
        found: dict[int, dict[int, LabelDecision]] = defaultdict(dict)
        for cells in sorted(latest.values(), key=lambda cells: cells[N_ASSIGNMENT_COLUMNS]):
            decision = self.decision(cells)
            coder = decision.assignment.coder.id
            if decision.kind != "undo" and decision.id > withdrawn.get(coder, 0):
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


# Documents as rows --------------------------------------------------------------------------------

#: The settings that name the user's columns: those of the text, in a JSON list, and of the topic.
TEXT_COLUMNS, TOPIC_COLUMN = "text columns", "topic column"
#: The setting with the latest accuracy of a model of the labels: `MeasuredAccuracy` in JSON.
ACCURACY = "accuracy"
# With fewer labels of texts that a model doubted, as a number or as a fraction, accuracies on the
# labels are about those on all texts.
_MIN_DOUBTED, _MIN_DOUBTED_FRACTION = 5, 0.1
# The documents that are left out, by their status.
_LEFT_OUT: dict[Status, Callable[[int], str]] = {
    "open": lambda n: f"{counted(n, 'document')} on which coders disagree",
    "skipped": lambda n: counted(n, "skipped document"),
    "unlabelled": lambda n: f"{counted(n, 'document')} without a label",
    "replaced": lambda n: f"{counted(n, 'document')} whose text has changed since",
}


_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class MeasuredAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy of a model of labels on all texts without one, as the label page estimates it.

    Attributes
    ----------
    n_labels : int
        Number of labels that the model had learned from.
    accuracy : float
    low, high : float
        The interval.
    """

    n_labels: int
    accuracy: _Fraction
    low: _Fraction
    high: _Fraction


class LabelledDatabase(NamedTuple):
    """The documents of a label database that have an answer.

    Attributes
    ----------
    rows : iterator of SourceRow
        Their columns, in the order in which they were stored; each place is a document's number.
        The cell of the topic is a list if documents may have several.
    text : tuple of str
        The columns of the text.
    topic : str
        The column of the topic.
    note : str
        How many documents are left out, and why; and that many were selected as a model doubted
        them, which accuracies measured on them depend on. Empty if there is nothing to say.
    """

    rows: RowIterator
    text: tuple[str, ...]
    topic: str
    note: str


def read_label_database(path: Path, *, needs_answers: bool = True) -> LabelledDatabase:
    """Return the documents of a label database that have an answer; see `DocumentLabels.answer`.

    Parameters
    ----------
    path : Path
    needs_answers : bool, default True
        If False, the others are included, without a topic, unless their text has changed since.

    Raises
    ------
    DataError : if the file is damaged, of another program or version, or lacks needed answers.
    """
    try:
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(Database(path, FORMAT, is_read_only=True))
            # The rows are read at the same moment as the counts.
            reader = LabelReader(database, stack.enter_context(database.reading()))
            reviewed = reader.setting(REVIEWED)
            if reviewed is not None:
                raise DataError(
                    f"{path} has decisions about suspect documents of {reviewed}, not all of its "
                    f"labels; carry them out: slugline audit {reviewed} --decisions {path} "
                    "-o repaired.csv"
                )
            text, topic = reader.setting(TEXT_COLUMNS), reader.setting(TOPIC_COLUMN) or "topic"
            try:
                columns = ("text",) if text is None else _decode_strings(text) or ("text",)
            except msgspec.DecodeError as error:
                raise database.damaged_row(f"setting {TEXT_COLUMNS!r}", error) from error
            counts, n_doubted = Counter[Status](), 0
            for each in reader.documents(has_texts=False):
                counts[each.status] += 1
                reasons = {one.assignment.selection.reason for one in each.decisions}
                n_doubted += each.answer is not None and "suggested" in reasons
            notes = [_left_out_note(path, counts, needs_answers=needs_answers)]
            n_answers = counts["settled"] + counts["agreed"]
            if needs_answers and n_doubted >= max(_MIN_DOUBTED, _MIN_DOUBTED_FRACTION * n_answers):
                notes.append(_doubt_note(n_doubted, n_answers, _read_accuracy(database, reader)))
            note = "; ".join(filter(None, notes))
            rows = _label_rows(
                stack.pop_all(), database, reader, columns, topic, needs_answers=needs_answers
            )
    except StoreError as error:
        raise DataError(*error.parts) from error
    return LabelledDatabase(rows, columns, topic, note)


def _read_accuracy(database: Database, reader: LabelReader) -> MeasuredAccuracy | None:
    stored = reader.setting(ACCURACY)
    try:
        return None if stored is None else msgspec.json.decode(stored, type=MeasuredAccuracy)
    except msgspec.DecodeError as error:
        raise database.damaged_row(f"setting {ACCURACY!r}", error) from error


def _doubt_note(n_doubted: int, n_answers: int, measured: MeasuredAccuracy | None) -> str:
    """Return what to think of accuracies measured on documents that a model doubted."""
    note = (
        f"{n_doubted:,} of {counted(n_answers, 'label')} are of texts that a model doubted, so "
        "accuracies measured on these labels are usually lower than on all texts"
    )
    if measured is None:
        return note
    return (
        f"{note}: there, a model of {counted(measured.n_labels, 'label')} was right for about "
        f"{percent(measured.accuracy, 0)} ({percent(measured.low, 0)} to "
        f"{percent(measured.high, 0)}), as the label page says"
    )


def _left_out_note(path: Path, counts: Counter[Status], *, needs_answers: bool) -> str:
    """Return which documents are left out; DataError if no document has a needed answer."""
    left_out = [
        word(counts[status])
        for status, word in _LEFT_OUT.items()
        if counts[status] and (needs_answers or status == "replaced")
    ]
    if needs_answers and not counts["settled"] + counts["agreed"]:
        found = f" ({join_words(left_out)})" if left_out else ""
        raise DataError(f"{path} has no document with an answer yet{found}; label some.")
    return f"left out: {join_words(left_out)}" if left_out else ""


def _label_rows(
    opened: contextlib.ExitStack,
    database: Database,
    reader: LabelReader,
    text: tuple[str, ...],
    topic: str,
    *,
    needs_answers: bool,
) -> RowIterator:
    """Yield the row of each document; close what is opened at the end."""
    try:
        with opened:
            is_multilabel = reader.setting(MULTILABEL) == "yes"
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
                        f"it has {len(answer)} topics, and should have one",
                    )
                if answer is not None:
                    values[topic] = list(answer) if is_multilabel else answer[0]
                else:
                    values[topic] = None
                yield make_row(each.document.id, values, n_bytes=len(each.document.text))
    except StoreError as error:
        raise DataError(*error.parts) from error


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


def _time(cell: Any) -> str:
    if not is_time(cell):
        raise ValueError(f"{short_repr(cell)} is not a time")
    return str(cell)


def _choice(cell: Any, choices: Sequence[str]) -> str:
    if cell not in choices:
        raise ValueError(f"{short_repr(cell)} is not one of {', '.join(choices)}")
    return str(cell)
