"""Import into and export from label databases: commands of `slugline labels`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slugline.base.checks import short_repr
from slugline.base.wording import counted
from slugline.cli import options
from slugline.cli.documents import read_unlabelled
from slugline.cli.options import OUTPUT_FILE, argument, command, option
from slugline.cli.output import say
from slugline.cli.output_paths import check_not_read
from slugline.corpus.label_database.records import CoderKind
from slugline.corpus.label_database.tables import TOPIC_COLUMN
from slugline.corpus.layout import ReadOptions
from slugline.errors import Message, OptionError, Parameter
from slugline.labels.formats.label_studio import (
    LABEL_STUDIO,
    export_label_studio,
    export_setup,
    import_label_studio,
    is_label_studio_file,
)
from slugline.labels.formats.tables import export_codebook, export_table, import_table
from slugline.labels.label_setup import LabelOptions, find_source, login_name, open_labels
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SourceColumns, TextTable

_texts_option = option(
    "--texts FILE",
    "The file of texts that the labels belong to; required for a new label database.",
    show_default="as stored in LABELS",
)


def _find_texts(labels: Path) -> str:
    if not labels.exists():
        raise OptionError(f"{labels} is new; pass the file of its texts with --texts.")
    return find_source(labels, Message("pass it with --texts."))


def read_text_table(labels: Path, texts: str, reading: ReadOptions) -> TextTable:
    """Read the texts of a file; columns default to the ones stored in the label database."""
    stored = SourceColumns.from_file(labels)
    text = reading.text or stored.text
    _, unlabelled = read_unlabelled(texts, replace(reading, text=text))
    table = TextTable.from_texts(texts, unlabelled, stored, reading.topic, reading.id)
    if reading.id is None and table.id_column not in (None, "id"):
        note = f"read column {short_repr(table.id_column)} as id; choose another with "
        say(Message(f"{texts}: {note}", Parameter("id")))
    return table


@command("import")
@argument("labels", "Label database (SQLite), created if missing.", type=Path)
@argument("file", "A table with topics, or a JSON export of Label Studio.", type=Path)
@_texts_option
@option(
    "--coder NAME",
    "Coder of the labels in a table; Label Studio's JSON names its coders.",
    show_default="login name",
)
@option(
    "--compare",
    "Only compare the labels with people's, such as those of a language model; don't train on "
    "them. Requires --coder.",
)
@options.file_options
@options.id_option
@option("--topic COLUMN", "Topic column of FILE.", show_default="guessed")
@options.quiet_option
def import_labels(
    labels: Path,
    file: Path,
    texts: str | None,
    coder: str | None,
    compare: bool,
    reading: ReadOptions,
    id: str | None,  # noqa: A002 (the user's word)
    topic: str | None,
) -> None:
    """Add labels from a table or from Label Studio.

    Rows are matched by id or text. Repeating an import adds nothing.

    For example:

      slugline labels import labels.db answers.csv --texts tickets.csv
      slugline labels import labels.db llm.csv --coder llm --compare
    """
    if compare and coder is None:
        raise OptionError("--compare requires --coder NAME.")
    texts = texts or _find_texts(labels)
    is_source = file.exists() and Path(texts).exists() and file.samefile(texts)
    reading = replace(reading, topic=topic if is_source else None, id=id)
    table = read_text_table(labels, texts, reading)
    person = login_name() if coder is None or compare else coder
    with open_labels(labels, table, LabelOptions(coder=person)) as opened:
        for note in opened.notes:
            say(note)
        store = opened.store
        if is_source:
            topic = topic or store.setting(TOPIC_COLUMN)
            reading = replace(reading, text=table.text_columns, topic=topic)
        else:
            reading = ReadOptions(id=id, topic=topic)
        _import(store, table, file, coder, reading, is_compared=compare)


def _import(
    store: LabelStore,
    table: TextTable,
    path: Path,
    coder: str | None,
    options: ReadOptions,
    *,
    is_compared: bool,
) -> None:
    """Import a file, and print how many labels are new."""
    kind: CoderKind = "imported" if is_compared else "person"
    if is_label_studio_file(path):
        report = import_label_studio(store, path, coder=coder, kind=kind, user_file=table)
    else:
        report = import_table(
            store, path, coder or login_name(), kind=kind, options=options, user_file=table
        )
    parts = [
        f"{counted(report.n_labels, 'label')}, {report.n_new_labels:,} of them new",
        f"{counted(report.n_new_documents, 'new document')}",
    ]
    if report.n_unknown:
        parts.append(f"left out: {counted(report.n_unknown, 'row')} with an unknown id")
    if report.n_changed:
        parts.append(f"left out: {counted(report.n_changed, 'text')} that changed since")
    say(f"{path}: {'; '.join(parts)}")


@command()
@argument("labels", "Label database.", type=Path)
@argument("file", "File to write; its extension selects the format.", type=OUTPUT_FILE)
@_texts_option
@option("--codebook", "Write the topics and their descriptions, a table for `label --topics`.")
@option(
    "--for tool TOOL",
    "Write FILE for TOOL, with the labels of each coder, or with --codebook its labelling setup; "
    "label-studio is supported.",
)
@options.file_options
@option("--topic COLUMN", "Topic column to write.", show_default="as in --texts")
@options.quiet_option
def export(
    labels: Path,
    file: Path,
    texts: str | None,
    codebook: bool,
    tool: str | None,
    reading: ReadOptions,
    topic: str | None,
) -> None:
    """Write texts with their topics, or the codebook.

    For example:

      slugline labels export labels.db labelled.csv
      slugline labels export labels.db topics.csv --codebook
      slugline labels export labels.db tasks.json --for label-studio
    """
    if tool not in (None, LABEL_STUDIO):
        raise OptionError(
            f"--for {tool}: unknown tool. Use {LABEL_STUDIO}, or omit the option to write a table."
        )
    check_not_read("FILE", file, [labels, texts])
    with LabelStore(labels, create=False) as store:
        if codebook:
            _export_codebook(store, file, tool)
        elif tool is not None:
            written = export_label_studio(store, file)
            note = f"; coders disagree on {written.n_open:,}" if written.n_open else ""
            say(
                f"{file}: {counted(written.n_documents, 'document')} with "
                f"{counted(written.n_labels, 'label')} for Label Studio{note}"
            )
        else:
            texts = texts or _find_texts(labels)
            check_not_read("FILE", file, [texts])
            table = read_text_table(labels, texts, replace(reading, topic=topic))
            reading = replace(reading, topic=topic, text=table.text_columns)
            rows = export_table(store, table.name, file, options=reading)
            say(
                f"{file}: {counted(rows.n_rows, 'row')}, {rows.n_labelled:,} with a topic in "
                f"column {rows.topic!r}"
            )


def _export_codebook(store: LabelStore, file: Path, tool: str | None) -> None:
    n_topics = (export_codebook if tool is None else export_setup)(store, file)
    n_examples = sum(len(topic.examples) for topic in store.codebook().topics())
    note = f"; {counted(n_examples, 'example')} left out" if n_examples else ""
    say(f"{file}: {counted(n_topics, 'topic')}{note}")
