"""The codebook, whose topics are added, described, renamed, merged and separated."""

from __future__ import annotations

import itertools
import unicodedata

from slugline.corpus.label_database.codebook import Codebook
from slugline.corpus.misspellings import has_one_letter_wrong
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

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
# Letters before the endings of names that are similar otherwise: "Konto" and "Konten".
_MIN_STEM = 4
# The largest number of topics in use.
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
        """Add a topic, unless a similar one may be meant."""
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
        """Remove a topic that no label has."""
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
    """Return a topic that may be meant by a new name; None if there is none, or it is the topic.

    Case, spaces and accents are ignored ("ue" is "ü"); one letter may be wrong, and the names may
    differ in their endings, as singular and plural do.
    """
    if codebook.find_active(name) is not None:
        return None
    former = codebook.find(name)
    if former is not None:
        return former.name
    return next((other for other in codebook.names() if _is_similar(name, other)), None)


def _is_similar(name: str, other: str) -> bool:
    folded, other_folded = _fold(name), _fold(other)
    return (
        folded.replace(" ", "") == other_folded.replace(" ", "")
        or has_one_letter_wrong(name, other)
        or has_one_letter_wrong(folded, other_folded)
        or _has_other_ending(folded, other_folded)
    )


def _fold(name: str) -> str:
    """Return a name without capitals and accents; "ü" is "ue", as in German."""
    composed = unicodedata.normalize("NFC", " ".join(name.casefold().split()))
    letters = unicodedata.normalize("NFKD", composed.translate(_UMLAUTS))
    return "".join(each for each in letters if not unicodedata.combining(each))


def _has_other_ending(name: str, other: str) -> bool:
    """Return whether two names differ in up to two letters at their ends.

    >>> _has_other_ending("konto", "konten"), _has_other_ending("rechnung", "rechnungen")
    (True, True)
    >>> _has_other_ending("group a", "group b"), _has_other_ending("topic1", "topic12")
    (False, False)
    """
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False))
    stem = "".join(letter for letter, _ in pairs)
    endings = name[len(stem) :], other[len(stem) :]
    return (
        len(stem) >= _MIN_STEM
        and stem[-_MIN_STEM:].isalpha()
        and "".join(endings).isalpha()
        and max(map(len, endings)) <= 2
    )
