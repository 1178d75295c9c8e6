"""What all pages share: static files, templates, forms, error pages and the login."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from slugline._version import __version__
from slugline.base.html import style_sheet, template_environment
from slugline.base.wording import counted, whole_percent
from slugline.corpus.topic_sets import join_topics
from slugline.explanation.explanation import STYLE
from slugline.reports.page import shorten
from slugline.serving.http.api import find_model
from slugline.serving.http.bodies import SMALL_FORM, HttpProblem, body_type, parse_form, read_body
from slugline.serving.http.guard import COOKIE, is_among, to_problem, token_cookie
from slugline.serving.http.state import app_state, client_address, is_https

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.types import Scope

    from slugline.serving.model import ServedModel


# Static files -------------------------------------------------------------------------------------

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def _read() -> dict[str, bytes]:
    folder = files("slugline.serving.page")
    style = folder.joinpath("page.css").read_text("utf-8")
    return {
        "page.css": "\n".join((style_sheet("colours.css", "answer.css"), style, STYLE)).encode(),
        "page.js": folder.joinpath("page.js").read_bytes(),
    }


def _address(name: str, content: bytes) -> str:
    stem, _, kind = name.partition(".")
    return f"/static/{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{kind}"


#: The address of each file by its name.
STATIC = {name: _address(name, content) for name, content in _read().items()}
_FILES = {STATIC[name]: content for name, content in _read().items()}


async def static_file(request: Request) -> Response:
    """Send a file, which a browser may cache for ever."""
    address = request.scope["path"]
    content = _FILES.get(address)
    if content is None:
        raise HttpProblem(404, f"there is nothing at {address[:200]}; load the page again.")
    tag = f'"{address}"'
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[address.rpartition(".")[2]])


# Templates ----------------------------------------------------------------------------------------

#: What a script sends along that wants a part of a page.
PART = "x-part"
_TABS = {"/": "Classify", "/table": "Table", "/model": "Model", "/corrections": "Corrections"}


def chosen_model(request: Request) -> ServedModel:
    """Return the model that the address names, or the first; HttpProblem 404 if there is none."""
    return find_model(request, request.query_params.get("model"))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page, or a part of one that a script inserts, from a template with values.

    Their text is escaped.
    """
    state = app_state(request)
    model = getattr(request.state, "model", None) or state.models.default
    models = state.models.all()
    shared = {
        "model": model,
        "models": models,
        "tabs": _TABS.items(),
        "path": request.scope["path"],
        "takes_corrections": state.store is not None and not model.fitted.columns,
        "static": STATIC,
        # Of links that stay with the model.
        "query": {} if model is models[0] else {"model": model.name},
        "version": __version__,
        "has_tokens": bool(state.settings.tokens),
        # The name of the token, if it has one.
        "person": getattr(request.state, "person", None),
    }
    text = _environment().get_template(template).render(shared | values)
    # Files may have lone surrogates, and HTML no NUL.
    return HTMLResponse(text.replace("\0", "\ufffd").encode("utf-8", "replace"), status)


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


# Forms and errors ---------------------------------------------------------------------------------

Handler = Callable[[Request], Awaitable[Response]]

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20
# Bytes of each field beside those.
_FIELD_BYTES = 1 << 10


def wants_part(request: Request) -> bool:
    """Whether a script asks for a part of the page."""
    return PART in request.headers


async def read_form(
    request: Request, most: int | None = None, *, n_more: int = 0
) -> ImmutableMultiDict[str, str]:
    """Return the fields of a form.

    Parameters
    ----------
    request : Request
    most : int, optional
        Bytes that it may have; by default as many as one with a text.
    n_more : int, default 0
        Further fields, such as one for each column beside the text.

    Raises
    ------
    HttpProblem : 415 if it is no form, 400 if it has too many fields, and those of `read_body`.
    """
    kind = body_type(request)
    if kind != _FORM:
        raise HttpProblem(415, f"a form was expected, and the body is of type {kind[:100]!r}.")
    state = app_state(request)
    most = state.settings.max_form + n_more * _FIELD_BYTES if most is None else most
    body = await read_body(request, most, state.settings.timeout)
    n_fields = _MOST_FIELDS + n_more
    if len(body) <= SMALL_FORM:  # escapes take long
        return ImmutableMultiDict(parse_form(body, n_fields))
    return ImmutableMultiDict(await state.run(parse_form, body, n_fields))


def show_problems(handler: Handler) -> Handler:
    """Return a handler that shows its problems on a page, or in the part of a script."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - as the guard does
            template = "problem.html.j2" if wants_part(request) else "error.html.j2"
            return _show_problem(request, to_problem(error, request.scope), template)

    return handle


def problem_page(scope: Scope, problem: HttpProblem) -> Response:
    """Return an error page without navigation, as the guard shows it."""
    return _show_problem(Request(scope), problem, "error.html.j2", has_nav=False)


def to_sentence(problem: HttpProblem) -> str:
    """Return the detail of a problem as a sentence."""
    return problem.detail[:1].upper() + problem.detail[1:]


def _show_problem(
    request: Request, problem: HttpProblem, template: str, *, has_nav: bool = True
) -> Response:
    title = HTTPStatus(problem.status).phrase
    values = {"message": to_sentence(problem), "title": title, "has_nav": has_nav}
    response = page(request, template, status=problem.status, **values)
    response.headers.update(problem.headers)
    return response


# Login --------------------------------------------------------------------------------------------

# Seconds for which a browser is known.
_MONTH = 30 * 24 * 3600


async def show_login(request: Request) -> Response:
    """Ask for a token."""
    return _form(request)


async def log_in(request: Request) -> Response:
    """Set the cookie of a browser that sends one of the tokens."""
    state = app_state(request)
    settings = state.settings
    token = (await read_form(request, SMALL_FORM)).get("token", "").strip()
    if not is_among(
        token.encode(), [accepted.secret.encode() for accepted in settings.accepted_tokens]
    ):
        address = client_address(request.scope, settings)
        state.failed_tries.check(address)
        state.failed_tries.add(address)
        return _form(request, 403, "This token is not valid here.")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        token_cookie(token),
        max_age=_MONTH,
        httponly=True,
        # Not "strict", with which whoever follows a link to the page would be asked again; that
        # other sites' pages can't use it, the guard sees to.
        samesite="lax",
        secure=is_https(request.scope, settings),
    )
    return answer


async def log_out(request: Request) -> Response:  # noqa: ARG001
    """Delete the cookie of a browser."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _form(request: Request, status: int = 200, problem: str = "") -> Response:
    return page(
        request,
        "login.html.j2",
        status=status,
        title="A token, please",
        problem=problem,
        needs_token=bool(app_state(request).settings.tokens),
    )
