"""Documents and labels as other labelling tools exchange them, in files of JSON.

Each tool has room for some of what a label database holds. What it has no room for (names of
coders, times, notes, why a document was skipped) is written to an extra field, `EXTRA`, which the
tools keep. On reading, the extra field counts only if the tool's own fields still say the same; if
labels were changed in the tool, those count.
"""

from __future__ import annotations

import codecs
import contextlib
import datetime
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from slugline.base.checks import replace_surrogates, short_repr
from slugline.corpus.columns import known_text_columns
from slugline.corpus.label_database.codebook import CodebookTopic
from slugline.corpus.label_database.records import CoderKind, SkipReason
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import check_exists, read_rows
from slugline.corpus.rows import BadRow, join_advice, translate_os_errors
from slugline.errors import DataError

_T = TypeVar("_T")
#: The extra field.
EXTRA = "slugline"
# The version of its content.
_VERSION = 1
# Bytes that show whether a file is an array.
_HEAD_BYTES = 1024


class ExchangedLabel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A label in another tool's file.

    Attributes
    ----------
    coder : str or None
        None if the file doesn't say.
    topics : tuple of str, or None
        None if the document was skipped.
    at, note : str or None
    reason : {"unclear", "none of these", "not for me"}
        Why it was skipped.
    kind : {"person", "imported"}
    is_settlement : bool
        Whether the label is the answer of a person who settled a disagreement.
    """

    coder: str | None = None
    topics: tuple[str, ...] | None = None
    at: str | None = None
    note: str | None = None
    reason: SkipReason = "unclear"
    kind: CoderKind = "person"
    is_settlement: bool = False


class ExchangedDocument(NamedTuple):
    """A document in another tool's file; one of several lines if each coder has their own.

    Attributes
    ----------
    place : str
        Where it is, such as "tasks.json, item 3"; empty for a document to write.
    id : str or int
        The tool's id; empty if there is none.
    text : str or None
        None if the file doesn't contain it.
    columns : dict
        Its other columns.
    labels : tuple of ExchangedLabel
    key : str or None
        Its key in the label database that wrote the file, if one did.
    is_partial : bool
        Whether the label is one of several, as the tool asks about each topic in turn.
    hidden_columns : dict
        Columns that coders are not to see: they are written to the extra field.
    is_multilabel : bool
        Whether documents may have several topics, or none, in the label database that wrote the
        file.
    """

    place: str
    id: str | int
    text: str | None
    columns: dict[str, Any]
    labels: tuple[ExchangedLabel, ...] = ()
    key: str | None = None
    is_partial: bool = False
    hidden_columns: Mapping[str, Any] = MappingProxyType({})
    is_multilabel: bool = False


class LabelScheme(NamedTuple):
    """The topics of a label database, which tools show as choices.

    Attributes
    ----------
    topics : tuple of CodebookTopic
        Those in use.
    is_multilabel : bool
        Whether documents may have several topics, or none.
    """

    topics: tuple[CodebookTopic, ...] = ()
    is_multilabel: bool = False


@dataclass(frozen=True)
class LabelTool:
    """The format of a tool's files.

    Attributes
    ----------
    name : str
        As in the option `--export-for`.
    title : str
        The tool's name in messages.
    file_format : {"json", "jsonl"}
        Whether a file is one array, or has an object in each line.
    has_line_per_coder : bool
        Whether a document that two coders labelled takes two lines.
    matches : callable
        Whether the first object of a file, with its fields, is of this tool.
    read : callable
        Return the document of an object, with the labels in the tool's own fields.
    write : callable
        Return the object of a document, without the extra field.
    write_scheme : callable
        Return the content of the file from which the tool gets its labels.
    view : callable
        Return what the tool's own fields say of labels, to be compared.
    extra_holder : str or None
        The field of an object that holds the extra field; None if the object itself does.
    """

    name: str
    title: str
    file_format: Literal["json", "jsonl"]
    has_line_per_coder: bool
    matches: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Fields], ExchangedDocument]
    write: Callable[[ExchangedDocument, LabelScheme], dict[str, Any]]
    write_scheme: Callable[[LabelScheme], str]
    view: Callable[[Iterable[ExchangedLabel]], Hashable]
    extra_holder: str | None = None


# Reading ------------------------------------------------------------------------------------------


class Fields:
    """The fields of an object in a file, which are checked as they are taken.

    Parameters
    ----------
    place : str
        Where the object is, for messages.
    values : mapping of str to object
        Lists and objects are `msgspec.Raw`.
    """

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        self.place = place
        self._values = dict(values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def take(self, name: str, kind: type[_T], default: _T) -> _T:
        """Return a field and remove it; DataError if it has another type.

        The default stands for a missing field, and for null.
        """
        value = self._values.pop(name, None)
        if value is None:
            return default
        try:
            if isinstance(value, msgspec.Raw):
                return msgspec.json.decode(value, type=kind)
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
            raise self.error(f"the field {name!r} is not as expected ({_reason(error)})") from error

    def take_text(self, name: str = "text") -> str:
        """Return the text and remove it; DataError if it is missing or not a text."""
        if name not in self._values:
            raise self.error(f"there is no {name!r}")
        return self.take(name, str, "")

    def take_id(self, name: str = "id") -> str | int:
        """Return an id and remove it; empty if there is none."""
        value: str | int = self.take(name, str | int, "")  # type: ignore[arg-type]
        return value

    def remaining(self) -> dict[str, Any]:
        """Return the fields that were not taken, decoded."""
        return {name: self.take(name, object, None) for name in [*self._values]}

    def error(
        self, problem: str, advice: str = "correct the file, or export it again"
    ) -> DataError:
        """Return an error with the place of the object."""
        return DataError(f"{self.place}: {problem}; {advice}.")


def _reason(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def choose_text_name(names: Sequence[str], fields: Fields, found: str) -> str:
    """Return the name that a text usually has, or the only name; DataError if there is none.

    Parameters
    ----------
    names : sequence of str
    fields : Fields
    found : str
        What the error says of the names, such as "there are 2 fields".
    """
    known = known_text_columns(names, ())
    chosen = ["text"] if "text" in known else [*known][:1] or names
    if len(chosen) != 1:
        raise fields.error(f"{found}, and none is called 'text'", "rename one of them to text")
    return chosen[0]


def find_tool(path: str | Path, tools: Iterable[LabelTool]) -> LabelTool | None:
    """Return the tool that wrote a file, as its first object shows; None if none of these did."""
    if _json_format(path) is None:
        return None
    with contextlib.closing(_objects(path)) as objects:
        first = next(objects, None)
    return None if first is None else next((t for t in tools if t.matches(first[1])), None)


def read_exchange(path: str | Path, tool: LabelTool) -> Iterator[ExchangedDocument]:
    """Yield the documents of a tool's file, in bounded memory but for partial ones.

    Partial documents come last: each with the topics that a coder accepted, one at a time.

    Raises DataError, with the place, if an object can't be read.
    """
    partial: dict[tuple[object, ...], list[ExchangedDocument]] = defaultdict(list)
    for document in _read_documents(path, tool):
        if not document.is_partial:
            yield document
        elif document.labels:
            partial[document.id, document.text, document.labels[0].coder].append(document)
        else:  # a topic was rejected
            partial.setdefault((document.id, document.text), []).append(document)
    yield from map(_combine, partial.values())


def _combine(documents: Sequence[ExchangedDocument]) -> ExchangedDocument:
    """Return the first of several documents with the topics of all."""
    first = documents[0]
    topics = [topic for each in documents for label in each.labels for topic in label.topics or ()]
    if not topics:
        return first
    label = msgspec.structs.replace(first.labels[0], topics=tuple(dict.fromkeys(topics)))
    return first._replace(labels=(label,))


def _read_documents(path: str | Path, tool: LabelTool) -> Iterator[ExchangedDocument]:
    for place, values in _objects(path):
        if not tool.matches(values):
            raise DataError(
                f"{place}: this is not an object of {tool.title}, though the first one is; put "
                "each tool's in a file of their own."
            )
        fields = Fields(place, values)
        document = tool.read(fields)
        extra = document.columns.pop(EXTRA, None)
        yield document if extra is None else _restore(document, extra, tool)


def _json_format(path: str | Path) -> str | None:
    """Return whether a file is an array of JSON, or JSON Lines; None if it is neither."""
    check_exists(Path(path))
    if not Path(path).is_file():
        return None
    with translate_os_errors(str(path)), Path(path).open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    return {b"[": "json", b"{": "jsonl"}.get(head[:1])


def _objects(path: str | Path) -> Generator[tuple[str, Mapping[str, Any]]]:
    """Yield the place and the fields of each object in a file; DataError if one is bad."""
    rows = read_rows(path, ReadOptions(format=_json_format(path)))
    for row in rows:
        place = f"{rows.name}, {rows.unit} {row.at}"
        if isinstance(row, BadRow):
            raise DataError(f"{place}: {row.problem}; ", join_advice([row]), ".")
        yield place, row.values


class _Extra(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of the extra field."""

    version: int
    key: Annotated[str, msgspec.Meta(min_length=1)]
    labels: tuple[ExchangedLabel, ...] = ()
    columns: dict[str, Any] = {}
    is_multilabel: bool = False


