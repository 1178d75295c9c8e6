"""The OpenAPI description as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.page.rendering import Handler, render_page
from slugline.serving.served_models import ServedModel
from slugline.serving.web.state import service_of, web_state

_TEXT = "Wheat shipments rose by a tenth in March."
#: Example request bodies by operation; `...` stands for a topic of the model.
_BODIES: dict[str, dict[str, Any]] = {
    "classify": {"texts": [_TEXT], "top": 3},
    "explain_text": {"text": _TEXT},
    "correct": {"text": _TEXT, "topic": ...},
}
_PATH_PARAMETERS = re.compile(r"\{(\w+)\}")


class Field(NamedTuple):
    """A field in a request or reply."""

    name: str
    kind: str
    is_required: bool
    meaning: str


def make_docs_handler(openapi: Callable[..., Mapping[str, Any]]) -> Handler:
    """Return a handler that shows the OpenAPI description from `openapi(with_tokens=...)`."""

    async def show_docs(request: Request) -> Response:
        """Show the operations of the API."""
        needs_token = bool(web_state(request).settings.tokens)
        description = openapi(with_tokens=needs_token)
        address = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        model = service_of(request).models.default
        entries = [
            _entry(description, method, path, operation, address, model)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
        ]
        return render_page(
            request,
            "docs.html.j2",
            title="HTTP API",
            entries=entries,
            types=_types(description),
            needs_token=needs_token,
        )

    return show_docs


def _entry(
    description: Mapping[str, Any],
    method: str,
    path: str,
    operation: Mapping[str, Any],
    address: str,
    model: ServedModel,
) -> dict[str, Any]:
    """Return template values for an operation."""
    responses = operation["responses"]
    success = next(status for status in responses if status < "400")
    [(media_type, content)] = (responses[success].get("content") or {"": {"schema": {}}}).items()
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "parameters": [_parameter(parameter) for parameter in operation.get("parameters", ())],
        "request": _fields(description, body.get("schema", {})),
        "reply": _fields(description, content["schema"]),
        "media_type": media_type,
        "errors": [f"{s} {HTTPStatus(int(s)).phrase}" for s in responses if s >= "400"],
        "example": _curl(method, path, operation, address, model),
    }


def _curl(
    method: str, path: str, operation: Mapping[str, Any], address: str, model: ServedModel
) -> str:
    """Return a curl command for an operation."""
    values = {"name": quote(model.name, safe=""), "id": "1"}
    filled_path = _PATH_PARAMETERS.sub(lambda match: values.get(match[1], match[1]), path)
    parts = [f"curl {address}{filled_path}"]
    if method not in ("get", "post") or (method == "post" and "requestBody" not in operation):
        parts = [f"curl -X {method.upper()}", f"{address}{filled_path}"]
    if operation.get("security"):
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        body = _BODIES.get(operation["operationId"], {})
        topic = model.fitted.topics.names[0]
        example = {name: topic if value is ... else value for name, value in body.items()}
        # A quote would end the shell argument.
        text = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
        parts += ["-H 'Content-Type: application/json'", f"-d '{text}'"]
    return " ".join(parts[:2]) if len(parts) < 3 else " \\\n  ".join(parts)


def _types(description: Mapping[str, Any]) -> list[tuple[str, str, list[Field]]]:
    """Return name, description and fields of each type used in other types."""
    schemas = description["components"]["schemas"]
    referenced = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas)))
    return [
        (name, schema.get("description", ""), _fields(description, schema))
        for name, schema in schemas.items()
        if name in referenced
    ]


def _fields(description: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Field]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved = description["components"]["schemas"][name] if name else schema
    required = resolved.get("required", ())
    return [
        Field(name, describe_type(schema_of_field), name in required, _meaning(schema_of_field))
        for name, schema_of_field in resolved.get("properties", {}).items()
    ]


def _parameter(parameter: Mapping[str, Any]) -> Field:
    place = "in the path" if parameter["in"] == "path" else "in the query"
    kind = f"{describe_type(parameter['schema'])}, {place}"
    return Field(parameter["name"], kind, parameter["required"], "")


def _meaning(schema: Mapping[str, Any]) -> str:
    meaning, default = str(schema.get("description", "")), schema.get("default")
    if default is None:
        return meaning
    return f"{meaning} Default: {json.dumps(default)}.".strip()


def describe_type(schema: Mapping[str, Any]) -> str:
    """Describe a type in words.

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
    forms = {
        "minimum": "{} or more",
        "minItems": "{} or more",
        "exclusiveMinimum": "over {}",
        "maximum": "{} at most",
        "exclusiveMaximum": "under {}",
        "maxLength": "{} characters at most",
    }
    return [form.format(f"{schema[name]:,}") for name, form in forms.items() if name in schema]
