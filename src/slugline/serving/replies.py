"""Reply types of the service, and their construction from decisions and explanations.

The OpenAPI description and the tool schemas are generated from these types.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from slugline.base.checks import replace_surrogates
from slugline.base.interruption import check_interruption
from slugline.corpus.documents import Topic
from slugline.explanation.explain import explain
from slugline.explanation.explanation import Explanation
from slugline.model.decision import Decision, UnsureKind
from slugline.serving.served_models import ServedModel

# Types --------------------------------------------------------------------------------------------

Probability = Annotated[float, Meta(ge=0, le=1)]


class ReasonReply(msgspec.Struct, frozen=True, gc=False):
    """A word or phrase, its position in the text, and its contribution to the score."""

    word: str
    start: Annotated[int | None, Meta(description="Character offset; null unless it is a word.")]
    end: int | None
    attribution: Annotated[float, Meta(description="Negative if it counts against the topic.")]


class Guess(msgspec.Struct, frozen=True, gc=False):
    """A topic and its probability."""

    topic: Topic
    probability: Probability
    reasons: Annotated[
        list[ReasonReply] | UnsetType,
        Meta(description="Words for and against an assigned topic, with `explain`."),
    ] = UNSET


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one text."""

    topic: Annotated[
        Topic | None, Meta(description="The most likely assigned topic; null if none is assigned.")
    ]
    topics: Annotated[
        list[Guess] | UnsetType, Meta(description="Assigned topics; multi-label models only.")
    ] = UNSET
    probability: Annotated[
        float, Meta(ge=0, le=1, description="Probability of the most likely topic, even if unsure.")
    ]
    reason: Annotated[str | UnsetType, Meta(description="Why the model is unsure.")] = UNSET
    reason_kind: Annotated[
        UnsureKind | UnsetType, Meta(description="Machine-readable form of `reason`.")
    ] = UNSET
    top: Annotated[list[Guess], Meta(description="The most likely topics, best first.")]
    reasons: Annotated[
        list[ReasonReply] | UnsetType,
        Meta(description="Words for and against the most likely topic, with `explain`."),
    ] = UNSET


Multilabel = Annotated[
    bool | UnsetType, Meta(description="True for multi-label models; otherwise missing.")
]


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """The results, in the order of the texts."""

    model: str
    version: str
    results: list[Result]
    note: Annotated[
        str | UnsetType, Meta(description="Columns that are missing or have an unexpected type.")
    ] = UNSET


class ExplanationReply(msgspec.Struct, frozen=True, kw_only=True):
    """Explanation of a score, which is the sum of the bias and all attributions."""

    model: str
    version: str
    topic: Topic
    against: Topic | None
    probability: Probability
    score: float
    bias: Annotated[float, Meta(description="The score of an empty text.")]
    n_words: int
    method: str
    is_approximate: bool | UnsetType = UNSET
    given: Annotated[
        bool | UnsetType, Meta(description="True if a multi-label model assigns the topic.")
    ] = UNSET
    threshold: Annotated[
        float | UnsetType, Meta(description="Minimum probability at which it is assigned.")
    ] = UNSET
    reasons: list[ReasonReply]


class CorrectionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A stored correction."""

    id: int
    model: str
    version: str
    topic: Topic | UnsetType
    topics: Annotated[list[Topic] | UnsetType, Meta(description="For multi-label models.")] = UNSET
    is_new: Annotated[bool, Meta(description="True if a topic is new to the model.")]
    answer: Annotated[
        Topic | list[Topic], Meta(description="The model's answer, or its best guess.")
    ]
    probability: Probability
    at: str


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a list."""

    name: str
    version: str
    n_topics: int


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models. The first is the default."""

    models: list[ModelSummary]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model's card."""

    name: str
    version: str
    topics: list[Topic]
    multilabel: Multilabel = UNSET
    columns: Annotated[
        list[str] | UnsetType, Meta(description="Columns used in addition to the text.")
    ] = UNSET
    n_documents: int
    metrics: dict[str, float]
    min_precision: float | None
    needs_encoder: bool
    card: Annotated[str, Meta(description="In Markdown.")]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The models, and problems with new versions, such as one that was rejected."""

    status: str
    models: list[ModelSummary]
    problems: dict[str, str]


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """The topics of a model."""

    model: str
    version: str
    topics: list[Topic]
    multilabel: Multilabel = UNSET
    columns: Annotated[
        list[str] | UnsetType,
        Meta(description="Columns used in addition to the text, with their types."),
    ] = UNSET
    n_documents: Annotated[int, Meta(description="Number of training documents.")]
    min_precision: Annotated[float | None, Meta(description="Default precision.")]


# From decisions and explanations ------------------------------------------------------------------

# Digits after the decimal point; scores are float32.
_DIGITS = 6
#: Maximum number of reasons per answer.
N_REASONS = 20


def to_results(decisions: Sequence[Decision], n_guesses: int) -> list[Result]:
    """Return results with the `n_guesses` most likely topics each."""
    return [_to_result(decision, n_guesses) for decision in decisions]


def _to_result(decision: Decision, n_guesses: int) -> Result:
    reason = decision.reason
    guesses = [Guess(name, round_number(value)) for name, value in decision.top[:n_guesses]]
    topics: list[Guess] | UnsetType = UNSET
    if decision.topics is not None:
        topics = [*map(Guess, decision.topics, map(round_number, decision.probabilities))]
    return Result(
        topic=decision.topic,
        topics=topics,
        probability=guesses[0].probability,
        reason=UNSET if reason is None else str(reason),
        reason_kind=UNSET if reason is None else reason.kind,
        top=guesses,
    )


def add_reasons(
    model: ServedModel, texts: Sequence[str], results: Sequence[Result]
) -> list[Result]:
    """Add the strongest words for and against the most likely topic of each text.

    For multi-label models, each assigned topic gets its own reasons.
    """
    explained = []
    for text, result in zip(texts, results, strict=True):
        check_interruption()
        best, topics = result.top[0].topic, result.topics
        reasons = {
            name: to_reasons(
                explain(model.fitted, text, name, max_reasons=N_REASONS, split_encoder=False)
            )
            for name in {best, *(guess.topic for guess in topics or ())}
        }
        if topics is not UNSET:
            topics = [replace(guess, reasons=reasons[guess.topic]) for guess in topics]
        explained.append(replace(result, reasons=reasons[best], topics=topics))
    return explained


def to_reasons(explanation: Explanation) -> list[ReasonReply]:
    """Return the reasons of an explanation."""
    return [
        ReasonReply(replace_surrogates(word), start, end, round_number(attribution))
        for word, start, end, attribution in explanation.reasons
    ]


def round_number(value: float) -> float:
    """Round to six decimals."""
    return round(value, _DIGITS)


def to_explanation_reply(model: ServedModel, explanation: Explanation) -> ExplanationReply:
    """Convert an explanation to a reply."""
    threshold = math.inf if explanation.threshold is None else explanation.threshold
    return ExplanationReply(
        model=model.name,
        version=model.digest,
        topic=explanation.topic,
        against=explanation.against,
        probability=round_number(explanation.probability),
        score=round_number(explanation.score),
        bias=round_number(explanation.bias),
        n_words=explanation.n_words,
        method=explanation.method,
        is_approximate=explanation.is_approximate or UNSET,
        given=UNSET if explanation.is_given is None else explanation.is_given,
        threshold=round_number(threshold) if math.isfinite(threshold) else UNSET,
        reasons=to_reasons(explanation),
    )


def to_summary(model: ServedModel) -> ModelSummary:
    """Return a model's entry in the list of models."""
    return ModelSummary(name=model.name, version=model.digest, n_topics=len(model.fitted.topics))


def to_card(model: ServedModel) -> ModelCard:
    """Return the card of a model."""
    info, encoder = model.file.info, model.fitted.encoder
    return ModelCard(
        name=model.name,
        version=model.digest,
        topics=model.fitted.topics.names,
        multilabel=model.fitted.multilabel or UNSET,
        columns=[column.name for column in model.fitted.columns] or UNSET,
        n_documents=info.n_documents,
        metrics=info.metrics,
        min_precision=model.decider.precision,
        needs_encoder=encoder is not None and encoder.summing_encoder is None,
        card=model.file.card,
    )


def to_topic_list(model: ServedModel) -> TopicList:
    """Return a model's topics, and its columns with their types."""
    return TopicList(
        model=model.name,
        version=model.digest,
        topics=model.fitted.topics.names,
        multilabel=model.fitted.multilabel or UNSET,
        columns=[*map(str, model.fitted.columns)] or UNSET,
        n_documents=model.file.info.n_documents,
        min_precision=model.decider.precision,
    )
