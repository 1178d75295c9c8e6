"""A row of a source, or why it can't be used; what a header looks like."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.corpus.documents import is_missing
from slugline.corpus.encodings import guess_encoding
from slugline.errors import DataError, OptionError, os_errors_as

#: The formats of files that users can name.
Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"]
#: The most bytes in one line, quoted row, cell or text file. Ten long books; more is a mistake.
MAX_RECORD = 10_000_000
#: The most columns of a table, or fields of a JSON object.
MAX_COLUMNS = 50_000
# Bytes of memory for a cell besides its own.
_CELL_BYTES = 100
# Bytes around one that is not UTF-8 from which the encoding is guessed.
_N_AROUND = 40
_NAME_IT = 'name its encoding, such as `encoding="cp1252"`'
_SAVE_ALIKE = "save all lines in one encoding (others are UTF-8, as if two files were joined)"


class TopicForm(NamedTuple):
    """How documents with several topics are written; see `read_topics` and `format_topics`."""

    kind: Literal["array", "separator", "columns", "label", "uris"]
    separator: str = ""  # between the topics of a cell
    columns: tuple[str, ...] = ()  # of 0 and 1, one for each topic

    def splits(self, topic: str) -> bool:
        """Whether a topic has in its name what separates topics in this form."""
        if self.kind in ("array", "columns"):
            return False
        return self.separator in topic if self.separator else len(topic.split()) != 1


class DataLayout(NamedTuple):
    """How data were read and their topics made, which later data of a model share.

    Columns of tables, their encoding (None for UTF-8), whether bad rows are left out, and whether
    topics are merged or renamed. `columns` are those beside the text that count.
    """

    text: tuple[str, ...]
    topic: str  # the beginning of all names if there is one for each topic
    encoding: str | None = None
    skip_bad_rows: bool = False
    topic_form: TopicForm | None = None  # None if each document has one topic
    columns: tuple[str, ...] = ()
    fold_topics: bool = False  # see `slugline.corpus.topics.fold_topics`
    topic_map: tuple[tuple[str, str], ...] = ()  # old and new names of topics
    format: str | None = None  # of files whose names don't show it
    separator: str | None = None  # of the cells of a table; None of other data


class ReadOptions(NamedTuple):
    """How to read labelled texts; see `load_corpus`."""

    text: str | Sequence[str] | None = None
    topic: str | None = None
    format: Format | None = None
    skip_bad_rows: bool = False
    encoding: str | None = None
    separator: str | None = None  # of the cells of a table
    fold_topics: bool = False
    topic_map: Path | None = None
    topic_separator: str | None = None
    topic_columns: str | Sequence[str] | None = None
    topic_path: str | None = None  # what separates the parts of topics that are paths
    columns: Sequence[str] = ()  # those beside the text to read
    # That of a model's training data, which files without named columns may share.
    layout: DataLayout | None = None
    # Whether documents may have several topics; None if the first ones of each source show it.
    several: bool | None = None

    def describes_source(self) -> bool:
        """Whether columns or the format are named, which data sets known by name don't have."""
        choices = (
            *(self.text, self.topic, self.format, self.separator),
            *(self.topic_separator, self.topic_columns),
        )
        return choices != (None,) * len(choices) or bool(self.columns)

    @property
    def beside(self) -> Sequence[str]:
        """The columns beside the text: those that are named, or those of the layout."""
        return self.columns or (self.layout.columns if self.layout else ())

    def topic_form(self) -> TopicForm | None:
        """Return the form of several topics that the user named; None if there is none.

        Raises OptionError if it is none, or two are named.
        """
        separator, columns = self.topic_separator, self.topic_columns
        check_separator("topic_path", self.topic_path)
        if separator is not None and columns is not None:
            raise OptionError("`topic_separator` and `topic_columns` are two forms; name one.")
        if separator is not None:
            check_separator("topic_separator", separator)
            return TopicForm("separator", separator)
        if columns is None:
            return None
        if self.topic is not None:
            raise OptionError(
                "`topic` names one column, and `topic_columns` one for each topic; name one of "
                "them."
            )
        names = columns.split(",") if isinstance(columns, str) else columns
        names = tuple(str(name).strip() for name in names)
        if not all(names) or len({*names}) < max(len(names), 1):
            raise OptionError(
                f"`topic_columns` is {short_repr(columns)}; name the column of each topic once."
            )
        return TopicForm("columns", columns=names)


