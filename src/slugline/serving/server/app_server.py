"""Answers the requests of an application in one process, with uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from slugline.serving.serve_settings import ServeSettings
from slugline.serving.web.acceptor import Acceptor
from slugline.serving.web.connections import make_protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# File descriptors for other things than connections.
_FILES = 64
# Seconds after which an idle connection is closed.
_KEEP_ALIVE_SECONDS = 75


class AppServer(uvicorn.Server):
    """Answers requests until SIGINT or SIGTERM, after which running requests are finished."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        super().__init__(_make_config(app, settings))
        self.settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, no more than a process may have."""
        if sys.platform == "win32":  # its event loop can't watch a listening socket
            await super().startup(sockets)
            return
        await super().startup([])
        limit = _max_connections(self.settings)

        def make_protocol() -> asyncio.Protocol:
            protocol: Any = self.config.http_protocol_class
            made: asyncio.Protocol = protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        acceptors: list[Any] = [Acceptor(each, make_protocol, limit) for each in sockets or ()]
        self.servers = acceptors

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Finish running requests after a signal, and end without a traceback.

        uvicorn itself would raise the signal again afterwards. Only the main thread gets signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End after running requests; if a thread hangs, show where, and end at once."""
        # It hangs in reading from a dead file system, for example.
        if not self.should_exit:
            faulthandler.dump_traceback_later(self.settings.grace + 1, exit=True)
        super().handle_exit(sig, frame)


def _make_config(app: ASGIApp, settings: ServeSettings) -> uvicorn.Config:
    # uvicorn would log a warning for each malformed request.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=make_protocol(
            settings.timeout,
            # A file arrives, and waits for its answer.
            settings.file_timeout() + settings.timeout,
            _max_connections(settings),
        ),
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.grace),
        ws="none",
    )


def _max_connections(settings: ServeSettings) -> int:
    """Return the limit of connections, which leaves some file descriptors for files."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return settings.max_connections
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return settings.max_connections
    return max(1, min(settings.max_connections, limit - _FILES))
