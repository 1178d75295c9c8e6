"""What is asked of models and what they answer, whichever way it comes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from slugline.labels import Topic
from slugline.served.results import Probability, Result, Word

__all__ = ["Classification", "Correct", "CorrectionReply", "Explain", "ExplanationReply", "Options"]

_Model = Annotated[str | None, Meta(description="Name of a model; the first one by default.")]


class _Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question: fields that nobody knows are an error, as they may be misspelt."""


class Options(_Question, frozen=True, kw_only=True):
    """How texts are to be classified."""

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


class Explain(_Question, frozen=True, kw_only=True):
    """A text, and the topic to explain: the answer's by default."""

    text: Annotated[str, Meta(description="The text to explain.")]
    topic: Annotated[
        Topic | None, Meta(description="A topic of the model; by default the most likely one.")
    ] = None
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


class Correct(_Question, frozen=True, kw_only=True):
    """A text, and its right topic, which may be a new one."""

    text: Annotated[str, Meta(description="The text that got a wrong answer.")]
    topic: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")] | int,
        Meta(description="The right topic, which may be a new one."),
    ]
    model: _Model = None
    who: Annotated[
        Annotated[str, Meta(max_length=200)] | None, Meta(description="Who says so.")
    ] = None


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
