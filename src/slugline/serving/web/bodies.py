"""Bodies of requests, read within limits."""

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
from starlette.requests import ClientDisconnect, Request

from slugline.serving.request_checks import to_request
from slugline.serving.web.problems import HttpProblem

_T = TypeVar("_T")
# Seconds for which a body that is too large is read on, and thrown away.
_LINGER_SECONDS = 2.0


def body_type(request: Request) -> str:
    """Return the media type of a body in lower case; "" if the request doesn't name it."""
    return _header(request, b"content-type", "").partition(";")[0].strip().lower()


def _header(request: Request, name: bytes, default: str) -> str:
    """Return the first header field of a name, without an index of all of them."""
    for field, value in request.scope["headers"]:
        if field == name:
            return str(value, "latin-1")
    return default


def content_length(field: str) -> int | None:
    """Return the number in a header field; None if it isn't a number or is too long.

    >>> content_length("17"), content_length("0" * 5000 + "17"), content_length("9" * 5000)
    (17, 17, None)
    """
    digits = field.lstrip("0") or "0"
    return int(digits) if field.isascii() and field.isdecimal() and len(digits) < 19 else None


async def read_body(request: Request, max_bytes: int, timeout: float) -> bytes:
    """Return the body of a request; see `stream_body`."""
    parts: list[bytes] = []
    await stream_body(request, max_bytes, timeout, parts.append)
    return b"".join(parts) if len(parts) != 1 else parts[0]


async def stream_body(
    request: Request, max_bytes: int, timeout: float, take: Callable[[bytes], object]
) -> None:
    """Pass the parts of a request's body to `take` as they arrive.

    Raises
    ------
    HttpProblem : 413 if it has over `max_bytes`, 408 if it takes longer than `timeout` seconds,
        415 if it is compressed.
    """
    encoding = _header(request, b"content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HttpProblem(
            415, f"the body is {encoding!r}-encoded; send it without an encoding.",
            headers={"Accept-Encoding": "identity"},
        )  # fmt: skip
    if (content_length(_header(request, b"content-length", "0")) or 0) > max_bytes:
        await _discard(request)
        raise _too_large(max_bytes)
    taking = _take_parts(request, max_bytes, take)
    try:
        async with asyncio.timeout(timeout):
            has_taken_all = await taking
    except TimeoutError:
        raise HttpProblem(
            408, f"the body had not arrived after {timeout:g} seconds; send it at once."
        ) from None
    except ClientDisconnect:
        raise HttpProblem(400, "the connection ended before the body did.") from None
    if not has_taken_all:
        await _discard(request)
        raise _too_large(max_bytes)


async def _take_parts(request: Request, max_bytes: int, take: Callable[[bytes], object]) -> bool:
    """Pass the parts of a body to `take`; return False once they have over `max_bytes`."""
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
    """Read the rest of a body that is too large, for a while.

    If the connection closed at once, a client that is still sending would not see the error.
    """
    if "expect" in request.headers:  # the client sends the body only if asked to
        return
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while (message := await request.receive())["type"] == "http.request":
                if not message.get("more_body"):
                    return


#: Bytes of a body that are decoded on the event loop; more would block it for too long.
FEW_BYTES = 1 << 16
#: Bytes of a form without a text, such as the login.
SMALL_FORM = 1 << 12
# A body of up to twice as many bytes as `FEW_BYTES`, such as a hundred newswires, is decoded as
# quickly if it has no more commas than this: only values take time, not text.
_FEW_COMMAS = 1 << 12


def is_quick_json(body: bytes) -> bool:
    """Return whether JSON may be decoded on the event loop."""
    if len(body) <= FEW_BYTES:
        return True
    return len(body) <= 2 * FEW_BYTES and body.count(b",") <= _FEW_COMMAS


def parse_large_json(
    body: bytes, decoder: msgspec.json.Decoder[_T], most_values: int, most_characters: int
) -> _T:
    """Return decoded JSON as `parse_json` does; HttpProblem 413 if it has too many values.

    Counting takes up to half a second, during which other threads run. The decoder holds the
    interpreter's lock, and would take seconds for millions of values, and fifty times the memory of
    the body. Parts of strings with over `most_characters` may count as values.
    """
    # Each value may be followed by separators. A body with fewer bytes has fewer tokens.
    if len(body) <= 2 * most_values:
        return parse_json(body, decoder)
    tokens = itertools.islice(_tokens(most_characters)(body), 2 * most_values + 1)
    if sum(1 for _ in tokens) > 2 * most_values:
        raise HttpProblem(
            413, f"the body has more than {most_values:,} values; send less at a time."
        )
    return parse_json(body, decoder)


@functools.cache
def _tokens(n_characters: int) -> Callable[[bytes], Iterator[re.Match[bytes]]]:
    """Return a function that finds the tokens of JSON, or parts of very long ones.

    Finding a token takes milliseconds at most, even in hostile bodies.
    """
    run, n_escapes = 4 * n_characters, 2 * n_characters
    separators = rb"[\s,:\]}]{1,%d}+" % run
    string = rb'"[^"\\]{0,%d}+(?:\\.[^"\\]*+){0,%d}+(?:"|\Z)?+' % (run, n_escapes)
    scalar = rb'[^\s,:\[\]{}"]{1,%d}+' % run
    return re.compile(b"|".join((separators, rb"[\[{]", string, scalar)), re.DOTALL).finditer


def parse_json(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return a request decoded from JSON.

    Raises
    ------
    HttpProblem : 400 if the body is not JSON.
    DataError : if the request is invalid.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Slower, but it words errors, and takes lone surrogates, as in texts cut inside a
        # character.
        kind: Any = decoder.type  # which is a TypeForm since msgspec 0.23
        return cast("_T", to_request(_parse_values(body), kind))


def _parse_values(body: bytes) -> object:
    """Return the strings, numbers, lists and dictionaries of JSON."""
    try:
        return json.loads(body.decode(), parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        found = f"is not JSON: byte {error.start + 1:,} is not UTF-8; encode it as UTF-8"
    except json.JSONDecodeError as error:
        place = f"line {error.lineno:,}, column {error.colno:,}"
        found = f"is not JSON: {place} is invalid; correct it there"
    except _ConstantError as error:
        found = (
            f"is not JSON: {error} is not a valid JSON number; leave the field out, or send null"
        )
    except ValueError:  # of `int`
        found = "has a number with too many digits; send a smaller one"
    except RecursionError:
        found = "is nested too deeply; send fewer lists and objects inside others"
    raise HttpProblem(400, f"the body {found}.") from None


class _ConstantError(ValueError):
    """A constant that other programs write as a number, such as NaN."""


def _reject_constant(constant: str) -> NoReturn:
    raise _ConstantError(constant)


# A % without two digits. Browsers send none, and thousands take long to decode.
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_form(body: bytes, most_fields: int) -> list[tuple[str, str]]:
    """Return the fields of a form; HttpProblem 400 if it can't be read, or has too many."""
    try:
        if _BROKEN_ESCAPE.search(body):
            raise ValueError("a broken escape")
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=most_fields)
    except ValueError:
        raise HttpProblem(400, "the form can't be read; load the page again.") from None
    # Browsers send each line break as two characters.
    return [(name, value.replace("\r\n", "\n")) for name, value in pairs]


def _too_large(max_bytes: int) -> HttpProblem:
    return HttpProblem(
        413,
        f"the body is larger than {max_bytes:,} bytes; send less at a time.",
        headers={"Connection": "close"},
    )
