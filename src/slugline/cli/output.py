"""Where output goes: data to standard output, messages to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from slugline.errors import SluglineError

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress

    from slugline.base.progress import PassProgress, StepProgress
    from slugline.evaluation.evaluation import Evaluation
    from slugline.evaluation.intervals import Interval
    from slugline.evaluation.paired import PairedComparison

__all__ = [
    "FLAGS",
    "DocumentBar",
    "can_erase",
    "has_onlooker",
    "log_to_standard_error",
    "name_flags",
    "pass_progress",
    "print_evaluation",
    "print_json",
    "print_paired",
    "print_table",
    "printable",
    "printable_json",
    "say",
    "shares",
    "show",
    "step_progress",
    "warn",
    "write_file",
]


# Reword the library's messages for the command line: parameters in backticks become flags ---------

#: Flags named like their parameter, apart from dashes.
_ALIKE = (
    *(
        "batch_size",
        "checkpoint",
        "correction_weight",
        "corrections_of",
        "coverage",
        "dropout",
        "encoder",
        "encoding",
        "epochs",
        "fold_topics",
        "format",
        "hidden",
        "id",
    ),
    *(
        "l2",
        "learn_every",
        "learn_from",
        "learner",
        "learning_rate",
        "max_size",
        "min_precision",
        "num_words",
        "optimizer",
        "output",
        "overwrite",
        "patience",
        "per_topic",
    ),
    *(
        "quantize",
        "report",
        "seeds",
        "skip_bad_rows",
        "strict",
        "test",
        "test_fraction",
        "text",
        "top",
    ),
    *("to", "topic", "tune", "validation", "validation_fraction", "weighting"),
)
#: The flag of each parameter.
FLAGS = {name: "--" + name.replace("_", "-") for name in _ALIKE} | {
    "against": "--not",
    "class_weight": "--balanced",
    "descriptions": "--topics",
    "first_seed": "--seed",
    "max_terms": "--num-words",
    "jobs": "--jobs",
    "models": "--models",
    "n_draws": "--draws",
    "n_folds": "--folds",
    "n_jobs": "--threads",
    "n_seeds": "--seeds",
    "n_threads": "--threads",
    "n_workers": "--workers",
    "resume": "--resume",
    "timeout": "--timeout",
    "random_state": "--seed",
    "topic_map": "--map-topics",
    "validation_data": "--validation",
}

_PARAMETER = re.compile(r"`(\w+)(?:=([^`]*))?`")
# Values that the flag alone implies.
_SILENT = ("True", '"balanced"', "'balanced'")


def name_flags(message: str) -> str:
    """Return a message of the library in the command line's words.

    >>> in_flags("`dropout` is 3; for more, pass `tune=True` or `hidden=64`, not `classes`.")
    '--dropout is 3; for more, pass --tune or --hidden 64, not `classes`.'
    """
    return _PARAMETER.sub(_flag, message)


def _flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name not in FLAGS:
        return found[0]
    return FLAGS[name] if value is None or value in _SILENT else f"{FLAGS[name]} {value}"


# Make text from anywhere safe to print: a terminal finds nothing in it to obey --------------------

# Control characters, those that change the direction of writing, and halves of characters, which
# UTF-8 can't encode.
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "\n\t") -> str:
    r"""Return the text with an escape sequence for each character that can't be seen.

    Parameters
    ----------
    text : str
    keep : str, default newline and tab
        Control characters to leave as they are.

    >>> print(printable("\x1b[2Jzinc\u202e"))
    \x1b[2Jzinc\u202e
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def printable_json(text: str) -> str:
    r"""Return the same JSON with escapes for characters that JSON allows but nobody can see.

    >>> print(printable_json('{"topic":"\x9b2Jzinc"}'))
    {"topic":"\u009b2Jzinc"}
    """
    # JSON has newlines only between strings; within them it escapes newlines itself.
    return _UNSEEN.sub(
        lambda found: found[0] if found[0] == "\n" else rf"\u{ord(found[0]):04x}", text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return rf"\x{code:02x}" if code < 256 else rf"\u{code:04x}"


# Where output goes: data to standard output, messages to standard error ---------------------------


def log_to_standard_error(quiet: bool, noisy: Iterable[str] = ()) -> None:
    """Log to standard error, or warnings alone; of the libraries named, these in any case."""
    import logging

    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for name in noisy:
        logging.getLogger(name).setLevel(logging.WARNING)


def show(text: str = "") -> None:
    """Print text that is a result."""
    typer.echo(printable(text))


def say(message: str, *, quiet: bool = False) -> None:
    """Print a message that is not a result."""
    if not quiet:
        typer.echo(printable(name_flags(message)), err=True)


def warn(messages: Iterable[str]) -> None:
    """Print what may be wrong; not even --quiet suppresses a warning."""
    # Off a terminal typer drops colours by itself.
    colour = False if os.environ.get("NO_COLOR") else None
    for message in messages:
        typer.secho(
            f"warning: {printable(name_flags(message))}", fg="yellow", err=True, color=colour
        )


def print_json(value: Any) -> None:
    """Print one JSON value; NaN, which JSON lacks, is an error here."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo(printable_json(text))


def print_table(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> None:
    """Print rows in columns, left-aligned if their number is in `left`, else right-aligned."""
    rows = [[printable(cell, keep="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    SluglineError : if it can't be written; an earlier one then stays.
    """
    from slugline.base.files import write_whole

    try:
        write_whole(path, data)
    except OSError as error:
        raise SluglineError(
            f"{path} can't be written ({error.strerror or error}); name another place."
        ) from error


# The progress of a long job, shown on standard error to a person who is watching ------------------

# Seconds. A shorter job needs no bar, so it doesn't pay for one.
_DELAY = 1.0
# Seconds between two drawings.
_DRAW_INTERVAL = 0.25


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
        self._next = now + _DRAW_INTERVAL
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
        yield _StepLines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _StepBar(bar)


class _StepLines:
    def __init__(self) -> None:
        self._said = ""

    def __call__(self, step: str, n_done: int, n_fits: int) -> None:
        if step != self._said:
            say(f"{n_done}/{n_fits}  {step}")
        self._said = step


class _StepBar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def __call__(self, step: str, n_done: int, n_fits: int) -> None:
        self._bar.update(self._task, description=step, completed=n_done, total=n_fits)


# How learning from a stream goes: a bar on a terminal, otherwise a line now and then --------------

# Seconds between two lines.
_LINE_INTERVAL = 10.0


@contextmanager
def pass_progress(quiet: bool) -> Iterator[PassProgress | None]:
    """Report the passes of `fit_stream`."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield _PassLines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (BarColumn(bar_width=12), TaskProgressColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _PassBar(bar)


class _PassLines:
    def __init__(self) -> None:
        self._next = 0.0

    def note(self, text: str) -> None:
        say(text)

    def passed(self, text: str, done: float | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_INTERVAL
        say(text if done is None else f"{done:4.0%}  {text}")


class _PassBar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def note(self, text: str) -> None:
        text = printable(name_flags(text))
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def passed(self, text: str, done: float | None) -> None:
        total = None if done is None else 1.0
        self._bar.update(self._task, description=text, completed=done or 0.0, total=total)


# What the screen shows of an evaluation, and of two models on the same documents ------------------

# Under this, luck alone is no good explanation.
_RARE = 0.05
_N_MISTAKES = 5
# With three places, smaller values would look like 0.
_LEAST_SHOWN = 0.001

Row = tuple[str, str, str]


def shares(evaluation: Evaluation) -> Iterator[Row]:
    """Return the rows of accuracy and F1, each with its 95 % interval."""
    yield "accuracy", _share(evaluation.accuracy), _ends(evaluation.interval)
    yield (
        "macro-F1",
        _share(evaluation.macro_f1),
        f"{_ends(evaluation.macro_f1_interval)}; every topic counts the same",
    )
    yield (
        "weighted F1",
        _share(evaluation.weighted_f1),
        f"{_ends(evaluation.weighted_f1_interval)}; every document counts the same",
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """Print all metrics, those of every topic, and the most common mistakes."""
    print_table(
        [
            ("documents", f"{evaluation.n_documents:,}", ""),
            *shares(evaluation),
            *_of_probabilities(evaluation),
        ],
        left=(0, 2),
    )
    show()
    shown = sorted(evaluation.per_topic(), key=lambda figures: -figures.n_documents)
    rows = [("topic", "documents", "precision", "recall", "F1")]
    rows += [
        (f.topic, str(f.n_documents), _share(f.precision), _share(f.recall), _share(f.f1))
        for f in shown
    ]
    print_table(rows)
    mistakes = evaluation.confusions(_N_MISTAKES)
    if mistakes:
        show("\nmost common mistakes")
        for true, predicted, n in mistakes:
            show(f"  {true} taken for {predicted}: {n}")


def print_paired(paired: PairedComparison, first: str, second: str) -> None:
    """Print both models' metrics side by side, and whether luck alone may explain how they differ.

    Parameters
    ----------
    paired : Paired
    first, second : names of the models
    """
    show(f"\n{first} and {second} on the same documents")
    print_table(
        [
            ("", "first", "second", "difference", ""),
            (
                "accuracy",
                _share(paired.accuracy_first),
                _share(paired.accuracy_second),
                f"{paired.accuracy_difference:+.3f}",
                _ends(paired.accuracy_interval),
            ),
            (
                "macro-F1",
                _share(paired.macro_f1_first),
                _share(paired.macro_f1_second),
                f"{paired.macro_f1_difference:+.3f}",
                _ends(paired.macro_f1_interval),
            ),
            (
                "right, other wrong",
                f"{paired.n_first:,}",
                f"{paired.n_second:,}",
                f"{paired.n_first - paired.n_second:+,}",
                f"{_p(paired.p_value)} by McNemar's exact test",
            ),
        ],
        left=(0, 4),
    )
    show(_verdict(paired, first, second))


def _verdict(paired: PairedComparison, first: str, second: str) -> str:
    if paired.p_value >= _RARE:
        return "neither is shown to be more accurate: the difference may be luck"
    better = first if paired.n_first > paired.n_second else second
    return f"{better} is more accurate: luck alone would rarely make such a difference"


def _p(value: float) -> str:
    return "p < 0.001" if value < _LEAST_SHOWN else f"p = {value:.3f}"


def _of_probabilities(evaluation: Evaluation) -> Iterator[Row]:
    for k in evaluation.top_ks[:3]:
        yield f"top {k}", _share(evaluation.top_k(k)), f"the topic is among the {k} likeliest"
    yield "log loss", _share(evaluation.log_loss), "nats; lower is better"
    yield "Brier score", _share(evaluation.brier_score), "from 0 to 2; lower is better"
    n_bins = len(evaluation.reliability())
    bins = "1 bin" if n_bins == 1 else f"{n_bins} bins of equally many documents"
    yield (
        "calibration",
        _share(evaluation.calibration_error),
        f"mean gap between probability and share right, in {bins}; "
        f"chance alone makes {_share(evaluation.chance_error)}",
    )


def _ends(interval: Interval) -> str:
    return f"95 % interval {interval.low:.3f} to {interval.high:.3f}"


def _share(value: float) -> str:
    """Return a number with three places, or a dash if it is not defined."""
    return "-" if value != value else f"{value:.3f}"
