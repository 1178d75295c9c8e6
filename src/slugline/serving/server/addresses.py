"""Addresses for a server to listen on."""

from __future__ import annotations

import errno
import math
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from slugline.errors import ServerError

# Seconds between connection attempts.
_PAUSE = 0.02


class Address(NamedTuple):
    """A numeric address and a port."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """URL of the page at this address."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def wait_until_open(self, timeout: float = math.inf) -> None:
        """Wait until the server accepts connections, at most `timeout` seconds."""
        until = time.monotonic() + timeout
        while not self._is_open() and time.monotonic() < until:
            time.sleep(_PAUSE)

    def call_when_open(self, function: Callable[[], object]) -> None:
        """Call a function, in a thread, once the server accepts connections."""

        def wait() -> None:
            self.wait_until_open()
            function()

        threading.Thread(target=wait, name="slugline-start", daemon=True).start()

    def _is_open(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        try:
            with socket.create_connection((host, self.port), timeout=1) as connection:
                # If nothing listens, the connection may get this port as its own, and reach itself.
                return connection.getsockname() != connection.getpeername()
        except OSError:
            return False


def find_address(host: str, port: int) -> Address:
    """Resolve a host and find a free port; port 0 means any.

    Raises
    ------
    ServerError : if the address doesn't belong to this machine or is in use.
    """
    host = host.strip("[]")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ServerError(f"--host {host[:200]} can't be resolved; use an address.") from None
    # Prefer IPv4, which clients try for "localhost".
    addresses.sort(key=lambda candidate: candidate[0] != socket.AF_INET)
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # there, it would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ServerError(_explain_bind_error(error, host, port)) from None
        return Address(*probe.getsockname()[:2])


def _explain_bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop the other program, or use another --port."
    if error.errno == errno.EACCES:
        return f"port {port} requires root; use a --port of 1024 or higher."
    return f"can't listen on {host} port {port}: {error.strerror}; use another --host."
