"""The texts of the user's file, their assignments to coders, and near copies among them."""

from __future__ import annotations

import functools
import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import Index, Mask
from slugline.base.checks import short_repr
from slugline.base.wording import counted
from slugline.corpus.columns import N_PEEKED, column_names, find_id_column, known_topic_column
from slugline.corpus.label_database.records import StoredDocument
from slugline.corpus.label_database.tables import REVIEWED, TEXT_COLUMNS, TOPIC_COLUMN
from slugline.corpus.loading import UnlabelledTexts
from slugline.corpus.rows import BadRow, SourceRow
from slugline.corpus.topic_cells import topic_name
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.labels.cells import NewDocument, document_keys
from slugline.labels.store import LabelStore

#: Settings for the user's file and its id column, "" for none.
SOURCE, ID_COLUMN = "source", "id_column"
# Maximum number of texts to search for near copies; a million texts take minutes and 2.4 GB.
_MAX_GROUPED = 300_000


class TextTable:
    """Texts to label, by row, with their keys and other columns.

    Attributes
    ----------
    name : str
        The user's file.
    texts : list of str
    keys : list of str
        See `document_keys`.
    text_columns : tuple of str
    topic_column : str
        The topic column of an export, hidden from coders.
    id_column : str or None
    """

    def __init__(
        self,
        name: str,
        texts: Sequence[str],
        columns: Sequence[Mapping[str, Any]] = (),
        *,
        ids: Sequence[object] | None = None,
        text_columns: tuple[str, ...] = ("text",),
        topic_column: str = "topic",
        id_column: str | None = None,
    ) -> None:
        self.name, self.texts = name, [*texts]
        self.keys = document_keys(self.texts, ids)
        self.text_columns, self.topic_column = text_columns, topic_column
        self.id_column = id_column
        self._columns = columns
        self._rows = {key: row for row, key in enumerate(self.keys)}

    @classmethod
    def from_texts(
        cls,
        name: str,
        unlabelled: UnlabelledTexts,
        stored: SourceColumns,
        topic: str | None = None,
        id_column: str | None = None,
    ) -> TextTable:
        """Return the texts of a file; columns default to the stored ones, or are guessed.

        Raises
        ------
        OptionError : if there is no such column, or it is a column of the text.
        """
        names = column_names(unlabelled.rows)
        if topic is not None and (topic not in names or topic in unlabelled.columns):
            others = [other for other in names if other not in unlabelled.columns]
            found, advice = "no columns", "omit it."
            if others:
                found, advice = (
                    f"the columns {short_repr(others)}",
                    "choose one of them, or omit it.",
                )
            raise OptionError(
                Parameter("topic"),
                f" is {short_repr(topic)}, but {name} has {found} besides the text; {advice}",
            )
        topic = topic or (stored.topic if stored.topic in names else None)
        if id_column is None:
            id_column = stored.id_among(name, unlabelled.rows[:N_PEEKED])
        else:
            find_id_column(name, unlabelled.rows[:N_PEEKED], id_column)
        text = unlabelled.columns
        id_column = None if id_column in text else id_column
        return cls(
            name,
            unlabelled.texts,
            [row.values for row in unlabelled.rows],
            ids=None
            if id_column is None
            else [topic_name(row.values.get(id_column)) for row in unlabelled.rows],
            text_columns=text,
            topic_column=topic or known_topic_column(names, text) or "topic",
            id_column=id_column,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def document(self, row: int) -> NewDocument:
        """Return the document of a row, for storing."""
        columns = self._columns[row] if self._columns else {}
        if len(self.text_columns) == 1:  # an export needs several of them
            columns = {name: cell for name, cell in columns.items() if name != self.text_columns[0]}
        return NewDocument(self.keys[row], self.texts[row], columns)

    def has_topics(self) -> bool:
        """Return True if any row has a value in the topic column."""
        cells = (columns.get(self.topic_column) for columns in self._columns)
        return any(cell is not None and str(cell).strip() for cell in cells)

    def find_row(self, document: StoredDocument) -> int | None:
        """Return the row of a document, or None if it is gone or its text has changed."""
        row = self._rows.get(document.key)
        return row if row is not None and self.texts[row] == document.text else None

    def has_key(self, key: str) -> bool:
        """Return True if any row has this key."""
        return key in self._rows

    def find_key(self, key: str) -> NewDocument | None:
        """Return the document with a key, or None."""
        row = self._rows.get(key)
        return None if row is None else self.document(row)

    def find_text(self, text: str) -> list[NewDocument]:
        """Return the documents with a text, in order."""
        return [self.document(row) for row in self._rows_by_text.get(text, ())]

    @functools.cached_property
    def _rows_by_text(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(self.texts):
            rows.setdefault(text, []).append(row)
        return rows

    def remember_source(self, store: LabelStore) -> None:
        """Store the names of the file and its columns.

        Raises
        ------
        OptionError : if the store has labels of texts in other columns, or decisions about
            suspects.
        """
        if store.setting(REVIEWED) is not None:
            raise OptionError(
                f"{store.path} contains audit decisions; choose another file for the labels."
            )
        stored = stored_text_columns(store)
        if stored is not None and stored != self.text_columns:
            raise OptionError(
                f"labels in {store.path} belong to texts in {','.join(stored)}; pass that as ",
                Parameter("text"),
                ", or choose another file for the labels.",
            )
        ids = SourceColumns.from_store(store).id
        if ids and self.id_column is not None and self.id_column != ids:
            raise OptionError(
                f"labels in {store.path} use ids from column {ids}; pass that with ",
                Parameter("id"),
                ", or choose another file for the labels.",
            )
        wanted = {
            SOURCE: self.name,
            ID_COLUMN: self.id_column or "",
            TEXT_COLUMNS: json.dumps(self.text_columns),
            TOPIC_COLUMN: self.topic_column,
        }
        changed = {name: value for name, value in wanted.items() if store.setting(name) != value}
        if changed:
            store.set_settings(changed)


class SourceColumns(NamedTuple):
    """Columns of the user's file that are stored in a label database.

    Attributes
    ----------
    text : tuple of str or None
        The text columns; None if not stored yet, or if the texts had no named column.
    topic : str or None
    id : str or None
        The id column; "" for none, None to guess it.
    """

    text: tuple[str, ...] | None = None
    topic: str | None = None
    id: str | None = None

    @classmethod
    def from_store(cls, store: LabelStore) -> SourceColumns:
        """Return the source columns of a store."""
        text = stored_text_columns(store)
        named_text = None if text == ("text",) else text
        return cls(named_text, store.setting(TOPIC_COLUMN), store.setting(ID_COLUMN))

    @classmethod
    def from_file(cls, path: Path) -> SourceColumns:
        """Return the source columns of a label database, which may be missing."""
        if not path.exists() or (path.is_file() and not path.stat().st_size):
            return cls()
        with LabelStore(path, create=False, is_read_only=True) as store:
            return cls.from_store(store)

    def id_among(self, name: str, head: Sequence[SourceRow | BadRow]) -> str | None:
        """Return the id column in a file's first rows, or None; guessed if not stored."""
        if self.id is None:
            return find_id_column(name, head, None)
        same = (column for column in column_names(head) if column.lower() == self.id.lower())
        return next(same, None)


def stored_text_columns(store: LabelStore) -> tuple[str, ...] | None:
    """Return the text columns of the labelled file, or None if not stored yet."""
    stored = store.setting(TEXT_COLUMNS)
    try:
        return None if stored is None else tuple(map(str, json.loads(stored)))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{store.path} is damaged: its setting {TEXT_COLUMNS!r} can't be read; restore the "
            "file from a copy."
        ) from error


class RowAssignments:
    """Assignments of a table's rows to coders.

    Attributes
    ----------
    n_missing : int
        Number of labelled documents whose text is no longer in the user's file.
    """

    def __init__(self, n_rows: int) -> None:
        self._n_rows, self.n_missing = n_rows, 0
        self._clear()

    def _clear(self) -> None:
        self._is_free: Mask = np.ones(self._n_rows, dtype=np.bool_)
        self._coders: defaultdict[int, set[str]] = defaultdict(set)
        self._declined: defaultdict[str, set[int]] = defaultdict(set)
        self._drawn: dict[int, str] = {}  # random draws assigned to one coder
        self._taken = set[int]()  # rows assigned by another process

    @classmethod
    def from_store(cls, table: TextTable, store: LabelStore) -> RowAssignments:
        """Return the assignments in a store.

        Raises
        ------
        DataError : if none of its labels is of these texts.
        """
        result = cls(len(table))
        n_documents = result.refresh(table, store)
        if n_documents and n_documents == result.n_missing:
            raise DataError(
                f"{store.path} has labels of {counted(n_documents, 'other document')}, and none "
                f"of them is in {table.name}; pass the labelled file, or choose another "
                "file for the labels."
            )
        return result

    def refresh(self, table: TextTable, store: LabelStore) -> int:
        """Read all assignments again; return the number of documents with labels."""
        self._clear()
        n_documents = n_missing = 0
        rows: dict[int, int] = {}
        for each in store.labels():
            if each.is_replaced:
                continue
            row = table.find_row(each.document)
            # Corrected texts need not be in the file.
            reasons = {decision.assignment.selection.reason for decision in each.decisions}
            is_from_file = bool(reasons - {"corrected"})
            n_documents += is_from_file
            if row is None:
                n_missing += is_from_file
                continue
            rows[each.document.id] = row
            for decision in each.decisions:
                assignment = decision.assignment
                if assignment.coder.kind == "person":
                    name = assignment.coder.name
                    self.add(row, name, is_random=assignment.selection.is_random)
                    if decision.reason == "not for me":
                        self.decline(row, name)
        self.n_missing = n_missing
        for coder in store.coders():
            for assignment in store.open_assignments(coder.name):
                if coder.kind == "person" and assignment.document in rows:
                    is_random = assignment.selection.is_random
                    self.add(rows[assignment.document], coder.name, is_random=is_random)
        return n_documents

    def add(self, row: int, coder: str, *, is_random: bool = False) -> None:
        """Assign a row to a coder, or a second coder to a double-coded row."""
        if is_random and not self._coders[row]:
            self._drawn[row] = coder
        else:
            self._drawn.pop(row, None)
        self._coders[row].add(coder)
        self._declined[coder].discard(row)
        self._is_free[row] = False

    def decline(self, row: int, coder: str) -> None:
        """Note that a coder left a row to others; it is free unless another coder has it."""
        self._declined[coder].add(row)
        self._drawn.pop(row, None)
        others = self._coders.get(row, set()) - {coder}
        self._is_free[row] = row not in self._taken and all(
            row in self._declined[other] for other in others
        )

    def reclaim(self, row: int, coder: str) -> None:
        """Reassign a row to a coder who had left it to others."""
        if row in self._declined.get(coder, ()):
            self.add(row, coder)

    def mark_taken(self, row: int) -> None:
        """Note that another process has assigned a row."""
        self._taken.add(row)
        self._drawn.pop(row, None)
        self._is_free[row] = False

    def release(self, row: int) -> None:
        """Mark a row as unassigned."""
        self._coders.pop(row, None)
        self._drawn.pop(row, None)
        self._taken.discard(row)
        self._is_free[row] = True

    def free_among(self, rows: Index, coder: str) -> Index:
        """Return the unassigned rows among `rows`, except rows that this coder left to others."""
        return self._without_declined(rows[self._is_free[rows]], coder)

    def n_coders(self, row: int) -> int:
        """Return the number of coders who have or had a row."""
        return len(self._coders.get(row, ()))

    def free_rows(self, coder: str) -> Index:
        """Return the unassigned rows, except rows that this coder left to others."""
        return self._without_declined(np.flatnonzero(self._is_free), coder)

    def _without_declined(self, rows: Index, coder: str) -> Index:
        declined = self._declined.get(coder)
        return rows[~np.isin(rows, [*declined])] if declined else rows

    def drawn_by_others(self, coder: str) -> Index:
        """Return the random draws that exactly one other coder has."""
        rows = [row for row, other in self._drawn.items() if other != coder]
        return np.array(rows, dtype=np.int64)


def missing_note(assignments: RowAssignments, table: TextTable) -> str | None:
    """Return a note about labels of texts that are missing from the file, or None."""
    if not assignments.n_missing:
        return None
    is_one = assignments.n_missing == 1
    verb, have, their = ("is", "has", "its") if is_one else ("are", "have", "their")
    return Message(
        f"{counted(assignments.n_missing, 'labelled document')} {verb} no longer in "
        f"{table.name}, or {have} a different text there; {their} labels are kept"
    )


class NearCopies:
    """Groups of near copies, found in a background thread.

    Two texts are near copies if they differ only in case or spaces, or share most of their terms;
    groups are transitive. See `slugline.auditing.audit.group_copies`. More than 300,000 texts are
    not grouped.

    Parameters
    ----------
    texts : sequence of str
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._groups: Index | None = None
        # Rows by group, so that a group is one slice.
        self._rows, self._starts = np.zeros(0, dtype=np.intp), np.zeros(1, dtype=np.intp)
        self._thread = threading.Thread(target=self._group, name="near-copies", daemon=True)
        self._thread.start()

    def _group(self) -> None:
        if len(self._texts) > _MAX_GROUPED:
            return
        from slugline.auditing.audit import group_copies  # slow to import

        try:
            groups = group_copies(self._texts, n_jobs=1)
        except Exception:  # noqa: BLE001 - without near copies, coders label one text at a time
            return
        self._rows = np.argsort(groups, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(groups))])
        self._groups = groups

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the groups are found; return True if the search has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def find(self, row: int) -> Index:
        """Return the other rows of a row's group, ascending; none until the groups are found."""
        if self._groups is None:
            return np.zeros(0, dtype=np.intp)
        group = self._groups[row]
        rows = self._rows[self._starts[group] : self._starts[group + 1]]
        return rows[rows != row]
