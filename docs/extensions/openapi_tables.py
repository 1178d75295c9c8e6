"""`{operation} classify`: an operation of the HTTP API, from the OpenAPI document, as tables."""

from __future__ import annotations

from functools import cache
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from slugline.serving.http.operations import openapi

_Object = dict[str, Any]


@cache
def operations() -> dict[str, tuple[str, str, _Object]]:
    """Return method, path and description of each operation by its name."""
    return {
        described["operationId"]: (method.upper(), path, described)
        for path, methods in openapi()["paths"].items()
        for method, described in methods.items()
    }


def schema_of(content: _Object) -> tuple[str, _Object]:
    """Return the media type of a body, and its schema without references."""
    ((media_type, body),) = content.items()
    return media_type, _resolve(body["schema"])


def _resolve(schema: _Object) -> _Object:
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    resolved: _Object = openapi()["components"]["schemas"][name]
    return resolved


def type_of(schema: _Object) -> str:
    """Return the type of a value in words, with its limits."""
    schema = _resolve(schema)
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list, each item: {type_of(schema['items'])}"
    limits = {
        "at least": schema.get("minimum", schema.get("minLength")),
        "at most": schema.get("maximum", schema.get("maxLength")),
        "under": schema.get("exclusiveMaximum"),
    }
    words = [f"{word} {limit:,}" for word, limit in limits.items() if limit is not None]
    unit = " characters" if schema["type"] == "string" else ""
    return ", ".join([schema["type"], *words]) + (unit if words else "")


def fields_table(schema: _Object) -> list[str]:
    """Return the lines of a Markdown table of an object's fields."""
    required = schema.get("required", ())
    lines = ["| field | type | meaning |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        default = field.get("default")
        notes = [field.get("description") or _resolve(field).get("description", "")]
        if name in required and schema.get("additionalProperties") is False:
            notes.append("Required.")
        elif default not in (None, False):
            notes.append(f"Default {default}.")
        lines.append(f"| `{name}` | {type_of(field)} | {' '.join(filter(None, notes))} |")
    return lines


def item_tables(schema: _Object) -> list[str]:
    """Return the lines of a table for each field that has objects, and for the fields of these."""
    lines = []
    for name, field in schema["properties"].items():
        value = _resolve(field)
        item = _resolve(value.get("items", value))
        if "properties" in item:
            heading = f"Each of `{name}`:" if "items" in value else f"`{name}`:"
            lines += ["", heading, "", *fields_table(item), *item_tables(item)]
    return lines


def describe(name: str) -> list[str]:
    """Return the Markdown of an operation."""
    method, path, described = operations()[name]
    lines = [f"`{method} {path}`", "", described["summary"], ""]
    if parameters := described.get("parameters"):
        lines += ["| parameter | in | type |", "|---|---|---|"]
        lines += [f"| `{p['name']}` | {p['in']} | {type_of(p['schema'])} |" for p in parameters]
        lines.append("")
    if "requestBody" in described:
        lines += ["Request, `application/json`:", ""]
        _, schema = schema_of(described["requestBody"]["content"])
        lines += [*fields_table(schema), *item_tables(schema)]
    success, *errors = described["responses"]
    lines.append("")
    if content := described["responses"][success].get("content"):
        media_type, schema = schema_of(content)
        lines += [f"Answer {success}, `{media_type}`{':' if 'properties' in schema else '.'}", ""]
        if "properties" in schema:
            lines += [*fields_table(schema), *item_tables(schema)]
    else:
        lines.append(f"Answer {success}, without a body.")
    return [*lines, "", f"[Errors](#errors): {', '.join(errors)}."]


class Operation(SphinxDirective):
    """Tables of the operation named as argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return its path, parameters, bodies and errors."""
        name = self.arguments[0]
        if name not in operations():
            raise self.error(f"there is no operation {name}; choose from {', '.join(operations())}")
        return self.parse_text_to_nodes("\n".join(describe(name)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("operation", Operation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
