"""Progress reporting: a protocol, and implementations that show a bar, lines or nothing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TextIO, runtime_checkable

from slugline.base.checks import option_error
from slugline.base.wording import counted, printable
from slugline.errors import Message

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


# Maximum width of the bar itself in columns.
_BAR_WIDTH = 12
# Announce work with at least this expected duration in seconds.
_LONG = 60.0
# Seconds before showing the time left, or the progress of steps that are usually shorter.
_SHORT = 1.0

#: Message after the first Ctrl-C; the placeholder names the work in progress.
INTERRUPTED = "interrupted: {}; press Ctrl-C again to stop now"


@runtime_checkable
class Progress(Protocol):
    """Receives progress of training, passes over documents, files and downloads.

    Callers of `update` must also call `close`, even after an error. The object can be reused.
    """

    def update(self, step: str, fraction: float | None = None, detail: str = "") -> None:
        """Report how much of the work is done.

        Parameters
        ----------
        step : str
            The current step; each gets a line in a log.
        fraction : float, optional
            Completed fraction (0 to 1) of this step or of all work; None if unknown.
        detail : str
            Current numbers; they may change with every call.
        """

    def note(self, text: str) -> None:
        """Report a message that stays visible."""

    def warning(self, text: str) -> None:
        """Report a possible problem."""

    def close(self) -> None:
        """Report the end of the work, whether or not it succeeded."""


class SilentProgress:
    """Shows nothing."""

    def update(self, step: str, fraction: float | None = None, detail: str = "") -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def warning(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


#: Shared instance that shows no progress.
SILENT: Progress = SilentProgress()


class QuietProgress(SilentProgress):
    """Shows only warnings; `wording` rewrites messages, for example to name command-line flags."""

    def __init__(self, stream: TextIO, wording: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._wording = wording

    def warning(self, text: str) -> None:
        """Write a line, yellow on a terminal."""
        line = f"warning: {self._printable(text)}"
        in_colour = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._write(f"\x1b[33m{line}\x1b[0m" if in_colour else line)

    def _printable(self, text: str) -> str:
        return printable(self._wording(text), keep="")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class LineProgress(QuietProgress):
    """Writes a line for each step, and every `interval` seconds within a step.

    With `is_late`, the first line appears after a second.
    """

    interval = 10.0

    def __init__(
        self, stream: TextIO, wording: Callable[[str], str] = str, *, is_late: bool = False
    ) -> None:
        super().__init__(stream, wording)
        self._first_time = time.monotonic() + (_SHORT if is_late else 0.0)
        self._next_time = 0.0
        self._step: str | None = None
        self._pace = _Pace()

    def update(self, step: str, fraction: float | None = None, detail: str = "") -> None:
        """Show fraction, time left, step and detail, immediately for a new step."""
        now = time.monotonic()
        time_left = self._pace.time_left(now, fraction)
        if now < self._first_time or (step == self._step and now < self._next_time):
            return
        self._step, self._next_time = step, now + self.interval
        percent = "" if fraction is None else f"{fraction:4.0%}"
        self._show((percent, time_left, self._printable(step), self._printable(detail)), fraction)

    def _show(self, parts: _Parts, fraction: float | None) -> None:  # noqa: ARG002
        self._write(_join(parts))

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(self._printable(text))

    def close(self) -> None:
        """Reset the timer so that the next update starts a new step."""
        self._step, self._pace = None, _Pace()


class BarProgress(LineProgress):
    """Draws a bar on a terminal, below any notes, and removes it at the end.

    With `is_late`, the bar appears after a second; it is redrawn at most every `interval` seconds.
    """

    interval = 0.1
    _bar: RichProgress | None = None

    def _show(self, parts: _Parts, fraction: float | None) -> None:
        bar = self._bar = self._bar or _start_bar(self._stream)
        width = bar.console.width
        text = _fit_width(parts, width - _bar_width(width) - 2)
        total = None if fraction is None else 1.0
        bar.update(bar.task_ids[0], total=total, completed=fraction or 0.0, text=text)
        bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
        super().close()

    def _write(self, line: str) -> None:
        bar = self._bar  # a note after an interrupt comes from another thread
        if bar is None:
            super()._write(line)
        else:
            from rich.text import Text

            bar.console.print(Text.from_ansi(line), highlight=False, soft_wrap=True)


def announce(progress: Progress, work: str, seconds: float, advice: str = "") -> None:
    """Report the expected duration of work that takes about a minute or longer."""
    if seconds >= _LONG:
        minutes = counted(round(seconds / 60), "minute")
        progress.note(Message(work, f", which takes about {minutes}", advice))


class LongStep:
    """Reports the progress of a step after its first second. Thread-safe.

    Parameters
    ----------
    progress : Progress
    step : str
    total : float
        Sum of the amounts passed to `add`.
    """

    def __init__(self, progress: Progress, step: str, total: float = 1.0) -> None:
        self._progress, self._step, self._total = progress, step, total
        self._done, self._first_time = 0.0, time.monotonic() + _SHORT
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        """Add to the completed work and report progress."""
        with self._lock:
            self._done += amount
            self.update(min(self._done / self._total, 1.0))

    def update(self, fraction: float | None) -> None:
        """Report the completed fraction; None if unknown."""
        if time.monotonic() >= self._first_time:
            self._progress.update(self._step, fraction)


def progress_on(
    stream: TextIO | None = None,
    *,
    quiet: bool = False,
    wording: Callable[[str], str] = str,
    is_late: bool = False,
) -> Progress:
    """Return a bar on a terminal, lines elsewhere, or only warnings if `quiet`.

    `stream` defaults to standard error; see `BarProgress` for the other parameters.
    """
    stream = stream or sys.stderr
    if quiet:
        return QuietProgress(stream, wording)
    if can_erase(stream):
        return BarProgress(stream, wording, is_late=is_late)
    return LineProgress(stream, wording, is_late=is_late)


def can_erase(stream: TextIO) -> bool:
    """Return True if a stream is a terminal that can erase text."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def check_progress(progress: Any) -> Progress:
    """Return `progress`, or `SILENT` for None; raise OptionError if a method is missing."""
    if progress is None:
        return SILENT
    if not isinstance(progress, Progress):
        raise option_error(
            "progress", progress, "None, or an object like those of `slugline.base.progress`"
        )
    return progress


