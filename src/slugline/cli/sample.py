"""`slugline sample`: export texts kept by a server as a table to label."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from slugline.base.wording import counted
from slugline.cli import options
from slugline.cli.options import OUTPUT_FILE, argument, command, option, read_day
from slugline.cli.output import show, write_table
from slugline.cli.output_paths import check_ending, check_target
from slugline.corpus.dialects import TableDialect
from slugline.corpus.layout import Layout
from slugline.corpus.tables import csv_file
from slugline.errors import DataError, OptionError
from slugline.experiment.suggestion_table import columns_to_fill_in
from slugline.model.file.content import load_model
from slugline.model.file.shipped import model_path
from slugline.serving.watch.kept_texts import KeptText, KeptTexts
from slugline.serving.watch.store import WatchedModel, WatchStore


@command()
@options.model_argument
@argument("file", "The database of `slugline serve --watch --keep-texts`.", type=Path)
@option("--since DAY", "Use only texts answered on or after this day, such as 2026-03-01.")
@option(
    "--output -o FILE", "Table to write (.csv).", type=OUTPUT_FILE, show_default="standard output"
)
@option("--delete", "Delete the kept texts of all models from FILE; daily totals remain.")
@options.seed()
@options.quiet_option
def sample(
    model: str, file: Path, since: str | None, output: Path | None, delete: bool, seed: int
) -> None:
    """Export a random sample of the texts kept by a server, or delete them.

    Fill in any number of topics from the top, or open the table with `slugline
    label`. With these labels, `slugline count` gives valid counts of all served
    texts, even if they differ from the training texts.

    For example:

      slugline sample tickets.slug watch.db --since 2026-03-01 -o to-label.csv
      slugline count tickets.slug watch.db --since 2026-03-01 --labelled to-label.csv
      slugline sample tickets.slug watch.db --delete
    """
    options.check_model_first("sample", model, f"{file}")
    if delete:
        if output is not None or since is not None:
            raise OptionError("--delete deletes all kept texts; leave out --output and --since.")
        with WatchStore(file, create=False) as store:
            n_deleted = store.delete_texts()
        show(f"deleted {counted(n_deleted, 'kept text')} from {file}")
        return
    if output is not None:
        check_ending("--output", output, [".csv"])
        check_target("--output", output, [model, file])
    fitted, _ = load_model(model)
    kept = _read_texts(file, WatchedModel.from_file(Path(model_path(model)), fitted), since)
    # In random order, so that the first rows are a random sample.
    order = np.random.default_rng(seed).permutation(len(kept.texts)).tolist()
    texts = [kept.texts[row] for row in order]
    columns = [column.name for column in fitted.features.table_columns]
    table = _table(texts, fitted.layout, columns)
    write_table(output, table, f"{len(texts):,} of {counted(kept.n_served, 'text')} to label")


def _read_texts(file: Path, model: WatchedModel, since: str | None) -> KeptTexts:
    """Return the texts kept by a server; DataError if there are none."""
    first = None if since is None else read_day(since)
    with WatchStore(file, is_read_only=True) as store:
        digest = store.find_version(model)
        kept = (
            KeptTexts([], 0, 0)
            if digest is None
            else KeptTexts.read(store, digest, first or date.min)
        )
    if not kept.texts:
        raise DataError(
            f"{file} contains no texts answered by {model.name}"
            + ("" if first is None else f" since {first}")
            + "; start the server with --keep-texts."
        )
    return kept


def _table(texts: list[KeptText], layout: Layout | None, columns: Sequence[str]) -> bytes:
    """Return the texts with empty topic columns, named as in the model's data.

    `columns` are the model's columns in addition to the text.
    """
    topics, to_fill_in = columns_to_fill_in(layout)
    text = layout.text[0] if layout is not None and len(layout.text) == 1 else "text"
    rows: list[list[object]] = [[*topics, text, *columns, "day"]]
    for each in texts:
        cells = [each.text, *(each.text.columns.get(name) for name in columns), each.day]
        rows.append([*[to_fill_in] * len(topics), *cells])
    return csv_file(rows, TableDialect())
