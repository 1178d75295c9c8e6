"""Types of requests of the label page, with limits."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from slugline.base.databases import MAX_ID
from slugline.corpus.label_database.records import SkipReason
from slugline.labels.cells import MAX_EXAMPLES, MAX_NAME, MAX_NOTE
from slugline.serving.requests import ServiceRequest

_Number = Annotated[int, Meta(ge=1, le=MAX_ID)]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=r"\S")]
_Key = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
_Note = Annotated[str, Meta(max_length=MAX_NOTE)]
# Idempotency key: a change that is sent twice is made once.
_RequestName = Annotated[str, Meta(min_length=8, max_length=100)]


class NextRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for a text to label; `held` lists the assignments already on the page."""

    held: Annotated[list[_Number], Meta(max_length=1000)] = msgspec.field(default_factory=list)


class TextRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for the text of an assignment."""

    assignment: _Number


class RecentRequest(ServiceRequest, frozen=True, kw_only=True):
    """Asks for recent decisions, optionally before a given one."""

    before: _Number | None = None


class DecideRequest(ServiceRequest, frozen=True, kw_only=True):
    """A decision about an assignment: topics, or the reason to skip it."""

    assignment: _Number
    request: _RequestName
    kind: Literal["label", "skip"]
    topics: Annotated[list[_Name], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    reason: SkipReason | None = None
    note: _Note | None = None
    #: Number of the decision to replace.
    supersedes: _Number | None = None


class UndoRequest(ServiceRequest, frozen=True, kw_only=True):
    """Undoes a decision."""

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
    """Undoes the labels of near copies that were labelled with the text of an assignment."""

    assignment: _Number
    request: _RequestName


class AddTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Adds a topic; with `is_sure`, even if a similar name exists."""

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


class RemoveTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Removes a topic without labels."""

    name: _Name
    request: _RequestName


class SeparateTopicRequest(ServiceRequest, frozen=True, kw_only=True):
    """Undoes the merge of a topic, given by number."""

    topic: _Number
    request: _RequestName


class DisagreementRequest(ServiceRequest, frozen=True, kw_only=True):
    """Requests the first unsettled disagreement with a number above `after`."""

    after: Annotated[int, Meta(ge=0, le=MAX_ID)] = 0


class SettleRequest(ServiceRequest, frozen=True, kw_only=True):
    """Settles a disagreement with topics, or without an answer."""

    document: _Number
    request: _RequestName
    kind: Literal["label", "skip"]
    topics: Annotated[list[_Name], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    note: _Note | None = None
    #: Number of the settlement to replace.
    supersedes: _Number | None = None


class UndoSettlementRequest(ServiceRequest, frozen=True, kw_only=True):
    """Undoes a settlement."""

    settlement: _Number
    request: _RequestName


class WithdrawRequest(ServiceRequest, frozen=True, kw_only=True):
    """Withdraws all current labels of a coder."""

    coder: _Name
    request: _RequestName


class RestoreRequest(ServiceRequest, frozen=True, kw_only=True):
    """Restores withdrawn labels."""

    withdrawal: _Number
