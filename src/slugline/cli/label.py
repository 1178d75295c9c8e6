"""`slugline label`: a web page for labelling texts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from slugline.base.checks import short_repr
from slugline.base.wording import counted
from slugline.cli import options
from slugline.cli.label_page import PageOptions, check_can_open, page_options, serve_page
from slugline.cli.labels_exchange import read_text_table
from slugline.cli.options import OUTPUT_FILE, argument, command, option
from slugline.cli.output import say
from slugline.cli.output_paths import check_target
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import read_descriptions
from slugline.labels.draws import REPEAT_FRACTION
from slugline.labels.label_setup import (
    RANDOM_FRACTION,
    LabelOptions,
    find_labels,
    find_source,
    open_labels,
)
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable
from slugline.serving.serve_settings import ServeSettings

_TEAM = "Agreement of coders"


@command()
@argument(
    "file",
    "Texts without topics: one per line, or CSV, TSV, JSONL, JSON, Parquet or Excel (also .gz). "
    "To resume, give the label database instead of TEXTS and --output.",
    metavar="TEXTS",
)
@option("--output -o FILE", "Label database (SQLite), created if missing.", type=OUTPUT_FILE)
@option(
    "--topics FILE",
    "Initial topics: a CSV or TSV file with the columns name and description.",
    type=Path,
)
@option(
    "--multiple/--single multilabel",
    "Allow any number of topics per text, or revert to one if no text has several.",
    default=None,
    show_default="one",
)
@option(
    "--random FRACTION",
    "Fraction of texts drawn at random, to measure the accuracy of a model trained on the labels; "
    "lowered once the accuracy is known precisely.",
    type=click.FloatRange(0.05, 1),
    default=RANDOM_FRACTION,
)
@option(
    "--show-guesses",
    "Show the model's guess before coders decide; then only random texts count towards accuracy.",
)
@option(
    "--double FRACTION",
    "Fraction of each coder's texts that a second coder labels too, to measure agreement.",
    type=click.FloatRange(0, 1),
    default=0.0,
    panel=_TEAM,
)
@option(
    "--repeat FRACTION",
    "Fraction of a coder's texts that are repeated 50 texts later, to measure consistency.",
    type=click.FloatRange(0, 0.5),
    default=REPEAT_FRACTION,
    panel=_TEAM,
)
@option(
    "--settler settlers NAME",
    "Coder who may settle disagreements; repeatable.",
    multiple=True,
    show_default="everybody",
    panel=_TEAM,
)
@page_options()
@options.file_options
@options.id_option
@option("--topic COLUMN", "Topic column in TEXTS, hidden from coders.", show_default="guessed")
@options.quiet_option
def label(
    file: str,
    output: Path | None,
    topics: Path | None,
    multilabel: bool | None,
    random: float,
    show_guesses: bool,
    double: float,
    repeat: float,
    settlers: Sequence[str],
    page: PageOptions,
    reading: ReadOptions,
    id: str | None,  # noqa: A002 (the user's word)
    topic: str | None,
) -> None:
    """Label texts on a web page, alone or with others.

    Each label is on disk before the next text appears. Stop with Ctrl-C; repeat the command to
    resume. Other commands accept the label database as data.

    For example:

      slugline label tickets.csv -o labels.db
      slugline train labels.db -o tickets.slug
    """
    labels = find_labels(file, output)
    file = find_source(labels) if output is None else file
    check_target("--output", labels, [file, topics])
    settings = page.settings()
    if settlers:
        from slugline.serving.labelling.service import check_settlers

        check_settlers(settlers, settings, page.coder_name())
    label_options = LabelOptions(
        coder=page.coder_name(),
        has_tokens=bool(settings.accepted_tokens),
        descriptions={} if topics is None else read_descriptions(topics, may_be_empty=True),
        is_multilabel=multilabel,
        random_fraction=random,
        show_guesses=show_guesses,
        double_fraction=double,
        repeat_fraction=repeat,
        settlers=settlers,
    )
    reading = replace(reading, topic=topic, id=id)
    _label_on_page(labels, file, label_options, reading, page, settings)


def _label_on_page(
    labels: Path,
    file: str,
    label_options: LabelOptions,
    reading: ReadOptions,
    page: PageOptions,
    settings: ServeSettings,
) -> None:
    """Serve the page until Ctrl-C, then print how accurate a model trained on the labels is."""
    check_can_open()
    with contextlib.ExitStack() as stack:
        address = page.address()
        table = read_text_table(labels, file, reading)
        opened = stack.enter_context(open_labels(labels, table, label_options))
        for note in opened.notes:
            say(note)
        from slugline.serving.labelling.service import make_label_service

        service = make_label_service(opened, label_options)
        if table.has_topics():
            say(
                f"{file}: topic column {short_repr(table.topic_column)} is hidden from coders; to "
                f"use it as labels: slugline labels import {labels} {file} --texts {file}"
            )
        serve_page(settings, service, address, _content(table, opened.store))
        report = service.selector.report
        for line in () if report is None else report.lines():
            say(line)
        say(f"labels are in {labels}; to train on them: slugline train {labels} -o model.slug")


def _content(table: TextTable, store: LabelStore) -> str:
    """Describe how many texts are left, including shown but undecided ones."""
    n_decided = sum(
        each.status not in ("unlabelled", "replaced") and table.has_key(each.document.key)
        for each in store.labels(has_texts=False)
    )
    if not n_decided:
        return f"{counted(len(table), 'text')} to label"
    return f"{len(table) - n_decided:,} of {counted(len(table), 'text')} left to label"
