"""The codebook: add, describe, rename, merge, separate and remove topics."""

from __future__ import annotations

from slugline.corpus.label_database.codebook import Codebook
from slugline.corpus.misspellings import find_similar_name
from slugline.errors import DataError
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.replies import AddTopicReply, CodebookReply, TopicReply
from slugline.serving.labelling.requests import (
    AddTopicRequest,
    DescribeTopicRequest,
    MergeTopicRequest,
    RemoveTopicRequest,
    RenameTopicRequest,
    SeparateTopicRequest,
)

# Maximum number of topics in use.
_MAX_TOPICS = 1000


class TopicService:
    """Shows and changes the codebook.

    Parameters
    ----------
    context : LabelContext
    """

    def __init__(self, context: LabelContext) -> None:
        self._store, self._selector = context.store, context.selector

    def codebook(self) -> CodebookReply:
        """Return all topics."""
        return CodebookReply.from_codebook(self._store.codebook())

    def add_topic(self, coder: str, request: AddTopicRequest) -> AddTopicReply:
        """Add a topic, unless a similar topic may be meant."""
        name = " ".join(request.name.split())
        codebook = self._store.codebook()
        similar = None if request.is_sure else find_similar(name, codebook)
        if similar is not None:
            return AddTopicReply(topic=None, similar=similar)
        if len(codebook.names()) >= _MAX_TOPICS and codebook.find_active(name) is None:
            raise DataError(f"the codebook has {_MAX_TOPICS:,} topics; merge some first.")
        topic = self._store.add_topic(name, coder, request=request.request)
        return AddTopicReply(topic=TopicReply.from_topic(topic))

    def describe_topic(self, coder: str, request: DescribeTopicRequest) -> CodebookReply:
        """Give a topic a new description and new examples."""
        self._store.describe_topic(
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
        self._store.rename_topic(request.name, name, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()

    def remove_topic(self, coder: str, request: RemoveTopicRequest) -> CodebookReply:
        """Remove a topic without labels."""
        self._store.remove_topic(request.name, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()

    def merge_topic(self, coder: str, request: MergeTopicRequest) -> CodebookReply:
        """Merge a topic into another one."""
        self._store.merge_topic(request.name, request.into, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()

    def separate_topic(self, coder: str, request: SeparateTopicRequest) -> CodebookReply:
        """Undo the merge of a topic."""
        self._store.separate_topic(request.topic, coder, request=request.request)
        self._selector.notice_change()
        return self.codebook()


def find_similar(name: str, codebook: Codebook) -> str | None:
    """Return the topic that a new name probably means, or None; None for names in use."""
    if codebook.find_active(name) is not None:
        return None
    former = codebook.find(name)
    if former is not None:
        return former.name
    return find_similar_name(name, codebook.names())
