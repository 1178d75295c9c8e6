"""Request types of the service, with their limits.

Front ends read them from JSON, forms or arguments. The OpenAPI description and the tool schemas
are generated from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from slugline.base.wording import counted
from slugline.serving.service_errors import LimitError

# Limits -------------------------------------------------------------------------------------------

#: Upper bounds for the settings: texts per request and characters per text.
MAX_TEXTS, LONGEST_TEXT = 1_000_000, 100_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a request.

    Attributes
    ----------
    texts : int
    characters : int
        Per text.
    explained : int
        Maximum number of texts with reasons, which are slow to compute.
    rows : int
        Maximum number of rows in a table: the page holds all of them in memory, and a compressed
        file may contain billions.
    """

    texts: int = 10_000
    characters: int = 100_000
    explained: int = 100
    rows: int = 1_000_000

    @property
    def guesses(self) -> int:
        """Maximum number of topics over all texts of a request."""
        return 5 * self.texts

    def check(self, texts: Sequence[str], *, explain: bool = False, top: int = 1) -> None:
        """Raise a LimitError if there are no texts, too many texts, or one that is too long.

        Each text gets `top` topics.
        """
        max_texts = min(self.explained, self.texts) if explain else self.texts
        if not texts:
            raise LimitError("there are no texts", "give at least one")
        n_texts = counted(len(texts), "text")
        if len(texts) > max_texts:
            kind = "a request with reasons" if explain else "a request"
            raise LimitError(
                f"there are {n_texts}, and {kind} may have {max_texts:,}", "split the request"
            )
        if len(texts) * top > self.guesses:
            raise LimitError(
                f"there are {n_texts} with {top:,} topics each, and a request may ask for "
                f"{self.guesses:,} topics in all",
                "split the request",
            )
        if max(map(len, texts)) > self.characters:
            index = next(i for i, text in enumerate(texts) if len(text) > self.characters)
            raise LimitError(
                f"has {counted(len(texts[index]), 'character')}, and a text may have "
                f"{self.characters:,}",
                "shorten it",
                index,
            )


Cell = str | int | float | bool | list[str] | None
#: Column values by column name.
Cells = Annotated[dict[str, Cell], Meta(max_length=10_000)]
ModelName = Annotated[
    Annotated[str, Meta(max_length=1000)] | None,
    Meta(description="Model name. Defaults to the first model."),
]


class ServiceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of requests. Unknown fields are errors, because they may be misspelt."""


class ClassifyOptions(ServiceRequest, frozen=True, kw_only=True):
    """Options for classification."""

    model: ModelName = None
    top: Annotated[int, Meta(ge=1, le=1000, description="Number of topics to return.")] = 3
    min_precision: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(
            description="Required fraction of correct answers; the model is unsure about other "
            "texts. Defaults to the model's own precision; 0 answers every text."
        ),
    ] = None
    explain: Annotated[bool, Meta(description="Return the words behind each answer.")] = False
    columns: Annotated[
        Cells | Annotated[list[Cells], Meta(max_length=MAX_TEXTS)],
        Meta(
            description="Values of the columns used in addition to the text, by column name; "
            "one object per text. Omitted columns count as missing."
        ),
    ] = {}


_TopicName = Annotated[str, Meta(max_length=10_000)] | int


class ExplainRequest(ServiceRequest, frozen=True, kw_only=True):
    """A text and the topic to explain."""

    text: Annotated[str, Meta(max_length=LONGEST_TEXT, description="The text to explain.")]
    topic: Annotated[
        _TopicName | None, Meta(description="Topic to explain. Defaults to the most likely one.")
    ] = None
    against: Annotated[
        _TopicName | None, Meta(description="Explain why `topic` scores higher than this one.")
    ] = None
    columns: Annotated[
        Cells, Meta(description="Values of the columns used in addition to the text, by name.")
    ] = {}
    model: ModelName = None


#: Maximum number of topics per correction.
MAX_TOPICS = 1000
_RightTopic = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")] | int


class CorrectionRequest(ServiceRequest, frozen=True, kw_only=True):
    """A text and its correct topic or topics, which may be new."""

    text: Annotated[
        str, Meta(max_length=LONGEST_TEXT, description="The text with the wrong answer.")
    ]
    topic: Annotated[
        _RightTopic | UnsetType, Meta(description="The correct topic, which may be new.")
    ] = UNSET
    topics: Annotated[
        Annotated[list[_RightTopic], Meta(max_length=MAX_TOPICS)] | UnsetType,
        Meta(description="All correct topics, possibly none; multi-label models only."),
    ] = UNSET
    model: ModelName = None
    who: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="Name of the person. A token's name takes precedence."),
    ] = None
    is_new: Annotated[
        bool, Meta(description="True to store a new topic despite a similar known name.")
    ] = False
