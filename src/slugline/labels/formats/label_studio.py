"""Label Studio's JSON: a task for each document, with an annotation for each coder.

Label Studio has no fields for coder names, document keys and reasons for skipping. They are written
to an extra field of the task, `_EXTRA` in "meta", which Label Studio preserves. On reading, the
labels in the extra field count only if they still match the annotations; labels that were changed
in Label Studio take precedence.
"""

from __future__ import annotations

import codecs
import contextlib
import datetime
from collections import Counter
from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from xml.etree import ElementTree

import msgspec

from slugline.base.checks import replace_surrogates, short_repr
from slugline.base.files import PathLike, whole_file, write_errors
from slugline.corpus.columns import known_text_columns
from slugline.corpus.label_database.codebook import CodebookTopic
from slugline.corpus.label_database.records import CoderKind, DocumentLabels
from slugline.corpus.label_database.tables import TOPIC_COLUMN
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import check_exists, read_rows
from slugline.corpus.rows import BadRow, join_advice, translate_os_errors
from slugline.errors import DataError
from slugline.labels.formats.importing import (
    ExchangedDocument,
    ExchangedLabel,
    ImportReport,
    import_documents,
)
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

#: Name of the tool in options, and as the source of documents and labels.
LABEL_STUDIO = "label-studio"
# Control and object tags of exported labels.
_CONTROL, _OBJECT = "topic", "text"
# Label Studio identifies users by number, not by name.
_USER_PREFIX = "user "
# The extra field, and the version of its content.
_EXTRA, _VERSION = "slugline", 1
# Number of bytes to examine for the start of an array.
_HEAD_BYTES = 1024
# Fields of a JSON-MIN export, which lacks the names of annotated fields.
_MIN_FIELDS = ("annotation_id", "annotator", "lead_time")
# A task has at least one of these fields.
_TASK_FIELDS = ("annotations", "predictions", "completions", "is_labeled")


class ExportReport(NamedTuple):
    """Counts of what an export wrote.

    Attributes
    ----------
    n_documents : int
    n_labels : int
        Number of labels of coders, skipped documents included.
    n_open : int
        Number of documents on which coders disagree.
    """

    n_documents: int
    n_labels: int
    n_open: int


class _Value(msgspec.Struct, frozen=True):
    choices: list[str] = []
    text: list[str] | str = []
    start: object = None


class _Result(msgspec.Struct, frozen=True):
    type: str = ""
    from_name: str = ""
    value: _Value = _Value()


class _User(msgspec.Struct, frozen=True):
    id: int | None = None
    email: str | None = None


class _Annotation(msgspec.Struct, frozen=True):
    result: list[_Result] = []
    was_cancelled: bool | None = False
    completed_by: int | str | _User | None = None
    created_at: str | None = None
    updated_at: str | None = None
    model_version: str | None = None


class _Task(msgspec.Struct, frozen=True):
    data: dict[str, Any]
    id: int | str | None = None
    meta: dict[str, Any] | None = None
    annotations: list[_Annotation] | None = None
    predictions: list[_Annotation] | None = None


