"""All commands under one name."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable

import click

from slugline._version import __version__

#: Each is a command in a module of the same name, with the first line of its help.
COMMANDS = {
    "train": "Learn from labelled texts, test on others, write a report, save the model.",
    "predict": "Classify texts: one JSON line per document, in their order.",
    "explain": (
        "Say which words of a text speak for a topic and against it, and how much each counts."
    ),
    "evaluate": "Compare a model's answers with the topics of labelled texts.",
    "audit": "Find texts whose topic is probably wrong, copies, leaks, odd texts and topics alike.",
    "check": "Train again as MODEL was, and say whether the result is the same, byte for byte.",
    "compare": "Measure several models on the same folds: how good they are, and what they take.",
    "curve": "Learn from more and more labels per topic, and show how accuracy grows.",
    "suggest": (
        "Choose the texts that MODEL would learn most from, spread over what it knows least."
    ),
    "serve": (
        "Put models behind HTTP, with a page for people at / and the API's description at /docs."
    ),
    "mcp": ("Give agents models as tools: classify, explain, list topics, and correct if allowed."),
    "export": "Write a model as one HTML file that answers in the browser, offline.",
    "corrections": (
        "List corrections that wait for approval, with the reasons; approve or withdraw them."
    ),
    "rollback": "Go back to the model that was there before corrections were learned.",
    "info": "Print a model's card: what it learned from, its topics, metrics and limits.",
    "reproduce": "Run every step of the Keras newswire lesson and show its numbers beside ours.",
}


class _Program(click.Group):
    """Imports a command when it is run: all would take longer than answering a question."""

    before_command: Callable[[], object]  # called when it has been imported

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the name of the command, the command and its arguments."""
        name, command, args = super().resolve_command(ctx, args)
        if command is not None:
            command = getattr(importlib.import_module(f"slugline.cli.{name}"), str(name))
        self.before_command()
        return name, command, args


def make_app(before_command: Callable[[], object] = bool) -> click.Group:
    """Return the program, which calls a function before it runs a command."""
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
