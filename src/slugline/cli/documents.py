"""Read a command's documents and report decisions made while reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.base.wording import nearest
from slugline.cli.output import say, show_progress, warn
from slugline.corpus import topics
from slugline.corpus.corpus import Corpus, require_one_topic
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import RowReader, read_rows
from slugline.errors import DataError, Message

if TYPE_CHECKING:
    from slugline.corpus.loading import UnlabelledTexts


def load_parts(
    data: Sequence[str], reading: ReadOptions, known_topics: Iterable[str] = ()
) -> dict[str, Corpus]:
    """Return DATA under "train" and, for a data set with an official split, "test".

    Topics are renamed and merged according to the options or a model's layout. Merged topics take
    the spelling in `known_topics`, if any.
    """
    parts = _read_parts(data, reading)
    rules = topics.topic_rules(reading)
    train = topics.apply_topic_rules(parts["train"], rules, known_topics)
    known_topics = [*known_topics] or [*train.all_topics()]
    parts = {
        part: topics.apply_topic_rules(corpus, rules, known_topics)
        for part, corpus in parts.items()
        if part != "train"
    }
    return {"train": train, **parts}


def _read_parts(data: Sequence[str], reading: ReadOptions) -> dict[str, Corpus]:
    from slugline.corpus.loading import NAMED_CORPORA, is_named_corpus, load_splits, read_corpus

    if len(data) == 1 and is_named_corpus(data[0]) and not reading.describes_source():
        with show_progress() as progress:
            return load_splits(data[0], progress=progress)
    for name in data:
        near = None if "." in name else nearest(name, NAMED_CORPORA, 0.8)
        if near not in (None, name) and not Path(name).exists():
            raise DataError(f"{name} is not a file, folder or known data set; did you mean {near}?")
    with show_progress() as progress:
        return {"train": read_corpus(data, reading, progress)}


def read_parts(
    data: Sequence[str], test: str | None, reading: ReadOptions, described: Iterable[str] = ()
) -> dict[str, Corpus]:
    """Return the training documents under "train" and, if given, the test documents under "test".

    The spelling of `described` topics, which have a description, takes precedence.
    """
    parts = load_parts(data, reading, [*described])
    parts["train"] = train = topics.note_undocumented(parts["train"], described)
    if test is not None:
        # If the training data are multi-label, wrap single topics of the test documents in lists.
        reading = replace(reading, multilabel=train.multilabel or None)
        loaded = load_parts([test], reading, [*described, *train.all_topics()])
        parts["test"] = loaded.get("test", loaded["train"])
        if not train.multilabel:
            require_one_topic(parts["test"], f"a model of {train.name}")
    for part, corpus in parts.items():
        say_notes(corpus, several=part == "train" and len(data) > 1)
    return parts


def read_unlabelled(
    file: str, reading: ReadOptions, data: Corpus | None = None
) -> tuple[RowReader, UnlabelledTexts]:
    """Return the reader of an unlabelled file and its texts; print notes.

    Columns are taken from `data`, if given.
    """
    from slugline.corpus.loading import read_texts

    rows = read_rows(file, reading, fallback="txt")
    with show_progress() as progress:
        unlabelled = read_texts(rows, reading.text, data, progress=progress)
    for note in filter(None, (rows.note, unlabelled.note)):
        say(Message(f"{rows.name}: ", note))
    if unlabelled.skipped_note:
        warn([f"{rows.name}: {unlabelled.skipped_note}"])
    return rows, unlabelled


def say_notes(corpus: Corpus, *, several: bool) -> None:
    """Print notes about reading; notes on several files begin with the file name."""
    for note in corpus.notes:
        say(note if several else Message(f"{corpus.name}: ", note))
