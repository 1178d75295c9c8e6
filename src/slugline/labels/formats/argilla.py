"""Argilla's records in JSON: fields, metadata, and responses to one question."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import msgspec

from slugline.base.checks import short_repr
from slugline.labels.formats.exchange import (
    ExchangedDocument,
    ExchangedLabel,
    Fields,
    LabelScheme,
    LabelTool,
    choose_text_name,
    persons,
)

# The field and the question of exported records.
_FIELD, _QUESTION = "text", "topic"
# Argilla's users have UUIDs; those of other coders are derived from their names.
_NAMES = uuid.UUID("6f1f0f2c-5d0a-4a3e-9a5e-736c7567736c")


class _Response(msgspec.Struct, frozen=True):
    value: object = None
    user_id: str | None = None
    status: str | None = None


class _Suggestion(msgspec.Struct, frozen=True):
    value: object = None
    score: object = None
    agent: str | None = None


# Fields of records of Argilla 1.
_OLD_FIELDS = ("prediction_agent", "annotation_agent", "multi_label")


def _matches(values: Mapping[str, Any]) -> bool:
    if "annotation" in values and any(name in values for name in _OLD_FIELDS):
        return True
    return "fields" in values and any(
        name in values for name in ("responses", "suggestions", "metadata", "_server_id")
    )


def _read(fields: Fields) -> ExchangedDocument:
    if "annotation" in fields:
        raise fields.error(
            "'annotation' is a field of Argilla 1", "export the records with Argilla 2"
        )
    texts = fields.take("fields", dict[str, object], {})
    name = choose_text_name([*texts], fields, f"there are {len(texts)} fields")
    text = texts.pop(name)
    if not isinstance(text, str):
        raise fields.error(f"the field {name!r} is not a text")
    by_question = fields.take("responses", dict[str, list[_Response]], {})
    suggestions = fields.take("suggestions", dict[str, _Suggestion], {})
    questions = [question for question, responses in by_question.items() if responses]
    questions = [*dict.fromkeys([*questions, *suggestions])]
    if len(questions) > 1:
        raise fields.error(
            f"there are answers to several questions ({', '.join(map(repr, questions))})",
            "keep those to one question",
        )
    labels = [
        label
        for responses in by_question.values()
        for response in responses
        if (label := _response_label(response, fields)) is not None
    ]
    for suggestion in suggestions.values():
        topics = _topics(suggestion.value, fields)
        if topics is not None:
            agent = suggestion.agent or "suggestions"
            labels.append(ExchangedLabel(agent, topics, kind="imported"))
    columns: dict[str, Any] = {**texts, **fields.take("metadata", dict[str, object], {})}
    return ExchangedDocument(fields.place, fields.take_id(), text, columns, tuple(labels))


def _response_label(response: _Response, fields: Fields) -> ExchangedLabel | None:
    """Return the label of a response; None if it is not given yet."""
    if response.status == "discarded":
        return ExchangedLabel(response.user_id)
    topics = None if response.status == "draft" else _topics(response.value, fields)
    return None if topics is None else ExchangedLabel(response.user_id, topics)


def _topics(value: object, fields: Fields) -> tuple[str, ...] | None:
    """Return the topics of a response: one, or a list of several; None if there is no value."""
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise fields.error(
            f"the response {short_repr(value)} is not a label",
            "only questions of one label or several can be read",
        )
    return tuple(dict.fromkeys(map(str, values)))


def _write(document: ExchangedDocument, scheme: LabelScheme) -> dict[str, Any]:
    responses = [
        {"value": _value(label.topics, scheme), "user_id": _user(label.coder or "")}
        for label in persons(document.labels)
        if label.topics is not None
    ]
    suggestion = next(
        (each for each in document.labels if each.kind == "imported" and each.topics is not None),
        None,
    )
    suggestions: dict[str, Any] = {}
    if suggestion is not None and suggestion.topics is not None:
        value = _value(suggestion.topics, scheme)
        suggestions[_QUESTION] = {"value": value, "score": None, "agent": suggestion.coder}
    metadata = {name: value for name, value in document.columns.items() if name != _FIELD}
    return {
        "id": str(document.id),
        "fields": {_FIELD: document.text},
        "metadata": metadata,
        "suggestions": suggestions,
        "responses": {_QUESTION: responses} if responses else {},
        "vectors": {},
        "_server_id": None,
    }


def _value(topics: tuple[str, ...], scheme: LabelScheme) -> str | list[str]:
    """Return the value of a label question, or a list for one of several labels."""
    return list(topics) if scheme.is_multilabel or len(topics) != 1 else topics[0]


def _write_scheme(scheme: LabelScheme) -> str:
    """Return the settings of a dataset, with the descriptions as guidelines."""
    kind = "multi_label_selection" if scheme.is_multilabel else "label_selection"
    options = [
        {"value": topic.name, "text": topic.name, "description": topic.description or None}
        for topic in scheme.topics
    ]
    described = [f"- {each.name}: {each.description}" for each in scheme.topics if each.description]
    question = {
        "name": _QUESTION,
        "title": _QUESTION,
        "description": None,
        "required": True,
        "settings": {"type": kind, "options": options},
    }
    field = {
        "name": _FIELD,
        "title": _FIELD,
        "required": True,
        "settings": {"type": "text", "use_markdown": False},
    }
    settings = {
        "guidelines": "\n".join(described) or None,
        "questions": [question],
        "fields": [field],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
    }
    return json.dumps(settings, ensure_ascii=False, indent=2) + "\n"


def _user(coder: str) -> str:
    """Return a UUID for a coder: the name itself if it is one."""
    try:
        return str(uuid.UUID(coder))
    except ValueError:
        return str(uuid.uuid5(_NAMES, coder))


def _view(labels: Iterable[ExchangedLabel]) -> Hashable:
    labels = [*labels]
    given = [frozenset(each.topics) for each in persons(labels) if each.topics is not None]
    imported = [each for each in labels if each.kind == "imported" and each.topics is not None]
    first = frozenset(imported[0].topics or ()) if imported else None
    return frozenset(Counter(given).items()), first


ARGILLA = LabelTool(
    name="argilla",
    title="Argilla",
    file_format="json",
    has_line_per_coder=False,
    matches=_matches,
    read=_read,
    write=_write,
    write_scheme=_write_scheme,
    view=_view,
    extra_holder="metadata",
)
