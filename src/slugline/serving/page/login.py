"""The login form."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.page.rendering import render_page
from slugline.serving.web.bodies import SMALL_FORM, read_form
from slugline.serving.web.guard import accept_token
from slugline.serving.web.state import web_state


async def show_login(request: Request) -> Response:
    """Show the login form."""
    return _show_form(request)


async def log_in(request: Request) -> Response:
    """Set the login cookie if the token is valid."""
    token = (await read_form(request, SMALL_FORM)).get("token", "").strip()
    response = accept_token(request, token)
    return response or _show_form(request, 403, "This token is not valid.")


def _show_form(request: Request, status: int = 200, problem: str = "") -> Response:
    return render_page(
        request,
        "login.html.j2",
        status=status,
        title="Log in",
        problem=problem,
        needs_token=bool(web_state(request).settings.tokens),
    )
