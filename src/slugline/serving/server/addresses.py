"""Addresses that a server can listen at."""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from slugline.errors import ServerError

# Seconds between two tries to connect.
_PAUSE = 0.02


class Address(NamedTuple):
    """A numeric address and a port."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address of the page that is served here."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def call_when_open(self, function: Callable[[], object]) -> threading.Event:
        """Call a function once connections are accepted here; return an event of that."""
        is_open = threading.Event()

        def wait() -> None:
            while not self._is_open():
                time.sleep(_PAUSE)
            is_open.set()
            function()

        threading.Thread(target=wait, name="slugline-start", daemon=True).start()
        return is_open

    def _is_open(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        try:
            socket.create_connection((host, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def find_address(host: str, port: int) -> Address:
    """Return the address of a host and a free port, which may be 0 for any.

    Raises
    ------
    ServerError : if the address is not of this machine, or in use.
    """
    host = host.strip("[]")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ServerError(f"--host {host[:200]} is not known here; give an address.") from None
    # Of two, the one that clients try for "localhost".
    addresses.sort(key=lambda candidate: candidate[0] != socket.AF_INET)
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # where it would let two servers have one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ServerError(_explain_bind_error(error, host, port)) from None
        return Address(*probe.getsockname()[:2])


def _explain_bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program; stop that, or give another --port."
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs root; use a --port of 1024 or higher."
    return f"{host} port {port} can't be listened on: {error.strerror}; give another --host."
