"""Types of replies of the label page, and their conversion from the store's records."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import msgspec

from slugline.corpus.label_database.codebook import Codebook, CodebookTopic
from slugline.corpus.label_database.records import (
    DecisionKind,
    LabelDecision,
    Settlement,
    SkipReason,
    Withdrawal,
)
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.label_report import TopicAccuracy

#: Content of a page; see `slugline.serving.labelling.service.LabelService`.
PageContent = Literal["texts", "suggestions", "suspects"]
# Maximum number of characters of a text in a list.
_EXCERPT = 120


class GuessReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a model."""

    topics: list[str]
    probability: float


class ReviewReply(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence against the current topics of a text."""

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

    @classmethod
    def from_decision(cls, decision: LabelDecision, codebook: Codebook | None = None) -> Self:
        """Return the reply for a decision, with the topics' names in the codebook if given."""
        names = decision.topics if codebook is None else codebook.current_names(decision.topic_ids)
        return cls(
            id=decision.id,
            at=decision.at,
            assignment=decision.assignment.id,
            kind=decision.kind,
            topics=[*names],
            reason=decision.reason,
            note=decision.note,
        )


class DecideReply(DecisionReply, frozen=True, kw_only=True):
    """A stored decision."""

    #: Number of unassigned near copies of the labelled text.
    n_copies: int


class TextReply(msgspec.Struct, frozen=True, kw_only=True):
    """A text, to be labelled or labelled already."""

    assignment: int
    text: str
    #: Names and values of the other columns.
    columns: list[tuple[str, str]]
    guess: GuessReply | None
    review: ReviewReply | None
    decision: DecisionReply | None


class NextReply(msgspec.Struct, frozen=True, kw_only=True):
    """The next text, or None if none is left."""

    text: TextReply | None


class RecentDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A recent decision, with the beginning of its text."""

    decision: DecisionReply
    excerpt: str
    #: For near copies labelled together: their number, and the assignment of the original text, to
    #: which the excerpt belongs.
    n_copies: int = 0
    original: int | None = None


class RecentReply(msgspec.Struct, frozen=True, kw_only=True):
    """The latest decisions, newest first."""

    decisions: list[RecentDecision]
    #: True if there are earlier ones.
    has_more: bool


class CopyReply(msgspec.Struct, frozen=True, kw_only=True):
    """A near copy of a text."""

    key: str
    text: str
    #: Its topics if labelled together with the text.
    topics: list[str] | None


class CopiesReply(msgspec.Struct, frozen=True, kw_only=True):
    """A text with its near copies, labelled together with it or not labelled yet."""

    text: str
    topics: list[str]
    copies: list[CopyReply]
    #: Number of further near copies, shown once these are labelled.
    n_more: int


class CopiesCountReply(msgspec.Struct, frozen=True, kw_only=True):
    """Number of near copies that were labelled or undone."""

    n_copies: int


class CoderLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A coder's decision about a text."""

    coder: str
    decision: DecisionReply


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A text that coders disagree about."""

    document: int
    text: str
    columns: list[tuple[str, str]]
    labels: list[CoderLabel]


class DisagreementReply(msgspec.Struct, frozen=True, kw_only=True):
    """A text to settle, or None."""

    disagreement: Disagreement | None


class WithdrawalReply(msgspec.Struct, frozen=True, kw_only=True):
    """Withdrawal of all labels that a coder had given."""

    id: int
    at: str
    coder: str
    person: str

    @classmethod
    def from_withdrawal(cls, withdrawal: Withdrawal) -> Self:
        """Return the reply for a withdrawal."""
        return cls(
            id=withdrawal.id,
            at=withdrawal.at,
            coder=withdrawal.coder.name,
            person=withdrawal.person.name,
        )


class SettlementReply(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision about a text that coders disagree about."""

    id: int
    at: str
    person: str
    topics: list[str]
    #: True if the text has no answer.
    is_skip: bool
    excerpt: str

    @classmethod
    def from_settlement(cls, settlement: Settlement, text: str) -> Self:
        """Return the reply for a settlement about a text."""
        return cls(
            id=settlement.id,
            at=settlement.at,
            person=settlement.person.name,
            topics=[*settlement.topics],
            is_skip=settlement.kind == "skip",
            excerpt=excerpt_of(text),
        )


class AgreementReply(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of coders, settlements and withdrawals."""

    #: `slugline.labels.agreement.Agreement.to_dict`; None until first measured.
    agreement: dict[str, Any] | None
    #: True if the agreement is up to date.
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

    @classmethod
    def from_topic(cls, topic: CodebookTopic) -> Self:
        """Return the reply for a topic."""
        return msgspec.convert(topic._asdict(), cls)


class MergedTopic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic merged into another one."""

    id: int
    name: str
    into: str


class CodebookReply(msgspec.Struct, frozen=True, kw_only=True):
    """All topics in the order in which they were added."""

    topics: list[TopicReply]
    merged: list[MergedTopic]
    #: The number of the last change; see `ProgressReply.codebook_version`.
    version: int

    @classmethod
    def from_codebook(cls, codebook: Codebook) -> Self:
        """Return the reply for a codebook."""
        return cls(
            topics=[TopicReply.from_topic(topic) for topic in codebook.topics()],
            merged=[
                MergedTopic(id=topic.id, name=topic.name, into=codebook.resolve(topic.id).name)
                for topic in codebook.all_topics()
                if topic.merged_into is not None
            ],
            version=codebook.version,
        )


class AddTopicReply(msgspec.Struct, frozen=True, kw_only=True):
    """The added topic; if None, the similar topic that may be meant."""

    topic: TopicReply | None
    similar: str | None = None


class AccuracyReply(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of a model of the current labels, with its interval."""

    accuracy: float
    low: float
    high: float
    #: Numbers of measured labels, and of skipped or undecided texts.
    n_labels: int
    n_skipped: int

    @classmethod
    def from_estimate(cls, estimate: AccuracyEstimate | None) -> Self | None:
        """Return the reply for an estimate, or None if the accuracy is unknown."""
        if estimate is None or math.isnan(estimate.accuracy):
            return None
        return cls(
            accuracy=estimate.accuracy,
            low=estimate.low,
            high=estimate.high,
            n_labels=estimate.n_labels - estimate.n_skipped,
            n_skipped=estimate.n_skipped,
        )


class TopicAccuracyReply(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy on the texts of one topic."""

    topic: str
    accuracy: float
    low: float
    high: float
    n_labels: int

    @classmethod
    def from_accuracy(cls, accuracy: TopicAccuracy) -> Self:
        """Return the reply for the accuracy of a topic."""
        estimate = accuracy.estimate
        return cls(
            topic=accuracy.topic,
            accuracy=estimate.accuracy,
            low=estimate.low,
            high=estimate.high,
            n_labels=estimate.n_labels,
        )


class ForecastReply(msgspec.Struct, frozen=True, kw_only=True):
    """Gain in accuracy from twice as many labels, with its interval."""

    gain: float
    low: float
    high: float


class ProgressReply(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of labels, and the accuracy of a model trained on them."""

    n_texts: int
    n_labelled: int
    n_skipped: int
    #: Number of labels of this coder.
    n_mine: int
    #: True if other coders have labels, whether or not there are disagreements.
    has_other_coders: bool
    by_topic: dict[str, int]
    #: Differs from the version of the page's codebook if it has changed since.
    codebook_version: int
    #: Number of labels of random draws.
    n_random: int
    #: Number of labels of near copies, which don't count in the accuracy.
    n_near_copies: int
    #: None if there are too few labels.
    accuracy: AccuracyReply | None
    #: Roughly how many more labels `accuracy` requires.
    n_needed: int
    #: Topics with enough labels, lowest accuracy first.
    topics: list[TopicAccuracyReply]
    forecast: ForecastReply | None
    #: Suitable uses of the model, and the gain from more labels; empty if unknown.
    advice: str
    #: Error of the last fit.
    problem: str | None


class StateReply(msgspec.Struct, frozen=True, kw_only=True):
    """Initial state of the page."""

    #: Identifies the coder and the label database; names unsent decisions in the browser's storage.
    outbox_key: str
    source: str
    coder: str
    is_multilabel: bool
    content: PageContent
    #: True if this coder may settle disagreements.
    may_settle: bool
    codebook: CodebookReply
    progress: ProgressReply


# Texts --------------------------------------------------------------------------------------------


def excerpt_of(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text[: 4 * _EXCERPT].split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT].rstrip()} …"
