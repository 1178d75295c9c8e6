"""`slugline mcp`: serve models as tools for agents."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from slugline.cli.options import (
    command,
    models_argument,
    option,
    precision_option,
    quiet_option,
    requiring_extra,
)
from slugline.cli.output import log_to_standard_error, say


@command()
@models_argument(
    "models",
    "Model files (.slug), served under their file names; the first one is the default. Without "
    "MODEL, serves the included model reuters46.",
    metavar="[MODEL]...",
    nargs=-1,
)
@option(
    "--allow-corrections FILE",
    "Let agents add corrections, stored in FILE, a SQLite database.",
    type=Path,
)
@precision_option
@quiet_option
def mcp(models: Sequence[str], allow_corrections: Path | None, min_precision: float | None) -> None:
    """Serve models to AI agents over MCP.

    Clients, such as editors and assistants, start this command and use the Model
    Context Protocol over its standard input and output.

    For example, in a client's configuration:

      "slugline": {"command": "slugline", "args": ["mcp", "tickets.slug"]}
    """
    with requiring_extra("mcp", "tools for agents need"):
        from slugline.serving.mcp.server import run

    log_to_standard_error(("mcp",))
    if sys.stdin.isatty():
        say("waiting for an MCP client, which usually starts this command itself; see -h")
    run(list(models), allow_corrections, min_precision)
