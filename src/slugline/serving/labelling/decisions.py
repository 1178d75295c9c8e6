"""Store, undo and list coders' decisions about texts and their near copies."""

from __future__ import annotations

from typing import Any

import msgspec

from slugline.corpus.label_database.codebook import Codebook
from slugline.corpus.label_database.records import Assignment
from slugline.errors import DataError
from slugline.labels.text_table import NearCopies
from slugline.serving.labelling.context import LabelContext, ListedDecision
from slugline.serving.labelling.replies import (
    CopiesCountReply,
    CopiesReply,
    CopyReply,
    DecideReply,
    DecisionReply,
    RecentDecision,
    RecentReply,
    TextReply,
    excerpt_of,
)
from slugline.serving.labelling.requests import (
    CopiesRequest,
    DecideRequest,
    LabelCopiesRequest,
    RecentRequest,
    UndoCopiesRequest,
    UndoRequest,
)
from slugline.serving.labelling.texts import TextService

# Number of decisions in the list of recent decisions.
_N_RECENT = 8
# Maximum number of near copies shown together; a person must be able to check them.
_MAX_COPIES = 100


class DecisionService:
    """Stores and lists coders' decisions about texts and their near copies.

    Parameters
    ----------
    context : LabelContext
    texts : TextService
    near_copies : NearCopies or None
        Near copies among the texts; None if not offered.
    """

    def __init__(
        self, context: LabelContext, texts: TextService, near_copies: NearCopies | None
    ) -> None:
        self._context, self._texts, self._near_copies = context, texts, near_copies

    def decide(self, coder: str, request: DecideRequest) -> DecideReply:
        """Store a decision, which is on disk on return."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        details: dict[str, Any] = {
            "note": request.note,
            "is_guess_shown": self._texts.is_guess_shown(assignment.selection),
            "supersedes": request.supersedes,
            "request": request.request,
        }
        if request.kind == "label":
            decision = context.store.label(assignment.id, request.topics, **details)
        else:
            decision = context.store.skip(assignment.id, request.reason or "unclear", **details)
        if decision.reason == "not for me":
            context.change_row(assignment, context.assignments.decline)
        elif request.supersedes is not None:
            context.change_row(assignment, context.assignments.reclaim)
        context.selector.notice_change()
        n_copies = len(self._free_copies(assignment)) if decision.kind == "label" else 0
        reply = DecisionReply.from_decision(decision)
        return DecideReply(**msgspec.structs.asdict(reply), n_copies=n_copies)

    def undo(self, coder: str, request: UndoRequest) -> TextReply:
        """Undo a decision and return its text."""
        context = self._context
        decision = context.history(coder).find(request.decision)
        if decision is None:
            raise DataError(f"there is no decision {request.decision} of yours; reload the page.")
        context.store.undo(request.decision, request=request.request)
        context.change_row(decision.assignment, context.assignments.reclaim)
        context.selector.notice_change()
        return self._texts.reply(decision.assignment)

    def recent(self, coder: str, request: RecentRequest) -> RecentReply:
        """Return the latest decisions of a coder, optionally before a given one."""
        listed = self._context.history(coder).latest(_N_RECENT + 1, request.before)
        codebook = self._context.store.codebook()
        return RecentReply(
            has_more=len(listed) > _N_RECENT,
            decisions=[self._recent_reply(each, codebook) for each in listed[:_N_RECENT]],
        )

    def _recent_reply(self, listed: ListedDecision, codebook: Codebook) -> RecentDecision:
        store, assignment = self._context.store, listed.decision.assignment
        original = assignment.selection.original
        if original is not None:
            assignment = store.assignment(original)
        return RecentDecision(
            decision=DecisionReply.from_decision(listed.decision, codebook),
            excerpt=excerpt_of(store.document(assignment.document).text),
            n_copies=listed.n_copies,
            original=original,
        )

    # Near copies ------------------------------------------------------------------------------

    def _free_copies(self, assignment: Assignment) -> list[int]:
        """Return the rows of a text's unassigned near copies."""
        row = self._context.find_row(assignment)
        if self._near_copies is None or row is None:
            return []
        rows = self._near_copies.find(row)
        free: list[int] = self._context.assignments.free_among(rows, assignment.coder.name).tolist()
        return free

    def list_copies(self, coder: str, request: CopiesRequest) -> CopiesReply:
        """Return the near copies of a text that the coder labelled."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        decision = context.history(coder).current(assignment.id)
        free = self._free_copies(assignment)
        codebook = context.store.codebook()
        labelled = []
        for each in context.store.copies(assignment.id)[:_MAX_COPIES]:
            document = context.store.document(each.assignment.document)
            topics = [*codebook.current_names(each.topic_ids)]
            labelled.append(CopyReply(key=document.key, text=document.text, topics=topics))
        shown = free[: _MAX_COPIES - len(labelled)]
        table = context.table
        return CopiesReply(
            text=context.store.document(assignment.document).text,
            topics=[] if decision is None else [*codebook.current_names(decision.topic_ids)],
            copies=[
                *labelled,
                *(CopyReply(key=table.keys[i], text=table.texts[i], topics=None) for i in shown),
            ],
            n_more=len(free) - len(shown),
        )

    def label_copies(self, coder: str, request: LabelCopiesRequest) -> CopiesCountReply:
        """Give the original's topics to near copies that the coder has checked."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        found = [context.table.find_key(key) for key in request.keys]
        documents = [each for each in found if each is not None]
        if len(documents) < len(found):
            raise DataError("some of these texts are no longer in the file; reload the page.")
        with context.selection_lock:  # prevents concurrent assignment of a copy
            n_copies = context.store.label_copies(assignment.id, documents, request=request.request)
            for each in context.store.copies(assignment.id):
                row = context.find_row(each.assignment)
                if row is not None:
                    context.assignments.add(row, coder)
        context.selector.notice_change()
        return CopiesCountReply(n_copies=n_copies)

    def undo_copies(self, coder: str, request: UndoCopiesRequest) -> CopiesCountReply:
        """Undo the labels of near copies, which become unassigned."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        with context.selection_lock:
            copies = context.store.copies(assignment.id)
            n_copies = context.store.undo_copies(assignment.id, request=request.request)
            for each in copies:
                row = context.find_row(each.assignment)
                if row is not None:
                    context.assignments.release(row)
        context.selector.notice_change()
        return CopiesCountReply(n_copies=n_copies)
