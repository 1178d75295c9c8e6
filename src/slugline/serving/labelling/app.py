"""The label page: its application and server, its HTML, the login, and error pages."""

from __future__ import annotations

import contextlib
import functools
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router

from slugline._version import __version__
from slugline.base.html import style_sheet, template_environment
from slugline.corpus.label_database.records import SKIP_REASONS
from slugline.serving.labelling.handlers import ROUTES, LabelState, coder_of, label_state
from slugline.serving.labelling.service import LabelService
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.addresses import Address
from slugline.serving.server.app_server import AppServer
from slugline.serving.web.bodies import SMALL_FORM, parse_form, read_body
from slugline.serving.web.guard import Guard, accept_token, log_out
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.static_files import StaticFiles

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.types import ASGIApp, Scope

_LOGIN_TITLE = "Log in with your token"
# Maximum number of fields in the login form: username, token and two spare ones.
_MAX_FIELDS = 4
# Files in `scripts/`, joined in this order because top-level code needs the earlier files.
_SCRIPTS = (
    "elements.js",
    "requests.js",
    "state.js",
    "outbox.js",
    "texts.js",
    "decisions.js",
    "copies.js",
    "review.js",
    "disagreements.js",
    "topics.js",
    "recent.js",
    "progress.js",
    "codebook.js",
    "agreement.js",
    "keyboard.js",
    "start.js",
)


def _read_files() -> dict[str, bytes]:
    folder = files("slugline.serving.labelling")
    shared = style_sheet("colours.css", "answer.css")
    style = folder.joinpath("label.css").read_text("utf-8")
    scripts = [folder.joinpath("scripts", name).read_text("utf-8") for name in _SCRIPTS]
    return {"label.css": f"{shared}\n{style}".encode(), "label.js": "\n".join(scripts).encode()}


STATIC_FILES = StaticFiles(_read_files())


@functools.cache
def _environment() -> Environment:
    return template_environment("slugline.serving.labelling")


def _render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    shared = {"static": STATIC_FILES.addresses, "version": __version__}
    return HTMLResponse(_environment().get_template(template).render(shared | values), status)


async def show_page(request: Request) -> Response:
    """Send the label page."""
    return _render(
        "label.html.j2",
        title="Label",
        coder=coder_of(request),
        has_tokens=bool(label_state(request).settings.tokens),
        skip_reasons=SKIP_REASONS,
    )


async def show_login(request: Request) -> Response:  # noqa: ARG001
    """Ask for a token."""
    return _render("login.html.j2", title=_LOGIN_TITLE, problem="")


async def log_in(request: Request) -> Response:
    """Log in with a valid token: set the cookie."""
    body = await read_body(request, SMALL_FORM, label_state(request).settings.timeout)
    token = dict(parse_form(body, _MAX_FIELDS)).get("token", "").strip()
    response = accept_token(request, token)
    problem = "This token is not valid here."
    return response or _render("login.html.j2", 403, title=_LOGIN_TITLE, problem=problem)


def problem_page(scope: Scope, problem: HttpProblem) -> Response:  # noqa: ARG001
    """Return an error page, for `web.guard.Guard`."""
    message = problem.detail[:1].upper() + problem.detail[1:]
    title = HTTPStatus(problem.status).phrase
    response = _render("error.html.j2", problem.status, title=title, message=message)
    response.headers.update(problem.headers)
    return response


def make_label_app(state: LabelState) -> ASGIApp:
    """Return the application of the label page."""
    routes = [
        *ROUTES,
        Route("/", show_page),
        Route("/login", show_login, methods=["GET"]),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
        Route("/static/{name}", STATIC_FILES.send),
    ]
    return Guard(Router(routes, redirect_slashes=False), state, problem_page)


def serve_labels(settings: ServeSettings, service: LabelService, address: Address) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then close the label database."""
    state = LabelState(settings, service)
    with contextlib.ExitStack() as stack:
        stack.callback(service.close)
        stack.callback(state.threads.close)
        AppServer(make_label_app(state), settings, address).run()
