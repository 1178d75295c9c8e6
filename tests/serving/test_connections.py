"""Limits of connections, whatever clients send or don't read."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from server import Address, running

pytestmark = pytest.mark.slow

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CLASSIFY = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FIELD = b"X-Y: " + b"y" * 8000 + b"\r\n"


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with running("--timeout", "0.5", "--max-connections", 20) as url:
        yield url


def connect(address: Address) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def read(connection: socket.socket, n_bytes: int = 1 << 20) -> bytes:
    """Return what comes until the connection is closed."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(n_bytes):
            parts.append(part)
    return b"".join(parts)


def is_closed(
    connection: socket.socket,
    again: bytes,
    *,
    pause: float = 0,
    n_seconds: float = 60,
    most_bytes: int = 1 << 30,
) -> bool:
    """Send the same bytes again and again; return whether the server closes the connection."""
    until, n_bytes = time.monotonic() + n_seconds, 0
    while time.monotonic() < until and n_bytes < most_bytes:
        time.sleep(pause)
        try:
            n_bytes += connection.send(again)
        except BlockingIOError:
            pass
        except ConnectionError:
            return True
    return False


# What a client sends first, and then again and again, by what it is.
TRICKLES = {
    "line breaks": (b"", b"\r\n"),
    "head": (HEALTH + b"X: ", b"x"),
    "body nobody reads": (HEALTH + b"Content-Length: 9999999\r\n\r\n", b"x"),
    "chunks": (HEALTH + CHUNKED, b"1\r\nx\r\n"),
    "trailers": (HEALTH + CHUNKED + b"0\r\n", b"X"),
    "body": (CLASSIFY + b"Content-Length: 9999999\r\n\r\n", b"x"),
    "extension": (CLASSIFY + CHUNKED + b"1;", b"x"),
}


def test_connections_end_at_the_timeout_though_bytes_trickle_in(address: Address) -> None:
    with contextlib.ExitStack() as stack:
        slow = {name: stack.enter_context(connect(address)) for name in TRICKLES}
        for name, connection in slow.items():
            connection.sendall(TRICKLES[name][0])
        until = time.monotonic() + 60
        while slow and time.monotonic() < until:
            for name in [*slow]:
                if is_closed(slow[name], TRICKLES[name][1], most_bytes=1):
                    del slow[name]
            time.sleep(0.1)
    assert [*slow] == []


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (HEALTH, FIELD),
        (HEALTH + CHUNKED + b"0\r\n", FIELD),
        (HEALTH + CHUNKED + b"1;", b"x" * 8000),
        (CLASSIFY + CHUNKED + b"0\r\n", FIELD),
    ],
    ids=["head", "trailers", "extension", "trailers of a body"],
)
def test_connection_ends_after_too_many_bytes_outside_the_body(
    address: Address, first: bytes, again: bytes
) -> None:
    with connect(address) as endless:
        endless.sendall(first)
        assert is_closed(endless, again, most_bytes=32 << 20)


def test_connection_rejects_a_large_head_in_one_piece(address: Address) -> None:
    for n_bytes, status in ((60_000, b"200"), (1_000_000, b"431")):
        with connect(address) as large:
            large.sendall(HEALTH + b"Connection: close\r\nX: " + b"x" * n_bytes + b"\r\n\r\n")
            # What nobody reads any more may cut off the answer.
            assert read(large)[9:12] in (status, b"" if n_bytes > 1 << 16 else status)


def test_connection_rejects_too_many_header_fields(address: Address) -> None:
    with connect(address) as many:
        many.sendall(HEALTH + b"a:b\r\n" * 1000 + b"\r\n")
        assert read(many).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("digits", [b"9" * 5000, b"0" * 4998 + b"13"])
def test_content_length_of_very_many_digits_gets_400(address: Address, digits: bytes) -> None:
    with connect(address) as large:
        large.sendall(
            CLASSIFY + b"Connection: close\r\nContent-Length: " + digits + b'\r\n\r\n{"text": "a"}'
        )
        assert read(large)[9:12] in (b"200", b"400")


def test_connection_answers_pipelined_requests_in_order(address: Address) -> None:
    body = json.dumps({"text": "wheat exports"}).encode()
    request = CLASSIFY + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connect(address) as patient:
        patient.sendall(
            request + HEALTH + b"\r\n" + request + HEALTH + b"Connection: close\r\n\r\n"
        )
        answer = read(patient)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert answer.endswith(b'{"status":"ok"}')


def test_connection_sends_head_and_body_in_one_piece(address: Address) -> None:
    with connect(address) as client:
        client.sendall(HEALTH + b"\r\n")
        assert client.recv(1 << 16).endswith(b'{"status":"ok"}')


def test_connection_sends_the_head_of_an_answer_without_a_body(address: Address) -> None:
    request = b"HEAD" + HEALTH.removeprefix(b"GET")
    with connect(address) as client:
        client.sendall(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        answer = read(client)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\r\n\r\n")


def test_server_gives_up_bodies_that_do_not_arrive(address: Address) -> None:
    part = CLASSIFY + b'Content-Length: 100\r\n\r\n{"te'
    with connect(address) as slow:
        slow.sendall(part)
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    with connect(address) as half:
        half.sendall(CLASSIFY)  # a head without an end
        assert half.recv(1000) == b""
    with connect(address) as silent:
        assert silent.recv(1000) == b""
    with connect(address) as gone:
        gone.sendall(part)
    assert httpx.get(f"{address}/health", timeout=120).status_code == 200
