"""Bodies of requests, within limits; and errors as RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MEDIA_TYPE = "application/problem+json"


class HttpProblem(Exception):  # noqa: N818 - the standard's word
    """An error response: its status, what was found and what to do, and the index of the text."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers, self.index = dict(headers or {}), index


class ProblemDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Body of an error response."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    #: Which of the texts it is, counted from 0.
    index: int | None = None


def problem_response(problem: HttpProblem, request_id: str) -> Response:
    """Return a problem as a JSON response."""
    details = ProblemDetails(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=request_id,
        index=problem.index,
    )
    return Response(
        msgspec.json.encode(details), problem.status, problem.headers, media_type=MEDIA_TYPE
    )


# Heads of requests --------------------------------------------------------------------------------

# Bytes of a request before its body.
_MOST_HEAD_BYTES = 1 << 16
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"


def make_protocol(timeout: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with a time limit, in seconds, for the head of a request.

    uvicorn itself waits for ever, for as many bytes as come. Bodies have limits of their own.
    """
    return type("Protocol", (_Protocol,), {"seconds": timeout})


class _Protocol(HttpToolsProtocol):
    seconds: float
    _waiting: asyncio.TimerHandle | None = None
    _n_head_bytes = 0
    _is_in_head = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            if self._n_head_bytes > _MOST_HEAD_BYTES:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
                return
            # What begins a body may be among them: what comes at a time, no more.
            self._n_head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._is_in_head, self._n_head_bytes = True, 0
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


# Bodies -------------------------------------------------------------------------------------------

_T = TypeVar("_T")
# Seconds for which what is too large is still taken from the network, and thrown away.
_LINGER_SECONDS = 2.0
# Half of a character, as JSON may have it in an escape.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def body_type(request: Request) -> str:
    """Return the media type of a body in lower case; "" if the request doesn't name it."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, most: int, timeout: float) -> bytes:
    """Return the body of a request; see `stream_body`."""
    parts: list[bytes] = []
    await stream_body(request, most, timeout, parts.append)
    return b"".join(parts) if len(parts) != 1 else parts[0]


async def stream_body(
    request: Request, most: int, timeout: float, take: Callable[[bytes], object]
) -> None:
    """Pass the parts of a request's body to `take`, as they arrive.

    Raises
    ------
    HttpProblem : 413 if it has over `most` bytes, 408 if it takes longer than `timeout` seconds,
        415 if it is compressed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HttpProblem(
            415, f"the body is said to be {encoding!r}-encoded; send it as it is.",
            headers={"Accept-Encoding": "identity"},
        )  # fmt: skip
    claimed = request.headers.get("content-length", "0")
    if claimed.isdecimal() and int(claimed) > most:
        await _discard(request)
        raise _too_large(most)
    n_bytes = 0
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                n_bytes += len(part)
                if n_bytes > most:
                    break
                take(part)
    except TimeoutError:
        raise HttpProblem(
            408, f"the body had not arrived after {timeout:g} seconds; send it at once."
        ) from None
    except ClientDisconnect:
        raise HttpProblem(400, "the connection ended before the body did.") from None
    if n_bytes > most:
        await _discard(request)
        raise _too_large(most)


async def _discard(request: Request) -> None:
    """Read on for a while after a body was too large.

    If the connection closed at once, a client that is still sending would not see the reason.
    """
    if "expect" in request.headers:  # it waits with its body for a word from us
        return
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while (message := await request.receive())["type"] == "http.request":
                if not message.get("more_body"):
                    return


def parse_json(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return decoded JSON; HttpProblem 400 if it is not JSON, 422 if its content is invalid."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _raise_invalid(error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _HALF.search(body):
            return _parse_leniently(body, decoder.type)
        raise HttpProblem(400, f"the body is not JSON: {error}.") from None
    except RecursionError:
        raise HttpProblem(400, "the body is nested too deeply.") from None


def _parse_leniently(body: bytes, kind: Any) -> Any:
    """Return decoded JSON with lone surrogates, as in texts that were cut in the middle."""
    try:
        return msgspec.convert(json.loads(body, parse_constant=_reject_constant), kind)
    except msgspec.ValidationError as error:
        _raise_invalid(error)
    except (ValueError, RecursionError) as error:
        raise HttpProblem(400, f"the body is not JSON: {error}.") from None


def _raise_invalid(error: msgspec.ValidationError) -> NoReturn:
    raise HttpProblem(422, f"{error}; see /docs for what may be asked.") from None


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _too_large(most: int) -> HttpProblem:
    return HttpProblem(
        413,
        f"the body is larger than {most:,} bytes; send less at a time.",
        headers={"Connection": "close"},
    )
