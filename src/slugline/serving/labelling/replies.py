"""Types of replies of the label page, and how they are made from what the store returns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

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
from slugline.labels.label_report import DoublingForecast, TopicAccuracy

if TYPE_CHECKING:
    from slugline.labels.audit_review import TopicReview

#: What a page shows; see `slugline.serving.labelling.service.LabelService`.
PageContent = Literal["texts", "suggestions", "suspects"]
# Characters of a text in a list.
_EXCERPT = 120


class GuessReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a model would answer."""

    topics: list[str]
    probability: float


class ReviewReply(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks against the topics that a text has."""

    topics: list[str]
    proposal: list[str]
    reasons: list[str]

    @classmethod
    def from_review(cls, review: TopicReview) -> Self:
        """Return the reply for a review."""
        return cls(topics=[*review.topics], proposal=[*review.proposal], reasons=[*review.reasons])


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
        """Return the reply for a decision.

        With a codebook, topics have the names of today even if the decision was read before.
        """
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
    """What a person decided about a text on which coders disagree."""

    id: int
    at: str
    person: str
    topics: list[str]
    #: Whether the text is to have no answer.
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

    @classmethod
    def from_topic(cls, topic: CodebookTopic) -> Self:
        """Return the reply for a topic."""
        return cls(
            id=topic.id,
            name=topic.name,
            description=topic.description,
            examples=[*topic.examples],
            changed=topic.changed,
        )


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
    """The topic that was added; or, if `topic` is None, the similar one that may be meant."""

    topic: TopicReply | None
    similar: str | None = None


class AccuracyReply(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy of a model of the present labels, and its interval."""

    accuracy: float
    low: float
    high: float
    #: Labels that were measured, and texts that were skipped, or left undecided.
    n_labels: int
    n_skipped: int

    @classmethod
    def from_estimate(cls, estimate: AccuracyEstimate | None) -> Self | None:
        """Return the reply for an estimate; None if the accuracy is unknown."""
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
    """The accuracy on the texts of one topic."""

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
    """The accuracy that twice as many labels would add, and its interval."""

    gain: float
    low: float
    high: float
    hardly_pays: bool

    @classmethod
    def from_forecast(cls, forecast: DoublingForecast) -> Self:
        """Return the reply for a forecast."""
        return cls(
            gain=forecast.gain,
            low=forecast.low,
            high=forecast.high,
            hardly_pays=forecast.hardly_pays,
        )


class ProgressReply(msgspec.Struct, frozen=True, kw_only=True):
    """How much is labelled."""

    n_texts: int
    n_labelled: int
    n_skipped: int
    #: Labels of this coder.
    n_mine: int
    #: Whether others have labels. Nobody sees whether they disagree before settling that.
    has_other_coders: bool
    by_topic: dict[str, int]
    #: Differs from the version of the page's codebook if that has changed since.
    codebook_version: int
    #: Labels of random draws.
    n_random: int
    #: Labels of near copies, which were labelled together with a text, and aren't measured.
    n_near_copies: int
    #: None if there are too few labels.
    accuracy: AccuracyReply | None
    #: About how many more labels `accuracy` needs.
    n_needed: int
    #: Topics with enough labels, those with the lowest accuracy first.
    topics: list[TopicAccuracyReply]
    forecast: ForecastReply | None
    #: What the model is good enough for, and what more labels would bring; empty if unknown.
    advice: str
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


# Texts --------------------------------------------------------------------------------------------


def excerpt_of(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text[: 4 * _EXCERPT].split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT].rstrip()} …"
