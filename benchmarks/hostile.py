"""Hostile clients of servers, of fourteen kinds: what they send, and don't read."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

_HOST = b"Host: localhost\r\n"
_HEALTH = b"GET /health HTTP/1.1\r\n" + _HOST
_CLASSIFY = b"POST /v1/classify HTTP/1.1\r\nContent-Type: application/json\r\n" + _HOST
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_PIECE = b"x" * (1 << 16)
# Seconds before a client whose connection was closed comes again.
_PAUSE = 0.1

Pieces = AsyncIterator[bytes]


async def _slowly(first: bytes) -> Pieces:
    """Yield the beginning of a request, then a byte a second."""
    yield first
    while True:
        await asyncio.sleep(1)
        yield b"x"


async def _endlessly(first: bytes, again: bytes) -> Pieces:
    """Yield the beginning of a request, then the same bytes for ever."""
    yield first
    for piece in itertools.repeat(again):
        yield piece


async def _once(request: bytes) -> Pieces:
    """Yield a request, and then nothing more."""
    yield request
    await asyncio.sleep(3600)


def _large_reply() -> bytes:
    body = json.dumps({"texts": ["wheat"] * 2500, "top": 20}).encode()
    return _CLASSIFY + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _form() -> bytes:
    body = b"text=" + b"%41" * 20_000
    head = b"POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n" + _HOST
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


_FORM = _form()
_FIELD = b"X-Y: " + b"y" * 8000 + b"\r\n"
_LARGE_REPLY = _large_reply()
#: What each kind of client sends.
KINDS: dict[str, Callable[[], Pieces]] = {
    "silent": lambda: _once(b""),
    "slow head": lambda: _slowly(_HEALTH + b"X: "),
    "endless head": lambda: _endlessly(_HEALTH, _FIELD),
    "head of 100 kB": lambda: _once(_HEALTH + b"X: " + b"x" * 100_000 + b"\r\n\r\n"),
    "slow body": lambda: _slowly(_CLASSIFY + b"Content-Length: 9999999\r\n\r\n"),
    "body that stalls": lambda: _once(
        _CLASSIFY + b"Content-Length: 9999999\r\n\r\n" + _PIECE * 100
    ),
    "slow body nobody reads": lambda: _slowly(_HEALTH + b"Content-Length: 9999999\r\n\r\n"),
    "trailers": lambda: _endlessly(_HEALTH + _CHUNKED + b"0\r\n", _FIELD),
    "chunk extensions": lambda: _endlessly(_HEALTH + _CHUNKED + b"1;", _PIECE),
    "length of 5,000 digits": lambda: _once(
        _CLASSIFY + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"
    ),
    "pipelined requests": lambda: _endlessly(b"", (_HEALTH + b"\r\n") * 1000),
    "chunks of a byte": lambda: _endlessly(_CLASSIFY + _CHUNKED, b"1\r\nx\r\n" * 1000),
    "forms": lambda: _endlessly(b"", _FORM),
    "reply nobody reads": lambda: _endlessly(_LARGE_REPLY, _LARGE_REPLY),
}


async def _attack(port: int, kind: str, until: float) -> int:
    """Connect again and again until a time; return the number of connections."""
    n_connections = 0
    await asyncio.sleep(random.random())  # noqa: S311 - not all at the same moment
    while time.monotonic() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            n_connections += 1
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + until - time.monotonic()
            ):
                await _connect(port, kind)
        await asyncio.sleep(_PAUSE)
    return n_connections


async def _connect(port: int, kind: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
    try:
        sending = _send(writer, KINDS[kind]())
        if kind == "reply nobody reads":
            await sending
        else:
            await _until_first(sending, _read(reader))
    finally:
        writer.transport.abort()


async def _until_first(*parts: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, pieces: Pieces) -> None:
    async for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 12):
        pass


def attack(port: str, connections: str, seconds: str, only: str = "") -> int:
    """Attack a server with clients of one kind, or of all; return the number of connections."""

    async def run() -> int:
        until = time.monotonic() + float(seconds)
        kinds = itertools.islice(itertools.cycle([only] if only else KINDS), int(connections))
        return sum(await asyncio.gather(*(_attack(int(port), kind, until) for kind in kinds)))

    return asyncio.run(run())
