"""What the parts of the label service share: the file of labels, the texts, and who has which."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec

from slugline.corpus.label_database.records import Assignment, StoredDocument
from slugline.labels.draws import Selector
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable
from slugline.serving.labelling.history import CoderHistory
from slugline.serving.service_errors import SettlementError, WrongCoderError


class LabelContext:
    """The file of labels, the texts, and who has which, for several threads.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    assignments : RowAssignments
    selector : Selector
    settlers : sequence of str
        Who may settle disagreements and withdraw labels; everybody if there are none.

    Attributes
    ----------
    selection_lock : threading.Lock
        Held while `selector` or `assignments` is used.
    """

    def __init__(
        self,
        store: LabelStore,
        table: TextTable,
        assignments: RowAssignments,
        selector: Selector,
        settlers: Sequence[str],
    ) -> None:
        self.store, self.table = store, table
        self.assignments, self.selector = assignments, selector
        self.selection_lock = threading.Lock()
        self._settlers = frozenset(settlers)
        self._histories: dict[str, CoderHistory] = {}
        self._history_lock = threading.Lock()

    def own_assignment(self, coder: str, number: int) -> Assignment:
        """Return an assignment by number; WrongCoderError if it is another coder's."""
        assignment = self.store.assignment(number)
        if assignment.coder.name != coder:
            raise WrongCoderError(assignment.coder.name, coder)
        return assignment

    def history(self, coder: str) -> CoderHistory:
        """Return the decisions of a coder."""
        with self._history_lock:
            return self._histories.setdefault(coder, CoderHistory(self.store, coder))

    def find_row(self, assignment: Assignment) -> int | None:
        """Return the row of an assignment; None if the file doesn't have its text any more."""
        return self.table.find_row(self.store.document(assignment.document))

    def change_row(self, assignment: Assignment, change: Callable[[int, str], None]) -> None:
        """Let the row of an assignment, if the file still has it, be given to others, or not."""
        row = self.find_row(assignment)
        if row is not None:
            with self.selection_lock:
                change(row, assignment.coder.name)

    def other_columns(self, document: StoredDocument) -> list[tuple[str, str]]:
        """Return the names and values of the columns besides text and topic that have a value."""
        hidden = (*self.table.text_columns, self.table.topic_column)
        return [
            (name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
            for name, value in document.columns.items()
            if name not in hidden and value is not None and str(value).strip()
        ]

    def may_settle(self, coder: str) -> bool:
        """Return whether a coder may settle disagreements and withdraw labels."""
        return not self._settlers or coder in self._settlers

    def check_may_settle(self, coder: str) -> None:
        """Raise SettlementError unless a coder may settle disagreements and withdraw labels."""
        if not self.may_settle(coder):
            raise SettlementError(sorted(self._settlers))
