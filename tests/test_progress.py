"""Training progress for a person: a bar on a terminal that leaves no trace, otherwise lines."""

from __future__ import annotations

import io
import re
import sys

import pytest

from slugline.base.progress import BarProgress, LineProgress, Progress, progress_on

METRICS = [
    {"loss": 2.53219, "accuracy": 0.5, "val_loss": 1.7, "val_accuracy": 0.62499},
    {"loss": 1.4, "accuracy": 0.7, "val_loss": 1.3, "val_accuracy": 0.75},
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


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    return Terminal()


def train(progress: Progress, metrics: list[dict[str, float]]) -> None:
    progress.begin(n_epochs=len(metrics), n_steps=3)
    for epoch, values in enumerate(metrics, start=1):
        for _ in range(3):
            progress.step()
        progress.epoch(epoch, values)
    progress.end()


def test_a_file_gets_one_plain_line_per_epoch() -> None:
    stream = io.StringIO()
    train(progress_on(stream), METRICS)
    assert stream.getvalue() == (
        "epoch 1/2  loss 2.5322  accuracy 0.5000  val_loss 1.7000  val_accuracy 0.6250\n"
        "epoch 2/2  loss 1.4000  accuracy 0.7000  val_loss 1.3000  val_accuracy 0.7500\n"
    )


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_note_is_a_line(is_terminal: bool) -> None:
    stream = Terminal() if is_terminal else io.StringIO()
    progress_on(stream).note("no better")
    assert stream.getvalue() == "no better\n"


def test_each_line_is_out_as_soon_as_its_epoch_is_over() -> None:
    binary = io.BytesIO()
    stream = io.TextIOWrapper(binary, write_through=False)
    progress = LineProgress(stream)
    progress.begin(n_epochs=2, n_steps=1)
    progress.epoch(1, {"loss": 2.0})
    assert binary.getvalue() == b"epoch 1/2  loss 2.0000\n"


def test_a_terminal_gets_a_bar_that_shows_the_metrics_and_leaves_the_screen_clean(
    terminal: Terminal,
) -> None:
    train(progress_on(terminal), METRICS)
    assert "val_loss 1.3000" in terminal.getvalue()
    assert set(terminal.screen()) == {""}
    assert terminal.shows_cursor()


def test_bar_and_metrics_fit_in_the_usual_eighty_columns(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    train(progress_on(terminal), METRICS)
    last_drawing = terminal.getvalue().rpartition("\r\x1b[2K")[2]
    assert "━" in last_drawing
    assert "…" not in last_drawing


def test_a_bar_that_is_stopped_half_way_leaves_the_screen_clean(terminal: Terminal) -> None:
    progress = progress_on(terminal)
    progress.begin(n_epochs=2, n_steps=3)
    progress.step()
    progress.end()
    assert set(terminal.screen()) == {""}
    assert terminal.shows_cursor()


def test_a_bar_can_be_used_for_one_training_after_another(terminal: Terminal) -> None:
    progress = progress_on(terminal)
    train(progress, METRICS)
    train(progress, METRICS)
    assert set(terminal.screen()) == {""}


@pytest.mark.parametrize(
    ("stream_class", "kind"), [(Terminal, BarProgress), (io.StringIO, LineProgress)]
)
def test_standard_error_is_the_stream_unless_another_is_given(
    stream_class: type[io.StringIO], kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_class()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = progress_on()
    assert type(progress) is kind
    train(progress, METRICS)
    assert stream.getvalue()
