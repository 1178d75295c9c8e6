"""The table of API operations, which defines the routes and the OpenAPI description."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from slugline._version import __version__
from slugline.serving.http import handlers
from slugline.serving.replies import (
    Classification,
    CorrectionReply,
    ExplanationReply,
    ModelCard,
    ModelList,
    Readiness,
)
from slugline.serving.requests import CorrectionRequest, ExplainRequest
from slugline.serving.web.problems import MEDIA_TYPE, HttpProblem, ProblemDetails

# Error statuses of all requests, and of requests with a body.
_ANY_ERRORS, _BODY_ERRORS = (403, 421, 500, 503), (400, 404, 408, 413, 415, 422, 504)


@dataclass(frozen=True)
class Operation:
    """An API operation.

    Attributes
    ----------
    method, path, handler
    body : type or None
        Type of the request's JSON.
    reply : type or str or None
        Type of the reply's JSON, or a media type; None for an empty reply.
    status, errors
        Status of a successful reply; error statuses in addition to the common ones above.
    parameters : tuple of dict
        OpenAPI descriptions of the parameters.
    needs_token : bool, default True
        False if it never requires a token.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    body: type | None = None
    reply: type | str | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()
    needs_token: bool = True

    @property
    def all_errors(self) -> set[int]:
        """All error statuses, including the common ones."""
        query_errors = (422,) if self.needs_token else ()
        return {*self.errors, *_ANY_ERRORS, *query_errors, *(_BODY_ERRORS if self.body else ())}

    def check_query(self, request: Request) -> None:
        """Raise an HttpProblem for unknown query parameters, except in health checks."""
        if not request.scope["query_string"]:
            return
        names = [each["name"] for each in self.parameters if each["in"] == "query"]
        unknown = next((name for name in request.query_params if name not in names), None)
        if unknown is not None and self.needs_token:
            raise HttpProblem(
                422,
                f"{self.path}: unknown query parameter {unknown[:100]!r}; "
                f"{'choose from ' + ', '.join(names) if names else 'it takes none'}.",
            )

    @functools.cached_property
    def name(self) -> str:
        """The operation id: the handler's name."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return str(self.handler.__doc__).partition("\n")[0]


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


_MAX_ID = 10**18 - 1
_ID = _parameter("id", "path", {"type": "integer", "minimum": 1, "maximum": _MAX_ID})
_AFTER = _parameter("after", "query", {"type": "integer", "minimum": 0, "maximum": _MAX_ID})
_MODEL_NAME = _parameter("name", "path", {"type": "string"})

OPERATIONS = (
    Operation("POST", "/v1/classify", handlers.classify, handlers.ClassifyRequest, Classification),
    Operation("POST", "/v1/explain", handlers.explain_text, ExplainRequest, ExplanationReply),
    Operation("POST", "/v1/corrections", handlers.correct, CorrectionRequest, CorrectionReply, 201),
    Operation(
        "GET",
        "/v1/corrections",
        handlers.list_corrections,
        reply=handlers.JSONL,
        errors=(404, 422),
        parameters=(_AFTER,),
    ),
    Operation(
        "POST",
        "/v1/corrections/{id}/approval",
        handlers.approve_correction,
        status=204,
        errors=(404, 422),
        parameters=(_ID,),
    ),
    Operation(
        "DELETE",
        "/v1/corrections/{id}",
        handlers.undo_correction,
        status=204,
        errors=(404, 422),
        parameters=(_ID,),
    ),
    Operation("GET", "/v1/models", handlers.list_models, reply=ModelList),
    Operation(
        "GET",
        "/v1/models/{name}",
        handlers.show_model,
        reply=ModelCard,
        errors=(404,),
        parameters=(_MODEL_NAME,),
    ),
    Operation("GET", "/health", handlers.health, reply=handlers.Health, needs_token=False),
    Operation("GET", "/ready", handlers.ready, reply=Readiness, needs_token=False),
    Operation("GET", "/metrics", handlers.metrics, reply="text/plain"),
)


# OpenAPI 3.1 --------------------------------------------------------------------------------------

_Object = dict[str, Any]
_REF = "#/components/schemas/{name}"
_HEADERS = {
    "X-Request-Id": "Request id, also written to the log.",
    "X-Model": "Name of the requested or default model.",
    "X-Model-Version": "Version of the model.",
}


def openapi(*, with_tokens: bool = False) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description, generated from the request and reply types."""
    types = [kind for op in OPERATIONS for kind in (op.body, op.reply) if isinstance(kind, type)]
    types.append(ProblemDetails)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    # The types can't express that exactly one of two fields is required.
    for name, singular, plural in (
        ("ClassifyRequest", "text", "texts"),
        ("CorrectionRequest", "topic", "topics"),
    ):
        components[name]["oneOf"] = [{"required": [singular]}, {"required": [plural]}]
    refs = dict(zip(types, schemas, strict=True))
    paths: _Object = {}
    for operation in OPERATIONS:
        described = _describe(operation, refs, with_tokens=with_tokens)
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


def _describe(operation: Operation, refs: dict[type, _Object], *, with_tokens: bool) -> _Object:
    headers = {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in _HEADERS.items()
    }
    needs_token = with_tokens and operation.needs_token
    problem = {MEDIA_TYPE: {"schema": refs[ProblemDetails]}}
    errors = {*operation.all_errors, *((401, 429) if needs_token else ())}
    responses = {
        str(operation.status): {
            "description": HTTPStatus(operation.status).phrase,
            "headers": headers,
            **_content(operation.reply, refs),
        },
        **{
            str(status): {"description": HTTPStatus(status).phrase, "content": problem}
            for status in sorted(errors)
        },
    }
    described: _Object = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_content(operation.body, refs)}
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if needs_token:
        described["security"] = [{"token": []}]
    return described


def _content(kind: type | str | None, refs: dict[type, _Object]) -> _Object:
    """Return the OpenAPI content for a JSON type or a media type; empty for None."""
    if kind is None:
        return {}
    if isinstance(kind, str):
        return {"content": {kind: {"schema": {"type": "string"}}}}
    return {"content": {"application/json": {"schema": refs[kind]}}}
