"""Store labels in a SQLite file, flushed to disk before a label is acknowledged.

The file records who gave which topics to which text, when, why the text was selected, and with
which probability. Nothing is deleted: a change, an undo or a withdrawal is a new row that refers to
an earlier one. Several threads and processes may use one file.

`LabelStore` writes and reads corrections of served models' answers, and their approval. It inherits
its other methods from these classes in `slugline.labels.storage`:

================  ==================================================================================
`LabelReads`      reads everything: documents, assignments, labels, counts
`LabelWrites`     writes settings, documents, coders and topics
`DecisionWrites`  writes people's decisions: `assign` before a document is shown, then `label`,
                  `skip` and `undo`; near copies, settlements, withdrawals and imported labels
================  ==================================================================================

Only documents that are shown or imported are stored. Their keys, from `document_keys`, stay the
same if the file grows, shrinks or is reordered. For the other texts of the file, only checksums are
stored.

Records (`Selection`, `LabelDecision`, `DocumentLabels`, ...) are defined in
`slugline.corpus.label_database.records`, and new documents and labels in `slugline.labels.cells`.

Changes take `request`, an idempotency key chosen by the caller, such as a UUID: a change that is
sent again with the same key is made once and returns the same row.

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
>>> from slugline.corpus.label_database.records import Selection
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

import hashlib
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from slugline.base.databases import MAX_ID, from_cell, is_time, to_cell, utc_now
from slugline.base.files import PathLike
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import ModelGuess, Selection
from slugline.corpus.label_database.tables import FORMAT, MULTILABEL
from slugline.corpus.topic_sets import as_sets
from slugline.errors import DataError
from slugline.labels.cells import (
    DocumentCells,
    NewDocument,
    document_cells,
    document_keys,
    name_cell,
    selection_cells,
)
from slugline.labels.storage.decisions import DecisionWrites, NewDecision, topic_numbers
from slugline.labels.storage.reading import find_row

#: Coder of approved corrections without a name.
ANONYMOUS = "anonymous"


class Correction(NamedTuple):
    """A model's answer for a text, and the right answer.

    Attributes
    ----------
    id : int
        Number in the file, ascending.
    text : str
    topic : str or tuple of str
        The right topic, which may be new to the model; in multi-label data, all right topics.
    answer : str or tuple of str
        The model's answer or best guess; in multi-label data, the predicted topics.
    probability : float, from 0 to 1
        Probability of the most likely topic of the answer.
    model, digest : str
        Name and digest of the model.
    who : str or None
        Name of the person.
    at : str
        Time in ISO 8601, UTC, such as "2026-01-31T08:15:00.250Z".
    is_named : bool
        True if `who` is the name of a token, False if it was typed.
    approved : str or None
        Time of approval, in the format of `at`.
    approver : str or None
        Name of the person who approved it.
    learned : str or None
        Time when a model trained on it was first saved, in the format of `at`.
    learned_by : str or None
        Digest of that model.
    """

    id: int
    text: str
    topic: str | tuple[str, ...]
    answer: str | tuple[str, ...]
    probability: float
    model: str
    digest: str
    who: str | None
    at: str
    is_named: bool = False
    approved: str | None = None
    approver: str | None = None
    learned: str | None = None
    learned_by: str | None = None

    @property
    def is_confirmation(self) -> bool:
        """True if the model's answer or best guess was right."""
        topic, answer = as_sets([self.topic, self.answer])
        return {*topic} == {*answer}

    @property
    def is_pending(self) -> bool:
        """True if it was neither approved nor used in training."""
        return self.approved is None and self.learned is None


class UndoneCorrection(NamedTuple):
    """Time when a correction was undone, and name of the person, if known."""

    id: int
    at: str
    who: str | None


# Corrections that were not undone. The text comes last so that its pages can be skipped.
_ROWS = """
FROM corrections
LEFT JOIN approvals ON approvals.correction = corrections.id
LEFT JOIN learned ON learned.correction = corrections.id
JOIN documents ON documents.id = document
WHERE NOT EXISTS (SELECT 1 FROM undone WHERE undone.correction = corrections.id)
"""
_COLUMNS = (
    "corrections.id, corrections.topics, guess, model, corrections.digest, corrections.who, "
    "corrections.at, is_named, approvals.at, approvals.who, learned.at, learned.digest, text"
)
# Maximum rows, and bytes of text, to read in one transaction.
_PAGE_ROWS, _PAGE_BYTES = 500, 4 << 20
_decode_guess = msgspec.json.Decoder(ModelGuess).decode
_decode_topics = msgspec.json.Decoder(tuple[str, ...]).decode


