"""Progress of long work: one protocol, shown as a bar, as lines, or not at all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO, runtime_checkable

from slugline.base.checks import option_error
from slugline.base.words import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


# Columns of a terminal that the bar itself takes.
_BAR_WIDTH = 12


@runtime_checkable
class Progress(Protocol):
    """Receives the progress of long work: training, passes over documents, files, downloads.

    Code that calls `update` also calls `close`, even after an error. More work may follow.
    """

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        """Report how far the work is.

        Parameters
        ----------
        step : str
            The current step; each gets a line in a log.
        share : float, optional
            Share of the whole work that is done, from 0 to 1; None if unknown.
        detail : str
            Numbers so far, which may change with every call.
        """
        ...

    def note(self, text: str) -> None:
        """Report something that is of interest later as well."""
        ...

    def warning(self, text: str) -> None:
        """Report what may be wrong."""
        ...

    def close(self) -> None:
        """End the work, whether it succeeded or not."""
        ...


class SilentProgress:
    """Shows nothing."""

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def warning(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


#: Used where no progress is wanted.
SILENT: Progress = SilentProgress()


class QuietProgress(SilentProgress):
    """Shows warnings alone; `wording` rewords texts, say into the flags of a command."""

    def __init__(self, stream: TextIO, wording: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._wording = wording

    def warning(self, text: str) -> None:
        """Write a line, yellow on a terminal."""
        line = self._printable(f"warning: {text}")
        in_colour = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._write(f"\x1b[33m{line}\x1b[0m" if in_colour else line)

    def _printable(self, text: str) -> str:
        return printable(self._wording(text), keep="")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class LineProgress(QuietProgress):
    """Writes a line for each step, and every `interval` seconds within a step."""

    def __init__(
        self, stream: TextIO, wording: Callable[[str], str] = str, *, interval: float = 10.0
    ) -> None:
        super().__init__(stream, wording)
        self._interval = interval
        self._step: str | None = None
        self._next_time = 0.0

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        """Write share, step and detail if it is time to."""
        now = time.monotonic()
        if step == self._step and now < self._next_time:
            return
        self._step, self._next_time = step, now + self._interval
        self._write("  ".join(_parts(share, self._printable(step), self._printable(detail))))

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(self._printable(text))

    def close(self) -> None:
        """Let the next update be the first of its step."""
        self._step = None


class BarProgress(QuietProgress):
    """Draws a bar on a terminal, and removes it in the end.

    It appears after `delay` seconds, and is drawn at most every `interval` seconds within a step.
    """

    def __init__(
        self,
        stream: TextIO,
        wording: Callable[[str], str] = str,
        *,
        delay: float = 0.0,
        interval: float = 0.1,
    ) -> None:
        super().__init__(stream, wording)
        self._interval = interval
        self._first_time = time.monotonic() + delay
        self._next_time = 0.0
        self._step: str | None = None
        self._bar: RichProgress | None = None

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        """Draw the bar if it is time to: a new step is shown at once."""
        now = time.monotonic()
        if now < self._first_time or (step == self._step and now < self._next_time):
            return
        self._step, self._next_time = step, now + self._interval
        if self._bar is None:
            self._bar = _start_bar(self._stream)
        # Where a terminal is narrow, the numbers matter most.
        parts = _parts(share, self._printable(step), self._printable(detail))
        n_columns = self._bar.console.width - _BAR_WIDTH - 2
        while len(parts) > 1 and sum(map(len, parts)) + 2 * len(parts) - 2 > n_columns:
            parts.pop(0)
        total = None if share is None else 1.0
        task = self._bar.task_ids[0]
        self._bar.update(task, total=total, completed=share or 0.0, text="  ".join(parts))
        self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._step = None, None

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._write(self._printable(text))

    def _write(self, line: str) -> None:
        if self._bar is None:
            super()._write(line)
        else:
            from rich.text import Text

            self._bar.console.print(Text.from_ansi(line), highlight=False, soft_wrap=True)


def progress_on(
    stream: TextIO | None = None,
    *,
    quiet: bool = False,
    wording: Callable[[str], str] = str,
    delay: float = 0.0,
) -> Progress:
    """Return a bar on a terminal, lines elsewhere, or warnings alone if `quiet`.

    `stream` is standard error by default; see `BarProgress` for other parameters.
    """
    stream = stream or sys.stderr
    if quiet:
        return QuietProgress(stream, wording)
    if can_erase(stream):
        return BarProgress(stream, wording, delay=delay)
    return LineProgress(stream, wording)


def can_erase(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can erase text."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def check_progress(progress: Any) -> Progress:
    """Return `SILENT` for None, or the progress; raise OptionError if it lacks a method."""
    if progress is None:
        return SILENT
    if not isinstance(progress, Progress):
        raise option_error(
            "progress", progress, "None, or an object like those of `slugline.base.progress`"
        )
    return progress


def _parts(share: float | None, step: str, detail: str) -> list[str]:
    return [*([] if share is None else [f"{share:4.0%}"]), step, *([detail] if detail else [])]


def _start_bar(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(_BAR_WIDTH),
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(file=stream),
        transient=True,
        # A thread that draws would slow down the work.
        auto_refresh=False,
    )
    bar.add_task("", total=None, text="")
    bar.start()
    return bar
