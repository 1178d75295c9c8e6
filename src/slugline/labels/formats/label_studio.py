"""Label Studio's JSON: a task for each document, with an annotation of each coder."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

import msgspec

from slugline.base.checks import short_repr
from slugline.labels.formats.exchange import (
    EXTRA,
    ExchangedDocument,
    ExchangedLabel,
    Fields,
    LabelScheme,
    LabelTool,
    choose_text_name,
    persons,
    to_time,
)

# The control tag, and the object tag, of exported labels.
_CONTROL, _OBJECT = "topic", "text"
# Label Studio gives numbers of users, not names.
# Label Studio gives numbers of users, not names.
_USER_PREFIX = "user "


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


# Fields of the export "JSON-MIN", which leaves out what an annotation is about.
_MIN_FIELDS = ("annotation_id", "annotator", "lead_time")


def _matches(values: Mapping[str, Any]) -> bool:
    if all(name in values for name in _MIN_FIELDS):
        return True
    return "data" in values and any(
        name in values for name in ("annotations", "predictions", "completions", "is_labeled")
    )


def _read(fields: Fields) -> ExchangedDocument:
    if "annotation_id" in fields:
        raise fields.error(
            "this is JSON-MIN, which doesn't say which field is a topic", "export JSON instead"
        )
    if "completions" in fields:
        raise fields.error(
            "'completions' are annotations of Label Studio before 1.0", "export it from a later one"
        )
    data = fields.take("data", dict[str, object], {})
    meta = fields.take("meta", dict[str, object], {})
    names = [name for name, value in data.items() if isinstance(value, str)]
    name = choose_text_name(names, fields, f"'data' has {len(names)} texts")
    text = data.pop(name)
    if not isinstance(text, str):
        raise fields.error(f"the field {name!r} of 'data' is not a text")
    labels = [
        label
        for annotation in fields.take("annotations", list[_Annotation], [])
        for label in _read_annotation(annotation, fields)
    ]
    for prediction in fields.take("predictions", list[_Annotation], []):
        model = prediction.model_version or "predictions"
        labels += [
            msgspec.structs.replace(label, coder=model, kind="imported")
            for label in _read_annotation(prediction, fields)
        ]
    columns: dict[str, Any] = dict(data)
    if EXTRA in meta:
        columns[EXTRA] = meta.pop(EXTRA)
    if meta:
        columns["meta"] = meta
    return ExchangedDocument(fields.place, fields.take_id(), text, columns, tuple(labels))


def _read_annotation(annotation: _Annotation, fields: Fields) -> list[ExchangedLabel]:
    """Return the label of an annotation; nothing if it chose no topic and wasn't skipped."""
    coder = annotation.completed_by
    name: str | None
    if isinstance(coder, _User):
        name = coder.email or (None if coder.id is None else f"{_USER_PREFIX}{coder.id}")
    else:
        name = f"{_USER_PREFIX}{coder}" if isinstance(coder, int) else coder
    at = to_time(annotation.updated_at or annotation.created_at, fields)
    notes, topics = _read_results(annotation.result, fields)
    note = "\n".join(notes) or None
    if annotation.was_cancelled:
        return [ExchangedLabel(name, None, at, note)]
    return [ExchangedLabel(name, topics, at, note)] if topics is not None else []


def _read_results(
    results: Iterable[_Result], fields: Fields
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
            raise fields.error(
                f"there is a result of type {short_repr(result.type)}{about}",
                "only choices about the entire text can be read",
            )
        else:
            chosen.setdefault(result.from_name, []).extend(result.value.choices)
    if len(chosen) > 1:
        raise fields.error(
            f"there are choices for several questions ({', '.join(map(repr, chosen))})",
            "keep those of one question",
        )
    topics = next(iter(chosen.values()), None)
    return notes, None if topics is None else tuple(dict.fromkeys(topics))


def _write(document: ExchangedDocument, scheme: LabelScheme) -> dict[str, Any]:
    del scheme  # which the project has
    columns = dict(document.columns)
    meta = columns.pop("meta") if isinstance(columns.get("meta"), dict) else {}
    columns.pop(_OBJECT, None)
    annotations = [_annotation(label) for label in persons(document.labels)]
    predictions = [
        {"model_version": label.coder or "", "result": _results(label)}
        for label in document.labels
        if label.kind == "imported" and label.topics is not None
    ]
    return {
        "id": document.id,
        "data": {_OBJECT: document.text, **columns},
        "meta": dict(meta),
        "annotations": annotations,
        "predictions": predictions,
    }


def _annotation(label: ExchangedLabel) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "result": _results(label),
        "was_cancelled": label.topics is None,
        "ground_truth": label.is_settlement,
    }
    coder = label.coder or ""
    if coder.startswith(_USER_PREFIX) and coder.removeprefix(_USER_PREFIX).isdecimal():
        annotation["completed_by"] = int(coder.removeprefix(_USER_PREFIX))
    elif "@" in coder:  # Label Studio knows people by their addresses
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


def _view(labels: Iterable[ExchangedLabel]) -> Hashable:
    return tuple(
        (each.kind, None if each.topics is None else frozenset(each.topics))
        for each in sorted(labels, key=lambda label: label.kind, reverse=True)
        if each.kind == "person" or each.topics is not None
    )


def _write_scheme(scheme: LabelScheme) -> str:
    """Return the labelling setup of a project, with descriptions as hints."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=_OBJECT, value=f"${_OBJECT}")
    choice = "multiple" if scheme.is_multilabel else "single"
    choices = ElementTree.SubElement(view, "Choices", name=_CONTROL, toName=_OBJECT, choice=choice)
    for topic in scheme.topics:
        tag = ElementTree.SubElement(choices, "Choice", value=topic.name)
        if topic.description:
            tag.set("hint", topic.description)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


LABEL_STUDIO = LabelTool(
    name="label-studio",
    title="Label Studio",
    file_format="json",
    has_line_per_coder=False,
    matches=_matches,
    read=_read,
    write=_write,
    write_scheme=_write_scheme,
    view=_view,
    extra_holder="meta",
)
