"""Serves an application in a thread, for example in a notebook."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.addresses import Address
from slugline.serving.server.app_server import AppServer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

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
