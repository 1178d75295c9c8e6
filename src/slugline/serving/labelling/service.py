"""What the label page can ask for: each request is a method of `LabelService`.

Nothing here depends on Starlette: `handlers` translates HTTP. The methods block, so that they are
to be run on threads; each takes the name of the coder who asks.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Sequence

import msgspec

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.corpus.label_database import (
    Assignment,
    Codebook,
    CodebookTopic,
    LabelDecision,
    Selection,
    StoredDocument,
)
from slugline.corpus.misspellings import has_one_letter_wrong
from slugline.errors import DataError, OptionError, Parameter, StoreError
from slugline.labels.accuracy import MIN_EFFECTIVE, AccuracyEstimate
from slugline.labels.draws import RepeatedDraws, Selector
from slugline.labels.label_counts import LabelCounter, LabelCounts
from slugline.labels.label_report import LabelReport
from slugline.labels.learning_selector import MIN_LABELS
from slugline.labels.near_copies import NearCopies
from slugline.labels.reviews import Reviewer, TopicReview
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable
from slugline.serving.labelling.agreement import AgreementTask
from slugline.serving.labelling.history import CoderHistory, ListedDecision
from slugline.serving.labelling.requests import (
    AccuracyReply,
    AddTopicReply,
    AddTopicRequest,
    AgreementReply,
    CodebookReply,
    CoderLabel,
    CopiesCountReply,
    CopiesReply,
    CopiesRequest,
    CopyReply,
    DecideReply,
    DecideRequest,
    DecisionReply,
    DescribeTopicRequest,
    Disagreement,
    DisagreementReply,
    DisagreementRequest,
    ForecastReply,
    GuessReply,
    LabelCopiesRequest,
    MergedTopic,
    MergeTopicRequest,
    NextReply,
    NextRequest,
    PageContent,
    ProgressReply,
    RecentDecision,
    RecentReply,
    RecentRequest,
    RenameTopicRequest,
    RestoreRequest,
    ReviewReply,
    SeparateTopicRequest,
    SettlementReply,
    SettleRequest,
    StateReply,
    TextReply,
    TextRequest,
    TopicAccuracyReply,
    TopicReply,
    UndoCopiesRequest,
    UndoRequest,
    UndoSettlementRequest,
    WithdrawalReply,
    WithdrawRequest,
)
from slugline.serving.service_errors import SettlementError, WrongCoderError

# Characters of a text in the list of the latest decisions, and decisions in it.
_EXCERPT, _N_RECENT = 120, 8
# Near copies that are sent at once: as many as one can look at.
_N_COPIES = 100
# Settlements that are listed.
_N_SETTLEMENTS = 20
# Seconds that `close` waits for the agreement of coders.
_PATIENCE = 10.0
# How often a text is drawn again that another process has given to somebody in the meantime.
_MAX_TRIES = 1000
# After so many such tries, what others have is read again.
_N_MISSES = 20
# With more changed documents, all are counted again, page by page.
_MAX_RECOUNTED = 1000
# The largest number of topics in use.
_MAX_TOPICS = 1000


class LabelService:
    """Gives texts to coders, and stores what they decide.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    assignments : RowAssignments
    selector : Selector
    coder : str
        The coder of requests without a token.
    shows_guesses : bool, default False
        Whether coders see the guesses of the selector's model before they decide.
    content : {"texts", "suggestions", "suspects"}, default "texts"
        What the page shows: texts, and how good a model of their labels is; suggestions of another
        model; or suspects of an audit, about which people decide.
    reviewer : Reviewer, optional
        Knows what speaks against topics that texts have, which is shown with them, and which
        labels are shown to their coders again.
    settlers : sequence of str, optional
        Who may settle disagreements; by default, everybody.
    near_copies : NearCopies, optional
        Texts of the table that are nearly the same; by default, none are offered.
    repeated_draws : RepeatedDraws, optional
        Which texts come again; by default, none.
    """

    def __init__(
        self,
        store: LabelStore,
        table: TextTable,
        assignments: RowAssignments,
        selector: Selector,
        coder: str,
        *,
        shows_guesses: bool = False,
        content: PageContent = "texts",
        reviewer: Reviewer | None = None,
        settlers: Sequence[str] = (),
        near_copies: NearCopies | None = None,
        repeated_draws: RepeatedDraws | None = None,
    ) -> None:
        self.store, self.coder = store, coder
        self._settlers = frozenset(settlers)
        self._table, self._assignments, self._selector = table, assignments, selector
        self._shows_guesses, self._content, self._reviewer = shows_guesses, content, reviewer
        self._near_copies, self._repeated_draws = near_copies, repeated_draws
        # Of the selector and the assignments, of the histories, and of the counter.
        self._selection_lock, self._history_lock = threading.Lock(), threading.Lock()
        self._count_lock = threading.Lock()
        self._counter, self._last_change = LabelCounter(table.has_key), tuple[int, ...]()
        self._agreement = AgreementTask(store)
        self._histories: dict[str, CoderHistory] = {}

    def close(self) -> None:
        """End the selector's threads, and close the file of labels."""
        self._selector.close()
        self._agreement.close(_PATIENCE)
        self.store.close()

    # Texts -----------------------------------------------------------------------------------

    def state(self, coder: str) -> StateReply:
        """Return what the page needs to begin; the coder is stored if they are new."""
        added = self.store.add_coder(coder)
        identity = f"{self.store.path.resolve()}\n{added.id}\n{added.at}"
        return StateReply(
            outbox_key=hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16],
            source=self._table.name,
            coder=coder,
            is_multilabel=self.store.is_multilabel,
            content=self._content,
            may_settle=self._may_settle(coder),
            codebook=self.codebook(),
            progress=self.progress(coder),
        )

    def next_text(self, coder: str, request: NextRequest) -> NextReply:
        """Return a text for a coder: one that they haven't decided yet, or a new one."""
        held = set(request.held)
        with self._selection_lock:
            for assignment in self.store.open_assignments(coder):
                if assignment.id not in held:
                    return NextReply(text=self._text(assignment))
            selected = self._show_again(coder) or self._repeat(coder) or self._select(coder)
        return NextReply(text=None if selected is None else self._text(selected))

    def _show_again(self, coder: str) -> Assignment | None:
        """Return the assignment of a text whose label is in doubt; None if it is another's turn."""
        drawn = None if self._reviewer is None else self._reviewer.draw(self._decisions(coder))
        if drawn is None:
            return None
        assignment = self.store.assign(coder, drawn.document, drawn.selection)
        if assignment is not None:
            # It isn't drawn for a second coder any more.
            self._assignments.add(drawn.row, coder)
        return assignment

    def _decisions(self, coder: str) -> list[LabelDecision]:
        return self._history(coder).decisions()

    def _repeat(self, coder: str) -> Assignment | None:
        """Return the assignment of a text that comes again; None if it is the turn of another."""
        if self._repeated_draws is None:
            return None
        drawn = self._repeated_draws.draw(self._decisions(coder))
        if drawn is None:
            return None
        number, selection = drawn[0].assignment.document, drawn[1]
        if self._table.find_row(self.store.document(number)) is None:
            return None
        return self.store.assign(coder, number, selection)

    def _select(self, coder: str) -> Assignment | None:
        """Return a new assignment; None if no text is left."""
        for n_misses in range(_MAX_TRIES):
            if n_misses == _N_MISSES:
                self._assignments.refresh(self._table, self.store)
            selected = self._selector.select_next(coder)
            if selected is None:
                return None
            row, selection = selected
            [document] = self.store.add_documents([self._table.document(row)])
            if not self._has_decided(coder, document):
                assignment = self.store.assign(
                    coder, document, selection, max_coders=self._assignments.n_coders(row) + 1
                )
                if assignment is not None:
                    self._assignments.add(row, coder, is_random=selection.is_random)
                    return assignment
            self._assignments.mark_taken(row)  # another process has given it to somebody
        raise StoreError("another process gives these texts to coders as well; try again.")

    def _has_decided(self, coder: str, document: int) -> bool:
        decisions = self.store.document_labels(document).decisions
        return any(each.assignment.coder.name == coder for each in decisions)

    def find_text(self, coder: str, request: TextRequest) -> TextReply:
        """Return the text of an assignment, with the present decision about it."""
        assignment = self._own_assignment(coder, request.assignment)
        return self._text(assignment, self._history(coder).current(assignment.id))

    def _own_assignment(self, coder: str, number: int) -> Assignment:
        assignment = self.store.assignment(number)
        if assignment.coder.name != coder:
            raise WrongCoderError(assignment.coder.name, coder)
        return assignment

    def _text(self, assignment: Assignment, decision: LabelDecision | None = None) -> TextReply:
        document = self.store.document(assignment.document)
        selection = assignment.selection
        review = None if self._reviewer is None else self._reviewer.review(assignment, document)
        guess = None
        is_guess_shown = self._is_guess_shown(selection) and review is None
        if selection.guess is not None and is_guess_shown:
            topics, probability = selection.guess
            guess = GuessReply(topics=list(topics), probability=probability)
        return TextReply(
            assignment=assignment.id,
            text=document.text,
            columns=_other_columns(document, self._table),
            guess=guess,
            review=None if review is None else _review(review),
            decision=None if decision is None else _decision(decision, self.store.codebook()),
        )

    def _is_guess_shown(self, selection: Selection) -> bool:
        return selection.is_guess_shown and (self._shows_guesses or selection.reason == "audit")

    # Decisions -------------------------------------------------------------------------------

    def decide(self, coder: str, request: DecideRequest) -> DecideReply:
        """Store a decision; it is on disk when this returns."""
        assignment = self._own_assignment(coder, request.assignment)
        is_guess_shown = self._is_guess_shown(assignment.selection)
        if request.kind == "label":
            decision = self.store.label(
                assignment.id,
                request.topics,
                note=request.note,
                is_guess_shown=is_guess_shown,
                supersedes=request.supersedes,
                request=request.request,
            )
        else:
            decision = self.store.skip(
                assignment.id,
                request.reason or "unclear",
                note=request.note,
                is_guess_shown=is_guess_shown,
                supersedes=request.supersedes,
                request=request.request,
            )
        if decision.reason == "not for me":
            self._change_row(assignment, self._assignments.decline)
        elif request.supersedes is not None:
            self._change_row(assignment, self._assignments.reclaim)
        self._selector.notice_change()
        n_copies = len(self._free_copies(assignment)) if decision.kind == "label" else 0
        return DecideReply(**msgspec.structs.asdict(_decision(decision)), n_copies=n_copies)

    def _change_row(self, assignment: Assignment, change: Callable[[int, str], None]) -> None:
        """Let the row of an assignment, if the file still has it, be given to others, or not."""
        row = self._table.find_row(self.store.document(assignment.document))
        if row is not None:
            with self._selection_lock:
                change(row, assignment.coder.name)

    def undo(self, coder: str, request: UndoRequest) -> TextReply:
        """Take a decision back; return its text, which has no decision then."""
        decision = self._history(coder).find(request.decision)
        if decision is None:
            raise DataError(f"there is no decision {request.decision} of yours; reload the page.")
        self.store.undo(request.decision, request=request.request)
        self._change_row(decision.assignment, self._assignments.reclaim)
        self._selector.notice_change()
        return self._text(decision.assignment)

    def recent(self, coder: str, request: RecentRequest) -> RecentReply:
        """Return the latest decisions of a coder, or those before one of them."""
        found = self._history(coder).latest(_N_RECENT + 1, request.before)
        codebook = self.store.codebook()
        return RecentReply(
            has_more=len(found) > _N_RECENT,
            decisions=[self._recent(each, codebook) for each in found[:_N_RECENT]],
        )

    def _recent(self, listed: ListedDecision, codebook: Codebook) -> RecentDecision:
        original = listed.decision.assignment.selection.original
        assignment = listed.decision.assignment
        if original is not None:
            assignment = self.store.assignment(original)
        return RecentDecision(
            decision=_decision(listed.decision, codebook),
            excerpt=_excerpt(self.store.document(assignment.document).text),
            n_copies=listed.n_copies,
            original=original,
        )

    def _history(self, coder: str) -> CoderHistory:
        with self._history_lock:
            return self._histories.setdefault(coder, CoderHistory(self.store, coder))

    # Near copies -----------------------------------------------------------------------------

    def copies(self, coder: str, request: CopiesRequest) -> CopiesReply:
        """Return the near copies of a text that the coder has labelled."""
        assignment = self._own_assignment(coder, request.assignment)
        decision = self._history(coder).current(assignment.id)
        free = self._free_copies(assignment)
        codebook = self.store.codebook()
        copies = []
        for each in self.store.copies(assignment.id)[:_N_COPIES]:
            document = self.store.document(each.assignment.document)
            topics = [*codebook.current_names(each.topic_ids)]
            copies.append(CopyReply(key=document.key, text=document.text, topics=topics))
        for row in free[: max(_N_COPIES - len(copies), 0)]:
            key, text = self._table.keys[row], self._table.texts[row]
            copies.append(CopyReply(key=key, text=text, topics=None))
        return CopiesReply(
            text=self.store.document(assignment.document).text,
            topics=[] if decision is None else [*codebook.current_names(decision.topic_ids)],
            copies=copies,
            n_more=len(free) - sum(each.topics is None for each in copies),
        )

    def _free_copies(self, assignment: Assignment) -> list[int]:
        """Return the rows of near copies of a text that nobody has."""
        if self._near_copies is None:
            return []
        row = self._table.find_row(self.store.document(assignment.document))
        if row is None:
            return []
        rows = self._near_copies.find(row)
        free: list[int] = self._assignments.free_among(rows, assignment.coder.name).tolist()
        return free

    def label_copies(self, coder: str, request: LabelCopiesRequest) -> CopiesCountReply:
        """Give near copies that the coder has looked at the topics of their original."""
        assignment = self._own_assignment(coder, request.assignment)
        found = [self._table.find_key(key) for key in request.keys]
        documents = [each for each in found if each is not None]
        if len(documents) < len(found):
            raise DataError("some of these texts are gone from the file; load the page again.")
        with self._selection_lock:  # so that none of them is selected meanwhile
            n_copies = self.store.label_copies(assignment.id, documents, request=request.request)
            for each in self.store.copies(assignment.id):
                row = self._table.find_row(self.store.document(each.assignment.document))
                if row is not None:
                    self._assignments.add(row, coder)
        self._selector.notice_change()
        return CopiesCountReply(n_copies=n_copies)

    def undo_copies(self, coder: str, request: UndoCopiesRequest) -> CopiesCountReply:
        """Take the labels of near copies back, so that nobody has these texts."""
        assignment = self._own_assignment(coder, request.assignment)
        with self._selection_lock:
            copies = self.store.copies(assignment.id)
            n_copies = self.store.undo_copies(assignment.id, request=request.request)
            for each in copies:
                row = self._table.find_row(self.store.document(each.assignment.document))
                if row is not None:
                    self._assignments.release(row)
        self._selector.notice_change()
        return CopiesCountReply(n_copies=n_copies)

    # Disagreements ---------------------------------------------------------------------------

    def _may_settle(self, coder: str) -> bool:
        return not self._settlers or coder in self._settlers

    def find_disagreement(
        self,
        coder: str,  # noqa: ARG002
        request: DisagreementRequest,
    ) -> DisagreementReply:
        """Return the first text after a document to which coders gave different topics."""
        labels = self.store.labels(request.after, has_texts=False)
        number = next((each.document.id for each in labels if each.status == "open"), None)
        if number is None:
            return DisagreementReply(disagreement=None)
        found = self.store.document_labels(number)
        return DisagreementReply(
            disagreement=Disagreement(
                document=number,
                text=found.document.text,
                columns=_other_columns(found.document, self._table),
                labels=[
                    CoderLabel(coder=each.assignment.coder.name, decision=_decision(each))
                    for each in found.decisions
                ],
            )
        )

    def settle(self, coder: str, request: SettleRequest) -> ProgressReply:
        """Store what a person decides about a text on which coders disagree."""
        self._check_may_settle(coder)
        self.store.settle(
            request.document,
            request.topics if request.kind == "label" else None,
            coder,
            note=request.note,
            request=request.request,
        )
        self._selector.notice_change()
        return self.progress(coder)

    def undo_settlement(self, coder: str, request: UndoSettlementRequest) -> AgreementReply:
        """Take a settlement back: coders disagree again."""
        self._check_may_settle(coder)
        self.store.undo_settlement(request.settlement, coder, request=request.request)
        self._selector.notice_change()
        return self.agreement()

    def _check_may_settle(self, coder: str) -> None:
        if not self._may_settle(coder):
            raise SettlementError(sorted(self._settlers))

    # Coders ----------------------------------------------------------------------------------

    def agreement(self) -> AgreementReply:
        """Return how far coders agree, and what was settled and withdrawn."""
        agreement, is_current = self._agreement.result()
        return AgreementReply(
            agreement=agreement,
            is_current=is_current,
            withdrawals=[
                WithdrawalReply(
                    id=each.id, at=each.at, coder=each.coder.name, person=each.person.name
                )
                for each in self.store.withdrawals()
            ],
            settlements=[
                SettlementReply(
                    id=each.id,
                    at=each.at,
                    person=each.person.name,
                    topics=[*each.topics],
                    is_skip=each.kind == "skip",
                    excerpt=_excerpt(self.store.document(each.document).text),
                )
                for each in self.store.settlements(_N_SETTLEMENTS)
            ],
        )

    def withdraw(self, coder: str, request: WithdrawRequest) -> AgreementReply:
        """Withdraw all labels that somebody has given so far; others get these texts."""
        self._check_may_settle(coder)
        self.store.withdraw(request.coder, coder, request=request.request)
        return self._refresh()

    def restore(self, coder: str, request: RestoreRequest) -> AgreementReply:
        """Give withdrawn labels back."""
        self._check_may_settle(coder)
        self.store.restore(request.withdrawal, coder)
        return self._refresh()

    def _refresh(self) -> AgreementReply:
        """Read again who has which text."""
        with self._selection_lock:
            self._assignments.refresh(self._table, self.store)
        self._selector.notice_change()
        return self.agreement()

    # Topics ----------------------------------------------------------------------------------

    def codebook(self) -> CodebookReply:
        """Return all topics."""
        codebook = self.store.codebook()
        return CodebookReply(
            topics=[_topic(topic) for topic in codebook.topics()],
            merged=[
                MergedTopic(id=topic.id, name=topic.name, into=codebook.resolve(topic.id).name)
                for topic in codebook.all_topics()
                if topic.merged_into is not None
            ],
            version=codebook.version,
        )

    def add_topic(self, coder: str, request: AddTopicRequest) -> AddTopicReply:
        """Add a topic, unless a similar one may be meant."""
        name = " ".join(request.name.split())
        codebook = self.store.codebook()
        similar = None if request.is_sure else find_similar(name, codebook)
        if similar is not None:
            return AddTopicReply(topic=None, similar=similar)
        if len(codebook.names()) >= _MAX_TOPICS and codebook.find_active(name) is None:
            raise DataError(f"the codebook has {_MAX_TOPICS:,} topics; merge some first.")
        topic = self.store.add_topic(name, coder, request=request.request)
        return AddTopicReply(topic=_topic(topic))

    def describe_topic(self, coder: str, request: DescribeTopicRequest) -> CodebookReply:
        """Give a topic a new description and new examples."""
        self.store.describe_topic(
            request.name,
            coder,
            description=request.description.strip(),
            examples=[each.strip() for each in request.examples if each.strip()],
            request=request.request,
        )
        return self.codebook()

    def rename_topic(self, coder: str, request: RenameTopicRequest) -> CodebookReply:
        """Rename a topic."""
        name = " ".join(request.new_name.split())
        self.store.rename_topic(request.name, name, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()

    def merge_topic(self, coder: str, request: MergeTopicRequest) -> CodebookReply:
        """Merge a topic into another one."""
        self.store.merge_topic(request.name, request.into, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()

    def separate_topic(self, coder: str, request: SeparateTopicRequest) -> CodebookReply:
        """Undo the merge of a topic."""
        self.store.separate_topic(request.topic, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()

    # Progress --------------------------------------------------------------------------------

    def progress(self, coder: str) -> ProgressReply:
        """Return how much is labelled."""
        codebook = self.store.codebook()
        counts = self._read_counts(codebook.names())
        report = self._selector.report
        n_random = counts.by_reason.get("random", 0) + counts.by_reason.get("double-coded", 0)
        statuses = counts.by_status
        n_answered = sum(statuses.get(status, 0) for status in ("agreed", "settled", "open"))
        return ProgressReply(
            n_texts=len(self._table) + counts.n_unlisted,
            n_labelled=n_answered,
            n_skipped=statuses.get("skipped", 0),
            n_disagreements=statuses.get("open", 0),
            n_mine=counts.by_coder.get(coder, 0),
            by_topic=counts.by_topic,
            codebook_version=codebook.version,
            n_random=n_random,
            accuracy=_accuracy(self._selector.estimate),
            n_needed=self._count_needed(counts),
            topics=[] if report is None else _topic_accuracies(report),
            forecast=None if report is None else _forecast(report),
            problem=self._selector.problem,
        )

    def _count_needed(self, counts: LabelCounts) -> int:
        """Return about how many more labels it takes to know the accuracy of a model."""
        estimate = self._selector.estimate
        if estimate is not None:
            return max(math.ceil(MIN_EFFECTIVE - estimate.n_effective), 0)
        n_labels = sum(counts.by_reason.values())
        # A text that is coded twice counts once, as the draw that it was first.
        n_measured = counts.by_reason.get("random", 0) if self._shows_guesses else n_labels
        n_needed = max(MIN_LABELS - n_labels, MIN_EFFECTIVE - n_measured, 0)
        n_topics = sum(n > 0 for n in counts.by_topic.values())
        return n_needed if n_topics > 1 else max(n_needed, 1)

    def _read_counts(self, topics: Sequence[str]) -> LabelCounts:
        """Return the counts; only documents whose labels have changed are read."""
        with self._count_lock:
            last = self.store.last_change()
            changed = self.store.changed_documents(self._last_change) if self._last_change else None
            if changed is None or len(changed) > _MAX_RECOUNTED:
                for each in self.store.labels(has_texts=False):
                    self._counter.count(each)
            else:
                for number in changed:
                    self._counter.count(self.store.document_labels(number, has_texts=False))
            self._last_change = last
            return self._counter.counts(topics)


def check_settlers(settlers: Sequence[str], coders: Sequence[str]) -> None:
    """Raise OptionError unless each of those who may settle disagreements is a coder."""
    for name in settlers:
        if name not in coders:
            raise OptionError(
                Parameter("settlers"),
                f" has {short_repr(name)}, and labels are given by {join_words(coders)}; name one "
                "of these.",
            )


def find_similar(name: str, codebook: Codebook) -> str | None:
    """Return a topic that may be meant by a new name; None if there is none, or it is the topic.

    Case and spaces are ignored, and one letter may be wrong.
    """
    if codebook.find_active(name) is not None:
        return None
    former = codebook.find(name)
    if former is not None:
        return former.name
    folded = "".join(name.casefold().split())
    return next(
        (
            other
            for other in codebook.names()
            if "".join(other.casefold().split()) == folded or has_one_letter_wrong(name, other)
        ),
        None,
    )


def _decision(decision: LabelDecision, codebook: Codebook | None = None) -> DecisionReply:
    """Return a reply; with the names of topics in a codebook, if the decision was read before."""
    names = decision.topics if codebook is None else codebook.current_names(decision.topic_ids)
    return DecisionReply(
        id=decision.id,
        at=decision.at,
        assignment=decision.assignment.id,
        kind=decision.kind,
        topics=list(names),
        reason=decision.reason,
        note=decision.note,
    )


def _topic(topic: CodebookTopic) -> TopicReply:
    return TopicReply(
        id=topic.id,
        name=topic.name,
        description=topic.description,
        examples=list(topic.examples),
        changed=topic.changed,
    )


def _other_columns(document: StoredDocument, table: TextTable) -> list[tuple[str, str]]:
    """Return the names and values of the columns besides text and topic that have a value."""
    hidden = (*table.text_columns, table.topic_column)
    return [
        (name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for name, value in document.columns.items()
        if name not in hidden and value is not None and str(value).strip()
    ]


def _review(review: TopicReview) -> ReviewReply:
    return ReviewReply(
        topics=list(review.topics), proposal=list(review.proposal), reasons=list(review.reasons)
    )


def _accuracy(estimate: AccuracyEstimate | None) -> AccuracyReply | None:
    if estimate is None or math.isnan(estimate.accuracy):
        return None
    accuracy, low, high, n_labels, _ = estimate
    return AccuracyReply(accuracy=accuracy, low=low, high=high, n_labels=n_labels)


def _topic_accuracies(report: LabelReport) -> list[TopicAccuracyReply]:
    return [
        TopicAccuracyReply(
            topic=each.topic,
            accuracy=each.estimate.accuracy,
            low=each.estimate.low,
            high=each.estimate.high,
            n_labels=each.n_labels,
        )
        for each in report.topics
    ]


def _forecast(report: LabelReport) -> ForecastReply | None:
    doubling = report.doubling
    if doubling is None:
        return None
    return ForecastReply(**doubling._asdict(), hardly_pays=doubling.hardly_pays)


def _excerpt(text: str) -> str:
    words = " ".join(text[: 4 * _EXCERPT].split())
    return words if len(words) <= _EXCERPT else f"{words[:_EXCERPT].rstrip()} …"
