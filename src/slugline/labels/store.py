"""Store labels in a SQLite file, flushed to disk before a label is acknowledged.

The file records who gave which topics to which text, when, why the text was selected, and with
which probability. Nothing is deleted: a change, an undo or a withdrawal is a new row that refers to
an earlier one. Several threads and processes may use one file.

`LabelStore` inherits its methods from these classes in `slugline.labels.storage`:

================  ==================================================================================
LabelReads        reads everything: documents, assignments, labels, counts
LabelWrites       writes settings, documents, coders and topics
DecisionWrites    writes people's decisions: `assign` before a document is shown, then `label`,
                  `skip` and `undo`; near copies, settlements, withdrawals and imported labels
CorrectionWrites  writes and reads corrections of a served model's answers, and their approval
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

from slugline.base.files import PathLike
from slugline.corpus.label_database.tables import FORMAT
from slugline.labels.storage.corrections import CorrectionWrites


class LabelStore(CorrectionWrites):
    """A label database, safe for several threads; a context manager.

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