class _Extra(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of the extra field; its columns are hidden from coders."""

    version: int
    key: Annotated[str, msgspec.Meta(min_length=1)]
    labels: tuple[ExchangedLabel, ...] = ()
    columns: dict[str, Any] = {}
    is_multilabel: bool = False


# Reading ------------------------------------------------------------------------------------------


def is_label_studio_file(path: PathLike) -> bool:
    """Return True if the first item of a JSON array is a task of Label Studio."""
    path = Path(path)
    check_exists(path)
    if not path.is_file():
        return False
    with translate_os_errors(str(path)), path.open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    if not head.startswith(b"["):
        return False
    with contextlib.closing(_items(path)) as items:
        _, first = next(items, ("", {}))
    return _is_task(first)


def import_label_studio(
    store: LabelStore,
    path: PathLike,
    *,
    coder: str | None = None,
    kind: CoderKind = "person",
    user_file: TextTable | None = None,
) -> ImportReport:
    """Store the labels in a JSON file that Label Studio exported.

    See `import_documents`. The coder defaults to the coder named in the file.

    Raises
    ------
    DataError : if the file can't be read; the message names the place.
    """
    return import_documents(
        store,
        lambda: _read_documents(Path(path)),
        LABEL_STUDIO,
        coder=coder,
        kind=kind,
        user_file=user_file,
    )


def _items(path: Path) -> Generator[tuple[str, Mapping[str, Any]]]:
    """Yield the place and the fields of each object in an array; DataError if one is bad."""
    rows = read_rows(path, ReadOptions(format="json"))
    for row in rows:
        place = f"{rows.name}, {rows.unit} {row.at}"
        if isinstance(row, BadRow):
            raise DataError(f"{place}: {row.problem}; ", join_advice([row]), ".")
        yield place, row.values


def _is_task(values: Mapping[str, Any]) -> bool:
    is_minimal = all(name in values for name in _MIN_FIELDS)
    return is_minimal or ("data" in values and any(name in values for name in _TASK_FIELDS))


def _read_documents(path: Path) -> Iterator[ExchangedDocument]:
    for place, values in _items(path):
        yield _read_task(place, values)


def _read_task(place: str, values: Mapping[str, Any]) -> ExchangedDocument:
    _check_task(place, values)
    try:
        task = msgspec.json.decode(_encode(values), type=_Task)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _error(place, f"not a valid Label Studio task ({_reason(error)})") from error
    columns = dict(task.data)
    text: str = columns.pop(_text_name(place, columns))
    meta = dict(task.meta or {})
    extra = meta.pop(_EXTRA, None)
    if meta:
        columns["meta"] = meta
    number = "" if task.id is None else task.id
    document = ExchangedDocument(place, number, text, columns, tuple(_read_labels(place, task)))
    return document if extra is None else _restore(document, extra)


def _check_task(place: str, values: Mapping[str, Any]) -> None:
    if not _is_task(values):
        raise _error(place, "not a Label Studio task, although the first item is", "remove it")
    if "annotation_id" in values:
        raise _error(
            place,
            "JSON-MIN is unsupported, because it doesn't show which field is the topic",
            "export JSON",
        )
    if "completions" in values:
        raise _error(
            place,
            "'completions' are annotations of Label Studio before 1.0",
            "export it from a later one",
        )


def _error(
    place: str, problem: str, advice: str = "correct the file, or export it again"
) -> DataError:
    return DataError(f"{place}: {problem}; {advice}.")


def _reason(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _text_name(place: str, data: Mapping[str, Any]) -> str:
    """Return the common name of a text column, else the only text's name."""
    names = [name for name, value in data.items() if isinstance(value, str)]
    known = known_text_columns(names, ())
    chosen = ["text"] if "text" in names else [*known][:1] or names
    if len(chosen) != 1:
        problem = f"'data' has {len(names)} texts, and none is called 'text'"
        raise _error(place, problem, "rename one of them to text")
    return chosen[0]


def _read_labels(place: str, task: _Task) -> Iterator[ExchangedLabel]:
    for annotation in task.annotations or ():
        yield from _read_annotation(place, annotation)
    for prediction in task.predictions or ():
        model = prediction.model_version or "predictions"
        for label in _read_annotation(place, prediction):
            yield msgspec.structs.replace(label, coder=model, kind="imported")


def _read_annotation(place: str, annotation: _Annotation) -> list[ExchangedLabel]:
    """Return the label of an annotation, or an empty list if it has neither topic nor skip."""
    coder = annotation.completed_by
    name: str | None
    if isinstance(coder, _User):
        name = coder.email or (None if coder.id is None else f"{_USER_PREFIX}{coder.id}")
    else:
        name = f"{_USER_PREFIX}{coder}" if isinstance(coder, int) else coder
    at = _read_time(place, annotation.updated_at or annotation.created_at)
    notes, topics = _read_results(place, annotation.result)
    note = "\n".join(notes) or None
    if annotation.was_cancelled:
        return [ExchangedLabel(name, None, at, note)]
    return [ExchangedLabel(name, topics, at, note)] if topics is not None else []


def _read_results(
    place: str, results: Iterable[_Result]
) -> tuple[list[str], tuple[str, ...] | None]:
    """Return the notes and the chosen topics of an annotation."""
    notes, chosen = list[str](), dict[str, list[str]]()
    for result in results:
        if result.type == "textarea":
            text = result.value.text
            notes += [text] if isinstance(text, str) else text
        elif result.type != "choices" or result.value.start is not None:
            is_part = result.value.start is not None
            about = " about a part of the text" if is_part else ", which is not a choice"
            raise _error(
                place,
                f"there is a result of type {short_repr(result.type)}{about}",
                "only choices about the entire text can be read",
            )
        else:
            chosen.setdefault(result.from_name, []).extend(result.value.choices)
    if len(chosen) > 1:
        raise _error(
            place,
            f"there are choices for several questions ({', '.join(map(repr, chosen))})",
            "keep those of one question",
        )
    topics = next(iter(chosen.values()), None)
    return notes, None if topics is None else tuple(dict.fromkeys(topics))


def _read_time(place: str, value: str | None) -> str | None:
    """Return an ISO 8601 time as `utc_now` writes times; a time without a zone is UTC."""
    if value is None:
        return None
    try:
        time = datetime.datetime.fromisoformat(value)
        if time.tzinfo is None:
            time = time.replace(tzinfo=datetime.UTC)
        utc = time.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError) as error:
        raise _error(place, f"{short_repr(value)} is not a time") from error
    return utc.replace("+00:00", "Z")


