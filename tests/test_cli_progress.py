"""The bar of a long job: shown to a person who is watching, and to nobody else."""

from __future__ import annotations

import io
import sys
import time

import pytest

from slugline.cli import output
from slugline.cli.output import DocumentBar, has_onlooker


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Patch = pytest.MonkeyPatch


def look_on(monkeypatch: Patch) -> Terminal:
    """Make standard error a terminal, and standard output a file."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    return stream


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def last_drawing(terminal: Terminal) -> str:
    return terminal.getvalue().rpartition("\r\x1b[2K")[2]


def test_a_bar_shows_documents_their_pace_and_the_share_of_the_file(
    monkeypatch: Patch, clock: Clock
) -> None:
    terminal = look_on(monkeypatch)
    with DocumentBar(is_wanted=True) as bar:
        clock.now += 2
        bar.update(5000, 0.25)
        assert "━" in last_drawing(terminal)
        assert " 25%" in last_drawing(terminal)
        assert "5,000 documents  2,500 a second" in last_drawing(terminal)
        clock.now += 2
        bar.update(12_000, 0.5)
        assert " 50%" in last_drawing(terminal)
        assert "12,000 documents  3,000 a second" in last_drawing(terminal)
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")  # one up, and erased


def test_without_a_share_the_metrics_are_shown_all_the_same(
    monkeypatch: Patch, clock: Clock
) -> None:
    terminal = look_on(monkeypatch)
    with DocumentBar(is_wanted=True) as bar:
        clock.now += 2
        bar.update(5000, None)
        assert "5,000 documents  2,500 a second" in last_drawing(terminal)


def test_a_job_that_is_over_soon_has_no_bar(monkeypatch: Patch, clock: Clock) -> None:
    terminal = look_on(monkeypatch)
    monkeypatch.setattr(output, "_start_bar", lambda: pytest.fail("rich was imported"))
    with DocumentBar(is_wanted=True) as bar:
        for _ in range(9):
            clock.now += 0.1
            bar.update(1000, 0.1)
    assert terminal.getvalue() == ""


def test_it_is_drawn_a_few_times_a_second_however_often_it_is_told(
    monkeypatch: Patch, clock: Clock
) -> None:
    terminal = look_on(monkeypatch)
    with DocumentBar(is_wanted=True) as bar:
        clock.now += 2
        for n in range(1000):
            clock.now += 0.001
            bar.update(n, 0.1)
        drawings = terminal.getvalue().count(" a second")
    assert 3 <= drawings <= 6


def test_what_is_not_wanted_is_not_drawn(monkeypatch: Patch, clock: Clock) -> None:
    terminal = look_on(monkeypatch)
    with DocumentBar(is_wanted=False) as bar:
        clock.now += 2
        bar.update(5000, 0.25)
    assert terminal.getvalue() == ""


def test_no_color_leaves_the_bar_without_colours(monkeypatch: Patch, clock: Clock) -> None:
    terminal = look_on(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    with DocumentBar(is_wanted=True) as bar:
        clock.now += 2
        bar.update(5000, 0.25)
        assert "━" in last_drawing(terminal)
        assert "\x1b[3" not in last_drawing(terminal)


# Who looks on -----------------------------------------------------------------------------------


def test_an_onlooker_has_a_terminal_for_standard_error_alone(monkeypatch: Patch) -> None:
    look_on(monkeypatch)
    assert has_onlooker()
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert not has_onlooker()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not has_onlooker()


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_erase_has_no_bar(monkeypatch: Patch, kind: str) -> None:
    look_on(monkeypatch)
    monkeypatch.setenv("TERM", kind)
    assert not has_onlooker()
