"""Connections that are closed if a request does not arrive in time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["protocol_with"]


def protocol_with(timeout: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol, which gives the head of a request so many seconds to arrive.

    uvicorn itself waits for ever, so that connections that send a byte now and then would take all
    there are. Bodies have a time of their own; see `slugline.server.bodies`.
    """

    class Protocol(HttpToolsProtocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._waited()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._wait()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._waited()
            super().on_headers_complete()

        def _wait(self) -> None:
            self._waited()
            self._waiting = self.loop.call_later(timeout, self.transport.close)

        def _waited(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return Protocol
