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
    `names`. `own` is the topic column of the model's training data, if known. `topic_type` is the
    SQL type of a topic.
    """

    names: list[str]
    form: TopicForm | None = None
    own: str | None = None
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
        return AnswerColumns(names, form, _own_column(fitted), topic_type)
    names = topic_names(n_topics)
    if decider.precision is not None:
        names += ["reason", "guess"]
    return AnswerColumns(names, own=_own_column(fitted), topic_type=topic_type)


def _own_column(fitted: Fitted) -> str | None:
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
        self._topic_names = free_names(input_names, form.columns if form else ())
        others = [*input_names, *self._topic_names.values()]
        if self._question is None:
            self._names = answer_names(others, names, self._columns.own)
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
        reason = None if decision.reason is None else str(decision.reason)
        cells: dict[str, Any] = {"reason": reason, "guess": decision.top[0][0]}
        stems = _ONE_TOPIC if self._columns.form is None else _GUESSES
        for number, (topic, probability) in enumerate(decision.top, 1):
            topic_name, probability_name = _numbered(number, stems)
            cells |= {topic_name: topic, probability_name: self._probability_cell(probability)}
        if decision.reason:
            cells["topic"] = None
        topics: dict[str, Any] = {}
        if (form := self._columns.form) is not None:
            multilabel_cells = self._multilabel_cells(decision, form)
            topics = {
                self._topic_names[name]: multilabel_cells.pop(name) for name in self._topic_names
            }
            cells |= multilabel_cells
        if self._table.delimiter:
            cells = {name: guard_cell(cell) for name, cell in cells.items()}
        return topics | {self._names[name]: cells.get(name) for name in self._columns.names}

    def _multilabel_cells(self, decision: Decision, form: TopicForm) -> dict[str, Any]:
        """Return the topics given and their probabilities, or None if the model is unsure."""
        if decision.reason:
            return dict.fromkeys((*form.columns, "topics", "probabilities"))
        proba_by_topic = dict(zip(decision.topics or (), decision.probabilities, strict=True))
        topics: Any = [*proba_by_topic] if self._table.has_lists else [*map(str, proba_by_topic)]
        cells = format_topics(topics, form)
        probabilities = [
            self._probability_cell(proba_by_topic[name])
            for name in form.columns
            if name in proba_by_topic
        ]
        probabilities = probabilities or [*map(self._probability_cell, proba_by_topic.values())]
        return {
            **(cells if isinstance(cells, dict) else {"topics": cells}),
            "probabilities": probabilities
            if self._table.has_lists
            else (form.separator or " ").join(map(str, probabilities)),
        }

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
    input_names: Iterable[str], names: Iterable[str], own: str | None = None
) -> dict[str, str]:
    """Return the name of each answer column, distinct from all input columns.

    The topic column is named `own`, as in the training data, unless an input column has this name.

    >>> answer_names(["id", "Topic"], topic_names(1))
    {'topic': 'predicted_topic', 'probability': 'probability'}
    >>> answer_names(["id"], ["topic", "topic_2"], "queue")
    {'topic': 'queue', 'topic_2': 'queue_2'}
    >>> answer_names(["id", "Queue"], ["topic", "topic_2"], "queue")
    {'topic': 'topic', 'topic_2': 'topic_2'}
    """
    input_names = [*input_names]
    if own is None or own.lower() in map(str.lower, input_names):
        return free_names(input_names, names)
    own_names = [_TOPIC_NAME.sub(lambda match: f"{own}{match[1] or ''}", name) for name in names]
    new_names: list[str] = []
    for name in own_names:
        new_names += free_names([*input_names, *new_names], [name]).values()
    return dict(zip(names, new_names, strict=True))


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


def free_names(input_names: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return a new name for each name, distinct from all input columns."""
    used_names = {name.lower() for name in input_names}
    renamed = {}
    for name in names:
        free = name
        while free in used_names:
            free = f"predicted_{free}"
        renamed[name] = free
        used_names.add(free)
    return renamed


def _numbered(number: int, stems: tuple[str, str]) -> list[str]:
    return [stem if number == 1 else f"{stem}_{number}" for stem in stems]
