"""Requests and replies of the HTTP API and the MCP tools."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from slugline.base.checks import replace_surrogates, short_repr
from slugline.base.interruption import check_interruption
from slugline.base.wording import nearest
from slugline.corpus.documents import RowText, Topic
from slugline.corrections.store import CorrectionStore
from slugline.errors import DataError
from slugline.explanation.explain import explain
from slugline.explanation.explanation import Explanation
from slugline.model.decider import Decision, UnsureKind
from slugline.serving.model import ServedModel
from slugline.serving.settings import LONGEST_TEXT, MOST_TEXTS
from slugline.text.table_columns import odd_cells, odd_cells_note, unused_note

# Results ------------------------------------------------------------------------------------------

# Digits after the point: scores are of float32, and nobody needs more.
_DIGITS = 6
# How alike, of 1, two names of topics are if one may be a typing mistake.
_ALIKE = 0.8
#: Words that are given as reasons for an answer, the strongest.
N_REASONS = 20

Probability = Annotated[float, Meta(ge=0, le=1)]


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word or phrase, where it stands in the text, and what it adds to the score."""

    word: str
    start: Annotated[int | None, Meta(description="In characters; null for what is no word.")]
    end: int | None
    share: Annotated[float, Meta(description="Under 0 if it speaks against the topic.")]


class Guess(msgspec.Struct, frozen=True, gc=False):
    """A topic, and its probability."""

    topic: Topic
    probability: Probability
    reasons: Annotated[
        list[Word] | UnsetType,
        Meta(description="Words for and against it, of several topics given, with `explain`."),
    ] = UNSET


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one text."""

    topic: Annotated[
        Topic | None,
        Meta(description="Of several the most likely; null if there is none, or it is unsure."),
    ]
    topics: Annotated[
        list[Guess] | UnsetType,
        Meta(description="The topics given; only of a model that gives several to a text."),
    ] = UNSET
    probability: Annotated[
        float, Meta(ge=0, le=1, description="Of the most likely topic, even if unsure.")
    ]
    reason: Annotated[
        str | UnsetType, Meta(description="Why the model is unsure; only if it is.")
    ] = UNSET
    reason_kind: Annotated[
        UnsureKind | UnsetType, Meta(description="The same, as a name for programs.")
    ] = UNSET
    top: Annotated[list[Guess], Meta(description="The most likely topics, best first.")]
    reasons: Annotated[
        list[Word] | UnsetType,
        Meta(description="Words for and against the most likely topic, with `explain`."),
    ] = UNSET


def to_results(decisions: Sequence[Decision], top: int) -> list[Result]:
    """Return the results with the `top` most likely topics."""
    # All at once: of many texts, numbers one by one would take longer than anything else here.
    shares = [share for decision in decisions for _, share in decision.top[:top]]
    rounded_shares = iter(np.round(shares, _DIGITS).tolist())
    return [_result(decision, top, rounded_shares) for decision in decisions]


def _result(decision: Decision, top: int, shares: Iterator[float]) -> Result:
    guesses = [Guess(name, next(shares)) for name, _ in decision.top[:top]]
    topics = map(Guess, decision.topics or (), map(round_number, decision.probabilities))
    return Result(
        topic=decision.topic,
        topics=UNSET if decision.topics is None else [*topics],
        probability=guesses[0].probability,
        reason=str(decision.reason) if decision.reason else UNSET,
        reason_kind=decision.reason.kind if decision.reason else UNSET,
        top=guesses,
    )


def with_reasons(
    model: ServedModel, texts: Sequence[str], results: Sequence[Result]
) -> list[Result]:
    """Return results with the strongest words for and against the most likely topic of each.

    Several topics that are given have their own.
    """
    explained = []
    for text, result in zip(texts, results, strict=True):
        check_interruption()
        best, topics = result.top[0].topic, result.topics
        reasons = {
            name: to_words(explain(model.fitted, text, name, most=N_REASONS))
            for name in {best, *(guess.topic for guess in topics or ())}
        }
        if topics is not UNSET:
            topics = [replace(guess, reasons=reasons[guess.topic]) for guess in topics]
        explained.append(replace(result, reasons=reasons[best], topics=topics))
    return explained


def to_words(explanation: Explanation) -> list[Word]:
    """Return the reasons of an explanation."""
    return [
        Word(replace_surrogates(word), start, end, round_number(share))
        for word, start, end, share in explanation.reasons
    ]


def round_number(value: float) -> float:
    """Return a number with six decimals."""
    return round(value, _DIGITS)


# Columns beside the text --------------------------------------------------------------------------

Cell = str | int | float | bool | list[str] | None
Cells = Annotated[dict[str, Cell], Meta(max_length=10_000)]


def with_columns(
    model: ServedModel, texts: Sequence[str], columns: Cells | Sequence[Cells]
) -> tuple[list[str], str | UnsetType]:
    """Return texts with the columns that the model counts, and a note on missing or odd ones.

    Raises
    ------
    DataError : if the model has no such column, or there is not one mapping for each text.
    """
    column_names = [column.name for column in model.fitted.features.table_columns]
    rows = [columns] * len(texts) if columns == {} else columns
    rows = [rows] if isinstance(rows, dict) else rows
    if len(rows) != len(texts):
        raise DataError(
            f"`columns` has {len(rows):,} mappings for {len(texts):,} texts; give one for each."
        )
    unknown = next((name for row in rows for name in row if name not in column_names), None)
    if unknown is not None:
        near = nearest(unknown, column_names)
        advice = (
            f"it has {', '.join(column_names)}"
            if column_names
            else "it counts none beside the text"
        )
        raise DataError(
            f"{model.name} has no column {short_repr(unknown)}; "
            + (f"did you mean {near!r}?" if near else f"{advice}.")
        )
    if not column_names:
        return list(texts), UNSET
    documents: list[str] = [RowText(text, row) for text, row in zip(texts, rows, strict=True)]
    notes = [
        odd_cells_note(odd_cells(documents, model.fitted.columns).values()),
        unused_note((name for row in rows for name in row), model.fitted.features.table_columns),
    ]
    return documents, "; ".join(filter(None, notes)) or UNSET


# Requests and replies -----------------------------------------------------------------------------

Multilabel = Annotated[
    bool | UnsetType, Meta(description="That a text may get several topics; only if so.")
]
ModelName = Annotated[
    Annotated[str, Meta(max_length=1000)] | None,
    Meta(description="Name of a model; the first one by default."),
]


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request; unknown fields are an error, as they may be misspelt."""


