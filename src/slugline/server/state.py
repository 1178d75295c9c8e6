"""What the handlers of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from slugline.corrections.learner import Learner
from slugline.corrections.store import CorrectionStore
from slugline.served.models import Models
from slugline.server.batches import Batches
from slugline.server.metrics import Metrics
from slugline.server.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["State", "state_of"]

_T = TypeVar("_T")


@dataclass(eq=False)
class State:
    """What the handlers of a process share.

    Attributes
    ----------
    settings : Settings
    models : Models
    metrics : Metrics
    batches : Batches
    store : CorrectionStore or None
        None if no corrections are taken.
    learner : Learner or None
        What learns from corrections beside the server, if anything does.
    """

    settings: Settings
    models: Models
    metrics: Metrics
    store: CorrectionStore | None = None
    learner: Learner | None = None
    batches: Batches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = Batches(self.settings.threads, self.metrics)
        self._errands = ThreadPoolExecutor(self.settings.threads, "slugline-errands")
        # Whoever waits for the disk, or for another process, keeps nobody else from an answer.
        self._keeping = ThreadPoolExecutor(1, "slugline-store")

    async def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run what takes its time off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._errands, function, *arguments)

    async def ask_store(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run what reads or writes the corrections off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keeping, function, *arguments)

    def close(self) -> None:
        """End the threads, and close the file of corrections."""
        self.batches.close()
        for pool in (self._errands, self._keeping):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.store is not None:
            self.store.close()


def state_of(request: Request) -> State:
    """Return what the handlers share."""
    state: State = request.scope["app"]
    return state
