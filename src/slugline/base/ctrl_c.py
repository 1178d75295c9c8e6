"""Finish the current step after the first Ctrl-C; stop at the second."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from slugline.base.progress import INTERRUPTED, SILENT, Progress


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
