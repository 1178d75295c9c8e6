"""What is asked over HTTP, and what is answered."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from slugline.labels import Topic
from slugline.served.messages import (
    Classification,
    Correct,
    CorrectionReply,
    Explain,
    ExplanationReply,
    Options,
)

__all__ = [
    "Classification",
    "Classify",
    "Correct",
    "CorrectionReply",
    "Explain",
    "ExplanationReply",
    "Health",
    "ModelCard",
    "ModelList",
    "ModelSummary",
    "Readiness",
]

_TextField = Annotated[str, Meta(description="The text to classify.")]


class Classify(Options, frozen=True, kw_only=True):
    """Texts to classify: `text`, or `texts`."""

    text: _TextField | UnsetType = UNSET
    texts: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a list."""

    name: str
    version: str
    n_topics: int


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models; the first answers if none is named."""

    models: list[ModelSummary]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of a model."""

    name: str
    version: str
    topics: list[Topic]
    n_documents: int
    metrics: dict[str, float]
    min_precision: float | None
    needs_encoder: bool
    card: Annotated[str, Meta(description="In Markdown.")]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Models that answer, and what is wrong with later versions of their files."""

    status: str
    models: list[ModelSummary]
    problems: dict[str, str]
