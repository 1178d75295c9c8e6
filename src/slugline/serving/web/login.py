"""Checks typed tokens and sets login cookies."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from slugline.serving.web.guard import COOKIE, is_among, token_cookie
from slugline.serving.web.state import app_state, client_address

# Lifetime of the login cookie in seconds.
_MONTH = 30 * 24 * 3600


def accept_token(request: Request, token: str) -> Response | None:
    """Return a response that sets the login cookie, or None if the token is invalid.

    Raises HttpProblem 429 if the address has sent too many wrong tokens.
    """
    state = app_state(request)
    if not is_among(
        token.encode(), [accepted.secret.encode() for accepted in state.settings.accepted_tokens]
    ):
        address = client_address(request.scope)
        state.failed_tries.check(address)
        state.failed_tries.add(address)
        return None
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE,
        token_cookie(token),
        max_age=_MONTH,
        httponly=True,
        # With "strict", following a link to the page would require a new login. The guard
        # rejects cross-site requests.
        samesite="lax",
        # Set by the proxy that adds TLS. Forging it affects only the sender's cookie.
        secure=request.headers.get("x-forwarded-proto", "").lower() == "https",
    )
    return response


async def log_out(request: Request) -> Response:  # noqa: ARG001
    """Delete the login cookie."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response
