"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus

__all__ = [
    "AsJson",
    "Data",
    "FoldTopics",
    "Format",
    "MapTopics",
    "Model",
    "Quiet",
    "Reading",
    "Seed",
    "SkipBadRows",
    "TextColumn",
    "Threads",
    "TopicColumn",
    "load_parts",
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
    str | None, typer.Option("--text", help="Column that holds the text.", show_default="guessed")
]
TopicColumn = Annotated[
    str | None, typer.Option("--topic", help="Column that holds the topic.", show_default="guessed")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="csv, tsv, jsonl, json, parquet, txt or folder.",
        show_default="told from the name",
    ),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Go on without rows that can't be used.")
]
FoldTopics = Annotated[
    bool,
    typer.Option(
        "--fold-topics",
        help="Make one of topics that differ in case or spaces only; the commonest spelling wins.",
    ),
]
MapTopics = Annotated[
    Path | None,
    typer.Option(
        "--map-topics",
        metavar="FILE",
        help="Rename topics: a CSV or TSV file with the columns from and to.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Reaches every random choice.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="To work on; changes no result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No talk on standard error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]


class Reading(NamedTuple):
    """How the user wants labelled texts to be read."""

    text: str | None
    topic: str | None
    format_: str | None
    skip_bad_rows: bool
    fold_topics: bool
    map_topics: Path | None


def load_parts(data: str, reading: Reading, known: Iterable[str] = ()) -> dict[str, Corpus]:
    """Read DATA: "train" and, of a data set that its publisher has parted, "test".

    With --fold-topics, topics are written as in `known` where they are there in any spelling.

    Raises
    ------
    DataError, OptionError, DownloadError : see `load_corpus` and `load_splits`.
    """
    from slugline.corpus import topics

    parts = _read_parts(data, reading)
    if reading.map_topics is not None:
        names = topics.read_topic_map(reading.map_topics)
        parts = {part: topics.rename_topics(corpus, names) for part, corpus in parts.items()}
    if reading.fold_topics:
        train = topics.fold_topics(parts["train"], known)
        known = [*known] or train.topics
        parts = {part: topics.fold_topics(corpus, known) for part, corpus in parts.items()}
        parts["train"] = train
    return parts


def _read_parts(data: str, reading: Reading) -> dict[str, Corpus]:
    from slugline.corpus.loading import NAMED_CORPORA, load_splits, read_corpus
    from slugline.errors import DataError

    text, topic, format_, skip_bad_rows, *_ = reading
    if data in NAMED_CORPORA and (text, topic, format_) == (None, None, None):
        return load_splits(data)
    near = difflib.get_close_matches(data, NAMED_CORPORA, n=1, cutoff=0.8)
    if near and data not in NAMED_CORPORA and not Path(data).exists():
        raise DataError(
            f"{data} is no file, no folder and no known data set; did you mean {near[0]}?"
        )
    return {"train": read_corpus(data, text, topic, format=format_, skip_bad_rows=skip_bad_rows)}
