"""Schemas of tools, made of the types that questions are read with and answers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from slugline.served import Limits

__all__ = ["input_schema", "output_schema"]


def output_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of what a tool answers.

    Clients want an object at the root, not a reference to one.
    """
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = parts.pop(root["$ref"].rpartition("/")[2])
    return {**own, "$defs": parts} if parts else own


def input_schema(kind: type, names: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the JSON Schema of what a tool is asked.

    Parameters
    ----------
    kind : type
        A `Struct` with the field `model`, and with a `text` or `texts`, if any.
    names : sequence of str
        Names that `model` may be.
    limits : Limits
    """
    schema = output_schema(kind)
    fields = schema["properties"]
    fields["model"] |= {"enum": [*names, None]}
    for text in (fields.get("text"), fields.get("texts", {}).get("items")):
        if text:
            text["maxLength"] = limits.characters
    if "texts" in fields:
        fields["texts"]["maxItems"] = limits.texts
    return schema
