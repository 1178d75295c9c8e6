"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus

__all__ = [
    "AsJson",
    "Baseline",
    "Data",
    "Encoding",
    "FoldTopics",
    "Format",
    "MapTopics",
    "Mistakes",
    "Model",
    "OptionalData",
    "Quiet",
    "Reading",
    "Seed",
    "SkipBadRows",
    "Test",
    "TextColumn",
    "Threads",
    "TopicColumn",
    "Validation",
    "load_parts",
    "read_parts",
    "say_notes",
]

_DATA_HELP = (
    "CSV, TSV, JSONL, JSON, Parquet, Excel or fastText file (also .gz), a folder with a sub-folder "
    "of *.txt per topic, `-`, several of these, or one of: bbc, reuters, reuters-corrected."
)

_data = typer.Argument(metavar="DATA", help=_DATA_HELP, show_default=False)
Data = Annotated[list[str], _data]
OptionalData = Annotated[list[str] | None, _data]
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
        "--text",
        metavar="COLUMN",
        help="Column that holds the text, or several, such as subject,body.",
        show_default="guessed",
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
        help="csv, tsv, jsonl, json, parquet, xlsx, txt or folder.",
        show_default="taken from the name",
    ),
]
Mistakes = Annotated[
    Path | None,
    typer.Option(
        "--mistakes",
        metavar="CSV",
        help="Write the test documents that got a wrong topic, the most certain mistakes first.",
        show_default=False,
    ),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", metavar="", help="Leave out rows that can't be used.")
]
FoldTopics = Annotated[
    bool,
    typer.Option(
        "--fold-topics",
        metavar="",
        help="Merge topics that differ only in case or spaces; the most common spelling wins.",
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
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Such as cp1252, latin-1 or utf-16.",
        show_default="UTF-8",
    ),
]
Baseline = Annotated[
    bool,
    typer.Option(
        "--baseline",
        metavar="",
        help="Compare the curve with that of a pipeline of scikit-learn's: words, pairs, "
        "characters, LinearSVC.",
    ),
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
#: The largest seed that scikit-learn takes.
MAX_SEED = 4294967295

Seed = Annotated[
    int,
    typer.Option("--seed", min=0, max=MAX_SEED, metavar="N", help="Seed for every random choice."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        help="Number of threads, by default one for each core; changes no result.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", metavar="", help="No messages on standard error but warnings."),
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print the results as JSON.")]


class Reading(NamedTuple):
    """How to read labelled texts."""

    text: str | None
    topic: str | None
    format_: str | None
    skip_bad_rows: bool
    encoding: str | None
    fold_topics: bool
    map_topics: Path | None


def load_parts(
    data: Sequence[str], reading: Reading, known: Iterable[str] = ()
) -> dict[str, Corpus]:
    """Return DATA: "train" and, for a data set that its publisher has split, "test".

    With --fold-topics, topics that `known` has in any spelling get that spelling.

    Raises
    ------
    DataError, OptionError, DownloadError : see `load_corpus` and `load_splits`.
    """
    from slugline.corpus import topics

    parts = _read_parts(data, reading)
    if reading.map_topics is not None:
        names = topics.read_topic_map(reading.map_topics, reading.encoding, reading.format_)
        parts = {part: topics.rename_topics(corpus, names) for part, corpus in parts.items()}
    if reading.fold_topics:
        train = topics.fold_topics(parts["train"], known)
        known = [*known] or train.topics
        parts = {part: topics.fold_topics(corpus, known) for part, corpus in parts.items()}
        parts["train"] = train
    return parts


def _read_parts(data: Sequence[str], reading: Reading) -> dict[str, Corpus]:
    from slugline.corpus.loading import NAMED_CORPORA, load_splits, read_corpus
    from slugline.errors import DataError

    text, topic, format_, skip_bad_rows, encoding, *_ = reading
    if len(data) == 1 and data[0] in NAMED_CORPORA and (text, topic, format_) == (None,) * 3:
        return load_splits(data[0])
    for name in data:
        near = difflib.get_close_matches(name, NAMED_CORPORA, n=1, cutoff=0.8)
        if near and name not in NAMED_CORPORA and not Path(name).exists():
            raise DataError(
                f"{name} is not a file, folder or known data set; did you mean {near[0]}?"
            )
    corpus = read_corpus(
        data, text, topic, format=format_, skip_bad_rows=skip_bad_rows, encoding=encoding
    )
    return {"train": corpus}


def read_parts(
    data: Sequence[str],
    validation: str | None,
    test: str | None,
    reading: Reading,
    quiet: bool,
    described: Iterable[str] = (),
) -> dict[str, Corpus]:
    """Return the training documents and, if there are files or parts for them, the others.

    Parameters
    ----------
    data, validation, test
        What the user named.
    reading : Reading
    quiet : bool
        Whether to suppress notes on the reading.
    described : iterable of str
        Topics that have a description, whose spelling takes precedence.
    """
    from slugline.corpus.topics import note_undocumented

    parts = load_parts(data, reading, [*described])
    parts["train"] = note_undocumented(parts["train"], described)
    for part, source in (("validation", validation), ("test", test)):
        if source is not None:
            found = load_parts([source], reading, [*described, *parts["train"].topics])
            parts[part] = found.get(part, found["train"])
    for part, corpus in parts.items():
        say_notes(corpus, quiet, several=part == "train" and len(data) > 1)
    return parts


def say_notes(corpus: Corpus, quiet: bool, *, several: bool) -> None:
    """Say what was decided while reading; notes on some of several files name these themselves."""
    from slugline.cli.output import say

    for note in corpus.notes:
        say(note if several else f"{corpus.name}: {note}", quiet=quiet)
