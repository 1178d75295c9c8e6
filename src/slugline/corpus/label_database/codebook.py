"""The codebook of a label database: topics and descriptions, with all changes applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple


class CodebookChange(NamedTuple):
    """A change of the codebook.

    Attributes
    ----------
    id : int
    at : str
    coder : str
        Name of the coder who made the change.
    kind : {"added", "described", "renamed", "merged", "separated", "removed"}
        "separated" undoes a merge.
    topic : int
        Topic number: the `id` of the change that added the topic.
    name : str or None
        New name of an added or renamed topic.
    description : str or None
    examples : tuple of str
    target : int or None
        Number of the topic that this one was merged into.
    """

    id: int
    at: str
    coder: str
    kind: Literal["added", "described", "renamed", "merged", "separated", "removed"]
    topic: int
    name: str | None = None
    description: str | None = None
    examples: tuple[str, ...] = ()
    target: int | None = None


class CodebookTopic(NamedTuple):
    """The current state of a topic.

    Attributes
    ----------
    id : int
    name : str
    description : str
        Empty by default.
    examples : tuple of str
    changed : str
        Time of the last change.
    merged_into : int or None
        Number of the topic that it was merged into.
    is_removed : bool
        True if it was removed, which requires that no label uses it.
    """

    id: int
    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    changed: str = ""
    merged_into: int | None = None
    is_removed: bool = False


class Codebook:
    """Topics with descriptions, after all changes.

    Attributes
    ----------
    changes : tuple of CodebookChange
        All changes in order.
    """

    def __init__(self, changes: Sequence[CodebookChange]) -> None:
        self.changes = tuple(changes)
        self._topics: dict[int, CodebookTopic] = {}
        self._former: dict[str, int] = {}  # former names, and names of merged topics
        for change in changes:
            self._apply(change)
        self._active = {topic.name: topic for topic in self.topics()}

    def _apply(self, change: CodebookChange) -> None:
        if change.kind == "added" and change.name is not None:
            topic = CodebookTopic(change.topic, change.name)
        else:
            topic = self._topics[change.topic]
        if change.kind in ("added", "renamed") and change.name is not None:
            topic = topic._replace(name=change.name)
            self._former[change.name] = topic.id
        if change.kind in ("added", "described"):
            description = change.description or ""
            topic = topic._replace(description=description, examples=change.examples)
        if change.kind == "merged" and change.target in self._topics:
            topic = topic._replace(merged_into=change.target)
        if change.kind == "separated":
            topic = topic._replace(merged_into=None)
        if change.kind == "removed":
            topic = topic._replace(is_removed=True)
        self._topics[topic.id] = topic._replace(changed=change.at)

    @property
    def version(self) -> int:
        """Number of the last change, or 0."""
        return self.changes[-1].id if self.changes else 0

    def topics(self) -> list[CodebookTopic]:
        """Return the topics in use, oldest first."""
        return [topic for topic in self.all_topics() if topic.merged_into is None]

    def names(self) -> list[str]:
        """Return the names of the topics in use."""
        return [topic.name for topic in self.topics()]

    def all_topics(self) -> list[CodebookTopic]:
        """Return all topics except removed ones; includes merged topics."""
        return [topic for topic in self._topics.values() if not topic.is_removed]

    def resolve(self, number: int) -> CodebookTopic:
        """Return a topic, or the topic in use that it was merged into.

        Raises KeyError for an unknown topic, and ValueError for circular merges.
        """
        topic = self._topics[number]
        for _ in range(len(self._topics)):
            if topic.merged_into is None:
                return topic
            topic = self._topics[topic.merged_into]
        raise ValueError(f"topic {number} is merged into itself")  # as in a manipulated file

    def find(self, name: str) -> CodebookTopic | None:
        """Return the topic in use with this current or former name, or None."""
        if name in self._active:
            return self._active[name]
        topic = self.resolve(self._former[name]) if name in self._former else None
        return None if topic is None or topic.is_removed else topic

    def find_active(self, name: str) -> CodebookTopic | None:
        """Return the topic in use with this current name, or None."""
        return self._active.get(name)

    def current_names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Return the distinct current names of topics."""
        return tuple(dict.fromkeys(self.resolve(number).name for number in numbers))
