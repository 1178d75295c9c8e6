"""The ASGI application: routes of the API and the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router

from slugline.serving.http.operations import OPERATIONS, Operation, openapi
from slugline.serving.page.classify import post_classify, show_classify
from slugline.serving.page.corrections import (
    post_approvals,
    post_correction,
    post_undo,
    show_corrections,
)
from slugline.serving.page.docs import make_docs_handler
from slugline.serving.page.model_card import post_acceptance, show_model
from slugline.serving.page.rendering import (
    STATIC_FILES,
    Handler,
    log_in,
    problem_page,
    show_login,
    show_problems,
)
from slugline.serving.page.table import answer_table, show_table, write_table
from slugline.serving.web.guard import Guard, log_out
from slugline.serving.web.state import WebState, web_state

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send


def make_app(state: WebState, lifespan: Lifespan[Router] | None = None) -> ASGIApp:
    """Build the application of a process."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes = [
        *(
            Route(path, _dispatch(methods), methods=list(methods))
            for path, methods in by_path.items()
        ),
        Route("/openapi.json", _openapi),
        *PAGE_ROUTES,
    ]
    # A plain router, because the Starlette class would handle errors before the guard.
    router = Router(routes, redirect_slashes=False, lifespan=lifespan)
    return Guard(_ShortCut(OPERATIONS, router), state, problem_page)


class _ShortCut:
    """Dispatches API operations without the router, which takes a third of a short request's time.

    Other requests, and operations with path parameters, go to the router.
    """

    def __init__(self, operations: Iterable[Operation], router: ASGIApp) -> None:
        self._operations = {
            (each.method, each.path): each for each in operations if "{" not in each.path
        }
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get((scope.get("method", ""), scope.get("path", "")))
        if operation is None:
            await self._router(scope, receive, send)
            return
        response = await _answer(operation, Request(scope, receive, send))
        await response(scope, receive, send)


def _dispatch(operations: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that dispatches by method."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await _answer(operations[method], request)

    return answer


async def _answer(operation: Operation, request: Request) -> Response:
    request.scope["state"]["operation"] = operation.name
    operation.check_query(request)
    return await operation.handler(request)


async def _openapi(request: Request) -> Response:
    """Return the OpenAPI description."""
    content = openapi(with_tokens=bool(web_state(request).settings.tokens))
    return Response(msgspec.json.encode(content), media_type="application/json")


# Routes of the page -------------------------------------------------------------------------------


def _route(path: str, method: str, handler: Handler) -> Route:
    return Route(path, show_problems(handler), methods=[method])


PAGE_ROUTES: Sequence[BaseRoute] = (
    _route("/", "GET", show_classify),
    _route("/", "POST", post_classify),
    _route("/wrong", "POST", post_correction),
    _route("/undo", "POST", post_undo),
    _route("/approve", "POST", post_approvals),
    _route("/table", "GET", show_table),
    Route("/table/answers", answer_table, methods=["POST"]),
    Route("/table/file", write_table, methods=["POST"]),
    _route("/model", "GET", show_model),
    _route("/accept", "POST", post_acceptance),
    _route("/corrections", "GET", show_corrections),
    _route("/docs", "GET", make_docs_handler(openapi)),
    _route("/login", "GET", show_login),
    _route("/login", "POST", log_in),
    _route("/logout", "POST", log_out),
    Route("/static/{name}", STATIC_FILES.send),
)
