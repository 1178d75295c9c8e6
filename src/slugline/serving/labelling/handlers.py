"""Routes of the label page: convert JSON requests to service calls, and replies to JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slugline.base.checks import replace_surrogates
from slugline.errors import DataError
from slugline.labels.storage.decisions import LabelConflictError
from slugline.serving.background import BackgroundThreads
from slugline.serving.labelling.requests import (
    AddTopicRequest,
    CopiesRequest,
    DecideRequest,
    DescribeTopicRequest,
    DisagreementRequest,
    LabelCopiesRequest,
    MergeTopicRequest,
    NextRequest,
    RecentRequest,
    RemoveTopicRequest,
    RenameTopicRequest,
    RestoreRequest,
    SeparateTopicRequest,
    SettleRequest,
    TextRequest,
    UndoCopiesRequest,
    UndoRequest,
    UndoSettlementRequest,
    WithdrawRequest,
)
from slugline.serving.labelling.service import LabelService
from slugline.serving.web.bodies import body_type, parse_json, read_body
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import AppState, call_of, in_time

_T = TypeVar("_T")


@dataclass(eq=False)
class LabelState(AppState):
    """State of the application of the label page."""

    service: LabelService
    threads: BackgroundThreads = field(default_factory=lambda: BackgroundThreads(2))


def label_state(request: Request) -> LabelState:
    """Return the state of the application that received a request."""
    state: LabelState = request.scope["app"]
    return state


def coder_of(request: Request) -> str:
    """Return the name of the request's token or, without tokens, the service's coder."""
    return call_of(request).person or label_state(request).service.coder


def _get(path: str, read: Callable[[LabelService, str], object]) -> Route:
    """Return a route that replies with `read(service, coder)`."""

    async def handle(request: Request) -> Response:
        return await _answer(request, read)

    return Route(path, handle, methods=["GET"])


def _post(
    path: str, kind: type[_T], method_of: Callable[[LabelService], Callable[[str, _T], object]]
) -> Route:
    """Return a route that passes the coder and the parsed body to a method of a service."""
    decoder = msgspec.json.Decoder(kind)

    async def handle(request: Request) -> Response:
        body = await _read_json(request, decoder)
        return await _answer(request, lambda service, coder: method_of(service)(coder, body))

    return Route(path, handle, methods=["POST"])


async def health(request: Request) -> Response:  # noqa: ARG001
    """Report that the process is up."""
    return _json_response({"status": "ok"})


ROUTES = (
    Route("/health", health, methods=["GET"]),
    _get("/v1/state", LabelService.state),
    _get("/v1/progress", lambda labels, coder: labels.progress.progress(coder)),
    _post("/v1/next", NextRequest, lambda labels: labels.texts.next_text),
    _post("/v1/text", TextRequest, lambda labels: labels.texts.find_text),
    _post("/v1/decide", DecideRequest, lambda labels: labels.decisions.decide),
    _post("/v1/undo", UndoRequest, lambda labels: labels.decisions.undo),
    _post("/v1/recent", RecentRequest, lambda labels: labels.decisions.recent),
    _post("/v1/copies", CopiesRequest, lambda labels: labels.decisions.list_copies),
    _post("/v1/copies/label", LabelCopiesRequest, lambda labels: labels.decisions.label_copies),
    _post("/v1/copies/undo", UndoCopiesRequest, lambda labels: labels.decisions.undo_copies),
    _post("/v1/disagreement", DisagreementRequest, lambda labels: labels.coders.find_disagreement),
    _post("/v1/settle", SettleRequest, lambda labels: labels.settle),
    _post("/v1/settle/undo", UndoSettlementRequest, lambda labels: labels.coders.undo_settlement),
    _get("/v1/agreement", lambda labels, _: labels.coders.agreement()),
    _post("/v1/withdraw", WithdrawRequest, lambda labels: labels.coders.withdraw),
    _post("/v1/restore", RestoreRequest, lambda labels: labels.coders.restore),
    _get("/v1/codebook", lambda labels, _: labels.topics.codebook()),
    _post("/v1/topics", AddTopicRequest, lambda labels: labels.topics.add_topic),
    _post("/v1/topics/describe", DescribeTopicRequest, lambda labels: labels.topics.describe_topic),
    _post("/v1/topics/rename", RenameTopicRequest, lambda labels: labels.topics.rename_topic),
    _post("/v1/topics/remove", RemoveTopicRequest, lambda labels: labels.topics.remove_topic),
    _post("/v1/topics/merge", MergeTopicRequest, lambda labels: labels.topics.merge_topic),
    _post("/v1/topics/separate", SeparateTopicRequest, lambda labels: labels.topics.separate_topic),
)


async def _answer(request: Request, work: Callable[[LabelService, str], object]) -> Response:
    state = label_state(request)
    coder = coder_of(request)

    def work_for_coder(service: LabelService) -> object:
        service.require_coder(coder)
        return work(service, coder)

    try:
        reply = await in_time(request, state.threads.run(work_for_coder, state.service))
    except LabelConflictError as error:  # contains numbers that the page doesn't show
        raise DataError(
            "somebody has changed this label in the meantime; look at the text again."
        ) from error
    return _json_response(reply)


def _json_response(value: object) -> Response:
    try:
        content = msgspec.json.encode(value)
    except UnicodeEncodeError:  # an unpaired surrogate, in a text or at the end of an excerpt
        content = msgspec.json.encode(replace_surrogates(msgspec.to_builtins(value)))
    return Response(content, media_type="application/json")


async def _read_json(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    media_type = body_type(request)
    if media_type != "application/json":
        raise HttpProblem(
            415, f"the body is of type {media_type[:100]!r}; send `Content-Type: application/json`."
        )
    settings = label_state(request).settings
    return parse_json(await read_body(request, settings.max_body, settings.timeout), decoder)
