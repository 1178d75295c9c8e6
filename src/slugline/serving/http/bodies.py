"""Bodies of requests, within limits; and errors as RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slugline.base.checks import ESCAPED_SURROGATE
from slugline.serving.http.acceptor import origin_of

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


def busy_problem() -> HttpProblem:
    """Return the problem of a request that is one too many for now."""
    return HttpProblem(
        503,
        "too many requests wait already; ask again.",
        headers={"Retry-After": "1", "Connection": "close"},
    )


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
    return Response(msgspec.json.encode(details), problem.status, problem.headers, MEDIA_TYPE)


# Connections --------------------------------------------------------------------------------------

# Bytes between two parts of a body: of the head, of trailers, or of a chunk's extensions.
_MOST_OTHER_BYTES = 1 << 16
_MOST_FIELDS = 128
# Requests that may wait for the answer to the one before on the same connection.
_MOST_PIPELINED = 8
# Bytes that the parser gets at a time, so that limits hold within a large piece from the network.
_PIECE = 1 << 12
# Bytes of an answer that a client has to read within the time limit, unless there are fewer.
_SLOWEST_READER = 1 << 16
# Bytes of all answers that wait for their clients to read them.
_MOST_UNSENT = 1 << 23
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def make_protocol(timeout: float, life: float, most_connections: int) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with limits, which uvicorn itself doesn't have.

    `timeout` is in seconds: for a head to arrive, and for a client to read some of its answer. An
    answer begins within `life` seconds of its request's head. Bodies have limits of their own.
    """
    limits = {"timeout": timeout, "life": life, "most_connections": most_connections}
    return type("Protocol", (_Protocol,), limits)


class _Protocol(HttpToolsProtocol):
    timeout: float
    life: float
    most_connections: int
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _since = 0.0
    _n_other = _n_unsent = _n_held = 0
    _is_in_head = _is_complete = True
    _is_sending = False
    _running: Any = None
    _origin = ""

    @property
    def _is_idle(self) -> bool:
        """Whether nobody works on an answer."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._chunks: list[bytes] = []
        # Paused from the first answer that isn't sent at once, until all is sent.
        transport.set_write_buffer_limits(_PIECE, 0)
        self._wait(self.timeout)
        self._since = self.loop.time()
        self._origin = origin_of(self.client[0]) if self.client else ""
        if len(self.connections) > self.most_connections:
            others: Iterable[Any] = self.connections
            idle = [other for other in others if other._is_idle]
            counts = Counter(other._origin for other in others)
            # Of the network that has most; this one, if all others are being answered.
            oldest = min(idle, key=lambda other: (-counts[other._origin], other._since))
            if oldest is self:
                transport.write(_TOO_MANY)
            oldest._give_up()
            self.connections.discard(oldest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnect()
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            self._n_other += len(piece)
            super().data_received(piece)
            self._pass_on_body()
            if self._n_other > _MOST_OTHER_BYTES:
                if self._is_in_head and self._is_idle:
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()
                else:
                    self._abort()
        if self._deadline is None:  # line breaks alone begin no message
            self._wait(self.timeout)

    def send_400_response(self, msg: str) -> None:
        if self._is_idle:
            super().send_400_response(msg)
        else:  # there is another answer to come
            self._abort()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise ValueError("too many requests wait")
        self._is_in_head, self._is_complete = True, False
        self._wait(self.timeout)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:  # a trailer, which nobody reads
            return
        if len(self.headers) >= _MOST_FIELDS:
            raise ValueError("too many header fields")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._n_other = False, 0
        self._wait(self.life)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        cycle.send = functools.partial(self._send, cycle.send)
        super()._start_asgi_task(cycle, app)

    async def _send(self, send: Callable[[Any], Awaitable[None]], message: Any) -> None:
        self._n_held += len(message.get("body", b""))
        try:
            await send(message)
        except RuntimeError:  # of uvloop, which has noticed before us that the client has left
            if not self.transport.is_closing():
                raise
            self._disconnect()
        if not self.flow.write_paused:
            self._n_held = 0

    def on_body(self, body: bytes) -> None:
        self._n_other = 0
        self._chunks.append(body)

    def _pass_on_body(self) -> None:
        """Pass on what has come of a body at once: there may be thousands of chunks of a byte."""
        if self._chunks:
            body = b"".join(self._chunks)
            self._chunks.clear()
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._pass_on_body()
        self._is_complete, self._n_other = True, 0
        super().on_message_complete()
        if self._is_idle:
            self._wait(self.timeout)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        if self.transport.is_closing():
            self._wait(self.timeout)
        elif not self._is_complete:  # the body is read on for the client to see the answer
            self._wait(_LINGER_SECONDS)
        elif not self.pipeline:
            self._stop_waiting()
        if self.flow.write_paused:  # the next request waits until this answer is sent
            self.flow.pause_reading()
            self._is_sending = True
        else:
            super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        self._give_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._check_reader()
        # Of each, all is held until the last byte is sent.
        others: Iterable[Any] = self.connections
        paused = [other for other in others if other.flow.write_paused]
        if len(paused) > 1 and sum(other._n_held for other in paused) > _MOST_UNSENT:
            max(paused, key=lambda other: other._n_held)._abort()

    def resume_writing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading, self._n_unsent, self._n_held = None, 0, 0
        super().resume_writing()
        if self._is_sending:
            self._is_sending = False
            super().on_response_complete()

    def _check_reader(self) -> None:
        """Give up a client that reads nothing of its answer, or too little."""
        n_unsent = self.transport.get_write_buffer_size()
        if self._reading is not None and n_unsent > self._n_unsent - _SLOWEST_READER:
            self._abort()
            return
        self._n_unsent = n_unsent
        self._reading = self.loop.call_later(self.timeout, self._check_reader)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close the connection; if that takes too long, break it off."""
        if self.transport.is_closing():
            self._abort()
        elif self._is_idle or not self._running.response_started:
            self.transport.close()
            self._wait(self.timeout)

    def _abort(self) -> None:
        """Break off the connection; nothing more is written to it."""
        self._disconnect()
        self.transport.abort()

    def _disconnect(self) -> None:
        """Tell the handler that nobody waits for its answer; uvicorn tells only the last one."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()


# Bodies -------------------------------------------------------------------------------------------

_T = TypeVar("_T")
# Seconds for which what is too large is still taken from the network, and thrown away.
_LINGER_SECONDS = 2.0


def body_type(request: Request) -> str:
    """Return the media type of a body in lower case; "" if the request doesn't name it."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def content_length(field: str) -> int | None:
    """Return the number in a header field; None if it is none, or too long to be one.

    >>> content_length("17"), content_length("0" * 5000 + "17"), content_length("9" * 5000)
    (17, 17, None)
    """
    digits = field.lstrip("0") or "0"
    return int(digits) if field.isascii() and field.isdecimal() and len(digits) < 19 else None


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
    if (content_length(request.headers.get("content-length", "0")) or 0) > most:
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


