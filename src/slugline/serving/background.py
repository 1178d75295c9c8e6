"""Run slow functions on threads and interrupt abandoned ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from slugline.base.interruption import interruptible

_P = ParamSpec("_P")
_T = TypeVar("_T")


class BackgroundTask(Generic[_T]):
    """A function on a pool thread, interruptible when its result is no longer needed.

    Attributes
    ----------
    future : asyncio.Future
        Done when the thread finishes; never cancelled while the thread is working.
    """

    def __init__(
        self, pool: Executor, is_closing: threading.Event, function: Callable[[], _T]
    ) -> None:
        # `work` must not refer to `self`: that would create a reference cycle through the future,
        # its error and the traceback.
        self._is_abandoned = is_abandoned = threading.Event()

        def work() -> _T:
            with interruptible(lambda: is_abandoned.is_set() or is_closing.is_set()):
                return function()

        self._work = pool.submit(work)
        self.future = asyncio.wrap_future(self._work)
        # Retrieve the error so that asyncio doesn't log it for an abandoned task.
        self.future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def result(self) -> _T:
        """Return the result; cancelling this call abandons the task."""
        try:
            return await asyncio.shield(self.future)
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Stop the task at its next `check_interruption`."""
        self._is_abandoned.set()
        self._work.cancel()  # if it has not started


class BackgroundThreads:
    """Thread pools for slow functions: one for requests, one for tables.

    Tables take minutes, so they have their own pool.
    """

    def __init__(self, n_threads: int) -> None:
        self._requests = ThreadPoolExecutor(n_threads, "slugline-requests")
        self._tables = ThreadPoolExecutor(n_threads, "slugline-tables")
        self._is_closing = threading.Event()

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a slow function off the event loop and return its result."""
        work = partial(function, *args, **kwargs)
        return await BackgroundTask(self._requests, self._is_closing, work).result()

    def start_table_step(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> BackgroundTask[_T]:
        """Start reading or classifying part of a table."""
        work = partial(function, *args, **kwargs)
        return BackgroundTask(self._tables, self._is_closing, work)

    def close(self) -> None:
        """Interrupt running functions and shut down the pools."""
        self._is_closing.set()
        for pool in (self._requests, self._tables):
            pool.shutdown(wait=False, cancel_futures=True)
