"""The decisions of a coder, as the page lists them."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from typing import NamedTuple

from slugline.corpus.label_database.records import LabelDecision
from slugline.labels.store import LabelStore


class ListedDecision(NamedTuple):
    """A decision about a text, or the last one about near copies that were labelled together.

    Attributes
    ----------
    decision : LabelDecision
    n_copies : int
        Number of near copies; 0 for a decision about one text.
    """

    decision: LabelDecision
    n_copies: int = 0


class CoderHistory:
    """The decisions of a coder, for several threads; each look reads those since the last one.

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
        """Read the decisions since the last look; the caller holds the lock."""
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
        """Return a decision by number; None if the coder has none of this number."""
        with self._lock:
            self._refresh()
            return self._by_id.get(number)

    def current(self, assignment: int) -> LabelDecision | None:
        """Return the decision about an assignment; None if there is none."""
        with self._lock:
            self._refresh()
            decision = self._current.get(assignment)
        return None if decision is None or decision.kind == "undo" else decision

    def decisions(self) -> list[LabelDecision]:
        """Return the decisions that were not undone or withdrawn, in order."""
        with self._lock:
            self._refresh()
            return [
                each
                for each in self._current.values()
                if each.kind != "undo" and each.id > self._last_withdrawn
            ]

    def latest(self, n: int, before: int | None = None) -> list[ListedDecision]:
        """Return the latest decisions that were not undone or withdrawn, the latest first.

        Near copies that were labelled with one text are one item, at the place of the last of them.
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
