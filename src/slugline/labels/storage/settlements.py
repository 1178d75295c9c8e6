"""Disagreements that are settled in a label store, and labels that are withdrawn."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import Settlement, Withdrawal
from slugline.corpus.label_database.tables import SETTLEMENT_COLUMNS
from slugline.errors import DataError, Parameter
from slugline.labels.cells import missing_row, note_cell
from slugline.labels.storage.base import LabelRows, check_supersedes, find_row
from slugline.labels.storage.decisions import topic_numbers


class _NewSettlement(NamedTuple):
    """A settlement to store; see `Settlement`."""

    document: int
    kind: str
    topics: tuple[str, ...] = ()
    note: str | None = None
    supersedes: int | None = None


class SettlementStore(LabelRows):
    """Stores what persons settle for coders who disagree, and whose labels they withdraw."""

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
        new = _NewSettlement(
            document, kind, topics=tuple(topics or ()), note=note, supersedes=supersedes
        )
        return self._settle(new, person, request)

    def undo_settlement(
        self, settlement: int, person: str, *, request: str | None = None
    ) -> Settlement:
        """Take a settlement back; the labels of the coders count again."""
        with self._database.reading() as connection:
            [document] = find_row(connection, "settlements", "document", settlement)
        return self._settle(
            _NewSettlement(document, "undo", supersedes=settlement), person, request
        )

    def _settle(self, new: _NewSettlement, person: str, request: str | None) -> Settlement:
        def change(connection: sqlite3.Connection, reader: LabelReader) -> int:
            by = reader.coder(person)
            if by.kind != "person":
                raise DataError(f"{short_repr(person)} is not a person; let one settle this.")
            find_row(connection, "documents", "id", new.document)
            topics = topic_numbers(reader, new.topics) if new.kind == "label" else []
            last, kind = connection.execute(
                "SELECT id, kind FROM settlements WHERE document = ? ORDER BY id DESC LIMIT 1",
                (new.document,),
            ).fetchone() or (None, "undo")
            owner = f"document {new.document}"
            check_supersedes(owner, "settlement", last, kind, new.supersedes)
            return self._insert(
                connection,
                "settlements",
                document=new.document,
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
            if last <= reader.last_withdrawn().get(number, 0):
                raise DataError(f"{short_repr(coder)} has no labels that could be withdrawn.")
            return self._insert(
                connection, "withdrawals", coder=number, person=by, last_decision=last, restores=0
            )

        return self._change(request, ("withdraw", coder, person), change, lambda _, number: number)

    def restore(self, withdrawal: int, person: str) -> None:
        """Undo a withdrawal, unless that was done already; DataError if there is none."""
        with self._database.writing() as connection:
            columns = "coder, last_decision, restores"
            coder, last, restores = find_row(connection, "withdrawals", columns, withdrawal)
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


def _read_settlement(reader: LabelReader, number: int) -> Settlement:
    return reader.settlement(find_row(reader.connection, "settlements", SETTLEMENT_COLUMNS, number))
