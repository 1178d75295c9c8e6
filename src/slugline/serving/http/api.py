"""The HTTP API under /v1."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slugline.base.checks import replace_surrogates
from slugline.corpus.documents import Topic
from slugline.corrections.store import CorrectionStore
from slugline.model.decider import Decision
from slugline.serving import messages
from slugline.serving.http.bodies import (
    FEW_BYTES,
    HttpProblem,
    body_type,
    parse_json,
    parse_large_json,
    read_body,
)
from slugline.serving.http.state import AppState, app_state, in_time
from slugline.serving.model import ServedModel
from slugline.serving.settings import LONGEST_TEXT, MOST_TEXTS

# Requests and replies -----------------------------------------------------------------------------

_TextField = Annotated[str, Meta(max_length=LONGEST_TEXT, description="The text to classify.")]


class ClassifyRequest(messages.ClassifyOptions, frozen=True, kw_only=True):
    """Texts to classify: `text`, or `texts`."""

    text: _TextField | UnsetType = UNSET
    texts: Annotated[list[_TextField], Meta(min_length=1, max_length=MOST_TEXTS)] | UnsetType = (
        UNSET
    )


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a list."""

    name: str
    version: str
    n_topics: int


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models; the first answers if none is named."""

    models: list[ModelSummary]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model's card."""

    name: str
    version: str
    topics: list[Topic]
    multilabel: messages.Multilabel = UNSET
    columns: Annotated[
        list[str] | UnsetType, Meta(description="Columns beside the text that count, if any.")
    ] = UNSET
    n_documents: int
    metrics: dict[str, float]
    min_precision: float | None
    needs_encoder: bool
    card: Annotated[str, Meta(description="In Markdown.")]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The models, and what is wrong with later versions of them, such as one held back."""

    status: str
    models: list[ModelSummary]
    problems: dict[str, str]


# Handlers -----------------------------------------------------------------------------------------

_log = logging.getLogger("slugline.server")
# Digits of a number that SQLite can hold.
_ID_DIGITS = 18
# Topics of a reply that are made at once: meanwhile, the event loop waits for the GIL.
_FEW_GUESSES = 2000
# Texts whose columns are looked at on the event loop.
_FEW_TEXTS = 100
JSONL = "application/jsonl"
_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode
_classify = msgspec.json.Decoder(ClassifyRequest)
_explain = msgspec.json.Decoder(messages.ExplainRequest)
_correct = msgspec.json.Decoder(messages.CorrectionRequest)


async def classify(request: Request) -> Response:
    """Classify texts."""
    state = app_state(request)
    body = await _question(request, _classify)
    texts = _texts(body)
    state.settings.limits.check(texts, explain=body.explain, top=body.top)
    model = find_model(request, body.model)
    if len(texts) <= _FEW_TEXTS:
        texts, note = messages.with_columns(model, texts, body.columns)
    else:
        texts, note = await state.run(messages.with_columns, model, texts, body.columns)
    if state.settings.log_texts:
        number = request.state.request_id
        _log.info("%s: %r", number, texts, extra={"request_id": number})

    async def answers() -> messages.Classification:
        decisions = await state.batches.decide(model, texts, body.min_precision, body.top)
        if len(texts) * body.top <= _FEW_GUESSES and not body.explain:
            results: list[Any] = messages.to_results(decisions, body.top)
        else:
            results = []
            n_texts = max(1, _FEW_GUESSES // body.top)
            for first in range(0, len(texts), n_texts):  # others have their turn in between
                part = slice(first, first + n_texts)
                results += await state.run(
                    _encode_results, model, texts[part], decisions[part], body
                )
        return messages.Classification(
            model=model.name, version=model.digest, results=results, note=note
        )

    with state.batches.guesses(len(texts), body.top):
        return json_response(await in_time(request, answers()))


def _encode_results(
    model: ServedModel, texts: list[str], decisions: list[Decision], body: ClassifyRequest
) -> list[msgspec.Raw]:
    """Return results as JSON; runs on a thread."""
    results = messages.to_results(decisions, body.top)
    if body.explain:
        results = messages.with_reasons(model, texts, results)
    return [msgspec.Raw(_encode(result)) for result in results]


async def explain_text(request: Request) -> Response:
    """Explain which words speak for a topic."""
    state = app_state(request)
    body = await _question(request, _explain)
    state.settings.limits.check([body.text], explain=True)
    model = find_model(request, body.model)
    reply = await in_time(request, state.run(messages.explain_score, model, body))
    return json_response(reply)


async def correct(request: Request) -> Response:
    """Store a correction; it is on disk when the reply comes."""
    state = app_state(request)
    body = await _question(request, _correct)
    state.settings.limits.check([body.text])
    return json_response(await keep_correction(request, body), 201)


async def keep_correction(
    request: Request, body: messages.CorrectionRequest
) -> messages.CorrectionReply:
    """Store a correction, and return it."""
    state = app_state(request)
    store = corrections_store(state)
    model = find_model(request, body.model)
    [decision] = await in_time(request, state.batches.decide(model, [body.text]))
    person = request.state.person
    reply = await state.ask_store(messages.store_correction, store, model, body, decision, person)
    state.metrics.add("corrections_total")
    return reply


async def undo_correction(request: Request) -> Response:
    """Undo a correction."""
    state = app_state(request)
    number = parse_id(request.path_params["id"], "the id")
    is_there = await state.ask_store(corrections_store(state).undo, number)
    if not is_there:
        raise HttpProblem(404, f"there is no correction {number}, or it was undone before.")
    return Response(status_code=204)


async def approve_correction(request: Request) -> Response:
    """Approve a correction: models learn from it whatever else is known of it."""
    number = parse_id(request.path_params["id"], "the id")
    if not await approve(request, [number]):
        raise HttpProblem(404, f"there is no correction {number}, or it was undone.")
    return Response(status_code=204)


async def approve(request: Request, numbers: Sequence[int]) -> int:
    """Approve corrections, and return how many of them there are.

    Nobody approves what they said themselves, and only people whose names are known approve at
    all, unless the server is for the users of this machine alone.

    Raises
    ------
    HttpProblem : 403 if this person may not approve, or not one of these; none is approved then.
    """
    state = app_state(request)
    store = corrections_store(state)
    person = request.state.person
    if not may_approve(request):
        raise HttpProblem(
            403,
            "corrections are approved by people whose tokens have a name, and "
            + ("this one has none" if state.settings.tokens else "this server has no tokens")
            + "; whoever runs the server adds names to the token file, or approves with `slugline "
            "corrections`.",
        )
    rows = await state.ask_store(store.get, numbers)
    own = next((row.id for row in rows if row.is_named and row.who == person), None)
    if own is not None:
        raise HttpProblem(403, f"correction {own} is your own; somebody else has to approve it.")
    for row in rows:
        await state.ask_store(store.approve, row.id, person)
    return len(rows)


def may_approve(request: Request) -> bool:
    """Whether the person who asks may approve corrections of others."""
    is_named = request.state.person is not None
    return is_named or app_state(request).settings.lets_anybody_approve


async def list_corrections(request: Request) -> Response:
    """Send all corrections, a line of JSON each."""
    state = app_state(request)
    after = parse_id(request.query_params.get("after", "0"), "`after`")
    lines = _lines(corrections_store(state), after)
    first = await state.ask_store(next, lines, b"")  # an error is told before anything is sent
    body = iterate_in_threadpool(itertools.chain((first,), lines))
    return StreamingResponse(body, media_type=JSONL)


def _lines(store: CorrectionStore, after: int) -> Iterator[bytes]:
    held = store.held()
    for row in store.rows(after=after):
        row = row._replace(probability=messages.round_number(row.probability))
        fields = row._asdict() | {"doubts": [str(doubt) for doubt in held.get(row.id, ())]}
        if isinstance(row.topic, tuple):
            fields["topics"] = fields.pop("topic")
        yield _encode(replace_surrogates(fields)) + b"\n"


async def list_models(request: Request) -> Response:
    """List the models."""
    return json_response(ModelList(models=summaries(app_state(request))))


async def show_model(request: Request) -> Response:
    """Send a model's card."""
    model = find_model(request, request.path_params["name"])
    info = model.file.info
    return json_response(
        ModelCard(
            name=model.name,
            version=model.digest,
            topics=model.fitted.topics.names,
            multilabel=model.fitted.multilabel or UNSET,
            columns=[column.name for column in model.fitted.columns] or UNSET,
            n_documents=info.n_documents,
            metrics=info.metrics,
            min_precision=model.decider.precision,
            needs_encoder=model.fitted.encoder is not None,
            card=model.file.card,
        )
    )


