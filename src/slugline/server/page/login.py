"""The form that asks for a token, where one is needed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.server.guard import COOKIE, cookie_of, is_among
from slugline.server.page.forms import read_form
from slugline.server.page.rendering import page
from slugline.server.state import state_of

__all__ = ["log_in", "show_login"]

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