def _restore(document: ExchangedDocument, extra: object) -> ExchangedDocument:
    """Return a document with the key of `extra` and, unless changed, its labels."""
    if not isinstance(extra, str):
        raise _error(
            document.place,
            f"the field {_EXTRA!r} is not a string, as Slugline writes it",
            "remove it, or export the file again",
        )
    try:
        content = msgspec.json.decode(extra, type=_Extra)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _error(
            document.place,
            f"the field {_EXTRA!r} is not as Slugline writes it ({_reason(error)})",
            "remove it, or export the file again",
        ) from error
    if content.version > _VERSION:
        raise _error(
            document.place,
            f"the field {_EXTRA!r} is of version {content.version}, which a later Slugline wrote",
            "install a newer Slugline, or remove the field",
        )
    is_changed = _view(content.labels) != _view(document.labels)
    return document._replace(
        key=content.key,
        columns={**document.columns, **content.columns},
        is_multilabel=content.is_multilabel,
        labels=document.labels if is_changed else content.labels,
    )


def _view(labels: Iterable[ExchangedLabel]) -> Hashable:
    """Return the parts of labels that Label Studio also stores, for comparison."""
    return tuple(
        (each.kind, None if each.topics is None else frozenset(each.topics))
        for each in sorted(labels, key=lambda label: label.kind, reverse=True)
        if each.kind == "person" or each.topics is not None
    )


# Writing ------------------------------------------------------------------------------------------


def export_label_studio(store: LabelStore, path: PathLike) -> ExportReport:
    """Write all documents with their labels to a file that Label Studio can import.

    The file appears when complete. Raises OutputError if it can't be written.
    """
    counts: Counter[str] = Counter()
    topic_column, is_multilabel = store.setting(TOPIC_COLUMN), store.is_multilabel
    with write_errors(path), whole_file(path) as file:
        file.write(b"[")
        for each in store.labels():
            if each.is_replaced:
                continue
            labels = _exchanged_labels(each)
            task = _task(each, labels, topic_column, is_multilabel=is_multilabel)
            file.write((b",\n" if counts["documents"] else b"") + _encode(task))
            counts["documents"] += 1
            counts["labels"] += len(labels)
            counts["open"] += each.status == "open"
        file.write(b"]\n")
    return ExportReport(counts["documents"], counts["labels"], counts["open"])


def export_setup(store: LabelStore, path: PathLike) -> int:
    """Write the labelling setup of a project with the topics in use; return their number.

    Raises OutputError if it can't be written.
    """
    topics = store.codebook().topics()
    setup = _setup(topics, is_multilabel=store.is_multilabel)
    with write_errors(path), whole_file(path) as file:
        file.write(setup.encode(errors="replace"))
    return len(topics)


