"""The middleware for every request: hosts, origins, tokens, load, headers, errors and metrics."""

from __future__ import annotations

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

from starlette.requests import cookie_parser

from slugline.serving.service import Call
from slugline.serving.service_errors import BusyError
from slugline.serving.web.bodies import SMALL_FORM, content_length
from slugline.serving.web.problems import HttpProblem, problem_response, request_path, to_problem
from slugline.serving.web.state import client_address

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from slugline.serving.web.state import AppState


_log = logging.getLogger("slugline.server")

#: Name of the cookie of a browser that has given a token.
COOKIE = "slugline"
#: Health checks: answered for any host, without a token, even under load.
_PROBES = frozenset(("/health", "/ready"))
#: Answered without a token: the form that asks for one, and its style sheet and script.
_LOGIN, _STATIC = "/login", "/static/"
#: Paths that take a file.
_FILES = "/table/"
# Bodies of the largest size that are held at a time.
_MAX_BODIES = 3

# The browser loads, runs and sends only to this server, and no other page may frame it.
_HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With "no-referrer", browsers would leave out the Origin of the page's own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
# Static files have a hash in their names, and set their own Cache-Control.
_NO_STORE = (b"cache-control", b"no-store")


class _Load:
    """Bytes of the requests that are being answered, each of which may have `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._n_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether they take more memory or disk than they may together."""
        return self._n_bytes > _MAX_BODIES * self.max_bytes

    def add(self, n_bytes: int) -> None:
        """Count the bytes of a request, which are negative once it has been answered."""
        self._n_bytes += n_bytes


class Guard:
    """Checks each request before `app`, counts it, and turns any error into a response.

    The `call` of the request's state has an id, and the name of its token as the person. `show`
    makes an error page for people; programs get JSON.
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
        # Bodies are held in memory, files of tables on disk.
        self._bodies, self._files = _Load(settings.max_body), _Load(settings.max_file)
        self._n_running = 0
        # Ids are no secrets. A call of the system for each would release the interpreter's lock,
        # and wait for threads that classify to get it back.
        self._rng = random.Random()  # noqa: S311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = f"{self._rng.getrandbits(64):016x}"
        # For `app_state`; without it, Starlette's router would answer to unknown paths itself.
        scope["app"] = self._state
        scope["state"] = {"call": Call(id=request_id)}
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id, scope)
            await send(message)

        headers = dict(scope["headers"])  # of two with one name, the last one
        load = self._files if scope["path"].startswith(_FILES) else self._bodies
        max_bytes = SMALL_FORM if scope["path"] == _LOGIN else load.max_bytes
        n_bytes = _expected_bytes(headers, max_bytes)
        self._n_running += 1
        load.add(n_bytes)
        try:
            self._check(scope, headers, is_full=load.is_full)
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            problem = to_problem(error, scope)
            if status:  # part of the response is sent already
                raise
            response = problem_response(problem, request_id)
            if _is_page_view(scope):
                response = self._show(scope, problem)
            await response(scope, receive, send_with_headers)
        finally:
            load.add(-n_bytes)
            self._n_running -= 1
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that has ended, and log it if the settings say so."""
        call = scope["state"]["call"]
        self._state.count_request(scope, status, seconds)
        if self._state.settings.log_requests or self._state.settings.log_texts:
            line = "%s %s %d %.1f ms, %s"
            parts = scope["method"], request_path(scope), status, 1000 * seconds, call.id
            _log.info(line, *parts, extra={"request_id": call.id})

    def _check(self, scope: Scope, headers: dict[bytes, bytes], *, is_full: bool) -> None:
        """Raise an HttpProblem if a request must not be answered, such as when memory `is_full`."""
        if scope["path"] in _PROBES:
            return
        host = headers.get(b"host", b"").decode("latin-1")
        try:
            if not self._is_ours(host):
                raise HttpProblem(
                    421,
                    f"this server is not called {host[:100]!r}; ask by its address, or start it "
                    "with --allowed-host.",
                )
            _check_origin(headers, host, scope["method"])
            is_open = scope["path"] == _LOGIN or scope["path"].startswith(_STATIC)
            if self._tokens and not is_open:
                self._check_token(scope, headers)
        except HttpProblem as problem:
            problem.headers["Connection"] = "close"  # the body is not read
            raise
        if is_full or self._n_running > self._state.settings.max_waiting:
            raise BusyError

    def _is_ours(self, host: str) -> bool:
        """Whether a host name is the server's own; other sites may point here (DNS rebinding).

        Numeric addresses can't be redirected.
        """
        name = _without_port(host)
        return name in self._hosts or _is_address(name.strip("[]"))

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Raise an HttpProblem if there is no valid token.

        Right tokens are accepted first, so that wrong ones from the same address, such as that of a
        proxy, lock nobody out.
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
            address = client_address(scope, self._state.settings)
            self._state.failed_tries.check(address)
            self._state.failed_tries.add(address)
        if _is_page_view(scope):
            raise HttpProblem(303, "give a token first.", headers={"Location": _LOGIN})
        raise HttpProblem(
            401,
            "a token is needed, as in `Authorization: Bearer ...`"
            + ("; this one is not valid here." if header else "."),
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _add_headers(self, message: Message, request_id: str, scope: Scope) -> None:
        message["headers"] += _HEADERS
        if not scope["path"].startswith(_STATIC) or message["status"] >= 400:
            message["headers"].append(_NO_STORE)
        message["headers"].append((b"x-request-id", request_id.encode()))
        message["headers"] += self._state.response_headers(scope["state"]["call"])


@functools.lru_cache(16)  # names come from anybody
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _sent_token(header: bytes) -> bytes:
    """Return the token of an Authorization header; empty if there is none.

    Programs that know names and passwords alone, such as Label Studio, send it as the password.

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
    """Return the cookie of a token, from which the token can't be derived."""
    return hmac.new(token.encode(), b"slugline page", hashlib.sha256).hexdigest()


def is_among(candidate: bytes, tokens: Iterable[bytes]) -> bool:
    """Whether a token is among others, in constant time."""
    return sum(hmac.compare_digest(candidate, token) for token in tokens) > 0


def _is_page_view(scope: Scope) -> bool:
    """Whether a browser shows the response as a page, rather than a script or program using it."""
    if scope["path"].startswith("/v1/"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _check_origin(headers: dict[bytes, bytes], host: str, method: str) -> None:
    """Raise an HttpProblem for requests from other sites, except links that a person follows."""
    origin = headers.get(b"origin")
    is_foreign = origin is not None and _host_of(origin.decode("latin-1")) != host.lower()
    is_link = method in ("GET", "HEAD") and headers.get(b"sec-fetch-mode") == b"navigate"
    if is_foreign or (headers.get(b"sec-fetch-site") == b"cross-site" and not is_link):
        raise HttpProblem(403, "pages of other sites can't use this server.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """Return a host in lower case, without its port.

    >>> _without_port("LOCALHOST:8080"), _without_port("[::1]:80"), _without_port("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdecimal() else host.lower()


def _expected_bytes(headers: dict[bytes, bytes], max_bytes: int) -> int:
    """Return the bytes of memory that a request will take; the limit if its headers don't say."""
    if b"transfer-encoding" in headers:
        return max_bytes
    claimed = content_length(headers.get(b"content-length", b"0").decode("latin-1"))
    return max_bytes if claimed is None else min(claimed, max_bytes)
