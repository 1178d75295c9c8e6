"""Documents of a label store."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from slugline.base.databases import to_cell
from slugline.corpus.label_database.records import DocumentLabels, StoredDocument
from slugline.corpus.label_database.tables import DOCUMENT_COLUMNS
from slugline.labels.cells import DocumentCells, NewDocument, document_cells
from slugline.labels.storage.base import LabelRows, batches, find_row

# The largest size of the checksums in one row: those of a million texts.
_MAX_CHECKSUM_BYTES = 4_000_000


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


class DocumentStore(LabelRows):
    """Stores documents, which are found by number, key or text, and when new ones came."""

    def add_documents(self, documents: Iterable[NewDocument]) -> list[int]:
        """Store documents; return the number of each.

        A document that is stored already, with the same key and text, is not stored again. If its
        text has changed, it is a new document, which replaces the earlier one: a label belongs to
        the text that was shown.
        """
        numbers: list[int] = []
        for batch in batches(map(document_cells, documents)):
            with self._database.writing() as connection:
                numbers += [self._add_document(connection, cells) for cells in batch]
        return numbers

    def _add_document(self, connection: sqlite3.Connection, cells: DocumentCells) -> int:
        last = connection.execute(
            "SELECT id, digest FROM documents WHERE key = ? ORDER BY id DESC LIMIT 1", (cells.key,)
        ).fetchone()
        if last is not None and last[1] == cells.digest:
            return int(last[0])
        replaces = 0 if last is None else last[0]
        return self._insert(connection, "documents", replaces=replaces, **cells._asdict())

    def document(self, number: int) -> StoredDocument:
        """Return a document by number; DataError if there is none."""
        with self._database.reading() as connection:
            cells = find_row(connection, "documents", DOCUMENT_COLUMNS, number)
            return self._reader(connection).document(cells)

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
            find_row(connection, "documents", "id", number)
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