class LabelStore(DecisionWrites):
    """A label database, safe for several threads; a context manager.

    A correction becomes a label once approved. Until then, neither its topics nor its person are in
    the codebook or among the coders.

    All methods raise StoreError if the file can't be read or written, or is damaged; and DataError
    if a value can't be stored, or refers to something that doesn't exist. Coders and topics are
    given by name.

    Parameters
    ----------
    path : str or Path
    patience : float, default 5.0
        Seconds to wait while another process or thread writes.
    create : bool, default True
        Create the file if missing.
    is_read_only : bool, default False
        Open the file for reading only, so that its folder needn't be writable.

    Raises
    ------
    StoreError : if the file is missing, can't be opened, or has an unknown format or version.

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
        super().__init__(path, FORMAT, patience=patience, create=create, is_read_only=is_read_only)

    # Corrections ------------------------------------------------------------------------------

    def add_correction(
        self,
        *,
        text: str,
        topic: str | tuple[str, ...],
        answer: str | tuple[str, ...],
        probability: float,
        model: str,
        digest: str,
        who: str | None = None,
        is_named: bool = False,
        is_approved: bool = False,
    ) -> Correction:
        """Store a correction, optionally approved; return it once it is on disk.

        Parameters
        ----------
        text, model, digest
            See `Correction`.
        topic : str or tuple of str
            The right topic; a tuple in multi-label data.
        answer : str or tuple of str
            The model's answer or best guess.
        probability : float
            Probability of the answer.
        who : str, optional
            Name of the person.
        is_named : bool, default False
            True if `who` is the name of a token.
        is_approved : bool, default False
            Approve it at the same time.

        Raises
        ------
        DataError : if a value can't be stored, or if single-label and multi-label data would mix.
        """
        cells = document_cells(NewDocument("", text))
        cells = cells._replace(key=name_cell("key", document_keys([text])[0]))
        topics, answers = as_sets([topic, answer])
        check_topic_names(topics)
        row = {
            "topics": msgspec.json.encode(topics),
            "guess": selection_cells(_selection(answers, probability))["guess"],
            "model": name_cell("model", model),
            "digest": name_cell("digest", digest),
            "who": None if who is None else name_cell("who", who),
            "is_named": int(is_named),
        }
        with self._writing() as reader:
            self._check_kind(reader, model, is_multilabel=isinstance(topic, tuple))
            document = self._add_text(reader, cells)
            number = self._insert(reader, "corrections", document=document, **row)
            if is_approved:
                self._approve(reader, number, who)
            [correction] = self._find(reader, "corrections.id = ?", number)
        return correction

    def _check_kind(self, reader: LabelReader, model: str, *, is_multilabel: bool) -> None:
        """Set the kind of a new file; raise DataError if the model is of the other kind."""
        if is_multilabel == reader.is_multilabel:
            return
        tables = "SELECT 1 FROM assignments UNION SELECT 1 FROM corrections LIMIT 1"
        if reader.connection.execute(tables).fetchone():
            kinds = ("multi-label", "single-label")[:: 1 if is_multilabel else -1]
            raise DataError(
                f"{model} is a {kinds[0]} model, but {self.path} contains {kinds[1]} labels; "
                "choose another file for its corrections."
            )
        value = b"yes" if is_multilabel else b"no"
        self._insert(reader, "settings", name=MULTILABEL.encode(), value=value)

    def _add_text(self, reader: LabelReader, cells: DocumentCells) -> int:
        """Return the number of the document with a text, stored if new."""
        row = reader.connection.execute(
            "SELECT id FROM documents WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM documents AS "
            "other WHERE other.key = documents.key AND other.replaces = documents.id) LIMIT 1",
            (cells.digest,),
        ).fetchone()
        return self._add_document(reader, cells) if row is None else int(row[0])

    # Approval ---------------------------------------------------------------------------------

    def approve_correction(self, number: int, who: str | None = None) -> bool:
        """Approve a correction, which makes it a label of its person.

        Return False if it is missing, undone or already approved.

        Raises
        ------
        DataError : if the person's name belongs to an imported coder, or the file takes one topic
            per text now.
        """
        with self._writing() as reader:
            return self._approve(reader, number, who)

    def _approve(self, reader: LabelReader, number: int, who: str | None) -> bool:
        found = self._find(reader, "corrections.id = ?", number)
        if not found or found[0].approved is not None:
            return False
        correction = found[0]
        topics, answer = as_sets([correction.topic, correction.answer])
        coder = correction.who or ANONYMOUS
        reader = self._add_missing_coder(reader, coder, "person")
        reader = self._add_missing_topics(reader, coder, topics)
        [document] = find_row(reader, "corrections", "document", number)
        assignment = self._insert(
            reader,
            "assignments",
            coder=reader.coder(coder).id,
            document=document,
            **selection_cells(_selection(answer, correction.probability)),
        )
        new = NewDecision(assignment, "label", is_guess_shown=True)
        self._insert_decision(reader, new, topic_numbers(reader, topics))
        self._insert(
            reader,
            "approvals",
            correction=number,
            assignment=assignment,
            who=None if who is None else name_cell("who", who),
        )
        return True

    def undo_correction(self, number: int, who: str | None = None) -> bool:
        """Undo a correction and its label; return False if it is missing or already undone."""
        person = None if who is None else name_cell("who", who)
        with self._writing() as reader:
            if not self._find(reader, "corrections.id = ?", number):
                return False
            cells = number, utc_now(), person
            reader.connection.execute("INSERT INTO undone VALUES (?, ?, ?)", cells)
            last = reader.connection.execute(
                "SELECT decisions.assignment, max(decisions.id), kind FROM approvals "
                "JOIN decisions ON decisions.assignment = approvals.assignment "
                "WHERE correction = ? GROUP BY decisions.assignment",
                (number,),
            ).fetchone()
            if last is not None and last[2] != "undo":
                new = NewDecision(last[0], "undo", supersedes=last[1])
                self._insert_decision(reader, new, ())
        return True

    def mark_learned(self, numbers: Iterable[int], digest: str) -> None:
        """Record the digest of a model file trained on these corrections.

        Keeps the record of the first model trained on a correction.
        """
        cells = [(number, utc_now(), name_cell("digest", digest)) for number in numbers]
        with self._writing() as reader:
            reader.connection.executemany("INSERT OR IGNORE INTO learned VALUES (?, ?, ?)", cells)

    # Reading ----------------------------------------------------------------------------------

    def undone_corrections(self) -> list[UndoneCorrection]:
        """Return undone corrections."""
        query = "SELECT correction, at, who FROM undone ORDER BY correction"
        with self._reading() as reader:
            rows = reader.connection.execute(query).fetchall()
        try:
            return [
                UndoneCorrection(number, at, None if who is None else from_cell(who))
                for number, at, who in rows
            ]
        except ValueError as error:
            raise self._database.damaged_row("a name in the table undone", error) from error

    def corrected_topics(self, model: str) -> set[str]:
        """Return the topics of a model's corrections, without undone ones."""
        query = f"SELECT DISTINCT corrections.topics {_ROWS} AND model = ?"
        with self._reading() as reader:
            rows = reader.connection.execute(query, (name_cell("model", model),)).fetchall()
        try:
            return {topic for (cell,) in rows for topic in _decode_topics(cell)}
        except (ValueError, TypeError) as error:
            raise self._database.damaged_row("the topics of a correction", error) from error

    def pending_corrections(self) -> list[int]:
        """Return the numbers of pending corrections, in ascending order."""
        query = (
            f"SELECT corrections.id {_ROWS} AND approvals.at IS NULL AND learned.at IS NULL "
            "ORDER BY corrections.id"
        )
        with self._reading() as reader:
            return [int(number) for (number,) in reader.connection.execute(query)]

    def corrections_of(self, texts: Sequence[str]) -> list[Correction]:
        """Return all corrections of at most 1,000 texts, without undone ones."""
        digests = [hashlib.sha256(to_cell(text)).digest() for text in texts]
        marks = ", ".join("?" * len(texts))
        with self._reading() as reader:
            return self._find(reader, f"documents.digest IN ({marks})", *digests)

    def get_corrections(self, numbers: Iterable[int]) -> list[Correction]:
        """Return corrections by number, in that order, without undone or missing ones."""
        found = []
        for number in numbers:
            with self._reading() as reader:
                found += self._find(reader, "corrections.id = ?", number)
        return found

    def corrections(self, after: int = 0, max_rows: int | None = None) -> Iterator[Correction]:
        """Yield corrections with numbers above `after`, in order and without undone ones.

        Memory is bounded. Corrections added during the iteration may be included.
        """
        n_remaining = _PAGE_ROWS if max_rows is None else max_rows
        while n_remaining > 0:
            n_rows = min(n_remaining, _PAGE_ROWS)
            with self._reading() as reader:
                page = self._find(reader, "corrections.id > ?", after, max_rows=n_rows)
            if not page:
                return
            yield from page
            after = page[-1].id
            n_remaining -= 0 if max_rows is None else len(page)

    def count_corrections(self, after: int = 0, model: str | None = None) -> int:
        """Return the number of corrections with numbers above `after`, without undone ones.

        By default, corrections of all models are counted.
        """
        query = f"SELECT count(*) {_ROWS} AND corrections.id > ?"
        if model is None:
            return int(self._database.query_value(query, after))
        return int(self._database.query_value(f"{query} AND model = ?", after, to_cell(model)))

    def count_approvals(self, after: int, model: str, last: int) -> int:
        """Return the number of approvals with numbers above `after`.

        Counts only corrections to `model`, up to number `last`.
        """
        condition = "approvals.id > ? AND corrections.id <= ? AND model = ?"
        query = f"SELECT count(*) {_ROWS} AND {condition}"
        return int(self._database.query_value(query, after, last, to_cell(model)))

    def last_approval(self) -> int:
        """Return the largest number of an approval so far, or 0."""
        return int(self._database.query_value("SELECT coalesce(max(id), 0) FROM approvals"))

    def last_correction(self) -> int:
        """Return the largest number of a correction so far, or 0."""
        return int(self._database.query_value("SELECT coalesce(max(id), 0) FROM corrections"))

    def _find(
        self, reader: LabelReader, condition: str, *values: int | bytes, max_rows: int = -1
    ) -> list[Correction]:
        """Return corrections that meet an SQL condition, in order; a page of them by `max_rows`."""
        if any(isinstance(value, int) and abs(value) > MAX_ID for value in values):
            return []  # too large for SQLite
        found: list[Correction] = []
        n_bytes = 0
        cursor = reader.connection.execute(
            f"SELECT {_COLUMNS} {_ROWS} AND {condition} ORDER BY corrections.id LIMIT ?",
            (*values, max_rows),
        )
        for cells in cursor:
            found.append(self._correction(reader, cells))
            n_bytes += len(cells[-1])
            if n_bytes > _PAGE_BYTES and max_rows >= 0:
                break
        cursor.close()  # an open reader would prevent a checkpoint of the write-ahead log
        return found

    def _correction(self, reader: LabelReader, cells: tuple[Any, ...]) -> Correction:
        number, topics, guess, model, digest, who, at, is_named, *review, text = cells
        approved, approver, learned, learned_by = review
        shaped = tuple if reader.is_multilabel else operator.itemgetter(0)
        try:
            if not all(is_time(time) for time in (at, approved, learned) if time is not None):
                raise ValueError("a time is invalid")
            topics, answer = _decode_topics(topics), _decode_guess(guess)
            check_topic_names([*topics, *answer.topics])
            return Correction(
                id=int(number),
                text=from_cell(text),
                topic=shaped(topics),
                answer=shaped(answer.topics),
                probability=answer.probability,
                model=from_cell(model),
                digest=from_cell(digest),
                who=None if who is None else from_cell(who),
                at=at,
                is_named=bool(is_named),
                approved=approved,
                approver=None if approver is None else from_cell(approver),
                learned=learned,
                learned_by=None if learned_by is None else from_cell(learned_by),
            )
        except (ValueError, TypeError, LookupError, OverflowError, DataError) as error:
            raise self._database.damaged_row(f"correction {number}", error) from error


def _selection(answer: tuple[str, ...], probability: float) -> Selection:
    return Selection("corrected", guess=ModelGuess(answer, probability), is_guess_shown=True)
