"""State shared by the handlers of a process, and timeouts for service calls."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar

from slugline.serving.metrics import PAGE
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.service import Call, Service
from slugline.serving.web.problems import HttpProblem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

_T = TypeVar("_T")

# State --------------------------------------------------------------------------------------------


class FailedTries:
    """Wrong tokens by client address.

    After `max_tries` wrong tokens, an address must wait until `seconds` after the first one. Only
    the latest `n_addresses` addresses are remembered.
    """

    def __init__(
        self,
        max_tries: int = 10,
        seconds: float = 60,
        n_addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_tries, self._seconds, self._n_addresses = max_tries, seconds, n_addresses
        self._clock = clock
        # By address: time of the first wrong token, and number of wrong tokens.
        self._tries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str) -> None:
        """Record a wrong token; HttpProblem 429 if the address has sent too many."""
        now = self._clock()
        first, n_tries = self._tries.get(address, (now, 0))
        wait = first + self._seconds - now
        if wait <= 0:
            first, n_tries = now, 0
        if n_tries >= self._max_tries:
            raise HttpProblem(
                429,
                "too many wrong tokens from this address; try again later.",
                headers={"Retry-After": f"{math.ceil(wait)}"},
            )
        self._tries[address] = first, n_tries + 1
        self._tries.move_to_end(address)
        if len(self._tries) > self._n_addresses:
            self._tries.popitem(last=False)


def client_address(scope: Scope) -> str:
    """Return the address that sent the request, perhaps a proxy's; "" if unknown."""
    return (scope.get("client") or ("",))[0]


@dataclass(eq=False)
class AppState:
    """State shared by the handlers and the guard of an application."""

    settings: ServeSettings
    failed_tries: FailedTries = field(default_factory=FailedTries, kw_only=True)
    #: Where to find valid addresses, for messages.
    advice: ClassVar[str] = "open the page at /"

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answered request in the metrics."""

    def response_headers(self, call: Call) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Return additional response headers for a call."""
        return []


@dataclass(eq=False)
class WebState(AppState):
    """State of an application that serves models."""

    service: Service
    advice: ClassVar[str] = "see /docs"

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request by operation and model."""
        call, metrics = scope["state"]["call"], self.service.metrics
        operation = scope["state"].get("operation", PAGE)
        metrics.count_request(operation, "" if call.model is None else call.model.name, status)
        metrics.observe("request_duration_seconds", seconds)

    def response_headers(self, call: Call) -> list[tuple[bytes, bytes]]:
        """Return headers with the model's name and version."""
        model = call.model or self.service.models.default
        return [
            (b"x-model", model.name.encode("ascii", "backslashreplace")),
            (b"x-model-version", model.digest.encode()),
        ]


def app_state(request: Request) -> AppState:
    """Return the state of the request's application."""
    state: AppState = request.scope["app"]
    return state


def web_state(request: Request) -> WebState:
    """Return the state of the request's application, if it serves models."""
    state: WebState = request.scope["app"]
    return state


def service_of(request: Request) -> Service:
    """Return the service of the request's application."""
    return web_state(request).service


def call_of(request: Request) -> Call:
    """Return the request's service call."""
    call: Call = request.scope["state"]["call"]
    return call


# Waiting ------------------------------------------------------------------------------------------


# Seconds before watching for a disconnect or timeout. Most answers are ready by then, and watching
# would take a tenth of their time.
_SOON = 0.05


async def in_time(request: Request, answer: Awaitable[_T], timeout: float | None = None) -> _T:
    """Await an answer; cancel it on timeout or if the client disconnects.

    The request body must be read first. `timeout` defaults to the settings' timeout.

    Raises
    ------
    HttpProblem : 504 on timeout, 400 if the client disconnects.
    """
    if timeout is None:
        timeout = app_state(request).settings.timeout
    working = asyncio.ensure_future(answer)
    leaving: asyncio.Future[None] | None = None
    try:
        await asyncio.wait((working,), timeout=min(_SOON, timeout))
        if not working.done():
            leaving = asyncio.ensure_future(_wait_for_disconnect(request))
            await asyncio.wait(
                (working, leaving),
                timeout=max(0.0, timeout - _SOON),
                return_when=asyncio.FIRST_COMPLETED,
            )
        if working.done():
            return working.result()
    finally:
        working.cancel()
        if leaving is not None:
            leaving.cancel()
    if leaving is not None and leaving.done():
        raise HttpProblem(400, "the connection was closed before the answer was ready.")
    raise HttpProblem(504, f"no answer within {timeout:g} seconds; send less at a time.")


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
