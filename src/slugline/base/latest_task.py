"""Run a function in a background thread whenever something has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class LatestTask:
    """Runs a function in a thread on request, and again if requested during a call.

    At most one call runs at a time. After a call, the thread sleeps for the duration of the call,
    leaving half of the time to other threads.

    Parameters
    ----------
    function : callable
        Must not raise.
    name : str
        The name of the thread.
    """

    def __init__(self, function: Callable[[], None], *, name: str) -> None:
        self._function = function
        self._changed = threading.Condition()
        self._n_requests = self._n_started = self._n_done = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Request a call; does nothing if the task is closed."""
        with self._changed:
            self._n_requests += 1
            self._changed.notify_all()

    @property
    def is_latest(self) -> bool:
        """True if the task is open and has had no request since the last call began."""
        return not self._is_closed and self._n_started == self._n_requests

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for all requests so far, a timeout or `close`; return True if they are done."""
        with self._changed:
            wanted = self._n_requests
            self._changed.wait_for(lambda: self._is_closed or self._n_done >= wanted, timeout)
            return self._n_done >= wanted

    def close(self, timeout: float | None = None) -> None:
        """Stop the thread after any running call."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_closed or self._n_requests > self._n_started
                )
                if self._is_closed:
                    return
                self._n_started = self._n_requests
            started = time.monotonic()
            self._function()
            seconds = time.monotonic() - started
            with self._changed:
                self._n_done = self._n_started
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_closed, seconds)
