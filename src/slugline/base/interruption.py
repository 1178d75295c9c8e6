"""Stop work early, on Ctrl-C or if a thread's result is no longer needed."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from slugline.base.progress import INTERRUPTED, SILENT, Progress


class Interruption(Exception):  # noqa: N818 - not an error
    """Raised when the result of a thread's work is no longer needed."""


_is_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_unwanted", default=None)


@contextmanager
def interruptible(is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """Make `check_interruption` stop this thread's work if `is_unwanted` returns True.

    >>> with interruptible(lambda: True):
    ...     check_interruption()
    Traceback (most recent call last):
        ...
    slugline.base.interruption.Interruption
    """
    token = _is_unwanted.set(is_unwanted)
    try:
        yield
    finally:
        _is_unwanted.reset(token)


def check_interruption() -> None:
    """Raise Interruption if the result of this thread's work is no longer needed.

    Call it regularly in functions that may take seconds.
    """
    is_unwanted = _is_unwanted.get()
    if is_unwanted is not None and is_unwanted():
        raise Interruption


# Ctrl-C -------------------------------------------------------------------------------------------


class Interrupt:
    """A flag set by Ctrl-C, optionally shared with nested blocks."""

    def __init__(self, progress: Progress, step: str, shared: bool) -> None:
        self.requested = False
        self.shared = shared
        self._progress, self._step = progress, step

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Acknowledge the first Ctrl-C; let the second one interrupt immediately."""
        if self.requested:
            signal.default_int_handler(signal_number, frame)
        self.requested = True
        # Use another thread: this one may be in the middle of writing to the same stream.
        note = INTERRUPTED.format(f"finishing {self._step}")
        _thread.start_new_thread(self._progress.note, (note,))


@contextmanager
def catch_interrupt(
    progress: Progress = SILENT, step: str = "this epoch", *, shared: bool = False
) -> Iterator[Interrupt]:
    """Turn Ctrl-C into a flag while the block runs, so that a step can end cleanly.

    `progress` acknowledges Ctrl-C immediately. The flag is never set outside the main thread, or if
    the application has its own handler. If `shared`, nested blocks use the same flag; otherwise,
    their flags are never set.
    """
    interrupt = Interrupt(progress, step, shared)
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if in_main_thread and isinstance(handler, Interrupt) and handler.shared:
        yield handler
        return
    if not in_main_thread or handler is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
