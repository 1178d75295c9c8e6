"""Answers the requests of an application in a thread, as in a notebook."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.app_server import AppServer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Seconds beyond those that running requests get, until the thread is given up.
_PATIENCE = 5.0


class ServerThread:
    """Answers the requests of an application until it is stopped.

    Parameters
    ----------
    app : ASGIApp
    settings : ServeSettings
    listener : socket
        Closed in the end.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, listener: socket.socket) -> None:
        self._server, self._listener = AppServer(app, settings), listener
        self._patience = settings.grace + _PATIENCE
        self._thread = threading.Thread(target=self._run, name="slugline-server", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._server.should_exit

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def stop(self) -> None:
        """Finish running requests, and end."""
        self._server.should_exit = True
        self._thread.join(self._patience)

    def _run(self) -> None:
        with self._listener:
            self._server.run(sockets=[self._listener])
