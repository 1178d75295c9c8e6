"""The description of the API: OpenAPI 3.1, made of the types that requests are read with."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from slugline._version import __version__
from slugline.server.operations import OPERATIONS, Operation
from slugline.server.problems import MEDIA_TYPE, ProblemDetails

__all__ = ["description"]

_REF = "#/components/schemas/{name}"
# What any request may get.
_ANY_ERRORS = (403, 421, 500, 503)
_HEADERS = {
    "X-Request-Id": "Number of the request, which the log names.",
    "X-Model": "Name of the model that answered, or would answer.",
    "X-Model-Version": "What tells this version of the model from others.",
}


def description(*, with_tokens: bool = False) -> dict[str, Any]:
    """Return the description of the API.

    Parameters
    ----------
    with_tokens : bool, default False
        Whether a token is asked for.
    """
    types = [kind for op in OPERATIONS for kind in (op.body, op.reply) if isinstance(kind, type)]
    schemas, components = msgspec.json.schema_components(
        [*types, ProblemDetails], ref_template=_REF
    )
    # What types alone don't say.
    components["Classify"]["oneOf"] = [{"required": ["text"]}, {"required": ["texts"]}]
    refs = dict(zip([*types, ProblemDetails], schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        described = _operation(operation, refs, with_tokens)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    security = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slugline",
            "version": __version__,
            "description": "Topics of short texts. Errors are RFC 9457 problems.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            **({"securitySchemes": security} if with_tokens else {}),
        },
    }


def _operation(
    operation: Operation, refs: dict[type, dict[str, Any]], with_tokens: bool
) -> dict[str, Any]:
    headers = {
        name: {"description": what, "schema": {"type": "string"}} for name, what in _HEADERS.items()
    }
    needs_token = with_tokens and operation.needs_token
    problem = {MEDIA_TYPE: {"schema": refs[ProblemDetails]}}
    errors: Iterable[int] = sorted(
        {*operation.errors, *_ANY_ERRORS, *((401,) if needs_token else ())}
    )
    responses = {
        str(operation.status): {
            "description": HTTPStatus(operation.status).phrase,
            "headers": headers,
            **_content(operation.reply, refs),
        },
        **{
            str(status): {"description": HTTPStatus(status).phrase, "content": problem}
            for status in errors
        },
    }
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_content(operation.body, refs)}
    if operation.parameters:
        described["parameters"] = [
            {"name": name, "in": place, "required": place == "path", "schema": schema}
            for name, place, schema in operation.parameters
        ]
    if needs_token:
        described["security"] = [{"token": []}]
    return described


def _content(said: type | str | None, refs: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if said is None:
        return {}
    if isinstance(said, str):
        return {"content": {said: {"schema": {"type": "string"}}}}
    return {"content": {"application/json": {"schema": refs[said]}}}
