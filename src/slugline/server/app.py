"""The application: who answers which request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from slugline.server.guard import Guard
from slugline.server.openapi import description
from slugline.server.operations import OPERATIONS
from slugline.server.page import PAGE_ROUTES
from slugline.server.state import State, state_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["make_app"]


def make_app(state: State) -> ASGIApp:
    """Return the application of a process."""
    routes = [
        # What has to be fastest is first.
        *(Route(each.path, each.handler, methods=[each.method]) for each in OPERATIONS),
        Route("/openapi.json", _openapi),
        *PAGE_ROUTES,
    ]
    # Not Starlette itself, which would answer to errors before the guard can.
    return Guard(Router(routes), state)


async def _openapi(request: Request) -> Response:
    """Send the description of the API."""
    found = description(with_tokens=bool(state_of(request).settings.tokens))
    return Response(msgspec.json.encode(found), media_type="application/json")
