"""State that the handlers of a process share."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from slugline.corrections.retraining_loop import RetrainingLoop
from slugline.corrections.store import CorrectionStore
from slugline.corrections.summary import CorrectionSummary
from slugline.serving.http.batches import BatchQueue, Metrics
from slugline.serving.http.bodies import HttpProblem
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
        # Whoever waits for the disk, or for another process, keeps nobody else from an answer.
        self._keeping = ThreadPoolExecutor(1, "slugline-store")

    async def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run a slow function off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._errands, function, *arguments)

    async def ask_store(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run a function that reads or writes the corrections off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keeping, function, *arguments)

    def close(self) -> None:
        """End the threads, and close the file of corrections."""
        self.batches.close()
        for pool in (self._errands, self._keeping):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.store is not None:
            self.store.close()


def app_state(request: Request) -> AppState:
    """Return the state of the application that got a request."""
    return request.scope["app"]
