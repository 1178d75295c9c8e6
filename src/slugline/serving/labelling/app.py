"""The application on whose page people give topics, and its server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from starlette.routing import Route, Router

from slugline.serving.labelling.handlers import HANDLERS, LabelState
from slugline.serving.labelling.page import (
    STATIC_FILES,
    log_in,
    problem_page,
    show_login,
    show_page,
)
from slugline.serving.labelling.service import LabelService
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.addresses import Address
from slugline.serving.server.app_server import AppServer
from slugline.serving.web.guard import Guard, log_out

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def make_label_app(state: LabelState) -> ASGIApp:
    """Return the application."""
    routes = [
        *(Route(path, handler, methods=[method]) for (path, method), handler in HANDLERS.items()),
        Route("/", show_page),
        Route("/login", show_login, methods=["GET"]),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
        Route("/static/{name}", STATIC_FILES.send),
    ]
    return Guard(Router(routes, redirect_slashes=False), state, problem_page)


def serve_labels(settings: ServeSettings, service: LabelService, address: Address) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then close the file of labels."""
    state = LabelState(settings, service)
    with contextlib.ExitStack() as stack:
        stack.callback(service.close)
        stack.callback(state.threads.close)
        AppServer(make_label_app(state), settings, address).run()
