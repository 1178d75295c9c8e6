"""What can be asked: one table, from which requests find their way and the description is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from slugline.server import api
from slugline.server import messages as m

__all__ = ["OPERATIONS", "Operation"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked.

    Attributes
    ----------
    method, path : str
    handler : async callable
    body : type or None
        What the body says, in JSON.
    reply : type or str or None
        What the answer says, in JSON; or its media type; or None if it has no body.
    status : int, default 200
        Of an answer that is no error.
    errors : tuple of int
        Statuses of the errors that there may be, besides those of every request.
    parameters : mapping of str to (place, schema)
        Those in the path and after the question mark.
    needs_token : bool, default True
        Whether it is only for those who have a token, where tokens are asked for.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    body: type | None = None
    reply: type | str | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    parameters: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    needs_token: bool = True

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return str(self.handler.__doc__).partition("\n")[0]


# Errors of whatever has a body.
_BODY = (400, 408, 413, 415, 422)

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/classify",
        handler=api.classify,
        body=m.Classify,
        reply=m.Classification,
        errors=(*_BODY, 404, 504),
    ),
    Operation(
        method="POST",
        path="/v1/explain",
        handler=api.explain_text,
        body=m.Explain,
        reply=m.ExplanationReply,
        errors=(*_BODY, 404, 504),
    ),
    Operation(
        method="POST",
        path="/v1/corrections",
        handler=api.correct,
        body=m.Correct,
        reply=m.CorrectionReply,
        status=201,
        errors=(*_BODY, 404, 504),
    ),
    Operation(
        method="GET",
        path="/v1/corrections",
        handler=api.list_corrections,
        reply=api.JSONL,
        errors=(404, 422),
        parameters=(("after", "query", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),),
    ),
    Operation(
        method="DELETE",
        path="/v1/corrections/{id}",
        handler=api.undo_correction,
        status=204,
        errors=(404, 422),
        parameters=(("id", "path", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}),),
    ),
    Operation(method="GET", path="/v1/models", handler=api.list_models, reply=m.ModelList),
    Operation(
        method="GET",
        path="/v1/models/{name}",
        handler=api.show_model,
        reply=m.ModelCard,
        errors=(404,),
        parameters=(("name", "path", {"type": "string"}),),
    ),
    Operation(method="GET", path="/health", handler=api.health, reply=m.Health, needs_token=False),
    Operation(method="GET", path="/ready", handler=api.ready, reply=m.Readiness, needs_token=False),
    Operation(method="GET", path="/metrics", handler=api.metrics, reply="text/plain"),
)
