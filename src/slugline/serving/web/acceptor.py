"""Accepts connections from addresses in turn, a few in each round of the event loop.

Opening a connection takes a third of a millisecond of CPU. Otherwise, hundreds of connections from
one address would all be opened before other clients get an answer.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections import OrderedDict, deque
from collections.abc import Callable

# Connections that are accepted, and opened, in a round.
_MAX_ACCEPTED, _MAX_OPENED = 64, 4
# Seconds until the next try after descriptors or memory ran out.
_PAUSE = 0.1
_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def origin_of(host: str) -> str:
    """Return the origin of connections: an IPv4 address, or the first half of an IPv6 address.

    >>> origin_of("192.0.2.7"), origin_of("::ffff:192.0.2.7"), origin_of("2001:db8:0:1::7%eth0")
    ('192.0.2.7', '192.0.2.7', '2001:db8:0:1::')
    """
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(address.packed[:8] + bytes(8)))


class Acceptor:
    """Accepts connections of a listening socket; has the methods of a server that uvicorn calls.

    Parameters
    ----------
    listener : socket
    make_protocol : callable
        Returns the protocol of a connection.
    max_waiting : int
        Maximum number of connections that are accepted but not yet opened. Beyond them, the network
        with the most connections loses its latest one.
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        max_waiting: int,
    ) -> None:
        self._listener, self._make_protocol = listener, make_protocol
        self._max_waiting, self._n_waiting = max_waiting, 0
        self._waiting: OrderedDict[str, deque[socket.socket]] = OrderedDict()
        self._opening: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = self._is_closed = False
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Stop accepting connections, and close those that still wait to be served."""
        self._is_closed = True
        self._loop.remove_reader(self._listener)
        for queue in self._waiting.values():
            for connection in queue:
                connection.close()
        self._waiting.clear()

    async def wait_closed(self) -> None:
        """Return at once: uvicorn itself waits for the connections."""

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_MAX_ACCEPTED):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                if error.errno not in _SCARCE:
                    raise
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE, self._listen)
                break
            self._add(connection, origin_of(address[0]))
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._open_some)

    def _add(self, connection: socket.socket, origin: str) -> None:
        connection.setblocking(False)
        self._waiting.setdefault(origin, deque()).append(connection)
        self._n_waiting += 1
        if self._n_waiting > self._max_waiting:
            network = max(self._waiting, key=lambda each: len(self._waiting[each]))
            self._take(network, last=True).close()

    def _take(self, origin: str, *, last: bool = False) -> socket.socket:
        """Remove the first or last connection of a network, whose next turn then comes last."""
        queue = self._waiting.pop(origin)
        connection = queue.pop() if last else queue.popleft()
        if queue:
            self._waiting[origin] = queue
        self._n_waiting -= 1
        return connection

    def _open_some(self) -> None:
        """Open a few connections, of different networks if possible."""
        self._is_scheduled = False
        for _ in range(_MAX_OPENED):
            if not self._waiting:
                return
            connection = self._take(next(iter(self._waiting)))
            task = self._loop.create_task(self._connect(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        if self._waiting:
            self._is_scheduled = True
            self._loop.call_soon(self._open_some)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:  # it was closed meanwhile
            connection.close()
