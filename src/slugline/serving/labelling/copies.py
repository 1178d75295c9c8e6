"""Near copies of a text, which get its topics at once."""

from __future__ import annotations

from slugline.corpus.label_database.records import Assignment
from slugline.errors import DataError
from slugline.labels.near_copies import NearCopies
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.replies import CopiesCountReply, CopiesReply, CopyReply
from slugline.serving.labelling.requests import CopiesRequest, LabelCopiesRequest, UndoCopiesRequest

# Near copies that are sent at once: as many as one can look at.
_MAX_COPIES = 100


class CopyService:
    """Shows and labels near copies of texts.

    Parameters
    ----------
    context : LabelContext
    near_copies : NearCopies or None
        Texts that are nearly the same; None if near copies are not offered.
    """

    def __init__(self, context: LabelContext, near_copies: NearCopies | None) -> None:
        self._context, self._near_copies = context, near_copies

    def free_rows(self, assignment: Assignment) -> list[int]:
        """Return the rows of near copies of a text that nobody has."""
        if self._near_copies is None:
            return []
        row = self._context.find_row(assignment)
        if row is None:
            return []
        rows = self._near_copies.find(row)
        free: list[int] = self._context.assignments.free_among(rows, assignment.coder.name).tolist()
        return free

    def list_copies(self, coder: str, request: CopiesRequest) -> CopiesReply:
        """Return the near copies of a text that the coder has labelled."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        decision = context.history(coder).current(assignment.id)
        free = self.free_rows(assignment)
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
        """Give near copies that the coder has looked at the topics of their original."""
        context = self._context
        assignment = context.own_assignment(coder, request.assignment)
        found = [context.table.find_key(key) for key in request.keys]
        documents = [each for each in found if each is not None]
        if len(documents) < len(found):
            raise DataError("some of these texts are gone from the file; load the page again.")
        with context.selection_lock:  # so that none of them is selected meanwhile
            n_copies = context.store.label_copies(assignment.id, documents, request=request.request)
            for each in context.store.copies(assignment.id):
                row = context.find_row(each.assignment)
                if row is not None:
                    context.assignments.add(row, coder)
        context.selector.notice_change()
        return CopiesCountReply(n_copies=n_copies)

    def undo_copies(self, coder: str, request: UndoCopiesRequest) -> CopiesCountReply:
        """Take the labels of near copies back, so that nobody has these texts."""
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
