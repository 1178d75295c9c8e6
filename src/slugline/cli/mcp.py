"""`slugline mcp`: models as tools for agents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from slugline.cli.options import Quiet
from slugline.cli.output import log_to_standard_error, say
from slugline.errors import OptionError


def mcp(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL ...]",
            help="Saved models (.slug), called by the names of their files; the first answers if "
            "none is named. By default reuters46, which comes with Slugline.",
            show_default=False,
        ),
    ] = None,
    allow_corrections: Annotated[
        Path | None,
        typer.Option(
            "--allow-corrections",
            metavar="FILE",
            help="Let agents add corrections, which are kept in FILE, a SQLite database.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Give agents models as tools: classify, explain, list topics, and add corrections if allowed.

    Speaks the Model Context Protocol over standard input and output, for
    clients such as editors and assistants to start; ends with its input.

    For example, in the configuration of a client:

      "slugline": {"command": "slugline", "args": ["mcp", "tickets.slug"]}
    """
    try:
        from slugline.serving.mcp.run import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "slugline":
            raise
        raise OptionError(
            f"tools for agents need {missing}, which is not installed; "
            'install it with pip install "slugline[mcp]".'
        ) from None

    log_to_standard_error(quiet, ("mcp",))
    if sys.stdin.isatty():
        say("waiting for a client, which is to start this command itself; see -h", quiet=quiet)
    run(list(models or ()), allow_corrections)
