"""Answers as columns of a table: their names, and the cells of each answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from slugline.corpus.layout import TopicForm
from slugline.corpus.table_writers import TableWriter, decimal_cell, guard_cell
from slugline.corpus.topic_cells import format_topics
from slugline.model.decider import Decider
from slugline.model.decision import Decision
from slugline.model.fitted import Fitted

# Columns of a topic and its probability: an answer, or the guess of a multilabel model.
_ONE_TOPIC, _GUESSES = ("topic", "probability"), ("guess", "guess_probability")
# Separators between topics in a cell, unless the training data had another separator.
_SEPARATORS = ";|"


class AnswerColumns(NamedTuple):
    """Columns of answers except "error", and the form of multi-label topics.

    `form` is None for single-label models. If each topic has a column, these columns are not in
    `names`. `topic_column` is the topic column of the model's training data, if it has a name.
    `topic_type` is the SQL type of a topic.
    """

    names: list[str]
    form: TopicForm | None = None
    topic_column: str | None = None
    topic_type: str = "VARCHAR"


def answer_columns(decider: Decider, top: int, *, in_table: bool = True) -> AnswerColumns:
    """Return the answer columns of a table, or of JSON or Parquet."""
    fitted, n_topics = decider.fitted, min(top, len(decider.fitted.topics))
    is_number = any(isinstance(name, int) for name in fitted.topics.names)
    topic_type = "BIGINT" if is_number else "VARCHAR"
    if fitted.multilabel:
        form = _answer_form(fitted, in_table)
        guesses = [name for i in range(n_topics) for name in _numbered(i + 1, _GUESSES)]
        topics = [] if form.columns else ["topics"]
        names = [*topics, "probabilities", "reason", *guesses]
        return AnswerColumns(names, form, _topic_column(fitted), topic_type)
    names = topic_names(n_topics)
    if decider.precision is not None:
        names += ["reason", "guess"]
    return AnswerColumns(names, topic_column=_topic_column(fitted), topic_type=topic_type)


def _topic_column(fitted: Fitted) -> str | None:
    """Return the topic column of the training data; None if unknown or unnamed."""
    layout = fitted.layout
    form = None if layout is None else layout.topic_form
    is_named = form is None or form.kind in ("array", "separator")
    return layout.topic if layout is not None and is_named else None


def _answer_form(fitted: Fitted, in_table: bool) -> TopicForm:
    """Return the form of multi-label topics: as in the training data, if the format allows it."""
    form = None if fitted.layout is None else fitted.layout.topic_form
    names = [*map(str, fitted.topics.names)]
    if form is not None and form.columns:  # corrections may have added topics
        return replace(form, columns=tuple(dict.fromkeys([*form.columns, *names])))
    if form is not None and in_table and form.kind != "array":
        return form
    separator = next((s for s in _SEPARATORS if s not in "".join(names)), _SEPARATORS[0])
    return TopicForm("separator", separator) if in_table else TopicForm("array")


class AnswerCells:
    """The columns of one question in a table, and the cells of its answers.

    Parameters
    ----------
    columns : AnswerColumns
    table : TableWriter
        Its format determines the format of cells.
    question : str or None
        Name of the question if there are several.
    """

    def __init__(self, columns: AnswerColumns, table: TableWriter, question: str | None) -> None:
        self._columns, self._table, self._question = columns, table, question
        self._names: dict[str, str] = {}
        self._topic_names: dict[str, str] = {}  # topics with a separate column

    def choose_names(self, input_names: Sequence[str]) -> dict[str, str]:
        """Choose column names distinct from the given ones, and return their SQL types."""
        form, names = self._columns.form, self._columns.names
        topics = form.columns if form else ()
        self._topic_names = dict(zip(topics, free_names(input_names, topics), strict=True))
        others = [*input_names, *self._topic_names.values()]
        if self._question is None:
            self._names = answer_names(others, names, self._columns.topic_column)
        else:
            self._names = question_names(others, names, self._question)
        types = dict.fromkeys(self._topic_names.values(), "BIGINT")
        return types | {column: self._type_of(name) for name, column in self._names.items()}

    def _type_of(self, name: str) -> str:
        """Return the SQL type of an answer column."""
        if name == "probabilities":
            return "DOUBLE[]"
        if name.startswith(("probability", "guess_probability")):
            return "DOUBLE"
        topic_type = self._columns.topic_type
        if name == "topics":
            return f"{topic_type}[]"
        return topic_type if name.startswith(("topic", "guess")) else "VARCHAR"

    def cells(self, decision: Decision) -> dict[str, Any]:
        """Return the cells of an answer by column."""
        cells = self._guess_cells(decision)
        topic_cells: dict[str, Any] = {}
        form = self._columns.form
        if form is not None and not decision.reason:
            topics = self._topic_cells(decision, form)
            cells["probabilities"] = self._probabilities_cell(decision, form)
            if isinstance(topics, dict):
                topic_cells = topics
            else:
                cells["topics"] = topics
        if self._table.delimiter:
            cells = {name: guard_cell(cell) for name, cell in cells.items()}
        by_column = {column: topic_cells.get(name) for name, column in self._topic_names.items()}
        return by_column | {column: cells.get(name) for name, column in self._names.items()}

    def _guess_cells(self, decision: Decision) -> dict[str, Any]:
        """Return the reason and the most likely topics with their probabilities."""
        reason = None if decision.reason is None else str(decision.reason)
        cells: dict[str, Any] = {"reason": reason, "guess": decision.top[0][0]}
        stems = _ONE_TOPIC if self._columns.form is None else _GUESSES
        for number, (topic, probability) in enumerate(decision.top, 1):
            topic_name, probability_name = _numbered(number, stems)
            cells |= {topic_name: topic, probability_name: self._probability_cell(probability)}
        if decision.reason:
            cells["topic"] = None
        return cells

    def _topic_cells(self, decision: Decision, form: TopicForm) -> Any:
        """Return the topics of a multi-label answer: one cell, or a dict of 0 and 1 by topic."""
        topics: Any = decision.topics or ()
        return format_topics(topics if self._table.has_lists else [*map(str, topics)], form)

    def _probabilities_cell(self, decision: Decision, form: TopicForm) -> Any:
        """Return the probabilities of a multi-label answer, in the order of its topics."""
        pairs = [*zip(map(str, decision.topics or ()), decision.probabilities, strict=True)]
        if form.columns:
            pairs.sort(key=lambda pair: form.columns.index(pair[0]))
        cells = [self._probability_cell(probability) for _, probability in pairs]
        return cells if self._table.has_lists else (form.separator or " ").join(map(str, cells))

    def _probability_cell(self, probability: float) -> Any:
        rounded = round(probability, 4)
        delimiter = self._table.delimiter
        return decimal_cell(rounded, delimiter) if delimiter else rounded


def topic_names(n_topics: int) -> list[str]:
    """Return the names of the columns of `n` topics and their probabilities.

    >>> topic_names(2)
    ['topic', 'probability', 'topic_2', 'probability_2']
    """
    numbers = range(1, n_topics + 1)
    return [name for number in numbers for name in _numbered(number, _ONE_TOPIC)]


def answer_names(
    input_names: Iterable[str], names: Iterable[str], topic_column: str | None = None
) -> dict[str, str]:
    """Return the name of each answer column, distinct from all input columns.

    The topic is named `topic_column`, as in the training data, unless an input column has this
    name.

    >>> answer_names(["id", "Topic"], topic_names(1))
    {'topic': 'predicted_topic', 'probability': 'probability'}
    >>> answer_names(["id"], ["topic", "topic_2"], "queue")
    {'topic': 'queue', 'topic_2': 'queue_2'}
    >>> answer_names(["id", "Queue"], ["topic", "topic_2"], "queue")
    {'topic': 'topic', 'topic_2': 'topic_2'}
    """
    input_names, names = [*input_names], [*names]
    wanted = names
    if topic_column is not None and topic_column.lower() not in map(str.lower, input_names):
        wanted = [_TOPIC_NAME.sub(lambda match: topic_column + (match[1] or ""), n) for n in names]
    return dict(zip(names, free_names(input_names, wanted), strict=True))


def question_names(
    input_names: Iterable[str], names: Iterable[str], question: str
) -> dict[str, str]:
    """Return the name of each answer column if a model answers several questions.

    >>> question_names(["id"], ["topic", "probability", "topic_2"], "queue")
    {'topic': 'queue', 'probability': 'queue probability', 'topic_2': 'queue 2'}
    >>> question_names(["id", "Queue"], ["topic", "probability"], "queue")
    {'topic': 'predicted_queue', 'probability': 'predicted_queue probability'}
    """
    input_names, names = [*input_names], [*names]
    suffixes = [_TOPIC_STEM.sub("", name).replace("_", " ").strip() for name in names]
    stem = question
    while {stem.lower(), *(f"{stem} {suffix}".lower() for suffix in suffixes)} & {
        name.lower() for name in input_names
    }:
        stem = f"predicted_{stem}"
    return {name: f"{stem} {suffix}".rstrip() for name, suffix in zip(names, suffixes, strict=True)}


# The stem of a topic's name; and the suffix of an additional topic, such as _2.
_TOPIC_STEM = re.compile(r"^topics?")
_TOPIC_NAME = re.compile(r"^topics?(_\d+)?$")


def free_names(input_names: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return a new name for each name, distinct from all others in any case.

    >>> free_names(["id", "Error"], ["error"])
    ['predicted_error']
    """
    used_names = {name.lower() for name in input_names}
    renamed = []
    for name in names:
        while name.lower() in used_names:
            name = f"predicted_{name}"
        renamed.append(name)
        used_names.add(name.lower())
    return renamed


def _numbered(number: int, stems: tuple[str, str]) -> list[str]:
    return [stem if number == 1 else f"{stem}_{number}" for stem in stems]
