"""Writes a response as HTTP/1.1: the head together with the start of the body."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    import asyncio

# Headers whose lines are cached: most are the same in all responses.
_N_LINES = 256
_INVALID_NAME = re.compile(rb'[\x00-\x20\x7f()<>@,;:\[\]={}\\"]')
_INVALID_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Responses that never have a body.
_WITHOUT_BODY = (204, 304)


class ResponseHead(NamedTuple):
    """The head of a response, and what it says about the rest.

    Attributes
    ----------
    data : bytes
    n_bytes : int or None
        Of the body; None if its parts come with their lengths (chunks).
    keeps_alive : bool
        Whether the connection stays open afterwards.
    """

    data: bytes
    n_bytes: int | None
    keeps_alive: bool

    @classmethod
    def from_headers(
        cls,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        has_body: bool = True,
        keeps_alive: bool = True,
    ) -> ResponseHead:
        r"""Return the head; ValueError if a header is invalid.

        Without `has_body`, as for HEAD, the headers alone say how long the body would be.

        >>> ResponseHead.from_headers(200, [(b"content-length", b"2")], keeps_alive=False).data
        b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n'
        """
        n_bytes: int | None = None
        lines = [STATUS_LINE[status]]
        says_close = False
        for name, value in headers:
            lines.append(_header_line(name, value))
            if name == b"content-length":
                n_bytes = int(value)
            elif name == b"connection" and value.lower() == b"close":
                says_close = True
        if not (keeps_alive or says_close):
            lines.append(b"connection: close\r\n")
        if not has_body or status in _WITHOUT_BODY:
            n_bytes = 0
        elif n_bytes is None:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return cls(b"".join(lines), n_bytes, keeps_alive and not says_close)


@functools.lru_cache(_N_LINES)
def _header_line(name: bytes, value: bytes) -> bytes:
    if _INVALID_NAME.search(name) or _INVALID_VALUE.search(value):
        raise ValueError(f"the header {name[:100]!r} can't be sent")
    return b"%s: %s\r\n" % (name.lower(), value)


class ResponseWriter:
    """Writes the messages of ASGI that make up the response to one request.

    Each write is a call of the system, which wakes the client, so the head waits for the body.

    Parameters
    ----------
    cycle : RequestResponseCycle
        The state of the request, which the writer updates.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport: asyncio.Transport = cycle.transport
        self._has_body = cycle.scope["method"] != "HEAD"
        # The head, until it is written.
        self._head = b""
        # Bytes of the body that are still to come; None if it is sent in chunks.
        self._n_left: int | None = None

    async def send(self, message: Any) -> None:
        """Write a message, once the client has read enough of those before."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message["headers"])
        else:
            self._write(message.get("body", b""), is_last=not message.get("more_body", False))

    def _start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        cycle = self._cycle
        if cycle.response_started:
            raise RuntimeError("a response has one head")
        head = ResponseHead.from_headers(
            status, headers, has_body=self._has_body, keeps_alive=cycle.keep_alive
        )
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        cycle.keep_alive = head.keeps_alive
        self._head, self._n_left = head.data, head.n_bytes

    def _write(self, body: bytes, *, is_last: bool) -> None:
        cycle = self._cycle
        if not cycle.response_started or cycle.response_complete:
            raise RuntimeError("a body follows one head")
        if not self._has_body:
            body = b""
        elif self._n_left is None:
            body = _to_chunk(body, is_last=is_last)
        else:
            self._n_left -= len(body)
            if self._n_left < 0 or (is_last and self._n_left):
                raise RuntimeError("the length of the body is not that in the head")
        head, self._head = self._head, b""
        self._transport.write(head + body if head else body)
        if is_last:
            cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:
                self._transport.close()
            cycle.on_response()


def _to_chunk(body: bytes, *, is_last: bool) -> bytes:
    r"""Return a part of a body with its length, and the end of the body if it is the last part.

    >>> _to_chunk(b"wheat", is_last=False), _to_chunk(b"", is_last=True)
    (b'5\r\nwheat\r\n', b'0\r\n\r\n')
    """
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if is_last else chunk