_decode_extra = msgspec.json.Decoder(_Extra).decode


def _restore(document: ExchangedDocument, extra: object, tool: LabelTool) -> ExchangedDocument:
    """Return a document with the key and, unless the tool changed them, labels of `extra`."""
    if not isinstance(extra, str):
        raise DataError(
            f"{document.place}: the field {EXTRA!r} is not a string, as Slugline writes it; remove "
            "it, or export the file again."
        )
    try:
        content = _decode_extra(extra)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(
            f"{document.place}: the field {EXTRA!r} is not as Slugline writes it "
            f"({_reason(error)}); remove it, or export the file again."
        ) from error
    if content.version > _VERSION:
        raise DataError(
            f"{document.place}: the field {EXTRA!r} is of version {content.version}, which a later "
            "Slugline wrote; install a newer Slugline, or remove the field."
        )
    columns = {**document.columns, **content.columns}
    document = document._replace(
        key=content.key, columns=columns, is_multilabel=content.is_multilabel
    )
    if tool.view(content.labels) != tool.view(document.labels):
        return document
    return document._replace(labels=content.labels)


# Writing ------------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder(enc_hook=str)


def _encode(value: object) -> bytes:
    """Return JSON, in which unpaired surrogates are replaced: other programs reject them."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(replace_surrogates(msgspec.to_builtins(value, enc_hook=str)))


def write_exchange(
    documents: Iterable[ExchangedDocument], tool: LabelTool, scheme: LabelScheme
) -> Iterator[bytes]:
    """Yield the bytes of a tool's file."""
    separator = b"\n" if tool.file_format == "jsonl" else b",\n"
    if tool.file_format == "json":
        yield b"["
    is_first = True
    for document in documents:
        for line in _split(document) if tool.has_line_per_coder else [document]:
            item = tool.write(line, scheme)
            hidden = dict(document.hidden_columns)
            extra = _Extra(_VERSION, document.key or "", line.labels, hidden, scheme.is_multilabel)
            holder = item if tool.extra_holder is None else item[tool.extra_holder]
            holder[EXTRA] = _encode(extra).decode()
            yield (b"" if is_first else separator) + _encode(item)
            is_first = False
    if tool.file_format == "json":
        yield b"]\n"
    elif not is_first:
        yield b"\n"


