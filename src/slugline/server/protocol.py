"""Connections that are closed if the head of a request is too large, or does not arrive in time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["protocol_with"]

# Bytes of a request before its body.
_MOST_HEAD_BYTES = 1 << 16
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"


def protocol_with(timeout: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol, which gives the head of a request so many seconds to arrive.

    uvicorn itself waits for ever, for as many bytes as come. Bodies have limits of their own; see
    `slugline.server.bodies`.
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
        self._waited()
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
        self._waited()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._waited()
        self._waiting = self.loop.call_later(self.seconds, self.transport.close)

    def _waited(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
