"""`slugline label`: a web page for labelling texts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words
from slugline.cli import options
from slugline.cli.documents import read_unlabelled
from slugline.cli.label_agreement import print_agreement
from slugline.cli.label_files import LabelFiles, exchange_labels
from slugline.cli.label_page import PageOptions, check_can_open, page_options, serve_page
from slugline.cli.options import OUTPUT_FILE, argument, command, option
from slugline.cli.output import say
from slugline.cli.output_paths import check_target
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import read_descriptions
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.labels.draws import REPEAT_AFTER, REPEAT_FRACTION
from slugline.labels.label_setup import (
    RANDOM_FRACTION,
    LabelOptions,
    find_labels,
    find_source,
    open_labels,
)
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SourceColumns, TextTable
from slugline.serving.serve_settings import ServeSettings


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
@option("--multiple", "Allow any number of topics per text.")
@option("--single", "Revert to one topic per text, if none has several.")
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
)
@option(
    "--repeat FRACTION",
    "Fraction of a coder's texts that are repeated later, to measure consistency.",
    type=click.FloatRange(0, 0.5),
    default=REPEAT_FRACTION,
)
@option(
    "--repeat-after N",
    "Number of other texts before a text is repeated.",
    type=click.IntRange(min=1),
    default=REPEAT_AFTER,
)
@option(
    "--settler settlers NAME",
    "Coder who may settle disagreements; repeatable.",
    multiple=True,
    show_default="everybody",
)
@option(
    "--import import_path FILE",
    "Add labels from FILE instead of opening the page: a table with topics, or a JSON export of "
    "Label Studio.",
    type=Path,
)
@option(
    "--import-coder import_coders NAME=FILE",
    "Add labels from a language model or an earlier system as coder NAME, for comparison only; "
    "repeatable.",
    multiple=True,
)
@option(
    "--export FILE",
    "Write TEXTS with their topics to FILE; its extension selects the format.",
    type=OUTPUT_FILE,
)
@option(
    "--export-for TOOL",
    "Write --export for TOOL, with the labels of each coder; label-studio is supported.",
)
@option(
    "--export-codebook FILE",
    "Write the topics and their descriptions to FILE, a table for --topics; with --export-for, the "
    "labelling setup of Label Studio.",
    type=OUTPUT_FILE,
)
@option(
    "--agreement",
    "Print the agreement between coders, and with imported labels, instead of opening the page.",
)
@option("--json as_json", "Print --agreement as JSON.")
@option(
    "--withdraw NAME", "Withdraw all current labels of coder NAME, instead of opening the page."
)
@option("--restore NAME", "Restore the withdrawn labels of coder NAME.")
@page_options()
@options.file_options
@options.id_option
@option("--topic COLUMN", "Topic column in TEXTS, hidden from coders.", show_default="guessed")
@options.quiet_option
def label(
    file: str,
    output: Path | None,
    topics: Path | None,
    multiple: bool,
    single: bool,
    random: float,
    show_guesses: bool,
    double: float,
    repeat: float,
    repeat_after: int,
    settlers: Sequence[str],
    import_path: Path | None,
    import_coders: tuple[str, ...],
    export: Path | None,
    export_for: str | None,
    export_codebook: Path | None,
    agreement: bool,
    as_json: bool,
    withdraw: str | None,
    restore: str | None,
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
    if withdraw is not None or restore is not None:
        _change_withdrawals(labels, withdraw, restore, page.coder_name())
        return
    files = LabelFiles(import_path, import_coders, export, export_for, export_codebook)
    files.check(file, labels)
    if multiple and single:
        raise OptionError("--multiple and --single exclude each other; choose one.")
    if as_json and not agreement:
        raise OptionError("--json requires --agreement.")
    if agreement and not files.are_given():
        print_agreement(labels, as_json=as_json)
        return
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
        is_multilabel=(multiple if multiple or single else None),
        random_fraction=random,
        show_guesses=show_guesses,
        double_fraction=double,
        repeat_fraction=repeat,
        repeat_after=repeat_after,
        settlers=settlers,
    )
    reading = replace(reading, topic=topic, id=id)
    if not files.are_given():
        _label_on_page(labels, file, label_options, reading, page, settings)
        return
    table = _read_table(labels, file, reading)
    with open_labels(labels, table, label_options) as opened:
        for note in opened.notes:
            say(note)
        reading = replace(reading, text=table.text_columns)
        exchange_labels(opened.store, table, files, label_options.coder, reading)
    if agreement:
        print_agreement(labels, as_json=as_json)


def _change_withdrawals(path: Path, withdraw: str | None, restore: str | None, person: str) -> None:
    """Withdraw all labels of one coder, or restore the withdrawn labels of another."""
    with LabelStore(path, create=False) as store:
        name, names = withdraw or restore or "", [coder.name for coder in store.coders()]
        if name not in names:
            advice = f"choose from {join_words(names)}" if names else "it has none"
            raise DataError(f"{path} has no coder {short_repr(name)}; {advice}.")
        store.add_coder(person)
        if withdraw is not None:
            labels = counted(store.counts().by_coder.get(withdraw, 0), "label")
            store.withdraw(withdraw, person)
            say(f"{labels} of {withdraw} withdrawn; undo with --restore {withdraw}")
        if restore is not None:
            withdrawals = [each for each in store.withdrawals() if each.coder.name == restore]
            if not withdrawals:
                raise DataError(f"no labels of {short_repr(restore)} are withdrawn.")
            for each in withdrawals:
                store.restore(each.id, person)
            say(f"{restore} has {counted(store.counts().by_coder.get(restore, 0), 'label')} again")


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
        table = _read_table(labels, file, reading)
        opened = stack.enter_context(open_labels(labels, table, label_options))
        for note in opened.notes:
            say(note)
        from slugline.serving.labelling.service import make_label_service

        service = make_label_service(opened, label_options)
        if table.has_topics():
            say(
                f"{file}: topic column {short_repr(table.topic_column)} is hidden from coders; to "
                f"use it as labels: slugline label {file} -o {labels} --import {file}"
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


def _read_table(labels: Path, file: str, reading: ReadOptions) -> TextTable:
    """Read the texts of a file; columns default to the stored ones."""
    stored = SourceColumns.from_file(labels)
    text = reading.text or stored.text
    _, unlabelled = read_unlabelled(file, replace(reading, text=text))
    table = TextTable.from_texts(file, unlabelled, stored, reading.topic, reading.id)
    if reading.id is None and table.id_column not in (None, "id"):
        note = f"read column {short_repr(table.id_column)} as id; choose another with "
        say(Message(f"{file}: {note}", Parameter("id")))
    return table