def _split(document: ExchangedDocument) -> list[ExchangedDocument]:
    """Return a document for each label; the document itself if it has none."""
    return [document._replace(labels=(label,)) for label in document.labels] or [document]


# Times --------------------------------------------------------------------------------------------


def to_time(value: object, fields: Fields) -> str | None:
    """Return a time of a tool (ISO 8601, or seconds since 1970) as `utc_now` writes times.

    A time without a zone is UTC. None stays None. Raises DataError for anything else.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            time = datetime.datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            time = datetime.datetime.fromtimestamp(value, datetime.UTC)
        else:
            raise TypeError
        if time.tzinfo is None:
            time = time.replace(tzinfo=datetime.UTC)
        utc = time.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise fields.error(f"{short_repr(value)} is not a time") from error
    return utc.replace("+00:00", "Z")


def to_seconds(time: str) -> int:
    """Return a time of `utc_now` in whole seconds since 1970."""
    return int(datetime.datetime.fromisoformat(time).timestamp())


# Labels -------------------------------------------------------------------------------------------


def persons(labels: Iterable[ExchangedLabel]) -> list[ExchangedLabel]:
    """Return the labels of persons."""
    return [label for label in labels if label.kind == "person"]


def find_answer(labels: Iterable[ExchangedLabel]) -> tuple[str, ...] | None:
    """Return the topics that a person settled on, or on which all persons agree; else None.

    >>> find_answer([ExchangedLabel("Kim", ("a",)), ExchangedLabel("Lee"), ExchangedLabel("Jo")])
    ('a',)
    """
    given = persons(labels)
    settlement = next((label for label in given if label.is_settlement), None)
    if settlement is not None:
        return settlement.topics
    topics = [label.topics for label in given if label.topics is not None]
    return topics[0] if len({frozenset(each) for each in topics}) == 1 else None
