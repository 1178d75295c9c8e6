"""The `slugline` program and its commands."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable

import click

from slugline._version import __version__

#: First help line of each command; its module has the same name.
COMMANDS = {
    "train": "Train a classifier on labelled texts, test it, and save it with a report.",
    "predict": "Classify texts, and print a JSON line per text, in input order.",
    "count": "Count how many texts have each topic, with 95 % intervals.",
    "explain": "Show which words count for or against a topic, and by how much.",
    "evaluate": "Test a model on labelled texts.",
    "audit": "Find label errors, duplicates, leaks, outliers and overlapping topics.",
    "check": "Retrain a model and compare the two files byte for byte.",
    "compare": "Compare models by cross-validation: accuracy, time and memory.",
    "curve": "Show how accuracy grows with the number of labels.",
    "suggest": "Choose the unlabelled texts whose labels would improve a model most.",
    "label": "Label texts on a web page, alone or with others.",
    "labels": "Show, exchange, compare and approve labels and corrections.",
    "serve": "Serve models over HTTP, with a web page at / and API docs at /docs.",
    "mcp": "Serve models to AI agents over MCP.",
    "export": "Export a model as an HTML file that classifies texts offline.",
    "sample": "Export a random sample of the texts kept by a server, or delete them.",
    "rollback": "Restore the model from before the last training on corrections.",
    "info": "Print a model's card: training data, topics, metrics and limits.",
    "reproduce": "Run the Keras newswire lesson and compare its results with Slugline's.",
}


class _Program(click.Group):
    """Imports a command only when it is run; importing all takes longer than a prediction."""

    before_command: Callable[[], object]  # called after the import

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the command names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command's name, the command and its arguments."""
        name, command, args = super().resolve_command(ctx, args)
        if command is not None:
            command = import_command(str(name))
        self.before_command()
        return name, command, args


def import_command(name: str) -> click.Command:
    """Return a command from its module."""
    command: click.Command = getattr(importlib.import_module(f"slugline.cli.{name}"), name)
    return command


def make_app(before_command: Callable[[], object] = bool) -> click.Group:
    """Return the program, which calls `before_command` before each command."""
    program = _Program(
        "slugline",
        {name: click.Command(name, short_help=text) for name, text in COMMANDS.items()},
        help="Train, test and use topic classifiers for short texts.",
        callback=_print_help,
        subcommand_metavar="COMMAND [ARGS]...",
        invoke_without_command=True,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "show_default": True,
            "terminal_width": min(shutil.get_terminal_size().columns, 80),
        },
    )
    program.before_command = before_command
    add_version = click.version_option(
        __version__, message="slugline %(version)s", help="Print the version."
    )
    return add_version(program)


@click.pass_context
def _print_help(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
