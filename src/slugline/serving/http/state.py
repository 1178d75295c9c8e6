"""State that the handlers of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from slugline.corrections.retraining_loop import RetrainingLoop
from slugline.corrections.store import CorrectionStore
from slugline.serving.http.batches import BatchQueue, Metrics
from slugline.serving.model import Models
from slugline.serving.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.requests import Request


_T = TypeVar("_T")


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
    batches: BatchQueue = field(init=False)

    def __post_init__(self) -> None:
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
    state: AppState = request.scope["app"]
    return state
