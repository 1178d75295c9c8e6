"""The middleware of every request: hosts, origins, tokens, load, headers, errors and metrics."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser

from slugline.errors import SluglineError, StoreError
from slugline.serving.http.batches import PAGE
from slugline.serving.http.bodies import (
    SMALL_FORM,
    HttpProblem,
    busy_problem,
    content_length,
    problem_response,
)
from slugline.serving.http.state import client_address
from slugline.serving.model import UnknownModelError

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from slugline.serving.http.state import AppState


_log = logging.getLogger("slugline.server")

#: Holds what shows that a browser has given a token.
COOKIE = "slugline"
#: What tells whether it works: for whoever asks, by whatever name, and however much else there is.
_PROBES = frozenset(("/health", "/ready"))
#: What anybody may see: the form that asks for a token, and the folder of what it looks like.
_LOGIN, _STATIC = "/login", "/static/"
#: Where files are sent.
_FILES = "/table/"
# Bodies of the largest size that are held at a time.
_MOST_BODIES = 3

# Nothing but what the server itself sends is shown, run or asked for, and no other page frames it.
_HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With "no-referrer", browsers would not say that our own forms come from here.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
# Files of the page change their name whenever they change, and say themselves how long they stay.
_NO_STORE = (b"cache-control", b"no-store")


class Guard:
    """Checks each request before `app`, counts it, and turns any error into a response.

    `person` of the request's state is the name of its token, or None.

    `show` makes an error page for people; programs get JSON.
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
        self._n_running, self._n_bytes = 0, {settings.max_body: 0, settings.max_file: 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = secrets.token_hex(8)
        scope["app"] = self._state
        scope["state"] = {"request_id": request_id, "person": None}
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id, scope)
            await send(message)

        metrics = self._state.metrics
        headers = dict(scope["headers"])  # of two of a name, the last one
        settings = self._state.settings
        most = settings.max_file if scope["path"].startswith(_FILES) else settings.max_body
        n_bytes = _expected_bytes(headers, SMALL_FORM if scope["path"] == _LOGIN else most)
        self._n_running += 1
        self._n_bytes[most] += n_bytes
        try:
            try:
                self._check(scope, headers, self._n_bytes[most] > _MOST_BODIES * most)
                await self._app(scope, receive, send_with_headers)
            except Exception as error:
                problem = to_problem(error, scope)
                if status:  # what streams has been answered in part
                    raise
                response = problem_response(problem, request_id)
                if _is_reader(scope):
                    response = self._show(scope, problem)
                await response(scope, receive, send_with_headers)
        finally:
            self._n_running -= 1
            self._n_bytes[most] -= n_bytes
            seconds = time.perf_counter() - started
            said = scope["state"]
            model = said["model"].name if "model" in said else ""
            metrics.count_request(said.get("operation", PAGE), model, status)
            metrics.observe("request_duration_seconds", seconds)
            if self._state.settings.log_requests or self._state.settings.log_texts:
                line = "%s %s %d %.1f ms, %s"
                parts = scope["method"], _path(scope), status, 1000 * seconds, request_id
                _log.info(line, *parts, extra={"request_id": request_id})

    def _check(self, scope: Scope, headers: dict[bytes, bytes], is_full: bool) -> None:
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
            problem.headers["Connection"] = "close"  # its body is not waited for
            raise
        if is_full or self._n_running > self._state.settings.max_waiting:
            raise busy_problem()

    def _is_ours(self, host: str) -> bool:
        """Whether a host name is known: a name of another site may point here (DNS rebinding).

        Numeric addresses can't be redirected.
        """
        name = _without_port(host)
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Raise an HttpProblem without a right token.

        Right tokens come first: whoever shares an address with somebody who tries wrong ones, such
        as that of a proxy, isn't locked out.
        """
        header = headers.get(b"authorization", b"")
        kind, _, token = header.partition(b" ")
        cookies = cookie_parser(headers.get(b"cookie", b"").decode("latin-1"))
        bearer = token.strip() if kind.lower() == b"bearer" else b""
        for candidate, accepted in (
            (bearer, self._tokens),
            (cookies.get(COOKIE, "").encode(), self._cookies),
        ):
            if is_among(candidate, accepted):
                scope["state"]["person"] = accepted[candidate]
                return
        if header:
            address = client_address(scope, self._state.settings)
            self._state.failed_tries.check(address)
            self._state.failed_tries.add(address)
        if _is_reader(scope):
            raise HttpProblem(303, "give a token first.", headers={"Location": _LOGIN})
        raise HttpProblem(
            401,
            "a token is needed, as in `Authorization: Bearer ...`"
            + ("; this one is not valid here." if header else "."),
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _add_headers(self, message: Message, request_id: str, scope: Scope) -> None:
        model = scope["state"].get("model") or self._state.models.default
        message["headers"] += _HEADERS
        if not scope["path"].startswith(_STATIC) or message["status"] >= 400:
            message["headers"].append(_NO_STORE)
        message["headers"] += [
            (b"x-request-id", request_id.encode()),
            (b"x-model", model.name.encode("ascii", "backslashreplace")),
            (b"x-model-version", model.digest.encode()),
        ]


def token_cookie(token: str) -> str:
    """Return the cookie of a token, from which the token can't be derived."""
    return hmac.new(token.encode(), b"slugline page", hashlib.sha256).hexdigest()


def is_among(candidate: bytes, tokens: Iterable[bytes]) -> bool:
    """Whether a token is among others; takes the same time however much of it is right."""
    return sum(hmac.compare_digest(candidate, token) for token in tokens) > 0


def _is_reader(scope: Scope) -> bool:
    """Whether a person looks at a page or sends its form, and not a script or program."""
    if scope["path"].startswith("/v1/"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _check_origin(headers: dict[bytes, bytes], host: str, method: str) -> None:
    """Raise an HttpProblem for requests of other sites' pages, but not for links to follow."""
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


def _expected_bytes(headers: dict[bytes, bytes], most: int) -> int:
    """Return how many bytes of memory a request will take; the most, if it doesn't say so."""
    if b"transfer-encoding" in headers:
        return most
    claimed = content_length(headers.get(b"content-length", b"0").decode("latin-1"))
    return most if claimed is None else min(claimed, most)


def _path(scope: Scope) -> str:
    """Return a path as it was sent, without line breaks."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw[:200].decode("ascii", "backslashreplace")


def to_problem(error: Exception, scope: Scope) -> HttpProblem:
    """Return the problem to report for an error; errors of ours are logged as well."""
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, HTTPException):
        return _not_found(error, scope)
    if isinstance(error, StoreError):
        _log.error("corrections can't be kept: %s", error)
        return HttpProblem(503, f"{error}", headers={"Retry-After": "10"})
    if isinstance(error, SluglineError):
        status = 404 if isinstance(error, UnknownModelError) else 422
        return HttpProblem(status, f"{error}", index=getattr(error, "index", None))
    request_id = scope["state"]["request_id"]
    _log.error(
        *("request %s to %s failed", request_id, _path(scope)),
        exc_info=error,
        extra={"request_id": request_id},
    )
    return HttpProblem(500, f"an error that is ours; the log says more under {request_id}.")


def _not_found(error: HTTPException, scope: Scope) -> HttpProblem:
    path = _path(scope)
    if error.status_code == 405:
        detail = f"{path} does not answer {scope['method']}; see /docs."
    else:
        detail = f"there is nothing at {path}; see /docs."
    return HttpProblem(error.status_code, detail, headers=error.headers)
