"""Import and export of `slugline label`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from slugline.base.wording import counted
from slugline.cli.output import say
from slugline.cli.output_paths import check_not_read
from slugline.corpus.label_database.records import CoderKind
from slugline.corpus.label_database.tables import TOPIC_COLUMN
from slugline.corpus.layout import ReadOptions
from slugline.errors import OptionError
from slugline.labels.formats.label_studio import (
    LABEL_STUDIO,
    export_label_studio,
    export_setup,
    import_label_studio,
    is_label_studio_file,
)
from slugline.labels.formats.tables import export_codebook, export_table, import_table
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable


class LabelFiles(NamedTuple):
    """The files of the options --import, --import-coder, --export and --export-codebook."""

    import_path: Path | None = None
    import_coders: tuple[str, ...] = ()
    export: Path | None = None
    export_for: str | None = None
    export_codebook: Path | None = None

    def are_given(self) -> bool:
        """Return True if any file is to be read or written."""
        paths = self.import_path, self.export, self.export_codebook
        return bool(self.import_coders) or any(path is not None for path in paths)

    def check(self, texts: str, store: Path) -> None:
        """Raise OptionError if an option is invalid, or would overwrite a file that is read."""
        if self.export_for is not None and self.export is None and self.export_codebook is None:
            raise OptionError("--export-for requires --export FILE or --export-codebook FILE.")
        if self.export_for is not None and self.export_for != LABEL_STUDIO:
            raise OptionError(
                f"--export-for {self.export_for}: unknown tool. Use {LABEL_STUDIO}, or omit the "
                f"option to write a file like {texts}."
            )
        coders = [path for _, path in map(split_coder, self.import_coders)]
        sources = [texts, store, self.import_path, *coders]
        if self.export is not None:
            check_not_read("--export", self.export, sources)
        if self.export_codebook is not None:
            check_not_read("--export-codebook", self.export_codebook, [*sources, self.export])


def split_coder(value: str) -> tuple[str, Path]:
    """Split a value of --import-coder, such as llm=predictions.csv, into name and path."""
    name, sign, path = value.partition("=")
    if not (name.strip() and sign and path):
        raise OptionError(
            f"--import-coder {value}: write a name and a file, such as llm=predictions.csv."
        )
    return name.strip(), Path(path)


def exchange_labels(
    store: LabelStore, table: TextTable, files: LabelFiles, person: str, options: ReadOptions
) -> None:
    """Import and export labels, and print reports; `options` control how texts are read."""
    if files.import_path is not None:
        _import(store, table, files.import_path, None, person, options)
    for name, path in map(split_coder, files.import_coders):
        _import(store, table, path, name, person, options)
    is_for_label_studio = files.export_for is not None
    if files.export is not None and is_for_label_studio:
        written = export_label_studio(store, files.export)
        note = f"; coders disagree on {written.n_open:,}" if written.n_open else ""
        say(
            f"{files.export}: {counted(written.n_documents, 'document')} with "
            f"{counted(written.n_labels, 'label')} for Label Studio{note}"
        )
    elif files.export is not None:
        rows = export_table(store, table.name, files.export, options=options)
        say(
            f"{files.export}: {counted(rows.n_rows, 'row')}, {rows.n_labelled:,} with a topic in "
            f"column {rows.topic!r}"
        )
    if files.export_codebook is not None:
        write_topics = export_setup if is_for_label_studio else export_codebook
        n_topics = write_topics(store, files.export_codebook)
        n_examples = sum(len(topic.examples) for topic in store.codebook().topics())
        note = f"; {counted(n_examples, 'example')} left out" if n_examples else ""
        say(f"{files.export_codebook}: {counted(n_topics, 'topic')}{note}")


def _import(
    store: LabelStore,
    table: TextTable,
    path: Path,
    imported_coder: str | None,
    person: str,
    options: ReadOptions,
) -> None:
    """Import labels of people, or of `imported_coder` if given.

    People's labels in a table are credited to `person`. If the table is the text file itself, it is
    read with the same options.
    """
    kind: CoderKind = "person" if imported_coder is None else "imported"
    if is_label_studio_file(path):
        report = import_label_studio(store, path, coder=imported_coder, kind=kind, user_file=table)
    else:
        is_source = Path(table.name).is_file() and path.samefile(table.name)
        topic = options.topic or store.setting(TOPIC_COLUMN)
        report = import_table(
            store,
            path,
            imported_coder or person,
            kind=kind,
            options=replace(options, topic=topic) if is_source else ReadOptions(id=options.id),
            user_file=table,
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