#: Those of the `ReadOptions` that all readers of labelled texts have.
USER_OPTIONS = ReadOptions._fields[:-4]


def check_separator(name: str, separator: Any) -> None:
    """Raise OptionError unless a separator is None, or characters that aren't letters or digits."""
    is_text = isinstance(separator, str) and separator
    if separator is not None and (not is_text or any(map(str.isalnum, separator))):
        example = ("topics", ";") if name == "topic_separator" else ("the parts of a path", "/")
        raise OptionError(
            f"`{name}` is {short_repr(separator)}; give what stands between {example[0]}, such as "
            f"{example[1]!r}."
        )


# How people write a tab on a command line.
_TAB_NAMES = ("\\t", "tab")


def check_delimiter(separator: Any) -> str | None:
    """Return what separates the cells of a table; OptionError if it is no single sign."""
    if separator is None:
        return None
    if isinstance(separator, str) and separator.lower() in _TAB_NAMES:
        return "\t"
    is_sign = isinstance(separator, str) and len(separator) == 1 and not separator.isalnum()
    if not is_sign or separator in "\"'\r\n\0\ufffd" or "\ud800" <= separator <= "\udfff":
        raise OptionError(
            f"`separator` is {short_repr(separator)}; give the sign between the cells of a table, "
            "such as ';', or 'tab'."
        )
    return str(separator)


class TopicOptions(TypedDict, total=False):
    """The `ReadOptions` of documents with several topics."""

    topic_separator: str | None
    topic_columns: str | Sequence[str] | None


class BadRow(NamedTuple):
    """A row that can't be used."""

    at: int | str  # see `SourceRow`
    # What is wrong with it, and what to do about such rows.
    problem: str
    advice: str = "fix them"
    # Its cells by column name, as far as they could be read.
    values: Mapping[str, Any] = MappingProxyType({})
    sample: bytes = b""  # some of its bytes, if they are not in the expected encoding
    n_bytes: int = 0  # bytes that were read for its values
    id: Any = None  # its cell in the column of ids, if there is one


def too_long_row(at: int | str) -> BadRow:
    """Return a bad row for one that exceeds `MAX_RECORD`."""
    return BadRow(at, f"more than {MAX_RECORD:,} bytes", "split them")


def nul_row(at: int | str) -> BadRow:
    """Return a bad row for one with a NUL, which text never has and UTF-16 is full of."""
    return BadRow(at, "a NUL character", "delete NULs (of UTF-16, name its `encoding`)")


def undecodable_row(
    at: int | str, error: UnicodeDecodeError, encoding: str | None = None, *, is_mixed: bool = False
) -> BadRow:
    """Return a bad row for bytes that are not UTF-8, as others are if `is_mixed`, or as named."""
    if encoding is not None:
        return BadRow(at, f"bytes that are not {encoding}", "check `encoding`")
    around = slice(max(error.start - _N_AROUND, 0), error.start + _N_AROUND)
    advice = _SAVE_ALIKE if is_mixed else _NAME_IT
    return BadRow(at, "bytes that are not UTF-8", advice, sample=error.object[around])


