"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "Data",
    "Format",
    "Model",
    "Quiet",
    "Seed",
    "SkipBadRows",
    "TextColumn",
    "Threads",
    "TopicColumn",
]

_DATA_HELP = (
    "CSV, TSV, JSONL, Parquet or fastText file (also .gz), a folder with a sub-folder of *.txt per "
    "topic, `-`, or one of: bbc, reuters, reuters-corrected."
)

Data = Annotated[str, typer.Argument(metavar="DATA", help=_DATA_HELP, show_default=False)]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A saved model (.slug).", show_default=False)
]
TextColumn = Annotated[
    str | None, typer.Option("--text", help="Column that holds the text.", show_default="guessed")
]
TopicColumn = Annotated[
    str | None, typer.Option("--topic", help="Column that holds the topic.", show_default="guessed")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="csv, tsv, jsonl, parquet, txt or folder.",
        show_default="told from the name",
    ),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Go on without rows that can't be used.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Reaches every random choice.")]
Threads = Annotated[
    int, typer.Option("--threads", min=1, help="For reading texts; changes no result.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No talk on standard error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]
