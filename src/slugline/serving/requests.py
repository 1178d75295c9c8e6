"""Types of requests to the service, with their limits.

Front ends read them from JSON, forms or arguments; OpenAPI and the tools' schemas describe them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from slugline.serving.limits import LONGEST_TEXT, MAX_TEXTS

Cell = str | int | float | bool | list[str] | None
#: Values of the columns besides the text, by name.
Cells = Annotated[dict[str, Cell], Meta(max_length=10_000)]
ModelName = Annotated[
    Annotated[str, Meta(max_length=1000)] | None,
    Meta(description="Name of a model; by default the first one."),
]


class ServiceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request, in which an unknown field is an error, as it may be misspelt."""


class ClassifyOptions(ServiceRequest, frozen=True, kw_only=True):
    """Options for a classification."""

    model: ModelName = None
    top: Annotated[int, Meta(ge=1, le=1000, description="How many topics to give.")] = 3
    min_precision: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(
            description="Fraction of answers that must be right; for other texts the model is "
            "unsure. By default that of its training; 0 for an answer to every text."
        ),
    ] = None
    explain: Annotated[bool, Meta(description="Give the words that speak for each answer.")] = False
    columns: Annotated[
        Cells | Annotated[list[Cells], Meta(max_length=MAX_TEXTS)],
        Meta(
            description="Values of the columns that the model uses besides the text, by name; "
            "one object for each of several texts. A column that is left out counts as missing."
        ),
    ] = {}


_TopicName = Annotated[str, Meta(max_length=10_000)] | int


class ExplainRequest(ServiceRequest, frozen=True, kw_only=True):
    """A text and the topic to explain, by default the most likely one."""

    text: Annotated[str, Meta(max_length=LONGEST_TEXT, description="The text to explain.")]
    topic: Annotated[
        _TopicName | None, Meta(description="A topic of the model; by default the most likely one.")
    ] = None
    against: Annotated[
        _TopicName | None, Meta(description="Explain why the topic scores higher than this one.")
    ] = None
    columns: Annotated[
        Cells, Meta(description="Values of the columns besides the text, by name.")
    ] = {}
    model: ModelName = None


#: Topics that a correction may have.
MAX_TOPICS = 1000
_RightTopic = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")] | int


class CorrectionRequest(ServiceRequest, frozen=True, kw_only=True):
    """A text and its right topic or topics, which may be new."""

    text: Annotated[
        str, Meta(max_length=LONGEST_TEXT, description="The text that got a wrong answer.")
    ]
    topic: Annotated[
        _RightTopic | UnsetType, Meta(description="The right topic, which may be new.")
    ] = UNSET
    topics: Annotated[
        Annotated[list[_RightTopic], Meta(max_length=MAX_TOPICS)] | UnsetType,
        Meta(description="All right topics, perhaps none, for a multi-label model."),
    ] = UNSET
    model: ModelName = None
    who: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="Who corrects; the name of the token, if it has one, counts instead."),
    ] = None
    is_new: Annotated[
        bool, Meta(description="The topic is new, though the model has one with a similar name.")
    ] = False
