"""All commands under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from slugline import __version__
from slugline.cli.evaluate import evaluate
from slugline.cli.info import info
from slugline.cli.predict import predict
from slugline.cli.reproduce import reproduce
from slugline.cli.train import train

__all__ = ["app"]

app = typer.Typer(
    name="slugline",
    help="Train, check and use topic classifiers for short documents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slugline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


for command in (train, predict, evaluate, info, reproduce):
    app.command()(command)
