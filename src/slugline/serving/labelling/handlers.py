"""Handlers of the label page, which translate JSON to calls of the service, and replies to JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

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
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(eq=False)
class LabelState(AppState):
    """State of an application on whose page people give topics."""

    service: LabelService
    threads: BackgroundThreads = field(default_factory=lambda: BackgroundThreads(2))


def label_state(request: Request) -> LabelState:
    """Return the state of the application that got a request."""
    state: LabelState = request.scope["app"]
    return state


def coder_of(request: Request) -> str:
    """Return the name of the request's token; without tokens, that of the service's coder."""
    return call_of(request).person or label_state(request).service.coder


def plain_handler(read: Callable[[LabelService, str], object]) -> Handler:
    """Return a handler that replies with what is read for a coder."""

    async def handle(request: Request) -> Response:
        return await _answer(request, read)

    return handle


def body_handler(
    kind: type[_T], method_of: Callable[[LabelService], Callable[[str, _T], object]]
) -> Handler:
    """Return a handler that passes a coder, and the request in a body, to a method of a service."""
    decoder = msgspec.json.Decoder(kind)

    async def handle(request: Request) -> Response:
        body = await _read_json(request, decoder)
        return await _answer(request, lambda service, coder: method_of(service)(coder, body))

    return handle


async def health(request: Request) -> Response:  # noqa: ARG001
    """Report that the process answers."""
    return _json_response({"status": "ok"})


#: The handler of each path and method.
HANDLERS: dict[tuple[str, str], Handler] = {
    ("/health", "GET"): health,
    ("/v1/state", "GET"): plain_handler(LabelService.state),
    ("/v1/progress", "GET"): plain_handler(lambda service, coder: service.progress.progress(coder)),
    ("/v1/next", "POST"): body_handler(NextRequest, lambda service: service.texts.next_text),
    ("/v1/text", "POST"): body_handler(TextRequest, lambda service: service.texts.find_text),
    ("/v1/decide", "POST"): body_handler(DecideRequest, lambda service: service.decisions.decide),
    ("/v1/undo", "POST"): body_handler(UndoRequest, lambda service: service.decisions.undo),
    ("/v1/recent", "POST"): body_handler(RecentRequest, lambda service: service.decisions.recent),
    ("/v1/copies", "POST"): body_handler(CopiesRequest, lambda service: service.copies.list_copies),
    ("/v1/copies/label", "POST"): body_handler(
        LabelCopiesRequest, lambda service: service.copies.label_copies
    ),
    ("/v1/copies/undo", "POST"): body_handler(
        UndoCopiesRequest, lambda service: service.copies.undo_copies
    ),
    ("/v1/disagreement", "POST"): body_handler(
        DisagreementRequest, lambda service: service.coders.find_disagreement
    ),
    ("/v1/settle", "POST"): body_handler(SettleRequest, lambda service: service.settle),
    ("/v1/settle/undo", "POST"): body_handler(
        UndoSettlementRequest, lambda service: service.coders.undo_settlement
    ),
    ("/v1/agreement", "GET"): plain_handler(lambda service, _: service.coders.agreement()),
    ("/v1/withdraw", "POST"): body_handler(
        WithdrawRequest, lambda service: service.coders.withdraw
    ),
    ("/v1/restore", "POST"): body_handler(RestoreRequest, lambda service: service.coders.restore),
    ("/v1/codebook", "GET"): plain_handler(lambda service, _: service.topics.codebook()),
    ("/v1/topics", "POST"): body_handler(AddTopicRequest, lambda service: service.topics.add_topic),
    ("/v1/topics/describe", "POST"): body_handler(
        DescribeTopicRequest, lambda service: service.topics.describe_topic
    ),
    ("/v1/topics/rename", "POST"): body_handler(
        RenameTopicRequest, lambda service: service.topics.rename_topic
    ),
    ("/v1/topics/remove", "POST"): body_handler(
        RemoveTopicRequest, lambda service: service.topics.remove_topic
    ),
    ("/v1/topics/merge", "POST"): body_handler(
        MergeTopicRequest, lambda service: service.topics.merge_topic
    ),
    ("/v1/topics/separate", "POST"): body_handler(
        SeparateTopicRequest, lambda service: service.topics.separate_topic
    ),
}


async def _answer(request: Request, work: Callable[[LabelService, str], object]) -> Response:
    state = label_state(request)
    coder = coder_of(request)

    def work_for_coder(service: LabelService) -> object:
        service.require_coder(coder)
        return work(service, coder)

    try:
        reply = await in_time(request, state.threads.run(work_for_coder, state.service))
    except LabelConflictError as error:  # says numbers, which a page doesn't show
        raise DataError(
            "somebody has changed this label in the meantime; look at the text again."
        ) from error
    return _json_response(reply)


def _json_response(value: object) -> Response:
    try:
        content = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a text has an unpaired surrogate, or an excerpt ends inside a pair
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
