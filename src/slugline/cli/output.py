"""Where output goes: data to standard output, messages to standard error."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import click

from slugline.base.progress import Progress, can_erase, progress_on
from slugline.base.wording import printable, printable_json

# Flags in messages --------------------------------------------------------------------------------

#: Flags named like their parameter, apart from dashes.
_ALIKE = """
    checkpoint corrections_of coverage encoder encoding fold_topics format id jobs learn_every
    learn_from learner min_precision models optimize output overwrite per_topic quantize report
    resume seeds separator skip_bad_rows strict test test_fraction text timeout to top topic
    topic_columns topic_path topic_separator tune unlabelled validation
""".split()  # noqa: SIM905
#: The flag of each parameter.
FLAGS = {name: "--" + name.replace("_", "-") for name in _ALIKE} | {
    "against": "--not",
    "class_weight": "--balanced",
    "columns": "--column",
    "descriptions": "--topics",
    "first_seed": "--seed",
    "n_draws": "--draws",
    "n_folds": "--folds",
    "n_jobs": "--threads",
    "n_seeds": "--seeds",
    "n_threads": "--threads",
    "n_workers": "--workers",
    "random_state": "--seed",
    "topic_map": "--map-topics",
    "validation_data": "--validation",
    "X_unlabelled": "--unlabelled",
}

_PARAMETER = re.compile(r"`(\w+)(?:=([^`]*))?`")
# Values that the flag alone implies.
_SILENT = ("True", '"balanced"', "'balanced'")


def name_flags(message: str) -> str:
    """Return a message of the library in the command line's words.

    >>> name_flags("`topic` is 3; for more, pass `tune=True` or `n_seeds=6`, not `classes`.")
    '--topic is 3; for more, pass --tune or --seeds 6, not `classes`.'
    """
    return _PARAMETER.sub(_flag, message)


def _flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name not in FLAGS:
        return match[0]
    return FLAGS[name] if value is None or value in _SILENT else f"{FLAGS[name]} {value}"


# Output -------------------------------------------------------------------------------------------

#: The exit status after Ctrl-C.
INTERRUPTED = 130
#: Where click's context says whether --quiet was given.
QUIET = "slugline.quiet"


def is_quiet() -> bool:
    """Whether the command that runs prints nothing on standard error but warnings."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(QUIET, False)


def log_to_standard_error(
    noisy: Iterable[str] = (), formatter: logging.Formatter | None = None
) -> logging.Logger:
    """Log to standard error, or warnings alone; of the libraries named, these in any case.

    Returns the logger of the package.
    """
    logging.basicConfig(
        level=logging.WARNING if is_quiet() else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for name in noisy:
        logging.getLogger(name).setLevel(logging.WARNING)
    [handler, *_] = logging.getLogger().handlers
    if formatter is not None:
        handler.setFormatter(formatter)
    else:
        handler.addFilter(_escape_record)
    return logging.getLogger("slugline")


def _escape_record(record: logging.LogRecord) -> bool:
    """Have a message on one line of the log, whatever names are in it."""
    record.msg, record.args = printable(record.getMessage(), keep=""), None
    return True


def show(*lines: str) -> None:
    """Print lines that are a result, an empty one by default; names in them add no lines."""
    for line in lines or ("",):
        click.echo(printable(line, keep="\t"))


def say(message: str) -> None:
    """Print a message that is not a result."""
    if not is_quiet():
        click.echo(printable(name_flags(message), keep=""), err=True)


def warn(messages: Iterable[str]) -> None:
    """Print what may be wrong; not even --quiet suppresses a warning."""
    # Off a terminal click drops colours by itself.
    colour = False if os.environ.get("NO_COLOR") else None
    for message in messages:
        click.secho(
            f"warning: {printable(name_flags(message), keep='')}",
            fg="yellow",
            err=True,
            color=colour,
        )


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning of the library, in place of `warnings.showwarning`."""
    warn([str(message)])


def print_json(value: Any) -> None:
    """Print one JSON value; NaN, which JSON lacks, is an error here."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(printable_json(text))


def print_table(rows: Sequence[Sequence[str]], left_aligned: Container[int] = (0,)) -> None:
    """Print rows in columns, right-aligned unless their number is in `left_aligned`."""
    rows = [[printable(cell, keep="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if number in left_aligned else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def exit_if_interrupted(*results: Any) -> None:
    """End with 130 if a result stopped early, so that no script takes it for the whole one."""
    if any(result is not None and result.interrupted for result in results):
        raise click.exceptions.Exit(INTERRUPTED)


# Progress -----------------------------------------------------------------------------------------


@contextmanager
def show_progress(
    *, hidden: bool = False, bar_only: bool = False, delay: float = 0.0
) -> Iterator[Progress]:
    """Yield what shows progress on standard error, in the command line's words.

    Parameters
    ----------
    hidden : bool, default False
        Show warnings alone, as with --quiet.
    bar_only : bool, default False
        For a command that prints answers as it goes: nothing off a terminal, and no bar on one that
        shows the answers too.
    delay : float, default 0
        Seconds before anything is shown.
    """
    quiet = hidden or is_quiet() or (bar_only and not has_onlooker())
    with closing(progress_on(quiet=quiet, wording=name_flags, delay=delay)) as progress:
        yield progress


@contextmanager
def explain_interrupt(message: Callable[[], str]) -> Iterator[None]:
    """Say after Ctrl-C what there is, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        say(message())
        raise


def has_onlooker() -> bool:
    """Whether somebody would see a bar that doesn't run into answers on standard output."""
    return can_erase(sys.stderr) and not sys.stdout.isatty()