async def health(request: Request) -> Response:  # noqa: ARG001
    """Report that the process answers."""
    return json_response(Health(status="ok"))


_LEARNING = {"failed": "failed", "held back": "gave no model that can be used"}


async def ready(request: Request) -> Response:
    """Report which models answer, and what is wrong with new versions of them."""
    state = app_state(request)
    problems = dict(state.models.problems)
    status = "ready, but a new version can't be used" if problems else "ready"
    if state.learner is not None:
        last = (await state.run(state.learner.state))["last"]
        if last is not None and last["outcome"] in _LEARNING:
            if not problems:
                status = f"ready, but learning from corrections {_LEARNING[last['outcome']]}"
            problems["learning from corrections"] = last["message"]
    if state.store is not None and state.store.problem is not None:
        status = "ready, but corrections can't be kept"
        problems["corrections"] = state.store.problem
    if state.settings.tokens:  # anybody may ask this, and paths are nobody's business
        problems = dict.fromkeys(problems, "the log says what is wrong")
    return json_response(Readiness(status=status, models=summaries(state), problems=problems))


async def metrics(request: Request) -> Response:
    """Send the metrics in Prometheus' text format."""
    text = app_state(request).metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4")


# Shared with the page -----------------------------------------------------------------------------


def json_response(value: Any, status: int = 200) -> Response:
    """Return a value as a JSON response."""
    return Response(_encode(value), status, media_type="application/json")


