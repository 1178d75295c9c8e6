"""Shared state of the label service: labels, texts, assignments, and histories."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from slugline.corpus.label_database.records import Assignment, LabelDecision, StoredDocument
from slugline.labels.draws import Selector
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable
from slugline.serving.service_errors import SettlementError, WrongCoderError


class ListedDecision(NamedTuple):
    """A decision about a text, or the latest one about near copies that were labelled together.

    Attributes
    ----------
    decision : LabelDecision
    n_copies : int
        Number of near copies; 0 for a decision about one text.
    """

    decision: LabelDecision
    n_copies: int = 0


class CoderHistory:
    """The decisions of a coder, read incrementally; safe for several threads.

    Parameters
    ----------
    store : LabelStore
    coder : str
    """

    def __init__(self, store: LabelStore, coder: str) -> None:
        self._store, self._coder = store, coder
        self._lock = threading.Lock()
        self._last = self._last_withdrawn = 0
        self._by_id: dict[int, LabelDecision] = {}
        # By assignment, in the order of the decisions.
        self._current: dict[int, LabelDecision] = {}

    def _refresh(self) -> None:
        """Read new decisions; the caller holds the lock."""
        for decision in self._store.decisions(self._last, self._coder):
            self._by_id[decision.id] = decision
            self._current.pop(decision.assignment.id, None)
            self._current[decision.assignment.id] = decision
            self._last = decision.id
        withdrawn = [
            each.last_decision
            for each in self._store.withdrawals()
            if each.coder.name == self._coder
        ]
        self._last_withdrawn = max(withdrawn, default=0)

    def find(self, number: int) -> LabelDecision | None:
        """Return a decision by number, or None if the coder has no such decision."""
        with self._lock:
            self._refresh()
            return self._by_id.get(number)

    def current(self, assignment: int) -> LabelDecision | None:
        """Return the decision about an assignment, or None."""
        with self._lock:
            self._refresh()
            decision = self._current.get(assignment)
        return None if decision is None or decision.kind == "undo" else decision

    def decisions(self) -> list[LabelDecision]:
        """Return the decisions in order, except undone and withdrawn ones."""
        with self._lock:
            self._refresh()
            return [
                each
                for each in self._current.values()
                if each.kind != "undo" and each.id > self._last_withdrawn
            ]

    def latest(self, n: int, before: int | None = None) -> list[ListedDecision]:
        """Return up to `n` of `decisions`, the latest first, with numbers below `before`.

        Near copies that were labelled with one text are one item, in the place of the last one.
        """
        decisions = self.decisions()
        originals = [each.assignment.selection.original for each in decisions]
        counts = Counter(each for each in originals if each is not None)
        listed, seen = list[ListedDecision](), set[int]()
        for decision, original in zip(reversed(decisions), reversed(originals), strict=True):
            if original is not None:
                if original in seen:
                    continue
                seen.add(original)
            if before is None or decision.id < before:
                n_copies = 0 if original is None else counts[original]
                listed.append(ListedDecision(decision, n_copies))
        return [*itertools.islice(listed, n)]


class LabelContext:
    """The labels, the texts, and their assignments, safe for several threads.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    assignments : RowAssignments
    selector : Selector
    settlers : sequence of str
        Coders who may settle disagreements and withdraw labels; all coders if empty.

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
        """Return the row of an assignment, or None if its text is no longer in the file."""
        return self.table.find_row(self.store.document(assignment.document))

    def change_row(self, assignment: Assignment, change: Callable[[int, str], None]) -> None:
        """Apply a change to the row of an assignment, if its text is still in the file."""
        row = self.find_row(assignment)
        if row is not None:
            with self.selection_lock:
                change(row, assignment.coder.name)

    def other_columns(self, document: StoredDocument) -> list[tuple[str, str]]:
        """Return the names and values of nonempty columns except text and topic."""
        hidden = (*self.table.text_columns, self.table.topic_column)
        return [
            (name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
            for name, value in document.columns.items()
            if name not in hidden and value is not None and str(value).strip()
        ]

    def may_settle(self, coder: str) -> bool:
        """Return True if a coder may settle disagreements and withdraw labels."""
        return not self._settlers or coder in self._settlers

    def check_may_settle(self, coder: str) -> None:
        """Raise SettlementError unless a coder may settle disagreements and withdraw labels."""
        if not self.may_settle(coder):
            raise SettlementError(sorted(self._settlers))
