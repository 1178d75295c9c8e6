"""Layouts of data: columns, encoding, and how topics are written; options of readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

from slugline.base.checks import short_repr
from slugline.errors import OptionError

#: The formats of files that users can name.
Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"]


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
