"""Prodigy's JSONL of text classification: a line for each answer of each coder."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from slugline.labels.formats.exchange import (
    ExchangedDocument,
    ExchangedLabel,
    Fields,
    LabelTool,
    to_seconds,
    to_time,
)

_ANSWERS = ("accept", "reject", "ignore")


def _matches(values: Mapping[str, Any]) -> bool:
    return "text" in values and any(
        name in values for name in ("answer", "_task_hash", "_input_hash", "accept", "options")
    )


def _read(fields: Fields) -> ExchangedDocument:
    text = fields.take_text()
    if fields.take("spans", list[object], []):
        raise fields.error(
            "'spans' holds labels of parts of the text",
            "only answers about the entire text (textcat) can be read",
        )
    answer = fields.take("answer", str, "")
    if answer not in ("", *_ANSWERS):
        raise fields.error(f"the answer is {answer!r}, not accept, reject or ignore")
    coder: str | None = fields.take("_annotator_id", str, "") or None
    session = fields.take("_session_id", str, "") or None
    at = to_time(fields.take("_timestamp", object, None), fields)
    note = fields.take("note", str, "") or None
    label: str | None = fields.take("label", str, "") or None
    accepted = fields.take("accept", list[str] | None, None)  # type: ignore[arg-type]
    fields.take("options", list[object], [])
    topics = _topics(answer, label, accepted)
    labels: tuple[ExchangedLabel, ...] = ()
    if answer and not (answer == "reject" and label is not None):
        labels = (ExchangedLabel(coder or session, topics, at, note),)
    columns = fields.rest()
    number = _take_id(columns)
    return ExchangedDocument(fields.place, number, text, columns, labels)


def _topics(answer: str, label: str | None, accepted: list[str] | None) -> tuple[str, ...] | None:
    """Return the accepted topics; None for a document that was ignored or rejected."""
    if answer != "accept":
        return None
    if accepted is not None:
        return tuple(dict.fromkeys(accepted))
    return None if label is None else (label,)


def _take_id(columns: dict[str, Any]) -> str | int:
    """Return the id in the columns or in `meta`, which both stay; else the hash of the text."""
    meta = columns.get("meta")
    places = (columns, meta if isinstance(meta, dict) else {})
    for place in places:
        if isinstance(place.get("id"), str | int):
            return str(place["id"])
    number = columns.get("_input_hash", "")
    return number if isinstance(number, int) else ""


def _write(document: ExchangedDocument) -> dict[str, Any]:
    columns = {name: value for name, value in document.columns.items() if name not in _OWN}
    item: dict[str, Any] = {"text": document.text, **columns, "answer": None}
    for label in document.labels[:1]:
        item["accept"] = list(label.topics or ())
        item["answer"] = "ignore" if label.topics is None else "accept"
        if label.coder is not None:
            item["_annotator_id"] = label.coder
        if label.at is not None:
            item["_timestamp"] = to_seconds(label.at)
        if label.note is not None:
            item["note"] = label.note
        if label.topics is not None:
            item["options"] = [{"id": topic, "text": topic} for topic in label.topics]
    return item


_OWN = ("text", "answer", "accept", "label", "note", "options", "_annotator_id", "_timestamp")


def _view(labels: Iterable[ExchangedLabel]) -> Hashable:
    return tuple(None if each.topics is None else frozenset(each.topics) for each in labels)


PRODIGY = LabelTool(
    name="prodigy",
    title="Prodigy",
    form="jsonl",
    has_line_per_coder=True,
    matches=_matches,
    read=_read,
    write=_write,
    view=_view,
)
