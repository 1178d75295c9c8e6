"""Data layouts (columns, encoding and topic format) and options for reading data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from msgspec import Meta

from slugline.base.checks import check_whole, short_repr
from slugline.base.settings import Setting
from slugline.corpus.header import HeaderHints
from slugline.errors import OptionError, Parameter

#: File formats that users can specify.
Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"]
# Limits on layouts in model files.
_Name = Annotated[str, Meta(min_length=1, max_length=1000)]
_MAX_NAMES = 1 << 16


@dataclass(frozen=True, slots=True)
class TopicForm:
    """The format of multi-label topics; see `read_topics` and `format_topics`.

    Attributes
    ----------
    kind : {"array", "separator", "columns", "label", "uris"}
    separator : str
        Separator between the topics in a cell.
    columns : tuple of str
        Columns of 0 and 1, one per topic.
    """

    kind: Literal["array", "separator", "columns", "label", "uris"]
    separator: Annotated[str, Meta(max_length=100)] = ""
    columns: Annotated[tuple[_Name, ...], Meta(max_length=_MAX_NAMES)] = ()

    def splits(self, topic: str) -> bool:
        """Return True if reading would split a topic, because it contains the separator."""
        if self.kind in ("array", "columns"):
            return False
        return self.separator in topic if self.separator else len(topic.split()) != 1


@dataclass(frozen=True, slots=True)
class Layout:
    """How data was read: columns, format, and renamed topics.

    A model stores the layout of its training data and applies it to later data.

    Attributes
    ----------
    text : tuple of str
        Text columns.
    topic : str
        Topic column; if each topic has its own column, the first characters of the column names.
    encoding : str or None
        Encoding of the files; None for UTF-8.
    skip_bad_rows : bool
    topic_form : TopicForm or None
        Multi-label format; None if each document has one topic.
    columns : tuple of str
        Extra columns, in addition to the text.
    fold_topics : bool
        See `slugline.corpus.topics.fold_topics`.
    topic_map : tuple of (str, str)
        Pairs of old and new topic names.
    format : str or None
        File format, unless the file names show it.
    separator : str or None
        Delimiter between table cells; None for other data.
    """

    text: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=100)]
    topic: _Name
    encoding: Annotated[str, Meta(max_length=100)] | None = None
    skip_bad_rows: bool = False
    topic_form: TopicForm | None = None
    columns: tuple[str, ...] = ()
    fold_topics: bool = False
    topic_map: Annotated[tuple[tuple[_Name, _Name], ...], Meta(max_length=_MAX_NAMES)] = ()
    format: str | None = None
    separator: Annotated[str, Meta(min_length=1, max_length=1)] | None = None

    @property
    def topic_column(self) -> str | None:
        """The topic column; None if each topic has its own column."""
        has_columns = self.topic_form is not None and self.topic_form.columns
        return None if has_columns else self.topic


Options = TypeVar("Options", bound="FileOptions")
_reading = partial(Setting, panel="Reading the data")


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options for reading the texts of a file.

    Attributes
    ----------
    text : str, sequence of str or None
        One or more text columns.
    format : str or None
        One of `Format`; see `check_format`.
    encoding : str or None
    separator : str or None
        Delimiter of a table.
    header_row : int or None
        Row of the column names, or line in a text file; None to search for it.
    """

    text: Annotated[
        str | Sequence[str] | None,
        Setting("Text column or columns, such as subject,body.", "COLUMN", default="guessed"),
    ] = None
    format: Annotated[
        str | None,
        _reading(
            "File format: csv, tsv, jsonl, json, parquet, xlsx, txt or folder.",
            "FORMAT",
            default="from the name",
            values=get_args(Format),
        ),
    ] = None
    encoding: Annotated[
        str | None, _reading("Encoding, such as cp1252.", "NAME", default="UTF-8, else detected")
    ] = None
    separator: Annotated[
        str | None,
        _reading("Cell separator of a table, such as ; or tab.", "TEXT", default="detected"),
    ] = None
    header_row: Annotated[
        int | None,
        _reading("Row of the column names, counted from 1.", "N", default="detected", ge=1),
    ] = None


def convert_options(options: FileOptions, kind: type[Options], **others: Any) -> Options:
    """Convert options to another type: copy shared fields, and set `others`."""
    names = {field.name for field in fields(options)} & {field.name for field in fields(kind)}
    return kind(**{name: getattr(options, name) for name in names} | others)


@dataclass(frozen=True, kw_only=True)
class LabelledFileOptions(FileOptions):
    """Options for reading the texts and topics of a file; see `load_corpus`.

    Attributes
    ----------
    topic : str or None
    topic_separator : str or None
    topic_columns : str, sequence of str or None
    skip_bad_rows : bool
    """

    topic: Annotated[str | None, Setting("Topic column.", "COLUMN", default="guessed")] = None
    topic_separator: Annotated[
        str | None,
        _reading("Separator of several topics in a cell, such as ; in grain;wheat.", "TEXT"),
    ] = None
    topic_columns: Annotated[
        str | Sequence[str] | None,
        _reading("Topic columns that contain 0 or 1, such as grain,wheat.", "COLUMNS"),
    ] = None
    skip_bad_rows: Annotated[bool, _reading("Skip unusable rows instead of stopping.")] = False


