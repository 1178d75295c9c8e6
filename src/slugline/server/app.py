"""The application: who answers which request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from slugline.server.guard import Guard
from slugline.server.openapi import description
from slugline.server.operations import OPERATIONS, Operation
from slugline.server.page import PAGE_ROUTES, problem_page
from slugline.server.state import State, state_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["make_app"]


def make_app(state: State) -> ASGIApp:
    """Return the application of a process."""
    by_path: dict[str, dict[str, Operation]] = {}
    for each in OPERATIONS:
        by_path.setdefault(each.path, {})[each.method] = each
    routes = [
        # What has to be fastest is first.
        *(Route(path, _dispatch(found), methods=list(found)) for path, found in by_path.items()),
        Route("/openapi.json", _openapi),
        *PAGE_ROUTES,
    ]
    # Not Starlette itself, which would answer to errors before the guard can.
    return Guard(Router(routes, redirect_slashes=False), state, problem_page)


def _dispatch(operations: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers all methods of a path."""
    if len(operations) == 1:
        return next(iter(operations.values())).handler

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await operations[method].handler(request)

    return answer


async def _openapi(request: Request) -> Response:
    """Send the description of the API."""
    found = description(with_tokens=bool(state_of(request).settings.tokens))
    return Response(msgspec.json.encode(found), media_type="application/json")
