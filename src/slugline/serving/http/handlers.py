"""HTTP API handlers: JSON in, service call, JSON out."""

from __future__ import annotations

import itertools
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slugline.base.checks import replace_surrogates
from slugline.labels.store import Correction
from slugline.serving.replies import round_number
from slugline.serving.requests import (
    LONGEST_TEXT,
    MAX_TEXTS,
    ClassifyOptions,
    CorrectionRequest,
    ExplainRequest,
)
from slugline.serving.service import is_long_reply
from slugline.serving.service_errors import UnknownCorrectionError
from slugline.serving.web.bodies import encode_json, json_response, read_json
from slugline.serving.web.problems import HttpProblem, parse_id
from slugline.serving.web.state import call_of, in_time, service_of, web_state

# HTTP-only requests and replies -------------------------------------------------------------------

_TextField = Annotated[str, Meta(max_length=LONGEST_TEXT, description="The text to classify.")]


class ClassifyRequest(ClassifyOptions, frozen=True, kw_only=True):
    """Texts to classify, as `text` or `texts`."""

    text: _TextField | UnsetType = UNSET
    texts: Annotated[list[_TextField], Meta(min_length=1, max_length=MAX_TEXTS)] | UnsetType = UNSET


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Liveness of the process."""

    status: str


# Texts --------------------------------------------------------------------------------------------

JSONL = "application/jsonl"
_classify = msgspec.json.Decoder(ClassifyRequest)
_explain = msgspec.json.Decoder(ExplainRequest)
_correct = msgspec.json.Decoder(CorrectionRequest)


async def classify(request: Request) -> Response:
    """Classify texts."""
    service = service_of(request)
    body = await read_json(request, _classify)
    answer = service.classify(_texts(body), body, call_of(request))
    reply = await in_time(request, answer)
    if is_long_reply(len(reply.results), body):
        return await service.threads.run(json_response, reply)
    return json_response(reply)


def _texts(body: ClassifyRequest) -> list[str]:
    if isinstance(body.text, str) and body.texts is UNSET:
        return [body.text]
    if isinstance(body.texts, list) and body.text is UNSET:
        return body.texts
    raise HttpProblem(422, "give either `text` or `texts`.")


async def explain_text(request: Request) -> Response:
    """Explain which words count for a topic."""
    body = await read_json(request, _explain)
    answer = service_of(request).explain(body, call_of(request))
    return json_response(await in_time(request, answer))


# Corrections --------------------------------------------------------------------------------------


async def correct(request: Request) -> Response:
    """Store a correction on disk."""
    body = await read_json(request, _correct)
    answer = service_of(request).correct(body, call_of(request))
    return json_response(await in_time(request, answer), 201)


async def undo_correction(request: Request) -> Response:
    """Undo a correction."""
    number = parse_id(request.path_params["id"], "the id")
    await service_of(request).undo_correction(number, call_of(request))
    return Response(status_code=204)


async def approve_correction(request: Request) -> Response:
    """Approve a correction, so that models train on it."""
    number = parse_id(request.path_params["id"], "the id")
    if not await service_of(request).approve_corrections([number], call_of(request)):
        raise UnknownCorrectionError(number, "it was undone")
    return Response(status_code=204)


async def list_corrections(request: Request) -> Response:
    """List all corrections, one JSON line each."""
    after = parse_id(request.query_params.get("after", "0"), "`after`")
    corrections = service_of(request).corrections
    lines = map(_to_line, corrections.store.corrections(after=after))
    first = await corrections.run(next, lines, b"")  # now, while an error can set the status
    body = iterate_in_threadpool(itertools.chain((first,), lines))
    return StreamingResponse(body, media_type=JSONL)


def _to_line(correction: Correction) -> bytes:
    correction = correction._replace(probability=round_number(correction.probability))
    fields = correction._asdict() | {"is_pending": correction.is_pending}
    if isinstance(correction.topic, tuple):
        fields["topics"] = fields.pop("topic")
    return encode_json(replace_surrogates(fields)) + b"\n"


# Models -------------------------------------------------------------------------------------------


async def list_models(request: Request) -> Response:
    """List the models."""
    return json_response(service_of(request).list_models())


async def show_model(request: Request) -> Response:
    """Return a model's card."""
    name = request.path_params["name"]
    return json_response(service_of(request).show_model(name, call_of(request)))


# Monitoring ---------------------------------------------------------------------------------------


async def health(request: Request) -> Response:  # noqa: ARG001
    """Check that the process is alive."""
    return json_response(Health(status="ok"))


async def ready(request: Request) -> Response:
    """List the served models and problems with their new versions."""
    reply = await service_of(request).readiness()
    if web_state(request).settings.tokens:  # sent without a token, so omit paths
        problems = dict.fromkeys(reply.problems, "see the log for details")
        reply = msgspec.structs.replace(reply, problems=problems)
    return json_response(reply)


async def metrics(request: Request) -> Response:
    """Return metrics in the Prometheus text format."""
    text = service_of(request).metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4")
