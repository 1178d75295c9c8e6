"""What is asked over HTTP, and what is answered."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from slugline.labels import Topic
from slugline.served import Result
from slugline.served.results import Probability, Word

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

_Model = Annotated[str | None, Meta(description="Name of a model; the first one by default.")]
_TextField = Annotated[str, Meta(description="The text to classify.")]


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question: fields that nobody knows are an error, as they may be misspelt."""


class Classify(_Request, frozen=True, kw_only=True):
    """Texts to classify: `text`, or `texts`."""

    text: _TextField | UnsetType = UNSET
    texts: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET
    model: _Model = None
    top: Annotated[int, Meta(ge=1, le=1000, description="How many topics to give.")] = 3
    min_precision: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(
            description="How often answers are to be right; of other texts, the model says that it "
            "is unsure. By default what was asked for when it was trained; 0 for all answers."
        ),
    ] = None
    explain: Annotated[bool, Meta(description="Say which words speak for each answer.")] = False


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to texts, in their order."""

    model: str
    version: str
    results: list[Result]


class Explain(_Request, frozen=True, kw_only=True):
    """A text, and the topic to explain: the answer's by default."""

    text: str
    topic: Topic | None = None
    against: Annotated[
        Topic | None, Meta(description="Say how far the topic is above this one.")
    ] = None
    model: _Model = None


class ExplanationReply(msgspec.Struct, frozen=True, kw_only=True):
    """Why a text gets a score: the shares of all reasons and the bias add up to it."""

    model: str
    version: str
    topic: Topic
    against: Topic | None
    probability: Probability
    score: float
    bias: Annotated[float, Meta(description="What an empty text would get.")]
    n_words: int
    method: str
    reasons: list[Word]


class Correct(_Request, frozen=True, kw_only=True):
    """A text, and its right topic, which may be a new one."""

    text: str
    topic: Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")] | int
    model: _Model = None
    who: Annotated[str, Meta(max_length=200)] | None = None


class CorrectionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that is kept: it is on disk."""

    id: int
    model: str
    version: str
    topic: Topic
    is_new: Annotated[bool, Meta(description="Whether the model doesn't know the topic.")]
    answer: Annotated[Topic, Meta(description="The model's, or its best guess.")]
    probability: Probability
    at: str


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
