"""uvicorn's HTTP protocol with limits on time, size and number."""

from __future__ import annotations

import asyncio
import functools
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from slugline.serving.web.acceptor import origin_of
from slugline.serving.web.bodies import HAS_ARRIVED, LINGER_SECONDS

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

# Bytes of a head, of trailers, or of a chunk's extensions.
_MAX_OTHER_BYTES = 1 << 16
_MAX_FIELDS = 128
# Pipelined requests: those that wait for earlier ones on the same connection.
_MAX_PIPELINED = 8
# Bytes that the parser gets at a time, so that limits hold within a large read.
_PIECE = 1 << 12
# Bytes of an answer that a client must read within the time limit, or the rest.
_SLOWEST_READER = 1 << 16
# Bytes of all answers that clients have not read yet.
_MAX_UNSENT = 1 << 23
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def make_protocol(timeout: float, life: float, most_connections: int) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with limits that uvicorn itself doesn't have.

    `timeout` is the time in seconds for a head to arrive, and for a client to read some of its
    answer. An answer begins within `life` seconds after its request's head. `read_body` limits
    bodies.
    """
    limits = {"timeout": timeout, "life": life, "most_connections": most_connections}
    return type("Protocol", (_Protocol,), limits)


class _JoiningTransport:
    """A transport that sends the head of a response together with the start of its body.

    Each write is a call of the system, which wakes the client.

    Attributes
    ----------
    writes_head : bool
        Whether the head is being written, which then waits.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.writes_head = False

    def write(self, data: bytes) -> None:
        if self.writes_head:
            self._head = data
            return
        head, self._head = self._head, b""
        self._transport.write(head + data)

    def flush(self) -> None:
        """Send a head that waits, of a response without a body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.writes_head = False
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class _Protocol(HttpToolsProtocol):
    timeout: float
    life: float
    most_connections: int
    # When the connection is closed, and when a timer looks whether that is now: moving the
    # deadline with each request would take longer than a timer that comes too early.
    _deadline = math.inf
    _timer: asyncio.TimerHandle | None = None
    _timer_at = math.inf
    _is_kept_alive = False
    _reader_check: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _n_other = _n_unsent = _n_held = 0
    _is_in_head = _is_complete = True
    _is_sending = False
    _running: RequestResponseCycle | None = None
    _origin = ""

    @property
    def _connections(self) -> set[_Protocol]:
        """All connections of the process."""
        return cast("set[_Protocol]", self.connections)

    @property
    def _is_idle(self) -> bool:
        """Whether the connection has no request that is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(  # type: ignore[override]  # uvicorn expects a transport
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._chunks: list[bytes] = []
        # Writing is paused until all of an answer is sent, unless that happens at once.
        transport.set_write_buffer_limits(_PIECE, 0)
        self._set_deadline(self.timeout)
        self._idle_since = self.loop.time()
        self._origin = origin_of(self.client[0]) if self.client else ""
        if len(self.connections) > self.most_connections:
            idle = [other for other in self._connections if other._is_idle]
            counts = Counter(other._origin for other in self._connections)
            # Of the network with the most connections; this one, if all others are busy.
            oldest = min(idle, key=lambda other: (-counts[other._origin], other._idle_since))
            if oldest is self:
                transport.write(_TOO_MANY)
            oldest._close_or_abort()
            self.connections.discard(oldest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnect()
        self._deadline = math.inf
        self._clear_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            self._n_other += len(piece)
            super().data_received(piece)
            if self._n_other > _MAX_OTHER_BYTES:
                if self._is_in_head and self._is_idle:
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()
                else:
                    self._abort()
        self._pass_on_body()
        if self._is_kept_alive or self._deadline == math.inf:  # line breaks start no message
            self._set_deadline(self.timeout)

    def send_400_response(self, msg: str) -> None:
        if self._is_idle:
            super().send_400_response(msg)
        else:  # another answer comes first
            self._abort()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("too many requests wait")
        self._is_in_head, self._is_complete = True, False
        self._set_deadline(self.timeout)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:  # a trailer, which is ignored
            return
        if len(self.headers) >= _MAX_FIELDS:
            raise ValueError("too many header fields")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._n_other = False, 0
        self._set_deadline(self.life)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        transport = _JoiningTransport(cycle.transport)
        send = functools.partial(self._send, transport, cycle.send)
        cycle.transport, cycle.send = transport, send  # type: ignore[assignment, method-assign]
        super()._start_asgi_task(cycle, app)

    async def _send(
        self, transport: _JoiningTransport, send: Callable[[Any], Awaitable[None]], message: Any
    ) -> None:
        self._n_held += len(message.get("body", b""))
        transport.writes_head = message["type"] == "http.response.start"
        try:
            await send(message)
            if not transport.writes_head:
                transport.flush()
        except RuntimeError:  # uvloop has noticed first that the client has left
            if not self.transport.is_closing():
                raise
            self._disconnect()
        if not self.flow.write_paused:
            self._n_held = 0

    def on_body(self, body: bytes) -> None:
        self._n_other = 0
        self._chunks.append(body)

    def _pass_on_body(self) -> None:
        """Pass on all chunks of a body together, as there may be thousands of one byte each."""
        if self._chunks:
            body = b"".join(self._chunks)
            self._chunks.clear()
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._pass_on_body()
        self._is_complete, self._n_other = True, 0
        self.scope["extensions"] = {HAS_ARRIVED: {}}
        super().on_message_complete()
        if self._is_idle:
            self._set_deadline(self.timeout)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        if self.transport.is_closing():
            self._set_deadline(self.timeout)
        elif not self._is_complete:  # reads on, so that the client sees the answer
            self._set_deadline(LINGER_SECONDS)
        elif not self.pipeline:
            self._deadline = math.inf
        if self.flow.write_paused:  # the next request waits until this answer is sent
            self.flow.pause_reading()
            self._is_sending = True
        else:
            self._await_request()

    def _await_request(self) -> None:
        """Answer the next request, or close the connection if none comes for a while."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deadline == math.inf:
            self._set_deadline(self.timeout_keep_alive)
            self._is_kept_alive = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._check_reader()
        # Each answer is held in memory until its last byte is sent.
        paused = [other for other in self._connections if other.flow.write_paused]
        if len(paused) > 1 and sum(other._n_held for other in paused) > _MAX_UNSENT:
            max(paused, key=lambda other: other._n_held)._abort()

    def resume_writing(self) -> None:
        if self._reader_check is not None:
            self._reader_check.cancel()
            self._reader_check, self._n_unsent, self._n_held = None, 0, 0
        super().resume_writing()
        if self._is_sending:
            self._is_sending = False
            self._await_request()

    def _check_reader(self) -> None:
        """Abort a connection whose client reads its reply too slowly."""
        n_unsent = self.transport.get_write_buffer_size()
        if self._reader_check is not None and n_unsent > self._n_unsent - _SLOWEST_READER:
            self._abort()
            return
        self._n_unsent = n_unsent
        self._reader_check = self.loop.call_later(self.timeout, self._check_reader)

    def _set_deadline(self, seconds: float) -> None:
        self._is_kept_alive = False
        self._deadline = self.loop.time() + seconds
        if self._deadline < self._timer_at:
            self._set_timer(seconds)

    def _set_timer(self, seconds: float) -> None:
        self._clear_timer()
        self._timer_at = self.loop.time() + seconds
        self._timer = self.loop.call_later(seconds, self._check_deadline)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf

    def _check_deadline(self) -> None:
        """Close the connection at its deadline; look again later if that was moved."""
        self._clear_timer()
        left = self._deadline - self.loop.time()
        if left <= 0:
            self._deadline = math.inf
            self._close_or_abort()
        elif left < math.inf:
            self._set_timer(left)

    def _close_or_abort(self) -> None:
        """Close the connection, or abort it if closing takes too long."""
        if self.transport.is_closing():
            self._abort()
        elif self._is_idle or self._running is None or not self._running.response_started:
            self.transport.close()
            self._set_deadline(self.timeout)

    def _abort(self) -> None:
        """Abort the connection; nothing more is written to it."""
        self._disconnect()
        self.transport.abort()

    def _disconnect(self) -> None:
        """Tell the running handler that the client has left; uvicorn tells only the last one."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
