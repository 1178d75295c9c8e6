"""Progress of a training run for a person: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = [
    "BarProgress",
    "LineProgress",
    "PassProgress",
    "Progress",
    "StepProgress",
    "progress_on",
    "step_of",
]


class Progress(Protocol):
    """What `fit` calls for every step and epoch."""

    def begin(self, n_epochs: int, n_steps: int) -> None:
        """Training starts; an epoch has `n_steps` batches."""
        ...

    def step(self) -> None:
        """A batch is finished."""
        ...

    def epoch(self, number: int, metrics: dict[str, float]) -> None:
        """Epoch `number`, counted from 1, is finished."""
        ...

    def end(self) -> None:
        """Training is over, whether it succeeded or not."""
        ...

    def note(self, text: str) -> None:
        """Report something other than the training of one network."""
        ...


class StepProgress(Protocol):
    """What a job of many fits calls before every fit."""

    def __call__(self, step: str, n_done: int, n_fits: int) -> None:
        """`step` comes next; `n_done` of `n_fits` fits are finished."""
        ...


class PassProgress(Protocol):
    """What `fit_stream` calls, which may take hours."""

    def note(self, text: str) -> None:
        """Report something that is of interest later as well."""
        ...

    def passed(self, text: str, done: float | None) -> None:
        """Report how far it has come: a share of all the work, or None as long as it reads."""
        ...


def step_of(progress: Any) -> Callable[[str, float | None], None]:
    """Return what to tell of each step; what only takes notes gets one.

    Parameters
    ----------
    progress : PassProgress, Progress or None
    """
    if progress is None:
        return lambda text, done: None  # noqa: ARG005
    passed: Callable[[str, float | None], None] | None = getattr(progress, "passed", None)
    return passed or (lambda text, done: progress.note(text))  # noqa: ARG005


class LineProgress:
    """One line of metrics per epoch."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._n_epochs = 0

    def begin(self, n_epochs: int, n_steps: int) -> None:  # noqa: ARG002
        """Remember how many epochs there will be."""
        self._n_epochs = n_epochs

    def step(self) -> None:
        """Write nothing."""

    def epoch(self, number: int, metrics: dict[str, float]) -> None:
        """Write the metrics of the epoch."""
        self._stream.write(f"epoch {number}/{self._n_epochs}  {_show(metrics)}\n")
        self._stream.flush()

    def end(self) -> None:
        """Do nothing: there is nothing to close."""

    def note(self, text: str) -> None:
        """Write `text` as a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


class BarProgress:
    """A bar that moves with every batch, with the metrics of the last epoch beside it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def begin(self, n_epochs: int, n_steps: int) -> None:
        """Draw an empty bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(bar_width=12),
            TextColumn("{task.fields[metrics]}"),
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._bar.add_task("training", total=n_epochs * n_steps, metrics="")
        self._bar.start()

    def step(self) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def epoch(self, number: int, metrics: dict[str, float]) -> None:  # noqa: ARG002
        """Show the metrics of the epoch. Its number would not fit into 80 columns too."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, metrics=_show(metrics))

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Write `text` as a line; between two training runs there is no bar."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


def progress_on(stream: TextIO | None = None) -> Progress:
    """Return a bar if `stream` (by default standard error) is a terminal, otherwise lines."""
    stream = stream or sys.stderr
    return BarProgress(stream) if stream.isatty() else LineProgress(stream)


def _show(metrics: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
