"""Middleware for every request: hosts, origins, tokens, load, headers, errors; login cookies."""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import ipaddress
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response

from slugline.serving.service import Call
from slugline.serving.service_errors import BusyError
from slugline.serving.web.bodies import SMALL_FORM, content_length
from slugline.serving.web.problems import HttpProblem, problem_response, request_path, to_problem
from slugline.serving.web.state import app_state, client_address

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from slugline.serving.web.state import AppState


_log = logging.getLogger("slugline.server")

#: Name of the login cookie.
COOKIE = "slugline"
#: Health checks: answered for any host and without a token, even under load.
_PROBES = frozenset(("/health", "/ready"))
#: Served without a token: the login form and the static files.
_LOGIN, _STATIC = "/login", "/static/"
#: Paths that receive a file.
_FILES = "/table/"
# Maximum memory or disk for bodies, in multiples of the maximum body size.
_MAX_BODIES = 3

# Browsers load, run and send only to this server, and other pages can't frame it.
_HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # "no-referrer" would make browsers omit the Origin of the page's own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
# Static files have a hash in their name and set their own Cache-Control.
_NO_STORE = (b"cache-control", b"no-store")


class Guard:
    """Checks each request before `app`, counts it, and turns errors into responses.

    Stores a `call` in the request's state, with an id and the token's name as the person. `show`
    renders error pages for people; programs get JSON.
    """

    def __init__(
        self, app: ASGIApp, state: AppState, show: Callable[[Scope, HttpProblem], Response]
    ) -> None:
        self._app, self._state, self._show = app, state, show
        settings = state.settings
        self._hosts = {name.lower() for name in ("localhost", *settings.allowed_hosts)}
        tokens = settings.accepted_tokens
        self._tokens = {token.secret.encode(): token.name for token in tokens}
        self._cookies = {token_cookie(t.secret).encode(): t.name for t in tokens}
        # Limit on a body, and total size of bodies in flight. Uploaded tables are stored on disk.
        self._max_bytes = {"memory": settings.max_body, "disk": settings.max_file}
        self._n_bytes = {"memory": 0, "disk": 0}
        self._n_running = 0
        # Ids aren't secret. A system call for each would release the GIL and then compete with
        # classification threads for it.
        self._rng = random.Random()  # noqa: S311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, functools.partial(_receive_lifespan, receive), send)
            return
        started = time.perf_counter()
        request_id = f"{self._rng.getrandbits(64):016x}"
        # For `app_state`; without it, Starlette's router would answer unknown paths itself.
        scope["app"] = self._state
        headers = dict(scope["headers"])  # the last value of duplicates
        call = Call(id=request_id, is_local=b"x-forwarded-for" not in headers)
        scope["state"] = {"call": call}
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id, scope)
            await send(message)

        storage = "disk" if scope["path"].startswith(_FILES) else "memory"
        max_bytes = self._max_bytes[storage]
        n_bytes = _expected_bytes(headers, SMALL_FORM if scope["path"] == _LOGIN else max_bytes)
        self._n_running += 1
        self._n_bytes[storage] += n_bytes
        try:
            is_full = self._n_bytes[storage] > _MAX_BODIES * max_bytes
            self._check(scope, headers, is_full=is_full)
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            problem = to_problem(error, scope)
            if status:  # the response has already started
                raise
            response = problem_response(problem, request_id)
            if _is_page_view(scope):
                response = self._show(scope, problem)
            await response(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # if it propagated, the server would log a traceback
            _log.warning("request %s to %s was cancelled", request_id, request_path(scope))
        finally:
            self._n_bytes[storage] -= n_bytes
            self._n_running -= 1
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a finished request and log it if enabled."""
        call = scope["state"]["call"]
        self._state.count_request(scope, status, seconds)
        if self._state.settings.log_requests or self._state.settings.log_texts:
            line = "%s %s %d %.1f ms, %s"
            parts = scope["method"], request_path(scope), status, 1000 * seconds, call.id
            _log.info(line, *parts, extra={"request_id": call.id})

    def _check(self, scope: Scope, headers: dict[bytes, bytes], *, is_full: bool) -> None:
        """Raise an HttpProblem if a request must be rejected, such as when memory `is_full`."""
        if scope["path"] in _PROBES:
            return
        host = headers.get(b"host", b"").decode("latin-1")
        try:
            if not self._is_ours(host):
                raise HttpProblem(
                    421,
                    f"this server is not called {host[:100]!r}; use its address, or start it with "
                    "--allowed-host.",
                )
            _check_origin(headers, host, scope["method"])
            is_open = scope["path"] == _LOGIN or scope["path"].startswith(_STATIC)
            if self._tokens and not is_open:
                self._check_token(scope, headers)
        except HttpProblem as problem:
            problem.headers["Connection"] = "close"  # the body is left unread
            raise
        if is_full or self._n_running > self._state.settings.max_waiting:
            raise BusyError

    def _is_ours(self, host: str) -> bool:
        """True if the host name is the server's own, to prevent DNS rebinding."""
        name = _without_port(host)
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True  # numeric addresses can't be rebound

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Raise an HttpProblem unless the request has a valid token.

        Valid tokens are accepted first, so that wrong ones from a shared address, such as a proxy,
        lock nobody out.
        """
        header = headers.get(b"authorization", b"")
        cookies = cookie_parser(headers.get(b"cookie", b"").decode("latin-1"))
        for candidate, accepted in (
            (_sent_token(header), self._tokens),
            (cookies.get(COOKIE, "").encode(), self._cookies),
        ):
            if is_among(candidate, accepted):
                scope["state"]["call"].person = accepted[candidate]
                return
        if header:
            self._state.failed_tries.add(client_address(scope))
        if _is_page_view(scope):
            raise HttpProblem(303, "log in first.", headers={"Location": _LOGIN})
        raise HttpProblem(
            401,
            "a token is required, as in `Authorization: Bearer ...`"
            + ("; this one is not valid." if header else "."),
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _add_headers(self, message: Message, request_id: str, scope: Scope) -> None:
        message["headers"] += _HEADERS
        if not scope["path"].startswith(_STATIC) or message["status"] >= 400:
            message["headers"].append(_NO_STORE)
        message["headers"].append((b"x-request-id", request_id.encode()))
        message["headers"] += self._state.response_headers(scope["state"]["call"])


async def _receive_lifespan(receive: Receive) -> Message:
    """Receive a lifespan message. Cancellation, at the end of the grace period, means shutdown."""
    try:
        return await receive()
    except asyncio.CancelledError:
        return {"type": "lifespan.shutdown"}


def _sent_token(header: bytes) -> bytes:
    """Return the token in an Authorization header, or empty bytes.

    Programs limited to user names and passwords send it as the password.

    >>> _sent_token(b"Bearer 0123456789abcdef"), _sent_token(b"Basic YW5uYTowMTIzNDU2Nzg5YWJjZGVm")
    (b'0123456789abcdef', b'0123456789abcdef')
    """
    kind, _, value = header.partition(b" ")
    if kind.lower() == b"bearer":
        return value.strip()
    if kind.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def token_cookie(token: str) -> str:
    """Return the cookie for a token; it doesn't reveal the token."""
    return hmac.new(token.encode(), b"slugline page", hashlib.sha256).hexdigest()


def is_among(candidate: bytes, tokens: Iterable[bytes]) -> bool:
    """Check in constant time whether a token is valid."""
    return sum(hmac.compare_digest(candidate, token) for token in tokens) > 0


def _is_page_view(scope: Scope) -> bool:
    """True if a browser will show the response as a page; False for scripts and programs."""
    if scope["path"].startswith("/v1/"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _check_origin(headers: dict[bytes, bytes], host: str, method: str) -> None:
    """Raise an HttpProblem for cross-site requests, except followed links."""
    origin = headers.get(b"origin")
    is_foreign = origin is not None and _host_of(origin.decode("latin-1")) != host.lower()
    is_link = method in ("GET", "HEAD") and headers.get(b"sec-fetch-mode") == b"navigate"
    if is_foreign or (headers.get(b"sec-fetch-site") == b"cross-site" and not is_link):
        raise HttpProblem(403, "requests from other sites' pages are not allowed.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """Return a host in lower case without the port.

    >>> _without_port("LOCALHOST:8080"), _without_port("[::1]:80"), _without_port("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdecimal() else host.lower()


def _expected_bytes(headers: dict[bytes, bytes], max_bytes: int) -> int:
    """Return the expected body size; the limit if the headers don't give it."""
    if b"transfer-encoding" in headers:
        return max_bytes
    claimed = content_length(headers.get(b"content-length", b"0").decode("latin-1"))
    return max_bytes if claimed is None else min(claimed, max_bytes)


# Login --------------------------------------------------------------------------------------------

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
        state.failed_tries.add(client_address(request.scope))
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
