"""Tables of texts to label, suggested or drawn at random."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from slugline.prediction.files import answer_names


def open_texts(
    rows: RowReader, unlabelled: UnlabelledTexts, layout: Layout | None
) -> tuple[list[bool], str | None]:
    """Return a mask of texts without a topic, and a note if some have one.

    If all texts have a topic, these may be a model's answers and are ignored.
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


@dataclass(frozen=True)
class RandomTexts:
    """Texts drawn at random from a file.

    Attributes
    ----------
    rows : list of SourceRow
        Rows of the drawn texts.
    texts : list of str
        The drawn texts.
    topic : str
        Name of the topic column.
    columns : list of str
        Names of the other columns.
    source : UnlabelledTexts
        All texts of the file.
    n_open : int
        Number of texts without a topic to draw from.
    """

    rows: list[SourceRow]
    texts: list[str]
    topic: str
    columns: list[str]
    source: UnlabelledTexts
    n_open: int

    def table(self, dialect: TableDialect) -> bytes:
        """Return the drawn texts as a table with a topic column to fill in."""
        to_fill_in = (["", *_cells(row, self.columns)] for row in self.rows)
        return csv_file([[self.topic, *self.columns], *to_fill_in], dialect)

    def other_rows(self) -> list[SourceRow]:
        """Return the rows of the other texts, without copies of the drawn ones.

        Includes rows with a topic.
        """
        drawn = {normal_form(text) for text in self.texts}
        is_other = [normal_form(text) not in drawn for text in self.source.texts]
        return list(itertools.compress(self.source.rows, is_other))

    def other_table(self, rows: Iterable[SourceRow], dialect: TableDialect) -> bytes:
        """Return other rows as a table, with a topic column only if some texts had a topic."""
        has_topics = len(self.source.rows) > self.n_open
        columns = column_names(self.source.rows) if has_topics else self.columns
        return csv_file([columns, *(_cells(row, columns) for row in rows)], dialect)


def draw_texts(
    rows: RowReader, source: UnlabelledTexts, number: int, *, seed: int, topic: str | None
) -> tuple[RandomTexts, str | None]:
    """Draw texts without a topic at random; also return a note if some texts have one.

    `topic` defaults to a column with a common name, or "topic".
    """
    names = column_names(source.rows)
    if topic is None and rows.has_names:
        topic = known_topic_column(names, source.columns)
    topic = topic or "topic"
    is_open, note = open_texts(rows, source, Layout(source.columns, topic))
    candidates = take_texts(source, is_open)
    drawn = sample_texts(candidates.texts, number, seed)
    texts = RandomTexts(
        [candidates.rows[row] for row in drawn],
        [candidates.texts[row] for row in drawn],
        topic,
        [name for name in names if name != topic],
        source,
        len(candidates.texts),
    )
    return texts, note


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
    topics = [layout.topic if layout is not None and is_alike else "topic"]
    form = None if layout is None else layout.topic_form
    if form is not None and form.kind == "columns":
        topics = [*form.columns]
    columns = [name for name in columns if name not in topics]
    # With a separator, an empty cell would mean a text without topics.
    to_fill_in = NOT_LABELLED if form is not None and form.kind == "separator" else ""
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


def _cells(row: SourceRow, columns: Sequence[str]) -> list[Any]:
    return [row.values.get(name) for name in columns]
