"""Runs slow functions on threads, and stops them once nothing waits for their results."""

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
    """A function that runs on a thread of a pool until it ends or nothing waits for its result.

    Attributes
    ----------
    future : asyncio.Future
        Done when the thread is; not cancelled while the thread works.
    """

    def __init__(
        self, pool: Executor, is_closing: threading.Event, function: Callable[[], _T]
    ) -> None:
        # `work` doesn't refer to `self`, to avoid a reference cycle: `self`, the future, its error,
        # the traceback, `work`.
        self._is_abandoned = is_abandoned = threading.Event()

        def work() -> _T:
            with interruptible(lambda: is_abandoned.is_set() or is_closing.is_set()):
                return function()

        self._work = pool.submit(work)
        self.future = asyncio.wrap_future(self._work)
        # Retrieved, so that asyncio doesn't log the error of an abandoned task.
        self.future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def result(self) -> _T:
        """Return the result; cancelling this abandons the task."""
        try:
            return await asyncio.shield(self.future)
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """End the task at its next `check_interruption`."""
        self._is_abandoned.set()
        self._work.cancel()  # if no thread has begun


class BackgroundThreads:
    """Threads for slow functions: some for requests, and others for tables.

    Tables take minutes, so only other tables wait for them.
    """

    def __init__(self, n_threads: int) -> None:
        self._requests = ThreadPoolExecutor(n_threads, "slugline-requests")
        self._tables = ThreadPoolExecutor(n_threads, "slugline-tables")
        self._is_closing = threading.Event()

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return the result of a slow function, run off the event loop."""
        work = partial(function, *args, **kwargs)
        return await BackgroundTask(self._requests, self._is_closing, work).result()

    def start_table_step(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> BackgroundTask[_T]:
        """Start a step of reading or answering a table."""
        work = partial(function, *args, **kwargs)
        return BackgroundTask(self._tables, self._is_closing, work)

    def close(self) -> None:
        """Interrupt running functions, and end the threads."""
        self._is_closing.set()
        for pool in (self._requests, self._tables):
            pool.shutdown(wait=False, cancel_futures=True)
