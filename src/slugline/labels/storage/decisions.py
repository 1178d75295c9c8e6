"""Write assignments, decisions, settlements, withdrawals and imported labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import is_time, utc_now
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import (
    SKIP_REASONS,
    Assignment,
    LabelDecision,
    Selection,
    Settlement,
    SkipReason,
)
from slugline.corpus.label_database.tables import (
    ASSIGNMENT_COLUMNS,
    DECISION_COLUMNS,
    N_ASSIGNMENT_COLUMNS,
    SETTLEMENT_COLUMNS,
)
from slugline.errors import DataError, OptionError, Parameter
from slugline.labels.cells import (
    ImportedLabel,
    NewDocument,
    document_cells,
    missing_row,
    note_cell,
    selection_cells,
)
from slugline.labels.storage.reading import (
    IS_OPEN,
    find_row,
    read_assignment,
    read_copies,
    read_decision,
)
from slugline.labels.storage.writing import LabelWrites, batches

# Maximum number of topics of a document.
_MAX_TOPICS = 1000


class LabelConflictError(DataError):
    """The label was changed in the meantime."""


class NewDecision(NamedTuple):
    """A decision to store; see `LabelDecision`."""

    assignment: int
    kind: str
    topics: tuple[str, ...] = ()
    reason: str | None = None
    note: str | None = None
    is_guess_shown: bool = False
    supersedes: int | None = None
    at: str | None = None


class _NewSettlement(NamedTuple):
    """A settlement to store; see `Settlement`."""

    document: int
    kind: str
    topics: tuple[str, ...] = ()
    note: str | None = None
    supersedes: int | None = None


class DecisionWrites(LabelWrites):
    """Writes assignments of documents to coders, and people's decisions about them."""

    def assign(
        self,
        coder: str,
        document: int,
        selection: Selection,
        *,
        max_others: int | None = None,
        request: str | None = None,
    ) -> Assignment | None:
        """Record that a document was selected for a coder, before it is shown.

        Return the coder's open assignment of this document, or a new one.

        Parameters
        ----------
        coder : str
        document : int
        selection : Selection
        max_others : int, optional
            Return None if more than this number of other people have the document. Unlimited by
            default.
        request : str, optional
        """
        cells = selection_cells(selection)

        def change(reader: LabelReader) -> int:
            by, execute = reader.coder(coder).id, reader.connection.execute
            find_row(reader, "documents", "id", document)
            earlier = execute(
                f"SELECT id FROM assignments WHERE coder = ? AND document = ? AND {IS_OPEN}",  # noqa: S608
                (by, document),
            ).fetchone()
            if earlier is not None:
                return int(earlier[0])
            n_others = execute(
                "SELECT count(DISTINCT coder) FROM assignments JOIN coders ON coders.id = coder "
                "WHERE document = ? AND coder <> ? AND coders.kind = 'person'",
                (document, by),
            ).fetchone()[0]
            if max_others is not None and n_others > max_others:
                return 0
            return self._insert(reader, "assignments", coder=by, document=document, **cells)

        def read(reader: LabelReader, number: int) -> Assignment | None:
            return read_assignment(reader, number) if number else None

        content = ("assign", coder, document, *map(str, cells.values()))
        return self._change(request, content, change, read)

    # Decisions --------------------------------------------------------------------------------

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
            One topic; any number in a multi-label store.
        note : str, optional
        is_guess_shown : bool, default False
            True if the coder saw the model's guess.
        supersedes : int, optional
            Number of the decision to replace; required if the assignment has a current decision.
        request : str, optional

        Raises
        ------
        DataError : if the assignment's current decision is not `supersedes`, for example because
            somebody else has changed it; or if the assignment or a topic is missing.
        """
        _check_list(topics)
        decision = NewDecision(
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
        decision = NewDecision(
            assignment,
            "skip",
            reason=reason,
            note=note,
            is_guess_shown=is_guess_shown,
            supersedes=supersedes,
        )
        return self._decide(decision, request)

    def undo(self, decision: int, *, request: str | None = None) -> LabelDecision:
        """Undo a decision, which reopens its assignment; return the undo, also a decision.

        Raises DataError if it is not the current decision about its assignment.
        """
        with self._reading() as reader:
            [assignment] = find_row(reader, "decisions", "assignment", decision)
        return self._decide(NewDecision(assignment, "undo", supersedes=decision), request)

    def _decide(self, new: NewDecision, request: str | None) -> LabelDecision:
        def change(reader: LabelReader) -> int:
            find_row(reader, "assignments", "id", new.assignment)
            topics = topic_numbers(reader, new.topics) if new.kind == "label" else []
            last = _check_supersedes(
                reader, "decision", "assignment", new.assignment, new.supersedes
            )
            return self._insert_decision(reader, new._replace(supersedes=last), topics)

        return self._change(request, ("decide", *new), change, read_decision)

    def _insert_decision(self, reader: LabelReader, new: NewDecision, topics: Sequence[int]) -> int:
        return self._insert(
            reader,
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

    # Near copies ------------------------------------------------------------------------------

    def label_copies(
        self, assignment: int, documents: Sequence[NewDocument], *, request: str | None = None
    ) -> int:
        """Give a document's topics to its near copies; return the number of changed labels.

        Skips near copies that are assigned to somebody else, that the coder decided about
        separately, or that have these topics already. Each label has a separate assignment with the
        reason "near copy".

        Parameters
        ----------
        assignment : int
            The assignment of the document, which must have a label.
        documents : sequence of NewDocument
        request : str, optional
        """
        rows = [document_cells(document) for document in documents]

        def change(reader: LabelReader) -> int:
            find_row(reader, "assignments", "id", assignment)
            [number] = reader.connection.execute(
                "SELECT max(id) FROM decisions WHERE assignment = ?", (assignment,)
            ).fetchone()
            last = None if number is None else read_decision(reader, number)
            if last is None or last.kind != "label":
                raise DataError(f"assignment {assignment} has no label to copy; label it first.")
            numbers = [self._add_document(reader, cells) for cells in rows]
            return sum(self._label_copy(reader, last, number) for number in numbers)

        content = ("label copies", assignment, *(document.key for document in documents))
        return self._change(request, content, change, lambda _, n_labels: n_labels)

    def _label_copy(self, reader: LabelReader, label: LabelDecision, document: int) -> bool:
        """Give the topics of a label to a near copy; return True if its label changed."""
        assignment = label.assignment
        is_open = reader.connection.execute(
            f"SELECT 1 FROM assignments WHERE document = ? AND {IS_OPEN}",  # noqa: S608
            (document,),
        ).fetchone()
        # Coders who left the text to others don't count.
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
            new = NewDecision(last.assignment.id, "label", supersedes=last.id)
        elif decisions or is_open is not None:
            return False
        else:
            selection = selection_cells(Selection("near copy", original=assignment.id))
            cells = {"coder": assignment.coder.id, "document": document, **selection}
            new = NewDecision(self._insert(reader, "assignments", **cells), "label")
        self._insert_decision(reader, new, label.topic_ids)
        return True

    def undo_copies(self, assignment: int, *, request: str | None = None) -> int:
        """Undo the labels of a document's near copies; return their number."""

        def change(reader: LabelReader) -> int:
            copies = read_copies(reader, assignment)
            for each in copies:
                undo = NewDecision(each.assignment.id, "undo", supersedes=each.id)
                self._insert_decision(reader, undo, ())
            return len(copies)

        return self._change(request, ("undo copies", assignment), change, lambda _, n: n)

    # Settlements and withdrawals --------------------------------------------------------------

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
        """Store a person's decision about a document, which overrides the coders' labels.

        Parameters
        ----------
        document : int
        topics : sequence of str, or None
            None for no answer.
        person : str
            The coder who settles it.
        note, request : str, optional
        supersedes : int, optional
            Number of the current settlement; required if there is one that was not undone.
        """
        _check_list(topics)
        kind = "skip" if topics is None else "label"
        new = _NewSettlement(document, kind, tuple(topics or ()), note, supersedes)
        return self._settle(new, person, request)

    def undo_settlement(
        self, settlement: int, person: str, *, request: str | None = None
    ) -> Settlement:
        """Undo a settlement, so that the coders' labels count again."""
        with self._reading() as reader:
            [document] = find_row(reader, "settlements", "document", settlement)
        new = _NewSettlement(document, "undo", supersedes=settlement)
        return self._settle(new, person, request)

    def _settle(self, new: _NewSettlement, person: str, request: str | None) -> Settlement:
        def change(reader: LabelReader) -> int:
            by = reader.coder(person)
            if by.kind != "person":
                raise DataError(
                    f"{short_repr(person)} is not a person; only people can settle disagreements."
                )
            find_row(reader, "documents", "id", new.document)
            topics = topic_numbers(reader, new.topics) if new.kind == "label" else []
            last = _check_supersedes(reader, "settlement", "document", new.document, new.supersedes)
            return self._insert(
                reader,
                "settlements",
                document=new.document,
                supersedes=last or 0,
                person=by.id,
                kind=new.kind,
                topics=msgspec.json.encode(topics),
                note=None if new.note is None else note_cell("note", new.note),
            )

        def read(reader: LabelReader, number: int) -> Settlement:
            return reader.settlement(find_row(reader, "settlements", SETTLEMENT_COLUMNS, number))

        return self._change(request, ("settle", person, *new), change, read)

    def withdraw(self, coder: str, person: str, *, request: str | None = None) -> int:
        """Withdraw all labels that a coder has given so far; return the withdrawal's number.

        Later labels of the coder count. Raises DataError if there is nothing to withdraw.
        """

        def change(reader: LabelReader) -> int:
            number, by = reader.coder(coder).id, reader.coder(person).id
            last = reader.connection.execute(
                "SELECT coalesce(max(decisions.id), 0) FROM decisions "
                "JOIN assignments ON assignments.id = assignment WHERE coder = ?",
                (number,),
            ).fetchone()[0]
            if last <= reader.last_withdrawn().get(number, 0):
                raise DataError(f"{short_repr(coder)} has no labels to withdraw.")
            cells = {"coder": number, "person": by, "last_decision": last, "restores": 0}
            return self._insert(reader, "withdrawals", **cells)

        return self._change(request, ("withdraw", coder, person), change, lambda _, number: number)

    def restore(self, withdrawal: int, person: str) -> None:
        """Undo a withdrawal, unless undone already; DataError if missing."""
        with self._writing() as reader:
            columns = "coder, last_decision, restores"
            coder, last, restores = find_row(reader, "withdrawals", columns, withdrawal)
            if restores:
                raise missing_row("withdrawal", withdrawal)
            by = reader.coder(person).id
            done = "SELECT 1 FROM withdrawals WHERE restores = ?"
            if reader.connection.execute(done, (withdrawal,)).fetchone() is None:
                cells = {"coder": coder, "person": by, "last_decision": last}
                self._insert(reader, "withdrawals", **cells, restores=withdrawal)

    # Import -----------------------------------------------------------------------------------

    def import_labels(self, coder: str, labels: Iterable[ImportedLabel]) -> int:
        """Store labels of another tool or model; return the number of new ones.

        Labels equal to the coder's current imported label of the document are skipped, so that an
        interrupted import can be repeated. A label with other topics supersedes the earlier one.
        Missing topics are added to the codebook.
        """
        n_new = 0
        for batch in batches(labels):
            with self._writing() as reader:
                withdrawn = reader.last_withdrawn().get(reader.coder(coder).id, 0)
                for label in batch:
                    reader = self._add_missing_topics(reader, coder, label.topics or ())
                    n_new += self._import_label(reader, coder, label, withdrawn)
        return n_new

    def _import_label(
        self, reader: LabelReader, coder: str, label: ImportedLabel, last_withdrawn: int
    ) -> bool:
        """Store a label unless already stored; return True if it is new.

        Decisions up to the number `last_withdrawn` were withdrawn.
        """
        if label.at is not None and not is_time(label.at):
            raise DataError(Parameter("at"), f" is {short_repr(label.at)}; give a time in UTC.")
        find_row(reader, "documents", "id", label.document)
        by = reader.coder(coder).id
        cells = reader.connection.execute(
            f"SELECT {ASSIGNMENT_COLUMNS}, {DECISION_COLUMNS} "  # noqa: S608
            "FROM assignments LEFT JOIN decisions ON decisions.assignment = assignments.id "
            "WHERE document = ? AND coder = ? AND assignments.reason = 'imported' "
            "ORDER BY decisions.id DESC LIMIT 1",
            (label.document, by),
        ).fetchone()
        last = None
        if cells is None:
            selection = selection_cells(Selection("imported"))
            row = {"coder": by, "document": label.document, **selection}
            assignment = self._insert(reader, "assignments", **row)
        else:
            assignment = cells[0]
            last = None if cells[N_ASSIGNMENT_COLUMNS] is None else reader.decision(cells)
        is_skip = label.topics is None
        new = NewDecision(
            assignment,
            "skip" if is_skip else "label",
            reason=label.reason if is_skip else None,
            note=label.note,
            supersedes=None if last is None else last.id,
            at=label.at,
        )
        topics = [] if label.topics is None else topic_numbers(reader, label.topics)
        if last is not None and last.id > last_withdrawn:
            last_topics = {reader.codebook.resolve(topic).id for topic in last.topic_ids}
            earlier = (last.kind, last_topics, last.reason, last.note)
            if earlier == (new.kind, {*topics}, new.reason, new.note):
                return False
        self._insert_decision(reader, new, topics)
        return True


