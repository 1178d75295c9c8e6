"""The `slugline` program and its commands."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable

import click

from slugline._version import __version__

#: First help line of each command; its module has the same name.
COMMANDS = {
    "train": "Learn from labelled texts, test on others, write a report, save the model.",
    "predict": "Classify texts: one JSON line per document, in their order.",
    "count": "Count how many texts have each topic, with 95 % intervals.",
    "explain": "Show which words count for or against a topic, and by how much.",
    "evaluate": "Compare a model's answers with the topics of labelled texts.",
    "audit": "Find wrong labels, duplicates, leaks, outliers and topics that are nearly the same.",
    "check": "Train MODEL again from its data, and compare the two files byte for byte.",
    "compare": "Measure several models on the same folds: accuracy, time and memory.",
    "curve": "Show how accuracy grows with the number of labels.",
    "suggest": "Pick the unlabelled texts whose labels would improve MODEL most.",
    "label": "Label texts on a page in the browser, alone or with others.",
    "serve": "Serve models over HTTP: a web page at /, API docs at /docs.",
    "mcp": "Serve models to AI agents over MCP.",
    "export": "Write a model as one HTML file that answers in the browser, offline.",
    "corrections": ("List corrections that wait for approval, and approve or withdraw them."),
    "sample": "Export a random sample of the texts that a server kept, or delete them.",
    "rollback": "Restore the model from before the last corrections.",
    "info": "Print a model's card: what it learned from, its topics, metrics and limits.",
    "reproduce": "Run the Keras newswire lesson, and show its numbers beside Slugline's.",
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
    """Return the program; it calls `before_command` before each command."""
    program = _Program(
        "slugline",
        {name: click.Command(name, short_help=text) for name, text in COMMANDS.items()},
        help="Train, check and use topic classifiers for short documents.",
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
