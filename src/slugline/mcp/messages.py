"""What agents ask, and what they are answered, beside what all front doors have."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from slugline.labels import Topic
from slugline.served.messages import Options

__all__ = ["Classify", "ListTopics", "TopicList"]


class Classify(Options, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[
        list[str], Meta(min_length=1, description="The texts, each of which gets an answer.")
    ]


class ListTopics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model whose topics are asked for."""

    model: Annotated[str | None, Meta(description="Name of a model; the first one by default.")] = (
        None
    )


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can answer."""

    model: str
    version: str
    topics: list[Topic]
    n_documents: Annotated[int, Meta(description="How many documents the model learned from.")]
    min_precision: Annotated[
        float | None,
        Meta(description="How often answers are to be right, unless asked otherwise."),
    ]
