"""Listening sockets."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from pathlib import Path

from slugline.errors import ServerError

_BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    ServerError : if the address is not of this machine, or in use: by which process, if known.
    """
    host = host.strip("[]")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ServerError(f"--host {host[:200]} is not known here; give an address.") from None
    # Of two, the one that clients try for "localhost".
    addresses.sort(key=lambda candidate: candidate[0] != socket.AF_INET)
    family, kind, protocol, _, address = addresses[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ServerError(_explain_bind_error(error, host, port)) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address of the page that a listening socket serves."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _explain_bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = _owner(port)
        return (
            f"port {port} of {host} is taken{f' by {owner}' if owner else ''}; stop that, or give "
            "another --port."
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs root; use a --port of 1024 or higher."
    return f"{host} port {port} can't be listened on: {error.strerror}; give another --host."


def _owner(port: int) -> str | None:
    """Return the process that listens on a port, from /proc; None if unknown."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
                cells = line.split()
                if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{cells[9]}]")
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                name = (process / "comm").read_text("utf-8", "replace").strip()
                return f"{name} (process {process.name})"
    return None
