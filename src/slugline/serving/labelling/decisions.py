"""Decisions of coders: stored, taken back, and listed."""

from __future__ import annotations

import msgspec

from slugline.corpus.label_database.codebook import Codebook
from slugline.errors import DataError
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.copies import CopyService
from slugline.serving.labelling.history import ListedDecision
from slugline.serving.labelling.replies import (
    DecideReply,
    DecisionReply,
    RecentDecision,
    RecentReply,
    TextReply,
    excerpt_of,
)
from slugline.serving.labelling.requests import DecideRequest, RecentRequest, UndoRequest
from slugline.serving.labelling.texts import TextService

# Decisions in the list of the latest ones.
_N_RECENT = 8


class DecisionService:
    """Stores what coders decide.

    Parameters
    ----------
    context : LabelContext
    texts : TextService
    copies : CopyService
    """

    def __init__(self, context: LabelContext, texts: TextService, copies: CopyService) -> None:
        self._context, self._texts, self._copies = context, texts, copies

    def decide(self, coder: str, request: DecideRequest) -> DecideReply:
        """Store a decision; it is on disk when this returns."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        is_guess_shown = self._texts.is_guess_shown(assignment.selection)
        if request.kind == "label":
            decision = context.store.label(
                assignment.id,
                request.topics,
                note=request.note,
                is_guess_shown=is_guess_shown,
                supersedes=request.supersedes,
                request=request.request,
            )
        else:
            decision = context.store.skip(
                assignment.id,
                request.reason or "unclear",
                note=request.note,
                is_guess_shown=is_guess_shown,
                supersedes=request.supersedes,
                request=request.request,
            )
        if decision.reason == "not for me":
            context.change_row(assignment, context.assignments.decline)
        elif request.supersedes is not None:
            context.change_row(assignment, context.assignments.reclaim)
        context.selector.notice_change()
        n_copies = len(self._copies.free_rows(assignment)) if decision.kind == "label" else 0
        reply = DecisionReply.from_decision(decision)
        return DecideReply(**msgspec.structs.asdict(reply), n_copies=n_copies)

    def undo(self, coder: str, request: UndoRequest) -> TextReply:
        """Take a decision back; return its text, which has no decision then."""
        context = self._context
        decision = context.history(coder).find(request.decision)
        if decision is None:
            raise DataError(f"there is no decision {request.decision} of yours; reload the page.")
        context.store.undo(request.decision, request=request.request)
        context.change_row(decision.assignment, context.assignments.reclaim)
        context.selector.notice_change()
        return self._texts.reply(decision.assignment)

    def recent(self, coder: str, request: RecentRequest) -> RecentReply:
        """Return the latest decisions of a coder, or those before one of them."""
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
