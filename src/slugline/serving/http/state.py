"""State that the handlers of a process share."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from slugline.base.interruption import interruptible
from slugline.corrections.retraining_loop import RetrainingLoop
from slugline.corrections.store import CorrectionStore
from slugline.corrections.summary import CorrectionSummary
from slugline.serving.http.batches import BatchQueue, Metrics
from slugline.serving.http.bodies import HttpProblem, busy_problem
from slugline.serving.model import Models
from slugline.serving.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope


_T = TypeVar("_T")


class FailedTries:
    """Wrong tokens by the address that sent them.

    After `most` wrong ones, an address has to wait until `seconds` have gone by since the first.
    The latest `n_addresses` are remembered.
    """

    def __init__(self, most: int = 10, seconds: float = 60, n_addresses: int = 10_000) -> None:
        self._most, self._seconds, self._n_addresses = most, seconds, n_addresses
        self._tries: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise an HttpProblem if there were too many from an address."""
        times = self._tries.get(address, [])
        wait = times[0] + self._seconds - time.monotonic() if len(times) >= self._most else 0
        if wait > 0:
            raise HttpProblem(
                429,
                "there were too many wrong tokens from this address; ask again later.",
                headers={"Retry-After": f"{math.ceil(wait)}"},
            )

    def add(self, address: str) -> None:
        """Note a wrong token."""
        times = self._tries.pop(address, [])
        if not times or times[0] + self._seconds < time.monotonic():
            times = []
        self._tries[address] = [*times, time.monotonic()]
        if len(self._tries) > self._n_addresses:
            self._tries.popitem(last=False)


def client_address(scope: Scope, settings: ServeSettings) -> str:
    """Return the address that asks, or for which a declared proxy asks.

    Each proxy appends the address that it was asked from, and whoever asks may write the first
    ones, so that the last one that is no proxy counts.
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


# Work on threads ----------------------------------------------------------------------------------

# Tables that are answered at a time, for the rows of each that are in memory.
_MOST_TABLES = 16


class Errand(Generic[_T]):
    """Work on a thread of a pool, which ends early if nobody waits for it.

    Attributes
    ----------
    future : asyncio.Future
        Done when the thread is; not cancelled while the thread works.
    """

    def __init__(
        self, pool: Executor, is_closing: threading.Event, function: Callable[[], _T]
    ) -> None:
        self._is_unwanted = threading.Event()

        def work() -> _T:
            with interruptible(lambda: self._is_unwanted.is_set() or is_closing.is_set()):
                return function()

        self._work = pool.submit(work)
        self.future = asyncio.wrap_future(self._work)
        # Whoever has left doesn't ask how it ended.
        self.future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def result(self) -> _T:
        """Wait for the result; whoever is cancelled meanwhile doesn't want it any more."""
        try:
            return await asyncio.shield(self.future)
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """End the work, at the next place where it can be interrupted."""
        self._is_unwanted.set()
        self._work.cancel()  # if no thread has begun


async def in_time(request: Request, answer: Awaitable[_T]) -> _T:
    """Wait for an answer, which is cancelled if it takes too long, or the client leaves.

    Raises
    ------
    HttpProblem : 504 if there is no answer in time, 400 if there is nobody to whom to send it.
    """
    timeout = app_state(request).settings.timeout
    try:
        async with asyncio.timeout(timeout):
            return await while_connected(request, answer)
    except TimeoutError:
        raise HttpProblem(
            504, f"there was no answer after {timeout:g} seconds; ask for less at a time."
        ) from None


async def while_connected(request: Request, answer: Awaitable[_T]) -> _T:
    """Wait for an answer, which is cancelled if the client leaves (HttpProblem 400).

    The body of the request must have been read.
    """
    work, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(_until_left(request))
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise HttpProblem(400, "the connection ended before its answer was there.")
    finally:
        leaving.cancel()
        work.cancel()


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@dataclass(eq=False)
class AppState:
    """State that the handlers of a process share.

    `store` is None if the server takes no corrections. `learner` retrains the first model from
    them, if that is on.
    """

    settings: ServeSettings
    models: Models
    metrics: Metrics
    store: CorrectionStore | None = None
    learner: RetrainingLoop | None = None
    # By model: what the summary of its corrections rests on, and the summary.
    summaries: dict[str, tuple[object, CorrectionSummary]] = field(default_factory=dict)
    batches: BatchQueue = field(init=False)

    def __post_init__(self) -> None:
        self.failed_tries = FailedTries()
        most_guesses = 2 * self.settings.limits.guesses
        self.batches = BatchQueue(self.settings.threads, self.metrics, most_guesses)
        self._errands = ThreadPoolExecutor(self.settings.threads, "slugline-errands")
        # Tables, which may take minutes, keep nobody waiting but each other.
        self._tables = ThreadPoolExecutor(self.settings.threads, "slugline-tables")
        self._n_tables, self._is_closing = 0, threading.Event()
        # Whoever waits for the disk, or for another process, keeps nobody else from an answer.
        self._keeping = ThreadPoolExecutor(1, "slugline-store")

    async def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run a slow function off the event loop."""
        work = partial(function, *arguments)
        return await Errand(self._errands, self._is_closing, work).result()

    def start_step(self, function: Callable[..., _T], *arguments: Any) -> Errand[_T]:
        """Start a step of reading or answering a table."""
        return Errand(self._tables, self._is_closing, partial(function, *arguments))

    @contextlib.contextmanager
    def counted_table(self) -> Iterator[None]:
        """Count a table that is read or answered; HttpProblem 503 if there are too many."""
        if self._n_tables >= _MOST_TABLES:
            raise busy_problem()
        self._n_tables += 1
        try:
            yield
        finally:
            self._n_tables -= 1

    async def ask_store(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run a function that reads or writes the corrections off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keeping, function, *arguments)

    def close(self) -> None:
        """End the threads, and close the file of corrections."""
        self._is_closing.set()
        self.batches.close()
        for pool in (self._errands, self._tables, self._keeping):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.store is not None:
            self.store.close()


def app_state(request: Request) -> AppState:
    """Return the state of the application that got a request."""
    return request.scope["app"]
