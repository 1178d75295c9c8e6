"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus

__all__ = [
    "AsJson",
    "Data",
    "Format",
    "Mistakes",
    "Model",
    "Quiet",
    "Seed",
    "SkipBadRows",
    "Test",
    "TextColumn",
    "Threads",
    "TopicColumn",
    "Validation",
    "load_parts",
    "read_parts",
]

_DATA_HELP = (
    "CSV, TSV, JSONL, JSON, Parquet or fastText file (also .gz), a folder with a sub-folder of "
    "*.txt per topic, `-`, or one of: bbc, reuters, reuters-corrected."
)

Data = Annotated[str, typer.Argument(metavar="DATA", help=_DATA_HELP, show_default=False)]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A saved model (.slug), or reuters46, which comes with Slugline.",
        show_default=False,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text", metavar="COLUMN", help="Column that holds the text.", show_default="guessed"
    ),
]
TopicColumn = Annotated[
    str | None,
    typer.Option(
        "--topic", metavar="COLUMN", help="Column that holds the topic.", show_default="guessed"
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="csv, tsv, jsonl, json, parquet, txt or folder.",
        show_default="told from the name",
    ),
]
Mistakes = Annotated[
    Path | None,
    typer.Option(
        "--mistakes",
        metavar="CSV",
        help="Write the test documents that got a wrong topic, the surest mistakes first.",
        show_default=False,
    ),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", metavar="", help="Go on without rows that can't be used.")
]
Test = Annotated[
    str | None,
    typer.Option(
        "--test", metavar="FILE", help="Labelled texts to test on.", show_default="a part of DATA"
    ),
]
Validation = Annotated[
    str | None,
    typer.Option(
        "--validation",
        metavar="FILE",
        help="Labelled texts to find the best epoch on.",
        show_default="a tenth of DATA",
        rich_help_panel="Of --learner network",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Reaches every random choice.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=1, metavar="N", help="To work on; changes no result.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="No talk on standard error.")
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print figures as JSON.")]


def load_parts(
    data: str, text: str | None, topic: str | None, format_: str | None, skip_bad_rows: bool
) -> dict[str, Corpus]:
    """Read DATA: "train" and, of a data set that its publisher has parted, "test".

    Raises
    ------
    DataError, OptionError, DownloadError : see `load_corpus` and `load_splits`.
    """
    from slugline.corpus.loading import NAMED_CORPORA, load_corpus, load_splits
    from slugline.errors import DataError

    if data in NAMED_CORPORA and (text, topic, format_) == (None, None, None):
        return load_splits(data)
    near = difflib.get_close_matches(data, NAMED_CORPORA, n=1, cutoff=0.8)
    if near and data not in NAMED_CORPORA and not Path(data).exists():
        raise DataError(
            f"{data} is no file, no folder and no known data set; did you mean {near[0]}?"
        )
    return {"train": load_corpus(data, text, topic, format=format_, skip_bad_rows=skip_bad_rows)}


def read_parts(
    data: str, validation: str | None, test: str | None, quiet: bool, **reading: Any
) -> dict[str, Corpus]:
    """Read the documents to learn from and, if there are files or parts of them, the others.

    Parameters
    ----------
    data, validation, test : str
        What the user named.
    quiet : bool
        Whether to keep notes on the reading to oneself.
    reading
        The rest of what `load_parts` takes.
    """
    from slugline.cli.output import say

    parts = load_parts(data, **reading)
    for part, source in (("validation", validation), ("test", test)):
        if source is not None:
            found = load_parts(source, **reading)
            parts[part] = found.get(part, found["train"])
    for corpus in parts.values():
        for note in corpus.notes:
            say(f"{corpus.name}: {note}", quiet=quiet)
    return parts
