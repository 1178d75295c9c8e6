"""Ports to listen on."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from pathlib import Path

from slugline.errors import ServerError
from slugline.server.settings import Settings

__all__ = ["address_of", "bind"]

_BACKLOG = 1024


def bind(settings: Settings) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    ServerError : if the address is not of this machine, or taken: says by whom, if it can.
    """
    host, port = settings.host.strip("[]"), settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ServerError(f"--host {host[:200]} is not known here; give an address.") from None
    # Of two, the one that whoever asks for "localhost" tries.
    found.sort(key=lambda each: each[0] != socket.AF_INET)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would let two servers have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ServerError(_why_not(error, host, port)) from None
    return listening


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = _owner(port)
        return (
            f"port {port} of {host} is taken{f' by {owner}' if owner else ''}; stop that, or give "
            "another --port."
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody to take; give a --port from 1024 on."
    return f"{host} port {port} can't be listened on: {error.strerror}; give another --host."


def _owner(port: int) -> str | None:
    """Return which process listens on a port, as far as /proc tells."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
                cells = line.split()
                if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{cells[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                name = (process / "comm").read_text("utf-8", "replace").strip()
                return f"{name} (process {process.name})"
    return None


def address_of(listening: socket.socket) -> str:
    """Return where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
