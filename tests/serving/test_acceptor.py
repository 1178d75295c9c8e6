"""The order in which connections are begun."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slugline.serving.web import acceptor
from slugline.serving.web.acceptor import Acceptor, origin_of


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "::"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_origin_of_is_an_address_or_the_first_half_of_one(host: str, expected: str) -> None:
    assert origin_of(host) == expected


class Connection:
    """A connection from an address, as the listening socket returns it."""

    def __init__(self, host: str) -> None:
        self.host, self.is_closed = host, False

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def close(self) -> None:
        self.is_closed = True


class Listening:
    """A listening socket with connections that came at once."""

    def __init__(self, hosts: list[str]) -> None:
        self.connections = [Connection(host) for host in hosts]
        self._left = iter(self.connections)

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def accept(self) -> tuple[Connection, tuple[str, int]]:
        for connection in self._left:
            return connection, (connection.host, 1)
        raise BlockingIOError


def begin(hosts: list[str], max_waiting: int = 1000) -> tuple[list[list[str]], list[Connection]]:
    """Return the addresses that each round begins with, and all connections."""
    rounds: list[list[str]] = []

    async def run() -> list[Connection]:
        listening: Any = Listening(hosts)
        loop: Any = asyncio.get_running_loop()

        async def connect(_: object, connection: Connection) -> None:
            rounds[-1].append(connection.host)

        with contextlib.ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            readers: list[Callable[[], None]] = []
            patch.setattr(loop, "add_reader", lambda _, reader: readers.append(reader))
            patch.setattr(loop, "remove_reader", lambda _: None)
            patch.setattr(loop, "connect_accepted_socket", connect)
            accepting = Acceptor(listening, asyncio.Protocol, max_waiting)
            for _ in range(len(hosts) // acceptor._MAX_ACCEPTED + 1):
                readers[0]()
            while not rounds or rounds[-1]:
                rounds.append([])
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            accepting.close()
        return listening.connections

    connections = asyncio.run(run())
    return [each for each in rounds if each], connections


def test_acceptor_begins_a_few_connections_in_a_round() -> None:
    rounds, _ = begin(["a"] * 10)
    assert sum(map(len, rounds)) == 10
    assert max(map(len, rounds)) <= 2 * acceptor._MAX_OPENED  # two rounds, at most, are looked at


def test_acceptor_lets_networks_take_turns() -> None:
    rounds, _ = begin(["a"] * 100 + ["b", "c", "b"])
    begun = [host for each in rounds for host in each]
    assert begun[:6] == ["a", "b", "c", "a", "b", "a"]
    assert len(begun) == 103


def test_acceptor_closes_connections_of_the_network_that_has_most() -> None:
    rounds, connections = begin(["a"] * 30 + ["b"] * 5, max_waiting=20)
    begun = [host for each in rounds for host in each]
    assert (begun.count("a"), begun.count("b")) == (15, 5)
    assert [each.host for each in connections if each.is_closed] == ["a"] * 15


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Return a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def test_acceptor_begins_real_connections_and_stops(listening: socket.socket) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"hello")
            transport.close()

    async def run() -> None:
        accepting = Acceptor(listening, Echo, 100)
        address = listening.getsockname()
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b"hello"
            writer.close()
        accepting.close()
        reader, writer = await asyncio.open_connection(*address)  # the system takes it
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.1)
        writer.close()

    asyncio.run(run())
