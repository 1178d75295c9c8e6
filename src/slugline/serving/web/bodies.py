"""Reads bodies of requests within limits, as JSON or forms, and writes JSON replies."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from slugline.serving.request_checks import to_request
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import app_state, service_of, web_state

_T = TypeVar("_T")
# Seconds to keep reading and discarding an oversized body.
_LINGER_SECONDS = 2.0


def body_type(request: Request) -> str:
    """Return the media type of the body in lower case; "" if missing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def content_length(field: str) -> int | None:
    """Parse a header as a number; None if it is invalid or too long.

    >>> content_length("17"), content_length("0" * 5000 + "17"), content_length("9" * 5000)
    (17, 17, None)
    """
    digits = field.lstrip("0") or "0"
    return int(digits) if field.isascii() and field.isdecimal() and len(digits) < 19 else None


async def read_body(request: Request, max_bytes: int, timeout: float) -> bytes:
    """Read the body of a request; see `stream_body`."""
    parts: list[bytes] = []
    await stream_body(request, max_bytes, timeout, parts.append)
    return b"".join(parts) if len(parts) != 1 else parts[0]


async def stream_body(
    request: Request, max_bytes: int, timeout: float, take: Callable[[bytes], object]
) -> None:
    """Pass the parts of a request body to `take` as they arrive.

    Raises
    ------
    HttpProblem : 413 if it exceeds `max_bytes`, 408 if it takes longer than `timeout` seconds, 415
        if it is compressed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HttpProblem(
            415, f"the body is {encoding!r}-encoded; send it without an encoding.",
            headers={"Accept-Encoding": "identity"},
        )  # fmt: skip
    if (content_length(request.headers.get("content-length", "0")) or 0) > max_bytes:
        await _discard(request)
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout):
            has_taken_all = await _take_parts(request, max_bytes, take)
    except TimeoutError:
        raise HttpProblem(
            408, f"the body did not arrive within {timeout:g} seconds; send it faster."
        ) from None
    except ClientDisconnect:
        raise HttpProblem(400, "the connection was closed before the end of the body.") from None
    if not has_taken_all:
        await _discard(request)
        raise _too_large(max_bytes)


async def _take_parts(request: Request, max_bytes: int, take: Callable[[bytes], object]) -> bool:
    """Pass the parts of a body to `take`; return False if they exceed `max_bytes`."""
    n_bytes, has_more = 0, True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, has_more = message.get("body", b""), message.get("more_body", False)
        n_bytes += len(part)
        if n_bytes > max_bytes:
            return False
        take(part)
    return True


async def _discard(request: Request) -> None:
    """Read the rest of an oversized body for a while.

    If the connection closed immediately, a client that is still sending would miss the error.
    """
    if "expect" in request.headers:  # the client waits before sending the body
        return
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while (message := await request.receive())["type"] == "http.request":
                if not message.get("more_body"):
                    return


# Maximum size of JSON to decode on the event loop, such as a hundred newswires.
_FEW_BYTES = 1 << 17
#: Maximum size of a form without a text, such as the login form.
SMALL_FORM = 1 << 12


def parse_large_json(
    body: bytes, decoder: msgspec.json.Decoder[_T], most_values: int, most_characters: int
) -> _T:
    """Decode JSON like `parse_json`; HttpProblem 413 if it has too many values.

    Counting takes up to half a second, during which other threads run. The decoder, in contrast,
    holds the GIL: millions of values would take seconds, and fifty times the body's memory. Parts
    of strings longer than `most_characters` may count as values.
    """
    # A value may be followed by a separator. A body has at most one token per byte.
    if len(body) <= 2 * most_values:
        return parse_json(body, decoder)
    tokens = itertools.islice(_tokens(most_characters)(body), 2 * most_values + 1)
    if sum(1 for _ in tokens) > 2 * most_values:
        raise HttpProblem(
            413, f"the body contains more than {most_values:,} values; send fewer at a time."
        )
    return parse_json(body, decoder)


@functools.cache
def _tokens(n_characters: int) -> Callable[[bytes], Iterator[re.Match[bytes]]]:
    """Return a function that finds JSON tokens, or parts of very long ones.

    Finding a token takes at most milliseconds, even in hostile bodies.
    """
    run, n_escapes = 4 * n_characters, 2 * n_characters
    separators = rb"[\s,:\]}]{1,%d}+" % run
    string = rb'"[^"\\]{0,%d}+(?:\\.[^"\\]*+){0,%d}+(?:"|\Z)?+' % (run, n_escapes)
    scalar = rb'[^\s,:\[\]{}"]{1,%d}+' % run
    return re.compile(b"|".join((separators, rb"[\[{]", string, scalar)), re.DOTALL).finditer


def parse_json(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Decode a request from JSON.

    Raises
    ------
    HttpProblem : 400 if the body is not JSON.
    DataError : if the request is invalid.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Slower, but it words the errors, and accepts lone surrogates, for example from texts
        # cut inside a character.
        kind: Any = decoder.type  # a TypeForm since msgspec 0.23
        return cast("_T", to_request(_parse_values(body), kind))


def _parse_values(body: bytes) -> object:
    """Parse JSON into strings, numbers, lists and dictionaries."""
    try:
        return json.loads(body.decode(), parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        found = f"is not JSON: byte {error.start + 1:,} is not UTF-8; encode it as UTF-8"
    except json.JSONDecodeError as error:
        place = f"line {error.lineno:,}, column {error.colno:,}"
        found = f"is not JSON: syntax error at {place}"
    except _ConstantError as error:
        found = f"is not JSON: {error} is not a valid JSON number; omit the field, or send null"
    except ValueError:  # from `int`
        found = "contains a number with too many digits; send a smaller one"
    except RecursionError:
        found = "is nested too deeply; send fewer nested lists and objects"
    raise HttpProblem(400, f"the body {found}.") from None


class _ConstantError(ValueError):
    """A constant such as NaN, which some programs write as a number."""


def _reject_constant(constant: str) -> NoReturn:
    raise _ConstantError(constant)


# A % without two hex digits. Browsers send none, and thousands are slow to decode.
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_form(body: bytes, most_fields: int) -> list[tuple[str, str]]:
    """Parse the fields of a form; HttpProblem 400 if it is invalid or has too many."""
    try:
        if _BROKEN_ESCAPE.search(body):
            raise ValueError("a broken escape")
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=most_fields)
    except ValueError:
        raise HttpProblem(400, "the form can't be read; reload the page.") from None
    # Browsers send line breaks as CRLF.
    return [(name, value.replace("\r\n", "\n")) for name, value in pairs]


def _too_large(max_bytes: int) -> HttpProblem:
    return HttpProblem(
        413,
        f"the body is larger than {max_bytes:,} bytes; send less at a time.",
        headers={"Connection": "close"},
    )


# JSON in requests and replies ---------------------------------------------------------------------

encode_json = msgspec.json.Encoder().encode


def json_response(value: object, status: int = 200) -> Response:
    """Return a value as a JSON response."""
    return Response(encode_json(value), status, media_type="application/json")


async def read_json(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Read and decode the body of a request; large bodies are decoded on a thread."""
    media_type = body_type(request)
    if media_type != "application/json":
        raise HttpProblem(
            415, f"the body is of type {media_type[:100]!r}; send `Content-Type: application/json`."
        )
    settings = web_state(request).settings
    body = await read_body(request, settings.max_body, settings.timeout)
    if len(body) <= _FEW_BYTES:
        return parse_json(body, decoder)
    return await service_of(request).threads.run(
        parse_large_json, body, decoder, settings.max_values, settings.max_characters
    )


