"""What speaks against topics that a document has, for people who look at it again."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from slugline.corpus.label_database import Assignment, StoredDocument


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


class Reviewer(Protocol):
    """Knows what speaks against the topics of documents."""

    def review(self, assignment: Assignment, document: StoredDocument) -> TopicReview | None:
        """Return what speaks against the topics of an assigned document; None if nothing does."""
