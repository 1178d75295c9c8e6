"""The API under /v1: texts in, topics out."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Iterator
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slugline.corpus.documents import Topic
from slugline.corrections.store import CorrectionStore
from slugline.serving.http.bodies import Problem, body_type, decoded, read_body
from slugline.serving.http.settings import State, state_of
from slugline.serving.messages import (
    Classification,
    Correct,
    CorrectionReply,
    Explain,
    ExplanationReply,
    Options,
    explained,
    explanation,
    keep,
    results,
    whole,
)
from slugline.serving.model import LimitError, ServedModel

__all__ = [
    "JSONL",
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


# What is asked over HTTP, and what is answered ----------------------------------------------------

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


# The API under /v1: texts in, topics out ----------------------------------------------------------

_log = logging.getLogger("slugline.server")
# Digits of a number that SQLite can hold.
_ID_DIGITS = 18
JSONL = "application/jsonl"
_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode
_classify = msgspec.json.Decoder(Classify)
_explain = msgspec.json.Decoder(Explain)
_correct = msgspec.json.Decoder(Correct)


async def classify(request: Request) -> Response:
    """Answer texts."""
    state = state_of(request)
    asked = decoded(await _json(request, state), _classify)
    texts = _texts(asked)
    _check(state, texts, explain=asked.explain)
    model = find_model(request, asked.model)
    if state.settings.log_texts:
        _log.info("%s: %r", request.state.request_id, texts)

    async def answers() -> Classification:
        routes = await state.batches.route(model, texts, asked.min_precision, asked.top)
        found = results(routes, asked.top)
        if asked.explain:
            found = await state.run(explained, model, texts, found)
        return Classification(model=model.name, version=model.digest, results=found)

    return as_json(await in_time(answers(), state))


async def explain_text(request: Request) -> Response:
    """Say which words speak for a topic."""
    state = state_of(request)
    asked = decoded(await _json(request, state), _explain)
    _check(state, [asked.text], explain=True)
    model = find_model(request, asked.model)
    found = await in_time(state.run(explanation, model, asked), state)
    return as_json(found)


async def correct(request: Request) -> Response:
    """Keep a correction; it is on disk when this is answered."""
    state = state_of(request)
    asked = decoded(await _json(request, state), _correct)
    _check(state, [asked.text])
    return as_json(await keep_correction(request, asked), 201)


async def keep_correction(request: Request, asked: Correct) -> CorrectionReply:
    """Keep a correction, and return what is kept."""
    state = state_of(request)
    store = store_of(state)
    model = find_model(request, asked.model)
    [route] = await in_time(state.batches.route(model, [asked.text]), state)
    kept: CorrectionReply = await state.ask_store(keep, store, model, asked, route)
    state.metrics.add("corrections")
    return kept


async def undo_correction(request: Request) -> Response:
    """Take a correction back."""
    state = state_of(request)
    number = _id(request.path_params["id"], "the id")
    is_there = await state.ask_store(store_of(state).undo, number)
    if not is_there:
        raise Problem(404, f"there is no correction {number}, or it was undone before.")
    return Response(status_code=204)


async def list_corrections(request: Request) -> Response:
    """Send all corrections, a line of JSON each."""
    state = state_of(request)
    after = _id(request.query_params.get("after", "0"), "`after`")
    lines = _lines(store_of(state), after)
    first = await state.ask_store(next, lines, b"")  # an error is told before anything is sent
    return StreamingResponse(
        iterate_in_threadpool(itertools.chain((first,), lines)), media_type=JSONL
    )


def _lines(store: CorrectionStore, after: int) -> Iterator[bytes]:
    for row in store.rows(after=after):
        line = {key: whole(v) if isinstance(v, str) else v for key, v in row._asdict().items()}
        yield _encode(line) + b"\n"


async def list_models(request: Request) -> Response:
    """Name the models."""
    return as_json(ModelList(models=summaries(state_of(request))))


async def show_model(request: Request) -> Response:
    """Send a model's card."""
    model = find_model(request, request.path_params["name"])
    info = model.file.info
    return as_json(
        ModelCard(
            name=model.name,
            version=model.digest,
            topics=model.fitted.topics.names,
            n_documents=info.n_documents,
            metrics=info.metrics,
            min_precision=model.router.precision,
            needs_encoder=model.fitted.encoder is not None,
            card=model.file.card,
        )
    )


async def health(request: Request) -> Response:  # noqa: ARG001
    """Say that the process answers."""
    return as_json(Health(status="ok"))


async def ready(request: Request) -> Response:
    """Say which models answer, and what is wrong with new versions of their files."""
    state = state_of(request)
    problems = dict(state.models.problems)
    if state.settings.tokens:  # anybody may ask this, and paths are nobody's business
        problems = dict.fromkeys(problems, "the new version can't be used; the log says why")
    return as_json(
        Readiness(
            status="ready, but a new version can't be used" if problems else "ready",
            models=summaries(state),
            problems=problems,
        )
    )


async def metrics(request: Request) -> Response:
    """Send what is counted, in Prometheus' text format."""
    text = state_of(request).metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4")


# What the page needs as well ---------------------------------------------------------------------


def as_json(value: Any, status: int = 200) -> Response:
    """Return a value as a response."""
    return Response(_encode(value), status, media_type="application/json")


def find_model(request: Request, name: str | None) -> ServedModel:
    """Return a model by its name, which replies then carry; Problem 404 if there is none."""
    models = state_of(request).models
    model = models.get(name)
    if model is None:
        raise Problem(404, models.unknown(name))
    request.state.model = model
    return model


def store_of(state: State) -> CorrectionStore:
    """Return where corrections are kept; Problem 404 if they are not."""
    if state.store is None:
        raise Problem(
            404, "this server takes no corrections; start it with --corrections FILE for that."
        )
    return state.store


def summaries(state: State) -> list[ModelSummary]:
    """Return the models in a few words each."""
    return [
        ModelSummary(name=each.name, version=each.digest, n_topics=len(each.fitted.topics))
        for each in state.models.all()
    ]


async def in_time(answer: Awaitable[_T], state: State) -> _T:
    """Wait for an answer.

    Raises
    ------
    Problem : 504 if it takes too long.
    """
    timeout = state.settings.timeout
    try:
        async with asyncio.timeout(timeout):
            return await answer
    except TimeoutError:
        raise Problem(
            504, f"there was no answer after {timeout:g} seconds; ask for less at a time."
        ) from None


def _id(said: str, name: str) -> int:
    if not said.isascii() or not said.isdecimal() or len(said) > _ID_DIGITS:
        raise Problem(422, f"{name} is {said[:100]!r}; give the number of a correction.")
    return int(said)


async def _json(request: Request, state: State) -> bytes:
    kind = body_type(request)
    if kind != "application/json":
        raise Problem(
            415, f"the body is of type {kind[:100]!r}; send `Content-Type: application/json`."
        )
    return await read_body(request, state.settings.max_body, state.settings.timeout)


def _texts(asked: Classify) -> list[str]:
    if isinstance(asked.text, str) and asked.texts is msgspec.UNSET:
        return [asked.text]
    if isinstance(asked.texts, list) and asked.text is msgspec.UNSET:
        return asked.texts
    raise Problem(422, "give either `text` or `texts`.")


def _check(state: State, texts: list[str], *, explain: bool = False) -> None:
    try:
        state.settings.limits.check(texts, explain=explain)
    except LimitError as error:
        raise Problem(422, f"{error}", index=error.index) from None
