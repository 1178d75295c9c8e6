"""The OpenAPI description as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.http.operations import openapi
from slugline.serving.http.state import app_state
from slugline.serving.model import ServedModel
from slugline.serving.page.page import page

_TEXT = "Wheat shipments rose by a tenth in March."
#: What the examples send, by the name of the operation; topics are the model's own.
_BODIES: dict[str, dict[str, Any]] = {
    "classify": {"texts": [_TEXT], "top": 3},
    "explain_text": {"text": _TEXT},
    "correct": {"text": _TEXT, "topic": ...},
}
_PLACES = re.compile(r"\{(\w+)\}")


class Field(NamedTuple):
    """A field of a request or reply."""

    name: str
    kind: str
    is_needed: bool
    meaning: str


async def show_docs(request: Request) -> Response:
    """Show the operations of the API."""
    state = app_state(request)
    described = openapi(with_tokens=bool(state.settings.tokens))
    address = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
    entries = [
        _entry(described, method, path, said, address, state.models.default)
        for path, methods in described["paths"].items()
        for method, said in methods.items()
    ]
    return page(
        request,
        "docs.html.j2",
        title="HTTP API",
        entries=entries,
        types=_types(described),
        needs_token=bool(state.settings.tokens),
    )


def _entry(
    described: Mapping[str, Any],
    method: str,
    path: str,
    said: Mapping[str, Any],
    address: str,
    model: ServedModel,
) -> dict[str, Any]:
    """Return an operation, as the template shows it."""
    responses = said["responses"]
    good = next(status for status in responses if status < "400")
    [(media_type, content)] = (responses[good].get("content") or {"": {"schema": {}}}).items()
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    return {
        "id": said["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": said["summary"],
        "parameters": [_parameter(parameter) for parameter in said.get("parameters", ())],
        "request": _fields(described, body.get("schema", {})),
        "reply": _fields(described, content["schema"]),
        "media_type": media_type,
        "errors": [f"{s} {HTTPStatus(int(s)).phrase}" for s in responses if s >= "400"],
        "example": _curl(method, path, said, address, model),
    }


def _curl(method: str, path: str, said: Mapping[str, Any], address: str, model: ServedModel) -> str:
    """Return a curl command of an operation."""
    values = {"name": quote(model.name, safe=""), "id": "1"}
    place = _PLACES.sub(lambda match: values.get(match[1], match[1]), path)
    parts = [f"curl {address}{place}"]
    if method not in ("get", "post") or (method == "post" and "requestBody" not in said):
        parts = [f"curl -X {method.upper()}", f"{address}{place}"]
    if said.get("security"):
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in said:
        body = _BODIES.get(said["operationId"], {})
        topic = model.fitted.topics.names[0]
        sent = {name: topic if v is ... else v for name, v in body.items()}
        # In a shell, a quote ends the argument that began with one.
        text = json.dumps(sent, ensure_ascii=False).replace("'", "'\\''")
        parts += ["-H 'Content-Type: application/json'", f"-d '{text}'"]
    return " ".join(parts[:2]) if len(parts) < 3 else " \\\n  ".join(parts)


def _types(described: Mapping[str, Any]) -> list[tuple[str, str, list[Field]]]:
    """Return the types that others contain, with their fields."""
    schemas = described["components"]["schemas"]
    inner = re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas))
    return [
        (name, schema.get("description", ""), _fields(described, schema))
        for name, schema in schemas.items()
        if name in inner
    ]


def _fields(described: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Field]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved = described["components"]["schemas"][name] if name else schema
    needed = resolved.get("required", ())
    return [
        Field(name, describe_type(schema_of_field), name in needed, _meaning(schema_of_field))
        for name, schema_of_field in resolved.get("properties", {}).items()
    ]


def _parameter(said: Mapping[str, Any]) -> Field:
    place = "in the path" if said["in"] == "path" else "after the question mark"
    return Field(said["name"], f"{describe_type(said['schema'])}, {place}", said["required"], "")


def _meaning(schema: Mapping[str, Any]) -> str:
    said, default = str(schema.get("description", "")), schema.get("default")
    return said if default is None else f"{said} {json.dumps(default)} if it is not given.".strip()


def describe_type(schema: Mapping[str, Any]) -> str:
    """Return the type of a value in words.

    >>> describe_type({"anyOf": [{"type": "string"}, {"type": "null"}]})
    'string or null'
    >>> items = {"$ref": "#/components/schemas/Guess"}
    >>> describe_type({"type": "array", "items": items, "minItems": 1})
    'list of Guess (1 or more)'
    >>> describe_type({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
    'number (0 or more, under 1)'
    """
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(map(describe_type, schema["anyOf"]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        kind = f"list of {describe_type(schema.get('items', {}))}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        kind = f"object of {describe_type(schema['additionalProperties'])} by name"
    limits = ", ".join(_limits(schema))
    return f"{kind} ({limits})" if limits else kind


def _limits(schema: Mapping[str, Any]) -> list[str]:
    words = {
        "minimum": "{} or more",
        "minItems": "{} or more",
        "exclusiveMinimum": "over {}",
        "maximum": "{} at most",
        "exclusiveMaximum": "under {}",
        "maxLength": "{} characters at most",
    }
    return [form.format(f"{schema[name]:,}") for name, form in words.items() if name in schema]
