"""The login: a form for a token, and the cookie of browsers that have sent one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.serving.page.forms import read_form
from slugline.serving.page.rendering import render_page
from slugline.serving.web.bodies import SMALL_FORM
from slugline.serving.web.guard import COOKIE, is_among, token_cookie
from slugline.serving.web.state import client_address, is_https, web_state

# Seconds for which a browser stays logged in.
_MONTH = 30 * 24 * 3600


async def show_login(request: Request) -> Response:
    """Ask for a token."""
    return _show_form(request)


async def log_in(request: Request) -> Response:
    """Set the cookie of a browser that sends one of the tokens."""
    state = web_state(request)
    settings = state.settings
    token = (await read_form(request, SMALL_FORM)).get("token", "").strip()
    if not is_among(
        token.encode(), [accepted.secret.encode() for accepted in settings.accepted_tokens]
    ):
        address = client_address(request.scope, settings)
        state.failed_tries.check(address)
        state.failed_tries.add(address)
        return _show_form(request, 403, "This token is not valid here.")
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE,
        token_cookie(token),
        max_age=_MONTH,
        httponly=True,
        # With "strict", people who follow a link to the page would be asked again. The guard
        # rejects cross-site requests.
        samesite="lax",
        secure=is_https(request.scope, settings),
    )
    return response


async def log_out(request: Request) -> Response:  # noqa: ARG001
    """Delete the cookie of a browser."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _show_form(request: Request, status: int = 200, problem: str = "") -> Response:
    return render_page(
        request,
        "login.html.j2",
        status=status,
        title="A token, please",
        problem=problem,
        needs_token=bool(web_state(request).settings.tokens),
    )
