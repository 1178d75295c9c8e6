"""Serves an application in one process with granian."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.addresses import Address

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Maximum size of a request head, and of the chunks in which bodies are read. With 64 kB, requests
# of 100 texts take 7 % longer; larger buffers take more memory under attack.
_MAX_BUFFER = 1 << 18
# File descriptors reserved for uses other than connections.
_FILES = 64


class AppServer:
    """Serves an application until stopped; running requests are finished first.

    Parameters
    ----------
    app : ASGIApp
    settings : ServeSettings
    address : Address
        Its port must be free.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, address: Address) -> None:
        self._grace = settings.grace
        self._server = Server(app, **granian_options(settings, address))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Future[None] | None = None

    def run(self) -> None:
        """Serve until `stop` is called, or on SIGINT or SIGTERM in the main thread."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """Finish running requests and end. Thread-safe."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        handles_signals = threading.current_thread() is threading.main_thread()
        if handles_signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: self._end())
        self._serving = asyncio.ensure_future(self._server.serve())
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving
        if handles_signals:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # already stopping

    def _stop(self) -> None:
        """Stop listening, and cancel running requests after the grace period."""
        self._server.stop()  # type: ignore[no-untyped-call]
        if self._loop is not None and self._serving is not None:
            self._loop.call_later(self._grace, self._serving.cancel)

    def _end(self) -> None:
        """Stop after running requests; if a thread hangs, dump its traceback and exit."""
        faulthandler.dump_traceback_later(self._grace + 1, exit=True)
        self.stop()


def granian_options(settings: ServeSettings, address: Address) -> dict[str, Any]:
    """Return granian's options for HTTP/1.1."""
    return {
        "address": address.host,
        "port": address.port,
        "interface": Interfaces.ASGI,
        "http": HTTPModes.http1,
        "http1_settings": HTTP1Settings(
            header_read_timeout=round(1000 * settings.timeout), max_buffer_size=_MAX_BUFFER
        ),
        "backpressure": _max_connections(settings),
        "websockets": False,
        # Without its own handlers, granian logs errors to the process's log.
        "log_level": LogLevels.error,
        "log_dictconfig": {"loggers": {}},
    }


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _max_connections(settings: ServeSettings) -> int:
    """Return the connection limit, which leaves some file descriptors for files."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return settings.max_connections
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return settings.max_connections
    return max(1, min(settings.max_connections, limit - _FILES))


# Seconds to wait for the thread beyond the grace period.
_PATIENCE = 5.0


class ServerThread:
    """Serves an application until stopped.

    Parameters
    ----------
    app : ASGIApp
    settings : ServeSettings
    address : Address
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, address: Address) -> None:
        self._server = AppServer(app, settings, address)
        self._patience = settings.grace + _PATIENCE
        self._is_stopped = False
        self._thread = threading.Thread(
            target=self._server.run, name="slugline-server", daemon=True
        )
        self._thread.start()
        address.wait_until_open(_PATIENCE)

    @property
    def is_running(self) -> bool:
        """True while requests are answered."""
        return self._thread.is_alive() and not self._is_stopped

    def join(self) -> None:
        """Wait until the server has ended."""
        self._thread.join()

    def stop(self) -> None:
        """Finish running requests and end."""
        self._is_stopped = True
        self._server.stop()
        self._thread.join(self._patience)
