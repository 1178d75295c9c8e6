"""Stores labels in a SQLite file, flushed to disk before a label is acknowledged.

The file says who gave which topic to which text, when, why the text was selected, and with which
probability. Nothing is deleted: a change, an undo or a withdrawal is a row of its own that refers
to an earlier one. Several threads and processes may use one file.

`LabelStore` has the methods of these classes, which are in `slugline.labels.storage`:

=================  =================================================================================
`DocumentStore`    documents that are shown or imported, and no others, under keys from
                   `document_keys`, which stay the same if the file grows, shrinks or is reordered;
                   and checksums of the texts that were new in the file, shown or not
`CodebookStore`    coders, and topics: added, described, renamed, merged, separated
`DecisionStore`    `assign`, before a document is shown; then `label`, `skip` and `undo`
`NearCopyStore`    labels of near copies
`SettlementStore`  `settle` for coders who disagree, `withdraw` all labels of a coder
`ImportStore`      labels of another tool or model
`LabelHistory`     labels as they are now, their history, and what has changed since
=================  =================================================================================

Records (`Selection`, `LabelDecision`, `DocumentLabels`, ...) are defined in
`slugline.corpus.label_database.records`, and new documents and labels in `slugline.labels.cells`.

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

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from slugline.base.files import PathLike
from slugline.base.lazy import to_frame
from slugline.corpus.label_database.tables import FORMAT, MULTILABEL
from slugline.errors import DataError
from slugline.labels.cells import name_cell, note_cell
from slugline.labels.label_records import (
    LabelTable,
    check_label_table,
    codebook_records,
    decision_records,
    document_records,
)
from slugline.labels.storage.imports import ImportStore
from slugline.labels.storage.near_copies import NearCopyStore
from slugline.labels.storage.reading import LabelHistory
from slugline.labels.storage.settlements import SettlementStore


class LabelStore(ImportStore, NearCopyStore, SettlementStore, LabelHistory):
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
        super().__init__(path, FORMAT, patience=patience, create=create, is_read_only=is_read_only)

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

    def to_records(self, table: LabelTable = "documents") -> Iterator[dict[str, Any]]:
        """Yield the rows of a table.

        Parameters
        ----------
        table : {"documents", "labels", "decisions", "codebook"}, default "documents"
            A row for each document: its id, key, text, status, topics, and the label of each coder
            who has decided about any;
            for each current label or skip of a coder, with why the document was selected and with
            which probability; for each decision, superseded, undone and withdrawn ones included; or
            for each topic, with its description.
        """
        check_label_table(table)
        if table == "documents":
            deciders = {each.assignment.coder.id for each in self.decisions()}
            coders = [coder for coder in self.coders() if coder.id in deciders]
            return document_records(self.labels(), coders)
        if table == "codebook":
            return codebook_records(self.codebook())
        return decision_records(self.current_decisions() if table == "labels" else self.decisions())

    def to_frame(self, table: LabelTable = "documents") -> Any:
        """Return `to_records` as a pandas data frame, or a polars one if pandas is missing.

        Raises OptionError if neither is installed.
        """
        return to_frame(self.to_records(table))
