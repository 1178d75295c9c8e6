"""When to stop, and which epoch's weights to keep."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from slugline.errors import OptionError

__all__ = ["BestEpoch", "EarlyStopping", "Interrupt", "catch_interrupt"]


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when a metric no longer improves, and restores the weights of its best epoch.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of `History.history`. Metrics that end in "loss" should fall, all others rise.
    patience : int or None, default 3
        How many epochs in a row may pass without progress. With None, training never stops early,
        but the best epoch is still restored at the end.
    min_delta : float, default 0.0
        To count as progress, a metric must beat the last one that did by more than this. The best
        epoch is the best one however small its lead.
    """

    monitor: str = "val_loss"
    patience: int | None = 3
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise OptionError(f"`patience` is {self.patience}; give 0 or more epochs, or None.")


class BestEpoch:
    """Keeps track of the best epoch so far for one `EarlyStopping`."""

    def __init__(self, stopping: EarlyStopping) -> None:
        self.stopping = stopping
        self.epoch = 0
        self._value = float("inf")
        self._last_progress = 0
        self._reference = float("inf")
        self._sign = 1 if stopping.monitor.endswith("loss") else -1

    def improves(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Record an epoch's metrics (epochs count from 1); return whether it is the best so far."""
        if self.stopping.monitor not in metrics:
            raise OptionError(
                f"early stopping monitors {self.stopping.monitor!r}, but the only metrics are "
                f"{', '.join(metrics)}; pass `validation_data`, or monitor one of these."
            )
        value = self._sign * metrics[self.stopping.monitor]
        if value < self._reference - self.stopping.min_delta:
            self._last_progress, self._reference = epoch, value
        if self.epoch and value >= self._value:
            return False
        self.epoch, self._value = epoch, value
        return True

    def is_over(self, epoch: int) -> bool:
        """Whether patience runs out with this epoch (0 or 1 allows no epoch without progress)."""
        patience = self.stopping.patience
        return patience is not None and epoch - self._last_progress >= max(patience, 1)


class Interrupt:
    """A flag that is set once Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Note the first Ctrl-C; let the second one interrupt at once."""
        if self.requested:
            signal.default_int_handler(signal_number, frame)
        self.requested = True


@contextmanager
def catch_interrupt() -> Iterator[Interrupt]:
    """Turn Ctrl-C into a flag while the block runs, so that an epoch can end cleanly.

    Signals reach the main thread only; in other threads, the flag is never set. A handler that the
    application has set itself is left alone.
    """
    interrupt = Interrupt()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
