"""doccano's JSONL of text classification: one list of labels for each document."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from slugline.base.checks import short_repr
from slugline.labels.formats.exchange import (
    EXTRA,
    ExchangedDocument,
    ExchangedLabel,
    Fields,
    LabelScheme,
    LabelTool,
    find_answer,
)

_COMMENTS = "Comments"
_VERSION_ADVICE = "export it from doccano 1.5 or later, in a project of text classification"


def _matches(values: Mapping[str, Any]) -> bool:
    has_labels = any(name in values for name in ("label", "cats", "annotations", "labels"))
    return "text" in values and "id" in values and (has_labels or _COMMENTS in values)


def _read(fields: Fields) -> ExchangedDocument:
    for name, content in (("annotations", "numbers of labels"), ("entities", "spans")):
        if name in fields:
            raise fields.error(f"{name!r} holds {content}, not names of topics", _VERSION_ADVICE)
    number, text = fields.take_id(), fields.take_text()
    topics = _take_topics(fields)
    comments = fields.take(_COMMENTS, list[str], [])
    columns = fields.remaining()
    labels: tuple[ExchangedLabel, ...] = ()
    if topics:
        note = "\n".join(comments) or None
        labels = (ExchangedLabel(topics=tuple(dict.fromkeys(topics)), note=note),)
    elif comments and EXTRA not in columns:  # else they are notes of labels there
        columns[_COMMENTS] = comments
    return ExchangedDocument(fields.place, number, text, columns, labels)


def _take_topics(fields: Fields) -> list[str]:
    """Return the labels of a document; DataError if they are not names."""
    names = [name for name in ("label", "labels", "cats") if name in fields]
    if len(names) > 1:
        raise fields.error(f"there are both {names[0]!r} and {names[1]!r}")
    if not names:
        return []
    values = fields.take(names[0], list[object], [])
    if any(isinstance(value, list) for value in values):
        raise fields.error("a label is of a part of the text, not of all of it", _VERSION_ADVICE)
    odd = next((value for value in values if not isinstance(value, str)), None)
    if odd is not None:
        raise fields.error(f"the label {short_repr(odd)} is not a name", _VERSION_ADVICE)
    return [str(value) for value in values]


# Fields of the tool's own, which columns of the user must not replace.
_TOOL_FIELDS = ("id", "text", "label", "labels", "cats", _COMMENTS)


def _write(document: ExchangedDocument, scheme: LabelScheme) -> dict[str, Any]:
    del scheme  # doccano makes labels that it lacks
    answer = find_answer(document.labels)
    notes = [label.note for label in document.labels if label.note]
    notes = notes or document.columns.get(_COMMENTS, [])
    columns = {name: value for name, value in document.columns.items() if name not in _TOOL_FIELDS}
    return {
        "id": document.id,
        "text": document.text,
        **columns,
        "label": list(answer or ()),
        _COMMENTS: notes,
    }


def _view(labels: Iterable[ExchangedLabel]) -> Hashable:
    return frozenset(find_answer(labels) or ())


def _write_scheme(scheme: LabelScheme) -> str:
    """Return the file of labels that "Import Labels" reads, which has no room for descriptions."""
    labels = [{"text": topic.name} for topic in scheme.topics]
    return json.dumps(labels, ensure_ascii=False, indent=2) + "\n"


DOCCANO = LabelTool(
    name="doccano",
    title="doccano",
    file_format="jsonl",
    has_line_per_coder=False,
    matches=_matches,
    read=_read,
    write=_write,
    write_scheme=_write_scheme,
    view=_view,
)
