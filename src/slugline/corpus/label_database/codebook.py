"""The topics of a label database with their descriptions, after all changes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

CODEBOOK_CHANGES = ("added", "described", "renamed", "merged", "separated", "removed")


class CodebookChange(NamedTuple):
    """A change of the codebook.

    Attributes
    ----------
    id : int
    at : str
    coder : str
        The name of the coder who made it.
    kind : {"added", "described", "renamed", "merged", "separated", "removed"}
        A topic that is separated is no longer merged into another one.
    topic : int
        The number of the topic: the `id` of the change that added it.
    name : str or None
        The new name of a topic that was added or renamed.
    description : str or None
    examples : tuple of str
    target : int or None
        The number of the topic that this one was merged into.
    """

    id: int
    at: str
    coder: str
    kind: str
    topic: int
    name: str | None = None
    description: str | None = None
    examples: tuple[str, ...] = ()
    target: int | None = None


class CodebookTopic(NamedTuple):
    """A topic as it is today.

    Attributes
    ----------
    id : int
    name : str
    description : str
        Empty if there is none.
    examples : tuple of str
    changed : str
        When it was last changed.
    merged_into : int or None
        The number of the topic whose name its labels have now.
    is_removed : bool
        Whether it was removed, as no label has it.
    """

    id: int
    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    changed: str = ""
    merged_into: int | None = None
    is_removed: bool = False


class Codebook:
    """Topics with descriptions, as they are after all changes.

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
        """The number of the last change; 0 if there is none."""
        return self.changes[-1].id if self.changes else 0

    def topics(self) -> list[CodebookTopic]:
        """Return the topics in use, in the order in which they were added."""
        return [topic for topic in self.all_topics() if topic.merged_into is None]

    def names(self) -> list[str]:
        """Return the names of the topics in use."""
        return [topic.name for topic in self.topics()]

    def all_topics(self) -> list[CodebookTopic]:
        """Return all topics that were not removed, merged ones included."""
        return [topic for topic in self._topics.values() if not topic.is_removed]

    def resolve(self, number: int) -> CodebookTopic:
        """Return the topic in use that a topic is, or was merged into.

        Raises KeyError if there is no such topic, and ValueError if merges go in a circle.
        """
        topic = self._topics[number]
        for _ in range(len(self._topics)):
            if topic.merged_into is None:
                return topic
            topic = self._topics[topic.merged_into]
        raise ValueError(f"topic {number} is merged in a circle")  # as in a manipulated file

    def find(self, name: str) -> CodebookTopic | None:
        """Return the topic in use with this name, or with this former name; None if none has it."""
        if name in self._active:
            return self._active[name]
        topic = self.resolve(self._former[name]) if name in self._former else None
        return None if topic is None or topic.is_removed else topic

    def find_active(self, name: str) -> CodebookTopic | None:
        """Return the topic in use that has this name today; None if none has it."""
        return self._active.get(name)

    def current_names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Return the names of topics as they are today, each once."""
        return tuple(dict.fromkeys(self.resolve(number).name for number in numbers))