@dataclass(frozen=True, kw_only=True)
class ReadOptions(LabelledFileOptions):
    """All options for reading labelled texts.

    Attributes
    ----------
    fold_topics : bool
    topic_map : Path or None
    topic_path : str or None
        Separator in hierarchical topics.
    columns : sequence of str
        Extra columns, in addition to the text.
    layout : Layout or None
        Layout of a model's training data, used if no columns are named.
    multilabel : bool or None
        True for multi-label data; None to infer it from the first rows of each source.
    id : str or None
        Id column.
    """

    fold_topics: Annotated[
        bool,
        _reading("Merge topics that differ only in case or spaces into the most common spelling."),
    ] = False
    topic_map: Annotated[
        Path | None,
        _reading(
            "Rename topics by a CSV or TSV file with the columns from and to.",
            "FILE",
            flag="--map-topics",
        ),
    ] = None
    topic_path: Annotated[
        str | None,
        _reading(
            "Separator of hierarchical topics, such as / in sport/football; adds their parents.",
            "TEXT",
        ),
    ] = None
    columns: Annotated[
        Sequence[str],
        Setting("Additional input column, such as product. Repeatable.", "NAME", flag="--column"),
    ] = ()
    layout: Layout | None = None
    multilabel: bool | None = None
    id: Annotated[
        str | None,
        Setting("Id column, such as Ticket-Nr.", "COLUMN", default="a column such as id"),
    ] = None

    def header_hints(self) -> HeaderHints:
        """Return the hints for locating the header of a table.

        Raises OptionError if `header_row` is not a positive integer.
        """
        if self.header_row is not None:
            check_whole("header_row", self.header_row, 1)
        named = [self.topic, self.id, *self.columns]
        for names in (self.text, self.topic_columns):
            named += [names] if isinstance(names, str | None) else names
        return HeaderHints(
            self.header_row,
            tuple(name for name in named if name is not None),
            () if self.layout is None else self.layout.text,
        )

    def describes_source(self) -> bool:
        """Return True if columns or a format are given; built-in data sets support neither."""
        choices = (
            self.text,
            self.topic,
            self.format,
            self.separator,
            self.topic_separator,
            self.topic_columns,
            self.header_row,
        )
        return bool(self.columns) or any(choice is not None for choice in choices)

    @property
    def extra_columns(self) -> Sequence[str]:
        """The named extra columns, or else the layout's."""
        return self.columns or (self.layout.columns if self.layout else ())

    def topic_form(self) -> TopicForm | None:
        """Return the multi-label format given by the user, or None.

        Raises OptionError if it is invalid, or two formats are given.
        """
        separator, columns = self.topic_separator, self.topic_columns
        check_separator("topic_path", self.topic_path)
        if separator is not None and columns is not None:
            raise OptionError(
                Parameter("topic_separator"),
                " and ",
                Parameter("topic_columns"),
                " can't be combined; give only one of them.",
            )
        if separator is not None:
            check_separator("topic_separator", separator)
            return TopicForm("separator", separator)
        if columns is None:
            return None
        if self.topic is not None:
            raise OptionError(
                Parameter("topic"),
                " names one column, and ",
                Parameter("topic_columns"),
                " a column for each topic; give only one of them.",
            )
        names = columns.split(",") if isinstance(columns, str) else columns
        names = tuple(str(name).strip() for name in names)
        if not all(names) or len({*names}) < max(len(names), 1):
            raise OptionError(
                Parameter("topic_columns"),
                f" is {short_repr(columns)}; name the column of each topic once.",
            )
        return TopicForm("columns", columns=names)


def check_separator(name: str, separator: Any) -> None:
    """Raise OptionError if a separator is empty, or contains letters or digits."""
    is_text = isinstance(separator, str) and separator
    if separator is not None and (not is_text or any(map(str.isalnum, separator))):
        example = ("topic", ";") if name == "topic_separator" else ("path", "/")
        raise OptionError(
            Parameter(name),
            f" is {short_repr(separator)}; give the {example[0]} separator, such as "
            f"{example[1]!r}.",
        )


# Ways to write a tab on a command line.
_TAB_NAMES = ("\\t", "tab")


def check_delimiter(separator: Any) -> str | None:
    """Validate the delimiter of a table; raise OptionError unless it is a character or "tab"."""
    if separator is None:
        return None
    if isinstance(separator, str) and separator.lower() in _TAB_NAMES:
        return "\t"
    is_sign = isinstance(separator, str) and len(separator) == 1 and not separator.isalnum()
    if not is_sign or separator in "\"'\r\n\0\ufffd" or "\ud800" <= separator <= "\udfff":
        raise OptionError(
            Parameter("separator"),
            f" is {short_repr(separator)}; give the character between the cells of a table, "
            "such as ';', or 'tab'.",
        )
    return str(separator)
