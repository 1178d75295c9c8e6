"""Texts for coders: the next one, or one with an earlier decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from slugline.corpus.label_database.records import Assignment, LabelDecision, Selection
from slugline.errors import StoreError
from slugline.labels.draws import RepeatedDraws
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.replies import (
    DecisionReply,
    GuessReply,
    NextReply,
    ReviewReply,
    TextReply,
)
from slugline.serving.labelling.requests import NextRequest, TextRequest

if TYPE_CHECKING:
    from slugline.labels.audit_review import AuditReview

# Maximum number of draws of texts that another process has just assigned.
_MAX_TRIES = 1000
# Number of such draws after which assignments are read again.
_N_MISSES = 20


class TextService:
    """Selects texts and returns them for display.

    Parameters
    ----------
    context : LabelContext
    shows_guesses : bool
        Show the guesses of the selector's model before coders decide.
    reviewer : AuditReview or None
        Evidence against the topics of the texts.
    repeated_draws : RepeatedDraws or None
        Texts that a coder labels again.
    """

    def __init__(
        self,
        context: LabelContext,
        *,
        shows_guesses: bool,
        reviewer: AuditReview | None,
        repeated_draws: RepeatedDraws | None,
    ) -> None:
        self._context, self._shows_guesses = context, shows_guesses
        self._reviewer, self._repeated_draws = reviewer, repeated_draws

    def next_text(self, coder: str, request: NextRequest) -> NextReply:
        """Return a text for a coder: an undecided or a new one."""
        held = set(request.held)
        with self._context.selection_lock:
            for assignment in self._context.store.open_assignments(coder):
                if assignment.id not in held:
                    return NextReply(text=self.reply(assignment))
            selected = self._repeat(coder) or self._select(coder)
        return NextReply(text=None if selected is None else self.reply(selected))

    def find_text(self, coder: str, request: TextRequest) -> TextReply:
        """Return the text of an assignment, with the current decision about it."""
        assignment = self._context.own_assignment(coder, request.assignment)
        return self.reply(assignment, self._context.history(coder).current(assignment.id))

    def reply(self, assignment: Assignment, decision: LabelDecision | None = None) -> TextReply:
        """Return the text of an assignment, with a decision about it."""
        store, selection = self._context.store, assignment.selection
        document = store.document(assignment.document)
        review = None if self._reviewer is None else self._reviewer.review(document)
        guess = selection.guess
        is_guess_shown = guess is not None and review is None and self.is_guess_shown(selection)
        return TextReply(
            assignment=assignment.id,
            text=document.text,
            columns=self._context.other_columns(document),
            guess=GuessReply(topics=[*guess.topics], probability=guess.probability)
            if guess is not None and is_guess_shown
            else None,
            review=None if review is None else msgspec.convert(review._asdict(), ReviewReply),
            decision=None
            if decision is None
            else DecisionReply.from_decision(decision, store.codebook()),
        )

    def is_guess_shown(self, selection: Selection) -> bool:
        """Return True if the coder of a text with this selection sees the model's guess."""
        return selection.is_guess_shown and (self._shows_guesses or selection.reason == "audit")

    def _repeat(self, coder: str) -> Assignment | None:
        """Return a new assignment of an earlier text, or None."""
        if self._repeated_draws is None:
            return None
        drawn = self._repeated_draws.draw(self._context.history(coder).decisions())
        if drawn is None:
            return None
        decision, selection = drawn
        if self._context.find_row(decision.assignment) is None:
            return None
        return self._context.store.assign(coder, decision.assignment.document, selection)

    def _select(self, coder: str) -> Assignment | None:
        """Return a new assignment, or None if no text is left."""
        context = self._context
        store, table, assignments = context.store, context.table, context.assignments
        for n_misses in range(_MAX_TRIES):
            if n_misses == _N_MISSES:
                assignments.refresh(table, store)
            selected = context.selector.select_next(coder)
            if selected is None:
                return None
            row, selection = selected
            [document] = store.add_documents([table.document(row)])
            if not self._has_decided(coder, document):
                n_others = assignments.n_coders(row)
                assignment = store.assign(coder, document, selection, max_others=n_others)
                if assignment is not None:
                    assignments.add(row, coder, is_random=selection.is_random)
                    return assignment
            assignments.mark_taken(row)  # assigned by another process
        raise StoreError("another process is assigning these texts at the same time; try again.")

    def _has_decided(self, coder: str, document: int) -> bool:
        decisions = self._context.store.document_labels(document).decisions
        return any(each.assignment.coder.name == coder for each in decisions)