class ClassifyOptions(Question, frozen=True, kw_only=True):
    """Options of a classification."""

    model: ModelName = None
    top: Annotated[int, Meta(ge=1, le=1000, description="How many topics to give.")] = 3
    min_precision: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(
            description="How often answers are to be right; of other texts, the model says that it "
            "is unsure. By default what was asked for when it was trained; 0 for all answers."
        ),
    ] = None
    explain: Annotated[bool, Meta(description="Say which words speak for each answer.")] = False
    columns: Annotated[
        Cells | Annotated[list[Cells], Meta(max_length=MOST_TEXTS)],
        Meta(
            description="Values of the columns beside the text that the model counts, by name; of "
            "several texts, one object for each. A column that is left out counts as missing."
        ),
    ] = {}


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """The results for texts, in their order."""

    model: str
    version: str
    results: list[Result]
    note: Annotated[
        str | UnsetType, Meta(description="Which columns are missing or of another kind.")
    ] = UNSET


_TopicName = Annotated[str, Meta(max_length=10_000)] | int


class ExplainRequest(Question, frozen=True, kw_only=True):
    """A text, and the topic to explain: the most likely one by default."""

    text: Annotated[str, Meta(max_length=LONGEST_TEXT, description="The text to explain.")]
    topic: Annotated[
        _TopicName | None, Meta(description="A topic of the model; by default the most likely one.")
    ] = None
    against: Annotated[
        _TopicName | None, Meta(description="Say how far the topic is above this one.")
    ] = None
    columns: Annotated[
        Cells, Meta(description="Values of the columns beside the text, by name.")
    ] = {}
    model: ModelName = None


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
    is_approximate: bool | UnsetType = UNSET
    given: Annotated[
        bool | UnsetType, Meta(description="Whether the topic is given; only if there are several.")
    ] = UNSET
    threshold: Annotated[
        float | UnsetType, Meta(description="From which probability on; missing if it never is.")
    ] = UNSET
    reasons: list[Word]


#: Topics that a correction may have.
MOST_TOPICS = 1000
_RightTopic = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")] | int


class CorrectionRequest(Question, frozen=True, kw_only=True):
    """A text, and its right topic, or `topics`, which may be new ones."""

    text: Annotated[
        str, Meta(max_length=LONGEST_TEXT, description="The text that got a wrong answer.")
    ]
    topic: Annotated[
        _RightTopic | UnsetType, Meta(description="The right topic, which may be a new one.")
    ] = UNSET
    topics: Annotated[
        Annotated[list[_RightTopic], Meta(max_length=MOST_TOPICS)] | UnsetType,
        Meta(description="All right topics, perhaps none, of a model that gives several."),
    ] = UNSET
    model: ModelName = None
    who: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="Who says so; of a token with a name, that name counts instead."),
    ] = None
    is_new: Annotated[
        bool,
        Meta(description="That the topic is new, though the model has one spelled much like it."),
    ] = False


class CorrectionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that is on disk."""

    id: int
    model: str
    version: str
    topic: Topic | UnsetType
    topics: Annotated[list[Topic] | UnsetType, Meta(description="If there may be several.")] = UNSET
    is_new: Annotated[bool, Meta(description="Whether the model doesn't know the topic.")]
    answer: Annotated[Topic | list[Topic], Meta(description="The model's, or its best guess.")]
    probability: Probability
    at: str


# Reasons ------------------------------------------------------------------------------------------


def explain_score(model: ServedModel, request: ExplainRequest) -> ExplanationReply:
    """Return the explanation of a score; OptionError if the model doesn't have the topic."""
    [text], _ = with_columns(model, [request.text], request.columns)
    explanation = explain(model.fitted, text, request.topic, against=request.against)
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
        reasons=to_words(explanation),
    )


# Corrections --------------------------------------------------------------------------------------


def store_correction(
    store: CorrectionStore,
    model: ServedModel,
    request: CorrectionRequest,
    decision: Decision,
    person: str | None = None,
) -> CorrectionReply:
    """Store a correction of a decision on disk, and return it.

    It is by `person`, the name of a token, or else by whoever the request names.

    Raises
    ------
    DataError : if the text is blank or too long to be stored, or the topic is invalid, or new and
        spelled much like one of the model's.
    StoreError : if the file can't be written; nothing is stored then.
    """
    if not request.text.strip():
        raise DataError("`text` is blank, and teaches nothing; give the text that was answered.")
    if model.fitted.columns:
        raise DataError(
            f"{model.name} counts columns beside the text, which a correction doesn't keep; "
            "correct the table that it learns from, and train it again."
        )
    is_new_by_topic = dict(known_topic(model, topic) for topic in _right_topics(model, request))
    layout = model.fitted.layout
    form = None if layout is None else layout.topic_form
    for topic, is_new in is_new_by_topic.items():
        if form is not None and form.splits(str(topic)):
            raise DataError(
                f"topic {str(topic)[:100]!r} has {form.separator or ' '!r} in its name, which "
                f"separates topics in the data of {model.name}; give it another name."
            )
        if is_new and not request.is_new:
            _check_spelling(model, str(topic))
    topics, guess = tuple(is_new_by_topic), decision.top[0][0]
    several = model.fitted.multilabel
    correction = store.add(
        text=request.text,
        topic=topics if several else topics[0],
        answer=tuple(decision.topics or [guess] * bool(decision.reason)) if several else guess,
        probability=decision.probability,
        model=model.name,
        digest=model.digest,
        who=person or request.who,
        is_named=person is not None,
    )
    return CorrectionReply(
        id=correction.id,
        model=model.name,
        version=model.digest,
        topic=UNSET if several else topics[0],
        topics=list(topics) if several else UNSET,
        is_new=any(is_new_by_topic.values()),
        answer=list(answer) if isinstance(answer := correction.answer, tuple) else answer,
        probability=round_number(decision.probability),
        at=correction.at,
    )


def _right_topics(model: ServedModel, request: CorrectionRequest) -> list[Topic]:
    """Return the topics of a correction; DataError unless they are as many as the model gives."""
    if model.fitted.multilabel and isinstance(request.topics, list) and request.topic is UNSET:
        return request.topics
    if not model.fitted.multilabel and request.topic is not UNSET and request.topics is UNSET:
        return [request.topic]
    raise DataError(
        f"{model.name} gives a text several topics; give all that are right as `topics`, a list "
        "that may be empty."
        if model.fitted.multilabel
        else f"{model.name} gives a text one topic; give the right one as `topic`."
    )


def _check_spelling(model: ServedModel, topic: str) -> None:
    """Raise DataError if a new topic is probably a typing mistake."""
    names = [name for name in model.fitted.topics.names if isinstance(name, str)]
    near = nearest(topic, names, _ALIKE)
    if near:
        raise DataError(
            f"there is no topic {topic[:100]!r} in {model.name}; did you mean {near!r}? If it is "
            "new, say so (`is_new`)."
        )


def known_topic(model: ServedModel, topic: Topic) -> tuple[Topic, bool]:
    """Return a topic as the model has it, and whether it is new.

    Raises
    ------
    DataError : if it is empty, or a word where the model's topics are numbers.
    """
    names = model.fitted.topics.names
    same = next((name for name in names if str(name) == str(topic).strip()), None)
    if same is not None:
        return same, False
    if isinstance(names[0], str):
        name = " ".join(str(topic).split())  # of one line, as it stands in lists and tables
        if not name:
            raise DataError("`topic` is empty; give the right topic.")
        return name, True
    if isinstance(topic, str):
        raise DataError(f"topics of {model.name} are numbers, and `topic` is {topic[:100]!r}.")
    return topic, True
