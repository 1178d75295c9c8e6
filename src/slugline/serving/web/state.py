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
        self._tries: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise an HttpProblem if the address has sent too many wrong tokens."""
        times = self._tries.get(address, [])
        wait = times[0] + self._seconds - self._clock() if len(times) >= self._max_tries else 0
        if wait > 0:
            raise HttpProblem(
                429,
                "too many wrong tokens from this address; try again later.",
                headers={"Retry-After": f"{math.ceil(wait)}"},
            )

    def add(self, address: str) -> None:
        """Record a wrong token."""
        times = self._tries.pop(address, [])
        if not times or times[0] + self._seconds < self._clock():
            times = []
        self._tries[address] = [*times, self._clock()]
        if len(self._tries) > self._n_addresses:
            self._tries.popitem(last=False)


def client_address(scope: Scope, settings: ServeSettings) -> str:
    """Return the client's address, looking behind declared proxies.

    Each proxy appends its client's address, and clients can forge the first ones. The result is the
    last address that isn't a proxy.
    """
    address = (scope.get("client") or ("",))[0]
    if not settings.is_proxy(address):
        return address
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    hops = [hop.strip()[:100] for hop in forwarded.decode("latin-1").split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not settings.is_proxy(hop)), address)


def is_https(scope: Scope, settings: ServeSettings) -> bool:
    """True if the browser uses HTTPS to a declared proxy."""
    address = (scope.get("client") or ("",))[0]
    proto = dict(scope["headers"]).get(b"x-forwarded-proto", b"")
    return proto.lower() == b"https" and settings.is_proxy(address)


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


async def in_time(request: Request, answer: Awaitable[_T]) -> _T:
    """Await an answer; cancel it on timeout or if the client disconnects.

    Raises
    ------
    HttpProblem : 504 on timeout, 400 if the client disconnects.
    """
    timeout = app_state(request).settings.timeout
    return await _Waiting(request, timeout).wait(answer)


async def while_connected(request: Request, answer: Awaitable[_T]) -> _T:
    """Await an answer; cancel it if the client disconnects (HttpProblem 400).

    The request body must be read first.
    """
    return await _Waiting(request).wait(answer)


class _Waiting:
    """Awaits the answer to a request; cancels it on timeout or if the client disconnects.

    Parameters
    ----------
    request : Request
    timeout : float, optional
        In seconds.
    """

    def __init__(self, request: Request, timeout: float = math.inf) -> None:
        self._request, self._timeout = request, timeout
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        # Reason for cancelling the answer.
        self._problem: HttpProblem | None = None

    async def wait(self, answer: Awaitable[_T]) -> _T:
        """Return the answer; HttpProblem if it was cancelled."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("requests must be answered in a task")
        self._timer = self._loop.call_later(min(_SOON, self._timeout), self._watch, task)
        n_others = task.cancelling()
        try:
            return await answer
        except asyncio.CancelledError:
            if self._problem is None or task.uncancel() > n_others:
                raise
            raise self._problem from None
        finally:
            self._timer.cancel()
            if self._watching is not None:
                self._watching.cancel()
                self._watching = None  # its cancellation traceback refers to `self`

    def _watch(self, task: asyncio.Task[object]) -> None:
        """Start watching the client and the remaining time."""
        self._watching = asyncio.ensure_future(self._cancel_if_left(task))
        if self._timeout < math.inf:
            left = max(0.0, self._timeout - _SOON)
            self._timer = self._loop.call_later(left, self._cancel_late, task)

    async def _cancel_if_left(self, task: asyncio.Task[object]) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        problem = HttpProblem(400, "the connection was closed before the answer was ready.")
        self._cancel(task, problem)

    def _cancel_late(self, task: asyncio.Task[object]) -> None:
        problem = HttpProblem(
            504, f"no answer within {self._timeout:g} seconds; send less at a time."
        )
        self._cancel(task, problem)

    def _cancel(self, task: asyncio.Task[object], problem: HttpProblem) -> None:
        if self._problem is None:
            self._problem = problem
            task.cancel()
