"""Progress of commands: in their words, on standard error, and out of the way of answers."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import click
import pytest

from slugline.cli.output import show_progress
from slugline.cli.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _current_command() -> Iterator[None]:
    with click.Context(train):
        yield


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def streams(monkeypatch: pytest.MonkeyPatch, *, out: io.StringIO, err: io.StringIO) -> io.StringIO:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    return err


def test_show_progress_hidden_shows_warnings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = streams(monkeypatch, out=io.StringIO(), err=io.StringIO())
    with show_progress(hidden=True) as progress:
        progress.update("reading")
        progress.note("a note")
        progress.warning("odd")
    assert stream.getvalue() == "warning: odd\n"


def test_show_progress_removes_the_bar_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = streams(monkeypatch, out=io.StringIO(), err=Terminal())

    def interrupted() -> None:
        with show_progress() as progress:
            progress.update("reading", 0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "reading" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[1A\x1b[2K")  # one up, and erased


@pytest.mark.parametrize(
    ("out", "err", "term", "has_bar"),
    [
        (io.StringIO, Terminal, "xterm", True),
        (Terminal, Terminal, "xterm", False),
        (io.StringIO, io.StringIO, "xterm", False),
        (io.StringIO, Terminal, "dumb", False),
        (io.StringIO, Terminal, "unknown", False),
    ],
)
def test_show_progress_bar_only_depends_on_the_terminals(
    out: type[io.StringIO],
    err: type[io.StringIO],
    term: str,
    has_bar: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = streams(monkeypatch, out=out(), err=err())
    monkeypatch.setenv("TERM", term)
    with show_progress(bar_only=True) as progress:
        progress.update("predicting", 0.25, "5,000 documents  2,500 a second")
    assert ("5,000 documents" in stream.getvalue()) == has_bar
    assert bool(stream.getvalue()) == has_bar
