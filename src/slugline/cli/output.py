"""Where words and figures go: data to standard output, talk to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

__all__ = ["print_json", "print_table", "say", "warn"]


def say(message: str, *, quiet: bool = False) -> None:
    """Tell the person at the keyboard something that is no result."""
    if not quiet:
        typer.echo(message, err=True)


def warn(messages: Iterable[str]) -> None:
    """Tell what may be wrong; not even --quiet keeps a warning back."""
    for message in messages:
        typer.secho(f"warning: {message}", fg="yellow", err=True, color=_colour())


def print_json(value: Any) -> None:
    """Print one JSON value; NaN, which JSON has no word for, is an error here."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns: the first to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        typer.echo("  ".join(cells).rstrip())


def _colour() -> bool | None:
    import os

    return False if "NO_COLOR" in os.environ or not sys.stderr.isatty() else None