def join_advice(bad: Sequence[BadRow]) -> str:
    """Return the advice of bad rows, each piece once, with a guess at their encoding."""
    samples = [row.sample for row in bad if row.sample]
    guess = guess_encoding(samples) if samples else None
    advice = dict.fromkeys(row.advice for row in bad)
    if _SAVE_ALIKE in advice:  # in another encoding, the others would be wrong
        advice.pop(_NAME_IT, None)
    return " and ".join(
        f'if it is {guess}, name that with `encoding="{guess}"`'
        if guess and text == _NAME_IT
        else text
        for text in advice
    )


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source."""

    # The physical line on which it begins, its number in a Parquet file or a JSON array, or its
    # path in a folder.
    at: int | str
    # Its cells by column name. A list or object of JSON is a `msgspec.Raw`: Python values, which
    # nothing uses, would take up to fifty times its bytes.
    values: Mapping[str, Any]
    note: str = ""  # what the reader decided, such as which of two topics counts
    n_bytes: int = field(default=0, compare=False)  # bytes that were read for it


def estimate_memory(row: SourceRow | BadRow) -> int:
    """Return roughly how many bytes of memory a row takes: far more than it was read from.

    >>> estimate_memory(BadRow(1, "no text")), estimate_memory(SourceRow(1, {"a": "b"}, "", 10))
    (100, 210)
    """
    return row.n_bytes + _CELL_BYTES * (len(row.values) + 1)


#: The rows of a source.
RowIterator = Iterator[SourceRow | BadRow]


def translate_os_errors(name: str) -> AbstractContextManager[None]:
    """Convert an OSError about a file to a DataError that names it."""
    return os_errors_as(DataError, f"{name} can't be read", "check the file and its permissions.")


def make_row(
    at: int | str, values: Mapping[str, Any], note: str = "", n_bytes: int = 0
) -> SourceRow | BadRow:
    """Return a row of values, or a bad row if one of them has a NUL."""
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        return nul_row(at)._replace(values=values, n_bytes=n_bytes)
    return SourceRow(at, values, note, n_bytes)


# Several topics -----------------------------------------------------------------------------------

_IS_TOPIC = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
# Between the topics of a document that has several, and the cells of a table; topics in a message.
_SEPARATORS, _N_NAMED = ";|\t", 4
_LIST_TYPES = (list, tuple, set, frozenset)
#: Says that the topics of a cell with a separator are not known yet; an empty cell has none.
NOT_LABELLED = "?"
_MARKED = re.compile(r"^__label__(\S+)$|^<(\S+)>$")


class BadTopicsError(ValueError):
    """Topics of a row that can't be used; says what is wrong with them."""


def read_topics(value: object, form: TopicForm | None) -> str | tuple[str, ...]:
    """Return a topic, "" if it is missing, or several: of a list, or a cell with a separator.

    Raises BadTopicsError if the value is an object, or a list holds anything but words and numbers.
    """
    if isinstance(value, msgspec.Raw) and bytes(memoryview(value)[:1]) == b"[":
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadTopicsError(f"a list of topics that is not valid JSON ({error})") from error
    if isinstance(value, _LIST_TYPES):
        nested = next((item for item in value if isinstance(item, (dict, *_LIST_TYPES))), None)
        if nested is not None:
            raise BadTopicsError(f"{describe_type(nested)} in a list of topics")
        topics = [topic_name(item) for item in value]
        if not all(topics) or any("\0" in topic for topic in topics):
            raise BadTopicsError("an empty topic, or one with a NUL character, in a list of topics")
        return tuple(sorted(topics) if isinstance(value, set | frozenset) else topics)
    if isinstance(value, msgspec.Raw | dict):
        raise BadTopicsError(f"{describe_type(value)} for a topic")
    name = topic_name(value)
    if form is not None and form.kind == "separator" and isinstance(value, str):
        parts = [part.strip() for part in name.split(form.separator)]
        if form.separator == " ":  # as `format_topics` writes labels and URIs
            parts = [_MARKED.sub(r"\1\2", part) for part in parts]
        return tuple(filter(None, parts))
    return (name,) if name and form is not None else name


