"""The ASGI application: routes of the API and of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router

from slugline.serving.http.guard import Guard
from slugline.serving.http.operations import OPERATIONS, Operation, openapi
from slugline.serving.http.state import AppState, app_state
from slugline.serving.page import page
from slugline.serving.page.classify import ask, show_classify
from slugline.serving.page.corrections import approve, correct, show_corrections, undo
from slugline.serving.page.docs import show_docs
from slugline.serving.page.model import show_model
from slugline.serving.page.table import answer_table, show_table, write_table

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def make_app(state: AppState) -> ASGIApp:
    """Return the application of a process."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes = [
        # What has to be fastest is first.
        *(
            Route(path, _dispatch(methods), methods=list(methods))
            for path, methods in by_path.items()
        ),
        Route("/openapi.json", _openapi),
        *PAGE_ROUTES,
    ]
    # Not Starlette itself, which would answer to errors before the guard can.
    return Guard(Router(routes, redirect_slashes=False), state, page.problem_page)


def _dispatch(operations: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of all methods of a path."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        operation = operations[method]
        request.state.operation = operation.name
        operation.check_query(request)
        return await operation.handler(request)

    return answer


async def _openapi(request: Request) -> Response:
    """Send the OpenAPI description."""
    content = openapi(with_tokens=bool(app_state(request).settings.tokens))
    return Response(msgspec.json.encode(content), media_type="application/json")


# Routes of the page -------------------------------------------------------------------------------


def _route(path: str, method: str, handler: page.Handler) -> Route:
    return Route(path, page.show_problems(handler), methods=[method])


PAGE_ROUTES: Sequence[BaseRoute] = (
    _route("/", "GET", show_classify),
    _route("/", "POST", ask),
    _route("/wrong", "POST", correct),
    _route("/undo", "POST", undo),
    _route("/approve", "POST", approve),
    _route("/table", "GET", show_table),
    Route("/table/answers", answer_table, methods=["POST"]),
    Route("/table/file", write_table, methods=["POST"]),
    _route("/model", "GET", show_model),
    _route("/corrections", "GET", show_corrections),
    _route("/docs", "GET", show_docs),
    _route("/login", "GET", page.show_login),
    _route("/login", "POST", page.log_in),
    _route("/logout", "POST", page.log_out),
    Route("/static/{name}", page.static_file),
)