# Forms --------------------------------------------------------------------------------------------

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 20
# Bytes allowed for each additional field.
_FIELD_BYTES = 1 << 10


async def read_form(
    request: Request, max_bytes: int | None = None, *, n_more: int = 0
) -> ImmutableMultiDict[str, str]:
    """Read the fields of a form.

    Parameters
    ----------
    request : Request
    max_bytes : int, optional
        Maximum size; by default, `ServeSettings.max_form` and room for the additional fields.
    n_more : int, default 0
        Number of additional fields, such as one per column.

    Raises
    ------
    HttpProblem : 415 if it is not a form, 400 if it has too many fields; see also `read_body`.
    """
    media_type = body_type(request)
    if media_type != _FORM:
        raise HttpProblem(415, f"expected a form, but the body is of type {media_type[:100]!r}.")
    settings = app_state(request).settings
    if max_bytes is None:
        max_bytes = settings.max_form + n_more * _FIELD_BYTES
    body = await read_body(request, max_bytes, settings.timeout)
    n_fields = _MAX_FIELDS + n_more
    if len(body) <= SMALL_FORM:  # decoding escapes is slow for larger ones
        return ImmutableMultiDict(parse_form(body, n_fields))
    return ImmutableMultiDict(await service_of(request).threads.run(parse_form, body, n_fields))
