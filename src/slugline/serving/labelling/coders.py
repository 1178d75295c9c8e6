"""Agreement of coders, disagreements to settle, and withdrawn labels."""

from __future__ import annotations

from typing import Any

from slugline.base.latest_task import LatestTask
from slugline.labels.agreement import measure_agreement
from slugline.labels.store import LabelStore
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.replies import (
    AgreementReply,
    CoderLabel,
    DecisionReply,
    Disagreement,
    DisagreementReply,
    SettlementReply,
    WithdrawalReply,
)
from slugline.serving.labelling.requests import (
    DisagreementRequest,
    RestoreRequest,
    SettleRequest,
    UndoSettlementRequest,
    WithdrawRequest,
)

# Maximum number of listed settlements.
_N_SETTLEMENTS = 20
# Maximum number of seconds that `close` waits for the agreement.
_PATIENCE = 10.0


class CoderService:
    """Shows disagreements, and stores settlements and withdrawals.

    Parameters
    ----------
    context : LabelContext
    """

    def __init__(self, context: LabelContext) -> None:
        self._context = context
        self._agreement = _AgreementTask(context.store)

    def close(self) -> None:
        """Wait for the thread that measures the agreement of coders."""
        self._agreement.close(_PATIENCE)

    def find_disagreement(self, coder: str, request: DisagreementRequest) -> DisagreementReply:
        """Return the first disagreement after a given document."""
        self._context.check_may_settle(coder)
        store = self._context.store
        labels = store.labels(request.after, has_texts=False)
        number = next((each.document.id for each in labels if each.status == "open"), None)
        if number is None:
            return DisagreementReply(disagreement=None)
        found = store.document_labels(number)
        return DisagreementReply(
            disagreement=Disagreement(
                document=number,
                text=found.document.text,
                columns=self._context.other_columns(found.document),
                labels=[
                    CoderLabel(
                        coder=each.assignment.coder.name, decision=DecisionReply.from_decision(each)
                    )
                    for each in found.decisions
                ],
            )
        )

    def settle(self, coder: str, request: SettleRequest) -> None:
        """Store a person's decision about a text that coders disagree about."""
        self._context.check_may_settle(coder)
        self._context.store.settle(
            request.document,
            request.topics if request.kind == "label" else None,
            coder,
            note=request.note,
            supersedes=request.supersedes,
            request=request.request,
        )
        self._context.selector.notice_change()

    def undo_settlement(self, coder: str, request: UndoSettlementRequest) -> AgreementReply:
        """Undo a settlement."""
        self._context.check_may_settle(coder)
        self._context.store.undo_settlement(request.settlement, coder, request=request.request)
        self._context.selector.notice_change()
        return self.agreement()

    def agreement(self) -> AgreementReply:
        """Return the agreement of coders, settlements and withdrawals."""
        store = self._context.store
        agreement, is_current = self._agreement.result()
        return AgreementReply(
            agreement=agreement,
            is_current=is_current,
            withdrawals=[WithdrawalReply.from_withdrawal(each) for each in store.withdrawals()],
            settlements=[
                SettlementReply.from_settlement(each, store.document(each.document).text)
                for each in store.settlements(_N_SETTLEMENTS)
            ],
        )

    def withdraw(self, coder: str, request: WithdrawRequest) -> AgreementReply:
        """Withdraw all current labels of a coder; the texts become unassigned."""
        self._context.check_may_settle(coder)
        self._context.store.withdraw(request.coder, coder, request=request.request)
        return self._refresh()

    def restore(self, coder: str, request: RestoreRequest) -> AgreementReply:
        """Restore withdrawn labels."""
        self._context.check_may_settle(coder)
        self._context.store.restore(request.withdrawal, coder)
        return self._refresh()

    def _refresh(self) -> AgreementReply:
        """Read the assignments again."""
        context = self._context
        with context.selection_lock:
            context.assignments.refresh(context.table, context.store)
        context.selector.notice_change()
        return self.agreement()


class _AgreementTask:
    """Measures the agreement of coders in a background thread after each change."""

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        # The state of the labels, and `Agreement.to_dict`.
        self._measured: tuple[tuple[int, ...], dict[str, Any]] | None = None
        self._task = LatestTask(self._measure, name="measure-agreement")

    def result(self) -> tuple[dict[str, Any] | None, bool]:
        """Return the latest agreement or None, and True if it is up to date."""
        measured = self._measured
        is_current = measured is not None and measured[0] == self._store.last_change()
        if not is_current:
            self._task.request()
        return None if measured is None else measured[1], is_current

    def close(self, timeout: float) -> None:
        """Stop the thread."""
        self._task.close(timeout)

    def _measure(self) -> None:
        try:
            last = self._store.last_change()
            if self._measured is None or self._measured[0] != last:
                self._measured = last, measure_agreement(self._store).to_dict()
        except Exception:  # noqa: BLE001 - the next request tries again; reading labels reports it
            return