#: Fraction, time left, step and detail as text; empty if unknown.
_Parts = tuple[str, str, str, str]


class _Pace:
    """Estimates the time left from the pace since the first update."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None
        self._last_fraction = 0.0

    def time_left(self, now: float, fraction: float | None) -> str:
        """Format the time left; empty if it can't be estimated yet."""
        if fraction is None:
            return ""
        if self._start is None or fraction < self._last_fraction:  # another step began
            self._start = now, fraction
        self._last_fraction = fraction
        elapsed, n_more = now - self._start[0], fraction - self._start[1]
        if elapsed < _SHORT or n_more <= 0 or fraction >= 1:
            return ""
        minutes, seconds = divmod(round(elapsed * (1 - fraction) / n_more), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02} left"


def _join(parts: Iterable[str]) -> str:
    return "  ".join(filter(None, parts))


def _fit_width(parts: _Parts, n_columns: int) -> str:
    """Join the parts that fit into `n_columns`, dropping less important ones first."""
    percent, time_left, step, detail = parts  # the bar also shows the fraction
    shorter = [(time_left, detail), (detail,)] if detail else []
    for texts in (parts, parts[1:], *shorter):
        if len(text := _join(texts)) <= n_columns:
            return text
    return f"{_join((percent, time_left, step))[: max(0, n_columns - 1)]}…"


def _bar_width(n_columns: int) -> int:
    return min(_BAR_WIDTH, n_columns // 4)


def _start_bar(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(file=stream)
    bar = Progress(
        BarColumn(_bar_width(console.width)),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
        transient=True,
        # A drawing thread would slow down the work.
        auto_refresh=False,
    )
    bar.add_task("", total=None, text="")
    bar.start()
    return bar
