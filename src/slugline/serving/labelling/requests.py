"""Types of requests of the label page, with their limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from slugline.base.databases import MAX_ID
from slugline.corpus.label_database import DecisionKind, SkipReason
from slugline.labels.cells import MAX_EXAMPLES, MAX_NAME, MAX_NOTE
from slugline.serving.requests import ServiceRequest

_Number = Annotated[int, Meta(ge=1, le=MAX_ID)]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=r"\S")]
_Key = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
_Note = Annotated[str, Meta(max_length=MAX_NOTE)]
# An idempotency key of a change: if it is sent twice, it is made once.
_RequestName = Annotated[str, Meta(min_length=8, max_length=100)]


class NextRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for a text to label, besides those that the page already has, by assignment."""

    held: Annotated[list[_Number], Meta(max_length=1000)] = msgspec.field(default_factory=list)


class TextRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for the text of an assignment."""

    assignment: _Number


class RecentRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for the latest decisions, or for those before one of them."""

    before: _Number | None = None


class DecideRequest(ServiceRequest, frozen=True, kw_only=True):
    """A decision about an assignment: topics, or the reason to skip it."""

    assignment: _Number
    request: _RequestName
    kind: Literal["label", "skip"]
    topics: Annotated[list[_Name], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    reason: SkipReason | None = None
    note: _Note | None = None
    #: The number of the decision that it replaces.
    supersedes: _Number | None = None


class UndoRequest(ServiceRequest, frozen=True, kw_only=True):
    """Takes a decision back."""

    decision: _Number
    request: _RequestName


class CopiesRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for near copies of the text of an assignment."""

    assignment: _Number


class LabelCopiesRequest(ServiceRequest, frozen=True, kw_only=True):
    """Gives near copies, by key, the topics of the text of an assignment."""

    assignment: _Number
    request: _RequestName
    keys: Annotated[list[_Key], Meta(min_length=1, max_length=1000)]


class UndoCopiesRequest(ServiceRequest, frozen=True, kw_only=True):
    """Takes back the labels of near copies that were labelled with the text of an assignment."""

    assignment: _Number
    request: _RequestName


class AddTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Adds a topic, even if its name is similar to another's if `is_sure`."""

    name: _Name
    request: _RequestName
    is_sure: bool = False


class DescribeTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Gives a topic a description and examples."""

    name: _Name
    request: _RequestName
    description: _Note = ""
    examples: Annotated[list[_Note], Meta(max_length=MAX_EXAMPLES)] = msgspec.field(
        default_factory=list
    )


class RenameTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Renames a topic."""

    name: _Name
    new_name: _Name
    request: _RequestName


class MergeTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Merges a topic into another one."""

    name: _Name
    into: _Name
    request: _RequestName


class SeparateTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Undoes the merge of a topic, given by number."""

    topic: _Number
    request: _RequestName


class DisagreementRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for the first text to settle whose number is above `after`."""

    after: Annotated[int, Meta(ge=0, le=MAX_ID)] = 0


class SettleRequest(ServiceRequest, frozen=True, kw_only=True):
    """Settles a disagreement: by topics, or by leaving the document without an answer."""

    document: _Number
    request: _RequestName
    kind: Literal["label", "skip"]
    topics: Annotated[list[_Name], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    note: _Note | None = None


class UndoSettlementRequest(ServiceRequest, frozen=True, kw_only=True):
    """Takes a settlement back."""

    settlement: _Number
    request: _RequestName


class WithdrawRequest(ServiceRequest, frozen=True, kw_only=True):
    """Withdraws all labels that a coder has given so far."""

    coder: _Name
    request: _RequestName


class RestoreRequest(ServiceRequest, frozen=True, kw_only=True):
    """Gives withdrawn labels back."""

    withdrawal: _Number


#: What a page shows; see `slugline.serving.labelling.service.LabelService`.
PageContent = Literal["texts", "suggestions", "suspects"]

# Replies ------------------------------------------------------------------------------------------


class GuessReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a model would answer."""

    topics: list[str]
    probability: float


class ReviewReply(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks against the topics that a text has."""

    topics: list[str]
    proposal: list[str]
    reasons: list[str]


class DecisionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A coder's decision."""

    id: int
    at: str
    assignment: int
    kind: DecisionKind
    topics: list[str]
    reason: SkipReason | None
    note: str | None


class DecideReply(DecisionReply, frozen=True, kw_only=True):
    """A decision that was stored."""

    #: Texts without a label that are nearly the same as one that was labelled.
    n_copies: int


class TextReply(msgspec.Struct, frozen=True, kw_only=True):
    """A text to label, or one that was labelled."""

    assignment: int
    text: str
    #: The other columns: names and values.
    columns: list[tuple[str, str]]
    guess: GuessReply | None
    review: ReviewReply | None
    decision: DecisionReply | None


class NextReply(msgspec.Struct, frozen=True, kw_only=True):
    """The next text; None if none is left."""

    text: TextReply | None


class RecentDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One of the latest decisions, with the beginning of its text."""

    decision: DecisionReply
    excerpt: str
    #: Near copies that were labelled together, if it is about them; `original` is the assignment of
    #: the text that they were labelled with, whose excerpt this is.
    n_copies: int = 0
    original: int | None = None


class RecentReply(msgspec.Struct, frozen=True, kw_only=True):
    """The latest decisions, the latest first."""

    decisions: list[RecentDecision]
    #: Whether there are earlier ones.
    has_more: bool


class CopyReply(msgspec.Struct, frozen=True, kw_only=True):
    """A near copy of a text."""

    key: str
    text: str
    #: Its topics if it was labelled together with the text.
    topics: list[str] | None


class CopiesReply(msgspec.Struct, frozen=True, kw_only=True):
    """A text with near copies: those that were labelled together with it, and those to label."""

    text: str
    topics: list[str]
    copies: list[CopyReply]
    #: Further ones, which are sent once these have labels.
    n_more: int


class CopiesCountReply(msgspec.Struct, frozen=True, kw_only=True):
    """How many near copies were labelled, or lost their label."""

    n_copies: int


class CoderLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a coder decided about a text."""

    coder: str
    decision: DecisionReply


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A text to which coders gave different topics."""

    document: int
    text: str
    columns: list[tuple[str, str]]
    labels: list[CoderLabel]


class DisagreementReply(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is to be settled; None if there is none."""

    disagreement: Disagreement | None


class WithdrawalReply(msgspec.Struct, frozen=True, kw_only=True):
    """All labels of a coder up to a moment, withdrawn."""

    id: int
    at: str
    coder: str
    person: str


class SettlementReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided about a text on which coders disagree."""

    id: int
    at: str
    person: str
    topics: list[str]
    #: Whether the text is to have no answer.
    is_skip: bool
    excerpt: str


class AgreementReply(msgspec.Struct, frozen=True, kw_only=True):
    """How far coders agree, and what was settled and withdrawn."""

    #: `slugline.labels.agreement.Agreement.to_dict`; None until it is measured for the first time.
    agreement: dict[str, Any] | None
    #: Whether it is that of the present labels.
    is_current: bool
    withdrawals: list[WithdrawalReply]
    #: The latest settlements, the latest first.
    settlements: list[SettlementReply]


class TopicReply(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of the codebook."""

    id: int
    name: str
    description: str
    examples: list[str]
    changed: str


class MergedTopic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that was merged into another one."""

    id: int
    name: str
    into: str


class CodebookReply(msgspec.Struct, frozen=True, kw_only=True):
    """All topics in the order in which they were added."""

    topics: list[TopicReply]
    merged: list[MergedTopic]
    #: The number of the last change; see `ProgressReply.codebook_version`.
    version: int


class AddTopicReply(msgspec.Struct, frozen=True, kw_only=True):
    """The topic that was added; or, if `topic` is None, the similar one that may be meant."""

    topic: TopicReply | None
    similar: str | None = None


class AccuracyReply(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy of a model of the present labels, and its interval."""

    accuracy: float
    low: float
    high: float
    n_labels: int


class TopicAccuracyReply(AccuracyReply, frozen=True, kw_only=True):
    """The accuracy on the texts of one topic."""

    topic: str


class ForecastReply(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy that twice as many labels would add, and its interval."""

    n_labels: int
    gain: float
    low: float
    high: float
    hardly_pays: bool


class ProgressReply(msgspec.Struct, frozen=True, kw_only=True):
    """How much is labelled."""

    n_texts: int
    n_labelled: int
    n_skipped: int
    n_disagreements: int
    #: Labels of this coder.
    n_mine: int
    by_topic: dict[str, int]
    #: Differs from the version of the page's codebook if that has changed since.
    codebook_version: int
    #: Labels of random draws.
    n_random: int
    #: None if there are too few labels.
    accuracy: AccuracyReply | None
    #: About how many more labels `accuracy` needs.
    n_needed: int
    #: Topics with enough labels, those with the lowest accuracy first.
    topics: list[TopicAccuracyReply]
    forecast: ForecastReply | None
    #: Why there is no model of the latest labels.
    problem: str | None


class StateReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs to begin."""

    #: Identifies the coder and the file of labels; the page keeps unsent decisions under this name.
    outbox_key: str
    source: str
    coder: str
    is_multilabel: bool
    content: PageContent
    #: Whether this coder may settle disagreements.
    may_settle: bool
    codebook: CodebookReply
    progress: ProgressReply
