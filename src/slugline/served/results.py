"""What is said of texts: to whoever asks over HTTP, and to agents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from slugline.explain import Explanation, explain
from slugline.explain.explanation import Reason
from slugline.labels import Topic
from slugline.routing import Route
from slugline.served.model import ServedModel

__all__ = [
    "Guess",
    "Result",
    "Word",
    "explained",
    "reasons_of",
    "results",
    "rounded",
    "whole",
]

# Digits after the point: scores are of float32, and nobody needs more.
_DIGITS = 6
_HALVES = re.compile("[\ud800-\udfff]")
#: Words that are given as reasons for an answer, the strongest.
N_REASONS = 20

Probability = Annotated[float, Meta(ge=0, le=1)]


class Guess(msgspec.Struct, frozen=True, gc=False):
    """A topic, and how probable it is."""

    topic: Topic
    probability: Probability


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word or phrase, where it stands in the text, and what it adds to the score."""

    word: str
    start: Annotated[int | None, Meta(description="In characters; null for what is no word.")]
    end: int | None
    share: Annotated[float, Meta(description="Under 0 if it speaks against the topic.")]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one text."""

    topic: Annotated[Topic | None, Meta(description="null if the model is unsure.")]
    probability: Annotated[
        float, Meta(ge=0, le=1, description="Of the most likely topic, even if unsure.")
    ]
    reason: Annotated[
        str | UnsetType, Meta(description="Why the model is unsure; only if it is.")
    ] = UNSET
    top: Annotated[list[Guess], Meta(description="The most likely topics, best first.")]
    reasons: Annotated[
        list[Word] | UnsetType,
        Meta(description="Words for and against the most likely topic, with `explain`."),
    ] = UNSET


def results(routes: Sequence[Route], top: int) -> list[Result]:
    """Return answers with the `top` most likely topics."""
    # All at once: of many texts, numbers one by one would take longer than anything else here.
    shares = [share for route in routes for _, share in route.top[:top]]
    rounded_shares = iter(np.round(shares, _DIGITS).tolist())
    return [_result(route, top, rounded_shares) for route in routes]


def _result(route: Route, top: int, shares: Iterator[float]) -> Result:
    guesses = [Guess(name, next(shares)) for name, _ in route.top[:top]]
    return Result(
        topic=route.topic,
        probability=guesses[0].probability,
        reason=route.reason or UNSET,
        top=guesses,
    )


def explained(model: ServedModel, texts: Sequence[str], found: Sequence[Result]) -> list[Result]:
    """Return answers with the strongest words for and against each one's most likely topic."""
    return [
        msgspec.structs.replace(
            result,
            reasons=reasons_of(explain(model.fitted, text, result.top[0].topic, most=N_REASONS)),
        )
        for text, result in zip(texts, found, strict=True)
    ]


def reasons_of(explanation: Explanation) -> list[Word]:
    """Return the reasons of an explanation as JSON may hold them."""
    return [_word(reason) for reason in explanation.reasons]


def _word(reason: Reason) -> Word:
    return Word(whole(reason.word), reason.start, reason.end, rounded(reason.share))


def rounded(value: float) -> float:
    """Return a number with as many digits as are of use."""
    return round(value, _DIGITS)


def whole(text: str) -> str:
    """Return a text in which halves of characters, which UTF-8 can't hold, are replaced."""
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)