def find_model(request: Request, name: str | None) -> ServedModel:
    """Return a model by its name, also for the reply's headers; see `Models.get`."""
    request.state.model = model = app_state(request).models.get(name)
    return model


def corrections_store(state: AppState) -> CorrectionStore:
    """Return the store of corrections; HttpProblem 404 if there is none."""
    if state.store is None:
        raise HttpProblem(
            404, "this server takes no corrections; start it with --corrections FILE for that."
        )
    return state.store


def summaries(state: AppState) -> list[ModelSummary]:
    """Return a summary of each model."""
    return [
        ModelSummary(name=model.name, version=model.digest, n_topics=len(model.fitted.topics))
        for model in state.models.all()
    ]


def parse_id(said: str, name: str) -> int:
    """Return the number of a correction; HttpProblem 422 if it is none."""
    if not said.isascii() or not said.isdecimal() or len(said) > _ID_DIGITS:
        raise HttpProblem(422, f"{name} is {said[:100]!r}; give the number of a correction.")
    return int(said)


async def _question(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return the body of a request; a large one is decoded on a thread."""
    kind = body_type(request)
    if kind != "application/json":
        raise HttpProblem(
            415, f"the body is of type {kind[:100]!r}; send `Content-Type: application/json`."
        )
    state, settings = app_state(request), app_state(request).settings
    body = await read_body(request, settings.max_body, settings.timeout)
    if len(body) <= FEW_BYTES:
        return parse_json(body, decoder)
    limits = settings.max_values, settings.max_characters
    return await state.run(parse_large_json, body, decoder, *limits)


def _texts(body: ClassifyRequest) -> list[str]:
    if isinstance(body.text, str) and body.texts is msgspec.UNSET:
        return [body.text]
    if isinstance(body.texts, list) and body.text is msgspec.UNSET:
        return body.texts
    raise HttpProblem(422, "give either `text` or `texts`.")
