"""JSON bodies of requests and replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.web.bodies import (
    body_type,
    is_quick_json,
    parse_json,
    parse_large_json,
    read_body,
)
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import service_of, web_state

_T = TypeVar("_T")
encode_json = msgspec.json.Encoder().encode


class _JsonResponse(Response):
    """A JSON response with only the type and length headers."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
        ]


def json_response(value: object, status: int = 200) -> Response:
    """Return a value as a JSON response."""
    return _JsonResponse(encode_json(value), status)


async def read_json(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Read and decode the body of a request; large bodies are decoded on a thread."""
    media_type = body_type(request)
    if media_type != "application/json":
        raise HttpProblem(
            415, f"the body is of type {media_type[:100]!r}; send `Content-Type: application/json`."
        )
    settings = web_state(request).settings
    body = await read_body(request, settings.max_body, settings.timeout)
    if is_quick_json(body):
        return parse_json(body, decoder)
    return await service_of(request).threads.run(
        parse_large_json, body, decoder, settings.max_values, settings.max_characters
    )
