"""How training tells a person where it is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["BarProgress", "LineProgress", "Progress", "progress_on"]


class Progress(Protocol):
    """Is told of every step and epoch of a `fit`."""

    def begin(self, n_epochs: int, n_steps: int) -> None:
        """`n_steps` batches make an epoch."""
        ...

    def step(self) -> None:
        """A batch is done."""
        ...

    def epoch(self, number: int, figures: dict[str, float]) -> None:
        """Epoch `number`, counted from 1, is done."""
        ...

    def end(self) -> None:
        """Training is over, whichever way."""
        ...

    def note(self, text: str) -> None:
        """Something is done that is no part of training one net."""
        ...


class LineProgress:
    """One line of figures per epoch."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._n_epochs = 0

    def begin(self, n_epochs: int, n_steps: int) -> None:  # noqa: ARG002
        """Note how many epochs there will be."""
        self._n_epochs = n_epochs

    def step(self) -> None:
        """Say nothing."""

    def epoch(self, number: int, figures: dict[str, float]) -> None:
        """Write the epoch's figures."""
        self._stream.write(f"epoch {number}/{self._n_epochs}  {_show(figures)}\n")
        self._stream.flush()

    def end(self) -> None:
        """Nothing is left to close."""

    def note(self, text: str) -> None:
        """Write it as a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


class BarProgress:
    """A bar that moves with every batch, and the figures of the last epoch beside it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def begin(self, n_epochs: int, n_steps: int) -> None:
        """Draw the empty bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(bar_width=12),
            TextColumn("{task.fields[figures]}"),
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._bar.add_task("training", total=n_epochs * n_steps, figures="")
        self._bar.start()

    def step(self) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def epoch(self, number: int, figures: dict[str, float]) -> None:  # noqa: ARG002
        """Show the epoch's figures: with its number, they would not fit in 80 columns."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, figures=_show(figures))

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Write it as a line; no bar is there between two trainings."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


def progress_on(stream: TextIO | None = None) -> Progress:
    """Return a bar if `stream` (by default standard error) is a terminal, else plain lines."""
    stream = stream or sys.stderr
    return BarProgress(stream) if stream.isatty() else LineProgress(stream)


def _show(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
