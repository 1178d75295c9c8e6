"""Tables of texts to label, suggested or drawn at random."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from slugline.base.wording import counted
from slugline.corpus.columns import column_names, in_columns, known_topic_column
from slugline.corpus.dialects import TableDialect
from slugline.corpus.labelled import has_topic
from slugline.corpus.layout import Layout
from slugline.corpus.loading import UnlabelledTexts
from slugline.corpus.readers import RowReader
from slugline.corpus.rows import SourceRow
from slugline.corpus.table_writers import decimal_cell, guard_cell
from slugline.corpus.tables import csv_file
from slugline.corpus.topic_cells import NOT_LABELLED
from slugline.experiment.suggest import Suggestion, normal_form, sample_texts
from slugline.prediction.answers import answer_names


def open_texts(
    rows: RowReader, unlabelled: UnlabelledTexts, layout: Layout | None
) -> tuple[list[bool], str | None]:
    """Return a mask of texts without a topic, and a note if some have one.

    If all texts have topics, the topics are ignored because they may be a model's answers.
    """
    if layout is None or not rows.has_names:
        return [True] * len(unlabelled.rows), None
    is_open = [not has_topic(row, layout) for row in unlabelled.rows]
    n_labelled = is_open.count(False)
    if not n_labelled:
        return is_open, None
    form = layout.topic_form
    columns = in_columns(form.columns if form is not None and form.columns else [layout.topic])
    if n_labelled == len(is_open):
        note = f"every text already has a topic{columns}; these topics are ignored"
        return [True] * len(is_open), note
    verb = "is" if n_labelled == 1 else "are"
    note = f"{counted(n_labelled, 'text')} with a topic already{columns} {verb} not suggested"
    return is_open, note


def take_texts(unlabelled: UnlabelledTexts, is_taken: Sequence[bool]) -> UnlabelledTexts:
    """Return the texts selected by the mask `is_taken`, with their rows."""
    return replace(
        unlabelled,
        texts=list(itertools.compress(unlabelled.texts, is_taken)),
        rows=list(itertools.compress(unlabelled.rows, is_taken)),
    )


class RandomTexts(NamedTuple):
    """Texts drawn at random from a file.

    Attributes
    ----------
    rows, texts : list
        Rows and texts that were drawn.
    other_rows : list of SourceRow
        Rows of the other texts, without copies of the drawn ones, with or without a topic.
    topic : str
        Name of the topic column.
    n_open : int
        Number of texts without a topic to draw from.
    """

    rows: list[SourceRow]
    texts: list[str]
    other_rows: list[SourceRow]
    topic: str
    n_open: int


def draw_texts(
    rows: RowReader, source: UnlabelledTexts, number: int, *, seed: int, topic: str | None
) -> tuple[RandomTexts, str | None]:
    """Draw texts without a topic at random; also return a note if some texts have one.

    `topic` defaults to a column with a common name, or "topic".
    """
    if topic is None and rows.has_names:
        topic = known_topic_column(column_names(source.rows), source.columns)
    topic = topic or "topic"
    is_open, note = open_texts(rows, source, Layout(source.columns, topic))
    candidates = take_texts(source, is_open)
    chosen = sample_texts(candidates.texts, number, seed)
    texts = [candidates.texts[row] for row in chosen]
    drawn = {normal_form(text) for text in texts}
    others = take_texts(source, [normal_form(text) not in drawn for text in source.texts])
    drawn_rows = [candidates.rows[row] for row in chosen]
    return RandomTexts(drawn_rows, texts, others.rows, topic, len(candidates.texts)), note


def rows_table(
    rows: Sequence[SourceRow], dialect: TableDialect, *, to_fill_in: str | None = None
) -> bytes:
    """Return rows as a table, with an empty first column `to_fill_in`, if given."""
    columns = [name for name in column_names(rows) if name != to_fill_in]
    header, empty = ([], []) if to_fill_in is None else ([to_fill_in], [""])
    cells = ([*empty, *(row.values.get(name) for name in columns)] for row in rows)
    return csv_file([[*header, *columns], *cells], dialect)


def columns_to_fill_in(layout: Layout | None) -> tuple[list[str], str]:
    """Return the topic columns of a model's data, and the cell of a text without a label."""
    if layout is None:
        return ["topic"], ""
    form = layout.topic_form
    if form is not None and form.kind == "columns":
        return [*form.columns], ""
    # With a separator, an empty cell would mean a text without topics.
    return [layout.topic], NOT_LABELLED if form is not None and form.kind == "separator" else ""


def suggestion_table(
    suggestions: Sequence[Suggestion],
    rows: RowReader,
    unlabelled: UnlabelledTexts,
    layout: Layout | None,
    dialect: TableDialect,
) -> bytes:
    """Return a table of suggestions to fill in, with all columns of their rows.

    Parameters
    ----------
    suggestions : sequence of Suggestion
    rows : RowReader
        The file of the texts.
    unlabelled : UnlabelledTexts
        The texts from which suggestions were chosen.
    layout : Layout, optional
        The columns of the model's data, including the topic column.
    dialect : TableDialect
    """
    inputs = _input_cells(suggestions, rows, unlabelled)
    columns = list(dict.fromkeys(name for row in inputs for name in row))
    is_alike = layout is not None and {*layout.text} <= {*columns}
    topics, to_fill_in = columns_to_fill_in(layout)
    form = None if layout is None else layout.topic_form
    if not is_alike and (form is None or form.kind != "columns"):
        topics = ["topic"]
    columns = [name for name in columns if name not in topics]
    names = answer_names([*topics, *columns], ["guess", "probability"])
    table: list[list[Any]] = [[*topics, *columns, names["guess"], names["probability"]]]
    for chosen, row in zip(suggestions, inputs, strict=True):
        cells = (row.get(name) for name in columns)
        probability = decimal_cell(f"{chosen.probability:.4f}", dialect.delimiter)
        guess = chosen.topic
        if isinstance(guess, tuple):
            guess = ((form and form.separator) or ";").join(map(str, guess))
        table.append([*[to_fill_in] * len(topics), *cells, guard_cell(guess), probability])
    return csv_file(table, dialect)


def _input_cells(
    suggestions: Sequence[Suggestion], rows: RowReader, unlabelled: UnlabelledTexts
) -> list[Mapping[str, Any]]:
    """Return the cells of the suggested rows, by column."""
    cells = [unlabelled.rows[s.row].values for s in suggestions]
    if rows.has_names:
        return [*cells]
    # Lines of text, mostly unlabelled.
    return [{name: cell for name, cell in row.items() if cell is not None} for row in cells]
