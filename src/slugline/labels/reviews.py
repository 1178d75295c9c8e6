"""What speaks against topics that a document has, for people who look at it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from slugline.corpus.label_database.records import (
    Assignment,
    LabelDecision,
    Selection,
    StoredDocument,
)


class TopicReview(NamedTuple):
    """What speaks against the topics of a document.

    Attributes
    ----------
    topics : tuple of str
        The topics that it has.
    proposal : tuple of str
        Those that it should probably have instead.
    reasons : tuple of str
        The evidence, in words.
    """

    topics: tuple[str, ...]
    proposal: tuple[str, ...]
    reasons: tuple[str, ...]


class RepeatedRow(NamedTuple):
    """A document that is shown to its coder again.

    Attributes
    ----------
    document : int
        Its number.
    row : int
        Its row in the table.
    selection : Selection
    """

    document: int
    row: int
    selection: Selection


class Reviewer(Protocol):
    """Knows what speaks against the topics of documents."""

    def draw(self, decisions: Sequence[LabelDecision]) -> RepeatedRow | None:
        """Return what is shown to a coder again, given their current decisions; None if nothing."""

    def review(self, assignment: Assignment, document: StoredDocument) -> TopicReview | None:
        """Return what speaks against the topics of an assigned document; None if nothing does."""
