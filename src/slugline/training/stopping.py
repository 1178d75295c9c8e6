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
    """Stop when a figure no longer improves, and go back to the weights of its best epoch.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of `History.history`; those that end in "loss" should fall, all others rise.
    patience : int or None, default 3
        How many epochs in a row may pass without progress. None never stops early, and still goes
        back to the best epoch at the end.
    min_delta : float, default 0.0
        By how much a figure must beat the last one that was progress, to be progress too. The best
        epoch is the best one however small its lead.
    """

    monitor: str = "val_loss"
    patience: int | None = 3
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise OptionError(f"patience is {self.patience}; give 0 or more epochs, or None.")


class BestEpoch:
    """Remembers the best epoch so far of one `EarlyStopping`."""

    def __init__(self, stopping: EarlyStopping) -> None:
        self.stopping = stopping
        self.epoch = 0
        self._value = float("inf")
        self._last_progress = 0
        self._reference = float("inf")
        self._sign = 1 if stopping.monitor.endswith("loss") else -1

    def improves(self, epoch: int, figures: dict[str, float]) -> bool:
        """Take in an epoch's figures (epochs count from 1); say whether it is the best so far."""
        if self.stopping.monitor not in figures:
            raise OptionError(
                f"early stopping watches {self.stopping.monitor!r}, but there are only "
                f"{', '.join(figures)}; pass validation_data, or watch another figure."
            )
        value = self._sign * figures[self.stopping.monitor]
        if value < self._reference - self.stopping.min_delta:
            self._last_progress, self._reference = epoch, value
        if self.epoch and value >= self._value:
            return False
        self.epoch, self._value = epoch, value
        return True

    def is_over(self, epoch: int) -> bool:
        """Say whether patience ends with this epoch (a patience of 0 or 1 allows no bad epoch)."""
        patience = self.stopping.patience
        return patience is not None and epoch - self._last_progress >= max(patience, 1)


class Interrupt:
    """Set once Ctrl-C has been pressed; `shared` with blocks within, or not."""

    def __init__(self, shared: bool = False) -> None:
        self.requested = False
        self.shared = shared

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Note the first Ctrl-C; let the second one interrupt at once."""
        if self.requested:
            signal.default_int_handler(signal_number, frame)
        self.requested = True


@contextmanager
def catch_interrupt(shared: bool = False) -> Iterator[Interrupt]:
    """Turn Ctrl-C into a flag while the block runs, so that an epoch can end cleanly.

    Signals reach the main thread only; elsewhere, the flag simply stays down. A handler that the
    application has set itself is left alone.

    Parameters
    ----------
    shared : bool, default False
        Whether blocks within this one have the same flag; else theirs stay down.
    """
    interrupt = Interrupt(shared)
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
