"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slugline.base.checks import short_repr
from slugline.errors import DataError, OptionError

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus
    from slugline.corpus.rows import ReadOptions


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
        rich_help_panel="Options for --learner network",
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


def load_parts(
    data: Sequence[str], reading: ReadOptions, quiet: bool, known_topics: Iterable[str] = ()
) -> dict[str, Corpus]:
    """Return DATA: "train" and, for a data set that its publisher has split, "test".

    With --fold-topics, topics that `known_topics` has in any spelling get that spelling.
    """
    from slugline.corpus import topics

    parts = _read_parts(data, reading, quiet)
    if reading.topic_map is not None:
        names = topics.read_topic_map(reading.topic_map, reading.encoding, reading.format)
        parts = {part: topics.rename_topics(corpus, names) for part, corpus in parts.items()}
    if reading.fold_topics:
        train = topics.fold_topics(parts["train"], known_topics)
        known_topics = [*known_topics] or train.topics
        parts = {part: topics.fold_topics(corpus, known_topics) for part, corpus in parts.items()}
        parts["train"] = train
    return parts


def _read_parts(data: Sequence[str], reading: ReadOptions, quiet: bool) -> dict[str, Corpus]:
    from slugline.cli.output import show_progress
    from slugline.corpus.loading import NAMED_CORPORA, load_splits, read_corpus
    from slugline.errors import DataError

    if len(data) == 1 and data[0] in NAMED_CORPORA and reading[:3] == (None, None, None):
        with show_progress(quiet) as progress:
            return load_splits(data[0], progress=progress)
    for name in data:
        near = difflib.get_close_matches(name, NAMED_CORPORA, n=1, cutoff=0.8)
        if near and name not in NAMED_CORPORA and not Path(name).exists():
            raise DataError(
                f"{name} is not a file, folder or known data set; did you mean {near[0]}?"
            )
    return {"train": read_corpus(data, reading)}


def read_parts(
    data: Sequence[str],
    validation: str | None,
    test: str | None,
    reading: ReadOptions,
    quiet: bool,
    described: Iterable[str] = (),
) -> dict[str, Corpus]:
    """Return the training documents and, if there are files or parts for them, the others.

    `described` topics have a description, whose spelling takes precedence.
    """
    from slugline.corpus.topics import note_undocumented

    parts = load_parts(data, reading, quiet, [*described])
    parts["train"] = note_undocumented(parts["train"], described)
    for part, source in (("validation", validation), ("test", test)):
        if source is not None:
            loaded = load_parts([source], reading, quiet, [*described, *parts["train"].topics])
            parts[part] = loaded.get(part, loaded["train"])
    for part, corpus in parts.items():
        say_notes(corpus, quiet, several=part == "train" and len(data) > 1)
    return parts


def say_notes(corpus: Corpus, quiet: bool, *, several: bool) -> None:
    """Say what was decided while reading; notes on some of several files name these themselves."""
    from slugline.cli.output import say

    for note in corpus.notes:
        say(note if several else f"{corpus.name}: {note}", quiet=quiet)


# Sizes --------------------------------------------------------------------------------------------

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
# With so few digits, it is always a size that a file can have.
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([a-z]*)", re.IGNORECASE)


def read_size(flag: str, size: str) -> int:
    """Return a size in whole bytes.

    >>> [read_size("--max-size", size) for size in ("5MB", "1.5 MB", "500kB", "2000000")]
    [5000000, 1500000, 500000, 2000000]

    Raises
    ------
    OptionError : if it is no size, or under a byte; the message names the flag.
    """
    match = _SIZE.fullmatch(size.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    n_bytes = int(Decimal(match[1]) * unit) if match and unit else 0
    if not n_bytes:
        raise OptionError(
            f"{flag} is {short_repr(size)}; give a number of bytes, kB, MB or GB, such as 2000000, "
            "500kB or 1.5MB."
        )
    return n_bytes


# Models -------------------------------------------------------------------------------------------


def check_model_first(command: str, model: str, file: str) -> None:
    """Check that MODEL and the file after it were not given in the other order.

    Raises
    ------
    DataError : if the second is a model, and the first is none.
    """
    if is_model(file) and not is_model(model):
        raise DataError(
            f"{model} is not a model, but {file} is one; the model comes first: "
            f"slugline {command} {file} {model}"
        )


def is_model(name: str) -> bool:
    """Whether this names a shipped model, or a file that looks like a model."""
    from slugline.model.file.content import SHIPPED

    if name in SHIPPED or name.endswith(".slug"):
        return True
    # A pipe's first bytes would be lost to the next reader.
    if not Path(name).is_file():
        return False
    try:
        with Path(name).open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False  # reading it as texts will say what is wrong
