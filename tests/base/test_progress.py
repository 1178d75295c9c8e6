"""Progress for a person: a bar on a terminal that leaves no trace, lines elsewhere, or warnings."""

from __future__ import annotations

import io
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from slugline.base.progress import (
    BarProgress,
    LineProgress,
    LongStep,
    Progress,
    QuietProgress,
    SilentProgress,
    announce,
    check_progress,
    progress_on,
)
from slugline.errors import OptionError

METRICS = [
    "loss 2.5322  accuracy 0.5000  val_loss 1.7000  val_accuracy 0.6250",
    "loss 1.4000  accuracy 0.7000  val_loss 1.3000  val_accuracy 0.7500",
]


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and can tell what a person would see at the end."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines that are left, of all that was written, erased and written over."""
        lines, row, column = [""], 0, 0
        for step in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", self.getvalue()):
            if step == "\r":
                column = 0
            elif step == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif step == "\x1b[2K":
                lines[row] = ""
            elif up := re.fullmatch(r"\x1b\[(\d+)A", step):
                row -= int(up[1])
            elif not step.startswith("\x1b"):
                lines[row] = (
                    lines[row][:column].ljust(column) + step + lines[row][column + len(step) :]
                )
                column += len(step)
        return lines

    def shows_cursor(self) -> bool:
        return re.findall(r"\x1b\[\?25[hl]", self.getvalue())[-1] == "\x1b[?25h"

    def last_drawing(self) -> str:
        return self.getvalue().rpartition("\r\x1b[2K")[2]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    return Terminal()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr("slugline.base.progress._SHORT", 1.0)
    return clock


def train(progress: Progress) -> None:
    """Report two epochs of three batches, as a net does."""
    step, metrics = "training", ""
    for epoch in range(2):
        for batch in range(3):
            progress.update(step, (3 * epoch + batch + 1) / 6, metrics)
        step, metrics = f"epoch {epoch + 1}/2", METRICS[epoch]
        progress.update(step, (epoch + 1) / 2, metrics)
    progress.close()


# Lines ------------------------------------------------------------------------------------------


def test_line_progress_writes_a_line_for_each_step() -> None:
    stream = io.StringIO()
    train(progress_on(stream))
    assert stream.getvalue() == (
        " 17%  training\n"
        " 50%  epoch 1/2  loss 2.5322  accuracy 0.5000  val_loss 1.7000  val_accuracy 0.6250\n"
        "100%  epoch 2/2  loss 1.4000  accuracy 0.7000  val_loss 1.3000  val_accuracy 0.7500\n"
    )


def test_line_progress_writes_at_intervals_within_a_step(clock: Clock) -> None:
    stream = io.StringIO()
    progress = progress_on(stream)
    progress.update("reading", None, "100 documents")
    progress.note("3 rows skipped")
    clock.now += 9
    progress.update("reading", None, "200 documents")
    clock.now += 2
    progress.update("reading", 0.123, "300 documents")
    assert stream.getvalue() == (
        "reading  100 documents\n3 rows skipped\n 12%  reading  300 documents\n"
    )


def test_line_progress_writes_nothing_in_the_first_second_if_it_is_late(clock: Clock) -> None:
    stream = io.StringIO()
    progress = progress_on(stream, is_late=True)
    progress.update("reading", 0.1)
    clock.now += 2
    progress.update("reading", 0.2)
    assert stream.getvalue().endswith(" left  reading\n")
    assert stream.getvalue().count("\n") == 1


