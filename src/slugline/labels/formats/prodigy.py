"""Prodigy's JSONL of text classification: a line for each answer of each coder."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from slugline.labels.formats.exchange import (
    ExchangedDocument,
    ExchangedLabel,
    Fields,
    LabelScheme,
    LabelTool,
    to_seconds,
    to_time,
)

_ANSWERS = ("accept", "reject", "ignore")


def _matches(values: Mapping[str, Any]) -> bool:
    return "text" in values and any(
        name in values for name in ("answer", "_task_hash", "_input_hash", "accept", "options")
    )


class _Option(msgspec.Struct, frozen=True):
    """A choice of a task."""

    id: str | int
    text: str = ""


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
    is_choice = "accept" in fields or "options" in fields
    accepted = fields.take("accept", list[str | int], [])
    options = fields.take("options", list[_Option], [])
    labels: tuple[ExchangedLabel, ...] = ()
    if answer == "ignore" or (answer == "reject" and label is None):
        labels = (ExchangedLabel(coder or session, None, at, note),)
    elif answer == "accept" and (is_choice or label is not None):
        topics = _accepted_topics(accepted, options) if is_choice else (str(label),)
        labels = (ExchangedLabel(coder or session, topics, at, note),)
    columns = fields.remaining()
    # Without choices, the task was whether one label is right.
    is_partial = label is not None and not is_choice
    document = ExchangedDocument(fields.place, _take_id(columns), text, columns, labels)
    return document._replace(is_partial=is_partial)


def _accepted_topics(accepted: Sequence[str | int], options: Sequence[_Option]) -> tuple[str, ...]:
    """Return the topics of a choice: the ids of options, or their texts if ids are numbers."""
    texts = {option.id: option.text for option in options if isinstance(option.id, int)}
    topics = (each if isinstance(each, str) else texts.get(each) or str(each) for each in accepted)
    return tuple(dict.fromkeys(topics))


def _take_id(columns: dict[str, Any]) -> str | int:
    """Return the id in the columns or in `meta`, which both stay; else the hash of the text."""
    meta = columns.get("meta")
    places = (columns, meta if isinstance(meta, dict) else {})
    for place in places:
        if isinstance(place.get("id"), str | int):
            return str(place["id"])
    number = columns.get("_input_hash", "")
    return number if isinstance(number, int) else ""


# Fields of the tool's own, which columns of the user must not replace.
_TOOL_FIELDS = (
    "text",
    "answer",
    "accept",
    "label",
    "note",
    "options",
    "_annotator_id",
    "_timestamp",
)


def _write(document: ExchangedDocument, scheme: LabelScheme) -> dict[str, Any]:
    columns = {name: value for name, value in document.columns.items() if name not in _TOOL_FIELDS}
    # Prodigy trains with all options: those that weren't accepted are wrong.
    options = [{"id": topic.name, "text": topic.name} for topic in scheme.topics]
    item: dict[str, Any] = {"text": document.text, **columns, "options": options}
    for label in document.labels[:1]:
        item["accept"] = list(label.topics or ())
        item["answer"] = "ignore" if label.topics is None else "accept"
        if label.coder is not None:
            item["_annotator_id"] = label.coder
        if label.at is not None:
            item["_timestamp"] = to_seconds(label.at)
        if label.note is not None:
            item["note"] = label.note
    return item


def _write_scheme(scheme: LabelScheme) -> str:
    """Return the file for the option `--label`: a label in each line."""
    return "".join(f"{topic.name}\n" for topic in scheme.topics)


def _view(labels: Iterable[ExchangedLabel]) -> Hashable:
    return tuple(None if each.topics is None else frozenset(each.topics) for each in labels)


PRODIGY = LabelTool(
    name="prodigy",
    title="Prodigy",
    file_format="jsonl",
    has_line_per_coder=True,
    matches=_matches,
    read=_read,
    write=_write,
    write_scheme=_write_scheme,
    view=_view,
)
