"""Forms as browsers send them, and what goes wrong, as people read it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from slugline.server.bodies import body_type, read_body
from slugline.server.guard import problem_of
from slugline.server.page.rendering import PART, page, part
from slugline.server.problems import Problem
from slugline.server.state import state_of

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["Handler", "for_people", "in_full", "problem_page", "read_form", "wants_part"]

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