def _check_list(topics: Sequence[str] | None) -> None:
    if isinstance(topics, str):
        raise DataError(Parameter("topics"), f" is {short_repr(topics)}; give a list.")


def topic_numbers(reader: LabelReader, topics: Sequence[str]) -> list[int]:
    """Return the number of each topic; DataError if there are too many or too few."""
    numbers = list(dict.fromkeys(reader.topic(topic).id for topic in topics))
    if len(numbers) > _MAX_TOPICS:
        raise DataError(
            Parameter("topics"), f" has {len(numbers):,} topics; give at most {_MAX_TOPICS:,}."
        )
    if len(numbers) != 1 and not reader.is_multilabel:
        raise DataError(
            Parameter("topics"),
            f" has {len(numbers)} topics, but the labels are single-label; give one.",
        )
    return numbers


def _check_supersedes(
    reader: LabelReader, noun: str, owner: str, number: int, supersedes: int | None
) -> int | None:
    """Return the number of the last change, or None if this is the first.

    Raises LabelConflictError unless the new change supersedes the last one, or the last is an undo.

    Parameters
    ----------
    reader : LabelReader
    noun, owner : {"decision", "settlement"}, {"assignment", "document"}
        The kind of change, and what is changed.
    number : int
        The number of the owner.
    supersedes : int or None
        The number of the change that the new one replaces.
    """
    last, kind = reader.connection.execute(
        f"SELECT id, kind FROM {noun}s WHERE {owner} = ? ORDER BY id DESC LIMIT 1",  # noqa: S608
        (number,),
    ).fetchone() or (None, "undo")
    if supersedes != last and (supersedes is not None or kind != "undo"):
        current = f"no {noun}" if last is None else f"{noun} {last}"
        raise LabelConflictError(
            f"{owner} {number} now has {current}, but ",
            Parameter("supersedes"),
            f" is {supersedes}; review it again.",
        )
    return None if last is None else int(last)
