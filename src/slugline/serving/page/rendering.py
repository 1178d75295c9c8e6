"""Renders pages, parts of pages, the login form and error pages; words errors for the page."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from slugline._version import __version__
from slugline.base.html import style_sheet, template_environment
from slugline.base.wording import counted, whole_percent
from slugline.corpus.readers import LEAVE_ENCODING_OUT, OR_NAME_THE_FORMAT
from slugline.corpus.topic_sets import join_topics
from slugline.errors import Message, Parameter, SluglineError
from slugline.explanation.explanation import STYLE
from slugline.reports.render import shorten
from slugline.serving.service_errors import IS_NEW, LimitError
from slugline.serving.web.bodies import SMALL_FORM, read_form
from slugline.serving.web.guard import accept_token
from slugline.serving.web.problems import HttpProblem, to_problem
from slugline.serving.web.state import call_of, service_of, web_state
from slugline.serving.web.static_files import StaticFiles

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.types import Scope

    from slugline.serving.served_models import ServedModel


# Style sheet and script --------------------------------------------------------------------------


def _read_files() -> dict[str, bytes]:
    folder = files("slugline.serving.page")
    style = folder.joinpath("page.css").read_text("utf-8")
    return {
        "page.css": "\n".join((style_sheet("colours.css", "answer.css"), style, STYLE)).encode(),
        "page.js": folder.joinpath("page.js").read_bytes(),
    }


STATIC_FILES = StaticFiles(_read_files())


# Pages --------------------------------------------------------------------------------------------

# Header of a script's request for part of a page.
_PART = "x-part"
_TABS = {"/": "Classify", "/table": "Table", "/model": "Model", "/corrections": "Corrections"}


def requested_model(request: Request) -> ServedModel:
    """Return the model named in the query, or the first model.

    Raises
    ------
    UnknownModelError : if no model has this name.
    """
    return service_of(request).find_model(request.query_params.get("model"), call_of(request))


def render_page(
    request: Request, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Render a page, or a part for a script to insert, with escaped values."""
    service, call = service_of(request), call_of(request)
    model = call.model or service.models.default
    models = service.models.all()
    shared = {
        "model": model,
        "models": models,
        "tabs": _TABS.items(),
        "path": request.scope["path"],
        "takes_corrections": service.takes_corrections and not model.fitted.columns,
        "static": STATIC_FILES.addresses,
        # Query for links, so that the next page shows the same model.
        "query": {} if model is models[0] else {"model": model.name},
        "version": __version__,
        "has_tokens": bool(web_state(request).settings.tokens),
        # Name of the token, if it has one.
        "person": call.person,
    }
    text = _environment().get_template(template).render(shared | values)
    # Files may contain lone surrogates; HTML can't contain NUL.
    return HTMLResponse(text.replace("\0", "\ufffd").encode("utf-8", "replace"), status)


def compile_templates() -> None:
    """Compile all templates, so that no request blocks the event loop for 0.1 seconds."""
    for name in _environment().list_templates():
        _environment().get_template(name)


@functools.cache
def _environment() -> Environment:
    environment = template_environment("slugline.serving.page")
    environment.filters |= {"counted": counted, "percent": whole_percent, "shortened": shorten}
    environment.filters["topics"] = join_topics
    environment.globals["link"] = link
    return environment


def link(path: str, query: dict[str, str], **more: object) -> str:
    """Return an address on this server.

    >>> link("/model", {"model": "a b"}, before=7)
    '/model?model=a+b&before=7'
    """
    query_string = urlencode({**query, **more})
    return f"{path}?{query_string}" if query_string else path


def wants_part(request: Request) -> bool:
    """True if a script requests part of the page."""
    return _PART in request.headers


# Login --------------------------------------------------------------------------------------------


async def show_login(request: Request, status: int = 200, problem: str = "") -> Response:
    """Show the login form."""
    needs_token = bool(web_state(request).settings.tokens)
    values = {"title": "Log in", "problem": problem, "needs_token": needs_token}
    return render_page(request, "login.html.j2", status=status, **values)


async def log_in(request: Request) -> Response:
    """Set the login cookie if the token is valid."""
    token = (await read_form(request, SMALL_FORM)).get("token", "").strip()
    response = accept_token(request, token)
    return response or await show_login(request, 403, "This token is not valid.")


# Errors -------------------------------------------------------------------------------------------

Handler = Callable[[Request], Awaitable[Response]]


def show_problems(handler: Handler) -> Handler:
    """Wrap a handler to show errors as a page, or as the part that a script requested."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - like `web.guard.Guard`
            template = "problem.html.j2" if wants_part(request) else "error.html.j2"
            return _show_problem(request, to_problem(error, request.scope), template)

    return handle


def problem_page(scope: Scope, problem: HttpProblem) -> Response:
    """Return an error page without navigation, for `web.guard.Guard`."""
    return _show_problem(Request(scope), problem, "error.html.j2", has_nav=False)


def to_sentence(problem: HttpProblem) -> str:
    """Return the detail of a problem as a sentence."""
    return problem.detail[:1].upper() + problem.detail[1:]


def _show_problem(
    request: Request, problem: HttpProblem, template: str, *, has_nav: bool = True
) -> Response:
    title = HTTPStatus(problem.status).phrase
    values = {"message": to_sentence(problem), "title": title, "has_nav": has_nav}
    response = render_page(request, template, status=problem.status, **values)
    response.headers.update(problem.headers)
    return response


# Wording of errors ------------------------------------------------------------------------------

# The page's words for parameters; it has no field for the format.
_WORDS = {
    IS_NEW: "tick the box below",
    LEAVE_ENCODING_OUT: "choose “as found”",
    OR_NAME_THE_FORMAT: "",
}
# Form fields, and items of the field `topics`.
_FIELDS = {
    "text": "the text",
    "topic": "the topic",
    "topics": "the list of topics",
    "topics[": "a topic",
    "who": "the name",
}


def word_error(error: SluglineError) -> str:
    """Return an error message with the page's words for parameters."""
    if isinstance(error, LimitError) and error.index is not None:
        return error.describe("the text ")  # the page sends one at a time
    return Message(*error.parts).render(_word)


def _word(parameter: Parameter) -> str:
    if parameter in _WORDS:
        return _WORDS[parameter]
    name, bracket, _ = parameter.name.partition("[")
    return _FIELDS.get(name + bracket, str(parameter))