def read_topic_columns(values: Mapping[str, Any], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that are 1; BadTopicsError if one is neither 0 nor 1."""
    topics = []
    for column in columns:
        flag = topic_flag(values.get(column))
        if flag is None:
            name = topic_name(values.get(column))
            content = f"{short_repr(name)} in" if name else "no 0 or 1 in"
            raise BadTopicsError(f"{content} column {short_repr(column)} of 0 and 1")
        if flag:
            topics.append(column)
    return tuple(topics)


def topic_flag(value: object) -> bool | None:
    """Return whether a cell of 0 or 1 gives a topic; None for another cell."""
    return _IS_TOPIC.get(topic_name(value))


def format_topics(
    topics: Sequence[str], form: TopicForm | None
) -> list[str] | str | dict[str, int]:
    """Return several topics as they are written in a form; reading that returns the same topics.

    Parameters
    ----------
    topics : sequence of str
    form : TopicForm, optional
        That of `DataLayout.topic_form`; an array by default.

    Returns
    -------
    A list ("array"), a cell ("separator" and "uris"), the labels in front of a text ("label"), or 0
    or 1 by column ("columns"). Files with labels can't hold documents without topics.

    Raises
    ------
    DataError : if a topic has the separator in its name, or no column.
    """
    if form is None or form.kind == "array":
        return [*topics]
    if form.kind == "columns":
        unknown = [topic for topic in topics if topic not in form.columns]
        if unknown:
            raise DataError(
                f"topic {short_repr(unknown[0])} is none of the columns "
                f"{', '.join(map(short_repr, form.columns))}; write the topics as a list, in JSON."
            )
        return {column: int(column in topics) for column in form.columns}
    separator = form.separator or " "
    for topic in topics:
        if form.splits(topic):
            raise DataError(
                f"topic {short_repr(topic)} has {short_repr(separator)} in its name, which "
                "separates topics; rename it, or write the topics as a list, in JSON."
            )
    pattern = {"label": "__label__{}", "uris": "<{}>"}.get(form.kind, "{}")
    return separator.join(map(pattern.format, topics))


def topic_name(value: object) -> str:
    """Return the same name for 3 and 3.0, the JSON name of true, and "" for null and NaN."""
    if is_missing(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def describe_type(value: object) -> str:
    """Return the type of a value in JSON's words, such as "a list"."""
    if isinstance(value, msgspec.Raw):
        return "an object" if bytes(memoryview(value)[:1]) == b"{" else "a list"
    kinds = {int: "a number", float: "a number", dict: "an object"}
    if isinstance(value, _LIST_TYPES):
        return "a list"
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def separator_warnings(counts: Counter[str]) -> list[str]:
    """Return a warning if topics such as "x;y" seem to be several topics.

    They do if most documents have one, or if their parts recur in others. Commas are in too many
    names to say so.
    """
    for separator in _SEPARATORS:
        parts = {topic: {*filter(None, map(str.strip, topic.split(separator)))} for topic in counts}
        several = [topic for topic in counts if len(parts[topic]) > 1]
        n_documents = sum(counts[topic] for topic in several)
        are_most = 2 * n_documents > counts.total()
        n_topics = Counter(itertools.chain.from_iterable(parts.values()))
        n_recurring = sum(all(n_topics[part] > 1 for part in parts[topic]) for topic in several)
        do_recur = separator != "\t" and 2 * n_recurring > len(several) > 1
        if several and (are_most or do_recur):
            return [
                f"{'most' if are_most else f'{n_documents:,}'} documents have {separator!r} in "
                f"their topic: {join_words([*map(repr, several)], _N_NAMED, last=None)}. Each such "
                "combination counts as a topic of its own; if these are several topics, read them "
                f"as such with `topic_separator={separator!r}`, or else name one topic for each "
                "document, with `topic_map` if need be, or check the separator of the table."
            ]
    return []


# Headers ------------------------------------------------------------------------------------------

#: Names of columns that are recognized in any case, the likeliest first: English ones, then those
#: of other widespread languages. The subject of a message is a part of its text.
_NAMES = msgspec.json.decode(Path(__file__).with_name("column_names.json").read_bytes())
TEXT_NAMES: list[str] = _NAMES["text"]
TOPIC_NAMES: list[str] = _NAMES["topic"]
ID_NAME = "id"


def check_unique(source: str, names: Iterable[str]) -> None:
    """Raise DataError if two columns have the same name."""
    counts = Counter(names)
    duplicate = next((name for name, n in counts.items() if n > 1), None)
    if duplicate is not None:
        raise DataError(f"{source} has two columns named {short_repr(duplicate)}; rename one.")
