"""Print results to standard output and messages to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from slugline.base.files import write_result
from slugline.base.progress import Progress, can_erase, progress_on
from slugline.base.wording import printable, printable_json
from slugline.errors import Message, Parameter

if TYPE_CHECKING:
    import logging
    from pathlib import Path

# Flags in messages --------------------------------------------------------------------------------


def flags_of(options: Iterable[click.Parameter]) -> dict[str, str]:
    """Return the flag of each parameter, keyed by its names on the command line and in Python.

    >>> flags_of([click.Option(["-c", "--column", "columns"])])
    {'columns': '--column'}
    """
    return {
        str(name): max(option.opts, key=len)
        for option in options
        if isinstance(option, click.Option)
        for name in (option.name, *getattr(option, "parameters", ()))
    }


def name_flags(message: str, command: click.Command | None = None) -> str:
    """Return a message with the flags of a command, by default the current one.

    Parameters unknown to the command get their flag in `slugline train`, because messages about a
    model may advise retraining.
    """
    context = click.get_current_context(silent=True)
    if command is None and context is not None:
        command = context.command
    if command is None or not isinstance(message, Message):
        return message
    params = command.params

    def word(parameter: Parameter) -> str:
        option = _find_param(params, parameter.name) or _find_train_option(parameter.name)
        if not isinstance(option, click.Option):
            return str(parameter)
        flag = max(option.opts, key=len)
        if parameter.value is not None and not option.is_flag:
            import shlex

            flag = f"{flag} {shlex.quote(str(parameter.value))}"
        return parameter.phrase.format(flag)

    return message.render(word)


def _find_param(params: Iterable[click.Parameter], name: str) -> click.Parameter | None:
    """Find a parameter by its name on the command line or in Python."""
    for param in params:
        if name == param.name or name in getattr(param, "parameters", ()):
            return param
    return None


def _find_train_option(name: str) -> click.Parameter | None:
    from slugline.cli.app import import_command

    return _find_param(import_command("train").params, name)


# Output -------------------------------------------------------------------------------------------

#: The exit status after Ctrl-C.
INTERRUPTED = 130
#: Keys for --quiet and for the running command in click's context.
QUIET, COMMAND = "slugline.quiet", "slugline.command"


def is_quiet() -> bool:
    """True if the current command prints only warnings to standard error."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(QUIET, False)


def log_to_standard_error(
    noisy: Iterable[str] = (),
    formatter: logging.Formatter | None = None,
    *,
    only_warnings: bool | None = None,
) -> logging.Logger:
    """Log to standard error: only warnings from the `noisy` libraries.

    `only_warnings`, which defaults to --quiet, extends this to all libraries.

    Returns the package logger.
    """
    import logging

    only_warnings = is_quiet() if only_warnings is None else only_warnings
    logging.basicConfig(
        level=logging.WARNING if only_warnings else logging.INFO,
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
    """Escape a record so that its message is always a single line."""
    record.msg, record.args = printable(record.getMessage(), keep=""), None
    return True


def show(*lines: str) -> None:
    """Print lines of a result (by default, an empty line), escaping line breaks in names."""
    for line in lines or ("",):
        click.echo(printable(line, keep="\t"))


def say(message: str) -> None:
    """Print a message that is not a result."""
    if not is_quiet():
        click.echo(printable(name_flags(message), keep=""), err=True)


def warn(messages: Iterable[str]) -> None:
    """Print warnings, even with --quiet."""
    # click strips colours if the output is not a terminal.
    colour = False if os.environ.get("NO_COLOR") else None
    for message in messages:
        click.secho(
            f"warning: {printable(name_flags(message), keep='')}",
            fg="yellow",
            err=True,
            color=colour,
        )


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a library warning; replaces `warnings.showwarning`."""
    text = message.args[0] if isinstance(message, Warning) else message
    warn([text if isinstance(text, Message) else str(message)])


def print_json(value: Any) -> None:
    """Print a JSON value; NaN raises an error."""
    import json

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


def write_table(output: Path | None, table: bytes, content: str, encoding: str = "utf-8") -> None:
    """Write a CSV file and print its content and path; without `output`, print the table."""
    if output is not None:
        write_result(output, table, "table")
        show(f"{content}: {output}")
    elif sys.stdout.isatty():  # escape control sequences
        click.echo(printable(table.decode(encoding)), nl=False)
    else:
        click.echo(table, nl=False)


def exit_if_interrupted(*results: Any) -> None:
    """Exit with 130 if a result is incomplete, so that scripts can detect it."""
    if any(result is not None and result.interrupted for result in results):
        raise click.exceptions.Exit(INTERRUPTED)


# Progress -----------------------------------------------------------------------------------------


@contextmanager
def show_progress(
    *, hidden: bool = False, bar_only: bool = False, is_late: bool = False
) -> Iterator[Progress]:
    """Yield an object that shows progress on standard error, with flags in its messages.

    Parameters
    ----------
    hidden : bool, default False
        Show only warnings, as with --quiet.
    bar_only : bool, default False
        For commands that print answers one by one: show nothing unless standard error is a
        terminal, and no bar if the answers appear on the same terminal.
    is_late : bool, default False
        Show nothing during the first second.
    """
    quiet = hidden or is_quiet() or (bar_only and not has_onlooker())
    # Threads may report progress but have no current command.
    context = click.get_current_context(silent=True)
    wording = partial(name_flags, command=context.command if context is not None else None)
    with closing(progress_on(quiet=quiet, wording=wording, is_late=is_late)) as progress:
        yield progress


@contextmanager
def explain_interrupt(message: Callable[[], str]) -> Iterator[None]:
    """After Ctrl-C, print what was saved and how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        say(message())
        raise


def has_onlooker() -> bool:
    """True if a progress bar would be visible and not mixed with answers."""
    return can_erase(sys.stderr) and not sys.stdout.isatty()
