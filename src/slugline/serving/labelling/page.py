"""The label page: its HTML, which the script fills, the login, and error pages."""

from __future__ import annotations

import functools
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from slugline._version import __version__
from slugline.base.html import style_sheet, template_environment
from slugline.corpus.label_database.records import SKIP_REASONS
from slugline.serving.labelling.handlers import coder_of, label_state
from slugline.serving.web.bodies import SMALL_FORM, parse_form, read_body
from slugline.serving.web.guard import accept_token
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.static_files import StaticFiles

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.types import Scope

_LOGIN_TITLE = "Log in with your token"
# Fields of the login form: username, token, and two to spare.
_MAX_FIELDS = 4
# The files in `scripts/`, which are joined to one script in this order: what a file does at once,
# rather than in a function, needs those before it.
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
    """Send the page."""
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
    """Set the cookie of a browser that sends one of the tokens."""
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
