"""Read and write cells with topics, and read numbers with a decimal comma."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.corpus.documents import is_missing
from slugline.corpus.layout import TopicForm
from slugline.errors import DataError, Message, Parameter

_IS_TOPIC = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
# Likely separators of topics in a cell (a tab may separate cells instead); maximum listed.
_SEPARATORS, _N_NAMED = ";|\t", 4
_LIST_TYPES = (list, tuple, set, frozenset)
#: Content of an unlabelled cell if topics have a separator; an empty cell then means a document
#: without topics.
NOT_LABELLED = "?"
_MARKED = r"^__label__(\S+)$|^<(\S+)>$"


class BadTopicsError(ValueError):
    """The topics of a row can't be used; the message says why."""


def read_topics(value: object, form: TopicForm | None) -> str | tuple[str, ...]:
    """Parse a cell: return a topic, "" if missing, or a tuple for a list or separated cell.

    Raises BadTopicsError for an object, or a list with items other than words and numbers.
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
        raise BadTopicsError(f"{describe_type(value)} instead of a topic")
    name = topic_name(value)
    if form is not None and form.kind == "separator" and isinstance(value, str):
        parts = [part.strip() for part in name.split(form.separator)]
        if form.separator == " ":  # as `format_topics` writes labels and URIs
            parts = [re.sub(_MARKED, r"\1\2", part) for part in parts]
        return tuple(filter(None, parts))
    return (name,) if name and form is not None else name


def read_topic_columns(values: Mapping[str, Any], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the topics whose columns are 1; raise BadTopicsError for values other than 0 and 1."""
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
    """Parse the cell of a topic column: True for 1, False for 0, otherwise None."""
    return _IS_TOPIC.get(topic_name(value))


def format_topics(
    topics: Sequence[str], form: TopicForm | None
) -> list[str] | str | dict[str, int]:
    """Format multi-label topics; the inverse of reading them.

    Parameters
    ----------
    topics : sequence of str
    form : TopicForm, optional
        Topic form of a `Layout`; an array by default.

    Returns
    -------
    A list ("array"), a cell ("separator" and "uris"), the labels in front of a text ("label"), or 0
    or 1 for each column ("columns"). Files with labels can't represent documents without topics.

    Raises
    ------
    DataError : if a topic name contains the separator, or a topic has no column.
    """
    if form is None or form.kind == "array":
        return [*topics]
    if form.kind == "columns":
        unknown = [topic for topic in topics if topic not in form.columns]
        if unknown:
            raise DataError(
                f"topic {short_repr(unknown[0])} is not among the columns "
                f"{', '.join(map(short_repr, form.columns))}; write the topics as a list, in JSON."
            )
        return {column: int(column in topics) for column in form.columns}
    separator = form.separator or " "
    for topic in topics:
        if form.splits(topic):
            raise DataError(
                f"topic {short_repr(topic)} contains the separator {short_repr(separator)}; "
                "rename it, or write the topics as a list, in JSON."
            )
    pattern = {"label": "__label__{}", "uris": "<{}>"}.get(form.kind, "{}")
    return separator.join(map(pattern.format, topics))


def topic_name(value: object) -> str:
    """Convert a value to a topic name: "3" for 3 and 3.0, "true" for True, "" for null and NaN."""
    if is_missing(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def describe_type(value: object) -> str:
    """Describe the type of a value in words, such as "a list"."""
    if isinstance(value, msgspec.Raw):
        return "an object" if bytes(memoryview(value)[:1]) == b"{" else "a list"
    kinds = {int: "a number", float: "a number", dict: "an object"}
    if isinstance(value, _LIST_TYPES):
        return "a list"
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def separator_warnings(counts: Counter[str]) -> list[str]:
    """Return a warning if topics such as "x;y" seem to combine several topics.

    This is likely if most documents have such a topic, or if the parts occur in other topics.
    Commas are not checked because they are common in names.
    """
    for separator in _SEPARATORS:
        parts = {topic: {*filter(None, map(str.strip, topic.split(separator)))} for topic in counts}
        combinations = [topic for topic in counts if len(parts[topic]) > 1]
        n_documents = sum(counts[topic] for topic in combinations)
        are_most = 2 * n_documents > counts.total()
        n_topics = Counter(itertools.chain.from_iterable(parts.values()))
        n_recurring = sum(
            all(n_topics[part] > 1 for part in parts[topic]) for topic in combinations
        )
        do_recur = separator != "\t" and 2 * n_recurring > len(combinations) > 1
        if combinations and (are_most or do_recur):
            warning = Message(
                f"{'most' if are_most else f'{n_documents:,}'} documents have {separator!r} in "
                f"their topic: {join_words([*map(repr, combinations)], _N_NAMED, last=None)}. "
                "Each combination counts as a separate topic; to split them into topics, use ",
                Parameter("topic_separator", separator),
                ", or else keep one topic per document, for example with ",
                Parameter("topic_map"),
                ", or check the separator of the table.",
            )
            return [warning]
    return []


# Numbers with a decimal comma ---------------------------------------------------------------------

# Maximum length of a number in characters.
_MAX_LENGTH = 40
_LIKE_NUMBER = r"[+-]?[0-9][0-9.,]*"
_DECIMAL_COMMA = r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,[0-9]+)?"
# In English notation, three digits follow each comma, and up to three precede the first.
_THOUSANDS = r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"
# Minimum fraction of cells in a column that must be such numbers.
_MIN_FRACTION = 0.8


def read_decimal_comma(text: str) -> float | None:
    """Parse a number with a decimal comma and full stops between thousands, or return None.

    >>> [read_decimal_comma(text) for text in ("48,42", "1.234,56", "1.234", "3.14", "1,2,3")]
    [48.42, 1234.56, 1234.0, None, None]
    """
    text = text.strip()
    if len(text) > _MAX_LENGTH or not re.fullmatch(_DECIMAL_COMMA, text):
        return None
    return float(text.replace(".", "").replace(",", "."))


def read_clear_decimal_comma(text: str) -> float | None:
    """Parse a number whose comma can't be a thousands separator, or return None.

    >>> [read_clear_decimal_comma(text) for text in ("48,42", "1.234,567", "1,234", "1.234")]
    [48.42, 1234.567, None, None]
    """
    is_clear = "," in text[:_MAX_LENGTH] and not re.fullmatch(_THOUSANDS, text.strip())
    return read_decimal_comma(text) if is_clear else None


def have_decimal_commas(cells: Iterable[object]) -> bool:
    """Return True if the cells of a column are numbers with a decimal comma.

    At least one cell must contain a comma, and all cells that look like numbers (dates don't) must
    parse with a decimal comma. The table's delimiter must not be a comma.

    >>> have_decimal_commas(["1.234", "48,42", ""]), have_decimal_commas(["3.14", "1,5"])
    (True, False)
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    numbers = [text for text in texts if re.fullmatch(_LIKE_NUMBER, text)]
    return (
        any("," in number for number in numbers)
        and len(numbers) >= _MIN_FRACTION * len(texts)
        and all(read_decimal_comma(number) is not None for number in numbers)
    )
