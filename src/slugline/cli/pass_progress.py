"""How learning from a stream goes: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slugline.cli.output import say
from slugline.cli.printable import printable
from slugline.cli.voice import in_flags

if TYPE_CHECKING:
    from rich.progress import Progress

    from slugline.progress import PassProgress

__all__ = ["pass_progress"]

# Seconds between two lines.
_INTERVAL = 10.0


@contextmanager
def pass_progress(quiet: bool) -> Iterator[PassProgress | None]:
    """Report the passes of `fit_stream`."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (BarColumn(bar_width=12), TaskProgressColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _OnBar(bar)


class _Lines:
    def __init__(self) -> None:
        self._next = 0.0

    def note(self, text: str) -> None:
        say(text)

    def passed(self, text: str, done: float | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _INTERVAL
        say(text if done is None else f"{done:4.0%}  {text}")


class _OnBar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def note(self, text: str) -> None:
        text = printable(in_flags(text))
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def passed(self, text: str, done: float | None) -> None:
        total = None if done is None else 1.0
        self._bar.update(self._task, description=text, completed=done or 0.0, total=total)
