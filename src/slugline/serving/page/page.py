"""Templates, filled in."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from slugline._version import __version__
from slugline.base.html import template_environment
from slugline.base.words import counted
from slugline.explain.explanation import STYLE
from slugline.reports.page import percent, shorten, typeset
from slugline.serving.http.api import find_model
from slugline.serving.http.bodies import Problem, body_type, read_body
from slugline.serving.http.guard import COOKIE, cookie_of, is_among, problem_of
from slugline.serving.http.settings import state_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.types import Scope

    from slugline.serving.model import ServedModel

__all__ = [
    "STATIC",
    "Handler",
    "chosen_model",
    "for_people",
    "in_full",
    "log_in",
    "page",
    "part",
    "problem_page",
    "read_form",
    "show_login",
    "static_file",
    "wants_part",
]


# The style sheet and the script, under names that change when they do -----------------------------

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def _read() -> dict[str, bytes]:
    here = files("slugline.serving.page")
    colours = files("slugline.reports").joinpath("templates", "colours.css").read_text("utf-8")
    style = here.joinpath("page.css").read_text("utf-8")
    return {
        "page.css": "\n".join((colours, style, STYLE)).encode(),
        "page.js": here.joinpath("page.js").read_bytes(),
    }


_FILES: dict[str, bytes] = {}
#: The address of each file by its name.
STATIC: dict[str, str] = {}
for _name, _content in _read().items():
    _stem, _, _kind = _name.partition(".")
    _address = f"/static/{_stem}-{hashlib.sha256(_content).hexdigest()[:16]}.{_kind}"
    _FILES[_address], STATIC[_name] = _content, _address


async def static_file(request: Request) -> Response:
    """Send a file, which a browser may keep for ever."""
    address = request.scope["path"]
    content = _FILES.get(address)
    if content is None:
        raise Problem(404, f"there is nothing at {address[:200]}; load the page again.")
    tag = f'"{address}"'
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[address.rpartition(".")[2]])


# Templates, filled in -----------------------------------------------------------------------------

#: What a script sends along that wants a part of a page.
PART = "x-part"
_TABS = (
    ("/", "Classify"),
    ("/table", "Table"),
    ("/model", "Model"),
    ("/corrections", "Corrections"),
)


def chosen_model(request: Request) -> ServedModel:
    """Return the model that the address names, or the first.

    Raises
    ------
    Problem : 404 if there is none of that name.
    """
    return find_model(request, request.query_params.get("model"))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a whole page as a response.

    Parameters
    ----------
    request : Request
    template : str
        A file name in `templates`.
    status : int, default 200
    **values : what the template refers to; text is escaped.
    """
    return _filled(request, template, status, values)


def part(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a part of a page, which a script puts into its place; see `page`."""
    return _filled(request, template, status, values)


def _filled(request: Request, template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    state = state_of(request)
    model = getattr(request.state, "model", None) or state.models.default
    models = state.models.all()
    shared = {
        "model": model,
        "models": models,
        "tabs": _TABS,
        "path": request.scope["path"],
        "takes_corrections": state.store is not None,
        "static": STATIC,
        "query": _query(model, models),
        "version": __version__,
    }
    text = _environment().get_template(template).render(shared | values)
    return HTMLResponse(_whole(text), status)


def _percent(share: float) -> str:
    r"""Return a share as a whole percentage; a small one is not nothing.

    >>> _percent(0.982), _percent(0.004), _percent(0.0)
    ('98\xa0%', '<\xa01\xa0%', '0\xa0%')
    """
    if 0 < share < 0.005:
        return "<\xa01\xa0%"
    return typeset(percent(share, 0))


def _whole(text: str) -> bytes:
    """Return UTF-8; a file may have held halves of characters, which have none."""
    return text.encode("utf-8", "replace")


def _query(model: ServedModel, models: list[ServedModel]) -> dict[str, str]:
    """Return what links have to say, so that they stay with the model."""
    return {} if model is models[0] else {"model": model.name}


@functools.cache
def _environment() -> Environment:
    environment = template_environment("slugline.serving.page")
    environment.filters |= {
        "counted": counted,
        "percent": _percent,
        "shortened": shorten,
    }
    environment.globals["link"] = link
    return environment


def link(path: str, query: dict[str, str], **more: object) -> str:
    """Return an address on this server.

    >>> link("/model", {"model": "a b"}, before=7)
    '/model?model=a+b&before=7'
    """
    from urllib.parse import urlencode

    found = urlencode({**query, **more})
    return f"{path}?{found}" if found else path


# Forms as browsers send them, and what goes wrong, as people read it ------------------------------

Handler = Callable[[Request], Awaitable[Response]]

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20


def wants_part(request: Request) -> bool:
    """Return whether a script asks, which puts the answer into its place by itself."""
    return PART in request.headers


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises
    ------
    Problem : 415 if it is no form, 400 if it has too many fields, and those of `read_body`.
    """
    kind = body_type(request)
    if kind != _FORM:
        raise Problem(415, f"a form was expected, and the body is of type {kind[:100]!r}.")
    settings = state_of(request).settings
    body = await read_body(request, settings.max_body, settings.timeout)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem(400, "the form can't be read; load the page again.") from None
    # Browsers send each line break as two characters, however it was pasted.
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def for_people(handler: Handler) -> Handler:
    """Let a handler's problems be shown on a page, or in the part that a script asked for."""

    @functools.wraps(handler)
    async def shown(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - as the guard does
            return _shown(request, problem_of(error, request.scope))

    return shown


def problem_page(scope: Scope, problem: Problem) -> Response:
    """Return a page for people to whom not even a page was shown; it says nothing else."""
    title = HTTPStatus(problem.status).phrase
    values: dict[str, Any] = {"said": in_full(problem), "title": title, "has_nav": False}
    found = page(Request(scope), "error.html.j2", status=problem.status, **values)
    found.headers.update(problem.headers)
    return found


def in_full(problem: Problem) -> str:
    """Return what a problem says, as a sentence."""
    return problem.detail[:1].upper() + problem.detail[1:]


def _shown(request: Request, problem: Problem) -> Response:
    said = in_full(problem)
    if wants_part(request):
        found = part(request, "problem.html.j2", status=problem.status, said=said)
    else:
        title = HTTPStatus(problem.status).phrase
        found = page(
            request, "error.html.j2", status=problem.status, said=said, title=title, has_nav=True
        )
    found.headers.update(problem.headers)
    return found


# The form that asks for a token, where one is needed ----------------------------------------------

# Seconds for which a browser is known.
_MONTH = 30 * 24 * 3600


async def show_login(request: Request) -> Response:
    """Ask for a token."""
    return _form(request)


async def log_in(request: Request) -> Response:
    """Let a browser in that sends one of the tokens: it gets a cookie that shows so."""
    tokens = state_of(request).settings.tokens
    given = (await read_form(request)).get("token", "").strip()
    if not is_among(given.encode(), [token.encode() for token in tokens]):
        return _form(request, 403, "That is none of this server’s tokens.")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        cookie_of(given),
        max_age=_MONTH,
        httponly=True,
        # Not "strict", with which whoever follows a link to the page would be asked again; that
        # other sites' pages can't use it, the guard sees to.
        samesite="lax",
        # Who forges this only harms himself.
        secure=request.headers.get("x-forwarded-proto") == "https",
    )
    return answer


def _form(request: Request, status: int = 200, problem: str = "") -> Response:
    return page(
        request,
        "login.html.j2",
        status=status,
        title="A token, please",
        problem=problem,
        needs_token=bool(state_of(request).settings.tokens),
    )