#: Bytes of a body that are decoded on the event loop; more would hold it for long.
FEW_BYTES = 1 << 16
#: Bytes of a form without a text, such as the login.
SMALL_FORM = 1 << 12


def parse_large_json(
    body: bytes, decoder: msgspec.json.Decoder[_T], most_values: int, most_characters: int
) -> _T:
    """Return decoded JSON as `parse_json` does; HttpProblem 413 if it has too many values.

    Takes up to half a second, during which other threads have their turn. The decoder doesn't let
    them, and millions of values would take it seconds, and fifty times the memory of the body.
    Strings may have more than `most_characters`, but then part of them may count as values.
    """
    # Each value may have separators after it.
    tokens = itertools.islice(_tokens(most_characters)(body), 2 * most_values + 1)
    if sum(1 for _ in tokens) > 2 * most_values:
        raise HttpProblem(
            413, f"the body has more than {most_values:,} values; send less at a time."
        )
    return parse_json(body, decoder)


@functools.cache
def _tokens(n_characters: int) -> Callable[[bytes], Iterator[re.Match[bytes]]]:
    """Return a function that finds the tokens of JSON, or parts of one that is far too long.

    Each is found within milliseconds, whatever the body holds.
    """
    run, n_escapes = 4 * n_characters, 2 * n_characters
    separators = rb"[\s,:\]}]{1,%d}+" % run
    string = rb'"[^"\\]{0,%d}+(?:\\.[^"\\]*+){0,%d}+(?:"|\Z)?+' % (run, n_escapes)
    scalar = rb'[^\s,:\[\]{}"]{1,%d}+' % run
    return re.compile(b"|".join((separators, rb"[\[{]", string, scalar)), re.DOTALL).finditer


def parse_json(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return decoded JSON; HttpProblem 400 if it is not JSON, 422 if its content is invalid."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _raise_invalid(error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if ESCAPED_SURROGATE.search(body):
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


# A % that is no escape. Browsers send none, and thousands take long to decode.
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_form(body: bytes, most_fields: int) -> list[tuple[str, str]]:
    """Return the fields of a form; HttpProblem 400 if it can't be read, or has too many."""
    try:
        if _BROKEN_ESCAPE.search(body):
            raise ValueError("a broken escape")
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=most_fields)
    except ValueError:
        raise HttpProblem(400, "the form can't be read; load the page again.") from None
    # Browsers send each line break as two characters, however it was pasted.
    return [(name, value.replace("\r\n", "\n")) for name, value in pairs]


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