def _setup(topics: Iterable[CodebookTopic], *, is_multilabel: bool) -> str:
    """Return the XML of a labelling setup, with descriptions as hints."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=_OBJECT, value=f"${_OBJECT}")
    choice = "multiple" if is_multilabel else "single"
    choices = ElementTree.SubElement(view, "Choices", name=_CONTROL, toName=_OBJECT, choice=choice)
    for topic in topics:
        tag = ElementTree.SubElement(choices, "Choice", value=topic.name)
        if topic.description:
            tag.set("hint", topic.description)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _encode(value: object) -> bytes:
    """Return JSON with unpaired surrogates replaced, because other programs reject them."""
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        return msgspec.json.encode(replace_surrogates(msgspec.to_builtins(value, enc_hook=str)))


def _exchanged_labels(labels: DocumentLabels) -> list[ExchangedLabel]:
    """Return the labels of all coders, and the settlement."""
    exchanged = [
        ExchangedLabel(
            coder=decision.assignment.coder.name,
            topics=decision.topics if decision.kind == "label" else None,
            at=decision.at,
            note=decision.note,
            reason=decision.reason or "unclear",
            kind=decision.assignment.coder.kind,
        )
        for decision in labels.decisions
    ]
    settlement = labels.settlement
    if settlement is not None:
        exchanged.append(
            ExchangedLabel(
                coder=settlement.person.name,
                topics=settlement.topics if settlement.kind == "label" else None,
                at=settlement.at,
                note=settlement.note,
                is_settlement=True,
            )
        )
    return exchanged


def _task(
    labels: DocumentLabels,
    exchanged: list[ExchangedLabel],
    topic_column: str | None,
    *,
    is_multilabel: bool,
) -> dict[str, Any]:
    """Return the task of a document, with `topic_column` hidden from coders."""
    document = labels.document
    columns = dict(document.columns)
    hidden = {name: columns.pop(name) for name in (topic_column,) if name in columns}
    meta = columns.pop("meta") if isinstance(columns.get("meta"), dict) else {}
    columns.pop(_OBJECT, None)
    extra = _Extra(_VERSION, document.key, tuple(exchanged), hidden, is_multilabel)
    return {
        "id": _task_id(document.key, document.id),
        "data": {_OBJECT: document.text, **columns},
        "meta": {**meta, _EXTRA: _encode(extra).decode()},
        "annotations": [_annotation(label) for label in exchanged if label.kind == "person"],
        "predictions": [
            {"model_version": label.coder or "", "result": _results(label)}
            for label in exchanged
            if label.kind == "imported" and label.topics is not None
        ],
    }


def _task_id(key: str, number: int) -> str | int:
    """Return Label Studio's id of a document, else the user's id, else its number."""
    for prefix in (f"{LABEL_STUDIO} ", "id "):
        if key.startswith(prefix):
            name = key.removeprefix(prefix).partition(" text ")[0]
            is_number = name.isdecimal() and str(int(name)) == name
            return int(name) if is_number else name
    return number


def _annotation(label: ExchangedLabel) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "result": _results(label),
        "was_cancelled": label.topics is None,
        "ground_truth": label.is_settlement,
    }
    coder = label.coder or ""
    if coder.startswith(_USER_PREFIX) and coder.removeprefix(_USER_PREFIX).isdecimal():
        annotation["completed_by"] = int(coder.removeprefix(_USER_PREFIX))
    elif "@" in coder:  # Label Studio identifies people by email address
        annotation["completed_by"] = {"email": coder}
    if label.at is not None:
        annotation["created_at"] = annotation["updated_at"] = label.at
    return annotation


def _results(label: ExchangedLabel) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    common = {"to_name": _OBJECT, "origin": "manual"}
    if label.topics is not None:
        value: dict[str, Any] = {"choices": list(label.topics)}
        results.append({"from_name": _CONTROL, "type": "choices", "value": value, **common})
    if label.note is not None:
        value = {"text": [label.note]}
        results.append({"from_name": "note", "type": "textarea", "value": value, **common})
    return results
