"""A function that is called in a thread of its own whenever something has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class LatestTask:
    """Runs a function in a thread once it is requested, again if it was requested meanwhile.

    At most one call runs at a time. After a call, the thread rests for as long, so that other
    threads get half of the time.

    Parameters
    ----------
    function : callable
        It must not raise.
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
        """Let the function be called; nothing happens if the task is closed."""
        with self._changed:
            self._n_requests += 1
            self._changed.notify_all()

    @property
    def is_latest(self) -> bool:
        """Whether nothing was requested since the last call began, nor the task closed."""
        return not self._is_closed and self._n_started == self._n_requests

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all requests are done; return whether they are."""
        with self._changed:
            wanted = self._n_requests
            self._changed.wait_for(lambda: self._is_closed or self._n_done >= wanted, timeout)
            return self._n_done >= wanted

    def close(self, timeout: float | None = None) -> None:
        """End the thread; wait for a call that is running."""
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