def test_time_left_is_estimated_from_the_first_update(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.interval = 0.0
    for seconds, step, share in [
        (0, "reading", 0.5),  # too early to tell
        (10, "reading", 0.5),  # no faster than before
        (10, "reading", 0.6),  # a tenth in 20 seconds
        (3980, "reading", 0.9),
        (1, "learning", 0.0),  # the next step has its own
        (36_000, "learning", 0.75),
        (1, "learning", 1.0),
        (1, "closing", None),
    ]:
        clock.now += seconds
        progress.update(step, share)
    assert stream.getvalue().splitlines() == [
        " 50%  reading",
        " 50%  reading",
        " 60%  1:20 left  reading",
        " 90%  16:40 left  reading",
        "  0%  learning",
        " 75%  3:20:00 left  learning",
        "100%  learning",
        "closing",
    ]


# Steps that may be over soon --------------------------------------------------------------------


def test_long_step_reports_after_a_second(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.interval = 0.0
    step = LongStep(progress, "reading", 40)
    step.add(10)
    clock.now += 2
    step.add(10)
    step.update(None)
    step.add(30)  # more than expected
    assert stream.getvalue() == " 50%  reading\nreading\n100%  reading\n"


def test_long_step_adds_from_several_threads(clock: Clock) -> None:
    shares: list[float | None] = []

    class Shares(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            shares.append(share)

    step = LongStep(Shares(), "learning", 4000)
    clock.now += 2
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(step.add, [1.0] * 4000))
    assert shares == [n / 4000 for n in range(1, 4001)]


# A bar ------------------------------------------------------------------------------------------


def test_bar_progress_shows_details_and_erases_itself(terminal: Terminal) -> None:
    train(progress_on(terminal))
    assert "100%  epoch 2/2  loss 1.4000" in terminal.getvalue()
    assert set(terminal.screen()) == {""}
    assert terminal.shows_cursor()


def test_bar_progress_fits_in_80_columns(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    train(progress_on(terminal))
    assert "━" in terminal.last_drawing()
    assert METRICS[1] in terminal.last_drawing()
    assert "…" not in terminal.last_drawing()


def test_bar_progress_writes_a_note_above_the_bar(terminal: Terminal) -> None:
    progress = progress_on(terminal)
    progress.update("reading [1]", None)
    progress.note("3 rows [skipped]\x1b")
    progress.update("pass 7", 0.5)
    assert "reading [1]" in terminal.getvalue()
    assert re.search(r"━.* 50%  pass 7", terminal.last_drawing())
    progress.close()
    assert terminal.screen()[0] == "3 rows [skipped]\\x1b"
    assert set(terminal.screen()[1:]) == {""}


def test_progress_respects_no_color(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    progress = progress_on(terminal)
    progress.update("predicting", 0.25)
    assert "━" in terminal.last_drawing()
    progress.warning("odd")
    assert "\x1b[3" not in terminal.getvalue()
    progress.close()


# Notes and warnings -----------------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [False, True])
def test_every_progress_shows_warnings(quiet: bool, terminal: Terminal) -> None:
    stream = io.StringIO()
    progress_on(stream, quiet=quiet).warning("too few\x1b")
    assert stream.getvalue() == "warning: too few\\x1b\n"
    progress_on(terminal, quiet=quiet).warning("too few")
    assert terminal.getvalue() == "\x1b[33mwarning: too few\x1b[0m\n"


def test_quiet_progress_shows_only_warnings() -> None:
    stream = io.StringIO()
    progress = progress_on(stream, quiet=True)
    train(progress)
    progress.note("no better")
    assert stream.getvalue() == ""


# Which one --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream_class", "term", "quiet", "kind"),
    [
        (Terminal, "xterm", False, BarProgress),
        (Terminal, "dumb", False, LineProgress),
        (Terminal, "unknown", False, LineProgress),
        (io.StringIO, "xterm", False, LineProgress),
        (Terminal, "xterm", True, QuietProgress),
        (io.StringIO, "xterm", True, QuietProgress),
    ],
)
def test_progress_on_uses_standard_error_by_default(
    stream_class: type[io.StringIO],
    term: str,
    quiet: bool,
    kind: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = stream_class()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    progress = progress_on(quiet=quiet)
    assert type(progress) is kind
    progress.warning("odd")
    assert "warning: odd" in stream.getvalue()


def test_check_progress_rejects_other_objects() -> None:
    class Half:
        def update(self, step: str, share: float | None = None, detail: str = "") -> None: ...

    assert isinstance(check_progress(None), SilentProgress)
    progress = LineProgress(io.StringIO())
    assert check_progress(progress) is progress
    with pytest.raises(OptionError, match=r"^`progress` is <.*>; give None, or an object like"):
        check_progress(Half())


@pytest.mark.parametrize(
    ("seconds", "words"), [(59.9, ""), (60, "about 1 minute;"), (150, "about 2 minutes;")]
)
def test_announce_notes_only_long_work(seconds: float, words: str) -> None:
    stream = io.StringIO()
    announce(LineProgress(stream), "tuning", seconds, "; Ctrl-C ends it")
    expected = f"tuning, which takes {words} Ctrl-C ends it\n" if words else ""
    assert stream.getvalue() == expected
