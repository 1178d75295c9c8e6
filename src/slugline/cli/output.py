"""Where output goes: data to standard output, messages to standard error."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from slugline.cli.printable import printable, printable_json
from slugline.cli.voice import in_flags
from slugline.errors import SluglineError

__all__ = [
    "log_to_standard_error",
    "print_json",
    "print_table",
    "say",
    "show",
    "warn",
    "write_file",
]


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
        typer.echo(printable(in_flags(message)), err=True)


def warn(messages: Iterable[str]) -> None:
    """Print what may be wrong; not even --quiet suppresses a warning."""
    # Off a terminal typer drops colours by itself.
    colour = False if os.environ.get("NO_COLOR") else None
    for message in messages:
        typer.secho(f"warning: {printable(in_flags(message))}", fg="yellow", err=True, color=colour)


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
    from slugline.files import write_whole

    try:
        write_whole(path, data)
    except OSError as error:
        raise SluglineError(
            f"{path} can't be written ({error.strerror or error}); name another place."
        ) from error
