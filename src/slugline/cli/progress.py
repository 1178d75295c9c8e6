"""The progress of a long job, shown on standard error to a person who is watching."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slugline.cli.output import say

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress

    from slugline.progress import StepProgress

__all__ = ["DocumentBar", "can_erase", "has_onlooker", "step_progress"]

# Seconds. A shorter job needs no bar, so it doesn't pay for one.
_DELAY = 1.0
# Seconds between two drawings.
_INTERVAL = 0.25


def has_onlooker() -> bool:
    """Whether somebody would see a bar that doesn't get in the way.

    Standard error must be a terminal that can erase text, and standard output must not be a
    terminal: the bar would run into the answers.
    """
    return can_erase() and not sys.stdout.isatty()


def can_erase() -> bool:
    """Whether standard error is a terminal that can erase text."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class DocumentBar:
    """A bar with the documents done, documents per second, and the share of the file read.

    Parameters
    ----------
    is_wanted : bool
        Whether to draw anything.
    """

    def __init__(self, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._began = time.monotonic()
        self._next = self._began + _DELAY
        self._bar: Progress | None = None

    def __enter__(self) -> DocumentBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, n_documents: int, share: float | None, more: str = "") -> None:
        """Draw the bar if it is time to; `share` runs from 0 to 1, and is None if unknown."""
        now = time.monotonic()
        if not self._is_wanted or now < self._next:
            return
        self._next = now + _INTERVAL
        metrics = (
            f"{n_documents:,} documents  {n_documents / (now - self._began):,.0f} a second{more}"
        )
        if self._bar is None:
            self._bar = _start_bar()
        task = self._bar.task_ids[0]
        self._bar.update(task, total=None if share is None else 1.0, completed=share, text=metrics)
        self._bar.refresh()


def _start_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    bar = Progress(
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
        console=Console(file=sys.stderr),
        transient=True,
        # Drawn when there is something to show; a separate thread would slow down the work.
        auto_refresh=False,
    )
    bar.add_task("predicting", total=None, text="")
    bar.start()
    return bar


@contextmanager
def step_progress(quiet: bool) -> Iterator[StepProgress | None]:
    """Report which fit is running: a bar on a terminal, otherwise a line for each kind of fit."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _OnBar(bar)


class _Lines:
    def __init__(self) -> None:
        self._said = ""

    def __call__(self, step: str, n_done: int, n_fits: int) -> None:
        if step != self._said:
            say(f"{n_done}/{n_fits}  {step}")
        self._said = step


class _OnBar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def __call__(self, step: str, n_done: int, n_fits: int) -> None:
        self._bar.update(self._task, description=step, completed=n_done, total=n_fits)
