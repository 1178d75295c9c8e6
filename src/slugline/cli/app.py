"""All commands under one name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated

import typer

from slugline._version import __version__

#: Each is a function in a module of the same name.
COMMANDS = (
    *("train", "predict", "explain", "evaluate", "audit", "check", "compare", "curve", "suggest"),
    *("serve", "mcp", "export", "rollback", "info", "reproduce"),
)


def make_app(arguments: Sequence[str]) -> typer.Typer:
    """Return the program to run with these arguments.

    It has only the command that they name or, if they name none, such as for help, all. Importing
    the other commands would take about as long as answering a question.
    """
    app = typer.Typer(
        name="slugline",
        help="Train, check and use topic classifiers for short documents.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    selected = [name for name in COMMANDS if [name] == list(arguments[:1])]
    for name in selected or COMMANDS:
        command = getattr(importlib.import_module(f"slugline.cli.{name}"), name)
        # What runs for long is told how by whatever starts it.
        settings = {"auto_envvar_prefix": "SLUGLINE"} if name == "serve" else {}
        app.command(context_settings=settings)(command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slugline {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass
