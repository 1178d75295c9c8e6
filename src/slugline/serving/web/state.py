"""State that the handlers of a process share, and limits on how long they wait for the service."""

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
    """Wrong tokens by the address that sent them.

    After `max_tries` wrong ones, an address has to wait until `seconds` after the first.
    The latest `n_addresses` addresses are remembered.
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
        """Raise an HttpProblem if an address has sent too many wrong tokens."""
        times = self._tries.get(address, [])
        wait = times[0] + self._seconds - self._clock() if len(times) >= self._max_tries else 0
        if wait > 0:
            raise HttpProblem(
                429,
                "there were too many wrong tokens from this address; ask again later.",
                headers={"Retry-After": f"{math.ceil(wait)}"},
            )

    def add(self, address: str) -> None:
        """Note a wrong token."""
        times = self._tries.pop(address, [])
        if not times or times[0] + self._seconds < self._clock():
            times = []
        self._tries[address] = [*times, self._clock()]
        if len(self._tries) > self._n_addresses:
            self._tries.popitem(last=False)


def client_address(scope: Scope, settings: ServeSettings) -> str:
    """Return the address of the client, even behind a declared proxy.

    Each proxy appends the address of its client, and a client may forge the first addresses; so the
    last address that isn't a proxy counts.
    """
    address = (scope.get("client") or ("",))[0]
    if not settings.is_proxy(address):
        return address
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    hops = [hop.strip()[:100] for hop in forwarded.decode("latin-1").split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not settings.is_proxy(hop)), address)


def is_https(scope: Scope, settings: ServeSettings) -> bool:
    """Whether the browser speaks HTTPS to a declared proxy."""
    address = (scope.get("client") or ("",))[0]
    proto = dict(scope["headers"]).get(b"x-forwarded-proto", b"")
    return proto.lower() == b"https" and settings.is_proxy(address)


@dataclass(eq=False)
class AppState:
    """State that the handlers and the guard of any application share."""

    settings: ServeSettings
    failed_tries: FailedTries = field(default_factory=FailedTries, kw_only=True)
    #: Where people find what there is, for a message.
    advice: ClassVar[str] = "open the page at /"

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that was answered, for metrics."""

    def response_headers(self, call: Call) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Return headers for the response to a call."""
        return []


@dataclass(eq=False)
class WebState(AppState):
    """State of an application that serves models."""

    service: Service
    advice: ClassVar[str] = "see /docs"

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request by its operation and model."""
        call, metrics = scope["state"]["call"], self.service.metrics
        operation = scope["state"].get("operation", PAGE)
        metrics.count_request(operation, "" if call.model is None else call.model.name, status)
        metrics.observe("request_duration_seconds", seconds)

    def response_headers(self, call: Call) -> list[tuple[bytes, bytes]]:
        """Return headers that name the model."""
        model = call.model or self.service.models.default
        return [
            (b"x-model", model.name.encode("ascii", "backslashreplace")),
            (b"x-model-version", model.digest.encode()),
        ]


def app_state(request: Request) -> AppState:
    """Return the state of the application that got a request."""
    state: AppState = request.scope["app"]
    return state


def web_state(request: Request) -> WebState:
    """Return the state of the application that got a request and serves models."""
    state: WebState = request.scope["app"]
    return state


def service_of(request: Request) -> Service:
    """Return the service of the application that got a request."""
    return web_state(request).service


def call_of(request: Request) -> Call:
    """Return the call of the service that a request makes."""
    call: Call = request.scope["state"]["call"]
    return call


# Waiting ------------------------------------------------------------------------------------------


# Seconds after which a client and its timeout are watched. Most answers are ready before, and
# watching would take a tenth of their time.
_SOON = 0.05


async def in_time(request: Request, answer: Awaitable[_T]) -> _T:
    """Wait for an answer, which is cancelled if it takes too long, or the client leaves.

    Raises
    ------
    HttpProblem : 504 if there is no answer in time, 400 if the client has left.
    """
    timeout = app_state(request).settings.timeout
    return await _Waiting(request, timeout).wait(answer)


async def while_connected(request: Request, answer: Awaitable[_T]) -> _T:
    """Wait for an answer, which is cancelled if the client leaves (HttpProblem 400).

    The body of the request must have been read.
    """
    return await _Waiting(request).wait(answer)


class _Waiting:
    """Waits for the answer to a request, and cancels it after a timeout or if the client leaves.

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
        # Why the answer was cancelled.
        self._problem: HttpProblem | None = None

    async def wait(self, answer: Awaitable[_T]) -> _T:
        """Return the answer; HttpProblem if it was cancelled."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("requests are answered by tasks")
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
                self._watching = None  # the traceback of its cancellation refers to `self`

    def _watch(self, task: asyncio.Task[object]) -> None:
        """Begin to watch the client, and the time that is left."""
        self._watching = asyncio.ensure_future(self._cancel_if_left(task))
        if self._timeout < math.inf:
            left = max(0.0, self._timeout - _SOON)
            self._timer = self._loop.call_later(left, self._cancel_late, task)

    async def _cancel_if_left(self, task: asyncio.Task[object]) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        problem = HttpProblem(400, "the connection ended before the answer was ready.")
        self._cancel(task, problem)

    def _cancel_late(self, task: asyncio.Task[object]) -> None:
        problem = HttpProblem(
            504, f"there was no answer after {self._timeout:g} seconds; ask for less at a time."
        )
        self._cancel(task, problem)

    def _cancel(self, task: asyncio.Task[object], problem: HttpProblem) -> None:
        if self._problem is None:
            self._problem = problem
            task.cancel()
