"""Answers as a file: a row for each document, with its given cells and the answer."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from slugline.corpus.rows import BadRow

if TYPE_CHECKING:
    from slugline.answers import Prediction

__all__ = ["AnswerFile", "answer_names", "compact", "topic_names"]

# With what a spreadsheet's formulas begin; and numbers, which may begin so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*")
#: Names of left-out columns that are kept for the message.
N_LEFT_OUT = 100


class AnswerFile:
    """Rows of CSV, TSV or JSON lines: the given columns in their order, then the answers.

    The given columns are those of the first batch that has any.

    Parameters
    ----------
    file : binary file
    delimiter : str or None
        What separates cells; None for JSON lines.
    unit, has_names : of the given rows
        See `slugline.corpus.readers.Rows`.
    names : sequence of str
        Those of the answers, besides "error": some of `topic_names`, "reason", "guess" and "set".
    guards_formulas : bool, default False
        Put an apostrophe before cells of a table that a spreadsheet would read as formulas; by
        default, they stay as given.

    Attributes
    ----------
    left_out : list of str
        Columns that came too late for the header, or to rename an answer column.
    """

    def __init__(
        self,
        file: BinaryIO,
        delimiter: str | None,
        unit: str,
        names: Sequence[str],
        has_names: bool,
        guards_formulas: bool = False,
    ) -> None:
        self.left_out: list[str] = []
        self._file = file
        self._table = None if delimiter is None else _table_writer(file, delimiter)
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._unit = unit
        self._answer_names = names
        self._has_names = has_names
        self._cell = _guarded if guards_formulas else _cell
        self._columns: Container[str] | None = None
        self._names: dict[str, str] = {}
        self._fields: list[str] = []
        self._held: list[Prediction | BadRow] = []

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        """Write the answers to a batch of rows."""
        if self._columns is None:
            self._held += answers
            columns = self._columns_of(answers)
            if columns:
                self._begin(columns)
            return
        for answer in answers:
            self._write_row(answer)

    def finish(self) -> None:
        """Write the rest, after the last answer."""
        if self._columns is None:
            self._begin({})

    def _columns_of(self, answers: Iterable[Prediction | BadRow]) -> dict[str, None]:
        """Return the given columns; of lines of text, "topic" only if there are labels."""
        cells = (cell for answer in answers for cell in answer.values.items())
        return {name: None for name, value in cells if self._has_names or value is not None}

    def _begin(self, columns: dict[str, None]) -> None:
        self._columns = columns
        self._names = answer_names(columns, self._answer_names)
        self._fields = [*columns, *self._names.values()]
        if self._table is not None:
            self._table.writerow(map(self._cell, self._fields))
        held, self._held = self._held, []
        self.write(held)

    def _write_row(self, answer: Prediction | BadRow) -> None:
        self._put(self._given(answer.values) | self._answers(answer))

    def _put(self, row: dict[str, Any]) -> None:
        if self._table is None:
            self._file.write(self._encode(row) + b"\n")
        else:
            self._table.writerow([self._cell(row.get(name)) for name in self._fields])

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given cells that have a column."""
        known, is_table = self._columns or (), self._table is not None
        given = {}
        for name, value in values.items():
            if name in known or not (is_table or name in self._fields):
                given[name] = compact(value)
            elif value is not None and name not in self.left_out:
                self.left_out = [*self.left_out, name][:N_LEFT_OUT]
        return given

    def _answers(self, answer: Prediction | BadRow) -> dict[str, Any]:
        if isinstance(answer, BadRow):
            return {self._names["error"]: f"{self._unit} {answer.at}: {answer.problem}"}
        found: dict[str, Any] = {"reason": answer.reason, "guess": answer.topics[0][0]}
        for number, (topic, probability) in enumerate(answer.topics, 1):
            topic_name, probability_name = _numbered(number)
            found |= {topic_name: topic, probability_name: round(probability, 4)}
        if answer.reason:
            found["topic"] = None
        if answer.set is not None:
            found["set"] = answer.set if self._table is None else "; ".join(map(str, answer.set))
        return {self._names[name]: found.get(name) for name in self._answer_names}


def topic_names(n_topics: int) -> list[str]:
    """Return the names of columns for so many topics.

    >>> topic_names(2)
    ['topic', 'probability', 'topic_2', 'probability_2']
    """
    return [name for number in range(1, n_topics + 1) for name in _numbered(number)]


def answer_names(given: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the name of each answer column, which differs from all given columns.

    >>> answer_names(["id", "Topic"], topic_names(1))
    {'topic': 'predicted_topic', 'probability': 'probability', 'error': 'error'}
    """
    taken = {name.lower() for name in given}
    found = {}
    for name in (*names, "error"):
        free = name
        while free in taken:
            free = f"predicted_{free}"
        found[name] = free
        taken.add(free)
    return found


def compact(value: Any) -> Any:
    """Return a value that fits on one line: JSON as written may have line breaks."""
    return msgspec.Raw(msgspec.json.format(value, indent=-1)) if _is_raw(value) else value


def _numbered(number: int) -> tuple[str, str]:
    suffix = "" if number == 1 else f"_{number}"
    return f"topic{suffix}", f"probability{suffix}"


def _is_raw(value: Any) -> bool:
    return isinstance(value, msgspec.Raw)


def _cell(value: Any) -> Any:
    """Return a value as a cell of a table: null as an empty cell, true as in JSON."""
    if _is_raw(value):
        return bytes(value).decode()
    return str(value).lower() if isinstance(value, bool) else value


def _guarded(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet takes for a formula.

    >>> _guarded("=1+1"), _guarded("-3.5"), _guarded(-3.5), _guarded("a-b")
    ("'=1+1", '-3.5', -3.5, 'a-b')
    """
    cell = _cell(value)
    if not isinstance(cell, str) or not cell.startswith(_FORMULA) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def _table_writer(file: BinaryIO, delimiter: str) -> Any:
    text = codecs.getwriter("utf-8")(file)
    return csv.writer(text, delimiter=delimiter, lineterminator="\n")
